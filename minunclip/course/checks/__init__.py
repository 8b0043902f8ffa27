"""The exercises of the notebooks: `checks.effective_number(effective_number)` says whether your function is right.

There is one module for each notebook. All exercises can be found here, so no two may have the same name.
"""

from .ar_prior import components_needed, next_token_loss, one_more, pick_bucket, to_buckets
from .cascade import bootstrap_interval, diversity_at, frechet_diagonal, scaled_like
from .clip import attention, clip_loss, end_tokens, patchify
from .decoder import context_mask, film, fold_whitening, group_norm, joint_attention
from .diffusion import best_x0, ddim_step, eta_step, guide, guided_halves, posterior_mean, q_sample, x0_from_eps
from .karlo import fastest_mode, prior_positions, relative_rms, unpack_qkv
from .modules import MyAttention, MyResBlock, MyUNet, MyUpsampler, write_sentence
from .pictures import found_across, held_out, merge_pair, paired_batch
from .play import colours_swapped, ddim_back, keep_components, slerp_rows, text_direction
from .prior import centre_and_spread, keep_best, prior_loss, prior_mask, prior_sequence
from .scenes import coverage, each_its_own, effective_number, fits, question_loss
from .substitution import borrowed, in_use, mine, restore
from .upsampler import cubic_weights, decibels, gaussian_kernel, same_crop
from .variance import bits_lost, learned_variance, stride_variances

__all__ = [
    "attention", "best_x0", "clip_loss", "coverage", "ddim_step", "each_its_own", "effective_number", "end_tokens",
    "eta_step", "fits", "guide", "guided_halves", "patchify", "posterior_mean", "q_sample", "question_loss",
    "x0_from_eps",
    "context_mask", "film", "fold_whitening", "group_norm", "joint_attention",
    "bits_lost", "learned_variance", "stride_variances",
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
