"""What can be true of a scene, and what a caption states of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import permutations

import numpy as np

KINDS = ("circle", "square", "triangle", "star", "heart", "moon", "flower", "fish")
COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")
SIZES = ("small", "big")
BACKGROUNDS = ("paper", "sky", "meadow", "night", "sunset")
STYLES = ("flat", "outlined", "striped", "dotted", "crayon", "cubist")

# Where the things of each layout stand, in reading order: x to the right, y down, both 0 to 1.
LAYOUTS = {
    "alone": ((0.5, 0.5),),
    "row": ((0.27, 0.5), (0.73, 0.5)),
    "column": ((0.5, 0.27), (0.5, 0.73)),
    "one above two": ((0.5, 0.27), (0.27, 0.73), (0.73, 0.73)),
    "two above one": ((0.27, 0.27), (0.73, 0.27), (0.5, 0.73)),
}
LAYOUT_NAMES = tuple(LAYOUTS)
COUNTS = (0.35, 0.5, 0.15)                  # how often a scene has one, two and three things
OPPOSITE = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}

# Never drawn for training, so that a test can ask for something truly new.
HELD_OUT = frozenset({("purple", "star"), ("yellow", "fish"), ("teal", "heart")})


@dataclass(frozen=True)
class Thing:
    """One drawn object. In a caption's statement, None means "not said"."""

    kind: str | None
    colour: str | None
    size: str | None

    def fits(self, other: Thing) -> bool:
        """True if `other` has every property that this one states."""
        return all(getattr(self, f.name) in (None, getattr(other, f.name)) for f in fields(self))


@dataclass(frozen=True)
class Scene:
    """All the facts of a picture. `seed` moves and turns the things a little; it is no fact."""

    things: tuple[Thing, ...]
    layout: str
    background: str
    style: str
    seed: int = 0

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
    """What a caption says: things (with gaps), relations (i, "above", j) between them, and the rest."""

    things: tuple[Thing, ...]
    relations: tuple[tuple[int, str, int], ...] = ()
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
    return Thing(pick(rng, KINDS), pick(rng, COLOURS), pick(rng, SIZES))


def pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """One of the options, each equally likely."""
    return options[rng.integers(len(options))]
