"""Memory that runs out while a released cascade draws: once more in the next mode, the same picture, and a line."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from helpers import normal
from torch import Tensor

import minunclip
from minunclip.diffusion import SAMPLERS, Step
from minunclip.networks import UNet
from minunclip.pretrained import FallbackWarning, LateUpscaler, lazy, released, write_karlo
from minunclip.pretrained.upscaler import UpscalerConfig
from minunclip.unclip import Settings

FEW = Settings(prior_steps=2, decoder_steps=3, upsampler_steps=(2,), candidates=1, sampler="ddpm")
CAPTION = ["a corgi"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_karlo(tmp_path_factory.mktemp("narrow"))


@pytest.fixture(scope="module")
def expected(folder):
    return minunclip.load(folder, memory="disk").sample(CAPTION, settings=FEW)


class Failing:
    """The memory runs out at the forwards of these numbers, in this method."""

    def __init__(self, monkeypatch, owner, method: str, at: set[int], message="CUDA out of memory. Tried to allocate"):
        self.calls, original = 0, getattr(owner, method)

        def call(*given, **how):
            self.calls += 1
            if self.calls in at:
                raise RuntimeError(message)
            return original(*given, **how)

        monkeypatch.setattr(owner, method, call)


def drawn(cascade):
    """The drawing, what was told on the way, and the warnings."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        stream = cascade.stream(CAPTION, settings=FEW)
        progress = [(step.stage, step.done) for step in stream]
    return stream.result, progress, [str(one.message) for one in told if one.category is FallbackWarning]


STEPS = [("prior", 1), ("prior", 2), ("decoder", 1),
         ("decoder", 2), ("decoder", 3), ("upsampler-1", 1), ("upsampler-1", 2)]


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_stage_is_drawn_once_more_in_the_next_mode(folder, expected, monkeypatch, at):
    """The U-Nets run five times: three steps of the decoder, two of the upsampler."""
    cascade = minunclip.load(folder, memory="resident")
    Failing(monkeypatch, UNet, "forward", {at})
    drawing, progress, told = drawn(cascade)
    assert cascade.memory == "disk" and progress == STEPS               # no step is told twice
    assert told == ["the memory ran out with the weights resident: once more with disk, which takes less and longer"]
    assert all(torch.equal(drawing.images[side], expected.images[side]) for side in (64, 256))
    assert torch.equal(drawing.z_i, expected.z_i)


def test_offloaded_weights_go_to_their_files(folder, expected, monkeypatch):
    cascade = minunclip.load(folder, memory="offload")
    Failing(monkeypatch, UNet, "forward", {2})
    drawing, _, told = drawn(cascade)
    assert cascade.memory == "disk" and "with the weights offload" in told[0]
    assert torch.equal(drawing.image, expected.image)
    reads, read = [], lazy.LazyStage.read
    monkeypatch.setattr(lazy.LazyStage, "read", lambda self, name, *rest: reads.append(name) or read(self, name, *rest))
    cascade.sample(CAPTION, settings=FEW, size=64)
    assert reads == ["text", "transformer", "text", "unet"]             # the hooks of the first mode are gone


@pytest.mark.parametrize(("free", "mode"), [(10**12, "offload"), (0, "disk")])
def test_a_gpu_hands_its_weights_to_ram_if_that_has_room(folder, monkeypatch, free, mode):
    cascade = minunclip.load(folder, memory="resident")
    monkeypatch.setattr(released, "free_ram", lambda: free)
    cascade.loader.device = SimpleNamespace(type="cuda")
    assert cascade.smaller_mode() == mode


def test_twice_is_an_error(folder, monkeypatch):
    cascade = minunclip.load(folder, memory="resident")
    Failing(monkeypatch, UNet, "forward", {1, 2})
    with pytest.raises(RuntimeError, match="out of memory"):
        drawn(cascade)


def test_other_errors_are_passed_on(folder, monkeypatch):
    cascade = minunclip.load(folder, memory="resident")
    Failing(monkeypatch, UNet, "forward", {1}, "a shape is wrong")
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        drawn(cascade)
    assert cascade.memory == "resident"


