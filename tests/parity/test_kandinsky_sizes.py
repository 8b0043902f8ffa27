"""The published configs of Kandinsky 2.2: our networks have their numbers to the digit, and so has what is fetched."""

import json

import pytest
import torch
from diffusers import PriorTransformer, UNet2DConditionModel, VQModel

from minunclip.clip import CLIP, CLIPConfig
from minunclip.common import CLIP_MEAN
from minunclip.pretrained import CASCADES, KandinskyConfig, least_room, openai_clip
from minunclip.pretrained.folder_configs import clip_config, prior_config
from minunclip.pretrained.kandinsky_decoder import check_scheduler, config_of
from minunclip.pretrained.names import split_qkv
from minunclip.prior import DiffusionPrior, PriorConfig

WEIGHTS = "diffusion_pytorch_model.safetensors"
CLIP_BOTH = {"projection_dim": 1280, "hidden_act": "gelu", "layer_norm_eps": 1e-5}
PUBLISHED = {
    "text_encoder/config.json": CLIP_BOTH | {
        "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
        "max_position_embeddings": 77, "vocab_size": 49408, "eos_token_id": 2},
    "image_encoder/config.json": CLIP_BOTH | {
        "hidden_size": 1664, "intermediate_size": 8192, "num_hidden_layers": 48, "num_attention_heads": 16,
        "image_size": 224, "patch_size": 14},
    "prior/config.json": {
        "additional_embeddings": 4, "attention_head_dim": 64, "dropout": 0.0, "embedding_dim": 1280,
        "num_attention_heads": 32, "num_embeddings": 77, "num_layers": 20},
    "scheduler/scheduler_config.json": {
        "clip_sample": True, "clip_sample_range": 10.0, "num_train_timesteps": 1000, "prediction_type": "sample",
        "variance_type": "fixed_small_log"},
}  # fmt: skip
UNET = {"act_fn": "silu", "addition_embed_type": "image", "addition_embed_type_num_heads": 64, "attention_head_dim": 64,
        "block_out_channels": [384, 768, 1152, 1536], "class_embed_type": None, "cross_attention_dim": 768,
        "down_block_types": ["ResnetDownsampleBlock2D"] + ["SimpleCrossAttnDownBlock2D"] * 3,
        "encoder_hid_dim": 1280, "encoder_hid_dim_type": "image_proj", "flip_sin_to_cos": True, "freq_shift": 0,
        "in_channels": 4, "layers_per_block": 3, "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "norm_eps": 1e-5,
        "norm_num_groups": 32, "only_cross_attention": False, "out_channels": 8,
        "resnet_time_scale_shift": "scale_shift", "sample_size": 64,
        "up_block_types": ["SimpleCrossAttnUpBlock2D"] * 3 + ["ResnetUpsampleBlock2D"]}  # fmt: skip
MOVQ = {"act_fn": "silu", "block_out_channels": [128, 256, 256, 512], "in_channels": 3, "latent_channels": 4,
        "down_block_types": ["DownEncoderBlock2D"] * 3 + ["AttnDownEncoderBlock2D"], "layers_per_block": 2,
        "norm_num_groups": 32, "norm_type": "spatial", "num_vq_embeddings": 16384, "out_channels": 3,
        "sample_size": 32, "scaling_factor": 0.18215, "vq_embed_dim": 4,
        "up_block_types": ["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * 3}  # fmt: skip
DECODER = {
    "unet/config.json": UNET, "movq/config.json": MOVQ,
    "scheduler/scheduler_config.json": {
        "num_train_timesteps": 1000, "beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012,
        "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "prediction_type": "epsilon",
        "thresholding": False},
}  # fmt: skip


def written(folder, files):
    for name, values in files.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(json.dumps(values))
    return folder


def numbers(*models) -> list[int]:
    return [sum(tensor.numel() for tensor in model.parameters()) for model in models]


def test_the_configs_are_read(tmp_path):
    folder = written(tmp_path, PUBLISHED)
    clip, prior = clip_config(folder), prior_config(folder)
    assert (clip.activation, clip.text_width, clip.embed_width, clip.image_inner) == ("gelu", 1280, 1280, 8192)
    assert prior == PriorConfig(z_width=1280, text_width=1280, diffusion=prior.diffusion)
    assert (prior.diffusion.clip, prior.diffusion.target, prior.diffusion.steps) == (10.0, "x0", 1000)
    place = written(tmp_path / "decoder", DECODER)
    check_scheduler(place)
    assert config_of(place) == KandinskyConfig() and KandinskyConfig().sizes == (512, 768, 1024)


def test_the_numbers_to_the_digit(tmp_path):
    folder = written(tmp_path, PUBLISHED)
    prior, decoder = (release.numbers for release in CASCADES["kandinsky"])
    with torch.device("meta"):
        clip, ours = CLIP(clip_config(folder)), DiffusionPrior(prior_config(folder))
        theirs = PriorTransformer.from_config(PUBLISHED["prior/config.json"])
        unet, movq = UNet2DConditionModel.from_config(UNET), VQModel.from_config(MOVQ)
    state = ours.state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == numbers(theirs)[0] == prior[f"prior/{WEIGHTS}"]
    assert len(split_qkv({name: tuple(tensor.shape) for name, tensor in state.items()})) == len(theirs.state_dict())
    assert numbers(clip.text) == [prior["text_encoder/model.safetensors"]]
    assert numbers(clip.image) == [CASCADES["kandinsky"][0].halved]
    assert numbers(unet, movq) == [decoder[f"unet/{WEIGHTS}"], decoder[f"movq/{WEIGHTS}"]]


def test_the_sizes_that_are_told():
    """As the repositories list their files: 4.1 + 2.78 + 3.69 GB, and 5.01 GB + 271 MB."""
    prior, decoder = CASCADES["kandinsky"]
    for release in (prior, decoder):
        full = 4 * sum(release.numbers.values()) + 2 * release.halved
        assert round(full / 1e9, 1) == release.gigabytes and len(release.commit) == 40
    assert [round(release.half, 1) for release in (prior, decoder)] == [7.1, 2.6]
    assert [round(release.peak, 1) for release in (prior, decoder)] == [9.9, 7.5]
    assert least_room([prior, decoder]) == [decoder, prior]             # 12.6 GB on the way, not 14.6
    assert max(decoder.peak, decoder.half + prior.peak) < 12.6 < 14.6 < max(prior.peak, prior.half + decoder.peak)


def test_open_clip_has_the_same_clip(tmp_path):
    about = {"mean": CLIP_MEAN, "std": CLIP_MEAN}
    ours, theirs = clip_config(written(tmp_path, PUBLISHED)), openai_clip.config_of("ViT-bigG-14", about)
    assert CLIPConfig(**vars(ours) | {"mean": CLIP_MEAN, "std": CLIP_MEAN}) == theirs
    with pytest.raises(ValueError, match="is built otherwise"):
        openai_clip.config_of("RN50", about)
