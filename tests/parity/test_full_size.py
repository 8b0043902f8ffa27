"""The published configs of Karlo: every parameter counted and, slowly, one forward of every network."""

import json
import os

import pytest
import torch
from diffusers import PriorTransformer, UNet2DConditionModel, UNet2DModel
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from helpers import normal, randomise, relative_error
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from minunclip.clip import CLIP, CLIPConfig
from minunclip.decoder import Decoder, DecoderConfig
from minunclip.pretrained import LazyStage, decoder_part, prior_part, upsampler_part
from minunclip.pretrained.diffusers_folder import clip_part
from minunclip.pretrained.folder_configs import clip_config, decoder_config, prior_config, upsampler_config
from minunclip.pretrained.names import split_qkv
from minunclip.prior import DiffusionPrior, PriorConfig
from minunclip.text import Text
from minunclip.upsampler import Upsampler, UpsamplerConfig

UNET = {"block_out_channels": [320, 640, 960, 1280], "layers_per_block": 3, "norm_num_groups": 32, "norm_eps": 1e-5,
        "act_fn": "silu", "flip_sin_to_cos": True, "freq_shift": 0}  # fmt: skip
SUPER_RES = {**UNET, "sample_size": 256, "in_channels": 6, "out_channels": 3, "add_attention": False,
             "down_block_types": ["ResnetDownsampleBlock2D"] * 4, "up_block_types": ["ResnetUpsampleBlock2D"] * 4,
             "resnet_time_scale_shift": "default"}  # fmt: skip
PUBLISHED = {
    "text_encoder": {"hidden_size": 768, "intermediate_size": 3072, "projection_dim": 768, "num_hidden_layers": 12,
                     "num_attention_heads": 12, "hidden_act": "quick_gelu", "vocab_size": 49408, "eos_token_id": 2},
    "prior": {"num_attention_heads": 32, "attention_head_dim": 64, "num_layers": 20, "embedding_dim": 768,
              "num_embeddings": 77, "additional_embeddings": 4},
    "text_proj": {"clip_extra_context_tokens": 4, "clip_embeddings_dim": 768, "time_embed_dim": 1280,
                  "cross_attention_dim": 1536},
    "decoder": {**UNET, "sample_size": 64, "in_channels": 3, "out_channels": 6, "cross_attention_dim": 1536,
                "down_block_types": ["ResnetDownsampleBlock2D"] + ["SimpleCrossAttnDownBlock2D"] * 3,
                "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
                "up_block_types": ["SimpleCrossAttnUpBlock2D"] * 3 + ["ResnetUpsampleBlock2D"],
                "class_embed_type": "identity", "attention_head_dim": 64, "resnet_time_scale_shift": "scale_shift"},
    "super_res_first": SUPER_RES, "super_res_last": SUPER_RES,
}  # fmt: skip
SCHEDULERS = {
    "prior_scheduler": {"prediction_type": "sample", "clip_sample_range": 5.0, "variance_type": "fixed_small_log"},
    "decoder_scheduler": {"prediction_type": "epsilon", "variance_type": "learned_range"},
    "super_res_scheduler": {"prediction_type": "epsilon", "variance_type": "fixed_small_log"},
}
ORACLES = {"prior": PriorTransformer, "text_proj": UnCLIPTextProjModel, "decoder": UNet2DConditionModel,
           "super_res_first": UNet2DModel, "super_res_last": UNet2DModel}  # fmt: skip


def write_configs(folder):
    """Karlo's configs, without weights."""
    files = [(f"{name}/config.json", values) for name, values in PUBLISHED.items()]
    files += [(f"{name}/scheduler_config.json", values) for name, values in SCHEDULERS.items()]
    for name, values in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(values))


@pytest.fixture
def folder(tmp_path):
    write_configs(tmp_path)
    return tmp_path


def test_our_defaults_are_the_published_configs(folder):
    assert clip_config(folder) == CLIPConfig(image_layers=0)
    assert prior_config(folder) == PriorConfig()
    assert decoder_config(folder) == DecoderConfig()
    ours, default = upsampler_config(folder, 64), UpsamplerConfig(last_step_unet=True)
    no_attention = {"head_width": 64, "context_width": 1536}  # mean nothing without attention
    ours = UpsamplerConfig(**{**vars(ours), "unet": type(ours.unet)(**{**vars(ours.unet), **no_attention})})
    assert ours == default


