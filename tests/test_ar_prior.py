"""The autoregressive prior: its tokens, its cache, what it learns, what it draws; and its recipe."""

import math

import pytest
import torch
from helpers import TINY_CLIP, normal, random_text, randomise
from hypothesis import given
from hypothesis import strategies as st

from minunclip.ar_prior import ARPrior, ARPriorConfig, dot, guide, pick
from minunclip.batches import Batch, batches
from minunclip.clip import CLIP
from minunclip.pca import PCA
from minunclip.recipes_prior import ARPriorRecipe
from minunclip.samplers import generators, noise_stream
from minunclip.text import Text
from minunclip.train import TrainConfig, Trainer
from minunclip.transformer import causal_mask

TINY = ARPriorConfig(
    z_width=10, text_width=20, context=11, components=6, buckets=16, dot_buckets=8, width=32, layers=3, heads=2
)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
UNFITTED = ARPrior(TINY)  # 16 buckets from -1 to 1


@pytest.fixture(scope="module")
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """400 z_i of 10 dimensions, correlated and far from zero, and z_t that fit them more or less."""
    z_i = 3 + normal(400, 10) * torch.linspace(3, 0.2, 10) @ normal(10, 10, seed=2)
    return z_i, z_i + 4 * normal(400, 10, seed=3)


@pytest.fixture
def prior(pairs) -> ARPrior:
    prior = randomise(ARPrior(TINY))
    prior.fit(*pairs)
    return prior


@pytest.fixture(scope="module")
def text() -> Text:
    return random_text([11, 6, 2], width=20, z_width=10)  # one caption fills the context, two are padded


def noise(n: int, seed: int = 0, tokens: int = 1 + TINY.components):
    return noise_stream((n, tokens), generators(seed, n))


# ---- tokens


def round_trip(prior: ARPrior, x: torch.Tensor) -> None:
    """No component of the training embeddings moves by more than half a bucket, and the rounding of the two ends."""
    half = (prior.high - prior.low) / (2 * prior.config.buckets)
    rounding = 2.0**-11 * torch.maximum(prior.low.abs(), prior.high.abs())  # of float16
    assert ((prior.dequantise(prior.quantise(x)) - x).abs() <= half + rounding + 1e-6).all()


def test_a_round_trip_moves_by_half_a_bucket_at_most(prior, pairs, monkeypatch):
    x = prior.whiten(pairs[0])
    round_trip(prior, x)
    right, centre = prior.quantise, prior.dequantise
    for wrong in (lambda x: right(x) + 1, lambda x: right(x) - 1, lambda x: right(x + 0.6 * (centre(1) - centre(0)))):
        monkeypatch.setattr(prior, "quantise", wrong)
        with pytest.raises(AssertionError):
            round_trip(prior, x)
    monkeypatch.setattr(prior, "quantise", right)
    monkeypatch.setattr(prior, "dequantise", lambda ids: centre(ids - 0.5))  # the edge instead of the centre
    with pytest.raises(AssertionError):
        round_trip(prior, x)


@given(st.integers(0, 15), st.floats(0.001, 0.999))
def test_every_point_of_a_bucket_falls_into_it(bucket, where):
    x = torch.full((1, 6), -1 + (bucket + where) / 8)
    assert (UNFITTED.quantise(x) == bucket).all()
    assert (UNFITTED.dequantise(UNFITTED.quantise(x)) == -1 + (bucket + 0.5) / 8).all()


def test_the_edges_of_the_buckets():
    edges = torch.linspace(-1, 1, 17)[:, None].expand(-1, 6)
    expected = torch.tensor([*range(16), 15])[:, None].expand(-1, 6)  # an edge belongs to the bucket above it
    assert torch.equal(UNFITTED.quantise(edges), expected)
    beyond = torch.tensor([[-1e9] * 6, [-1.01] * 6, [1.01] * 6, [1e9] * 6])
    assert UNFITTED.quantise(beyond)[:, 0].tolist() == [0, 0, 15, 15]


