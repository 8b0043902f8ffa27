"""`minunclip evaluate --data` and `minunclip train all --data`: what they measure, write and refuse."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from helpers import TINY_DECODER, TINY_PRIOR, randomise
from picture_helpers import picture
from PIL import Image
from test_gallery import READS
from test_train_all import COPY

from minunclip.__main__ import main
from minunclip.clip import CLIP
from minunclip.commands import evaluate_pictures as command
from minunclip.commands import train_all
from minunclip.commands.evaluate_pictures import ROUTES, Sets, evaluate_pictures
from minunclip.commands.train_all import Clock, PictureRun, finish
from minunclip.common import read_weights, sha256
from minunclip.decoder import Decoder
from minunclip.pictures import open_splits
from minunclip.prior import DiffusionPrior


@pytest.fixture
def source(tmp_path):
    """Thirty pictures to train on and twelve others, of noise, each with a caption of its own."""
    for number in range(42):
        folder = tmp_path / "set" / ("train" if number < 30 else "val")
        folder.mkdir(parents=True, exist_ok=True)
        picture("x" * (number + 1), (48, 40)).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(f"number {number}\n")
    return tmp_path / "set"


@pytest.fixture
def model(tmp_path):
    """A tiny CLIP, prior and decoder of random weights."""
    folder = tmp_path / "model"
    randomise(CLIP(READS)).save(folder / "clip.safetensors")
    randomise(DiffusionPrior(replace(TINY_PRIOR, context=40)), 1).save(folder / "prior.safetensors")
    randomise(Decoder(TINY_DECODER), 2).save(folder / "decoder.safetensors")
    return folder


def measured(folder) -> dict:
    return json.loads((folder / "results" / "pictures.json").read_text())


def test_everything_is_measured_for_every_route(source, model, tmp_path, capsys):
    arguments = ["evaluate", "--data", str(source), "--model", str(model), "--captions", "12", "--seed", "3"]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--keep"]) == 0
    found, table = measured(tmp_path / "out"), capsys.readouterr().out
    assert list(found["rows"]) == ["the CLIP", "true pictures that training saw", *(f"drawn from {r}" for r in ROUTES)]
    assert (found["seed"], found["captions"], found["source"]) == (3, 12, str(source))
    for route in ROUTES:
        row = found["rows"][f"drawn from {route}"]
        assert row["its true picture, among 12"]["n"] == row["precision"]["n"] == 12
        assert f"**drawn from {route}**" in table
    assert Image.open(tmp_path / "out" / "pictures.png").width > 8 * 64
    for name in ("true", "drawn"):
        files = sorted((tmp_path / "out" / name).iterdir())
        assert [file.name for file in files] == [f"{n:05}.png" for n in range(12)]
        assert Image.open(files[0]).size == (32, 32)


def test_a_decoder_that_draws_the_true_pictures_gets_full_marks(source, model, monkeypatch):
    """And one that draws the same picture for all captions gets none."""
    def perfect(self, route, true):
        images = torch.stack([item.image(32) for item in self.items])
        return images if route == ROUTES[0] else images[:1].expand_as(images)

    monkeypatch.setattr(Sets, "drawn", perfect)
    evaluate_pictures(str(source), model, 12)
    rows = measured(model)["rows"]
    best, worst = rows[f"drawn from {ROUTES[0]}"], rows[f"drawn from {ROUTES[1]}"]
    assert best["its true picture, among 12"]["value"] == best["precision"]["value"] == best["recall"]["value"] == 1
    assert best["Frechet distance"] == pytest.approx(0, abs=1e-6)
    assert worst["its true picture, among 12"]["value"] <= 1 / 12 and worst["recall"]["value"] < 1
    assert worst["Frechet distance"] > rows["true pictures that training saw"]["Frechet distance"]


def test_only_pictures_kept_from_training_are_drawn(source, model):
    sets = Sets.of(str(source), model, 1000, 0)
    unseen = {entry.key for entry in open_splits(source)["val"].entries}
    assert {item.key for item in sets.items} == unseen and len(sets.seen) == 12
    assert not {item.key for item in sets.seen} & unseen


def test_a_source_without_unseen_pictures_is_refused(source, model, capsys):
    for file in (source / "val").iterdir():
        if file.name > "35":
            file.unlink()
    assert main(["evaluate", "--data", str(source), "--model", str(model)]) == 2
    assert "fewer than 10 pictures are kept from training: add some" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "words"), [
    (["--model", "x"], "--model and --keep are for pictures: add --data"), (["--keep"], "are for pictures"),
    (["--data", "emoji", "--suite", "paper"], "the paper suite measures scenes"),
    (["--data", "nowhere", "--model", "x"], "there are no pictures nowhere"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused(arguments, words, capsys):
    assert main(["evaluate", *arguments]) == 2
    assert words in capsys.readouterr().err


# -- every stage, on pictures --------------------------------------------------------------------------------


@pytest.fixture
def run(source, model, tmp_path, monkeypatch):
    """A run whose stages are copied instead of trained; what the recipes ask for stands in the files."""
    trained = PictureRun(tmp_path / "trained", "cpu", 3, data=str(source))
    clip = randomise(CLIP(READS))
    clip.save(trained.file("clip"), train=json.dumps(trained.config("clip")))
    note = sha256(trained.file("clip"))
    for stage in trained.order[1:]:
        clip.save(trained.file(stage), train=json.dumps(trained.config(stage)), clip=note)

    def copies(self, stage):
        return [sys.executable, "-c", COPY, str(trained.file(stage)), str(self.file(stage)), str(tmp_path / "log")]

    monkeypatch.setattr(PictureRun, "command", copies)
    monkeypatch.setattr(train_all, "room", lambda: (2, 1))
    return PictureRun(tmp_path / "run", "cpu", 3, data=str(source))


def test_the_stages_of_pictures_run_in_their_order(run, tmp_path):
    finish(run, Clock(tmp_path / "seconds.json"))
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(stage for word, stage in lines if word == "end") == sorted(run.order)
    after_clip = lines[lines.index(["end", "clip"]) :]
    assert all(["start", stage] in after_clip for stage in ("decoder", "prior", "ar-prior"))
    assert all(run.done(stage) for stage in run.order) and "judge" not in run.order


def test_one_stage_makes_what_three_need(run):
    randomise(CLIP(READS)).save(run.file("clip"), train=json.dumps(run.config("clip")))
    assert run.ready() == ["decoder", "ar-prior", "prior", "upsampler-1"]
    run.running["decoder"] = None
    assert run.ready() == ["upsampler-1"] and not run.shared
    folder = run.folder / "pictures-64-embedded"
    folder.mkdir()
    (folder / "done.txt").write_text("29\n")
    assert not run.shared
    (folder / "done.txt").write_text("30\n")
    assert run.shared and run.ready() == ["ar-prior", "prior", "upsampler-1"]
    run.forget_embedded()
    assert not folder.exists()


@pytest.mark.slow
def test_every_stage_of_emoji_from_nothing(tmp_path):
    """Two steps of every stage, for real: three minutes on two cores."""
    assert main(["train", "all", "--data", "emoji", "--steps", "2", "--out", str(tmp_path), "--captions", "20"]) == 0
    files = {path.name for path in tmp_path.iterdir()}
    assert {f"{stage}.safetensors" for stage in PictureRun.order} <= files
    assert {"SHA256.json", "results", "pictures.png"} <= files and not list(tmp_path.glob("pictures-*"))
    assert read_weights(tmp_path / "prior.safetensors")[0]["data"] == "emoji"
    assert measured(tmp_path)["captions"] == 20 and command.AMONG[-1] == 20
