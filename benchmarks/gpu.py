"""Fifteen minutes on one GPU: train everything, measure it, compare with the CPU, and run Karlo at full size.

    python benchmarks/gpu.py --out found                    all phases, each under its time limit
    python benchmarks/gpu.py --out found --only karlo       one of train, same, karlo
    python benchmarks/gpu.py --out found --tiny             the same program in small, to see that it runs anywhere
    python benchmarks/gpu.py --out found --wheels wheels    first installs the wheels in a folder

Each phase runs in a process of its own; one that fails or runs out of time loses nothing of the others. The folder gets
the weights, one file each, `rest.tar` (curves, logs, model card, pictures) and `gpu.json` (all numbers), which
is printed last. No network is needed: `pip download --no-deps -d wheels diffusers open_clip_torch ftfy`
fetches beforehand what such a machine may lack. `karlo` compares with diffusers where that is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]                              # where minunclip is not installed
os.environ["PYTHONPATH"] = str(ROOT)

import torch  # noqa: E402
from results import KARLO, machine  # noqa: E402

import minunclip  # noqa: E402
from minunclip.common import STAGES, best_device  # noqa: E402
from minunclip.pretrained import MODES, NARROW, write_karlo  # noqa: E402

LIMITS = {"train": 560, "same": 60, "karlo": 180}       # seconds
CAPTIONS = ["a big red circle above a small blue square", "a cubist painting of a fish at night"]
PROMPT = "a corgi playing a flame-throwing trumpet"


# -- the phases ----------------------------------------------------------------------------------------------


def train(out: Path, tiny: bool) -> dict:
    """`minunclip train all`, which ends with the evaluation."""
    profile = "gpu" if torch.cuda.is_available() else "cpu"
    short = ["--steps", "2", "--captions", "10"] if tiny else []
    command = [sys.executable, "-m", "minunclip", "train", "all", "--profile", profile, "--out", str(out / "train"),
               "--workers", str(max(1, (os.cpu_count() or 1) // 2 - 1)), *short]  # fmt: skip
    subprocess.run(command, check=True)
    found = json.loads((out / "train" / "results" / "scenes.json").read_text())["rows"]
    shares = {name.rpartition(", ")[2]: rows["caption"]["value"] for name, rows in found.items() if "caption" in rows}
    return {"seconds": json.loads((out / "train" / "seconds.json").read_text())["seconds"], "fidelity": shares}


def same(out: Path, tiny: bool) -> dict:
    """The largest difference of pictures that the device and the CPU draw from one seed, of values in -1 to 1."""
    folder = out / "train"
    model = folder if (folder / "decoder.safetensors").is_file() and not tiny else "scenes"
    drawings = [minunclip.load(model, device).sample(CAPTIONS, seed=7) for device in (best_device(), "cpu")]
    ours, theirs = ({side: image.cpu() for side, image in drawing.images.items()} for drawing in drawings)
    return {str(side): (ours[side] - theirs[side]).abs().max().item() for side in ours}


def karlo(out: Path, tiny: bool) -> dict:
    """Seconds and GB of every stage in each memory mode and precision, and diffusers' whole picture beside ours."""
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_karlo(Path(temporary), NARROW if tiny else KARLO, torch.bfloat16)
        for dtype in (torch.bfloat16, torch.float16) if best_device().type == "cuda" else (torch.float32,):
            for mode in MODES:
                found[f"{mode}, {str(dtype)[6:]}"] = picture(folder, mode, dtype, tiny)
                save(out, {"karlo": found})                             # what there is, in case time runs out
        found["diffusers"] = theirs(folder, tiny)
    return found


def picture(folder: Path, mode: str, dtype: torch.dtype, tiny: bool) -> dict:
    """One picture, after a short one that warms up; {stage: [seconds, GB at its peak]}."""
    device = best_device()
    cascade = minunclip.load(folder, device, dtype, mode)
    few = replace(cascade.settings, prior_steps=2, decoder_steps=2, upsampler_steps=(2,))
    cascade.sample([PROMPT], settings=few)
    stages, start = {}, now()
    for progress in cascade.stream([PROMPT], settings=few if tiny else cascade.settings):
        if progress.done == progress.total:
            gigabytes = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0
            stages[progress.stage], start = [now() - start, gigabytes], now()
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
    return stages