def test_the_components_are_those_of_the_training_embeddings(prior, pairs):
    z_i, pca = pairs[0], PCA.fit(pairs[0])
    torch.testing.assert_close(prior.whiten(z_i), pca.project(z_i)[:, :6], rtol=0, atol=0.05)  # float16 basis
    torch.testing.assert_close(prior.unwhiten(prior.whiten(z_i)), pca.back(pca.project(z_i)[:, :6]), rtol=0, atol=0.05)
    x = prior.whiten(z_i)
    torch.testing.assert_close(prior.low, x.amin(dim=0), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(prior.high, x.amax(dim=0), rtol=1e-3, atol=1e-3)


def test_a_dot_bucket_holds_as_many_pairs_as_any_other(prior, pairs):
    tokens = prior.tokens(*pairs)[:, 0] - TINY.buckets
    counts = tokens.bincount(minlength=8)
    assert len(counts) == 8 and (counts - 50).abs().max() <= 3  # exactly 50, but for the float16 of the edges
    value = torch.nn.functional.normalize(pairs[0]).mul(torch.nn.functional.normalize(pairs[1])).sum(dim=1)
    torch.testing.assert_close(dot(*pairs), value)
    assert value[tokens >= 4].min() >= value[tokens < 4].max()
    assert (tokens >= 4).float().sub((value > value.median()).float()).abs().mean() < 0.01


def test_bf16_training_sees_the_same_tokens(prior, pairs):
    expected = prior.tokens(*pairs)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(prior.tokens(*pairs), expected)


# ---- the network


def uncached(prior: ARPrior, tokens, text):
    """The whole sequence in one pass: the logits at dot, c_1, c_2, ..."""
    length, n = text.tokens.shape[1], tokens.shape[1]
    where = [*range(length), *range(TINY.context, TINY.context + 1 + n)]
    x = torch.cat([prior.tokens_in(text.tokens), prior.embed_in(text.embed)[:, None], prior.bucket_in(tokens)], dim=1)
    seen = torch.cat([text.mask, torch.ones(len(x), 1 + n, dtype=torch.bool)], dim=1)
    x, _ = prior.transformer(x + prior.positions[:, where], causal_mask(len(where)) & seen[:, None, None])
    return prior.bucket_out(prior.norm_out(x[:, -n:]))


@torch.no_grad()
def cached(prior: ARPrior, tokens, text, sizes=(1,) * 6):
    """The same, so many tokens at a time."""
    prefix, logits, first = prior.prefix(text), [], 0
    for n in sizes:
        part, prefix = prior.read(tokens[:, first : first + n], prefix, first)
        logits.append(part)
        first += n
    return torch.cat(logits, dim=1)


@torch.no_grad()
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1), (2, 3, 1), (6,)])
def test_cached_equals_uncached(prior, pairs, text, sizes):
    tokens = prior.tokens(*pairs)[:3, :-1]
    expected = uncached(prior, tokens, text)
    torch.testing.assert_close(cached(prior, tokens, text, sizes), expected, **CLOSE)
    torch.testing.assert_close(prior(tokens, text), expected, **CLOSE)
    torch.testing.assert_close(prior(tokens, prior.prefix(text)), prior(tokens, text), rtol=0, atol=0)


@torch.no_grad()
def test_a_wrong_position_is_noticed(prior, pairs, text):
    tokens, prefix = prior.tokens(*pairs)[:3, :-1], prior.prefix(text)
    _, prefix = prior.read(tokens[:, :2], prefix)
    wrong, _ = prior.read(tokens[:, 2:3], prefix, first=3)
    assert (wrong - uncached(prior, tokens, text)[:, 2:3]).abs().max() > 1e-2


@torch.no_grad()
def test_padding_changes_nothing(prior, pairs, text):
    tokens, short = prior.tokens(*pairs)[2:3, :-1], text[2:3]
    cut = Text(short.embed, short.tokens[:, :2], short.mask[:, :2])
    torch.testing.assert_close(prior(tokens, short), prior(tokens, cut), **CLOSE)
    everything = Text(short.embed, short.tokens, torch.ones_like(short.mask))
    assert (prior(tokens, everything) - prior(tokens, cut)).abs().max() > 1e-2


@torch.no_grad()
def earlier_stay(prior: ARPrior, tokens, text) -> None:
    """Another token number j moves the logits from j on, and none before."""
    before = prior(tokens, text)
    for j in range(tokens.shape[1]):
        other = tokens.clone()
        other[:, j] = (tokens[:, j] + 1) % 8 if j else TINY.buckets + (tokens[:, j] + 1) % 8
        moved = (prior(other, text) - before).abs().amax(dim=(0, 2))
        assert (moved[:j] == 0).all() and (moved[j:] > 1e-4).all()


