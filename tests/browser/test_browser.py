"""The widgets in a real browser: live in JupyterLab, and without a kernel on an exported page."""

import re

import cut
import pytest
from exercises import read
from watch import Widget

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("path", cut.WITH_WIDGETS, ids=lambda path: path.stem)]
PROMPTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(prompt => prompt.textContent).join()"
IDLE = re.compile(r"\| Idle$")


def run_all(page, cells, seconds=480):
    """Run a notebook with the menu; each prompt has its number in the end."""
    page.get_by_text(IDLE).wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    counts = ",".join(f"[{number}]:" for number in range(1, cells + 1))
    page.wait_for_function(f"counts => {PROMPTS} === counts", arg=counts, timeout=1000 * seconds)


def test_live_widgets_answer_the_keyboard(path, lab, page, note):
    notebook = cut.cut(read(path))
    page.goto(lab.add(path.name, notebook))
    run_all(page, len(notebook.cells))
    for cell in page.locator(".jp-CodeCell").all()[1:]:
        widget = Widget(cell.locator(".jp-OutputArea-output:has(.jupyter-widgets)"))
        assert widget.sliders or widget.texts
        for slider in widget.sliders:
            seen = widget.move(slider)
            assert seen["busy"] == bool(widget.button.count()), f"busy, or not: {seen}"
            note(widget.name(slider), seen["milliseconds"])
        for text in widget.texts:
            widget.refuse(text, "a qwertz")


@pytest.mark.usefixtures("libraries")
def test_grids_on_an_exported_page_answer_without_a_kernel(path, page, tmp_path, note):
    from nbconvert import HTMLExporter

    notebook, exported = read(path), tmp_path / f"{path.stem}.html"
    exported.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    page.goto(exported.as_uri())
    page.locator(".widget-subarea [role=slider]").first.wait_for()
    for number in cut.grids(notebook):
        widget = Widget(page.locator(".widget-subarea").nth(number))
        assert widget.sliders
        for slider in widget.sliders:
            note(widget.name(slider), widget.move(slider)["milliseconds"])
