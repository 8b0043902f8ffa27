"""CLIP: attention, the Vision Transformer, the matrix of pictures and captions."""

from __future__ import annotations

import math

from ...training.recipes import ClipRecipe
from .examples import scene
from .sheet import Drawing, Sheet

WORDS, SCORES = ("big", "red", "heart"), (0.4, 2.2, 1.0)                    # as an example


def attention() -> Drawing:
    """Attention for one word: scores of its query with all keys, softmax, the mixture of the values."""
    s = Sheet("attention", 880, 318, title="Attention, for one word", alt=(
        "Attention for the word heart. Its query is compared with the keys of big, red and heart: each score is q "
        "dot k over the square root of d. A softmax turns the scores into weights that sum to 1, and the answer is "
        "the sum of the values, each times its weight. Red, with the largest score, counts most."))
    weights = [math.exp(score) / sum(map(math.exp, SCORES)) for score in SCORES]
    for x, head in ((66, "words"), (178, "keys"), (336, "scores"), (519, "weights"), (656, "values")):
        s.text(x, 32, head, kind="soft", size=13)
    for i, (word, score, weight) in enumerate(zip(WORDS, SCORES, weights, strict=True)):
        y = 70 + 62 * i
        s.box(24, y - 19, 84, 38, kind="text", words=word)
        s.arrow((108, y), (150, y), kind="text")
        s.box(150, y - 19, 56, 38, kind="text", words=f"k_{i + 1}")
        s.arrow((206, y), (252, y))
        s.box(252, y - 21, 168, 42, kind="noise", words=f"q_3 · k_{i + 1} / √*d* = {score}", size=14)
        s.arrow((420, y), (458, y), kind="noise")
        s.box(460, y - 13, 118, 26, kind="soft", radius=3)
        s.cell(461, y - 12, 116 * weight, 24, kind="noise", opacity=0.75)
        s.text(598, y + 5, f"{weight:.2f}", size=13, kind="noise")
        s.box(628, y - 19, 56, 38, kind="image", words=f"v_{i + 1}")
        s.arrow((684, y), (756, 132 + 12 * (i - 1)), kind="image")
    s.arrow((66, 213), (66, 272), (150, 272), kind="text")
    s.box(150, 253, 56, 38, kind="noise", words="q_3", bold=True)
    s.arrow((206, 272), (336, 272), (336, 217), kind="noise")
    s.text(352, 277, "the query of “heart” asks every key", kind="noise", size=13, anchor="start")
    s.text(434, 32, "softmax", kind="soft", size=13)
    s.box(758, 103, 98, 58, kind="good", words="Σ *w* v", note="what “heart”\nhears")
    return s.done()


def vision_transformer() -> Drawing:
    """The Vision Transformer: patches as tokens, a class token that collects, z_i from it."""
    c = ClipRecipe.config
    count, across = (c.image_size // c.patch) ** 2, c.image_size // c.patch
    s = Sheet("vision_transformer", 880, 330, title="The Vision Transformer", alt=(
        f"CLIP's image encoder. A picture of {c.image_size} pixels is cut into {across} by {across} patches. "
        f"Convolutions make a vector of width {c.image_width} of each patch. A class token joins these {count}, "
        f"positions are added, and a Transformer of {c.image_layers} layers lets all see all. What it makes of the "
        "class token is projected to z_i."))
    s.picture(24, 110, 136, scene(side=32))
    for i in range(1, across):
        at = 136 * i / across
        s.line((24 + at, 110), (24 + at, 246))
        s.line((24, 110 + at), (160, 110 + at))
    s.text(92, 268, f"{c.image_size} px, {across} × {across} patches", kind="soft", size=13)
    s.arrow((160, 178), (196, 178), kind="image")
    s.box(196, 146, 116, 64, words="convolutions", note=f"a patch becomes\n{c.image_width} numbers", size=14)
    s.arrow((312, 178), (338, 178), (338, 308), (575, 308), (575, 286), kind="image")
    s.line((424, 276), (424, 284), (726, 284), (726, 276), kind="image")
    s.text(389, 286, "learned", kind="good", size=13)
    for i, word in enumerate(("class", "1", "2", "3", "…", str(count))):
        x = 362 + 62 * i
        s.box(x, 230, 54, 38, kind="good" if i == 0 else "image", words=word, size=14)
        s.arrow((x + 27, 230), (x + 27, 192), kind="good" if i == 0 else "image")
    s.text(742, 254, "+ positions", kind="soft", size=13, anchor="start")
    s.box(362, 130, 364, 60, words="Transformer", note=f"{c.image_layers} layers, {c.image_heads} heads; all see all")
    s.arrow((389, 130), (389, 84), kind="good")
    s.box(348, 46, 82, 38, words="project")
    s.arrow((430, 65), (478, 65), kind="image")
    s.box(480, 44, 66, 42, kind="image", words="z_i", bold=True)
    s.text(562, 70, f"{c.embed_width} numbers", kind="image", size=13, anchor="start")
    return s.done()


def contrastive_matrix() -> Drawing:
    """The contrastive loss: pictures in rows, captions in columns, the pairs on the diagonal."""
    s = Sheet("contrastive_matrix", 880, 394, title="The contrastive matrix", alt=(
        "A matrix of similarities with four pictures in rows and four captions in columns. The pairs are on the "
        "diagonal and should be large, all other cells small. Each row is a choice of a caption for a picture, each "
        "column a choice of a picture for a caption; the loss is the mean cross-entropy of both."))
    captions = ("a yellow\nstar", "an orange\nfish", "a purple\nmoon", "a red\nflower")
    for i, caption in enumerate(captions):
        s.box(196 + 108 * i, 24, 96, 46, kind="text", words=caption, size=13.5)
        s.arrow((244 + 108 * i, 70), (244 + 108 * i, 94), kind="text")
        s.picture(24, 98 + 58 * i, 46, scene(i, side=24), kind="image")
        s.arrow((70, 121 + 58 * i), (96, 121 + 58 * i), kind="image")
        s.box(98, 103 + 58 * i, 62, 36, kind="image", words=f"z_{{i{i + 1}}}")
        s.arrow((160, 121 + 58 * i), (188, 121 + 58 * i), kind="image")
        for j in range(4):
            s.box(192 + 108 * j, 97 + 58 * i, 104, 50, kind="good" if i == j else "soft", radius=3, bold=i == j,
                  words=f"z_{{i{i + 1}}} · z_{{t{j + 1}}}", size=14)  # fmt: skip
    s.line((630, 101), (640, 101), (640, 143), (630, 143), kind="image")
    s.text(650, 118, "a row: which caption\nbelongs to this picture?", kind="image", size=14, anchor="start")
    s.text(650, 212, "a pair: large\neverywhere else: small", kind="good", size=14, anchor="start")
    s.line((196, 334), (196, 344), (292, 344), (292, 334), kind="text")
    s.text(196, 368, "a column: which picture belongs to this caption?", kind="text", size=14, anchor="start")
    s.text(650, 300, "loss: the mean\ncross-entropy of all\nrows and columns", size=14, anchor="start")
    return s.done()
