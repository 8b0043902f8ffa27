"""Pictures as a data set: splits that stay, an endless order without state, and a doctor that looks at them all."""

import shutil
from collections import Counter

import pytest
import torch
from picture_helpers import CAPTIONS, picture, texts
from PIL import Image

from minunclip.pictures import open_pictures
from minunclip.pictures.dataset import Pictures
from minunclip.pictures.entries import Entry, Place
from minunclip.pictures.inspection import inspect


def entries(count: int) -> list[Entry]:
    captions = ("one", "two", "three")
    return [Entry(f"{i:04d}", captions[: 1 + i % 3], Place("nowhere", i)) for i in range(count)]


# -- splits --------------------------------------------------------------------------------------------------


def test_one_picture_in_ten_is_for_validation_and_stays_there():
    few, many = entries(2000), entries(4000)
    chosen = {entry.key for entry in few if entry.for_validation}
    assert abs(len(chosen) - 200) < 45                                  # three standard deviations
    assert chosen == {entry.key for entry in many[:2000] if entry.for_validation}


@pytest.mark.parametrize("val", ["val", "validation"])
def test_folders_may_say_which_split(tmp_path, val):
    texts(tmp_path / "train")
    for name in ("cat.png", "cat.txt"):
        (tmp_path / val).mkdir(exist_ok=True)
        shutil.copy(tmp_path / "train" / name, tmp_path / val / name)
    assert [item.key for item in open_pictures(tmp_path, "val")] == [f"{val}/cat"]
    assert [item.key for item in open_pictures(tmp_path)] == [f"train/{key}" for key in sorted(CAPTIONS)]
    shutil.copy(tmp_path / "train/cat.png", tmp_path / "cat.png")
    shutil.copy(tmp_path / "train/cat.txt", tmp_path / "cat.txt")
    with pytest.raises(ValueError, match="has folders for its splits, and pictures beside them: move cat"):
        open_pictures(tmp_path)


def test_sources_and_splits_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="there are no pictures .*nowhere: give a folder, a tar, or one of emoji"):
        open_pictures(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="there is no split 'test': choose train or val"):
        open_pictures(texts(tmp_path), "test")
    with pytest.raises(ValueError, match="no picture is left for 'val'"):
        open_pictures(tmp_path, "val")                                  # none of five happens to be chosen


def test_coco_without_the_captions_of_a_split(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "captions_train2017.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(ValueError, match=r"captions of this split are missing: fetch them \(annotations/captions_val"):
        open_pictures(tmp_path, "val")
    with pytest.raises(ValueError, match="there is no picture"):
        open_pictures(tmp_path)
    (tmp_path / "annotations" / "captions_train2017.json").write_text('{"images": [{"id": 3}]}')
    with pytest.raises(ValueError, match=r"captions_train2017.json is damaged \(KeyError: 'file_name'\)"):
        open_pictures(tmp_path)


# -- the order -----------------------------------------------------------------------------------------------


def test_each_picture_once_a_pass_in_another_order():
    endless = Pictures(entries(50)).shuffled(seed=3)
    passes = [[endless[i].key for i in range(start, start + 50)] for start in (0, 50, 100)]
    assert all(len(set(keys)) == 50 for keys in passes)
    assert passes[0] != passes[1] != passes[2] and passes[0] != sorted(passes[0])


def test_an_item_depends_on_seed_and_number_alone():
    pictures = Pictures(entries(50))
    endless, again = pictures.shuffled(seed=3), pictures.shuffled(seed=3)
    numbers = torch.randint(10**9, (30,), generator=torch.Generator().manual_seed(0)).tolist()
    assert [endless[i] for i in numbers] == [again[i] for i in reversed(numbers)][::-1]
    other = pictures.shuffled(seed=4)
    assert [endless[i] for i in range(20)] != [other[i] for i in range(20)]


def test_every_caption_is_drawn_alike_often():
    endless = Pictures(entries(3)).shuffled(seed=0)
    found = Counter(item.caption for item in (endless[i] for i in range(3 * 600)) if item.key == "0002")
    assert set(found) == {"one", "two", "three"} and min(found.values()) > 150        # 200 expected, each


def test_numbers_beyond_the_end():
    pictures = Pictures(entries(3))
    with pytest.raises(IndexError):
        pictures[3]
    assert pictures[-1].key == "0002" and len(list(pictures)) == 3


# -- the doctor ----------------------------------------------------------------------------------------------


def test_the_doctor_finds_nothing_in_a_good_set(tmp_path):
    faults, shown = inspect(texts(tmp_path))
    assert faults.found == {} and [caption for _, caption in shown] == [CAPTIONS[key][0] for key in sorted(CAPTIONS)]


def test_the_doctor_looks_at_every_picture(tmp_path):
    root = texts(tmp_path)
    whole = (root / "dogs/rex.jpg").read_bytes()
    (root / "dogs/rex.jpg").write_bytes(whole[: len(whole) // 2])       # cut in its middle
    picture("cat", (30, 200)).save(root / "cat.png")
    with Image.open(root / "sea.PNG") as sea:
        sea.resize((100, 90)).convert("RGB").save(root / "sea 2.jpg", quality=80)
    faults, shown = inspect(root)
    assert {fault.split(":")[0]: names for fault, names in faults.found.items()} == {
        "no caption": ["sea 2"], "damaged": ["dogs/rex"], "fewer than 64 pixels": ["cat"],
        "looks the same as another one": ["sea 2 as sea"],
    }  # fmt: skip
    assert "(no caption)" in [caption for _, caption in shown]
