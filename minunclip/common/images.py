"""Pictures from files, cut to what a network sees, and from networks into files."""

from __future__ import annotations

import io
import os
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from .writing import replacing

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of red, green and blue in the pictures of OpenAI's CLIP
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
KEY_SCALES = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}     # by what Pillow calls the pixels of such a PNG


def read_picture(file: str | Path | bytes | BinaryIO | Image.Image | np.ndarray) -> Image.Image:
    """An RGB picture as its photographer saw it: upright, its colours in sRGB, transparent parts white.

    file: a path, in which ~ is the home folder; what a picture file holds, as bytes; an open binary file; a PIL image;
    or an array, (H, W, 3) or for grey (H, W), uint8. Of several frames the first is taken.
    Raises ValueError, with what to do, for what is no picture, is damaged or has more than 89 million pixels (Pillow's
    limit, against small files that would fill the memory).
    """
    source = pillow_source(file)
    name = source if isinstance(source, str) else getattr(source, "name", "the uploaded picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")                              # of small faults in a file that can be read
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with nullcontext(source) if isinstance(source, Image.Image) else Image.open(source) as image:
                return on_white(in_srgb(ImageOps.exif_transpose(eight_bit(image))))
    except (FileNotFoundError, IsADirectoryError):
        raise ValueError(f"there is no picture {name}: check the path") from None
    except PermissionError:
        raise ValueError(f"{name} may not be read: change its permissions, or copy it") from None
    except UnidentifiedImageError:
        raise ValueError(f"{name} is no picture that Pillow can read: save it as PNG or JPEG") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"{name} has more than {Image.MAX_IMAGE_PIXELS // 10**6} million pixels: "
                         "save it smaller") from None  # fmt: skip
    except MemoryError:
        raise ValueError(f"{name} takes more memory than there is: save it smaller") from None
    except Exception as error:  # each of Pillow's decoders fails in its own way
        why = " ".join(str(error).split())[:100]
        raise ValueError(f"{name} is damaged ({why}): get it again, or save it as PNG or JPEG") from None


def pillow_source(file) -> str | BinaryIO | Image.Image:
    """What Pillow can open, or an image already, of all that `read_picture` takes. Raises ValueError for the rest."""
    if isinstance(file, str | Path):
        return os.path.expanduser(file)
    if isinstance(file, bytes | bytearray | memoryview):
        return io.BytesIO(file)
    if isinstance(file, np.ndarray):
        return of_array(file)
    if isinstance(file, Image.Image) or hasattr(file, "read"):
        return file
    raise ValueError(f"read_picture cannot read a {type(file).__name__}: give a path, an open binary file, the bytes "
                     "of one, a PIL image or an array")  # fmt: skip


def of_array(array: np.ndarray) -> Image.Image:
    """(H, W, 3) or (H, W) uint8 as an image. Raises ValueError for another shape or dtype."""
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)) or array.size == 0:
        raise ValueError(f"read_picture got an array {array.shape} of {array.dtype}: give (height, width, 3) or "
                         "(height, width) of uint8, 0 to 255")  # fmt: skip
    return Image.fromarray(array)


