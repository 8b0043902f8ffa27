"""What the parts share: how much to draw, pictures of many captions, and the measures of several pictures of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..embeddings import PCA
from ..evaluation import Bench, Estimate, average, bootstrap, effective_number, entropies, open_style
from ..manipulations import Latent, decode, draw, fresh, invert
from ..scenes import Item, Scene, Scenes, render, to_tensor
from ..training import embeddings


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is drawn."""

    singles: int                            # captions of which one picture each is drawn, for fidelity and distances
    groups: int                             # captions of which several pictures are drawn, for diversity
    samples: int                            # how many of each
    guidances: tuple[float, ...]            # of the decoder
    few_guidances: tuple[float, ...]        # where the best of several is enough
    prior_guidances: tuple[float, ...]
    draws: int                              # bootstrap draws of a distance
    edits: int                              # true pictures that are varied, mixed, changed by words and written on
    inversions: int                         # true pictures that are inverted with many steps
    embeddings: int                         # of training pictures, whose principal components are looked for
    route_steps: int                        # of training the two routes to z_i that need some


FULL = Size(singles=500, groups=100, samples=16, guidances=(1, 2, 3, 5, 8), few_guidances=(1, 2, 4),
            prior_guidances=(1, 2, 4), draws=100, edits=200, inversions=24, embeddings=4096,
            route_steps=1500)  # fmt: skip
QUICK = Size(singles=80, groups=20, samples=8, guidances=(1, 2, 4, 8), few_guidances=(2,),
             prior_guidances=(1, 2, 4), draws=50, edits=24, inversions=4, embeddings=1024,
             route_steps=50)  # fmt: skip

VARIETIES = {"diversity": "facts", "style variability": "style"}        # {name in the tables: field of Variety}


@dataclass(frozen=True)
class Variety:
    """How true and how varied the pictures of each of C captions are."""

    fidelity: np.ndarray                    # (C,): the share of its pictures that is true, 0 to 1
    facts: np.ndarray                       # (C,): the entropy of all facts that it leaves open, in nats, or NaN
    style: np.ndarray                       # (C,): the entropy of the style, if it leaves that open, or NaN

    def row(self, seed: int) -> dict[str, Estimate]:
        """The mean fidelity, and the effective numbers of scenes and of styles."""
        varieties = {name: number_of(getattr(self, kind), seed) for name, kind in VARIETIES.items()}
        return {"fidelity": average(self.fidelity, seed), **varieties}


def number_of(entropies: np.ndarray, seed: int) -> Estimate:
    """The effective number that belongs to the entropies of some captions (C,), of which some may be NaN."""
    return bootstrap(lambda rows: effective_number(entropies[rows]), len(entropies), seed)


