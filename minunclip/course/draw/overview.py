"""The whole: the cascade from a caption to a picture, and who decides what in it."""

from __future__ import annotations

from ...training.recipes import ClipRecipe, DecoderRecipe, PriorRecipe, UpsamplerRecipe
from .examples import CAPTION, scene
from .sheet import Drawing, Sheet


def cascade() -> Drawing:
    """The cascade: caption, CLIP, prior, decoder and two upsamplers, with the sizes of the toy world's networks."""
    s = Sheet("cascade", 880, 404, title="The cascade of unCLIP", alt=(
        "The cascade of unCLIP. Above: a caption goes through CLIP's text encoder to z_t and tokens, and the prior "
        "makes the image embedding z_i of them; in training z_i comes from a picture through CLIP's image encoder. "
        "Below: the decoder draws a small picture from z_i and the caption, and two upsamplers enlarge it fourfold "
        "each."))
    clip, sides = ClipRecipe.config, [DecoderRecipe.config.size, *(UpsamplerRecipe(i).config.size for i in (1, 2))]
    words_to_z(s, clip)
    z_to_picture(s, sides)
    return s.done()


def words_to_z(s: Sheet, clip) -> None:
    s.text(24, 26, "1  from words to an image embedding", kind="soft", anchor="start", size=13)
    s.box(24, 52, 170, 64, kind="text", words=CAPTION)
    s.arrow((194, 84), (228, 84))
    s.box(228, 52, 108, 64, words="CLIP\ntext encoder", note=f"{clip.text_layers} layers")
    s.arrow((336, 68), (370, 68), kind="text")
    s.arrow((336, 100), (370, 100), kind="text")
    s.box(370, 53, 68, 28, kind="text", words="z_t")
    s.box(370, 87, 68, 28, kind="text", words="tokens")
    s.arrow((438, 68), (472, 75), kind="text")
    s.arrow((438, 100), (472, 93), kind="text")
    s.box(472, 52, 96, 64, words="prior", note=f"{PriorRecipe.layers} layers", bold=True)
    s.arrow((568, 84), (602, 84), kind="image")
    s.box(602, 66, 52, 36, kind="image", words="z_i", bold=True)
    s.box(686, 52, 118, 64, kind="soft", words="CLIP\nimage encoder", dash=True)
    s.arrow((686, 84), (656, 84), kind="soft", dash=True)
    s.picture(832, 66, 36, scene(side=32), kind="soft")
    s.arrow((832, 84), (806, 84), kind="soft", dash=True)
    s.text(765, 136, "in training", kind="soft", size=13)


def z_to_picture(s: Sheet, sides: list[int]) -> None:
    y = 286
    s.text(158, 192, "2  from the embedding to a picture", kind="soft", anchor="start", size=13)
    s.arrow((628, 102), (628, 160), (88, 160), (88, y - 32), kind="image")
    s.arrow((404, 115), (404, 150), (64, 150), (64, y - 32), kind="text")
    s.box(24, y - 32, 104, 64, words="decoder", note="U-Net", bold=True)
    places = [(158, 64, 32), (394, 104, 64), (670, 168, 96)]               # x, side on the sheet, pixels drawn
    for i, ((x, large, pixels), side) in enumerate(zip(places, sides, strict=True)):
        s.arrow((128 if i == 0 else x - 30, y), (x, y), kind="image")
        s.picture(x, y - large / 2, large, scene(side=pixels), kind="image")
        s.text(x + large / 2, y + large / 2 + 18, f"{side} px", kind="image", size=13)
        if i < 2:
            s.arrow((x + large, y), (x + large + 28, y), kind="image")
            s.box(x + large + 28, y - 32, 114, 64, words=f"upsampler {i + 1}", note="U-Net", bold=True)


def facts() -> Drawing:
    """Who decides what in a picture: the caption, z_i, x_T."""
    s = Sheet("facts", 880, 296, title="Facts and nuisance", alt=(
        "Three columns. The caption states some facts: kinds, colours, sizes. The image embedding z_i holds those "
        "and the facts that the caption leaves open: background, style, relation. The noise x_T decides the "
        "nuisance, which no caption names: exact places, turns, tints, clouds."))
    columns = [
        (24, "text", "the caption states", ["kind: heart, fish", "colour: red, blue", "size: big, small"]),
        (312, "image", "z_i adds", ["relation: one above the other", "background: a meadow", "style: flat"]),
        (600, "noise", "x_T adds", ["exact place and turn", "tint of each colour", "clouds, phase of patterns"]),
    ]  # fmt: skip
    for x, kind, head, lines in columns:
        s.box(x, 24, 256, 150, kind=kind)
        s.text(x + 128, 54, head, kind=kind, bold=True)
        for i, line in enumerate(lines):
            s.text(x + 128, 90 + 28 * i, line, kind=kind, size=14)
    for x in (296, 584):
        s.text(x, 106, "+", size=22, kind="soft")
    s.brace(24, 186, 544, words="facts: words can name them, and the judge reads them", kind="soft")
    s.brace(600, 186, 256, words="nuisance: no caption names it", kind="soft")
    s.text(296, 250, "fidelity: are the stated facts true?", kind="text", size=14)
    s.text(296, 276, "diversity: how freely do the open facts vary?", kind="image", size=14)
    s.text(728, 250, "what variations of a picture change", kind="noise", size=14)
    return s.done()
