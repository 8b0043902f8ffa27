"""A saved notebook as one HTML file that draws: its guidance explorer answers without Jupyter, offline, from the disk.

    uv run --group docs python docs/panel/build.py notebooks/00_tour.ipynb

nbconvert makes the page. In the place of the explorer stands a panel of docs/page's own JavaScript, and the file holds
all that it takes: the networks, the runtime of onnxruntime-web, and what formulas and the other widgets need. Nothing
is run, and nothing is loaded from the web. npm fetches the JavaScript at the first build.
"""

from __future__ import annotations

import argparse
import base64
import html
import importlib.util
import json
import re
import sys
import tempfile
from pathlib import Path
from string import Template

import nbformat
from nbconvert import HTMLExporter

from minunclip.common import check_target, write_text

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIBRARIES = {  # of npm: the package in its version, and the file in it
    "require": ("requirejs@2.3.7", "require.js"),
    "widgets": ("@jupyter-widgets/html-manager@1.0.15", "dist/embed-amd.js"),
    "mathjax": ("mathjax@3.2.2", "es5/tex-svg-full.js"),
}
WASM = "ort-wasm-simd-threaded.wasm"
SIZE = 128                                  # pixels of the picture, as the explorer's own
VIEW, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"
CONTROLS = {"caption", "guidance", "or type it:", "seed", "Draw"}       # by which a guidance explorer is known


def page_builder():
    """docs/page/build.py as a module."""
    spec = importlib.util.spec_from_file_location("page_build", HERE.parent / "page" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- the notebook --------------------------------------------------------------------------------------------


def with_panels(notebook: nbformat.NotebookNode) -> int:
    """Put a panel in the place of every guidance explorer's output; how many there are."""
    models = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    found = [(output, controls(models, output.data[VIEW]["model_id"]))
             for output in outputs if VIEW in output.get("data", {})]  # fmt: skip
    explorers = [(output, named) for output, named in found if named.keys() == CONTROLS]
    for number, (output, named) in enumerate(explorers, start=1):
        still = "".join(output.data.get("text/html", ""))
        output.data = nbformat.from_dict({"text/html": panel(named, still, f"live-{number}")})
        output.metadata = nbformat.from_dict({})
    return len(explorers)


def controls(models: dict, model: str) -> dict[str, dict]:
    """The states of the controls in a widget, by the names that a reader sees beside them."""
    state = models.get(model, {}).get("state", {})
    found = {state["description"]: state} if state.get("description") else {}
    for child in re.findall(r"IPY_MODEL_(\w+)", str(state.get("children"))):
        found |= controls(models, child)
    return found


def panel(named: dict[str, dict], still: str, name: str) -> str:
    """The panel, set as the explorer was when it was saved. still: the picture that it showed, as HTML"""
    slider = named["guidance"]
    ranged = {"guidance": "value", "least": "min", "most": "max", "step": "step"}
    texts = {"caption": named["caption"]["value"], "seed": named["seed"]["value"], "size": SIZE, "id": name}
    values = {key: html.escape(str(value)) for key, value in texts.items()}
    values |= {key: f"{slider[state]:g}" for key, state in ranged.items()}
    return Template((HERE / "panel.html").read_text(encoding="utf-8")).substitute(values, still=still)


# -- the networks --------------------------------------------------------------------------------------------


def needed(manifest: dict) -> dict:
    """The manifest of an export without the stages that a picture of SIZE does not take."""
    sizes = [side for side in manifest["sizes"] if side <= SIZE] or manifest["sizes"][:1]
    last = len(sizes) - 1                                               # the number of the last upsampler
    stages = {name: stage for name, stage in manifest["stages"].items()
              if not name.startswith("upsampler-") or int(name.removeprefix("upsampler-")) <= last}  # fmt: skip
    return manifest | {"sizes": sizes, "stages": stages}


def contents(manifest: dict, onnx: Path, wasm: bytes) -> dict[str, str]:
    """Every file that the panel opens, by name: packed by xz, in base64."""
    names = [entry["file"] for stage in manifest["stages"].values() for entry in (stage, *stage["graphs"].values())]
    files = {WASM: wasm, **{name: (onnx / name).read_bytes() for name in names}}
    packed = {name: page_builder().xz(data, weights=name.endswith(".bin")) for name, data in files.items()}
    return {name: base64.b64encode(data).decode() for name, data in packed.items()}


# -- JavaScript without imports ------------------------------------------------------------------------------

IMPORT = re.compile(r'^import (?:\{(?P<names>[^}]+)\}|\* as (?P<whole>\w+)) from "(?P<path>[^"]+)";\n', re.M)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (?P<name>\w+))", re.M)
MINIFIED = re.compile(r"export\{(?P<names>[^}]+)\};\s*$")


