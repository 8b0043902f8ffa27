"""The priors: what they read, why they are needed, and the embedding as a sentence."""

from __future__ import annotations

import math
import random

from ...training.recipes import ClipRecipe, PriorRecipe
from .sheet import Drawing, Sheet

SEQUENCE = [("big", "text"), ("red", "text"), ("heart", "text"), ("pad", "soft"), ("z_t", "text"), ("*t*", "noise"),
            ("x_t", "noise"), ("query", "good")]  # fmt: skip


def prior_sequence() -> Drawing:
    """The diffusion prior's sequence, its causal mask, and the prefix that is read once."""
    s = Sheet("prior_sequence", 880, 330, title="What the diffusion prior reads", alt=(
        "The diffusion prior's sequence: caption tokens and padding, z_t, the timestep t, the noised image "
        "embedding x_t and a learned query. A causal Transformer reads it; what it makes of the query is the "
        "estimate of the clean z_i. Caption and z_t are read once and kept, the last three at every step. The mask "
        "lets each token see itself and those before it, but no padding."))
    for i, (word, kind) in enumerate(SEQUENCE):
        x = 24 + 70 * i
        s.box(x, 190, 62, 40, kind=kind, words=word, dash=word == "pad", size=14)
        s.arrow((x + 31, 190), (x + 31, 158), kind=kind, dash=word == "pad")
    s.box(24, 106, 552, 50, words="causal Transformer", note=f"{PriorRecipe.layers} layers, width {PriorRecipe.width}")
    s.arrow((545, 106), (545, 70), kind="good")
    s.box(456, 26, 120, 44, kind="image", words="estimate of z_i", size=14)
    s.text(440, 53, "the last one answers", kind="good", size=13, anchor="end")
    s.brace(24, 240, 342, words="kept prefix: read once for all steps", kind="text")
    s.brace(374, 240, 202, words="read at every step", kind="noise")
    s.text(475, 294, "x_t: the noised z_i", kind="noise", size=13)
    mask(s, 650, 74)
    return s.done()


def mask(s: Sheet, left: float, top: float, cell: float = 22) -> None:
    """The causal mask: a row for who looks, a column for what is looked at."""
    s.text(left + 4 * cell, top - 34, "who may look at what", kind="soft", size=13)
    for row in range(8):
        for column in range(8):
            seen = column <= row and SEQUENCE[column][0] != "pad"
            kind = ("text" if column < 5 else "noise") if seen else "soft"
            s.box(left + cell * column, top + cell * row, cell - 2, cell - 2, kind=kind, radius=2)
    s.arrow((left, top - 12), (left + 8 * cell - 4, top - 12), kind="soft")
    s.arrow((left - 12, top), (left - 12, top + 8 * cell - 4), kind="soft")
    s.text(left + 4 * cell, top + 8 * cell + 18, "rows look, columns are seen;", kind="soft", size=13)
    s.text(left + 4 * cell, top + 8 * cell + 35, "padding is never seen", kind="soft", size=13)


def modality_gap() -> Drawing:
    """The gap between captions' embeddings and pictures', and the prior that bridges it."""
    s = Sheet("modality_gap", 880, 316, title="The gap between z_t and z_i", alt=(
        "A sphere of directions. Captions' embeddings z_t lie in one region, pictures' embeddings z_i in another. "
        "CLIP only asks that a pair be more alike than strangers, not that it coincide. The decoder has learnt "
        "from z_i alone; the prior leads from the one region to the other."))
    cx, cy, radius, rng = 200.0, 160.0, 128.0, random.Random(5)
    s.circle(cx, cy, radius, kind="soft")
    ends = {}
    for kind, middle in (("text", 205), ("image", 310)):
        spots = [(middle + rng.uniform(-22, 22), rng.uniform(0.74, 0.97)) for _ in range(14)]
        for angle, share in spots:
            a = math.radians(angle)
            s.circle(cx + radius * share * math.cos(a), cy + radius * share * math.sin(a), 4, kind=kind, dot=True)
        a = math.radians(middle)
        ends[kind] = cx + 0.86 * radius * math.cos(a), cy + 0.86 * radius * math.sin(a)
        s.line((cx, cy), ends[kind], kind=kind, dash=True)
    s.circle(cx, cy, 4, kind="plain", dot=True)
    s.text(50, 104, "z_t", kind="text", bold=True)
    s.text(318, 52, "z_i", kind="image", bold=True)
    s.curve((102, 92), (150, 30), (250, 72), kind="good")
    s.text(150, 34, "prior", kind="good", bold=True)
    for i, (kind, line) in enumerate((
        ("plain", "CLIP asks that a pair be more alike than strangers."),
        ("plain", "It does not ask that z_t and z_i be the same."),
        ("image", "The decoder was trained on z_i, of pictures."),
        ("text", "z_t in its place is out of distribution."),
        ("good", "The prior draws a z_i that goes with the caption."),
    )):  # fmt: skip
        s.text(400, 92 + 34 * i, line, kind=kind, anchor="start")
    return s.done()


