"""Captioned pictures made ready for training, once, in a folder of arrays that are read as they are needed.

    pictures.npy   (N, 3, S, S) uint8       z_i.npy   (N, D) float16        what a CLIP makes of the pictures
    ids.npy        (N, K, L) int32          z_t.npy   (N, K, D) float16     and of their captions
    captions.npy   (N,) int32, how many of the K captions a picture has     keys.json   their names

The captions' vectors of each token are not kept: they would be a hundred times as large.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..clip import CLIP, CLIPConfig, tokenizer_of
from ..common import to_uint8, write_text
from ..pictures import Item, Pictures
from .bank import end_with_parent, shuffled
from .data import Captioned, Embedded, pixels
from .trainer import TrainConfig

PART = 256                                  # pictures that are read, encoded and written together
MOST = 8                                    # captions of a picture that are kept


@dataclass
class Gallery:
    """N captioned pictures, and what a CLIP makes of them if there is one."""

    folder: Path
    arrays: dict[str, np.ndarray]           # the files above, mapped into memory
    device: torch.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.arrays["captions"])

    @property
    def keys(self) -> list[str]:
        return json.loads((self.folder / "keys.json").read_text())

    @classmethod
    def at(
        cls, folder: Path, pictures: Pictures, side: int, clip: CLIP | CLIPConfig, *, workers: int = 1
    ) -> Gallery:
        """The gallery in this folder; it is made first, or its making taken up again, if it is not whole.

        side    of the pictures that are kept
        clip    encodes them and their captions; if it is a config alone, it only says how captions become numbers
        Raises ValueError if the folder was made of other pictures, captions or another CLIP.
        """
        maker = Maker.of(folder, pictures, side, clip)
        check(folder, maker.about)
        if maker.done < len(pictures):
            maker.make(pictures, workers)
        return cls(folder, maker.arrays("r"))

    def on(self, device: torch.device) -> Gallery:
        """The same, with batches on this device."""
        return Gallery(self.folder, self.arrays, device)

    def rows(self, rows: Tensor, rng: torch.Generator) -> Captioned:
        """Some pictures, each with one of its captions."""
        kept = self.arrays
        chosen = (torch.rand(len(rows), generator=rng).numpy() * kept["captions"][rows]).astype(np.int64)
        tensors = [torch.from_numpy(kept["pictures"][rows]), torch.from_numpy(kept["ids"][rows, chosen])]
        if "z_i" not in kept:
            return Captioned(*tensors).to(self.device)
        return Embedded(*tensors, torch.from_numpy(kept["z_i"][rows]).float()).to(self.device)

    def batches(self, config: TrainConfig) -> Callable[[int], Iterator[Captioned]]:
        """A loader, first_step -> batches: each picture once a pass, in an order drawn from the seed."""
        per_pass = len(self) // config.batch
        if per_pass < 2:
            raise ValueError(f"{len(self)} pictures are fewer than two batches of {config.batch}: add pictures, or "
                             "take a smaller --batch")  # fmt: skip

        def start(first_step: int) -> Iterator[Captioned]:
            for step in range(first_step, config.steps):
                number, place = divmod(step, per_pass)
                order = shuffled(len(self), config.seed + 1_000_003 * number)
                rng = torch.Generator().manual_seed(config.seed + step)
                yield self.rows(order[place * config.batch : (place + 1) * config.batch], rng)

        return start


def check(folder: Path, about: dict) -> None:
    """Raises ValueError, with what differs, if a gallery in this folder was made of something else."""
    file = folder / "about.json"
    if not file.is_file():
        return
    made = json.loads(file.read_text())
    if differ := [name for name in about if made.get(name) != about[name]]:
        raise ValueError(f"{folder} was made of other {', '.join(differ)}: delete it, or name another folder")


# -- making one ----------------------------------------------------------------------------------------------


@dataclass
class Maker:
    """Makes a gallery part after part. `done.txt` says how many pictures are whole."""

    folder: Path
    about: dict                             # what it is made of, and how large it becomes
    config: CLIPConfig
    clip: CLIP | None

    @classmethod
    def of(cls, folder: Path, pictures: Pictures, side: int, clip: CLIP | CLIPConfig) -> Maker:
        config, clip = (clip.config, clip) if isinstance(clip, CLIP) else (clip, None)
        most = max(len(entry.captions) for entry in pictures.entries)
        about = {"pictures": pictures.fingerprint, "count": len(pictures), "side": side, "captions": min(MOST, most),
                 "clip": clip.fingerprint if clip else "", "tokens": [config.context, len(config.pieces)]}  # fmt: skip
        return cls(folder, about, config, clip)

    @property
    def done(self) -> int:
        file = self.folder / "done.txt"
        return int(file.read_text()) if file.is_file() else 0

    def shapes(self) -> dict[str, tuple[type, tuple[int, ...]]]:
        n, k, side, width = *(self.about[name] for name in ("count", "captions", "side")), self.config.embed_width
        shapes = {"pictures": (np.uint8, (n, 3, side, side)), "captions": (np.int32, (n,)),
                  "ids": (np.int32, (n, k, self.config.context))}  # fmt: skip
        if self.clip:
            shapes |= {"z_i": (np.float16, (n, width)), "z_t": (np.float16, (n, k, width))}
        return shapes

    def arrays(self, mode: str) -> dict[str, np.ndarray]:
        """All files mapped into memory: "r" to read them, "w" new ones, "r+" to go on."""
        if mode == "w":
            return {name: np.lib.format.open_memmap(self.folder / f"{name}.npy", "w+", dtype=dtype, shape=shape)
                    for name, (dtype, shape) in self.shapes().items()}  # fmt: skip
        return {name: np.load(self.folder / f"{name}.npy", mmap_mode=mode) for name in self.shapes()}

    def make(self, pictures: Pictures, workers: int) -> None:
        """Everything that is missing. Killed at any time, it goes on with the first part that is not whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        first = self.done
        arrays = self.arrays("r+" if first else "w")
        write_text(self.folder / "about.json", json.dumps(self.about) + "\n")
        write_text(self.folder / "keys.json", json.dumps([entry.key for entry in pictures.entries]) + "\n")
        bar = tqdm(total=len(pictures), initial=first, desc="pictures", unit="picture")
        for part in self.parts(pictures, first, workers):
            if isinstance(part, str):
                raise ValueError(part)
            rows = slice(first, first + len(part["pictures"]))
            part |= self.written([entry.captions for entry in pictures.entries[rows]])
            for name, values in (part | self.encoded(part)).items():
                if name in arrays:
                    arrays[name][rows] = values
                    arrays[name].flush()
            first = rows.stop
            write_text(self.folder / "done.txt", f"{first}\n")
            bar.update(first - bar.n)

    def parts(self, pictures: Pictures, first: int, workers: int) -> DataLoader:
        prepare = partial(prepared, side=self.about["side"], seen=self.config.image_size if self.clip else None)
        rows = range(first, len(pictures))
        return DataLoader(pictures, PART, sampler=rows, collate_fn=prepare, num_workers=workers,
                          worker_init_fn=end_with_parent)  # fmt: skip

    def written(self, captions: list[tuple[str, ...]]) -> dict[str, Tensor]:
        """The captions of a part as numbers, and how many each picture has; too few are said again."""
        most = self.about["captions"]
        ids = [self.tokenizer([of[k % len(of)] for k in range(most)]).int() for of in captions]
        return {"ids": torch.stack(ids), "captions": torch.tensor([min(most, len(of)) for of in captions])}

    @cached_property
    def tokenizer(self):
        return tokenizer_of(self.config)

    @torch.no_grad()
    def encoded(self, part: dict[str, Tensor]) -> dict[str, Tensor]:
        """z_i (B, D) and z_t (B, K, D) of a part, if there is a CLIP."""
        if not self.clip:
            return {}
        z_i = torch.cat([self.clip.look(pixels(images.to(self.clip.device))) for images in part["seen"].split(64)])
        several = part["ids"].flatten(0, 1).split(512)
        z_t = torch.cat([self.clip.embed_ids(ids) for ids in several]).unflatten(0, part["ids"].shape[:2])
        return {"z_i": z_i.half().cpu(), "z_t": z_t.half().cpu()}


def prepared(items: list[Item], side: int, seen: int | None) -> dict[str, Tensor] | str:
    """The pictures of a part, read in a process of its own; what is wrong with one, if they cannot be.

    seen: the side at which a CLIP looks at the pictures; those of a decoder are smaller. None: nobody looks.
    """
    try:
        part = {"pictures": to_uint8(torch.stack([item.image(side) for item in items]))}
        if seen:
            larger = seen != side
            part["seen"] = to_uint8(torch.stack([item.image(seen) for item in items])) if larger else part["pictures"]
    except ValueError as error:
        return str(error)
    return part
