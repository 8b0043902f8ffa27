"""What differs from picture to picture and no caption names: the nuisance of a scene, as statisticians call it.

    facts       what a caption may say                      facts.py
    nuisance    places, turns, exact sizes, tints, skies    here; all of it follows from `Scene.seed`

CLIP learns to forget nuisance, since no caption tells it; the decoder's noise decides it anew. These are the paper's
"non-essential details" (section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .facts import Scene

RADIUS = {"small": 0.14, "big": 0.205}
# The part of the picture in which each thing of a layout may stand: left, top, right, bottom.
LEFT, RIGHT, TOP, BOTTOM = (0, 0, 0.5, 1), (0.5, 0, 1, 1), (0, 0, 1, 0.5), (0, 0.5, 1, 1)
CELLS = {
    "alone": ((0, 0, 1, 1),), "row": (LEFT, RIGHT), "column": (TOP, BOTTOM),
    "one above two": (TOP, (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)),
    "two above one": ((0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), BOTTOM),
}  # fmt: skip


@dataclass(frozen=True)
class Pattern:
    """How stripes, dots and strokes lie."""

    stretch: float                          # of the distance from one to the next
    turn: float                             # of their direction, in radians
    shift: tuple[float, float]              # along both axes

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Pattern:
        return cls(rng.uniform(0.85, 1.2), rng.uniform(-0.35, 0.35), tuple(rng.random(2)))

    def __call__(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of the picture -> coordinates in which the pattern is always the same."""
        cos, sin = np.cos(self.turn) / self.stretch, np.sin(self.turn) / self.stretch
        return cos * u + sin * v + self.shift[0], cos * v - sin * u + self.shift[1]


@dataclass(frozen=True)
class Pose:
    """How one thing stands. Lengths are shares of the picture's side."""

    x: float                                # of its centre, to the right
    y: float                                # the same, down
    radius: float
    turn: float                             # radians, clockwise
    mirrored: bool                          # left and right exchanged: a fish looks either way
    tint: tuple[float, float, float]        # added to its colour
    pattern: Pattern                        # of its stripes, dots or strokes
    facets: float                           # the direction of its cubist edges


@dataclass(frozen=True)
class Nuisance:
    """All that a scene's seed decides."""

    poses: tuple[Pose, ...]                 # of its things
    tint: tuple[float, float, float]        # added to the background's colours
    tilt: float                             # of the background's gradient
    pattern: Pattern                        # of the background's stripes, dots or strokes
    facets: float                           # the direction of its cubist edges
    sky: int                                # a seed of its own, for clouds, stars, hills and waves


def nuisance(scene: Scene) -> Nuisance:
    """What the scene's seed decides, the same for every size of the picture."""
    rng = np.random.default_rng(scene.seed)
    poses = tuple(_pose(place, thing.size, rng) for place, thing in zip(_places(scene, rng), scene.things, strict=True))
    return Nuisance(
        poses, tuple(rng.uniform(-0.03, 0.03, 3)), rng.uniform(-0.4, 0.4), Pattern.draw(rng), rng.uniform(0, np.pi),
        int(rng.integers(2**31)),
    )  # fmt: skip


def _pose(place: tuple[float, float, float], size: str, rng: np.random.Generator) -> Pose:
    brightness, tint = rng.uniform(-0.05, 0.05), rng.uniform(-0.045, 0.045, 3)
    return Pose(
        *place, rng.uniform(-0.3, 0.3), bool(rng.random() < 0.5), tuple(brightness + tint), Pattern.draw(rng),
        rng.uniform(0, 2 * np.pi),
    )  # fmt: skip


def _places(scene: Scene, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """x, y and radius of each thing: around the middle of its cell; the two of a row or a column keep their line."""
    common = rng.uniform(-1, 1)
    places = []
    for thing, (left, top, right, bottom) in zip(scene.things, CELLS[scene.layout], strict=True):
        radius = RADIUS[thing.size] * rng.uniform(0.92, 1.08)
        free_x, free_y = (0.8 * max(0.025, (high - low) / 2 - radius) for low, high in ((left, right), (top, bottom)))
        x, y = rng.uniform(-1, 1, 2)                                    # -1 and 1 are the ends of its room
        x = 0.75 * common + 0.2 * x if scene.layout == "column" else x
        y = 0.75 * common + 0.2 * y if scene.layout == "row" else y
        x, y = min(free_x, scene.roam) * x, min(free_y, scene.roam) * y
        places.append(((left + right) / 2 + x, (top + bottom) / 2 + y, radius))
    return places
