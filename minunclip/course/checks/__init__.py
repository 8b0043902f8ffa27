"""The exercises of the notebooks: `checks.effective_number(effective_number)` says whether your function is right.

There is one module for each notebook. All exercises can be found here, so no two may have the same name.
"""

from .ar_prior import components_needed, next_token_loss, one_more, pick_bucket, to_buckets
from .cascade import bootstrap_interval, diversity_at, frechet_diagonal, scaled_like
from .clip import attention, causal_weights, clip_loss, patchify, zero_shot_choice
from .decoder import film, fold_whitening, group_norm, joint_attention, learned_variance
from .diffusion import best_x0, ddim_step, guide, posterior_mean, q_sample, x0_from_eps
from .karlo import fastest_mode, prior_positions, relative_rms, unpack_qkv
from .modules import MyAttention, MyResBlock, MyUNet, MyUpsampler, write_sentence
from .pictures import found_across, held_out, merge_pair, paired_batch
from .play import colours_swapped, ddim_back, keep_components, slerp_rows, text_direction
from .prior import centre_and_spread, keep_best, prior_loss, prior_mask, prior_sequence
from .scenes import coverage, effective_number, fits, question_loss
from .substitution import borrowed, in_use, mine, restore
from .upsampler import cubic_weights, decibels, gaussian_kernel, same_crop

__all__ = [
    "attention", "best_x0", "causal_weights", "clip_loss", "coverage", "ddim_step", "effective_number", "fits", "guide",
    "patchify", "posterior_mean", "q_sample", "question_loss", "x0_from_eps", "zero_shot_choice",
    "film", "fold_whitening", "group_norm", "joint_attention", "learned_variance",
    "cubic_weights", "decibels", "gaussian_kernel", "same_crop",
    "fastest_mode", "prior_positions", "relative_rms", "unpack_qkv",
    "centre_and_spread", "keep_best", "prior_loss", "prior_mask", "prior_sequence",
    "components_needed", "next_token_loss", "one_more", "pick_bucket", "to_buckets",
    "bootstrap_interval", "diversity_at", "frechet_diagonal", "scaled_like",
    "colours_swapped", "ddim_back", "keep_components", "slerp_rows", "text_direction",
    "found_across", "held_out", "merge_pair", "paired_batch",
    "MyAttention", "MyResBlock", "MyUNet", "MyUpsampler", "write_sentence",
    "borrowed", "in_use", "mine", "restore",
]  # fmt: skip
