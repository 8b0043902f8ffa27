"""Two processes that train together, killed at whatever moment, lose nothing: signals that cannot be caught."""

import os
import signal
import socket
import time
from pathlib import Path
from random import Random

import pytest
import torch
from test_kills import ended, small, steps, weights

from minunclip.commands import train

assert small                                # a judge that is trained within a second; used by every test here
REQUEST = train.Request("judge", "cpu", workers=0, streams=2)


def both(out: Path) -> list[int]:
    """The numbers of two processes that train together, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [started(out, rank, port) for rank in range(2)]


def started(out: Path, rank: int, port: int) -> int:
    """The number of one of them. It shares what this process has imported, and so starts at once."""
    if number := os.fork():
        return number
    status = 1
    try:
        torch.set_num_threads(1)
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        train.run(REQUEST, out)
        status = 0
    finally:
        os._exit(status)


def killed(numbers: list[int], first: int) -> bool:
    """Kill one, and then the other, as a launcher does when it notices; whether the first was still at work."""
    os.kill(numbers[first], signal.SIGKILL)
    hit = ended(numbers[first]) == -signal.SIGKILL
    time.sleep(0.05)                        # in which the other may notice by itself that it is alone
    os.kill(numbers[1 - first], signal.SIGTERM)
    ended(numbers[1 - first])
    return hit


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_two_processes_killed_again_and_again_end_with_the_same_bits(tmp_path, kills):
    alone = train.run(REQUEST, tmp_path / "alone" / "judge.safetensors")                # imports all
    whole, begun = tmp_path / "whole" / "judge.safetensors", time.monotonic()
    assert list(map(ended, both(whole))) == [0, 0]
    took, random, done, runs = time.monotonic() - begun, Random(0), 0, 0
    for name, ours in weights(alone).items():
        torch.testing.assert_close(weights(whole)[name], ours, atol=1e-6, rtol=1e-5)
    while done < kills:
        runs += 1
        out = tmp_path / str(runs) / "judge.safetensors"
        while not out.exists():
            numbers = both(out)
            time.sleep(random.uniform(0, took))
            done += killed(numbers, random.randrange(2))
        assert list(map(ended, both(out))) == [0, 0]                    # finished, they have nothing left to do
        ours, theirs = weights(out), weights(whole)
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert steps(out) == steps(whole) == list(range(1, 13))
        assert not list(out.parent.glob(".*")), "what was half written is still there"