def eight_bit(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits in 8: Pillow's own conversion would make all but the darkest white.

    White is 65535 for integers and 1 for fractions, or the largest value if that is more. A value that stands for
    transparent parts is looked for before it is rounded to 8 bits, where it would take its neighbours along.
    """
    if image.mode[0] not in "IF":
        return with_key_of_eight_bits(image)
    exact = np.asarray(image, dtype=np.float64)
    values = np.nan_to_num(exact).clip(0)
    white = max(65535 if image.mode[0] == "I" else 1, values.max())
    grey = Image.fromarray((values / white * 255).round().astype(np.uint8))
    if "transparency" in image.info:
        grey.putalpha(Image.fromarray(exact != image.info["transparency"]).convert("L"))
    grey.info, grey._exif = {**image.info}, image.getexif()
    grey.info.pop("transparency", None)
    return grey


def with_key_of_eight_bits(image: Image.Image) -> Image.Image:
    """The same, its transparent colour in 8 bits: of a PNG with 2, 4 or 16, Pillow brings only the pixels to 8."""
    scale = KEY_SCALES.get(image.tile[0][3]) if image.format == "PNG" and image.tile else None
    key = image.info.get("transparency")
    if scale is None or key is None:
        return image
    image.info["transparency"] = int(scale * key) if isinstance(key, int) else tuple(int(scale * x) for x in key)
    return image


def in_srgb(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where something is transparent, with the colours that the picture's ICC profile means.

    Without a profile they are taken for sRGB. So they are with one that is broken or describes other colours than the
    picture has, such as grey for a picture in RGB: nobody knows what is meant then.
    """
    plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if not (profile := image.info.get("icc_profile")):
        return plain
    colours = image if image.mode == "CMYK" else image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    try:
        srgb = ImageCms.createProfile("sRGB")
        meant = ImageCms.profileToProfile(colours, io.BytesIO(profile), srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, TypeError, ImportError):               # ImportError: a Pillow without LittleCMS
        return plain
    if plain.mode == "RGBA":
        meant.putalpha(plain.getchannel("A"))
    return meant


def on_white(image: Image.Image) -> Image.Image:
    """RGB, with whatever is transparent in an RGBA picture laid on white."""
    if image.mode == "RGB":
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def square(image: Image.Image, size: int) -> Tensor:
    """The middle of an RGB picture, size pixels on its shorter side: (1, 3, size, size) in 0 to 1.

    Resized (bicubic, with antialiasing) and then cropped, as CLIP's makers do it.
    """
    short = min(image.size)
    image = middle(image, [min(side, 8 * short) for side in image.size])  # or else a long strip would become huge
    image = image.resize([int(size * side / short) for side in image.size], Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(middle(image, [size, size])))     # (size, size, 3) of 0 to 255
    return rearrange(pixels, "h w c -> 1 c h w").float() / 255


def middle(image: Image.Image, size: list[int]) -> Image.Image:
    """The picture cropped to (width, height), equally on both sides."""
    left, top = (round((whole - part) / 2) for whole, part in zip(image.size, size, strict=True))
    return image.crop((left, top, left + size[0], top + size[1]))


def for_clip(image: Image.Image, size: int = 224) -> Tensor:
    """What OpenAI's CLIP encodes: (1, 3, size, size), the middle of the picture, each colour normalised.

    `clip.encode_image(for_clip(read_picture("cat.jpg"), clip.config.image_size))` is the cat's z_i.
    """
    pixels = square(image, size)
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    return (pixels - mean) / std


def for_decoder(image: Image.Image, size: int) -> Tensor:
    """What a decoder or an upsampler draws: (1, 3, size, size) in -1 to 1."""
    return 2 * square(image, size) - 1


# -- from networks into files --------------------------------------------------------------------------------


def to_uint8(images: Tensor) -> Tensor:
    """Pictures in -1 to 1, of any shape, as 8-bit numbers 0 to 255; what lies beyond is cut off."""
    return ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().byte()


def to_pil(image: Tensor | Image.Image, side: int | None = None) -> Image.Image:
    """A picture (3, s, s) in -1 to 1 as 8-bit RGB, shown at another side if wanted.

    Enlarged, every pixel becomes a square, as crisp as the side allows, so that nothing is shown that the network did
    not draw.
    """
    if isinstance(image, Tensor):
        pixels = to_uint8(image).cpu()
        image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    if side is None or side == image.width:
        return image
    if side < image.width:
        return image.resize((side, side), Image.Resampling.LANCZOS)
    whole = -(-side // image.width) * image.width                       # a multiple, from which all squares come alike
    return image.resize((whole, whole), Image.Resampling.NEAREST).resize((side, side), Image.Resampling.BOX)


def save_png(picture: Image.Image, path: Path, note: str) -> None:
    """Write a PNG, whole or not at all, with a note in its metadata."""
    info = PngInfo()
    info.add_text("Description", note)
    with replacing(path) as temporary, temporary.open("wb") as file:
        picture.save(file, "PNG", pnginfo=info)
