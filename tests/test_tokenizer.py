"""The two tokenizers: of the toy world's words, and of CLIP's byte pairs."""

import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minunclip.scenes import VOCABULARY
from minunclip.text import BytePairTokenizer, CutWarning, WordTokenizer, pieces_of

TOKENIZER = WordTokenizer(VOCABULARY)
words = st.lists(st.sampled_from(VOCABULARY), max_size=30)


@given(words)
def test_ids_round_trip(caption):
    row = TOKENIZER([" ".join(caption)])[0]
    n = len(caption)
    assert row.shape == (32,) and row.dtype == torch.int64
    assert [TOKENIZER.vocabulary[i - 1] for i in row[1 : n + 1].tolist()] == caption
    assert row[0] == TOKENIZER.start and row[n + 1] == TOKENIZER.end
    assert (row[n + 2 :] == 0).all()


def test_ids_are_distinct_and_the_end_token_has_the_highest():
    ids = [*TOKENIZER.ids.values(), TOKENIZER.start, TOKENIZER.end]
    assert sorted(ids) == list(range(1, TOKENIZER.size))  # 0 is padding
    assert max(ids) == TOKENIZER.end


@given(words)
def test_argmax_finds_the_end(caption):
    assert TOKENIZER([" ".join(caption)]).argmax(dim=1).tolist() == [len(caption) + 1]


def test_rows_do_not_depend_on_their_neighbours():
    captions = ["a red star", "", "a big blue fish and a moon"]
    assert torch.equal(TOKENIZER(captions), torch.cat([TOKENIZER([caption]) for caption in captions]))


def test_case_punctuation_and_blanks_do_not_matter():
    for caption in ("A Red STAR.", " a\tred\n star ", 'a "red" star!?', "a, red; star:"):
        assert torch.equal(TOKENIZER([caption]), TOKENIZER(["a red star"])), caption


@pytest.mark.parametrize(("word", "near"), [("trangle", "triangle"), ("purpel", "purple"), ("stars", "star")])
def test_an_unknown_word_is_named_and_near_ones_suggested(word, near):
    with pytest.raises(ValueError, match=f"does not know the word '{word}'.*did you mean .*'{near}'") as error:
        TOKENIZER([f"a red {word} above a fish"])
    assert "\n" not in str(error.value)


def test_an_unknown_word_without_near_ones_lists_the_vocabulary():
    with pytest.raises(ValueError, match="'xyzzy'.*it knows .*circle.*triangle") as error:
        TOKENIZER(["a xyzzy"])
    assert "did you mean" not in str(error.value)


def test_the_longest_caption_fits_and_one_word_more_does_not():
    assert TOKENIZER([" ".join(["red"] * 30)])[0, 31] == TOKENIZER.end
    with pytest.raises(ValueError, match="has 31 words, and the model reads at most 30"):
        TOKENIZER([" ".join(["red"] * 31)])


AWKWARD = [
    "", " ", "!", "a!!! b", "a corgi 🐕‍🦺 on the moon", "fish &amp; chips", "&amp;lt;b&amp;gt;", "cafÃ© naïve",
    "I'VE 1234 DOGS", "日本語", "word " * 100, "<start_of_text> x <end_of_text>", "tab\tnew\nline",
    "supercalifragilistic",
]  # fmt: skip


@pytest.fixture(scope="module")
def byte_pairs():
    return BytePairTokenizer()


@pytest.mark.filterwarnings("ignore::minunclip.text.CutWarning")
def test_byte_pairs_equal_open_clip(byte_pairs):
    ours = byte_pairs(AWKWARD)
    assert ours.shape == (len(AWKWARD), 77) and ours.dtype == torch.int64
    for caption, row, theirs in zip(AWKWARD, ours, open_clip.tokenize(AWKWARD), strict=True):
        assert torch.equal(row, theirs), caption
    assert byte_pairs.size == 49408


@pytest.mark.filterwarnings("ignore::minunclip.text.CutWarning")
def test_byte_pairs_end_with_the_highest_id_even_when_cut(byte_pairs):
    ids = byte_pairs(["a red star", "word " * 100])
    assert ids.max(dim=1).values.tolist() == [byte_pairs.size - 1] * 2
    assert ids.argmax(dim=1).tolist() == [4, 76]


def test_a_long_caption_warns_of_what_is_cut(byte_pairs, recwarn):
    byte_pairs(["word " * 75, "", "a red star"])
    assert not [w for w in recwarn if issubclass(w.category, CutWarning)]
    told = "this caption has 78 tokens, and CLIP reads 75: 'word word .*is drawn without its end 'red star !'"
    with pytest.warns(CutWarning, match=told) as record:
        byte_pairs(["word " * 75 + "Red STAR!", "a red star"])
    assert len(record) == 1 and "\n" not in str(record[0].message)


def test_a_very_long_rest_is_shortened(byte_pairs):
    with pytest.warns(CutWarning, match=r"\.\.\.'$") as record:
        byte_pairs(["word " * 1000])
    assert len(str(record[0].message)) < 500


@pytest.mark.filterwarnings("ignore::minunclip.text.CutWarning")
def test_a_shorter_context_cuts_earlier():
    ids = BytePairTokenizer(8)(["a red star", "word " * 100])
    assert torch.equal(ids, open_clip.tokenize(["a red star", "word " * 100], context_length=8))


# -- a part of CLIP's byte pairs -----------------------------------------------------------------------------

CAPTIONS = ["a fox in the snow", "a fox, a hound and a fox's den", "the snow"]
SOME = BytePairTokenizer(40, pieces_of(CAPTIONS))


def test_pieces_are_those_that_occur_twice():
    """By hand: fox, snow, a, the; "in", "hound" and the others once, the comma and 's are single bytes or once."""
    names = [SOME._tokenizer.decoder[piece] for piece in pieces_of(CAPTIONS)]
    assert sorted(names) == ["fox</w>", "snow</w>", "the</w>"] and SOME.size == 512 + 3 + 2


def test_what_it_knows_is_one_token_and_the_rest_single_bytes():
    ids = SOME("the fox hid")[0]
    the, fox = (512 + pieces_of(CAPTIONS).index(SOME._tokenizer.encoder[name]) for name in ("the</w>", "fox</w>"))
    h, i, d = (SOME._tokenizer.encoder[name] for name in ("h", "i", "d</w>"))
    assert ids[:7].tolist() == [SOME.start, the, fox, h, i, d, SOME.end] and (ids[7:] == 0).all()
    assert ids.argmax() == 6 and SOME.end == SOME.size - 1


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=30))
def test_any_text_is_written_in_what_it_knows(text):
    """The same text comes back as through all of CLIP's byte pairs."""
    whole = BytePairTokenizer()
    ids = SOME.encode(text)
    assert all(0 <= i < 515 for i in ids)
    assert SOME.decode(ids) == whole.decode(whole.encode(text))


def test_with_all_of_them_nothing_changes():
    theirs = open_clip.get_tokenizer("ViT-L-14")
    assert torch.equal(BytePairTokenizer()(CAPTIONS), theirs(CAPTIONS))
    assert (BytePairTokenizer().start, BytePairTokenizer().end) == (49406, 49407)
