"""Population: what a sample of a frozen per-person map says of everybody the sample stands for, with confidence.

Why a PASS is true but with probability at most α' = (1 − confidence) / K, K the number of such claims: were the claim
false, its truly worst pair (a, b) would have p_a − p_b > threshold (or p_a/p_b below it). The claim passes only if
U_a − L_b ≤ threshold for *every* pair with one-sided bounds of tail α'/2, so U_a < p_a or L_b > p_b must have happened:
two events of probability at most α'/2 each. A FAIL names a pair chosen by looking, so it uses bounds that hold for
all C cells and both sides at once (tail α'/(2C) each); so does the published interval. For given data at most one
of the two verdicts can be wrong.

Assumed, and said so in each claim: rows are independent draws of the population, or for the sequences have a constant
mean given the past; the map was frozen before and not trained on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, final

from certifair.checks.base import (
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
from certifair.exact.decimals import PLACES, parse_decimal, parse_dyadic, round_down, round_up
from certifair.exact.tails import (
    beta_mixture_excludes,
    binomial_lower_tail_at_most,
    binomial_upper_tail_at_most,
)
from certifair.spec import Json
from certifair.spec.groups import Cell
from certifair.spec.metrics.base import CellSum, Row
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

MAX_PEOPLE = 10**9
Bounds = tuple[Fraction, Fraction]
Span = tuple[Fraction, Fraction | None]
"""Low and high end of a row's value; None is infinite (ratios only)."""


@final
class Population(Check):
    """Claims about everybody, from a sample of them."""

    kind = "population"
    forms = ("difference", "ratio")
    weaker = ("verdict", "reason", "neededSampleSize", "lower", "upper", "bound")

    def assumptions(self, terms: Terms) -> tuple[str, ...]:
        frozen = "the map was frozen before these rows were seen and was not trained on them (declared by the owner)"
        if terms.method == "clopper_pearson":
            return frozen, "rows are independent draws from the population, looked at once"
        drawn = "rows come in order of arrival, each of constant mean given the past (independent draws are)"
        if terms.method == "beta_mixture":
            return frozen, drawn
        labels = "" if terms.metric.has_ratio else " and all labels"
        return frozen, drawn, f"all scores{labels} of the population lie in [0, 1]"

    def measure(self, terms: Terms, evidence: Evidence, context: Context) -> Measured:
        from certifair.checks import _sample

        cells = _sample.measure_cells(terms, evidence, context)
        rows = [{"row": row.name, "low": None, "high": None, "verdict": Verdict.UNDECIDED.value} for row in terms.rows]
        judgement = self.judge(terms, {"cells": cells, "rows": rows}, context)
        witness = {"cells": cells, "rows": _rows_json(terms, cells, judgement)}
        return Measured(witness, {"neededSampleSize": self.needed(terms, witness, context)})

    def consistent(self, terms: Terms, witness: Json, context: Context) -> None:
        """Steps of certificates/README.md 9.5."""
        cells = witness["cells"]
        check_cells(cells, terms)
        for entry in cells:
            _check_cell(terms, entry, context)
        expected = _rows_json(terms, cells, self.judge(terms, witness, context))
        require(witness["rows"] == expected, "the rows do not follow from the cells")

    def judge(self, terms: Terms, witness: Json, context: Context) -> Judgement:
        cells = witness["cells"]
        spans = _spans(terms, cells, "interval")
        ones = _spans(terms, cells, "oneSided")
        bound = _unfavourable_end(terms, ones)
        passed = bound is not None and terms.holds(bound) and None not in ones
        rows = tuple(_row_result(terms, row, span, passed=passed) for row, span in zip(terms.rows, spans, strict=True))
        # A decided pass of every row by the wide intervals alone is not a pass of the claim unless `bound` holds too.
        verdict = Verdict.PASS if passed else _capped(combine(rows))
        decided = [span for span in spans if span is not None]
        return Judgement(
            verdict=verdict,
            reason=_reason(terms, rows, verdict, cells, context),
            rows=rows,
            estimate=_estimate(terms, cells),
            lower=worst(terms, (span[0] for span in decided)),
            upper=_worst_high(terms, decided),
            bound=bound,
            sample_size=sum(entry["n"] for entry in cells if entry["partition"] == 0),
        )

    def needed(self, terms: Terms, witness: Json, context: Context) -> int | None:
        judgement = self.judge(terms, witness, context)
        if judgement.verdict is not Verdict.UNDECIDED:
            return None
        from certifair.checks import _sample

        return _sample.needed(terms, witness["cells"], context, judgement)

    def gap_needs_evidence(self, terms: Terms, witness: Json) -> bool:
        return False

    def contains(self, terms: Terms, claimed: Json, measured: Json, evidence: Evidence) -> bool:
        """The same people and sums; bounds as wide as the measured ones, or wider."""
        return all(
            {**ours, "interval": None, "oneSided": None} == {**theirs, "interval": None, "oneSided": None}
            and all(_wider(ours[key], theirs[key]) for key in ("interval", "oneSided"))
            for ours, theirs in zip(claimed["cells"], measured["cells"], strict=True)
        )


