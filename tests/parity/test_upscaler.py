"""The x4 upscaler: our loop over its parts against diffusers' own pipeline, and its place in the cascade."""

import sys

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, StableDiffusionUpscalePipeline, UNet2DConditionModel
from helpers import normal, randomise, relative_error, tiny_cascade
from karlo_folder import CAPTIONS, tokenizer
from transformers import CLIPTextConfig, CLIPTextModel

from minunclip.diffusion import noise_stream
from minunclip.pretrained import UPSCALERS, LateUpscaler, Upscaler
from minunclip.pretrained import upscaler as upscaler_module
from minunclip.pretrained.upscaler import UpscalerConfig

LOW, SIZE, STEPS = 16, 64, 5
SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02, "clip_sample": False}
TINY = UpscalerConfig(size=SIZE, low_size=LOW)


@pytest.fixture(scope="module")
def pipeline():
    """Every part of the released pipeline, tiny and with random weights."""
    text = CLIPTextConfig(vocab_size=49408, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                          num_attention_heads=4, eos_token_id=2)  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=LOW, in_channels=7, out_channels=4, block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32, attention_head_dim=8, num_class_embeds=1000,
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 32, 64), latent_channels=4, scaling_factor=0.08333, norm_num_groups=8,
    )  # fmt: skip
    unet = randomise(unet, 2)
    unet.class_embedding.weight.data *= 5  # the noise level must matter
    return StableDiffusionUpscalePipeline(
        vae=randomise(vae, 1), text_encoder=randomise(CLIPTextModel(text), 3), tokenizer=tokenizer(), unet=unet,
        low_res_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        scheduler=DDIMScheduler(**SCHEDULE, prediction_type="v_prediction", set_alpha_to_one=False, steps_offset=1),
    )  # fmt: skip


@pytest.fixture
def upscaler(pipeline):
    return Upscaler(pipeline, TINY)


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def low_pictures():
    return (0.5 * normal(2, 3, LOW, LOW)).clamp(-1, 1)


def steps_of(upscaler, rows=slice(None), steps=STEPS):
    """Every step of enlarging some of the pictures, from the noise of seeds 3 and 4."""
    low, noise = low_pictures()[rows], noise_stream(upscaler.noise_shape(low_pictures()[rows]), generators(3, 4)[rows])
    return [*upscaler.stream(low, noise, steps=steps, captions=CAPTIONS[rows])]


def enlarged(upscaler, rows=slice(None), steps=STEPS):
    return steps_of(upscaler, rows, steps)[-1].x_t


@pytest.mark.parametrize("guidance, noise", [(9.0, 20), (1.0, 20), (4.0, 300)])
def test_equals_the_pipeline(pipeline, guidance, noise):
    pipeline.set_progress_bar_config(disable=True)

    def theirs(guidance=guidance, noise=noise, captions=CAPTIONS):
        return 2 * pipeline(
            captions, low_pictures() / 2 + 0.5, STEPS, guidance, noise, generator=generators(3, 4), output_type="pt"
        ).images - 1  # fmt: skip

    ours = Upscaler(pipeline, UpscalerConfig(SIZE, LOW, guidance, noise))
    picture = enlarged(ours)
    expected = theirs()
    assert picture.shape == (2, 3, SIZE, SIZE) and picture.std() > 0.05 and picture.abs().max() <= 1
    assert relative_error(picture, expected) < 1e-5
    assert relative_error(theirs(guidance=guidance + 1), expected) > 1e-3
    assert relative_error(theirs(noise=noise + 30), expected) > 1e-3
    assert relative_error(theirs(captions=["", ""]), expected) > 1e-3


def test_yields_every_step(upscaler):
    steps = steps_of(upscaler)
    assert len(steps) == STEPS and [step.t for step in steps] == sorted((step.t for step in steps), reverse=True)
    assert [step.t == 0 for step in steps] == [False] * (STEPS - 1) + [True]
    assert {step.x_t.shape for step in steps[:-1]} == {(2, 4, LOW, LOW)}