def test_a_later_token_changes_no_earlier_logits(prior, pairs, text, monkeypatch):
    tokens = prior.tokens(*pairs)[:3, :-1]
    earlier_stay(prior, tokens, text)
    monkeypatch.setattr("minunclip.ar_prior.causal_mask", lambda n, device: torch.ones_like(causal_mask(n)))
    with pytest.raises(AssertionError):
        earlier_stay(prior, tokens, text)


@torch.no_grad()
def test_the_caption_and_z_t_are_read(prior, pairs, text):
    tokens = prior.tokens(*pairs)[:3, :-1]
    before = prior(tokens, text)
    for other in (Text(text.embed.flip(0), text.tokens, text.mask), Text(text.embed, text.tokens + 1, text.mask)):
        assert (prior(tokens, other) - before).abs().amax(dim=(1, 2))[[0, 2]].min() > 1e-3


def test_the_loss_is_the_mean_surprise_at_the_true_buckets(prior, pairs, text):
    z_i, z_t = pairs[0][:3], pairs[1][:3]
    tokens = prior.tokens(z_i, z_t)
    p = uncached(prior, tokens[:, :-1], text).softmax(dim=-1)
    expected = [-sum(p[b, k, tokens[b, k + 1]].log() for k in range(6)) / 6 for b in range(3)]
    torch.testing.assert_close(prior.loss(z_i, text, z_t), torch.stack(expected), **CLOSE)
    own = prior.loss(z_i, text)  # without z_t it is the text's
    torch.testing.assert_close(own, prior.loss(z_i, text, text.embed), rtol=0, atol=0)
    assert (own - prior.loss(z_i, text, z_t)).abs().max() > 1e-4


def test_every_parameter_gets_a_gradient(prior, pairs, text):
    prior.loss(pairs[0][:3], text).mean().backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


# ---- sampling


def test_pick_draws_with_the_probabilities_of_the_softmax():
    """Evenly spread u must fall into each bucket as often as its probability says."""
    logits, u = 2 * normal(1, 12), ((torch.arange(20_000) + 0.5) / 20_000)[:, None]
    for temperature in (0.5, 1.0, 2.0):
        counts = pick(logits.expand(len(u), -1), u, temperature).flatten().bincount(minlength=12)
        expected = (logits[0] / temperature).softmax(dim=0)
        torch.testing.assert_close(counts / len(u), expected, rtol=0, atol=1.1e-4)
    assert pick(logits, u[:1], 0).item() == logits.argmax()


def test_pick_never_takes_what_is_impossible():
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 1.0, -math.inf]])
    assert [pick(logits, torch.tensor([[u]]), 1.0).item() for u in (1e-6, 0.2, 0.3, 1.0)] == [1, 1, 3, 3]


def test_guidance_is_linear_in_the_logits():
    without, with_caption = normal(3, 5), normal(3, 5, seed=2)
    both = torch.cat([without, with_caption])
    torch.testing.assert_close(guide(both, 0.0), without)
    torch.testing.assert_close(guide(both, 1 + 1e-7), with_caption)
    torch.testing.assert_close(guide(both, 3.0), without + 3 * (with_caption - without))
    torch.testing.assert_close(guide(with_caption, 1), with_caption)


@torch.no_grad()
def by_hand(prior: ARPrior, text: Text, normal_numbers, guidance: float, empty: Text):
    """The components, drawn one picture at a time, with everything computed anew at each step."""
    rows = []
    for i, numbers in enumerate(normal_numbers):
        u = [0.5 * (1 + math.erf(x / math.sqrt(2))) for x in numbers.tolist()]
        tokens = [TINY.buckets + 4 + int(4 * u[0])]  # the upper four of eight
        for k in range(TINY.components):
            so_far = torch.tensor([tokens])
            cond, uncond = (uncached(prior, so_far, t)[0, -1].double() for t in (text[i : i + 1], empty))
            p = (uncond + guidance * (cond - uncond)).softmax(dim=0)
            tokens.append(int((p.cumsum(dim=0) < u[k + 1]).sum()))
        rows.append(tokens[1:])
    return prior.dequantise(torch.tensor(rows))


