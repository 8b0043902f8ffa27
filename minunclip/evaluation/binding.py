"""Whether CLIP knows what belongs to which thing: a caption against the same one with a fact exchanged (section 7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..clip import CLIP
from ..scenes import THING_FACTS, Item, Scene, full_statement, phrase
from .statistics import Share


@torch.no_grad()
def told_apart(clip: CLIP, items: list[Item]) -> dict[str, Share]:
    """How often a picture of two things is nearer to its caption than to the caption in which they exchanged a fact.

    Per fact of things, over the pictures whose two things differ in it. Both captions say all that there is to say, in
    the same words.
    """
    found = {}
    for fact in (*THING_FACTS, "place"):
        pairs = [(item, other) for item in items if (other := exchanged(item.scene, fact)) != item.scene]
        if not pairs:
            continue
        images = torch.stack([item.image(clip.config.image_size) for item, _ in pairs])
        z_i = clip.encode_image(images.to(clip.device))
        right, wrong = ([said(pair[end], i) for i, pair in enumerate(pairs)] for end in (0, 1))
        near, far = (torch.cosine_similarity(z_i, clip.encode_text(captions).embed) for captions in (right, wrong))
        found[f"{fact} exchanged"] = Share(int((near > far).sum()), len(pairs))
    return found


def exchanged(scene: Scene, fact: str) -> Scene:
    """A scene of two things with this fact, or place, of one the other's; another number of things stays as it is."""
    if len(scene.things) != 2:
        return scene
    a, b = scene.things
    if fact == "place":
        return replace(scene, things=(b, a))
    return replace(scene, things=(replace(a, **{fact: b.facts[fact]}), replace(b, **{fact: a.facts[fact]})))


def said(of: Item | Scene, number: int) -> str:
    """Everything that a caption can say, in words drawn from a number."""
    rng = np.random.default_rng(number)
    return phrase(full_statement(of if isinstance(of, Scene) else of.scene, rng), rng)
