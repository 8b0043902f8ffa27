"""Damaged weight files are refused in a line: whatever was changed in them, and wherever."""

import json
from random import Random

import pytest
import torch
from helpers import TINY_PRIOR, randomise, ship
from safetensors.torch import save_file

from minunclip.common import checksum, read_weights, sha256
from minunclip.prior import DiffusionPrior


@pytest.fixture
def path(tmp_path):
    return randomise(DiffusionPrior(TINY_PRIOR)).save(tmp_path / "prior.safetensors")


def refusal(name_or_path) -> str:
    with pytest.raises(ValueError) as error:
        DiffusionPrior.from_pretrained(name_or_path)
    text = str(error.value)
    assert "\n" not in text and "prior.safetensors" in text, text
    return text


def test_a_file_without_a_sum(path):
    metadata, weights = read_weights(path)
    del metadata["sum"]
    save_file(weights, path, metadata)
    assert "is damaged, or an older version wrote it" in refusal(path)


def test_the_sum_covers_names_notes_shapes_kinds_and_numbers():
    notes, weights = {"config": "{}", "minutes": "3"}, {"a": torch.arange(6.0).half(), "b": torch.zeros(())}
    known = checksum(notes, weights)
    assert checksum({"sum": "anything", **notes}, dict(reversed(weights.items()))) == known
    changed = [({**notes, "minutes": "4"}, weights), ({"config": "{}"}, weights), (notes, {"a": weights["a"]}),
               (notes, {**weights, "a": weights["a"].view(2, 3)}), (notes, {**weights, "b": torch.ones(())}),
               (notes, {**weights, "a": weights["a"].view(torch.bfloat16)}),
               (notes, {"c": weights["a"], "b": weights["b"]})]  # fmt: skip
    assert len({known, *(checksum(*change) for change in changed)}) == 8


def corrupted(content: bytes, random: Random) -> bytes:
    """A file with a bit or some bytes changed, cut short, or with bytes taken out or put in; often in its header."""
    end = random.choice([8, 1000, len(content)])
    place, length = random.randrange(end), random.randint(1, 50)
    noise = random.randbytes(length)
    return random.choice([
        content[:place] + bytes([content[place] ^ 1 << random.randrange(8)]) + content[place + 1 :],
        content[:place] + noise + content[place + length :],
        content[:place],
        content[:place] + content[place + length :],
        content[:place] + noise + content[place:],
    ])  # fmt: skip


@pytest.mark.parametrize("shipped", [False, True])
def test_every_corruption_is_refused_in_one_line(path, monkeypatch, shipped):
    whole, random, tried = path.read_bytes(), Random(0), 0
    path.with_name("SHA256.json").write_text(json.dumps({path.name: sha256(path)}))
    ship(monkeypatch, path.parent)
    while tried < 500:
        content = corrupted(whole, random)
        if content == whole:                                            # a byte that became itself
            continue
        path.write_bytes(content)
        refusal("scenes" if shipped else path)
        tried += 1