@pytest.mark.parametrize("guidance", [1.0, 0.0, 2.5])
def test_draws_are_those_by_hand(prior, text, guidance):
    empty = random_text([2], width=20, z_width=10, seed=50)
    numbers = next(noise(3, seed=4))
    z_i = prior.draw(text, [numbers], guidance=guidance, empty=empty)
    torch.testing.assert_close(z_i, prior.unwhiten(by_hand(prior, text, numbers, guidance, empty)), **CLOSE)


def test_a_picture_does_not_depend_on_its_batch(prior, text):
    empty = random_text([2], width=20, z_width=10, seed=50)
    together = prior.draw(text, noise(3, seed=7), guidance=2.0, empty=empty)
    for i in range(3):
        alone = prior.draw(text[i : i + 1], noise(1, seed=7 + i), guidance=2.0, empty=empty)
        torch.testing.assert_close(alone[0], together[i], **CLOSE)
    assert (prior.draw(text, noise(3, seed=8), guidance=2.0, empty=empty) - together).abs().max() > 0.1


def test_the_global_random_state_plays_no_part(prior, text):
    torch.manual_seed(1)
    first = prior.draw(text, noise(3))
    torch.manual_seed(2)
    assert torch.equal(prior.draw(text, noise(3)), first)


def test_the_steps_fill_in_one_component_after_another(prior, text):
    steps = list(prior.stream(text, noise(3)))
    assert [step.t for step in steps] == [5, 4, 3, 2, 1, 0]
    for n, step in enumerate(steps, start=1):
        assert torch.equal(step.x_t[:, :n], steps[-1].x_t[:, :n]) and (step.x_t[:, n:] == 0).all()
        torch.testing.assert_close(prior.unwhiten(step.x_t), prior.unwhiten(step.x_t[:, :n]), **CLOSE)
    torch.testing.assert_close(prior.unwhiten(steps[-1].x_t), prior.draw(text, noise(3)), rtol=0, atol=0)


def test_temperature_0_asks_the_noise_for_the_dot_only(prior, text):
    a, b = next(noise(3, seed=1)), next(noise(3, seed=9))
    b[:, 0] = a[:, 0]
    assert torch.equal(prior.draw(text, [a], temperature=0), prior.draw(text, [b], temperature=0))
    assert not torch.equal(prior.draw(text, [a]), prior.draw(text, [b]))


def test_the_dot_comes_from_the_top_half_of_the_training_pairs(prior):
    u = ((torch.arange(800) + 0.5) / 800)[:, None]
    for dot_from, lowest in ((0.5, 4), (0.7, 6), (0.85, 7), (0.95, 7), (0.0, 0)):
        counts = (prior._draw_dot(u, dot_from) - TINY.buckets).flatten().bincount(minlength=8)
        expected = torch.where(torch.arange(8) < lowest, 0, 1 / (8 - lowest))
        torch.testing.assert_close(counts / 800, expected, rtol=0, atol=2e-3)
    assert prior._draw_dot(torch.ones(1, 1), 0.5).item() == TINY.buckets + 7


# ---- what it learns: a world of three kinds of pictures and two captions

CENTRES = torch.tensor([[2.0, 1.0], [-2.0, -1.0], [2.0, -1.0]])
SHARES = torch.tensor([0.5, 0.3, 0.2])


def world(n: int, seed: int) -> tuple[torch.Tensor, Text, torch.Tensor]:
    """z_i = (one of CENTRES, height), z_t = (0, 0, 1): a greater height is a greater dot product.

    Caption 0 has the centres with SHARES, at any height; caption 1 has the first above 0, the second below.
    """
    g = torch.Generator().manual_seed(seed)
    caption, height = torch.arange(n) % 2, 0.1 * torch.randn(n, generator=g)
    drawn = torch.multinomial(SHARES, n, replacement=True, generator=g)
    kind = torch.where(caption == 0, drawn, (height < 0).long())
    return torch.cat([CENTRES[kind], height[:, None]], dim=1), captions(caption), kind


def captions(which: torch.Tensor) -> Text:
    tokens = torch.stack([torch.ones(len(which)), 2.0 * which - 1], dim=1)[:, None]     # (n, 1, 2)
    return Text(torch.tensor([[0.0, 0, 1]]).expand(len(which), -1), tokens, torch.ones(len(which), 1, dtype=torch.bool))


