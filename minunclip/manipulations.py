"""What can be done with a picture once it is a point in CLIP's space (unCLIP sections 3, 4 and 5.1).

    picture --CLIP--> z_i, what CLIP sees      picture --DDIM backward--> x_T, all that it does not see

The two make a `Latent`. `draw` turns it back into the picture, and each manipulation is a change to the latent:

    latent = invert(cascade, picture)
    draw(cascade, latent)                                         the picture again
    draw(cascade, latent.repeat(4), eta=1.0)                      variations: what CLIP sees stays (figure 3)
    draw(cascade, interpolate(latent, other, theta))              between two pictures (figure 4)
    draw(cascade, text_diff(cascade, latent, [new], [old]))       a change put into words (figure 5)
    ... text_diff(..., direction=between_pictures)                the same, asked of the prior
    draw(cascade, probe(latent, pca, 20))                         only the first 20 components of z_i (figure 7)

Pictures are (B, 3, S, S) in -1 to 1, of the decoder's side S. Captions are the decoder's second input; by default
they are empty, so that z_i alone says what to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .diffusion import Denoiser, ddim, ddim_inverse, last
from .embeddings import PCA, lengths, rows, slerp
from .text import Text
from .unclip import Settings, UnCLIP


@dataclass(frozen=True)
class Latent:
    """The bipartite latent of B pictures: z_i (B, D), raw as CLIP makes it, and x_T (B, 3, S, S)."""

    z_i: Tensor
    x_T: Tensor

    def __len__(self) -> int:
        return len(self.z_i)

    def __getitem__(self, rows: slice | Tensor) -> Latent:
        """Some of the pictures: a slice, an index tensor or a mask."""
        return Latent(self.z_i[rows], self.x_T[rows])

    def repeat(self, n: int) -> Latent:
        """Each picture n times in a row: a, a, b, b, ..."""
        return Latent(self.z_i.repeat_interleave(n, dim=0), self.x_T.repeat_interleave(n, dim=0))


# -- from pictures to latents and back -----------------------------------------------------------------------


@torch.no_grad()
def invert(
    cascade: UnCLIP, images: Tensor, captions: list[str] | None = None, *, steps: int = 50, corrections: int = 3,
    z_i: Tensor | None = None,
) -> Latent:  # fmt: skip
    """The latent of pictures (B, 3, S, S): CLIP's z_i, and the x_T from which DDIM draws them again (section 3).

    steps: as many as `draw` will take. corrections: how often each step is refined, see `ddim_inverse`; the
    decoder runs steps x corrections times, unguided. z_i (B, D): for a CLIP that wants pictures of another kind,
    what it made of them. The pictures come back as exactly as the decoder can copy a nearly clean x_t: one that
    predicts noise or v does it by construction, one that predicts x_0 only as well as it has learned it.
    Raises ValueError for pictures of another side.
    """
    side = cascade.decoder.config.size
    if tuple(images.shape[1:]) != (3, side, side):
        raise ValueError(f"invert: the pictures are {tuple(images.shape)}; the decoder's are (B, 3, {side}, {side})")
    images = images.to(cascade.device)
    if z_i is None:
        z_i = cascade.clip.encode_image(images.to(cascade.clip.log_scale.dtype)).float()
    denoiser = conditioned(cascade, z_i, captions)
    return Latent(z_i, last(ddim_inverse(cascade.decoder.diffusion, denoiser, images, steps, corrections=corrections)))


@torch.no_grad()
def draw(
    cascade: UnCLIP, latent: Latent, captions: list[str] | None = None, *, eta: float = 0.0, seed: int = 0,
    steps: int = 50, guidance: float = 1.0,
) -> Tensor:  # fmt: skip
    """The pictures (B, 3, S, S) of latents, by DDIM.

    With eta = 0 and what `invert` was given, the inverted pictures. With eta > 0, up to 1, variations of them:
    each step adds fresh noise, picture i's from the seed `seed + i`, and the more the less x_T counts.
    """
    denoiser = conditioned(cascade, latent.z_i, captions, guidance)
    noise = noise_of(cascade, len(latent), seed)
    next(noise)  # a seed's first tensor is an x_T, perhaps the very x_T of this latent
    return last(ddim(cascade.decoder.diffusion, denoiser, noise, steps, x_T=latent.x_T, eta=eta)).clamp(-1, 1)


def fresh(cascade: UnCLIP, z_i: Tensor, seed: int = 0, same: bool = False) -> Latent:
    """Latents of image embeddings (B, D) with a random x_T: picture i's from `seed + i`, or all `same` as the first.

    The x_T are those that `cascade.sample` starts its decoder from.
    """
    x_T = next(noise_of(cascade, len(z_i), seed))
    return Latent(z_i, x_T[:1].repeat(len(z_i), 1, 1, 1) if same else x_T)


def conditioned(cascade: UnCLIP, z_i: Tensor, captions: list[str] | None = None, guidance: float = 1.0) -> Denoiser:
    """The decoder as a denoiser (x_t, t) -> prediction, given z_i (B, D) and captions, None for empty ones."""
    return cascade.decoder_denoiser(z_i, said_of(cascade, captions, len(z_i)), guidance)


def said_of(cascade: UnCLIP, captions: list[str] | None, n: int) -> Text:
    """The encoded captions of n pictures, None for empty ones. Raises ValueError for another number of them."""
    text = cascade.clip.encode_text(captions or [""] * n)
    if len(text) != n:
        raise ValueError(f"there are {len(text)} captions for {n} pictures: pass one for each, or none")
    return text


def noise_of(cascade: UnCLIP, n: int, seed: int) -> Iterator[Tensor]:
    """The noise of the decoder for n pictures, as `cascade.sample` draws it."""
    side = cascade.decoder.config.size
    return cascade.noise((n, 3, side, side), seed, "decoder")


# -- changes to a latent -------------------------------------------------------------------------------------


def interpolate(a: Latent, b: Latent, theta: Tensor | float, x_T: Tensor | None = None) -> Latent:
    """Between pictures a and b, at theta (B,) or a number from 0 to 1: z_i and x_T both slerped (section 3.2).

    The ends are then a and b themselves. A given x_T (B or 1, 3, S, S) is used throughout instead: what CLIP does
    not see stays put, and the ends are mere variations of a and b (figure 4). Two latents of one picture each and
    torch.linspace(0, 1, 9) make a strip of nine.
    """
    z_i = slerp(a.z_i, b.z_i, theta)
    return Latent(z_i, slerp(a.x_T, b.x_T, theta) if x_T is None else rows(x_T, len(z_i)))


@torch.no_grad()
def between_texts(cascade: UnCLIP, captions: list[str], base: list[str] | None = None) -> Tensor:
    """z_d = norm(z_t - z_t0), (B, D), as the paper has it (section 3.3): how captions differ from `base`, None for 0.

    CLIP compares directions only, so z_t and z_t0 are normalised first.
    """
    z_t, z_t0 = (None if said is None else cascade.clip.encode_text(said).embed.float() for said in (captions, base))
    return difference(z_t, z_t0)


@torch.no_grad()
def between_pictures(cascade: UnCLIP, captions: list[str], base: list[str] | None = None, seed: int = 0) -> Tensor:
    """The same of z_i: of what the prior makes of the captions and of `base`, from the same noise; (B, D).

    Captions differ in directions in which pictures never do, and a decoder has not seen any of these. The prior
    answers with pictures, so the difference of two answers is one that pictures can have.
    """
    n = max(len(captions), len(base or []))

    def imagine(said: list[str]) -> Tensor:
        """One caption is drawn n times, with the noise of all of them: or the answers would differ by their noise."""
        return imagined(cascade, said * n if len(said) == 1 else said, seed)

    return difference(imagine(captions), None if base is None else imagine(base))


def difference(a: Tensor, b: Tensor | None) -> Tensor:
    """The direction of norm(a) - norm(b), of length 1: (B, D), (B or 1, D) or None for 0 -> (B, D)."""
    a = F.normalize(a, dim=1)
    return a if b is None else F.normalize(a - F.normalize(b, dim=1), dim=1)


@torch.no_grad()
def imagined(cascade: UnCLIP, captions: list[str], seed: int = 0) -> Tensor:
    """One z_i of the prior's for each caption, which may be empty: (B, D). Picture i has the seed `seed + i`."""
    one = replace(cascade.settings, candidates=1)
    return cascade.embed(cascade.clip.encode_text(captions), seed=seed, settings=one).finish()


