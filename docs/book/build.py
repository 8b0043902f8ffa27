"""Build the book: the notebooks as they were committed, as pages that work offline, and the page of docs/page in it.

    uv run --group docs python docs/book/build.py
    python -m http.server -d build/site

Nothing is run: the pages show the outputs and the widgets' states that stand in the notebooks. MathJax and the widgets'
JavaScript come from npm at the first build, in the versions below, and lie in the book itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIBRARIES = {  # of npm: the package in its version, what is taken of it, and its name in the book
    "requirejs@2.3.7": {"require.js": "require.js"},
    "@jupyter-widgets/html-manager@1.0.15": {"dist/embed-amd.js": "html-manager/embed-amd.js",
                                             "dist/*.woff2": "html-manager"},
    "mathjax@3.2.2": {"es5/tex-mml-chtml.js": "mathjax/tex-mml-chtml.js",
                      "es5/output/chtml/fonts/woff-v2/*": "mathjax/output/chtml/fonts/woff-v2"},
}  # fmt: skip
LIVE = ("tour", "guidance", "decoder")      # chapters that the page stands in: the first two, if there are such
PAGE = """```{raw} html
<details class="live-page"><summary>Try it here: the whole cascade, live in your browser</summary>
<iframe src="../page/index.html" loading="lazy" title="The cascade, live: caption to picture"></iframe></details>
```
"""


def gather(source: Path) -> None:
    """Lay out what Sphinx reads: the chapters, the measurements, the library's files as pages."""
    shutil.copy(HERE / "conf.py", source)
    shutil.copy(HERE / "_index.md", source / "index.md")
    shutil.copy(HERE.parent / "page" / "icon.svg", source)
    shutil.copytree(HERE / "_static", source / "_static")
    for name in ("README.md", "gallery.png"):
        copy_as(ROOT / "data" / name, source / "data" / name)
    for path in (ROOT / "data" / "results" / "paper").glob("*.*"):
        copy_as(path, source / "data" / "results" / "paper" / path.name)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        chapter = json.loads(path.read_text(encoding="utf-8"))
        copy_as(path, source / "notebooks" / path.name, json.dumps(prepared(chapter, path.stem)))
    write_code(source / "code")


def copy_as(path: Path, target: Path, text: str | None = None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".md":
        text = relinked(path.read_text(encoding="utf-8"))
    if text is None:
        shutil.copy(path, target)
    else:
        target.write_text(text, encoding="utf-8")


def prepared(chapter: dict, name: str) -> dict:
    """A notebook whose links stay in the book, with the live page before its summary where it has one."""
    cells = []
    for cell in chapter["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            if re.match(r"#+ Summary", text) and has_page(name):
                cells.append({"cell_type": "markdown", "metadata": {}, "source": PAGE, "id": "live-page"})
            cell = cell | {"source": relinked(text)}
        cells.append(cell)
    return chapter | {"cells": cells}


def has_page(name: str) -> bool:
    """Whether a chapter shows the page: the tour, and the one on guidance, which may be a part of another."""
    chapters = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    found = [next((chapter for chapter in chapters if word in chapter), None) for word in LIVE]
    return name in [chapter for chapter in found if chapter][:2]


LINK = re.compile(r"\]\((?:\.\./)+((?:minunclip|tests|benchmarks)(?:/[\w/.-]*)?)\)")


def relinked(text: str) -> str:
    """Links to files of the library lead to their pages in the book."""
    return LINK.sub(lambda found: f"](/code/{page_of(found[1])}.md)", text)


def page_of(path: str) -> str:
    """The page of a file, or of a folder, in code/: without suffix."""
    path = path.rstrip("/")
    return path.removesuffix(".py") if path.endswith(".py") else f"{path}/index"


def write_code(folder: Path) -> None:
    """A page for every file of the library and of tests/parity, and one for each folder, which lists them."""
    files = [*(ROOT / "minunclip").rglob("*.py"), *(ROOT / "tests" / "parity").glob("*.py")]
    by_folder: dict[Path, list[Path]] = {}
    for path in sorted(files):
        inside = path.relative_to(ROOT)
        by_folder.setdefault(inside.parent, []).append(inside)
        title = f"# `{inside.as_posix()}`"
        body = f"````{{code-block}} python\n{path.read_text(encoding='utf-8')}\n````"
        write_page(folder / inside.with_suffix(".md"), title, body)
    for inside, paths in by_folder.items():
        below = [other for other in by_folder if other.parent == inside]
        links = [*(f"- [{path.name}]({path.stem}.md)" for path in paths),
                 *(f"- [{other.name}/]({other.name}/index.md)" for other in sorted(below))]  # fmt: skip
        write_page(folder / inside / "index.md", f"# `{inside.as_posix()}/`", "\n".join(links))
    top = "# The library's files\n\n- [minunclip/](minunclip/index.md)\n- [tests/parity/](tests/parity/index.md)\n"
    (folder / "index.md").write_text(top, encoding="utf-8")


def write_page(path: Path, title: str, body: str) -> None:
    """A page that no table of contents lists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\norphan: true\n---\n\n{title}\n\n{body}\n", encoding="utf-8")


# -- what comes from elsewhere -------------------------------------------------------------------------------


def page_builder():
    """docs/page/build.py as a module."""
    spec = importlib.util.spec_from_file_location("page_build", HERE.parent / "page" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def add_libraries(static: Path, packages: Iterable[str] = LIBRARIES) -> None:
    """Copy the files of npm's packages into the book. Raises OSError if npm cannot fetch them."""
    build = page_builder()
    for package in packages:
        for inside, name in LIBRARIES[package].items():
            files = sorted(build.npm_folder(package).glob(inside))
            if not files:
                raise ValueError(f"{package} has no {inside}: correct docs/book/build.py")
            for path in files:                                          # one, or several that go into a folder
                target = static / name / path.name if "*" in inside else static / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(build.without_map(path.read_bytes()))


def build(out: Path) -> None:
    """The book in a folder, which is replaced. Raises ValueError, with Sphinx's words, if something is wrong in it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as made:
        source, pages = Path(made) / "source", Path(made) / "pages"
        source.mkdir()
        gather(source)
        add_libraries(source / "_static")
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(source), str(pages)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"Sphinx found faults:\n{done.stderr.strip()[-4000:]}")
        shutil.rmtree(pages / ".doctrees", ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(pages, out)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the book, and the page in it.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="(default: build/site)")
    parser.add_argument("--onnx", type=Path, help="for the page: a folder that `minunclip export` wrote before")
    parser.add_argument("--no-page", action="store_true", help="the book alone: links to the page lead nowhere")
    args = parser.parse_args()
    try:
        build(args.out)
    except (ValueError, OSError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 2
    if not args.no_page:
        command = [sys.executable, str(HERE.parent / "page" / "build.py"), "--out", str(args.out / "page")]
        if code := subprocess.run([*command, *(["--onnx", str(args.onnx)] if args.onnx else [])]).returncode:
            return code
    print(f"the book: python -m http.server -d {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
