"""The released cascade against diffusers: each network alone, then the whole run with the noise replayed.

Two correct programs differ by rounding: by up to 1.3e-6 in a network alone, relative. The smallest mistakes
tried, such as another eps in a norm, are above 1e-5. In a whole run rounding grows wherever a value meets the clip,
so there 90 % of the pixels are compared, and mistakes are far larger.
"""

from dataclasses import replace
from functools import cache, partial

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from helpers import normal, relative_error
from karlo_folder import CAPTIONS, LARGE, SIZE, STEPS, WIDTH, quantile, tokenizer
from torch import nn

import minunclip.prior
import minunclip.samplers
import minunclip.unclip
from minunclip.diffusion import Diffusion
from minunclip.text import Text
from minunclip.transformer import QuickGELU

NETWORK = 5e-6                          # relative root-mean-square error in float32
RUN = {SIZE: 1e-4, LARGE: 1e-3}         # 90 % quantile of the absolute difference, by the side of the picture


@pytest.fixture(scope="module", autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


# ---- each network: diffusers' output and ours, for one and the same input ----


@pytest.fixture(scope="module")
def theirs(parts) -> dict:
    """What transformers makes of the captions, padded to 77 tokens, as diffusers does."""
    inputs = tokenizer()(CAPTIONS, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    output = parts["text_encoder"](inputs.input_ids)
    return {"embed": output.text_embeds, "tokens": output.last_hidden_state, "mask": inputs.attention_mask.bool()}


@pytest.fixture(scope="module")
def expected(parts, theirs):
    """(network, t) -> diffusers' output; "decoder without z_i" is its unconditional half."""

    def their_decoder(t, guided):
        twice = (lambda x: torch.cat([x, x])) if guided else (lambda x: x)  # the unconditional half comes first
        tokens, added = parts["text_proj"](
            image_embeddings=normal(2, WIDTH, seed=3), prompt_embeds=twice(theirs["embed"]),
            text_encoder_hidden_states=twice(theirs["tokens"]), do_classifier_free_guidance=guided,
        )  # fmt: skip
        return parts["decoder"](
            normal(2, 3, SIZE, SIZE), t, encoder_hidden_states=tokens[:2], class_labels=added[:2],
            attention_mask=F.pad(theirs["mask"], (4, 0), value=True),
        ).sample  # fmt: skip

    def compute(network, t):
        if network == "text":
            return torch.cat([theirs["embed"].flatten(), theirs["tokens"][theirs["mask"]].flatten()])
        if network == "prior":
            return parts["prior"](normal(2, WIDTH), t, theirs["embed"], theirs["tokens"], theirs["mask"])[0]
        if network == "upsampler":
            low = F.interpolate(
                normal(1, 3, SIZE, SIZE, seed=4), LARGE, mode="bicubic", align_corners=False, antialias=True
            )
            network = parts["super_res_first" if t > 0 else "super_res_last"]
            return network(torch.cat([normal(1, 3, LARGE, LARGE), low], 1), t).sample
        return their_decoder(t, guided=network == "decoder without z_i")

    return cache(compute)


def ours(cascade, network, t, change_text=lambda text: text):
    text, t = change_text(cascade.encode_text(CAPTIONS)), torch.tensor([t, t])
    if network == "text":
        return torch.cat([text.embed.flatten(), text.tokens[text.mask].flatten()])
    if network == "prior":
        return cascade.prior(normal(2, WIDTH), t, text)
    if network == "upsampler":
        return cascade.upsamplers[0](normal(1, 3, LARGE, LARGE), t[:1], normal(1, 3, SIZE, SIZE, seed=4))
    z_i = None if network == "decoder without z_i" else normal(2, WIDTH, seed=3)
    return cascade.decoder(normal(2, 3, SIZE, SIZE), t, z_i, text)


@pytest.mark.parametrize("t", [0, 1, 500, 999])
@pytest.mark.parametrize("network", ["text", "prior", "decoder", "decoder without z_i", "upsampler"])
def test_each_network_equals_diffusers(loaded, expected, network, t):
    assert relative_error(ours(loaded, network, t), expected(network, t)) < NETWORK


def activations(cascade, network, activation):
    transformer = cascade.clip.text.transformer if network == "text" else cascade.prior.transformer
    for block in transformer.blocks:
        block.mlp[1] = activation()


def norms(module, kind):
    for norm in module.modules():
        if isinstance(norm, kind):
            norm.eps = 1e-6


def sines_first(time):
    time[0].weight.data = time[0].weight.data.roll(time[0].in_features // 2, 1)


def tokens_contiguous(cascade):
    layer = cascade.decoder.z_to_tokens
    layer.weight.data = rearrange(layer.weight.data, "(k d) w -> (d k) w", k=4)
    layer.bias.data = rearrange(layer.bias.data, "(k d) -> (d k)", k=4)


def heads_interleaved(cascade):
    qkv = cascade.prior.transformer.blocks[1].attention.qkv
    qkv.weight.data = rearrange(qkv.weight.data, "(three h d) w -> (h three d) w", three=3, h=4)


def zero_null_z(cascade):
    cascade.decoder.null_z.data.zero_()


WRONG_NETWORK = [
    ("GELU for QuickGELU", "text", lambda c: activations(c, "text", nn.GELU)),
    ("QuickGELU for GELU", "prior", lambda c: activations(c, "prior", QuickGELU)),
    ("another eps", "text", lambda c: norms(c.clip, nn.LayerNorm)),
    ("another eps", "prior", lambda c: norms(c.prior, nn.LayerNorm)),
    ("another eps", "decoder", lambda c: norms(c.decoder, nn.GroupNorm)),
    ("another eps", "upsampler", lambda c: norms(c.upsamplers[0], nn.GroupNorm)),
    ("sines first", "prior", lambda c: sines_first(c.prior.time)),
    ("sines first", "decoder", lambda c: sines_first(c.decoder.unet.time)),
    ("sines first", "upsampler", lambda c: sines_first(c.upsamplers[0].unet.time)),
    ("four tokens one after another", "decoder", tokens_contiguous),
    ("heads interleaved", "prior", heads_interleaved),
    ("zeros for the learned embedding", "decoder without z_i", zero_null_z),
]


@pytest.mark.parametrize("_, network, spoil", WRONG_NETWORK, ids=[f"{w} ({n})" for w, n, _ in WRONG_NETWORK])
def test_a_wrong_detail_of_a_network_is_noticed(cascade, expected, _, network, spoil):
    spoil(cascade)
    assert relative_error(ours(cascade, network, 500), expected(network, 500)) > 2 * NETWORK


def unmasked(text: Text) -> Text:
    return Text(text.embed, text.tokens, torch.ones_like(text.mask))


@pytest.mark.parametrize("network", ["prior", "decoder"])
def test_a_dropped_mask_is_noticed(loaded, expected, network):
    assert relative_error(ours(loaded, network, 500, unmasked), expected(network, 500)) > 2 * NETWORK


def test_a_prior_that_looks_ahead_is_noticed(loaded, expected, monkeypatch):
    monkeypatch.setattr(minunclip.prior, "causal_mask", lambda n, device: torch.ones(n, n, dtype=torch.bool))
    assert relative_error(ours(loaded, "prior", 500), expected("prior", 500)) > 2 * NETWORK


# ---- the whole run ----


def run(cascade, reference, **options):
    settings = replace(
        cascade.settings, prior_steps=STEPS["prior"], decoder_steps=STEPS["decoder"],
        upsampler_steps=(STEPS["upsampler 1"],),
    )  # fmt: skip
    return cascade.sample(CAPTIONS, settings=settings, noise=reference.noise, **options)


def differences(drawing, reference) -> dict[int, float]:
    stages = {SIZE: "decoder", LARGE: "upsampler 1"}
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
            assert quantile(step.x_t, sample) < RUN[LARGE if stage == "upsampler 1" else SIZE]


def test_the_run_is_one_in_which_clips_matter(drawing):
    """Else the test above could not tell a wrong clip from a right one, nor a picture from a flat one."""
    for stage, clip in (("prior", 5.0), ("decoder", 1.0), ("upsampler 1", 1.0)):
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
    guided = minunclip.samplers.guided

    def wrong(denoiser, scale):
        def guided_denoiser(x_t, t):
            variance = denoiser(torch.cat([x_t, x_t]), torch.cat([t, t])).chunk(2)[0][:, x_t.shape[1]:]
            return torch.cat([guided(denoiser, scale)(x_t, t)[:, : x_t.shape[1]], variance], dim=1)

        return guided_denoiser

    monkeypatch.setattr(minunclip.unclip, "guided", wrong)


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
    encode = cascade._no_text

    def zeros(n):
        text = encode(n)
        return Text(0 * text.embed, 0 * text.tokens, text.mask)

    monkeypatch.setattr(cascade, "_no_text", zeros)


def one_timestep_back(cascade, monkeypatch):
    """Each step ends at t - 1, where the next one does not begin."""
    moves = minunclip.samplers.moves
    monkeypatch.setattr(minunclip.samplers, "moves",
                        lambda *given: ((i, t, t - 1) for i, t, _ in moves(*given)))  # fmt: skip


WRONG_RUN = [no_unwhitening, wider_clip, double_tables, zeros_for_the_empty_caption, one_timestep_back,
             first_network_to_the_end, no_antialias, variance_of_the_other_half, no_mask,
             partial(other_guidance, "prior"), partial(other_guidance, "decoder")]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_RUN, ids=lambda f: getattr(f, "__name__", "other_guidance"))
def test_a_wrong_detail_of_the_run_is_noticed(cascade, reference, wrong, monkeypatch):
    wrong(cascade, monkeypatch)
    found = differences(run(cascade, reference), reference)
    assert any(difference > 5 * RUN[side] for side, difference in found.items()), found
