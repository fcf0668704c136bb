"""What follows from a tally: means, gaps and verdicts of the pooled people. Rationals only; nothing is rounded here.

A pooled gap is about everybody in the log at once, whatever batch they came in: one sum, one count a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import final

from certifair.evidence.audit.tally import Counted, Tally, Values
from certifair.exact.decimals import format_decimal
from certifair.spec.groups import Cell
from certifair.spec.metrics.base import CellSum, Row
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

MEASURES = {"served": "prediction", "scores": "score", "decisions": "score"}


@final
@dataclass(frozen=True)
class RowFound:
    """A row: its value, the same of decisions, its smallest cell; `verdict` is None where nothing was demanded.

    Values are None where a cell is empty or too small to be spoken of.
    """

    name: str
    value: Fraction | None
    decision_value: Fraction | None
    smallest: int
    verdict: Verdict | None


@final
@dataclass(frozen=True)
class Finding:
    """All rows of some terms; `estimate` and `decision_gap` are the largest, None where no row has any."""

    terms: Terms
    rows: tuple[RowFound, ...]
    verdict: Verdict | None
    reason: str

    @property
    def estimate(self) -> Fraction | None:
        return max((row.value for row in self.rows if row.value is not None), default=None)

    @property
    def decision_gap(self) -> Fraction | None:
        return max((row.decision_value for row in self.rows if row.decision_value is not None), default=None)


def judge(terms: Terms, tally: Tally, *, demanded: bool) -> Finding:
    """The rows of pooled terms; their verdicts where the terms come from a policy."""
    counted = _cells(terms, tally)
    sums = {cell: _cell_sum(terms, tally, found) for cell, found in counted.items()}
    decisions = {cell: CellSum(found.n, Fraction(_positives(terms, tally, found))) for cell, found in counted.items()}
    rows = tuple(_row(terms, row, sums, decisions, demanded=demanded) for row in terms.rows)
    if not demanded:
        return Finding(terms, rows, None, "")
    verdict = Verdict.all(row.verdict for row in rows if row.verdict is not None)
    return Finding(terms, rows, verdict, _reason(terms, rows, verdict))


def _cells(terms: Terms, tally: Tally) -> dict[Cell, Counted]:
    """What was counted in each cell of the terms; nobody where no row has its values."""
    found: dict[Cell, Counted] = {}
    empty = Counted(0, (Fraction(0),) * len(tally.measures), ((0,) * len(tally.thresholds),) * len(tally.measures))
    for p, partition in enumerate(terms.partitions):
        condition = (terms.condition_on,) if terms.condition_on is not None else ()
        merged = tally.merged((*partition.features, *condition))
        for cell in terms.cells:
            if cell.partition == p:
                within: Values = () if cell.condition is None else (terms.conditions[cell.condition],)
                found[cell] = merged.get((*partition.groups[cell.group], *within), empty)
    return found


def _cell_sum(terms: Terms, tally: Tally, cell: Counted) -> CellSum:
    if terms.map == "decisions":
        return CellSum(cell.n, Fraction(_positives(terms, tally, cell)))
    return CellSum(cell.n, cell.sums[tally.measures.index(MEASURES[terms.map])])


def _positives(terms: Terms, tally: Tally, cell: Counted) -> int:
    at = tally.thresholds.index(terms.decision_threshold)
    return cell.positives[tally.measures.index(MEASURES[terms.map])][at]


def _row(
    terms: Terms, row: Row, sums: dict[Cell, CellSum], decisions: dict[Cell, CellSum], *, demanded: bool
) -> RowFound:
    smallest = min(sums[cell].n for cell in row.cells)
    if smallest < terms.least:
        return RowFound(row.name, None, None, smallest, Verdict.UNDECIDED if demanded else None)
    value = row.difference(sums)
    verdict = (Verdict.PASS if terms.holds(value) else Verdict.FAIL) if demanded else None
    return RowFound(row.name, value, row.difference(decisions), smallest, verdict)


def _reason(terms: Terms, rows: tuple[RowFound, ...], verdict: Verdict) -> str:
    """One line on what stands in the way."""
    guilty = [row for row in rows if row.verdict is verdict]
    if verdict is Verdict.PASS or not guilty:
        return ""
    more = f" (and {len(guilty) - 1} more)" if len(guilty) > 1 else ""
    if verdict is Verdict.UNDECIDED:
        first = min(guilty, key=lambda row: row.smallest)
        return f"{first.name}: a group has {first.smallest} people, fewer than {terms.least}{more}"
    first = max(guilty, key=lambda row: row.value or 0)
    return f"{first.name}: {float(first.value or 0):.6f}, demanded at most {format_decimal(terms.threshold)}{more}"