def theirs(folder: Path, tiny: bool) -> dict:
    """diffusers' pipeline on the same device: seconds for a picture, or why there are none."""
    try:
        sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "parity")]
        from diffusers import UnCLIPPipeline
        from diffusers.schedulers import UnCLIPScheduler
        from karlo_folder import tokenizer
        from test_full_size import ORACLES
        from transformers import CLIPTextModelWithProjection
    except ImportError as error:
        return {"left out": str(error)}
    device = best_device()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    parts = {name: ORACLES[name].from_pretrained(folder / name).to(device, dtype).eval() for name in
             ("prior", "text_proj", "decoder", "super_res_first", "super_res_last")}  # fmt: skip
    clip = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder")
    parts["text_encoder"] = clip.to(device, dtype).eval()
    for name in ("prior", "decoder", "super_res"):
        parts[f"{name}_scheduler"] = UnCLIPScheduler.from_pretrained(folder / f"{name}_scheduler")
    pipeline, steps = UnCLIPPipeline(**parts, tokenizer=tokenizer()), [2, 2, 2] if tiny else [25, 25, 7]
    names = [f"{name}_num_inference_steps" for name in ("prior", "decoder", "super_res")]
    pipeline([PROMPT], **dict.fromkeys(names, 2), output_type="np")    # warm up
    start = now()
    pipeline([PROMPT], **dict(zip(names, steps, strict=True)), output_type="np")
    return {"seconds": now() - start}


def now() -> float:
    """Seconds, after what the GPU was asked for is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


# -- one after the other -------------------------------------------------------------------------------------

PHASES = {"train": train, "same": same, "karlo": karlo}


def save(out: Path, found: dict) -> None:
    """Add to gpu.json."""
    path = out / "gpu.json"
    path.write_text(json.dumps((json.loads(path.read_text()) if path.is_file() else {}) | found, indent=1) + "\n")


def attempt(phase: str, out: Path, args: argparse.Namespace) -> None:
    """Run a phase in a process; note how long it took and how it ended."""
    start = time.perf_counter()
    command = [sys.executable, __file__, "--out", str(out), "--do", phase, *(["--tiny"] if args.tiny else [])]
    limit = args.limit or LIMITS[phase]
    process = subprocess.Popen(command, start_new_session=True)         # a group, so that its own processes end with it
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        status = f"stopped after {limit} s"
    save(out, {f"{phase}: ended": {"status": status, "seconds": round(time.perf_counter() - start, 1)}})


def pack(out: Path) -> None:
    """The weights as files of their own, everything else of the training in one."""
    folder = out / "train"
    for stage in STAGES:
        if (folder / f"{stage}.safetensors").is_file():
            shutil.copy(folder / f"{stage}.safetensors", out)
    with tarfile.open(out / "rest.tar", "w") as tar:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_file() and path.suffix not in (".safetensors", ".checkpoint"):
                tar.add(path, path.relative_to(folder))
        tar.add(out / "gpu.json", "gpu.json")
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fifteen minutes on one GPU.")
    parser.add_argument("--out", type=Path, required=True, help="the folder for what is found")
    parser.add_argument("--only", nargs="+", choices=list(PHASES), default=list(PHASES))
    parser.add_argument("--limit", type=int, help="seconds for each phase (default: " + str(LIMITS)[1:-1] + ")")
    parser.add_argument("--tiny", action="store_true", help="a few steps and narrow networks, to see that it runs")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels to install first")
    parser.add_argument("--do", choices=list(PHASES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.do:
        return save(args.out, {args.do: PHASES[args.do](args.out, args.tiny)})
    if args.wheels:
        wheels = [str(path) for path in args.wheels.glob("*.whl")]
        subprocess.run([sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", *wheels], check=True)
    save(args.out, {"machine": machine()})
    for phase in args.only:
        attempt(phase, args.out, args)
    pack(args.out)
    print((args.out / "gpu.json").read_text())


if __name__ == "__main__":
    main()
