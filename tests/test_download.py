"""The download of a release, from a small server that answers as the hub does, and breaks off or refuses when told."""

import errno
import re
import ssl
from types import SimpleNamespace

import huggingface_hub
import pytest
from hub_helpers import hub_server, serve, set_endpoint, use_hub
from huggingface_hub import constants

from minunclip.pretrained import UPSCALERS, cached, store, transfer
from minunclip.pretrained.fetching import fetch

HALF, LARGE = UPSCALERS["fp16"], "unet/diffusion_pytorch_model.fp16.safetensors"
FILES = {*UPSCALERS[None].files, *HALF.files}
CONTENT = {file: file.encode() * (40_000 if file == LARGE else 3) for file in [*FILES, "unet/old.bin", "README.md"]}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = hub_server(CONTENT)
    server.fragile = LARGE
    use_hub(monkeypatch, server.address, tmp_path)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)   # this is `time` itself
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: SimpleNamespace(free=20e9))
    yield serve(server)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("release", UPSCALERS.values(), ids=["upscaler", "upscaler in half"])
def test_what_is_needed_comes_at_the_pinned_commit_and_nothing_else(hub, release):
    folder = fetch(release)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert len(release.commit) == 40 and store.Store(release).record.listing.commit == release.commit
    assert there == {*release.files, "minunclip.json"} and folder == cached(release)
    assert all((folder / file).read_bytes() == CONTENT[file] for file in release.files)
    hub.asked.clear()
    assert fetch(release) == folder and hub.asked == []


def test_a_lost_connection_is_taken_up_where_it_was(hub):
    hub.breaks = 2
    folder = fetch(HALF)
    starts = [start for name, start in hub.asked if name == LARGE]
    assert starts[0] == 0 < starts[1] < starts[2] and (folder / LARGE).read_bytes() == CONTENT[LARGE]


def test_a_download_that_breaks_off_is_taken_up_where_it_was_by_the_next(hub):
    hub.breaks = 99
    with pytest.raises(ConnectionError, match="cannot download stabilityai/.*connect to the internet"):
        fetch(HALF)
    assert cached(HALF) is None
    folder, lacking = store.Store(HALF).folder, store.Store(HALF).lacking()
    assert LARGE in lacking and not (folder / LARGE).exists() and (folder / f"{LARGE}.part").stat().st_size > 0
    hub.breaks, hub.asked[:] = 0, []
    assert (fetch(HALF) / LARGE).read_bytes() == CONTENT[LARGE] and cached(HALF) == folder
    assert sorted(name for name, _ in hub.asked) == sorted(lacking)
    assert [start > 0 for name, start in hub.asked if name == LARGE] == [True]


def test_what_arrives_damaged_is_noticed_and_fetched_again(hub):
    whole, broken = CONTENT[LARGE], b"x" + CONTENT[LARGE][1:]
    hub.content = CONTENT | {LARGE: whole}
    record = transfer.listing_of(HALF.repository, HALF.commit)
    hub.content = CONTENT | {LARGE: broken}
    with pytest.raises(OSError, match="arrived damaged"):
        transfer.download(record, LARGE, store.home() / "file")
    assert not list(store.home().glob("file*"))


def test_the_room_that_is_needed_falls_with_what_is_there(hub, monkeypatch):
    total = sum(len(CONTENT[file]) for file in HALF.files)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: SimpleNamespace(free=total - 1))
    with pytest.raises(OSError, match=r"upscaler needs 0\.0 GB more in .*upscaler, .*set HF_HOME"):
        fetch(HALF)
    part = store.Store(HALF).folder / f"{LARGE}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[LARGE][:1])
    assert fetch(HALF).is_dir()


def test_what_huggingface_hub_has_is_not_fetched_again(hub, tmp_path):
    snapshot = tmp_path / "hub" / "models--stabilityai--stable-diffusion-x4-upscaler" / "snapshots" / HALF.commit
    for file in HALF.files:
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).write_bytes(CONTENT[file])
    assert fetch(HALF) == cached(HALF) == snapshot and hub.asked == []
    (snapshot / HALF.files[0]).unlink()
    assert (fetch(HALF) / LARGE).read_bytes() == CONTENT[LARGE] and hub.asked == [(HALF.files[0], 0)]


# -- what may go wrong, and what is said of it ---------------------------------------------------------------


def refusal(release=HALF) -> str:
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
        huggingface_hub.snapshot_download(HALF.repository, revision=HALF.commit)
    assert fetch(HALF) == cached(HALF)


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_refused_even_so_names_the_token(hub, monkeypatch, tmp_path, status):
    hub.refuse = lambda handler: (status, {}, b"{}")
    assert "closed or gone" in refusal() and "token" not in refusal() and HALF.elsewhere in refusal()
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
    assert re.search(said, refusal())


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
    "another's folder": (PermissionError(errno.EACCES, "Permission denied"), "set HF_HOME to a folder of yours"),
}


@pytest.mark.parametrize("error, said", RAISED.values(), ids=RAISED)
def test_the_cause_is_found_behind_what_a_library_makes_of_it(hub, monkeypatch, error, said):
    def fail(*_, **__):
        raise RuntimeError("could not fetch a file") from error

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_tree", fail)
    assert re.search(said, refusal())


def test_what_nobody_foresaw_is_passed_on_in_a_line(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_tree", lambda *_, **__: int("what\nis this"))
    assert "connect to the internet once, and try again (ValueError: invalid literal" in refusal()
