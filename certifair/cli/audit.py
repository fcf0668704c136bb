"""Audit logs of any size (Parquet, JSONL, CSV; files, folders, globs): exact counts, sums and gaps of every group."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from certifair.cli.options import check_out, head_opener
from certifair.errors import InputError, UntrustedError

if TYPE_CHECKING:
    from certifair.evidence.audit.digests import Digests
    from certifair.evidence.audit.engines.base import Engine

TICK = 0.2
"""Seconds between two looks at the progress."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("logs", nargs="+", metavar="LOG", help="a file, a folder of files, a glob, or a log's folder")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="judge its pooled aggregate properties")
    parser.add_argument("--engine", default="duckdb", metavar="NAME", help="duckdb (default) or spark")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, the evidence included, to a file")
    parser.add_argument("--public-key", type=Path, metavar="PEM", help="of whoever signs the heads of certifair's logs")
    mapping = parser.add_argument_group(
        "columns",
        "COLUMN is a name, a field of a struct (request.sex), or a place in a JSON text "
        "(response:$.predictions[0]). Logs of certifair need none of these; a policy names its own.",
    )
    mapping.add_argument("--prediction", metavar="COLUMN", help="what was served")
    mapping.add_argument("--score", metavar="COLUMN", help="the model's own score")
    mapping.add_argument(
        "--group", action="append", default=[], metavar="[NAME=]COLUMN", help="a sensitive feature (repeatable)"
    )
    mapping.add_argument("--condition", metavar="[NAME=]COLUMN", help="compare only people who share this value")
    mapping.add_argument("--intersectional", action="store_true", help="the groups are the product of all --group")
    mapping.add_argument("--threshold", metavar="D", help="a prediction above it is a positive decision (default: 0.5)")


def run(args: argparse.Namespace) -> int:
    from certifair.evidence.audit.plan import Asked
    from certifair.evidence.audit.run import audit
    from certifair.evidence.audit.summary import to_json, to_text
    from certifair.evidence.files import read_input, write_atomic
    from certifair.spec.policy import Policy

    policy = None if args.policy is None else Policy.parse(read_input(args.policy), str(args.policy))
    if args.json is not None:
        check_out(args.json, *([args.policy] if args.policy is not None else []), *map(Path, args.logs))
    asked = Asked(
        prediction=args.prediction,
        score=args.score,
        groups=tuple(args.group),
        condition=args.condition,
        intersectional=args.intersectional,
        threshold=None if args.threshold is None else _decimal(args.threshold),
    )
    open_head = None if args.public_key is None else head_opener(args.public_key)
    watch = _watched if sys.stderr.isatty() else None
    try:
        where = str(args.policy)
        found = audit(args.logs, asked, policy, where=where, engine=args.engine, watch=watch, open_head=open_head)
    except UntrustedError:
        print("verdict: UNTRUSTED: the log's own chain does not hold")
        raise
    if args.json is not None:
        write_atomic(args.json, to_json(found) + b"\n")
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(to_text(found).encode(encoding, "backslashreplace").decode(encoding))
    return 0 if found.verdict is None else found.verdict.exit_code


def _decimal(text: str) -> Fraction:
    from certifair.exact.decimals import parse_decimal

    try:
        return parse_decimal(text)
    except ValueError:
        raise InputError(f"{text!r} is not a plain decimal number such as 0.5", where="--threshold") from None


@contextlib.contextmanager
def _watched(digests: Digests, engine: Engine) -> Iterator[None]:
    """Two bars on standard error while the files are read."""
    from rich.console import Console
    from rich.progress import Progress

    engine.watch()
    done = threading.Event()
    with Progress(console=Console(stderr=True), transient=True) as bars:
        counting = bars.add_task(f"counting ({engine.name})", total=None)
        hashing = bars.add_task("SHA-256 of the files", total=digests.total)

        def look() -> None:
            while not done.wait(TICK):
                bars.update(hashing, completed=digests.done)
                share = engine.progress()
                if share is not None:
                    bars.update(counting, completed=share, total=1)

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
