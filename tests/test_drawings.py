"""The drawings: their files are what the code draws, they can be read in light and dark, and nothing overlaps."""

import re
from xml.etree import ElementTree

import pytest
from notebook_helpers import picture_defects

from minunclip.course import draw
from minunclip.course.draw.files import DRAWINGS, alike, stale
from minunclip.course.draw.sheet import Sheet
from minunclip.course.draw.style import KINDS, runs, width_of
from minunclip.decoder import DecoderConfig
from minunclip.networks import UNetConfig

ALL = [function() for function in draw.ALL]
SVG = "{http://www.w3.org/2000/svg}"
each_drawing = pytest.mark.parametrize("drawing", ALL, ids=lambda drawing: drawing.name)


def test_the_files_are_what_the_code_draws():
    assert stale() == [], "run python -m minunclip.course.draw"
    assert len(ALL) >= 20 and len(list(DRAWINGS.glob("*.svg"))) == len(ALL)
    assert [drawing.name for drawing in ALL] == [function.__name__ for function in draw.ALL]


def test_a_file_that_differs_is_named(tmp_path):
    for drawing in ALL:
        drawing.save(tmp_path)
    assert stale(tmp_path) == []
    path = tmp_path / "guidance.svg"
    path.write_text(path.read_text().replace("without the caption", "without a caption"))
    (tmp_path / "cascade.svg").unlink()
    (tmp_path / "old.svg").write_text("")
    assert stale(tmp_path) == ["cascade.svg", "guidance.svg", "old.svg"]


def test_a_picture_may_be_one_level_off_and_no_more():
    drawing = draw.cascade()
    colour = re.search(r'stroke="#([0-9a-d])(\w\w)"', drawing.svg)
    for step, same in ((1, True), (2, False)):
        other = f'stroke="#{int(colour[1], 16) + step:x}{colour[2]}"'
        assert alike(drawing, drawing.svg.replace(colour[0], other)) == same


@each_drawing
def test_a_drawing_stands_alone_and_can_be_read_out(drawing):
    root = ElementTree.fromstring(drawing.svg)
    assert root.get("role") == "img" and root.find(f"{SVG}title").text and root.find(f"{SVG}desc").text == drawing.alt
    assert len(drawing.alt) > 80 and root.get("aria-labelledby").split() == [e.get("id") for e in list(root)[:2]]
    assert not re.search(r"<script|href|url\(|@import|<image|foreignObject|on\w+=", drawing.svg)
    assert "prefers-color-scheme:dark" in drawing.svg and len(drawing.svg) < 70_000
    assert float(root.get("width")) <= 900


@each_drawing
def test_every_class_has_its_colours(drawing):
    style, body = drawing.svg.split("</style>")
    used = set(re.findall(r'class="([^"]+)"', body))
    names = {name for classes in used for name in classes.split()} - {"mosaic"}
    assert names and all(f".{name}{{" in style for name in names)


@each_drawing
def test_no_words_overlap(drawing):
    boxes = [box(text) for text in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")]
    overlaps = [(a[0], b[0]) for i, a in enumerate(boxes) for b in boxes[:i] if overlap(a, b)]
    assert overlaps == []


def box(text):
    """(words, left, right, top, bottom) of a text element, in the widest font."""
    size = float((re.search(r"font-size:([\d.]+)", text.get("style", "")) or [0, 15])[1])
    words, x, y = "".join(text.itertext()), float(text.get("x")), float(text.get("y"))
    wide = width_of(words.replace("*", "∗").replace("_", ""), size, " b" in text.get("class"))
    left = x - wide * {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor")]
    return words, left, left + wide, y - 0.75 * size, y + 0.1 * size


def overlap(a, b):
    return a[1] < b[2] and b[1] < a[2] and a[3] < b[4] and b[3] < a[4]


def test_the_overlap_check_sees_what_it_should():
    def boxes(apart):
        sheet = Sheet("two", 300, 100, title="two", alt="two")
        sheet.text(100, 50, "one")
        sheet.text(100 + apart, 50, "other")
        return [box(text) for text in ElementTree.fromstring(sheet.done().svg).iter(f"{SVG}text")]

    assert overlap(*boxes(10)) and not overlap(*boxes(60))


# -- colours -------------------------------------------------------------------------------------------------


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    bright, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("page", [0, 1], ids=["light", "dark"])
def test_letters_can_be_read_and_lines_seen(kind, page):
    """Letters on their own box and on the page: 4.5, as WCAG asks for; lines that mean something: 3."""
    fill, line, ink = KINDS[kind][page]
    paper = KINDS["plain"][page][0]
    assert contrast(ink, fill) >= 4.5 and contrast(ink, paper) >= 4.5
    assert kind == "soft" or contrast(line, paper) >= 3
    assert contrast("#777777", "#ffffff") < 4.5 < contrast("#6f6f6f", "#ffffff")


# -- in a notebook, and drawn from configs -------------------------------------------------------------------


def test_a_drawing_shows_itself_in_a_notebook():
    data = draw.guidance()._repr_mimebundle_()
    assert set(data) == {"text/html", "text/plain"} and 'src="data:image/svg+xml;base64,' in data["text/html"]
    assert re.search(r'<img alt="[^"]{80,}"', data["text/html"]) and data["text/plain"].startswith("Drawing: ")
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    cell = new_code_cell("draw.guidance()", outputs=[new_output("display_data", data)])
    assert picture_defects(new_notebook(cells=[cell])) == []


def test_the_u_net_is_that_of_its_config():
    unet = UNetConfig(out_channels=6, channels=96, mults=(1, 2, 4), blocks=2, attention=(2,), groups=32, head_width=32)
    drawn = draw.u_net(DecoderConfig(unet=unet, size=48)).svg
    assert all(f"{width} channels" in drawn for width in (96, 192, 384)) and "12 × 12, attention" in drawn
    assert "skip connections, 3 a level" in drawn and "640 channels" in draw.u_net_released().svg


@pytest.mark.parametrize("words", ["far too many words for a box", "one\ntwo\nthree\nfour"])
def test_words_that_do_not_fit_are_refused(words):
    sheet = Sheet("s", 300, 100, title="s", alt="s")
    with pytest.raises(ValueError, match="does not fit a box of 80 x 40"):
        sheet.box(0, 0, 80, 40, words=words)
    with pytest.raises(ValueError, match="leaves the sheet"):
        sheet.text(20, 20, "words that begin too far left")


def test_symbols_have_subscripts():
    assert runs("x_{t-1} and z_i") == [("x", "t-1", "i"), (" and ", "", ""), ("z", "i", "i")]
    assert runs("*w* = 2") == [("w", "", "i"), (" = 2", "", "")]
    assert width_of("z_i") < width_of("zi") and width_of("words") < width_of("words", bold=True)
