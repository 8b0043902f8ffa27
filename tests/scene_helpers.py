"""What the test files of the toy world share: scenes, and each of them with one fact changed."""

from itertools import count, islice

import numpy as np

from minunclip.scenes import SCENE_FACTS, THING_FACTS, Scene, draw_scene, with_fact


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def scenes(n: int, things: int | None = None) -> list[Scene]:
    drawn = (draw_scene(rng(seed)) for seed in count())
    return list(islice((scene for scene in drawn if things in (None, len(scene.things))), n))


def others(values: tuple[str, ...], value: str) -> list[str]:
    return [other for other in values if other != value]


def mutants(scene: Scene):
    """(fact, scene with that one fact changed), every fact and every value."""
    for fact, values in SCENE_FACTS.items():
        yield from ((fact, with_fact(scene, fact, value)) for value in others(values, getattr(scene, fact)))
    for n, thing in enumerate(scene.things):
        for fact, values in THING_FACTS.items():
            yield from ((fact, with_fact(scene, fact, value, n)) for value in others(values, getattr(thing, fact)))
