"""The test before and after the course: what it counts, says and keeps."""

import json

import pytest

from minunclip.course.selftest import QUESTIONS, Selftest, known, on_paper


def answered(moment, file, wrong=()):
    """A test with all answers right but for some."""
    test = Selftest(moment, file)
    for i, (question, answer) in enumerate(zip(QUESTIONS, test.answers, strict=True)):
        answer.index = (question.right + 1) % len(question.choices) if i in wrong else question.right
    test.mark()
    return test


def test_every_question_has_one_right_answer_and_a_reason():
    assert len(QUESTIONS) == 10
    for question in QUESTIONS:
        assert 0 <= question.right < len(question.choices) == len(set(question.choices)) == 4
        assert question.why.endswith(".")
    places = [question.right for question in QUESTIONS]
    assert all(places.count(place) >= 2 for place in range(4))             # it does not pay to tick the same place


def test_right_answers_are_counted_and_wrong_ones_explained(tmp_path):
    test = answered("before", tmp_path / "scores.json", wrong=(0, 3))
    assert "8 of 10 are right." in test.total.value
    assert test.reasons[1].value.startswith("Right.")
    assert test.reasons[0].value.startswith("It is: an image embedding.")


def test_nothing_ticked_is_nothing_right(tmp_path):
    test = Selftest("before", tmp_path / "scores.json")
    test.mark()
    assert "0 of 10 are right." in test.total.value


def test_the_score_after_the_course_stands_beside_the_one_before(tmp_path):
    file = tmp_path / "runs" / "scores.json"
    answered("before", file, wrong=range(7))
    assert "Before" not in answered("before", file, wrong=range(6)).total.value
    assert "10 of 10 are right. Before the course it was 4." in answered("after", file).total.value
    assert json.loads(file.read_text()) == {"before": 4, "after": 10}


@pytest.mark.parametrize("content", ["", "[]", "3", '{"other": 1}', "\x00"])
def test_a_spoiled_file_is_no_score(tmp_path, content):
    file = tmp_path / "scores.json"
    file.write_text(content)
    assert known(file) == {}
    assert "10 of 10 are right." in answered("after", file).total.value


def test_another_moment_is_refused():
    with pytest.raises(ValueError, match="'during' is no moment; choose from: before, after"):
        Selftest("during")


def test_a_page_without_a_kernel_shows_the_questions(tmp_path):
    text = Selftest("before", tmp_path / "scores.json")._repr_mimebundle_()["text/markdown"]
    assert text == on_paper() and all(question.text in text and question.why in text for question in QUESTIONS)
