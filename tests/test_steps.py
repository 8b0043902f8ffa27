"""minunclip.steps: the timesteps that a sampler visits."""

import math

import numpy as np
import pytest
from diffusers.schedulers.scheduling_unclip import UnCLIPScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from minunclip.diffusion import timesteps


@pytest.mark.parametrize("steps", [2, 3, 7, 15, 25, 27, 50, 64, 250, 999, 1000])
def test_timesteps_are_the_released_ones(steps):
    oracle = UnCLIPScheduler()
    oracle.set_timesteps(steps)
    assert timesteps(steps) == oracle.timesteps.tolist()


def test_timesteps_round_half_to_even():
    assert timesteps(7) == [999, 832, 666, 500, 333, 166, 0]
    half_up = [math.floor(i * 166.5 + 0.5) for i in reversed(range(7))]
    assert timesteps(7) != half_up


@settings(deadline=None)
@given(total=st.integers(2, 1000), data=st.data())
def test_timesteps_fall_from_last_to_first(total, data):
    steps = data.draw(st.integers(2, total))
    visited = timesteps(steps, total)
    assert len(visited) == steps and visited[0] == total - 1 and visited[-1] == 0
    assert all(np.diff(visited) < 0)


@pytest.mark.parametrize("steps", [0, 1, 1001])
def test_too_few_or_too_many_steps_say_so(steps):
    with pytest.raises(ValueError, match="choose 2 to 1000 steps"):
        timesteps(steps)
