"""A learner's modules: with our weights they answer as ours, and then the library is made of them."""

import pytest
import torch
from helpers import normal, random_text, randomise, tiny_cascade
from mine_helpers import LIBRARY, MODULES, RIGHT, answer, library_kept, said
from torch import nn

from minunclip.ar_prior import ARPrior, ARPriorConfig
from minunclip.course import checks
from minunclip.course.checks.core import CHECKS
from minunclip.course.checks.substitution import PLACES
from minunclip.networks import Transformer, UNet


@pytest.mark.parametrize("name", MODULES)
def test_a_module_takes_its_place_and_gives_it_back(name, capsys):
    mine, text = said(answer(name), capsys)
    assert mine.__name__ == name and "From here on it is yours" in text and PLACES[name].now is not LIBRARY[name]
    checks.restore(name)
    assert PLACES[name].now is LIBRARY[name]


def test_a_cascade_of_the_learners_modules_loads_the_weights_and_draws_the_same(tmp_path):
    cascade = tiny_cascade()
    cascade.upsamplers[0].save(tmp_path / "upsampler.safetensors")
    before = cascade.sample(["a red star"], size=128).image
    for name in MODULES:
        checks.mine(answer(name))
    again = tiny_cascade()
    blocks = [*again.clip.image.transformer.blocks, *again.prior.transformer.blocks]
    assert all(isinstance(block.attention, RIGHT["MyAttention"][0]) for block in blocks)
    assert isinstance(again.decoder.unet.middle.blocks[0], RIGHT["MyResBlock"][0])
    assert (again.sample(["a red star"], size=128).image - before).abs().max() < 1e-4
    loaded = type(cascade.upsamplers[0]).from_pretrained(tmp_path / "upsampler.safetensors")
    assert isinstance(loaded.unet.middle.blocks[0], RIGHT["MyResBlock"][0])


def test_the_autoregressive_prior_writes_with_the_learners_loop():
    prior = randomise(ARPrior(ARPriorConfig(z_width=6, text_width=4, context=5, components=4, buckets=8, dot_buckets=8,
                                            width=16, layers=2, heads=2)))  # fmt: skip
    text, empty, noise = random_text([3, 5], 4, 6), random_text([1], 4, 6, seed=9), normal(2, 5)
    options = ({}, {"guidance": 2.0, "empty": empty}, {"temperature": 0.0})
    before = [prior.draw(text, [noise], **each) for each in options]
    calls = []
    checks.mine(answer("write_sentence", calls))
    calls.clear()
    after = [prior.draw(text, [noise], **each) for each in options]
    for now, then in zip(after, before, strict=True):
        torch.testing.assert_close(now, then)
    assert calls == ["write_sentence"] * 3
    steps = list(prior.stream(text, [noise]))
    assert [step.t for step in steps] == [3, 2, 1, 0] and not steps[0].x_t[:, 1:].any()
    with pytest.raises(ValueError, match="guidance compares with the empty caption"):
        prior.draw(text, [noise], guidance=2.0)


class WithHelper(UNet):
    def down_and_up(self, h, emb, context=None):
        return self.helped(h, emb, context)

    def helped(self, h, emb, context):
        return UNet.down_and_up(self, h, emb, context)


class Frozen(RIGHT["MyAttention"][0]):
    def forward(self, x, mask=None):
        return super().forward(x, mask) + self.out(x).detach() - self.out(x)


class Detached(RIGHT["MyAttention"][0]):
    def forward(self, x, mask=None):
        return self.qkv(x).detach().sum() * 0 + super().forward(x, mask).detach()


@pytest.mark.parametrize("name, cls, reason", [
    ("MyUNet", WithHelper, "stops with AttributeError inside the library"),
    ("MyAttention", Frozen, "lets no gradient through to some of its weights"),
    ("MyAttention", Detached, "lets no gradient through"),
])  # fmt: skip
def test_a_module_that_would_spoil_the_library_is_not_used(name, cls, reason, capsys):
    found, text = said(type(name, (cls,), {}), capsys)
    assert "right, on all" in text and f"because yours {reason}" in text
    assert found is CHECKS[name].reference and PLACES[name].now is LIBRARY[name]


def test_a_module_has_our_weights_by_name(capsys):
    class MyAttention(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.q = nn.Linear(width, width)

        def forward(self, x, mask=None):
            return self.q(x)

    found, text = said(MyAttention, capsys)
    assert "its weights are not called as ours: out.bias, out.weight, qkv.bias, qkv.weight missing" in text
    assert CHECKS["MyAttention"].verdict(MyAttention(8, 2)).text == (
        "MyAttention: hand over the class itself, as checks.MyAttention(MyAttention)")


def test_our_modules_do_what_the_exercise_says():
    attention = CHECKS["MyAttention"].ours(8, 2)
    assert attention(normal(2, 3, 8)).shape == (2, 3, 8)
    assert isinstance(Transformer(8, 1, 2).blocks[0].attention, LIBRARY["MyAttention"])
