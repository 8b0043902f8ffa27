"""What the shipped emoji weights must be able to do: what the course says of them rests on it."""

import pytest
import torch
import torch.nn.functional as F

import minunclip
from minunclip.common import weights_folder
from minunclip.evaluation import found
from minunclip.pictures import open_pictures

if not weights_folder("emoji").is_dir():
    pytest.skip("the emoji weights are not in this copy yet", allow_module_level=True)

KINDS = {"noto": "cartoon", "twemoji": "flat drawing", "fluent": "3d model"}


@pytest.fixture(scope="module")
def cascade():
    return minunclip.load("emoji")


@pytest.fixture(scope="module")
@torch.no_grad()
def unseen(cascade):
    """The (style, name) of each held-out picture, the pictures, and their z_i."""
    pictures = open_pictures("emoji", "val")
    images = torch.stack([pictures[i].image(64) for i in range(len(pictures))])
    return [tuple(entry.key.split("/")[1:]) for entry in pictures.entries], images, cascade.clip.look(images)


def words(clip, captions):
    return F.normalize(clip.encode_text(captions).embed, dim=1)


@torch.no_grad()
def test_held_out_things_are_named_and_styles_told(cascade, unseen):
    keys, _, z_i = unseen
    names, z_i = sorted({name for _, name in keys}), F.normalize(z_i, dim=1)
    named = (z_i @ words(cascade.clip, names).T).argmax(dim=1).tolist()
    assert sum(names[n] == name for n, (_, name) in zip(named, keys, strict=True)) / len(keys) >= 0.25
    styled = words(cascade.clip, [f"{kind} of {name}" for _, name in keys for kind in KINDS.values()])
    styles = (z_i[:, None] * styled.unflatten(0, (-1, 3))).sum(dim=2).argmax(dim=1).tolist()
    assert sum([*KINDS][n] == style for n, (style, _) in zip(styles, keys, strict=True)) / len(keys) >= 0.9


def test_the_decoder_draws_what_the_true_embedding_says(cascade, unseen):
    keys, images, z_i = unseen
    some = torch.randperm(len(keys), generator=torch.Generator().manual_seed(0))[:100]
    text = cascade.empty(2.0).repeat(len(some))
    drawn = cascade.decode(z_i[some], text, seed=0).finish()
    again = cascade.clip.look(drawn)
    assert found(again, z_i[some], 100).value >= 0.5


def test_it_is_small():
    assert sum(path.stat().st_size for path in weights_folder("emoji").iterdir()) <= 12_000_000
