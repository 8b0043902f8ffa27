"""Draw a scene at any size: the same picture, sampled more or less finely."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from .backdrop import backdrop
from .canvas import WHITE, Canvas, dots, mix, over, scribble
from .facts import Scene, Thing
from .nuisance import Pose, nuisance
from .shapes import SHAPES, disc

INK = {
    "red": (0.89, 0.16, 0.17), "orange": (0.98, 0.55, 0.10), "yellow": (0.99, 0.84, 0.16),
    "green": (0.13, 0.60, 0.27), "teal": (0.10, 0.70, 0.69), "blue": (0.16, 0.36, 0.87),
    "purple": (0.53, 0.22, 0.72), "pink": (0.98, 0.48, 0.70),
}  # fmt: skip


def render(scene: Scene, side: int = 32, crop: tuple[int, int, int] | None = None) -> ndarray:
    """Draw a scene: (side, side, 3) float32 in 0 to 1. The same scene gives the same picture at any side.

    crop: (left, top, size) in pixels draws only that square of it.
    """
    canvas, found = Canvas.of(side, crop), nuisance(scene)
    picture = backdrop(scene, found, canvas)
    for thing, pose in zip(scene.things, found.poses, strict=True):
        add_thing(picture, thing, scene.style, pose=pose, canvas=canvas)
    return np.clip(picture, 0, 1).astype(np.float32)


def add_thing(picture: ndarray, thing: Thing, style: str, *, pose: Pose, canvas: Canvas) -> None:
    """Paint one thing with its soft shadow, in place."""
    near = canvas.window(pose.x, pose.y, 1.5 * pose.radius + 0.1)       # nothing of it shows farther out
    canvas = canvas[near]
    dx, dy, cos, sin = canvas.x - pose.x, canvas.y - pose.y, np.cos(pose.turn), np.sin(pose.turn)
    u, v = cos * dx + sin * dy, cos * dy - sin * dx                     # its own frame
    picture[near] = _paint(picture[near], thing, style, u=-u if pose.mirrored else u, v=v, pose=pose, canvas=canvas)


def _paint(
    picture: ndarray, thing: Thing, style: str, *, u: ndarray, v: ndarray, pose: Pose, canvas: Canvas
) -> ndarray:
    """Shadow, fill, rim and details of a thing around (u, v) = (0, 0)."""
    radius = pose.radius
    edge = SHAPES[thing.kind](u / radius, v / radius) * radius
    if style == "crayon":
        edge = edge + 0.008 * np.sin(52 * u + 3) * np.sin(47 * v)
    ink = np.clip(np.float32(INK[thing.colour]) + np.float32(pose.tint), 0, 1)
    shadow = SHAPES[thing.kind]((u - 0.012) / radius, (v - 0.02) / radius) * radius
    picture = over(picture, 0.30 * canvas.inside(shadow, soft=0.03), (0.10, 0.08, 0.20))
    picture = over(picture, canvas.inside(edge), FILLS[style](ink, u, v, pose=pose, canvas=canvas))
    rim = 0.021 if style == "outlined" else 0.006
    picture = over(picture, canvas.inside(np.abs(edge + rim) - rim), ink if style == "outlined" else ink * 0.72)
    return _details(picture, thing.kind, u / radius, v / radius, radius=radius, canvas=canvas)


def _details(picture: ndarray, kind: str, u: ndarray, v: ndarray, *, radius: float, canvas: Canvas) -> ndarray:
    """The eye of a fish, the middle of a flower."""
    spots = {
        "fish": ((-0.52, -0.12, 0.17, (1, 1, 1)), (-0.55, -0.12, 0.085, (0.1, 0.1, 0.15))),
        "flower": ((0.0, 0.0, 0.30, (1.0, 0.93, 0.62)),),
    }
    for x, y, size, colour in spots.get(kind, ()):
        picture = over(picture, canvas.inside(disc(u, v, x, y, radius=size) * radius), colour)
    return picture


# -- what fills a thing --------------------------------------------------------------------------------------


def flat_fill(ink: ndarray, u: ndarray, v: ndarray, *, pose: Pose, canvas: Canvas) -> ndarray:
    return ink


def outlined_fill(ink: ndarray, u: ndarray, v: ndarray, *, pose: Pose, canvas: Canvas) -> ndarray:
    return mix(ink, WHITE, 0.82)


def striped_fill(ink: ndarray, u: ndarray, v: ndarray, *, pose: Pose, canvas: Canvas) -> ndarray:
    u, v = pose.pattern(u, v)
    return over(ink, canvas.wave(u * 0.8 - v * 0.6, 0.105, 0.45), mix(ink, WHITE, 0.72))


def dotted_fill(ink: ndarray, u: ndarray, v: ndarray, *, pose: Pose, canvas: Canvas) -> ndarray:
    u, v = pose.pattern(u, v)
    return over(ink, canvas.inside(dots(u, v, 0.1, 0.029)), mix(ink, WHITE, 0.88))


def crayon_fill(ink: ndarray, u: ndarray, v: ndarray, *, pose: Pose, canvas: Canvas) -> ndarray:
    return over(mix(ink, WHITE, 0.5), canvas.wave(*scribble(*pose.pattern(u, v), 0.075)), ink)


def cubist_fill(ink: ndarray, u: ndarray, v: ndarray, *, pose: Pose, canvas: Canvas) -> ndarray:
    first = np.cos(pose.facets) * u + np.sin(pose.facets) * v
    second = np.cos(pose.facets + 1.9) * u + np.sin(pose.facets + 1.9) * v
    colour = over(ink, canvas.inside(first - 0.01), mix(ink, (0, 0, 0), 0.42))
    return over(colour, canvas.inside(second + 0.03), mix(ink, WHITE, 0.45))


FILLS = {
    "flat": flat_fill, "outlined": outlined_fill, "striped": striped_fill,
    "dotted": dotted_fill, "crayon": crayon_fill, "cubist": cubist_fill,
}  # fmt: skip
