"""The page of docs/page, built, served, and driven as a reader would: by its fields, keys and pictures."""

import base64
import functools
import http.server
import importlib.util
import json
import threading
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
WAIT = 600_000  # milliseconds: a machine may do other things, too
PIXELS = """canvas => {
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let text = "";
    for (let i = 0; i < data.length; i += 4096) text += String.fromCharCode(...data.subarray(i, i + 4096));
    return [canvas.width, canvas.height, btoa(text)];
}"""


def builder():
    """docs/page/build.py as a module."""
    spec = importlib.util.spec_from_file_location("page_build", ROOT / "docs" / "page" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder: Path) -> http.server.ThreadingHTTPServer:
    """A plain web server on loopback, as a reader would start one."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Page:
    """The page in a tab. Its policy on scripts stays in force, so waiting is done by selectors alone."""

    def __init__(self, tab, url: str, ready: bool = True):
        self.tab = tab
        tab.set_default_timeout(WAIT)
        tab.goto(url)
        if ready:
            self.settle()

    def settle(self) -> None:
        """Wait for the picture of what is set now."""
        self.tab.locator("#main[aria-busy=false]").wait_for()

    def draw(self, caption: str, seed: int) -> None:
        """Type a caption and a seed, press Enter, and wait for the picture."""
        self.tab.locator("#seed").fill(str(seed))
        self.tab.locator("#caption").fill(caption)
        self.tab.locator("#caption").press("Enter")
        self.settle()

    def set(self, **knobs: float) -> None:
        """Move sliders, named with _ for -."""
        for name, value in knobs.items():
            self.tab.locator(f"#{name.replace('_', '-')}").fill(str(value))
        self.settle()

    def picture(self, canvas: str) -> Tensor:
        """The pixels of the canvas with an id, (3, H, W) uint8."""
        return pixels(self.tab.locator(f"#{canvas}"))

    def text(self, place: str) -> str:
        return self.tab.locator(f"#{place}").inner_text()

    def axe(self, source: str, within: str = "html") -> list[str]:
        """What axe-core finds wrong in a part of the page, in lines."""
        self.tab.evaluate(source)
        found = self.tab.evaluate("part => axe.run(part, {resultTypes: ['violations']})", within)["violations"]
        return [f"{fault['impact']}: {fault['id']}: {node['html'][:120]} {json.dumps(node['any'][:1])[:300]}"
                for fault in found for node in fault["nodes"]]  # fmt: skip


def pixels(canvas) -> Tensor:
    """What a canvas shows, (3, H, W) uint8."""
    width, height, text = canvas.evaluate(PIXELS)
    found = torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
    return found.view(height, width, 4)[..., :3].permute(2, 0, 1)


def difference(ours: Tensor, theirs: Tensor) -> int:
    """The largest one of two pictures of 8 bits."""
    assert ours.shape == theirs.shape
    return int((ours.int() - theirs.int()).abs().max())
