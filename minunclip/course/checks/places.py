"""Where the library calls what an exercise is about: so a right answer can stand there, see `mine`.

A place is an attribute of the library that is looked up at every call, a method or a function of a module. Nothing in
the library knows of places: as long as no answer is put in, it is what it was, and as fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ... import ar_prior, clip, manipulations, unclip
from ...ar_prior import ARPrior
from ...diffusion import SAMPLERS, Diffusion, cosine_betas, guidance
from ...diffusion.samplers import Step, moves, start
from ...embeddings import PCA, Whitening, whitening
from ...prior import DiffusionPrior

Cases = Callable[[], list[tuple]]


@dataclass(frozen=True)
class Place:
    """An attribute of the library that an exercise's function can stand in for."""

    owner: object                           # a class or a module of the library, or one of its dictionaries
    name: str                               # of the attribute, or the key
    fit: Callable[[Callable, Callable], Callable]   # (the learner's function, the library's) -> what is put there
    does: str                               # what it is for, in words: "it noises every example of a training"
    sizes: Cases = list                     # the exercise's arguments in the size and kind in which they will come
    trains: bool = False                    # gradients go through it
    seconds: float = 0.05                   # a call may take
    trial: Callable[[], list[Tensor]] | None = None    # what some network of the library answers, by way of this place

    @property
    def now(self):
        """What stands there."""
        return self.owner[self.name] if isinstance(self.owner, dict) else self.owner.__dict__[self.name]

    def put(self, value) -> None:
        """Let `value` stand there."""
        if isinstance(self.owner, dict):
            self.owner[self.name] = value
        else:
            setattr(self.owner, self.name, value)


def direct(mine: Callable, library: Callable) -> Callable:
    """Where the library's function has the parameters of the exercise."""
    return mine


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


TABLE = torch.cumprod(1 - cosine_betas(1000), dim=0)
PICTURES = (16, 3, 32, 32)                  # a batch of the decoder's


