"""What the later stages may know of a caption."""

from __future__ import annotations

from dataclasses import dataclass

import torch
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
        pad = torch.nn.functional.pad
        return Text(self.embed, pad(self.tokens, (0, 0, 0, missing)), pad(self.mask, (0, missing)))
