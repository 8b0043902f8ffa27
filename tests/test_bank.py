"""Examples that are made once and drawn again and again."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from helpers import TINY_CLIP, randomise
from torch.testing import assert_close

from minunclip.clip import CLIP
from minunclip.scenes import Scenes
from minunclip.training import Bank, Captioned, TrainConfig, batches, encode, pixels, recipe_for
from minunclip.training.recipes import ClipRecipe, PriorRecipe

CONFIG = TrainConfig(steps=12, batch=8, seed=3)


@pytest.fixture(scope="module")
def recipe() -> PriorRecipe:
    return PriorRecipe(randomise(CLIP(TINY_CLIP)))


def numbered(count: int, family: int = 1) -> Bank:
    rows = torch.arange(count)
    return Bank(Captioned(rows[:, None], rows[:, None]), family)


def rows(bank: Bank, config: TrainConfig = CONFIG, first: int = 0) -> list[list[int]]:
    return [batch.images[:, 0].tolist() for batch in bank.batches(config)(first)]


def test_a_bank_holds_what_fresh_batches_would(recipe):
    bank = Bank.of(recipe, 20, workers=0)
    fresh = next(batches(recipe, replace(CONFIG, batch=20, steps=1))(0))
    for name in ("images", "ids", "z_i"):
        assert_close(getattr(bank.examples, name), getattr(fresh, name))
    items = [recipe.dataset[i] for i in range(20)]
    assert bank.examples.images.dtype == torch.uint8
    assert (pixels(bank.examples.images) - torch.stack([item.image() for item in items])).abs().max() < 0.005
    assert torch.equal(bank.examples.ids.long(), recipe.tokenizer([item.caption for item in items]))
    assert_close(bank.examples.z_i, encode(recipe.clip, pixels(bank.examples.images)))


def test_each_pass_shows_everything_once_in_another_order():
    found = rows(numbered(24))
    passes = [sum(found[i : i + 3], []) for i in range(0, 12, 3)]
    assert all(sorted(seen) == list(range(24)) for seen in passes)
    assert len({tuple(seen) for seen in passes}) == 4
    assert rows(numbered(24), replace(CONFIG, seed=4)) != found == rows(numbered(24))


@pytest.mark.parametrize("first", [1, 3, 10])
def test_it_goes_on_where_it_was(first):
    assert rows(numbered(24), first=first) == rows(numbered(24))[first:]


def test_families_stay_together():
    for batch in rows(numbered(40, family=4)):
        assert all(batch[i] % 4 == 0 and batch[i : i + 4] == list(range(batch[i], batch[i] + 4)) for i in (0, 4))
    assert ClipRecipe.family == ClipRecipe.dataset.siblings == 8


def test_too_few_examples_for_a_batch_are_refused():
    with pytest.raises(ValueError, match="a bank of 5 examples has no batch of 8: make more of them"):
        next(numbered(5).batches(CONFIG)(0))


def test_a_file_is_read_again_only_if_it_holds_the_same(recipe, tmp_path, monkeypatch):
    path, made = tmp_path / "captions.bank", []
    of = Bank.of.__func__
    monkeypatch.setattr(Bank, "of", classmethod(lambda cls, *args: made.append(args[1]) or of(cls, *args)))
    first = Bank.at(path, recipe, 12, 0)
    again = Bank.at(path, recipe, 12, 0)
    assert made == [12]
    for name in ("images", "ids", "z_i"):
        assert torch.equal(getattr(first.examples, name), getattr(again.examples, name))
    Bank.at(path, recipe, 16, 0)
    assert made == [12, 16]
    other = PriorRecipe(randomise(CLIP(TINY_CLIP), seed=5))
    assert not torch.equal(Bank.at(path, other, 16, 0).examples.z_i, Bank.of(recipe, 16, 0).examples.z_i)
    another = PriorRecipe(recipe.clip)
    another.dataset = Scenes("train", 10**9, seed=77)
    Bank.at(path, another, 16, 0)
    assert made == [12, 16, 16, 16, 16] and [p.name for p in tmp_path.iterdir()] == ["captions.bank"]


@pytest.mark.parametrize("stage", ["judge", "clip", "upsampler-2"])
def test_every_recipe_can_be_banked(stage):
    recipe = recipe_for(stage)
    bank = Bank.of(recipe, 8, workers=0)
    assert isinstance(bank.examples, recipe.examples) and len(bank) == 8
    batch = next(islice(bank.batches(replace(CONFIG, steps=1))(0), 1))
    assert recipe.loss(recipe.build(), batch, torch.Generator().manual_seed(0)).isfinite()
