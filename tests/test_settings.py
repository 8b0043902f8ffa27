"""Settings and seeds: bounds, numbers of NumPy and of tensors, and what is no number."""

from dataclasses import astuple

import numpy as np
import pytest
import torch
from helpers import tiny_cascade

from minunclip.diffusion import generators
from minunclip.unclip import Settings

CASCADE = tiny_cascade()
WHOLE = ("prior_steps", "decoder_steps", "candidates")


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32, torch.tensor, int])
def test_numbers_of_other_kinds_become_pythons_own(kind):
    settings = Settings(upsampler_steps=[kind(3), 4], **{name: kind(20) for name in WHOLE})
    assert settings == Settings(upsampler_steps=(3, 4), **dict.fromkeys(WHOLE, 20))
    assert {type(value) for value in (*astuple(settings)[:1], *settings.upsampler_steps, settings.candidates)} == {int}


@pytest.mark.parametrize("scale", [np.float32(2.5), np.float64(2.5), 2.5])
def test_a_guidance_is_a_real_number(scale):
    assert Settings(decoder_guidance=scale) == Settings(decoder_guidance=2.5)


@pytest.mark.parametrize("changes, told", [
    *(({name: value}, f"{name} is {value!r}: choose") for name in WHOLE for value in ("15", 15.0, None, 1 + 2j, [15])),
    ({"candidates": 101}, "candidates is 101: choose 1 to 100"),
    ({"candidates": -1}, "candidates is -1"),
    ({"decoder_guidance": "3"}, "decoder_guidance is '3': choose 0"),
    ({"decoder_guidance": None}, "decoder_guidance is None"),
    ({"prior_guidance": np.float64("nan")}, f"prior_guidance is {np.float64('nan')!r}"),
    ({"prior_guidance": float("inf")}, "prior_guidance is inf"),
    ({"prior_guidance": [1.0]}, "prior_guidance is [1.0]"),
    ({"prior_guidance": np.ones((30, 30))}, "prior_guidance is array("),
    ({"upsampler_steps": 4}, "upsampler_steps is 4: give a number for each, as in (2, 2)"),
    ({"upsampler_steps": "22"}, "upsampler_steps is '22'"),
    ({"upsampler_steps": (2, 2.5)}, "upsampler_steps is 2.5: choose 2 to 1000, a whole number"),
    ({"sampler": None}, "there is no sampler None: choose one of ddpm, ddim"),
    ({"sampler": ["ddim"]}, "there is no sampler ['ddim']"),
])  # fmt: skip
def test_what_is_no_setting_is_refused_in_a_line(changes, told):
    with pytest.raises(ValueError) as error:
        Settings(**changes)
    assert told in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("seed", [3, 2_000_000_000, -5, 10**15 - 1])
@pytest.mark.parametrize("kind", [np.int64, np.int32, torch.tensor])
def test_a_seed_of_another_kind_is_the_same_seed(seed, kind):
    if kind is np.int32 and abs(seed) >= 2**31:
        return
    expected, found = CASCADE.sample("a star", seed, 32), CASCADE.sample("a star", kind(seed), 32)
    assert type(found.seed) is int and found.seed == seed
    assert torch.equal(found.z_i, expected.z_i) and torch.equal(found.image, expected.image)
    assert torch.equal(next(CASCADE.noise((2, 12), kind(seed), "prior")), next(CASCADE.noise((2, 12), seed, "prior")))
    assert [g.initial_seed() for g in generators(kind(seed), 2)] == [g.initial_seed() for g in generators(seed, 2)]


@pytest.mark.parametrize("seed, told", [
    (1.0, "the seed is 1.0: choose -999999999999999 to 999999999999999, a whole number"), ("1", "the seed is '1'"),
    (None, "the seed is None"), (10**15, "the seed is 1000000000000000: choose"), (-(10**15), "the seed is -1000"),
    (np.float64(3), f"the seed is {np.float64(3)!r}"), (torch.tensor(1.5), "the seed is tensor(1.5000)"),
])  # fmt: skip
def test_what_is_no_seed_is_refused_in_a_line(seed, told):
    for use in (lambda: CASCADE.sample("a star", seed), lambda: CASCADE.noise((2, 12), seed, "prior"),
                lambda: CASCADE.embed(CASCADE.clip.encode_text("a star"), seed=seed).finish()):  # fmt: skip
        with pytest.raises(ValueError) as error:
            use()
        assert told in str(error.value) and "\n" not in str(error.value)
