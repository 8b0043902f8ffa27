"""Half a file of weights: what is stored how, and that the comparison sees what it should."""

import pytest
import torch
from helpers import normal
from safetensors.torch import load_file, save_file

from minunclip.pretrained import halving
from minunclip.pretrained.halving import check_half, halve
from minunclip.pretrained.weight_writer import write_tensors

TENSORS = {
    "kernel": normal(8, 4, 3, 3), "matrix": normal(64, 32, seed=2), "empty": torch.zeros(0, 3),
    "zero": torch.zeros(3, 2), "bias": normal(64, seed=3), "scalar": torch.tensor(3.3), "ids": torch.arange(77)[None],
    "large": normal(4, 4) * 1e5, "tiny": normal(4, 4) * 1e-9, "nan": torch.full((2, 2), float("nan")),
    "half": normal(4, 4).half(), "bfloat16": normal(3, 5).bfloat16(),
}  # fmt: skip
HALVED = {"kernel", "matrix", "empty", "zero"}


@pytest.fixture
def source(tmp_path):
    save_file(TENSORS, tmp_path / "full.safetensors")
    return tmp_path / "full.safetensors"


@pytest.fixture
def half(source):
    halve(source, source.with_name("half.safetensors"))
    return source.with_name("half.safetensors")


def test_many_numbers_are_halved_and_others_stay(source, half):
    """What is too large, too small or no number for float16 stays, and so do biases and other types, bit for bit."""
    found = load_file(half)
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        expected = tensor.half() if name in HALVED else tensor
        assert found[name].dtype == expected.dtype and found[name].shape == expected.shape
        assert torch.equal(found[name].nan_to_num(), expected.nan_to_num()), name
    error = (found["matrix"].float() - TENSORS["matrix"]).norm() / TENSORS["matrix"].norm()
    assert 0 < error < 2**-11
    check_half(source, half)


@pytest.mark.parametrize("name", ["matrix", "bias", "ids", "nan"])
def test_one_number_that_is_wrong_is_found(source, half, name):
    found = load_file(half)
    found[name].flatten()[1:2].copy_(found[name].flatten()[1:2].nan_to_num() * 1.002 + (name in ("ids", "nan")))
    save_file(found, half)
    with pytest.raises(ValueError, match=f"half.safetensors: the tensor '{name}' is not that of .*full.safetensors"):
        check_half(source, half)


def test_a_tensor_that_is_missing_or_misshapen_is_found(source, half):
    found = load_file(half)
    save_file({name: tensor for name, tensor in found.items() if name != "kernel"}, half)
    with pytest.raises(ValueError, match="has not the tensors of"):
        check_half(source, half)
    save_file(found | {"kernel": found["kernel"].flatten(2)}, half)
    with pytest.raises(ValueError, match="'kernel' is not that of"):
        check_half(source, half)


def test_a_failure_leaves_no_half_file(source, monkeypatch):
    def full(path, layout, tensors):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(halving, "write_tensors", full)
    with pytest.raises(OSError, match="cannot write .*half.safetensors: the disk is full"):
        halve(source, source.with_name("half.safetensors"))
    assert [path.name for path in source.parent.iterdir()] == ["full.safetensors"]
    source.write_bytes(source.read_bytes()[:-1])
    with pytest.raises(ValueError, match="full.safetensors is damaged or not whole"):
        halve(source, source.with_name("half.safetensors"))


def test_the_writer_keeps_to_its_header(tmp_path):
    with pytest.raises(ValueError, match="x is torch.float32"):
        write_tensors(tmp_path / "a", {"x": ((2,), torch.float16)}, [torch.zeros(2)])
