"""The download of a release, from a small server that answers as the hub does, and breaks off or refuses when told."""

import errno
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import unquote, urlparse

import huggingface_hub
import pytest
from huggingface_hub import constants

from minunclip.pretrained import RELEASES, cached, download
from minunclip.pretrained.download import UPSCALERS, fetch, missing

KARLO, LARGE = RELEASES["karlo"], "prior/diffusion_pytorch_model.safetensors"
FILES = {*KARLO.files, *UPSCALERS[None].files, *UPSCALERS["fp16"].files}
CONTENT = {file: file.encode() * (40_000 if file == LARGE else 3) for file in [*FILES, "prior/old.bin", "README.md"]}


class Hub(BaseHTTPRequestHandler):
    """Any repository. The next `server.breaks` connections end in the middle of what is left of the large file, and
    `server.refuse`, a function of the handler, may give the status, headers and body of another answer."""

    protocol_version = "HTTP/1.1"

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
            files = [{"type": "file", "path": name, "size": len(data), "oid": name} for name, data in CONTENT.items()]
            return self.answer(json.dumps(files).encode())
        commit, name = path.partition("/resolve/")[2].split("/", 1)
        sent = {"ETag": f'"{hash(name)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        self.answer(CONTENT[name], sent, name)

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


def set_endpoint(monkeypatch, address):
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.breaks, server.asked, server.refuse = 0, [], lambda handler: None
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    set_endpoint(monkeypatch, server.address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    for name in ("HF_TOKEN", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: SimpleNamespace(free=20e9))
    huggingface_hub.close_session()                     # which remembers the proxies of the test before
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("release", [KARLO, *UPSCALERS.values()], ids=["karlo", "upscaler", "upscaler in half"])
def test_what_is_needed_comes_at_the_pinned_commit_and_nothing_else(hub, tmp_path, release):
    folder = fetch(release)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert len(release.commit) == 40 and folder.name == release.commit
    assert there == {*release.files} and folder == cached(release)
    assert all((folder / file).read_bytes() == CONTENT[file] for file in release.files)
    hub.asked.clear()
    assert fetch(release) == folder and hub.asked == []


def test_a_lost_connection_is_taken_up_where_it_was(hub):
    hub.breaks = 2
    folder = fetch(KARLO)
    starts = [start for name, start in hub.asked if name == LARGE]
    assert starts[0] == 0 < starts[1] < starts[2] and (folder / LARGE).read_bytes() == CONTENT[LARGE]


def test_a_download_that_breaks_off_leaves_nothing_half_and_keeps_what_is_whole(hub, tmp_path):
    hub.breaks = 99
    with pytest.raises(ConnectionError, match="cannot download kakaobrain/karlo-v1-alpha.*connect to the internet"):
        fetch(KARLO)
    assert cached(KARLO) is None
    blobs = [path.read_bytes() for path in tmp_path.glob("*/blobs/*")]
    assert blobs and all(blob in CONTENT.values() and blob != CONTENT[LARGE] for blob in blobs)
    [snapshot] = tmp_path.glob("*/snapshots/*")
    lacking, hub.breaks, hub.asked[:] = missing(KARLO, snapshot), 0, []
    assert LARGE in lacking and missing(KARLO, fetch(KARLO)) == []
    assert sorted(name for name, _ in hub.asked) == sorted(lacking)


def test_the_room_that_is_needed_falls_with_what_is_there(hub, monkeypatch):
    place = download.cache_of(KARLO) / "blobs"
    place.mkdir(parents=True)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: SimpleNamespace(free=13.6e9))
    for name in ("a.incomplete", "b"):              # what broke off is of no use to the next try
        with pytest.raises(OSError, match=r"needs 13\.7 GB more"):
            fetch(KARLO)
        with (place / name).open("wb") as file:
            file.truncate(200_000_000)              # takes no room itself
    assert fetch(KARLO).is_dir()


# -- what may go wrong, and what is said of it ---------------------------------------------------------------


def refusal(release=KARLO) -> str:
    """What is said when a download fails: always one line, which names the repository."""
    with pytest.raises(ConnectionError) as error:
        fetch(release)
    said = str(error.value)
    assert "\n" not in said and said.startswith(f"cannot download {release.repository} (")
    assert cached(release) is None and release.use in said
    return said


def stale(handler):
    """The hub of a token that has expired: it refuses it for everything, though all of it is public."""
    if "Authorization" in handler.headers:
        return 401, {"X-Error-Message": "Invalid credentials in Authorization header"}, b"{}"


def test_an_old_token_does_not_stop_what_is_public(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    hub.refuse = stale
    with pytest.raises(OSError, match="401"):
        huggingface_hub.snapshot_download(KARLO.repository, revision=KARLO.commit)
    assert missing(KARLO, fetch(KARLO)) == []


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_refused_even_so_names_the_token(hub, monkeypatch, tmp_path, status):
    hub.refuse = lambda handler: (status, {}, b"{}")
    assert "closed or gone" in refusal() and "token" not in refusal() and KARLO.elsewhere in refusal()
    (tmp_path / "token").write_text("hf_old")
    assert f"({status}) with your token, which is in {tmp_path / 'token'}, and without" in refusal()
    assert "hf auth logout" in refusal()
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    assert "which is in HF_TOKEN" in refusal() and "unset HF_TOKEN" in refusal()


LOGIN = b"<html><body>Welcome to the hotel</body></html>"
ANSWERS = {
    "the repository is gone": ((404, {}, b"{}"), "no such repository or commit any more.*sd2-community"),
    "a proxy wants a login": ((407, {}, b"{}"), "the proxy on the way wants a name and a password.*HTTPS_PROXY"),
    "too many requests": ((429, {}, b"{}"), "too many requests.*wait some minutes"),
    "out of order": ((503, {}, b"{}"), r"out of order \(503\): try again later"),
    "a page to log in": ((200, {"Content-Type": "text/html"}, LOGIN), "is a web page.*log in to this network"),
    "the way to one": ((302, {"Location": "/login"}, b""), "is a web page.*log in to this network"),
}


@pytest.mark.parametrize("answer, said", ANSWERS.values(), ids=ANSWERS)
def test_the_cause_of_an_answer_is_named(hub, answer, said):
    page = 200, {"Content-Type": "text/html"}, LOGIN
    hub.refuse = lambda handler: page if handler.path == "/login" else answer
    assert re.search(said, refusal(UPSCALERS["fp16"]))


def test_a_page_to_log_in_in_place_of_a_file(hub):
    hub.refuse = lambda handler: None if "/tree/" in handler.path else (200, {"Content-Type": "text/html"}, LOGIN)
    assert "is a web page" in refusal()


def test_a_proxy_that_refuses(hub, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", hub.address)
    set_endpoint(monkeypatch, "https://hub.invalid")
    assert "the proxy in HTTPS_PROXY does not let it through" in refusal()


def test_no_connection(hub, monkeypatch):
    hub.server_close()
    assert "there is no connection to the hub" in refusal()
    set_endpoint(monkeypatch, "huggingface.co")
    assert "set HF_ENDPOINT right" in refusal()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set" in refusal()


RAISED = {
    "a full disk": (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
    "a quota": (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk is full, or its quota"),
    "a certificate": (ssl.SSLCertVerificationError(1, "certificate has expired"), "not trusted.*clock.*SSL_CERT_FILE"),
    "another's folder": (PermissionError(errno.EACCES, "Permission denied"), "set HF_HUB_CACHE to a folder of yours"),
}


@pytest.mark.parametrize("error, said", RAISED.values(), ids=RAISED)
def test_the_cause_is_found_behind_what_a_library_makes_of_it(hub, monkeypatch, error, said):
    def fail(*_, **__):
        raise RuntimeError("could not fetch a file") from error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    assert re.search(said, refusal())


def test_what_nobody_foresaw_is_passed_on_in_a_line(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: int("what\nis this"))
    assert "connect to the internet once, and try again (ValueError: invalid literal" in refusal()
