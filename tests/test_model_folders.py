"""A model by its path: what is found there, in which variant, and what is said of one that leads nowhere."""

from pathlib import Path

import pytest
import torch
from helpers import tiny_folder
from safetensors.torch import load_file

import minunclip
from minunclip.pretrained import is_ours, write_karlo

PRIOR, TEXT = Path("prior", "diffusion_pytorch_model.safetensors"), Path("text_encoder", "model.safetensors")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))                    # what Windows calls it
    return tmp_path


# -- paths and names -----------------------------------------------------------------------------------------


def test_a_path_may_begin_with_the_users_home(home):
    assert tiny_folder(home).name == "scenes"
    assert is_ours("~/scenes") and is_ours(Path("~", "scenes")) and not is_ours("~")
    assert minunclip.load("~/scenes").sizes == minunclip.load(Path("~", "scenes")).sizes == [32, 64, 128]


@pytest.mark.parametrize("name", ["~/models/karlo", "./karlo", ".karlo", "models/karlo", "/karlo", "kakaobrain/karlo",
                                  "karlo/", "~nobody-of-this-name/karlo"])  # fmt: skip
def test_a_path_that_leads_nowhere_suggests_no_download(home, monkeypatch, name):
    monkeypatch.chdir(home)
    with pytest.raises(ValueError, match="there is no folder") as error:
        minunclip.load(name)
    said = str(error.value)
    assert "did you mean" not in said and "'karlo'" not in said
    assert (str(home / "models" / "karlo") in said) == (name == "~/models/karlo")


def test_a_file_is_no_folder(home):
    (home / "karlo.safetensors").touch()
    with pytest.raises(ValueError, match="karlo.safetensors is a file, and a model is a folder"):
        minunclip.load(home / "karlo.safetensors")


@pytest.mark.parametrize("name, meant", [("carlo", "karlo"), ("scene", "scenes"), ("karlo-v1-alpha", "kakaobrain/")])
def test_an_unknown_name_gets_a_suggestion(name, meant):
    with pytest.raises(ValueError, match=f"no model '{name}': did you mean '{meant}"):
        minunclip.load(name)


# -- variants ------------------------------------------------------------------------------------------------


def rename(folder: Path, change) -> None:
    """Give every file of weights another name."""
    for path in [*folder.rglob("*.safetensors")]:
        path.rename(path.with_name(change(path.name)))


@pytest.mark.parametrize("variant, dtype", [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_files_in_half_precision_are_read(tmp_path, variant, dtype):
    write_karlo(tmp_path, dtype=dtype)
    half = load_file(tmp_path / PRIOR)["proj_in.weight"]
    rename(tmp_path, lambda name: name.replace(".safetensors", f".{variant}.safetensors"))
    weight = minunclip.load(tmp_path).prior.z_in.weight
    assert weight.dtype == torch.float32 and half.dtype == dtype and torch.equal(weight, half.float())


def test_the_full_file_goes_before_its_variants(tmp_path):
    write_karlo(tmp_path)
    for path in (PRIOR, TEXT):
        (tmp_path / path).with_suffix(".fp16.safetensors").write_bytes(b"not read")
    assert minunclip.load(tmp_path).prior.z_in.weight.isfinite().all()


@pytest.mark.parametrize("change, there", [
    (lambda name: name.replace(".safetensors", ".bin"), r"\w+.bin"),
    (lambda name: name.replace(".safetensors", "-00001-of-00002.safetensors"), r"\w+-00001-of-00002.safetensors"),
    (lambda name: name.replace(".safetensors", ".non_ema.safetensors"), r"\w+.non_ema.safetensors"),
])  # fmt: skip
def test_weights_of_another_kind_are_named(tmp_path, change, there):
    write_karlo(tmp_path)
    rename(tmp_path, change)
    with pytest.raises(ValueError, match=rf"\.safetensors is missing: fetch it again \(.*: {there}\)$") as error:
        minunclip.load(tmp_path)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_without_any_weights_nothing_is_named(tmp_path):
    (write_karlo(tmp_path) / PRIOR).unlink()
    with pytest.raises(ValueError, match=f"{PRIOR} is missing: fetch it again$"):
        minunclip.load(tmp_path)
