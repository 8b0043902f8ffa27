"""Muon: orthogonal steps, PyTorch's own as its oracle, and which weights it gets."""

import pytest
import torch
from helpers import normal
from torch import nn

from minunclip.clip import CLIP
from minunclip.training import TrainConfig, Trainer, parallel
from minunclip.training.muon import Muon, inner_matrices, orthogonal
from minunclip.training.recipes import ClipRecipe, recipe_for


@pytest.mark.parametrize("shape", [(8, 8), (4, 30), (30, 4)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape):
    x = normal(*shape, seed=1)
    u, values, v = torch.linalg.svd(x, full_matrices=False)
    found = orthogonal(x)
    assert found.shape == x.shape
    kept = u.T @ found @ v.T                                            # diagonal: the new singular values
    off = kept - kept.diagonal().diag()
    assert off.abs().max() < 1e-3 and kept.diagonal().min() > 0.6 and kept.diagonal().max() < 1.3
    assert values.max() / values.min() > 1.5


@pytest.mark.parametrize("shape", [(16, 48), (48, 16)])
def test_its_steps_are_those_of_pytorch(shape):
    """Up to the rounding of bfloat16, in which PyTorch's computes: 2% of a step."""
    ours, theirs = (nn.Parameter(normal(*shape, seed=2)) for _ in range(2))
    start = ours.detach().clone()
    optimisers = Muon([ours], 0.02, weight_decay=0.1), torch.optim.Muon([theirs], 0.02, weight_decay=0.1)
    for step in range(5):
        for p, optimiser in zip((ours, theirs), optimisers, strict=True):
            p.grad = normal(*shape, seed=10 + step)
            optimiser.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved and moved > 0.1


def test_a_convolution_is_a_matrix():
    kernel, matrix = nn.Parameter(normal(6, 4, 3, 3, seed=3)), nn.Parameter(normal(6, 4, 3, 3, seed=3).flatten(1))
    for p, grad in ((kernel, normal(6, 4, 3, 3, seed=4)), (matrix, normal(6, 4, 3, 3, seed=4).flatten(1))):
        p.grad = grad
        Muon([p]).step()
    torch.testing.assert_close(kernel.flatten(1), matrix)


def test_only_matrices_between_hidden_layers_are_muons():
    clip = CLIP(ClipRecipe.config)
    names = {id(p): name for name, p in clip.named_parameters()}
    inner = [names[id(p)] for p in inner_matrices(clip)]
    assert len(inner) == len(clip.config.stem) + 4 * (clip.config.image_layers + clip.config.text_layers)
    assert all(("transformer.blocks" in name or ".stem." in name) and name.endswith("weight") for name in inner)
    unet = recipe_for("upsampler-1").build()
    names = {id(p): name for name, p in unet.named_parameters()}
    inner = [names[id(p)] for p in inner_matrices(unet)]
    assert not any(part in name for name in inner for part in ("conv_in", "conv_out", "unet.time", "norm", "bias"))
    assert any("conv" in name for name in inner)


def test_every_weight_has_one_optimiser_and_all_share_the_schedule():
    model = recipe_for("upsampler-1").build()
    trainer = Trainer(model, TrainConfig(steps=100, batch=1, lr=1e-3, muon=0.02, warmup=10))
    groups = [group for optimiser in trainer.optimisers for group in optimiser.param_groups]
    owned = [id(p) for group in groups for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for p in model.parameters())
    trainer.step = 4

    def loss(model, batch, rng):
        return sum(p.square().sum() for p in model.parameters())

    trainer.update(parallel.joined(model, loss), None)
    assert [group["lr"] for group in groups] == [pytest.approx(0.5e-3), pytest.approx(0.01)]
    assert len(Trainer(model, TrainConfig(steps=1, batch=1)).optimisers) == 1
