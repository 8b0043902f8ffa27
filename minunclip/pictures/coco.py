"""COCO's captions in their official layout (Lin et al. 2014): `train2017/`, `val2017/` and `annotations/`."""

from __future__ import annotations

import json
from pathlib import Path

from .entries import Entry, Faults, Place, examine, tidy


def annotations(root: Path, split: str) -> Path | None:
    """The file with the captions of a split, or None if this is no such folder."""
    return next(iter(sorted((root / "annotations").glob(f"captions_{split}*.json"))), None)


def read_coco(file: Path, faults: Faults) -> list[Entry]:
    """The pictures of such a file, five captions each; what is wrong goes into `faults`.

    They lie in a folder that is named like it: captions_train2017.json belongs to train2017.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        names = {image["id"]: str(image["file_name"]) for image in found["images"]}
        captions: dict[int, list[str]] = {}
        for annotation in found["annotations"]:
            captions.setdefault(annotation["image_id"], []).append(annotation["caption"])
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(f"{file} is damaged ({type(error).__name__}: {error}): fetch it again") from None
    folder, entries = file.parents[1] / file.stem.removeprefix("captions_"), []
    for number, name in names.items():
        path = folder / name
        if not path.is_file():
            faults.add("pictures that have captions are missing: fetch them, too", name)
            continue
        texts = tidy(captions.get(number, ()))
        entries.append(Entry(Path(name).with_suffix("").as_posix(), texts, Place(path, path.stat().st_size)))
    return examine(entries, faults)
