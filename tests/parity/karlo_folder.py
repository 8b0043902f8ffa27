"""A folder laid out like the released Karlo, tiny and with random weights, and diffusers' own run of it.

Every kind of block is there, and every parameter has a value that matters: nothing is left at its start of zero.
"""

import json
from types import SimpleNamespace

import open_clip
import torch
from diffusers import PriorTransformer, UNet2DConditionModel, UNet2DModel
from diffusers.pipelines.deprecated.unclip import UnCLIPPipeline, pipeline_unclip
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from diffusers.schedulers import UnCLIPScheduler, scheduling_unclip
from helpers import randomise
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from minunclip.text import Text

WIDTH, SIZE, LARGE = 32, 16, 64  # of z_i and z_t; sides of the pictures
CAPTIONS = ["a corgi playing a flame-throwing trumpet", "two red cubes"]
STEPS = {"prior": 6, "decoder": 6, "upsampler-1": 4}
CROSS_ATTENTION = "SimpleCrossAttn{}Block2D"
WEIGHTS = "diffusion_pytorch_model.safetensors"


def text_encoder() -> CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=WIDTH, intermediate_size=4 * WIDTH, projection_dim=WIDTH, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=77, hidden_act="quick_gelu", eos_token_id=2,
    )  # fmt: skip
    return randomise(CLIPTextModelWithProjection(config), 1)


def image_encoder() -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=48, intermediate_size=192, projection_dim=WIDTH, num_hidden_layers=2, num_attention_heads=4,
        image_size=28, patch_size=14, hidden_act="quick_gelu",
    )  # fmt: skip
    return randomise(CLIPVisionModelWithProjection(config), 2)


def prior(width: int = WIDTH) -> PriorTransformer:
    model = randomise(PriorTransformer(4, 16, num_layers=3, embedding_dim=width), 3)
    model.proj_to_clip_embeddings.weight.data *= 2  # some of its x_0 lie beyond 5, so that the clip matters
    model.clip_std.data = model.clip_std.data.abs() + 0.5
    return model


def decoder() -> UNet2DConditionModel:
    model = randomise(UNet2DConditionModel(
        sample_size=SIZE, in_channels=3, out_channels=6, block_out_channels=(32, 64, 96), layers_per_block=2,
        down_block_types=("ResnetDownsampleBlock2D", *[CROSS_ATTENTION.format("Down")] * 2),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*[CROSS_ATTENTION.format("Up")] * 2, "ResnetUpsampleBlock2D"),
        cross_attention_dim=24, class_embed_type="identity", attention_head_dim=16, only_cross_attention=False,
        resnet_time_scale_shift="scale_shift", norm_num_groups=32, norm_eps=1e-5,
    ), 4)  # fmt: skip
    model.conv_out.weight.data[:3] *= 0.25  # a guidance of 8 makes the rounding of a larger eps grow from step to step
    return model


def text_proj() -> UnCLIPTextProjModel:
    return randomise(UnCLIPTextProjModel(clip_embeddings_dim=WIDTH, time_embed_dim=128, cross_attention_dim=24), 5)


def super_res(seed: int) -> UNet2DModel:
    return randomise(UNet2DModel(
        sample_size=LARGE, in_channels=6, out_channels=3, block_out_channels=(32, 64, 96), layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D",) * 3, up_block_types=("ResnetUpsampleBlock2D",) * 3,
        add_attention=False, resnet_time_scale_shift="default", norm_num_groups=32, norm_eps=1e-5,
    ), seed)  # fmt: skip


def tokenizer() -> CLIPTokenizer:
    """CLIP's, from the vocabulary that open_clip carries; padded with "!", as Karlo's is."""
    clip = open_clip.SimpleTokenizer()
    special = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {special.get(word, word): i for word, i in clip.encoder.items()}
    return CLIPTokenizer(vocabulary, list(clip.bpe_ranks), pad_token="!", model_max_length=77)


def components() -> dict:
    fixed = {"variance_type": "fixed_small_log"}
    return {
        "text_encoder": text_encoder(), "prior": prior(), "text_proj": text_proj(), "decoder": decoder(),
        "super_res_first": super_res(6), "super_res_last": super_res(7),
        "prior_scheduler": UnCLIPScheduler(**fixed, prediction_type="sample", clip_sample_range=5.0),
        "decoder_scheduler": UnCLIPScheduler(variance_type="learned_range"),
        "super_res_scheduler": UnCLIPScheduler(**fixed),
    }  # fmt: skip


def write(folder, parts: dict) -> None:
    """Save each part in the folder that Karlo keeps it in."""
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    path = folder / "super_res_last" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sample_size": None}))


def reference_run(parts: dict, captions=CAPTIONS, steps=None, sizes=(WIDTH, SIZE, LARGE)):
    """diffusers' pipeline on the captions: the noise that it drew and the sample after each step, by stage.

    sizes: of z_i, and the sides of the pictures.
    """
    width, side, large = sizes
    pipeline = UnCLIPPipeline(**parts, tokenizer=tokenizer())
    pipeline.set_progress_bar_config(disable=True)
    stages = {(width,): "prior", (3, side, side): "decoder", (3, large, large): "upsampler-1"}
    noise, samples = {stage: [] for stage in STEPS}, {stage: [] for stage in STEPS}
    generator, draw = torch.Generator().manual_seed(0), pipeline_unclip.randn_tensor

    def drawn(shape, **options):
        tensor = draw(shape, **{**options, "generator": generator})
        noise[stages[tuple(shape[1:])]].append(tensor)
        return tensor

    def stepped(scheduler, output, timestep, sample, **options):
        result = step(scheduler, output, timestep, sample, **options)
        samples[stages[tuple(sample.shape[1:])]].append(result.prev_sample)
        return result

    step = UnCLIPScheduler.step
    pipeline_unclip.randn_tensor = scheduling_unclip.randn_tensor = drawn
    UnCLIPScheduler.step = stepped
    try:
        names = [f"{name}_num_inference_steps" for name in ("prior", "decoder", "super_res")]
        pipeline(captions, **dict(zip(names, steps or STEPS.values(), strict=True)), output_type="np")
    finally:
        pipeline_unclip.randn_tensor = scheduling_unclip.randn_tensor = draw
        UnCLIPScheduler.step = step
    return SimpleNamespace(noise=noise, samples=samples)


def unmasked(text: Text) -> Text:
    return Text(text.embed, text.tokens, torch.ones_like(text.mask))


def quantile(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Of the absolute difference, 90 %: rounding may push single values across a clip, and those say nothing."""
    assert actual.shape == expected.shape
    return float((actual - expected).abs().flatten().quantile(0.9))
