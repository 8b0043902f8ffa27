"""The Transformer against PyTorch's own, its cache, and the Text that flows between the stages."""

import pytest
import torch
from helpers import normal, random_text, randomise
from torch import nn

from minunclip.networks import Attention, QuickGELU, Transformer, causal_mask, timestep_embedding
from minunclip.text import Text

WIDTH, HEADS, LAYERS = 24, 3, 2
EXACT = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def model() -> Transformer:
    return randomise(Transformer(WIDTH, LAYERS, HEADS))


def oracle(model: Transformer) -> nn.Module:
    """torch.nn.TransformerEncoder with the same weights."""
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    theirs = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False).eval()
    for block, other in zip(model.blocks, theirs.layers, strict=True):
        other.norm1.load_state_dict(block.norm_1.state_dict())
        other.norm2.load_state_dict(block.norm_2.state_dict())
        other.linear1.load_state_dict(block.mlp[0].state_dict())
        other.linear2.load_state_dict(block.mlp[2].state_dict())
        other.self_attn.in_proj_weight.data = block.attention.qkv.weight.data
        other.self_attn.in_proj_bias.data = block.attention.qkv.bias.data
        other.self_attn.out_proj.load_state_dict(block.attention.out.state_dict())
    return theirs


@torch.no_grad()
@pytest.mark.parametrize("causal", [False, True])
def test_equals_torch(model, causal):
    x = normal(2, 7, WIDTH)
    mask = causal_mask(7) if causal else None
    expected = oracle(model)(x, mask=~mask if causal else None)  # there, True is what may not be seen
    torch.testing.assert_close(model(x, mask)[0], expected, **EXACT)
    other = model(x, None if causal else causal_mask(7))[0]
    assert not torch.allclose(other, expected, atol=1e-2)  # the wrong mask would have been noticed


@torch.no_grad()
@pytest.mark.parametrize("split", [1, 4, 6])
def test_the_past_replaces_the_earlier_positions(model, split):
    x = normal(2, 7, WIDTH)
    whole, keys_values = model(x, causal_mask(7))
    _, past = model(x[:, :split], causal_mask(split))
    rest, both = model(x[:, split:], causal_mask(7)[split:], past)
    torch.testing.assert_close(rest, whole[:, split:], **EXACT)
    for (k, v), (all_k, all_v) in zip(both, keys_values, strict=True):
        torch.testing.assert_close(k, all_k, **EXACT)
        torch.testing.assert_close(v, all_v, **EXACT)


@torch.no_grad()
def test_a_causal_mask_hides_what_comes_later(model):
    x, mask = normal(1, 6, WIDTH), causal_mask(6)
    changed = x.clone()
    changed[:, 4:] = normal(1, 2, WIDTH, seed=5)
    torch.testing.assert_close(model(changed, mask)[0][:, :4], model(x, mask)[0][:, :4], **EXACT)
    assert not torch.allclose(model(changed)[0][:, :4], model(x)[0][:, :4], atol=1e-2)


def test_causal_mask():
    assert causal_mask(3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_a_width_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="a width of 10 cannot be split evenly into 3 heads"):
        Attention(10, 3)


def test_timestep_embedding_is_its_formula():
    t = torch.tensor([0, 1, 500, 999])
    found = timestep_embedding(t, 8)
    frequencies = torch.tensor([10_000 ** -(i / 4) for i in range(4)], dtype=torch.float64)
    angles = t[:, None].double() * frequencies
    torch.testing.assert_close(found.double(), torch.cat([angles.cos(), angles.sin()], 1), rtol=0, atol=2e-4)
    assert found.dtype == torch.float32
    assert found[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]  # the cosines come first


def test_quick_gelu_is_near_gelu_and_not_it():
    x = torch.linspace(-4, 4, 81)
    difference = (QuickGELU()(x) - nn.GELU()(x)).abs()
    assert 0.01 < difference.max() < 0.025
    torch.testing.assert_close(QuickGELU()(x), x / (1 + (-1.702 * x).exp()))


# -- Text ----------------------------------------------------------------------------------------------------


def test_rows_of_a_text():
    text = random_text([3, 5], width=4, z_width=6)
    for rows in (slice(1, 2), torch.tensor([1]), torch.tensor([False, True])):
        part = text[rows]
        assert len(part) == 1
        assert torch.equal(part.embed[0], text.embed[1]) and torch.equal(part.mask[0], text.mask[1])
        assert torch.equal(part.tokens[0], text.tokens[1])


def test_repeat_puts_copies_next_to_each_other():
    text = random_text([3, 5], width=4, z_width=6)
    repeated = text.repeat(3)
    for i in range(6):
        assert torch.equal(repeated.embed[i], text.embed[i // 3])
        assert torch.equal(repeated.tokens[i], text.tokens[i // 3])
        assert torch.equal(repeated.mask[i], text.mask[i // 3])


def test_cat_pads_with_masked_zeros():
    short, long = random_text([2, 3], 4, 6), random_text([5], 4, 6, seed=8)
    both = Text.cat(short, long)
    assert both.tokens.shape == (3, 5, 4) and both.mask.sum(dim=1).tolist() == [2, 3, 5]
    assert torch.equal(both.tokens[:2, :3], short.tokens) and torch.equal(both.tokens[2:], long.tokens)
    assert (both.tokens[:2, 3:] == 0).all()
    assert torch.equal(both.embed, torch.cat([short.embed, long.embed]))


def test_a_cast_leaves_the_mask_boolean():
    text = random_text([2, 3], 4, 6).to(torch.float16)
    assert (text.embed.dtype, text.tokens.dtype, text.mask.dtype) == (torch.float16, torch.float16, torch.bool)
