"""How true the pictures are to their captions, as the judge reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from ..clip import CLIP
from ..scenes import FACTS, SCENE_FACTS, THING_FACTS, Item, Scene, Statement, full_statement, phrase, with_fact
from .statistics import Share


def true_facts(statement: Statement, scene: Scene) -> dict[str, list[bool]]:
    """Which of the stated facts hold: {fact: [bool, ...]} for each of FACTS and for "count", the number of things.

    Things are matched so that most of their facts are true. In a scene with another number of things nothing that is
    said of them is true.
    """
    same_count = len(statement.things) == len(scene.things)
    if same_count:
        tables = [matched(statement, scene, order) for order in permutations(range(len(scene.things)))]
        of_things = max(tables, key=lambda table: sum(sum(values) for values in table.values()))
    else:
        of_things = {fact: [False] * sum(thing.facts[fact] is not None for thing in statement.things)
                     for fact in THING_FACTS}  # fmt: skip
        of_things["relation"] = [False] * len(statement.relations)
    return {**of_things, **_scene_facts(statement, scene), "count": [same_count]}


def _scene_facts(statement: Statement, scene: Scene) -> dict[str, list[bool]]:
    stated = {fact: getattr(statement, fact) for fact in SCENE_FACTS}
    return {fact: [getattr(scene, fact) == value] if value else [] for fact, value in stated.items()}


def matched(statement: Statement, scene: Scene, order: tuple[int, ...]) -> dict[str, list[bool]]:
    """Which facts stated of things hold, per fact, if thing i of the statement is thing order[i] of the scene."""
    table: dict[str, list[bool]] = {fact: [] for fact in THING_FACTS}
    for thing, n in zip(statement.things, order, strict=True):
        for fact, value in thing.facts.items():
            if value is not None:
                table[fact].append(scene.things[n].facts[fact] == value)
    table["relation"] = [scene.relation(order[i], order[j]) == word for i, word, j in statement.relations]
    return table


def fidelity(statements: list[Statement], scenes: list[Scene]) -> dict[str, Share]:
    """The share of pictures in which every stated fact is true ("caption"), and the share of true ones of each fact.

    Facts that no statement states are left out.
    """
    true, total = Counter(), Counter()
    for statement, scene in zip(statements, scenes, strict=True):
        true["caption"] += statement.holds_in(scene)
        total["caption"] += 1
        for fact, values in true_facts(statement, scene).items():
            true[fact] += sum(values)
            total[fact] += len(values)
    return {fact: Share(true[fact], total[fact]) for fact in total if total[fact]}


def same_facts(originals: list[Scene], copies: list[Scene]) -> dict[str, Share]:
    """How many copies show the same facts as their originals: each fact alone, and all together ("scene")."""
    statements = [everything(scene) for scene in originals]
    found = fidelity(statements, copies)
    return {"scene": found.pop("caption"), **found}


def everything(scene: Scene) -> Statement:
    """All facts of a scene as a statement, its things in reading order."""
    pairs = [(i, j) for i in range(len(scene.things)) for j in range(i + 1, len(scene.things))]
    relations = tuple((i, scene.relation(i, j), j) for i, j in pairs)
    return Statement(scene.things, relations, scene.background, scene.style)


def judge_accuracy(truth: list[Scene], read: list[Scene]) -> dict[str, Share]:
    """The judge against the truth: layout, background and style of each scene, and each thing that both scenes have.

    Things are compared by their place in reading order, so a wrong layout may also cost facts of things.
    """
    true, total = Counter(), Counter()
    for scene, seen in zip(truth, read, strict=True):
        for fact in ("layout", *SCENE_FACTS):
            true[fact] += getattr(scene, fact) == getattr(seen, fact)
            total[fact] += 1
        for thing, other in zip(scene.things, seen.things, strict=False):
            for fact, value in thing.facts.items():
                true[fact] += value == other.facts[fact]
                total[fact] += 1
    return {fact: Share(true[fact], total[fact]) for fact in total}


@torch.no_grad()
def zero_shot(clip: CLIP, items: list[Item]) -> dict[str, Share]:
    """CLIP's choice of each fact's true value among all its values, everything else in the caption being true.

    Per fact; with several things, the fact of the one that is named first.
    """
    z_i = clip.encode_image(torch.stack([item.image(clip.config.image_size) for item in items]).to(clip.device))
    shares = {}
    for fact in FACTS:
        rows = [i for i, item in enumerate(items) if fact != "relation" or len(item.scene.things) == 2]
        if rows:
            right = [_chooses_truth(clip, z_i[i], items[i], fact, seed=i) for i in rows]
            shares[fact] = Share(sum(right), len(right))
    return shares


def _chooses_truth(clip: CLIP, z_i: Tensor, item: Item, fact: str, *, seed: int) -> bool:
    """Whether the true value of a fact is the one that CLIP finds most similar to z_i (D,). The words are the same."""
    statement = full_statement(item.scene, np.random.default_rng(seed))
    options = [_with(statement, fact, value) for value in FACTS[fact]]
    captions = [phrase(option, np.random.default_rng(seed)) for option in options]
    best = clip.similarity(z_i[None], clip.encode_text(captions).embed).argmax()
    return options[int(best)] == statement


def _with(statement: Statement, fact: str, value: str) -> Statement:
    """The statement with one fact changed: of the scene, of the relation, or of the first thing."""
    if fact == "relation":
        (i, _, j), *_ = statement.relations
        return replace(statement, relations=((i, value, j),))
    return with_fact(statement, fact, value)


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures (B, 3, H, W) in -1 to 1, in decibels: (B,)."""
    return 10 * torch.log10(4 / (images - truth).square().flatten(1).mean(dim=1))


def sharpness(images: Tensor) -> float:
    """The root mean square of the differences between neighbouring pixels of pictures (B, 3, H, W)."""
    across, down = images.diff(dim=-1), images.diff(dim=-2)
    return (across.square().mean() + down.square().mean()).sqrt().item()
