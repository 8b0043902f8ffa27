"""`minunclip draw` on a tiny cascade: where and how it computes, what it tells, and what it does when that fails."""

import re
import sys
import warnings
from pathlib import Path

import pytest
import torch
from helpers import tiny_cascade
from PIL import Image

from minunclip.__main__ import main
from minunclip.commands import draw
from minunclip.commands.arguments import build_parser
from minunclip.diffusion import SAMPLERS
from minunclip.text import CutWarning
from minunclip.unclip import UnCLIP

CAPTION = "a red star"


@pytest.fixture(scope="module")
def shared() -> UnCLIP:
    return tiny_cascade()


@pytest.fixture
def asked(shared, monkeypatch, tmp_path) -> list:
    """Every model is the tiny cascade, and the current folder an empty one; gathers how cascades are asked for."""
    calls = []
    monkeypatch.setattr(draw, "load", lambda *call, prior: calls.append(call) or shared)
    monkeypatch.setattr(draw, "ensure", lambda release, ask: None)
    monkeypatch.setattr(draw, "best_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(draw, "best_dtype", lambda device: torch.bfloat16)
    monkeypatch.chdir(tmp_path)
    return calls


@pytest.fixture
def settings(shared, monkeypatch) -> list:
    """Gathers the settings of each run."""
    seen, run = [], shared.stream

    def stream(*what, settings):
        seen.append(settings)
        return run(*what, settings=settings)

    monkeypatch.setattr(shared, "stream", stream)
    return seen


def error_of(capsys, *arguments) -> str:
    """The one line that a failing run leaves on stderr."""
    capsys.readouterr()
    assert main(["draw", CAPTION, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minunclip: ") and error.count("\n") == 1
    return error


# -- where to compute ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "call"), [
    ([], ("scenes", "cpu", torch.float32, "auto")),
    (["--model", "karlo"], ("karlo", "cpu", torch.bfloat16, "auto")),
    (["--model", "karlo", "--dtype", "float16", "--memory", "disk"], ("karlo", "cpu", torch.float16, "disk")),
    (["--dtype", "bfloat16", "--device", "cpu"], ("scenes", "cpu", torch.bfloat16, "auto")),
])  # fmt: skip
def test_where_to_compute(asked, options, call):
    assert main(["draw", CAPTION, "--size", "32", *options]) == 0
    ((name, device, *rest),) = asked
    assert (name, device.type, *rest) == call


def test_a_model_of_ones_own_computes_in_float32(asked, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "clip.safetensors").touch()
    assert main(["draw", CAPTION, "--size", "32", "--model", str(tmp_path / "mine")]) == 0
    assert asked[0][2] == torch.float32


def test_a_released_model_says_where_it_computes(asked, capsys):
    assert main(["draw", CAPTION, "--size", "32", "--model", "karlo"]) == 0
    assert "minunclip: karlo on cpu, bfloat16, weights resident\n" in capsys.readouterr().err


def test_a_device_that_is_not_here(asked, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert "no device 'cuda' here: choose cpu or mps" in error_of(capsys, "--device", "cuda")


def test_a_gpu_without_kernels_is_told_before_anything_is_loaded(asked, capsys, monkeypatch):
    def no_kernel(device):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(draw, "try_device", no_kernel)
    assert "not built for this GPU: take the CPU (--device cpu" in error_of(capsys) and asked == []


def test_settings_are_checked_before_anything_is_loaded(asked, capsys):
    assert "candidates is 0" in error_of(capsys, "--candidates", "0", "--model", "karlo") and asked == []


def test_size_1024_asks_for_the_upscaler(asked, capsys, monkeypatch):
    def missing(**where):
        raise ImportError("install the extra")

    monkeypatch.setattr(draw.LateUpscaler, "from_pretrained", missing)
    assert "cannot draw at 1024 pixels" in error_of(capsys, "--size", "1024")  # after 128 there is no upscaler
    monkeypatch.setattr(UnCLIP, "sizes", property(lambda self: [64, 256]))
    assert "install the extra" in error_of(capsys, "--size", "1024")


def test_a_missing_extra_is_told_before_anything_is_loaded(asked, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    error = error_of(capsys, "--size", "1024", "--model", "karlo")
    assert "there is no transformers" in error and ".[upscale]" in error and asked == []


# -- how to sample -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "steps"), [("2,4", (2, 4)), ("3", (3, 3))])
def test_steps_of_the_upsamplers(asked, settings, given, steps):
    assert main(["draw", CAPTION, "--upsampler-steps", given]) == 0
    assert [s.upsampler_steps for s in settings] == [steps]


def test_wrong_steps_of_the_upsamplers(asked, capsys):
    assert "has 3 numbers, and this model has 2 upsamplers" in error_of(capsys, "--upsampler-steps", "2,3,4")
    assert "upsampler_steps is 1: choose 2 to 1000" in error_of(capsys, "--upsampler-steps", "1")
    with pytest.raises(SystemExit):
        main(["draw", CAPTION, "--upsampler-steps", "many"])


def test_the_long_names_of_the_decoders_options(asked, settings):
    assert main(["draw", CAPTION, "--size", "32", "--decoder-steps", "5", "--decoder-guidance", "2.5"]) == 0
    assert [(s.decoder_steps, s.decoder_guidance) for s in settings] == [(5, 2.5)]


def test_help_names_the_models(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["draw", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "scenes draws 32, 128 or 512 pixels (default: the largest); karlo 64 or 256" in text
    assert "kandinsky 512, 768 (the default) or 1024" in text and "{auto,resident,offload,disk}" in text
    assert all(name in re.search(r"--sampler SAMPLER (.+?) --", text)[1] for name in SAMPLERS)


# -- what it tells -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "stages"), [
    ("32", ["decoder"]), ("128", ["decoder", "upsampler-1", "upsampler-2"]),
])  # fmt: skip
def test_a_bar_for_each_stage(asked, capsys, size, stages):
    """The prior's shows after a second only, so that bad input leaves no bar; this one takes less."""
    assert main(["draw", CAPTION, "--size", size]) == 0
    bars = [line.split(":")[0].strip() for line in capsys.readouterr().err.replace("\r", "\n").split("\n")]
    assert list(dict.fromkeys(bar for bar in bars if bar)) == stages
    totals = {"decoder": "4/4", "upsampler-1": "2/2", "upsampler-2": "3/3"}
    assert main(["draw", CAPTION, "--size", size]) == 0
    err = capsys.readouterr().err
    assert all(totals[stage] in err for stage in stages)


def test_a_cut_caption_is_told_in_one_line_and_still_drawn(asked, shared, capsys, monkeypatch):
    encode = shared.encode_text

    def warning(captions):
        warnings.warn("the end is cut", CutWarning, stacklevel=2)
        return encode(captions)

    monkeypatch.setattr(shared, "encode_text", warning)
    for _ in range(2):  # each time, unlike Python's own way
        assert main(["draw", CAPTION, "--size", "32"]) == 0
        assert "minunclip: the end is cut\n" in capsys.readouterr().err
    with Image.open("picture.png") as picture:
        assert picture.size == (32, 32)


def test_other_warnings_stay_as_they_are(asked, shared, monkeypatch):
    encode = shared.encode_text
    monkeypatch.setattr(shared, "encode_text", lambda captions: warnings.warn("odd", stacklevel=1) or encode(captions))
    with pytest.warns(UserWarning, match="odd"):
        main(["draw", CAPTION, "--size", "32"])


def test_forgotten_quotes_are_noticed(asked, capsys):
    assert main(["draw", *CAPTION.split(), "--size", "32"]) == 0
    assert 'drawing 3 pictures, one for each word; for one picture: draw "a red star"\n' in capsys.readouterr().err
    for captions in (["star"], [CAPTION, "star"]):                      # these may well be meant so
        assert main(["draw", *captions, "--size", "32"]) == 0
        assert "minunclip" not in capsys.readouterr().err


def test_many_captions_are_drawn_in_parts(asked, shared, monkeypatch):
    """The same pictures as at once, and no more captions at a time than fit."""
    captions, seen, run = [f"a red {kind}" for kind in ("star", "moon", "fish", "circle", "square")], [], shared.stream
    whole = shared.sample(captions, seed=3, size=64)
    monkeypatch.setattr(shared, "stream", lambda some, *rest, **how: seen.append(some) or run(some, *rest, **how))
    monkeypatch.setattr(draw, "AT_ONCE", 2)
    drawing = draw.draw(captions, Path("picture.png"), seed=3, size=64, quiet=True)
    assert [len(some) for some in seen] == [2, 2, 1] and drawing.captions == captions
    torch.testing.assert_close(drawing.image, whole.image, atol=1e-4, rtol=0)
    torch.testing.assert_close(drawing.z_i, whole.z_i, atol=1e-4, rtol=0)
    seen.clear()
    with pytest.raises(ValueError, match="does not know the word 'trangle'"):
        draw.draw([*captions, "a trangle"], Path("picture.png"), quiet=True)
    assert seen == []                                                   # refused before the first was drawn


# -- memory --------------------------------------------------------------------------------------------------


def test_memory_that_runs_out_while_drawing(asked, shared, capsys, monkeypatch):
    def failing(message):
        def fail(*run, **settings):
            raise RuntimeError(message)
            yield

        monkeypatch.setattr(shared, "stream", fail)

    failing("CUDA out of memory. Tried to allocate\n2 GiB.")
    assert "the memory ran out: draw fewer captions at once" in error_of(capsys)
    failing("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried")
    assert "--memory disk" in error_of(capsys)
    failing("a shape is wrong")
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        main(["draw", CAPTION])


def test_too_little_memory_is_one_line(asked, capsys, monkeypatch):
    def load(*call, prior):
        raise MemoryError("too little memory: the mode 'disk' would fit")

    monkeypatch.setattr(draw, "load", load)
    assert "too little memory: the mode 'disk' would fit" in error_of(capsys)
