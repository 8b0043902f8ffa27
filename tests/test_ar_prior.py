"""The autoregressive prior: its tokens, its cache and its files."""

import pytest
import torch
from ar_helpers import CLOSE, TINY, UNFITTED, noise, pairs, prior, round_trip, text, uncached
from hypothesis import given
from hypothesis import strategies as st

from minunclip.ar_prior import ARPrior, ARPriorConfig, dot
from minunclip.embeddings import PCA
from minunclip.networks import causal_mask
from minunclip.text import Text

# -- tokens --------------------------------------------------------------------------------------------------


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


# -- the network ---------------------------------------------------------------------------------------------


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
    monkeypatch.setattr("minunclip.prior.causal_mask", lambda n, device: torch.ones_like(causal_mask(n)))
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


@torch.no_grad()
def test_a_hidden_token_says_nothing(prior, pairs, text):
    tokens = prior.tokens(*pairs)[:3, :-1]
    vocabulary, hidden = TINY.buckets + TINY.dot_buckets, torch.zeros_like(tokens, dtype=torch.bool)
    other = (tokens + 1) % vocabulary
    hidden[0, 2:4], hidden[2] = True, True
    answers = [prior(x, text) for x in (tokens, torch.where(hidden, other, tokens), tokens.masked_fill(hidden, -1))]
    assert ((answers[1] - answers[0]).abs().amax(dim=(1, 2)) > 1e-3).tolist() == [True, False, True]
    hidden_too = prior(torch.where(hidden, -1, other), text)
    torch.testing.assert_close(hidden_too[2], answers[2][2], rtol=0, atol=0)  # nothing of it was shown
    for first in (tokens, torch.where(hidden, 0, tokens)):  # a hidden token is no bucket, not the first one either
        gap = (answers[2] - prior(first, text)).abs().amax(dim=2)
        assert torch.equal(gap[0, :2], torch.zeros(2)) and gap[0, 2:].min() > 1e-4 and gap[2].min() > 1e-4
        torch.testing.assert_close(gap[1], torch.zeros(6), rtol=0, atol=0)


def test_the_loss_where_tokens_are_hidden(prior, pairs, text):
    z_i, z_t = pairs[0][:3], pairs[1][:3]
    hidden = torch.rand(3, 6, generator=torch.Generator().manual_seed(1)) < 0.5
    tokens = prior.tokens(z_i, z_t)
    p = prior(torch.where(hidden, -1, tokens[:, :-1]), text).softmax(dim=-1)
    expected = -p.gather(2, tokens[:, 1:, None]).log().mean(dim=(1, 2))  # all are asked for, hidden or not
    torch.testing.assert_close(prior.loss(z_i, text, z_t, hidden), expected, **CLOSE)
    torch.testing.assert_close(prior.loss(z_i, text, z_t, hidden & False), prior.loss(z_i, text, z_t), rtol=0, atol=0)
    assert (prior.loss(z_i, text, z_t) - expected).abs().min() > 1e-4


def test_every_parameter_gets_a_gradient(prior, pairs, text):
    prior.loss(pairs[0][:3], text).mean().backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


# -- files, precision, errors --------------------------------------------------------------------------------


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
