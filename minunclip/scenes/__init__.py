"""A small world of captioned pictures, made on the fly."""

from .captions import VOCABULARY, describe, full_statement, phrase, state
from .dataset import Item, Scenes, to_tensor
from .facts import (
    BACKGROUNDS,
    COLOURS,
    FACTS,
    HELD_OUT,
    KINDS,
    LAYOUT_NAMES,
    RELATIONS,
    SCENE_FACTS,
    SIZES,
    STYLES,
    THING_FACTS,
    Scene,
    Statement,
    Thing,
    draw_scene,
    with_fact,
)
from .render import render

__all__ = [
    "BACKGROUNDS", "COLOURS", "FACTS", "HELD_OUT", "KINDS", "LAYOUT_NAMES", "RELATIONS", "SCENE_FACTS", "SIZES",
    "STYLES", "THING_FACTS", "VOCABULARY",
    "Item", "Scene", "Scenes", "Statement", "Thing",
    "describe", "draw_scene", "full_statement", "phrase", "render", "state", "to_tensor", "with_fact",
]  # fmt: skip
