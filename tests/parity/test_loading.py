"""Loading released weights: what fits is complete and in place, what does not is an error that names it."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from diffusers.schedulers import UnCLIPScheduler
from helpers import normal, relative_error
from karlo_folder import CAPTIONS, SIZE, WEIGHTS, WIDTH, image_encoder, prior
from safetensors.torch import load_file, save_file

import minunclip
from minunclip.__main__ import main
from minunclip.pretrained import MODES, LazyStage, prior_part
from minunclip.pretrained import offload as memory
from minunclip.pretrained.cascade import KARLO
from minunclip.pretrained.diffusers_folder import clip_part
from minunclip.text import Text

FEW = replace(KARLO, prior_steps=2, decoder_steps=2, upsampler_steps=(2,))


@pytest.fixture
def own(folder, tmp_path):
    """A copy of the folder that a test may break."""
    return shutil.copytree(folder, tmp_path / "karlo")


def edit(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_weights_are_all_there_and_ready(loaded):
    assert loaded.settings == KARLO and loaded.sizes == [16, 64]
    for stage in (loaded.clip, loaded.prior, loaded.decoder, *loaded.upsamplers):
        tensors = [*stage.state_dict().values()]
        assert not stage.training and all(tensor.device.type == "cpu" for tensor in tensors)
        assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in tensors)
    assert loaded.prior.diffusion.betas.device.type == "cpu"


@pytest.mark.parametrize("mode", MODES)
def test_the_modes_draw_the_same_picture(folder, drawn, mode):
    cascade = minunclip.load(folder, memory=mode)
    assert cascade.memory == mode and minunclip.load(folder).memory == "resident"  # tiny, it fits
    assert torch.equal(cascade.sample(CAPTIONS, seed=5, settings=FEW).image, drawn)


@pytest.fixture(scope="module")
def drawn(loaded):
    return loaded.sample(CAPTIONS, seed=5, settings=FEW).image


@torch.no_grad()
def test_every_network_in_bfloat16_is_close_to_float32(folder, loaded):
    """bfloat16 keeps 8 bits: each number is off by up to 0.4 %, and a network by a few times that."""
    half = minunclip.load(folder, dtype=torch.bfloat16)
    t, text = torch.tensor([500, 20]), loaded.encode_text(CAPTIONS)
    z_i, x_t = normal(2, WIDTH), normal(2, 3, SIZE, SIZE)
    runs = {
        "text": lambda c: c.encode_text(CAPTIONS).embed,
        "prior": lambda c: c.prior(z_i, t, text),
        "decoder": lambda c: c.decoder(x_t, t, z_i, text),
        "upsampler": lambda c: c.upsamplers[0](normal(2, 3, 64, 64), t, x_t),
    }
    for name, run in runs.items():
        assert 1e-4 < relative_error(run(half).float(), run(loaded)) < 3e-2, name
    assert half.decoder.diffusion.alphas_bar.dtype == torch.float32  # the samplers' tables


def test_the_command_line_draws_a_folder(folder, tmp_path, capsys):
    options = ["--model", str(folder), "--size", "16", "--out", str(tmp_path / "a.png"), "--dtype", "float32",
               "--memory", "disk", "--steps", "2", "--prior-steps", "2", "--device", "cpu"]  # fmt: skip
    assert main(["draw", CAPTIONS[0], "word " * 80, *options]) == 0
    error = capsys.readouterr().err
    assert "weights disk\n" in error and "this caption has 80 tokens, and CLIP reads 75" in error
    assert error.count("this caption") == 1 and (tmp_path / "a.png").is_file()
    assert main(["draw", CAPTIONS[0], *options[:2], "--size", "32", *options[4:]]) == 2
    assert "cannot draw at 32 pixels: choose one of [16, 64]" in capsys.readouterr().err


def test_a_run_needs_neither_diffusers_nor_transformers(folder):
    """Nor loads open_clip as a whole, which takes seconds."""
    program = ("import sys; import minunclip; "
               "minunclip.load(sys.argv[1]).encode_text(['a']); "
               "print(sorted({'diffusers', 'transformers', 'open_clip'} & {*sys.modules}))")  # fmt: skip
    run = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_too_little_memory_is_noticed_before_anything_is_read(folder, monkeypatch):
    monkeypatch.setattr(memory, "free_on", lambda device: 1_000_000)
    monkeypatch.setattr(LazyStage, "read", lambda *_: pytest.fail("read"))
    with pytest.raises(MemoryError, match="the mode 'disk' takes 0.0 GB of RAM, and 0.0 GB of RAM are free"):
        minunclip.load(folder)


def test_draws_in_half_precision(folder):
    cascade = minunclip.load(folder, dtype=torch.bfloat16)
    assert {p.dtype for p in cascade.decoder.parameters()} == {torch.bfloat16}
    drawing = cascade.sample(CAPTIONS, settings=FEW)
    assert drawing.image.shape == (2, 3, 64, 64) and drawing.image.isfinite().all()


# -- relatives -----------------------------------------------------------------------------------------------


def test_a_prior_of_other_width_and_clip_loads_by_its_config(tmp_path):
    """Kandinsky's layout: no prior_scheduler folder, but a scheduler that clips at 10."""
    theirs = prior(width=48)
    theirs.save_pretrained(tmp_path / "prior")
    UnCLIPScheduler(prediction_type="sample", clip_sample_range=10.0).save_pretrained(tmp_path / "scheduler")
    ours = LazyStage.of(prior_part(tmp_path)).load()
    assert (ours.config.z_width, ours.config.diffusion.clip) == (48, 10.0)
    z_t, tokens = normal(2, 48, seed=2), normal(2, 77, 48, seed=3)
    mask = torch.arange(77) < torch.tensor([[5], [77]])
    with torch.no_grad():
        expected = theirs(normal(2, 48), 500, z_t, tokens, mask).predicted_image_embedding
        actual = ours(normal(2, 48), torch.tensor([500, 500]), Text(z_t, tokens, mask))
    assert relative_error(actual, expected) < 5e-6


