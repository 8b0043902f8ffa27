"""The command line in this process, on a tiny cascade: pictures, one-line errors, and no file left behind."""

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ship, tamper, tiny_cascade, tiny_folder
from PIL import Image

from minunclip import pretrained
from minunclip.__main__ import main
from minunclip.commands import draw
from minunclip.plots.pictures import to_pil
from minunclip.unclip import UnCLIP

CAPTION = "a big red circle above a small blue square"


@pytest.fixture(scope="module")
def cascade() -> UnCLIP:
    return tiny_cascade()


@pytest.fixture
def tiny(cascade, monkeypatch, tmp_path) -> None:
    """`scenes` is the tiny cascade, on the CPU, and the current folder is an empty one."""

    def load(name, *where, prior):
        return cascade if name == "scenes" else pretrained.load(name, *where, prior=prior)

    monkeypatch.setattr(draw, "load", load)
    monkeypatch.setattr(draw, "best_device", lambda: torch.device("cpu"))
    monkeypatch.chdir(tmp_path)


# -- draw ----------------------------------------------------------------------------------------------------


def test_draw_writes_a_picture(tiny, tmp_path, cascade, capsys):
    assert main(["draw", CAPTION, "--out", "circle.png", "--seed", "3"]) == 0
    assert capsys.readouterr().out.strip() == "circle.png"
    with Image.open(tmp_path / "circle.png") as picture:
        assert (picture.size, picture.mode, picture.format) == ((128, 128), "RGB", "PNG")
        assert CAPTION in picture.text["Description"] and "seed 3" in picture.text["Description"]
        expected = cascade.sample([CAPTION], seed=3).image[0]
        assert np.array_equal(np.asarray(picture), np.asarray(to_pil(expected)))
    assert [path.name for path in tmp_path.iterdir()] == ["circle.png"]


def test_the_same_seed_gives_the_same_bytes(tiny, tmp_path):
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert main(["draw", CAPTION, "--out", f"{name}.png", "--seed", seed]) == 0
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("size", [32, 64])
def test_draw_at_a_size(tiny, size):
    assert main(["draw", "a star", "--size", str(size)]) == 0
    with Image.open("picture.png") as picture:
        assert picture.size == (size, size)


def test_draw_several_captions(tiny, cascade):
    captions = ["a star", "a fish", "a moon"]
    assert main(["draw", *captions, "--size", "64", "--seed", "2"]) == 0
    expected = draw.sheet(cascade.sample(captions, seed=2, size=64))
    with Image.open("picture.png") as picture:
        assert picture.width * picture.height > 3 * 64 * 64
        assert np.array_equal(np.asarray(picture.convert("RGB")), np.asarray(expected.convert("RGB")))


def test_every_option_reaches_the_settings(tiny, monkeypatch, cascade):
    seen = {}
    stream = cascade.stream

    def spy(captions, seed, size, *, settings):
        seen.update(captions=captions, seed=seed, size=size, settings=settings)
        return stream(captions, seed, size, settings=settings)

    monkeypatch.setattr(cascade, "stream", spy)
    options = ["--seed", "5", "--size", "32", "--guidance", "3.5", "--prior-guidance", "1.5", "--steps", "6",
               "--prior-steps", "7", "--candidates", "3", "--sampler", "dpm"]  # fmt: skip
    assert main(["draw", CAPTION, *options]) == 0
    changed = replace(cascade.settings, decoder_guidance=3.5, prior_guidance=1.5, decoder_steps=6, prior_steps=7,
                      candidates=3, sampler="dpm")  # fmt: skip
    assert seen == {"captions": [CAPTION], "seed": 5, "size": 32, "settings": changed}


