"""Karlo's networks and whole pictures, ours beside diffusers', at full size with the same random weights.

    python benchmarks/karlo.py                          all of it: an hour on two cores
    python benchmarks/karlo.py --only networks          seconds per forward of each network, float32 and bfloat16
    python benchmarks/karlo.py --only pipeline          whole pictures, and the time until a cascade is ready
    python benchmarks/karlo.py --tiny                   narrow networks, to see that it runs; nothing is saved

It needs 18 GB of memory, or 9 GB for the networks alone, and 14 GB of temporary disk (`--folder` keeps the weights for
the next run). The two take turns, so that whatever else the machine does disturbs both. The numbers go into
data/results/karlo.json and from there into the README. It needs diffusers: `uv run` brings it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from results import machine, save, weights_in

sys.path += [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "tests" / "parity")]

import minunclip  # noqa: E402
from minunclip.common import best_dtype  # noqa: E402
from minunclip.pretrained import LazyStage, decoder_part, prior_part, upsampler_part
from minunclip.text import Text  # noqa: E402

CAPTION = "a corgi playing a flame-throwing trumpet"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# -- one network: two functions of no argument, ours and theirs, of the same inputs --------------------------


def oracle(folder: Path, part: str, dtype):
    from diffusers.utils import logging
    from test_full_size import ORACLES

    logging.set_verbosity_error()                                       # it tells much about what it lacks
    return ORACLES[part].from_pretrained(folder / part).to(dtype).eval()


def normal(*shape: int, seed: int = 1, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def prior(folder: Path, dtype):
    """Guided, as Karlo runs it: two rows. The caption's part of the sequence is computed once, before the steps."""
    theirs, ours = oracle(folder, "prior", dtype), LazyStage.of(prior_part(folder)).load(dtype=dtype)
    c = ours.config
    z, z_t, tokens = (normal(2, *shape, c.z_width, seed=i, dtype=dtype) for i, shape in enumerate([(), (), (77,)]))
    mask = torch.arange(77).expand(2, -1) < 9
    prefix, t = ours.prefix(Text(z_t, tokens, mask)), torch.tensor([500, 500])
    return (lambda: ours(z, t, prefix)), (lambda: theirs(z, 500, z_t, tokens, mask).predicted_image_embedding)


def decoder(folder: Path, dtype):
    project, theirs = oracle(folder, "text_proj", dtype), oracle(folder, "decoder", dtype)
    ours = LazyStage.of(decoder_part(folder)).load(dtype=dtype)
    x, width = normal(2, 3, 64, 64, dtype=dtype), ours.config.z_width
    z_i, z_t, tokens = (normal(2, *shape, width, seed=i, dtype=dtype) for i, shape in enumerate([(), (), (77,)]))
    mask = torch.arange(77).expand(2, -1) < 9
    context, added = project(image_embeddings=z_i, prompt_embeds=z_t, text_encoder_hidden_states=tokens,
                             do_classifier_free_guidance=False)  # fmt: skip
    condition, t = ours.condition(z_i, Text(z_t, tokens, mask)), torch.tensor([500, 500])
    words = {"encoder_hidden_states": context, "class_labels": added,
             "attention_mask": torch.nn.functional.pad(mask, (4, 0), value=True)}  # fmt: skip
    return (lambda: ours(x, t, condition=condition)), (lambda: theirs(x, 500, **words).sample)


def upsampler(folder: Path, dtype):
    theirs, ours = oracle(folder, "super_res_first", dtype), LazyStage.of(upsampler_part(folder, 64)).load(dtype=dtype)
    ours.last_unet = None                                               # its memory is better used
    x, low = (normal(1, 3, 256, 256, seed=seed, dtype=dtype) for seed in (1, 4))
    return (lambda: ours(x, torch.tensor([500]), low)), (lambda: theirs(torch.cat([x, low], 1), 500).sample)


NETWORKS = {"prior": prior, "decoder": decoder, "upsampler": upsampler}


@torch.no_grad()
def compare(name: str, folder: Path, dtype, rounds: int) -> dict[str, float]:
    """Median seconds of both, and the relative root mean square of their difference."""
    from helpers import relative_error

    ours, theirs = NETWORKS[name](folder, dtype)
    error, times = relative_error(ours().float(), theirs().float()), {ours: [], theirs: []}
    for _ in range(rounds):
        for run in times:
            start = time.perf_counter()
            run()
            times[run].append(time.perf_counter() - start)
    us, them = (statistics.median(times[run]) for run in (ours, theirs))
    return {"ours": us, "diffusers": them, "difference": error}


