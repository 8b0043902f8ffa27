"""`minunclip train` in small: the file that a run writes, its curve, and what goes wrong before it starts."""

import itertools
import json
from dataclasses import asdict, replace

import pytest
import torch
from helpers import TINY_CLIP, randomise
from train_helpers import CONFIG

from minunclip.clip import CLIP
from minunclip.commands import train as command
from minunclip.commands.train import Request, shortened
from minunclip.common import alone, read_weights, sha256
from minunclip.training import TrainConfig, Trainer, batches
from minunclip.training.recipes import ClipRecipe


def run(stage: str, profile: str, out, *, fresh: bool = False, **how):
    return command.run(Request(stage, profile, **how), out, fresh)


class Small(ClipRecipe):
    config = TINY_CLIP
    profiles = {"cpu": replace(CONFIG, steps=4, save_every=2)}
    statistics = 200


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(command, "recipe_for", lambda stage, clip: Small())


def test_run_saves_the_average_and_its_settings(small, tmp_path):
    path = run("clip", "cpu", tmp_path / "clip.safetensors", workers=0)
    first = CLIP.from_pretrained(path).state_dict()
    metadata, _ = read_weights(path)
    assert metadata["profile"] == "cpu" and '"steps": 4' in metadata["train"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "clip.checkpoint", "clip.curve.json", "clip.safetensors"]
    run("clip", "cpu", path, workers=0, fresh=True)
    again = CLIP.from_pretrained(path).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    average = CLIP(TINY_CLIP)
    state = torch.load(tmp_path / "clip.checkpoint", weights_only=True)["ema"]
    state.pop("n_averaged")
    average.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    Small().finish(average)
    for name, tensor in average.state_dict().items():
        torch.testing.assert_close(again[name], tensor.half().float(), rtol=0, atol=0)


def curve_of(path):
    return json.loads(path.read_text())


def interrupted(checkpoint, steps=2):
    """What a training leaves that was killed after so many steps."""
    recipe = Small()
    trainer = Trainer(recipe.build(), Small.profiles["cpu"], checkpoint)
    list(itertools.islice(trainer.run(recipe.loss, batches(recipe, Small.profiles["cpu"])), steps))


def test_the_curve_goes_on_after_an_interruption(small, tmp_path):
    torch.manual_seed(Small.profiles["cpu"].seed)
    interrupted(tmp_path / "clip.checkpoint")
    run("clip", "cpu", tmp_path / "clip.safetensors", workers=0)
    resumed = curve_of(tmp_path / "clip.curve.json")
    run("clip", "cpu", tmp_path / "whole.safetensors", workers=0)
    whole = curve_of(tmp_path / "whole.curve.json")
    assert [point["step"] for point in resumed] == [1, 2, 3, 4]
    assert [point["loss"] for point in resumed] == [point["loss"] for point in whole]
    assert all(a["seconds"] <= b["seconds"] for a, b in itertools.pairwise(resumed))


@pytest.mark.parametrize("left", ["", "[[[", '[{"step": 99}]'])
def test_a_damaged_curve_does_no_harm(small, tmp_path, left):
    interrupted(tmp_path / "clip.checkpoint")
    (tmp_path / "clip.curve.json").write_text(left)
    run("clip", "cpu", tmp_path / "clip.safetensors", workers=0)
    assert [point["step"] for point in curve_of(tmp_path / "clip.curve.json")] == [1, 2, 3, 4]


def test_names_that_end_alike_do_not_share_a_checkpoint(small, tmp_path):
    for name in ("lr0.1", "lr0.2", "x.pt", "x.safetensors"):
        run("clip", "cpu", tmp_path / name, workers=0)
    files = {path.name for path in tmp_path.iterdir()}
    assert {"lr0.1.checkpoint", "lr0.2.checkpoint", "x.pt.checkpoint", "x.checkpoint"} <= files and len(files) == 12


def test_a_resume_with_another_clip_is_refused(small, tmp_path):
    clips = [randomise(CLIP(TINY_CLIP), seed).save(tmp_path / f"clip-{seed}") for seed in (1, 2)]
    out = tmp_path / "prior.safetensors"
    run("prior", "cpu", out, clip=str(clips[0]), workers=0)
    before = out.read_bytes()
    with pytest.raises(ValueError, match="prior.checkpoint was trained with another CLIP: start again with --fresh"):
        run("prior", "cpu", out, clip=str(clips[1]), workers=0)
    assert out.read_bytes() == before
    run("prior", "cpu", out, clip=str(clips[1]), workers=0, fresh=True)
    assert read_weights(out)[0]["clip"] == sha256(clips[1])


@pytest.mark.parametrize("out, reason", [("folder", "it is a folder"), ("file/a.safetensors", "file is no folder")])
def test_a_place_that_takes_no_file_is_refused_before_the_work(tmp_path, monkeypatch, out, reason):
    monkeypatch.setattr(command, "recipe_for", lambda *of: pytest.fail("it began to work"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=reason):
        run("clip", "cpu", tmp_path / out)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_two_trainings_do_not_write_the_same_file(small, tmp_path):
    out = tmp_path / "clip.safetensors"
    with alone(command.beside(out, ".lock"), ""), pytest.raises(OSError, match="another training writes .*wait for it"):
        run("clip", "cpu", out, workers=0)
    run("clip", "cpu", out, workers=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.checkpoint", "clip.curve.json",
                                                                "clip.safetensors"]  # fmt: skip


def test_a_run_made_shorter_warms_up_sooner():
    config = TrainConfig(steps=1000, batch=2)
    assert shortened(config, None) is config
    assert asdict(shortened(config, 50)) == asdict(config) | {"steps": 50, "warmup": 5}
    with pytest.raises(ValueError, match="--steps is 0"):
        shortened(config, 0)


def test_the_prior_needs_a_clip_that_is_there(tmp_path):
    with pytest.raises(ValueError, match="there is no CLIP .*nowhere.safetensors: give scenes, emoji, a weight file"):
        run("prior", "cpu", tmp_path / "prior.safetensors", clip=str(tmp_path / "nowhere.safetensors"))
    assert list(tmp_path.iterdir()) == []
