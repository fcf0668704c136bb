"""What `individual` does once it knows what is asked: search, check, tell."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from certifair.cli.answers import HOW, document, figures, lines, write_table
from certifair.errors import InputError
from certifair.evidence.files import read_input, write_atomic

if TYPE_CHECKING:
    from certifair.checks._individual.check import Checked
    from certifair.evidence.witness import Witness
    from certifair.individual import Proof
    from certifair.individual.properties import Search
    from certifair.spec.domain import Domain

START: Final = 0.5
"""Seconds that Python itself takes before and after."""


def answer(args: argparse.Namespace, domain: Domain) -> int:
    """Search and check, or check only; write what was asked for; the exit code."""
    threshold = None if args.threshold is None else _share(args.threshold)
    proof = _check_only(args, domain) if args.check is not None else _search(args, domain)
    levels = figures(proof.checked)
    found = levels[args.level]
    verdict = None if threshold is None else found.verdict(threshold)
    if args.counterexamples is not None:
        write_table(args.counterexamples, domain, proof.checked)
    if args.json is not None:
        write_atomic(args.json, json.dumps(document(args, domain, proof, verdict), indent=1).encode() + b"\n")
    print(*lines(args, domain, proof, levels), sep="\n")
    if verdict is None:
        return 0
    print(f"verdict: {verdict.value} (demanded: at least {args.threshold} proven fair)")
    return verdict.exit_code


def _search(args: argparse.Namespace, domain: Domain) -> Proof:
    from certifair.checks._individual.check import check_witness
    from certifair.evidence.witness import read_witness, write_witness
    from certifair.individual import prove

    def check(witness: Witness, *rest: Any, **limits: Any) -> Checked:
        """An interrupt while checking must not cost the proof."""
        if args.witness is not None:
            write_atomic(args.witness, write_witness(witness))
        return check_witness(witness, *rest, **limits)

    resume = None if args.resume is None else read_witness(read_input(args.resume), str(args.resume))
    with _progress() as progress:
        return prove(
            args.model,
            domain,
            args.rows,
            method=args.method,
            seconds=None if args.time is None else max(args.time - START, args.time / 2),
            memory=args.memory << 20,
            processes=args.processes,
            check=check,
            progress=progress,
            resume=resume,
        )


def _check_only(args: argparse.Namespace, domain: Domain) -> Proof:
    from certifair.checks._individual.check import check_witness
    from certifair.evidence.witness import read_witness
    from certifair.individual import Proof, decision_of
    from certifair.individual.api import table_of

    started = time.monotonic()
    witness = read_witness(read_input(args.check), str(args.check))
    rows = None if args.rows is None else table_of(args.rows, domain)
    try:
        checked = check_witness(witness, decision_of(args.model), domain, rows, integers=args.integers)
    except ValueError as error:
        raise InputError(f"is refused: {error}", where=str(args.check)) from None
    return Proof(witness, checked, (), 0.0, time.monotonic() - started)


def _share(text: str) -> Fraction:
    from certifair.spec import toml_reader as read

    try:
        return read.unit(text)
    except ValueError as error:
        raise InputError(f"= {text} is not {error}", where="--threshold") from None


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    """Shares so far, on standard error, where somebody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), transient=True, refresh_per_second=4) as live:

        def tell(certified: float, falsified: float, undecided: float) -> None:
            live.update(f"certified {certified:.4%}  falsified {falsified:.4%}  undecided {undecided:.4%}")

        yield tell


def into_bundle(root: Path, search: Search) -> list[str]:
    """Look for proofs of the individual properties of a bundle's policy, put them into the bundle; a line for each."""
    from certifair.checks._individual.check import check_witness
    from certifair.evidence.bundle import load, read_bundle_log, read_contents
    from certifair.evidence.proofs import add_proofs
    from certifair.individual.properties import prove_properties, wanted

    evidence = load(read_contents(root), str(root), read_bundle_log(root))
    if not wanted(evidence):
        advice = "train writes a network; a [[property]] of kind = 'individual' asks for a proof"
        raise InputError("has no network, or no individual property", where=str(root), advice=advice)
    proofs: dict[str, Witness] = {}
    told = []
    for item, proof in prove_properties(evidence, f"{root}/policy.toml", search, check_witness, _progress):
        if proof is None:
            told.append(f"{item.id}: none of these is an input of the network; nothing to prove")
            continue
        proofs[item.id] = proof.witness
        found = figures(proof.checked)[item.method]
        shares = [
            f"{name} {100 * float(getattr(found, name)):.4f}%" for name in ("certified", "falsified", "undecided")
        ]
        told.append(f"{item.id}: {', '.join(shares)} {HOW[item.method]}")
    add_proofs(root, proofs)
    return told
