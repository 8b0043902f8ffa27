"""For teachers: notebooks to hand out, and what in those that come back is right.

    python -m minunclip.course.teaching handout my/class          without outputs and solutions
    python -m minunclip.course.teaching handout my/key --solved   with every solution in its place
    python -m minunclip.course.teaching mark my/class/*.ipynb     a table: who has what right

`mark` runs the functions in the notebooks that it is given. Use it only for those of people whom you trust.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from ..common import replacing
from .checks.core import CHECKS
from .exercises import code, exercises, namespace, solved, unsolved

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
MARKS = {"right": "right", "wrong": "wrong", "empty": "-"}


def read(path: Path) -> NotebookNode:
    """A notebook. Raises ValueError if the file is none."""
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise ValueError(f"{path} is not there: name notebooks that are") from None
    except (ValueError, LookupError, AttributeError, nbformat.ValidationError):
        raise ValueError(f"{path} is no notebook: name files that Jupyter wrote") from None


def handout(folder: Path, with_solutions: bool = False, notebooks: Path = NOTEBOOKS) -> list[Path]:
    """Copies of all notebooks in a folder, without outputs; without or with solutions. Returns their paths.

    Raises ValueError if one of them is there already, since somebody may have worked in it.
    """
    sources = sorted(notebooks.glob("*.ipynb"))
    if there := [folder / source.name for source in sources if (folder / source.name).exists()]:
        raise ValueError(f"{there[0]} is there already: choose an empty folder")
    written = []
    for source in sources:
        notebook = read(source)
        notebook = solved(notebook, source.stem) if with_solutions else unsolved(notebook)
        for cell in code(notebook):
            cell.update(outputs=[], execution_count=None)
        notebook.metadata.pop("widgets", None)
        with replacing(folder / source.name) as temporary:
            temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        written.append(folder / source.name)
    return written


def marked(path: Path) -> dict[str, str]:
    """{exercise: "right", "wrong" or "-" for one that is not filled in} of a notebook that came back."""
    notebook = read(path)
    names, marks = namespace(notebook), {}
    for found in exercises(notebook, path.stem):
        name = function_name(found.stub, path)
        try:
            exec(compile(found.stub, f"<{path.name}>", "exec"), names)
        except Exception:                                               # the learner's own mistake, of whatever kind
            marks[name] = "wrong"
        else:
            marks[name] = MARKS[CHECKS[name].verdict(names[name]).kind]
    return marks


def function_name(stub: str, path: Path) -> str:
    """Which exercise a cell belongs to, also where it holds other lines, or code that is no Python."""
    known = [name for name in CHECKS if f"def {name}(" in stub or f"class {name}(" in stub]
    if not known:
        raise ValueError(f"{path}: an exercise's cell defines none of the course's functions: {stub[:60]!r}")
    return known[0]


def table(paths: list[Path]) -> str:
    """Markdown: a row for each notebook, a column for each exercise that one of them has."""
    marks = {str(path): marked(path) for path in paths}
    columns = list(dict.fromkeys(name for row in marks.values() for name in row))
    lines = [["notebook", *columns, "right"], ["---"] * (len(columns) + 2)]
    for path, row in marks.items():
        right = f"{list(row.values()).count('right')}/{len(row)}"
        lines.append([path, *(row.get(name, "") for name in columns), right])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m minunclip.course.teaching", description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="what", required=True)
    out = kinds.add_parser("handout", help="copies of the notebooks for a class")
    out.add_argument("folder", type=Path, help="where to, a new or an empty folder")
    out.add_argument("--solved", action="store_true", help="with every solution in its place, for the teacher")
    mark = kinds.add_parser("mark", help="which exercises are right; runs the functions in these notebooks")
    mark.add_argument("notebooks", type=Path, nargs="+", help="notebooks that came back")
    args = parser.parse_args(arguments)
    try:
        if args.what == "mark":
            print(table(args.notebooks))
        else:
            print(*handout(args.folder, args.solved), sep="\n")
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
