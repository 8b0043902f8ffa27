"""The book of docs/book in a real browser: every page without errors, grids that answer, links that lead somewhere.

    uv run --group docs pytest -m browser tests/browser/test_book.py

Whatever a page asks of the web, or calls an error, fails the test (conftest.py).
"""

import importlib.util
import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cut
import pytest
from exercises import NOTEBOOKS, read
from site_page import ROOT, serve
from watch import Widget

pytestmark = pytest.mark.browser
CHAPTERS = sorted(NOTEBOOKS.glob("*.ipynb"))


@pytest.fixture(scope="module")
def book(browser, tmp_path_factory):
    """The folder of the book, without the live page: an empty one stands in its place."""
    pytest.importorskip("myst_nb", reason="the book's packages are not installed: uv run --group docs")
    if given := os.environ.get("MINUNCLIP_BOOK"):
        return Path(given)
    out = tmp_path_factory.mktemp("book") / "site"
    spec = importlib.util.spec_from_file_location("book_build", ROOT / "docs" / "book" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(out)
    return out


@pytest.fixture(scope="module")
def url(book):
    server = serve(book)
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


class Links(HTMLParser):
    """The ids of a page, and where it leads."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.targets = set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.update(values[name] for name in ("id", "name") if values.get(name))
        self.targets.update(values[name] for name in ("href", "src") if values.get(name))


def dead(pages, folder):
    """The links within a folder that lead to no file, or to no place in it; those of the live page do not count."""
    found = []
    for path, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or parts.path.endswith("page/index.html"):
                continue
            goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            goal = goal / "index.html" if goal.is_dir() else goal
            there = goal.is_file() and folder.resolve() in goal.parents
            if not there or (parts.fragment and goal in pages and unquote(parts.fragment) not in pages[goal].ids):
                found.append(f"{path.relative_to(folder.resolve())}: {target}")
    return found


def test_links_lead_somewhere(book):
    pages = {path.resolve(): Links(path) for path in book.rglob("*.html") if "page" not in path.relative_to(book).parts}
    assert len(pages) > 100 and sum(len(links.targets) for links in pages.values()) > 1000
    assert dead(pages, book) == []


def test_a_dead_link_is_seen(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html"></a><a href="#there" id="here"></a><a href="#here"></a>')
    path = (tmp_path / "a.html").resolve()
    assert sorted(dead({path: Links(path)}, tmp_path)) == ["a.html: #there", "a.html: b.html"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", *(f"notebooks/{path.stem}" for path in CHAPTERS), "data/README",
                                  "data/results/paper/README", "code/index", "code/minunclip/unclip"])  # fmt: skip
def test_a_page_opens(name, scheme, url, page):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{url}{name}.html")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).map(image => image.src)") == []
    assert page.locator("html").get_attribute("data-theme") == scheme
    if name.startswith("notebooks/") and "widgets" in read(NOTEBOOKS / f"{Path(name).name}.ipynb").metadata:
        page.locator(".widget-subarea [role=slider]").first.wait_for()
    if kept := os.environ.get("MINUNCLIP_SCREENSHOTS"):
        page.screenshot(path=Path(kept) / f"book-{name.replace('/', '-')}-{scheme}.png")


@pytest.mark.parametrize("path", cut.WITH_WIDGETS, ids=lambda path: path.stem)
def test_grids_answer(path, url, page, note):
    page.goto(f"{url}notebooks/{path.stem}.html")
    page.locator(".widget-subarea [role=slider]").first.wait_for()
    for number in cut.grids(read(path)):
        widget = Widget(page.locator(".widget-subarea").nth(number))
        assert widget.sliders
        for slider in widget.sliders:
            note(widget.name(slider), widget.move(slider)["milliseconds"])


def test_it_can_be_searched(url, page):
    page.goto(f"{url}search.html?q=guidance")
    page.locator("#search-results li a").first.wait_for()
    assert any("Diffusion" in text for text in page.locator("#search-results li > a").all_inner_texts())
