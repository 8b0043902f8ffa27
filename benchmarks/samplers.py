"""Fewer steps at an equal result? Every sampler, with fewer and fewer of them: `python benchmarks/samplers.py`.

The decoder draws from the z_i that the prior makes with its own settings. Then the prior draws with fewer steps, and
the decoder keeps its own. The judge reads the pictures; every sampler gets the same captions and the same noise.
"""

import argparse
from dataclasses import replace

import torch
from results import machine, save
from tqdm import tqdm

import minunclip
from minunclip.diffusion import SAMPLERS
from minunclip.evaluation import Bench, Judge
from minunclip.scenes import Scenes

STEPS = (4, 5, 6, 8, 10, 15, 25, 50)


def drawn(bench: Bench, decoder: dict, prior: dict) -> torch.Tensor:
    """The captions' pictures, with these settings of each stage: (N, 3, 32, 32)."""
    cascade, images = bench.cascade, []
    for number, items in enumerate(bench.batches()):
        text, seed = cascade.encode_text([item.caption for item in items]), bench.seed + 50 * number
        z_i = cascade.embed(text, seed=seed, settings=replace(cascade.settings, **prior)).finish()
        settings = replace(cascade.settings, **decoder)
        images.append(cascade.decode(z_i, text, seed=seed, settings=settings).finish().cpu())
    return torch.cat(images)


def right(bench: Bench, decoder: dict, prior: dict) -> list[int]:
    """[captions of which everything came true, all captions]."""
    scenes = bench.read(drawn(bench, decoder, prior))
    true = [item.statement.holds_in(scene) for item, scene in zip(bench.items, scenes, strict=True)]
    return [sum(true), len(true)]


def measure(bench: Bench, steps: tuple[int, ...]) -> dict:
    found = {"decoder": {}, "prior": {}}
    for sampler in tqdm(SAMPLERS, desc="samplers"):
        for n in steps:
            settings = {"sampler": sampler, "decoder_steps": n}
            found["decoder"].setdefault(sampler, {})[str(n)] = right(bench, settings, {})
            settings = {"sampler": sampler, "prior_steps": n}
            found["prior"].setdefault(sampler, {})[str(n)] = right(bench, {}, settings)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=int, default=1000, help="how many unseen captions (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    test = Scenes("test", args.captions, seed=args.seed + 100)
    cascade, judge = minunclip.load("scenes"), Judge.from_pretrained("scenes")
    bench = Bench(cascade, judge, [test[i] for i in range(args.captions)], args.seed)
    found = measure(bench, STEPS)
    of_the_model = {"sampler": cascade.settings.sampler, "decoder": cascade.settings.decoder_steps,
                    "prior": cascade.settings.prior_steps}  # fmt: skip
    save("samplers", found | {"machine": machine(), "captions": args.captions, "seed": args.seed,
                              "settings": of_the_model})  # fmt: skip


if __name__ == "__main__":
    main()
