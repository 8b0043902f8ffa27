"""The judge's bookkeeping: facts to labels and answers back to facts; and its loss."""

import pytest
import torch
import torch.nn.functional as F
from helpers import normal, randomise

from minunclip.evaluation import ABSENT, Judge, heads, labels, places
from minunclip.evaluation.judge import SLOTS, JudgeConfig
from minunclip.scenes import THING_FACTS, Scene, Scenes, Thing, nuisance


@pytest.fixture(scope="module")
def judge() -> Judge:
    return randomise(Judge(JudgeConfig(width=8)))


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [Scenes("test")[i].scene for i in range(60)]


def test_labels_and_answers_are_inverse(judge, scenes, monkeypatch):
    """One-hot logits of the right answers are read as the scene they came from, whatever fills empty slots."""
    truth = labels(scenes)
    logits = {name: F.one_hot(truth[name].clamp(min=0), len(values)).float() for name, values in heads().items()}
    monkeypatch.setattr(judge, "forward", lambda images: logits)
    for scene, seen in zip(scenes, judge.read(torch.zeros(len(scenes), 3, 32, 32)), strict=True):
        assert (seen.things, seen.layout, seen.background, seen.style) == (
            scene.things, scene.layout, scene.background, scene.style,
        )  # fmt: skip


def test_absent_things_have_no_label(scenes):
    truth = labels(scenes)
    for i, scene in enumerate(scenes):
        for slot in range(SLOTS):
            absent = slot >= len(scene.things)
            assert all((truth[f"{fact} {slot}"][i] == ABSENT) == absent for fact in THING_FACTS)


def test_labels_of_a_known_scene():
    scene = Scene((Thing("square", "red", "big"), Thing("circle", "pink", "small")), "column", "sky", "outlined")
    found = {name: int(value) for name, value in labels([scene]).items()}
    assert found == {
        "layout": 2, "background": 1, "style": 1, "kind 0": 1, "colour 0": 0, "size 0": 1,
        "kind 1": 0, "colour 1": 7, "size 1": 0, "kind 2": ABSENT, "colour 2": ABSENT, "size 2": ABSENT,
    }  # fmt: skip


def test_every_question_has_its_logits(judge):
    logits = judge(normal(2, 3, 32, 32))
    assert {name: tuple(value.shape) for name, value in logits.items()} == {
        name: (2, len(values)) for name, values in heads().items()
    }


@torch.no_grad()
def test_larger_pictures_are_shrunk(judge):
    large = normal(2, 3, 128, 128)
    small = large.unflatten(2, (32, 4)).unflatten(4, (32, 4)).mean(dim=(3, 5))
    for name, logits in judge(large).items():
        torch.testing.assert_close(logits, judge(small)[name], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_answers_are_read_from_the_features(judge):
    """The features are all that the answers depend on, also of larger pictures."""
    images = normal(3, 3, 64, 64)
    features = judge.features(images)
    assert features.shape == (3, JudgeConfig().features)
    torch.testing.assert_close(torch.cat([*judge(images).values()], dim=1), judge.answers(features))
    assert not torch.allclose(features[0], features[1])


def test_the_loss_is_small_for_right_answers_and_ignores_absent_things(judge, scenes, monkeypatch):
    one = [scene for scene in scenes if len(scene.things) == 1]
    truth = labels([*one, *(scene for scene in scenes if len(scene.things) == 3)][: len(one) + 1])
    right = {name: 50 * F.one_hot(truth[name].clamp(min=0), len(values)).float() for name, values in heads().items()}
    images = torch.zeros(len(one) + 1, 3, 32, 32)
    monkeypatch.setattr(judge, "answer", lambda features: right)
    where = judge.places(images).detach()
    assert judge.loss(images, truth, where) < 1e-6
    right["kind 2"][: len(one)] = normal(len(one), 8)  # nobody asks about things that are not there
    assert judge.loss(images, truth, where) < 1e-6
    right["style"] = right["style"].roll(1, dims=1)
    assert judge.loss(images, truth, where).item() == pytest.approx(50 / len(heads()), rel=1e-4)
    right["style"] = right["style"].roll(-1, dims=1)
    beside = where.clone()
    beside[:, 1:] = torch.nan
    beside[:, 0, 0] += 0.1                             # a tenth of a side to the right of where it is seen
    assert judge.loss(images, truth, beside).item() == pytest.approx(10 * 0.1**2 / 2, rel=1e-3)


def test_the_loss_of_scenes_without_a_third_thing_is_a_number(judge, scenes):
    one = [scene for scene in scenes if len(scene.things) == 1][:2]
    images, truth = normal(2, 3, 32, 32), labels(one)
    logits = judge(images)
    asked = [F.cross_entropy(logits[name], truth[name]) for name in truth if not name.endswith(("1", "2"))]
    where = places(one)
    error = (judge.places(images)[:, 0] - where[:, 0]).square().mean()
    torch.testing.assert_close(judge.loss(images, truth, where), sum(asked) / len(heads()) + 10 * error)


def test_the_places_are_those_of_the_poses(scenes):
    found = places(scenes)
    assert found.shape == (len(scenes), 3, 2)
    for row, scene in zip(found, scenes, strict=True):
        poses, n = nuisance(scene).poses, len(scene.things)
        assert row[n:].isnan().all()
        assert row[:n].tolist() == [pytest.approx((pose.x, pose.y)) for pose in poses]
