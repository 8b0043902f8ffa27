"""The command line: minunclip draw | train | evaluate | doctor | pictures | embed | export."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from .common import plain


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minunclip", description="Learn how DALL·E 2 works by building it.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    _draw_arguments(commands.add_parser("draw", help="draw a caption"))
    _train_arguments(commands.add_parser("train", help="train one stage"))
    _evaluate_arguments(commands.add_parser("evaluate", help="measure the shipped weights"))
    commands.add_parser("doctor", help="look whether this machine is ready")
    _pictures_arguments(commands.add_parser("pictures", help="look for faults in captioned pictures, or pack them"))
    _embed_arguments(commands.add_parser("embed", help="captioned pictures through a CLIP, once"))
    _export_arguments(commands.add_parser("export", help="write a model as ONNX, for programs without PyTorch"))
    return parser


def _draw_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("captions", nargs="+", metavar="caption", help="in quotes; several give several pictures")
    models = ("scenes (the default), karlo (fetches 13.7 GB once), a folder of your own weights, or one that is laid "
              "out like Karlo's")
    parser.add_argument("--model", default="scenes", help=models)
    parser.add_argument("--prior", type=path, help="a weight file of `train prior`, in the place of the model's own")
    parser.add_argument("--out", type=path, default=Path("picture.png"), help="(default: picture.png)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same picture (default: 0)")
    parser.add_argument("--size", type=int, help="scenes draws 32, 128 or 512 pixels, karlo 64 or 256 (default: the "
                                                 "largest), and 1024 with the extra 'upscale'")  # fmt: skip
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


def path(text: str) -> Path:
    """With `~` for the home folder also where the shell leaves it, as in --out=~/a.png"""
    return Path(os.path.expanduser(text))


def numbers(text: str) -> tuple[int, ...]:
    """7 or 7,75"""
    return tuple(int(number) for number in text.split(","))


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    from .common import STAGES

    parser.add_argument("stage", choices=(*STAGES, "all"), help="all: one after the other, then measured")
    parser.add_argument("--data", default="scenes", help="what to learn from: scenes (the default), emoji, or pictures "
                                                         "with captions: a folder, COCO's folder, or tars")  # fmt: skip
    parser.add_argument("--profile", choices=("cpu", "t4", "gpu"), help="default: what this machine has; t4 is a GPU "
                                                                        "with 16 GB, for pictures")  # fmt: skip
    parser.add_argument("--out", type=path, help="weight file, or folder for all (default: in data/runs)")
    parser.add_argument("--clip", default="scenes", help="for prior and decoder: scenes, a CLIP weight file, or a name "
                                                         "of open_clip's, such as ViT-L-14/openai")  # fmt: skip
    parser.add_argument("--steps", type=int, help="stop there instead; the learning rate falls to 0 by then")
    parser.add_argument("--batch", type=int, metavar="N", help="examples a step (default: the recipe's)")
    parser.add_argument("--streams", type=int, default=1, metavar="S",
                        help="parts of a batch, one after the other or on as many GPUs: less memory (default: 1, or as "
                             "many as torchrun starts processes)")  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, help="processes that draw the scenes")
    parser.add_argument("--fresh", action="store_true", help="do not resume from a checkpoint")
    parser.add_argument("--captions", type=int, help="with all: how many the evaluation takes (default: 1000)")


def _pictures_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("check", "pack"), help="check: what is wrong with them; pack: write tars")
    parser.add_argument("source", help="emoji, a folder, COCO's folder, or tars")
    parser.add_argument("--out", type=path, help="the contact sheet (default: pictures.png), or the tar's name")
    parser.add_argument("--side", type=int, default=256, help="pack: pixels on the shorter side (default: 256)")


def _embed_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="emoji, a folder, COCO's folder, or tars")
    parser.add_argument("--clip", default="scenes", help="scenes, a CLIP weight file, or a name of open_clip's")
    parser.add_argument("--out", type=path, help="the folder of the arrays (default: in data/embeddings)")
    parser.add_argument("--side", type=int, default=64, help="of the pictures that are kept (default: 64)")
    parser.add_argument("--workers", type=int, default=1, help="processes that read pictures")


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="scenes", help="scenes (the default), or a folder of your own weights")
    parser.add_argument("--out", type=path, help="the folder to write to (default: in data/onnx)")


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--suite", choices=("scenes", "paper"), default="scenes",
                        help="how good the weights are (the default), or the findings of the paper")  # fmt: skip
    parser.add_argument("--captions", type=int, help="of the scenes suite: how many, all unseen (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=path, help="where the results go (default: data/)")
    kept = "it keeps what it has measured, and goes on from there; without --quick hours on a CPU"
    paper = parser.add_argument_group("the paper suite", kept)
    paper.add_argument("--quick", action="store_true", help="minutes on a CPU, and wide intervals, into data/quick/")
    paper.add_argument("--fresh", action="store_true", help="measure everything again")


def main(arguments: list[str] | None = None) -> int:
    """Run a command. A mistake of the user ends with one line on stderr and exit status 2."""
    prepare_streams()
    args = build_parser().parse_args(arguments)
    for name in ("SIGTERM", "SIGHUP"):                                  # `kill`, and a terminal that is closed, end it
        if hasattr(signal, name):                                       # as Ctrl+C does: nothing runs on
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        return COMMANDS[args.command](args)
    except (ValueError, FloatingPointError, ImportError) as error:
        return _refused(str(error))
    except BrokenPipeError:                                             # who read what we print has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or else Python complains at its end
        return 141
    except (OSError, MemoryError) as error:
        return _refused(plain(error) or str(error))
    except RuntimeError as error:
        if line := plain(error):                                        # else it is a bug of ours: with its traceback
            return _refused(line)
        raise
    except KeyboardInterrupt:
        print("minunclip: stopped", file=sys.stderr)
        return 130


def prepare_streams() -> None:
    """Printing never fails: letters that a terminal lacks become codes; without a terminal nothing is shown."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:                                              # started without a console
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (for as long as this runs)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _refused(line: str) -> int:
    print(f"minunclip: {line}", file=sys.stderr)
    return 2


