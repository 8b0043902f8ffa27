"""What the tests of `checks.mine` share: right answers under their names, and a fixture that puts the library back."""

import functools

import pytest
from right_answers.first import RIGHT as FIRST
from right_answers.modules import RIGHT as CLASSES
from right_answers.second import RIGHT as SECOND

from minunclip.course import checks
from minunclip.course.checks import substitution
from minunclip.course.checks.core import CHECKS
from minunclip.course.checks.modules import ModuleCheck
from minunclip.course.checks.substitution import HELD, PLACES, YOURS

LIBRARY = {name: place.now for name, place in PLACES.items()}
FUNCTIONS = [name for name in PLACES if not isinstance(CHECKS[name], ModuleCheck)]
MODULES = [name for name in PLACES if name not in FUNCTIONS]
RIGHT = FIRST | SECOND | CLASSES


@pytest.fixture(autouse=True)
def library_kept(monkeypatch):
    """Whatever a test leaves behind is put back, and every test begins with the library as it is. No clock is asked:
    only a function called asleep counts as slow."""
    assert not YOURS and not HELD

    def seconds(function, arguments):
        return 0.1 if "asleep" in str(getattr(function.function, "__wrapped__", "")) else 0.0

    monkeypatch.setattr(substitution, "seconds", seconds)
    with checks.borrowed():
        yield
    assert {name: place.now for name, place in PLACES.items()} == LIBRARY


def answer(name, calls=None):
    """A right answer as a learner writes it, under the name of the exercise; each call is noted."""
    function = RIGHT[name][0]
    if isinstance(function, type):
        return type(name, (function,), {})

    @functools.wraps(function)
    def noted(*arguments):
        if calls is not None:
            calls.append(name)
        return function(*arguments)

    noted.__name__ = name
    return noted


def said(function, capsys):
    """What `mine` returns and prints."""
    found = checks.mine(function)
    return found, capsys.readouterr().out
