"""Build emoji.tar: 818 things, each drawn three times, at 64 pixels with captions.

    npm install emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0 @lobehub/fluent-emoji-3d@1.1.0 \\
        emojilib@4.0.3
    python data/pictures/build_emoji.py node_modules

The three styles are Noto's (a cartoon), Twemoji's (a flat drawing) and Fluent's (a 3d model). One thing in ten is for
validation, in all its styles: its name decides. Who made the pictures stands in LICENCES.md beside this file.
"""

from __future__ import annotations

import io
import json
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image

from minunclip.common import read_picture, replacing
from minunclip.pictures.tars import write_tar

CATEGORIES = ("Animals & Nature", "Food & Drink", "Objects", "Travel & Places", "Activities")
SIDE, CAPTIONS = 64, 10                     # pixels; captions of each picture
STYLES = {                                  # what a caption calls it, and where a picture lies
    "noto": ("cartoon", "emoji-datasource-google/img/google/64/{code}.png"),
    "twemoji": ("flat drawing", "emoji-datasource-twitter/img/twitter/64/{code}.png"),
    "fluent": ("3d model", "@lobehub/fluent-emoji-3d/assets/{code}.webp"),
}


@dataclass(frozen=True)
class Thing:
    """What is drawn."""

    name: str                               # "red apple"
    tags: tuple[str, ...]                   # "fruit", "mac", "school"
    group: str                              # "food fruit"
    code: str                               # its code points, as the files are named

    @property
    def split(self) -> str:
        return "val" if zlib.crc32(self.name.encode()) % 10 == 0 else "train"


def things(packages: Path) -> Iterator[Thing]:
    """All that can be seen and has a name: no faces, people, flags, signs or clocks."""
    words = json.loads((packages / "emojilib/dist/emoji-en-US.json").read_text(encoding="utf-8"))
    for row in json.loads((packages / "emoji-datasource-google/emoji.json").read_text(encoding="utf-8")):
        if row["category"] not in CATEGORIES or row["subcategory"] == "time":
            continue
        letters = "".join(chr(int(code, 16)) for code in row["unified"].split("-"))
        name, *tags = (words.get(letters) or words[letters.replace("\ufe0f", "")])
        thing = Thing(plain(name), tuple(plain(tag) for tag in tags if tag.isascii()),
                      plain(row["subcategory"]), row["unified"].lower())  # fmt: skip
        if all(file_of(thing, style, packages) for style in STYLES):
            yield thing


def plain(text: str) -> str:
    return " ".join(text.replace("_", " ").replace("-", " ").replace("&", "and").lower().split())


def file_of(thing: Thing, style: str, packages: Path) -> Path | None:
    """Where a thing is drawn in a style; None if it is not. Fluent leaves out a sign that says 'as a picture'."""
    for code in (thing.code, thing.code.replace("-fe0f", "")):
        path = packages / STYLES[style][1].format(code=code)
        if path.is_file():
            return path
    return None


def captions_of(thing: Thing, style: str) -> tuple[str, ...]:
    """The name, and others that say it or a tag, and perhaps the style, some more tags or the group."""
    random, found, kind = Random(f"{thing.name} {style}"), {thing.name: None}, STYLES[style][0]
    for _ in range(200):
        said = thing.name if random.random() < 0.8 or not thing.tags else random.choice(thing.tags)
        others = [tag for tag in thing.tags if tag != said]
        more = random.sample(others, k=min(len(others), random.choice([0, 0, 1, 2])))
        more += [thing.group] if random.random() < 0.15 else []
        if random.random() < 0.6:
            said = random.choice([f"{kind} of {said}", f"{said} as a {kind}", f"{said}, {kind}"])
        found[", ".join([said, *more])] = None
        if len(found) == CAPTIONS:
            break
    return tuple(found)


def webp(path: Path) -> bytes:
    """A picture on white, SIDE pixels wide and high."""
    picture, file = read_picture(path).resize((SIDE, SIDE), Image.Resampling.LANCZOS), io.BytesIO()
    picture.save(file, "WEBP", quality=90, method=6)
    return file.getvalue()


def build(packages: Path, target: Path) -> int:
    """Write the tar; the number of its pictures."""
    rows = [(f"{thing.split}/{style}/{thing.name}", webp(file_of(thing, style, packages)), ".webp",
             captions_of(thing, style)) for thing in things(packages) for style in STYLES]  # fmt: skip
    with replacing(target) as temporary:
        write_tar(temporary, sorted(rows))
    return len(rows)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(build(Path(sys.argv[1]), Path(__file__).with_name("emoji.tar")), "pictures")
