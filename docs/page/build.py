"""Build the page into a folder that any web server can serve: python docs/page/build.py

    uv run --group page python docs/page/build.py
    python -m http.server -d build/page

The folder has the page's own files, the library's lines that it shows, the networks (`minunclip export`), and the
runtime of onnxruntime-web, which npm fetches once in the version that package.json names. Nothing of it is committed.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import hashlib
import html
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from pygments import lex
from pygments.lexers import PythonLexer
from pygments.token import Token

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minunclip" / "page"
RUNTIME = {  # of npm's packages: the files that the page loads, with their SHA-256
    "onnxruntime-web/dist/ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm":
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "xz-decompress/dist/package/xz-decompress.min.js":
        "d83649874b6198df07340a88377613ccd2267aebb9f18b3be26c6904a81bac52",
}
# xz-decompress is no module: here is what it looks for, and what it leaves.
AS_MODULE = ("const module = {exports: {}}, exports = module.exports, require = () => globalThis;\n",
             "\nexport const XzReadableStream = module.exports.XzReadableStream;\n")  # fmt: skip
# A file of weights is numbers of two bytes, of which every first one is alike, and every second.
PACKING = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 1, "pb": 1}]
LICENCE = """onnxruntime-web, Copyright (c) Microsoft Corporation; xz-decompress, Copyright (c) Steve Sanderson and Tim
Perry; walloc in it, Copyright (c) 2020 Igalia, S.L.; all under the MIT License:

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def build(out: Path, onnx: Path) -> dict[str, int]:
    """Write the page into a folder, which is replaced; bytes of what a reader downloads, by file.

    onnx: a folder that `minunclip export` wrote. Raises ValueError for a model that does not read words.
    """
    manifest = json.loads((onnx / "manifest.json").read_text(encoding="utf-8"))
    if not manifest["vocabulary"]:
        raise ValueError(f"{onnx} holds a model that reads byte pairs, and the page reads words")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as made:
        folder = Path(made) / out.name
        copy_sources(folder)
        fetch_runtime(folder / "runtime")
        networks = [onnx / entry["file"] for stage in manifest["stages"].values()
                    for entry in (stage, *stage["graphs"].values())]  # fmt: skip
        wasm = folder / "runtime" / "ort-wasm-simd-threaded.wasm"
        manifest["files"] = {path.name: packed(path, folder) for path in (wasm, *networks)}
        wasm.unlink()
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(folder, out)
    return {str(path.relative_to(out)): weight(path) for path in sorted(out.rglob("*")) if path.is_file()}


def weight(path: Path) -> int:
    """Bytes of a file on its way: servers pack texts, too."""
    return path.stat().st_size if path.suffix == ".xz" else len(gzip.compress(path.read_bytes()))


def packed(path: Path, folder: Path) -> dict:
    """Pack a file by xz; what the page must know of it. Its name has its sum, so that no cache mixes two builds."""
    content = path.read_bytes()
    sum_, data = hashlib.sha256(content).hexdigest(), xz(content, weights=path.suffix == ".bin")
    target = folder / "networks" / f"{path.stem}-{sum_[:10]}{path.suffix}.xz"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
    return {"packed": str(target.relative_to(folder).as_posix()), "bytes": len(data), "sha256": sum_}


def xz(content: bytes, weights: bool = False) -> bytes:
    """Packed by xz, which takes a sixth less room than gzip."""
    return lzma.compress(content, check=lzma.CHECK_CRC32, filters=PACKING if weights else None)


def copy_sources(folder: Path) -> None:
    """The page's own files, the library's lines filled in."""
    for pattern in ("*.html", "*.css", "*.js", "*.svg", "*/*.js"):
        for source in HERE.glob(pattern):
            target = folder / source.relative_to(HERE)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text(encoding="utf-8")
            target.write_text(with_code(text) if source.suffix == ".html" else text, encoding="utf-8")


# -- the library's lines -------------------------------------------------------------------------------------


def with_code(page: str) -> str:
    """The page with `<!-- code FILE NAME ... -->` replaced by these functions or methods of the library."""
    return re.sub(r" *<!-- code (\S+) (.+?) -->", lambda found: shown(found[1], found[2].split()), page)


