"""Two ways to an image embedding: the diffusion prior against the autoregressive one (unCLIP section 2.2, Table 1)."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import torch

from ..ar_prior import ARPrior
from ..diversity import effective_number
from ..metrics import Estimate, Share, average, bootstrap
from ..unclip import UnCLIP
from .binding import outcomes, pairs_for
from .study import Study, Variety
from .suite import Found

MISSING = ("The autoregressive prior has no weights here: `ar-prior.safetensors` is not among the shipped files, so "
           "only the diffusion prior was measured.")  # fmt: skip


def two_priors(study: Study) -> Found:
    """Fidelity, variety and time. The diffusion prior draws two z_i and keeps the better; the other asks for a fit.

    Both are unguided; the decoder, its seeds and its settings are the same.
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


def clocked(make) -> tuple[torch.Tensor, float]:
    """A tensor and the seconds until it was there."""
    start = time.perf_counter()
    made = make()
    made.sum().item()                                                   # waits for a GPU
    return made, time.perf_counter() - start


def compared(a: Variety, b: Variety, seed: int) -> dict[str, Estimate]:
    """a's fidelity and variety as parts of b's, over the same captions."""
    n = len(a.fidelity)
    mean = lambda variety, rows: variety.fidelity[rows].mean()  # noqa: E731
    found = {"ratio of fidelity": bootstrap(lambda rows: ratio(mean(a, rows), mean(b, rows)), n, seed)}
    for name, kind in (("diversity", "facts"), ("style variability", "style")):
        gap = getattr(a, kind) - getattr(b, kind)                       # NaN for a caption that either lacks
        found[f"ratio of {name}"] = bootstrap(lambda rows, gap=gap: effective_number(gap[rows]), n, seed)
    return found


def ratio(a: float, b: float) -> float:
    return a / b if b else float("nan")