@pytest.mark.parametrize("stage, config, prefix, parameters, tensors", [
    (CLIP, clip_config, "text.", 123_650_304, 197),
    (DiffusionPrior, prior_config, "", 1_022_030_080, 338),
    (Decoder, decoder_config, "unet.", 885_439_686, 716),
    (Decoder, decoder_config, "", 885_439_686 + 7_878_400, 716 + 11),
    (Upsampler, lambda folder: upsampler_config(folder, 64), "unet.", 691_579_523, 408),
    (Upsampler, lambda folder: upsampler_config(folder, 64), "last_unet.", 691_579_523, 408),
])  # fmt: skip
def test_parameters_to_the_digit(folder, stage, config, prefix, parameters, tensors):
    with torch.device("meta"):
        state = {k: v for k, v in stage(config(folder)).state_dict().items() if k.startswith(prefix)}
    assert sum(tensor.numel() for tensor in state.values()) == parameters
    assert len(split_qkv({name: tuple(tensor.shape) for name, tensor in state.items()})) == tensors


# -- one forward of every network: minutes, and up to 9 GB of memory and 6 GB of disk ------------------------


def oracle(folder, part):
    """diffusers' network of the published config with random weights, saved where Karlo has it."""
    with torch.device("meta"):
        model = ORACLES[part].from_config(PUBLISHED[part])
    model = randomise(model.to_empty(device="cpu"), seed=1)
    if part == "prior":  # this mask is no weight, and to_empty left it empty
        model.causal_attention_mask = torch.full((1, 81, 81), -10000.0).triu(1)
    model.save_pretrained(folder / part)
    return model


@pytest.fixture
def inputs():
    mask = torch.arange(77)[None] < 9
    return {"z_i": normal(1, 768), "z_t": normal(1, 768, seed=2), "tokens": normal(1, 77, 768, seed=3), "mask": mask}


@pytest.mark.slow
@torch.no_grad()
def test_the_text_encoder_at_full_size(folder):
    theirs = randomise(CLIPTextModelWithProjection(CLIPTextConfig(**PUBLISHED["text_encoder"])), 1)
    theirs.save_pretrained(folder / "text_encoder")
    ours = LazyStage.of(clip_part(folder)).load()
    ids = ours.tokenizer(["a corgi playing a flame-throwing trumpet"])
    actual, expected = ours.text(ids), theirs(ids)
    assert relative_error(actual.embed, expected.text_embeds) < 5e-6
    assert relative_error(actual.tokens, expected.last_hidden_state) < 5e-6


@pytest.mark.slow
@torch.no_grad()
def test_the_prior_at_full_size(folder, inputs):
    z_i, z_t, tokens, mask = inputs.values()
    expected = oracle(folder, "prior")(z_i, 500, z_t, tokens, mask).predicted_image_embedding
    actual = LazyStage.of(prior_part(folder)).load()(z_i, torch.tensor([500]), Text(z_t, tokens, mask))
    assert relative_error(actual, expected) < 5e-6


@pytest.mark.slow
@torch.no_grad()
def test_the_decoder_at_full_size(folder, inputs):
    z_i, z_t, tokens, mask = inputs.values()
    context, added = oracle(folder, "text_proj")(
        image_embeddings=z_i, prompt_embeds=z_t, text_encoder_hidden_states=tokens, do_classifier_free_guidance=False
    )
    x, padded = normal(1, 3, 64, 64, seed=4), torch.nn.functional.pad(mask, (4, 0), value=True)
    expected = oracle(folder, "decoder")(
        x, 500, encoder_hidden_states=context, class_labels=added, attention_mask=padded
    ).sample  # fmt: skip
    actual = LazyStage.of(decoder_part(folder)).load()(x, torch.tensor([500]), z_i, Text(z_t, tokens, mask))
    assert relative_error(actual, expected) < 5e-6


@pytest.mark.slow
@pytest.mark.parametrize("t, part", [(500, "super_res_first"), (0, "super_res_last")])
@torch.no_grad()
def test_an_upsampler_at_full_size(folder, t, part):
    x, low = normal(1, 3, 256, 256), normal(1, 3, 256, 256, seed=4)
    expected = oracle(folder, part)(torch.cat([x, low], 1), t).sample
    [other] = {"super_res_first", "super_res_last"} - {part}
    name = "diffusion_pytorch_model.safetensors"
    os.link(folder / part / name, folder / other / name)  # the network that is not asked has the same weights
    ours = LazyStage.of(upsampler_part(folder, 64)).load()
    assert relative_error(ours(x, torch.tensor([t]), low), expected) < 5e-6
