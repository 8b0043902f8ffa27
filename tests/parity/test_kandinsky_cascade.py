"""Kandinsky 2.2 as a cascade: how it draws, where its weights lie, and what is said of folders that are not its own."""

import json
import shutil
import sys
from dataclasses import replace

import pytest
import torch
from helpers import relative_error
from kandinsky_folder import SIZE
from karlo_folder import CAPTIONS
from PIL import Image

import minunclip
from minunclip.__main__ import main
from minunclip.pretrained import KANDINSKY, MODES, FallbackWarning, KandinskyDecoder, is_kandinsky, late, released
from minunclip.pretrained.folder_configs import prior_config

FEW = replace(KANDINSKY, prior_steps=2, decoder_steps=3)
pytestmark = pytest.mark.usefixtures("no_gradients")


@pytest.fixture(scope="module")
def drawn(kandinsky_place):
    return minunclip.load(kandinsky_place).sample(CAPTIONS, 5, SIZE, settings=FEW)


@pytest.fixture
def own(kandinsky_place, tmp_path):
    """A copy of the folder that a test may break."""
    return shutil.copytree(kandinsky_place, tmp_path / "own")


@pytest.mark.parametrize("mode", MODES)
def test_the_modes_draw_the_same_picture(kandinsky_place, drawn, mode):
    cascade = minunclip.load(kandinsky_place, memory=mode)
    assert cascade.memory == mode
    assert torch.equal(cascade.sample(CAPTIONS, 5, SIZE, settings=FEW).image, drawn.image)


def test_a_picture_has_its_own_seed_and_its_size(kandinsky_place, drawn):
    cascade = minunclip.load(kandinsky_place)
    alone = cascade.sample(CAPTIONS[1], 6, SIZE, settings=FEW)
    assert relative_error(alone.image, drawn.image[1:]) < 1e-3 < relative_error(drawn.image[:1], drawn.image[1:])
    assert {*cascade.sample(CAPTIONS[0], settings=FEW).images} == {192}
    with pytest.raises(ValueError, match=r"cannot draw at 200 pixels: choose one of \[128, 192, 256\]"):
        cascade.sample(CAPTIONS, size=200)
    with pytest.raises(ValueError, match="the caption is empty"):
        cascade.sample("")


def test_memory_that_runs_out_leads_to_the_next_mode(kandinsky_place, drawn, monkeypatch):
    """Also in the middle of the decoder: its noise begins anew, and the picture is the same."""
    cascade, denoiser, calls = minunclip.load(kandinsky_place), KandinskyDecoder.denoiser, []

    def failing(self, *given):
        inner = denoiser(self, *given)

        def outer(x_t, t):
            calls.append(cascade.memory)
            if len(calls) == 2:
                raise RuntimeError("CUDA out of memory. Tried to allocate")
            return inner(x_t, t)

        return outer

    monkeypatch.setattr(KandinskyDecoder, "denoiser", failing)
    with pytest.warns(FallbackWarning, match="once more with disk"):
        drawing = cascade.sample(CAPTIONS, 5, SIZE, settings=FEW)
    assert calls == ["resident"] * 2 + ["disk"] * 3 and torch.equal(drawing.image, drawn.image)


def test_without_room_for_both_the_decoder_comes_alone_and_goes(kandinsky_place, drawn, monkeypatch):
    cascade = minunclip.load(kandinsky_place)
    monkeypatch.setattr(released, "free_on", lambda device: 1000)
    assert torch.equal(cascade.sample(CAPTIONS, 5, SIZE, settings=FEW).image, drawn.image)
    assert cascade.memory == "disk" and cascade.decoder.model is None and cascade.loader.here is None


def test_draws_in_half_precision(kandinsky_place, drawn):
    """The U-Net in bfloat16, and MoVQ, whose sums are long, in float32."""
    cascade = minunclip.load(kandinsky_place, dtype=torch.bfloat16)
    drawing = cascade.sample(CAPTIONS, 5, SIZE, settings=FEW)
    assert drawing.image.isfinite().all() and relative_error(drawing.z_i, drawn.z_i) < 0.2
    assert {p.dtype for p in cascade.decoder.model.unet.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in cascade.decoder.model.movq.parameters()} == {torch.float32}


