"""A small server that answers as the Hugging Face hub does, and breaks off, refuses or is slow when it is told to."""

import hashlib
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

import huggingface_hub
import pytest
from huggingface_hub import constants

from minunclip.pretrained import NARROW, write_karlo

COMMIT = "c0ffee" + 34 * "0"                # of a branch


class Handler(BaseHTTPRequestHandler):
    """Any repository. The next `server.breaks` answers of `server.fragile` end in the middle of what is left of it, and
    `server.refuse`, a function of the handler, may give the status, headers and body of another answer."""

    protocol_version = "HTTP/1.1"

    @property
    def content(self) -> dict[str, bytes]:
        """The files of the repository that is asked for, by name."""
        return self.server.content

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_CONNECT(self):                               # as a proxy is asked
        self.send_error(407)

    def do_GET(self):
        path = unquote(urlparse(self.path).path)
        if refusal := self.server.refuse(self):
            status, headers, body = refusal
            return self.answer(body, headers, status=status)
        if "/tree/" in path:
            return self.answer(json.dumps([self.entry(*file) for file in self.content.items()]).encode())
        if "/revision/" in path:
            return self.answer(json.dumps({"id": "someone/copy", "sha": COMMIT, "siblings": []}).encode())
        if "/resolve/" not in path:
            return self.send_error(404, f"no {path}")
        commit, name = path.partition("/resolve/")[2].split("/", 1)
        sent = {"ETag": f'"{hash(name)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        self.answer(self.content[name], sent, name)

    def entry(self, name, data):
        """What the hub tells of a file: of large ones, the SHA-256, too."""
        large = {"lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}}
        return {"type": "file", "path": name, "size": len(data), "oid": name} | (
            large if name.endswith(".safetensors") else {})  # fmt: skip

    def answer(self, data: bytes, headers=(), name: str = "", status: int = 200):
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        if start:
            status, headers = 206, {**headers, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        if name and self.command == "GET":
            self.server.asked.append((name, start))
        self.send_response(status)
        sent = {"Content-Type": "application/json", "Content-Length": len(data) - start, **dict(headers)}
        for key, value in sent.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "GET":
            self.close_connection = name != "" and name == self.server.fragile and self.server.breaks > 0
            self.server.breaks -= self.close_connection
            self.wfile.write(data[start : (start + len(data)) // 2] if self.close_connection else data[start:])


def hub_server(content: dict[str, bytes], handler=Handler) -> ThreadingHTTPServer:
    """Not yet serving."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.content, server.breaks, server.fragile, server.asked = content, 0, None, []
    server.refuse = lambda handler: None
    server.address = f"http://127.0.0.1:{server.server_port}"
    return server


def set_endpoint(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


def use_hub(monkeypatch: pytest.MonkeyPatch, address: str, home) -> None:
    """Make this server the hub, and an empty folder the place for what is fetched."""
    set_endpoint(monkeypatch, address)
    monkeypatch.setattr(constants, "HF_HOME", str(home))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    for name in ("HF_TOKEN", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    huggingface_hub.close_session()                     # which remembers the proxies of the test before


def serve(server: ThreadingHTTPServer) -> ThreadingHTTPServer:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def small_karlo(folder) -> dict[str, bytes]:
    """The files of a release with Karlo's layout, narrow and with random weights, by their names in the repository."""
    write_karlo(folder, replace(NARROW, clip=replace(NARROW.clip, image_layers=0)))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def weights_of(content: dict[str, bytes]) -> set[str]:
    return {file for file in content if file.endswith(".safetensors")}
