"""`minunclip evaluate` and the model card, in small: every part measures, and the files are whole."""

import json

import pytest
import torch
from helpers import normal, randomise, tiny_cascade, tiny_folder

from minunclip.commands import evaluate, model_card
from minunclip.common import STAGES, sha256, write_text
from minunclip.evaluation import Bench, Judge, Share
from minunclip.evaluation.judge import JudgeConfig
from minunclip.experiments import PARTS_OF_THE_CARD, scorecard
from minunclip.manipulations import decode
from minunclip.scenes import Scenes
from minunclip.unclip import UnCLIP


@pytest.fixture(scope="module")
def cascade() -> UnCLIP:
    return tiny_cascade()


@pytest.fixture
def bench(cascade) -> Bench:
    items = [Scenes("test")[i] for i in range(12)]
    return Bench(cascade, randomise(Judge(JudgeConfig(width=8))), items, 0)


def test_groups_and_batches_of_a_bench(bench):
    groups = [bench.group(n) for n in (1, 2, 3)]
    assert sorted(sum(groups, [])) == list(range(12))
    assert all(bench.items[i].statement.relations for i in bench.group(2, related=True))
    assert [len(part) for part in bench.batches(size=5)] == [5, 5, 2]
    assert [item for part in bench.batches(7, 3) for item in part] == bench.items[:7]


@torch.no_grad()
@pytest.mark.parametrize("part", PARTS_OF_THE_CARD[:-1], ids=lambda part: part.__name__)
def test_every_part_measures_shares(bench, part):
    rows = part(bench)
    assert rows
    for values in rows.values():
        for name, value in values.items():
            assert (isinstance(value, Share) and 0 <= value.value <= 1) or abs(value) < 100, name


@torch.no_grad()
def test_a_perfect_judge_scores_one(bench, monkeypatch):
    """With a judge that knows the answers, the table of renders says 1 everywhere."""
    known = iter([Scenes("test", seed=1)[i].scene for i in range(48)])
    monkeypatch.setattr(bench.judge, "read", lambda images: [next(known) for _ in images])
    (shares,) = scorecard.judge_rows(bench).values()
    assert {share.value for share in shares.values()} == {1.0} and shares["style"].total == 48


@torch.no_grad()
def test_a_decoder_of_given_embeddings_depends_on_them(cascade):
    z_i = normal(2, 12)
    first = decode(cascade, z_i, ["", "a star"], seed=4)
    assert first.shape == (2, 3, 32, 32)
    assert torch.equal(first, decode(cascade, z_i, ["", "a star"], seed=4))
    assert not torch.allclose(first, decode(cascade, -z_i, ["", "a star"], seed=4), atol=1e-3)


def test_the_results_as_a_table_and_as_json():
    rows = {"clip": {"kind": Share(9, 10)}, "seconds": {"to 32 px": 0.456}}
    assert evaluate.markdown(rows).splitlines()[2:] == [
        "| **clip** | |", f"| kind | {Share(9, 10)} |", "| **seconds** | |", "| to 32 px | 0.46 |",
    ]  # fmt: skip
    found = json.loads(json.dumps(evaluate.as_json(rows, 10, 0, torch.device("cpu"))))
    assert found["rows"]["clip"]["kind"] == {"value": 0.9, "interval": list(Share(9, 10).interval), "n": 10}
    assert found["rows"]["seconds"] == {"to 32 px": 0.456}


def test_the_model_card_lists_every_file(tmp_path):
    folder = tiny_folder(tmp_path)
    card = model_card.model_card("| the | table |", 1000, 7, where="an abacus", folder=folder)
    files = list(folder.glob("*.safetensors"))
    assert len(files) == 6 and {file.stem for file in files} < set(STAGES)
    for file in files:
        assert f"`{sha256(file)[:16]}`" in card
        assert f"`minunclip train {file.stem} " in card
    assert all(text in card for text in ("| the | table |", "1000 captions", "seed 7", "an abacus", "8 kinds"))
    assert "{" not in card.replace("{stage}", "")


def test_evaluate_writes_its_files_whole(tmp_path):
    write_text(tmp_path / "new" / "a.json", "{}\n")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]
