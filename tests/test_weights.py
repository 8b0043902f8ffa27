"""The front door with our own files: a folder of them loads as the shipped ones do, with either prior or with none."""

import shutil

import pytest
import torch
from helpers import ship, tamper, tiny_folder

from minunclip.ar_prior import ARPrior, ARPriorConfig
from minunclip.pretrained import load
from minunclip.prior import DiffusionPrior

CAPTIONS = ["a red star"]
AR_PRIOR = ARPriorConfig(z_width=12, text_width=16, context=32, components=6, buckets=8, dot_buckets=4, width=16,
                         layers=1, heads=2)  # fmt: skip


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("shipped"))


@pytest.fixture
def own(shipped, tmp_path):
    """The same files without their sums, which a test may change."""
    return shutil.copytree(shipped, tmp_path / "mine", ignore=shutil.ignore_patterns("SHA256.json"))


def test_a_folder_of_our_own_draws_what_the_shipped_files_draw(shipped, own, monkeypatch):
    ship(monkeypatch, shipped)
    expected = load("scenes").sample(CAPTIONS, seed=3)
    for folder in (own, str(own)):
        cascade = load(folder)
        assert cascade.sizes == [32, 64, 128] and cascade.memory == "resident" and not cascade.decoder.training
        assert torch.equal(cascade.sample(CAPTIONS, seed=3).image, expected.image)
    assert load(own, dtype=torch.bfloat16).decoder.null_z.dtype == torch.bfloat16


def test_nobody_vouches_for_files_of_ones_own(shipped, own, monkeypatch):
    """The last bit of a weight decides whether a shipped file is the one that was shipped."""
    ship(monkeypatch, own)
    tamper(own / "decoder.safetensors")
    shutil.copy(shipped / "SHA256.json", own)
    load(own)
    with pytest.raises(ValueError, match="decoder.safetensors is not the file that was shipped"):
        load("scenes")


def test_the_priors_that_a_folder_may_have(own):
    ARPrior(AR_PRIOR).save(own / "ar-prior.safetensors")
    assert type(load(own).prior) is DiffusionPrior
    (own / "prior.safetensors").unlink()
    assert type(load(own).prior) is ARPrior
    (own / "ar-prior.safetensors").unlink()
    cascade = load(own)
    with pytest.raises(ValueError, match="has no prior"):
        cascade.sample(CAPTIONS)


def test_as_many_upsamplers_as_there_are(own):
    (own / "upsampler-2.safetensors").unlink()
    assert load(own).sizes == [32, 64]


@pytest.mark.parametrize("stage", ["clip", "decoder"])
def test_a_file_that_is_missing_is_named(own, stage):
    (own / f"{stage}.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=rf"there is no weight file .*mine.{stage}\.safetensors"):
        load(own)
