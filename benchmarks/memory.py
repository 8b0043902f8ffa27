"""Peak memory and seconds of every stage, in each memory mode, with Karlo's sizes and random weights.

    python benchmarks/memory.py                     one picture in each mode, with the steps of the release
    python benchmarks/memory.py --steps 2           the peaks, in a fraction of the time
    python benchmarks/memory.py --files float32     weights on disk as the release has them: 13.7 GB, not 6.8
    python benchmarks/memory.py --tiny              narrow networks, to see that it runs; nothing is saved

Each mode draws in a process of its own. The weights are written beforehand, to a temporary folder, so they are read
from a warm disk. The peak is that of the whole process, Python and PyTorch included; on Linux it is taken for each
stage, elsewhere it is the highest so far. The numbers go into data/results/memory.json and from there into the README.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from results import machine, save, weights_in

import minunclip
from minunclip.common import best_device, best_dtype
from minunclip.pretrained import MODES

# -- one mode, in this process -------------------------------------------------------------------------------


def peak(device: torch.device) -> tuple[float, float]:
    """GB of RAM and of GPU memory since the last `forget_peak`."""
    status = Path("/proc/self/status")
    if status.is_file():
        ram = 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    else:
        import resource

        ram = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return ram / 1e9, torch.cuda.max_memory_reserved() / 1e9 if device.type == "cuda" else 0.0


def forget_peak(device: torch.device) -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def measure(folder: Path, mode: str, dtype: torch.dtype, steps: int | None) -> Iterator[dict]:
    """What a mode takes: loading, then each stage. The first one also reads the caption."""
    device, start = best_device(), time.perf_counter()

    def taken(what: str) -> dict:
        nonlocal start
        seconds, (ram, gpu), start = time.perf_counter() - start, peak(device), time.perf_counter()
        forget_peak(device)
        return {"what": what, "seconds": round(seconds, 2), "ram": round(ram, 3), "gpu": round(gpu, 3)}

    forget_peak(device)
    cascade = minunclip.load(str(folder), device, dtype, mode)
    yield taken("loading")
    settings = cascade.settings
    if steps:
        settings = replace(settings, prior_steps=steps, decoder_steps=steps, upsampler_steps=(steps,))
    stream = cascade.stream(["a corgi playing a trumpet"], settings=settings)
    for progress in stream:
        if progress.done == progress.total:
            yield taken(progress.stage)
    assert stream.result.image.isfinite().all()


# -- all of them ---------------------------------------------------------------------------------------------


def in_a_process(folder: Path, mode: str, dtype: torch.dtype, steps: int | None) -> list[dict] | None:
    command = [sys.executable, __file__, "--measure", str(folder), "--modes", mode, "--dtype", str(dtype)[6:]]
    done = subprocess.run(command + (["--steps", str(steps)] if steps else []), stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory and seconds of every stage, in each memory mode.")
    parser.add_argument("--tiny", action="store_true", help="narrow networks, to see that it runs")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="default: the best there is")
    parser.add_argument("--files", choices=("float32", "bfloat16"), default="bfloat16", help="the weights on disk")
    parser.add_argument("--steps", type=int, help="of every stage (default: 25, 25 and 7)")
    parser.add_argument("--folder", type=Path, help="where the weights lie, or are written to and kept")
    parser.add_argument("--measure", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)  # what the processes do
    args = parser.parse_args()
    device = best_device().type
    dtype = getattr(torch, args.dtype) if args.dtype else best_dtype(device)
    if args.measure:
        for stage in measure(args.measure, args.modes[0], dtype, args.steps):
            print(json.dumps(stage), flush=True)
        return
    run = {"device": device, "dtype": str(dtype)[6:], "files": args.files, "steps": args.steps, "modes": {}}
    with weights_in(args.folder, args.tiny, getattr(torch, args.files)) as folder:
        for mode in args.modes:
            if stages := in_a_process(folder, mode, dtype, args.steps):
                run["modes"][mode] = stages
            print(f"{mode}: {stages or 'failed'}", flush=True)
    save("memory", {"machine": machine(), "runs": {f"{device}, {run['dtype']}": run}}, args.tiny)


if __name__ == "__main__":
    main()
