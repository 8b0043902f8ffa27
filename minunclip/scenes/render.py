"""Draw a scene at any size: the same picture, sampled more or less finely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from .facts import LAYOUTS, Scene, Thing
from .shapes import SHAPES, disc

INK = {
    "red": (0.89, 0.16, 0.17), "orange": (0.98, 0.55, 0.10), "yellow": (0.99, 0.84, 0.16),
    "green": (0.13, 0.60, 0.27), "teal": (0.10, 0.70, 0.69), "blue": (0.16, 0.36, 0.87),
    "purple": (0.53, 0.22, 0.72), "pink": (0.98, 0.48, 0.70),
}  # fmt: skip
SKIES = {  # the colour at the top and at the bottom
    "paper": ((0.98, 0.96, 0.91), (0.95, 0.92, 0.85)),
    "sky": ((0.56, 0.79, 0.96), (0.87, 0.95, 1.00)),
    "meadow": ((0.90, 0.97, 0.98), (0.93, 0.98, 0.88)),
    "night": ((0.06, 0.08, 0.22), (0.17, 0.16, 0.38)),
    "sunset": ((0.60, 0.46, 0.74), (1.00, 0.80, 0.60)),
}
RADIUS = {"small": 0.13, "big": 0.205}
# Clouds are discs of this x, y and radius; stars are small discs at this x, y.
CLOUDS = ((0.20, 0.17, 0.085), (0.29, 0.14, 0.10), (0.38, 0.18, 0.075), (0.72, 0.83, 0.07), (0.80, 0.81, 0.09))
STARS = ((0.08, 0.12), (0.31, 0.06), (0.52, 0.13), (0.69, 0.05), (0.93, 0.16), (0.05, 0.47), (0.95, 0.55),
         (0.12, 0.91), (0.36, 0.95), (0.62, 0.92), (0.88, 0.88))  # fmt: skip
WHITE = np.ones(3, np.float32)


@dataclass(frozen=True)
class Canvas:
    """Where the pixels of a picture are; the whole picture reaches from 0 to 1 along both axes."""

    x: ndarray                              # of each pixel's centre (side, side), to the right
    y: ndarray                              # the same, down
    pixel: float                            # the width of a pixel

    @classmethod
    def of(cls, side: int, crop: tuple[int, int, int] | None = None) -> Canvas:
        """The pixels of a picture of this side, or of the square (left, top, size) of it."""
        left, top, size = crop or (0, 0, side)
        x = (np.arange(left, left + size, dtype=np.float32) + 0.5) / side
        y = (np.arange(top, top + size, dtype=np.float32) + 0.5) / side
        return cls(*np.meshgrid(x, y), 1 / side)

    def window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """The rows and columns of the pixels whose centres are within `reach` of (x, y) in each direction."""
        rows = np.searchsorted(self.y[:, 0], (y - reach, y + reach))
        columns = np.searchsorted(self.x[0], (x - reach, x + reach))
        return slice(*rows), slice(*columns)

    def __getitem__(self, window: tuple[slice, slice]) -> Canvas:
        """The part of it in some rows and columns."""
        return Canvas(self.x[window], self.y[window], self.pixel)

    def inside(self, distance: ndarray, soft: float = 0.0) -> ndarray:
        """The share of each pixel that lies inside: distances below zero, the edge blurred by `soft`."""
        return np.clip(0.5 - distance / (self.pixel + soft), 0, 1)[..., None]

    def wave(self, along: ndarray, period: float, duty: float = 0.5) -> ndarray:
        """Parallel bars: the share of each pixel covered by bars `duty * period` wide."""
        offset = np.abs((along / period) % 1 - 0.5) * period
        return self.inside(offset - duty * period / 2)


def over(picture: ndarray, alpha: ndarray, colour) -> ndarray:
    """Paint a colour over a picture where alpha is 1, not at all where it is 0."""
    return picture + alpha * (np.asarray(colour, np.float32) - picture)


def mix(a, b, share: float) -> ndarray:
    """`share` of colour b in colour a."""
    return np.asarray(a, np.float32) * (1 - share) + np.asarray(b, np.float32) * share


# -- the background ------------------------------------------------------------------------------------------


def background(scene: Scene, canvas: Canvas) -> ndarray:
    """Sky, ground and what the style does to them."""
    top, bottom = (np.asarray(colour, np.float32) for colour in SKIES[scene.background])
    picture = top + canvas.y[..., None] * (bottom - top)
    if scene.background == "sky":
        distance = np.min([disc(canvas.x, canvas.y, x, y, radius=radius) for x, y, radius in CLOUDS], axis=0)
        picture = over(picture, 0.85 * canvas.inside(distance, soft=0.02), WHITE)
    if scene.background == "night":
        distance = np.min([disc(canvas.x, canvas.y, x, y, radius=0.011) for x, y in STARS], axis=0)
        picture = over(picture, 0.8 * canvas.inside(distance), (1.0, 0.97, 0.8))
    if scene.background == "meadow":
        hills = 0.66 - 0.06 * np.sin(5.2 * canvas.x + 0.6) - canvas.y
        picture = over(picture, canvas.inside(hills), (0.66, 0.85, 0.47))
        picture = over(picture, canvas.inside(hills + 0.15 + 0.07 * canvas.x), (0.55, 0.77, 0.40))
    if scene.background == "sunset":
        picture = over(picture, canvas.inside(0.80 + 0.012 * np.sin(24 * canvas.x) - canvas.y), (0.45, 0.36, 0.62))
    return GROUND[scene.style](picture, canvas, scene.seed)


def plain_ground(picture: ndarray, canvas: Canvas, seed: int) -> ndarray:
    return picture


def framed_ground(picture: ndarray, canvas: Canvas, seed: int) -> ndarray:
    edge = np.maximum(np.abs(canvas.x - 0.5), np.abs(canvas.y - 0.5)) - 0.455
    return over(picture, canvas.inside(np.abs(edge) - 0.012), (0.30, 0.28, 0.33))


def striped_ground(picture: ndarray, canvas: Canvas, seed: int) -> ndarray:
    return over(picture, 0.22 * canvas.wave(canvas.x + canvas.y, 0.16), _contrast(picture))


def dotted_ground(picture: ndarray, canvas: Canvas, seed: int) -> ndarray:
    return over(picture, 0.35 * canvas.inside(_dots(canvas.x, canvas.y, 0.125, 0.03)), _contrast(picture))


def crayon_ground(picture: ndarray, canvas: Canvas, seed: int) -> ndarray:
    lines = canvas.wave(*_scribble(canvas.x, canvas.y, 0.1))
    return over(picture, lines * np.where(picture.mean(-1, keepdims=True) > 0.5, 0.55, 0.22), WHITE)


def cubist_ground(picture: ndarray, canvas: Canvas, seed: int) -> ndarray:
    angle = np.random.default_rng(seed).uniform(0, np.pi)
    for turn, share in ((0.0, 0.16), (1.1, -0.16), (2.2, 0.12)):
        side = np.cos(angle + turn) * (canvas.x - 0.5) + np.sin(angle + turn) * (canvas.y - 0.5) + 0.12 * share
        picture = over(picture, abs(share) * canvas.inside(side), WHITE * (share > 0))
    return picture


def _contrast(picture: ndarray) -> ndarray:
    """Darker where the picture is light, lighter where it is dark."""
    return np.where(picture.mean(-1, keepdims=True) > 0.5, picture * 0.6, 0.5 + 0.5 * picture)


def _dots(u: ndarray, v: ndarray, period: float, radius: float) -> ndarray:
    """Distance from a grid of dots."""
    return np.hypot((u % period) - period / 2, (v % period) - period / 2) - radius


def _scribble(u: ndarray, v: ndarray, period: float) -> tuple[ndarray, float, ndarray]:
    """A hatching by hand, as `Canvas.wave` takes it: the position across its strokes, their period, their width."""
    along = 0.5 * u - 0.866 * v
    wobble = 0.16 * period * np.sin(1.7 * along / period)
    duty = 0.45 + 0.18 * np.sin(1.1 * along / period + 0.9 * u / period)
    return 0.866 * u + 0.5 * v + wobble, period, duty


GROUND = {
    "flat": plain_ground, "outlined": framed_ground, "striped": striped_ground,
    "dotted": dotted_ground, "crayon": crayon_ground, "cubist": cubist_ground,
}  # fmt: skip

# -- the things ----------------------------------------------------------------------------------------------


def flat_fill(ink: ndarray, u: ndarray, v: ndarray, *, canvas: Canvas, angle: float) -> ndarray:
    return ink


def outlined_fill(ink: ndarray, u: ndarray, v: ndarray, *, canvas: Canvas, angle: float) -> ndarray:
    return mix(ink, WHITE, 0.82)


def striped_fill(ink: ndarray, u: ndarray, v: ndarray, *, canvas: Canvas, angle: float) -> ndarray:
    return over(ink, canvas.wave(u * 0.8 - v * 0.6, 0.105, 0.45), mix(ink, WHITE, 0.72))


def dotted_fill(ink: ndarray, u: ndarray, v: ndarray, *, canvas: Canvas, angle: float) -> ndarray:
    return over(ink, canvas.inside(_dots(u + 0.05, v + 0.05, 0.1, 0.029)), mix(ink, WHITE, 0.88))


def crayon_fill(ink: ndarray, u: ndarray, v: ndarray, *, canvas: Canvas, angle: float) -> ndarray:
    return over(mix(ink, WHITE, 0.5), canvas.wave(*_scribble(u, v, 0.075)), ink)


def cubist_fill(ink: ndarray, u: ndarray, v: ndarray, *, canvas: Canvas, angle: float) -> ndarray:
    facets = mix(ink, (0, 0, 0), 0.42)
    first = np.cos(angle) * u + np.sin(angle) * v
    second = np.cos(angle + 1.9) * u + np.sin(angle + 1.9) * v
    colour = over(ink, canvas.inside(first - 0.01), facets)
    return over(colour, canvas.inside(second + 0.03), mix(ink, WHITE, 0.45))


FILL = {
    "flat": flat_fill, "outlined": outlined_fill, "striped": striped_fill,
    "dotted": dotted_fill, "crayon": crayon_fill, "cubist": cubist_fill,
}  # fmt: skip


def add_thing(
    picture: ndarray, thing: Thing, style: str, place: tuple[float, float], *, rng: np.random.Generator, canvas: Canvas
) -> ndarray:
    """Paint one thing with its soft shadow: position, turn and facets vary a little with `rng`."""
    reach = 0.085 if place == LAYOUTS["alone"][0] else 0.03
    x, y = np.asarray(place) + rng.uniform(-reach, reach, 2)
    radius, turn, facet = RADIUS[thing.size] * rng.uniform(0.95, 1.05), rng.normal(0, 0.12), rng.uniform(0, 6.28)
    near = canvas.window(x, y, 1.5 * radius + 0.1)                      # nothing of it shows farther out
    canvas = canvas[near]
    dx, dy = canvas.x - x, canvas.y - y
    u, v = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx  # its own frame
    picture[near] = _paint(picture[near], thing, style, u=u, v=v, radius=radius, angle=facet, canvas=canvas)
    return picture


def _paint(
    picture: ndarray, thing: Thing, style: str, *, u: ndarray, v: ndarray, radius: float, angle: float, canvas: Canvas
) -> ndarray:
    """Shadow, fill, rim and details of a thing around (u, v) = (0, 0)."""
    edge = SHAPES[thing.kind](u / radius, v / radius) * radius
    if style == "crayon":
        edge = edge + 0.008 * np.sin(52 * u + 3) * np.sin(47 * v)
    ink = np.asarray(INK[thing.colour], np.float32)
    shadow = SHAPES[thing.kind]((u - 0.012) / radius, (v - 0.02) / radius) * radius
    picture = over(picture, 0.30 * canvas.inside(shadow, soft=0.03), (0.10, 0.08, 0.20))
    picture = over(picture, canvas.inside(edge), FILL[style](ink, u, v, canvas=canvas, angle=angle))
    rim = 0.021 if style == "outlined" else 0.006
    picture = over(picture, canvas.inside(np.abs(edge + rim) - rim), ink if style == "outlined" else ink * 0.72)
    return _details(picture, thing.kind, u / radius, v / radius, radius=radius, canvas=canvas)


def _details(picture: ndarray, kind: str, u: ndarray, v: ndarray, *, radius: float, canvas: Canvas) -> ndarray:
    """The eye of a fish, the middle of a flower."""
    dots = {
        "fish": ((-0.52, -0.12, 0.17, (1, 1, 1)), (-0.55, -0.12, 0.085, (0.1, 0.1, 0.15))),
        "flower": ((0.0, 0.0, 0.30, (1.0, 0.93, 0.62)),),
    }
    for x, y, size, colour in dots.get(kind, ()):
        picture = over(picture, canvas.inside(disc(u, v, x, y, radius=size) * radius), colour)
    return picture


def render(scene: Scene, side: int = 32, crop: tuple[int, int, int] | None = None) -> ndarray:
    """Draw a scene: (side, side, 3) float32 in 0 to 1. The same scene gives the same picture at any side.

    crop: (left, top, size) in pixels draws only that square of it.
    """
    canvas, rng = Canvas.of(side, crop), np.random.default_rng(scene.seed)
    picture = background(scene, canvas)
    for thing, place in zip(scene.things, LAYOUTS[scene.layout], strict=True):
        picture = add_thing(picture, thing, scene.style, place, rng=rng, canvas=canvas)
    return np.clip(picture, 0, 1).astype(np.float32)
