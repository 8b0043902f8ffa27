"""A training that is killed, at whatever moment, loses nothing: real processes, and signals that cannot be caught."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import psutil
import pytest
import torch

from minunclip.commands import train
from minunclip.common import read_weights
from minunclip.evaluation import Judge
from minunclip.evaluation.judge import JudgeConfig
from minunclip.training import TrainConfig
from minunclip.training.recipes.judge import JudgeRecipe

if not hasattr(os, "fork"):
    pytest.skip("this system has no fork, with which these tests start trainings", allow_module_level=True)

SMALL = TrainConfig(steps=12, batch=4, examples=16, warmup=2, ema=0.9, save_every=1)  # which saves most of the time


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A judge that is trained within a second; processes that are forked from this one have it, too."""
    monkeypatch.setattr(JudgeRecipe, "profiles", {"cpu": SMALL})
    monkeypatch.setattr(JudgeRecipe, "build", lambda recipe: Judge(JudgeConfig(width=8, features=16)))


def started(out: Path, workers: int = 0) -> int:
    """The number of a process that trains. It shares what this one has imported, and so starts at once."""
    if number := os.fork():
        return number
    status = 1
    try:
        torch.set_num_threads(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        train.run(train.Request("judge", "cpu", workers=workers), out)
        status = 0
    finally:
        os._exit(status)


def ended(number: int) -> int:
    """Wait for a process: its exit status, or the signal that killed it with a minus."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_weights(out)[1]


def steps(out: Path) -> list[int]:
    return [point["step"] for point in json.loads(train.beside(out, ".curve.json").read_text())]


@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_again_and_again_a_training_ends_with_the_same_bits(tmp_path, kills):
    whole = train.run(train.Request("judge", "cpu", workers=0), tmp_path / "whole" / "judge.safetensors")  # imports all
    start = time.monotonic()
    assert ended(started(tmp_path / "timed")) == 0
    took, random, done, runs = time.monotonic() - start, Random(0), 0, 0
    while done < kills:
        runs += 1
        out = tmp_path / str(runs) / "judge.safetensors"
        while not out.exists():
            number = started(out)
            time.sleep(random.uniform(0, took / 2))
            os.kill(number, signal.SIGKILL)
            done += ended(number) == -signal.SIGKILL
        assert ended(started(out)) == 0                                 # finished, it has nothing left to do
        ours, theirs = weights(out), weights(whole)
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert steps(out) == steps(whole) == list(range(1, SMALL.steps + 1))
        assert not list(out.parent.glob(".*")), "what was half written is still there"


def test_a_disk_that_fills_up_costs_one_step_only(tmp_path):
    """With a limit on the size of files, which stops a checkpoint in its middle as a full disk does."""
    out = tmp_path / "judge.safetensors"
    code = (
        "import resource, sys; from pathlib import Path; from minunclip.__main__ import main; "
        "from minunclip.training import TrainConfig; from minunclip.training.recipes.judge import JudgeRecipe; "
        "JudgeRecipe.profiles = {'cpu': TrainConfig(steps=3, batch=4, examples=16, warmup=2, save_every=1)}; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
        f"sys.exit(main(['train', 'judge', '--profile', 'cpu', '--workers', '0', '--out', {str(out)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = done.stderr.replace("\r", "\n").strip().splitlines()[-1]
    assert done.returncode == 2 and last.startswith("minunclip: cannot write") and "the disk is full" in last
    assert not out.exists() and "Traceback" not in done.stderr
    assert not [path.name for path in tmp_path.iterdir() if path.suffix in (".tmp", ".lock", ".checkpoint")]


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"])
def test_no_process_stays_behind(tmp_path, name):
    """Those that draw the examples end with the training."""
    code = (
        "import sys; from minunclip.__main__ import main; from minunclip.training import TrainConfig; "
        "from minunclip.training.recipes.judge import JudgeRecipe; "
        "JudgeRecipe.profiles = {'cpu': TrainConfig(steps=10**6, batch=256, warmup=2)}; "
        f"sys.exit(main(['train', 'judge', '--profile', 'cpu', '--workers', '2', '--out', {str(tmp_path / 'j')!r}]))"
    )
    training = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    process = psutil.Process(training.pid)
    while len(workers := process.children()) < 2:
        assert training.poll() is None
        time.sleep(0.1)
    time.sleep(1)                                                       # until they wait for somebody to take a batch
    training.send_signal(getattr(signal, name))
    assert training.wait(60) == (-signal.SIGKILL if name == "SIGKILL" else 130)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE] == []
