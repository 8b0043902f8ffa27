"""What several test files share: a whole cascade of tiny networks, a folder of its weights, random values."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from minunclip.clip import CLIP, CLIPConfig
from minunclip.common import sha256
from minunclip.decoder import Decoder, DecoderConfig
from minunclip.diffusion import DiffusionConfig
from minunclip.evaluation import Judge
from minunclip.evaluation.judge import JudgeConfig
from minunclip.networks import UNetConfig
from minunclip.prior import DiffusionPrior, PriorConfig
from minunclip.scenes import VOCABULARY
from minunclip.text import Text
from minunclip.unclip import Settings, UnCLIP
from minunclip.upsampler import Upsampler, UpsamplerConfig

TINY_CLIP = CLIPConfig(
    embed_width=12, image_size=32, patch=16, image_width=16, image_layers=1, image_heads=2,
    text_width=16, text_layers=2, text_heads=2, context=32, vocabulary=VOCABULARY, activation="gelu",
)  # fmt: skip
TINY_PRIOR = PriorConfig(
    z_width=12, text_width=16, context=32, width=16, layers=2, heads=2,
    diffusion=DiffusionConfig(target="x0", clip=5.0),
)  # fmt: skip


def tiny_unet(patch: int, **changes) -> UNetConfig:
    """Sees 8 x 8 positions when the picture has a side of 8 * patch."""
    return UNetConfig(channels=16, mults=(1, 2), blocks=1, groups=4, head_width=8, patch=patch, **changes)


TINY_DECODER = DecoderConfig(
    unet=tiny_unet(4, out_channels=6, attention=(1,), context_width=8), size=32, z_width=12, text_width=16,
    diffusion=DiffusionConfig(target="v", learned_variance=True),
)  # fmt: skip


def tiny_upsampler(low: int, size: int) -> UpsamplerConfig:
    unet = tiny_unet(size // 8, in_channels=6, attention=(), context_width=None)
    return UpsamplerConfig(unet=unet, low_size=low, size=size, diffusion=DiffusionConfig(target="v"))


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter, also those that start at zero or one, a value that matters."""
    g = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=g)
        if parameter.dim() > 1:
            parameter.data = noise / parameter[0].numel() ** 0.5
        elif parameter.dim() == 1:
            parameter.data = 0.3 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
    return module.eval()


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference over that of the expected values."""
    return float((actual - expected).pow(2).mean().sqrt() / expected.pow(2).mean().sqrt())


def random_text(lengths: list[int], width: int, z_width: int, seed: int = 2) -> Text:
    """Captions of so many tokens, padded to the longest."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Text(normal(len(lengths), z_width, seed=seed), normal(*mask.shape, width, seed=seed + 1), mask)


def tiny_cascade() -> UnCLIP:
    """Random weights, all of them nonzero; draws noise at 32, 64 and 128 pixels in a blink."""
    prior = randomise(DiffusionPrior(TINY_PRIOR), 1)
    prior.mean.copy_(0.1 * normal(1, 12, seed=11))
    prior.std.copy_(0.5 + normal(1, 12, seed=12).abs())
    upsamplers = [randomise(Upsampler(tiny_upsampler(low, 2 * low)), low) for low in (32, 64)]
    cascade = UnCLIP(randomise(CLIP(TINY_CLIP)), prior, randomise(Decoder(TINY_DECODER), 2), upsamplers)
    cascade.settings = Settings(prior_steps=3, decoder_steps=4, upsampler_steps=(2, 3))
    return cascade


def tiny_folder(path: Path) -> Path:
    """The files of a tiny cascade and of a tiny judge under `path`/scenes, with their sums."""
    folder, cascade = path / "scenes", tiny_cascade()
    parts = {"clip": cascade.clip, "prior": cascade.prior, "decoder": cascade.decoder,
             "upsampler-1": cascade.upsamplers[0], "upsampler-2": cascade.upsamplers[1],
             "judge": randomise(Judge(JudgeConfig(width=8)))}  # fmt: skip
    files = [part.save(folder / f"{name}.safetensors") for name, part in parts.items()]
    (folder / "SHA256.json").write_text(json.dumps({file.name: sha256(file) for file in files}))
    return folder


def ship(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make the library take the weights in `folder` for the shipped ones."""
    for module in ("common.files", "common.stage", "pretrained.cascade"):
        monkeypatch.setattr(f"minunclip.{module}.weights_folder", lambda name: folder)


def tamper(path: Path) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
