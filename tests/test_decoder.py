"""The decoder against diffusers' two modules of it, and its own promises."""

import pytest
import torch
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from einops import rearrange
from helpers import normal, randomise, relative_error
from unet_helpers import TINY, TOLERANCE, diffusers_decoder, renamed

from minunclip.decoder import Decoder, DecoderConfig
from minunclip.diffusion import DiffusionConfig
from minunclip.networks import UNetConfig
from minunclip.text import Text

CONFIG = DecoderConfig(unet=TINY, size=16, z_width=20, text_width=20)
RENAMES = {
    "embedding_proj.": "text_to_time.",
    "clip_image_embeddings_project_to_time_embeddings.": "z_to_time.",
    "clip_extra_context_tokens_proj.": "z_to_tokens.",
    "text_encoder_hidden_states_norm.": "text_norm.",
    "encoder_hidden_states_proj.": "text_to_tokens.",
    "learned_classifier_free_guidance_embeddings": "null_z",
}


def renamed_projections(state: dict) -> dict:
    return {ours + name.removeprefix(theirs): tensor for name, tensor in state.items()
            for theirs, ours in RENAMES.items() if name.startswith(theirs)}


class Reference:
    """diffusers' projections and U-Net, joined as its pipeline joins them."""

    def __init__(self):
        self.projections = randomise(
            UnCLIPTextProjModel(clip_embeddings_dim=20, time_embed_dim=128, cross_attention_dim=24), seed=5
        )
        self.unet = randomise(diffusers_decoder())

    def __call__(self, x_t, t, z_i, text):
        guided = z_i is None  # the projections make the unconditional half too, and put it first: keep that
        tokens, added = self.projections(
            image_embeddings=torch.zeros(len(text), 20) if guided else z_i,
            prompt_embeds=torch.cat([text.embed] * 2) if guided else text.embed,
            text_encoder_hidden_states=torch.cat([text.tokens] * 2) if guided else text.tokens,
            do_classifier_free_guidance=guided,
        )
        tokens, added = tokens[: len(text)], added[: len(text)]
        mask = torch.nn.functional.pad(text.mask, (4, 0), value=True)
        return self.unet(x_t, t, encoder_hidden_states=tokens, class_labels=added, attention_mask=mask).sample


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


@pytest.fixture
def decoder(reference) -> Decoder:
    decoder = Decoder(CONFIG).eval()
    state = renamed_projections(reference.projections.state_dict())
    state |= {f"unet.{name}": tensor for name, tensor in renamed(reference.unet.state_dict()).items()}
    decoder.load_state_dict(state)
    return decoder


@pytest.fixture(scope="module")
def inputs() -> dict:
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[0, 3:] = False
    text = Text(normal(2, 20, seed=2), normal(2, 7, 20, seed=3), mask)
    t, z_i = torch.tensor([7, 7]), normal(2, 20, seed=4)
    return {"x_t": normal(2, 3, 16, 16), "t": t, "z_i": z_i, "text": text}


@pytest.mark.parametrize("t", [0, 500, 999])
@pytest.mark.parametrize("unconditional", [False, True])
@torch.no_grad()
def test_equals_diffusers(reference, decoder, inputs, t, unconditional):
    inputs = inputs | {"t": torch.tensor([t, t])} | ({"z_i": None} if unconditional else {})
    assert relative_error(decoder(**inputs), reference(**inputs)) < TOLERANCE


def contiguous_tokens(decoder):
    layer = decoder.z_to_tokens
    layer.weight.data = rearrange(layer.weight.data, "(k d) w -> (d k) w", k=4)
    layer.bias.data = rearrange(layer.bias.data, "(k d) -> (d k)", k=4)


def swapped_projections(decoder):
    decoder.z_to_time, decoder.text_to_time = decoder.text_to_time, decoder.z_to_time


def no_norm_of_the_text(decoder):
    decoder.text_norm = torch.nn.Identity()


@pytest.mark.parametrize("wrong", [contiguous_tokens, swapped_projections, no_norm_of_the_text])
@torch.no_grad()
def test_a_wrong_detail_is_noticed(reference, decoder, inputs, wrong):
    wrong(decoder)
    assert relative_error(decoder(**inputs), reference(**inputs)) > 2 * TOLERANCE


@torch.no_grad()
def test_context_order_is_noticed(reference, decoder, inputs, monkeypatch):
    """With the caption before the four tokens, the mask covers the wrong ones."""
    prepare = decoder.unet.prepare
    monkeypatch.setattr(decoder.unet, "prepare", lambda context, mask: prepare(context.roll(-4, 1), mask))
    assert relative_error(decoder(**inputs), reference(**inputs)) > 2 * TOLERANCE


@torch.no_grad()
def test_dropped_mask_is_noticed(reference, decoder, inputs):
    text = inputs["text"]
    unmasked = Text(text.embed, text.tokens, torch.ones_like(text.mask))
    assert relative_error(decoder(**inputs | {"text": unmasked}), reference(**inputs)) > 2 * TOLERANCE


@torch.no_grad()
def test_condition_is_bitwise_the_plain_call(decoder, inputs):
    x_t, t, z_i, text = inputs.values()
    for z in (z_i, None):
        condition = decoder.condition(z, text)
        for step in (t, t + 100):
            assert torch.equal(decoder(x_t, step, condition=condition), decoder(x_t, step, z, text))


@torch.no_grad()
def test_condition_skips_the_projections(decoder, inputs, monkeypatch):
    condition = decoder.condition(inputs["z_i"], inputs["text"])
    monkeypatch.setattr(decoder, "condition", None)
    monkeypatch.setattr(decoder.unet, "prepare", None)
    decoder(inputs["x_t"], inputs["t"], condition=condition)


@torch.no_grad()
def test_dropped_rows_are_unconditional(decoder, inputs):
    z_i = decoder.with_dropped(inputs["z_i"], torch.tensor([True, False]))
    mixed = decoder(**inputs | {"z_i": z_i})
    without = decoder(**inputs | {"z_i": None})
    torch.testing.assert_close(mixed[0], without[0])
    torch.testing.assert_close(mixed[1], decoder(**inputs)[1])
    assert relative_error(mixed[0], decoder(**inputs)[0]) > 0.01


def test_every_parameter_learns(inputs):
    decoder = randomise(Decoder(CONFIG)).train()
    z_i = decoder.with_dropped(inputs["z_i"], torch.tensor([True, False]))
    decoder(**inputs | {"z_i": z_i}).pow(2).sum().backward()
    assert [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_karlo_sizes():
    with torch.device("meta"):
        decoder = Decoder(DecoderConfig())
    total = sum(p.numel() for p in decoder.parameters())
    assert total - sum(p.numel() for p in decoder.unet.parameters()) == 7_878_400
    assert total == 885_439_686 + 7_878_400


@pytest.mark.parametrize("learned, channels", [(True, 6), (False, 3)])
def test_channels_follow_the_variance(learned, channels, inputs):
    unet = UNetConfig(**{**vars(TINY), "out_channels": channels})
    diffusion = DiffusionConfig(learned_variance=learned)
    decoder = Decoder(DecoderConfig(unet=unet, size=16, z_width=20, text_width=20, diffusion=diffusion))
    assert decoder(**inputs).shape == (2, channels, 16, 16)
    with pytest.raises(ValueError, match="set it to"):
        DecoderConfig(unet=unet, diffusion=DiffusionConfig(learned_variance=not learned))


def test_says_that_the_text_is_missing(decoder, inputs):
    with pytest.raises(ValueError, match="pass text"):
        decoder(inputs["x_t"], inputs["t"], inputs["z_i"])
