"""What counts as a caption, wherever one is given: a str is one, and what no model can read is refused in a line."""

import numpy as np
import pytest
import torch
from helpers import tiny_cascade
from hypothesis import given
from hypothesis import strategies as st

from minunclip.scenes import VOCABULARY
from minunclip.text import LONGEST, BytePairTokenizer, WordTokenizer, as_captions, captions_to_draw, short

CASCADE = tiny_cascade()
WORDS, BYTE_PAIRS = WordTokenizer(VOCABULARY), BytePairTokenizer()
READERS = {
    "words": WORDS, "byte pairs": BYTE_PAIRS, "CLIP": CASCADE.clip.encode_text, "encode": CASCADE.encode_text,
    "sample": CASCADE.sample, "stream": lambda captions: CASCADE.stream(captions).finish(),
}  # fmt: skip
each_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)
each_drawer = pytest.mark.parametrize("read", [READERS[name] for name in ("encode", "sample", "stream")],
                                      ids=["encode", "sample", "stream"])  # fmt: skip


def numbers(answer):
    """What a reader returns as one tensor."""
    return answer if isinstance(answer, torch.Tensor) else getattr(answer, "embed", getattr(answer, "z_i", None))


def refusal(read, captions):
    """The line with which a reader refuses."""
    with pytest.raises(ValueError) as error:
        read(captions)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700    # the longest lists the vocabulary
    return str(error.value)


@each_reader
def test_a_str_is_one_caption(read):
    expected = numbers(read(["a star"]))
    assert len(expected) == 1 and torch.equal(numbers(read("a star")), expected)


@each_reader
@pytest.mark.parametrize("kind", [tuple, iter, np.array, lambda captions: (caption for caption in captions)],
                         ids=["tuple", "iterator", "array", "generator"])  # fmt: skip
def test_captions_come_in_any_row(read, kind):
    captions = ["a star", "a moon"]
    assert torch.equal(numbers(read(kind(captions))), numbers(read(captions)))


def test_a_drawing_has_its_captions_as_a_list():
    assert CASCADE.sample("a star", size=32).captions == CASCADE.sample(("a star",), size=32).captions == ["a star"]


# -- no text -------------------------------------------------------------------------------------------------


@each_reader
@pytest.mark.parametrize("captions, told", [
    (None, "a caption is None, no text: give one such as 'a red circle'"),
    (3, "a caption is 3"), (["a star", None], "a caption is None"), ([1.5], "a caption is 1.5"),
    (b"a star", "a caption is b'a star'"), ([b"a star"], "a caption is b'a star'"),
    (torch.arange(3), "a caption is tensor(0)"), (np.array(3), "a caption is array(3)"), ([["a star"]], "['a star']"),
])  # fmt: skip
def test_what_is_no_text_is_refused(read, captions, told):
    assert told in refusal(read, captions)


@each_reader
@pytest.mark.parametrize("caption", ["caf\udce9", "\ud800", "a star\0", "\0"])
def test_bytes_that_are_no_text_are_refused(read, caption):
    """Python keeps a byte of an argument that is no UTF-8 as half of a surrogate pair."""
    assert "no text in UTF-8: leave it out" in refusal(read, ["a star", caption])


@each_reader
def test_no_caption_at_all_is_refused(read):
    assert "the caption is empty" in refusal(read, [])


@each_drawer
@pytest.mark.parametrize("caption", ["", " \t\n", ".,;:!?", '"', "- – —", "…", "\u200b", "\u00a0", "«»", "\x07"])
def test_what_says_nothing_is_not_drawn(read, caption):
    assert refusal(read, caption) == refusal(read, ["a star", caption]) == (
        "the caption is empty: say what to draw, such as 'a red circle'")


@pytest.mark.parametrize("caption", ["a", "7", "一", "🐕", "👨‍👩‍👧", "+", "\U0001fadf", "é", "ё."])
def test_letters_numbers_and_symbols_say_something(caption):
    """The last symbol but two is younger than this Python's table of them, perhaps."""
    assert captions_to_draw(caption) == [caption]


def test_the_empty_caption_is_read_all_the_same():
    """Guidance compares with it."""
    assert WORDS("").shape == (1, 32) and len(CASCADE.clip.encode_text("")) == 1


# -- too much text -------------------------------------------------------------------------------------------


@each_reader
def test_too_long_a_caption_is_refused_before_it_is_read(read, monkeypatch):
    """As byte pairs it would take a minute."""
    for tokenizer in (WORDS, CASCADE.clip.tokenizer, BYTE_PAIRS._tokenizer):
        monkeypatch.setattr(tokenizer, "encode", lambda caption: pytest.fail("it was read"))
    assert f"has 100000 characters: give {LONGEST} at most" in refusal(read, "x" * 100_000)
    assert f"has 100000 characters: give {LONGEST} at most" in refusal(read, ["a star", "x" * 100_000])


def test_the_longest_caption_is_read():
    assert as_captions("a " * (LONGEST // 2)) == ["a " * (LONGEST // 2)]
    assert "has 10001 characters" in refusal(as_captions, "a" * (LONGEST + 1))


def test_an_unknown_word_is_quoted_in_short():
    caption = "a red " + "x" * 5000 + " in the sky " * 100
    line = refusal(WORDS, caption)
    assert "does not know the word 'xxxxxxxx" in line and "in 'a red xxx" in line and line.count("x") < 90
    line = refusal(WORDS, "elephant " * 1000)
    assert "the word 'elephant' in 'elephant elephant" in line and line.count("elephant") < 10


def test_short_is_one_line():
    assert short("abc") == "'abc'" and short(None) == "None" and short("x" * 99, 9) == "'xxxxx..."
    assert short(np.zeros((2, 2))) == "array([[0., 0.], [0., 0.]])" and "\n" not in short(np.zeros((99, 99)), 999)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_in_a_line(caption):
    for read in (WORDS, BYTE_PAIRS):
        try:
            assert read(caption).shape == (1, read.context)
        except ValueError as error:
            assert "\n" not in str(error)