def test_image_variations_have_an_image_encoder_and_no_prior(own):
    theirs = image_encoder()
    theirs.save_pretrained(own / "image_encoder")
    shutil.rmtree(own / "prior")
    cascade = minunclip.load(own)
    with torch.no_grad():
        expected = theirs(normal(2, 3, 28, 28)).image_embeds
        assert relative_error(cascade.clip.encode_image(normal(2, 3, 28, 28)), expected) < 5e-6
    with pytest.raises(ValueError, match="has no prior"):
        cascade.sample(CAPTIONS)


def test_without_an_image_encoder_pictures_are_refused(loaded):
    assert loaded.clip.image is None
    with pytest.raises(ValueError, match="captions, not pictures"):
        loaded.clip.encode_image(normal(1, 3, 224, 224))


def test_position_ids_of_old_files_are_ignored(own):
    edit(own / "text_encoder" / "model.safetensors",
         lambda t: t.update({"text_model.embeddings.position_ids": torch.arange(77)[None]}))  # fmt: skip
    assert LazyStage.of(clip_part(own)).load().config.embed_width == WIDTH


# -- weights that do not fit ---------------------------------------------------------------------------------

BROKEN = {
    "a missing tensor": (lambda t: t.pop("transformer_blocks.1.attn1.to_k.weight"),
                         r"1 tensors are missing.*'transformer\.blocks\.1\.attention\.k\.weight'"),
    "an extra one": (lambda t: t.update(surplus=torch.zeros(3)), "'surplus' has no place"),
    "a wrong shape": (lambda t: t.update(proj_in_weight=t.pop("proj_in.weight")) or t.update(
                      {"proj_in.weight": t.pop("proj_in_weight")[:, :5].clone()}),
                      r"'proj_in\.weight' has shape \(64, 5\).* asks for \(64, 32\)"),
}  # fmt: skip


@pytest.mark.parametrize("change, message", BROKEN.values(), ids=BROKEN)
def test_every_tensor_is_accounted_for(own, change, message):
    edit(own / "prior" / WEIGHTS, change)
    with pytest.raises(ValueError, match=message) as error:
        minunclip.load(own)
    assert str(own / "prior" / WEIGHTS) in str(error.value)


@pytest.mark.parametrize("part", ["text_proj", "decoder", "super_res_first", "super_res_last"])
def test_a_truncated_or_absent_file_is_named(own, part):
    path = own / part / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{part}.* is damaged or not whole"):
        minunclip.load(own)
    path.unlink()
    with pytest.raises(ValueError, match=rf"{part}.* is missing: fetch it again"):
        minunclip.load(own)


@pytest.mark.parametrize("path, setting, value", [
    ("prior/config.json", "added_emb_type", None), ("decoder/config.json", "norm_eps", 1e-6),
    ("decoder/config.json", "class_embed_type", "timestep"), ("super_res_first/config.json", "add_attention", True),
    ("text_encoder/config.json", "layer_norm_eps", 1e-6),
])  # fmt: skip
def test_a_network_that_ours_cannot_be_is_refused(own, path, setting, value):
    (own / path).write_text(json.dumps(json.loads((own / path).read_text()) | {setting: value}))
    with pytest.raises(ValueError, match=rf"{path}: {setting} is {value!r}"):
        minunclip.load(own)


def test_a_folder_that_is_none_of_these(own, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"decoder.config\.json is missing: this folder is no released cascade"):
        minunclip.load(tmp_path / "empty")
    (own / "text_proj" / "config.json").write_text('{"half')
    with pytest.raises(ValueError, match=r"text_proj.config\.json is damaged"):
        minunclip.load(own)
