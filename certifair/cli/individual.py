"""Prove who would be decided about alike if only sensitive inputs changed: rows of a table, or everybody in a domain."""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certifair.cli.options import check_out, say
from certifair.errors import InputError

if TYPE_CHECKING:
    from certifair.evidence.witness import Witness
    from certifair.spec.domain import Domain

METHODS = ("auto", "enumerate", "sweep", "branch", "interval", "lirpa", "milp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="an ONNX file, or a bundle RUN with its policy")
    parser.add_argument("--domain", type=Path, metavar="FILE", help="what each input may be, and which are sensitive")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="decide about these rows, not about the whole domain")
    parser.add_argument("--sensitive", nargs="+", metavar="NAME", help="other sensitive features than the domain's")
    parser.add_argument(
        "--relax", action="append", default=[], metavar="NAME=EPS", help="may move by ±EPS as well (repeatable)"
    )
    parser.add_argument("--method", choices=METHODS, default="auto", help="default: %(default)s")
    parser.add_argument("--time", type=_positive, metavar="S", help="seconds in all, the check of the proof included")
    parser.add_argument("--memory", type=_positive, default=2048, metavar="MIB", help="for the search (default: 2048)")
    parser.add_argument("--processes", type=int, metavar="N", help="default: all processors")
    parser.add_argument(
        "--level", choices=("real", "float32"), default="real", help="the arithmetic of the figures (default: real)"
    )
    parser.add_argument("--threshold", metavar="SHARE", help="exit by the verdict: at least this share is proven fair")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to a file")
    parser.add_argument("--witness", type=Path, metavar="FILE", help="write the proof, for others to check")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="go on from an earlier --witness")
    parser.add_argument("--check", type=Path, metavar="FILE", help="search nothing: check this --witness")
    parser.add_argument(
        "--integers", action="store_true", help="check in integers alone, by the standard library (slow)"
    )
    parser.add_argument("--counterexamples", type=Path, metavar="FILE", help="write a table (CSV, Parquet)")


def run(args: argparse.Namespace) -> int:
    from certifair.cli import proofs

    if args.model.is_dir():
        return proofs.into_bundle(args.model, seconds=args.time, method=args.method, memory=_bytes(args.memory))
    if args.domain is None:
        raise InputError("says what the inputs may be, and is missing", where="--domain", advice="write a domain.toml")
    domain = _domain(args)
    for out in (args.json, args.witness, args.counterexamples):
        if out is not None:
            check_out(out, args.model, args.domain, *([args.rows] if args.rows is not None else []))
    threshold = None if args.threshold is None else _share(args.threshold)
    found = proofs.check_only(args, domain) if args.check is not None else proofs.search(args, domain)
    return proofs.deliver(args, domain, found, threshold)


def _domain(args: argparse.Namespace) -> Domain:
    from certifair.spec.domain_file import load_domain, relaxed, with_sensitive

    domain = load_domain(args.domain).domain
    if args.sensitive:
        domain = with_sensitive(domain, args.sensitive)
    for text in args.relax:
        name, sign, eps = text.partition("=")
        if not sign:
            raise InputError(f"{text!r} is not NAME=EPS", where="--relax", advice="as in --relax hours=2")
        domain = relaxed(domain, name, eps)
    return domain
