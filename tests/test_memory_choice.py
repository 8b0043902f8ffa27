"""Which memory mode and which precision are chosen for a machine, and what is said when none fits."""

import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest
import torch

from minunclip.common import best_dtype, free_ram
from minunclip.pretrained import MODES
from minunclip.pretrained import offload as memory
from minunclip.pretrained.offload import choose

# -- the choice ----------------------------------------------------------------------------------------------

GB = 10**9
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture
def machine(monkeypatch):
    """Sets what is free, in GB."""

    def is_free(gpu, ram):
        monkeypatch.setattr(memory, "free_on", lambda device: (gpu if device.type == "cuda" else ram) * GB)
        monkeypatch.setattr(memory, "free_ram", lambda: ram * GB)

    return is_free


@pytest.mark.parametrize(("device", "gpu", "ram", "mode"), [
    (CUDA, 24, 64, "resident"), (CUDA, 9, 1, "resident"), (CUDA, 6, 64, "offload"), (CUDA, 6, 4, "disk"),
    (CPU, 0, 16, "resident"), (CPU, 24, 7, "disk"),
])  # fmt: skip
def test_the_fastest_mode_that_fits(machine, device, gpu, ram, mode):
    """Networks of 2, 3 and 3 GB, and 1 GB to work in."""
    machine(gpu, ram)
    assert choose("auto", [2 * GB, 3 * GB, 3 * GB], GB, device) == mode


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_that_fits_can_be_asked_for(machine, mode):
    machine(24, 64)
    assert choose(mode, [2 * GB, 3 * GB], GB, CUDA) == mode


@pytest.mark.parametrize(("mode", "device", "gpu", "ram", "message"), [
    ("auto", CUDA, 2, 64, "'disk' takes 4.0 GB of GPU memory, and 2.0 GB of GPU memory are free; close"),
    ("auto", CPU, 24, 3, "'disk' takes 4.0 GB of RAM, and 3.0 GB of RAM are free; close"),
    ("resident", CUDA, 6, 64, "'resident' takes 6.5 GB of GPU memory.*'offload' would fit, with 4.0 GB"),
    ("offload", CUDA, 6, 4, "takes 4.0 GB of GPU memory and 5.5 GB of RAM, and 6.0 GB of.* and 4.0 GB.*'disk' would"),
])  # fmt: skip
def test_too_little_memory_says_what_would_fit(machine, mode, device, gpu, ram, message):
    machine(gpu, ram)
    with pytest.raises(MemoryError, match=message) as error:
        choose(mode, [int(2.5 * GB), 3 * GB], GB, device)
    assert "\n" not in str(error.value)


def test_a_mode_that_does_not_exist():
    with pytest.raises(ValueError, match="no memory mode 'ram': choose one of auto, resident, offload, disk"):
        choose("ram", [1], 1, CPU)


# -- the machine ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("able", "dtype"), [
    ({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16), ({"bf16": True}, torch.bfloat16),
    ({"avx512_bf16": False, "avx2": True}, torch.float32), ({}, torch.float32),
])  # fmt: skip
def test_a_cpu_computes_in_bfloat16_if_it_can(monkeypatch, able, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert best_dtype("cpu") == dtype and best_dtype("mps") == torch.float32


@pytest.mark.parametrize(("able", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_computes_in_half_precision(monkeypatch, able, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: able)
    assert best_dtype("cuda:0") == dtype


def group(root, path, **files):
    """Write the files of a control group; version 1 has `memory` in its path."""
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def in_group(root, *lines):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("\n".join(lines) + "\n")


@pytest.fixture
def large(monkeypatch):
    """A machine of 64 GB."""
    monkeypatch.setattr("minunclip.common.memory.psutil.virtual_memory", lambda: SimpleNamespace(available=64 * GB))


def test_without_limits_the_whole_machine_is_free(tmp_path, large):
    assert free_ram(tmp_path) == 64 * GB                                # no control groups at all
    in_group(tmp_path, "0::/")
    group(tmp_path, "", memory__max="max", memory__stat="anon 5")
    assert free_ram(tmp_path) == 64 * GB


def test_a_container_may_have_less_than_the_machine(tmp_path, large):
    in_group(tmp_path, "0::/")
    group(tmp_path, "", memory__max=8 * GB, memory__stat=f"anon {3 * GB}\nfile {5 * GB}")
    assert free_ram(tmp_path) == 5 * GB                                 # the file cache can be given back


def test_the_smallest_limit_of_all_groups_around_counts(tmp_path, large):
    """Slurm's way in version 2: the step has no limit, the job has one, the machine has a larger one."""
    in_group(tmp_path, "0::/system/job_7/step_0")
    group(tmp_path, "system/job_7/step_0", memory__max="max", memory__stat=f"anon {GB}")
    group(tmp_path, "system/job_7", memory__max=4 * GB, memory__stat=f"anon {3 * GB}")
    group(tmp_path, "system", memory__max=32 * GB, memory__stat=f"anon {6 * GB}")
    assert free_ram(tmp_path) == GB


def test_control_groups_of_version_1(tmp_path, large):
    in_group(tmp_path, "9:name=systemd:/", "4:cpuset,memory:/slurm/uid_1/job_2", "0::/")
    none = 9223372036854771712                                          # how version 1 says that there is no limit
    group(tmp_path, "memory", memory__limit_in_bytes=none, memory__stat=f"rss 5\ntotal_rss {9 * GB}")
    group(tmp_path, "memory/slurm/uid_1/job_2", memory__limit_in_bytes=6 * GB, memory__stat=f"total_rss {2 * GB}")
    assert free_ram(tmp_path) == 4 * GB


@pytest.mark.parametrize("path", ["/docker/abc", "/../../elsewhere"])
def test_a_group_that_is_seen_under_another_path(tmp_path, large, path):
    """Inside a container its own group is the root, whatever the machine calls it."""
    in_group(tmp_path, f"0::{path}")
    group(tmp_path, "", memory__max=3 * GB, memory__stat=f"anon {GB}")
    assert free_ram(tmp_path) == 2 * GB


def test_a_full_group_has_nothing_left(tmp_path, large):
    in_group(tmp_path, "0::/")
    group(tmp_path, "", memory__max=GB, memory__stat=f"anon {2 * GB}")
    assert free_ram(tmp_path) == 0


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_AS"), reason="this system does not limit addresses")
def test_a_limit_on_addresses_counts():
    """In a process of its own, for a limit cannot be raised again."""
    code = ("import psutil, resource; from minunclip.common import free_ram; "
            "most = psutil.Process().memory_info().vms + 2**30; "
            "resource.setrlimit(resource.RLIMIT_AS, (most, most)); print(free_ram())")  # fmt: skip
    left = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert left <= 2**30
