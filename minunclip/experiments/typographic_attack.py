"""A word written on a picture: what CLIP reads, and what the decoder draws from that z_i (unCLIP section 4, figure 6).

The paper's CLIP had seen shop signs and captions in its pictures, and read "iPod" on an apple. Ours has seen renders
without a single letter. So each word is written a second time as its mirror image, which has the same ink in the same
place and says nothing. Only what the word does beyond its mirror image could be reading.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..clip import CLIP
from ..common import to_pil
from ..evaluation import Share, average
from ..plots import Picture, show
from ..scenes import KINDS, Item, Scene, full_statement, phrase, with_fact
from .runner import Found
from .study import Study

WORDS = ("star", "fish", "heart", "moon")       # the kinds whose names can be read in a picture of 32 pixels
PLACES = ("over", "below")                      # on the thing, or under it
WRITINGS = ("the word", "its mirror image")
DARK, LIGHT = (25, 25, 35), (250, 250, 250)
Cases = list[tuple[Item, str]]                  # scenes of one thing, each with another thing's name


def write(image: Tensor, word: str, place: str = "over", mirrored: bool = False) -> Tensor:
    """A word on a picture (3, S, S) in -1 to 1, as large as fits, in an ink that stands out: (3, S, S)."""
    side = image.shape[-1]
    font = font_for(word, side)
    left, top, right, bottom = font.getbbox(word)
    ink = Image.new("L", (side, side))
    x = (side - (right - left)) / 2 - left
    y = (side - (bottom - top)) / 2 - top if place == "over" else side - 1 - bottom
    ImageDraw.Draw(ink).text((round(x), round(y)), word, 255, font)
    if mirrored:
        ink = ink.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = to_pil(image)
    picture.paste(LIGHT if np.asarray(picture).mean() < 110 else DARK, mask=ink)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1


def font_for(word: str, side: int) -> ImageFont.FreeTypeFont:
    """The largest letters, at most 14/32 of the picture's side, with which the word fits into it."""
    for size in range(round(side * 14 / 32), 4, -1):
        font = ImageFont.load_default(size)
        left, _, right, _ = font.getbbox(word)
        if right - left <= side - 2:
            return font
    raise ValueError(f"the word {word!r} cannot be written in a picture of {side} pixels: choose a shorter one")


def typographic_attack(study: Study) -> Found:
    """What CLIP calls a thing with another thing's name on it, and what the decoder makes of that z_i alone."""
    items = [item for item in study.bench.items if len(item.scene.things) == 1][: study.size.edits]
    cases = [(item, word_for(item, i)) for i, item in enumerate(items)]
    pictures = written(cases, study.true_pictures([item.scene for item in items]))
    codes = {name: study.encode(images) for name, images in pictures.items()}
    drawn = {name: study.decoded(z_i, f"written: {name}") for name, z_i in codes.items()}
    z_t = kinds_in_words(study, items)
    chances = {name: kind_chances(study.bench.cascade.clip, z_i, z_t) for name, z_i in codes.items()}
    rows = [{"written": name, **reading(cases, chances[name], study.seed), **drawing(cases, study.read(drawn[name]))}
            for name in pictures]  # fmt: skip
    beyond = [{"written": f"the word, {place} the thing", **beyond_mirror(cases, chances, place, study.seed)}
              for place in PLACES]  # fmt: skip
    return {"a word on a picture": rows, "what the word does beyond its mirror image": beyond,
            "typographic-attack": strip_of_words(cases, pictures, drawn, chances, seed=study.seed)}  # fmt: skip


def word_for(item: Item, number: int) -> str:
    """The name of another thing than the item's: case after case the next of WORDS."""
    options = [word for word in WORDS if word != item.scene.things[0].kind]
    return options[number % len(options)]


def written(cases: Cases, images: Tensor) -> dict[str, Tensor]:
    """The pictures as they are, and with each word in each place, to be read and mirrored."""
    def label(place: str, mirrored: bool) -> Tensor:
        return torch.stack([write(image, word, place, mirrored)
                            for image, (_, word) in zip(images, cases, strict=True)])  # fmt: skip

    return {"nothing": images} | {
        f"{writing}, {place} the thing": label(place, writing != WRITINGS[0])
        for place in PLACES for writing in WRITINGS
    }  # fmt: skip


