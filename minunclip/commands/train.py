"""`minunclip train`: one stage from its recipe to its weight file, with a progress bar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..clip import CLIP
from ..common import (
    DATA,
    SHIPPED,
    Stage,
    alone,
    best_device,
    best_dtype,
    check_target,
    sha256,
    sweep,
    weights_folder,
    write_text,
)
from ..pictures import open_pictures
from ..pretrained import load_open_clip
from ..training import Loader, Recipe, TrainConfig, Trainer, parallel, recipe_for
from ..training.recipes import NEED_CLIP, picture_recipe


@dataclass(frozen=True)
class Request:
    """What is to be trained, and how, in the words of the command line."""

    stage: str
    profile: str | None = None              # None: what fits this machine
    data: str = "scenes"                    # or what `open_pictures` takes
    clip: str = "scenes"                    # for the priors and the decoder, see `clip_named`
    steps: int | None = None                # None: the recipe's
    batch: int | None = None                # the same
    streams: int = 1
    workers: int = 1

    def recipe(self, profile: str, device: torch.device) -> Recipe:
        """Raises ValueError for pictures or a CLIP that cannot be read."""
        pictures = None if self.data == "scenes" else open_pictures(self.data)
        clip = clip_named(self.clip, device) if self.stage in NEED_CLIP else None
        return picture_recipe(self.stage, pictures, clip, profile) if pictures else recipe_for(self.stage, clip)

    def config(self, recipe: Recipe, profile: str) -> TrainConfig:
        if profile not in recipe.profiles:
            raise ValueError(f"{self.stage} has no profile {profile!r} for {self.data}: choose "
                             f"{' or '.join(recipe.profiles)}")  # fmt: skip
        config = shortened(recipe.profiles[profile], self.steps)
        return replace(config, streams=max(config.streams, self.streams, parallel.count()),
                       batch=self.batch or config.batch)  # fmt: skip


def run(request: Request, out: Path | None = None, fresh: bool = False) -> Path:
    """Train a stage and save its averaged weights. Interrupted, it resumes from the checkpoint beside `out`.

    Under torchrun or accelerate each process takes its part, and the first one writes, see `training.parallel`.
    Raises OSError, before any work, if nothing can be written there or another training writes there now.
    """
    out = out or folder_of(request.data) / f"{request.stage}.safetensors"
    device = parallel.start() or best_device()
    profile = request.profile or profile_for(device, request.data)
    check_target(out)
    with sole_writer(out, fresh):
        recipe = request.recipe(profile, device)
        notes = {"profile": profile, "device": str(device), "data": request.data}
        notes |= sum_of(request.clip if request.stage in NEED_CLIP else None)
        config = request.config(recipe, profile)
        model, seconds = train(recipe, config, beside(out, ".checkpoint"), device=device,
                               made_from=notes.get("clip", ""), workers=request.workers)  # fmt: skip
        if parallel.rank() == 0:
            model.save(out, train=json.dumps(asdict(config)), minutes=f"{seconds / 60:.1f}", **notes)
    return out


def folder_of(data: str) -> Path:
    """Where a training goes by default: data/runs for the scenes, a folder there for pictures."""
    return DATA / "runs" if data == "scenes" else DATA / "runs" / Path(data).expanduser().resolve().stem


def profile_for(device: torch.device, data: str) -> str:
    """A GPU that computes in bfloat16 has the most memory; on scenes all GPUs are alike."""
    if device.type != "cuda":
        return "cpu"
    return "gpu" if data == "scenes" or best_dtype(device) == torch.bfloat16 else "t4"


def clip_named(name: str, device: torch.device) -> CLIP:
    """A CLIP: "scenes", "emoji", a weight file of ours, or open_clip's names of a model and its training.

    Raises ValueError for another name.
    """
    if name in SHIPPED or Path(name).expanduser().is_file():
        return CLIP.from_pretrained(name if name in SHIPPED else Path(name).expanduser(), device)
    if name.count("/") == 1 and not name.endswith(".safetensors"):
        return load_open_clip(name, device)
    raise ValueError(f"there is no CLIP {name}: give {', '.join(SHIPPED)}, a weight file, or a name of open_clip's, "
                     "such as ViT-L-14/openai")  # fmt: skip


@contextmanager
def sole_writer(out: Path, fresh: bool) -> Iterator[None]:
    """Nobody else writes this file meanwhile. What killed writers left goes first, and if fresh the checkpoint.

    Of several processes of one training the first does all that, and the others wait for it.
    """
    if parallel.rank() > 0:
        with parallel.first_alone():
            pass
        yield
        return
    with alone(beside(out, ".lock"), f"another training writes {out}: wait for it, or choose another --out"):
        with parallel.first_alone():
            kept = beside(out, ".checkpoint"), beside(out, ".curve.json")
            sweep(out, *kept)
            for old in kept if fresh else ():
                old.unlink(missing_ok=True)
        yield


def sum_of(clip: str | None) -> dict[str, str]:
    """The note that says from which CLIP a stage learns."""
    if clip is None:
        return {}
    file = weights_folder(clip) / CLIP.file_name if clip in SHIPPED else Path(clip).expanduser()
    return {"clip": sha256(file) if file.is_file() else f"open_clip {clip}"}


def train(
    recipe: Recipe, config: TrainConfig, checkpoint: Path, *, device: torch.device, made_from: str, workers: int
) -> tuple[Stage, float]:
    """The trained model with its averaged weights, finished, and the seconds that its training took in all."""
    torch.manual_seed(config.seed)
    layout = torch.channels_last if device.type == "cuda" else torch.preserve_format  # on a CPU it is slower
    model = recipe.build().to(device, memory_format=layout)
    trainer = Trainer(model, config, checkpoint, made_from=made_from, together=recipe.together)
    follow(trainer, recipe, workers)
    recipe.finish(trainer.ema)
    return trainer.ema, trainer.seconds


def beside(out: Path, suffix: str) -> Path:
    """A file that belongs to the training of a weight file: a.safetensors has a.checkpoint, lr0.1 lr0.1.checkpoint."""
    return out.with_name(out.name.removesuffix(".safetensors") + suffix)


def shortened(config: TrainConfig, steps: int | None) -> TrainConfig:
    """The same training in fewer (or more) steps. Raises ValueError for less than one."""
    if steps is None:
        return config
    if steps < 1:
        raise ValueError(f"--steps is {steps}: train for one step or more")
    return replace(config, steps=steps, warmup=min(config.warmup, max(1, steps // 10)))


def follow(trainer: Trainer, recipe: Recipe, workers: int) -> None:
    """Run the loop under a progress bar with loss and examples per second; the curve is written beside checkpoints."""
    config, path = trainer.config, trainer.checkpoint.with_suffix(".curve.json")
    records = trainer.run(recipe.loss, source(trainer, recipe, workers))
    quiet = parallel.rank() > 0
    with tqdm(total=config.steps * config.batch, unit="example", unit_scale=True, mininterval=1, disable=quiet) as bar:
        for record in records:
            bar.set_postfix_str(f"step {record.step}, loss {trainer.average:.4f}", refresh=False)
            bar.update(record.examples - bar.n)
            if record.step % config.save_every == 0:
                write_curve(path, trainer.curve)
    write_curve(path, trainer.curve)


def source(trainer: Trainer, recipe: Recipe, workers: int) -> Loader:
    """Where the batches come from; what is kept of them lies beside the checkpoint."""
    with parallel.first_alone():
        return recipe.loader(trainer.checkpoint.parent, trainer.config, trainer.device, workers)


def write_curve(path: Path, curve: list[dict]) -> None:
    """The running mean of the loss over 50 steps, at some 200 steps of a training, and the seconds until then."""
    if parallel.rank() > 0:
        return
    write_text(path, json.dumps(curve).replace("}, ", "},\n") + "\n")
