"""The colours of a user's picture: ICC profiles against their closed forms, and transparent colours of many bits."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from minunclip.common import read_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
GREYS = np.arange(256, dtype=np.uint8).reshape(16, 16)
D50 = (0.9642, 1.0, 0.8249)
SRGB_TO_XYZ = np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7139]])     # at D50
P3_TO_XYZ = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0010, 0.0419, 0.7841]])      # the same


# -- profiles, made here -------------------------------------------------------------------------------------


def fixed(*numbers):
    """The numbers as ICC writes them, with 16 bits behind the point."""
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def profile(kind, colours, connection, tags):
    """The bytes of an ICC profile: a header of 128 bytes, a table of the tags, and what they hold."""
    start = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s12s4s", start + len(body), b"", 0x02400000, kind, colours, connection, bytes(12),
                         b"acsp") + bytes(28) + fixed(*D50) + bytes(48)  # fmt: skip
    return header + table + body


def xyz(*numbers):
    return b"XYZ " + bytes(4) + fixed(*numbers)


BRIGHT = b"curv" + bytes(4) + struct.pack(">IH", 1, round(1.8 * 256))     # light is the value to the power of 1.8
GREY = profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": xyz(*D50), b"kTRC": BRIGHT})


def inverted_black():
    """Of a printer whose black ink is white, and which prints black without it, whatever the other inks are."""
    corners = b"".join(bytes([255 * black, 128, 128]) for _ in range(8) for black in (0, 1))  # lightness, a, b
    straight = bytes(range(256))
    table = (b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + 4 * straight + corners
             + 3 * straight)  # fmt: skip
    return profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": xyz(*D50), b"A2B0": table})


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_colorants(columns):
    """sRGB with other colours for its red, green and blue: (3, 3), each column X, Y and Z of one."""
    found = bytearray(SRGB)
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True):
        place = struct.unpack(">I", found[found.index(name) + 4 :][:4])[0]
        found[place + 8 : place + 20] = fixed(*column)
    return bytes(found)


SWAPPED = with_colorants(SRGB_TO_XYZ[:, ::-1])          # what a file calls red is blue


def decoded(values):
    """sRGB's 0 to 255 as amounts of light, 0 to 1 (IEC 61966-2-1)."""
    x = values / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def encoded(light):
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def in_p3(pixels):
    return encoded(decoded(pixels) @ P3_TO_XYZ.T @ np.linalg.inv(SRGB_TO_XYZ).T)


