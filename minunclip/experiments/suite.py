"""`minunclip evaluate --suite paper`: what unCLIP's evaluation found, measured where the truth is known.

Each part is a function of a Study that returns what it found; PARTS names them all. All pictures are the decoder's,
and what they show is what the judge reads. A notebook shows single pieces of the results with `table` and `figure`.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

from ..common import DATA, best_device, check_target, machine, save_png, write_text
from ..evaluation import Bench, Judge
from ..pretrained import load
from ..scenes import Scenes
from .attribute_binding import attribute_binding
from .conditioning import conditionings, rerank
from .figures import figures_of
from .guidance import guidance, prior_guidance
from .guidance_ways import guidance_ways
from .probing import inversion, probing
from .report import page
from .routes import routes
from .runner import markdown, run, weight_sums
from .study import FULL, QUICK, Study
from .text_diffs import text_diffs
from .two_priors import two_priors
from .typographic_attack import typographic_attack
from .variations import interpolations, variations

PARTS = (guidance, guidance_ways, conditionings, routes, rerank, prior_guidance, two_priors, variations,
         interpolations, text_diffs, probing, attribute_binding, typographic_attack, inversion)  # fmt: skip

MEASURED_WITH = ("clip", "decoder", "judge", "prior")  # the stages behind every part: small pictures need no upsampler


def measure(out: Path | None = None, seed: int = 0, quick: bool = False, fresh: bool = False) -> str:
    """Measure every part and return the tables; leave NAME.json, figures and README.md in `out`/results/paper.

    What is measured already is kept, unless `fresh`. quick: minutes on two CPU cores, and wide intervals; by default
    it writes to data/quick, so that it replaces nothing.
    """
    size, device = QUICK if quick else FULL, best_device()
    folder = (out or (DATA / "quick" if quick else DATA)) / "results" / "paper"
    check_target(folder / "README.md")
    test = Scenes("test", max(size.singles, size.groups, 4 * size.edits), seed=seed + 100)
    items = [test[i] for i in range(len(test))]
    bench = Bench(load("scenes", device), Judge.from_pretrained("scenes", device), items, seed)
    parts = {part.__name__: partial(part, Study(bench, size)) for part in PARTS}
    made_with = {name: {"weights": weight_sums(stages_of(name)), "seed": seed, "size": asdict(size)} for name in parts}
    results = run(parts, folder, made_with, fresh=fresh, where=machine(device))
    figures = figures_of(results)
    for pictures in figures.values():
        for name, picture in pictures.items():
            save_png(picture.image, folder / f"{name}.png", f"{picture.alt} ({machine(device)}, seed {seed})")
    write_text(folder / "README.md", page(folder, asdict(size), figures))
    return markdown(results)


def stages_of(part: str) -> tuple[str, ...]:
    """The stages that a part's numbers depend on."""
    return (*MEASURED_WITH, "ar-prior") if part in ("two_priors", "routes") else MEASURED_WITH
