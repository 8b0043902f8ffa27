"""What the test files of the toy world share: scenes, and each of them with one fact changed."""

from dataclasses import replace
from itertools import count, islice

import numpy as np

from minunclip.scenes import BACKGROUNDS, COLOURS, KINDS, SIZES, STYLES, Scene, draw_scene


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def scenes(n: int, things: int | None = None) -> list[Scene]:
    drawn = (draw_scene(rng(seed)) for seed in count())
    return list(islice((scene for scene in drawn if things in (None, len(scene.things))), n))


def others(values: tuple[str, ...], value: str) -> list[str]:
    return [other for other in values if other != value]


def with_thing(scene: Scene, n: int, **facts) -> Scene:
    things = list(scene.things)
    things[n] = replace(things[n], **facts)
    return replace(scene, things=tuple(things))


def mutants(scene: Scene):
    """(fact, scene with that one fact changed), every fact and every value."""
    for fact, values in (("background", BACKGROUNDS), ("style", STYLES)):
        yield from ((fact, replace(scene, **{fact: value})) for value in others(values, getattr(scene, fact)))
    for n, thing in enumerate(scene.things):
        for fact, values in (("kind", KINDS), ("colour", COLOURS), ("size", SIZES)):
            yield from ((fact, with_thing(scene, n, **{fact: v})) for v in others(values, getattr(thing, fact)))
