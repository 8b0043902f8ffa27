"""Results that have changed on the disk, at random, are refused in a line; nothing that is read breaks later."""

import json
import random
from pathlib import Path

import pytest

from minunclip.experiments import runner

SHIPPED = sorted((Path(__file__).parent.parent / "data" / "results" / "paper").glob("*.json"))
OTHERS = [None, True, 7, -3.5, 10**400, float("nan"), float("inf"), "a word", "", [], [1, 2], {}, {"value": 1.0}]


def places(content, path=()):
    """The way to every value of some JSON, from the outermost in."""
    yield path
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from places(content[key], (*path, key))


def corrupted(content, dice):
    """A copy in which one value is of another kind or is gone, or one list has another length."""
    content = json.loads(json.dumps(content))
    *path, last = dice.choice([path for path in places(content) if path])
    holder = content
    for key in path:
        holder = holder[key]
    how = dice.choice(["other", "other", "gone", "twice", "changed"])
    if how == "gone":
        del holder[last]
    elif how == "twice" and isinstance(holder, list):
        holder.insert(last, holder[last])
    elif how == "changed" and isinstance(holder[last], int | float):
        holder[last] += 1
    else:
        holder[last] = dice.choice(OTHERS)
    return content


def refusal(action, path):
    """The line with which a file is refused; nothing if it is not."""
    try:
        action()
    except ValueError as error:
        assert str(path) in str(error) and "--fresh" in str(error) and "\n" not in str(error)
        return str(error)
    return ""


SEEDS = range(30)


@pytest.fixture(params=SHIPPED, ids=lambda path: path.stem)
def record(request):
    return {name: value for name, value in json.loads(request.param.read_text()).items() if name != "sum"}


def test_every_change_is_noticed(tmp_path, record):
    path, whole = tmp_path / "part.json", record | {"sum": runner.sum_of(record)}
    path.write_text(json.dumps(whole, indent=1))
    assert runner.kept_result(path, record["made_with"]) == record
    for dice in map(random.Random, SEEDS):
        changed = corrupted(whole, dice)
        path.write_text(json.dumps(changed))
        told = refusal(lambda: runner.run({"part": pytest.fail}, tmp_path, {"part": record["made_with"]}), path)
        assert bool(told) == (json.dumps(changed) != json.dumps(whole))


def test_what_is_read_without_its_sum_can_be_shown(tmp_path, record):
    """As a notebook shows a table: a number may be another one, but nothing is of another form."""
    path, shown = tmp_path / "part.json", 0
    for dice in map(random.Random, SEEDS):
        path.write_text(json.dumps(corrupted(record, dice)))
        if not refusal(lambda: runner.read_result(path), path):
            tables = runner.read_result(path)["tables"]
            assert runner.markdown({"part": tables}).count("**") >= 2 * len(tables)
            shown += 1
    assert 0 < shown < len(SEEDS)


def test_bytes_that_flip_are_noticed(tmp_path, record):
    path, whole = tmp_path / "part.json", json.dumps(record | {"sum": runner.sum_of(record)}).encode()
    for dice in map(random.Random, SEEDS):
        content = bytearray(whole)
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
        assert refusal(lambda: runner.kept_result(path, record["made_with"]), path)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"tables": 1e999}', "\x00", '"' + "9" * 5000])
def test_what_json_cannot_read_is_refused(tmp_path, content):
    path = tmp_path / "part.json"
    path.write_text(content)
    assert "is damaged" in refusal(lambda: runner.read_result(path), path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_results_have_the_form_of_results(path):
    assert runner.read_result(path)["tables"]


@pytest.mark.parametrize("content", ["", "7", '{"clip.safetensors": 3}'])
def test_damaged_sums_of_the_weights_are_named(tmp_path, monkeypatch, content):
    monkeypatch.setattr(runner, "weights_folder", lambda name: tmp_path)
    (tmp_path / "SHA256.json").write_text(content)
    with pytest.raises(ValueError, match="SHA256.json is damaged"):
        runner.weight_sums(("clip",))