def alpha(terms: Terms, context: Context) -> Fraction:
    """α': what may go wrong with this claim, the other claims of its kind considered."""
    assert terms.confidence is not None
    return (1 - terms.confidence) / max(1, context.multiplicity)


def tails(terms: Terms, context: Context) -> dict[str, Fraction]:
    """The probability left out on each side of the two kinds of bounds.

    Ville's inequality bounds how often the mixture's two sides miss *together*: 2t for bounds of tail t, and near 0 or
    1 almost all of it can fall on one side. So one side alone is granted half of the tail that it may spend.
    """
    share = alpha(terms, context)
    one_sided = share / 4 if terms.method == "beta_mixture" else share / 2
    return {"interval": share / (2 * len(terms.cells)), "oneSided": one_sided}


def mean_range(terms: Terms) -> Bounds:
    """Where a mean can lie at all."""
    return (Fraction(0), Fraction(1)) if terms.metric.has_ratio else (Fraction(-1), Fraction(1))


def _wider(ours: list[str] | None, theirs: list[str] | None) -> bool:
    if ours is None or theirs is None:
        return ours is None
    return parse_decimal(ours[0]) <= parse_decimal(theirs[0]) and parse_decimal(theirs[1]) <= parse_decimal(ours[1])


def _check_cell(terms: Terms, entry: Json, context: Context) -> None:
    n, total = entry["n"], parse_dyadic(entry["sum"])
    low_end, high_end = mean_range(terms)
    if terms.map == "decisions":
        require(total.denominator == 1 and 0 <= total <= n, "successes are no whole number of people")
    require(n <= MAX_PEOPLE, "more people than a bound can be proved for")
    require(n > 0 or total == 0, "nobody has a sum")
    speaks = context.frozen_holdout and n >= terms.least
    require((entry["interval"] is None) == (entry["oneSided"] is None), "one of two bounds is missing")
    # A score outside [0, 1] leaves a cell without bounds; that is seen with the evidence only.
    required = speaks and terms.method != "empirical_bernstein"
    require(speaks or entry["interval"] is None, "bounds where there can be none")
    require(not required or entry["interval"] is not None, "bounds are missing")
    if entry["interval"] is None:
        return
    for key, tail in tails(terms, context).items():
        low, high = (parse_decimal(end) for end in entry[key])
        require(all((end * 10**9).denominator == 1 for end in (low, high)), "a bound has more than 9 places")
        require(low_end <= low <= total / n <= high <= high_end, "the mean lies outside its bounds")
        require(_valid(terms, n, int(total), low, high, tail), f"a bound of {entry['group']} is too tight")


def _valid(terms: Terms, n: int, successes: int, low: Fraction, high: Fraction, tail: Fraction) -> bool:
    """Whether both bounds have the tail probability they should, proved in outward-rounded arithmetic."""
    if terms.method == "clopper_pearson":
        low_valid = low == 0 or binomial_upper_tail_at_most(n, successes, low, tail)
        return low_valid and (high == 1 or binomial_lower_tail_at_most(n, successes, high, tail))
    if terms.method == "beta_mixture":
        low_valid = low == 0 or beta_mixture_excludes(n, successes, low, 1 / (2 * tail))
        return low_valid and (high == 1 or beta_mixture_excludes(n, successes, high, 1 / (2 * tail)))
    return True


def _spans(terms: Terms, cells: Sequence[Json], key: str) -> list[Span | None]:
    """The row values that the bounds allow; None where a cell has none, or too few people."""
    bounds: dict[Cell, Bounds | None] = {}
    for cell, entry in zip(terms.cells, cells, strict=True):
        present = entry[key] is not None and entry["n"] >= terms.least
        bounds[cell] = (parse_decimal(entry[key][0]), parse_decimal(entry[key][1])) if present else None
    return [_span(terms, row, bounds) for row in terms.rows]