def test_pictures_do_not_depend_on_their_neighbours(upscaler):
    both, alone = enlarged(upscaler), enlarged(upscaler, slice(1, 2))
    assert relative_error(alone, both[1:]) < 1e-5


def test_half_precision_decodes_in_single(pipeline):
    upscaler = Upscaler(pipeline, TINY).to(torch.bfloat16)
    picture = enlarged(upscaler, steps=2)
    upscaler.float()
    assert picture.dtype == torch.float32 and picture.isfinite().all()


# -- in the cascade ------------------------------------------------------------------------------------------


def test_the_cascade_draws_at_its_size(pipeline):
    captions, cascade = ["a red star", "a blue fish above a moon"], tiny_cascade()
    upscaler = Upscaler(pipeline, UpscalerConfig(size=256, low_size=64))
    cascade.upsamplers, before = cascade.upsamplers[:1], cascade.settings
    cascade.settings = type(before)(**{**vars(before), "upsampler_steps": (2,)})
    plain = cascade.sample(captions, seed=5)
    upscaler.add_to(cascade, steps=3)
    assert cascade.sizes == [32, 64, 256] and cascade.settings.upsampler_steps == (2, 3)
    stream = cascade.stream(captions, seed=5)
    progress = [*stream]
    ends = [(p.stage, p.done, p.total) for p in progress[-3:]]
    assert ends == [("upsampler-2", done, 3) for done in (1, 2, 3)]
    images = stream.result.images
    assert images[256].shape == (2, 3, 256, 256) and torch.equal(images[64], plain.image)
    assert 256 not in cascade.sample(captions, seed=5, size=64).images
    again = cascade.sample(captions[1:], seed=6).image  # picture i of a batch has the seed `seed + i`
    assert (again - images[256][1:]).abs().mean() < 1e-3 < (images[256][0] - images[256][1]).abs().mean()


def test_sizes_must_meet(pipeline):
    with pytest.raises(ValueError, match=r"enlarges pictures of 16 pixels, and the cascade draws at \[32, 64, 128\]"):
        Upscaler(pipeline, TINY).add_to(tiny_cascade())


# -- loading -------------------------------------------------------------------------------------------------


def test_comes_from_a_folder(pipeline, upscaler, tmp_path):
    pipeline.save_pretrained(tmp_path)
    loaded = Upscaler.from_pretrained(tmp_path, config=TINY)
    actual, expected = (enlarged(u, steps=2) for u in (loaded, upscaler))
    assert relative_error(actual, expected) < 1e-6
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize("dtype, variant", [(torch.float32, None), (torch.float16, "fp16"), (torch.bfloat16, "fp16")])
def test_the_released_one_is_fetched_pinned_and_safe(pipeline, monkeypatch, tmp_path, dtype, variant):
    calls, unet = [], tmp_path / "unet" / f"diffusion_pytorch_model.{variant}.safetensors"
    unet.parent.mkdir()
    unet.touch()
    monkeypatch.setattr(upscaler_module, "fetch", lambda release: calls.append(release) or tmp_path)
    monkeypatch.setattr(StableDiffusionUpscalePipeline, "from_pretrained",
                        lambda *args, **options: calls.append((args, options)) or pipeline)  # fmt: skip
    assert Upscaler.from_pretrained(dtype=dtype).config == UpscalerConfig()
    assert calls == [UPSCALERS[variant], ((tmp_path,), {"dtype": dtype, "variant": variant, "use_safetensors": True})]


def test_its_weights_are_copies(pipeline, monkeypatch, tmp_path):
    """What diffusers hands out may be views of the files, which somebody may change while it draws."""
    monkeypatch.setattr(StableDiffusionUpscalePipeline, "from_pretrained", lambda *_, **__: pipeline)
    handed_out = [weight.data for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae)
                  for weight in (*part.parameters(), *part.buffers())]  # fmt: skip
    loaded = Upscaler.from_pretrained(tmp_path)
    kept = {weight.data_ptr() for weight in (*loaded.parameters(), *loaded.buffers())}
    assert kept and kept.isdisjoint(weight.data_ptr() for weight in handed_out)


