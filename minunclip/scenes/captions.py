"""Describe a scene in words: a random part of its facts, in varied wording."""

from __future__ import annotations

import numpy as np

from .facts import BACKGROUNDS, COLOURS, FACTS, KINDS, OPPOSITE, STYLES, Scene, Statement, Thing, pick

SIZE_WORDS = {"small": ("small", "tiny", "little"), "big": ("big", "large", "huge")}
RELATION_WORDS = {
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
}
BACKGROUND_WORDS = {
    "paper": ("on paper", "on a sheet of paper"),
    "sky": ("in the sky", "among the clouds"),
    "meadow": ("in a meadow", "on the grass"),
    "night": ("at night", "in the dark"),
    "sunset": ("at sunset", "in the evening"),
}
STYLE_PREFIX = {
    "flat": ("a flat picture of", "a flat drawing of"),
    "outlined": ("an outlined drawing of", "an outline of"),
    "striped": ("a striped picture of", "a striped drawing of"),
    "dotted": ("a dotted picture of", "a dotted drawing of"),
    "crayon": ("a crayon drawing of", "a crayon picture of"),
    "cubist": ("a cubist painting of", "a cubist picture of"),
}
STYLE_SUFFIX = {
    "flat": ("in flat colours", "in a flat style"),
    "outlined": ("drawn in outline", "in an outlined style"),
    "striped": ("drawn in stripes", "in a striped style"),
    "dotted": ("drawn in dots", "in a dotted style"),
    "crayon": ("drawn in crayon", "in a crayon style"),
    "cubist": ("painted in a cubist style", "in a cubist style"),
}
PLAIN_PREFIX = ("", "", "a picture of", "a drawing of")

# How often each fact is said. Kind and colour are what people name first.
CHANCES = {"kind": 0.92, "colour": 0.88, "size": 0.55, "relation": 0.8, "background": 0.55, "style": 0.55}
# For families of siblings: of two that differ in one fact the captions read alike where it is not said.
THOROUGH = {"kind": 0.97, "colour": 0.95, "size": 0.85, "relation": 1.0, "background": 0.6, "style": 0.85}
# How often the things are named as one reads a picture, from the top left; else in any order. If all orders were alike,
# the order of the words would tell nothing by itself, and CLIP would be slow to look at it at all.
IN_ORDER = 0.5


def state(scene: Scene, rng: np.random.Generator, chances: dict[str, float] = CHANCES) -> Statement:
    """Choose which of the scene's facts to say, and in which order to name its things.

    chances   how likely each of FACTS is to be said, 0 to 1
    """
    def said(fact: str) -> bool:
        return rng.random() < chances[fact]

    order = list(range(len(scene.things)))
    if rng.random() > IN_ORDER:
        rng.shuffle(order)
    told = [{fact: value if said(fact) else None for fact, value in scene.things[n].facts.items()} for n in order]
    things = tuple(Thing(**facts) for facts in told)
    return Statement(
        things,
        _relations(scene, order, rng) if said("relation") else (),
        scene.background if said("background") else None,
        scene.style if said("style") else None,
    )


def _relations(scene: Scene, order: list[int], rng: np.random.Generator) -> tuple[tuple[int, str, int], ...]:
    """The relations that a sentence about these things would name: (i, word, j) over their order in it."""
    place = order.index
    if len(order) == 2:
        return ((0, scene.relation(order[0], order[1]), 1),)
    if len(order) == 3:  # "A and B above C", perhaps with "A left of B"
        pair, single = ((1, 2), 0) if scene.layout == "one above two" else ((0, 1), 2)
        pair = pair if place(pair[0]) < place(pair[1]) else pair[::-1]
        word = scene.relation(pair[0], single)
        found = tuple((place(n), word, place(single)) for n in pair)
        side = ((place(pair[0]), scene.relation(*pair), place(pair[1])),)
        return found + (side if rng.random() < 0.5 else ())
    return ()


def phrase(statement: Statement, rng: np.random.Generator) -> str:
    """Put a statement into words. The same statement and a generator in the same state give the same words."""
    names = [_name(thing, rng) for thing in statement.things]
    words = [_arrange(names, statement.relations, rng)]
    if statement.background:
        words.append(pick(rng, BACKGROUND_WORDS[statement.background]))
    if statement.style is None:
        words.insert(0, pick(rng, PLAIN_PREFIX))
    elif rng.random() < 0.5:
        words.insert(0, pick(rng, STYLE_PREFIX[statement.style]))
    else:
        words.append(pick(rng, STYLE_SUFFIX[statement.style]))
    return " ".join(word for word in words if word)


def _name(thing: Thing, rng: np.random.Generator) -> str:
    """One thing as a phrase with its article: "a tiny red star", or "an orange thing" if its kind is not said."""
    size = pick(rng, SIZE_WORDS[thing.size]) if thing.size else ""
    noun = thing.kind or pick(rng, ("shape", "thing"))
    words = [word for word in (size, thing.colour, noun) if word]
    return " ".join(["an" if words[0][0] in "aeiou" else "a", *words])


def _arrange(names: list[str], relations, rng: np.random.Generator) -> str:
    """One, two or three named things as one phrase, with what is said of their places."""
    if len(names) == 1:
        return names[0]
    if not relations:
        return f"{', '.join(names[:-1])} and {names[-1]}"

    def said(word: str) -> str:
        return pick(rng, RELATION_WORDS[word])

    if len(names) == 2:
        (i, word, j), = relations
        return f"{names[i]} {said(word)} {names[j]}"
    (a, word, c), (b, _, _) = relations[:2]
    if len(relations) == 3:
        return f"{names[a]} {said(relations[2][1])} {names[b]}, both {said(word)} {names[c]}"
    if rng.random() < 0.5:
        return f"{names[a]} and {names[b]} {said(word)} {names[c]}"
    return f"{names[c]} {said(OPPOSITE[word])} {names[a]} and {names[b]}"


def describe(
    scene: Scene, rng: np.random.Generator, chances: dict[str, float] = CHANCES
) -> tuple[str, Statement]:
    """A caption of the scene, and what it states."""
    statement = state(scene, rng, chances)
    return phrase(statement, rng), statement


def full_statement(scene: Scene, rng: np.random.Generator) -> Statement:
    """Everything that a caption could say of the scene."""
    return state(scene, rng, dict.fromkeys(FACTS, 1.0))


def _words() -> tuple[str, ...]:
    """Every word that a caption can contain, sorted."""
    groups = (SIZE_WORDS, RELATION_WORDS, BACKGROUND_WORDS, STYLE_PREFIX, STYLE_SUFFIX)
    texts = [text for group in groups for options in group.values() for text in options]
    texts += [*PLAIN_PREFIX, *KINDS, *COLOURS, *BACKGROUNDS, *STYLES, "a an and both shape thing"]
    return tuple(sorted({word for text in texts for word in text.split()}))


VOCABULARY = _words()
