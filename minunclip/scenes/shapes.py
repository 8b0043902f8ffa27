"""Shapes as signed distances: negative inside, zero on the edge, positive outside.

A shape is a function of where you are, so it can be drawn at any size without steps on its edges.
Every shape lives in its own frame: centre (0, 0), reaching about 1 in each direction, y down.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray


def disc(u: ndarray, v: ndarray, x: float = 0.0, y: float = 0.0, *, radius: float = 1.0) -> ndarray:
    """A disc around (x, y)."""
    return np.hypot(u - x, v - y) - radius


def fold(u: ndarray, v: ndarray, sectors: int) -> tuple[ndarray, ndarray]:
    """Map the plane onto one half of a sector: what has n-fold symmetry need only be described once.

    The returned point has its first coordinate along the sector's axis; the first sector points up.
    """
    sector = 2 * np.pi / sectors
    angle = np.arctan2(u, -v)
    angle = np.abs((angle + sector / 2) % sector - sector / 2)
    radius = np.hypot(u, v)
    return radius * np.cos(angle), radius * np.sin(angle)


def line(u: ndarray, v: ndarray, start: tuple[float, float], end: tuple[float, float]) -> ndarray:
    """Distance from the straight line through two points, positive on its right (y down)."""
    (x0, y0), (x1, y1) = start, end
    length = np.hypot(x1 - x0, y1 - y0)
    return ((x1 - x0) * (v - y0) - (y1 - y0) * (u - x0)) / length


def circle(u: ndarray, v: ndarray) -> ndarray:
    return disc(u, v, radius=0.92)


def square(u: ndarray, v: ndarray) -> ndarray:
    return np.maximum(np.abs(u), np.abs(v)) - 0.84


def triangle(u: ndarray, v: ndarray) -> ndarray:
    v = v - 0.15
    return np.maximum(v - 0.6, np.abs(u) * 0.866 - 0.5 * v - 0.6)


def star(u: ndarray, v: ndarray) -> ndarray:
    a, b = fold(u, v, 5)
    inner = 0.46
    return line(a, b, (inner * np.cos(np.pi / 5), inner * np.sin(np.pi / 5)), (1.08, 0.0))


def heart(u: ndarray, v: ndarray) -> ndarray:
    """A square on its tip with a half disc on each upper side; the discs meet the lower edges tangentially."""
    h, c = 0.82, 0.08                                    # half the square's diagonal, and its centre
    u = np.abs(u)
    edge = (u + v - c - h) / np.sqrt(2)
    lobe = disc(u, v, h / 2, c - h / 2, radius=h / np.sqrt(2))
    distance = np.where(u - (v - c) > h, lobe, edge)
    return np.where(distance < 0, np.maximum(distance, -np.hypot(u, v - c + h)), distance)


def moon(u: ndarray, v: ndarray) -> ndarray:
    return np.maximum(disc(u, v, radius=0.95), -disc(u, v, 0.5, -0.12, radius=0.78))


def flower(u: ndarray, v: ndarray) -> ndarray:
    petals = 0.6 + 0.38 * np.abs(np.cos(2.5 * np.arctan2(u, -v)))
    return 0.75 * (np.hypot(u, v) - petals)


def fish(u: ndarray, v: ndarray) -> ndarray:
    body = (np.hypot((u + 0.2) / 0.8, v / 0.55) - 1) * 0.55
    tail = np.maximum(u - 0.98, np.abs(v) * 0.83 - 0.62 * (u - 0.3))
    return np.minimum(body, tail)


SHAPES = {
    "circle": circle, "square": square, "triangle": triangle, "star": star,
    "heart": heart, "moon": moon, "flower": flower, "fish": fish,
}  # fmt: skip
