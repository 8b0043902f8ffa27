"""What the test files of the training loop share: a tiny network, its data, and a training to compare."""

import itertools

import torch
from helpers import normal
from torch import Tensor, nn

from minunclip.training import TrainConfig, Trainer, batches

CONFIG = TrainConfig(steps=10, batch=4, lr=1e-2, warmup=3, ema=0.9, bf16=False, save_every=3)


def build(seed: int = 0, width: int = 8) -> nn.Module:
    """Dropout, so that the global random state matters, and a buffer that every step changes."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.Dropout(0.3), nn.Linear(width, 1))


class Numbers:
    """A dataset for the real `batches`: item i is a pure function of i."""

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, i: int) -> Tensor:
        return normal(6, seed=i)


class Recipe:
    dataset, collate, ready = Numbers(), staticmethod(torch.stack), staticmethod(lambda batch: batch)


def loss(model: nn.Module, batch: Tensor, rng: torch.Generator) -> Tensor:
    noisy = batch + 0.1 * torch.randn(batch.shape, generator=rng)  # so that the trainer's generator matters
    return (model(noisy)[:, 0] - batch.sum(dim=1)).square().mean()


def trained(steps: int | None = None, checkpoint=None, seed: int = 0, config=CONFIG) -> tuple[Trainer, list]:
    """Train, perhaps stopping after so many steps by closing the generator."""
    trainer = Trainer(build(seed), config, checkpoint)
    records = trainer.run(loss, batches(Recipe, config))
    seen = list(itertools.islice(records, steps))
    records.close()
    return trainer, seen


def flat(value) -> list:
    """All tensors and numbers in nested dictionaries and lists."""
    if isinstance(value, dict):
        return [leaf for key in value for leaf in flat(value[key])]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in flat(part)]
    return [value]


def assert_same(a: Trainer, b: Trainer) -> None:
    """Bitwise: weights, averages, optimiser, step."""
    for get in (lambda t: t.model.state_dict(), lambda t: t.averaged.state_dict(),
                lambda t: [optimiser.state_dict() for optimiser in t.optimisers]):  # fmt: skip
        ours, theirs = flat(get(a)), flat(get(b))
        assert len(ours) == len(theirs) > 3
        for x, y in zip(ours, theirs, strict=True):
            assert torch.equal(x, y) if isinstance(x, Tensor) else x == y
    assert a.step == b.step
