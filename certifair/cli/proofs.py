"""What `individual` does once it knows what is asked: search, check, tell."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from certifair.errors import InputError
from certifair.evidence.canonical import sha256
from certifair.evidence.files import read_input, write_atomic
from certifair.spec import Json
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.checks._individual.check import Checked
    from certifair.evidence.witness import Witness
    from certifair.individual import Proof
    from certifair.spec.domain import Domain

SHOWN: Final = 10
"""Counterexamples in the JSON; all of them go into --counterexamples."""
START: Final = 0.5
"""Seconds that Python itself takes before and after."""
SYMBOLS: Final = "?+-"
"""A row's verdict in the JSON: undecided, fair, unfair."""
HOW: Final = {"real": "over the reals", "float32": "in every float32 evaluation"}


@final
@dataclass(frozen=True)
class Figures:
    """Shares of units, or of rows, at one level: exact, adding up to 1."""

    certified: Fraction
    falsified: Fraction

    @property
    def undecided(self) -> Fraction:
        return 1 - self.certified - self.falsified

    def verdict(self, threshold: Fraction) -> Verdict:
        """Whether at least this share is fair."""
        if self.certified >= threshold:
            return Verdict.PASS
        return Verdict.FAIL if 1 - self.falsified < threshold else Verdict.UNDECIDED


def answer(args: argparse.Namespace, domain: Domain) -> int:
    """Search and check, or check only; write what was asked for; the exit code."""
    threshold = None if args.threshold is None else _share(args.threshold)
    proof = _check_only(args, domain) if args.check is not None else _search(args, domain)
    levels = figures(proof.checked)
    found = levels[args.level]
    verdict = None if threshold is None else found.verdict(threshold)
    if args.counterexamples is not None:
        _write_table(args.counterexamples, domain, proof.checked)
    if args.json is not None:
        write_atomic(args.json, json.dumps(_document(args, domain, proof, verdict), indent=1).encode() + b"\n")
    print(*_lines(args, domain, proof, levels), sep="\n")
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


def figures(checked: Checked) -> dict[str, Figures]:
    """By level."""
    if checked.shares:
        return {level: Figures(s.certified, s.falsified_share) for level, s in checked.shares.items()}
    found = {}
    for level, verdicts in checked.verdicts.items():
        n = max(1, len(verdicts))
        fair, unfair = (Fraction(int((verdicts == code).sum()), n) for code in (1, 2))
        found[level] = Figures(fair, unfair)
    return found


def _share(text: str) -> Fraction:
    from certifair.spec import toml_reader as read

    try:
        return read.unit(text)
    except ValueError as error:
        raise InputError(f"= {text} is not {error}", where="--threshold") from None


def _document(args: argparse.Namespace, domain: Domain, proof: Proof, verdict: Verdict | None) -> Json:
    levels = figures(proof.checked)
    found, checked = levels[args.level], proof.checked
    document: Json = {
        "model": {"path": str(args.model), "sha256": sha256(read_input(args.model))},
        "domain": {"path": str(args.domain), "name": domain.name, "units": str(domain.units), "flips": domain.flips},
        "sensitive": [feature.name for feature in domain.features if feature.sensitive],
        "relaxed": {feature.name: feature.eps for feature in domain.features if feature.eps},
        "method": proof.witness.engine,
        "level": args.level,
        **_floats(found),
        "levels": {name: _floats(item) | {"exact": _exact(item)} for name, item in levels.items()},
        "verdict": None if verdict is None else verdict.value,
        "complete": checked.complete,
        "reasons": [{"count": count, "reason": reason} for count, reason in _reasons(proof)],
        "counterexamples": [_counterexample(domain, row, points) for row, points in checked.pairs[:SHOWN]],
        "seconds": {"search": round(proof.search_seconds, 3), "check": round(proof.check_seconds, 3)},
    }
    if checked.verdicts:
        verdicts = {level: "".join(SYMBOLS[code] for code in codes) for level, codes in checked.verdicts.items()}
        document |= {"rows": len(verdicts[args.level]), "verdicts": verdicts}
    return document


def _floats(found: Figures) -> dict[str, float]:
    return {name: float(getattr(found, name)) for name in ("certified", "falsified", "undecided")}


def _exact(found: Figures) -> dict[str, str]:
    return {name: str(getattr(found, name)) for name in ("certified", "falsified", "undecided")}


def _reasons(proof: Proof) -> list[tuple[int, str]]:
    """Why something is undecided: the engine's words, and the checker's for rows."""
    from certifair.checks._individual.rows import NOT_CLAIMED, REASONS

    codes = proof.checked.reasons
    if codes is None:
        return list(proof.reasons)
    found = [(int((codes == code).sum()), reason) for code, reason in enumerate(REASONS) if code]
    if found[NOT_CLAIMED - 1][0]:
        found += [(count, f"{proof.witness.engine}: {reason}") for count, reason in proof.reasons]
    return [(count, reason) for count, reason in found if count]


def _counterexample(domain: Domain, row: int, points: Any) -> Json:
    """Both points by feature; rows are counted from 1."""
    names = ("positive", "negative")
    shown = {name: _by_feature(domain, point) for name, point in zip(names, points, strict=True)}
    return {"row": row + 1, **shown} if row >= 0 else shown


