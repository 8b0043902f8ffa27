"""The house rules that a test can check: the floor plan, short files, nothing of one machine in git."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "minunclip"
FILES = sorted(LIBRARY.rglob("*.py"))
PAPER = ["text", "clip", "prior", "ar_prior", "decoder", "upsampler", "unclip", "manipulations"]  # the hall's files
ENTRIES = ["__init__", "__main__"]  # which gather from every floor, in their functions


def floor_plan(readme):
    """{module or room: floor} from the tree in the README; 1 is the ground floor."""
    tree = re.search(r"^<!-- floors -->\n```\n(.*?)\n```$", readme, re.M | re.S)[1]
    rows = re.findall(r"^ {4}(\w+)(\.py|/) +(\d+) +\S", tree, re.M)
    assert len(rows) == len(tree.splitlines()) - 1, "each line below minunclip/ is a name, its floor and its purpose"
    return {name: int(floor) for name, _, floor in rows}


FLOORS = floor_plan((ROOT / "README.md").read_text(encoding="utf-8"))


def place_of(path):
    """The module of the hall or the room that a file belongs to."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported(source, folders):
    """[(the module's parts, the name or None, the function around the import or None)] of minunclip's own modules.

    folders are the file's folders, ("minunclip",) or ("minunclip", "scenes"), which a leading dot refers to.
    """

    def targets(node):
        if isinstance(node, ast.Import):
            return [(alias.name.split("."), None) for alias in node.names]
        base = [*folders[: len(folders) - node.level + 1]] if node.level else []
        base += node.module.split(".") if node.module else []
        return [(base, alias.name) for alias in node.names]

    def walk(node, function):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield from ((parts, name, function) for parts, name in targets(child) if parts[:1] == ["minunclip"])
            yield from walk(child, child.name if isinstance(child, ast.FunctionDef) else function)

    return list(walk(ast.parse(source), None))


def faults(place, source, folders=("minunclip",)):
    """What the imports of a file break: another module on its floor or above, or a private name of another place."""
    found = []
    for parts, name, _ in imported(source, folders):
        target = parts[1] if len(parts) > 1 else name
        if target == place or target is None:
            continue
        if FLOORS.get(target, 99) >= FLOORS[place]:
            found.append(target)
        if name is not None and name.startswith("_") and not name.startswith("__"):
            found.append(f"{target}.{name}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_nothing_imports_upward_or_what_is_private(path):
    place = place_of(path)
    if place not in ENTRIES:
        assert place in FLOORS, f"give {place} a floor in README.md, 'How the pieces fit'"
        assert faults(place, path.read_text(encoding="utf-8"), path.relative_to(ROOT).parts[:-1]) == []


def test_the_floor_plan_sees_every_way_to_import():
    for line in ("from .unclip import UnCLIP", "from . import unclip", "import minunclip.unclip",
                 "from minunclip.unclip import UnCLIP", "from minunclip import unclip",
                 "def f():\n    from .unclip import UnCLIP"):  # fmt: skip
        assert faults("clip", line) == ["unclip"], line
        assert faults("training", line) == [], line
    assert faults("decoder", "from .clip import CLIP\nfrom .prior import Prior") == ["clip", "prior"]   # its own floor
    assert faults("decoder", "from .networks import UNet") == []
    assert faults("decoder", "from .networks.unet import _hidden") == ["networks._hidden"]
    in_a_room = ("minunclip", "scenes")
    assert faults("scenes", "from ..clip import CLIP\nfrom .facts import Scene, _own", in_a_room) == ["clip"]
    assert faults("training", "from ...commands.draw import draw", ("minunclip", "training", "recipes")) == ["commands"]
    assert faults("clip", "from minunclip import UnCLIP") == ["UnCLIP"]
    assert faults("clip", "import torch\nfrom __future__ import annotations") == []


def circles(modules):
    """The modules of {name: names that it imports while it is imported} that reach themselves."""
    reach = {name: set(others) & set(modules) for name, others in modules.items()}
    for _ in modules:
        reach = {name: others.union(*(reach[other] for other in others)) for name, others in reach.items()}
    return sorted(name for name, others in reach.items() if name in others)


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_module_imports_itself_by_a_detour():
    """A room counts as its `__init__` alone; the files of a room import each other, and never their own `__init__`."""
    names = {module_name(path) for path in FILES}
    graph = {}
    for path in FILES:
        found = imported(path.read_text(encoding="utf-8"), path.relative_to(ROOT).parts[:-1])
        targets = [(".".join(parts), ".".join([*parts, name or ""])) for parts, name, function in found if not function]
        graph[module_name(path)] = {full if full in names else module for module, full in targets}
    graph["minunclip"] = set()                          # TYPE_CHECKING alone, and what a function of it imports
    assert circles(graph) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]


def test_the_hall_has_the_papers_parts_and_the_rooms_only():
    there = {path.name.removesuffix(".py") for path in LIBRARY.iterdir() if path.name != "__pycache__"}
    files = {path.stem for path in LIBRARY.glob("*.py")}
    assert files == {*PAPER, *ENTRIES}
    assert there == {*FLOORS, *ENTRIES} and len(there) <= 24


def test_every_room_tells_what_it_is_for():
    for init in LIBRARY.glob("*/__init__.py"):
        told = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
        assert "May import" in told and 2 <= len(told.splitlines()) <= 6, init


def positional(source, most=4):
    """The functions with more parameters than `most`, self not counted, that can be passed by place.

    Not those of an exercise: a learner writes its parameters as the papers' formulas have them.
    """
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)
                 and not any("exercise" in ast.dump(decorator) for decorator in node.decorator_list)]  # fmt: skip
    counts = {node.name: [a.arg for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
              for node in functions}  # fmt: skip
    return [name for name, arguments in counts.items() if len(arguments) > most]


def style(source):
    """What the house does in one way: relative imports, `Tensor`, functions with a name by `def`."""
    tree, found = ast.parse(source), positional(source)
    found += [node.targets[0].id for node in ast.walk(tree) if isinstance(node, ast.Assign)
              and isinstance(node.value, ast.Lambda) and isinstance(node.targets[0], ast.Name)]  # fmt: skip
    found += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level
              and (node.module or "").split(".")[0] == "minunclip"]  # fmt: skip
    return found + re.findall(r"\btorch\.Tensor\b", source)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_one_style(path):
    assert style(path.read_text(encoding="utf-8")) == []


def test_the_style_check_sees_what_it_should():
    assert style("def f(a, b, c, d, e): pass") == ["f"] and style("def f(self, a, b, c, d, *, e): pass") == []
    assert style("f = lambda x: x") == ["f"] and style("sorted(a, key=lambda x: x)") == []
    assert style("from minunclip.clip import CLIP\nx: torch.Tensor") == ["minunclip.clip", "torch.Tensor"]


def test_the_command_line_helps_without_pytorch():
    """So that `--help` and the first lines of `doctor` are there at once, and where PyTorch is broken."""
    program = """import sys
sys.modules["torch"] = None
from minunclip.__main__ import main
from minunclip.commands import doctor
report = doctor.report()
print(next(report)[1], next(report)[1])
main(["--help"])"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "OK    Python" in done.stdout and "usage: minunclip" in done.stdout, done.stderr


def long_functions(source, limit=60):
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return [node.name for node in functions if node.end_lineno - node.lineno + 1 > limit]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_files_and_functions_are_short(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 250
    assert long_functions(source) == []
    assert long_functions(source + "\ndef stretched():\n" + "    pass\n" * 60) == ["stretched"]


# -- nothing in git that belongs to one machine --------------------------------------------------------------

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
