"""Which memory mode and which precision are chosen for a machine, and what is said when none fits."""

from types import SimpleNamespace

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


def test_a_container_may_have_less_than_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr("minunclip.common.device.psutil.virtual_memory", lambda: SimpleNamespace(available=64 * GB))
    assert free_ram(tmp_path / "none") == 64 * GB
    (tmp_path / "memory.max").write_text("max\n")
    assert free_ram(tmp_path) == 64 * GB
    (tmp_path / "memory.max").write_text(f"{8 * GB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {3 * GB}\nfile {5 * GB}\n")  # the file cache can be given back
    assert free_ram(tmp_path) == 5 * GB
