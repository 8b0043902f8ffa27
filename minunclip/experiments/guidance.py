"""Guidance trades variety for fidelity: how much, with an image embedding and without (unCLIP sections 5.3 to 5.5)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..evaluation import Estimate, complete, effective_number, resamples
from .curves import between, reach
from .runner import Tables
from .study import VARIETIES, Study, Variety

GOAL = 0.98                                 # the fidelity at which two models are compared, if both reach it
Curve = list[Variety]                       # of one model, by guidance


def guidance(study: Study) -> Tables:
    """What the decoder's guidance costs, with z_i from the unguided prior and with the caption alone (figures 9-11)."""
    models = {"full stack": study.embed(study.group_captions, prior_guidance=1.0), "caption alone": None}
    scales = study.size.guidances
    found = {
        model: [study.variety(z_i, f"{model}, guidance {g:g}", decoder_guidance=g) for g in scales]
        for model, z_i in models.items()
    }
    rows = [{"model": model, "guidance": g, **at.row(study.seed)}
            for model in models for g, at in zip(scales, found[model], strict=True)]  # fmt: skip
    return {
        "guidance of the decoder": rows,
        "the most that there can be": [possible(study).row(study.seed)],
        "at equal fidelity": [equal_fidelity(found, scales, study.seed)],
    }


def possible(study: Study) -> Variety:
    """What a perfect model would show in as many pictures of the same captions: all true, and as varied as the world.

    It is measured in the same way as the models, so that its numbers have the error of few pictures as well.
    """
    rng = np.random.default_rng(study.seed)
    said = [item.statement for item in study.groups]
    scenes = [[complete(statement, rng) for _ in range(study.size.samples)] for statement in said]
    return study.measured(scenes)


def equal_fidelity(models: dict[str, Curve], scales: tuple[float, ...], seed: int = 0) -> dict[str, Estimate]:
    """Two models, each at its lowest guidance with a fidelity of GOAL, or with the highest that both reach.

    models: by name, what was measured at each of the guidance `scales`, of the same captions. Between two scales
    everything is interpolated linearly. Each draw of the bootstrap determines the guidances anew. A model that is
    above the level at its lowest guidance already is compared there, and its "fidelity" then differs from the level.
    """
    n = len(next(iter(models.values()))[0].fidelity)
    models = comparable(models)
    found = compare(models, scales, np.arange(n))
    redrawn = [compare(models, scales, rows) for rows in resamples(n, seed)]
    return {name: Estimate.of(value, [draw[name] for draw in redrawn], n) for name, value in found.items()}


def comparable(models: dict[str, Curve]) -> dict[str, Curve]:
    """The same, without the entropies of captions that have none at some guidance of some model.

    Otherwise the means of two models would be over different captions.
    """
    def missing(kind: str) -> np.ndarray:
        """Which captions have no such entropy somewhere: bool (C,)."""
        return np.isnan([getattr(at, kind) for curve in models.values() for at in curve]).any(axis=0)

    gone = {kind: missing(kind) for kind in VARIETIES.values()}

    def without(at: Variety) -> Variety:
        return replace(at, **{kind: np.where(gone[kind], np.nan, getattr(at, kind)) for kind in gone})

    return {model: [without(at) for at in curve] for model, curve in models.items()}


def compare(models: dict[str, Curve], scales: tuple[float, ...], rows: np.ndarray) -> dict[str, float]:
    """The numbers of `equal_fidelity` for some of the captions, by their numbers (n,)."""
    fidelities = {model: np.array([at.fidelity[rows].mean() for at in curve]) for model, curve in models.items()}
    level = min(GOAL, *(curve.max() for curve in fidelities.values()))
    places = {model: reach(curve, level) for model, curve in fidelities.items()}
    found = {"level": level}
    for model, place in places.items():
        found[f"fidelity, {model}"] = between(fidelities[model], place)
        found[f"guidance, {model}"] = between(scales, place)
    for name, kind in VARIETIES.items():
        a, b = (between([effective_number(getattr(at, kind)[rows]) for at in curve], places[model])
                for model, curve in models.items())  # fmt: skip
        found |= {f"{name}, {model}": value for model, value in zip(models, (a, b), strict=True)}
        found[f"ratio of {name}"] = a / b
    return found


def prior_guidance(study: Study) -> Tables:
    """What guiding the prior does; the paper leaves it unguided, because guidance hurt its pictures (section 5.5)."""
    rows = []
    for g in study.size.prior_guidances:
        z_i = study.embed(study.group_captions, prior_guidance=g)
        rows.append({"guidance": g, **study.variety(z_i, f"prior guidance {g:g}").row(study.seed)})
    return {"guidance of the prior": rows}
