"""What a proof about individuals says: shares, for a person, as JSON, and a table of counterexamples."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from certifair.evidence.canonical import sha256
from certifair.evidence.files import read_input, write_atomic
from certifair.spec import Json
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.checks._individual.check import Checked
    from certifair.individual import Proof
    from certifair.spec.domain import Domain

SHOWN: Final = 10
"""Counterexamples in the JSON; all of them go into --counterexamples."""
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


def document(args: argparse.Namespace, domain: Domain, proof: Proof, verdict: Verdict | None) -> Json:
    levels = figures(proof.checked)
    found, checked = levels[args.level], proof.checked
    content: Json = {
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
        content |= {"rows": len(verdicts[args.level]), "verdicts": verdicts}
    return content


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


def write_table(path: Path, domain: Domain, checked: Checked) -> None:
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


def lines(args: argparse.Namespace, domain: Domain, proof: Proof, levels: Mapping[str, Figures]) -> list[str]:
    """The answer for a person."""
    checked, witness = proof.checked, proof.witness
    flipped = ", ".join(feature.name for feature in domain.features if feature.sensitive)
    relaxed = "".join(f", {f.name} ±{f.eps:g}" for f in domain.features if f.eps)
    who = f"{len(next(iter(checked.verdicts.values())))} rows" if checked.verdicts else f"{_many(domain.units)} people"
    found = [f"{args.model}: {who}, any {flipped or 'value'}{relaxed} (method {witness.engine})"]
    found.append(f"{'':<12}" + "".join(f"{HOW[level]:>30}" for level in levels))
    for name in ("certified", "falsified", "undecided"):
        shown = [f"{100 * float(getattr(item, name)):.6f}%" for item in levels.values()]
        found.append(f"{name:<12}" + "".join(f"{text:>30}" for text in shown))
    found += [f"  {count} undecided: {reason}" for count, reason in _reasons(proof)]
    if checked.pairs:
        row, points = checked.pairs[0]
        where = f"row {row + 1}" if row >= 0 else "somebody"
        found.append(f"for example {where}: {_difference(domain, points)}")
    if not checked.complete:
        found.append("the time was over before everything was checked: the rest is undecided")
    found.append(f"{proof.search_seconds:.1f} s of search, {proof.check_seconds:.1f} s of checking")
    return found


def _difference(domain: Domain, points: Any) -> str:
    positive, negative = (_by_feature(domain, point) for point in points)
    parts = [f"{k} {positive[k]} → {negative[k]}" for k in positive if positive[k] != negative[k]]
    return f"positive with {', '.join(parts)} negative"


def _many(units: Fraction) -> str:
    if units.denominator == 1:
        return f"{int(units):,}".replace(",", " ")
    return f"a volume of {float(units):.6g}"
