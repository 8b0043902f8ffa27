"""The committed notebooks as a reader sees them on opening, in JupyterLab's light and dark themes.

MINUNCLIP_SCREENSHOTS=folder keeps pictures of them, to be looked at.
"""

import os
from pathlib import Path

import pytest
from exercises import NOTEBOOKS, read

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
# The pictures that are missing, or that let the page shine through, so that dark ink may stand on a dark page.
BAD_PICTURES = """
() => [...document.querySelectorAll(".jp-Notebook img")].filter(image => {
    if (!image.naturalWidth) return true;
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    const pen = Object.assign(document.createElement("canvas"), {width, height}).getContext("2d");
    pen.drawImage(image, 0, 0);
    return pen.getImageData(0, 0, width, height).data.some((value, i) => i % 4 === 3 && value < 255);
}).map(image => image.alt || image.src.slice(0, 80))
"""
LOADED = "() => [...document.querySelectorAll('.jp-Notebook img')].every(image => image.complete)"
SCROLLER = ".jp-WindowedPanel-outer"


def keep_screenshots(page, name, folder):
    scroller = page.locator(SCROLLER)
    screens = scroller.evaluate("element => Math.ceil(element.scrollHeight / element.clientHeight)")
    for number in range(screens):
        scroller.evaluate("(element, n) => element.scrollTo(0, n * element.clientHeight)", number)
        page.wait_for_timeout(100)
        page.screenshot(path=folder / f"{name}-{number:02d}.png")


@pytest.mark.browser
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_page_opens_with_all_its_pictures(path, theme, lab, page):
    lab.set("@jupyterlab/apputils-extension/themes", theme=THEMES[theme])
    lab.set("@jupyterlab/notebook-extension/tracker", windowingMode="none")
    notebook = read(path)
    page.goto(lab.add(path.name, notebook))
    page.wait_for_function("n => document.querySelectorAll('.jp-Notebook .jp-Cell').length === n",
                           arg=len(notebook.cells))  # fmt: skip
    page.wait_for_function(LOADED)
    assert page.evaluate(BAD_PICTURES) == []
    assert page.evaluate("() => document.body.dataset.jpThemeLight") == str(theme == "light").lower()
    if folder := os.environ.get("MINUNCLIP_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.set_viewport_size({"width": 1000, "height": 1500})
        keep_screenshots(page, f"{path.stem}-{theme}", Path(folder))
