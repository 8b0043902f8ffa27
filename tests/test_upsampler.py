"""The upsampler against diffusers' network, and the degradations of its training."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from helpers import normal, randomise, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st
from unet_helpers import TINY_SR, TOLERANCE, diffusers_super_resolution, renamed

from minunclip.diffusion import DiffusionConfig
from minunclip.networks import UNetConfig
from minunclip.training import degrade
from minunclip.upsampler import PAPER_1024, Upsampler, UpsamplerConfig, upsample

CONFIG = UpsamplerConfig(unet=TINY_SR, size=32, low_size=8, last_step_unet=True)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(*shape: int) -> torch.Tensor:
    return normal(*shape).clamp(-1, 1)


@pytest.fixture(scope="module")
def references() -> list:
    return [randomise(diffusers_super_resolution(), seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def upsampler(references) -> Upsampler:
    upsampler = Upsampler(CONFIG).eval()
    for unet, reference in zip((upsampler.unet, upsampler.last_unet), references, strict=True):
        unet.load_state_dict(renamed(reference.state_dict()))
    return upsampler


@pytest.mark.parametrize("t, network", [(0, 1), (1, 0), (500, 0), (999, 0)])
@torch.no_grad()
def test_equals_diffusers(upsampler, references, t, network):
    x_t, low = normal(2, 3, 32, 32), normal(2, 3, 8, 8, seed=2)
    actual = upsampler(x_t, torch.tensor([t, t]), low)

    def reference(antialias=True, network=network, order=1):
        large = F.interpolate(low, 32, mode="bicubic", align_corners=False, antialias=antialias)
        return references[network](torch.cat([x_t, large][::order], dim=1), t).sample

    assert relative_error(actual, reference()) < TOLERANCE
    assert relative_error(actual, reference(antialias=False)) > 2 * TOLERANCE
    assert relative_error(actual, reference(network=1 - network)) > 2 * TOLERANCE
    assert relative_error(actual, reference(order=-1)) > 2 * TOLERANCE


@torch.no_grad()
def test_upsampled_once_is_bitwise_the_same(upsampler):
    x_t, t, low = normal(2, 3, 32, 32), torch.tensor([5, 5]), normal(2, 3, 8, 8, seed=2)
    large = upsample(low, 32)
    assert upsample(large, 32) is large
    assert torch.equal(upsampler(x_t, t, low), upsampler(x_t, t, large))


@torch.no_grad()
def test_any_size_and_float16(upsampler):
    assert upsampler(normal(1, 3, 16, 24), torch.tensor([5]), normal(1, 3, 4, 6)).shape == (1, 3, 16, 24)
    assert upsample(normal(1, 3, 4, 6).half(), (16, 24)).dtype == torch.float32


def test_karlo_sizes():
    with torch.device("meta"):
        upsampler = Upsampler(UpsamplerConfig(last_step_unet=True))
    assert sum(p.numel() for p in upsampler.parameters()) == 2 * 691_579_523


@pytest.fixture(scope="module")
def paper_1024() -> UNet2DModel:
    """diffusers' network of the same shape, without memory."""
    with torch.device("meta"):
        return UNet2DModel(
            sample_size=1024, in_channels=6, out_channels=3, block_out_channels=(192, 192, 384, 384, 768, 768),
            layers_per_block=2, down_block_types=("ResnetDownsampleBlock2D",) * 6, add_attention=False,
            up_block_types=("ResnetUpsampleBlock2D",) * 6, resnet_time_scale_shift="scale_shift", norm_num_groups=32,
        )  # fmt: skip


def test_the_papers_network_for_1024_pixels(paper_1024):
    with torch.device("meta"):
        upsampler = Upsampler(PAPER_1024)
    count = sum(p.numel() for p in upsampler.parameters())
    assert count == sum(p.numel() for p in paper_1024.parameters()) == 282_059_139
    assert (PAPER_1024.size, PAPER_1024.low_size, PAPER_1024.diffusion.schedule) == (1024, 256, "linear")
    assert 250e6 < count < 350e6  # the paper says 300M


@pytest.mark.slow
@torch.no_grad()
def test_the_papers_network_runs(paper_1024):
    """2 GB of memory; on pictures of 64 pixels, since it has no attention and any size is like another."""
    reference = randomise(copy.deepcopy(paper_1024).to_empty(device="cpu"))
    with torch.device("meta"):
        upsampler = Upsampler(PAPER_1024).eval()
    upsampler.unet.load_state_dict(renamed(reference.state_dict()), assign=True)
    x_t, low = normal(1, 3, 64, 64), normal(1, 3, 16, 16, seed=2)
    actual = upsampler(x_t, torch.tensor([500]), low)
    assert relative_error(actual, reference(torch.cat([x_t, upsample(low, 64)], 1), 500).sample) < TOLERANCE