def test_the_command_line_draws_a_folder(kandinsky_place, tmp_path, capsys):
    out = tmp_path / "a.png"
    options = ["--model", str(kandinsky_place), "--size", str(SIZE), "--out", str(out), "--dtype", "float32",
               "--device", "cpu", "--steps", "2", "--prior-steps", "2"]  # fmt: skip
    assert main(["draw", CAPTIONS[0], *options]) == 0
    assert "float32, weights resident" in capsys.readouterr().err
    with Image.open(out) as picture:
        assert picture.size == (SIZE, SIZE)


# -- folders -------------------------------------------------------------------------------------------------


def test_the_folders_may_have_the_makers_names(own, drawn):
    for name in ("prior", "decoder"):
        (own / name).rename(own / f"kandinsky-2-2-{name}")
    assert is_kandinsky(own) and not is_kandinsky(own / "kandinsky-2-2-prior") and is_kandinsky("kandinsky")
    assert torch.equal(minunclip.load(own).sample(CAPTIONS, 5, SIZE, settings=FEW).image, drawn.image)


def test_weights_in_half_precision_are_found(own, kandinsky, drawn):
    shutil.rmtree(own / "decoder" / "unet")
    kandinsky["decoder"]["unet"].save_pretrained(own / "decoder" / "unet", variant="fp16")
    assert torch.equal(minunclip.load(own).sample(CAPTIONS, 5, SIZE, settings=FEW).image, drawn.image)


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


SCHEDULER, UNET = "decoder/scheduler/scheduler_config.json", "decoder/unet/config.json"
WRONG = {
    "no image encoder": (lambda f: shutil.rmtree(f / "prior/image_encoder"), "has no image_encoder, which tells what"),
    "another prior": (lambda f: change(f / UNET, encoder_hid_dim=48), "makes z_i of 32 numbers, and .* reads 48"),
    "another scheduler": (lambda f: change(f / SCHEDULER, variance_type="learned_range"), "variance_type is 'learned"),
    "another prediction": (lambda f: change(f / SCHEDULER, prediction_type="v_prediction"), "can build 'epsilon' only"),
    "another decoder": (lambda f: change(f / UNET, encoder_hid_dim_type="text_proj"), "can build 'image_proj' only"),
    "no weights": (lambda f: (f / "decoder/movq/diffusion_pytorch_model.safetensors").unlink(), "is missing: fetch"),
    "no config": (lambda f: (f / UNET).unlink(), "unet.config.json is missing"),
}  # fmt: skip


@pytest.mark.parametrize("spoil, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_folder_is_said_at_once(own, spoil, message):
    spoil(own)
    with pytest.raises(ValueError, match=message) as error:
        minunclip.load(own)
    assert "\n" not in str(error.value)


def test_a_damaged_file_of_the_decoder_is_named(own):
    path = own / "decoder" / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="unet has no such network, or not all of it") as error:
        KandinskyDecoder.from_pretrained(own / "decoder")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ["diffusers", "transformers"])
def test_without_the_extra_the_error_says_what_to_install(kandinsky_place, missing, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, missing, None)
    for model in (kandinsky_place, "kandinsky"):                        # before anything is fetched
        with pytest.raises(ImportError, match=rf"Kandinsky's decoder needs diffusers .*{missing}.*\[upscale\]"):
            minunclip.load(model)
    assert main(["draw", "a corgi", "--model", "kandinsky"]) == 2
    assert "Kandinsky's decoder needs diffusers" in capsys.readouterr().err


def test_a_prior_of_one_step_is_refused(tmp_path):
    """ECLIPSE's (Patel et al. 2023): it is told no timestep, and so has one position less than ours."""
    (tmp_path / "prior").mkdir()
    config = {"num_attention_heads": 16, "attention_head_dim": 32, "num_layers": 10, "embedding_dim": 1280,
              "num_embeddings": 77, "additional_embeddings": 3}  # fmt: skip
    (tmp_path / "prior" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="additional_embeddings is 3, and minunclip can build 4 only"):
        prior_config(tmp_path)


def test_a_late_model_stays_where_there_is_room(kandinsky_place):
    loaded = []
    model = late.Late(lambda: loaded.append(1) or torch.nn.Identity(), 10, torch.device("cpu"))
    for _ in range(2):
        with model.here(minunclip.load(kandinsky_place)) as found:
            assert isinstance(found, torch.nn.Identity)
    assert loaded == [1]
