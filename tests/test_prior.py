"""The prior against diffusers' PriorTransformer, arranged as in Karlo, and its own promises."""

import pytest
import torch
from diffusers import PriorTransformer
from helpers import normal, random_text, randomise, relative_error

from minunclip.networks import causal_mask, timestep_embedding
from minunclip.prior import DiffusionPrior, PriorConfig
from minunclip.text import Text

TOLERANCE = 5e-6  # relative root-mean-square error in float32
TINY = PriorConfig(z_width=20, text_width=20, context=11, width=32, layers=3, heads=2)
LENGTHS = [11, 6, 2]  # one caption fills the context, two are padded
RENAMES = {
    "time_embedding.linear_1.": "time.0.",
    "time_embedding.linear_2.": "time.2.",
    "proj_in.": "z_in.",
    "embedding_proj.": "embed_in.",
    "encoder_hidden_states_proj.": "tokens_in.",
    "prd_embedding": "query",
    "positional_embedding": "positions",
    "transformer_blocks.": "transformer.blocks.",
    ".attn1.to_out.0.": ".attention.out.",
    ".norm1.": ".norm_1.",
    ".norm3.": ".norm_2.",
    ".ff.net.0.proj.": ".mlp.0.",
    ".ff.net.2.": ".mlp.2.",
    "proj_to_clip_embeddings.": "z_out.",
    "clip_mean": "mean",
    "clip_std": "std",
}


def renamed(state: dict) -> dict:
    """diffusers' names to ours; the three projections of each attention become one."""
    result = {}
    for name, tensor in state.items():
        if name.endswith(("to_k.weight", "to_k.bias", "to_v.weight", "to_v.bias")):
            continue
        if ".to_q." in name:
            tensor = torch.cat([state[name.replace("to_q", part)] for part in ("to_q", "to_k", "to_v")])
            name = name.replace("attn1.to_q", "attention.qkv")
        for theirs, ours in RENAMES.items():
            name = name.replace(theirs, ours)
        result[name] = tensor
    return result


@pytest.fixture(scope="module")
def reference() -> PriorTransformer:
    return randomise(PriorTransformer(
        num_attention_heads=2, attention_head_dim=16, num_layers=3, embedding_dim=20, num_embeddings=11,
        additional_embeddings=4,
    ))  # fmt: skip


@pytest.fixture
def prior(reference) -> DiffusionPrior:
    prior = DiffusionPrior(TINY).eval()
    prior.load_state_dict(renamed(reference.state_dict()))
    return prior


@pytest.fixture(scope="module")
def text() -> Text:
    return random_text(LENGTHS, width=20, z_width=20)


@torch.no_grad()
def theirs(reference, x_t, t, text, mask=True):
    mask = text.mask if mask else None
    return reference(x_t, t, text.embed, text.tokens, mask).predicted_image_embedding


@torch.no_grad()
def error(prior, reference, text, t=417) -> float:
    x_t, t = normal(3, 20), torch.full((3,), t)
    return relative_error(prior(x_t, t, text), theirs(reference, x_t, t, text))


@pytest.mark.parametrize("t", [0, 1, 417, 999])
def test_equals_diffusers(prior, reference, text, t):
    assert error(prior, reference, text, t) < TOLERANCE


def test_equals_diffusers_with_mixed_timesteps(prior, reference, text):
    x_t, t = normal(3, 20), torch.tensor([3, 500, 998])
    with torch.no_grad():
        assert relative_error(prior(x_t, t, text), theirs(reference, x_t, t, text)) < TOLERANCE


def test_cut_padding_gives_what_padding_gives(prior, reference):
    """We cut a batch to its longest caption; the released models always pad to the whole context."""
    text = random_text([6, 2, 4], width=20, z_width=20)
    x_t, t = normal(3, 20), torch.full((3,), 200)
    with torch.no_grad():
        assert relative_error(prior(x_t, t, text), theirs(reference, x_t, t, text.padded(11))) < TOLERANCE


def test_whitening_equals_diffusers(prior, reference):
    z = normal(4, 20)
    with torch.no_grad():
        torch.testing.assert_close(prior.unwhiten(z), reference.post_process_latents(z))
        torch.testing.assert_close(prior.whiten(prior.unwhiten(z)), z, rtol=1e-4, atol=1e-5)


# -- wrong details that the comparison must notice -----------------------------------------------------------