@torch.no_grad()
def test_a_residual_upsampler_adds_to_the_enlarged_picture():
    x0 = DiffusionConfig(target="x0")
    config = UpsamplerConfig(unet=TINY_SR, size=32, low_size=8, residual=0.5, diffusion=x0)
    x_t, low, t = normal(2, 3, 32, 32), pictures(2, 3, 8, 8), torch.tensor([700, 0])
    fresh = Upsampler(config)                           # its last convolution is still zero: nothing to add
    torch.testing.assert_close(fresh(x_t, t, low), upsample(low, 32), atol=0, rtol=0)
    plain = randomise(Upsampler(replace(config, residual=0.0)))
    fresh.load_state_dict(plain.state_dict())
    torch.testing.assert_close(fresh(x_t, t, low) - upsample(low, 32), 0.5 * plain(x_t, t, low), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("diffusion", [DiffusionConfig(), DiffusionConfig(target="v")])
def test_a_residual_needs_the_picture_itself_as_target(diffusion):
    with pytest.raises(ValueError, match="residual goes with diffusion.target='x0'"):
        UpsamplerConfig(unet=TINY_SR, residual=0.5, diffusion=diffusion)


def test_one_network_is_the_default():
    assert Upsampler(UpsamplerConfig(unet=TINY_SR)).last_unet is None
    with pytest.raises(ValueError, match="must be 6"):
        UpsamplerConfig(unet=UNetConfig())


# -- degradations --------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), factor=st.sampled_from([2, 4]), fraction=st.sampled_from([2, 4]))
@settings(max_examples=30, deadline=None)
def test_crops_show_the_same_place(seed, factor, fraction):
    low = torch.arange(3 * 2 * 3 * 16 * 8).float().reshape(6, 3, 16, 8)
    high = low.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    crop_high, crop_low = degrade.random_crop(high, low, seeded(seed), fraction)
    assert crop_low.shape == (6, 3, 16 // fraction, 8 // fraction)
    torch.testing.assert_close(crop_high, crop_low.repeat_interleave(factor, 2).repeat_interleave(factor, 3))


def test_crops_reach_every_corner():
    low = torch.arange(64.0).reshape(1, 1, 8, 8).expand(400, 3, 8, 8)
    _, crops = degrade.random_crop(low, low, seeded(), fraction=4)
    assert set(crops[:, 0, 0, 0].tolist()) == {8.0 * y + x for y in range(7) for x in range(7)}


def test_crop_says_what_is_wrong():
    with pytest.raises(ValueError, match="multiples"):
        degrade.random_crop(normal(1, 3, 30, 30), normal(1, 3, 8, 8), seeded())


def test_blur_is_a_gaussian():
    dot = torch.zeros(2, 3, 7, 7)
    dot[:, :, 3, 3] = 1
    sigma = torch.tensor([0.5, 1.0])
    offsets = torch.arange(7) - 3.0
    for image, s in zip(degrade.blur(dot, sigma, radius=3), sigma, strict=True):
        expected = torch.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * s**2))
        torch.testing.assert_close(image, (expected / expected.sum()).expand(3, 7, 7))


def test_gaussian_blur_spares_half_of_the_pictures():
    images = pictures(400, 3, 4, 4)
    blurred = degrade.gaussian_blur(images, seeded())
    spared = (blurred == images).flatten(1).all(dim=1)
    assert 160 < spared.sum() < 240  # 200 +- 4 standard deviations
    most, least = (degrade.blur(images, torch.full((400,), s), radius=1) for s in (0.6, 0.4))
    change, most, least = ((x - images).flatten(1).norm(dim=1)[~spared] for x in (blurred, most, least))
    assert (change <= most + 1e-5).all() and (change >= least - 1e-5).all()


@pytest.mark.parametrize("function", [degrade.gaussian_blur, degrade.degrade])
def test_degradations_keep_the_form_and_follow_the_seed(function):
    images = pictures(8, 3, 16, 12)
    before = images.clone()
    once, again, other = (function(images, seeded(seed)) for seed in (1, 1, 2))
    assert once.shape == images.shape and once.dtype == images.dtype and once.abs().max() <= 1
    assert torch.equal(once, again) and not torch.equal(once, other)
    assert torch.equal(images, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_degradations_keep_the_dtype(dtype):
    images = pictures(2, 3, 16, 16).to(dtype)
    for function in (degrade.gaussian_blur, degrade.degrade):
        assert function(images, seeded()).dtype == dtype


def test_degrade_is_a_fault_not_another_picture():
    ramp = torch.linspace(-1, 1, 32).expand(16, 3, 32, 32)
    error = (degrade.degrade(ramp, seeded()) - ramp).abs().mean(dim=(1, 2, 3))
    assert (error > 1e-3).all() and (error < 0.25).all()


def test_degrade_draws_the_order_for_each_picture(monkeypatch):
    orders = []
    names = ["random_blur", "random_resize", "random_noise", "random_jpeg"]
    for name in names:

        def fault(image, generator, name=name):
            orders.append(name)
            return image

        monkeypatch.setattr(degrade, name, fault)
    degrade.degrade(pictures(50, 3, 4, 4), seeded())
    each = {tuple(orders[i : i + 4]) for i in range(0, 200, 4)}
    assert len(each) > 12 and all(sorted(order) == sorted(names) for order in each)


@pytest.mark.parametrize("name", ["random_blur", "random_resize", "random_noise", "random_jpeg"])
def test_each_fault_changes_the_picture(name):
    image = pictures(1, 3, 16, 16)
    faulty = getattr(degrade, name)(image, seeded())
    assert faulty.shape == image.shape and not torch.equal(faulty, image)


def test_jpeg_is_nearly_right():
    ramp = torch.linspace(-1, 1, 32).expand(1, 3, 32, 32)
    assert (degrade.random_jpeg(ramp, seeded()) - ramp).abs().mean() < 0.05


def test_degradations_stay_in_float32_under_autocast():
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for spoil in (degrade.gaussian_blur, degrade.degrade):
        plain = spoil(images, torch.Generator().manual_seed(1))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(spoil(images, torch.Generator().manual_seed(1)), plain)
