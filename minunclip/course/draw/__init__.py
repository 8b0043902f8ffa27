"""The drawings of the course, one function each: `draw.cascade()` shows the cascade in a notebook.

They are SVG, in one style, for light pages and dark ones. The same drawings stand as files in docs/drawings, for the
README and web pages; `python -m minunclip.course.draw` writes them anew. Widths and sizes come from the recipes.
"""

from .clip import attention, contrastive_matrix, vision_transformer
from .decoder import learned_variance, res_block, two_ways, u_net, u_net_released
from .diffusion import average_weights, diffusion, guidance, sampling_step, targets
from .latents import bipartite_latent, text_diff, variations
from .overview import cascade, facts
from .prior import ar_sentence, better_of_two, modality_gap, prior_sequence
from .sheet import Drawing
from .upsampler import crops

ALL = (
    cascade, facts, attention, vision_transformer, contrastive_matrix, diffusion, targets, sampling_step, guidance,
    average_weights, modality_gap, prior_sequence, better_of_two, ar_sentence, u_net, u_net_released, res_block,
    two_ways, learned_variance, crops, bipartite_latent, variations, text_diff,
)  # fmt: skip

__all__ = ["ALL", "Drawing", *(function.__name__ for function in ALL)]