@torch.no_grad()
def text_diff(
    cascade: UnCLIP, latent: Latent, captions: list[str], base: list[str] | None = None, *, theta: Tensor | float = 0.3,
    direction: Callable = between_texts,
) -> Latent:  # fmt: skip
    """Turn z_i in the direction in which `captions` differ from `base`, by a share theta of the angle (section 3.3).

    The paper takes theta from .25 to .5, and z_d from `between_texts`; `between_pictures` asks the prior. `base`
    tells what there is: the pictures' captions, empty or dummy ones, or None for a zero vector. One picture goes with
    many captions or thetas, and the other way round.
    """
    return turn(latent, direction(cascade, captions, base), theta)


def turn(latent: Latent, z_d: Tensor, theta: Tensor | float) -> Latent:
    """z_theta = slerp(z_i, z_d, theta), z_d (B, D) of length 1. It keeps z_i's length, which the decoder knows."""
    turned = F.normalize(slerp(latent.z_i, z_d, theta), dim=1)
    return Latent(turned * lengths(latent.z_i)[0], rows(latent.x_T, len(turned)))


def probe(latent: Latent, pca: PCA, components: int) -> Latent:
    """Only the first components of z_i, the others at their mean (section 4, figure 7)."""
    return Latent(pca.back(pca.project(latent.z_i)[:, :components]), latent.x_T)


