"""`minunclip train all`: every stage from nothing, side by side where there is room, and then measured.

What it leaves in its folder is what ships: a weight file and a curve for each stage, their sums and a model card. The
time that it took becomes a line of a table. From pictures of one's own it leaves the weights and what was measured.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from tqdm import tqdm

from ..common import DATA, alone, check_target, machine, read_weights, sha256, write_text
from ..pictures import open_pictures
from ..training import TrainConfig, recipe_for
from ..training.recipes import EMBEDDED, NEED_CLIP, CaptionRecipe, picture_recipe
from .evaluate import check, evaluate
from .evaluate_pictures import evaluate_pictures
from .speed_table import add_row, speed_row
from .train import clip_named, folder_of, profile_for, shortened

ORDER = ("clip", "judge", "decoder", "ar-prior", "prior", "upsampler-1", "upsampler-2")  # who waits longest comes first


@dataclass
class Run:
    """All stages of one training, in one folder."""

    folder: Path
    profile: str
    steps: int | None = None                # of every stage, to try whether it runs
    workers: int = 1                        # processes of each stage that draw its scenes
    running: dict[str, subprocess.Popen] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    order = ORDER
    data = "scenes"

    def file(self, stage: str) -> Path:
        return self.folder / f"{stage}.safetensors"

    @property
    def shared(self) -> bool:
        """Whether captioned pictures and what this CLIP makes of them, which several stages share, are there."""
        return (self.folder / f"{CaptionRecipe.bank}.bank").is_file()

    def tidy(self, pattern: str) -> None:
        """Remove examples that were made for the training."""
        for path in self.folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def forget_embedded(self) -> None:
        """Remove what another CLIP made of the pictures."""
        self.tidy(f"{CaptionRecipe.bank}.bank")

    def forget_examples(self) -> None:
        self.tidy("*.bank")

    def config(self, stage: str) -> dict:
        """The settings with which the stage is to be trained."""
        return asdict(shortened(recipe_for(stage).profiles[self.profile], self.steps))

    def done(self, stage: str) -> bool:
        """Whether the weight file of a stage is there, trained as it should be and with this CLIP."""
        need = [stage, "clip"] if stage in NEED_CLIP else [stage]
        if stage not in self.finished and all(self.file(name).is_file() for name in need):
            metadata, _ = read_weights(self.file(stage))
            trained = asdict(TrainConfig(0, 0)) | json.loads(metadata.get("train", "{}"))
            same = json.dumps(trained) == json.dumps(asdict(TrainConfig(0, 0)) | self.config(stage))
            if same and (stage not in NEED_CLIP or metadata.get("clip") == sha256(self.file("clip"))):
                self.finished.add(stage)
        return stage in self.finished

    def ready(self) -> list[str]:
        """The stages that may be started now."""
        first = any(stage in NEED_CLIP for stage in self.running) and not self.shared   # it makes them for all
        wait = NEED_CLIP if first or not self.done("clip") else ()
        return [stage for stage in self.order if not (stage in self.running or stage in wait or self.done(stage))]

    def command(self, stage: str) -> list[str]:
        steps = [] if self.steps is None else ["--steps", str(self.steps)]
        files = ["--data", self.data, "--out", str(self.file(stage)), "--clip", str(self.file("clip"))]
        how = ["--profile", self.profile, "--workers", str(self.workers), *steps]
        return [sys.executable, "-m", "minunclip", "train", stage, *files, *how]

    def start(self, stage: str, threads: int) -> None:
        """Train a stage in a process of its own; what it prints goes into a log."""
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{stage}.log").open("w") as log:
            self.running[stage] = subprocess.Popen(self.command(stage), stdout=log, stderr=log, env=environment)

    def collect(self) -> None:
        """Forget the processes that have ended. Raises ValueError with the last line of one that failed."""
        for stage, process in list(self.running.items()):
            if process.poll() is None:
                continue
            del self.running[stage]
            if process.returncode or not self.done(stage):
                log = self.folder / f"{stage}.log"
                lines = log.read_text(errors="replace").replace("\r", "\n").split("\n")
                last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
                raise ValueError(f"train all: {stage} stopped with status {process.returncode}: {last} (see {log})")

    def stop(self) -> None:
        """End what runs. Each stage goes on from its checkpoint the next time."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait()
        self.running.clear()

    def progress(self) -> str:
        """What runs, and how far each has come, by the curves that they write."""
        told = []
        for stage in self.running:
            curve = self.folder / f"{stage}.curve.json"
            step = json.loads(curve.read_text())[-1]["step"] if curve.is_file() else 0
            told.append(f"{stage} {step / self.config(stage)['steps']:.0%}")
        return ", ".join(told)


