"""A user's picture: CLIP's own preprocessing is the oracle, and no file may surprise."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import image_transform
from PIL import Image

from minunclip.common import for_clip, for_decoder, read_picture
from minunclip.common.images import square


def noise(width, height, seed=0):
    """Every pixel on its own, so that no detail of the resizing hides."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def picture():
    """Each corner has a colour of its own."""
    image = Image.new("RGB", (30, 20), "black")
    for colour, box in {"red": (0, 0, 15, 10), "lime": (15, 0, 30, 10), "blue": (0, 10, 15, 20)}.items():
        image.paste(colour, box)
    return image


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def assert_same(actual, expected):
    assert actual.mode == "RGB"
    np.testing.assert_array_equal(np.array(actual), np.array(expected.convert("RGB")))


# -- what CLIP sees ------------------------------------------------------------------------------------------


def open_clips(image, size):
    return image_transform(size, is_train=False)(image)[None]


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([8, 28]))
@settings(max_examples=30)
def test_equals_open_clip(width, height, size):
    image = noise(width, height)
    if max(width, height) <= 8 * min(width, height):
        assert torch.equal(for_clip(image, size), open_clips(image, size))
    else:  # cropped before, a strip may move by a part of a pixel
        assert for_clip(image, size).shape == (1, 3, size, size)


@pytest.mark.parametrize("side", [(640, 480), (480, 640), (224, 224), (1000, 333), (225, 224)])
def test_equals_open_clip_at_vit_l_14(side):
    image = noise(*side)
    assert torch.equal(for_clip(image), open_clips(image, 224))


def test_of_a_long_strip_the_middle_is_seen():
    strip = Image.radial_gradient("L").convert("RGB").resize((2000, 40))
    assert (for_clip(strip, 28) - open_clips(strip, 28)).abs().mean() < 0.01
    assert for_clip(noise(1, 60_000)).shape == (1, 3, 224, 224)  # all of it, 224 wide, would be 9 GB


def test_other_ways_to_resize_are_noticed():
    image = noise(64, 48)
    right = square(image, 28)
    wrong = [image.resize((28, 28), Image.Resampling.BICUBIC),                           # squashed, not cropped
             image.crop((8, 0, 56, 48)).resize((28, 28), Image.Resampling.BILINEAR),
             image.crop((0, 0, 48, 48)).resize((28, 28), Image.Resampling.BICUBIC)]      # fmt: skip
    for image in wrong:
        assert (torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 - right).abs().mean() > 0.01


def test_a_decoder_gets_minus_one_to_one():
    image = Image.new("RGB", (4, 6), (255, 0, 51))
    torch.testing.assert_close(for_decoder(image, 4)[0, :, 0, 0], torch.tensor([1.0, -1.0, -0.6]))