def shown(file: str, names: list[str]) -> str:
    source = (ROOT / file).read_text(encoding="utf-8")
    code = "\n\n".join(definition(source, name) for name in names)
    title = f"{file}: {', '.join(names)}"
    return (f'<figure class="source"><figcaption>{title}</figcaption>'
            f'<pre tabindex="0" aria-label="{title}"><code>{coloured(code)}</code></pre></figure>')  # fmt: skip


def definition(source: str, name: str) -> str:
    """The lines of a function, or of Class.method, at the left margin. Raises ValueError if there is none."""
    body, node = ast.parse(source).body, None
    for part in name.split("."):
        node = next((n for n in body if getattr(n, "name", None) == part), None)
        if node is None:
            raise ValueError(f"the library has no {name} to show: correct docs/page/index.html")
        body = getattr(node, "body", [])
    lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
    return "\n".join(line[node.col_offset :] for line in lines)


CLASSES = {Token.Keyword: "k", Token.Operator.Word: "k", Token.Literal.String: "s", Token.Comment: "c",
           Token.Literal.Number: "m", Token.Name.Function: "n", Token.Name.Class: "n"}  # fmt: skip


def coloured(code: str) -> str:
    """Python as HTML, with classes for the few kinds of words that have a colour."""
    parts = []
    for kind, text in lex(code, PythonLexer()):
        found = next((letter for token, letter in CLASSES.items() if kind in token), None)
        words = html.escape(text, quote=False)
        parts.append(f'<span class="{found}">{words}</span>' if found else words)
    return "".join(parts).rstrip()


# -- the runtime ---------------------------------------------------------------------------------------------


def fetch_runtime(folder: Path) -> None:
    """What unpacks and runs networks, from npm at the first build. Raises ValueError for files that have changed."""
    folder.mkdir(parents=True)
    for path, sum_ in RUNTIME.items():
        package, inside = path.split("/", 1)
        content, name = (from_npm(package) / inside).read_bytes(), Path(inside).name
        if hashlib.sha256(content).hexdigest() != sum_:
            raise ValueError(f"npm's {name} is not the one that docs/page/build.py knows: set its sum with the version")
        if name.endswith(".mjs"):
            content = without_map(content)
        elif name.endswith(".js"):
            content, name = content.join(part.encode() for part in AS_MODULE), f"{Path(name).stem}.mjs"
        (folder / name).write_bytes(content)
    (folder / "LICENSE.txt").write_text(LICENCE, encoding="utf-8")


def without_map(content: bytes) -> bytes:
    """A script without the address of its source map, which is not there."""
    return re.sub(rb"//# sourceMappingURL=\S+\s*$", b"", content)


def from_npm(package: str) -> Path:
    """The folder of a package in the version that package.json names. Raises OSError if npm cannot fetch it."""
    pins = json.loads((HERE / "package.json").read_text())
    return npm_folder(f"{package}@{(pins['dependencies'] | pins['devDependencies'])[package]}")


def npm_folder(package: str) -> Path:
    """The folder of "package@version", which npm fetches once. Raises OSError if it cannot."""
    folder = CACHE / package.replace("/", "-")
    if folder.is_dir():
        return folder
    if not shutil.which("npm"):
        raise OSError(f"npm is not installed, and {folder} is not there: install Node.js, which brings npm")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as made:
        done = subprocess.run(["npm", "pack", "--silent", package], cwd=made, capture_output=True, text=True,
                              shell=os.name == "nt")  # fmt: skip
        if done.returncode:
            raise OSError(f"npm could not fetch {package}: {done.stderr.strip()[-300:]}")
        with tarfile.open(Path(made) / done.stdout.split()[-1]) as tar:
            tar.extractall(made, filter="data")
        shutil.move(Path(made) / "package", folder)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the page: the cascade in a browser.")
    parser.add_argument("--model", default="scenes", help="scenes (the default), or a folder of your own weights")
    parser.add_argument("--onnx", type=Path, help="a folder that `minunclip export` wrote before")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "page", help="(default: build/page)")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as made:
            if args.onnx is None:
                from minunclip.commands.export import export

                export(args.model, Path(made))
            sizes = build(args.out, args.onnx or Path(made))
    except (ValueError, OSError, ImportError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {sum(sizes.values()) / 1e6:.1f} MB to download, packed. Look at it:")
    print(f"python -m http.server -d {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
