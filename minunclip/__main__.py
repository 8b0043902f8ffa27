"""The command line: minunclip draw | fetch | train | evaluate | doctor | pictures | embed | export."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from .commands.arguments import build_parser
from .common import plain


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


def _fetch(args: argparse.Namespace) -> int:
    from .commands.fetch import fetch, listing, remove

    if args.list or args.remove:
        if args.keep_float32 or args.origin:
            raise ValueError("--keep-float32 and --from are for what is to be fetched: name it")
        lines = listing() if args.list else remove(args.remove)
    else:
        lines = fetch(args.model, full=args.keep_float32, origin=args.origin)
    for line in lines:
        print(line)
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
    print(train_all(args.profile, args.out, data=args.data, steps=args.steps, captions=captions, workers=args.workers,
                    fresh=args.fresh))  # fmt: skip
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    if args.data != "scenes":
        return _evaluate_pictures(args)
    if args.model or args.keep:
        raise ValueError("--model and --keep are for pictures: add --data, and what they were trained on")
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


def _evaluate_pictures(args: argparse.Namespace) -> int:
    if args.suite == "paper" or args.quick or args.fresh:
        raise ValueError("the paper suite measures scenes: leave --data, --quick and --fresh away")
    from .commands.evaluate_pictures import evaluate_pictures
    from .commands.train import folder_of

    model, captions = args.model or folder_of(args.data), 1000 if args.captions is None else args.captions
    print(evaluate_pictures(args.data, model, captions, seed=args.seed, out=args.out, keep=args.keep))
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
    "draw": _draw, "fetch": _fetch, "train": _train, "evaluate": _evaluate, "doctor": _doctor, "pictures": _pictures,
    "embed": _embed, "export": _export,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
