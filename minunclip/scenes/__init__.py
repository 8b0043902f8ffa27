"""A small world of captioned pictures, made on the fly: facts, nuisance, captions, renderer.

May import: common.
"""

from .captions import THOROUGH, VOCABULARY, describe, full_statement, phrase, state
from .dataset import Item, Scenes, for_testing, to_tensor
from .facts import (
    BACKGROUNDS,
    COLOURS,
    FACTS,
    HELD_OUT,
    KINDS,
    LAYOUT_NAMES,
    LAYOUTS,
    RELATIONS,
    SCENE_FACTS,
    SIZES,
    STYLES,
    THING_FACTS,
    Scene,
    Statement,
    Thing,
    draw_scene,
    draw_thing,
    pick,
    with_fact,
)
from .nuisance import Nuisance, Pose, nuisance
from .render import render
from .shapes import circle, star

__all__ = [
    "BACKGROUNDS", "COLOURS", "FACTS", "HELD_OUT", "Item", "KINDS", "LAYOUTS", "LAYOUT_NAMES", "Nuisance", "Pose",
    "RELATIONS", "SCENE_FACTS", "SIZES", "STYLES", "Scene", "Scenes", "Statement", "THING_FACTS", "THOROUGH", "Thing",
    "VOCABULARY", "circle", "describe", "draw_scene", "draw_thing", "for_testing", "full_statement", "nuisance",
    "phrase", "pick", "render", "star", "state", "to_tensor", "with_fact",
]  # fmt: skip
