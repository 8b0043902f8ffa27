"""The files around the library tell one story of the dependencies, and the README is true."""

import os
import re
import stat
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
PINS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
KEPT = (".safetensors", ".json")
CI_RUN = ROOT / ".ci" / "run"
RUNTIME = PROJECT["project"]["dependencies"]
DEVELOPMENT = [line for line in PROJECT["dependency-groups"]["dev"] if isinstance(line, str)]


def block(mark):
    """The fenced lines that follow <!-- mark --> in the README."""
    found = re.findall(rf"^<!-- {mark} -->\n```sh\n(.*?)\n```$", README, re.M | re.S)
    assert len(found) == 1, f"README.md: {len(found)} blocks are marked <!-- {mark} -->"
    return found[0]


def table(mark):
    """The rows, each a list of cells, of the table that follows <!-- mark --> in the README."""
    rows = re.search(rf"^<!-- {mark} -->\n((?:\|.*\n)+)", README, re.M)[1].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


# -- one story of the dependencies ---------------------------------------------------------------------------


def unpinned(wanted, pins, python, platform):
    """The requirements that the pins which apply to this Python and platform do not satisfy."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": platform}
    lines = [Requirement(line) for line in pins.splitlines() if line and not line.startswith("#")]
    applies = [line for line in lines if line.marker is None or line.marker.evaluate(environment)]
    versions = {canonicalize_name(line.name): str(line.specifier).removeprefix("==") for line in applies}

    def satisfied(need):
        version = versions.get(canonicalize_name(need.name))
        return version is not None and need.specifier.contains(version)

    return [str(need) for need in map(Requirement, wanted) if not satisfied(need)]


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", ["3.11", "3.14"])
def test_the_pins_satisfy_pyproject(python, platform):
    assert unpinned(RUNTIME + DEVELOPMENT, PINS, python, platform) == []
    without_torch = re.sub(r"(?m)^torch==.*\n", "", PINS)
    assert unpinned(RUNTIME, without_torch, python, platform) == ["torch>=2.6"]
    assert unpinned(["tqdm>=99"], PINS, python, platform) == ["tqdm>=99"]


def test_every_pin_is_exact():
    lines = [line for line in PINS.splitlines() if line and not line.startswith("#")]
    assert lines and not [line for line in lines if not re.match(r"[\w.\[\]-]+==[\w.+!]+( ; .+)?$", line)]


def test_conda_asks_for_the_same_packages():
    *conda, pip = ENVIRONMENT["dependencies"]
    assert sorted(pip["pip"]) == sorted([*RUNTIME, "-e ."])
    assert ENVIRONMENT["channels"] == ["conda-forge"]
    assert conda == ["python" + PROJECT["project"]["requires-python"], "pip"]


def test_one_oldest_python():
    floor = PROJECT["project"]["requires-python"].removeprefix(">=")
    tried = [WORKFLOW["jobs"][job]["strategy"]["matrix"]["python"] for job in ("tests", "notebooks")]
    assert tried[0] == tried[1] and tried[0][0] == floor
    assert f"Python {floor} or newer" in README


def test_one_version():
    version = PROJECT["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[1]
    assert (str(citation["version"]), newest) == (version, version)
    assert citation["license"] == PROJECT["project"]["license"] == "MIT"


@pytest.mark.slow
def test_the_wheel_carries_the_weights(tmp_path):
    """Slow because uv fetches the build backend; `pip install` of the repository draws with these files."""
    subprocess.run(["uv", "build", "--wheel", "--out-dir", tmp_path, ROOT], check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    carried = {name.removeprefix("minunclip/weights_data/") for name in names if "/weights_data/" in name}
    weights = ROOT / "data" / "weights"
    shipped = {path.relative_to(weights).as_posix() for path in weights.rglob("*") if path.suffix in KEPT}
    assert any(name.endswith(".safetensors") for name in shipped) and carried == shipped


# -- the README ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason=".ci/run is a bash script")
@pytest.mark.parametrize("failing", ["", "ruff", "browser", "pytest"])
def test_ci_runs_the_readmes_test_command(failing, tmp_path):
    """Stand-ins for pip and uv write down what .ci/run starts; a failure of either step must fail the run."""
    log = tmp_path / "log"
    stub = f'#!/bin/sh\necho "$(basename $0) $*" >> {log}\n[ "$2" = pytest ] && echo "1 passed"\n'
    stub += f'case "$*" in *{failing}*) exit 1;; esac\n' if failing else "exit 0\n"
    for name in ("pip", "uv", "apt-get", "chromium", "npm"):
        (tmp_path / name).write_text(stub)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(["bash", CI_RUN], env={**os.environ, "PATH": path}, capture_output=True, text=True)
    test_steps = block("command: test").split(" && ")
    lint = "uv run --only-group lint ruff check"
    part = re.search(r'^part="(.+)"$', CI_RUN.read_text(encoding="utf-8"), re.M)[1]
    docs = re.search(r"^docs=\((.+)\)$", CI_RUN.read_text(encoding="utf-8"), re.M)[1]
    steps = [lint, f"uv run pytest -n 0 -m browser tests/browser -k {part}",
             f"uv run --group docs pytest -n 0 -m browser or slow {docs}", *test_steps]  # fmt: skip
    assert log.read_text().splitlines() == (steps[:1] if failing == "ruff" else steps)
    assert (run.returncode == 0) == (not failing), run.stderr
    assert failing == "ruff" or run.stdout.splitlines()[-1] == "1 passed"


def test_ci_is_executable():
    assert os.name == "nt" or CI_RUN.stat().st_mode & stat.S_IXUSR


def test_the_notebook_command_opens_the_tour():
    assert block("command: notebooks").endswith("uv run jupyter lab notebooks/00_tour.ipynb")
    assert (ROOT / block("command: notebooks").split()[-1]).is_file()


def readme_calls():
    """Every call of the command line in the README's shell blocks, as lists of words."""
    shell = "\n".join(re.findall(r"^ *```sh\n(.*?)^ *```", README, re.M | re.S))
    calls = re.findall(r"(?:-m|run|--no-sync|--group docs) minunclip (.+)", shell)
    return [re.sub(r'"[^"]*"', "CAPTION", call).split() for call in calls]


