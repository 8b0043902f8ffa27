"""The released cascade against diffusers: the whole run, with the noise replayed."""

from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from karlo_folder import CAPTIONS, LARGE, SIZE, STEPS, quantile, unmasked

import minunclip.decoder
from minunclip.diffusion import Diffusion, samplers
from minunclip.text import Text

# In a whole run rounding grows wherever a value meets the clip, so 90 % of the pixels are compared, and mistakes
# are far larger.
RUN = {SIZE: 1e-4, LARGE: 1e-3}         # 90 % quantile of the absolute difference, by the side of the picture
pytestmark = pytest.mark.usefixtures("no_gradients")


def run(cascade, reference, **options):
    settings = replace(
        cascade.settings, prior_steps=STEPS["prior"], decoder_steps=STEPS["decoder"],
        upsampler_steps=(STEPS["upsampler-1"],),
    )  # fmt: skip
    return cascade.sample(CAPTIONS, settings=settings, noise=reference.noise, **options)


def differences(drawing, reference) -> dict[int, float]:
    stages = {SIZE: "decoder", LARGE: "upsampler-1"}
    return {side: quantile(drawing.images[side], reference.samples[stage][-1].clamp(-1, 1))
            for side, stage in stages.items()}  # fmt: skip


@pytest.fixture(scope="module")
def drawing(loaded, reference):
    return run(loaded, reference, keep_steps=True)


def test_the_whole_run_equals_diffusers_step_by_step(drawing, reference):
    assert all(difference < RUN[side] for side, difference in differences(drawing, reference).items())
    for stage, count in STEPS.items():
        assert len(drawing.steps[stage]) == len(reference.samples[stage]) == count
        for step, sample in zip(drawing.steps[stage], reference.samples[stage], strict=True):
            assert quantile(step.x_t, sample) < RUN[LARGE if stage == "upsampler-1" else SIZE]


def test_the_run_is_one_in_which_clips_matter(drawing):
    """Else the test above could not tell a wrong clip from a right one, nor a picture from a flat one."""
    for stage, clip in (("prior", 5.0), ("decoder", 1.0), ("upsampler-1", 1.0)):
        last = drawing.steps[stage][-1].x_0
        assert 0.05 < float((last.abs() >= clip).float().mean()) < 0.95
    assert all(image.std() > 0.1 for image in drawing.images.values())


def no_unwhitening(cascade, monkeypatch):
    cascade.prior.mean.zero_()
    cascade.prior.std.fill_(1)


def wider_clip(cascade, monkeypatch):
    cascade.prior.diffusion = Diffusion(replace(cascade.prior.config.diffusion, clip=10.0))


def first_network_to_the_end(cascade, monkeypatch):
    cascade.upsamplers[0].last_unet = None


def no_antialias(cascade, monkeypatch):
    resize = F.interpolate
    monkeypatch.setattr(F, "interpolate", lambda *args, **k: resize(*args, **{**k, "antialias": False})
                        if "antialias" in k else resize(*args, **k))  # fmt: skip


def variance_of_the_other_half(cascade, monkeypatch):
    guided = minunclip.decoder.guided

    def wrong(denoiser, scale):
        def guided_denoiser(x_t, t):
            variance = denoiser(torch.cat([x_t, x_t]), torch.cat([t, t])).chunk(2)[0][:, x_t.shape[1]:]
            return torch.cat([guided(denoiser, scale)(x_t, t)[:, : x_t.shape[1]], variance], dim=1)

        return guided_denoiser

    monkeypatch.setattr(minunclip.decoder, "guided", wrong)


def no_mask(cascade, monkeypatch):
    encode = cascade.encode_text
    monkeypatch.setattr(cascade, "encode_text", lambda captions: unmasked(encode(captions)))


def other_guidance(stage, cascade, monkeypatch):
    cascade.settings = replace(cascade.settings, **{f"{stage}_guidance": 3.0})


def double_tables(cascade, monkeypatch):
    """As the makers' code has them; diffusers' are single, so that its last step multiplies x_0 by 0.99947."""
    for stage in (cascade.prior, cascade.decoder, cascade.upsamplers[0]):
        stage.diffusion.betas = stage.diffusion.betas.double()
        stage.diffusion.alphas_bar = torch.cumprod(1 - stage.diffusion.betas, dim=0)


def zeros_for_the_empty_caption(cascade, monkeypatch):
    """In the unconditional half."""
    encode = cascade.empty

    def zeros(guidance):
        text = encode(guidance)
        return Text(0 * text.embed, 0 * text.tokens, text.mask)

    monkeypatch.setattr(cascade, "empty", zeros)


def one_timestep_back(cascade, monkeypatch):
    """Each step ends at t - 1, where the next one does not begin."""
    moves = samplers.moves
    monkeypatch.setattr(samplers, "moves",
                        lambda *given: ((i, t, t - 1) for i, t, _ in moves(*given)))  # fmt: skip


WRONG_RUN = [no_unwhitening, wider_clip, double_tables, zeros_for_the_empty_caption, one_timestep_back,
             first_network_to_the_end, no_antialias, variance_of_the_other_half, no_mask,
             partial(other_guidance, "prior"), partial(other_guidance, "decoder")]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_RUN, ids=lambda f: getattr(f, "__name__", "other_guidance"))
def test_a_wrong_detail_of_the_run_is_noticed(cascade, reference, wrong, monkeypatch):
    wrong(cascade, monkeypatch)
    found = differences(run(cascade, reference), reference)
    assert any(difference > 5 * RUN[side] for side, difference in found.items()), found