def read(image, kind="PNG", **options):
    """What `read_picture` makes of an image that was saved: (H, W, 3) of 0 to 255."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return np.array(read_picture(file.getvalue())).astype(float)


# -- what a profile means ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("icc, meant, close", [
    (SRGB, PIXELS, 1), (SWAPPED, PIXELS[..., ::-1], 1), (with_colorants(P3_TO_XYZ), in_p3(PIXELS), 2),
], ids=["sRGB", "swapped", "P3"])  # fmt: skip
def test_colours_come_in_srgb(kind, icc, meant, close):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.abs(read(Image.fromarray(PIXELS), kind, icc_profile=icc, **options) - meant).max() <= close


def test_a_profile_matters():
    assert np.abs(in_p3(PIXELS) - PIXELS).max() > 30 and np.abs(encoded((GREYS / 255) ** 1.8) - GREYS).max() > 15


def test_the_colours_of_a_palette():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert np.abs(read(image, icc_profile=SWAPPED)[0] - [[30, 20, 10], [50, 100, 200]]).max() <= 1


@pytest.mark.parametrize("values", [GREYS, GREYS.astype(np.uint16) * 257], ids=["8 bits", "16 bits"])
def test_greys(values):
    found = read(Image.fromarray(values), icc_profile=GREY)
    assert np.abs(found - encoded((GREYS / 255) ** 1.8)[..., None]).max() <= 2


def test_inks():
    inks = np.random.default_rng(1).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    inks[..., 3] = np.where(np.indices((8, 8)).sum(0) % 2, 255, 0)
    image = Image.fromarray(inks, "CMYK")
    assert np.abs(read(image, "TIFF", icc_profile=inverted_black()) - inks[..., 3, None]).max() <= 1
    assert np.abs(read(image, "TIFF") - inks[..., 3, None]).max() > 100


@pytest.mark.parametrize("mode, icc, meant", [("RGBA", SWAPPED, [51, 0, 0]), ("LA", GREY, [146] * 3)])
def test_transparent_parts_are_laid_on_white_afterwards(mode, icc, meant):
    """White itself is not touched by the profile."""
    image = Image.new("RGBA", (3, 1), (0, 0, 51, 255) if mode == "RGBA" else (128, 128, 128, 255))
    image.putpixel((1, 0), (9, 9, 9, 0))
    found = read(image.convert(mode), icc_profile=icc)[0]
    assert np.abs(found - [meant, [255] * 3, meant]).max() <= 1


def test_a_turned_picture_keeps_its_profile():
    exif = Image.Exif()
    exif[0x0112] = 6
    found = read(Image.fromarray(PIXELS), icc_profile=SWAPPED, exif=exif)
    assert np.abs(found - np.rot90(PIXELS[..., ::-1], -1)).max() <= 1


@pytest.mark.parametrize("icc", [b"no profile", SWAPPED[:200], SWAPPED[:-300], GREY, inverted_black()],
                         ids=["text", "head", "half", "grey", "inks"])  # fmt: skip
def test_a_profile_that_is_broken_or_does_not_fit_is_ignored(icc):
    assert np.array_equal(read(Image.fromarray(PIXELS), icc_profile=icc), PIXELS)
    grey = Image.fromarray(GREYS)
    assert icc == GREY or np.array_equal(read(grey, icc_profile=icc)[..., 0], GREYS)


def test_without_littlecms_the_colours_stay(monkeypatch):
    def missing(*arguments, **options):
        raise ImportError("The _imagingcms C module is not installed")

    monkeypatch.setattr(ImageCms, "profileToProfile", missing)
    assert np.array_equal(read(Image.fromarray(PIXELS), icc_profile=SWAPPED), PIXELS)


# -- transparent colours of more or less than 8 bits ---------------------------------------------------------


def png(bits, colours, values, key):
    """A PNG of one row: colours 0 for grey and 2 for RGB; values are packed already; key is the transparent one."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    width = 8 * len(values) // bits // (3 if colours == 2 else 1)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, colours, 0, 0, 0))
            + chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) + chunk(b"IDAT", zlib.compress(b"\0" + values))
            + chunk(b"IEND", b""))  # fmt: skip


@pytest.mark.parametrize("bits, values, key, seen", [
    (16, struct.pack(">5H", 300, 301, 44, 512, 65535), 300, [255, 1, 0, 2, 255]),   # 44 is 300 in 8 bits
    (16, struct.pack(">3H", 0, 128, 40000), 0, [255, 0, 156]),
    (8, bytes([5, 6, 7]), 6, [5, 255, 7]),
    (4, bytes([0x1B, 0x10]), 1, [255, 187, 255, 0]),
    (2, bytes([0b00011011]), 1, [0, 255, 170, 255]),
    (1, bytes([0b01000000]), 0, [255] * 8),
])  # fmt: skip
def test_a_transparent_grey_is_looked_for_among_the_files_own_numbers(bits, values, key, seen):
    assert np.array(read_picture(png(bits, 0, values, [key])))[0, :, 0].tolist() == seen


def test_a_transparent_colour_of_16_bits():
    colour, other = (0xAB05, 0xCD06, 0xEF07), (0x0512, 0x0613, 0x0714)      # the ends of one are the heads of the other
    found = np.array(read_picture(png(16, 2, struct.pack(">6H", *colour, *other), colour)))
    assert found[0].tolist() == [[255] * 3, [5, 6, 7]]
