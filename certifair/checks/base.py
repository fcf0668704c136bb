"""What a check is: it measures evidence into a witness, and judges a witness by the terms of a claim.

`measure` needs the evidence. `consistent` and `judge` need nothing but the terms and the witness, so whoever holds only
the certificate can repeat them: the verifier does, and the gate judges the same witness by its own thresholds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

from certifair.exact.decimals import PLACES, format_decimal, parse_decimal, round_down, round_up
from certifair.spec import Json
from certifair.spec.groups import Cell
from certifair.spec.metrics.base import Row
from certifair.spec.terms import AT_LEAST, Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence


AS_IT_STANDS = "the figures are those of the evidence, each float64 number taken as it stands"


class InconsistentError(ValueError):
    """A witness that contradicts itself or the terms of its claim."""


@final
class Context(NamedTuple):
    """What a claim needs to know of its certificate: people, population claims, and the owner's declarations.

    `published` is false for a verifier, who only wants to see whether the bounds that were published contain its own.
    """

    n: int
    multiplicity: int
    frozen_holdout: bool
    published: bool = True


@final
class RowVerdict(NamedTuple):
    """The verdict of one row; `figure` is its worst value (or the end of its interval that decides), for messages."""

    row: Row
    verdict: Verdict
    figure: Fraction | None


@final
@dataclass(frozen=True)
class Judgement:
    """What follows from terms and witness. Figures are exact; None where nothing was counted."""

    verdict: Verdict
    reason: str
    rows: tuple[RowVerdict, ...] = ()
    estimate: Fraction | None = None
    lower: Fraction | None = None
    upper: Fraction | None = None
    bound: Fraction | None = None
    sample_size: int = 0
    decision_gap: Fraction | None = None


@final
class Measured(NamedTuple):
    """A witness, and what only the evidence can tell."""

    witness: Json
    extra: Json


class Check(ABC):
    """A final subclass in a file of its own in this folder answers claims of its kind and forms."""

    kind: ClassVar[str]
    forms: ClassVar[tuple[str, ...]]
    weaker: ClassVar[tuple[str, ...]] = ()
    """The members of a claim that may differ from the recomputed ones where its witness says less (`contains`)."""

    @abstractmethod
    def assumptions(self, terms: Terms) -> tuple[str, ...]:
        """What a claim of these terms takes for granted, in words."""

    @abstractmethod
    def measure(self, terms: Terms, evidence: Evidence, context: Context) -> Measured:
        """The witness of a claim, from the evidence alone."""

    @abstractmethod
    def consistent(self, terms: Terms, witness: Json, context: Context) -> None:
        """Raise InconsistentError unless the witness could have come from `measure`."""

    @abstractmethod
    def judge(self, terms: Terms, witness: Json, context: Context) -> Judgement:
        """The judgement of a consistent witness by these terms, which may be another party's thresholds."""

    @abstractmethod
    def needed(self, terms: Terms, witness: Json, context: Context) -> int | None:
        """About how many people would have decided an undecided claim; None where that is no question of size."""

    @abstractmethod
    def gap_needs_evidence(self, terms: Terms, witness: Json) -> bool:
        """Whether the claim has a decision gap that the witness alone does not tell."""

    @abstractmethod
    def contains(self, terms: Terms, claimed: Json, measured: Json, evidence: Evidence) -> bool:
        """Whether a claimed witness says no more than one measured from the same evidence, and nothing untrue."""


def require(condition: bool, what: str) -> None:
    """Raise InconsistentError(what) unless the condition holds."""
    if not condition:
        raise InconsistentError(what)


def figure(text: str) -> Fraction:
    """A decimal of a witness; InconsistentError for one of more places than are published."""
    require(len(text.partition(".")[2]) <= PLACES, f"a figure has more than {PLACES} places")
    return parse_decimal(text)


def figures(terms: Terms, judgement: Judgement) -> Json:
    """The figures of a judgement as decimals, each rounded towards its unfavourable side."""
    unfavourable = round_down if terms.form in AT_LEAST else round_up

    def text(value: Fraction | None, rounding: Any) -> str | None:
        return None if value is None else str(rounding(value, PLACES))

    return {
        "estimate": text(judgement.estimate, unfavourable),
        "lower": text(judgement.lower, round_down),
        "upper": text(judgement.upper, round_up),
        "bound": text(judgement.bound, unfavourable),
    }


def worst(terms: Terms, values: Iterable[Fraction | None]) -> Fraction | None:
    """The worst of the values that are there."""
    found = [value for value in values if value is not None]
    if not found:
        return None
    return min(found) if terms.form in AT_LEAST else max(found)


def combine(rows: Sequence[RowVerdict]) -> Verdict:
    """The conjunction of the rows; UNDECIDED if there is none."""
    return Verdict.all(row.verdict for row in rows)


def describe(terms: Terms, rows: Sequence[RowVerdict], verdict: Verdict) -> str:
    """One line on the rows that stand in the way: the worst one by name and figure, and how many more."""
    guilty = [row for row in rows if row.verdict is verdict]
    if not guilty or verdict is Verdict.PASS:
        return ""
    with_figure = [row for row in guilty if row.figure is not None]
    sign = 1 if terms.form in AT_LEAST else -1
    first = min(with_figure, key=lambda row: sign * (row.figure or 0)) if with_figure else guilty[0]
    more = f" (and {len(guilty) - 1} more)" if len(guilty) > 1 else ""
    return f"{first.row.name}{against(terms, first)}{more}"


def against(terms: Terms, row: RowVerdict) -> str:
    """The figure of a row and what is demanded of it; nothing where it has none."""
    if row.figure is None:
        return ""
    demand = "at least" if terms.form in AT_LEAST else "at most"
    return f": {shorten(row.figure)}, demanded {demand} {format_decimal(terms.threshold)}"


def shorten(value: Fraction) -> str:
    """Four digits after the point, for reading only."""
    if abs(value) < 10**12:
        return f"{float(value):.4f}"
    return f"{Decimal(value.numerator) / Decimal(value.denominator):.3e}"


def brief(value: Fraction, digits: int = 3) -> str:
    """So many significant digits, for reading only."""
    return f"{Decimal(value.numerator) / Decimal(value.denominator):.{digits}g}"


def check_cells(cells: Sequence[Json], terms: Terms) -> None:
    """The cells must be those of the terms, in order."""
    require(len(cells) == len(terms.cells), "cells are missing or too many")
    for entry, cell in zip(cells, terms.cells, strict=True):
        group = list(terms.partitions[cell.partition].groups[cell.group])
        condition = None if cell.condition is None else terms.conditions[cell.condition]
        require(
            entry["partition"] == cell.partition and entry["group"] == group and entry["condition"] == condition,
            "cells stand in another order than their groups",
        )


def cell_json(terms: Terms, cell: Cell) -> Json:
    """The members that name a cell."""
    return {
        "partition": cell.partition,
        "group": list(terms.partitions[cell.partition].groups[cell.group]),
        "condition": None if cell.condition is None else terms.conditions[cell.condition],
    }
