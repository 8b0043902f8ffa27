"""Where answers on the toy world stand in for the library's."""

from __future__ import annotations

import torch

from ...evaluation import ABSENT, judge
from .core import normal
from .places import Place, direct


def questions() -> list[tuple]:
    """Logits and answers as the judge has them in training: of some pictures this thing is missing, or of all."""
    some = torch.arange(64) % 8
    return [(normal(64, 8), some), (normal(64, 8), torch.where(some > 4, ABSENT, some)),
            (normal(64, 2), torch.full((64,), ABSENT))]  # fmt: skip


SCENE_PLACES = {
    "question_loss": Place(judge, "mean_loss", direct, "every judge that is trained learns from it", questions,
                           trains=True),
}  # fmt: skip
