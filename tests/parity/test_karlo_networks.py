"""The released cascade against diffusers: each network alone, for one and the same input."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from helpers import normal, relative_error
from karlo_folder import CAPTIONS, LARGE, SIZE, WIDTH, tokenizer, unmasked
from torch import nn

import minunclip.prior
from minunclip.networks import QuickGELU

# Two correct programs differ by rounding: by up to 1.3e-6 in a network alone, relative. The smallest mistakes
# tried, such as another eps in a norm, are above 1e-5.
NETWORK = 5e-6                          # relative root-mean-square error in float32
pytestmark = pytest.mark.usefixtures("no_gradients")


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


@pytest.mark.parametrize("network", ["prior", "decoder"])
def test_a_dropped_mask_is_noticed(loaded, expected, network):
    assert relative_error(ours(loaded, network, 500, unmasked), expected(network, 500)) > 2 * NETWORK


def test_a_prior_that_looks_ahead_is_noticed(loaded, expected, monkeypatch):
    monkeypatch.setattr(minunclip.prior, "causal_mask", lambda n, device: torch.ones(n, n, dtype=torch.bool))
    assert relative_error(ours(loaded, "prior", 500), expected("prior", 500)) > 2 * NETWORK
