"""How the page and the book are put together, without a browser: the library's lines, packed files, links."""

import importlib.util
import json
import lzma
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def module(kind):
    spec = importlib.util.spec_from_file_location(f"{kind}_build", DOCS / kind / "build.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def page():
    return module("page")


@pytest.fixture(scope="module")
def book():
    return module("book")


def test_the_page_shows_lines_that_the_library_has(page):
    source = (DOCS / "page" / "index.html").read_text(encoding="utf-8")
    made = page.with_code(source)
    assert source.count("<!-- code ") >= 6 and "<!-- code " not in made
    assert made.count('<figure class="source">') == source.count("<!-- code ")
    text = re.sub("<[^>]+>", "", made)
    assert "def ddim(" in text and "class UnCLIP" not in text


def test_a_definition_is_found_and_moved_to_the_margin(page):
    source = "class A:\n    def f(self):\n        return 1\n\n\ndef g():\n    return 2\n"
    assert page.definition(source, "A.f") == "def f(self):\n    return 1"
    assert page.definition(source, "g") == "def g():\n    return 2"
    with pytest.raises(ValueError, match="the library has no A.g to show"):
        page.definition(source, "A.g")


def test_code_has_no_tags_of_its_own(page):
    assert page.coloured("if a < b: pass  # <b>").count("<") == page.coloured("if a < b: pass  # <b>").count("</") * 2
    assert "&lt;" in page.coloured("a < b")


def test_every_place_that_the_page_fills_is_there():
    """What the JavaScript looks up by its id stands in the HTML, once."""
    html = (DOCS / "page" / "index.html").read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([\w-]+)"', html)
    files = [DOCS / "page" / "main.js", *(DOCS / "page" / "view").glob("*.js")]
    scripts = [path.read_text(encoding="utf-8") for path in files]
    asked = {name for text in scripts for name in re.findall(r'\b(?:at|label)\("([\w-]+)"', text)}
    assert len(ids) == len(set(ids)) and len(asked) > 25 and asked <= set(ids)
    targets = re.findall(r'\b(?:for|aria-controls|aria-labelledby)="([\w-]+)"|href="#([\w-]+)"', html)
    assert {a or b for a, b in targets} <= set(ids)


def test_files_are_packed_under_a_name_of_their_own(page, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"weights" * 100)
    entry = page.packed(tmp_path / "a.bin", tmp_path)
    content = (tmp_path / entry["packed"]).read_bytes()
    assert lzma.decompress(content) == b"weights" * 100 and entry["bytes"] == len(content)
    assert entry["sha256"][:10] in entry["packed"] and page.packed(tmp_path / "a.bin", tmp_path) == entry


def test_a_model_of_byte_pairs_has_no_page(page, tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"vocabulary": None}))
    with pytest.raises(ValueError, match="the page reads words"):
        page.build(tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


def test_links_stay_in_the_book(book):
    text = ("[a](../minunclip/clip.py) [b](../minunclip/scenes) [c](09_z.ipynb) [d](../data/README.md) "
            "[e](../tests/parity)")  # fmt: skip
    assert book.relinked(text) == ("[a](/code/minunclip/clip.md) [b](/code/minunclip/scenes/index.md) [c](09_z.ipynb) "
                                   "[d](../data/README.md) [e](/code/tests/parity/index.md)")  # fmt: skip


def test_chapters_with_the_live_page(book):
    chapters = [path.stem for path in sorted((DOCS.parent / "notebooks").glob("*.ipynb"))]
    shown = [name for name in chapters if book.has_page(name)]
    assert len(shown) == 2 and "tour" in shown[0]
    cell = {"cell_type": "markdown", "metadata": {}, "source": ["## Summary\n", "Well."]}
    for name in chapters:
        cells = book.prepared({"cells": [cell]}, name)["cells"]
        assert len(cells) == (2 if name in shown else 1) and cells[-1]["source"] == "## Summary\nWell."
        assert "live-page" in cells[0]["source"] or name not in shown


def test_every_file_of_the_library_is_a_page(book, tmp_path):
    book.write_code(tmp_path)
    pages = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    assert {"index.md", "minunclip/index.md", "minunclip/clip.md", "minunclip/scenes/index.md"} <= pages
    for path in tmp_path.rglob("index.md"):
        for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).is_file(), f"{path}: {target}"