def _by_feature(domain: Domain, point: Any) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for feature, columns in zip(domain.features, domain.columns, strict=True):
        inputs = [float(point[i]) for i in columns]
        found[feature.name] = feature.values[inputs.index(1.0)] if feature.kind == "one_hot" else inputs[0]
    return found


def _write_table(path: Path, domain: Domain, checked: Checked) -> None:
    """One row for each counterexample: its row, then every feature where the decision is positive, then where not."""
    import pyarrow as pa

    from certifair.evidence.tables import table_content

    columns: dict[str, list[Any]] = {"row": []} if checked.verdicts else {}
    columns |= {f"{side}.{f.name}": [] for side in ("positive", "negative") for f in domain.features}
    for row, points in checked.pairs:
        if checked.verdicts:
            columns["row"].append(row + 1)
        for side, point in zip(("positive", "negative"), points, strict=True):
            for name, value in _by_feature(domain, point).items():
                columns[f"{side}.{name}"].append(value)
    write_atomic(path, table_content(pa.table(columns), path.suffix))


def _lines(args: argparse.Namespace, domain: Domain, proof: Proof, levels: Mapping[str, Figures]) -> list[str]:
    """The answer for a person."""
    checked, witness = proof.checked, proof.witness
    flipped = ", ".join(feature.name for feature in domain.features if feature.sensitive)
    relaxed = "".join(f", {f.name} ±{f.eps:g}" for f in domain.features if f.eps)
    who = f"{len(next(iter(checked.verdicts.values())))} rows" if checked.verdicts else f"{_many(domain.units)} people"
    lines = [f"{args.model}: {who}, any {flipped or 'value'}{relaxed} (method {witness.engine})"]
    lines.append(f"{'':<12}" + "".join(f"{HOW[level]:>30}" for level in levels))
    for name in ("certified", "falsified", "undecided"):
        shown = [f"{100 * float(getattr(item, name)):.6f}%" for item in levels.values()]
        lines.append(f"{name:<12}" + "".join(f"{text:>30}" for text in shown))
    lines += [f"  {count} undecided: {reason}" for count, reason in _reasons(proof)]
    if checked.pairs:
        row, points = checked.pairs[0]
        where = f"row {row + 1}" if row >= 0 else "somebody"
        lines.append(f"for example {where}: {_difference(domain, points)}")
    if not checked.complete:
        lines.append("the time was over before everything was checked: the rest is undecided")
    lines.append(f"{proof.search_seconds:.1f} s of search, {proof.check_seconds:.1f} s of checking")
    return lines


def _difference(domain: Domain, points: Any) -> str:
    positive, negative = (_by_feature(domain, point) for point in points)
    parts = [f"{k} {positive[k]} → {negative[k]}" for k in positive if positive[k] != negative[k]]
    return f"positive with {', '.join(parts)} negative"


def _many(units: Fraction) -> str:
    if units.denominator == 1:
        return f"{int(units):,}".replace(",", " ")
    return f"a volume of {float(units):.6g}"


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


@final
@dataclass(frozen=True)
class Search:
    """What a search may take: seconds in all, bytes, processes; and its method."""

    seconds: float | None = None
    method: str = "auto"
    memory: int = 2 << 30
    processes: int | None = None


def into_bundle(root: Path, search: Search) -> list[str]:
    """Look for proofs of the individual properties of a bundle's policy, put them into the bundle; a line for each."""
    from certifair.checks._individual.check import check_witness
    from certifair.evidence.bundle import PATHS, load, read_bundle_log, read_contents
    from certifair.evidence.domain import domain_of, ranges_of
    from certifair.evidence.onnx_reader import read_network
    from certifair.evidence.proofs import add_proofs
    from certifair.individual import prove

    evidence = load(read_contents(root), str(root), read_bundle_log(root))
    wanted = [item for item in evidence.policy.properties if item.kind == "individual" and item.map == "decisions"]
    if evidence.model is None or not wanted:
        advice = "train writes a network; a [[property]] of kind = 'individual' asks for a proof"
        raise InputError("has no network, or no individual property", where=str(root), advice=advice)
    network = read_network(evidence.model, PATHS["model"])
    proofs: dict[str, Witness] = {}
    lines = []
    started = time.monotonic()
    for number, item in enumerate(wanted):
        rows = evidence.inputs if item.form == "rows" else None
        ranges = ranges_of(item, evidence.policy, evidence.preprocessing, f"{root}/policy.toml")
        domain = domain_of(ranges, item.sensitive_features, rows)
        if domain is None:
            lines.append(f"{item.id}: none of these is an input of the network; nothing to prove")
            continue
        left = None if search.seconds is None else started + search.seconds - time.monotonic()
        with _progress() as progress:
            proof = prove(
                network,
                domain,
                rows,
                method=search.method,
                threshold=item.decision_threshold,
                seconds=None if left is None else left / (len(wanted) - number),
                memory=search.memory,
                processes=search.processes,
                check=check_witness,
                progress=progress,
            )
        proofs[item.id] = proof.witness
        found = figures(proof.checked)[item.method]
        shares = [
            f"{name} {100 * float(getattr(found, name)):.4f}%" for name in ("certified", "falsified", "undecided")
        ]
        lines.append(f"{item.id}: {', '.join(shares)} {HOW[item.method]}")
    add_proofs(root, proofs)
    return lines
