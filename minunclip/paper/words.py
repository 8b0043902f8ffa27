"""A change put into words (unCLIP section 3.3, figure 5): does the asked fact flip, and does the rest stay?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..manipulations import text_diff
from ..metrics import VALUES, Share, everything, true_facts
from ..plots import Picture, show
from ..scenes import Item, Scene, full_statement, phrase
from .study import Study, pooled
from .suite import Found

FACTS = ("kind", "colour", "size", "background", "style")
THETAS = (0.0, 0.25, 0.375, 0.5)
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
    latent, guided = study.inverted(images, STEPS), study.bench.cascade.settings.decoder_guidance
    before, after = ([edit.captions[i] for edit in edits] for i in (0, 1))
    ways = {("its caption", 1.0): before, ("its caption", guided): before, ("nothing", 1.0): None}
    rows, found, strip = [], {}, [images]
    for (name, g), base in ways.items():
        for theta in THETAS if base else THETAS[1:]:                    # not turned at all, they are one
            turned = text_diff(study.bench.cascade, latent, after, base, theta)
            drawn = study.drawn(turned, f"{theta:g} from {name}", steps=STEPS, guidance=g)
            outcomes = [edit.outcome(scene) for edit, scene in zip(edits, study.read(drawn), strict=True)]
            rows.append({"compared with": name, "guidance": g, "theta": theta, **flips(outcomes, study.seed)})
            if (name, g) == ("its caption", 1.0):                       # as x_T was found
                found[theta] = outcomes
                strip.append(drawn)
    return {"text diffs": rows, "text diffs, by what was asked": by_fact(edits, found, study.seed),
            "text-diffs": strip_of_diffs(torch.stack(strip, dim=1)[:5], edits, study.seed)}  # fmt: skip


def flips(outcomes: list[tuple[bool, int, int]], seed: int) -> dict:
    asked, kept, others = map(np.array, zip(*outcomes, strict=True))
    return {"flipped": Share(int(asked.sum()), len(asked)), "others kept": pooled(kept, others, seed)}


def by_fact(edits: list[Edit], found: dict[float, list], seed: int) -> list[dict]:
    """The outcomes at each theta above 0, for each asked fact, and for scenes of one thing and of several."""
    groups = {fact: [edit.fact == fact for edit in edits] for fact in FACTS}
    groups |= {"any, of one thing": [len(edit.before.things) == 1 for edit in edits],
               "any, of several things": [len(edit.before.things) > 1 for edit in edits]}  # fmt: skip
    return [{"asked": name, "theta": theta, **flips(chosen, seed)}
            for name, mask in groups.items() for theta, outcomes in found.items() if theta > 0
            if len(chosen := [one for one, wanted in zip(outcomes, mask, strict=True) if wanted]) > 1]  # fmt: skip


def strip_of_diffs(pictures: torch.Tensor, edits: list[Edit], seed: int) -> Picture:
    """Rows of pictures (R, 1 + thetas, 3, S, S): the true one, and that with z_i turned by each theta."""
    names = []
    for edit in edits[: len(pictures)]:
        value = lambda scene, edit=edit: getattr(  # noqa: E731
            scene if edit.fact in ("background", "style") else scene.things[edit.n], edit.fact)
        names += ["original", *[f"{value(edit.before)} to {value(edit.after)}, theta {theta:g}" for theta in THETAS]]
    told = "; ".join(dict.fromkeys(name.rsplit(",", 1)[0] for name in names if " to " in name))
    alt = (f"Rows of pictures, each a true one and what becomes of it as its z_i is turned towards a change in words, "
           f"by a theta of {', '.join(f'{theta:g}' for theta in THETAS)}: {told}; seed {seed}.")  # fmt: skip
    return show(pictures.flatten(0, 1), names, columns=1 + len(THETAS), title="A change put into words", seed=seed,
                side=128, alt=alt)  # fmt: skip
