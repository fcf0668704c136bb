"""Bound how far a network's scores can move when its inputs do; of a bundle, also what its fairness layer does."""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from certifair.cli.options import check_out, say
from certifair.errors import InputError

if TYPE_CHECKING:
    from certifair.spec.lipschitz import Witness

SECONDS: Final = 10.0
LARGEST: Final = 1 << 28
"""Bytes of a proof that is read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="an ONNX file; or a bundle RUN, to put proofs into it"
    )
    parser.add_argument("--domain", type=Path, metavar="FILE", help="what each input may be (default: anything)")
    parser.add_argument(
        "--units",
        choices=("inputs", "ranges"),
        default="inputs",
        help="of the inputs' distances (default: %(default)s)",
    )
    parser.add_argument(
        "--time", type=float, default=SECONDS, metavar="S", help="seconds to look for a proof (default: %(default)g)"
    )
    parser.add_argument("--threshold", metavar="L", help="exit by a verdict: the constant is proven to be at most L")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to a file")
    parser.add_argument("--witness", type=Path, metavar="FILE", help="write the proof, for others to check")
    parser.add_argument("--check", type=Path, metavar="FILE", help="look for nothing: check this --witness")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the bounds; of a bundle, the radii too")


def run(args: argparse.Namespace) -> int:
    from certifair.cli import bounds

    if not 0 < args.time < 1e9:
        raise InputError(f"= {args.time} is no reasonable number above 0", where="--time")
    if args.model.is_dir():
        return _of_bundle(args)
    if args.units == "ranges" and args.domain is None:
        raise InputError("= ranges needs the ranges", where="--units", advice="give --domain FILE")
    inputs = [path for path in (args.model, args.domain, args.check) if path is not None]
    for out in (args.json, args.witness):
        if out is not None:
            check_out(out, *inputs)
    if args.json is not None and args.witness is not None and args.json.resolve() == args.witness.resolve():
        raise InputError("and --witness are one file", where="--json", advice="choose another name")
    threshold = None if args.threshold is None else _number(args.threshold)
    asked = bounds.asked(args.model, args.domain, args.units)
    witness, why = (_read(args.check), "") if args.check is not None else bounds.proposed(asked, args.time)
    found = bounds.proven(asked, witness)
    _write(args, witness, bounds.document(asked, found))
    print(*bounds.lines(asked, found, why), sep="\n")
    if threshold is None:
        return 0
    verdict = bounds.verdict(found, threshold)
    print(f"verdict: {verdict.value} (demanded: at most {args.threshold})")
    return verdict.exit_code


def _of_bundle(args: argparse.Namespace) -> int:
    """Proofs of its Lipschitz properties come into a bundle; what they say of it, and what its layer does."""
    from certifair.cli import bounds

    given = [name for name in ("domain", "threshold", "json", "witness", "check") if getattr(args, name) is not None]
    if given or args.units != "inputs":
        name = given[0] if given else "units"
        raise InputError("is for a network alone: a bundle's policy says what is asked", where=f"--{name}")
    for line in bounds.put_into_bundle(args.model, args.time):
        say(line)
    print(*bounds.claims_of(args.model), sep="\n")
    if args.plots is not None:
        print(f"pictures: {', '.join(map(str, bounds.draw_bundle(args.model, args.plots)))}")
    print(f"`certifair certify {args.model}` claims what is proven")
    return 0


def _number(text: str) -> Fraction:
    from certifair.spec import toml_reader as read

    try:
        return read.non_negative(text)
    except ValueError as error:
        raise InputError(f"= {text} is not {error}", where="--threshold") from None


def _read(path: Path) -> Witness:
    from certifair.evidence.files import read_input
    from certifair.spec.lipschitz import witness_from_json

    try:
        return witness_from_json(json.loads(read_input(path, limit=LARGEST)))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no proof: {str(error)[:200]}", where=str(path)) from None


def _write(args: argparse.Namespace, witness: Witness | None, document: object) -> None:
    from certifair.cli import bounds
    from certifair.evidence.files import write_atomic
    from certifair.spec.lipschitz import witness_to_json

    if args.witness is not None and witness is not None:
        write_atomic(args.witness, json.dumps(witness_to_json(witness)).encode() + b"\n")
    if args.json is not None:
        write_atomic(args.json, json.dumps(document, indent=1).encode() + b"\n")
    if args.plots is not None:
        bounds.draw(document, args.plots)