def levels(*t: int, shape: tuple[int, ...]) -> Tensor:
    """alpha_bar at some timesteps, 1 where t is -1, for a batch of this shape."""
    values = torch.cat([TABLE, torch.ones(1)])[list(t) * (shape[0] // len(t))]
    return values.view(-1, *[1] * (len(shape) - 1))


def two(shape: tuple[int, ...] = PICTURES) -> tuple[Tensor, Tensor]:
    return normal(*shape), normal(*shape, seed=1)


# -- CLIP ----------------------------------------------------------------------------------------------------


def contrastive_loss(mine: Callable, library: Callable) -> Callable:
    def loss(z_i: Tensor, z_t: Tensor, log_scale: Tensor) -> Tensor:
        return mine(z_i.float(), z_t.float(), log_scale.clamp(max=4.6052).exp())

    return loss


# -- diffusion -----------------------------------------------------------------------------------------------


def q_sample(mine: Callable, library: Callable) -> Callable:
    def jump(self: Diffusion, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        return mine(x_0, t, eps, self.alphas_bar.to(x_0.device))

    return jump


def solve(mine: Callable, library: Callable) -> Callable:
    def both(self: Diffusion, prediction: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.target != "eps":
            return library(self, prediction, x_t, t)
        return mine(x_t, prediction, self.alpha_bar(t, x_t)), prediction

    return both


def ddim(mine: Callable, library: Callable) -> Callable:
    @torch.no_grad()
    def sampler(diffusion: Diffusion, denoiser, noise, steps: int, *, x_T=None, eta: float = 0.0):
        if eta:
            yield from library(diffusion, denoiser, noise, steps, x_T=x_T, eta=eta)
            return
        x_t, noise = start(noise, x_T)
        for i, t, t_prev in moves(x_t, steps, diffusion.config.steps):
            x_0, eps = diffusion.estimate(denoiser(x_t, t), x_t, t)
            x_t = mine(x_t, eps, diffusion.alpha_bar(t, x_t), diffusion.alpha_bar(t_prev, x_t))
            yield Step(x_t, x_0, i)

    return sampler


def posterior(mine: Callable, library: Callable) -> Callable:
    def moments(self: Diffusion, x_0: Tensor, x_t: Tensor, t: Tensor, t_prev: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        variance, beta = self.step_variances(t, t_prev, x_t)
        return mine(x_0, x_t, self.alpha_bar(t, x_t), self.alpha_bar(t_prev, x_t)), variance, beta

    return moments


def log_variance(mine: Callable, library: Callable) -> Callable:
    def log(self: Diffusion, logits: Tensor, t: Tensor, t_prev: Tensor) -> Tensor:
        ends = [library(self, sign * torch.ones_like(logits), t, t_prev) for sign in (-1, 1)]
        return mine(logits, *(end.exp() for end in ends)).log()

    return log


def a_step() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return *two(), levels(900, 300, 20, 1, shape=PICTURES), levels(800, 299, 0, -1, shape=PICTURES)


def variances() -> tuple[Tensor, Tensor, Tensor]:
    beta = 0.02 * torch.ones(16, 1, 1, 1).cumsum(0)
    return normal(*PICTURES), 0.3 * beta, beta


# -- priors --------------------------------------------------------------------------------------------------


def prior_loss(mine: Callable, library: Callable) -> Callable:
    def loss(self: DiffusionPrior, z_i: Tensor, text, t: Tensor, eps: Tensor) -> Tensor:
        table = self.diffusion.alphas_bar.to(z_i.device)
        return mine(lambda x_t, t: self(x_t, t, text).float(), self.whiten(z_i).float(), t, eps.float(), table)

    return loss


def components_for(mine: Callable, library: Callable) -> Callable:
    return lambda self, share: mine(self.variances.cpu(), share)


def quantise(mine: Callable, library: Callable) -> Callable:
    return lambda self, x: mine(x, self.low.float(), self.high.float(), self.config.buckets)


def pick(mine: Callable, library: Callable) -> Callable:
    return lambda logits, u, temperature: mine(logits, u[:, 0], temperature)[:, None]


def fold_into(mine: Callable, library: Callable) -> Callable:
    @torch.no_grad()
    def fold(self: Whitening, linear: nn.Linear) -> None:
        weight, bias = mine(linear.weight.detach(), linear.bias.detach(), self.mean.to(linear.weight.device),
                            self.std.to(linear.weight.device))  # fmt: skip
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)

    return fold


def slerp(mine: Callable, library: Callable) -> Callable:
    def turn(a: Tensor, b: Tensor, theta: Tensor | float) -> Tensor:
        thetas = torch.as_tensor(theta, dtype=torch.float32).view(-1).tolist()
        n = max(len(a), len(b), len(thetas))
        rows = [x.flatten(1).expand(n, -1) for x in (a, b)]
        if len(thetas) == 1:
            return mine(*rows, thetas[0]).view(n, *a.shape[1:])
        turned = [mine(u[None], v[None], share) for u, v, share in zip(*rows, thetas, strict=True)]
        return torch.cat(turned).view(n, *a.shape[1:])

    return turn


def direction(mine: Callable, library: Callable) -> Callable:
    return lambda a, b: library(a, b) if b is None else mine(a, b.expand_as(a))


def whole(x_t: Tensor, t: Tensor) -> Tensor:
    return 0.7 * x_t + t[:, None] / 1000


EMBEDDINGS, BUCKETS = (256, 128), 64
FUNCTION_PLACES = {
    "clip_loss": Place(clip, "contrastive_loss", contrastive_loss, "it is the loss of every CLIP that is trained",
                       lambda: [(*two(EMBEDDINGS), torch.tensor(10.0))], trains=True),
    "q_sample": Place(Diffusion, "q_sample", q_sample, "it noises every example of a training", lambda: [
        (*two()[:1], torch.arange(16) * 60, normal(*PICTURES, seed=1), TABLE),
        (normal(*EMBEDDINGS), torch.arange(256) * 3, normal(*EMBEDDINGS, seed=1), TABLE)]),
    "x0_from_eps": Place(Diffusion, "solve", solve, "samplers find x_0 with it wherever a network predicts eps",
                         lambda: [(*two(), levels(900, 300, 20, 1, shape=PICTURES))]),
    "ddim_step": Place(SAMPLERS, "ddim", ddim, "the cascade draws with it, step by step", lambda: [a_step()]),
    "posterior_mean": Place(Diffusion, "posterior", posterior, "the sampler `ddpm` walks with it", lambda: [a_step()]),
    "guide": Place(guidance, "guide", direct, "every guided picture and embedding goes through it",
                   lambda: [(*two(), 4.0)]),
    "learned_variance": Place(Diffusion, "log_variance", log_variance, "a decoder's noise is as large as it says",
                              lambda: [variances()], trains=True),
    "prior_loss": Place(DiffusionPrior, "loss", prior_loss, "it is the loss of every diffusion prior that is trained",
                        lambda: [(whole, z := normal(*EMBEDDINGS), torch.arange(256) * 3, z.flip(0), TABLE)],
                        trains=True),
    "centre_and_spread": Place(whitening, "centre_and_spread", direct, "every whitening is measured with it",
                               lambda: [(normal(4096, 128), 0.02)], seconds=1.0),
    "keep_best": Place(unclip, "best_of", direct, "the cascade keeps the better of its candidates with it",
                       lambda: [(normal(32, 128), normal(16, 128, seed=1), 2)], seconds=1.0),
    "components_needed": Place(PCA, "components_for", components_for, "the library counts components with it",
                               lambda: [(torch.linspace(2, 0, 128) ** 4, 0.99)], seconds=1.0),
    "to_buckets": Place(ARPrior, "quantise", quantise, "the autoregressive prior reads embeddings through it",
                        lambda: [(normal(*EMBEDDINGS), -2 * torch.ones(128), 2 * torch.ones(128), BUCKETS)]),
    "next_token_loss": Place(ar_prior, "next_token_loss", direct, "it is the loss of every autoregressive prior",
                             lambda: [(normal(64, 82, BUCKETS), torch.arange(64 * 83).view(64, 83) % BUCKETS)],
                             trains=True),
    "pick_bucket": Place(ar_prior, "pick", pick, "the autoregressive prior picks every token with it",
                         lambda: [(normal(64, BUCKETS), torch.arange(64) / 64, t) for t in (0, 0.7, 1.0)]),
    "fold_whitening": Place(Whitening, "fold_into", fold_into, "trainings end with it: the whitening goes into a layer",
                            lambda: [(normal(256, 128), normal(256), normal(128, seed=1), 1 + normal(128).abs())],
                            seconds=1.0),
    "slerp_rows": Place(manipulations, "slerp", slerp, "interpolations and text diffs turn z_i and x_T with it",
                        lambda: [(*two(EMBEDDINGS), 0.3), (normal(4, 3072), normal(4, 3072, seed=1), 0.5)],
                        seconds=1.0),
    "text_direction": Place(manipulations, "difference", direction, "text diffs turn towards what it says",
                            lambda: [two(EMBEDDINGS)]),
}  # fmt: skip
