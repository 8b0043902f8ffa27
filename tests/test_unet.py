"""The U-Net against diffusers' two (Karlo's decoder and super-resolution), and its own promises."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from helpers import normal, randomise, relative_error
from torch import nn
from unet_helpers import TINY, TINY_SR, TOLERANCE, diffusers_decoder, diffusers_super_resolution, renamed

from minunclip.networks import AttentionBlock, UNet, UNetConfig


@pytest.fixture(scope="module")
def pair() -> tuple[UNet2DConditionModel, UNet]:
    theirs, ours = randomise(diffusers_decoder()), UNet(TINY).eval()
    ours.load_state_dict(renamed(theirs.state_dict()))
    return theirs, ours


@pytest.fixture(scope="module")
def inputs() -> dict:
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[0, 5:] = False
    return {
        "x": normal(2, 3, 16, 16),
        "t": torch.tensor([3, 3]),
        "added": normal(2, 128, seed=2),
        "context": normal(2, 7, 24, seed=3),
        "mask": mask,
    }


def their_decoder(model: UNet2DConditionModel, x, t, added, context, mask) -> torch.Tensor:
    return model(x, t, encoder_hidden_states=context, class_labels=added, attention_mask=mask).sample


@pytest.mark.parametrize("t", [0, 1, 500, 999])
@torch.no_grad()
def test_decoder_network_equals_diffusers(pair, inputs, t):
    theirs, ours = pair
    inputs = inputs | {"t": torch.tensor([t, t])}
    assert relative_error(ours(**inputs), their_decoder(theirs, **inputs)) < TOLERANCE


@pytest.mark.parametrize("t", [0, 500, 999])
@torch.no_grad()
def test_super_resolution_network_equals_diffusers(t):
    theirs, ours = randomise(diffusers_super_resolution()), UNet(TINY_SR).eval()
    ours.load_state_dict(renamed(theirs.state_dict()))
    x = normal(2, 6, 16, 16)
    assert relative_error(ours(x, torch.tensor([t, t])), theirs(x, t).sample) < TOLERANCE


def wrong_eps(ours):
    for module in ours.modules():
        if isinstance(module, nn.GroupNorm):
            module.eps = 1e-6


def swapped_scale_and_shift(ours):
    time = ours.down[1].blocks[0].time
    time.weight.data = time.weight.data.roll(len(time.weight) // 2, 0)


def swapped_keys_and_values(ours):
    attention = ours.middle.attentions[0]
    attention.k, attention.v = attention.v, attention.k


def time_sines_first(ours):
    ours.time[0].weight.data = ours.time[0].weight.data.roll(16, 1)


WRONG = [wrong_eps, swapped_scale_and_shift, swapped_keys_and_values, time_sines_first]


@pytest.mark.parametrize("wrong", WRONG)
@torch.no_grad()
def test_a_wrong_detail_of_the_network_is_noticed(pair, inputs, wrong):
    theirs, ours = pair[0], UNet(TINY).eval()
    ours.load_state_dict(renamed(theirs.state_dict()))
    expected = their_decoder(theirs, **inputs)
    assert relative_error(ours(**inputs), expected) < TOLERANCE
    wrong(ours)
    assert relative_error(ours(**inputs), expected) > 2 * TOLERANCE


@pytest.mark.parametrize(
    "change",
    [
        lambda i: {"mask": None},
        lambda i: {"mask": ~i["mask"]},
        lambda i: {"mask": i["mask"].flip(1)},
        lambda i: {"added": None},
        lambda i: {"t": i["t"] + 1},
    ],
)
@torch.no_grad()
def test_a_wrong_input_is_noticed(pair, inputs, change):
    theirs, ours = pair
    assert relative_error(ours(**inputs | change(inputs)), their_decoder(theirs, **inputs)) > 2 * TOLERANCE


@torch.no_grad()
def test_masked_tokens_change_nothing(pair, inputs):
    ours = pair[1]
    other = inputs["context"].clone()
    other[0, 5:] = 100.0
    torch.testing.assert_close(ours(**inputs), ours(**inputs | {"context": other}), rtol=0, atol=0)


@torch.no_grad()
def test_prepared_context_is_bitwise_the_plain_one(pair, inputs):
    ours = pair[1]
    x, t, added, context, mask = inputs.values()
    prepared = ours.prepare(context, mask)
    for step in (t, t + 500):
        assert torch.equal(ours(x, step, added, prepared), ours(x, step, added, context, mask=mask))


@torch.no_grad()
def test_prepared_context_skips_the_projections(pair, inputs, monkeypatch):
    ours = pair[1]
    prepared = ours.prepare(inputs["context"], inputs["mask"])

    def fail(*_):
        raise AssertionError("projected again")

    monkeypatch.setattr(AttentionBlock, "context_kv", fail)
    ours(inputs["x"], inputs["t"], inputs["added"], prepared)


@torch.no_grad()
def test_channels_last_computes_the_same(pair, inputs):
    reference = pair[1](**inputs)
    ours = UNet(TINY).eval()
    ours.load_state_dict(pair[1].state_dict())
    ours = ours.to(memory_format=torch.channels_last)
    actual = ours(**inputs | {"x": inputs["x"].to(memory_format=torch.channels_last)})
    assert relative_error(actual, reference) < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_stays_near(pair, inputs, dtype):
    reference = pair[1](**inputs)
    with torch.autocast("cpu", dtype):
        autocast = pair[1](**inputs)
        prepared = pair[1](*list(inputs.values())[:3], pair[1].prepare(inputs["context"], inputs["mask"]))
    ours = UNet(TINY).eval()
    ours.load_state_dict(pair[1].state_dict())
    weights = ours.to(dtype)(**inputs | {"added": inputs["added"].to(dtype)})
    assert torch.equal(prepared, autocast)
    for actual in (autocast, weights):
        assert actual.dtype == torch.float32
        assert relative_error(actual, reference) < (0.005 if dtype == torch.float16 else 0.05)


def test_starts_as_zero_and_trains_every_parameter(inputs):
    net = UNet(TINY)
    assert not net(**inputs).any()
    randomise(net).train()
    net(**inputs).pow(2).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("patch, side", [(1, 8), (2, 16), (4, 32)])
def test_patches_keep_the_shape_and_the_cost(patch, side):
    net = UNet(UNetConfig(**{**vars(TINY), "patch": patch}))
    seen = []
    net.conv_in.register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)))
    output = net(normal(1, 3, side, side), torch.tensor([9]), context=normal(1, 2, 24))
    assert output.shape == (1, 6, side, side) and seen == [(1, 32, 8, 8)]


@torch.no_grad()
def test_a_patch_is_pixels_moved_to_channels(inputs):
    patched = randomise(UNet(UNetConfig(**{**vars(TINY), "patch": 2})))
    plain = UNet(UNetConfig(**{**vars(TINY), "in_channels": 12, "out_channels": 24})).eval()
    plain.load_state_dict(patched.state_dict())
    # Channel 4 c + 2 i + j holds colour c of the pixels in row i, column j of the patches.
    x = torch.stack([inputs["x"][:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=2).flatten(1, 2)
    y = plain(**inputs | {"x": x}).unflatten(1, (6, 4))
    actual = patched(**inputs)
    for i in (0, 1):
        for j in (0, 1):
            torch.testing.assert_close(actual[:, :, i::2, j::2], y[:, :, 2 * i + j], rtol=0, atol=0)


def test_works_without_context_or_attention():
    x, t = normal(2, 3, 8, 8), torch.tensor([1, 2])
    for change in ({"context_width": None}, {"attention": ()}):
        net = randomise(UNet(UNetConfig(**{**vars(TINY), **change})))
        assert net(x, t).shape == (2, 6, 8, 8)
    assert not any(isinstance(module, AttentionBlock) for module in net.modules())


def test_karlo_sizes():
    with torch.device("meta"):
        decoder = UNet(UNetConfig(out_channels=6))
        upsampler = UNet(UNetConfig(in_channels=6, attention=(), film=False))
    assert sum(p.numel() for p in decoder.parameters()) == 885_439_686
    assert sum(p.numel() for p in upsampler.parameters()) == 691_579_523


@pytest.mark.parametrize(
    "change, message",
    [
        ({"channels": 40}, "no multiple of groups=32"),
        ({"head_width": 48}, "no multiple of head_width=48"),
        ({"attention": (3,)}, "levels 0 to 2"),
    ],
)
def test_config_says_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        UNetConfig(**{**vars(TINY), **change})


def test_forward_says_what_is_wrong():
    net = UNet(TINY)
    with pytest.raises(ValueError, match=r"multiples of 4"):
        net(normal(1, 3, 10, 10), torch.tensor([1]), context=normal(1, 2, 24))
    with pytest.raises(ValueError, match="pass a context"):
        net(normal(1, 3, 8, 8), torch.tensor([1]))


@torch.no_grad()
def test_the_finest_level_may_be_wider_than_its_base():
    config = UNetConfig(channels=16, mults=(2, 3), blocks=1, attention=(), groups=8, patch=2)
    net = randomise(UNet(config))
    assert net.norm_out.num_channels == 32 and net.time[0].in_features == 16
    assert net(normal(1, 3, 16, 16), torch.tensor([5])).shape == (1, 3, 16, 16)
