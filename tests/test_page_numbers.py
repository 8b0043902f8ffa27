"""The page's JavaScript computes what the library computes: PyTorch writes numbers, node compares."""

import json
import math
import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import normal, tiny_cascade
from torch import Tensor

from minunclip.diffusion import Diffusion, DiffusionConfig, ddim, guided, timesteps
from minunclip.embeddings import slerp
from minunclip.scenes import VOCABULARY, Scenes
from minunclip.text import WordTokenizer, captions_to_draw
from minunclip.upsampler import upsample

TESTS = Path(__file__).parent / "page"
REFUSED = [
    "", " ", " ?! ", "\u200b", "a red elephant", "a rde circle", "a Crcle on \"paper\"", "a it's", "a 'big' \"sta\"",
    "a yelow starr\nin the skyy", "an astonishinglylongunknownwordthatgoesonandon", "a back\\slash", "red " * 31,
    "ein roter Kreis", "a trangle, small " * 9, "\u7d05", "a r\u00e9d circle", "mooon", "squarecircle",
    "o", "clouds' s",
]  # fmt: skip


def tensor(x: Tensor) -> dict:
    return {"data": x.flatten().tolist(), "dims": list(x.shape)}


def random_numbers() -> list[dict]:
    """Blocks of 16 and their rests, few numbers, several draws from one generator, seeds of more than 32 bits."""
    cases, seeds = [], {0: [128, 3072], 1: [16, 17, 31, 40], 7: [12, 12, 3, 20], 2**32 + 5: [64], 10**14: [700]}
    for seed, sizes in seeds.items():
        generator = torch.Generator().manual_seed(seed)
        drawn = [torch.randn(size, generator=generator).tolist() for size in sizes]
        cases.append({"seed": seed, "sizes": sizes, "drawn": drawn})
    return cases


def stage_noise() -> list[dict]:
    cascade, cases = tiny_cascade(), []
    stages = [(0, "prior", (12,), 3), (1, "decoder", (3, 32, 32), 1), (3, "upsampler-2", (3, 8, 8), 1)]
    for place, stage, shape, rows in stages:
        noise = cascade.noise((rows, *shape), 41, stage, rows)
        drawn = [tensor(next(noise)) for _ in range(3)]
        cases.append({"shape": shape, "seed": 41, "place": place, "rows": rows, "drawn": drawn})
    return cases


def schedules() -> list[dict]:
    configs = [DiffusionConfig(schedule=name, steps=n) for name in ("cosine", "linear") for n in (1000, 40)]
    found = [(config, Diffusion(config)) for config in configs]
    return [{"config": asdict(config), "betas": d.betas.tolist(), "alphasBar": d.alphas_bar.tolist()}
            for config, d in found]  # fmt: skip


def waves(channels: int):
    """The network of numbers.test.mjs."""

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        rows, c = torch.arange(len(x_t)).view(-1, 1, 1, 1), torch.arange(channels).view(1, -1, 1, 1)
        x = x_t[:, torch.arange(channels) % x_t.shape[1]].double()
        return torch.sin(3 * x + t.view(-1, 1, 1, 1) / 200 + rows + c).float()

    return network


def sampled(target: str, schedule: str = "cosine", *, scale=1.0, eta=0.0, steps=5, clip=1.0, channels=3) -> dict:
    """DDIM with and without guidance, noise on the way, a learned variance, and a clip range."""
    config = DiffusionConfig(schedule, target=target, clip=clip, learned_variance=channels == 6)
    noise = [normal(1, 3, 4, 4, seed=seed) for seed in range(steps)]
    denoiser = waves(channels) if scale == 1 else guided(waves(channels), scale)
    taken = ddim(Diffusion(config), denoiser, noise, steps, eta=eta)
    expected = [{"t": s.t, "x_t": s.x_t.flatten().tolist(), "x_0": s.x_0.flatten().tolist()} for s in taken]
    return {"config": asdict(config), "scale": scale, "eta": eta, "steps": steps, "channels": channels,
            "noise": [tensor(x) for x in noise], "expected": expected}  # fmt: skip


def captions() -> dict:
    tokenizer = WordTokenizer(VOCABULARY, 32)
    rng = np.random.default_rng(3)
    read = [*(Scenes("test", 40)[i].caption for i in rng.permutation(40)), "A  Red, star!", "red " * 30]
    refused = [{"caption": caption, "message": refusal(tokenizer, caption)} for caption in REFUSED]
    ids = [{"caption": caption, "ids": [i for i in tokenizer(caption)[0].tolist() if i]} for caption in read]
    empty = [i for i in tokenizer("")[0].tolist() if i]
    return {"vocabulary": VOCABULARY, "context": 32, "read": ids, "refused": refused, "empty": empty}


def refusal(tokenizer: WordTokenizer, caption: str) -> str:
    with pytest.raises(ValueError) as error:
        tokenizer(captions_to_draw(caption))
    return str(error.value)


def numbers() -> dict:
    lows = [(normal(1, 3, 8, 8), 32), (normal(2, 1, 5, 5), 13), (normal(1, 2, 32, 32), 128)]
    enlarged = [(low, upsample(low, side)) for low, side in lows]
    ends = normal(1, 24, seed=3), 3 * normal(1, 24, seed=4)
    ways = [(*ends, theta) for theta in (0.0, 0.3, 1.0)] + [(ends[0], 2 * ends[0], 0.25)]
    return {
        "randn": random_numbers(), "noise": stage_noise(), "schedules": schedules(),
        "timesteps": [{"steps": n, "total": total, "visited": timesteps(n, total)}
                      for total in (1000, 40) for n in (2, 3, 7, 15, 25, 40)],
        "ddim": [sampled("eps"), sampled("x0", scale=3.0, clip=None), sampled("v", eta=1.0, channels=6),
                 sampled("v", "linear", scale=0.0, eta=0.5), sampled("x0", scale=2.5, eta=0.3, channels=6, steps=9)],
        "enlarge": [{"low": tensor(low), "high": tensor(high)} for low, high in enlarged],
        "slerp": [{"a": tensor(a), "b": tensor(b), "theta": theta, "between": slerp(a, b, theta)[0].tolist()}
                  for a, b, theta in ways],
        "captions": captions(),
    }  # fmt: skip


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_the_page_computes_what_pytorch_computes(tmp_path):
    path, written = tmp_path / "numbers.json", numbers()
    assert all(math.isfinite(x) for case in written["ddim"] for step in case["expected"] for x in step["x_t"])
    path.write_text(json.dumps(written), encoding="utf-8")
    done = subprocess.run(["node", "--test", str(TESTS / "numbers.test.mjs")], capture_output=True, text=True,
                          env={**os.environ, "NUMBERS": str(path)})  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n# pass 8\n" in done.stdout
