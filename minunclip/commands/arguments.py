"""The arguments of every command, and what `--help` says of them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..common import STAGES


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minunclip", description="Learn how DALL·E 2 works by building it.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    draw_arguments(commands.add_parser("draw", help="draw a caption"))
    train_arguments(commands.add_parser("train", help="train one stage"))
    evaluate_arguments(commands.add_parser("evaluate", help="measure the shipped weights"))
    fetch_arguments(commands.add_parser("fetch", help="fetch, list or remove released weights"))
    commands.add_parser("doctor", help="look whether this machine is ready")
    pictures_arguments(commands.add_parser("pictures", help="look for faults in captioned pictures, or pack them"))
    embed_arguments(commands.add_parser("embed", help="captioned pictures through a CLIP, once"))
    export_arguments(commands.add_parser("export", help="write a model as ONNX, for programs without PyTorch"))
    return parser


def draw_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("captions", nargs="+", metavar="caption", help="in quotes; several give several pictures")
    models = ("scenes (the default), emoji, karlo (fetches 13.7 GB once and keeps 6.8, see `fetch`), kandinsky (15.9 "
              "and 9.8 GB), a folder of your own weights, or one that is laid out like one of these")
    parser.add_argument("--model", default="scenes", help=models)
    parser.add_argument("--prior", type=path, help="a weight file of `train prior`, in the place of the model's own")
    parser.add_argument("--out", type=path, default=Path("picture.png"), help="(default: picture.png)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same picture (default: 0)")
    sizes = ("scenes draws 32, 128 or 512 pixels (default: the largest); karlo 64 or 256, or 1024 with the extra "
             "'upscale'; kandinsky 512, 768 (the default) or 1024, which takes that extra, too")
    parser.add_argument("--size", type=int, help=sizes)
    parser.add_argument("--yes", action="store_true", help="fetch what is missing without asking")
    how = parser.add_argument_group("how to sample", "by default as the model's makers do")
    how.add_argument("--guidance", "--decoder-guidance", type=float, dest="decoder_guidance", metavar="G",
                     help="of the decoder; 1 is none")  # fmt: skip
    how.add_argument("--prior-guidance", type=float, metavar="G", help="of the prior; 1 is none")
    how.add_argument("--steps", "--decoder-steps", type=int, dest="decoder_steps", metavar="N", help="of the decoder")
    how.add_argument("--prior-steps", type=int, metavar="N")
    how.add_argument("--upsampler-steps", type=numbers, metavar="N[,N]", help="of all upsamplers, or one by one")
    how.add_argument("--sampler", help="ddim, ddpm, analytic or dpm")
    how.add_argument("--candidates", type=int, metavar="N", help="image embeddings to choose the best of")
    where = parser.add_argument_group("where to compute", "by default what this machine does best")
    where.add_argument("--device", choices=("cuda", "mps", "cpu"))
    where.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of the networks")
    where.add_argument("--memory", choices=("auto", "resident", "offload", "disk"), default="auto",
                       help="keep the weights of a released model on the device, in RAM or in their files until "
                            "their stage runs (default: the fastest that fits)")  # fmt: skip


def fetch_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    models = ("karlo; upscaler, which makes 1024 pixels of its 256; kandinsky, or a part of it, kandinsky/prior or "
              "kandinsky/decoder. What is here already is compared with its SHA-256")
    what.add_argument("model", nargs="?", help=models)
    what.add_argument("--list", action="store_true", help="what is here, how large it is, and where it comes from")
    what.add_argument("--remove", metavar="MODEL", help="free its room on the disk")
    parser.add_argument("--keep-float32", action="store_true",
                        help="do not halve it: of karlo 13.7 GB stay, not 6.8; of kandinsky 15.9, not 9.8")  # fmt: skip
    parser.add_argument("--from", dest="origin", metavar="OWNER/NAME[@REVISION]",
                        help="a copy of the repository, should that be gone: whose, you must know")  # fmt: skip


def path(text: str) -> Path:
    """With `~` for the home folder also where the shell leaves it, as in --out=~/a.png"""
    return Path(os.path.expanduser(text))


def numbers(text: str) -> tuple[int, ...]:
    """7 or 7,75"""
    return tuple(int(number) for number in text.split(","))


def train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", choices=(*STAGES, "all"), help="all: one after the other, then measured")
    parser.add_argument("--data", default="scenes", help="what to learn from: scenes (the default), emoji, or pictures "
                                                         "with captions: a folder, COCO's folder, or tars")  # fmt: skip
    parser.add_argument("--profile", choices=("cpu", "t4", "gpu"), help="default: what this machine has; t4 is a GPU "
                                                                        "with 16 GB, for pictures")  # fmt: skip
    parser.add_argument("--out", type=path, help="weight file, or folder for all (default: in data/runs)")
    parser.add_argument("--clip", default="scenes", help="for prior and decoder: scenes, emoji, a CLIP weight file, or "
                                                         "a name of open_clip's, such as ViT-L-14/openai")  # fmt: skip
    parser.add_argument("--steps", type=int, help="stop there instead; the learning rate falls to 0 by then")
    parser.add_argument("--batch", type=int, metavar="N", help="examples a step (default: the recipe's)")
    parser.add_argument("--streams", type=int, default=1, metavar="S",
                        help="parts of a batch, one after the other or on as many GPUs: less memory (default: 1, or as "
                             "many as torchrun starts processes)")  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, help="processes that draw the scenes")
    parser.add_argument("--fresh", action="store_true", help="do not resume from a checkpoint")
    parser.add_argument("--captions", type=int, help="with all: how many the evaluation takes (default: 1000)")


def pictures_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("check", "pack"), help="check: what is wrong with them; pack: write tars")
    parser.add_argument("source", help="emoji, a folder, COCO's folder, or tars")
    parser.add_argument("--out", type=path, help="the contact sheet (default: pictures.png), or the tar's name")
    parser.add_argument("--side", type=int, default=256, help="pack: pixels on the shorter side (default: 256)")


def embed_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="emoji, a folder, COCO's folder, or tars")
    parser.add_argument("--clip", default="scenes", help="scenes, emoji, a CLIP weight file, or a name of open_clip's")
    parser.add_argument("--out", type=path, help="the folder of the arrays (default: in data/embeddings)")
    parser.add_argument("--side", type=int, default=64, help="of the pictures that are kept (default: 64)")
    parser.add_argument("--workers", type=int, default=1, help="processes that read pictures")


def evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--suite", choices=("scenes", "paper"), default="scenes",
                        help="how good the weights are (the default), or the findings of the paper")  # fmt: skip
    parser.add_argument("--data", default="scenes", help="emoji, or whatever a model of one's own learned from")
    parser.add_argument("--model", type=path, help="with --data: the folder of its weights (default: in data/runs)")
    parser.add_argument("--keep", action="store_true", help="with --data: also write each picture, drawn and true")
    parser.add_argument("--captions", type=int, help="how many, all unseen (default: 1000); not of the paper suite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=path, help="where the results go (default: data/)")
    kept = "it keeps what it has measured, and goes on from there; without --quick hours on a CPU"
    paper = parser.add_argument_group("the paper suite", kept)
    paper.add_argument("--quick", action="store_true", help="minutes on a CPU, and wide intervals, into data/quick/")
    paper.add_argument("--fresh", action="store_true", help="measure everything again")


def export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="scenes", help="scenes (the default), or a folder of your own weights")
    parser.add_argument("--out", type=path, help="the folder to write to (default: in data/onnx)")
