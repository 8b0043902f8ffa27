"""`minunclip train` in small: the file that a run writes, its curve, and what goes wrong before it starts."""

import itertools
from dataclasses import asdict, replace

import pytest
import torch
from helpers import TINY_CLIP
from train_helpers import CONFIG

from minunclip.clip import CLIP
from minunclip.commands import train as command
from minunclip.commands.train import run, shortened
from minunclip.common import read_weights
from minunclip.training import TrainConfig, Trainer, batches
from minunclip.training.recipes import ClipRecipe


class Small(ClipRecipe):
    config = TINY_CLIP
    profiles = {"cpu": replace(CONFIG, steps=4, save_every=2)}
    statistics = 200


def test_run_saves_the_average_and_its_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "recipe_for", lambda stage, clip: Small())
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


def test_the_curve_goes_on_after_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "recipe_for", lambda stage, clip: Small())
    checkpoint = tmp_path / "clip.checkpoint"
    trainer = Trainer(Small().build(), Small.profiles["cpu"], checkpoint)
    list(itertools.islice(trainer.run(Small().loss, batches(Small(), CONFIG)), 2))
    before = [{"step": 1, "loss": 3.0, "seconds": 100.0}, {"step": 2, "loss": 2.0, "seconds": 200.0}]
    command.write_curve(tmp_path / "clip.curve.json", before)
    path = run("clip", "cpu", tmp_path / "clip.safetensors", workers=0)
    curve = command.read_curve(tmp_path / "clip.curve.json", checkpoint)
    assert curve[:2] == before and [point["step"] for point in curve] == [1, 2, 3, 4]
    assert all(point["seconds"] >= 200 and point["loss"] > 0 for point in curve[2:])
    assert float(read_weights(path)[0]["minutes"]) >= 3.3
    run("clip", "cpu", path, workers=0, fresh=True)                             # and starts anew with the training
    curve = command.read_curve(tmp_path / "clip.curve.json", checkpoint)
    assert len(curve) == 4 and curve[0]["seconds"] < 100


def test_a_run_made_shorter_warms_up_sooner():
    config = TrainConfig(steps=1000, batch=2)
    assert shortened(config, None) is config
    assert asdict(shortened(config, 50)) == asdict(config) | {"steps": 50, "warmup": 5}
    with pytest.raises(ValueError, match="--steps is 0"):
        shortened(config, 0)


def test_the_prior_needs_a_clip_that_is_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no weight file"):
        run("prior", "cpu", tmp_path / "prior.safetensors", clip=str(tmp_path / "nowhere.safetensors"))
    assert list(tmp_path.iterdir()) == []
