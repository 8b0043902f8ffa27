"""A released model by its name: found in the cache, and what is said when it cannot be had."""

import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
from karlo_folder import SIZE, WEIGHTS

import minunclip
from minunclip.pretrained import RELEASES, download

COMMIT = RELEASES["karlo"].commit


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache, offline, on a disk with room."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    disk = SimpleNamespace(free=20e9)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: disk)
    return SimpleNamespace(disk=disk, repository=tmp_path / "hub" / "models--kakaobrain--karlo-v1-alpha")


@pytest.mark.parametrize("name", ["karlo", "kakaobrain/karlo-v1-alpha"])
def test_offline_and_not_cached_says_what_would_come_where(hub, name):
    with pytest.raises(ConnectionError, match=r"kakaobrain/karlo-v1-alpha \(13\.7 GB, commit 5ee4529\)") as error:
        minunclip.load(name)
    assert str(hub.repository) in str(error.value)


def test_a_full_disk_is_noticed_before_the_download(hub):
    hub.disk.free = 3e9
    with pytest.raises(OSError, match=r"needs 13\.7 GB more in .*, and the disk has 3\.0 GB"):
        minunclip.load("karlo")


def test_a_cached_release_needs_no_network(hub, folder):
    shutil.copytree(folder, hub.repository / "snapshots" / COMMIT)
    assert minunclip.load("karlo").decoder.config.size == SIZE


def test_a_download_that_broke_off_is_not_taken_for_whole(hub, folder):
    """Offline, huggingface_hub hands out whatever is there."""
    snapshot = shutil.copytree(folder, hub.repository / "snapshots" / COMMIT)
    (snapshot / "super_res_last" / WEIGHTS).unlink()
    with pytest.raises(ConnectionError, match=rf"cannot download kakaobrain.*super_res_last/{WEIGHTS}"):
        minunclip.load("karlo")
