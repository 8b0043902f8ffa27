"""The library's own lines in a notebook: what is read there is what runs."""

from __future__ import annotations

import inspect
from textwrap import dedent

from IPython.display import Markdown


def code(*things) -> Markdown:
    """The source of functions, methods or classes, as it stands in the library."""
    sources = [dedent(inspect.getsource(thing)).rstrip() for thing in things]
    return Markdown("```python\n" + "\n\n".join(sources) + "\n```")
