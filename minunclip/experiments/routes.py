"""The routes from a caption to z_i, all into one decoder (unCLIP section 5.1): is a diffusion prior needed?

Two of them have to be trained first. A regression guesses the mean z_i of a caption, and is told by a contrastive loss
to stay near z_t, as ECLIPSE's is (Patel et al. 2023). A decoder that learns from noisy z_i need not tell z_i from z_t,
as in CapDec and CLOSE (Nukrai et al. 2022, Gu et al. 2022): it is the shipped one, trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip import contrastive_loss
from ..common import DATA, read_weights
from ..decoder import Decoder
from ..evaluation import Share, frechet_distance, renders
from ..manipulations import as_image_embedding, gap_between
from ..prior import DiffusionPrior
from ..scenes import Scenes
from ..training import Embedded, Recipe, TrainConfig, Trainer, batches, drop, embeddings
from ..training.recipes import DecoderRecipe, PriorRecipe
from ..unclip import UnCLIP
from .runner import Tables
from .study import Study, all_true
from .two_priors import clocked, with_ar_prior

FOLDER = DATA / "runs" / "routes"


@dataclass(frozen=True)
class Route:
    """How a caption becomes z_i, and whose decoder draws it."""

    name: str
    study: Study                            # with the decoder that the route needs
    embed: Callable[[list[str]], Tensor | None]


def routes(study: Study) -> Tables:
    """Fidelity, variety, distance and time of every route; the decoder's guidance is the same."""
    items = study.singles
    captions = [item.caption for item in items]
    true = study.features([renders(items[rows], 32) for rows in study.batches(len(items))])
    rows = []
    for route in all_routes(study):
        _, seconds = clocked(partial(as_tensor, route, captions[:1]))
        pictures = list(route.study.pictures(captions, route.embed(captions), route.name))
        hits = all_true(items, study.read(pictures))
        variety = route.study.variety(route.embed(study.group_captions), route.name).row(study.seed)
        distance = frechet_distance(study.features(pictures), true)
        rows.append({"route": route.name, "fidelity, one picture a caption": Share(int(hits.sum()), len(hits)),
                     **variety, "Frechet distance": distance, "seconds for one z_i": seconds})  # fmt: skip
    return {"the routes from caption to z_i": rows}


def as_tensor(route: Route, captions: list[str]) -> Tensor:
    z_i = route.embed(captions)
    return torch.zeros(1) if z_i is None else z_i


def all_routes(study: Study) -> Iterator[Route]:
    """From no z_i at all to the diffusion prior."""
    cascade = study.bench.cascade
    train = Scenes("train", study.size.embeddings, seed=study.seed + 200)
    gap = gap_between(*embeddings(cascade.clip, train, len(train)))

    def z_t(move: Tensor | None, captions: list[str]) -> Tensor:
        found = [as_image_embedding(cascade, cascade.encode_text(captions[rows]).embed, move)
                 for rows in study.batches(len(captions))]  # fmt: skip
        return torch.cat(found)

    yield Route("the caption alone", study, nothing)
    yield Route("z_t", study, partial(z_t, None))
    yield Route("z_t, moved over the gap", study, partial(z_t, gap))
    noisy = with_decoder(study, noisy_decoder(study))
    yield Route("z_t, into a decoder trained with noise", noisy, partial(z_t, None))
    yield Route("regression", study, partial(first_guess, study, regression(study)))
    if other := with_ar_prior(study):
        yield Route("autoregressive prior", study, partial(other.embed, candidates=1, prior_guidance=1.0))
    for n in (1, 2):
        embed = partial(study.embed, candidates=n, prior_guidance=1.0)
        yield Route(f"diffusion prior, best of {n}", study, embed)


def nothing(captions: list[str]) -> None:
    """No z_i for any caption."""


@torch.no_grad()
def first_guess(study: Study, prior: DiffusionPrior, captions: list[str]) -> Tensor:
    """What a prior makes of noise alone: its mean z_i of each caption, (B, D)."""
    found = []
    for rows in study.batches(len(captions)):
        text = study.bench.cascade.encode_text(captions[rows])
        noise = torch.zeros(len(text), prior.noise_width, device=prior.device)
        last = torch.full((len(text),), prior.diffusion.config.steps - 1, device=prior.device)
        found.append(prior.unwhiten(prior(noise, last, text)))
    return torch.cat(found)


