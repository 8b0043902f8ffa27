"""Captions: what the later stages may know of them, and how they become numbers."""

from __future__ import annotations

import difflib
import importlib.util
import re
import textwrap
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Text:
    """A batch of encoded captions, as CLIP's text encoder hands them on.

    embed   (B, D)     z_t, the text embedding: raw, not normalised
    tokens  (B, L, W)  one vector per token, after the encoder's last LayerNorm
    mask    (B, L)     True where there is a token, False where there is padding
    """

    embed: Tensor
    tokens: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.embed)

    def __getitem__(self, rows) -> Text:
        """Some rows of the batch: a slice, an index tensor or a mask."""
        return Text(self.embed[rows], self.tokens[rows], self.mask[rows])

    def to(self, *args) -> Text:
        """Move to a device or cast to a dtype; the mask stays boolean."""
        embed = self.embed.to(*args)
        return Text(embed, self.tokens.to(*args), self.mask.to(embed.device))

    def repeat(self, n: int) -> Text:
        """Each caption n times in a row: a, a, b, b, ..."""
        return Text(*(x.repeat_interleave(n, dim=0) for x in (self.embed, self.tokens, self.mask)))

    @staticmethod
    def cat(*texts: Text) -> Text:
        """One batch after another; shorter ones are padded to the longest."""
        length = max(text.tokens.shape[1] for text in texts)
        texts = [text.padded(length) for text in texts]
        return Text(*(torch.cat([getattr(t, name) for t in texts]) for name in ("embed", "tokens", "mask")))

    def padded(self, length: int) -> Text:
        """The same captions with masked padding up to `length` tokens."""
        missing = length - self.tokens.shape[1]
        if missing == 0:
            return self
        return Text(self.embed, F.pad(self.tokens, (0, 0, 0, missing)), F.pad(self.mask, (0, missing)))


# -- what counts as a caption --------------------------------------------------------------------------------

LONGEST = 10_000        # characters; the byte pairs of one word take time as the square of its length
NO_CAPTION = "the caption is empty: say what to draw, such as 'a red circle'"


def as_captions(captions: str | Iterable[str]) -> list[str]:
    """The captions as a list; a str is one caption. Every tokenizer begins with this.

    Raises ValueError, in a line, if there are none, and for what is no text, is no UTF-8, or is longer than LONGEST.
    """
    try:
        captions = [captions] if isinstance(captions, str | bytes) else list(captions)
    except TypeError:                                                   # a number, None
        captions = [captions]
    if not captions:
        raise ValueError(NO_CAPTION)
    for caption in captions:
        if not isinstance(caption, str):
            raise ValueError(f"a caption is {short(caption)}, no text: give one such as 'a red circle', or a list")
        if len(caption) > LONGEST:
            raise ValueError(f"the caption {short(caption)} has {len(caption)} characters: give {LONGEST} at most")
        if wrong := re.search("[\0\ud800-\udfff]", caption):           # how Python keeps bytes that are no UTF-8
            raise ValueError(f"the caption {short(caption)} holds {wrong[0]!r}, no text in UTF-8: leave it out")
    return captions


def captions_to_draw(captions: str | Iterable[str]) -> list[str]:
    """The same for captions that are to be drawn: each has to say something."""
    captions = as_captions(captions)
    if not all(map(says_something, captions)):
        raise ValueError(NO_CAPTION)
    return captions


def says_something(caption: str) -> bool:
    """Whether there is more to a caption than blanks, punctuation and characters that nobody sees."""
    kinds = map(unicodedata.category, caption)                          # two letters: Lu, upper case; Po, punctuation
    return any(kind[0] not in "ZP" and kind not in ("Cc", "Cf") for kind in kinds)


def short(value, most: int = 40) -> str:
    """A value as a message may quote it: on one line, and not the whole of a long one."""
    told = " ".join(repr(value).split())
    return told if len(told) <= most else told[: most - 3] + "..."


# -- captions to numbers: a number a word for the toy world, CLIP's byte pairs for released models -----------


