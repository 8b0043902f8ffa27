"""The training loop: exact resumption, checkpoints, averages, and every recipe's loss."""

import itertools
import math
from dataclasses import asdict, replace

import pytest
import torch
from helpers import TINY_CLIP, normal
from torch import Tensor, nn

from minunclip import run as run_module
from minunclip.batches import batches
from minunclip.clip import CLIP
from minunclip.recipes import ClipRecipe
from minunclip.run import run, shortened
from minunclip.stage import read
from minunclip.train import TrainConfig, Trainer, learning_rate, train

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
    dataset, collate = Numbers(), staticmethod(torch.stack)


def loss(model: nn.Module, batch: Tensor, rng: torch.Generator) -> Tensor:
    noisy = batch + 0.1 * torch.randn(batch.shape, generator=rng)  # so that the trainer's generator matters
    return (model(noisy)[:, 0] - batch.sum(dim=1)).square().mean()


def trained(steps: int | None = None, checkpoint=None, seed: int = 0, config=CONFIG) -> tuple[Trainer, list]:
    """Train, perhaps stopping after so many steps by closing the generator."""
    trainer = Trainer(build(seed), config)
    records = train(trainer.model, loss, batches(Recipe, config), config, checkpoint, trainer)
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
    """Bitwise: weights, averages, optimiser, random state, step."""
    for get in (lambda t: t.model.state_dict(), lambda t: t.averaged.state_dict(), lambda t: t.optimiser.state_dict()):
        ours, theirs = flat(get(a)), flat(get(b))
        assert len(ours) == len(theirs) > 3
        for x, y in zip(ours, theirs, strict=True):
            assert torch.equal(x, y) if isinstance(x, Tensor) else x == y
    assert torch.equal(a.rng.get_state(), b.rng.get_state()) and a.step == b.step


# ---- resumption


@pytest.mark.parametrize("stop", [3, 5, 9])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, stop):
    whole, records = trained()
    checkpoint = tmp_path / "run.checkpoint"
    _, first = trained(stop, checkpoint)
    torch.manual_seed(123)
    resumed, rest = trained(None, checkpoint, seed=99)  # other initial weights: all must come from the file
    assert_same(resumed, whole)
    saved = stop - stop % CONFIG.save_every
    assert [record.step for record in rest] == list(range(saved + 1, 11))
    strip = lambda records: [replace(record, seconds=0.0) for record in records]  # noqa: E731
    assert strip(first[:saved] + rest) == strip(records)


def test_the_comparison_notices_another_random_state(tmp_path):
    whole, _ = trained()
    for part in ("rng", "torch_rng"):
        checkpoint = tmp_path / "run.checkpoint"
        trained(5, checkpoint)
        state = torch.load(checkpoint, weights_only=True)
        state[part] = torch.Generator().manual_seed(77).get_state()
        torch.save(state, checkpoint)
        resumed, _ = trained(None, checkpoint)
        with pytest.raises(AssertionError):
            assert_same(resumed, whole)


def test_a_finished_run_has_nothing_left_to_do(tmp_path):
    whole, _ = trained(None, tmp_path / "run.checkpoint")
    again, records = trained(None, tmp_path / "run.checkpoint", seed=3)
    assert records == []
    assert_same(again, whole)


def test_checkpoints_appear_at_their_steps_and_at_the_end(tmp_path):
    checkpoint, trainer = tmp_path / "new" / "run.checkpoint", Trainer(build(), CONFIG)
    found = []
    for record in train(trainer.model, loss, batches(Recipe, CONFIG), CONFIG, checkpoint, trainer):
        saved = torch.load(checkpoint, weights_only=True)["step"] if checkpoint.exists() else 0
        found.append((record.step, saved))
    assert found == [(step, 10 if step == 10 else step - step % 3) for step in range(1, 11)]
    assert [path.name for path in checkpoint.parent.iterdir()] == ["run.checkpoint"]


