"""Kandinsky 2.2 against diffusers: each network, the prior's pipeline with its noise replayed, and the decoder's."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from helpers import normal
from kandinsky_folder import LATENT, SIZE, STEPS, WIDTH, decoder_run, prior_run, tokenizer
from karlo_folder import CAPTIONS, unmasked
from torch import nn

import minunclip
from minunclip.diffusion import Diffusion
from minunclip.networks import QuickGELU
from minunclip.pretrained import KANDINSKY, Kandinsky
from minunclip.text import Text

# The largest difference of any number, in parts of their root mean square, in float32. Two correct programs stay below
# 2e-6 in a network. Guidance magnifies that in a run of the prior: 5e-6 was seen.
NETWORK, RUN = 5e-6, 1e-5
FEW = replace(KANDINSKY, prior_steps=STEPS["prior"], decoder_steps=STEPS["decoder"])
pytestmark = pytest.mark.usefixtures("no_gradients")


def difference(actual, expected) -> float:
    assert actual.shape == expected.shape
    return float((actual - expected).abs().max() / expected.pow(2).mean().sqrt())


@pytest.fixture(scope="module")
def cascade(kandinsky_place):
    return minunclip.load(kandinsky_place)


@pytest.fixture(scope="module")
def theirs(kandinsky) -> dict:
    """What transformers makes of the captions."""
    inputs = tokenizer()(CAPTIONS, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    output = kandinsky["prior"]["text_encoder"](inputs.input_ids)
    return {"embed": output.text_embeds, "tokens": output.last_hidden_state, "mask": inputs.attention_mask.bool()}


@pytest.fixture(scope="module")
def run_of_prior(kandinsky):
    return cache(lambda guidance: prior_run(kandinsky["prior"], guidance=guidance))


@pytest.fixture(scope="module")
def run_of_decoder(kandinsky, run_of_prior):
    def run(size, guidance, scheduler=None):
        z, parts = run_of_prior(4.0), dict(kandinsky["decoder"])
        if scheduler == "ddim":
            parts["scheduler"] = DDIMScheduler.from_config(parts["scheduler"].config, set_alpha_to_one=True)
        return decoder_run(parts, z.z_i, z.null_z, size=size, guidance=guidance)

    return cache(run)


# -- the networks --------------------------------------------------------------------------------------------


def test_it_is_a_cascade_with_the_settings_of_its_makers(cascade):
    assert isinstance(cascade, Kandinsky) and cascade.settings == KANDINSKY
    assert cascade.sizes == [SIZE, 192, 256] and cascade.decoder.config.size == 192
    assert (cascade.prior.config.diffusion.clip, cascade.prior.config.z_width) == (10.0, WIDTH)
    assert cascade.decoder.model is None                                # until there is something to draw


def test_the_text_encoder_equals_transformers(cascade, theirs):
    text = cascade.encode_text(CAPTIONS)
    assert difference(text.embed, theirs["embed"]) < NETWORK
    assert difference(text.tokens[text.mask], theirs["tokens"][theirs["mask"]]) < NETWORK


def test_the_image_encoder_equals_transformers(cascade, kandinsky):
    pictures = normal(2, 3, 28, 28)
    expected = kandinsky["prior"]["image_encoder"](pictures).image_embeds
    assert difference(cascade.clip.encode_image(pictures), expected) < NETWORK
    assert cascade.clip.config.image_inner == 200


def prior_of(cascade, theirs, t):
    return cascade.prior(normal(2, WIDTH), torch.tensor([t, t]), Text(**theirs))


@pytest.mark.parametrize("t", [0, 1, 500, 999])
def test_the_prior_equals_diffusers(cascade, kandinsky, theirs, t):
    expected = kandinsky["prior"]["prior"](normal(2, WIDTH), t, theirs["embed"], theirs["tokens"], theirs["mask"])[0]
    assert difference(prior_of(cascade, theirs, t), expected) < NETWORK
    assert difference(cascade.prior(normal(2, WIDTH), torch.tensor([t, t]), unmasked(Text(**theirs))), expected) > 1e-4


def test_another_activation_is_noticed(kandinsky_place, theirs):
    wrong = minunclip.load(kandinsky_place)
    for block in wrong.clip.text.transformer.blocks:
        assert isinstance(block.mlp[1], nn.GELU)
        block.mlp[1] = QuickGELU()
    assert difference(wrong.encode_text(CAPTIONS).embed, theirs["embed"]) > 1e-4


# -- the prior's pipeline ------------------------------------------------------------------------------------


def z_of(cascade, noise, settings=FEW):
    """z_i of the captions, and every step."""
    stream = cascade.embed(cascade.encode_text(CAPTIONS), noise=noise, settings=settings)
    steps = [progress.step for progress in stream]
    return stream.result, steps


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_the_prior_runs_as_diffusers_does(cascade, run_of_prior, guidance):
    expected = run_of_prior(guidance)
    z_i, steps = z_of(cascade, expected.noise, replace(FEW, prior_guidance=guidance))
    assert len(steps) == STEPS["prior"] == len(expected.noise) and difference(z_i, expected.z_i) < RUN
    if guidance == 4:                                                   # a run in which the clip matters
        assert 0.02 < float((steps[0].x_0.abs() >= 10).float().mean()) < 0.9


def narrower_clip(cascade, monkeypatch):
    process = Diffusion(replace(cascade.prior.config.diffusion, clip=5.0))
    monkeypatch.setattr(cascade.prior, "diffusion", process)


def no_unwhitening(cascade, monkeypatch):
    monkeypatch.setattr(cascade.prior, "unwhiten", lambda z: z)


def other_guidance(cascade, monkeypatch):
    embed = cascade.embed
    monkeypatch.setattr(cascade, "embed",
                        lambda text, noise, settings: embed(text, noise=noise, settings=replace(FEW, prior_guidance=3)))


def zeros_for_the_empty_caption(cascade, monkeypatch):
    empty = cascade.empty
    monkeypatch.setattr(cascade, "empty", lambda g: Text(0 * empty(g).embed, 0 * empty(g).tokens, empty(g).mask))


@pytest.mark.parametrize("spoil", [narrower_clip, no_unwhitening, other_guidance, zeros_for_the_empty_caption])
def test_a_wrong_detail_of_the_run_is_noticed(cascade, run_of_prior, monkeypatch, spoil):
    expected = run_of_prior(4.0)
    spoil(cascade, monkeypatch)
    assert difference(z_of(cascade, expected.noise)[0], expected.z_i) > 100 * RUN


def test_guidance_of_the_decoder_compares_with_the_empty_picture(cascade, run_of_prior):
    assert difference(cascade.empty_picture().expand(2, -1), run_of_prior(4.0).null_z) < NETWORK


# -- the decoder's pipeline ----------------------------------------------------------------------------------


def picture_of(cascade, run_of_prior, expected, **changes):
    """Every step of the decoder on diffusers' z_i, with its noise."""
    text = cascade.encode_text(CAPTIONS)
    stream = cascade.decode(run_of_prior(4.0).z_i, text, noise=expected.noise, settings=replace(FEW, **changes))
    return [progress.step for progress in stream]


