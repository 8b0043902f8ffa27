"""Which colour belongs to which thing? unCLIP mixes them up (section 7, figure 15): how often, and where it happens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..evaluation import Share
from ..plots import Picture, show
from ..scenes import COLOURS, HELD_OUT, Scene, Statement, Thing, draw_scene, for_testing, phrase, pick
from .runner import Found
from .study import Study


@dataclass(frozen=True)
class Pair:
    """A scene of two things that differ in kind and colour, and three captions of it: one right, two wrong."""

    scene: Scene
    caption: str                            # "a red square above a blue circle"
    swapped: str                            # "a blue square above a red circle"
    recoloured: str                         # "a green square above a blue circle"

    def outcome(self, seen: Scene) -> str:
        """"right": each thing in its colour; "swapped": each in the other's; "other": anything else."""
        wanted = Counter((thing.kind, thing.colour) for thing in self.scene.things)
        drawn = Counter((thing.kind, thing.colour) for thing in seen.things)
        crossed = Counter((thing.kind, thing.colour) for thing in exchanged(self.scene.things))
        return "right" if drawn == wanted else "swapped" if drawn == crossed else "other"


def exchanged(things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """Two things, each in the other's colour."""
    a, b = things
    return replace(a, colour=b.colour), replace(b, colour=a.colour)


def pair_of(number: int, seed: int) -> Pair:
    """A random pair. Its caption, which training never saw, names both kinds, both colours and the relation."""
    rng = np.random.default_rng([seed, number])
    while True:
        scene = draw_scene(rng)
        kinds, colours = ({getattr(thing, fact) for thing in scene.things} for fact in ("kind", "colour"))
        if not len(scene.things) == len(kinds) == len(colours) == 2:
            continue
        things = tuple(Thing(thing.kind, thing.colour, None) for thing in scene.things)
        crossed, third = exchanged(things), pick(rng, tuple(word for word in COLOURS if word not in colours))
        other = (replace(things[0], colour=third), things[1])
        if any((thing.colour, thing.kind) in HELD_OUT for thing in (*crossed, *other)):
            continue
        words = int(rng.integers(2**31))
        captions = [phrase(Statement(named, ((0, scene.relation(0, 1), 1),)), np.random.default_rng(words))
                    for named in (things, crossed, other)]  # fmt: skip
        if for_testing(captions[0]):
            return Pair(scene, *captions)


def pairs_for(study: Study) -> list[Pair]:
    """The pairs of which a study draws pictures."""
    return [pair_of(i, study.seed) for i in range(min(study.size.singles, 2 * study.size.edits))]


def attribute_binding(study: Study) -> Found:
    """Captions of two things: how often their colours come out swapped, with z_i, with the caption, and with both."""
    pairs = pairs_for(study)
    captions = [pair.caption for pair in pairs]
    true = study.encode(study.true_pictures([pair.scene for pair in pairs]))
    sources = {"of the true picture": true, "of the prior": study.embed(captions), "none": None}
    rows, strip = [], []
    for source, z_i in sources.items():
        for path in ("no", "yes") if z_i is not None else ("yes",):
            said = captions if path == "yes" else [""] * len(pairs)
            pictures = study.pictures(said, z_i, f"z_i {source}, caption {path}")
            drawn = torch.cat([images.cpu() for images in pictures])
            seen = study.read(drawn)
            found = Counter(pair.outcome(scene) for pair, scene in zip(pairs, seen, strict=True))
            rows.append({"z_i": source, "caption": path, **outcomes(found)})
            strip.append(drawn[:4])
    return {"colours of two things": rows, "which caption CLIP prefers": [preferences(study, pairs, true)],
            "attribute-binding": strip_of_pairs(strip, rows, captions[:4], study.seed)}  # fmt: skip


def outcomes(found: Counter) -> dict[str, Share]:
    """Shares of all pictures; and of those with the right things and colours, the share in which they are swapped."""
    n, both = found.total(), found["right"] + found["swapped"]
    return {**{name: Share(found[name], n) for name in ("right", "swapped", "other")},
            "swapped, of right and swapped": Share(found["swapped"], both)}  # fmt: skip


@torch.no_grad()
def preferences(study: Study, pairs: list[Pair], z_i: Tensor) -> dict[str, Share]:
    """How often CLIP finds a true picture nearer to its caption than to a wrong one. Guessing would be a half."""
    clip = study.bench.cascade.clip

    def nearness(captions: list[str]) -> Tensor:
        z_t = study.collect(len(captions), "captions", lambda rows: clip.encode_text(captions[rows]).embed.float())
        return torch.cosine_similarity(z_i, z_t)

    right = nearness([pair.caption for pair in pairs])

    def better(wrong: list[str]) -> Share:
        return Share(int((right > nearness(wrong)).sum()), len(pairs))

    return {
        "rather than with the colours swapped": better([pair.swapped for pair in pairs]),
        "rather than with another colour": better([pair.recoloured for pair in pairs]),
    }


def strip_of_pairs(strip: list[Tensor], rows: list[dict], captions: list[str], seed: int) -> Picture:
    """What was drawn for some captions, a row of pictures each, from the z_i and captions that `rows` name."""
    told = [f"z_i {row['z_i']}" + (", caption" if row["caption"] == "yes" else "") for row in rows]
    pictures, names = torch.stack(strip, dim=1), [name for caption in captions for name in told]
    alt = f"Rows of pictures, drawn from {'; '.join(told)}: {'; '.join(captions)}; seed {seed}."
    title = "Whose colour is it? " + "; ".join(captions)
    return show(pictures.flatten(0, 1), names, columns=len(told), title=title, seed=seed, side=128, alt=alt)
