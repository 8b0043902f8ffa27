"""Several processes learn what one would learn alone: every stage, by torchrun, and over a change of their number."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import TINY_CLIP, randomise

from minunclip.clip import CLIP
from minunclip.common import STAGES, read_weights

HERE = Path(__file__).parent
ALONE = [sys.executable]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}


def run(launcher: list[str], folder: Path, *what: str) -> subprocess.CompletedProcess:
    folder.mkdir(exist_ok=True)
    command = [*launcher, str(HERE / "parallel_training.py"), str(folder), *what]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


def learnt(folder: Path, name: str) -> dict:
    """The averaged weights in a checkpoint, in full precision, and the optimiser's state."""
    state = torch.load(folder / f"{name}.checkpoint", weights_only=True)
    return {**state["ema"], **{f"model.{key}": value for key, value in state["model"].items()}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """All stages, trained alone and by two processes."""
    both = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for launcher, folder in zip((ALONE, TWO), both, strict=True):
        done = run(launcher, folder, "stages")
        assert done.returncode == 0, done.stderr[-3000:]
    return both


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_learn_what_one_learns(folders, stage):
    one, two = (learnt(folder, stage) for folder in folders)
    assert one.keys() == two.keys()
    for name, ours in one.items():
        torch.testing.assert_close(two[name], ours, atol=1e-6, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
    assert not list(folders[1].glob(".*")) and read_weights(folders[1] / f"{stage}.safetensors")[0]["profile"] == "cpu"


def test_the_number_of_processes_may_change_on_the_way(tmp_path):
    """Ten steps alone; six by two processes, and the rest alone: the same bits."""
    for launcher, folder, steps in ((ALONE, "whole", "10"), (TWO, "changed", "6"), (ALONE, "changed", "10")):
        done = run(launcher, tmp_path / folder, "toy", steps)
        assert done.returncode == 0, done.stderr[-3000:]
    ours, theirs = learnt(tmp_path / "whole", "toy"), learnt(tmp_path / "changed", "toy")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_fault_of_one_ends_all_with_its_line(tmp_path):
    """The second process cannot read the CLIP; the first does not wait for it for ever."""
    clip, out = randomise(CLIP(TINY_CLIP)).save(tmp_path / "clip.safetensors"), tmp_path / "out" / "p.safetensors"
    code = (
        "import os, sys; from minunclip.__main__ import main; "
        f"clip = {str(clip)!r} if os.environ['RANK'] == '0' else '/nowhere/clip.safetensors'; "
        f"sys.exit(main(['train', 'prior', '--profile', 'cpu', '--clip', clip, '--out', {str(out)!r}]))"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run([*TWO, str(script)], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and "minunclip: there is no weight file /nowhere/clip.safetensors" in done.stderr