@dataclass
class PictureRun(Run):
    """The same for captioned pictures. Nothing can judge them, so there is no judge; two sizes need one upsampler."""

    data: str = "emoji"
    configs: dict[str, dict] = field(default_factory=dict)
    order = ("clip", "decoder", "ar-prior", "prior", "upsampler-1")

    @cached_property
    def pictures(self):
        return open_pictures(self.data)

    @property
    def shared(self) -> bool:
        done = self.folder / EMBEDDED / "done.txt"
        return done.is_file() and int(done.read_text()) == len(self.pictures)

    def config(self, stage: str) -> dict:
        if stage not in self.configs:
            clip = clip_named(str(self.file("clip")), torch.device("cpu")) if stage in NEED_CLIP else None
            recipe = picture_recipe(stage, self.pictures, clip, self.profile)
            self.configs[stage] = asdict(shortened(recipe.profiles[self.profile], self.steps))
        return self.configs[stage]

    def forget_embedded(self) -> None:
        self.tidy(EMBEDDED)

    def forget_examples(self) -> None:
        self.tidy("pictures-*")


def train_all(
    profile: str | None = None, out: Path | None = None, *, data: str = "scenes", steps: int | None = None,
    captions: int = 1000, workers: int = 1, fresh: bool = False, leaderboard: Path = DATA / "results" / "speed.md",
) -> Path:  # fmt: skip
    """Train every stage that is not done yet, measure what they draw together, and return the folder.

    Interrupted, it goes on where each stage was, and the time of all its calls adds up; `fresh` forgets what there is.
    Raises ValueError, with what a stage said last, if one fails; the others are stopped and keep their checkpoints.
    """
    check(captions)
    device, scenes = torch.device("cuda" if torch.cuda.is_available() else "cpu"), data == "scenes"
    out = out or (DATA / "runs" / "all" if scenes else folder_of(data))
    profile = profile or profile_for(device, data)
    run = Run(out, profile, steps, workers) if scenes else PictureRun(out, profile, steps, workers, data=data)
    check_target(run.folder / "SHA256.json")
    with alone(run.folder / "all.lock", f"another training writes into {run.folder}: wait for it, or choose another "
                                        "--out"):  # fmt: skip
        if fresh:
            forget(run)
        clock = Clock(run.folder / "seconds.json")
        finish(run, clock)
        sums = {f"{stage}.safetensors": sha256(run.file(stage)) for stage in run.order}
        write_text(run.folder / "SHA256.json", json.dumps(sums, indent=1) + "\n")
        if not scenes:
            evaluate_pictures(data, run.folder, captions, out=run.folder)
            return run.folder
        evaluate(captions, out=run.folder, model=run.folder)
        clock.tick()
    found = json.loads((run.folder / "results" / "scenes.json").read_text())["rows"]
    if steps is None:                                                   # else it was a trial, not the recipe
        add_row(leaderboard, speed_row(found, clock.seconds / 60, run.profile, machine(device)))
    return run.folder


def forget(run: Run) -> None:
    """Remove what an earlier training left."""
    for pattern in (*(f"{stage}.*" for stage in run.order), "seconds.json"):
        run.tidy(pattern)
    run.forget_examples()


def finish(run: Run, clock: Clock) -> None:
    """Run stage after stage, as many side by side as the machine has room for."""
    slots, threads = room()
    if not run.done("clip"):
        run.forget_embedded()
    left = [stage for stage in run.order if not run.done(stage)]
    with tqdm(total=len(run.order), initial=len(run.order) - len(left), desc="stages", unit="stage") as bar:
        try:
            while run.running or run.ready():
                while len(run.running) < slots and (ready := run.ready()):
                    run.start(ready[0], threads)
                bar.set_postfix_str(run.progress())
                time.sleep(0.5)
                run.collect()
                clock.tick()
                bar.update(sum(run.done(stage) for stage in run.order if stage not in run.running) - bar.n)
        finally:
            run.stop()
    run.forget_examples()


def room() -> tuple[int, int]:
    """(processes side by side, threads of each): one thread a process goes furthest where there are few cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slots = 2 if torch.cuda.is_available() else min(4, cores)
    return slots, max(1, cores // slots)


class Clock:
    """The seconds of all calls of one training together, kept in a file."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic):
        self.path, self.now, self.last = path, now, now()
        self.seconds = json.loads(path.read_text())["seconds"] if path.is_file() else 0.0

    def tick(self) -> None:
        """Add what has passed since the last tick."""
        now = self.now()
        self.seconds, self.last = self.seconds + now - self.last, now
        write_text(self.path, json.dumps({"seconds": round(self.seconds, 1)}) + "\n")
