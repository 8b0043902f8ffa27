"""`minunclip evaluate --suite paper`: what unCLIP's evaluation found, measured where the truth is known.

Each part is a function of a Study that returns tables of what it found; PARTS names them all. All pictures are the
decoder's, and what they show is what the judge reads.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ..draw import best_device, save_png
from ..evaluate import Bench, machine
from ..judge import Judge
from ..scenes import Scenes
from ..stage import PACKAGE
from ..unclip import UnCLIP
from .prior import conditionings, rerank
from .study import FULL, QUICK, Study
from .suite import markdown, run, weight_sums
from .tradeoff import guidance, guidance_figures, prior_guidance

PARTS = (guidance, conditionings, rerank, prior_guidance)
FIGURES = (guidance_figures,)


def measure(out: Path | None = None, seed: int = 0, quick: bool = False, fresh: bool = False) -> str:
    """Measure every part and return the tables; leave NAME.json under `out`/results/paper, figures in `out`/results.

    What is measured already is kept, unless `fresh`. quick: minutes on two CPU cores, and wide intervals; by default
    it writes to data/quick, so that it replaces nothing.
    """
    data, size, device = PACKAGE.parent / "data", QUICK if quick else FULL, best_device()
    folder = (out or (data / "quick" if quick else data)) / "results"
    test = Scenes("test", max(size.singles, size.groups), seed=seed + 100)
    items = [test[i] for i in range(len(test))]
    bench = Bench(UnCLIP.from_pretrained("scenes", device), Judge.from_pretrained("scenes", device), items, seed)
    parts = {part.__name__: lambda part=part: part(Study(bench, size)) for part in PARTS}
    made_with = {"weights": weight_sums(), "seed": seed, "size": asdict(size)}
    results = run(parts, folder / "paper", made_with, fresh)
    for figures in FIGURES:
        for name, picture in figures(results).items():
            save_png(picture.image, folder / f"{name}.png", f"{picture.alt} ({machine(device)}, seed {seed})")
    return markdown(results)
