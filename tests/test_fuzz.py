"""Odd command lines: a picture or one line, and nothing left behind."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

import pytest
import torch
from helpers import tiny_cascade

from minunclip import pretrained
from minunclip.__main__ import main
from minunclip.commands import draw
from minunclip.evaluation import Judge
from minunclip.evaluation.judge import JudgeConfig
from minunclip.scenes import VOCABULARY
from minunclip.training import TrainConfig
from minunclip.training.recipes.judge import JudgeRecipe

ODD = ("", " ", ".,;:!?", "\u2615", "ein großer Kreis", "\udce9", "a" * 20_000, "red " * 40, "-", "--",
       "\t", "%s", "\x1b[31m")  # fmt: skip
NUMBERS = ("0", "1", "2", "3", "7", "-1", "101", "1001", "1e3", "nan", "inf", "-inf", "1e400", "0x10", "٣", "x", "",
           "9" * 40, "3.5")  # fmt: skip
PLACES = ("a.png", "a.PNG", "b.jpg", "folder.png", "nowhere/a.png", "file/a.png", "a", "", ".", "..", "/dev/null",
          "/proc/a.png", "ä ☕.png", "\udce9.png", "x" * 300 + ".png", "~/nowhere/a.png", "-.png")  # fmt: skip
MODELS = ("scenes", "scene", "karl", "", ".", "folder.png", "file", "~/none", "\udce9", "karlo/prior")
DRAW = {
    "--out": PLACES, "--seed": NUMBERS, "--size": ("32", "64", "128", *NUMBERS), "--guidance": NUMBERS,
    "--steps": NUMBERS, "--prior-guidance": NUMBERS, "--prior-steps": NUMBERS, "--candidates": NUMBERS,
    "--model": MODELS, "--upsampler-steps": ("2", "2,3", "2,", ",", "1,1", "2,3,4", *NUMBERS),
    "--sampler": ("ddim", "dpm", "DDIM", "", "x"),
    "--device": ("cpu", "cuda", "mps", "tpu"), "--dtype": ("float32", "int8"), "--memory": ("auto", "disk", "tape"),
}  # fmt: skip
TRAIN = {
    "--out": PLACES, "--profile": ("cpu", "gpu", "tpu"), "--clip": MODELS, "--steps": ("1", "2", "0", "-3", "x", "1.5"),
    "--workers": ("0", "-1", "x"), "--captions": NUMBERS, "--fresh": ("",),
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, in which a tiny cascade draws and a tiny judge is trained."""
    cascade = tiny_cascade()
    monkeypatch.setattr(draw, "load", lambda name, *how: cascade if name == "scenes" else pretrained.load(name, *how))
    monkeypatch.setattr(draw, "best_device", lambda: torch.device("cpu"))
    small = TrainConfig(steps=2, batch=4, examples=8, warmup=1)
    monkeypatch.setattr(JudgeRecipe, "profiles", {"cpu": small, "gpu": small})
    monkeypatch.setattr(JudgeRecipe, "build", lambda recipe: Judge(JudgeConfig(width=8, features=16)))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("minunclip.commands.train.DATA", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("no folder")
    return tmp_path


def command(random: Random) -> list[str]:
    """draw, train or neither, with a few options."""
    words = [" ".join(random.choices(VOCABULARY, k=random.randint(1, 6))) for _ in range(random.randint(1, 3))]
    captions = [random.choice(ODD) if random.random() < 0.2 else text for text in words]
    start, options = random.choice([
        (["draw", *captions], DRAW), (["draw", "a red star"], DRAW), (["draw"], DRAW), (["train", "judge"], TRAIN),
        (["train", random.choice(["prior", "decoder", "ar-prior", "jugde", ""])], TRAIN), ([random.choice(ODD)], {}),
    ])  # fmt: skip
    chosen = random.sample(sorted(options), k=min(len(options), random.choice([0, 1, 1, 2, 3])))
    return start + [part for name in chosen for part in given(name, random.choice(options[name]))]


def given(name: str, value: str) -> list[str]:
    """An option as one word, or as two."""
    return [name] if name == "--fresh" else [f"{name}={value}"]


def run(arguments: list[str]) -> tuple[int, str]:
    """Exit status and stderr. An error of ours would come through."""
    told = io.StringIO()
    try:
        with redirect_stderr(told), redirect_stdout(io.StringIO()):
            return main(arguments), told.getvalue()
    except SystemExit as refused:                                       # by argparse
        return refused.code, told.getvalue()


def files(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*")}


@pytest.mark.parametrize("tries", [150, pytest.param(10_000, marks=pytest.mark.slow)])
def test_odd_command_lines(place, tries):
    random, refused = Random(1), 0
    for _ in range(tries):
        arguments, before = command(random), files(place)
        status, told = run(arguments)
        new = {name for name in files(place) - before if not name.startswith("data")}
        assert status in (0, 2), (arguments, status, told)
        left = [name for name in files(place) if name.endswith((".tmp", ".lock"))]
        assert "Traceback" not in told and not left, (arguments, left)
        if status == 2:
            refused += 1
            last = told.replace("\r", "\n").rstrip("\n").split("\n")[-1]
            assert last.startswith("minunclip") and len(last) < 700, (arguments, told)
            assert not new, (arguments, new)
        for name in new:
            (place / name).unlink() if (place / name).is_file() else None
    assert tries / 4 < refused < tries                                  # some are drawn or trained, too
    assert sys.stderr is not None
