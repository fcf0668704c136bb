"""Change a network until its decisions provably do not depend on the sensitive inputs of these rows."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from certifair.cli.options import add_now, check_out, say
from certifair.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from certifair.repair.api import Outcome, Proven
    from certifair.repair.base import Method
    from certifair.spec import Json
    from certifair.spec.domain import Domain

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

SECONDS: Final = 300.0
DOMAIN_SECONDS: Final = 10.0
FORMAT: Final = "certifair-repair/0"
INSTALL: Final = "pip install 'certifair[torch]'"


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
    _check(args)
    try:
        return _run(args)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("certifair"):
            raise
        raise InputError(f"the method {args.method!r} needs {error.name}", advice=INSTALL) from None


def _run(args: argparse.Namespace) -> int:
    from certifair.cli.repair_bundles import opened
    from certifair.evidence.files import write_atomic
    from certifair.evidence.rows_file import rows_of
    from certifair.spec.domain_file import load_domain, with_sensitive

    file = load_domain(args.domain)
    domain = with_sensitive(file.domain, args.sensitive) if args.sensitive else file.domain
    rows = rows_of(args.rows, domain).values
    label, labels = _labels(args, file.label)
    kept = _chosen(len(rows), args.choose, args.seed)
    rows, labels = rows[kept], None if labels is None else labels[kept]
    with contextlib.ExitStack() as stack:
        bundles = None if args.bundles is None else stack.enter_context(opened(args, domain, label, kept))
        found = _repaired(args, domain, rows, labels)
        told = document(found, args.model, labels)
        done: list[str] = []
        if found.content is not None:
            done = [] if bundles is None else bundles.finish(found)
            write_atomic(args.out, found.content)
            done.append(f"{args.out}: the repaired network")
    if args.json is not None:
        write_atomic(args.json, json.dumps(told, indent=1).encode() + b"\n")
    print(*lines(told, domain), *done, sep="\n")
    return 3 if told["after"] is None else _code(told["after"]["rows"])


def _repaired(args: argparse.Namespace, domain: Domain, rows: Array, labels: Array | None) -> Outcome:
    from certifair.checks._individual.check import check_witness
    from certifair.individual import prepare
    from certifair.repair.api import repair

    method = _method(args, len(rows))
    say(f"repairing {args.model} for {len(rows)} rows …")
    if args.domain_time:
        prepare()
    return repair(
        args.model,
        domain,
        rows,
        labels,
        method=method,
        objective=args.objective,
        seconds=args.time,
        domain_seconds=args.domain_time,
        seed=args.seed,
        check=check_witness,
    )


def _code(after: Json) -> int:
    """0 if every row is proven fair, 1 if one is proven unfair, else 3."""
    if after["unfair"]:
        return 1
    return 3 if after["undecided"] else 0


def _check(args: argparse.Namespace) -> None:
    """All that can be known to be wrong before the work starts. Raises InputError."""
    from certifair.evidence.files import require_new

    outs = [out for out in (args.out, args.json) if out is not None]
    for out in outs:
        check_out(out, *filter(None, (args.model, args.domain, args.rows, args.key)))
        if out.is_dir() or not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
            raise InputError("cannot be written", where=str(out), advice="name a file in a folder that is there")
    if len({out.resolve() for out in outs}) < len(outs):
        raise InputError("is the model's and the figures' file", where=str(args.json), advice="choose another one")
    for name, value in (("--time", args.time), ("--choose", args.choose)):
        if value is not None and not 0 < value < 1e9:
            raise InputError(f"= {value} is no reasonable number above 0", where=name)
    if not 0 <= args.domain_time < 1e9 or args.seed < 0:
        name, value = ("--seed", args.seed) if args.seed < 0 else ("--domain-time", args.domain_time)
        raise InputError(f"= {value} is no reasonable number of at least 0", where=name)
    if args.bundles is not None:
        require_new(args.bundles)
    if args.groups is not None and args.bundles is None:
        raise InputError("is for evidence, which needs --bundles", where="--groups")
    for name in ("key", "now"):
        missing = "--bundles" if args.bundles is None else "--key"
        if getattr(args, name) is not None and (args.bundles is None or args.key is None):
            raise InputError(f"is for certificates, which need {missing}", where=f"--{name}")


def _labels(args: argparse.Namespace, named: str | None) -> tuple[str | None, Array | None]:
    """The column of the right decisions, and these; None where neither the command nor the domain names one."""
    import numpy as np

    from certifair.evidence.tables import first_row, numbers, read_table
    from certifair.spec.toml_reader import nearest

    column = args.label or named
    if column is None:
        return None, None
    table, where = read_table(args.rows, None)
    if column not in table.column_names:
        if args.label is None:
            return None, None
        raise InputError(f"has no column {column!r}", where=where, advice=nearest(column, table.column_names))
    found = numbers(table[column], column, where)
    if (row := first_row(~np.isin(found, (0.0, 1.0)))) is not None:
        what = f"{column!r} is {found[row - 1]:g} in row {row}, not 0 or 1"
        raise InputError(what, where=where, advice="a label is the right decision: 1 is the positive one")
    return column, found


def _chosen(n: int, count: int | None, seed: int) -> Mask:
    """Which rows are repaired for (n,)."""
    import numpy as np

    if count is None:
        return np.ones(n, dtype=np.bool_)
    if count > n:
        raise InputError(f"= {count}, but there are {n} rows", where="--choose")
    return np.isin(np.arange(n), np.random.default_rng(seed).choice(n, count, replace=False))


def _method(args: argparse.Namespace, rows: int) -> Method:
    """The method of this name, for all rows if these were chosen. Errors: InputError with the nearest name."""
    from dataclasses import replace

    from certifair import repair as methods
    from certifair.repair.prof import Prof

    found = methods.get(args.method)
    return replace(found, rows=rows) if isinstance(found, Prof) and args.choose is not None else found


def document(found: Outcome, model: Path, labels: Array | None) -> Json:
    """What was proven before and after, how right the decisions are, and how many of them changed."""
    from certifair.evidence.canonical import sha256
    from certifair.evidence.files import read_input

    before, after = found.before, found.after
    return {
        "format": FORMAT,
        "model": sha256(read_input(model)),
        "repaired": None if found.content is None else sha256(found.content),
        "method": found.method,
        "solver": found.repaired.solver,
        "reason": found.repaired.reason,
        "seconds": round(found.seconds, 1),
        "rows": len(before.decisions),
        "before": _proven(before, labels),
        "after": None if after is None else _proven(after, labels),
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
        },
        "domain": None if everybody is None else {name: float(getattr(everybody, name)) for name in names},
        "accuracy": None if labels is None else round(float((proven.decisions == (labels == 1)).mean()), 6),
    }


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
    if any(part["rows"]["outside"] for part in parts):
        line("  of which outside the domain", [str(part["rows"]["outside"]) for part in parts])
    if parts[0]["domain"] is not None:
        for key in ("certified", "falsified", "undecided"):
            line(f"of the domain {key}", [f"{100 * part['domain'][key]:.4f}%" for part in parts])
    if parts[0]["accuracy"] is not None:
        line("decisions right", [f"{100 * part['accuracy']:.2f}%" for part in parts])
    if told["after"] is None:
        return [*found, f"nothing was found, and nothing is written: {told['reason']}"]
    found.append(f"decisions changed: {told['changed']} ({100 * told['changed'] / told['rows']:.2f}%)")
    return [*found, *([f"how: {told['reason']}"] if told["reason"] else [])]