# ---- what goes wrong


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_checkpoint(tmp_path):
    checkpoint, trainer = tmp_path / "run.checkpoint", Trainer(build(), CONFIG)

    def sick(model, batch, rng):
        return loss(model, batch, rng) * (math.nan if trainer.step == 5 else 1)

    records = train(trainer.model, sick, batches(Recipe, CONFIG), CONFIG, checkpoint, trainer)
    with pytest.raises(FloatingPointError, match="the loss became nan at step 5") as error:
        list(records)
    assert "\n" not in str(error.value)
    assert all(p.isfinite().all() and p.grad is None for p in trainer.model.parameters())  # nothing was changed
    whole, _ = trained()
    resumed, _ = trained(None, checkpoint)
    assert_same(resumed, whole)


@pytest.mark.parametrize("changes", [{"lr": 1e-3}, {"steps": 20}, {"seed": 1}, {"betas": (0.9, 0.95)}])
def test_a_checkpoint_of_another_config_is_refused(tmp_path, changes):
    checkpoint = tmp_path / "run.checkpoint"
    trained(4, checkpoint)
    with pytest.raises(ValueError, match=f"run.checkpoint was trained with {next(iter(changes))}=.*--fresh"):
        trained(None, checkpoint, config=replace(CONFIG, **changes))
    trained(1, checkpoint, config=replace(CONFIG, save_every=5))  # how often it saves changes no result


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    trained(4, checkpoint)
    with pytest.raises(ValueError, match="run.checkpoint holds another model: start again with --fresh") as error:
        Trainer(build(width=16), CONFIG).load(checkpoint)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0, 0.3, 0.95])
def test_a_truncated_checkpoint_is_refused(tmp_path, share):
    checkpoint = tmp_path / "run.checkpoint"
    trained(4, checkpoint)
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="run.checkpoint is damaged: start again with --fresh") as error:
        Trainer(build(), CONFIG).load(checkpoint)
    assert "\n" not in str(error.value)


def test_a_failing_save_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    checkpoint = tmp_path / "run.checkpoint"
    trainer, _ = trained(4, checkpoint)
    before = checkpoint.read_bytes()

    def full(state, path):
        path.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr("minunclip.train.torch.save", full)
    with pytest.raises(OSError, match="no space left"):
        trainer.save(checkpoint)
    assert checkpoint.read_bytes() == before and list(tmp_path.iterdir()) == [checkpoint]


# ---- its parts


def test_the_learning_rate_at_its_ends():
    config = TrainConfig(steps=100, batch=1, lr=0.5, warmup=20)
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.5 / 20) and rates[19] == rates[20] == 0.5
    assert rates[60] == pytest.approx(0.25) and rates[100] == pytest.approx(0)
    assert all(a >= b for a, b in zip(rates[20:], rates[21:], strict=False)) and rates[99] > 0


def test_the_optimiser_uses_the_learning_rate():
    _, records = trained()
    assert [record.lr for record in records] == [learning_rate(step, CONFIG) for step in range(10)]
    assert [record.examples for record in records] == list(range(4, 44, 4))