@pytest.fixture(scope="module")
def learnt() -> ARPrior:
    """A small prior after some seconds in that world."""
    torch.manual_seed(0)
    prior = ARPrior(ARPriorConfig(
        z_width=3, text_width=2, context=1, components=2, buckets=8, dot_buckets=4, width=32, layers=2, heads=2
    ))  # fmt: skip
    z_i, text, _ = world(4000, seed=0)
    prior.fit(z_i, text.embed)
    config = TrainConfig(steps=150, batch=256, lr=1e-2, warmup=20, ema=0.9, bf16=False)
    trainer = Trainer(prior, config)
    for step in range(config.steps):
        trainer.update(lambda model, batch, rng: model.loss(*batch[:2]).mean(), world(config.batch, seed=1 + step))
    return trainer.ema.eval()


def shares(prior: ARPrior, caption: int, n: int = 2000, **options) -> torch.Tensor:
    """How often each of CENTRES is drawn; all draws must lie near one."""
    text = captions(torch.full((n,), caption))
    z_i = prior.draw(text, [normal(n, 3, seed=5)], **options)
    nearest, kind = torch.cdist(z_i[:, :2], CENTRES).min(dim=1)
    assert (nearest < 1).float().mean() > 0.98
    return kind.bincount(minlength=3) / n


def test_each_kind_of_that_world_is_its_own_tokens(learnt):
    z_i, text, kind = world(1000, seed=77)
    tokens = learnt.tokens(z_i, text.embed)[:, 1:]
    rows = [tokens[kind == k].unique(dim=0) for k in range(3)]
    assert [len(row) for row in rows] == [1, 1, 1] and len(torch.cat(rows).unique(dim=0)) == 3


@torch.no_grad()
def test_its_surprise_falls_to_the_entropy(learnt):
    """Caption 0 leaves the entropy of SHARES open; caption 1 nothing, for whoever reads the dot product."""
    z_i, text, kind = world(4000, seed=99)
    surprise = learnt.loss(z_i, text) * 2                                               # (n,) summed over components
    observed = kind[::2].bincount() / 2000
    assert surprise[::2].mean().item() == pytest.approx(-(observed * SHARES.log()).sum().item(), abs=0.03)
    sure = z_i[1::2, 2].abs() > 0.02  # away from height 0, where the middle edge of the dot buckets lies
    assert surprise[1::2][sure].mean() < 0.05


def test_it_draws_as_often_as_the_data_has(learnt):
    torch.testing.assert_close(shares(learnt, 0), SHARES, rtol=0, atol=0.06)  # 4 standard errors of 2000 draws are .045
    assert shares(learnt, 0, temperature=0)[0] == 1  # the likeliest
    sharper = SHARES**2 / (SHARES**2).sum()
    torch.testing.assert_close(shares(learnt, 0, temperature=0.5), sharper, rtol=0, atol=0.06)


def test_the_top_half_of_the_dot_products_draws_what_fits_better(learnt, monkeypatch):
    """Caption 1 shows the first kind in the better half of its pairs, the second in the worse one."""
    assert shares(learnt, 1)[0] > 0.95
    torch.testing.assert_close(shares(learnt, 1, dot_from=0), torch.tensor([0.5, 0.5, 0]), rtol=0, atol=0.06)
    monkeypatch.setattr(ARPrior, "_draw_dot", lambda prior, u, dot_from: 8 + (2 * u).long())  # the lower half
    assert shares(learnt, 1)[0] < 0.05


# ---- files, precision, errors


def test_it_comes_back_from_its_file(prior, pairs, text, tmp_path):
    prior.half().float()  # the file's precision
    back = ARPrior.from_pretrained(prior.save(tmp_path / "ar_prior.safetensors"))
    assert back.config == prior.config and not back.training
    assert torch.equal(back.tokens(*pairs), prior.tokens(*pairs))
    assert torch.equal(back.draw(text, noise(3)), prior.draw(text, noise(3)))