def better_of_two() -> Drawing:
    """Two samples of the prior, of which the one closer to z_t is kept."""
    s = Sheet("better_of_two", 880, 236, title="The better of two", alt=(
        "The prior draws two image embeddings for one caption, from two lumps of noise. Each is compared with z_t "
        "by the dot product of directions, and the one with the larger product goes to the decoder."))
    s.box(24, 96, 110, 44, kind="text", words="caption, z_t", size=14)
    for y, i, score, kind in ((44, 1, "0.41", "soft"), (148, 2, "0.57", "good")):
        s.arrow((134, 118), (222, y + 22), kind="text")
        s.box(224, y, 90, 44, words="prior")
        s.box(136, y + (46 if i == 2 else -28), 80, 26, kind="noise", words=f"noise {i}", size=13)
        s.arrow((216, y + (59 if i == 2 else -15)), (262, y + (59 if i == 2 else -15)),
                (262, y + (46 if i == 2 else -2)), kind="noise")  # fmt: skip
        s.arrow((314, y + 22), (362, y + 22), kind="image")
        s.box(364, y, 86, 44, kind="image", words=f"z_{{i,{i}}}")
        s.arrow((450, y + 22), (498, y + 22), kind="image")
        s.box(500, y, 158, 44, kind=kind, words=f"z_{{i,{i}}} · z_t = {score}", size=14)
    s.arrow((658, 170), (716, 124), kind="good")
    s.box(718, 88, 138, 56, kind="good", words="kept", note="goes to the decoder", bold=True)
    return s.done()


def ar_sentence() -> Drawing:
    """The autoregressive prior: an embedding as a row of tokens, each predicted from those before it."""
    width = ClipRecipe.config.embed_width
    s = Sheet("ar_sentence", 880, 376, title="An embedding as a sentence", alt=(
        "The autoregressive prior. Above: z_i is turned to its principal components, the most telling first, and "
        "each is put into one of some buckets, so that z_i becomes a row of tokens. Below: a causal Transformer "
        "reads the caption, z_t, a token for the dot product of z_i and z_t, and the components so far, and "
        "predicts the next component."))
    s.text(24, 30, "z_i becomes a row of tokens", kind="soft", size=13, anchor="start")
    s.box(24, 50, 132, 46, kind="image", words="z_i", note=f"{width} numbers", bold=True)
    s.arrow((156, 73), (204, 73), kind="image")
    s.box(206, 50, 150, 46, words="PCA", note="most telling first")
    s.arrow((356, 73), (404, 73), kind="image")
    s.box(406, 50, 170, 46, words="buckets", note="each number rounded")
    s.arrow((576, 73), (612, 73), kind="good")
    for i, word in enumerate(("c_1", "c_2", "…", "c_K")):
        s.box(614 + 62 * i, 53, 54, 40, kind="good", words=word)
    s.text(24, 150, "and is written token by token", kind="soft", size=13, anchor="start")
    reads = [("caption", "text", 108), ("z_t", "text", 62), ("dot", "noise", 62), ("c_1", "good", 62),
             ("c_2", "good", 62), ("…", "good", 62), ("c_{K−1}", "good", 78)]  # fmt: skip
    x, starts = 118.0, []
    for word, kind, w in reads:
        s.box(x, 300, w, 40, kind=kind, words=word)
        s.arrow((x + w / 2, 300), (x + w / 2, 274), kind=kind)
        starts.append((x, w))
        x += w + 12
    s.text(24, 325, "reads", kind="soft", anchor="start")
    s.text(24, 198, "predicts", kind="soft", anchor="start")
    s.box(118, 232, x - 130, 40, words="causal Transformer")
    for (left, w), word in zip(starts[2:], ("c_1", "c_2", "c_3", "…", "c_K"), strict=True):
        s.arrow((left + w / 2, 232), (left + w / 2, 214), kind="good")
        s.box(left, 172, w, 40, kind="good", words=word)
    s.text(708, 196, "one step ahead", kind="good", size=13, anchor="start")
    s.text(708, 318, "dot: how well z_i\nfits the caption", kind="noise", size=13, anchor="start")
    return s.done()