def test_what_a_folder_lacks_is_said_in_a_line(pipeline, tmp_path):
    with pytest.raises(ValueError, match="there is no folder .*nowhere"):
        Upscaler.from_pretrained(tmp_path / "nowhere")
    pipeline.save_pretrained(tmp_path)
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ValueError, match=f"{tmp_path} has no x4 upscaler, or not all of it") as error:
        Upscaler.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)
    (tmp_path / "model_index.json").write_text("[")
    with pytest.raises(ValueError, match=f"{tmp_path} has no x4 upscaler, or not all of it"):
        Upscaler.from_pretrained(tmp_path)


def test_offline_it_says_what_it_wanted(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match=r"cannot download stabilityai/.*\(3\.5 GB, commit 572c992\).*HF_HUB_OFFLINE"):
        Upscaler.from_pretrained()


@pytest.mark.parametrize("missing", ["diffusers", "transformers"])
def test_without_the_extra_the_error_says_what_to_install(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"needs diffusers and transformers .*{missing}.*\[upscale\]"):
        Upscaler.from_pretrained()


def test_a_noise_level_that_the_network_does_not_know():
    with pytest.raises(ValueError, match="noise is 351, but the network knows 0 to 350"):
        UpscalerConfig(noise=351)


# -- memory --------------------------------------------------------------------------------------------------


def test_where_memory_is_short_it_decodes_in_tiles(pipeline, upscaler, monkeypatch):
    """As diffusers does when it is asked for tiles; not quite what the whole decodes to."""
    latents, vae = normal(2, 4, LOW, LOW), pipeline.vae
    whole = upscaler.decode(latents)
    assert not vae.use_tiling
    monkeypatch.setattr(upscaler_module, "free_on", lambda device: 16 * LOW * LOW * upscaler_module.BYTES_A_PIXEL - 1)
    tiled = upscaler.decode(latents)
    vae.enable_tiling()
    expected = torch.cat([vae.decode(one / vae.config.scaling_factor).sample for one in latents.split(1)]).clamp(-1, 1)
    vae.disable_tiling()
    assert torch.equal(tiled, expected) and 0 < relative_error(tiled, whole) < 1
    monkeypatch.setattr(upscaler_module, "free_on", lambda device: 16 * LOW * LOW * upscaler_module.BYTES_A_PIXEL)
    assert torch.equal(upscaler.decode(latents), whole)


def test_memory_that_runs_out_while_decoding_leads_to_tiles(pipeline, upscaler, monkeypatch):
    decode, seen, vae = pipeline.vae.decode, [], pipeline.vae

    def fails(latents):
        seen.append(vae.use_tiling)
        if not vae.use_tiling or len(seen) == 4:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return decode(latents)

    monkeypatch.setattr(vae, "decode", fails)
    assert upscaler.decode(normal(1, 4, LOW, LOW)).isfinite().all() and seen == [False, True]
    with pytest.raises(RuntimeError, match="out of memory"):
        upscaler.decode(normal(1, 4, LOW, LOW))
    vae.disable_tiling()


def test_late_it_draws_what_it_draws_early(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    late = LateUpscaler.from_pretrained(tmp_path, config=TINY)
    assert late.model is None and late.noise_shape(low_pictures()) == (2, 7, LOW, LOW)
    steps = [*late.stream(low_pictures(), [normal(2, 7, LOW, LOW)], steps=2, captions=CAPTIONS)]
    expected = [*Upscaler.from_pretrained(tmp_path, config=TINY).stream(
        low_pictures(), [normal(2, 7, LOW, LOW)], steps=2, captions=CAPTIONS)]  # fmt: skip
    assert late.model is not None and torch.equal(steps[-1].x_t, expected[-1].x_t)
    with pytest.raises(ValueError, match="there is no folder .*nowhere"):
        LateUpscaler.from_pretrained(tmp_path / "nowhere")
