"""The two kinds of network: the Transformer of CLIP and of the priors, the U-Net of the decoder and the upsamplers.

May import: common.
"""

from .transformer import Attention, Block, KeyValue, QuickGELU, Transformer, causal_mask, timestep_embedding
from .unet import AttentionBlock, Context, ResBlock, UNet, UNetConfig

__all__ = [
    "Attention", "AttentionBlock", "Block", "Context", "KeyValue", "QuickGELU", "ResBlock", "Transformer", "UNet",
    "UNetConfig", "causal_mask", "timestep_embedding",
]  # fmt: skip
