"""The download of a release, from a small server that answers as the hub does and breaks off when it is told to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import unquote, urlparse

import pytest
from huggingface_hub import constants

from minunclip.pretrained import RELEASES, cached, download
from minunclip.pretrained.download import FILES, fetch, missing

COMMIT = "5ee4529" + 33 * "a"
LARGE = "prior/diffusion_pytorch_model.safetensors"
CONTENT = {file: file.encode() * (40_000 if file == LARGE else 3) for file in [*FILES, "prior/old.bin", "README.md"]}


class Hub(BaseHTTPRequestHandler):
    """One repository. The next `server.breaks` connections end in the middle of what is left of the large file."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlparse(self.path).path)
        if "/commits/" in path:
            date = {"title": "", "message": "", "date": "2023-01-01T00:00:00.000Z", "authors": []}
            return self.answer(json.dumps([{"id": commit, **date} for commit in (40 * "f", COMMIT)]).encode())
        if "/tree/" in path:
            files = [{"type": "file", "path": name, "size": len(data), "oid": name} for name, data in CONTENT.items()]
            return self.answer(json.dumps(files).encode())
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        if name not in CONTENT:
            return self.answer(b"{}", status=404)
        self.answer(CONTENT[name], {"ETag": f'"{hash(name)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}, name)

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
            self.close_connection = name == LARGE and self.server.breaks > 0
            self.server.breaks -= self.close_connection
            self.wfile.write(data[start : (start + len(data)) // 2] if self.close_connection else data[start:])


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.breaks, server.asked = 0, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: SimpleNamespace(free=20e9))
    yield server
    server.shutdown()
    server.server_close()


def test_what_is_needed_comes_at_the_pinned_commit_and_nothing_else(hub, tmp_path):
    folder = fetch(RELEASES["karlo"])
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert folder.name == COMMIT and there == set(FILES) and folder == cached(RELEASES["karlo"])
    assert all((folder / file).read_bytes() == CONTENT[file] for file in FILES)
    hub.asked.clear()
    assert fetch(RELEASES["karlo"]) == folder and hub.asked == []


def test_a_lost_connection_is_taken_up_where_it_was(hub):
    hub.breaks = 2
    folder = fetch(RELEASES["karlo"])
    starts = [start for name, start in hub.asked if name == LARGE]
    assert starts[0] == 0 < starts[1] < starts[2] and (folder / LARGE).read_bytes() == CONTENT[LARGE]


def test_a_download_that_breaks_off_leaves_nothing_half_and_keeps_what_is_whole(hub, tmp_path):
    hub.breaks = 99
    with pytest.raises(ConnectionError, match="cannot download kakaobrain/karlo-v1-alpha"):
        fetch(RELEASES["karlo"])
    assert cached(RELEASES["karlo"]) is None
    blobs = [path.read_bytes() for path in tmp_path.glob("*/blobs/*")]
    assert blobs and all(blob in CONTENT.values() and blob != CONTENT[LARGE] for blob in blobs)
    [snapshot] = tmp_path.glob("*/snapshots/*")
    lacking, hub.breaks, hub.asked[:] = missing(snapshot), 0, []
    assert LARGE in lacking and missing(fetch(RELEASES["karlo"])) == []
    assert sorted(name for name, _ in hub.asked) == sorted(lacking)


def test_the_room_that_is_needed_falls_with_what_is_there(hub, monkeypatch):
    release = RELEASES["karlo"]
    place = download.cache_of(release) / "blobs"
    place.mkdir(parents=True)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: SimpleNamespace(free=13.6e9))
    for name in ("a.incomplete", "b"):              # what broke off is of no use to the next try
        with pytest.raises(OSError, match=r"needs 13\.7 GB more"):
            fetch(release)
        with (place / name).open("wb") as file:
            file.truncate(200_000_000)              # takes no room itself
    assert fetch(release).is_dir()