BAD = {
    "an unknown word": (["a red trangle"], "does not know the word 'trangle'", "did you mean 'triangle'"),
    "an empty caption": ([""], "the caption is empty", ""),
    "a blank caption": (["a star", "  "], "the caption is empty", ""),
    "a caption too long": (["red " * 31], "31 words", "at most 30"),
    "too much guidance": ([CAPTION, "--guidance", "99"], "decoder_guidance is 99", "50"),
    "negative guidance": ([CAPTION, "--prior-guidance", "-1"], "prior_guidance is -1", "0"),
    "no number": ([CAPTION, "--guidance", "nan"], "decoder_guidance is nan", ""),
    "too few steps": ([CAPTION, "--steps", "1"], "decoder_steps is 1", "2 to 1000"),
    "too many steps": ([CAPTION, "--prior-steps", "1001"], "prior_steps is 1001", "2 to 1000"),
    "no such sampler": ([CAPTION, "--sampler", "euler"], "there is no sampler 'euler'", "ddim, analytic, dpm"),
    "no candidates": ([CAPTION, "--candidates", "0"], "candidates is 0", "1 to 100"),
    "a size that is not there": ([CAPTION, "--size", "100"], "cannot draw at 100 pixels", "[32, 64, 128]"),
    "a missing folder": ([CAPTION, "--out", "nowhere/a.png"], "cannot write nowhere/a.png", "choose another --out"),
    "a folder": ([CAPTION, "--out", "folder.png"], "cannot write folder.png: it is a folder", "choose another --out"),
    "another format": ([CAPTION, "--out", "a.jpg"], "a.jpg is no PNG file name", ".png"),
    "an unknown model": ([CAPTION, "--model", "scene"], "there is no model 'scene'", "did you mean 'scenes'"),
    "a seed out of range": ([CAPTION, "--seed", str(10**30)], "seed", str(10**30)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line_and_leaves_no_file(tiny, tmp_path, capsys, name):
    arguments, *messages = BAD[name]
    (tmp_path / "folder.png").mkdir()
    assert main(["draw", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minunclip: ") and error.count("\n") == 1 and error.endswith("\n")
    assert all(message in error for message in messages), error
    assert [path.name for path in tmp_path.rglob("*")] == ["folder.png"]


def test_a_folder_without_permission_is_refused_before_the_work(tiny, monkeypatch, capsys):
    monkeypatch.setattr("minunclip.common.writing.os.access", lambda path, mode: False)
    Path("picture.png").touch()
    assert main(["draw", CAPTION]) == 2
    assert capsys.readouterr().err == "minunclip: cannot write picture.png: permission denied; choose another --out\n"


def test_a_failing_save_leaves_the_old_picture(tiny, tmp_path, monkeypatch, capsys):
    assert main(["draw", CAPTION]) == 0
    before = (tmp_path / "picture.png").read_bytes()

    def full(self, file, *args, **kwargs):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert main(["draw", CAPTION, "--seed", "1"]) == 2
    assert "cannot write picture.png: the disk is full" in capsys.readouterr().err
    assert (tmp_path / "picture.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_a_tampered_weight_file_is_named(tmp_path, monkeypatch, capsys):
    folder = tiny_folder(tmp_path)
    ship(monkeypatch, folder)
    out = tmp_path / "picture.png"
    assert main(["draw", CAPTION, "--out", str(out), "--steps", "2", "--prior-steps", "2"]) == 0
    out.unlink()
    tamper(folder / "decoder.safetensors")
    capsys.readouterr()
    assert main(["draw", CAPTION, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "decoder.safetensors is not the file that was shipped" in error
    assert not out.exists()


@pytest.mark.parametrize("arguments", [[], ["paint"], ["draw"], ["draw", CAPTION, "--seed", "x"], ["train", "unet"]])
def test_what_cannot_be_parsed_exits_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2 and "usage: minunclip" in capsys.readouterr().err


def test_bad_arguments_of_train_and_evaluate(capsys, tmp_path):
    assert main(["train", "judge", "--steps", "0", "--out", str(tmp_path / "judge.safetensors")]) == 2
    assert capsys.readouterr().err == "minunclip: --steps is 0: train for one step or more\n"
    assert main(["evaluate", "--captions", "3", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "minunclip: --captions is 3: measure at least 10\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_so(tiny, monkeypatch, capsys, how):
    def interrupted(*args, **kwargs):
        signal.raise_signal(how)

    monkeypatch.setattr(draw, "draw", interrupted)
    assert main(["draw", CAPTION]) == 130
    assert capsys.readouterr().err == "minunclip: stopped\n"


# -- pictures ------------------------------------------------------------------------------------------------


def test_to_pil_rounds_and_clips():
    image = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).view(1, 1, 5).expand(3, 1, 5)
    assert np.asarray(to_pil(image))[0, :, 0].tolist() == [0, 0, 128, 255, 255]
