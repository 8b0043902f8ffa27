"""Scenes per second on one core, by side: `python benchmarks/render.py`."""

import time

import numpy as np

from minunclip.scenes import describe, draw_scene, render


def rate(work, items) -> float:
    """Items per second, the best of three rounds."""
    rounds = []
    for _ in range(3):
        start = time.perf_counter()
        for item in items:
            work(item)
        rounds.append(len(items) / (time.perf_counter() - start))
    return max(rounds)


def main() -> None:
    rng = np.random.default_rng(0)
    scenes = [draw_scene(rng) for _ in range(400)]
    print("| what | a second, one core |\n| --- | --- |")
    for side, count in ((32, 400), (64, 200), (128, 60), (512, 6)):
        print(f"| scenes at {side} px | {rate(lambda scene, s=side: render(scene, s), scenes[:count]):.0f} |")
    print(f"| captions | {rate(lambda scene: describe(scene, rng), scenes):.0f} |")


if __name__ == "__main__":
    main()
