"""The training loop, its data, and a recipe for every stage.

May import: pictures, evaluation, the paper's parts, and the rooms below them.
"""

from .bank import Bank, batches
from .data import ENDLESS, Captioned, Embedded, Examples, Item, drop, embeddings, encode, encoded, pictures, pixels
from .degrade import blur, jpeg
from .gallery import Gallery
from .recipes import Recipe, recipe_for
from .trainer import Loader, Record, TrainConfig, Trainer

__all__ = [
    "Bank", "Captioned", "ENDLESS", "Embedded", "Examples", "Gallery", "Item", "Loader", "Recipe", "Record",
    "TrainConfig", "Trainer", "batches", "blur", "drop", "embeddings", "encode", "encoded", "jpeg", "pictures",
    "pixels", "recipe_for",
]  # fmt: skip
