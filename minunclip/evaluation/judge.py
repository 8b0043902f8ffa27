"""The judge: a small network that reads the facts off a picture of a scene, and where its things stand.

It is trained on renders alone, never on samples, so that it can be trusted to grade them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common import Stage
from ..scenes import LAYOUT_NAMES, LAYOUTS, SCENE_FACTS, THING_FACTS, Scene, Thing, nuisance

SLOTS = 3
# What is asked of the whole picture. No caption states the layout by itself, but the judge needs it to know how many
# things there are and how they stand. The shipped weights depend on the order.
WHOLE = {"layout": LAYOUT_NAMES, **SCENE_FACTS}
ABSENT = -100  # the label of a slot with nothing in it: cross_entropy ignores it


def heads() -> dict[str, tuple[str, ...]]:
    """Every question that the judge answers, and its possible answers: "layout", "kind 0", "kind 1", ..."""
    things = {f"{fact} {n}": values for n in range(SLOTS) for fact, values in THING_FACTS.items()}
    return {**WHOLE, **things}


def labels(scenes: list[Scene]) -> dict[str, Tensor]:
    """The right answers: a (B,) tensor of indices per question."""
    return {name: torch.tensor([_answer(scene, name, values) for scene in scenes]) for name, values in heads().items()}


def places(scenes: list[Scene]) -> Tensor:
    """Where the things of each scene stand, x and y in 0 to 1: (B, SLOTS, 2), NaN in a slot with nothing in it."""
    found = torch.full((len(scenes), SLOTS, 2), torch.nan)
    for row, scene in zip(found, scenes, strict=True):
        row[: len(scene.things)] = torch.tensor([(pose.x, pose.y) for pose in nuisance(scene).poses])
    return found


def _answer(scene: Scene, name: str, values: tuple[str, ...]) -> int:
    """The number of the right answer to one question, or ABSENT."""
    fact, _, slot = name.partition(" ")
    if not slot:
        return values.index(getattr(scene, fact))
    return values.index(getattr(scene.things[int(slot)], fact)) if int(slot) < len(scene.things) else ABSENT


@dataclass(frozen=True)
class JudgeConfig:
    """The size of the judge. The defaults are those of the shipped one."""

    size: int = 32                          # the side of the pictures that it looks at, a multiple of 8
    width: int = 32                         # of the first convolutions; each halving of the side doubles it
    features: int = 256                     # numbers from which all answers are read


class Judge(Stage):
    """Convolutions down to 4 x 4, then one linear answer per question.

    Things are told apart by where they stand: slot 0 is the first in reading order.
    """

    config_class, file_name = JudgeConfig, "judge.safetensors"

    def __init__(self, config: JudgeConfig = JudgeConfig()):  # noqa: B008 (frozen)
        super().__init__()
        self.config, w = config, config.width
        self.body = nn.Sequential(
            conv(3, w), conv(w, 2 * w, stride=2), conv(2 * w, 2 * w), conv(2 * w, 4 * w, stride=2),
            conv(4 * w, 4 * w), conv(4 * w, 8 * w, stride=2), conv(8 * w, 8 * w),
            nn.Flatten(), nn.Linear(8 * w * (config.size // 8) ** 2, config.features), nn.SiLU(),
        )  # fmt: skip
        self.questions = heads()
        self.answers = nn.Linear(config.features, sum(len(values) for values in self.questions.values()))
        self.where = nn.Linear(config.features, 2 * SLOTS)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Pictures (B, 3, size, size) in -1 to 1 -> the logits of every question. Larger pictures are shrunk."""
        return self.answer(self.features(images))

    def answer(self, features: Tensor) -> dict[str, Tensor]:
        """Features (B, features) -> the logits of every question."""
        sizes = [len(values) for values in self.questions.values()]
        return dict(zip(self.questions, self.answers(features).split(sizes, dim=1), strict=True))

    def features(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, s, s) -> (B, features), from which all answers are read; also for distances of pictures."""
        if images.shape[-1] != self.config.size:
            images = F.interpolate(images, self.config.size, mode="area")
        return self.body(images)

    def places(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, s, s) -> x and y of the thing in each slot, (B, SLOTS, 2); of an empty slot, anything."""
        return self.where(self.features(images)).unflatten(1, (SLOTS, 2))

    def loss(self, images: Tensor, truth: dict[str, Tensor], where: Tensor) -> Tensor:
        """The mean cross-entropy of all questions, and ten times the mean squared error of the places (B, SLOTS, 2)."""
        features = self.features(images)
        logits, there = self.answer(features), where.isfinite()
        error = (self.where(features).unflatten(1, (SLOTS, 2)).float() - where.nan_to_num()).square()[there].mean()
        return 10 * error + torch.stack([mean_loss(logits[name].float(), truth[name]) for name in logits]).mean()

    @torch.no_grad()
    def read(self, images: Tensor) -> list[Scene]:
        """The most likely scene of each picture (B, 3, s, s)."""
        found = {name: logits.argmax(dim=1).tolist() for name, logits in self(images).items()}
        return [self._scene({name: found[name][i] for name in found}) for i in range(len(images))]

    def _scene(self, answer: dict[str, int]) -> Scene:
        value = {name: self.questions[name][index] for name, index in answer.items()}
        count = len(LAYOUTS[value["layout"]])
        things = tuple(Thing(*(value[f"{fact} {n}"] for fact in THING_FACTS)) for n in range(count))
        return Scene(things, **{fact: value[fact] for fact in WHOLE})


def mean_loss(logits: Tensor, answers: Tensor) -> Tensor:
    """The mean cross-entropy over the pictures that have an answer; zero if none has."""
    return F.cross_entropy(logits, answers, reduction="sum") / (answers != ABSENT).sum().clamp(min=1)


def conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1), nn.GroupNorm(8, channels_out), nn.SiLU()
    )
