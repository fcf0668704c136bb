"""Change a network until its decisions provably do not depend on the sensitive inputs of these rows."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from certifair.cli.options import add_now, needed, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from certifair.cli.repair_input import Given
    from certifair.individual import Proof
    from certifair.repair.api import Outcome, Proven
    from certifair.repair.base import Method
    from certifair.spec import Json
    from certifair.spec.domain import Domain

    Array = NDArray[np.float64]

SECONDS: Final = 300.0
ROWS_SECONDS: Final = 60.0
DOMAIN_SECONDS: Final = 10.0
FORMAT: Final = "certifair-repair/0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="an ONNX file")
    parser.add_argument(
        "--domain", type=Path, required=True, metavar="FILE", help="what each input may be, and which are sensitive"
    )
    parser.add_argument(
        "--rows", type=Path, required=True, metavar="FILE", help="a table of people who shall be decided about fairly"
    )
    parser.add_argument("--label", metavar="COLUMN", help="of the rows: the right decision (default: the domain's)")
    parser.add_argument("--sensitive", nargs="+", metavar="NAME", help="other sensitive features than the domain's")
    parser.add_argument(
        "--method", default="finite", metavar="NAME", help="finite, prof or zeroing (default: %(default)s)"
    )
    parser.add_argument(
        "--objective", choices=("accuracy", "change"), default="accuracy", help="right decisions, or few changed ones"
    )
    parser.add_argument(
        "--choose", type=int, metavar="N", help="repair for so many rows, drawn by the seed (prof: at most 100 else)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    parser.add_argument("--time", type=float, default=SECONDS, metavar="S", help="of the repair (default: %(default)g)")
    parser.add_argument(
        "--rows-time",
        type=float,
        default=ROWS_SECONDS,
        metavar="S",
        help="of each proof about the rows, before and after; what is not decided by then is undecided "
        "(default: %(default)g)",
    )
    parser.add_argument(
        "--domain-time",
        type=float,
        default=DOMAIN_SECONDS,
        metavar="S",
        help="of each proof about everybody in the domain; 0: none (default: %(default)g)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the repaired network, as ONNX")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--bundles", type=Path, metavar="DIR", help="write evidence bundles DIR/before and DIR/after")
    parser.add_argument(
        "--demand", default="0.99", metavar="SHARE", help="of the domain, in the bundles' policy (default: %(default)s)"
    )
    parser.add_argument(
        "--groups", nargs="+", metavar="COLUMN", help="whose figures the bundles list (default: the sensitive features)"
    )
    parser.add_argument("--key", type=Path, metavar="key.pem", help="sign DIR/before and DIR/after.certificate.json")
    add_now(parser)


def run(args: argparse.Namespace) -> int:
    with needed(f"the method {args.method!r} needs"):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    """Everything is written beside its place before anything gets its name, the bundles last."""
    from certifair.cli.repair_bundles import opened
    from certifair.cli.repair_input import check, given
    from certifair.evidence.files import staged

    check(args)
    about = given(args)
    with _ended_like_an_interrupt(), contextlib.ExitStack() as stack:
        bundles = None if args.bundles is None else stack.enter_context(opened(args, about))
        found = _repaired(args, about)
        told = document(found, about)
        files = {} if found.content is None else {args.out: found.content}
        if args.json is not None:
            files[args.json] = json.dumps(told, indent=1).encode() + b"\n"
        done: list[str] = []
        named = [stack.enter_context(staged(path, content)) for path, content in files.items()]
        if bundles is not None and found.content is not None:
            done += bundles.complete(found)
            named.append(bundles.publish)
        for give_name in named:
            give_name()
    if found.content is not None:
        done.append(f"{args.out}: the repaired network")
    print(*lines(told, about.domain), *done, sep="\n")
    return 3 if told["after"] is None else _code(told["after"]["rows"])


@contextlib.contextmanager
def _ended_like_an_interrupt() -> Iterator[None]:
    """SIGTERM leaves nothing hidden behind either: it ends the work by an exception, where it would end the process."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    if ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _repaired(args: argparse.Namespace, about: Given) -> Outcome:
    from certifair.checks._individual.check import check_witness
    from certifair.individual import prepare
    from certifair.repair.api import repair

    method = _method(args, len(about.rows))
    say(f"repairing {args.model} for {len(about.rows)} rows …")
    if args.domain_time:
        prepare()
    return repair(
        about.network,
        about.domain,
        about.rows,
        about.labels,
        method=method,
        objective=args.objective,
        seconds=args.time,
        rows_seconds=args.rows_time,
        domain_seconds=args.domain_time,
        seed=args.seed,
        check=check_witness,
    )