# -- a whole picture, each program in a process of its own ---------------------------------------------------


def run_diffusers(folder: Path, out: Path, steps: list[int] | None) -> dict:
    """Their pipeline in float32, all networks in memory; leaves the noise that it drew, and its pictures, in `out`."""
    import karlo_folder
    from diffusers.schedulers import UnCLIPScheduler
    from transformers import CLIPTextModelWithProjection

    start = time.perf_counter()
    parts = {name: oracle(folder, name, torch.float32) for name in
             ("prior", "text_proj", "decoder", "super_res_first", "super_res_last")}  # fmt: skip
    parts["text_encoder"] = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder").eval()
    for name in ("prior", "decoder", "super_res"):
        parts[f"{name}_scheduler"] = UnCLIPScheduler.from_pretrained(folder / f"{name}_scheduler")
    ready, start = time.perf_counter() - start, time.perf_counter()
    width = parts["prior"].config.embedding_dim
    record = karlo_folder.reference_run(parts, [CAPTION], steps or [25, 25, 7], (width, 64, 256))
    pictures = {64: record.samples["decoder"][-1].clamp(-1, 1), 256: record.samples["upsampler-1"][-1].clamp(-1, 1)}
    torch.save({"noise": record.noise, "pictures": pictures}, out)
    return {"ready": ready, "seconds": time.perf_counter() - start}


def run_ours(folder: Path, out: Path, steps: list[int] | None, dtype) -> dict:
    """Ours with the same noise: seconds until it is ready and for the picture, and how far its pictures are off."""
    from karlo_folder import quantile

    theirs, start = torch.load(out, weights_only=True), time.perf_counter()
    cascade = minunclip.load(folder, "cpu", dtype, "resident")
    ready, settings, start = time.perf_counter() - start, cascade.settings, time.perf_counter()
    if steps:
        settings = replace(settings, prior_steps=steps[0], decoder_steps=steps[1], upsampler_steps=(steps[2],))
    images = cascade.sample([CAPTION], settings=settings, noise=theirs["noise"]).images
    seconds = time.perf_counter() - start
    off = {str(side): quantile(images[side], picture) for side, picture in theirs["pictures"].items()}
    return {"ready": ready, "seconds": seconds, "differences": off}


def in_a_process(program: str, folder: Path, out: Path, args) -> dict | None:
    steps = [str(n) for n in args.steps or ()]
    command = [sys.executable, __file__, "--program", program, "--folder", str(folder), "--record", str(out)]
    done = subprocess.run(command + (["--steps", *steps] if steps else []), stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def pipelines(folder: Path, args) -> dict:
    """By program; the CPU's default is one of them. A program that fails, such as for memory, is left out."""
    found, kinds = {}, dict.fromkeys(["float32", str(best_dtype("cpu"))[6:]])
    with tempfile.TemporaryDirectory() as temporary:
        for program in ("diffusers", *kinds):
            found[program] = in_a_process(program, folder, Path(temporary) / "run.pt", args)
            print(f"a whole picture, {program}: {found[program] or 'failed'}", flush=True)
    return {program: result for program, result in found.items() if result}


# -- all of it -----------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description="Karlo's networks and pictures, ours beside diffusers'.")
    parser.add_argument("--only", choices=("networks", "pipeline"))
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--dtypes", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs=3, metavar="N", help="prior, decoder, upsampler (default: 25 25 7)")
    parser.add_argument("--tiny", action="store_true", help="narrow networks, to see that it runs")
    parser.add_argument("--folder", type=Path, help="where the weights lie, or are written to and kept")
    parser.add_argument("--program", help=argparse.SUPPRESS)            # what the processes do
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.program:
        what = (args.folder, args.record, args.steps)
        result = run_diffusers(*what) if args.program == "diffusers" else run_ours(*what, DTYPES[args.program])
        return print(json.dumps(result))
    found = {"machine": machine()}
    with weights_in(args.folder, args.tiny, torch.float32) as folder:
        for kind in args.dtypes if args.only != "pipeline" else ():
            for name in args.networks:
                found.setdefault(kind, {})[name] = compare(name, folder, DTYPES[kind], args.rounds)
                print(f"{name} in {kind}: {found[kind][name]}", flush=True)
        if args.only != "networks":
            found["pipeline"] = pipelines(folder, args)
    save("karlo", found, args.tiny)


if __name__ == "__main__":
    main()
