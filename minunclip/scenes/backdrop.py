"""What stands behind the things: sky and ground, and what a style does to them."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from .canvas import WHITE, Canvas, dots, over, scribble
from .facts import Scene
from .nuisance import Nuisance
from .shapes import disc

SKIES = {  # the colour at the top and at the bottom
    "paper": ((0.98, 0.96, 0.91), (0.95, 0.92, 0.85)),
    "sky": ((0.56, 0.79, 0.96), (0.87, 0.95, 1.00)),
    "meadow": ((0.90, 0.97, 0.98), (0.93, 0.98, 0.88)),
    "night": ((0.06, 0.08, 0.22), (0.17, 0.16, 0.38)),
    "sunset": ((0.60, 0.46, 0.74), (1.00, 0.80, 0.60)),
}


def backdrop(scene: Scene, found: Nuisance, canvas: Canvas) -> ndarray:
    """Sky, ground and what the style does to them: (side, side, 3), perhaps a little outside 0 to 1."""
    top, bottom = (np.asarray(colour, np.float32) for colour in SKIES[scene.background])
    down = canvas.y + found.tilt * (canvas.x - 0.5)
    picture = top + down[..., None] * (bottom - top)
    picture = LANDSCAPES[scene.background](picture, canvas, np.random.default_rng(found.sky))
    return GROUNDS[scene.style](picture + np.float32(found.tint), canvas, found)


# -- what the background holds -------------------------------------------------------------------------------


def paper(picture: ndarray, canvas: Canvas, rng: np.random.Generator) -> ndarray:
    """Blank, but for one fold."""
    angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4)
    across = np.cos(angle) * (canvas.x - 0.5) + np.sin(angle) * (canvas.y - 0.5) - offset
    return over(picture, 0.35 * canvas.inside(across, soft=0.01), (0.93, 0.90, 0.83))


def clouds(picture: ndarray, canvas: Canvas, rng: np.random.Generator) -> ndarray:
    """Two to four clouds of three puffs."""
    for _ in range(rng.integers(2, 5)):
        x, y, size = rng.uniform(0.05, 0.95), rng.uniform(0.08, 0.92), rng.uniform(0.07, 0.11)
        near = canvas.window(x, y, 2.5 * size)
        part = canvas[near]
        sides = (-1, rng.uniform(0, 0.03), 0.8), (0, 0, 1), (0.95, rng.uniform(0, 0.03), 0.7)
        puffs = [disc(part.x, part.y, x + dx * size, y + dy, radius=size * radius) for dx, dy, radius in sides]
        picture[near] = over(picture[near], 0.85 * part.inside(np.minimum.reduce(puffs), soft=0.02), WHITE)
    return picture


def stars(picture: ndarray, canvas: Canvas, rng: np.random.Generator) -> ndarray:
    """Eight to sixteen small lights."""
    for x, y, size in rng.random((rng.integers(8, 17), 3)):
        radius = 0.008 + 0.008 * size
        near = canvas.window(x, y, radius + canvas.pixel)
        part = canvas[near]
        light = part.inside(disc(part.x, part.y, x, y, radius=radius))
        picture[near] = over(picture[near], 0.8 * light, (1, 0.97, 0.8))
    return picture


def hills(picture: ndarray, canvas: Canvas, rng: np.random.Generator) -> ndarray:
    """Two rows of green hills, the nearer one darker."""
    far, near = rng.uniform(0.56, 0.68), rng.uniform(0.74, 0.86)
    for height, colour in ((far, (0.66, 0.85, 0.47)), (near, (0.55, 0.77, 0.40))):
        wave = 0.05 * np.sin(rng.uniform(4, 8) * canvas.x + rng.uniform(0, 2 * np.pi))
        picture = over(picture, canvas.inside(height + wave - canvas.y), colour)
    return picture


def sea(picture: ndarray, canvas: Canvas, rng: np.random.Generator) -> ndarray:
    """Evening water with small waves."""
    wave = rng.uniform(0.006, 0.016) * np.sin(rng.uniform(18, 30) * canvas.x + rng.uniform(0, 2 * np.pi))
    return over(picture, canvas.inside(rng.uniform(0.70, 0.86) + wave - canvas.y), (0.45, 0.36, 0.62))


LANDSCAPES = {"paper": paper, "sky": clouds, "meadow": hills, "night": stars, "sunset": sea}

# -- what the style does to it -------------------------------------------------------------------------------


def plain_ground(picture: ndarray, canvas: Canvas, found: Nuisance) -> ndarray:
    return picture


def framed_ground(picture: ndarray, canvas: Canvas, found: Nuisance) -> ndarray:
    inset = 0.03 + 0.03 * found.pattern.shift[0]
    edge = np.maximum(np.abs(canvas.x - 0.5), np.abs(canvas.y - 0.5)) - 0.5 + inset
    return over(picture, canvas.inside(np.abs(edge) - 0.012), (0.30, 0.28, 0.33))


def striped_ground(picture: ndarray, canvas: Canvas, found: Nuisance) -> ndarray:
    u, v = found.pattern(canvas.x, canvas.y)
    return over(picture, 0.22 * canvas.wave(u + v, 0.16), contrast(picture))


def dotted_ground(picture: ndarray, canvas: Canvas, found: Nuisance) -> ndarray:
    u, v = found.pattern(canvas.x, canvas.y)
    return over(picture, 0.35 * canvas.inside(dots(u, v, 0.125, 0.03)), contrast(picture))


def crayon_ground(picture: ndarray, canvas: Canvas, found: Nuisance) -> ndarray:
    lines = canvas.wave(*scribble(*found.pattern(canvas.x, canvas.y), 0.1))
    return over(picture, lines * np.where(picture.mean(-1, keepdims=True) > 0.5, 0.55, 0.22), WHITE)


def cubist_ground(picture: ndarray, canvas: Canvas, found: Nuisance) -> ndarray:
    for turn, share in ((0.0, 0.16), (1.1, -0.16), (2.2, 0.12)):
        angle = found.facets + turn
        side = np.cos(angle) * (canvas.x - 0.5) + np.sin(angle) * (canvas.y - 0.5) + 0.12 * share
        picture = over(picture, abs(share) * canvas.inside(side), WHITE * (share > 0))
    return picture


def contrast(picture: ndarray) -> ndarray:
    """Darker where the picture is light, lighter where it is dark."""
    return np.where(picture.mean(-1, keepdims=True) > 0.5, picture * 0.6, 0.5 + 0.5 * picture)


GROUNDS = {
    "flat": plain_ground, "outlined": framed_ground, "striped": striped_ground,
    "dotted": dotted_ground, "crayon": crayon_ground, "cubist": cubist_ground,
}  # fmt: skip
