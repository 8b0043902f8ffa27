"""Write every drawing to docs/drawings, or look whether the files there are what the code draws.

    python -m minunclip.course.draw
    python -m minunclip.course.draw --check
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import ALL
from .files import DRAWINGS, stale


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the course's drawings as SVG files.")
    parser.add_argument("folder", nargs="?", type=Path, default=DRAWINGS, help="where to (default: docs/drawings)")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not what the code draws")
    args = parser.parse_args()
    if args.check:
        if found := stale(args.folder):
            parser.error(f"{', '.join(found)}: not what the code draws; run python -m minunclip.course.draw")
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    for function in ALL:
        print(function().save(args.folder))


if __name__ == "__main__":
    main()
