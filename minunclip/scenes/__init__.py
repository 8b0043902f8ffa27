"""A small world of captioned pictures, made on the fly."""

from .captions import VOCABULARY, describe, full_statement, phrase, state
from .dataset import Item, Scenes, to_tensor
from .facts import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT,
    KINDS,
    LAYOUT_NAMES,
    SIZES,
    STYLES,
    Scene,
    Statement,
    Thing,
    draw_scene,
)
from .render import render

__all__ = [
    "BACKGROUNDS", "COLOURS", "HELD_OUT", "KINDS", "LAYOUT_NAMES", "SIZES", "STYLES", "VOCABULARY",
    "Item", "Scene", "Scenes", "Statement", "Thing",
    "describe", "draw_scene", "full_statement", "phrase", "render", "state", "to_tensor",
]  # fmt: skip
