"""The answers behind the exercises: `checks.effective_number(effective_number)` says whether yours is right.

One module for each notebook; the names of all exercises meet here, so no two may be the same.
"""

from .clip import attention, causal_weights, clip_loss, patchify, zero_shot_choice
from .diffusion import ddim_step, guide, posterior_mean, q_sample, x0_from_eps
from .scenes import coverage, effective_number, fits, question_loss

__all__ = [
    "attention", "causal_weights", "clip_loss", "coverage", "ddim_step", "effective_number", "fits", "guide",
    "patchify", "posterior_mean", "q_sample", "question_loss", "x0_from_eps", "zero_shot_choice",
]  # fmt: skip
