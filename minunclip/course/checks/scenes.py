"""The exercises of notebook 01: the toy world, and how to measure with it."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from ...evaluation import ABSENT, mean_loss
from ...scenes import Thing, star
from .core import exercise, normal


def _distances() -> list[tuple]:
    across = np.linspace(-1, 1, 9)
    u, v = np.meshgrid(across, across)
    return [(np.array([-0.6, -0.25, 0.0, 0.25, 0.6]), 1.0), (across, 0.4), (star(u, v), 0.25)]


@exercise(_distances, rules={
    "a share lies between 0 and 1": lambda share, distance, pixel: share.min() >= 0 and share.max() <= 1,
    "distances are negative inside the shape": lambda share, distance, pixel: share[distance < 0].min() >= 0.5,
})  # fmt: skip
def coverage(distance: np.ndarray, pixel: float) -> np.ndarray:
    """The share of each pixel that a shape covers, from the distance of its centre to the shape's edge."""
    return np.clip(0.5 - distance / pixel, 0, 1)


def _things() -> list[tuple]:
    drawn = Thing("star", "red", "big")
    stated = [drawn, Thing("star", None, None), Thing(None, None, None), Thing("moon", None, None),
              Thing(None, "red", "small"), Thing("star", "blue", "big"), Thing(None, None, "big"),
              Thing("moon", "blue", "small"), Thing("star", "red", "small"), Thing("moon", "blue", None)]  # fmt: skip
    return [(thing, drawn) for thing in stated]


@exercise(_things, rules={
    "what is not said (None) may be anything": lambda answer, stated, drawn: answer or not stated.fits(drawn),
    "one false word makes it false": lambda answer, stated, drawn: not answer or stated.fits(drawn),
})  # fmt: skip
def fits(stated: Thing, drawn: Thing) -> bool:
    """Whether the drawn thing is what the caption states; None in `stated` is not said."""
    return stated.fits(drawn)


def _several() -> list[tuple]:
    red_star, blue_star, red_moon, blue_moon, fish = (
        Thing("star", "red", "big"), Thing("star", "blue", "small"), Thing("moon", "red", "small"),
        Thing("moon", "blue", "big"), Thing("fish", "green", "small"),
    )  # fmt: skip
    star, moon, red, big, anything = (Thing("star", None, None), Thing("moon", None, None), Thing(None, "red", None),
                                      Thing(None, None, "big"), Thing(None, None, None))  # fmt: skip
    return [
        ([star, big], [blue_star, red_star]),
        ([star, red], [red_star, fish]),
        ([red, star], [red_star, red_moon]),
        ([moon, star], [red_star, blue_moon]),
        ([Thing("star", "red", None), Thing("moon", "blue", None)], [blue_star, red_moon]),
        ([red], [red_star, blue_moon]),
        ([star, big], [red_star]),
        ([anything, star, Thing("star", "red", None)], [red_star, blue_star, fish]),
        ([star, red, anything], [red_star, fish, blue_moon]),
        ([moon, fish, star], [blue_star, red_moon, fish]),
        ([red_star, star], [red_star, red_star]),
        ([moon, moon], [red_moon, blue_star]),
        ([star, fish], [red_star, red_moon]),
        ([red_star, blue_moon], [blue_moon, red_star]),
    ]


@exercise(_several, rules={
    "each stated thing needs a drawn thing of its own": lambda answer, stated, drawn: not answer,
    "a caption may name the things in any order": lambda answer, stated, drawn: answer,
})  # fmt: skip
def each_its_own(stated: list[Thing], drawn: list[Thing]) -> bool:
    """Whether every stated thing has a drawn one of its own that fits it, and no drawn one is left over."""
    return len(stated) == len(drawn) and any(
        all(said.fits(seen) for said, seen in zip(stated, order, strict=True)) for order in permutations(drawn))


@exercise(lambda: [([5],), ([3, 3],), ([1, 1, 1, 1],), ([2, 1, 1],), ([97, 1, 1, 1],), ([4, 0, 4],)], rules={
    "kinds that are equally frequent count in full: n of them give n":
        lambda n, counts: len(set(counts)) > 1 or abs(n - len(counts)) < 1e-4,
    "a kind that never came adds nothing": lambda n, counts: 0 not in counts or abs(n - 2) < 1e-4,
})  # fmt: skip
def effective_number(counts: list[int]) -> float:
    """exp of the entropy of the shares: how many equally frequent kinds would be as varied as these."""
    shares = [count / sum(counts) for count in counts if count > 0]
    return math.exp(-sum(share * math.log(share) for share in shares))


def _answers() -> list[tuple]:
    return [
        (torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]]), torch.tensor([0, 1])),
        (normal(5, 8), torch.tensor([3, 0, 7, 1, 1])),
        (normal(4, 3, seed=1), torch.tensor([0, ABSENT, 2, ABSENT])),
        (normal(2, 3, seed=2), torch.tensor([ABSENT, ABSENT])),
    ]


@exercise(_answers, rules={
    "a loss is one number": lambda loss, logits, answers: loss.dim() == 0,
})  # fmt: skip
def question_loss(logits: Tensor, answers: Tensor) -> Tensor:
    """The mean cross-entropy of one question over the pictures that have an answer; zero if none has."""
    return mean_loss(logits, answers)