def _code(after: Json) -> int:
    """0 if every row is proven fair, 1 if one is proven unfair, else 3."""
    if after["unfair"]:
        return 1
    return 3 if after["undecided"] else 0


def _method(args: argparse.Namespace, rows: int) -> Method:
    """The method of this name, for all rows if these were chosen. Errors: InputError with the nearest name."""
    from dataclasses import replace

    from certifair import repair as methods
    from certifair.repair.prof import Prof

    found = methods.get(args.method)
    return replace(found, rows=rows) if isinstance(found, Prof) and args.choose is not None else found


def document(found: Outcome, about: Given) -> Json:
    """What was proven before and after, how right the decisions are, and how many of them changed."""
    from certifair.evidence.canonical import sha256

    before, after = found.before, found.after
    return {
        "format": FORMAT,
        "model": sha256(about.model),
        "repaired": None if found.content is None else sha256(found.content),
        "method": found.method,
        "solver": found.repaired.solver,
        "status": found.repaired.status,
        "reason": found.repaired.reason,
        "seconds": round(found.seconds, 1),
        "rows": len(before.decisions),
        "before": _proven(before, about.labels),
        "after": None if after is None else _proven(after, about.labels),
        "changed": None if after is None else int((before.decisions != after.decisions).sum()),
    }


def _proven(proven: Proven, labels: Array | None) -> Json:
    from certifair.checks._individual.rows import OUTSIDE
    from certifair.cli.answers import figures

    checked: Any = proven.rows.checked
    verdicts = checked.verdicts["real"]
    fair, unfair = (int((verdicts == code).sum()) for code in (1, 2))
    everybody = None if proven.domain is None else figures(proven.domain.checked)["real"]
    names = ("certified", "falsified", "undecided")
    return {
        "rows": {
            "fair": fair,
            "unfair": unfair,
            "undecided": len(verdicts) - fair - unfair,
            "outside": int((checked.reasons == OUTSIDE).sum()),
            "late": _late(proven.rows),
        },
        "domain": None if everybody is None else {name: float(getattr(everybody, name)) for name in names},
        "accuracy": None if labels is None else round(float((proven.decisions == (labels == 1)).mean()), 6),
    }


def _late(proof: Proof) -> int:
    """How many rows are undecided because the time was over: while they were searched, or before they were checked."""
    from certifair.checks._individual.rows import LATE, NOT_CLAIMED
    from certifair.individual.engines._jobs import NO_TIME

    searched = sum(count for count, why in proof.reasons if why == NO_TIME)
    unclaimed, unchecked = (int((proof.checked.reasons == code).sum()) for code in (NOT_CLAIMED, LATE))
    return unchecked + min(searched, unclaimed)


def lines(told: Json, domain: Domain) -> list[str]:
    """For a person."""
    flipped = ", ".join(feature.name for feature in domain.features if feature.sensitive)
    parts = [part for part in (told["before"], told["after"]) if part is not None]
    found = [f"{told['method']} ({told['solver']}): {told['seconds']} s; {told['rows']} rows, any {flipped}"]
    found.append(f"{'':<28}" + "".join(f"{name:>12}" for name in ("before", "after")[: len(parts)]))

    def line(name: str, texts: list[str]) -> None:
        found.append(f"{name:<28}" + "".join(f"{text:>12}" for text in texts))

    for key in ("fair", "unfair", "undecided"):
        line(f"rows {'' if key == 'undecided' else 'proven '}{key}", [str(part["rows"][key]) for part in parts])
    for key, name in (("outside", "outside the domain"), ("late", "for lack of time")):
        if any(part["rows"][key] for part in parts):
            line(f"  of which {name}", [str(part["rows"][key]) for part in parts])
    if parts[0]["domain"] is not None:
        for key in ("certified", "falsified", "undecided"):
            line(f"of the domain {key}", [f"{100 * part['domain'][key]:.4f}%" for part in parts])
    if parts[0]["accuracy"] is not None:
        line("decisions right", [f"{100 * part['accuracy']:.2f}%" for part in parts])
    if told["after"] is None:
        return [*found, f"nothing was found, and nothing is written: {told['reason']}"]
    found.append(f"decisions changed: {told['changed']} ({100 * told['changed'] / told['rows']:.2f}%)")
    return [*found, *([f"how: {told['reason']}"] if told["reason"] else [])]