def test_the_first_step_equals_adamw_with_clipping():
    trainer = Trainer(build(), CONFIG)
    model, batch, rng = build(), normal(4, 6), torch.Generator().manual_seed(CONFIG.seed)
    torch.manual_seed(5)
    trainer.update(loss, batch)
    torch.manual_seed(5)
    loss(model, batch, rng).backward()
    norm = torch.stack([p.grad.square().sum() for p in model.parameters()]).sum().sqrt()
    for p in model.parameters():
        p.grad *= min(1, CONFIG.max_grad_norm / norm)
    lr = CONFIG.lr / CONFIG.warmup
    torch.optim.AdamW(model.parameters(), lr, CONFIG.betas, weight_decay=CONFIG.weight_decay).step()
    assert norm > 1  # or clipping would not have been tested
    for ours, theirs in zip(trainer.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_the_average_is_its_closed_form():
    trainer, history = Trainer(build(), CONFIG), []
    for _ in train(trainer.model, loss, batches(Recipe, CONFIG), CONFIG, trainer=trainer):
        history.append(trainer.model[0].weight.detach().clone())
    shares = [0.9**9, *(0.1 * 0.9 ** (9 - k) for k in range(1, 10))]  # the first step counts as the start
    assert sum(shares) == pytest.approx(1)
    expected = sum(share * weight for share, weight in zip(shares, history, strict=True))
    torch.testing.assert_close(trainer.ema[0].weight.detach(), expected)


def test_batches_start_where_they_should():
    config = replace(CONFIG, steps=6)
    whole = list(batches(Recipe, config)(0))
    assert len(whole) == 6 and torch.equal(whole[2][1], normal(6, seed=2 * 4 + 1))
    for first in (1, 4):
        rest = list(batches(Recipe, config)(first))
        assert len(rest) == 6 - first
        assert all(torch.equal(a, b) for a, b in zip(rest, whole[first:], strict=True))
    assert list(batches(Recipe, config)(6)) == []


def test_the_order_of_scenes_does_not_depend_on_the_start():
    config = TrainConfig(steps=3, batch=2)
    (_, last), (again,) = list(batches(ClipRecipe, config)(1)), list(batches(ClipRecipe, config)(2))
    assert last.captions == again.captions and torch.equal(last.images, again.images)
    assert last.scenes == [ClipRecipe.dataset[i].scene for i in (4, 5)]


# ---- the command


class Small(ClipRecipe):
    config = TINY_CLIP
    profiles = {"cpu": replace(CONFIG, steps=4, save_every=2)}
    statistics = 200


def test_run_saves_the_average_and_its_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "recipe_for", lambda stage, clip: Small())
    path = run("clip", "cpu", tmp_path / "clip.safetensors", workers=0)
    first = CLIP.from_pretrained(path).state_dict()
    metadata, _ = read(path)
    assert metadata["profile"] == "cpu" and '"steps": 4' in metadata["train"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "clip.checkpoint", "clip.curve.json", "clip.safetensors"]
    run("clip", "cpu", path, workers=0, fresh=True)
    again = CLIP.from_pretrained(path).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    average = CLIP(TINY_CLIP)
    state = torch.load(tmp_path / "clip.checkpoint", weights_only=True)["ema"]
    state.pop("n_averaged")
    average.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    Small().finish(average)                                                     # the recipe's last word
    for name, tensor in average.state_dict().items():
        torch.testing.assert_close(again[name], tensor.half().float(), rtol=0, atol=0)


def test_the_curve_goes_on_after_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "recipe_for", lambda stage, clip: Small())
    trainer = Trainer(Small().build(), Small.profiles["cpu"])
    checkpoint = tmp_path / "clip.checkpoint"
    records = train(trainer.model, Small().loss, batches(Small(), CONFIG), trainer.config, checkpoint, trainer)
    list(itertools.islice(records, 2))
    before = [{"step": 1, "loss": 3.0, "seconds": 100.0}, {"step": 2, "loss": 2.0, "seconds": 200.0}]
    run_module.write_curve(tmp_path / "clip.curve.json", before)
    path = run("clip", "cpu", tmp_path / "clip.safetensors", workers=0)
    curve = run_module.read_curve(tmp_path / "clip.curve.json", checkpoint)
    assert curve[:2] == before and [point["step"] for point in curve] == [1, 2, 3, 4]
    assert all(point["seconds"] >= 200 and point["loss"] > 0 for point in curve[2:])
    assert float(read(path)[0]["minutes"]) >= 3.3
    run("clip", "cpu", path, workers=0, fresh=True)                             # and starts anew with the training
    curve = run_module.read_curve(tmp_path / "clip.curve.json", checkpoint)
    assert len(curve) == 4 and curve[0]["seconds"] < 100


def test_a_run_made_shorter_warms_up_sooner():
    config = TrainConfig(steps=1000, batch=2)
    assert shortened(config, None) is config
    assert asdict(shortened(config, 50)) == asdict(config) | {"steps": 50, "warmup": 5}
    with pytest.raises(ValueError, match="--steps is 0"):
        shortened(config, 0)


def test_the_prior_needs_a_clip_that_is_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no weight file"):
        run("prior", "cpu", tmp_path / "prior.safetensors", clip=str(tmp_path / "nowhere.safetensors"))
    assert list(tmp_path.iterdir()) == []
