"""What can be true of a scene, and what a caption states of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

KINDS = ("circle", "square", "triangle", "star", "heart", "moon", "flower", "fish")
COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")
SIZES = ("small", "big")
BACKGROUNDS = ("paper", "sky", "meadow", "night", "sunset")
STYLES = ("flat", "outlined", "striped", "dotted", "crayon", "cubist")
RELATIONS = ("above", "below", "left of", "right of")

# Every fact that a caption can state, with its values: of one thing, of a pair of things, of the whole scene.
THING_FACTS = {"kind": KINDS, "colour": COLOURS, "size": SIZES}
SCENE_FACTS = {"background": BACKGROUNDS, "style": STYLES}
FACTS = {**THING_FACTS, "relation": RELATIONS, **SCENE_FACTS}

# Where the things of each layout stand, in reading order: x to the right, y down, both 0 to 1.
LAYOUTS = {
    "alone": ((0.5, 0.5),),
    "row": ((0.27, 0.5), (0.73, 0.5)),
    "column": ((0.5, 0.27), (0.5, 0.73)),
    "one above two": ((0.5, 0.27), (0.27, 0.73), (0.73, 0.73)),
    "two above one": ((0.27, 0.27), (0.73, 0.27), (0.5, 0.73)),
}
LAYOUT_NAMES = tuple(LAYOUTS)
ROAM = 0.08
COUNTS = (0.35, 0.5, 0.15)                  # how often a scene has one, two and three things
OPPOSITE = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}

# Never drawn for training, so that a test can ask for something truly new.
HELD_OUT = frozenset({("purple", "star"), ("yellow", "fish"), ("teal", "heart")})


@dataclass(frozen=True)
class Thing:
    """One drawn object. In a caption's statement, None means "not said"."""

    kind: str | None                        # one of KINDS
    colour: str | None                      # one of COLOURS
    size: str | None                        # one of SIZES

    @property
    def facts(self) -> dict[str, str | None]:
        """The value of each of THING_FACTS, in their order."""
        return {fact: getattr(self, fact) for fact in THING_FACTS}

    def fits(self, other: Thing) -> bool:
        """True if `other` has every property that this one states."""
        return all(value in (None, getattr(other, fact)) for fact, value in self.facts.items())


@dataclass(frozen=True)
class Scene:
    """All the facts of a picture."""

    things: tuple[Thing, ...]               # in reading order, as many as the layout has places
    layout: str                             # one of LAYOUT_NAMES
    background: str                         # one of BACKGROUNDS
    style: str                              # one of STYLES
    seed: int = 0                           # decides what is no fact: see nuisance.py
    roam: float = ROAM                      # how far a thing may stray, as a share of the side: 1 is as far as it can

    def relation(self, i: int, j: int) -> str:
        """Where thing i stands as seen from thing j: "above", "below", "left of" or "right of"."""
        (x_i, y_i), (x_j, y_j) = LAYOUTS[self.layout][i], LAYOUTS[self.layout][j]
        if y_i != y_j:
            return "above" if y_i < y_j else "below"
        return "left of" if x_i < x_j else "right of"

    @property
    def held_out(self) -> bool:
        """True if the scene shows a combination that training never sees."""
        return any((thing.colour, thing.kind) in HELD_OUT for thing in self.things)


@dataclass(frozen=True)
class Statement:
    """What a caption says. None means "not said"."""

    things: tuple[Thing, ...]                           # in the order in which the caption names them
    relations: tuple[tuple[int, str, int], ...] = ()    # (i, "above", j): thing i stands above thing j
    background: str | None = None
    style: str | None = None

    def holds_in(self, scene: Scene) -> bool:
        """True if every stated fact is true of the scene.

        A caption does not say which of two things is drawn first, so any matching of the stated things
        with the drawn ones will do, as long as one matching makes everything true at once.
        """
        if self.background not in (None, scene.background) or self.style not in (None, scene.style):
            return False
        return len(self.things) == len(scene.things) and any(
            self._matches(scene, order) for order in permutations(range(len(scene.things)))
        )

    def _matches(self, scene: Scene, order: tuple[int, ...]) -> bool:
        fit = all(thing.fits(scene.things[n]) for thing, n in zip(self.things, order, strict=True))
        return fit and all(scene.relation(order[i], order[j]) == word for i, word, j in self.relations)


def with_fact(said: Scene | Statement, fact: str, value: str, n: int = 0) -> Scene | Statement:
    """The same scene or statement with another value of one of SCENE_FACTS, or of one of thing n's THING_FACTS."""
    if fact in SCENE_FACTS:
        return replace(said, **{fact: value})
    changed = replace(said.things[n], **{fact: value})
    return replace(said, things=(*said.things[:n], changed, *said.things[n + 1 :]))


def draw_scene(rng: np.random.Generator, held_out: bool = False, counts: tuple[float, ...] = COUNTS) -> Scene:
    """A random scene; with `held_out` one that shows a held-out combination, otherwise one that does not.

    counts   how often it has one, two and three things: three numbers that add up to 1
    """
    while True:
        count = rng.choice((1, 2, 3), p=counts)
        layout = rng.choice([name for name, places in LAYOUTS.items() if len(places) == count])
        things = tuple(draw_thing(rng) for _ in range(count))
        if held_out:
            colour, kind = sorted(HELD_OUT)[rng.integers(len(HELD_OUT))]
            things = (Thing(kind, colour, things[0].size), *things[1:])
        scene = Scene(things, str(layout), pick(rng, BACKGROUNDS), pick(rng, STYLES), int(rng.integers(2**31)))
        if scene.held_out == held_out:
            return scene


def draw_thing(rng: np.random.Generator) -> Thing:
    """A random object: kind, colour and size each equally likely."""
    return Thing(**{fact: pick(rng, values) for fact, values in THING_FACTS.items()})


def pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """One of the options, each equally likely."""
    return options[rng.integers(len(options))]
