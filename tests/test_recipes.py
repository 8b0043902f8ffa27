"""What each stage trains on: every recipe's data, first weights, loss and last touch."""

import copy

import pytest
import torch
from helpers import randomise

from minunclip.clip import CLIP
from minunclip.common import STAGES
from minunclip.scenes import Scenes
from minunclip.training import TrainConfig, batches, drop, embeddings, encoded, pixels, recipe_for
from minunclip.training.recipes import ClipRecipe, random_timesteps


@pytest.fixture(scope="module")
def clip() -> CLIP:
    return randomise(CLIP(ClipRecipe.config))


@pytest.mark.parametrize("stage", STAGES)
def test_every_recipe_has_a_finite_loss_with_gradients(stage, clip):
    recipe = recipe_for(stage, clip)
    recipe.statistics = 64
    model = recipe.build()
    batch = next(batches(recipe, TrainConfig(steps=1, batch=2))(0))
    for seed in (0, 0, 1):
        value = recipe.loss(randomise(model), batch, torch.Generator().manual_seed(seed))
        assert value.isfinite() and value.dim() == 0 and value > 0
        if seed == 0:
            first = value.item()
    assert stage in ("clip", "ar-prior") or value.item() != first  # another seed, other noise
    value.backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert set(missing) <= {"null_z"}  # which only dropped rows reach
    for config in recipe.profiles.values():
        assert config.warmup < config.steps


def test_the_prior_takes_its_statistics_from_training_pictures(clip):
    recipe = recipe_for("prior", clip)
    recipe.statistics = 64
    prior = recipe.build()
    z_i, _ = encoded(clip, recipe.dataset, 64)
    z, raw = prior.whiten(z_i), z_i.var(dim=0)
    floor = (clip.config.noise * z_i.square().sum(dim=1).mean().sqrt()) ** 2
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(128), rtol=0, atol=1e-4)
    torch.testing.assert_close(z.var(dim=0), raw / (raw + floor), rtol=0, atol=1e-3)


def assert_folded(young, finished, name: str, white: torch.Tensor, raw: torch.Tensor) -> None:
    """The finished model's layer makes of raw numbers what the young one's made of whitened ones."""
    expected = getattr(young, name)(white)
    scale = expected.abs().max().item()
    torch.testing.assert_close(getattr(finished, name)(raw), expected, rtol=0, atol=1e-4 * scale)
    assert (getattr(young, name)(raw) - expected).abs().max() > 0.01 * scale  # the layer had to change


@pytest.mark.parametrize("stage", ["prior", "ar-prior"])
def test_a_prior_learns_from_whitened_captions_and_then_takes_them_as_they_are(stage, clip):
    recipe = recipe_for(stage, clip)
    recipe.statistics = 300
    young = randomise(recipe.build())
    finished = copy.deepcopy(young)
    recipe.finish(finished)
    text = clip.encode_text([recipe.dataset[i].caption for i in range(300)])
    for name, whiten, x in (
        ("embed_in", recipe.whiten_embed, text.embed),
        ("tokens_in", recipe.whiten_tokens, text.tokens[text.mask]),
    ):
        spread = whiten(x).T.cov()
        assert (spread - spread.diagonal().diag()).abs().max() < 0.05 and spread.diagonal().max() < 1.01
        assert_folded(young, finished, name, whiten(x), x)


def test_half_of_the_timesteps_are_as_noisy_as_asked():
    rng = torch.Generator().manual_seed(0)
    plain, noisy = random_timesteps(20000, 1000, rng), random_timesteps(20000, 1000, rng, noisy=0.5)
    assert random_timesteps(20000, 1000, rng, noisy=1.0).min() == 600
    for t, share in ((plain, 0.4), (noisy, 0.7)):
        assert t.dtype == torch.int64 and t.min() == 0 and t.max() == 999
        assert (t >= 600).float().mean().item() == pytest.approx(share, abs=0.015)
    assert (noisy[noisy >= 600] >= 800).float().mean().item() == pytest.approx(0.5, abs=0.02)  # evenly there


