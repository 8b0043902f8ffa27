"""Where a user's picture may come from: a path, bytes, an open file, a PIL image, an array; and what none of it is."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minunclip.common import images, read_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


def png():
    file = io.BytesIO()
    PICTURE.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("source", [
    png(), bytearray(png()), memoryview(png()), io.BytesIO(png()), PICTURE, Image.open(io.BytesIO(png())), PIXELS,
    PIXELS[:, ::-1][:, ::-1], np.asfortranarray(PIXELS),
], ids=["bytes", "bytearray", "memoryview", "file", "image", "lazy image", "array", "view", "columns"])  # fmt: skip
def test_a_picture_is_the_same_wherever_it_comes_from(source):
    read = read_picture(source)
    assert read.mode == "RGB" and np.array_equal(read, PIXELS)


def test_an_array_of_greys():
    assert np.array_equal(read_picture(PIXELS[..., 0]), PIXELS[..., :1].repeat(3, axis=2))


def test_an_image_is_put_right_as_a_file_would_be_and_stays_as_it_is():
    image = PICTURE.copy()
    image.getexif()[0x0112] = 3                         # upside down
    image.putalpha(0)
    assert set(np.array(read_picture(image)).flatten().tolist()) == {255} and image.mode == "RGBA"
    turned = PICTURE.transpose(Image.Transpose.ROTATE_180)
    turned.getexif()[0x0112] = 3
    assert np.array_equal(read_picture(turned), PIXELS) and turned.getexif()[0x0112] == 3


@pytest.mark.parametrize("path", [str, Path])
def test_the_home_folder(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))    # its name in Windows
    (tmp_path / "cat.png").write_bytes(png())
    assert np.array_equal(read_picture(path("~/cat.png")), PIXELS)
    with pytest.raises(ValueError, match="there is no picture .*dog.png: check the path") as error:
        read_picture(path("~/dog.png"))
    assert str(tmp_path) in str(error.value)            # the folder that was looked into


@pytest.mark.parametrize("array, told", [
    (PIXELS / 255, r"an array \(6, 9, 3\) of float64"),
    (PIXELS.astype(np.int64), r"of int64"),
    (PIXELS.transpose(2, 0, 1), r"an array \(3, 6, 9\)"),
    (PIXELS[None], r"an array \(1, 6, 9, 3\)"),
    (np.zeros((6, 9, 4), np.uint8), r"an array \(6, 9, 4\)"),
    (np.zeros((0, 9, 3), np.uint8), r"an array \(0, 9, 3\)"),
    (PIXELS[0, :, 0], r"an array \(9,\)"),
])  # fmt: skip
def test_another_array_is_told_what_is_wanted(array, told):
    with pytest.raises(ValueError, match=told + r".*: give \(height, width, 3\) or \(height, width\) of uint8"):
        read_picture(array)


@pytest.mark.parametrize("source", [None, 3, ["cat.png"], torch.zeros(3, 8, 8)])
def test_what_is_no_picture_at_all(source):
    with pytest.raises(ValueError, match="read_picture cannot read a (NoneType|int|list|Tensor): give a path") as error:
        read_picture(source)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("source", [b"a corgi", b"", png()[:40]])
def test_bytes_of_something_else_are_called_the_uploaded_picture(source):
    with pytest.raises(ValueError, match="^the uploaded picture is (no picture|damaged)"):
        read_picture(source)


def test_too_little_memory_is_no_damage(monkeypatch):
    def full(image):
        raise MemoryError

    monkeypatch.setattr(images, "eight_bit", full)
    with pytest.raises(ValueError, match="takes more memory than there is: save it smaller"):
        read_picture(png())
