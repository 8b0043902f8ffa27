"""The training loop, its data, and a recipe for every stage."""

from .data import Batch, Item, batches, collate, drop, embeddings, encode, encoded
from .recipes import Recipe, recipe_for
from .trainer import Record, TrainConfig, Trainer

__all__ = [
    "Batch", "Item", "Recipe", "Record", "TrainConfig", "Trainer", "batches", "collate", "drop", "embeddings", "encode",
    "encoded", "recipe_for",
]  # fmt: skip
