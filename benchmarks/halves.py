"""What halving Karlo's files costs: seconds, bytes, and what it changes in a picture, with random weights of its sizes.

    python benchmarks/halves.py                     steps and guidance of the release; 21 GB of disk, 6 GB of RAM
    python benchmarks/halves.py --steps 2           in a fraction of the time
    python benchmarks/halves.py --tiny              narrow networks, to see that it runs

Each picture is drawn with the same noise: from the float32 files, from the halved ones, and from the float32 files by
networks in bfloat16. What is printed is the 90 % quantile of the absolute difference from the first, in pictures of -1
to 1. Random networks are more sensitive than trained ones, above all when they are guided.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from results import machine, weights_in

import minunclip
from minunclip.pretrained.halving import check_half, halve
from minunclip.pretrained.store import half_name


def halved(folder: Path, target: Path) -> None:
    """Every file of weights in half precision and compared, every other one as it is."""
    before, after, start = 0, 0, time.perf_counter()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        copy = target / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            half = Path(half_name(str(copy)))
            halve(path, half)
            check_half(path, half)
            before, after = before + path.stat().st_size, after + half.stat().st_size
        else:
            copy.write_bytes(path.read_bytes())
    seconds = time.perf_counter() - start
    print(f"{before / 1e9:.3f} GB became {after / 1e9:.3f} GB, compared, in {seconds:.1f} s", flush=True)


def drawn(folder: Path, dtype: torch.dtype, steps: int | None, guidance: float | None) -> dict[int, torch.Tensor]:
    cascade = minunclip.load(folder, dtype=dtype, memory="disk")
    settings = cascade.settings
    if steps:
        settings = replace(settings, prior_steps=steps, decoder_steps=steps, upsampler_steps=(steps,))
    if guidance:
        settings = replace(settings, prior_guidance=guidance, decoder_guidance=guidance)
    return cascade.sample(["a corgi playing a trumpet"], seed=0, settings=settings).images


def main() -> None:
    parser = argparse.ArgumentParser(description="What halving Karlo's files costs.")
    parser.add_argument("--tiny", action="store_true", help="narrow networks, to see that it runs")
    parser.add_argument("--steps", type=int, help="of every stage (default: 25, 25 and 7)")
    parser.add_argument("--guidance", type=float, help="of both stages (default: 4 and 8)")
    parser.add_argument("--folder", type=Path, help="where the float32 weights lie, or are written to and kept")
    args = parser.parse_args()
    print(machine())
    with weights_in(args.folder, args.tiny, torch.float32) as folder, tempfile.TemporaryDirectory() as half:
        halved(folder, Path(half))
        expected = drawn(folder, torch.float32, args.steps, args.guidance)
        for name, place, dtype in (("half files", Path(half), torch.float32), ("bfloat16", folder, torch.bfloat16)):
            images = drawn(place, dtype, args.steps, args.guidance)
            found = {side: (images[side] - expected[side]).abs().flatten()[: 2**24].quantile(0.9) for side in images}
            print(name, {side: f"{difference:.1e}" for side, difference in found.items()}, flush=True)


if __name__ == "__main__":
    main()