def test_the_decoder_learns_from_whitened_embeddings_and_then_takes_them_as_they_are(clip):
    recipe = recipe_for("decoder", clip)
    recipe.statistics = 500
    young = randomise(recipe.build())
    finished = copy.deepcopy(young)
    recipe.finish(finished)
    z_i, text = encoded(clip, recipe.dataset, 500)
    floor = (clip.config.noise * z_i.square().sum(dim=1).mean().sqrt()) ** 2
    white_z = (z_i - z_i.mean(dim=0)) / (z_i.var(dim=0) + floor).sqrt()
    ids = clip.tokenizer([recipe.dataset[i].caption for i in range(500)])
    read, tokens = recipe.read(ids)[0], text.tokens[text.mask]
    for name, white, raw in (
        ("z_to_time", white_z, z_i),
        ("z_to_tokens", white_z, z_i),
        ("text_to_time", read.embed, text.embed),
        ("text_to_tokens", recipe.whiten_tokens(tokens), tokens),
    ):
        assert_folded(young, finished, name, white, raw)
    null = finished.z_to_time(finished.null_z), young.z_to_time(young.null_z)
    torch.testing.assert_close(*null, rtol=1e-3, atol=1e-3)


def test_a_finished_clip_has_principal_axes_and_the_same_similarities(clip):
    recipe, turned = recipe_for("clip"), copy.deepcopy(clip)
    recipe.statistics = 300
    recipe.finish(turned)
    (z_i, z_t), (new_z_i, new_z_t) = (embeddings(c, Scenes("train", 10**9, seed=9), 300) for c in (clip, turned))
    torch.testing.assert_close(turned.similarity(new_z_i, new_z_t), clip.similarity(z_i, z_t), rtol=0, atol=1e-4)
    spread = new_z_i.T.cov()
    axes = spread.diagonal()
    assert (axes.diff() <= 1e-4 * axes[0]).all() and axes[0] > axes[-1]
    assert (spread - axes.diag()).abs().max() < 1e-4 * axes[0]
    assert (z_i.T.cov() - z_i.T.cov().diagonal().diag()).abs().max() > 1e-2 * axes[0]  # it was not so before


def test_captions_are_dropped_as_often_as_asked():
    rng, ids, empty = torch.Generator().manual_seed(0), torch.arange(6000).view(2000, 3), torch.tensor([-1, -2, -3])
    assert torch.equal(drop(ids, empty, 0.0, rng), ids)
    assert torch.equal(drop(ids, empty, 1.0, rng), empty.expand(2000, 3))
    found = drop(ids, empty, 0.1, rng)
    gone = (found == empty).all(dim=1)
    assert 0.07 < gone.float().mean() < 0.13 and torch.equal(found[~gone], ids[~gone])


@pytest.mark.parametrize("stage", ["upsampler-1", "upsampler-2"])
def test_an_upsamplers_crops_show_the_same_part(stage):
    recipe = recipe_for(stage)
    crops = recipe.collate([Scenes("train")[i] for i in range(4)])
    high, low = pixels(crops.high), pixels(crops.low)
    assert high.shape == (4, 3, 64, 64) and low.shape == (4, 3, 16, 16)
    shrunk = high.unflatten(2, (16, 4)).unflatten(4, (16, 4)).mean(dim=(3, 5))
    error, stranger = (shrunk - low).abs().mean(), (shrunk - low.roll(1, 0)).abs().mean()
    assert error < 0.03 and stranger > 5 * error


def test_an_upsampler_looks_where_there_is_something():
    recipe = recipe_for("upsampler-2")
    items = [Scenes("train")[i] for i in range(20)]
    chosen, (x, y, crop) = torch.stack([recipe.busiest(item)[2] for item in items]), recipe.busiest(items[0])
    recipe.tries = 1
    any_ = torch.stack([recipe.busiest(item)[2] for item in items])
    assert torch.equal(crop, items[0].image(recipe.low)[:, y : y + 16, x : x + 16])
    assert chosen.std(dim=(2, 3)).mean() > 1.3 * any_.std(dim=(2, 3)).mean()
