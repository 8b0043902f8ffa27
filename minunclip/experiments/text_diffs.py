"""A change put into words (unCLIP section 3.3, figure 5): does the asked fact flip, and does the rest stay?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluation import Share, average, everything, true_facts
from ..manipulations import between_pictures, between_texts, turn
from ..plots import Picture, show
from ..scenes import FACTS, SCENE_FACTS, THING_FACTS, Item, Scene, full_statement, phrase, with_fact
from .runner import Found
from .study import Study, pooled

ASKED = (*THING_FACTS, *SCENE_FACTS)
THETAS = (0.25, 0.3, 0.375, 0.5)
WAYS = {"z_t": between_texts, "the prior's z_i": between_pictures}
BEST = ("the prior's z_i", "its caption")   # the way and the base of which the figure and single facts are shown
STEPS = 25                                  # of the inversion, and of what is drawn from it

Outcome = tuple[bool, int, int]             # see Edit.outcome


@dataclass(frozen=True)
class Edit:
    """One fact of a scene that is to become another, while all others stay."""

    fact: str                               # one of ASKED
    n: int                                  # the number of the thing that it belongs to; 0 for a fact of the scene
    before: Scene
    after: Scene                            # only this fact differs
    captions: tuple[str, str]               # everything that can be said of the two scenes, in the same words

    def value(self, scene: Scene) -> str:
        """What the fact is in a scene."""
        return getattr(scene if self.fact in SCENE_FACTS else scene.things[self.n], self.fact)

    def outcome(self, seen: Scene) -> Outcome:
        """Whether the fact came true in a picture, how many of the other facts stayed, and how many there are."""
        table = true_facts(everything(self.after), seen)
        asked = table[self.fact][self.n]
        others = [hit for fact, hits in table.items() if fact != "count" for hit in hits]
        return asked, sum(others) - asked, len(others) - 1


def edit_of(item: Item, number: int, seed: int) -> Edit:
    """An edit of an item: number after number asks for the next fact; thing and value are random."""
    rng, fact, scene = np.random.default_rng([seed, number]), ASKED[number % len(ASKED)], item.scene
    n = int(rng.integers(len(scene.things))) if fact in THING_FACTS else 0
    options = [new for value in FACTS[fact] if not (new := with_fact(scene, fact, value, n)).held_out and new != scene]
    after = options[rng.integers(len(options))]

    def say(scene: Scene) -> str:
        words = np.random.default_rng([seed, number, 1])                # the same for both scenes
        return phrase(full_statement(scene, words), words)

    return Edit(fact, n, scene, after, (say(scene), say(after)))


def text_diffs(study: Study) -> Found:
    """Turn z_i by words, keep x_T, and read what changed: by the angle, and by the fact that was asked for."""
    edits = [edit_of(item, i, study.seed) for i, item in enumerate(study.originals)]
    images = study.true_pictures(study.true_scenes)
    latent, (before, after) = study.inverted(images, STEPS), ([edit.captions[i] for edit in edits] for i in (0, 1))
    again = study.drawn(latent, "not turned", steps=STEPS)

    def outcomes(drawn: Tensor) -> list[Outcome]:
        return [edit.outcome(seen) for edit, seen in zip(edits, study.read(drawn), strict=True)]

    rows = [{"difference of": None, "compared with": None, "theta": 0.0, **flips(outcomes(again), study.seed)}]
    found, strip, turns = {}, [images, again], {}
    for way, direction in WAYS.items():
        for name, base in {"its caption": before, "nothing": None}.items():
            z_d = direction(study.bench.cascade, after, base)
            if name == BEST[1]:
                turns[way] = z_d
            for theta in THETAS:
                drawn = study.drawn(turn(latent, z_d, theta), f"{theta:g} from {name}, {way}", steps=STEPS)
                ends = outcomes(drawn)
                rows.append({"difference of": way, "compared with": name, "theta": theta, **flips(ends, study.seed)})
                if (way, name) == BEST:
                    found[theta] = ends
                    strip.append(drawn)
    return {"text diffs": rows, "text diffs, by what was asked": by_fact(edits, found, study.seed),
            "how far a change goes": strides(study, edits, latent.z_i, turns),
            "text-diffs": strip_of_diffs(torch.stack(strip, dim=1)[:5], edits, study.seed)}  # fmt: skip


@torch.no_grad()
def strides(study: Study, edits: list[Edit], z_i: Tensor, ways: dict[str, Tensor]) -> list[dict]:
    """Each way's z_d (B, D) beside the true change of z_i (B, D): its direction, and its stride along the axes.

    The axes are the principal axes of the z_i of pictures, each with the spread of pictures along it as its unit. For
    its stride, the root of the mean square over the axes, z_d is given the length of the true change.
    """
    true = study.encode(study.true_pictures([edit.after for edit in edits])).to(z_i.device)
    change = F.normalize(true, dim=1) - F.normalize(z_i, dim=1)
    pca, rows = study.components(), []
    spread = (pca.variances + 1e-5 * pca.variances.max()).sqrt().to(z_i.device)     # of raw z_i
    for way, z_d in ({"true pictures": F.normalize(change, dim=1)} | ways).items():
        steps = z_d * change.norm(dim=1, keepdim=True) * z_i.norm(dim=1, keepdim=True)
        size = (steps @ pca.basis.T / spread).square().mean(dim=1).sqrt()
        cosine = F.cosine_similarity(z_d, change)
        rows.append({"difference of": way, "cosine with the true change": average(cosine.cpu().numpy(), study.seed),
                     "mean stride, in spreads": average(size.cpu().numpy(), study.seed)})  # fmt: skip
    return rows


def flips(outcomes: list[Outcome], seed: int) -> dict:
    """The share of the edits whose fact came true, and of all other facts, those that stayed."""
    asked, kept, others = map(np.array, zip(*outcomes, strict=True))
    return {"flipped": Share(int(asked.sum()), len(asked)), "others kept": pooled(kept, others, seed)}


def by_fact(edits: list[Edit], found: dict[float, list], seed: int) -> list[dict]:
    """The outcomes at each theta, for each asked fact, and for scenes of one thing and of several."""
    groups = {fact: [edit.fact == fact for edit in edits] for fact in ASKED}
    groups |= {"any, of one thing": [len(edit.before.things) == 1 for edit in edits],
               "any, of several things": [len(edit.before.things) > 1 for edit in edits]}  # fmt: skip
    return [{"asked": name, "theta": theta, **flips(chosen, seed)}
            for name, mask in groups.items() for theta, outcomes in found.items()
            if len(chosen := [one for one, wanted in zip(outcomes, mask, strict=True) if wanted]) > 1]  # fmt: skip


def strip_of_diffs(pictures: Tensor, edits: list[Edit], seed: int) -> Picture:
    """Rows of pictures (R, 2 + thetas, 3, S, S): the true one, as drawn again, and with z_i turned by each theta."""
    names = []
    for edit in edits[: len(pictures)]:
        asked = f"{edit.value(edit.before)} to {edit.value(edit.after)}"
        names += ["original", "not turned", *[f"{asked}, theta {theta:g}" for theta in THETAS]]
    told = "; ".join(dict.fromkeys(name.rsplit(",", 1)[0] for name in names if " to " in name))
    alt = (f"Rows of pictures, each a true one, the same drawn again, and what becomes of it as its z_i is turned "
           f"towards a change in words, by a theta of {', '.join(f'{theta:g}' for theta in THETAS)}: {told}; "
           f"seed {seed}.")  # fmt: skip
    return show(pictures.flatten(0, 1), names, columns=2 + len(THETAS), title="A change put into words", seed=seed,
                side=112, alt=alt)  # fmt: skip
