"""The same seed draws the same picture after a change of the code as before it, at every size, for every kind of run.

The pictures were drawn once and are stored every few pixels, in half precision. A change that is meant to alter
pictures, such as new weights, stores them anew: `python tests/test_pinned_pictures.py`.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import minunclip
from minunclip.ar_prior import ARPrior
from minunclip.manipulations import draw, invert
from minunclip.pretrained import write_karlo

STORED = Path(__file__).with_name("pinned_pictures.safetensors")
CAPTIONS = ["a big red circle above a small blue square", "a cubist painting of a fish at night"]
HALF_A_GREY_LEVEL = 1 / 255  # of pictures in -1 to 1; other processors add up in another order, and move far less


def thinned(image: Tensor) -> Tensor:
    """(B, 3, S, S) -> (B, 3, 32, 32): every (S / 32)-th pixel of every row and column."""
    stride = image.shape[-1] // 32
    return image[..., ::stride, ::stride].clone()


def by_size(name: str, images: dict[int, Tensor]) -> dict[str, Tensor]:
    return {f"{name}, {side} px": thinned(image) for side, image in images.items()}


def scenes() -> dict[str, Tensor]:
    """The shipped cascade: as it is, with other settings, with the other prior, and a picture varied."""
    cascade = minunclip.load("scenes")
    drawing = cascade.sample(CAPTIONS, seed=7)
    found = {"scenes, z_i": drawing.z_i} | by_size("scenes", drawing.images)
    other = replace(cascade.settings, sampler="ddpm", prior_guidance=2.0, candidates=3, decoder_guidance=1.0)
    found |= by_size("scenes, ddpm", cascade.sample(CAPTIONS, seed=3, size=32, settings=other).images)
    latent = invert(cascade, drawing.images[32], steps=10)
    found["scenes, varied"] = draw(cascade, latent, eta=1.0, steps=10, seed=3, guidance=2.0)
    cascade.prior = ARPrior.from_pretrained("scenes")
    return found | by_size("scenes, autoregressive", cascade.sample(CAPTIONS, seed=7, size=32).images)


def karlo(folder: Path) -> dict[str, Tensor]:
    """A folder of Karlo's layout with random weights, in two of the memory modes."""
    write_karlo(folder)
    found = {}
    for memory in ("resident", "disk"):
        cascade = minunclip.load(folder, memory=memory)
        few = replace(cascade.settings, prior_steps=5, decoder_steps=5, upsampler_steps=(4,))
        drawing = cascade.sample(CAPTIONS, seed=2, settings=few)
        found |= by_size(f"karlo, {memory}", drawing.images)
    return found


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> dict[str, Tensor]:
    return scenes() | karlo(tmp_path_factory.mktemp("karlo"))


@pytest.fixture(scope="module")
def stored() -> dict[str, Tensor]:
    return load_file(STORED)


def test_every_pinned_picture_is_drawn(drawn, stored):
    assert drawn.keys() == stored.keys() and len(stored) >= 11


@pytest.mark.parametrize("name", sorted(load_file(STORED)) if STORED.is_file() else [])
def test_the_same_seed_draws_the_same_picture(drawn, stored, name):
    scale = stored[name].abs().max().item() if "z_i" in name else 1.0
    torch.testing.assert_close(drawn[name], stored[name].float(), rtol=0, atol=scale * HALF_A_GREY_LEVEL)


def test_another_seed_would_be_noticed(drawn, stored):
    other = minunclip.load("scenes").sample(CAPTIONS, seed=8, size=32)
    assert (other.image - stored["scenes, 32 px"].float()).abs().max() > 50 * HALF_A_GREY_LEVEL


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pictures = scenes() | karlo(Path(folder))
    save_file({name: picture.half().contiguous() for name, picture in pictures.items()}, STORED)
