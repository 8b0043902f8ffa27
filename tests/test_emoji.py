"""The set of pictures that is shipped: whole, in three styles, its splits apart."""

from collections import Counter, defaultdict

import pytest

from minunclip.common import DATA
from minunclip.pictures import Pictures, open_pictures


@pytest.fixture(scope="module")
def sets() -> dict[str, Pictures]:
    return {split: open_pictures("emoji", split) for split in ("train", "val")}


def things(pictures: Pictures) -> dict[str, set[str]]:
    """The styles of each thing."""
    found = defaultdict(set)
    for entry in pictures.entries:
        _, style, name = entry.key.split("/")
        found[name].add(style)
    return found


def test_every_thing_is_there_in_three_styles(sets):
    train, val = (things(sets[split]) for split in sets)
    assert len(train) == 733 and len(val) == 85 and not train.keys() & val.keys()
    assert all(styles == {"fluent", "noto", "twemoji"} for styles in (*train.values(), *val.values()))


def test_every_picture_can_be_read_and_is_64_pixels(sets):
    for pictures in sets.values():
        assert {item.picture().size for item in pictures} == {(64, 64)}


def test_captions_name_the_thing_most_often_and_the_style_about_half_the_time(sets):
    captions = [(entry.key.split("/"), caption) for entry in sets["train"].entries for caption in entry.captions]
    named = sum(name in caption for (_, _, name), caption in captions) / len(captions)
    styled = sum(kind in caption for _, caption in captions for kind in ("cartoon", "flat drawing", "3d model"))
    assert 0.7 < named < 0.9 and 0.45 < styled / len(captions) < 0.7
    assert all(len(set(entry.captions)) == len(entry.captions) >= 5 for entry in sets["train"].entries)


def test_a_caption_names_the_style_of_its_picture_only(sets):
    kinds = {"noto": "cartoon", "twemoji": "flat drawing", "fluent": "3d model"}
    told = Counter((entry.key.split("/")[1], kind) for entry in sets["train"].entries for caption in entry.captions
                   for kind in kinds.values() if f"{kind} of" in caption or f"as a {kind}" in caption)  # fmt: skip
    assert set(told) == {(style, kind) for style, kind in kinds.items()}


def test_it_is_small_and_says_who_made_it():
    assert (DATA / "pictures" / "emoji.tar").stat().st_size <= 7_000_000
    notices = (DATA / "pictures" / "LICENCES.md").read_text()
    for words in ("Apache License 2.0", "Attribution 4.0", "MIT", "Google", "Twitter", "Microsoft"):
        assert words in notices
