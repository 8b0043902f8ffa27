"""`minunclip doctor`: it lists every check, and names what is wrong with the weights and the packages."""

import os
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import ship, tamper, tiny_folder

from minunclip import common
from minunclip.__main__ import main
from minunclip.commands import doctor
from minunclip.common import try_device


def test_doctor_lists_every_check(tmp_path, monkeypatch, capsys):
    ship(monkeypatch, tiny_folder(tmp_path))
    monkeypatch.setattr(doctor, "packages", lambda: "all there")
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[6:24].strip() for line in lines] == list(doctor.CHECKS)
    assert all(line.startswith("OK") for line in lines)
    assert "6 files" in next(line for line in lines if "weights" in line)


def test_doctor_finds_tampered_and_missing_weights(tmp_path, monkeypatch, capsys):
    folder = tiny_folder(tmp_path)
    ship(monkeypatch, folder)
    tamper(folder / "prior.safetensors")
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(doctor.CHECKS)
    (bad,) = [line for line in lines if line.startswith("FAIL")]
    assert "weights" in bad and "prior.safetensors" in bad
    shutil.rmtree(folder)
    assert main(["doctor"]) == 1
    assert "FAIL  weights            no weights in" in capsys.readouterr().out


def test_doctor_survives_a_check_that_breaks(monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {"Python": doctor.python, "luck": lambda: 1 / 0})
    (fine, _), (bad, line) = doctor.report()
    assert fine and not bad and line == "FAIL  luck               division by zero"


def test_doctor_tells_each_line_as_soon_as_it_knows_it(monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {"Python": doctor.python, "luck": lambda: pytest.fail("asked too soon")})
    assert next(doctor.report())[1].startswith("OK    Python")


def test_doctor_names_missing_packages(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-thing"))
    with pytest.raises(RuntimeError, match="missing no-such-thing: run `pip install"):
        doctor.packages()


# -- what it tries -------------------------------------------------------------------------------------------


def test_a_gpu_that_cannot_compute_is_named_with_its_cure(monkeypatch):
    """What PyTorch says on a card that is older than its kernels."""

    def no_kernel(device):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel ...")

    monkeypatch.setattr(common, "best_device", lambda: torch.device("cuda"), raising=False)
    monkeypatch.setattr(common, "try_device", no_kernel, raising=False)
    with pytest.raises(RuntimeError, match="cuda: this PyTorch was not built for this GPU: take the CPU") as error:
        doctor.device()
    assert "\n" not in str(error.value)


def test_an_old_driver_is_named(monkeypatch):
    """PyTorch says that no GPU is there, and only warns why."""

    def warns():
        warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old (found version 11040).",
                      stacklevel=2)  # fmt: skip
        return torch.device("cpu")

    monkeypatch.setattr(common, "best_device", warns, raising=False)
    with pytest.raises(RuntimeError, match="the GPU's driver is older than the CUDA of this PyTorch: renew"):
        doctor.device()


def test_a_device_that_computes_wrongly_is_refused(monkeypatch):
    try_device(torch.device("cpu"))
    monkeypatch.setattr(torch, "ones", torch.zeros)
    with pytest.raises(RuntimeError, match="a matrix product came out wrong on cpu"):
        try_device(torch.device("cpu"))


def test_little_memory_is_told(monkeypatch):
    monkeypatch.setattr(common, "free_ram", lambda: 2**30, raising=False)
    with pytest.raises(RuntimeError, match="1.0 GiB for this process: the notebooks want 4"):
        doctor.memory()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system has no /dev/shm")
def test_little_shared_memory_is_told(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**20))
    with pytest.raises(RuntimeError, match="1 MiB in /dev/shm: train with --workers 0, or start Docker with"):
        doctor.shared_memory()


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor.files, "DATA", tmp_path / "data" / "runs")
    assert str(tmp_path) in doctor.writing()
    assert not list(tmp_path.iterdir())                                 # nothing is left behind

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(os, "replace", refuse)                          # as some network drives do
    with pytest.raises(OSError, match="cannot write .*permission denied"):
        doctor.writing()
