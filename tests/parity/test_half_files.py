"""Weights in half precision beside those in float32: what the whole pipeline makes of the rounding, noise replayed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from karlo_folder import CAPTIONS, LARGE, SIZE, STEPS, quantile

import minunclip
from minunclip.pretrained.halving import check_half, halve
from minunclip.pretrained.store import half_name

# 90 % quantile of the absolute difference in pictures of -1 to 1, over the four pictures of seeds 0 to 3. Measured with
# pairs of seeds: .006 to .011 for our half files, .009 to .047 with biases and norms halved, too, and .11 to .29 for
# bfloat16, whether of the files or of the networks. Single noises can be worse, for where a value meets the clip any
# rounding grows: one of five gave .058, and float32's own rounding does the same on a smaller scale.
HALF = 0.02


@pytest.fixture(scope="module")
def halved(folder, tmp_path_factory):
    """The same folder as `minunclip fetch` keeps it."""
    copy = Path(shutil.copytree(folder, tmp_path_factory.mktemp("half") / "karlo"))
    for full in copy.rglob("*.safetensors"):
        half = Path(half_name(str(full)))
        halve(full, half)
        check_half(full, half)
        full.unlink()
    return copy


def drawn(folder, dtype=torch.float32):
    """The same seeds are the same noise."""
    cascade = minunclip.load(folder, dtype=dtype)
    settings = replace(cascade.settings, prior_steps=STEPS["prior"], decoder_steps=STEPS["decoder"],
                       upsampler_steps=(STEPS["upsampler-1"],))  # fmt: skip
    return cascade.sample([*CAPTIONS, *CAPTIONS], seed=0, settings=settings)


def differences(one, other) -> list[float]:
    return [quantile(one.images[side], other.images[side]) for side in (SIZE, LARGE)]


def test_half_files_draw_what_float32_draws(folder, halved):
    """And bfloat16 is so much coarser that there the halved files cost nothing."""
    expected = drawn(folder)
    found = differences(drawn(halved), expected)
    assert 0 < max(found) < HALF, found
    coarse = differences(drawn(halved, torch.bfloat16), expected)
    assert min(coarse) > 3 * HALF, coarse


def test_diffusers_reads_them_as_its_variant(halved):
    from diffusers import PriorTransformer, UNet2DModel

    ours = minunclip.load(halved)
    theirs = PriorTransformer.from_pretrained(halved / "prior", variant="fp16")
    assert torch.equal(theirs.state_dict()["proj_in.weight"], ours.prior.z_in.weight)
    UNet2DModel.from_pretrained(halved / "super_res_first", variant="fp16")