def _draw(args: argparse.Namespace) -> int:
    from .commands.draw import draw

    given = {name: value for name, value in vars(args).items() if name != "command" and value is not None}
    draw(**given)
    print(args.out)
    return 0


def _train(args: argparse.Namespace) -> int:
    if args.stage == "all":
        return _train_all(args)
    if args.captions is not None:
        raise ValueError("--captions is for `train all`, which measures what it trained")
    from .commands.train import Request, run

    request = Request(args.stage, args.profile, data=args.data, clip=args.clip, steps=args.steps, batch=args.batch,
                      streams=args.streams, workers=args.workers)  # fmt: skip
    written = run(request, args.out, args.fresh)
    if os.environ.get("RANK", "0") == "0":                              # of several processes of torchrun the first
        print(written)
    return 0


def _train_all(args: argparse.Namespace) -> int:
    if args.clip != "scenes":
        raise ValueError("--clip is for a single stage: `train all` trains the CLIP that its other stages learn from")
    if args.streams != 1 or int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError("--streams, torchrun and accelerate are for a single stage: `all` starts its own processes")
    from .commands.train_all import train_all

    captions = 1000 if args.captions is None else args.captions
    print(train_all(args.profile, args.out, steps=args.steps, captions=captions, workers=args.workers,
                    fresh=args.fresh))  # fmt: skip
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    if args.suite == "paper":
        if args.captions is not None:
            raise ValueError("--captions is for the scenes suite: the paper suite has two sizes, one with --quick")
        from .experiments import measure

        print(measure(args.out, args.seed, args.quick, args.fresh))
        return 0
    if args.quick or args.fresh:
        raise ValueError("--quick and --fresh are for the paper suite: add --suite paper")
    from .commands.evaluate import evaluate

    print(evaluate(1000 if args.captions is None else args.captions, args.seed, args.out))
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from .commands.doctor import report

    healthy = True
    for fine, line in report():                                         # each as it comes: PyTorch's takes a while
        print(line, flush=True)
        healthy = healthy and fine
    return 0 if healthy else 1


def _pictures(args: argparse.Namespace) -> int:
    from .commands.pictures import check, pack

    if args.what == "check":
        return 0 if check(args.source, args.out or Path("pictures.png")) else 1
    print(*pack(args.source, args.out or Path("pictures.tar"), side=args.side), sep="\n")
    return 0


def _embed(args: argparse.Namespace) -> int:
    from .commands.pictures import embed

    print(embed(args.source, args.clip, args.out, side=args.side, workers=args.workers))
    return 0


def _export(args: argparse.Namespace) -> int:
    from .commands.export import export

    print(export(args.model, args.out))
    return 0


COMMANDS = {
    "draw": _draw, "train": _train, "evaluate": _evaluate, "doctor": _doctor, "pictures": _pictures, "embed": _embed,
    "export": _export,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
