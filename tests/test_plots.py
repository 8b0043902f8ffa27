"""The figures show what they say: pixels, captions, seeds, alt text."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from minunclip.diffusion import Step
from minunclip.plots import Picture, cost_table, show
from minunclip.plots.pictures import _drawable, bars, cascade_figure, embedding_bars, film_strip, to_pil
from minunclip.unclip import Drawing, Settings

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def decoded(bundle):
    return Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))


def contains(sheet, picture):
    """Whether a picture stands in the sheet, pixel for pixel."""
    sheet, picture = np.asarray(sheet), np.asarray(picture)
    h, w, _ = picture.shape
    corners = np.argwhere((sheet[: len(sheet) - h + 1, : sheet.shape[1] - w + 1] == picture[0, 0]).all(-1))
    return any((sheet[y : y + h, x : x + w] == picture).all() for y, x in corners)


def test_a_picture_has_png_html_and_alt_text():
    picture = Picture(to_pil(IMAGES[0]), 'a "red" <star>')
    data, metadata = picture._repr_mimebundle_()
    assert np.array_equal(decoded(data), np.asarray(to_pil(IMAGES[0])))
    assert 'alt="a &quot;red&quot; &lt;star&gt;"' in data["text/html"]
    webp = base64.b64decode(re.search(r'src="data:image/webp;base64,([^"]+)"', data["text/html"])[1])
    assert Image.open(io.BytesIO(webp)).size == (32, 32)
    assert metadata["image/png"]["alt"] == picture.alt and picture.alt in data["text/plain"]


def webp(picture):
    return Image.open(io.BytesIO(base64.b64decode(picture.html().partition("base64,")[2].partition('"')[0])))


def test_a_picture_is_saved_in_the_fewest_bytes():
    crisp, smooth = to_pil(IMAGES[0], 96), Image.radial_gradient("L").resize((96, 96)).convert("RGB")
    noisy = Image.effect_noise((96, 96), 90).convert("RGB")
    assert np.array_equal(webp(Picture(crisp, "")).convert("RGB"), crisp)               # so it stays exact
    assert not np.array_equal(webp(Picture(noisy, "")).convert("RGB"), noisy)           # a photograph need not
    few = Picture(smooth, "", colours=8)
    assert len(decoded(few._repr_mimebundle_()[0]).convert("RGB").getcolors()) == 8 and len(smooth.getcolors()) > 99
    assert len(few.png()) < len(Picture(smooth, "").png()) / 2


def test_to_pil_covers_the_range_and_enlarges_crisply():
    ramp = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0, 0.5]).view(1, 1, 6).expand(3, 6, 6)
    assert np.asarray(to_pil(ramp))[0, :, 0].tolist() == [0, 0, 128, 255, 255, 191]
    small, large = np.asarray(to_pil(IMAGES[0])), np.asarray(to_pil(IMAGES[0], 96))
    assert np.array_equal(large, small.repeat(3, axis=0).repeat(3, axis=1))


def test_show_places_every_picture_and_tells_the_seed():
    picture = show(IMAGES, ["one", "two", "three"], columns=2, title="a star", seed=7, side=64)
    assert all(contains(picture.image, to_pil(image, 128)) for image in IMAGES)            # two dots a pixel
    assert not contains(picture.image, to_pil(-IMAGES[0], 128))
    assert picture.size == (picture.image.width // 2, picture.image.height // 2) and picture.size[0] < 2 * 64 + 40
    assert f'width="{picture.size[0]}"' in picture.html()
    assert picture.alt == "a star, seed 7: one; two; three"
    assert show(IMAGES).alt == "3 pictures"
    with pytest.raises(ValueError, match="1 captions for 3 pictures"):
        show(IMAGES, ["one"])


def test_captions_and_titles_are_drawn():
    bare, told = show(IMAGES[:1]), show(IMAGES[:1], ["a small star, " * 4], title="title", seed=1)
    assert told.size[1] > bare.size[1] + 3 * 18
    other_seed = show(IMAGES[:1], ["a small star, " * 4], title="title", seed=2)
    assert np.asarray(told.image).shape == np.asarray(other_seed.image).shape
    assert not np.array_equal(told.image, other_seed.image)


def strip(caption, title=""):
    """The pixels below one white picture, where its caption stands, or above it, where the title stands."""
    sheet = np.asarray(show([Image.new("RGB", (64, 64), "white")], [caption], title=title).image)
    return sheet[:24] if title else sheet[24:]


def test_letters_of_most_alphabets_are_drawn():
    missing = strip("\u4e00")                            # Chinese for one, which the font lacks
    letters = "éüßñøşščłőшЖλאب…–’€"
    drawn = [strip(letter) for letter in letters]
    assert [letter for letter, seen in zip(letters, drawn, strict=True) if np.array_equal(seen, missing)] == []
    assert len({seen.tobytes() for seen in drawn}) == len(letters)
    assert not np.array_equal(strip("e"), strip("é")) and np.array_equal(strip("e\u0301"), strip("é"))
    assert _drawable("e\u0301") == "é"                  # not all of Pillow's ways to lay out text put the two together
    assert not np.array_equal(strip("", title="é"), strip("", title="\u4e00"))


def test_a_letter_that_the_font_lacks_is_a_question_mark():
    for letter in ("\u4e00", "\U0001f415", "\udce9", "\x07"):
        assert np.array_equal(strip(letter), strip("?")), ascii(letter)
    assert np.array_equal(strip("a\tred\nstar"), strip("a red star"))
    assert show(IMAGES[:1], ["\u4e00"]).alt == "\u4e00"                                 # who reads it out can say it


@pytest.mark.parametrize("caption", ["W" * 40, "WWWWWWWWW MMMMMMMMM", "большой красный шар", "a big red circle, red"])
def test_no_line_is_wider_than_its_picture(caption):
    sheet = np.asarray(show(2 * [Image.new("RGB", (128, 128), "white")], [caption, ""]).image)
    assert (sheet[268:, :268] < 128).any() and (sheet[268:, 280:] > 128).all()


def test_a_str_is_the_caption_of_one_picture():
    assert np.array_equal(show(IMAGES[:1], "a star").image, show(IMAGES[:1], ["a star"]).image)
    with pytest.raises(ValueError, match="1 captions for 3 pictures"):
        show(IMAGES, "abc")
    with pytest.raises(ValueError, match="no pictures to show"):
        show([], [])


def test_the_film_strip_runs_from_the_first_step_to_the_last():
    steps = [Step(torch.full((1, 3, 32, 32), k / 10), torch.full((1, 3, 32, 32), -k / 10), 100 * (9 - k))
             for k in range(10)]  # fmt: skip
    strip = film_strip(steps, seed=3, count=4, side=32)
    assert all(contains(strip.image, to_pil(steps[k].x_t[0])) for k in (0, 3, 6, 9))
    assert contains(strip.image, to_pil(steps[9].x_0[0])) and not contains(strip.image, to_pil(steps[1].x_t[0]))
    assert "4 of 10" in strip.alt and "t = 900 to t = 0" in strip.alt and "seed 3" in strip.alt


def test_the_cascade_stands_side_by_side():
    images = {64: torch.zeros(1, 3, 64, 64), 32: IMAGES[:1]}
    drawing = Drawing(["a star"], 5, Settings(), text=None, z_i=None, images=images)
    figure = cascade_figure(drawing, side=64)
    assert contains(figure.image, to_pil(IMAGES[0], 128))
    assert contains(figure.image, to_pil(torch.zeros(3, 64, 64), 128))
    assert "32, 64 pixels" in figure.alt and "seed 5" in figure.alt


def test_the_plots_tell_their_numbers():
    picture = bars({"a star": 0.251, "a moon": -0.5}, "cosine")
    assert picture.alt == "Bars of cosine: a star 0.25; a moon -0.50"
    assert not np.array_equal(picture.image, bars({"a star": 0.251, "a moon": 0.5}, "cosine").image)
    z = torch.linspace(-1, 1, 128)
    assert "first 64 numbers of z_t, z_i" in embedding_bars({"z_t": z, "z_i": -z}).alt


def test_the_cost_table_shows_what_was_measured(tmp_path):
    path = tmp_path / "notebooks.json"
    assert "Not measured" in cost_table("00_tour", path).data
    cost = {"minutes": 0.71, "peak_memory_gb": 0.86, "machine": "2 CPU cores"}
    path.write_text(json.dumps({"00_tour": {"cpu": cost}}))
    assert cost_table("00_tour", path).data.splitlines()[-1] == "| cpu | 0.7 | 0.9 GB | 2 CPU cores |"
    assert "Not measured" in cost_table("01_scenes", path).data
    for content in ("", "[]", '{"00_tour": 3}', '{"00_tour": {"cpu": {}}}', '{"00_tour": {"cpu": "1 minute"}}'):
        path.write_text(content)
        with pytest.raises(ValueError, match="notebooks.json is damaged: measure again with notebooks/build.py"):
            cost_table("00_tour", path)
