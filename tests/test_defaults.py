"""The picture of a seed does not depend on what a program has told PyTorch to take by default."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import normal, tiny_folder

from minunclip.ar_prior import ARPrior, ARPriorConfig
from minunclip.diffusion import Diffusion, DiffusionConfig, Step
from minunclip.plots import film_strip

ROOT = Path(__file__).parent.parent
DEVICE, DTYPE = "torch.set_default_device('meta')", "torch.set_default_dtype(torch.float64)"
CASES = {  # {what is compared: (said before the model is loaded, said before it draws)}
    "nothing": ("", ""), "device": ("", DEVICE), "dtype": ("", DTYPE), "dtype, before": (DTYPE, ""),
    "device, before": (DEVICE, ""),
}  # fmt: skip
PROGRAM = """
import json, sys
import torch
from minunclip.pretrained import load
from minunclip.common import for_clip, read_picture, to_pil

def drawn(early, late):
    exec(early)
    cascade = load(sys.argv[1])
    exec(late)
    drawing = cascade.sample(["a red star above a fish", "a moon"], 7, 64)
    assert drawing.image.dtype == drawing.z_i.dtype == torch.float32 and drawing.image.device.type == "cpu"
    seen = for_clip(read_picture(to_pil(drawing.image[0])), 32)
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    return drawing.z_i, drawing.image, cascade.clip.encode_image(seen)

cases = json.loads(sys.argv[2])
plain = drawn("", "")
same = {name: all(map(torch.equal, drawn(*said), plain)) for name, said in cases.items()}
plain[1].zero_()
print(json.dumps(same | {"another picture": all(map(torch.equal, drawn("", ""), plain))}))
"""


@pytest.fixture(scope="module")
def same(tmp_path_factory):
    """Whether a Python of its own draws the same in each of the CASES."""
    folder = tiny_folder(tmp_path_factory.mktemp("weights"))
    done = subprocess.run([sys.executable, "-c", PROGRAM, folder, json.dumps(CASES)], cwd=ROOT, capture_output=True,
                          text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_defaults_do_not_matter(same, case):
    assert same[case] and not same["another picture"]


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_tables_of_a_diffusion_have_numbers(schedule):
    expected = Diffusion(DiffusionConfig(schedule=schedule)).alphas_bar
    with torch.device("meta"):
        found = Diffusion(DiffusionConfig(schedule=schedule)).alphas_bar
    assert torch.equal(found, expected)


def test_a_film_strip_finds_its_steps():
    steps = [Step(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), t) for t in (9, 5, 0)]
    with torch.device("meta"):
        assert "t = 9 to t = 0" in film_strip(steps, seed=0, count=2, side=16).alt


def test_the_autoregressive_prior_computes_in_float32():
    config = ARPriorConfig(z_width=6, text_width=8, context=4, components=3, buckets=8, dot_buckets=4, width=8,
                           layers=1, heads=2)  # fmt: skip
    prior, z_i, z_t = ARPrior(config), normal(50, 6), normal(50, 6, seed=2)
    prior.fit(z_i, z_t)
    expected = prior.dequantise(prior.tokens(z_i, z_t)[:, 1:])
    torch.set_default_dtype(torch.float64)
    try:
        prior.fit(z_i, z_t)
        found = prior.dequantise(prior.tokens(z_i, z_t)[:, 1:])
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
