"""A released model by its name: what is suggested, fetched, found in the cache, and said when it cannot be had."""

import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
from karlo_folder import SIZE, WEIGHTS

import minunclip
from minunclip.pretrained import download


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache, offline, on a disk with room."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    disk = SimpleNamespace(free=20e9)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: disk)
    return SimpleNamespace(disk=disk, repository=tmp_path / "hub" / "models--kakaobrain--karlo-v1-alpha")


@pytest.mark.parametrize("name, meant", [("carlo", "karlo"), ("scene", "scenes"),
                                         ("kakaobrain/karlo", "kakaobrain/karlo-v1-alpha")])  # fmt: skip
def test_an_unknown_name_gets_a_suggestion(name, meant):
    with pytest.raises(ValueError, match=f"no model '{name}': did you mean '{meant}'"):
        minunclip.load(name)


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
    shutil.copytree(folder, hub.repository / "snapshots" / ("5ee4529" + 33 * "0"))
    assert minunclip.load("karlo").decoder.config.size == SIZE


def test_a_download_that_broke_off_is_not_taken_for_whole(hub, folder):
    """Offline, huggingface_hub hands out whatever is there."""
    snapshot = shutil.copytree(folder, hub.repository / "snapshots" / ("5ee4529" + 33 * "0"))
    (snapshot / "super_res_last" / WEIGHTS).unlink()
    with pytest.raises(ConnectionError, match=rf"cannot download kakaobrain.*super_res_last/{WEIGHTS}"):
        minunclip.load("karlo")


def test_the_pinned_commit_and_only_the_needed_files_are_fetched(hub, folder, monkeypatch):
    calls, commits = [], [SimpleNamespace(commit_id=start + 33 * "a") for start in ("fffffff", "5ee4529")]
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_commits", lambda self, repository: commits)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **kw: calls.append((args, kw)) or folder)
    assert download.fetch(download.RELEASES["karlo"]) == folder
    (repository,), options = calls[0]
    assert (repository, options["revision"]) == ("kakaobrain/karlo-v1-alpha", commits[1].commit_id)
    files = ["prior/config.json", f"prior/{WEIGHTS}", "prior/diffusion_pytorch_model.bin", "model.ckpt",
             "text_encoder/pytorch_model.bin", "text_encoder/model.safetensors"]  # fmt: skip
    kept = huggingface_hub.utils.filter_repo_objects(files, allow_patterns=options["allow_patterns"])
    assert list(kept) == ["prior/config.json", f"prior/{WEIGHTS}", "text_encoder/model.safetensors"]
