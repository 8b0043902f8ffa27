"""A finding is shown with its number, stops a build that it is not true of, and never stops a reader."""

import pytest

from minunclip.course import claims


@pytest.fixture
def shown(monkeypatch) -> list[str]:
    texts = []
    monkeypatch.setattr(claims, "display", lambda markdown: texts.append(markdown.data))
    return texts


def test_a_true_finding_is_shown(shown, monkeypatch):
    monkeypatch.setenv(claims.STRICT, "strict")
    claims.check("7 of 8 are right.", 7 > 4)
    assert shown == ["**What we saw.** 7 of 8 are right."]


def test_an_untrue_one_stops_the_build(shown, monkeypatch):
    monkeypatch.setenv(claims.STRICT, "strict")
    with pytest.raises(AssertionError, match="a notebook says what its numbers do not: 3 of 8 are right."):
        claims.check("3 of 8 are right.", 3 > 4)
    assert shown == []


def test_a_reader_who_changed_something_goes_on(shown, monkeypatch):
    monkeypatch.delenv(claims.STRICT, raising=False)
    claims.check("3 of 8 are right.", 3 > 4)
    assert shown == ["**It came out otherwise here.** The course says: 3 of 8 are right."]
