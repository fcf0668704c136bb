"""Feasibility: every row of the metric, every bound of the box, in every batch, exactly.

Why a PASS is true: a row's value in a batch is a rational function of integer counts and of exact sums of float64
numbers (dyadic rationals), compared with the threshold as it was written. Nothing is rounded before the comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, final

from certifair.checks.base import (
    AS_IT_STANDS,
    Check,
    Context,
    Judgement,
    Measured,
    RowVerdict,
    check_cells,
    combine,
    describe,
    require,
    worst,
)
from certifair.exact.decimals import parse_decimal, parse_dyadic
from certifair.spec import Json
from certifair.spec.groups import Cell
from certifair.spec.metrics.base import CellSum, Row
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

Sums = Mapping[Cell, CellSum]
COLLECTED = ("pooled", "moment", "window")
"""Forms of claims about a stream that speak of collections of people as feasibility speaks of batches."""


@final
class Feasibility(Check):
    """Claims about what was served (or scored, or decided) in each batch of the evidence."""

    kind = "feasibility"
    forms = ("difference", "ratio")

    def assumptions(self, terms: Terms) -> tuple[str, ...]:
        return (AS_IT_STANDS,)

    def measure(self, terms: Terms, evidence: Evidence, context: Context) -> Measured:
        from certifair.checks import _tally

        return _tally.measure(terms, evidence)

    def consistent(self, terms: Terms, witness: Json, context: Context) -> None:
        check_witness(terms, witness, context.n)

    def judge(self, terms: Terms, witness: Json, context: Context) -> Judgement:
        return judge_witness(terms, witness, context.n)

    def needed(self, terms: Terms, witness: Json, context: Context) -> int | None:
        return None

    def gap_needs_evidence(self, terms: Terms, witness: Json) -> bool:
        return has_decision_gap(terms) and witness["batches"]["total"] > 1

    def contains(self, terms: Terms, claimed: Json, measured: Json, evidence: Evidence) -> bool:
        return claimed == measured


def check_witness(terms: Terms, witness: Json, n: int) -> None:
    """Steps of certificates/README.md 9.3; collections of people (9.10) are batches here."""
    total, listed = witness["batches"]["total"], witness["batches"]["listed"]
    require(len({entry["batch"] for entry in listed}) == len(listed) <= total <= n, "too many batches")
    batches = {entry["batch"]: entry["cells"] for entry in listed}
    for cells in batches.values():
        _check_batch(terms, cells, n)
    require([row["row"] for row in witness["rows"]] == [row.name for row in terms.rows], "rows are not the metric's")
    sums = {name: cell_sums(terms, cells) for name, cells in batches.items()}
    for row, entry in zip(terms.rows, witness["rows"], strict=True):
        _check_row(terms, row, entry, total, sums)
    used = {entry["worstBatch"] for entry in witness["rows"]}
    require(total == 1 or set(batches) <= used, "a batch is listed that is the worst of no row")
    require(total > 1 or len(batches) == 1, "the only batch is not listed")
    _check_bounds(terms, witness["bounds"], n)
    _check_means(witness)


def judge_witness(terms: Terms, witness: Json, n: int) -> Judgement:
    """The judgement of rows and box."""
    batches = {entry["batch"]: cell_sums(terms, entry["cells"]) for entry in witness["batches"]["listed"]}
    rows = tuple(_judge_row(terms, row, entry, batches) for row, entry in zip(terms.rows, witness["rows"], strict=True))
    inside = _box_verdict(terms, witness["bounds"])
    verdict = Verdict.all([combine(rows), inside])
    value = worst(terms, (row.figure for row in rows))
    reason = describe(terms, rows, verdict)
    if not inside:
        box = "predictions lie outside the box" if inside is Verdict.FAIL else "no box was certified"
        reason = box + (f"; {reason}" if reason else "")
    elif verdict is Verdict.UNDECIDED:
        reason += f": a group is absent or has fewer than {terms.least} people, or a ratio is undefined"
    return Judgement(
        verdict=verdict,
        reason=reason,
        rows=rows,
        estimate=value,
        lower=value,
        upper=value,
        sample_size=n,
        decision_gap=decision_gap(terms, witness),
    )


def cell_sums(terms: Terms, cells: list[Json]) -> dict[Cell, CellSum]:
    """The exact sums of a listed batch, by cell."""
    return {
        cell: CellSum(entry["n"], parse_dyadic(entry["sum"]), parse_dyadic(entry.get("labelSum", "0")))
        for cell, entry in zip(terms.cells, cells, strict=True)
    }


def row_value(terms: Terms, row: Row, sums: Sums) -> Fraction | None:
    """The row's value in a batch; None where it is undecided by size or undefined."""
    if min(sums[cell].n for cell in row.cells) < terms.least:
        return None
    return row.ratio(sums) if terms.form == "ratio" else row.difference(sums)


def decision_gap(terms: Terms, witness: Json) -> Fraction | None:
    """The same figure for decisions over the listed batches: all of it where there is one batch, else a part."""
    if not has_decision_gap(terms):
        return None
    return worst(terms, (_decision_gap(terms, batch["cells"]) for batch in witness["batches"]["listed"]))


def _decision_gap(terms: Terms, cells: list[Json]) -> Fraction | None:
    sums = {
        cell: CellSum(entry["n"], Fraction(entry["positives"])) for cell, entry in zip(terms.cells, cells, strict=True)
    }
    return worst(terms, (row_value(terms, row, sums) for row in terms.rows))


