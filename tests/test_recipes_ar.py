"""The recipe of the autoregressive prior."""

from dataclasses import replace

import pytest
import torch
from ar_helpers import round_trip
from helpers import TINY_CLIP, randomise

from minunclip.ar_prior import ARPriorConfig
from minunclip.clip import CLIP
from minunclip.training import Embedded, TrainConfig, Trainer, batches, encoded
from minunclip.training.recipes.ar_prior import ARPriorRecipe, hide


@pytest.fixture(scope="module")
def recipe() -> ARPriorRecipe:
    recipe = ARPriorRecipe(randomise(CLIP(replace(TINY_CLIP, noise=0.02))))
    recipe.statistics = 64
    return recipe


def test_the_recipe_keeps_the_components_that_stand_out_from_the_noise(recipe):
    prior, clip = recipe.build(), recipe.clip
    with torch.no_grad():
        z_i, _ = encoded(clip, recipe.dataset, 64)
    variances = torch.linalg.svdvals(z_i - z_i.mean(dim=0)).square() / 63
    floor = clip.config.noise**2 * z_i.square().sum(dim=1).mean()
    k = prior.config.components
    assert 2 <= k < 12 and variances[k - 1] > floor > variances[k]
    assert (prior.config.z_width, prior.config.text_width, prior.config.context) == (12, 16, 32)
    round_trip(prior, prior.whiten(z_i))


def test_the_recipe_trains_in_bf16(recipe):
    config = TrainConfig(steps=2, batch=4)
    torch.manual_seed(0)
    trainer = Trainer(recipe.build(), config)
    before, low = trainer.model.bucket_out.weight.clone(), trainer.model.low.clone()
    for batch in batches(recipe, config)(0):
        value, norm = trainer.update(recipe.loss, batch)
        assert 2 < value < 7 and norm > 0  # about log 64 = 4.2
    assert not torch.equal(before, trainer.model.bucket_out.weight)
    assert torch.equal(low, trainer.model.low) and torch.equal(low, trainer.ema.low)


def test_the_recipe_drops_captions_but_not_what_their_dot_says(recipe):
    """One row in ten has the empty caption and its z_t; the dot product stays that of the true pair."""
    seen, said = {}, [recipe.dataset[i % 40].caption for i in range(600)]

    class Spy(torch.nn.Module):
        config = ARPriorConfig(z_width=12, components=3)

        def loss(self, z_i, text, z_t, hidden):
            seen.update(text=text, z_t=z_t, hidden=hidden)
            return z_i.sum(dim=1)

    recipe.build()
    ids = recipe.tokenizer(said)
    recipe.loss(Spy(), Embedded(torch.zeros(600, 0), ids, torch.zeros(600, 12)), torch.Generator().manual_seed(0))
    (true, z_t), (empty, _) = recipe.read(ids), recipe.read(recipe.empty[None])
    torch.testing.assert_close(seen["z_t"], recipe.clip.encode_text(said).embed)
    torch.testing.assert_close(seen["z_t"], z_t)
    dropped = (seen["text"].embed == empty.embed).all(dim=1)
    assert 0.06 < dropped.float().mean() < 0.14
    assert torch.equal(seen["text"].mask.sum(dim=1)[dropped], empty.mask.sum(dim=1).expand(int(dropped.sum())))
    torch.testing.assert_close(seen["text"].tokens[~dropped], true.tokens[~dropped])
    torch.testing.assert_close(seen["text"].embed[~dropped], true.embed[~dropped])
    assert seen["hidden"].shape == (600, 3) and 0.38 < seen["hidden"].float().mean() < 0.52  # as `hide` has it


def test_some_sentences_are_hidden_some_shown_some_half():
    hidden = hide(4000, 50, torch.Generator().manual_seed(0))
    shares = hidden.float().mean(dim=1)
    assert hidden.dtype == torch.bool and hidden.shape == (4000, 50)
    # a part of each share beside 0 and 1 rounds to them: 1 in 51 of 3 in 10, twice
    assert abs((shares == 1).float().mean() - 0.306) < 0.02 and abs((shares == 0).float().mean() - 0.406) < 0.02
    some = shares[(shares > 0) & (shares < 1)]
    assert abs(some.mean() - 0.5) < 0.03 and abs(some.std() - 12**-0.5) < 0.03  # evenly between none and all
    assert (hidden.float().mean(dim=0) - 0.45).abs().max() < 0.04  # no word more than another
