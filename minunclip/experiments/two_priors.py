"""Two ways to an image embedding: the diffusion prior against the autoregressive one (unCLIP section 2.2, Table 1)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..ar_prior import ARPrior
from ..evaluation import Estimate, Share, average, bootstrap
from ..unclip import UnCLIP
from .attribute_binding import outcomes, pairs_for
from .runner import Found
from .study import VARIETIES, Study, Variety, number_of

MISSING = ("The autoregressive prior has no weights here: `ar-prior.safetensors` is not among the shipped files, so "
           "only the diffusion prior was measured.")  # fmt: skip


def two_priors(study: Study) -> Found:
    """Fidelity, variety and time. Both priors are unguided; the decoder, its seeds and its settings are the same.

    The diffusion prior draws two z_i and keeps the better one. The autoregressive prior draws one, and is told how near
    to z_t it should be.
    """
    found = {"diffusion, best of 2": measured(study, "diffusion prior", candidates=2)}
    colours = [{"prior": "diffusion, best of 2", **bound(study, "diffusion prior", candidates=2)}]
    if other := with_ar_prior(study):
        found["autoregressive"] = measured(other, "autoregressive prior", candidates=1)
        colours.append({"prior": "autoregressive", **bound(other, "autoregressive prior", candidates=1)})
    rows = [{"prior": name, **variety.row(study.seed), "nearness to z_t": near, **seconds}
            for name, (variety, near, seconds) in found.items()]  # fmt: skip
    tables = {"the two priors": rows, "colours of two things, from z_i alone": colours}
    if not other:
        return tables | {"the autoregressive prior": MISSING}
    ours, theirs = (variety for variety, *_ in found.values())
    return tables | {"the autoregressive prior compared": [compared(theirs, ours, study.seed)]}


def with_ar_prior(study: Study) -> Study | None:
    """The same study with the shipped autoregressive prior; None if there is none."""
    cascade = study.bench.cascade
    try:
        prior = ARPrior.from_pretrained("scenes", cascade.device)
    except FileNotFoundError:
        return None
    other = UnCLIP(cascade.clip, prior, cascade.decoder, cascade.upsamplers)
    other.settings = cascade.settings
    return replace(study, bench=replace(study.bench, cascade=other))


def measured(study: Study, name: str, candidates: int) -> tuple[Variety, Estimate, dict[str, float]]:
    """The variety of its pictures, the cosine of its z_i and their z_t, and how long its z_i take."""
    captions, how = study.group_captions, {"candidates": candidates, "prior_guidance": 1.0}
    one = min(clocked(lambda: study.embed(captions[:1], **how))[1] for _ in range(3))
    z_i, seconds = clocked(lambda: study.embed(captions, **how))
    z_t = torch.cat([study.bench.cascade.encode_text(captions[rows]).embed for rows in study.batches(len(captions))])
    near = torch.cosine_similarity(z_i, z_t).view(len(study.groups), -1).mean(dim=1).cpu().numpy()
    times = {"seconds for one z_i": one, "seconds for 100 z_i": 100 * seconds / len(captions)}
    return study.variety(z_i, name), average(near, study.seed), times


def bound(study: Study, name: str, candidates: int) -> dict[str, Share]:
    """How often two things get their own colours, each other's, or something else, from this prior's z_i alone."""
    pairs = pairs_for(study)
    z_i = study.embed([pair.caption for pair in pairs], candidates=candidates, prior_guidance=1.0)
    seen = study.read(study.pictures([""] * len(pairs), z_i, f"{name}, colours"))
    return outcomes(Counter(pair.outcome(scene) for pair, scene in zip(pairs, seen, strict=True)))


def clocked(make: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """A tensor, and the seconds that it took to make."""
    start = time.perf_counter()
    made = make()
    made.sum().item()                                                   # waits for a GPU
    return made, time.perf_counter() - start


def compared(a: Variety, b: Variety, seed: int) -> dict[str, Estimate]:
    """The fidelity and the variety of a, divided by those of b, over the same captions."""
    def of_fidelity(rows: np.ndarray) -> float:
        return ratio(a.fidelity[rows].mean(), b.fidelity[rows].mean())

    found = {"ratio of fidelity": bootstrap(of_fidelity, len(a.fidelity), seed)}
    for name, kind in VARIETIES.items():
        found[f"ratio of {name}"] = number_of(getattr(a, kind) - getattr(b, kind), seed)   # NaN if either has none
    return found


def ratio(a: float, b: float) -> float:
    """a / b, or NaN for b = 0."""
    return a / b if b else float("nan")