def test_a_dropped_mask_is_noticed(prior, reference, text):
    everything = Text(text.embed, text.tokens, torch.ones_like(text.mask))
    assert error(prior, reference, everything) < TOLERANCE
    x_t, t = normal(3, 20), torch.full((3,), 417)
    with torch.no_grad():
        unmasked, expected = prior(x_t, t, everything), theirs(reference, x_t, t, text)
    assert relative_error(unmasked[:1], expected[:1]) < TOLERANCE  # the first has no padding
    assert relative_error(unmasked[1:], expected[1:]) > 1e-2


def test_a_missing_causal_mask_is_noticed(prior, reference, text, monkeypatch):
    monkeypatch.setattr("minunclip.prior.causal_mask", lambda n, device: torch.ones_like(causal_mask(n)))
    assert error(prior, reference, text) > 1e-2


@pytest.mark.parametrize("token", range(4), ids=["z_t", "t", "z_i", "query"])
def test_a_wrong_position_of_each_extra_token_is_noticed(prior, reference, text, token):
    positions = prior.positions.data
    positions[:, TINY.context + token] = positions[:, 0]
    assert error(prior, reference, text) > 1e-3


def test_positions_right_after_a_short_caption_are_noticed(prior, reference):
    """The extra tokens keep the last four positions, however short the caption."""
    text, length = random_text([6, 2, 4], width=20, z_width=20), 6
    prior.positions.data[:, TINY.context :] = prior.positions.data[:, length : length + 4].clone()
    x_t, t = normal(3, 20), torch.full((3,), 417)
    with torch.no_grad():
        assert relative_error(prior(x_t, t, text), theirs(reference, x_t, t, text.padded(11))) > 1e-2


def test_swapped_tokens_are_noticed(prior, reference, text, monkeypatch):
    """[..., noised z_i, t, query] instead of [..., t, noised z_i, query]."""
    stack = torch.stack
    monkeypatch.setattr("minunclip.prior.torch.stack", lambda parts, dim: stack(parts[::-1], dim))
    assert error(prior, reference, text) > 1e-2


def test_z_t_is_read(prior, reference, text):
    other = Text(text.embed.flip(0), text.tokens, text.mask)
    x_t, t = normal(3, 20), torch.full((3,), 417)
    with torch.no_grad():
        assert relative_error(prior(x_t, t, other), theirs(reference, x_t, t, text)) > 1e-2


# -- the prefix ----------------------------------------------------------------------------------------------


@torch.no_grad()
def uncached(prior, x_t, t, text):
    """The whole sequence in one pass, as the paper draws it."""
    length = text.tokens.shape[1]
    where = [*range(length), *range(TINY.context, TINY.context + 4)]
    parts = [prior.tokens_in(text.tokens), prior.embed_in(text.embed)[:, None],
             prior.time(timestep_embedding(t, TINY.width))[:, None], prior.z_in(x_t)[:, None],
             prior.query.expand(len(x_t), -1, -1)]  # fmt: skip
    seen = torch.cat([text.mask, torch.ones(len(x_t), 4, dtype=torch.bool)], dim=1)
    x = torch.cat(parts, dim=1) + prior.positions[:, where]
    x, _ = prior.transformer(x, causal_mask(length + 4) & seen[:, None, None])
    return prior.z_out(prior.norm_out(x[:, -1]))


@torch.no_grad()
def test_the_prefix_equals_the_uncached_computation(prior, text):
    prefix = prior.prefix(text)
    for t in (0, 300, 999):
        x_t, steps = normal(3, 20, seed=t), torch.full((3,), t)
        torch.testing.assert_close(prior(x_t, steps, prefix), uncached(prior, x_t, steps, text), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(prior(x_t, steps, prefix), prior(x_t, steps, text), rtol=0, atol=0)


def test_the_loss_is_the_mean_squared_error_of_the_whitened_z_i(prior, text):
    z_i, t, eps = normal(3, 20, seed=7), torch.tensor([5, 300, 990]), normal(3, 20, seed=8)
    x_0 = prior.whiten(z_i)
    x_t = prior.diffusion.q_sample(x_0, t, eps)
    expected = (prior(x_t, t, text) - x_0).square().mean(dim=1)
    torch.testing.assert_close(prior.loss(z_i, text, t, eps), expected, rtol=1e-5, atol=1e-6)


def test_every_parameter_gets_a_gradient(prior, text):
    prior.loss(normal(3, 20), text, torch.tensor([5, 300, 990]), normal(3, 20)).mean().backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


# -- sizes ---------------------------------------------------------------------------------------------------


def test_karlo_has_as_many_parameters_as_were_published():
    with torch.device("meta"):
        prior = DiffusionPrior(PriorConfig())
    assert sum(tensor.numel() for tensor in prior.state_dict().values()) == 1_022_030_080
