"""Printing never fails, whatever stdout and stderr are. Each in a process of its own, for Python sets them up."""

import os
import subprocess
import sys

import pytest

DOCTOR = ("import sys; from minunclip.__main__ import main; from minunclip.commands import doctor; "
          "doctor.CHECKS = {'cup': lambda: '\u2615'}; ")  # fmt: skip


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", DOCTOR + code], capture_output=True, env=os.environ | environment)


@pytest.mark.parametrize(("encoding", "printed"), [("utf-8", "\u2615".encode()), ("cp1252", rb"\u2615")])
def test_letters_that_a_terminal_lacks(encoding, printed):
    done = run("sys.exit(main(['doctor']))", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and done.stdout.split() == [b"OK", b"cup", printed]


@pytest.mark.parametrize("missing", ["stdout", "stderr"])
def test_a_program_without_a_console(missing, tmp_path):
    """As started by Windows' pythonw or by a service: the stream is None."""
    note = tmp_path / "note"
    code = f"import pathlib; sys.{missing} = None; pathlib.Path({str(note)!r}).write_text(str(main(['doctor'])))"
    done = run(code)
    assert done.returncode == 0 and note.read_text() == "0"


def test_a_reader_who_has_gone():
    """As in `minunclip doctor | head -0`."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", DOCTOR + "sys.exit(main(['doctor']))"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == 141 and done.stderr == b""