# -- formats -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP"])
def test_formats_without_loss(picture, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert_same(read_picture(saved(picture, kind, **options)), picture)


def test_a_path_and_a_name(picture, tmp_path):
    picture.save(tmp_path / "a.png")
    assert_same(read_picture(tmp_path / "a.png"), picture)
    assert_same(read_picture(str(tmp_path / "a.png")), picture)


@pytest.mark.parametrize("orientation, back", [
    (1, None), (2, Image.Transpose.FLIP_LEFT_RIGHT), (3, Image.Transpose.ROTATE_180),
    (4, Image.Transpose.FLIP_TOP_BOTTOM), (5, Image.Transpose.TRANSPOSE), (6, Image.Transpose.ROTATE_90),
    (7, Image.Transpose.TRANSVERSE), (8, Image.Transpose.ROTATE_270),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_turned_camera(picture, orientation, back, kind):
    """The file holds the picture turned, and says how."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = picture if back is None else picture.transpose(back)
    file = saved(turned, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert_same(read_picture(file), picture)


def test_a_turned_grey_picture_of_16_bits():
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = Image.fromarray(np.array([[0, 65535]], dtype=np.uint16))
    assert np.array(read_picture(saved(grey, exif=exif)))[..., 0].tolist() == [[0], [255]]


@pytest.mark.parametrize("mode, kind", [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "TIFF"), ("RGBA", "WEBP")])
def test_transparency_becomes_white(mode, kind):
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 51))
    file = saved(image.convert(mode), kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.array(read_picture(file))[0].tolist() == [[0] * 3, [255] * 3, [204] * 3]


def test_a_transparent_colour_of_a_palette_becomes_white():
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    read = read_picture(saved(image, transparency=0))
    assert [read.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 100, 50)]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_other_kinds_of_colour(picture, mode):
    image = picture.convert(mode)
    assert_same(read_picture(saved(image, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG")), image)


@pytest.mark.parametrize("values, kind", [
    (np.array([[0, 257, 32896, 65535]], dtype=np.uint16), "PNG"),
    (np.array([[0, 257, 32896, 65535]], dtype=np.uint16), "TIFF"),
    (np.array([[0, 257, 32896, 65535]], dtype=np.int32), "TIFF"),
    (np.array([[np.nan, 1 / 255, 128 / 255, 1]], dtype=np.float32), "TIFF"),
    (np.array([[-3, 2, 256, 510]], dtype=np.float32), "TIFF"),
])  # fmt: skip
def test_more_than_eight_bits(values, kind):
    assert np.array(read_picture(saved(Image.fromarray(values), kind)))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_the_first_frame_of_a_film(picture):
    file = saved(picture, "GIF", save_all=True, append_images=[Image.new("RGB", picture.size, "white")])
    assert_same(read_picture(file), picture)


# -- what is no picture --------------------------------------------------------------------------------------


def bomb(side):
    """A PNG of 70 bytes that says it has side x side pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def cut(kind):
    data = saved(noise(64, 64), kind).getvalue()
    return data[: len(data) // 2]


def flipped():
    data = bytearray(saved(noise(64, 64)).getvalue())
    data[200:400] = bytes(200)
    return bytes(data)


BAD = {
    "empty": (b"", "no picture that Pillow can read: save it as PNG or JPEG"),
    "text": (b"a corgi", "no picture that Pillow can read"),
    "page": (b"<html>not found</html>", "no picture that Pillow can read"),
    "vector": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture that Pillow can read"),
    "half a PNG": (cut("PNG"), r"is damaged \(.*\): get it again"),
    "half a JPEG": (cut("JPEG"), r"is damaged \(.*\): get it again"),
    "half a TIFF": (cut("TIFF"), r"is damaged|no picture"),
    "half a WEBP": (cut("WEBP"), r"is damaged|no picture"),
    "flipped bits": (flipped(), "is damaged"),
    "900 million pixels": (bomb(30_000), "has more than 89 million pixels: save it smaller"),
    "100 million pixels": (bomb(10_000), "has more than 89 million pixels: save it smaller"),
}


@pytest.mark.parametrize("data, message", BAD.values(), ids=BAD)
def test_what_is_no_picture_is_named(data, message, tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_picture(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match="the uploaded picture"):
        read_picture(io.BytesIO(data))


def test_the_limit_is_pillows(monkeypatch, picture):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 599)
    with pytest.raises(ValueError, match="million pixels"):
        read_picture(saved(picture))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
    assert read_picture(saved(picture)).size == (30, 20)


def test_no_file_and_a_folder(tmp_path):
    for path in (tmp_path, tmp_path / "none.png"):
        with pytest.raises(ValueError, match="there is no picture .*: check the path"):
            read_picture(path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions bind neither Windows nor root")
def test_a_file_that_may_not_be_read(picture, tmp_path):
    path = tmp_path / "cat.png"
    picture.save(path)
    path.chmod(0)
    with pytest.raises(ValueError, match="may not be read"):
        read_picture(path)


@given(st.binary(max_size=300), st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.integers(0, 400))
@settings(max_examples=60)
def test_any_damage_is_a_picture_or_one_line(damage, kind, place):
    data = saved(noise(12, 9), kind).getvalue()
    data = data[:place] + damage + data[place + len(damage) :]
    try:
        assert read_picture(io.BytesIO(data)).mode == "RGB"
    except ValueError as error:
        assert str(error).startswith("the uploaded picture ") and "\n" not in str(error)
