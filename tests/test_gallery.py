"""Galleries: pictures and what a CLIP makes of them, made once, taken up again, refused when stale; training."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from helpers import TINY_CLIP, randomise
from picture_helpers import CAPTIONS, texts
from torch.testing import assert_close

from minunclip.clip import CLIP
from minunclip.commands import train as command
from minunclip.common import CLIP_MEAN, CLIP_STD, for_clip, read_weights
from minunclip.decoder import Decoder
from minunclip.pictures import open_pictures
from minunclip.training import Captioned, Embedded, Gallery, TrainConfig, gallery
from minunclip.training.recipes import STAGES
from minunclip.training.recipes import pictures as recipes

READS = replace(TINY_CLIP, vocabulary=(), pieces=(1929, 2368), context=40, mean=CLIP_MEAN, std=CLIP_STD)
COUNT = len(CAPTIONS)


@pytest.fixture
def clip() -> CLIP:
    return randomise(CLIP(READS))


@pytest.fixture
def source(tmp_path):
    """The five pictures, all for training."""
    return texts(tmp_path / "set" / "train").parent


def made(folder, source, clip, **how) -> Gallery:
    return Gallery.at(folder, open_pictures(source), 32, clip, workers=0, **how)


def test_it_holds_what_the_pictures_and_the_clip_say(tmp_path, source, clip):
    found, items = made(tmp_path / "g", source, clip), open_pictures(source)
    assert found.keys == [f"train/{key}" for key in sorted(CAPTIONS)] and len(found) == COUNT
    for i, item in enumerate(items):
        assert np.array_equal(found.arrays["pictures"][i], ((item.image(32) + 1) * 127.5).round().byte().numpy())
        assert found.arrays["captions"][i] == len(item.captions)
        for k, caption in enumerate(item.captions):
            assert found.arrays["ids"][i, k].tolist() == clip.tokenizer(caption)[0].tolist()
            z_t = clip.encode_text(caption).embed[0].detach()
            assert_close(torch.from_numpy(found.arrays["z_t"][i, k]).float(), z_t, atol=2e-3, rtol=2e-3)
        z_i = clip.encode_image(for_clip(item.picture(), READS.image_size))[0].detach()
        assert_close(torch.from_numpy(found.arrays["z_i"][i]).float(), z_i, atol=2e-3, rtol=2e-3)


def test_a_clip_looks_at_the_picture_and_not_at_what_the_decoder_draws(tmp_path, source):
    large = randomise(CLIP(replace(READS, image_size=64, patch=32)))
    found = made(tmp_path / "g", source, large)
    z_i = large.encode_image(for_clip(open_pictures(source)[0].picture(), 64))[0].detach()
    assert_close(torch.from_numpy(found.arrays["z_i"][0]).float(), z_i, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("broken_at", [1, 2, 3])
def test_killed_anywhere_it_goes_on(tmp_path, source, clip, monkeypatch, broken_at):
    monkeypatch.setattr(gallery, "PART", 2)
    whole, seen = made(tmp_path / "whole", source, clip), []
    look = CLIP.look

    def breaks(self, images):
        seen.append(len(images))
        if len(seen) == broken_at:
            raise KeyboardInterrupt
        return look(self, images)

    monkeypatch.setattr(CLIP, "look", breaks)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "g", source, clip)
    done = 2 * (broken_at - 1)
    seen.clear()
    monkeypatch.setattr(CLIP, "look", lambda self, images: seen.append(len(images)) or look(self, images))
    again = made(tmp_path / "g", source, clip)
    assert sum(seen) == COUNT - done
    assert all(np.array_equal(again.arrays[name], whole.arrays[name]) for name in whole.arrays)
    made(tmp_path / "g", source, clip)
    assert sum(seen) == COUNT - done                                    # whole: nothing is done again


def test_a_stale_one_is_refused_with_what_differs(tmp_path, source, clip):
    made(tmp_path / "g", source, clip)
    with pytest.raises(ValueError, match="was made of other clip: delete it") as error:
        made(tmp_path / "g", source, randomise(CLIP(READS), seed=5))
    assert "\n" not in str(error.value)
    (source / "train" / "cat.txt").write_text("a lion\n")
    with pytest.raises(ValueError, match="was made of other pictures"):
        made(tmp_path / "g", source, clip)


def test_a_damaged_picture_is_named(tmp_path, source, clip):
    file = source / "train" / "dogs" / "rex.jpg"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ValueError, match="the picture train/dogs/rex of .* is damaged") as error:
        Gallery.at(tmp_path / "g", open_pictures(source), 32, clip, workers=1)
    assert "\n" not in str(error.value)


def test_without_a_clip_it_has_pictures_and_captions(tmp_path, source):
    found = made(tmp_path / "g", source, READS)
    batch = found.rows(torch.tensor([0, 3]), torch.Generator().manual_seed(0))
    assert sorted(found.arrays) == ["captions", "ids", "pictures"] and type(batch) is Captioned
    assert batch.images.shape == (2, 3, 32, 32) and batch.images.dtype == torch.uint8


def test_every_caption_is_drawn_and_none_of_another_picture(tmp_path, source, clip):
    found, items = made(tmp_path / "g", source, clip), open_pictures(source)
    rows, drawn = torch.arange(COUNT), [set() for _ in range(COUNT)]
    for seed in range(60):
        batch = found.rows(rows, torch.Generator().manual_seed(seed))
        assert type(batch) is Embedded
        for i, ids in enumerate(batch.ids):
            drawn[i].add(tuple(ids.tolist()))
    for i, item in enumerate(items):
        assert drawn[i] == {tuple(clip.tokenizer(caption)[0].tolist()) for caption in item.captions}


def test_a_pass_has_each_picture_once_and_any_step_can_be_the_first(tmp_path, source, clip):
    found, config = made(tmp_path / "g", source, clip), TrainConfig(steps=10, batch=2)
    known = {found.arrays["pictures"][i].tobytes(): i for i in range(COUNT)}
    batches = [[known[image.numpy().tobytes()] for image in batch.images] for batch in found.batches(config)(0)]
    assert len(batches) == 10
    for first in range(0, 10, 2):
        assert len(set(batches[first] + batches[first + 1])) == 4
    assert batches[0:2] != batches[2:4]
    later = list(found.batches(config)(7))
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(later, list(found.batches(config)(0))[7:], strict=True))


def test_too_few_pictures_are_refused(tmp_path, source, clip):
    found = made(tmp_path / "g", source, clip)
    with pytest.raises(ValueError, match="5 pictures are fewer than two batches of 4: add pictures, or take a smaller"):
        found.batches(TrainConfig(steps=1, batch=4))


# -- every stage on a folder of pictures, with networks of its own recipe's shape but tiny -------------------


@pytest.mark.parametrize("stage", ["clip", "prior", "ar-prior", "decoder", "upsampler-1"])
def test_a_stage_learns_from_a_folder(stage, source, tmp_path, monkeypatch):
    """Two steps of the recipe as it is on two cores; resumed after one, they are the same."""
    clip = randomise(CLIP(replace(READS, image_size=64, patch=16, embed_width=16, text_width=16)))
    clip.save(tmp_path / "clip.safetensors")
    monkeypatch.setattr(recipes.FromPictures, "statistics", 5)
    whole, halves = tmp_path / "whole" / f"{stage}.safetensors", tmp_path / "halves" / f"{stage}.safetensors"
    request = command.Request(stage, "cpu", data=str(source), clip=str(tmp_path / "clip.safetensors"), steps=2, batch=2,
                              workers=0)
    command.run(request, whole)
    update = command.Trainer.update

    def once(self, *args):
        if self.step == 1:
            self.save(self.checkpoint)
            raise KeyboardInterrupt
        return update(self, *args)

    monkeypatch.setattr(command.Trainer, "update", once)
    with pytest.raises(KeyboardInterrupt):
        command.run(request, halves)
    monkeypatch.setattr(command.Trainer, "update", update)
    command.run(request, halves)
    (notes, ours), (_, theirs) = read_weights(whole), read_weights(halves)
    assert notes["data"] == str(source) and json.loads(notes["train"])["batch"] == 2
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_judge_has_no_pictures_to_learn_from(source, tmp_path):
    with pytest.raises(ValueError, match="judge learns from scenes only: with --data choose clip, prior"):
        command.run(command.Request("judge", "cpu", data=str(source)), tmp_path / "judge.safetensors")
    with pytest.raises(ValueError, match="no profile 't4' for scenes: choose cpu or gpu"):
        command.run(command.Request("judge", "t4"), tmp_path / "judge.safetensors")
    with pytest.raises(ValueError, match="there is no CLIP nowhere.pt: give scenes, emoji, a weight file, or a name"):
        command.run(command.Request("prior", "cpu", clip="nowhere.pt"), tmp_path / "prior.safetensors")


def test_the_upsampler_goes_from_the_decoders_size_to_256(source):
    recipe = recipes.picture_recipe("upsampler-1", open_pictures(source), None, "cpu")
    assert (recipe.config.low_size, recipe.config.size, recipe.side) == (64, 256, 256)
    crops = recipe.crops(torch.randint(256, (2, 3, 256, 256)).byte(), torch.Generator().manual_seed(0))
    assert crops.high.shape == (2, 3, 64, 64) and crops.low.shape == (2, 3, 16, 16)


@pytest.mark.parametrize("profile", recipes.PROFILES)
def test_every_profile_has_its_networks(profile, source):
    clip = CLIP(READS)
    for stage in set(STAGES) - {"judge", "upsampler-2"}:
        recipe = recipes.picture_recipe(stage, open_pictures(source), clip, profile)
        assert asdict(recipe.profiles[profile])["steps"] >= 1000
    decoder = recipes.picture_recipe("decoder", open_pictures(source), clip, profile)
    with torch.device("meta"):
        count = sum(p.numel() for p in Decoder(decoder.config).parameters())
    assert count < 5e6 if profile == "cpu" else 9e7 < count < 1.3e8


def test_moved_pictures_stay_pictures():
    images = torch.stack([torch.linspace(-1, 1, 64).expand(3, 64, 64)] * 40)
    moved = recipes.moved(images, torch.Generator().manual_seed(0))
    slope = (moved[:, 0, 32, 40] - moved[:, 0, 32, 24]) / (images[0, 0, 32, 40] - images[0, 0, 32, 24])
    assert moved.shape == images.shape and moved.abs().max() <= 1
    assert (slope.abs() <= 1.001).all() and (slope.abs() > 0.84).all() and 8 < (slope < 0).sum() < 32
    assert torch.equal(moved, recipes.moved(images, torch.Generator().manual_seed(0)))
