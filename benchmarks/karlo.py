"""Seconds per forward of Karlo's networks at full size, ours beside diffusers' with the same weights.

    python benchmarks/karlo.py                          every network in float32
    python benchmarks/karlo.py decoder --dtype bfloat16 one of them, in bf16

Random weights of the published sizes; the largest network needs about 9 GB of memory and 4 GB of temporary disk.
The two take turns, so that whatever else the machine does disturbs both. It needs diffusers: `uv run` brings it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path += [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "tests" / "parity")]

from helpers import normal, relative_error  # noqa: E402
from test_full_size import oracle, write_configs  # noqa: E402

from minunclip.released import plan_decoder, plan_prior, plan_upsampler  # noqa: E402
from minunclip.text import Text  # noqa: E402


def prior(folder: Path, dtype):
    """Guided, as Karlo runs it: two rows. The caption's part of the sequence is computed once, before the steps."""
    theirs, ours = oracle(folder, "prior").to(dtype), plan_prior(folder).load(dtype=dtype)
    z, z_t, tokens = (normal(2, *shape, seed=i).to(dtype) for i, shape in enumerate([(768,), (768,), (77, 768)]))
    mask = torch.arange(77).expand(2, -1) < 9
    prefix, t = ours.prefix(Text(z_t, tokens, mask)), torch.tensor([500, 500])
    return (lambda: ours(z, t, prefix)), (lambda: theirs(z, 500, z_t, tokens, mask).predicted_image_embedding)


def decoder(folder: Path, dtype):
    project, theirs = oracle(folder, "text_proj").to(dtype), oracle(folder, "decoder").to(dtype)
    ours = plan_decoder(folder).load(dtype=dtype)
    x, z_i, z_t = (normal(2, *shape, seed=i).to(dtype) for i, shape in enumerate([(3, 64, 64), (768,), (768,)]))
    tokens, mask = normal(2, 77, 768, seed=3).to(dtype), torch.arange(77).expand(2, -1) < 9
    context, added = project(image_embeddings=z_i, prompt_embeds=z_t, text_encoder_hidden_states=tokens,
                             do_classifier_free_guidance=False)  # fmt: skip
    condition, t = ours.condition(z_i, Text(z_t, tokens, mask)), torch.tensor([500, 500])
    words = {"encoder_hidden_states": context, "class_labels": added,
             "attention_mask": torch.nn.functional.pad(mask, (4, 0), value=True)}  # fmt: skip
    return (lambda: ours(x, t, condition=condition)), (lambda: theirs(x, 500, **words).sample)


def upsampler(folder: Path, dtype):
    theirs = oracle(folder, "super_res_first").to(dtype)
    (folder / "super_res_last").mkdir(exist_ok=True)
    name = "diffusion_pytorch_model.safetensors"
    (folder / "super_res_last" / name).hardlink_to(folder / "super_res_first" / name)
    ours = plan_upsampler(folder, 64).load(dtype=dtype)
    x, low = normal(1, 3, 256, 256).to(dtype), normal(1, 3, 256, 256, seed=4).to(dtype)
    return (lambda: ours(x, torch.tensor([500]), low)), (lambda: theirs(torch.cat([x, low], 1), 500).sample)


NETWORKS = {"prior": prior, "decoder": decoder, "upsampler": upsampler}


@torch.no_grad()
def compare(name: str, dtype, rounds: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        write_configs(Path(folder))
        ours, theirs = NETWORKS[name](Path(folder), dtype)
        error, times = relative_error(ours().float(), theirs().float()), {ours: [], theirs: []}
        for _ in range(rounds):
            for run in times:
                start = time.perf_counter()
                run()
                times[run].append(time.perf_counter() - start)
    us, them = (statistics.median(times[run]) for run in (ours, theirs))
    return f"| {name} | {us:.2f} | {them:.2f} | {us / them:.2f} | {error:.1e} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Karlo's networks, ours beside diffusers'.")
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=", ".join(NETWORKS))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print("| network | ours, s | diffusers, s | ratio | relative difference |\n| --- | --- | --- | --- | --- |")
    for name in args.networks:
        print(compare(name, getattr(torch, args.dtype), args.rounds), flush=True)


if __name__ == "__main__":
    main()
