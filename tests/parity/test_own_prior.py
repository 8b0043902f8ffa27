"""A prior of one's own in the place of a release's: it is used, and one that does not fit is refused."""

from dataclasses import replace

import pytest
import torch
from helpers import TINY_PRIOR, randomise
from karlo_folder import CAPTIONS

import minunclip
from minunclip.__main__ import main
from minunclip.ar_prior import ARPrior
from minunclip.pretrained import MODES
from minunclip.pretrained.cascade import KARLO
from minunclip.prior import DiffusionPrior

FEW = replace(KARLO, prior_steps=3, decoder_steps=2, upsampler_steps=(2,))
pytestmark = pytest.mark.usefixtures("no_gradients")


@pytest.fixture(scope="module")
def file(loaded, tmp_path_factory):
    """The folder's own prior, with the layout and the whitening of a file that training writes."""
    return loaded.prior.save(tmp_path_factory.mktemp("mine") / "prior.safetensors")


@pytest.mark.parametrize("mode", MODES)
def test_the_same_prior_as_a_file_of_ours_draws_the_same(folder, loaded, file, mode):
    """To the rounding of float16, in which our files are."""
    cascade = minunclip.load(folder, memory=mode, prior=file)
    assert isinstance(cascade.prior, DiffusionPrior)
    ours, theirs = (some.sample(CAPTIONS, settings=FEW, seed=1, size=loaded.sizes[0]) for some in (cascade, loaded))
    torch.testing.assert_close(ours.z_i, theirs.z_i, atol=2e-2, rtol=2e-2)


def test_another_prior_is_the_one_that_is_used(folder, loaded, file, tmp_path):
    other = randomise(DiffusionPrior(loaded.prior.config), seed=9).save(tmp_path / "other.safetensors")
    first, second = (minunclip.load(folder, prior=path).sample(CAPTIONS, settings=FEW, seed=1, size=loaded.sizes[0])
                     for path in (file, other))  # fmt: skip
    assert not torch.allclose(first.z_i, second.z_i, atol=0.1)


def test_the_command_line_takes_it(folder, file, tmp_path):
    out = tmp_path / "picture.png"
    size = ["--size", "16", "--prior-steps", "2", "--steps", "2", "--device", "cpu"]
    assert main(["draw", "a corgi", "--model", str(folder), "--prior", str(file), "--out", str(out), *size]) == 0
    assert out.is_file()


@pytest.mark.parametrize(("make", "message"), [
    (lambda: DiffusionPrior(TINY_PRIOR), "this prior has z_width 12, and the decoder .*train it with the CLIP"),
    (lambda: minunclip.load("scenes").clip, "holds a CLIP, no prior: train one with"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_drawn(folder, tmp_path, make, message):
    path = make().save(tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=message) as error:
        minunclip.load(folder, prior=path)
    assert "\n" not in str(error.value)


def test_the_scenes_can_be_drawn_with_either_prior():
    from minunclip.common import weights_folder

    cascade = minunclip.load("scenes", prior=weights_folder("scenes") / ARPrior.file_name)
    assert isinstance(cascade.prior, ARPrior)