# -- the decoder on its own ----------------------------------------------------------------------------------


@torch.no_grad()
def decode(
    cascade: UnCLIP, z_i: Tensor | None, captions: list[str] | None, seed: int = 0, *, settings: Settings | None = None
) -> Tensor:
    """The pictures that the decoder makes of z_i (B, D), None for the embedding of no image, and of captions.

    As `cascade.sample` runs it: with the settings of the model unless others are given, and the same x_T for a seed.
    """
    text = said_of(cascade, captions, len(captions if z_i is None else z_i))
    return cascade.decode(z_i, text, seed=seed, settings=settings).finish()


def three_ways(
    cascade: UnCLIP, captions: list[str], seed: int = 0, settings: Settings | None = None
) -> dict[str, Tensor]:
    """Is the prior needed? Captions drawn without z_i, with z_t in its place, and with the prior's (section 5.1).

    All start from the same noise; pictures (B, 3, S, S) under "caption only", "z_t as z_i" and "prior".
    """
    z_t = cascade.encode_text(captions).embed
    return {
        "caption only": decode(cascade, None, captions, seed, settings=settings),
        "z_t as z_i": decode(cascade, as_image_embedding(cascade, z_t), captions, seed, settings=settings),
        "prior": cascade.sample(captions, seed, size=cascade.sizes[0], settings=settings).image,
    }


def as_image_embedding(cascade: UnCLIP, z_t: Tensor, gap: Tensor | None = None) -> Tensor:
    """z_t (B, D) with the usual length of a z_i: CLIP looks at directions only, but the decoder sees raw z_i.

    gap (D,): what is added to the directions first, see `gap_between`.
    """
    usual = (cascade.prior.mean.float() ** 2 + cascade.prior.std.float() ** 2).sum().sqrt()
    direction = F.normalize(z_t.float(), dim=1)
    direction = direction if gap is None else F.normalize(direction + gap.to(direction), dim=1)
    # The prior's spreads contain the noise of CLIP's training, which z_i itself has not.
    return direction * usual / (1 + cascade.clip.config.noise**2 * z_t.shape[1]) ** 0.5


def gap_between(z_i: Tensor, z_t: Tensor) -> Tensor:
    """The mean of the directions of pictures less that of captions, (N, D) each: the modality gap (D,).

    Pictures and their captions lie in two different regions (Liang et al. 2022, "Mind the Gap").
    """
    return F.normalize(z_i.float(), dim=1).mean(dim=0) - F.normalize(z_t.float(), dim=1).mean(dim=0)
