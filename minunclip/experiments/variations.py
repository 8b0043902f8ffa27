"""Pictures with the same z_i, and pictures between two (unCLIP sections 3.1 and 3.2): what of the facts they keep."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..evaluation import Estimate, average, psnr, same_facts
from ..manipulations import Latent, interpolate
from ..plots import Picture, show
from ..scenes import SCENE_FACTS, Item, Scene
from .runner import Found
from .study import Study, pooled

STEPS = 50                                  # of the inversion, and of what is drawn from it
THETAS = torch.linspace(0, 1, 9)


# -- variations ----------------------------------------------------------------------------------------------


def variations(study: Study) -> Found:
    """Which facts a variation keeps: those that CLIP saw, if the decoder draws all that z_i says (figure 3)."""
    scenes, images = study.true_scenes, study.true_pictures(study.true_scenes)
    latent, guided = study.inverted(images, STEPS), study.bench.cascade.settings.decoder_guidance
    ways = {
        "the picture again": {"eta": 0.0, "guidance": 1.0},
        "a variation": {"eta": 1.0, "guidance": 1.0},
        "a variation, guided": {"eta": 1.0, "guidance": guided},
    }
    drawn = {name: study.drawn(latent, name, steps=STEPS, **how) for name, how in ways.items()}
    rows = [{"drawn": name, **ways[name], **kept(scenes, study.read(pictures), pictures, images, seed=study.seed)}
            for name, pictures in drawn.items()]  # fmt: skip
    others, unlike = scenes[1:] + scenes[:1], images.roll(-1, dims=0)
    rows.append({"drawn": "another picture", "eta": None, "guidance": None,
                 **kept(scenes, others, unlike, images, seed=study.seed)})  # fmt: skip
    return {"facts kept by a variation": rows, "variations": strip_of_variations(study, latent[:4], images[:4])}


def kept(scenes: list[Scene], seen: list[Scene], pictures: Tensor, images: Tensor, *, seed: int) -> dict:
    """The share of facts that are the originals', per fact, and how alike the pixels are."""
    return {**same_facts(scenes, seen), "PSNR in dB": average(psnr(pictures, images).numpy(), seed)}


def strip_of_variations(study: Study, latent: Latent, images: Tensor, n: int = 5) -> Picture:
    """Originals, each beside itself drawn again and n variations."""
    again = study.drawn(latent, "the pictures again", steps=STEPS)
    varied = study.drawn(latent.repeat(n), "variations", steps=STEPS, eta=1.0).unflatten(0, (-1, n))
    cells = torch.cat([images[:, None], again[:, None], varied], dim=1).flatten(0, 1)
    names = ["original", "drawn again", *[f"variation {i + 1}" for i in range(n)]] * len(images)
    alt = (f"{len(images)} rows of pictures: a true picture, the same drawn again from its z_i and its inverted x_T, "
           f"and {n} variations with the same z_i and fresh noise; seed {study.seed}.")  # fmt: skip
    return show(cells, names, columns=n + 2, title="The same z_i, other noise", seed=study.seed, side=96, alt=alt)


# -- interpolations ------------------------------------------------------------------------------------------


def interpolations(study: Study) -> Found:
    """Whether facts change once and do not change back on the way between two pictures, with one x_T (figure 4)."""
    pairs, n = pairs_of(study.originals), len(THETAS)
    ends = [study.encode(study.true_pictures([pair[end].scene for pair in pairs])) for end in (0, 1)]
    x_T = study.fresh(ends[0]).x_T
    a, b = (Latent(z_i.to(x_T.device), x_T).repeat(n) for z_i in ends)
    theta = THETAS.repeat(len(pairs)).to(x_T.device)
    s = study.bench.cascade.settings
    pictures = study.drawn(interpolate(a, b, theta, a.x_T), "between two pictures", steps=s.decoder_steps,
                           guidance=s.decoder_guidance)  # fmt: skip
    seen = study.read(pictures)
    paths = [tracks(one.scene, other.scene, seen[i * n : i * n + n]) for i, (one, other) in enumerate(pairs)]
    return {
        "facts along an interpolation": along(paths, study.seed),
        "facts that change once": [monotone(paths, study.seed)],
        "interpolations": strip_of_interpolations(pictures[: 4 * n], n, study.seed),
    }


def pairs_of(items: list[Item]) -> list[tuple[Item, Item]]:
    """Pairs of items of the same layout, so that it is clear which thing becomes which. Each item is used once."""
    pairs, waiting = [], {}
    for item in items:
        other = waiting.pop(item.scene.layout, None)
        if other is None:
            waiting[item.scene.layout] = item
        else:
            pairs.append((other, item))
    return pairs


def facts_of(scene: Scene) -> dict[str, str]:
    """Every fact of a scene by name; things are numbered in reading order."""
    things = {f"{fact} {n}": value for n, thing in enumerate(scene.things) for fact, value in thing.facts.items()}
    return things | {fact: getattr(scene, fact) for fact in SCENE_FACTS}


def tracks(a: Scene, b: Scene, path: list[Scene]) -> np.ndarray:
    """For each fact in which a and b differ, where it stands in each scene of a path: int (facts, T).

    0 is a's, 2 is b's, and 1 is neither, or a picture with another number of things.
    """
    start, end, seen = facts_of(a), facts_of(b), [facts_of(scene) for scene in path]

    def whose(name: str, facts: dict[str, str]) -> int:
        return {start[name]: 0, end[name]: 2}.get(facts[name], 1) if len(facts) == len(start) else 1

    rows = [[whose(name, facts) for facts in seen] for name in start if start[name] != end[name]]
    return np.array(rows, dtype=int).reshape(-1, len(path))


def along(paths: list[np.ndarray], seed: int) -> list[dict]:
    """At each theta the share of the differing facts that are the first picture's, and the second's."""
    totals = np.array([len(path) for path in paths])

    def share(t: int, state: int) -> Estimate:
        return pooled(np.array([(path[:, t] == state).sum() for path in paths]), totals, seed)

    return [{"theta": theta, "the first's": share(t, 0), "the second's": share(t, 2)}
            for t, theta in enumerate(THETAS.tolist())]  # fmt: skip


def monotone(paths: list[np.ndarray], seed: int) -> dict:
    """Of the facts that are right at both ends, the share that never turn back on the way."""
    def both(path: np.ndarray) -> np.ndarray:
        return (path[:, 0] == 0) & (path[:, -1] == 2)

    def steady(path: np.ndarray) -> np.ndarray:
        return (np.diff(path, axis=1) >= 0).all(axis=1)

    facts, ends = np.array([len(path) for path in paths]), np.array([both(path).sum() for path in paths])
    once = np.array([(both(path) & steady(path)).sum() for path in paths])
    return {
        "pairs": len(paths),
        "facts that differ": int(facts.sum()),
        "right at both ends": pooled(ends, facts, seed),
        "of these, never turn back": pooled(once, ends, seed),
    }


def strip_of_interpolations(pictures: Tensor, n: int, seed: int) -> Picture:
    """Pictures (R n, 3, S, S) as R rows of n, each row an interpolation."""
    names = [f"theta {theta:.3g}" for theta in THETAS.tolist()] * (len(pictures) // n)
    alt = (f"{len(pictures) // n} rows of {n} pictures, each row from one picture's z_i to another's with the same "
           f"noise; seed {seed}.")  # fmt: skip
    return show(pictures, names, columns=n, title="From one z_i to another", seed=seed, side=96, alt=alt)
