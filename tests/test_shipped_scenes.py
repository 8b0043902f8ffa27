"""What the shipped readers of pictures must be able to do, or nothing that is measured with them means anything."""

import pytest
import torch

from minunclip.clip import CLIP
from minunclip.evaluation import Judge, judge_accuracy, renders, told_apart
from minunclip.scenes import Scenes


@pytest.fixture(scope="module")
def items():
    return [Scenes("test", seed=31)[i] for i in range(300)]


def test_the_clip_tells_exchanged_facts_apart(items):
    clip = CLIP.from_pretrained("scenes")
    found = told_apart(clip, [item for item in items if len(item.scene.things) == 2])
    assert {name.split()[0] for name in found} == {"kind", "colour", "size", "place"}
    assert all(share.total > 50 and share.value >= 0.98 for share in found.values()), found


@torch.no_grad()
def test_the_judge_reads_every_fact_of_renders(items):
    judge = Judge.from_pretrained("scenes")
    found = judge_accuracy([item.scene for item in items], judge.read(renders(items, 32)))
    assert all(share.value >= 0.99 for share in found.values()), found