def bundled(entry: Path, given: dict[str, str]) -> str:
    """A module and all that it imports as one classic script: on the disk browsers start no modules as workers.

    Each module becomes a function that is called at once and returns what the module exports. given: modules that lie
    elsewhere, by file name, with their text
    """
    done: dict[str, str] = {}

    def visit(path: Path) -> str:
        """The name that stands for a module's exports; its function and those that it needs are in `done` then."""
        name = re.sub(r"\W", "_", f"{path.parent.name}_{path.name}")
        if name not in done:
            source = given[path.name] if path.name in given else path.read_text(encoding="utf-8")
            source = IMPORT.sub(lambda found: bound(found, visit((path.parent / found["path"]).resolve())), source)
            exports = [found["name"] for found in EXPORT.finditer(source)]
            if found := MINIFIED.search(source):
                source = source[: found.start()]
                exports += [": ".join(reversed(part.split(" as "))) for part in found["names"].split(",")]
            body = EXPORT.sub("", source).replace("import.meta.url", "self.location.href")
            done[name] = f"const {name} = (() => {{\n{body}\nreturn {{{', '.join(exports)}}};\n}})();\n"
        return name

    visit(entry)
    return "".join(done.values())


def bound(found: re.Match, module: str) -> str:
    """An import as the constant that it is."""
    return f"const {'{' + found['names'] + '}' if found['names'] else found['whole']} = {module};\n"


# -- the page ------------------------------------------------------------------------------------------------


def inside(script: str) -> str:
    """A script as it may stand in HTML: nothing in it looks like the end of its element."""
    return re.sub(r"</(?=script)", r"<\\/", script, flags=re.I).replace("<!--", r"<\!--")


def build(notebook: nbformat.NotebookNode, name: str, onnx: Path) -> str:
    """The page of a notebook, which is changed. onnx: a folder that `minunclip export` wrote.

    Raises ValueError for a notebook without a guidance explorer, or a model that does not read words.
    """
    if not with_panels(notebook):
        raise ValueError(f"{name} shows no guidance explorer: run a cell with GuidanceExplorer(cascade) in it, and "
                         "save it with the state of its widgets")  # fmt: skip
    manifest = needed(json.loads((onnx / "manifest.json").read_text(encoding="utf-8")))
    if not manifest["vocabulary"]:
        raise ValueError(f"{onnx} holds a model that reads byte pairs, and the panel reads words")
    page = page_builder()
    parts = {key: page.without_map((page.npm_folder(package) / file).read_bytes()).decode()
             for key, (package, file) in LIBRARIES.items()}  # fmt: skip
    with tempfile.TemporaryDirectory() as made:
        runtime = Path(made) / "runtime"
        page.fetch_runtime(runtime)
        given = {path.name: path.read_text(encoding="utf-8") for path in runtime.glob("*.mjs")}
        files = contents(manifest, onnx, (runtime / WASM).read_bytes())
    parts |= {name: bundled(HERE / f"{name}.js", given) for name in ("worker", "panel")}
    parts |= {"manifest": json.dumps(manifest), "licence": page.LICENCE}
    live = {key: inside(part) for key, part in parts.items()}
    live |= {"files": files, "css": (HERE / "panel.css").read_text(encoding="utf-8")}
    exporter = HTMLExporter(raw_template=(HERE / "page.html.j2").read_text(encoding="utf-8"))
    return exporter.from_notebook_node(notebook, {"metadata": {"name": name}, "live": live})[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="A saved notebook as one HTML file whose guidance explorer draws.")
    parser.add_argument("notebook", type=Path, help="such as notebooks/00_tour.ipynb")
    parser.add_argument("--out", type=Path, help="(default: build/NOTEBOOK.html)")
    parser.add_argument("--model", default="scenes", help="scenes (the default), or a folder of your own weights")
    parser.add_argument("--onnx", type=Path, help="a folder that `minunclip export` wrote before")
    args = parser.parse_args()
    out = args.out or ROOT / "build" / f"{args.notebook.stem}.html"
    try:
        check_target(out)
        notebook = nbformat.read(args.notebook, as_version=4)
        with tempfile.TemporaryDirectory() as made:
            if args.onnx is None:
                from minunclip.commands.export import export

                export(args.model, Path(made))
            write_text(out, build(notebook, args.notebook.stem, args.onnx or Path(made)))
    except (ValueError, OSError, ImportError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 2
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB. Open it in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