def with_decoder(study: Study, decoder: Decoder) -> Study:
    """The same study with another decoder."""
    cascade = study.bench.cascade
    other = UnCLIP(cascade.clip, cascade.prior, decoder, cascade.upsamplers)
    other.settings = cascade.settings
    return replace(study, bench=replace(study.bench, cascade=other))


# -- the two that are trained --------------------------------------------------------------------------------


class Regression(PriorRecipe):
    """The diffusion prior's network, which sees noise only and so answers with the mean; near z_t, by contrast."""

    profiles = {"cpu": TrainConfig(steps=1500, batch=256, lr=3e-3, muon=0.02, warmup=100, ema=0.99)}
    nearness = 0.1                          # the weight of the contrastive loss

    def loss(self, model: DiffusionPrior, batch: Embedded, rng: torch.Generator) -> Tensor:
        text, z_t = self.read(batch.ids)
        last = torch.full((len(batch),), model.diffusion.config.steps - 1, device=model.device)
        guess = model(torch.zeros_like(batch.z_i), last, text)
        error = F.mse_loss(guess, model.whiten(batch.z_i))
        return error + self.nearness * contrastive_loss(model.unwhiten(guess), z_t, self.clip.log_scale.detach())


class NoisyDecoder(DecoderRecipe):
    """The shipped decoder goes on, from z_i with as much noise as z_t is far away."""

    profiles = {"cpu": TrainConfig(steps=1500, batch=64, lr=3e-4, muon=0.005, warmup=100, ema=0.99)}

    def __init__(self, study: Study):
        super().__init__(study.bench.cascade.clip)
        self.statistics = study.size.embeddings
        self.start, (z_i, text) = study.bench.cascade.decoder, self.measured
        apart = F.normalize(z_i, dim=1) - F.normalize(text.embed, dim=1)
        self.level = apart.square().mean().sqrt()                       # of a number of the normalised z_i

    def build(self) -> Decoder:
        decoder = Decoder(self.start.config)
        decoder.load_state_dict(self.start.state_dict())
        return decoder

    def loss(self, model: Decoder, batch: Embedded, rng: torch.Generator) -> Tensor:
        noise = torch.randn(batch.z_i.shape, generator=rng).to(batch.z_i.device)
        z_i = batch.z_i + self.level * batch.z_i.norm(dim=1, keepdim=True) * noise
        text = self.clip.encode_ids(drop(batch.ids, self.empty, 0.5, rng))
        return self.diffusion(model, replace(batch, z_i=z_i), text, rng)

    def finish(self, model: Decoder) -> None:
        """It has read embeddings as they are from the start."""


def regression(study: Study) -> DiffusionPrior:
    recipe = Regression(study.bench.cascade.clip)
    recipe.statistics = study.size.embeddings
    return trained("regression", DiffusionPrior, recipe, study)


def noisy_decoder(study: Study) -> Decoder:
    return trained("noisy-decoder", Decoder, NoisyDecoder(study), study)


def trained(name: str, kind: type, recipe: Recipe, study: Study):
    """The model of this recipe, trained if it is not there yet for these weights."""
    path, config = FOLDER / f"{name}.safetensors", replace(recipe.profiles["cpu"], steps=study.size.route_steps)
    cascade = study.bench.cascade
    made_for = f"{cascade.clip.fingerprint}, {cascade.decoder.fingerprint}, {config}"
    if not path.is_file() or read_weights(path)[0].get("made_for") != made_for:
        torch.manual_seed(study.seed)
        trainer = Trainer(recipe.build().to(study.bench.cascade.device), config)
        for _ in trainer.run(recipe.loss, batches(recipe, config, workers=1)):
            pass
        recipe.finish(trainer.ema)
        trainer.ema.save(path, made_for=made_for)
    return kind.from_pretrained(path, study.bench.cascade.device)