@torch.no_grad()
def kinds_in_words(study: Study, items: list[Item]) -> Tensor:
    """z_t of the captions that give each of B things each kind, everything else being true: (B, kinds, D)."""
    clip = study.bench.cascade.clip
    captions = [caption for i, item in enumerate(items) for caption in namings(item, study.seed + i)]
    z_t = study.collect(len(captions), "captions", lambda rows: clip.encode_text(captions[rows]).embed.float())
    return z_t.unflatten(0, (len(items), len(KINDS)))


def kind_chances(clip: CLIP, z_i: Tensor, z_t: Tensor) -> Tensor:
    """The probability that CLIP gives to each kind: z_i (B, D), z_t (B, kinds, D) -> (B, kinds)."""
    scale = clip.log_scale.detach().cpu().clamp(max=4.6052).exp()       # as in its loss
    return (scale * torch.cosine_similarity(z_i[:, None], z_t, dim=-1)).softmax(dim=1)


def namings(item: Item, seed: int) -> list[str]:
    """The caption that says everything of a scene of one thing, with each kind in turn."""
    said = full_statement(item.scene, np.random.default_rng(seed))
    return [phrase(with_fact(said, "kind", kind), np.random.default_rng(seed)) for kind in KINDS]


def reading(cases: Cases, chances: Tensor, seed: int) -> dict:
    """How often CLIP's first choice is the thing or the word, and its mean bet on the word."""
    first, bet = [KINDS[i] for i in chances.argmax(dim=1).tolist()], on_the_word(cases, chances)

    def says(kinds: list[str]) -> Share:
        return Share(sum(a == b for a, b in zip(first, kinds, strict=True)), len(cases))

    return {
        "CLIP says the thing": says([item.scene.things[0].kind for item, _ in cases]),
        "CLIP says the word": says([word for _, word in cases]),
        "CLIP's bet on the word": average(bet, seed),
    }


def on_the_word(cases: Cases, chances: Tensor) -> np.ndarray:
    """The chance of each word: (B, kinds) -> (B,)."""
    return chances[range(len(cases)), [KINDS.index(word) for _, word in cases]].double().numpy()


def drawing(cases: Cases, seen: list[Scene]) -> dict[str, Share]:
    """How often the decoder draws the thing alone, and the thing that the word names alone."""
    kinds = [[thing.kind for thing in scene.things] for scene in seen]

    def draws(wanted: list[str]) -> Share:
        return Share(sum(a == [b] for a, b in zip(kinds, wanted, strict=True)), len(kinds))

    return {
        "the decoder draws the thing": draws([item.scene.things[0].kind for item, _ in cases]),
        "it draws the word's": draws([word for _, word in cases]),
    }


def beyond_mirror(cases: Cases, chances: dict[str, Tensor], place: str, seed: int) -> dict:
    """How much more CLIP bets on the word, and how much oftener it says it, than with its mirror image in its place.

    Both are zero if CLIP does not read.
    """
    plain, mirrored = (chances[f"{writing}, {place} the thing"] for writing in WRITINGS)

    def says(found: Tensor) -> np.ndarray:
        return on_the_word(cases, found == found.amax(dim=1, keepdim=True))

    return {
        "more is bet on the word": average(on_the_word(cases, plain) - on_the_word(cases, mirrored), seed),
        "more often it is said": average(says(plain) - says(mirrored), seed),
    }


def strip_of_words(
    cases: Cases, pictures: dict[str, Tensor], drawn: dict[str, Tensor], chances: dict[str, Tensor], *, seed: int
) -> Picture:
    """For four things: the picture, what CLIP takes it for, and what the decoder draws from its z_i."""
    shown, cells, names, cases = ["nothing", *(f"the word, {p} the thing" for p in PLACES)], [], [], cases[:4]
    for i in range(len(cases)):
        for name in shown:
            chance, best = chances[name][i].max(dim=0)
            cells += [pictures[name][i], drawn[name][i]]
            names += [f"CLIP: {KINDS[best]} {chance:.2f}", "drawn from its z_i"]
    told = "; ".join(f"{word!r} on a {item.scene.things[0].kind}" for item, word in cases)
    alt = (f"Pictures in pairs, a true one and what the decoder draws from its z_i: as it is, with a word over the "
           f"thing, and with the word below it; {told}; {'; '.join(names[::2])}; seed {seed}.")  # fmt: skip
    return show(cells, names, columns=2 * len(shown), title="A word on a picture", seed=seed, side=128, alt=alt)
