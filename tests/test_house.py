"""The house rules that a test can check: the floor plan, short files, nothing of one machine in git."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "minunclip"
FILES = sorted(LIBRARY.rglob("*.py"))
PARTS = [path for path in FILES if path != LIBRARY / "__init__.py"]  # which may gather from every floor
STAGES = {"clip", "prior", "decoder", "upsampler"}


def floor_plan():
    """{module: floor} from the README's table, whose first row is the ground floor."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.search(r"^<!-- floors -->\n((?:\|.*\n)+)", readme, re.M)[1].splitlines()[2:]
    cells = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in rows]
    return {module: floor for floor, modules in enumerate(cells) for module in modules}


FLOORS = floor_plan()


def imports(source, folders):
    """(module of minunclip, the function around the import or None) for each import in a file of minunclip.

    folders are the file's folders, ("minunclip",) or ("minunclip", "scenes"), which a leading dot refers to.
    """

    def targets(node):
        if isinstance(node, ast.Import):
            return [alias.name.split(".") for alias in node.names]
        base = [*folders[: len(folders) - node.level + 1]] if node.level else []
        base += node.module.split(".") if node.module else []
        return [[*base, alias.name] for alias in node.names]

    def walk(node, function):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                names = [name for name in targets(child) if name[0] == "minunclip" and len(name) > 1]
                yield from ((name[1], function) for name in names)
            yield from walk(child, child.name if isinstance(child, ast.FunctionDef) else function)

    return list(walk(ast.parse(source), None))


def climbs(module, source, folders=("minunclip",)):
    """The imports of a module that break the floor plan."""

    def allowed(target, function):
        if target == "weights" and function in ("from_pretrained", "save"):
            return True  # a lazy import: whoever has the network may load and save it
        if target == module:
            return True
        return FLOORS.get(target, 99) <= FLOORS[module] and not {module, target} <= STAGES

    return [target for target, function in imports(source, folders) if not allowed(target, function)]


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.name)
def test_nothing_imports_upward(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    assert parts[1] in FLOORS, f"give {parts[1]} a floor in README.md, 'How the pieces fit'"
    assert climbs(parts[1], path.read_text(encoding="utf-8"), parts[:-1]) == []


def test_the_floor_plan_sees_every_way_to_import():
    for line in ("from .unclip import UnCLIP", "from . import unclip", "import minunclip.unclip",
                 "from minunclip.unclip import UnCLIP", "from minunclip import unclip",
                 "def f():\n    from .unclip import UnCLIP"):  # fmt: skip
        assert climbs("clip", line) == ["unclip"], line
        assert climbs("train", line) == [], line
    assert climbs("decoder", "from .clip import CLIP\nfrom .prior import Prior") == ["clip", "prior"]
    assert climbs("decoder", "from .unet import UNet") == []
    from_a_package = "from ..clip import CLIP\nfrom .facts import Scene"
    assert climbs("scenes", from_a_package, ("minunclip", "scenes")) == ["clip"]
    assert climbs("clip", "from minunclip import UnCLIP") == ["UnCLIP"]
    assert climbs("clip", "from .weights import load") == ["weights"]
    assert climbs("clip", "def from_pretrained(name):\n    from .weights import load") == []


def test_every_module_of_the_plan_exists():
    there = {path.relative_to(LIBRARY).parts[0].removesuffix(".py") for path in FILES}
    assert sorted(set(FLOORS) - there) == []


def long_functions(source, limit=60):
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return [node.name for node in functions if node.end_lineno - node.lineno + 1 > limit]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_and_functions_are_short(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 250
    assert long_functions(source) == []
    assert long_functions(source + "\ndef stretched():\n" + "    pass\n" * 60) == ["stretched"]


# ---- nothing in git that belongs to one machine ----

REGISTRIES = [  # in parts, so that this file does not name them either
    ("pypi", "org"), ("python" + "hosted", "org"), ("npmjs", "org"), ("deb", "debian", "org"), ("crates", "io"),
    ("download", "pytorch", "org"), ("anaconda", "com"), ("anaconda", "org"),
]  # fmt: skip
HOSTS = [".".join(parts) for parts in REGISTRIES]
HOMES = [*(f"/{name}/" for name in ("work", "root", "home")), "Users", "/tmp/ipy" + "kernel_"]
PRIVATE = re.compile("|".join([*map(re.escape, HOSTS), r"(?<![\w.~-])/(?:work|root|home|Users)/[\w.]+",
                               r"[A-Z]:\\+Users\\+\w+", re.escape(HOMES[-1])]))  # fmt: skip


def private(data):
    """The names of registries and the paths of one machine in a file's bytes."""
    if not any(word.encode() in data for word in [*HOSTS, *HOMES]):
        return []  # quick, for the weights
    return [match[0] for match in PRIVATE.finditer(data.decode("latin-1"))]


def tracked():
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("this is no git clone")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_path_of_one_machine():
    found = {str(path.relative_to(ROOT)): private(path.read_bytes()) for path in tracked()}
    assert {name: hits for name, hits in found.items() if hits} == {}
    path = "/" + "root/.cache"
    assert private(f"see https://files.{HOSTS[1]}/x and {path}".encode()) == [HOSTS[1], path]


def test_the_lock_file_stays_out_of_git():
    names = {path.name for path in tracked()}
    assert "uv.lock" not in names and "requirements.txt" in names
