"""Seconds from a caption to a picture, by side, warm and cold: `python benchmarks/draw.py`."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import minunclip

CAPTION = "a big red circle above a small blue square"


def seconds(work, rounds: int) -> float:
    """The median of some rounds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def cold() -> None:
    """A new process, from its start to the PNG at 512 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "minunclip", "draw", CAPTION, "--out", str(Path(folder) / "picture.png")]
        subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    cascade = minunclip.load("scenes")
    cascade.sample([CAPTION])  # warm up
    print("| one caption | seconds |\n| --- | --- |")
    for side in cascade.sizes:
        print(f"| to {side} px, models loaded | {seconds(lambda s=side: cascade.sample([CAPTION], size=s), 5):.2f} |")
    print(f"| `minunclip draw`, a new process to the PNG | {seconds(cold, 3):.2f} |")


if __name__ == "__main__":
    main()
