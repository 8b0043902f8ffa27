"""The autoregressive prior: what it draws, and what it learns."""

import math

import pytest
import torch
from ar_helpers import CLOSE, TINY, noise, pairs, prior, text, uncached
from helpers import normal, random_text

from minunclip.ar_prior import ARPrior, ARPriorConfig, guide, pick
from minunclip.text import Text
from minunclip.training import TrainConfig, Trainer

# -- sampling ------------------------------------------------------------------------------------------------


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
        counts = (prior.draw_dot(u, dot_from) - TINY.buckets).flatten().bincount(minlength=8)
        expected = torch.where(torch.arange(8) < lowest, 0, 1 / (8 - lowest))
        torch.testing.assert_close(counts / 800, expected, rtol=0, atol=2e-3)
    assert prior.draw_dot(torch.ones(1, 1), 0.5).item() == TINY.buckets + 7


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


# -- what it learns: a world of three kinds of pictures and two captions -------------------------------------

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
    monkeypatch.setattr(ARPrior, "draw_dot", lambda prior, u, dot_from: 8 + (2 * u).long())  # the lower half
    assert shares(learnt, 1)[0] < 0.05
