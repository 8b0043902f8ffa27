"""A small world of captioned pictures, made on the fly."""

from .captions import VOCABULARY, describe, full_statement, phrase, state, vary
from .facts import BACKGROUNDS, COLOURS, HELD_OUT, KINDS, LAYOUT_NAMES, SIZES, STYLES, Scene, Statement, Thing, draw_scene
from .dataset import Item, Scenes, to_tensor
from .render import render

__all__ = [
    "Item", "Scenes", "to_tensor",
    "BACKGROUNDS", "COLOURS", "HELD_OUT", "KINDS", "LAYOUT_NAMES", "SIZES", "STYLES", "VOCABULARY",
    "Scene", "Statement", "Thing", "describe", "draw_scene", "full_statement", "phrase", "render", "state", "vary",
]  # fmt: skip
