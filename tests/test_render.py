"""The toy world's pictures: sharp at every side, and every fact of the scene shows."""

from dataclasses import replace

import numpy as np
import pytest
from scene_helpers import mutants, rng, scenes

from minunclip.scenes import KINDS, nuisance, render, to_tensor
from minunclip.scenes.backdrop import backdrop
from minunclip.scenes.canvas import Canvas
from minunclip.scenes.shapes import SHAPES


def test_shape_range_and_determinism():
    for scene in scenes(30):
        picture = render(scene, 32)
        assert picture.shape == (32, 32, 3) and picture.dtype == np.float32
        assert picture.min() >= 0 and picture.max() <= 1
        assert np.array_equal(picture, render(scene, 32))


def test_to_tensor():
    picture = render(scenes(1)[0], 16)
    tensor = to_tensor(picture)
    assert tensor.shape == (3, 16, 16) and tensor.is_contiguous()
    assert tensor[1, 2, 3].item() == pytest.approx(picture[2, 3, 1] * 2 - 1)


@pytest.mark.parametrize("side", [32, 128])
def test_a_crop_equals_that_part_of_the_whole(side):
    for i, scene in enumerate(scenes(30)):
        left, top = rng(i).integers(0, side - side // 4 + 1, 2)
        part = render(scene, side)[top : top + side // 4, left : left + side // 4]
        assert np.array_equal(render(scene, side, (int(left), int(top), side // 4)), part), scene


def shrink(picture: np.ndarray, side: int) -> np.ndarray:
    factor = len(picture) // side
    return picture.reshape(side, factor, side, factor, 3).mean(axis=(1, 3))


def test_a_small_picture_is_the_large_one_shrunk():
    """Distances blur edges over one pixel, which is nearly, not exactly, the mean over the pixel."""
    errors = [np.abs(shrink(render(scene, 128), 32) - render(scene, 32)).mean() for scene in scenes(60)]
    assert np.mean(errors) < 0.01 and max(errors) < 0.03
    scene, other = scenes(2)
    assert np.abs(shrink(render(scene, 128), 32) - render(other, 32)).mean() > 0.05


def test_every_fact_shows():
    """Change any one fact, keep the seed: the picture changes, and for a thing only near the things."""
    for scene in scenes(8):
        before = render(scene, 32)
        for fact, mutant in mutants(scene):
            assert np.abs(render(mutant, 32) - before).mean() > 0.001, (fact, scene, mutant)
    for scene in scenes(8, things=2):
        if scene.things[0] != scene.things[1]:
            swapped = replace(scene, things=scene.things[::-1])
            assert np.abs(render(scene, 32) - render(swapped, 32)).mean() > 0.003


def test_things_stand_where_their_pose_says():
    """The centre of what differs from the bare ground is near the thing's place."""
    for scene in scenes(60, things=1):
        canvas, found = Canvas.of(64), nuisance(scene)
        changed = np.abs(render(scene, 64) - np.clip(backdrop(scene, found, canvas), 0, 1)).sum(-1) > 0.15
        centre = canvas.x[changed].mean(), canvas.y[changed].mean()
        assert np.abs(np.array(centre) - (found.poses[0].x, found.poses[0].y)).max() < 0.1, scene


GRID = np.meshgrid(np.linspace(-2, 2, 201), np.linspace(-2, 2, 201))
EXACT = ("circle", "square", "triangle", "star", "heart", "moon")  # flower and fish are near enough


@pytest.mark.parametrize("kind", KINDS)
def test_a_shape_is_inside_out_and_about_one_unit_wide(kind):
    distance = SHAPES[kind](*GRID)
    centre = (-0.6, 0.0) if kind == "moon" else (-0.2, 0.05)
    assert SHAPES[kind](*map(np.array, centre)) < -0.1
    assert all((edge > 0.2).all() for edge in (distance[0], distance[-1], distance[:, 0], distance[:, -1]))
    u, v = (axis[distance < 0] for axis in GRID)
    assert 0.75 < np.abs(u).max() < 1.15 and 0.5 < np.abs(v).max() < 1.15
    assert 0.15 < (distance < 0).mean() * 16 / np.pi < 1.0  # its area, in unit discs


def slopes(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The distance at many points, and how fast it changes there."""
    (u, v), h = (axis + 0.003 for axis in GRID), 1e-5
    at = SHAPES[kind]
    return at(u, v), np.hypot(at(u + h, v) - at(u - h, v), at(u, v + h) - at(u, v - h)) / (2 * h)


@pytest.mark.parametrize("kind", EXACT)
def test_exact_distances_change_by_one_per_unit(kind):
    _, slope = slopes(kind)
    assert (np.abs(slope - 1) < 1e-3).mean() > 0.98  # all but a few points on a crease


@pytest.mark.parametrize("kind", ["flower", "fish"])
def test_the_other_distances_are_near_enough_at_the_edge(kind):
    distance, slope = slopes(kind)
    slope = slope[np.abs(distance) < 0.05]
    assert np.quantile(slope, 0.05) > 0.5 and np.quantile(slope, 0.95) < 2
