"""`minunclip train all`: the order of the stages, what is done already, failures and interruptions, and the table."""

import json
import re
import sys
from dataclasses import asdict

import pytest
from helpers import TINY_CLIP, randomise, tiny_folder

import minunclip
from minunclip.ar_prior import ARPrior, ARPriorConfig
from minunclip.clip import CLIP
from minunclip.commands import train_all as command
from minunclip.commands.speed_table import add_row, recipe_sum, speed_row
from minunclip.commands.train_all import Clock, Run, finish, train_all
from minunclip.common import STAGES, read_weights, sha256
from minunclip.evaluation import Judge

COPY = """import shutil, sys, time
from pathlib import Path
source, out, log = map(Path, sys.argv[1:4])
with log.open("a") as file: file.write(f"start {out.stem}\\n")
time.sleep(0.3)
shutil.copy(source, out)
with log.open("a") as file: file.write(f"end {out.stem}\\n")"""


@pytest.fixture
def trained(tmp_path):
    """A folder of tiny weight files whose metadata say that they were trained as the recipes ask for."""
    folder, run = tiny_folder(tmp_path / "trained"), Run(tmp_path / "trained" / "scenes", "cpu", 3)
    prior = randomise(ARPrior(ARPriorConfig(z_width=12, text_width=16, context=32, components=3, buckets=8, width=16,
                                            layers=1, heads=2)))  # fmt: skip
    prior.save(run.file("ar-prior"))
    cascade = minunclip.load(folder)
    stages = {"clip": cascade.clip, "prior": cascade.prior, "decoder": cascade.decoder, "ar-prior": prior,
              "upsampler-1": cascade.upsamplers[0], "upsampler-2": cascade.upsamplers[1],
              "judge": Judge.from_pretrained(folder / "judge.safetensors")}  # fmt: skip
    stages["clip"].save(run.file("clip"), train=json.dumps(run.config("clip")))
    clip = sha256(run.file("clip"))
    for stage in STAGES[1:]:
        stages[stage].save(run.file(stage), train=json.dumps(run.config(stage)), clip=clip)
    return run


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A run whose stages are copied instead of trained, in 0.3 s each."""
    log = tmp_path / "log"

    def copies(self, stage):
        return [sys.executable, "-c", COPY, str(trained.file(stage)), str(self.file(stage)), str(log)]

    monkeypatch.setattr(Run, "command", copies)
    monkeypatch.setattr(command, "room", lambda: (2, 1))
    return Run(tmp_path / "run", "cpu", 3)


def told(run):
    return [line.split() for line in (run.folder.parent / "log").read_text().splitlines()]


def test_the_stages_run_in_their_order_two_side_by_side(run, tmp_path):
    finish(run, Clock(tmp_path / "seconds.json"))
    lines = told(run)
    assert sorted(stage for word, stage in lines if word == "end") == sorted(STAGES)
    assert {stage for _, stage in lines[:2]} == {"clip", "judge"} and [word for word, _ in lines[:2]] == ["start"] * 2
    running, most = set(), 0
    for word, stage in lines:
        if word == "start" and stage in ("prior", "ar-prior", "decoder"):
            assert ["end", "clip"] in lines[: lines.index([word, stage])]
        running = running | {stage} if word == "start" else running - {stage}
        most = max(most, len(running))
    assert most == 2
    assert all(run.done(stage) for stage in STAGES)


def test_what_is_done_is_not_done_again(run, tmp_path):
    finish(run, Clock(tmp_path / "seconds.json"))
    (run.folder.parent / "log").write_text("")
    run.file("prior").unlink()
    again = Run(run.folder, "cpu", 3)
    finish(again, Clock(tmp_path / "seconds.json"))
    assert [stage for word, stage in told(run) if word == "start"] == ["prior"]


def test_another_clip_or_other_settings_are_trained_anew(run, tmp_path):
    finish(run, Clock(tmp_path / "seconds.json"))
    assert not Run(run.folder, "cpu", 4).done("decoder") and not Run(run.folder, "gpu", 3).done("judge")
    metadata, _ = read_weights(run.file("clip"))
    randomise(CLIP(TINY_CLIP), seed=5).save(run.file("clip"), train=metadata["train"])
    other = Run(run.folder, "cpu", 3)
    assert other.done("clip") and other.done("judge")
    assert not any(other.done(stage) for stage in ("prior", "ar-prior", "decoder"))


def test_a_stage_that_fails_stops_the_others_and_is_quoted(run, tmp_path, monkeypatch):
    plain = Run.command

    def failing(self, stage):
        broken = [sys.executable, "-c", "import sys; print('one'); sys.exit('minunclip: the disk is full')"]
        waiting = [sys.executable, "-c", "import time; time.sleep(60)"]
        return {"judge": broken, "clip": waiting}.get(stage) or plain(self, stage)

    monkeypatch.setattr(Run, "command", failing)
    with pytest.raises(ValueError, match=r"judge stopped with status 1: minunclip: the disk is full \(see .*judge.log"):
        finish(run, Clock(tmp_path / "seconds.json"))
    assert run.running == {} and not any(run.file(stage).exists() for stage in STAGES)


def test_an_interruption_leaves_no_process(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "command", lambda self, stage: [sys.executable, "-c", "import time; time.sleep(60)"])
    started = []
    monkeypatch.setattr(Run, "progress", lambda self: started.extend(self.running.values()) or "")

    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "collect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        finish(run, Clock(tmp_path / "seconds.json"))
    assert len(started) == 2 and all(process.poll() is not None for process in started)


def test_the_clock_adds_up_over_calls(tmp_path):
    path, times = tmp_path / "seconds.json", iter([10.0, 13.0, 20.0, 100.0, 104.5])
    clock = Clock(path, lambda: next(times))
    clock.tick()
    clock.tick()
    assert clock.seconds == 10
    later = Clock(path, lambda: next(times))
    later.tick()
    assert later.seconds == 14.5 and json.loads(path.read_text()) == {"seconds": 14.5}


def test_too_few_captions_are_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match="--captions is 5: measure at least 10"):
        train_all("cpu", tmp_path / "run", captions=5)
    assert not (tmp_path / "run").exists()


def test_the_table_of_times(tmp_path):
    share = {"caption": {"value": 0.9123}}
    found = {"caption fidelity, one thing": share, "caption fidelity, all": {"caption": {"value": 1.0}}}
    for minutes in (61.04, 8.0):
        add_row(tmp_path / "speed.md", speed_row(found, minutes, "cpu", "an abacus"))
    *_, first, second = (tmp_path / "speed.md").read_text().splitlines()
    assert first == f"| an abacus | cpu | 61.0 | 0.912 | - | - | 1.000 | `{recipe_sum()}` |"
    assert second.startswith("| an abacus | cpu | 8.0 |") and re.fullmatch(r"[0-9a-f]{10}", recipe_sum())


@pytest.mark.slow
def test_all_of_it_from_nothing(tmp_path):
    """Two steps of every stage, for real: two minutes on two cores."""
    folder = train_all("cpu", tmp_path / "run", steps=2, captions=10, leaderboard=tmp_path / "speed.md")
    files = {path.name for path in folder.iterdir()}
    assert {f"{stage}{ending}" for stage in STAGES for ending in (".safetensors", ".curve.json")} <= files
    assert {"SHA256.json", "README.md", "gallery.png", "results"} <= files
    assert not (tmp_path / "speed.md").exists()                         # two steps are no training of the recipe's
    config = asdict(command.shortened(command.recipe_for("judge").profiles["cpu"], 2))
    assert json.loads(read_weights(folder / "judge.safetensors")[0]["train"]) == json.loads(json.dumps(config))
