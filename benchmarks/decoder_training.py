"""A training step of a 64 pixel decoder, ours beside DALLE2-pytorch's of like size, pictures a second on this machine.

    python benchmarks/decoder_training.py               a few minutes on two cores
    python benchmarks/decoder_training.py --only ours   where dalle2-pytorch is not installed

Both learn from the same random pictures, z_i and captions' vectors, with a learned variance, and step with AdamW. All
have about as many weights. Ours stands here twice: with patches of 4 pixels, as the recipe for two cores has it, and at
every pixel, with three levels, as theirs works. They take turns, so that whatever else the machine does disturbs all.
dalle2-pytorch wants an environment of its own: `uv venv own`, then
`uv pip install --python own/bin/python dalle2-pytorch -e .`
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from minunclip.decoder import Decoder, DecoderConfig
from minunclip.diffusion import DiffusionConfig
from minunclip.networks import UNetConfig
from minunclip.text import Text

WIDTH, TOKENS = 128, 10                     # of z_i and of captions' vectors; vectors of a caption
UNET = UNetConfig(out_channels=6, channels=64, mults=(1, 2), blocks=1, attention=(1,), head_width=32,
                  context_width=WIDTH, patch=4)  # fmt: skip
EVERY_PIXEL = replace(UNET, channels=40, mults=(1, 2, 3), attention=(2,), head_width=40, groups=8, patch=1)
Examples = tuple[torch.Tensor, torch.Tensor, Text]
Step = Callable[[], None]


def examples(batch: int) -> Examples:
    """Pictures (B, 3, 64, 64) in -1 to 1, z_i (B, WIDTH) and captions."""
    rng = torch.Generator().manual_seed(0)
    pictures, z_i = torch.rand(batch, 3, 64, 64, generator=rng) * 2 - 1, torch.randn(batch, WIDTH, generator=rng)
    tokens = torch.randn(batch, TOKENS, WIDTH, generator=rng)
    return pictures, z_i, Text(tokens[:, 0], tokens, torch.ones(batch, TOKENS, dtype=torch.bool))


def ours(data: Examples, unet: UNetConfig) -> tuple[Step, int]:
    """A step of our decoder, and how many weights it has."""
    pictures, z_i, text = data
    config = DecoderConfig(unet=unet, size=64, z_width=WIDTH, text_width=WIDTH,
                           diffusion=DiffusionConfig(target="eps", learned_variance=True))  # fmt: skip
    decoder = Decoder(config)

    def loss() -> torch.Tensor:
        t, eps = torch.randint(1000, (len(pictures),)), torch.randn_like(pictures)
        condition = decoder.condition(z_i, text)
        return decoder.diffusion.loss(lambda x_t, t: decoder(x_t, t, condition=condition), pictures, t, eps).mean()

    return stepping(decoder, loss)


def theirs(data: Examples) -> tuple[Step, int]:
    """A step of DALLE2-pytorch's decoder, and how many weights it has."""
    from dalle2_pytorch import Decoder as TheirDecoder
    from dalle2_pytorch import Unet

    pictures, z_i, text = data
    unet = Unet(dim=32, image_embed_dim=WIDTH, text_embed_dim=WIDTH, cond_dim=WIDTH, channels=3, dim_mults=(1, 2, 3),
                attn_heads=4, num_resnet_blocks=1, cond_on_text_encodings=True, cond_on_image_embeds=True)
    decoder = TheirDecoder(unet=unet, image_size=64, timesteps=1000, learned_variance=True)
    normalised = (pictures + 1) / 2                                     # it wants 0 to 1

    def loss() -> torch.Tensor:
        return decoder(normalised, image_embed=z_i, text_encodings=text.tokens, unet_number=1)

    return stepping(decoder, loss)


def stepping(model: nn.Module, loss: Callable[[], torch.Tensor]) -> tuple[Step, int]:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step, sum(p.numel() for p in model.parameters())


def measured(steps: dict[str, Step], batch: int, rounds: int) -> dict[str, float]:
    """Pictures a second of each: the median of some steps, the first of which do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            begun = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - begun)
    return {name: batch / statistics.median(took[1:]) for name, took in seconds.items()}


def main() -> None:
    described = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=described)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", choices=("ours",))
    args = parser.parse_args()
    torch.manual_seed(0)
    data = examples(args.batch)
    made = {"minunclip, patches of 4": ours(data, UNET),
            "minunclip, every pixel": ours(data, EVERY_PIXEL)}  # fmt: skip
    if args.only is None:
        if importlib.util.find_spec("dalle2_pytorch") is None:
            parser.error("dalle2-pytorch is not installed here: install it, or measure with --only ours")
        made["DALLE2-pytorch"] = theirs(data)
    rates = measured({name: step for name, (step, _) in made.items()}, args.batch, args.rounds)
    slowest = rates.get("DALLE2-pytorch", min(rates.values()))
    print(f"64 pixels, batch {args.batch}, threads {torch.get_num_threads()}\n")
    print("| decoder | weights | pictures/s | ratio |\n| --- | --- | --- | --- |")
    for name, rate in rates.items():
        print(f"| {name} | {made[name][1] / 1e6:.2f} M | {rate:.1f} | {rate / slowest:.2f} |")


if __name__ == "__main__":
    main()