def test_a_file_quantises_as_training_did(pairs, tmp_path):
    """Fitted numbers go through float16, or a file's buckets would lie elsewhere."""
    fine = ARPrior(ARPriorConfig(z_width=10, text_width=20, context=11, components=6, width=32, layers=1, heads=2))
    fine.fit(*pairs)
    tokens = fine.tokens(*pairs)  # 1024 buckets
    assert torch.equal(ARPrior.from_pretrained(fine.save(tmp_path / "a.safetensors")).tokens(*pairs), tokens)
    fine.low.copy_(fine.whiten(pairs[0]).amin(dim=0))  # as exact as float32
    tokens = fine.tokens(*pairs)
    assert not torch.equal(ARPrior.from_pretrained(fine.save(tmp_path / "b.safetensors")).tokens(*pairs), tokens)


def test_it_draws_in_bf16(prior, text):
    z_i = prior.to(torch.bfloat16).draw(text, noise(3), guidance=2.0, empty=text[2:3])
    assert z_i.dtype == torch.float32 and z_i.isfinite().all()


@pytest.mark.parametrize("changes, message", [
    ({"components": 11}, "components is 11: an embedding of 10 has 1 to 10"),
    ({"components": 0}, "components is 0"), ({"buckets": 1}, "buckets is 1"), ({"dot_buckets": 1}, "dot_buckets is 1"),
])  # fmt: skip
def test_an_impossible_config_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ARPriorConfig(**{"z_width": 10, "components": 6, **changes})


def test_more_components_than_the_data_has_are_refused(pairs):
    flat = pairs[0].clone()
    flat[:, 5:] = 1.0
    with pytest.raises(ValueError, match="component 6 of these 400 embeddings is always the same: keep fewer"):
        ARPrior(TINY).fit(flat, pairs[1])


@pytest.mark.parametrize("options, message", [
    ({"guidance": 2.0}, "guidance compares with the empty caption"),
    ({"temperature": -1}, "temperature -1"), ({"dot_from": 1.0}, "dot_from 1.0"),
])  # fmt: skip
def test_an_impossible_option_is_refused(prior, text, options, message):
    with pytest.raises(ValueError, match=message):
        prior.draw(text, noise(3), **options)


@pytest.mark.parametrize("tensors", [[], [torch.zeros(3, 6)], [torch.zeros(2, 7)]])
def test_noise_of_another_shape_is_refused(prior, text, tensors):
    with pytest.raises(ValueError, match=r"the AR prior's noise is .*, not \(3, 7\)"):
        prior.draw(text, tensors)


# ---- the recipe


@pytest.fixture(scope="module")
def recipe() -> ARPriorRecipe:
    recipe = ARPriorRecipe(randomise(CLIP(TINY_CLIP)))
    recipe.statistics = 64
    return recipe


def test_the_recipe_keeps_the_components_that_hold_its_share_of_the_variance(recipe):
    prior, clip = recipe.build(), recipe.clip
    with torch.no_grad():
        z_i = clip.encode_image(torch.stack([recipe.dataset[i].image() for i in range(64)]))
    held = torch.linalg.svdvals(z_i - z_i.mean(dim=0)).square().cumsum(dim=0)
    k = prior.config.components
    share = recipe.share * held[-1] * torch.tensor([1 - 1e-6, 1 + 1e-6])
    assert held[k - 1] >= share[0] and (k == 1 or held[k - 2] < share[1])
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
        def loss(self, z_i, text, z_t):
            seen.update(text=text, z_t=z_t)
            return z_i.sum(dim=1)

    recipe.build()
    recipe.loss(Spy(), Batch(torch.zeros(600, 3, 32, 32), said, []), torch.Generator().manual_seed(0))
    (true, z_t), (empty, _) = recipe.read(said), recipe.read([""])
    torch.testing.assert_close(seen["z_t"], recipe.clip.encode_text(said).embed)
    torch.testing.assert_close(seen["z_t"], z_t)
    dropped = (seen["text"].embed == empty.embed).all(dim=1)
    assert 0.06 < dropped.float().mean() < 0.14
    assert torch.equal(seen["text"].mask.sum(dim=1)[dropped], empty.mask.sum(dim=1).expand(int(dropped.sum())))
    torch.testing.assert_close(seen["text"].tokens[~dropped], true.tokens[~dropped])
    torch.testing.assert_close(seen["text"].embed[~dropped], true.embed[~dropped])
