"""A change put into words (unCLIP section 3.3, figure 5): does the asked fact flip, and does the rest stay?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from ..manipulations import between_pictures, between_texts, turn
from ..metrics import VALUES, Share, average, everything, true_facts
from ..plots import Picture, show
from ..scenes import Item, Scene, full_statement, phrase
from .copies import components_of
from .study import Study, pooled
from .suite import Found

FACTS = ("kind", "colour", "size", "background", "style")
THETAS = (0.25, 0.3, 0.375, 0.5)
WAYS = {"z_t": between_texts, "the prior's z_i": between_pictures}
BEST = ("the prior's z_i", "its caption")  # of which figure and facts are shown
STEPS = 25  # of the inversion, and of what is drawn from it


@dataclass(frozen=True)
class Edit:
    """One fact of a scene, of its thing number n if it is a thing's, and the scene in which only that is another."""

    fact: str
    n: int
    before: Scene
    after: Scene
    captions: tuple[str, str]               # everything that can be said of the two scenes, in the same words

    def outcome(self, seen: Scene) -> tuple[bool, int, int]:
        """Whether the fact came true; of how many other facts that a picture shows how many are as they were."""
        table = true_facts(everything(self.after), seen)
        asked = table[self.fact][self.n]
        others = [hit for fact, hits in table.items() if fact != "count" for hit in hits]
        return asked, sum(others) - asked, len(others) - 1


def edit_of(item: Item, number: int, seed: int) -> Edit:
    """The facts take turns; which thing and which value is chance."""
    rng, fact, scene = np.random.default_rng([seed, number]), FACTS[number % len(FACTS)], item.scene
    n = int(rng.integers(len(scene.things))) if fact in ("kind", "colour", "size") else 0
    options = [new for value in VALUES[fact] if not (new := with_fact(scene, fact, n, value)).held_out and new != scene]
    after = options[rng.integers(len(options))]
    say = lambda scene: phrase(full_statement(scene, twin := np.random.default_rng([seed, number, 1])), twin)  # noqa: E731
    return Edit(fact, n, scene, after, (say(scene), say(after)))


def with_fact(scene: Scene, fact: str, n: int, value: str) -> Scene:
    if fact in ("background", "style"):
        return replace(scene, **{fact: value})
    changed = replace(scene.things[n], **{fact: value})
    return replace(scene, things=(*scene.things[:n], changed, *scene.things[n + 1 :]))


def text_diffs(study: Study) -> Found:
    """Turn z_i by words, keep x_T, and read what changed: by the angle, and by the fact that was asked for."""
    edits = [edit_of(item, i, study.seed) for i, item in enumerate(study.originals)]
    images = study.true_pictures(study.true_scenes)
    latent, (before, after) = study.inverted(images, STEPS), ([edit.captions[i] for edit in edits] for i in (0, 1))
    again = study.drawn(latent, "not turned", steps=STEPS)
    outcomes = lambda drawn: [edit.outcome(seen) for edit, seen in zip(edits, study.read(drawn), strict=True)]  # noqa: E731
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
def strides(study: Study, edits: list[Edit], z_i: torch.Tensor, ways: dict[str, torch.Tensor]) -> list[dict]:
    """Where each way's z_d (B, D) goes, beside the true change of z_i (B, D), along the principal axes of pictures.

    All are given the length of the true change; an axis's unit is how far pictures spread along it.
    """
    true = study.encode(study.true_pictures([edit.after for edit in edits])).to(z_i.device)
    change = F.normalize(true, dim=1) - F.normalize(z_i, dim=1)
    pca, rows = components_of(study), []
    spread = (pca.variances + 1e-5 * pca.variances.max()).sqrt().to(z_i.device)     # of raw z_i
    for way, z_d in ({"true pictures": F.normalize(change, dim=1)} | ways).items():
        steps = z_d * change.norm(dim=1, keepdim=True) * z_i.norm(dim=1, keepdim=True)
        size = (steps @ pca.basis.T / spread).square().mean(dim=1).sqrt()
        cosine = F.cosine_similarity(z_d, change)
        rows.append({"difference of": way, "cosine with the true change": average(cosine.cpu().numpy(), study.seed),
                     "mean stride, in spreads": average(size.cpu().numpy(), study.seed)})  # fmt: skip
    return rows


def flips(outcomes: list[tuple[bool, int, int]], seed: int) -> dict:
    asked, kept, others = map(np.array, zip(*outcomes, strict=True))
    return {"flipped": Share(int(asked.sum()), len(asked)), "others kept": pooled(kept, others, seed)}


def by_fact(edits: list[Edit], found: dict[float, list], seed: int) -> list[dict]:
    """The outcomes at each theta, for each asked fact, and for scenes of one thing and of several."""
    groups = {fact: [edit.fact == fact for edit in edits] for fact in FACTS}
    groups |= {"any, of one thing": [len(edit.before.things) == 1 for edit in edits],
               "any, of several things": [len(edit.before.things) > 1 for edit in edits]}  # fmt: skip
    return [{"asked": name, "theta": theta, **flips(chosen, seed)}
            for name, mask in groups.items() for theta, outcomes in found.items()
            if len(chosen := [one for one, wanted in zip(outcomes, mask, strict=True) if wanted]) > 1]  # fmt: skip


def strip_of_diffs(pictures: torch.Tensor, edits: list[Edit], seed: int) -> Picture:
    """Rows of pictures (R, 2 + thetas, 3, S, S): the true one, as drawn again, and with z_i turned by each theta."""
    names = []
    for edit in edits[: len(pictures)]:
        value = lambda scene, edit=edit: getattr(  # noqa: E731
            scene if edit.fact in ("background", "style") else scene.things[edit.n], edit.fact)
        asked = f"{value(edit.before)} to {value(edit.after)}"
        names += ["original", "not turned", *[f"{asked}, theta {theta:g}" for theta in THETAS]]
    told = "; ".join(dict.fromkeys(name.rsplit(",", 1)[0] for name in names if " to " in name))
    alt = (f"Rows of pictures, each a true one, the same drawn again, and what becomes of it as its z_i is turned "
           f"towards a change in words, by a theta of {', '.join(f'{theta:g}' for theta in THETAS)}: {told}; "
           f"seed {seed}.")  # fmt: skip
    return show(pictures.flatten(0, 1), names, columns=2 + len(THETAS), title="A change put into words", seed=seed,
                side=112, alt=alt)  # fmt: skip
