"""`minunclip doctor`: it lists every check, and names what is wrong with the weights and the packages."""

import shutil

import pytest
from helpers import ship, tamper, tiny_folder

from minunclip.__main__ import main
from minunclip.commands import doctor


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
