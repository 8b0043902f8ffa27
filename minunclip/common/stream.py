"""Generators that yield their progress and return a result, which the caller of a `for` loop can have, too."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import wraps
from typing import Any


class Stream(Iterator):
    """Loop over it, and take its `result` afterwards; or only `finish()` it. Within a generator `yield from` does both.

        stream = cascade.stream(captions)
        for progress in stream:
            bar.update()
        drawing = stream.result                 # what the generator returned
    """

    result: Any

    def __init__(self, generator: Generator):
        self._generator = generator

    def __next__(self):
        try:
            return next(self._generator)
        except StopIteration as end:
            self.result = end.value
            raise

    def finish(self):
        """Run to the end, without looking at the progress; the result."""
        for _ in self:
            pass
        return self.result


def streamed(generator_function: Callable[..., Generator]) -> Callable[..., Stream]:
    """Make a generator function return a Stream."""

    @wraps(generator_function)
    def start(*args, **kwargs) -> Stream:
        return Stream(generator_function(*args, **kwargs))

    return start
