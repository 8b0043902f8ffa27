"""The exported tour in a real Chromium: one file from the disk, no network, and its guidance slider draws.

    uv run --group docs pytest -m browser tests/browser/test_panel.py

MINUNCLIP_PAGE_ONNX is an export of scenes that is there already, MINUNCLIP_PANEL a page that docs/panel made.
"""

import importlib.util
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from exercises import NOTEBOOKS, read
from site_page import ROOT, WAIT, Page, builder, difference, pixels

import minunclip
from minunclip.common import to_uint8

pytestmark = pytest.mark.browser
SIZE = 128


@pytest.fixture(scope="module")
def cascade():
    return minunclip.load("scenes")


@pytest.fixture(scope="module")
def exported(browser, tmp_path_factory):
    """The tour as one file, alone in its folder."""
    if given := os.environ.get("MINUNCLIP_PANEL"):
        return Path(given)
    pytest.importorskip("onnxscript", reason="the page's packages are not installed: uv run --group page")
    from minunclip.commands.export import export

    made = tmp_path_factory.mktemp("panel")
    onnx = os.environ.get("MINUNCLIP_PAGE_ONNX") or export("scenes", made / "onnx").parent
    spec = importlib.util.spec_from_file_location("panel_build", ROOT / "docs" / "panel" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = made / "alone" / "tour.html"
    page.parent.mkdir()
    page.write_text(module.build(read(NOTEBOOKS / "00_tour.ipynb"), "00_tour", Path(onnx)), encoding="utf-8")
    return page


class Panel(Page):
    """The panel of a page that was opened from the disk, with the network cut."""

    def __init__(self, tab, path: Path):
        tab.context.set_offline(True)
        super().__init__(tab, path.as_uri())

    def settle(self) -> None:
        self.tab.locator(".live-panel[aria-busy=false]").wait_for()

    def at(self, part: str):
        return self.tab.locator(f".live-{part}")

    def picture(self):
        return pixels(self.at("picture"))


@pytest.fixture
def panel(exported, page):
    return Panel(page, exported)


def drawn(cascade, caption, seed, guidance):
    settings = replace(cascade.settings, decoder_guidance=guidance)
    return to_uint8(cascade.sample(caption, seed, SIZE, settings=settings).image[0])


def test_a_key_on_the_slider_draws_what_the_library_draws(panel, cascade, exported, note):
    caption, before = panel.at("caption").input_value(), panel.picture()
    guidance = float(panel.at("guidance").input_value())
    worst = [difference(before, drawn(cascade, caption, 0, guidance))]
    note(panel.at("status").inner_text())
    panel.at("guidance").press("ArrowRight")
    panel.settle()
    after = panel.picture()
    worst.append(difference(after, drawn(cascade, caption, 0, guidance + 0.5)))
    note(panel.at("status").inner_text())
    note(f"largest differences of 255: {worst}; the file has {exported.stat().st_size / 1e6:.1f} MB")
    assert difference(after, before) > 2 and max(worst) <= 2
    assert panel.at("value").inner_text() == f"{guidance + 0.5:g}"
    assert not panel.at("still").is_visible()


def test_another_caption_and_seed(panel, cascade):
    panel.at("seed").fill("12")
    panel.at("caption").fill("a small blue fish above a red heart")
    panel.at("caption").press("Enter")
    panel.settle()
    guidance = float(panel.at("guidance").input_value())
    assert difference(panel.picture(), drawn(cascade, "a small blue fish above a red heart", 12, guidance)) <= 2
    assert re.fullmatch(r"a small blue fish above a red heart, guidance [\d.]+, seed 12: [\d.]+ s",
                        panel.at("status").inner_text())  # fmt: skip


def test_a_caption_that_the_library_refuses(panel, cascade):
    for caption in ("a red elefant", " ?! "):
        panel.at("caption").fill(caption)
        panel.at("caption").press("Enter")
        panel.at("error").wait_for()
        with pytest.raises(ValueError) as error:
            cascade.encode_text(caption)
        panel.tab.locator(".live-error", has_text=str(error.value)).wait_for()
        assert panel.at("caption").get_attribute("aria-invalid") == "true"
    panel.at("caption").fill("a red square")
    panel.at("caption").press("Enter")
    panel.at("error").wait_for(state="hidden")
    panel.settle()


def test_words_are_offered(panel):
    panel.at("caption").fill("")
    panel.at("caption").press_sequentially("a ci")
    assert panel.tab.get_by_role("option").all_inner_texts() == ["circle"]
    panel.at("caption").press("ArrowDown")
    panel.at("caption").press("Enter")
    assert panel.at("caption").input_value() == "a circle "


def test_the_rest_of_the_notebook_is_there(exported, page):
    """Formulas are set, and the grid, which is drawn beforehand, answers as it did."""
    page.set_default_timeout(WAIT)
    page.context.set_offline(True)
    page.goto(exported.as_uri())
    page.locator("mjx-container").first.wait_for(state="attached")
    assert page.locator(".MathJax_Error, mjx-merror").count() == 0
    grid = page.locator(".widget-subarea:has([role=slider])").first
    grid.get_by_role("slider").first.wait_for()
    source = "root => [...root.querySelectorAll('img')].filter(image => image.offsetParent)[0].src"
    before = grid.evaluate(source)
    grid.get_by_role("slider").first.press("ArrowRight")
    page.wait_for_timeout(500)
    assert grid.evaluate(source) != before


@pytest.mark.parametrize("scheme, width", [("light", 1200), ("dark", 390)])
def test_everybody_can_use_it(panel, scheme, width):
    panel.tab.emulate_media(color_scheme=scheme)
    panel.tab.set_viewport_size({"width": width, "height": 900})
    panel.at("caption").fill("a")
    source = (builder().from_npm("axe-core") / "axe.min.js").read_text(encoding="utf-8")
    assert panel.axe(source, within=".live-panel") == []
    assert [line for line in panel.axe(source) if line.startswith("critical")] == []
