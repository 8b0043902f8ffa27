"""`minunclip evaluate --data`: measure what was trained on captioned pictures, on pictures that it never saw.

There is no judge of real pictures. A CLIP says whether a drawing is found by its caption, and how far drawn pictures
are from true ones, beside how far two sets of true ones are from each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..common import best_device, check_target, save_png, to_pil, write_text
from ..evaluation import Share, found, frechet_distance, inside, kernel_distance
from ..pictures import Item, open_splits
from ..plots import show
from ..pretrained import load
from ..text import Text
from ..unclip import UnCLIP
from .evaluate import as_json, check, markdown

AMONG = (1000, 100, 20)                     # of so many a picture or a caption is to be found
PART = 50                                   # captions drawn together
ROUTES = ("the prior's z_i", "z_t as z_i", "the caption alone", "the true z_i")


@dataclass
class Sets:
    """Pictures that training never saw, as many others that it saw, and what the CLIP makes of them."""

    cascade: UnCLIP
    items: list[Item]                       # unseen
    seen: list[Item]
    seed: int

    @classmethod
    def of(cls, source: str, model: Path, count: int, seed: int) -> Sets:
        """Raises ValueError for a source without unseen pictures, or too few."""
        splits = open_splits(source, seed)
        if "val" not in splits or len(splits["val"]) < 10:
            raise ValueError(f"{source}: fewer than 10 pictures are kept from training: add some, or a folder val")
        unseen, seen = (splits[name].shuffled(seed) for name in ("val", "train"))
        n = min(count, len(splits["val"]), len(splits["train"]))
        return cls(load(model, best_device()), *([part[i] for i in range(n)] for part in (unseen, seen)), seed)

    def looked_at(self, items: list[Item]) -> Tensor:
        """z_i (N, D) of pictures, as the model's CLIP sees them."""
        side, clip = self.cascade.clip.config.image_size, self.cascade.clip
        batches = (torch.stack([item.image(side) for item in part]) for part in parts(items))
        return torch.cat([clip.look(batch.to(clip.device)).cpu() for batch in batches])

    def texts(self) -> Iterator[tuple[int, Text]]:
        """The encoded captions in parts, each with the number of its first."""
        for number, part in enumerate(parts(self.items)):
            yield PART * number, self.cascade.encode_text([item.caption for item in part])

    def z_of(self, route: str, text: Text, first: int, true: Tensor) -> Tensor | None:
        """What the decoder is given by one of ROUTES, for the captions from number `first`; true (N, D) are the z_i."""
        if route == "the prior's z_i":
            return self.cascade.embed(text, seed=self.seed + first).finish()
        if route == "the true z_i":
            return true[first : first + len(text)].to(self.cascade.device)
        return text.embed if route == "z_t as z_i" else None

    def drawn(self, route: str, true: Tensor) -> Tensor:
        """A picture (N, 3, S, S) for each caption."""
        bar = tqdm(total=len(self.items), desc=route, unit="picture", leave=False)
        images = []
        for first, text in self.texts():
            z_i = self.z_of(route, text, first, true)
            images.append(self.cascade.decode(z_i, text, seed=self.seed + first).finish().cpu())
            bar.update(len(text))
        bar.close()
        return torch.cat(images)


def parts(items: list[Item]) -> Iterator[list[Item]]:
    return (items[start : start + PART] for start in range(0, len(items), PART))


@torch.no_grad()
def evaluate_pictures(
    source: str, model: Path, count: int = 1000, *, seed: int = 0, out: Path | None = None, keep: bool = False
) -> str:
    """Measure everything, write results/pictures.json and pictures.png under `out`; return the table.

    model   a folder with a CLIP, a prior and a decoder that were trained on the source
    keep    also write each picture, drawn and true, as drawn/*.png and true/*.png: other tools measure such folders
    Raises ValueError for too few pictures, OSError if nothing can be written there.
    """
    check(count)
    out = out or model
    check_target(out / "results" / "pictures.json")
    sets = Sets.of(source, model, count, seed)
    seen, true = sets.looked_at(sets.seen), sets.looked_at(sets.items)
    z_t = torch.cat([text.embed.cpu() for _, text in sets.texts()])
    rows = {"the CLIP": retrieved(z_t, true), "true pictures that training saw": apart(seen, true)}
    kept = {}
    for route in ROUTES:
        kept[route] = sets.drawn(route, true)
        z_i = sets.cascade.clip.look(kept[route].to(sets.cascade.device)).cpu()
        rows[f"drawn from {route}"] = retrieved(z_t, z_i) | itself(true, z_i) | apart(z_i, true)
    found_json = as_json(rows, len(sets.items), seed, sets.cascade.device) | {"source": source}
    write_text(out / "results" / "pictures.json", json.dumps(found_json, indent=1) + "\n")
    write_sheet(sets, kept, out / "pictures.png")
    if keep:
        write_pictures(sets, kept[ROUTES[0]], out)
    return markdown(rows)


def retrieved(z_t: Tensor, z_i: Tensor) -> dict[str, Share]:
    """How often the CLIP finds a picture by its caption, and the other way round."""
    groups = [among for among in AMONG if among <= len(z_t)] or [len(z_t)]
    return {f"{what}, among {among}": found(*pair, among) for among in groups
            for what, pair in (("a picture by its caption", (z_t, z_i)), ("a caption by its picture", (z_i, z_t)))}


def itself(true: Tensor, z_i: Tensor) -> dict[str, Share]:
    """How often the CLIP finds the true picture by what was drawn in its place."""
    among = min(100, len(true))
    return {f"its true picture, among {among}": found(z_i, true, among)}


def apart(z_i: Tensor, true: Tensor) -> dict[str, Share | float]:
    """How far pictures are from true ones. Distances should be near 0, shares near 1, as those of true pictures are."""
    right, covered = inside(z_i, true), inside(true, z_i)
    return {"Frechet distance": frechet_distance(z_i, true), "kernel distance": kernel_distance(z_i, true),
            "precision": Share(int(right.sum()), len(right)), "recall": Share(int(covered.sum()), len(covered))}


def write_sheet(sets: Sets, drawn: dict[str, Tensor], path: Path) -> None:
    """The first captions, not chosen: the true picture, and what each route makes of its caption."""
    side, columns = sets.cascade.decoder.config.size, 8
    items = sets.items[:columns]
    images = [item.image(side) for item in items]
    captions = [f"true: {item.caption}" for item in items]
    for route, pictures in drawn.items():
        images += [*pictures[:columns]]
        captions += [route] * len(items)
    title = "The first unseen captions, not chosen"
    figure = show(images, captions, columns=len(items), title=title, seed=sets.seed, side=2 * side)
    save_png(figure.image, path, title)


def write_pictures(sets: Sets, drawn: Tensor, out: Path) -> None:
    """Each as a PNG of its own, of one size."""
    side = sets.cascade.decoder.config.size
    for folder, images in (("true", (item.image(side) for item in sets.items)), ("drawn", drawn)):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            to_pil(image).save(out / folder / f"{number:05}.png")
