"""What a picture's codes hold: z_i, component by component (unCLIP section 4, figure 7), and x_T (section 3)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..evaluation import Estimate, average, everything, psnr, resamples, same_facts, true_facts
from ..manipulations import probe
from ..plots import Picture, show
from ..scenes import FACTS, Scene
from .curves import between, reach
from .runner import Found
from .study import Study

COMPONENTS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
INVERSION_STEPS = (25, 50, 100, 250)
COUNTED = (*FACTS, "count")                 # what is looked for in the pictures


# -- z_i, component by component -----------------------------------------------------------------------------


def probing(study: Study) -> Found:
    """Which facts come back from the first principal components of z_i alone, the others at their mean."""
    cascade, scenes = study.bench.cascade, study.true_scenes
    pca = study.components()
    latent, s = study.fresh(study.encode(study.true_pictures(scenes))), cascade.settings
    counts = [k for k in COMPONENTS if k < len(pca.basis)] + [len(pca.basis)]
    rows, curves, strip = [], [], []
    for k in counts:
        drawn = study.drawn(probe(latent, pca, k), f"{k} components", steps=s.decoder_steps,
                            guidance=s.decoder_guidance)  # fmt: skip
        seen = study.read(drawn)
        held = float(pca.variances[:k].sum() / pca.variances.sum())
        rows.append({"components": k, "variance held": held, **same_facts(scenes, seen)})
        curves.append(hits(scenes, seen))
        strip.append(drawn[:4])
    return {
        "facts from the first components of z_i": rows,
        "components that a fact needs": order(curves, counts, study.seed),
        "probing": strip_of_probes(strip, counts, study.seed),
    }


def hits(scenes: list[Scene], seen: list[Scene]) -> dict[str, np.ndarray]:
    """Per fact how many are right in each picture, and how many there are: float64 (2, B)."""
    tables = [true_facts(everything(scene), copy) for scene, copy in zip(scenes, seen, strict=True)]
    return {fact: np.array([[sum(table[fact]) for table in tables], [len(table[fact]) for table in tables]], float)
            for fact in COUNTED}  # fmt: skip


def order(curves: list[dict[str, np.ndarray]], counts: list[int], seed: int) -> list[dict]:
    """How many components recover half of what all of them recover beyond none, per fact, the fewest first.

    curves: by the number of components in `counts`, what `hits` found
    """
    rows = []
    for fact in COUNTED:
        values = np.stack([curve[fact] for curve in curves])                        # (K, 2, B)
        (none, _), (full, total) = values[0].sum(axis=1), values[-1].sum(axis=1)
        if total:
            rows.append({"fact": fact, "components": need(values, counts, seed),
                         "from none": none / total, "from all": full / total})  # fmt: skip
    return sorted(rows, key=lambda row: (np.isnan(row["components"].value), row["components"].value))


def need(values: np.ndarray, counts: list[int], seed: int) -> Estimate:
    """`needed` for the sum over all pictures of their hits and totals (K, 2, B)."""
    n = values.shape[2]
    redrawn = [needed(values[:, :, rows].sum(axis=2), counts) for rows in resamples(n, seed)]
    return Estimate.of(needed(values.sum(axis=2), counts), redrawn, n)


def needed(curve: np.ndarray, counts: list[int]) -> float:
    """The count at which hits / totals (K, 2) first come halfway from their first value to their last.

    NaN if the last is not larger than the first.
    """
    with np.errstate(invalid="ignore"):
        share = curve[:, 0] / curve[:, 1]
    if not share[-1] > share[0]:
        return float("nan")
    return between(counts, reach(share, (share[0] + share[-1]) / 2))


def strip_of_probes(strip: list[Tensor], counts: list[int], seed: int) -> Picture:
    """Some pictures, one in a row, drawn from more and more components."""
    pictures = [image for row in zip(*strip, strict=True) for image in row]
    names = [f"{k} of {counts[-1]}" for k in counts] * len(strip[0])
    alt = (f"{len(strip[0])} rows of pictures, each drawn from a z_i of which only the first "
           f"{', '.join(map(str, counts))} components are kept, with the same noise; seed {seed}.")  # fmt: skip
    return show(pictures, names, columns=len(counts), title="From the first components of z_i", seed=seed,
                side=96, alt=alt)  # fmt: skip


# -- there and back ------------------------------------------------------------------------------------------


def inversion(study: Study) -> Found:
    """How exactly a picture comes back from its z_i and its inverted x_T, with more and more steps."""
    scenes, rows = study.true_scenes[: study.size.inversions], []
    images = study.true_pictures(scenes)
    for corrections in (1, 3):
        for steps in INVERSION_STEPS:
            latent = study.inverted(images, steps, corrections)
            again = study.drawn(latent, f"again, {steps} steps", steps=steps)
            decibels, spread = psnr(again, images).numpy(), latent.x_T.flatten(1).std(dim=1).cpu().numpy()
            same = same_facts(scenes, study.read(again))["scene"]
            rows.append({"corrections": corrections, "steps": steps, "PSNR in dB": average(decibels, study.seed),
                         "spread of x_T": average(spread, study.seed), "same scene": same})  # fmt: skip
    return {"pictures inverted and drawn again": rows}