@pytest.mark.parametrize("size, guidance", [(SIZE, 4.0), (192, 4.0), (SIZE, 1.0)])
def test_the_decoder_draws_as_diffusers_does(cascade, run_of_prior, run_of_decoder, size, guidance):
    """DDPM, by way of DDIM with an eta of 1."""
    expected = run_of_decoder(size, guidance)
    steps = picture_of(cascade, run_of_prior, expected, decoder_guidance=guidance)
    assert [step.t == 0 for step in steps] == [False] * (STEPS["decoder"] - 1) + [True]
    for step, latents in zip(steps[:-1], expected.latents[:-1], strict=True):
        assert difference(step.x_t, latents) < RUN
    picture = steps[-1].x_t
    assert picture.shape == (2, 3, size, size) and difference(picture, expected.picture.clamp(-1, 1)) < 10 * RUN
    assert picture.std() > 0.1 and float((picture.abs() < 1).float().mean()) > 0.5


def test_with_ddim_it_is_the_same_to_the_last_bits(cascade, run_of_prior, run_of_decoder):
    expected = run_of_decoder(SIZE, 4.0, "ddim")
    steps = picture_of(cascade, run_of_prior, expected, sampler="ddim")
    assert difference(steps[-2].x_t, expected.latents[-2]) < 2e-6
    assert difference(steps[0].x_t, run_of_decoder(SIZE, 4.0).latents[0]) > 0.1     # which is another than DDPM's


@pytest.mark.parametrize("clip", [False, True])
def test_ddim_with_an_eta_of_1_is_ddpm(kandinsky, clip):
    """A step of either scheduler, also where x_0 is clipped, which Kandinsky's is not."""
    config = kandinsky["decoder"]["scheduler"].config
    theirs = DDPMScheduler.from_config(config, clip_sample=clip)
    ours = DDIMScheduler.from_config(config, clip_sample=clip, set_alpha_to_one=True)
    for scheduler in (theirs, ours):
        scheduler.set_timesteps(5)
    output, x_t = normal(2, 4, 8, 8), normal(2, 4, 8, 8, seed=2)
    for t in theirs.timesteps:
        noise = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(3))
        expected = theirs.step(output, t, x_t, generator=torch.Generator().manual_seed(3)).prev_sample
        actual = ours.step(output, t, x_t, eta=1.0, use_clipped_model_output=True, variance_noise=noise).prev_sample
        assert difference(actual, expected) < 5e-6


def test_a_network_step_is_theirs_to_the_bit(cascade, kandinsky, run_of_prior):
    z, x_t, t = run_of_prior(4.0), normal(2, 4, LATENT, LATENT), torch.tensor([500, 500])
    with cascade.decoder.here(cascade) as decoder:
        actual = decoder.denoiser(z.z_i)(x_t, t)
    expected = kandinsky["decoder"]["unet"](x_t, 500, None, added_cond_kwargs={"image_embeds": z.z_i}).sample
    assert torch.equal(actual, expected)


def test_too_many_steps_are_refused(cascade):
    with pytest.raises(ValueError, match="decoder_steps is 1000: this decoder takes 2 to 999"):
        cascade.sample(CAPTIONS, settings=replace(FEW, prior_steps=2, decoder_steps=1000))
