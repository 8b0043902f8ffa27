"""What the prior is good for: the decoder without it, and the best of several z_i (unCLIP sections 5.1 and 2.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..evaluation import Estimate, Share, average, bootstrap, frechet_distance, inside, renders
from ..manipulations import as_image_embedding
from .runner import Tables
from .study import Study, all_true


@torch.no_grad()
def conditionings(study: Study) -> Tables:
    """Is the prior needed? Captions drawn without z_i, with z_t in its place, and with the prior's (section 5.1)."""
    cascade, items = study.bench.cascade, study.singles
    captions, side = [item.caption for item in items], cascade.sizes[0]

    true = study.features(renders(items[rows], side) for rows in study.batches(len(items)))
    z_t = as_image_embedding(cascade, cascade.encode_text(captions).embed)
    rows = []
    for name, z_i in {"caption only": None, "z_t as z_i": z_t, "full stack": study.embed(captions)}.items():
        for g in study.size.few_guidances:
            drawn = list(study.pictures(captions, z_i, f"{name}, guidance {g:g}", decoder_guidance=g))
            hits = all_true(items, study.read(drawn))
            rows.append({"decoder sees": name, "guidance": g, "fidelity": Share(int(hits.sum()), len(hits)),
                         **distance_row(study.features(drawn), true, study)})  # fmt: skip
    return {"is the prior needed?": rows}


def distance_row(drawn: Tensor, true: Tensor, study: Study) -> dict[str, Estimate]:
    """Features (C, D) of the drawn picture of each caption against those of its true picture."""
    n, seed = len(drawn), study.seed

    def distance(rows: np.ndarray) -> float:
        return frechet_distance(drawn[rows], true[rows])

    among = {"precision": inside(drawn, true).numpy(), "recall": inside(true, drawn).numpy()}
    return {
        "Frechet distance": bootstrap(distance, n, seed, study.size.draws, unbiased=True),
        **{name: average(hits, seed) for name, hits in among.items()},
    }


def rerank(study: Study) -> Tables:
    """What the choice among several z_i gains (section 2.2). Each set of candidates contains the smaller sets."""
    items, rows, first = study.singles, [], None
    captions = [item.caption for item in items]
    for n in (1, 2, 4, 8):
        z_i = study.embed(captions, candidates=n)
        hits = all_true(items, study.read(study.pictures(captions, z_i, f"best of {n}")))
        first = hits if first is None else first
        gain = hits.astype(float) - first
        rows.append({"candidates": n, "fidelity": Share(int(hits.sum()), len(hits)),
                     "gain": average(gain, study.seed)})
    return {"the best of several z_i": rows}
