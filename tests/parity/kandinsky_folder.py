"""Folders laid out like Kandinsky 2.2's two repositories, tiny and with random weights, and diffusers' runs of them.

Every kind of block is there, and every parameter has a value that matters. The configs have what is unlike Karlo: GELU
in CLIP, an MLP of the image encoder that is no multiple of its width, a clip at 10, a scheduler of DDPM.
"""

import json
from types import SimpleNamespace

import torch
from diffusers import (
    DDPMScheduler,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
    PriorTransformer,
    UNet2DConditionModel,
    VQModel,
)
from diffusers.models.attention_processor import SpatialNorm
from diffusers.pipelines.kandinsky2_2 import pipeline_kandinsky2_2, pipeline_kandinsky2_2_prior
from diffusers.schedulers import UnCLIPScheduler, scheduling_ddpm, scheduling_unclip
from helpers import randomise
from karlo_folder import CAPTIONS, CROSS_ATTENTION, tokenizer
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

WIDTH, LATENT, SIZE = 32, 16, 128  # of z_i; sides of the latents and of the smallest picture
STEPS = {"prior": 6, "decoder": 5}


def text_encoder() -> CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=WIDTH, intermediate_size=4 * WIDTH, projection_dim=WIDTH, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=77, hidden_act="gelu", eos_token_id=2,
    )  # fmt: skip
    return randomise(CLIPTextModelWithProjection(config), 1)


def image_encoder() -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=48, intermediate_size=200, projection_dim=WIDTH, num_hidden_layers=2, num_attention_heads=4,
        image_size=28, patch_size=14, hidden_act="gelu",
    )  # fmt: skip
    return randomise(CLIPVisionModelWithProjection(config), 2)


def prior() -> PriorTransformer:
    model = randomise(PriorTransformer(4, 16, num_layers=3, embedding_dim=WIDTH), 3)
    model.proj_to_clip_embeddings.weight.data *= 3  # some of its x_0 lie beyond 10, so that the clip matters
    model.clip_std.data = model.clip_std.data.abs() + 0.5
    return model


def unet() -> UNet2DConditionModel:
    model = randomise(UNet2DConditionModel(
        sample_size=LATENT, in_channels=4, out_channels=8, block_out_channels=(32, 64, 96), layers_per_block=2,
        down_block_types=("ResnetDownsampleBlock2D", *[CROSS_ATTENTION.format("Down")] * 2),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*[CROSS_ATTENTION.format("Up")] * 2, "ResnetUpsampleBlock2D"),
        cross_attention_dim=24, attention_head_dim=16, encoder_hid_dim=WIDTH, encoder_hid_dim_type="image_proj",
        addition_embed_type="image", resnet_time_scale_shift="scale_shift", norm_eps=1e-5,
    ), 4)  # fmt: skip
    model.conv_out.weight.data[:4] *= 0.25  # guidance makes the rounding of a larger eps grow from step to step
    return model


def movq() -> VQModel:
    """Its norms are scaled by what the latents say, near 1: by just any numbers it would magnify all rounding."""
    model = randomise(VQModel(
        block_out_channels=(32, 32, 32, 64), norm_num_groups=32, layers_per_block=1, latent_channels=4, vq_embed_dim=4,
        norm_type="spatial", num_vq_embeddings=64, sample_size=32,
        down_block_types=("DownEncoderBlock2D",) * 3 + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 3,
    ), 5)  # fmt: skip
    for module in model.modules():
        if isinstance(module, SpatialNorm):
            module.conv_y.weight.data *= 0.1
            module.conv_y.bias.data += 1
    model.decoder.conv_out.weight.data *= 0.1  # most of a picture lies between -1 and 1
    return model


def prior_parts() -> dict:
    scheduler = UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=10.0)
    return {"text_encoder": text_encoder(), "image_encoder": image_encoder(), "prior": prior(), "scheduler": scheduler}


def decoder_parts(**schedule) -> dict:
    scheduler = DDPMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
                              steps_offset=1, **schedule)  # fmt: skip
    return {"unet": unet(), "movq": movq(), "scheduler": scheduler}


def write(folder, prior: dict, decoder: dict) -> None:
    """Save each part where the makers have it, the two repositories beside each other."""
    for repository, parts in (("prior", prior), ("decoder", decoder)):
        for name, part in parts.items():
            part.save_pretrained(folder / repository / name)
    path = folder / "decoder" / "scheduler" / "scheduler_config.json"  # which has more than DDPM's scheduler keeps
    path.write_text(json.dumps(json.loads(path.read_text()) | {"set_alpha_to_one": False}))


class Recorded:
    """Within it diffusers draws its noise from a seed, and `noise` gathers it."""

    def __init__(self, *modules, seed: int = 0):
        self.modules, self.noise, self.generator = modules, [], torch.Generator().manual_seed(seed)

    def __enter__(self):
        self.drawn = self.modules[0].randn_tensor

        def draw(shape, **options):
            self.noise.append(self.drawn(shape, **{**options, "generator": self.generator}))
            return self.noise[-1]

        for module in self.modules:
            module.randn_tensor = draw
        return self

    def __exit__(self, *_):
        for module in self.modules:
            module.randn_tensor = self.drawn


def prior_run(parts: dict, captions=CAPTIONS, steps=STEPS["prior"], guidance=4.0) -> SimpleNamespace:
    """z_i of the captions, that of the empty picture, and the noise. Their tokenizer pads with its end token."""
    own = tokenizer()
    own.pad_token = "<|endoftext|>"
    pipeline = KandinskyV22PriorPipeline(**parts, tokenizer=own, image_processor=CLIPImageProcessor())
    pipeline.set_progress_bar_config(disable=True)
    with Recorded(pipeline_kandinsky2_2_prior, scheduling_unclip) as record:
        z_i, null_z = pipeline(captions, num_inference_steps=steps, guidance_scale=guidance, return_dict=False)
    return SimpleNamespace(z_i=z_i, null_z=null_z, noise=record.noise)


def decoder_run(parts: dict, z_i, null_z, *, size=SIZE, steps=STEPS["decoder"], guidance=4.0) -> SimpleNamespace:
    """Pictures of z_i (B, D), the latents after each step, and the noise."""
    pipeline, latents = KandinskyV22Pipeline(**parts), []
    pipeline.set_progress_bar_config(disable=True)
    with Recorded(pipeline_kandinsky2_2, scheduling_ddpm) as record:
        picture = pipeline(
            z_i, null_z, size, size, steps, guidance, output_type="pt", return_dict=False,
            callback_on_step_end=lambda own, i, t, values: latents.append(values["latents"].clone()) or {},
        )[0]  # fmt: skip
    return SimpleNamespace(picture=picture, latents=latents, noise=record.noise)