def test_memory_that_runs_out_while_loading(folder, expected, monkeypatch):
    Failing(monkeypatch, lazy.LazyStage, "load", {3})
    with pytest.warns(FallbackWarning, match="with the weights resident: once more with disk"):
        cascade = minunclip.load(folder, memory="resident")
    assert torch.equal(drawn(cascade)[0].image, expected.image)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_with_a_released_cascade(folder, sampler):
    """The makers' is ddpm. Whichever it is, t = 0 comes last, and the upsampler's second network with it."""
    cascade = minunclip.load(folder, memory="disk")
    stream = cascade.stream(CAPTION, settings=replace(FEW, sampler=sampler))
    here = [p.step.t for p in stream if p.stage == "upsampler-1" and not next(
        cascade.upsamplers[0].last_unet.parameters()).is_meta]  # fmt: skip
    assert here == [0] and stream.result.image.isfinite().all() and cascade.settings.sampler == "ddpm"


# -- the upscaler --------------------------------------------------------------------------------------------


class FakeUpscaler:
    """Enlarges in one step, and sees which networks have memory while it does."""

    def __init__(self, cascade, seen):
        self.cascade, self.seen = cascade, seen

    def stream(self, low: Tensor, noise, *, steps, sampler, captions):
        self.seen.append(networks_here(self.cascade))
        picture = low.repeat_interleave(4, -1).repeat_interleave(4, -2) + 0 * next(iter(noise))[:, :1].mean()
        yield from (Step(picture, picture, i) for i in reversed(range(steps)))


def networks_here(cascade) -> list[str]:
    stages = {"clip": cascade.clip, "prior": cascade.prior, "decoder": cascade.decoder, "up": cascade.upsamplers[0]}
    return [name for name, stage in stages.items() if not all(
        p.is_meta for n, p in stage.named_parameters() if lazy.network_of(n))]  # fmt: skip


def upscaled(folder, monkeypatch, mode: str, free: int):
    """A cascade that goes on to 1024, and what its upscaler saw."""
    cascade, seen, loaded = minunclip.load(folder, memory=mode), [], []
    monkeypatch.setattr(released, "free_on", lambda device: free)

    def load():
        loaded.append(networks_here(cascade))
        return FakeUpscaler(cascade, seen)

    LateUpscaler(load, UpscalerConfig(), torch.device("cpu"), torch.float32).add_to(cascade, steps=2)
    return cascade, seen, loaded


@pytest.mark.parametrize("mode", ["resident", "offload", "disk"])
def test_it_is_loaded_after_the_cascade_has_gone(folder, expected, monkeypatch, mode):
    cascade, seen, loaded = upscaled(folder, monkeypatch, mode, free=0)
    few = replace(FEW, upsampler_steps=(2, 2))
    for _ in range(2):                                                  # the cascade comes back, and goes again
        drawing = cascade.sample(CAPTION, settings=few)
        assert torch.equal(drawing.images[256], expected.image) and drawing.image.shape == (1, 3, 1024, 1024)
    gone = [] if mode != "offload" else ["clip", "prior", "decoder", "up"]      # those are in RAM
    assert loaded == seen == [gone, gone] and cascade.upsamplers[1].model is None
    assert cascade.memory == ("disk" if mode == "resident" else mode)


def test_with_room_for_both_both_stay(folder, monkeypatch):
    cascade, seen, loaded = upscaled(folder, monkeypatch, "resident", free=10**12)
    few = replace(FEW, upsampler_steps=(2, 2))
    assert torch.equal(*(cascade.sample(CAPTION, settings=few).image for _ in range(2)))
    assert len(loaded) == 1 and seen == 2 * [["clip", "prior", "decoder", "up"]] and cascade.memory == "resident"


def test_nothing_is_loaded_for_smaller_pictures(folder, monkeypatch):
    cascade, _, loaded = upscaled(folder, monkeypatch, "disk", free=0)
    cascade.sample(CAPTION, settings=FEW, size=64)
    assert loaded == [] and cascade.sizes == [64, 256, 1024]
    assert cascade.upsamplers[1].noise_shape(normal(2, 3, 8, 8)) == (2, 7, 8, 8)