@dataclass(frozen=True)
class Study:
    """What all parts measure. Picture i of every set has the seed `seed + i`."""

    bench: Bench                            # the models, the judge and unseen captions
    size: Size                              # how much of these is drawn

    @property
    def seed(self) -> int:
        return self.bench.seed

    @property
    def singles(self) -> list[Item]:
        """The items of which one picture each is drawn."""
        return self.bench.items[: self.size.singles]

    @property
    def groups(self) -> list[Item]:
        """The items of which `size.samples` pictures each are drawn."""
        return self.bench.items[: self.size.groups]

    @property
    def originals(self) -> list[Item]:
        """The items whose true pictures are changed."""
        return self.bench.items[: self.size.edits]

    @property
    def true_scenes(self) -> list[Scene]:
        """Their scenes."""
        return [item.scene for item in self.originals]

    @property
    def group_captions(self) -> list[str]:
        """Their captions, each as often as it is drawn: a, a, b, b, ..."""
        return [item.caption for item in self.groups for _ in range(self.size.samples)]

    def batches(self, n: int) -> list[slice]:
        """The rows 0 to n - 1 in batches that fit the device."""
        step = 500 if self.bench.cascade.device.type == "cuda" else 50
        return [slice(start, min(start + step, n)) for start in range(0, n, step)]

    def embed(self, captions: list[str], **settings) -> Tensor:
        """The prior's z_i (B, D) for each of B captions."""
        cascade, found = self.bench.cascade, []
        changed = replace(cascade.settings, **settings)
        for rows in self.batches(len(captions)):
            text = cascade.encode_text(captions[rows])
            found.append(cascade.embed(text, seed=self.seed + rows.start, settings=changed).finish())
        return torch.cat(found)

    def pictures(self, captions: list[str], z_i: Tensor | None, name: str, **settings) -> Iterator[Tensor]:
        """Batches of pictures, one for each caption, decoded from it and z_i (B, D), or from the caption alone."""
        changed = replace(self.bench.cascade.settings, **settings)
        for rows in tqdm(self.batches(len(captions)), desc=name, leave=False):
            given = None if z_i is None else z_i[rows].to(self.bench.cascade.device)
            yield decode(self.bench.cascade, given, captions[rows], self.seed + rows.start, settings=changed)

    def read(self, pictures: Tensor | Iterator[Tensor]) -> list[Scene]:
        """The scenes that the judge sees, in one tensor of pictures (B, 3, S, S) or in several."""
        pictures = pictures.split(500) if isinstance(pictures, Tensor) else pictures
        return [scene for images in pictures for scene in self.bench.read(images)]

    def features(self, batches: Iterable[Tensor]) -> Tensor:
        """What the judge's answers are read from, of batches of pictures: (N, features), on the CPU."""
        judge = self.bench.judge
        with torch.no_grad():
            return torch.cat([judge.features(images.to(judge.device)).cpu() for images in batches])

    # -- true pictures: all (B, 3, S, S) in -1 to 1, on the CPU ----------------------------------------------

    def collect(self, n: int, name: str, make: Callable[[slice], Tensor]) -> Tensor:
        """make(rows) for all rows of n, batch after batch: (n, ...)."""
        return torch.cat([make(rows).cpu() for rows in tqdm(self.batches(n), desc=name, leave=False)])

    def true_pictures(self, scenes: list[Scene]) -> Tensor:
        """The renders of scenes, of the decoder's side."""
        side = self.bench.cascade.sizes[0]
        return torch.stack([to_tensor(render(scene, side)) for scene in scenes])

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """CLIP's z_i (B, D)."""
        clip = self.bench.cascade.clip
        return self.collect(len(images), "encode", lambda rows: clip.encode_image(images[rows].to(clip.device)).float())

    def components(self) -> PCA:
        """The principal components of the z_i of training pictures, on the device of the models."""
        train = Scenes("train", self.size.embeddings, seed=self.seed + 200)
        pca, device = PCA.fit(embeddings(self.bench.cascade.clip, train, len(train))[0]), self.bench.cascade.device
        return PCA(pca.mean.to(device), pca.basis.to(device), pca.variances)

    def inverted(self, images: Tensor, steps: int, corrections: int = 3) -> Latent:
        """The latents of pictures. Steps and corrections: see `manipulations.invert`."""
        parts = [invert(self.bench.cascade, images[rows], steps=steps, corrections=corrections)
                 for rows in tqdm(self.batches(len(images)), desc=f"invert, {steps} steps", leave=False)]  # fmt: skip
        return Latent(torch.cat([part.z_i for part in parts]), torch.cat([part.x_T for part in parts]))

    def drawn(self, latent: Latent, name: str, **options) -> Tensor:
        """The pictures of latents, without captions. Options: see `manipulations.draw`."""
        def make(rows: slice) -> Tensor:
            return draw(self.bench.cascade, latent[rows], seed=self.seed + rows.start, **options)

        return self.collect(len(latent), name, make)

    def decoded(self, z_i: Tensor, name: str, captions: list[str] | None = None) -> Tensor:
        """The pictures of z_i (B, D) as the model draws them; without captions, z_i alone says what to draw."""
        return torch.cat([images.cpu() for images in self.pictures(captions or [""] * len(z_i), z_i, name)])

    def fresh(self, z_i: Tensor) -> Latent:
        """z_i (B, D) with random x_T."""
        return fresh(self.bench.cascade, z_i.to(self.bench.cascade.device), self.seed)

    # -- several pictures of each caption --------------------------------------------------------------------

    def variety(self, z_i: Tensor | None, name: str, **settings) -> Variety:
        """Draw the groups, from z_i (groups x samples, D) or from their captions alone, and measure them."""
        n = self.size.samples
        seen = self.read(self.pictures(self.group_captions, z_i, name, **settings))
        return self.measured([seen[i : i + n] for i in range(0, len(seen), n)])

    def measured(self, drawn: list[list[Scene]]) -> Variety:
        """The measures of the scenes that were drawn for each group."""
        said = [item.statement for item in self.groups]
        true = [[statement.holds_in(scene) for scene in scenes] for statement, scenes in zip(said, drawn, strict=True)]
        return Variety(np.mean(true, axis=1), entropies(said, drawn), entropies(said, drawn, open_style))


def all_true(items: list[Item], seen: list[Scene]) -> np.ndarray:
    """Whether all that its caption states is true of each picture: bool (B,)."""
    return np.array([item.statement.holds_in(scene) for item, scene in zip(items, seen, strict=True)])


def pooled(hits: np.ndarray, totals: np.ndarray, seed: int) -> Estimate:
    """The hits of all pictures as a share of their totals, (B,) each, with an interval over pictures."""
    def share(rows: np.ndarray) -> float:
        return hits[rows].sum() / totals[rows].sum() if totals[rows].sum() else np.nan

    return bootstrap(share, len(hits), seed)
