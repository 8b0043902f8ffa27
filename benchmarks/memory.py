"""Peak memory and seconds of every stage, in each memory mode, with Karlo's sizes and random weights.

    python benchmarks/memory.py                     one picture in each mode, with the steps of the release
    python benchmarks/memory.py --steps 2           the peaks, in a fraction of the time
    python benchmarks/memory.py --files float32     weights on disk as the release has them: 13.7 GB, not 6.8
    python benchmarks/memory.py --tiny              the same with tiny networks, to see that it runs

Each mode draws in a process of its own. The weights are written beforehand, to a temporary folder, so they are read
from a warm disk. The peak is that of the whole process, Python and PyTorch included; on Linux it is taken for each
stage, elsewhere it is the highest so far. It needs diffusers: `uv run` brings it.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from minunclip.memory import MODES, best_device, best_dtype
from minunclip.unclip import UnCLIP

TESTS = Path(__file__).parents[1] / "tests"
CODES = {torch.float32: "F32", torch.bfloat16: "BF16"}


# ---- the folder ----


def write_folder(folder: Path, tiny: bool, dtype: torch.dtype) -> None:
    """A cascade of Karlo's layout with random weights."""
    sys.path += [str(TESTS), str(TESTS / "parity")]
    if tiny:
        import karlo_folder

        return karlo_folder.write(folder, karlo_folder.components())
    from test_full_size import ORACLES, PUBLISHED, write_configs
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    write_configs(folder)
    with torch.device("meta"):
        text = CLIPTextModelWithProjection(CLIPTextConfig(**PUBLISHED["text_encoder"]))
        networks = {name: ORACLES[name].from_config(PUBLISHED[name]) for name in ORACLES}
    write_weights(folder / "text_encoder" / "model.safetensors", text, dtype)
    for name, network in networks.items():
        write_weights(folder / name / "diffusion_pytorch_model.safetensors", network, dtype)


def write_weights(path: Path, network: torch.nn.Module, dtype: torch.dtype) -> None:
    """A safetensors file, written tensor by tensor: the length of the header, the header, the numbers."""
    header, end = {}, 0
    for name, tensor in network.state_dict().items():
        start, end = end, end + tensor.numel() * dtype.itemsize
        header[name] = {"dtype": CODES[dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in network.state_dict().items():
            for numbers in weights(name, tensor.shape):
                file.write(numbers.to(dtype).view(torch.uint8).numpy())


def weights(name: str, shape: torch.Size) -> Iterator[torch.Tensor]:
    """Random weights that keep the size of what runs through them: the same million numbers again and again."""
    noise = torch.randn(2**20, generator=torch.Generator().manual_seed(0))
    noise = noise / math.prod(shape[1:]) ** 0.5 if len(shape) > 1 else 0.1 * noise + name.endswith("weight")
    for start in range(0, math.prod(shape), len(noise)):
        yield noise[: math.prod(shape) - start]


# ---- one mode, in this process ----


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


def measure(folder: Path, mode: str, dtype: torch.dtype, steps: int | None) -> Iterator[str]:
    """The rows of a mode: loading, then each stage. The first one also reads the caption."""
    device, start = best_device(), time.perf_counter()

    def row(what: str) -> str:
        nonlocal start
        seconds, (ram, gpu), start = time.perf_counter() - start, peak(device), time.perf_counter()
        forget_peak(device)
        return f"| {mode} | {what} | {seconds:.1f} | {ram:.2f} | {gpu:.2f} |"

    cascade = UnCLIP.from_pretrained(str(folder), device, dtype, mode)
    yield row("from_pretrained")
    settings = cascade.settings
    if steps:
        settings = replace(settings, prior_steps=steps, decoder_steps=steps, upsampler_steps=(steps,))
    for progress in cascade.stream(["a corgi playing a trumpet"], settings=settings):
        if progress.done == progress.total:
            yield row(f"{progress.stage}, {progress.total} steps")
    assert progress.drawing.image.isfinite().all()


# ---- all of them ----


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory and seconds of every stage, in each memory mode.")
    parser.add_argument("--tiny", action="store_true", help="tiny networks")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="default: the best there is")
    parser.add_argument("--files", choices=("float32", "bfloat16"), default="bfloat16", help="the weights on disk")
    parser.add_argument("--steps", type=int, help="of every stage (default: 25, 25 and 7)")
    parser.add_argument("--measure", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)  # what the processes do
    args = parser.parse_args()
    dtype = getattr(torch, args.dtype) if args.dtype else best_dtype(best_device())
    if args.measure:
        for row in measure(args.measure, args.modes[0], dtype, args.steps):
            print(row, flush=True)
        return
    print(f"On {best_device()}, in {dtype}, {torch.get_num_threads()} threads\n")
    print("| mode | stage | seconds | peak RAM, GB | peak GPU, GB |\n| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), args.tiny, getattr(torch, args.files))
        for mode in args.modes:
            options = ["--measure", folder, "--modes", mode, "--dtype", str(dtype)[6:]]
            options += ["--steps", str(args.steps)] if args.steps else []
            if subprocess.run([sys.executable, __file__, *options]).returncode:
                print(f"| {mode} | failed | | | |")


if __name__ == "__main__":
    main()
