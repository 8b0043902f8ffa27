"""The likeliest mistakes of every exercise, made on purpose: {exercise: {hint: a function that makes the mistake}}.

A wrong answer gets the hint of the mistake that gives the very same answer on every input, so a hint never misfires.
To add one, write the hint and the mistaken function here; tests/wrong_answers says which answer gets which hint.
"""

from . import (
    ar_prior,
    cascade,
    clip,
    decoder,
    diffusion,
    karlo,
    modules,
    pictures,
    play,
    prior,
    scenes,
    upsampler,
    variance,
)

FILES = (scenes, clip, diffusion, prior, ar_prior, decoder, upsampler, cascade, play, pictures, karlo, modules,
         variance)  # fmt: skip
MISTAKES = {name: mistakes for file in FILES for name, mistakes in file.MISTAKES.items()}

__all__ = ["MISTAKES"]
