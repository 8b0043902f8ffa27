"""What a notebook says it saw, beside the number that says so.

    claims.check(f"Guided, {guided:.0%} of the pictures are right, and {plain:.0%} without guidance.", guided > plain)

The sentence is shown as it is. Where it is not true the notebook's build and its tests stop; a reader who changed
something reads that it came out otherwise, and goes on.
"""

from __future__ import annotations

import os

from IPython.display import Markdown, display

STRICT = "MINUNCLIP_CLAIMS"                 # set to "strict" where notebooks are built and tested


def check(sentence: str, holds: bool) -> None:
    """Show a finding. holds: whether the numbers say so. Raises AssertionError if not, where notebooks are tested."""
    if holds:
        display(Markdown(f"**What we saw.** {sentence}"))
        return
    if os.environ.get(STRICT) == "strict":
        raise AssertionError(f"a notebook says what its numbers do not: {sentence}")
    display(Markdown(f"**It came out otherwise here.** The course says: {sentence}"))
