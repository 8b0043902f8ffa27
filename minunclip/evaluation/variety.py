"""How varied the pictures of one caption are: the entropy of what the caption leaves open (unCLIP section 5.3).

"a red circle" says nothing of size, background and style. A model that always draws the same one of them follows
the caption no worse, but shows one scene where there are sixty. The entropy of these facts over many pictures, as an
effective number of scenes, says how many it shows: exp(entropy) is 1 if all pictures agree, k if k scenes are equally
frequent, and in between if some are rare (Hill 1973, order 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import permutations

import numpy as np

from ..scenes import HELD_OUT, LAYOUTS, SCENE_FACTS, THING_FACTS, Scene, Statement, Thing
from .scores import matched
from .statistics import Estimate, bootstrap

Facts = tuple[tuple[str, str], ...]  # (name, value) of each open fact


def open_facts(statement: Statement, scene: Scene) -> frozenset[Facts] | None:
    """The facts of a scene that its caption does not state: kinds, colours, sizes, relations, background and style.

    Things are matched so that most of what is stated is true. That gives one set of facts, or several if several
    matchings are equally true: of "a fish and a fish" either drawn fish may be the first. Empty for a caption that
    leaves nothing open; None for a picture with another number of things, which cannot be compared.
    """
    if len(scene.things) != len(statement.things):
        return None
    orders = list(permutations(range(len(scene.things))))
    truths = [sum(map(sum, matched(statement, scene, order).values())) for order in orders]
    rest = tuple((fact, getattr(scene, fact)) for fact in SCENE_FACTS if getattr(statement, fact) is None)
    best = [order for order, truth in zip(orders, truths, strict=True) if truth == max(truths)]
    return frozenset(_of_things(statement, scene, order) + rest for order in best) - {()}


def _of_things(statement: Statement, scene: Scene, order: tuple[int, ...]) -> Facts:
    """The open facts of the things and of how they stand, if thing i of the statement is thing order[i]."""
    said = {frozenset((i, j)) for i, _, j in statement.relations}
    facts = [(f"{fact} {i}", scene.things[order[i]].facts[fact])
             for i, thing in enumerate(statement.things) for fact, value in thing.facts.items() if value is None]
    pairs = [(i, j) for j in range(len(order)) for i in range(j) if frozenset((i, j)) not in said]
    return *facts, *((f"relation {i} {j}", scene.relation(order[i], order[j])) for i, j in pairs)


def open_style(statement: Statement, scene: Scene) -> frozenset[Facts]:
    """The style alone, where the caption leaves it open; else empty."""
    return frozenset({(("style", scene.style),)} if statement.style is None else ())


def complete(statement: Statement, rng: np.random.Generator) -> Scene:
    """A random scene in which the statement is true; what it leaves open is drawn as `draw_scene` draws it.

    This is what a perfect model would draw: its pictures are all true, and as varied as they can be.
    """
    def choose(said: str | None, options: Sequence[str]) -> str:
        return said or options[rng.integers(len(options))]

    layouts = [name for name, places in LAYOUTS.items() if len(places) == len(statement.things)]
    rare = any((thing.colour, thing.kind) in HELD_OUT for thing in statement.things)
    while True:
        things = [Thing(**{fact: choose(value, THING_FACTS[fact]) for fact, value in thing.facts.items()})
                  for thing in statement.things]  # fmt: skip
        order, layout = rng.permutation(len(things)), choose(None, layouts)
        rest = {fact: choose(getattr(statement, fact), options) for fact, options in SCENE_FACTS.items()}
        scene = Scene(tuple(things[n] for n in order), layout, **rest, seed=int(rng.integers(2**31)))
        if statement.holds_in(scene) and (rare or not scene.held_out):
            return scene


# -- the entropy of a few samples ----------------------------------------------------------------------------


def entropy(values: Sequence[Hashable]) -> float:
    """The entropy in nats of what n >= 2 values were drawn from, by the estimate of Chao, Wang & Jost 2013.

    The entropy of the samples themselves, -sum p log p, cannot pass log n: 16 pictures would show at most 16 scenes.
    But since -log p = sum_k (1 - p)^k / k over k = 1, 2, ...,

        entropy = sum_k (1 / k) P(a value is none of k others),

    and each of these chances up to k = n - 1 can be counted among the n samples without bias. Beyond n - 1 the chances
    are assumed to shrink by the same factor with each k. How many values were seen once and how many twice gives this
    factor. Raises ValueError for fewer than two samples.
    """
    counts = np.array([*Counter(values).values()], dtype=np.int64)
    n, once, twice = int(counts.sum()), int((counts == 1).sum()), int((counts == 2).sum())
    if n < 2:
        raise ValueError(f"entropy: {n} sample tells nothing of how they vary; draw two or more")
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n))])  # harmonic[k] = 1 + 1/2 + ... + 1/k
    counted = float((counts / n * (harmonic[n - 1] - harmonic[counts - 1])).sum())
    if once == 0:                                                       # no sign of values that were not seen
        return counted
    odds = once / (2 * twice) if twice else (once - 1) / 2
    return counted + once / n * _tail((n - 1) * odds / ((n - 1) * odds + 1), n)


def _tail(shrink: float, n: int) -> float:
    """The sum of shrink^(k - n + 1) / k over k = n, n + 1, ...: what is left of the series of -log(1 - shrink)."""
    if shrink**n > 1e-4:
        k = np.arange(1, n)
        return float((-np.log1p(-shrink) - (shrink**k / k).sum()) / shrink ** (n - 1))
    k = np.arange(n, n + int(40 / (1 - shrink)) + 1)                    # later terms are smaller than exp(-40)
    return float((shrink ** (k - n + 1) / k).sum())


def entropies(
    statements: Sequence[Statement], drawn: Sequence[Sequence[Scene]],
    facts: Callable[[Statement, Scene], frozenset[Facts] | None] = open_facts,
) -> np.ndarray:  # fmt: skip
    """For each of C captions the entropy in nats of what it leaves open, over the scenes drawn for it: float64 (C,).

    NaN for a caption that leaves nothing open, or with fewer than two pictures to compare. Where 30 scenes are
    possible, equally likely or not, the effective number that 8 pictures give is 20 to 26 in the mean; 16 give 26 to
    33, and 32 give 28 to 31.
    """
    return np.array([_entropy_of(s, scenes, facts) for s, scenes in zip(statements, drawn, strict=True)])


def _entropy_of(statement: Statement, scenes: Sequence[Scene], facts: Callable) -> float:
    found = [found for scene in scenes if (found := facts(statement, scene)) is not None]
    return entropy(found) if len(found) > 1 and found[0] else float("nan")


# -- as numbers of scenes ------------------------------------------------------------------------------------


def effective_number(entropies: np.ndarray) -> float:
    """exp of the mean entropy: the geometric mean over the captions of their effective numbers. NaNs are left out."""
    known = entropies[~np.isnan(entropies)]
    return float(np.exp(known.mean())) if len(known) else float("nan")


def diversity(statements: Sequence[Statement], drawn: Sequence[Sequence[Scene]], seed: int = 0) -> Estimate:
    """How many different scenes a model shows for a caption: the effective number of the joint open facts.

    Raises ValueError if fewer than two captions leave something open.
    """
    found = entropies(statements, drawn)
    known = found[~np.isnan(found)]
    if len(known) < 2:
        raise ValueError(f"diversity: {len(known)} captions leave something open, and an interval needs two")
    return bootstrap(lambda rows: effective_number(known[rows]), len(known), seed)
