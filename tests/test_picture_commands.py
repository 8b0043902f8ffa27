"""`minunclip pictures check`, `pictures pack` and `embed`: run as a user runs them."""

import tarfile

import numpy as np
import pytest
import torch
from helpers import randomise
from picture_helpers import CAPTIONS, LAYOUTS, encoded, name, picture, texts
from PIL import Image
from test_gallery import READS
from torch.testing import assert_close

from minunclip.__main__ import main
from minunclip.clip import CLIP
from minunclip.commands import pictures as command
from minunclip.pictures import open_pictures, open_splits


@pytest.fixture
def source(tmp_path):
    return texts(tmp_path / "set" / "train").parent


@pytest.fixture
def clip(tmp_path):
    model = randomise(CLIP(READS))
    model.save(tmp_path / "clip.safetensors")
    return model


def test_check_finds_nothing_wrong_with_a_good_folder(source, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["pictures", "check", str(source), "--out", str(sheet)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"5 of the pictures: {sheet}", "nothing is wrong"]
    assert Image.open(sheet).width > 5 * 160


def test_check_names_and_counts_every_fault_and_fails(source, tmp_path, capsys):
    for key, content in (("broken", b"no picture"), ("torn", encoded("dogs/rex")[:-300])):
        (source / "train" / f"{key}.jpg").write_bytes(content)
        (source / "train" / f"{key}.txt").write_text("a broken one\n")
    picture("small", (20, 30)).save(source / "train" / "small.png")
    (source / "train" / "small.txt").write_text("a small one\n")
    picture("cat", (90, 80)).save(source / "train" / "copy.png")
    (source / "train" / "copy.txt").write_text("the same cat, larger\n")
    assert main(["pictures", "check", str(source), "--out", str(tmp_path / "sheet.png")]) == 1
    lines = capsys.readouterr().out.splitlines()
    wrong = {"no picture": "train/broken", "damaged": "train/torn", "fewer than 64 pixels": "train/small",
             "looks the same": "copy"}  # fmt: skip
    for words, key in wrong.items():
        [line] = [line for line in lines if words in line]
        assert line.strip().startswith("1 x") and key in line
    assert lines[-1] == "4 kinds of faults", lines


def test_check_of_a_folder_that_is_not_there_says_so(tmp_path, capsys):
    assert main(["pictures", "check", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_pack_writes_reads_as_the_same_items(layout, tmp_path):
    source = LAYOUTS[layout](tmp_path / "set")
    written = command.pack(str(source), tmp_path / "packed" / "all.tar", size=2)
    assert [path.name for path in written] == ["all-000.tar", "all-001.tar", "all-002.tar"]
    before, after = open_splits(source), open_splits(tmp_path / "packed")
    assert before.keys() == after.keys()
    for split in before:
        for item, packed in zip(before[split], after[split], strict=True):
            assert packed.key.removeprefix(f"{split}/") == item.key.removeprefix(f"{split}/")
            assert packed.captions == item.captions and torch.equal(packed.image(32), item.image(32))


def test_pack_makes_large_pictures_smaller_and_keeps_small_ones_byte_by_byte(source, tmp_path, capsys):
    assert main(["pictures", "pack", str(source), "--out", str(tmp_path / "p.tar"), "--side", "75"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "p-000.tar")]
    with tarfile.open(tmp_path / "p-000.tar") as tar:
        kept = {member.name: tar.extractfile(member).read() for member in tar}
    assert all(kept[f"train/{name(key)}".replace(".PNG", ".png").replace(".jpg", ".jpeg")]
               == (source / "train" / name(key)).read_bytes() for key in CAPTIONS)  # fmt: skip
    command.pack(str(source), tmp_path / "q.tar", side=35)
    small = open_pictures(tmp_path / "q-000.tar")
    assert all(item.picture().size == (40, 35) for item in small)       # they were 80 x 70


def test_pack_writes_the_same_bytes_again(source, tmp_path):
    first, second = (command.pack(str(source), tmp_path / f"{name}.tar")[0] for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_embed_keeps_what_the_clip_says_of_both_splits(tmp_path, clip, capsys):
    root = texts(tmp_path / "set" / "train").parent
    texts(root / "val")
    out = tmp_path / "embedded"
    arguments = ["embed", str(root), "--clip", str(tmp_path / "clip.safetensors"), "--out", str(out), "--workers", "0"]
    assert main([*arguments, "--side", "32"]) == 0 and capsys.readouterr().out.strip() == str(out)
    for split in ("train", "val"):
        z_i = np.load(out / split / "z_i.npy")
        for row, item in zip(z_i, open_pictures(root, split), strict=True):
            expected = clip.look(item.image(READS.image_size)[None])[0].detach()
            assert_close(torch.from_numpy(row).float(), expected, atol=4e-3, rtol=4e-3)


def test_embed_refuses_a_folder_of_another_clip(tmp_path, source, clip, capsys):
    texts(source / "val")
    arguments = ["embed", str(source), "--clip", str(tmp_path / "clip.safetensors"), "--out", str(tmp_path / "e")]
    assert main([*arguments, "--workers", "0"]) == 0
    kept = (tmp_path / "e" / "train" / "z_i.npy").read_bytes()
    torch.manual_seed(5)
    randomise(CLIP(READS), seed=9).save(tmp_path / "clip.safetensors")
    assert main([*arguments, "--workers", "0"]) == 2
    assert "was made of other clip" in capsys.readouterr().err
    assert (tmp_path / "e" / "train" / "z_i.npy").read_bytes() == kept


def test_embed_of_an_unknown_clip_names_what_there_is(source, capsys):
    assert main(["embed", str(source), "--clip", "nothing"]) == 2
    assert "there is no CLIP nothing" in capsys.readouterr().err
