"""How a notebook becomes one HTML file that draws, without a browser: what is replaced, packed and refused."""

import base64
import importlib.util
import json
import lzma
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from exercises import NOTEBOOKS, read
from helpers import tiny_cascade

from minunclip.course.widgets.base import GuidanceExplorer

DOCS = Path(__file__).parent.parent / "docs"
GIVEN = {"ort.wasm.bundle.min.mjs": "const a = import.meta.url;export{a as env};\n",
         "xz-decompress.min.mjs": "export const XzReadableStream = 1;\n"}  # fmt: skip
TOUR = NOTEBOOKS / "00_tour.ipynb"


@pytest.fixture(scope="module")
def panel():
    spec = importlib.util.spec_from_file_location("panel_build", DOCS / "panel" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def saved(widget, view="1"):
    """A notebook as Jupyter saves it after a cell that shows this widget, and nothing else."""
    def models(shown):
        children = [child for part in getattr(shown, "children", ()) for child in models(part).items()]
        return {**dict(children), shown.model_id: {"state": {**shown.get_state(), "children": [
            f"IPY_MODEL_{child.model_id}" for child in getattr(shown, "children", ())]}}}  # fmt: skip

    data = {"application/vnd.jupyter.widget-view+json": {"model_id": widget.model_id}, "text/html": "<img alt='still'>"}
    cell = nbformat.v4.new_code_cell("show", outputs=[nbformat.v4.new_output("display_data", data)])
    state = {"application/vnd.jupyter.widget-state+json": {"state": models(widget)}}
    return nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": state})


def test_the_explorer_of_today_becomes_a_panel(panel):
    """Its controls are known by their names: whoever renames one must say so in docs/panel/build.py, too."""
    explorer = GuidanceExplorer(tiny_cascade(), caption="a red circle", size=32, guidance=2.5)
    explorer.seed.value = 7
    notebook = saved(explorer)
    assert panel.with_panels(notebook) == 1
    data = notebook.cells[0].outputs[0].data
    assert list(data) == ["text/html"]
    for part in ('value="a red circle"', 'value="2.5"', 'value="7"', 'min="1" max="8" step="0.5"', "<img alt='still'>"):
        assert part in data["text/html"], part


def test_other_widgets_stay(panel):
    explorer = GuidanceExplorer(tiny_cascade(), caption="a red circle", size=32)
    notebook = saved(explorer.children[1])                              # the slider and its field alone
    assert panel.with_panels(notebook) == 0
    assert "text/html" in notebook.cells[0].outputs[0].data and "live-panel" not in str(notebook)


def test_the_committed_tour_has_one(panel):
    notebook = read(TOUR)
    others = sum(panel.VIEW in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
    assert panel.with_panels(notebook) == 1
    left = sum(panel.VIEW in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
    assert left == others - 1 and "live-panel" in str(notebook)


def test_a_caption_is_text_and_no_html(panel):
    named = {"caption": {"value": '"><b>'}, "seed": {"value": 0},
             "guidance": {"value": 2.0, "min": 1.0, "max": 8.0, "step": 0.5}}  # fmt: skip
    made = panel.panel(named, "", "live-1")
    assert "<b>" not in made and "&quot;&gt;&lt;b&gt;" in made and "$" not in made


def test_only_what_the_picture_takes(panel):
    stages = {name: {} for name in ("clip", "prior", "decoder", "upsampler-1", "upsampler-2")}
    kept = panel.needed({"sizes": [32, 128, 512], "stages": stages})
    assert kept["sizes"] == [32, 128] and list(kept["stages"]) == ["clip", "prior", "decoder", "upsampler-1"]
    kept = panel.needed({"sizes": [256], "stages": {"clip": {}}})       # a model that draws larger ones at once
    assert kept["sizes"] == [256] and list(kept["stages"]) == ["clip"]


def test_files_come_back_as_they_were(panel, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"weights" * 100)
    manifest = {"stages": {"a": {"file": "a.bin", "graphs": {}}}}
    packed = panel.contents(manifest, tmp_path, b"wasm")
    unpacked = {name: lzma.decompress(base64.b64decode(text)) for name, text in packed.items()}
    assert unpacked == {panel.WASM: b"wasm", "a.bin": b"weights" * 100}


def test_no_script_ends_its_element(panel):
    assert panel.inside('"</script>" + "</ScRiPt" + "<!--"') == r'"<\/script>" + "<\/ScRiPt" + "<\!--"'


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_modules_become_one_script(panel, tmp_path):
    """Names that two modules have for different things stay apart, and what both import is there once."""
    (tmp_path / "once.js").write_text("let n = 0;\nexport const count = () => ++n;\n")
    (tmp_path / "a.js").write_text('import {count} from "./once.js";\nconst own = "a";\nexport function a() {\n'
                                   "    return own + count();\n}\nexport class Kind {}\n")  # fmt: skip
    (tmp_path / "main.js").write_text('import * as all from "./given.mjs";\nimport {\n    a,\n    Kind,\n} from '
                                      '"./a.js";\nimport {count} from "./once.js";\n'
                                      "const own = [a(), count(), typeof Kind, all.default, all.shown];\n"
                                      "console.log(JSON.stringify(own));\n")  # fmt: skip
    script = panel.bundled(tmp_path / "main.js", {"given.mjs": "var x=3,y=4;export{x as default,y as shown};\n"})
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True)
    assert json.loads(done.stdout or "null") == ["a1", 2, "function", 3, 4], done.stderr


def test_the_panel_s_own_scripts_import_nothing(panel):
    for entry in ("panel.js", "worker.js"):
        script = panel.bundled(panel.HERE / entry, GIVEN)
        assert not re.search(r"^(import|export)\b|import\.meta", script, re.M)
    assert "class Studio" in script and "PyTorch's CPU generator" in script


def test_what_it_refuses(panel, tmp_path):
    with pytest.raises(ValueError, match="empty shows no guidance explorer: run a cell with GuidanceExplorer"):
        panel.build(nbformat.v4.new_notebook(), "empty", tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"vocabulary": None, "sizes": [64], "stages": {}}))
    with pytest.raises(ValueError, match="reads byte pairs, and the panel reads words"):
        panel.build(read(TOUR), "00_tour", tmp_path)
