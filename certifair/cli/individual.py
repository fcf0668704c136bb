"""Prove whose decision stays the same if only sensitive inputs change: rows of a table, or everybody in a domain."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from certifair.cli.options import check_out, needed
from certifair.errors import InputError

if TYPE_CHECKING:
    from certifair.spec.domain import Domain

SECONDS = 60.0
"""For a domain, unless --time says otherwise."""
METHODS = ("auto", "enumerate", "sweep", "branch", "interval", "lirpa", "milp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="an ONNX file; or a bundle RUN, to put proofs into it"
    )
    parser.add_argument("--domain", type=Path, metavar="FILE", help="what each input may be, and which are sensitive")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="decide about these rows, not about the whole domain")
    parser.add_argument("--sensitive", nargs="+", metavar="NAME", help="other sensitive features than the domain's")
    parser.add_argument(
        "--relax", action="append", default=[], metavar="NAME=EPS", help="may move by ±EPS as well (repeatable)"
    )
    parser.add_argument("--method", choices=METHODS, default="auto", help="default: %(default)s")
    parser.add_argument("--time", type=float, metavar="S", help="seconds in all, the check included (a domain: 60)")
    parser.add_argument("--memory", type=int, default=2048, metavar="MIB", help="of the proof (default: %(default)s)")
    parser.add_argument("--processes", type=int, metavar="N", help="default: all processors")
    parser.add_argument(
        "--level", choices=("real", "float32"), default="real", help="arithmetic of the figures (default: %(default)s)"
    )
    parser.add_argument("--threshold", metavar="SHARE", help="exit by a verdict: at least this share is proven fair")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to a file")
    parser.add_argument("--witness", type=Path, metavar="FILE", help="write the proof, for others to check")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="go on from an earlier --witness")
    parser.add_argument("--check", type=Path, metavar="FILE", help="look for nothing: check this --witness")
    parser.add_argument(
        "--integers", action="store_true", help="check in integers, by the standard library alone (slow)"
    )
    parser.add_argument("--counterexamples", type=Path, metavar="FILE", help="write a table (.csv, .parquet, .jsonl)")


def run(args: argparse.Namespace) -> int:
    with needed("proofs need"):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    from certifair.cli import proofs

    _check_numbers(args)
    if args.model.is_dir():
        from certifair.individual.properties import Search

        search = Search(args.time, args.method, args.memory << 20, args.processes)
        print(*proofs.into_bundle(args.model, search), sep="\n")
        print(f"the proofs are in {args.model}; `certifair certify` claims what they prove")
        return 0
    if args.domain is None:
        advice = "a TOML file with the features and their ranges; see examples/individual/domain.toml"
        raise InputError("is missing", where="--domain", advice=advice)
    domain = _domain(args)
    inputs = [path for path in (args.model, args.domain, args.rows, args.check) if path is not None]
    for out in (args.json, args.witness, args.counterexamples):
        if out is not None:
            check_out(out, *inputs)
    if args.rows is None and args.time is None and args.check is None:
        args.time = SECONDS
    return proofs.answer(args, domain)


def _check_numbers(args: argparse.Namespace) -> None:
    for name, value in (("--time", args.time), ("--memory", args.memory), ("--processes", args.processes)):
        if value is not None and not 0 < value < 1e9:
            raise InputError(f"= {value} is no reasonable number above 0", where=name)


def _domain(args: argparse.Namespace) -> Domain:
    from certifair.spec.domain_file import load_domain, with_relaxed, with_sensitive

    domain = load_domain(args.domain).domain
    if args.sensitive:
        domain = with_sensitive(domain, args.sensitive)
    for text in args.relax:
        name, sign, eps = text.partition("=")
        if not sign:
            raise InputError(f"{text!r} is not NAME=EPS", where="--relax", advice="as in --relax hours=2")
        domain = with_relaxed(domain, name, eps)
    return domain
