"""The training loop, its data, and a recipe for every stage.

May import: evaluation, the paper's parts, and the rooms below them.
"""

from .data import Batch, Item, batches, collate, drop, embeddings, encode, encoded
from .degrade import blur, jpeg
from .recipes import Recipe, recipe_for
from .trainer import Record, TrainConfig, Trainer

__all__ = [
    "Batch", "Item", "Recipe", "Record", "TrainConfig", "Trainer", "batches", "blur", "collate", "drop", "embeddings",
    "encode", "encoded", "jpeg", "recipe_for",
]  # fmt: skip
