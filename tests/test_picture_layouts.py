"""One set of pictures in every layout: the readers find the same, and say at once what is wrong with a set."""

import shutil
from pathlib import Path

import pytest
import torch
from picture_helpers import CAPTIONS, LAYOUTS, encoded, in_csv, jsonl, name, picture, tar, texts

from minunclip.common import for_decoder
from minunclip.pictures import entries as entries_module
from minunclip.pictures import open_pictures
from minunclip.pictures.dataset import read


@pytest.fixture(autouse=True)
def all_for_training(monkeypatch):
    """Five pictures are too few to keep one in ten."""
    monkeypatch.setattr(entries_module.Entry, "for_validation", False)


def refusal(source: Path) -> str:
    with pytest.raises(ValueError) as error:
        open_pictures(source)
    text = str(error.value)
    assert "\n" not in text and str(source) in text, text
    return text


# -- the same items ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_items(tmp_path, layout):
    pictures = open_pictures(LAYOUTS[layout](tmp_path / "set"))
    assert [item.key for item in pictures] == sorted(CAPTIONS)
    for item in pictures:
        captions = CAPTIONS[item.key]
        assert item.captions == (captions[:1] if layout == "csv" else captions)
        assert item.caption in item.captions
        assert item.entry.place.read() == encoded(item.key)
        assert item.picture().size == (80, 70)


def test_the_same_set_has_the_same_fingerprint_whatever_its_layout(tmp_path):
    sums = {layout: open_pictures(make(tmp_path / layout)).fingerprint for layout, make in LAYOUTS.items()}
    assert len({value for layout, value in sums.items() if layout != "csv"}) == 1
    assert sums["csv"] != sums["texts"]                                 # it has fewer captions


@pytest.mark.parametrize("change", ["another caption", "another picture", "one more", "another name"])
def test_another_set_has_another_fingerprint(tmp_path, change):
    root = texts(tmp_path)
    before = open_pictures(root).fingerprint
    assert open_pictures(root).fingerprint == before
    if change == "another caption":
        (root / "cat.txt").write_text("a cat\nA grey cat on a sofa\n")
    elif change == "another picture":
        picture("other", (90, 90)).save(root / "cat.png")
    elif change == "one more":
        for end in (".jpg", ".txt"):
            shutil.copy(root / f"dogs/rex{end}", root / f"dogs/rex 2{end}")
    else:
        for end in (".png", ".txt"):
            (root / f"cat{end}").rename(root / f"Cat{end}")
    assert open_pictures(root).fingerprint != before


def test_an_item_is_what_training_asks_for(tmp_path):
    item = next(item for item in open_pictures(texts(tmp_path)) if item.key == "cat")
    whole = for_decoder(picture("cat"), 64)[0]                          # PNG: nothing is lost
    assert torch.equal(item.image(64), whole)
    assert torch.equal(item.image(64, (8, 24, 16)), whole[:, 24:40, 8:24])
    assert isinstance(item.seed, int) and isinstance(item.caption, str)


# -- what is wrong -------------------------------------------------------------------------------------------


def one_without_text(root):
    (texts(root) / "cat.txt").unlink()


def no_texts(root):
    for path in texts(root).rglob("*.txt"):
        path.unlink()


def text_of_blanks(root):
    (texts(root) / "sea.txt").write_text(" \n\n")


def missing_pictures(root):
    jsonl(root)
    (root / "cat.png").unlink()
    (root / name("sea")).unlink()


def misspelt_metadata(root):
    (jsonl(root) / "metadata.jsonl").rename(root / "metadata.json1")


def misspelt_column(root):
    path = in_csv(root) / "metadata.csv"
    path.write_text(path.read_text(encoding="utf-8-sig").replace("file_name,text", "filename,text"))


def a_line_that_is_no_json(root):
    path = jsonl(root) / "metadata.jsonl"
    path.write_text(path.read_text() + "\n{'file_name': 3}\n")


def twice(root):
    shutil.copy(texts(root) / "cat.png", root / "cat.jpg")


def not_a_picture(root):
    (texts(root) / "cat.png").write_text("<html>not found</html>")


def empty(root):
    root.mkdir()


def tar_without_texts(root):
    put = tar(root) / "part-0.tar"
    put.write_bytes(put.read_bytes().replace(b".txt", b".cls"))


WRONG = {
    one_without_text: ["no caption: write one into a .txt", "(cat)"],
    no_texts: ["no caption", "(cat and 4 others)"],
    text_of_blanks: ["no caption", "(sea)"],
    missing_pictures: ["captions whose pictures are missing: correct the name", "(cat.png and 1 other)"],
    misspelt_metadata: ["nearly metadata.jsonl or metadata.csv: rename it", "(metadata.json1)"],
    misspelt_column: ["without 'file_name', is it 'filename'", "(metadata.csv, row 1 and 4 others)"],
    a_line_that_is_no_json: ["a line that is no JSON", "(metadata.jsonl, line 6)"],
    twice: ["two pictures have one name", "(cat and 1 other)"],
    not_a_picture: ["no picture that can be read", "(cat)"],
    empty: ["there is no picture"],
}


@pytest.mark.parametrize("spoil", WRONG)
def test_what_is_wrong_is_told_at_once(tmp_path, spoil):
    spoil(tmp_path / "set")
    text = refusal(tmp_path / "set")
    assert all(part in text for part in WRONG[spoil]), text


def test_several_faults_are_told_together(tmp_path):
    one_without_text(tmp_path)
    (tmp_path / "sea.PNG").write_text("no picture")
    (tmp_path / "metadata.jsn").write_text("")
    text = refusal(tmp_path)
    assert all(part in text for part in ("no caption", "(cat)", "no picture that can be read", "(sea)", "metadata.jsn"))


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_tar_that_is_not_whole(tmp_path, share):
    path = tar(tmp_path) / "part-0.tar"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"part-0.tar is no tar, is packed .* or is not whole"):
        read(tmp_path)
