"""A released model by its name: found where it was fetched to, and what is said when it cannot be had."""

import shutil

import huggingface_hub
import pytest
from karlo_folder import SIZE, WEIGHTS

import minunclip
from minunclip.pretrained import RELEASES, Store

COMMIT = RELEASES["karlo"].commit


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache, offline."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.mark.parametrize("name", ["karlo", "kakaobrain/karlo-v1-alpha"])
def test_offline_and_not_fetched_says_what_would_come_where(home, name):
    with pytest.raises(ConnectionError, match=r"kakaobrain/karlo-v1-alpha \(13\.7 GB, commit 5ee4529\)") as error:
        minunclip.load(name)
    assert str(home / "minunclip" / "karlo") in str(error.value)


def test_what_huggingface_hub_has_needs_no_network(home, folder):
    shutil.copytree(folder, home / "hub" / "models--kakaobrain--karlo-v1-alpha" / "snapshots" / COMMIT)
    assert minunclip.load("karlo").decoder.config.size == SIZE


def test_a_part_of_it_is_not_taken_for_whole(home, folder):
    snapshot = home / "hub" / "models--kakaobrain--karlo-v1-alpha" / "snapshots" / COMMIT
    for place in (snapshot, Store(RELEASES["karlo"]).folder):
        shutil.copytree(folder, place)
        (place / "super_res_last" / WEIGHTS).unlink()
    with pytest.raises(ConnectionError, match="cannot download kakaobrain"):
        minunclip.load("karlo")
