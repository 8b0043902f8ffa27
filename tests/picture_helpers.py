"""The same captioned pictures in every layout that the readers know."""

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

CAPTIONS = {
    "cat": ("a cat", "a grey cat on a sofa"), "dogs/rex": ("a dog",), "dogs/a.b": ("two dogs", "dogs"),
    "große Wiese": ("eine Wiese",), "sea": ("the sea, at night", 'a "quoted" sea'),
}  # fmt: skip
SUFFIX = {"cat": ".png", "sea": ".PNG"}     # the others are JPEG


def picture(key: str, size: tuple[int, int] = (80, 70)) -> Image.Image:
    """A picture of its own for each key."""
    noise = np.random.default_rng(sum(key.encode())).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def encoded(key: str) -> bytes:
    file = io.BytesIO()
    picture(key).save(file, "PNG" if key in SUFFIX else "JPEG")
    return file.getvalue()


def name(key: str) -> str:
    return key + SUFFIX.get(key, ".jpg")


def put_pictures(root: Path) -> Path:
    for key in CAPTIONS:
        path = root / name(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(key))
    return root


def texts(root: Path) -> Path:
    put_pictures(root)
    for key, captions in CAPTIONS.items():
        (root / f"{key}.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    return root


def jsonl(root: Path) -> Path:
    put_pictures(root)
    rows = [{"file_name": name(key), "text": list(captions), "id": 7} for key, captions in CAPTIONS.items()]
    (root / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return root


def in_csv(root: Path) -> Path:
    """One caption each, so the pictures with two have the first of them."""
    put_pictures(root)
    with (root / "metadata.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("file_name", "text"), *((name(key), captions[0]) for key, captions in CAPTIONS.items())])
    return root


def coco(root: Path) -> Path:
    put_pictures(root / "train2017")
    numbers = {key: 100 + number for number, key in enumerate(CAPTIONS)}
    found = {
        "images": [{"id": numbers[key], "file_name": name(key), "height": 70} for key in CAPTIONS],
        "annotations": [{"image_id": numbers[key], "id": 1, "caption": caption + "\n"}
                        for key, captions in CAPTIONS.items() for caption in captions],
    }  # fmt: skip
    (root / "annotations").mkdir()
    (root / "annotations" / "captions_train2017.json").write_text(json.dumps(found), encoding="utf-8")
    return root


def tar(root: Path, text: str = ".txt") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "part-0.tar", "w") as file:
        for key, captions in CAPTIONS.items():
            written = "\n".join(captions) if text == ".txt" else json.dumps({"captions": captions, "width": 80})
            for member, content in ((name(key), encoded(key)), (key + text, written.encode())):
                info = tarfile.TarInfo("./" + member)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return root


def tar_json(root: Path) -> Path:
    return tar(root, ".json") / "part-0.tar"


LAYOUTS = {"texts": texts, "jsonl": jsonl, "csv": in_csv, "coco": coco, "tars": tar, "tar with json": tar_json}
