"""The training loop: exact resumption, checkpoints, averages, and the order of its batches."""

import math
from dataclasses import replace

import pytest
import torch
from helpers import normal
from train_helpers import CONFIG, Recipe, assert_same, build, loss, trained

from minunclip.training import TrainConfig, Trainer, batches, parallel, precision, trainer
from minunclip.training.recipes import ClipRecipe
from minunclip.training.trainer import learning_rate, numbers_of

# -- resumption ----------------------------------------------------------------------------------------------


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

    def timeless(records):
        return [replace(record, seconds=0.0) for record in records]

    assert timeless(first[:saved] + rest) == timeless(records)


def test_the_comparison_notices_other_random_numbers(monkeypatch):
    """Of the loss, and of dropout."""
    whole, _ = trained()
    monkeypatch.setattr("train_helpers.loss", lambda model, batch, rng: loss(model, batch, torch.Generator()))
    fixed, _ = trained()                                                # here the numbers are dropout's alone
    monkeypatch.setattr(trainer, "numbers_of", lambda config, step, stream: torch.Generator().manual_seed(step))
    other, _ = trained()
    for one, another in ((fixed, whole), (other, fixed)):
        with pytest.raises(AssertionError):
            assert_same(one, another)


def test_streams_add_up(monkeypatch):
    """A step in parts is the step as a whole, but for its random numbers, of which every part has its own."""
    whole, _ = trained()
    parts, _ = trained(config=replace(CONFIG, streams=2))
    assert (whole.model[0].weight - parts.model[0].weight).abs().max() > 1e-3

    def without_noise(model, batch, rng):
        return model[3](batch[:, :1].repeat(1, 8)).square().mean()

    monkeypatch.setattr("train_helpers.loss", without_noise)
    plain, _ = trained()
    parts, _ = trained(config=replace(CONFIG, streams=4))
    for ours, theirs in zip(parts.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_streams_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(ValueError, match="a batch of 4 cannot be dealt into 3 parts for 1 processes: choose --streams"):
        Trainer(build(), replace(CONFIG, streams=3))
    Trainer(build(), replace(CONFIG, streams=3), together=True)


def test_a_finished_run_has_nothing_left_to_do(tmp_path):
    whole, _ = trained(None, tmp_path / "run.checkpoint")
    again, records = trained(None, tmp_path / "run.checkpoint", seed=3)
    assert records == []
    assert_same(again, whole)


def test_checkpoints_appear_at_their_steps_and_at_the_end(tmp_path):
    checkpoint, found = tmp_path / "new" / "run.checkpoint", []
    for record in Trainer(build(), CONFIG, checkpoint).run(loss, batches(Recipe, CONFIG)):
        saved = torch.load(checkpoint, weights_only=True)["step"] if checkpoint.exists() else 0
        found.append((record.step, saved))
    assert found == [(step, 10 if step == 10 else step - step % 3) for step in range(1, 11)]
    assert [path.name for path in checkpoint.parent.iterdir()] == ["run.checkpoint"]


# -- what goes wrong -----------------------------------------------------------------------------------------


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_checkpoint(tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    trainer = Trainer(build(), CONFIG, checkpoint)

    def sick(model, batch, rng):
        return loss(model, batch, rng) * (math.nan if trainer.step == 5 else 1)

    records = trainer.run(sick, batches(Recipe, CONFIG))
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

    monkeypatch.setattr("minunclip.training.trainer.torch.save", full)
    with pytest.raises(OSError, match="cannot write .*run.checkpoint: the disk is full"):
        trainer.save(checkpoint)
    assert checkpoint.read_bytes() == before and list(tmp_path.iterdir()) == [checkpoint]


# -- its parts -----------------------------------------------------------------------------------------------


def test_the_learning_rate_at_its_ends():
    config = TrainConfig(steps=100, batch=1, lr=0.5, warmup=20)
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.5 / 20) and rates[19] == rates[20] == 0.5
    assert rates[60] == pytest.approx(0.25) and rates[100] == pytest.approx(0)
    assert all(a >= b for a, b in zip(rates[20:], rates[21:], strict=False)) and rates[99] > 0


def test_a_steady_part_comes_before_the_fall_and_does_not_depend_on_the_end():
    config = replace(CONFIG, steps=100, warmup=10, steady=0.6)
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[9:61] == [config.lr] * 52 and rates[100] == pytest.approx(0, abs=1e-12)
    assert rates[80] == pytest.approx(config.lr / 2)
    assert all(a > b for a, b in zip(rates[60:100], rates[61:], strict=True))
    longer = [learning_rate(step, replace(config, steps=200)) for step in range(61)]
    assert longer == rates[:61]
    plain = [learning_rate(step, replace(CONFIG, steps=100, warmup=10)) for step in range(101)]
    assert [learning_rate(step, replace(config, steady=0.05)) for step in range(101)] == plain


def test_the_optimiser_uses_the_learning_rate():
    _, records = trained()
    assert [record.lr for record in records] == [learning_rate(step, CONFIG) for step in range(10)]
    assert [record.examples for record in records] == list(range(4, 44, 4))


def test_the_first_step_equals_adamw_with_clipping():
    trainer = Trainer(build(), CONFIG)
    model, batch, rng = build(), normal(4, 6), numbers_of(CONFIG, 0, 0)
    trainer.update(parallel.joined(trainer.model, loss), batch)
    torch.manual_seed(rng.initial_seed())
    loss(model, batch, rng).backward()
    norm = torch.stack([p.grad.square().sum() for p in model.parameters()]).sum().sqrt()
    for p in model.parameters():
        p.grad *= min(1, CONFIG.max_grad_norm / norm)
    lr = CONFIG.lr / CONFIG.warmup
    torch.optim.AdamW(model.parameters(), lr, CONFIG.betas, weight_decay=CONFIG.weight_decay).step()
    assert norm > 1  # or clipping would not have been tested
    for ours, theirs in zip(trainer.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("asked", "native", "enabled"),
                         [(True, True, True), (True, False, False), (False, True, False)])  # fmt: skip
def test_bf16_only_where_the_hardware_computes_in_it(asked, native, enabled, monkeypatch):
    """Elsewhere it is emulated: on a CPU with AVX2 alone a convolution there and back took 21 times as long."""
    monkeypatch.setattr(precision, "best_dtype", lambda device: torch.bfloat16 if native else torch.float32)
    with precision.Precision(torch.device("cpu"), asked):
        assert torch.is_autocast_enabled("cpu") == enabled
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if enabled else torch.float32)
    assert not torch.is_autocast_enabled("cpu")


def test_the_average_is_its_closed_form():
    trainer, history = Trainer(build(), CONFIG), []
    for _ in trainer.run(loss, batches(Recipe, CONFIG)):
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
    (_, last), (again,) = list(batches(ClipRecipe(), config)(1)), list(batches(ClipRecipe(), config)(2))
    assert torch.equal(last.ids, again.ids) and torch.equal(last.images, again.images)
    expected = ClipRecipe().collate([ClipRecipe.dataset[i] for i in (4, 5)])
    assert torch.equal(last.images, expected.images) and torch.equal(last.ids, expected.ids)