def test_the_readme_shows_every_command():
    from minunclip.__main__ import COMMANDS

    assert {call[0] for call in readme_calls()} == set(COMMANDS)


@pytest.mark.parametrize("call", readme_calls(), ids=" ".join)
def test_the_command_line_knows_what_the_readme_calls(call, monkeypatch, capsys):
    from minunclip.__main__ import main

    monkeypatch.setattr(sys, "argv", ["minunclip", call[0], "--help"])
    with pytest.raises(SystemExit) as exit:
        main()
    help_text = capsys.readouterr().out
    assert exit.value.code == 0
    words = [word for word in call[1:] if word.startswith("--")] + (call[1:2] if call[0] == "train" else [])
    assert [word for word in words if word not in help_text] == []


def test_the_notebook_table_is_the_folder():
    rows = table("notebooks")
    linked = [re.findall(r"\(notebooks/([^)]+)\)", " ".join(row)) for row in rows]
    assert sorted(sum(linked, [])) == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    for row, link in zip(rows, linked, strict=True):
        assert bool(link) != ("(planned)" in row[1]), f"notebook {row[0]}: link it, or say (planned)"
        assert not link or link[0].startswith(row[0] + "_")


def dead_links(text, folder):
    """The relative links, pictures and #anchors that lead nowhere from a Markdown text in this folder."""

    def leads_somewhere(link):
        path, _, anchor = link.partition("#")
        if not (folder / path).exists():
            return False
        page = (folder / path).read_text(encoding="utf-8") if path.endswith(".md") else text
        titles = [re.sub(r"[^\w -]", "", title.lower()) for title in re.findall(r"^#+ (.+)$", page, re.M)]
        return not anchor or anchor in [title.replace(" ", "-") for title in titles]

    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?:|mailto:", link)]
    return [link for link in links if not leads_somewhere(link)]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md"])
def test_links_lead_somewhere(page):
    text, folder = (ROOT / page).read_text(encoding="utf-8"), (ROOT / page).parent
    assert dead_links(text, folder) == []
    broken = text + "\n[a](nowhere.md) ![b](nowhere.png) [c](#no-such-title)\n"
    assert dead_links(broken, folder) == ["nowhere.md", "nowhere.png", "#no-such-title"]


def test_pictures_are_small_and_described():
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", README)
    assert pictures and all(len(words) > 20 for words, _ in pictures)
    assert [path for _, path in pictures if (ROOT / path).stat().st_size > 1_000_000] == []