def has_decision_gap(terms: Terms) -> bool:
    """Whether the same figure for decisions stands beside the claim."""
    return terms.form in ("difference", *COLLECTED) and terms.map != "decisions" and terms.metric.has_ratio


def _judge_row(terms: Terms, row: Row, entry: Json, batches: Mapping[str, Sums]) -> RowVerdict:
    sums = batches.get(entry["worstBatch"])
    value = None if sums is None else row_value(terms, row, sums)
    if value is not None and not terms.holds(value):
        return RowVerdict(row, Verdict.FAIL, value)
    decided = value is not None and entry["undecided"] == 0 and entry["smallestGroup"] >= terms.least
    return RowVerdict(row, Verdict.PASS if decided else Verdict.UNDECIDED, value)


def _box_verdict(terms: Terms, bounds: Json | None) -> Verdict:
    """Whether everybody's prediction lies in the box: the terms' own, else the witness's. Without a box it does."""
    if bounds is None:
        return Verdict.PASS if terms.box is None else Verdict.UNDECIDED
    lower, upper = terms.box or (parse_decimal(bounds["lower"]), parse_decimal(bounds["upper"]))
    minimum, maximum = parse_dyadic(bounds["minimum"]), parse_dyadic(bounds["maximum"])
    return Verdict.PASS if lower - terms.tau <= minimum and maximum <= upper + terms.tau else Verdict.FAIL


def _check_batch(terms: Terms, cells: list[Json], n: int) -> None:
    check_cells(cells, terms)
    for entry in cells:
        require(("labelSum" in entry) == (not terms.metric.has_ratio), "labelSum stands where it does not belong")
        require(entry["positives"] <= entry["n"], "more positives than people")
        if entry["n"] == 0:
            require(entry["sum"] == "0" and entry.get("labelSum", "0") == "0", "nobody has a sum")
        if terms.map == "decisions":
            require(entry["sum"] == str(entry["positives"]), "the sum of decisions is not the number of positives")
    for p in range(len(terms.partitions)):
        people = sum(e["n"] for e in cells if e["partition"] == p)
        require(people <= n, "a batch has more people than there are")


def _check_row(terms: Terms, row: Row, entry: Json, total: int, batches: Mapping[str, Sums]) -> None:
    counted, undecided, failed = entry["counted"], entry["undecided"], entry["failed"]
    require(counted + undecided == total and failed <= counted, f"{row.name}: batches do not add up")
    require((entry["worstBatch"] is not None) == (counted > 0), f"{row.name}: no worst batch")
    small = entry["smallestGroup"] < terms.least
    require(not small or undecided > 0, f"{row.name}: a small group is called decided")
    require(small or undecided == 0 or terms.form == "ratio", f"{row.name}: undecided without a small group")
    values = {name: row_value(terms, row, sums) for name, sums in batches.items()}
    _check_listed(terms, row, entry, values, [min(sums[c].n for c in row.cells) for sums in batches.values()])
    if counted == 0:
        return
    value = values.get(entry["worstBatch"])
    require(value is not None, f"{row.name}: its worst batch is not listed, or does not decide it")
    assert value is not None
    require((failed > 0) == (not terms.holds(value)), f"{row.name}: the worst batch contradicts the failures")
    before = True
    for name, other in values.items():
        before = before and name != entry["worstBatch"]
        worse = other is not None and (terms.worse(other, value) or (before and other == value))
        require(not worse, f"{row.name}: another listed batch is worse")


def _check_listed(terms: Terms, row: Row, entry: Json, values: Mapping[str, Fraction | None], sizes: list[int]) -> None:
    """The listed batches, which may be all of them, do not contradict the numbers of a row."""
    decided = [value for value in values.values() if value is not None]
    seen = (len(decided), len(values) - len(decided), sum(not terms.holds(value) for value in decided))
    stated = (entry["counted"], entry["undecided"], entry["failed"])
    require(
        all(a <= b for a, b in zip(seen, stated, strict=True)), f"{row.name}: listed batches contradict the numbers"
    )
    smallest = min(sizes, default=entry["smallestGroup"])
    require(smallest >= entry["smallestGroup"], f"{row.name}: not the smallest group")
    if len(values) == entry["counted"] + entry["undecided"]:
        all_match = seen == stated and smallest == entry["smallestGroup"]
        require(all_match, f"{row.name}: the numbers are not those of its batches")


def _check_means(witness: Json) -> None:
    """No mean lies outside the range of all predictions."""
    if witness["bounds"] is None:
        return
    low, high = (parse_dyadic(witness["bounds"][end]) for end in ("minimum", "maximum"))
    for batch in witness["batches"]["listed"]:
        for entry in batch["cells"]:
            inside = entry["n"] == 0 or low <= parse_dyadic(entry["sum"]) / entry["n"] <= high
            require(inside, "a mean lies outside the range of the predictions")


def _check_bounds(terms: Terms, bounds: Json | None, n: int) -> None:
    if bounds is None:
        return
    require(terms.map == "served", "only what was served has bounds")
    lower, upper = parse_decimal(bounds["lower"]), parse_decimal(bounds["upper"])
    minimum, maximum = parse_dyadic(bounds["minimum"]), parse_dyadic(bounds["maximum"])
    require(lower < upper and minimum <= maximum, "bounds are reversed")
    require((bounds["below"] > 0) == (minimum < lower - terms.tau), "the minimum contradicts the count below")
    require((bounds["above"] > 0) == (maximum > upper + terms.tau), "the maximum contradicts the count above")
    require(bounds["below"] + bounds["above"] <= n, "more people outside than there are")