class WordTokenizer:
    """Each word of a small vocabulary is one token; an unknown word is an error.

    `tokenizer(["a red star"])` -> (1, L) int64: start, words, end, then padding (id 0), L = context.
    The end token has the highest id, so that CLIP finds it by argmax, as with OpenAI's vocabulary.
    """

    def __init__(self, vocabulary: tuple[str, ...], context: int = 32):
        self.vocabulary, self.context = tuple(vocabulary), context
        self.ids = {word: i for i, word in enumerate(self.vocabulary, start=1)}
        self.start, self.end = len(self.vocabulary) + 1, len(self.vocabulary) + 2
        self.size = len(self.vocabulary) + 3

    def __call__(self, captions: str | Iterable[str]) -> Tensor:
        """Raises ValueError for what is no caption, see `as_captions`, and for one that `encode` cannot read."""
        rows = [[self.start, *self.encode(caption), self.end] for caption in as_captions(captions)]
        return padded_ids(rows, self.context)

    def encode(self, caption: str) -> list[int]:
        """The ids of the words. Raises ValueError for an unknown word or a caption that is too long."""
        words = re.findall(r"[^\s,.;:!?\"]+", caption.lower())
        if unknown := [word for word in words if word not in self.ids]:
            raise ValueError(self._complaint(unknown[0], caption))
        if len(words) > self.context - 2:
            raise ValueError(
                f"this caption has {len(words)} words, and the model reads at most {self.context - 2}: "
                f"shorten {caption[:40]!r}..."
            )
        return [self.ids[word] for word in words]

    def _complaint(self, word: str, caption: str) -> str:
        near = difflib.get_close_matches(word, self.vocabulary, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it knows {', '.join(self.vocabulary)}."
        return f"the scenes model does not know the word {short(word, 24)} in {short(caption, 60)}: {hint}"


def padded_ids(rows: list[list[int]], context: int) -> Tensor:
    """The ids of each caption, padded with 0: (B, context) int64, on the CPU."""
    return torch.tensor([row + [0] * (context - len(row)) for row in rows], dtype=torch.long, device="cpu")


class CutWarning(UserWarning):
    """A caption was longer than CLIP reads."""


BYTES = 512                                 # CLIP's first tokens: each byte inside a word, and each at a word's end


class BytePairTokenizer:
    """CLIP's own byte-pair encoding, from open_clip: (B, 77) int64, cut after 77 tokens, padded with 0.

    pieces  those of CLIP's tokens that a small model knows; all other words it reads byte by byte. Empty: all of them
    """

    def __init__(self, context: int = 77, pieces: tuple[int, ...] = ()):
        self._tokenizer, self.context = clip_vocabulary(), context
        self.known = {piece: number for number, piece in enumerate([*range(BYTES), *pieces])} if pieces else {}
        self.size = len(self.known) + 2 if pieces else self._tokenizer.vocab_size
        self.start, self.end = self.size - 2, self.size - 1

    def __call__(self, captions: str | Iterable[str]) -> Tensor:
        """Warns, with the part that is not read, of a caption that has more tokens than fit.

        Raises ValueError for what is no caption, see `as_captions`.
        """
        rows, room = [], self.context - 2                               # besides the start and the end token
        for caption in as_captions(captions):
            ids = self.encode(caption)
            if len(ids) > room:
                cut = textwrap.shorten(self.decode(ids[room:]), 300, placeholder=" ...")
                warnings.warn(f"this caption has {len(ids)} tokens, and CLIP reads {room}: {caption[:30]!r}... "
                              f"is drawn without its end {cut!r}", CutWarning, stacklevel=2)  # fmt: skip
            rows.append([self.start, *ids[:room], self.end])
        return padded_ids(rows, self.context)

    def encode(self, caption: str) -> list[int]:
        """The tokens of a caption, without start and end."""
        ids = self._tokenizer.encode(caption)
        return [self.known[part] for piece in ids for part in self.parts(piece)] if self.known else ids

    def decode(self, ids: list[int]) -> str:
        """The text of some tokens."""
        names = list(self.known)
        return self._tokenizer.decode([names[i] for i in ids] if names else ids)

    def parts(self, piece: int) -> list[int]:
        """A token of CLIP's, or its bytes if this model does not know it."""
        if piece in self.known:
            return [piece]
        *inside, last = self._tokenizer.decoder[piece].removesuffix("</w>")
        ends = self._tokenizer.decoder[piece].endswith("</w>")
        return [self._tokenizer.encoder[byte] for byte in (*inside, last + "</w>" if ends else last)]


def pieces_of(captions: Iterable[str], least: int = 2) -> tuple[int, ...]:
    """The tokens of CLIP's that occur in captions at least so often, but for single bytes."""
    tokenizer, seen = BytePairTokenizer(), Counter()
    for caption in captions:
        seen.update(tokenizer.encode(caption))
    return tuple(sorted(piece for piece, times in seen.items() if piece >= BYTES and times >= least))


@cache
def clip_vocabulary():
    """open_clip's tokenizer, from its own file: the whole package takes seconds and 260 MB of memory to import."""
    file = Path(importlib.util.find_spec("open_clip").origin).with_name("tokenizer.py")
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()
