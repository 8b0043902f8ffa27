"""The command line: minunclip draw | train | evaluate | doctor."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minunclip", description="Learn how DALL·E 2 works by building it.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    _draw_arguments(commands.add_parser("draw", help="draw a caption"))
    _train_arguments(commands.add_parser("train", help="train one stage"))
    evaluate = commands.add_parser("evaluate", help="measure the shipped weights")
    evaluate.add_argument("--captions", type=int, default=1000, help="how many unseen captions (default 1000)")
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.add_argument("--out", type=Path, help="where the results go (default: data/)")
    commands.add_parser("doctor", help="look whether this machine is ready")
    return parser


def _draw_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("captions", nargs="+", metavar="caption", help="in quotes; several give several pictures")
    parser.add_argument("--model", default="scenes", help="scenes")
    parser.add_argument("--out", type=Path, default=Path("picture.png"))
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same picture")
    parser.add_argument("--size", type=int, help="32, 128 or 512 (default: the largest)")
    parser.add_argument("--guidance", type=float, dest="decoder_guidance", help="of the decoder; 1 is none")
    parser.add_argument("--prior-guidance", type=float, help="of the prior; 1 is none")
    parser.add_argument("--steps", type=int, dest="decoder_steps", help="of the decoder")
    parser.add_argument("--prior-steps", type=int)
    parser.add_argument("--candidates", type=int, help="image embeddings to choose the best of")


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    from .stage import STAGES

    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--profile", choices=("cpu", "gpu"), help="default: gpu if there is one")
    parser.add_argument("--out", type=Path, help="the weight file (default: data/runs/STAGE.safetensors)")
    parser.add_argument("--clip", default="scenes", help="for prior and decoder: 'scenes' or a CLIP weight file")
    parser.add_argument("--steps", type=int, help="stop there instead; the learning rate falls to 0 by then")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw the scenes")
    parser.add_argument("--fresh", action="store_true", help="do not resume from a checkpoint")


def main(arguments: list[str] | None = None) -> int:
    """Run a command. A mistake of the user ends with one line on stderr and exit status 2."""
    args = build_parser().parse_args(arguments)
    try:
        return COMMANDS[args.command](args)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"minunclip: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minunclip: stopped", file=sys.stderr)
        return 130


def _draw(args: argparse.Namespace) -> int:
    from .draw import draw

    names = ("decoder_guidance", "prior_guidance", "decoder_steps", "prior_steps", "candidates")
    settings = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    draw(args.captions, args.out, args.model, args.seed, args.size, **settings)
    print(args.out)
    return 0


def _train(args: argparse.Namespace) -> int:
    from .run import run

    print(run(args.stage, args.profile, args.out, args.clip, args.steps, args.workers, args.fresh))
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from .evaluate import evaluate

    print(evaluate(args.captions, args.seed, args.out))
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from .doctor import report

    text, healthy = report()
    print(text)
    return 0 if healthy else 1


COMMANDS = {"draw": _draw, "train": _train, "evaluate": _evaluate, "doctor": _doctor}

if __name__ == "__main__":
    sys.exit(main())