def _span(terms: Terms, row: Row, bounds: Mapping[Cell, Bounds | None]) -> Span | None:
    found = [bounds[cell] for cell in row.cells]
    ends = [pair for pair in found if pair is not None]
    if len(ends) < len(found):
        return None
    if len(ends) == 1:
        ((low, high),) = ends
        return max(Fraction(0), low, -high), max(high, -low)
    (low_a, high_a), (low_b, high_b) = ends
    if terms.form == "difference":
        return max(Fraction(0), low_a - high_b, low_b - high_a), max(high_a - low_b, high_b - low_a)
    if high_a == 0 or high_b == 0:
        return None
    quotients = [high / low for high, low in ((high_a, low_b), (high_b, low_a)) if low > 0]
    return min(low_a / high_b, low_b / high_a), min(quotients) if quotients else None


def _unfavourable_end(terms: Terms, spans: Sequence[Span | None]) -> Fraction | None:
    """The worst that the bounds allow for the whole claim."""
    decided = [span for span in spans if span is not None]
    if terms.form == "ratio":
        return min((low for low, _ in decided), default=None)
    return max((high for _, high in decided if high is not None), default=None)


def _worst_high(terms: Terms, decided: Sequence[Span]) -> Fraction | None:
    finite = [high for _, high in decided if high is not None]
    return worst(terms, finite)


def _row_result(terms: Terms, row: Row, span: Span | None, *, passed: bool) -> RowVerdict:
    """The row's verdict, and the end of its interval that decides it or stands in the way."""
    if span is None:
        return RowVerdict(row, Verdict.UNDECIDED, None)
    favourable, unfavourable = reversed(span) if terms.form == "ratio" else span
    if passed:
        return RowVerdict(row, Verdict.PASS, unfavourable)
    if favourable is not None and not terms.holds(favourable):
        return RowVerdict(row, Verdict.FAIL, favourable)
    held = unfavourable is not None and terms.holds(unfavourable)
    return RowVerdict(row, Verdict.PASS if held else Verdict.UNDECIDED, unfavourable)


def _capped(verdict: Verdict) -> Verdict:
    return Verdict.FAIL if verdict is Verdict.FAIL else Verdict.UNDECIDED


def _estimate(terms: Terms, cells: Sequence[Json]) -> Fraction | None:
    """The worst row's value at the means, over the rows that are decided."""
    sums = {
        cell: CellSum(entry["n"], parse_dyadic(entry["sum"])) for cell, entry in zip(terms.cells, cells, strict=True)
    }
    spans = _spans(terms, cells, "interval")
    return worst(terms, (value(terms, row, sums) for row, s in zip(terms.rows, spans, strict=True) if s is not None))


def value(terms: Terms, row: Row, sums: Mapping[Cell, CellSum]) -> Fraction | None:
    """The row's value at the sample means (for residuals the sums are of residuals already)."""
    if row.residual:
        return abs(sums[row.cells[0]].mean)
    return row.ratio(sums) if terms.form == "ratio" else row.difference(sums)


def _rows_json(terms: Terms, cells: Sequence[Json], judgement: Judgement) -> list[Json]:
    return [
        {
            "row": row.row.name,
            "low": None if span is None else round_down(span[0], PLACES),
            "high": None if span is None or span[1] is None else round_up(span[1], PLACES),
            "verdict": row.verdict.value,
        }
        for row, span in zip(judgement.rows, _spans(terms, cells, "interval"), strict=True)
    ]


def _reason(terms: Terms, rows: Sequence[RowVerdict], verdict: Verdict, cells: Sequence[Json], context: Context) -> str:
    if verdict is not Verdict.UNDECIDED:
        return describe(terms, rows, verdict)
    if not context.frozen_holdout:
        return "the policy does not declare frozen = true and held_out = true under [system]"
    small = [entry for entry in cells if entry["n"] < terms.least]
    if small:
        names = ", ".join(" ".join(entry["group"]) for entry in small[:3])
        return f"fewer than {terms.least} people in {len(small)} of {len(cells)} cells ({names})"
    if any(entry["interval"] is None for entry in cells):
        return "a score or label lies outside [0, 1]"
    reach = describe(terms, rows, verdict) or "the interval reaches over the threshold"
    return f"the sample is too small, the interval reaches to {reach}"
