"""The options of `draw` and `fetch`. Nothing heavy is imported here, so that `--help` is there at once."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def draw_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("captions", nargs="+", metavar="caption", help="in quotes; several give several pictures")
    models = ("scenes (the default), karlo (fetches 13.7 GB once and keeps 6.8, see `fetch`), a folder of your own "
              "weights, or one that is laid out like Karlo's")
    parser.add_argument("--model", default="scenes", help=models)
    parser.add_argument("--prior", type=path, help="a weight file of `train prior`, in the place of the model's own")
    parser.add_argument("--out", type=path, default=Path("picture.png"), help="(default: picture.png)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same picture (default: 0)")
    parser.add_argument("--size", type=int, help="scenes draws 32, 128 or 512 pixels, karlo 64 or 256 (default: the "
                                                 "largest), and 1024 with the extra 'upscale'")  # fmt: skip
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
    what.add_argument("model", nargs="?", help="karlo, or upscaler, which makes 1024 pixels of its 256; what is here "
                                               "already is compared with its SHA-256")  # fmt: skip
    what.add_argument("--list", action="store_true", help="what is here, how large it is, and where it comes from")
    what.add_argument("--remove", metavar="MODEL", help="free its room on the disk")
    parser.add_argument("--keep-float32", action="store_true", help="do not halve it: 13.7 GB of karlo stay, not 6.8")
    parser.add_argument("--from", dest="origin", metavar="OWNER/NAME[@REVISION]",
                        help="a copy of the repository, should that be gone: whose, you must know")  # fmt: skip


def path(text: str) -> Path:
    """With `~` for the home folder also where the shell leaves it, as in --out=~/a.png"""
    return Path(os.path.expanduser(text))


def numbers(text: str) -> tuple[int, ...]:
    """7 or 7,75"""
    return tuple(int(number) for number in text.split(","))
