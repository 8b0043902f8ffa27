"""What guidance moves away from, and at which noise: two choices that the paper does not discuss (section 2.1).

It compares the prediction for z_i and the caption with one that knows neither. One of them may be kept instead: then
guidance strengthens the other alone. And it may act in the middle of the way only (Kynkaanniemi et al. 2024).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from tqdm import tqdm

from ..diffusion import Denoiser, ddim, guided, guided_within, last
from ..evaluation import average
from ..text import Text
from .runner import Tables
from .study import Study

INTERVAL = (200, 800)
WAYS = {  # name: what the compared prediction keeps, (z_i, the caption)
    "z_i and the caption": (False, False), "the caption alone": (True, False), "z_i alone": (False, True),
}  # fmt: skip


def guidance_ways(study: Study) -> Tables:
    """Fidelity, variety and broken colours, by what is strengthened, by the scale, and by when."""
    z_i, rows = study.embed(study.group_captions, prior_guidance=1.0), []
    for name, kept in WAYS.items():
        for when, within in (("always", (0, 1000)), (f"t {INTERVAL[0]} to {INTERVAL[1]}", INTERVAL)):
            for scale in study.size.guidances:
                pictures = torch.cat(list(drawn(study, z_i, kept, scale, within=within)))
                seen, n = study.read(pictures), study.size.samples
                found = study.measured([seen[i : i + n] for i in range(0, len(seen), n)]).row(study.seed)
                rows.append({"strengthens": name, "guided": when, "guidance": scale, **found,
                             "colours at the limit": average(at_the_limit(pictures), study.seed)})  # fmt: skip
    true = study.true_pictures([item.scene for item in study.groups])
    limit = average(at_the_limit(true), study.seed)
    return {"what guidance strengthens": rows, "of the true pictures": [{"colours at the limit": limit}]}


def at_the_limit(pictures: Tensor):
    """The share of the numbers of each picture (B, 3, S, S) that are cut off at -1 or 1: (B,)."""
    return (pictures.abs() >= 1).float().flatten(1).mean(dim=1).numpy()


@torch.no_grad()
def drawn(
    study: Study, z_i: Tensor, kept: tuple[bool, bool], scale: float, *, within: tuple[int, int]
) -> Iterator[Tensor]:
    """Batches of pictures of the groups' captions and their z_i (B, D)."""
    cascade, captions = study.bench.cascade, study.group_captions
    for rows in tqdm(study.batches(len(captions)), desc=f"guidance {scale:g}", leave=False):
        text, given = cascade.encode_text(captions[rows]), z_i[rows].to(cascade.device)
        side = cascade.sizes[0]
        noise = cascade.noise((len(given), 3, side, side), study.seed + rows.start, "decoder")
        denoiser = strengthened(study, given, text, kept, scale=scale)
        plain = cascade.decoder_denoiser(given, text)
        steps = ddim(cascade.decoder.diffusion, guided_within(*within, denoiser, plain), noise,
                     cascade.settings.decoder_steps)  # fmt: skip
        yield last(steps).clamp(-1, 1).cpu()


def strengthened(study: Study, z_i: Tensor, text: Text, kept: tuple[bool, bool], *, scale: float) -> Denoiser:
    """The decoder, guided away from a prediction that keeps z_i, the caption or neither."""
    decoder, n = study.bench.cascade.decoder, len(text)
    without_z = z_i if kept[0] else decoder.null_z.expand(n, -1).to(z_i.dtype)
    without_text = text if kept[1] else study.bench.cascade.clip.encode_text([""]).repeat(n)
    condition = decoder.condition(torch.cat([without_z, z_i]), Text.cat(without_text, text))
    return guided(lambda x_t, t: decoder(x_t, t, condition=condition), scale)
