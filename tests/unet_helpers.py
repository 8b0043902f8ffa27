"""What the test files of the U-Net and its users share: tiny ones, diffusers' like them, and the names of both."""

from diffusers import UNet2DConditionModel, UNet2DModel

from minunclip.networks import UNetConfig

TOLERANCE = 5e-6  # relative root-mean-square error in float32
TINY = UNetConfig(
    out_channels=6, channels=32, mults=(1, 2, 3), blocks=2, attention=(1, 2), head_width=16, context_width=24
)
TINY_SR = UNetConfig(in_channels=6, channels=32, mults=(1, 2, 3), blocks=2, attention=(), film=False)

RENAMES = {  # diffusers -> ours, in this order
    "down_blocks.": "down.",
    "up_blocks.": "up.",
    "mid_block.": "middle.",
    "resnets.": "blocks.",
    "downsamplers.0.": "resample.",
    "upsamplers.0.": "resample.",
    "time_embedding.linear_1.": "time.0.",
    "time_embedding.linear_2.": "time.2.",
    "conv_norm_out.": "norm_out.",
    "time_emb_proj.": "time.",
    "conv_shortcut.": "skip.",
    "group_norm.": "norm.",
    "add_k_proj.": "context_k.",
    "add_v_proj.": "context_v.",
    "to_out.0.": "out.",
    "to_q.": "q.",
    "to_k.": "k.",
    "to_v.": "v.",
}


def renamed(state: dict) -> dict:
    result = {}
    for name, tensor in state.items():
        for theirs, ours in RENAMES.items():
            name = name.replace(theirs, ours)
        result[name] = tensor
    return result


def diffusers_decoder() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16, in_channels=3, out_channels=6, block_out_channels=(32, 64, 96), layers_per_block=2,
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 2),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * 2, "ResnetUpsampleBlock2D"),
        cross_attention_dim=24, class_embed_type="identity", attention_head_dim=16,
        resnet_time_scale_shift="scale_shift", norm_num_groups=32, norm_eps=1e-5,
        flip_sin_to_cos=True, freq_shift=0,
    )  # fmt: skip


def diffusers_super_resolution() -> UNet2DModel:
    return UNet2DModel(
        sample_size=16, in_channels=6, out_channels=3, block_out_channels=(32, 64, 96), layers_per_block=2,
        down_block_types=("ResnetDownsampleBlock2D",) * 3, up_block_types=("ResnetUpsampleBlock2D",) * 3,
        add_attention=False, resnet_time_scale_shift="default", norm_num_groups=32, norm_eps=1e-5,
        flip_sin_to_cos=True, freq_shift=0,
    )  # fmt: skip
