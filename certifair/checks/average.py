"""Average: a stream's batches one by one, weighted by their people; who was skipped; what the dual variables promise.

The paper's algorithm bounds the average of the batches' gaps, over the batches in which a row counts (somebody is in
each of its cells), weighted by their people. That is another number than the pooled gap (`aggregate`), and it says
nothing of the people in the other batches, so their share is a claim of its own.

Why a PASS of `weighted` is true: the sum of people × |difference of means| over the batches is enclosed in float64 with
proven errors (`_average`), and the published ends are rounded outwards.

Why a PASS of `bound` is true. With v_t = b_t (gap_t − ε) over the T batches that count, λ_{t+1} ≥ λ_t + η_t v_t, hence
v_t ≤ (λ_{t+1} − λ_t)/η_t, and by summation by parts

    Σ v_t ≤ λ_{T+1}/η_T − λ_1/η_1 − Σ_{t>1} λ_t (1/η_t − 1/η_{t−1}) ≤ λ_{T+1}/η_T,

since λ ≥ 0 and η does not increase. Where rounding left λ_{t+1} below λ_t + η_t v_t, the first inequality misses
r_t = max(0, v_t − (λ_{t+1} − λ_t)/η_t), so their exact sum is added:

    Σ b_t gap_t / Σ b_t ≤ ε + (λ_{T+1}/η_T + Σ r_t)/Σ b_t.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, final

from certifair.checks.aggregate import IN_ORDER
from certifair.checks.base import (
    AS_IT_STANDS,
    Check,
    Context,
    Judgement,
    Measured,
    RowVerdict,
    combine,
    describe,
    require,
    worst,
)
from certifair.exact.decimals import PLACES, parse_decimal, round_up
from certifair.spec import Json
from certifair.spec.metrics.base import Row
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

Interval = tuple[Fraction, Fraction]
PROMISED = ("last", "eta", "rounding", "promise")


@final
class Average(Check):
    """Claims about the batches of a stream, one row at a time."""

    kind = "aggregate"
    forms = ("weighted", "skipped", "bound")
    weaker = ("verdict", "reason", "estimate", "lower", "upper")

    def assumptions(self, terms: Terms) -> tuple[str, ...]:
        return (AS_IT_STANDS, IN_ORDER) if terms.form == "bound" else (AS_IT_STANDS,)

    def measure(self, terms: Terms, evidence: Evidence, context: Context) -> Measured:
        from certifair.checks import _average

        return Measured(_average.measure(terms, evidence), {})

    def consistent(self, terms: Terms, witness: Json, context: Context) -> None:
        """Steps of certificates/README.md 9.10."""
        names = [row.name for row in terms.rows]
        require([entry["row"] for entry in witness["rows"]] == names, "rows are not the metric's")
        require(witness["batches"] <= context.n, "more batches than people")
        require(terms.min_group_size == 1, "one person is enough for a row to count")
        require(terms.decision_threshold == 0 or terms.map == "decisions", "nothing is decided")
        if terms.form != "weighted":
            require(terms.tau == 0 and terms.map == "served", "no tolerance, and what was served, belong to this form")
        for entry in witness["rows"]:
            if terms.form == "skipped":
                _check_skipped(entry, witness["batches"], context.n)
            else:
                _check_average(entry, witness["batches"], context.n)
            if terms.form == "weighted":
                require((entry["lower"] is None) == (entry["counted"] == 0), f"{entry['row']}: an average is missing")
            if terms.form == "bound":
                _check_promise(entry, parse_decimal(witness["epsilon"]), len(names))

    def judge(self, terms: Terms, witness: Json, context: Context) -> Judgement:
        values = [_value(terms, entry, context.n) for entry in witness["rows"]]
        rows = tuple(
            _judge_row(terms, row, entry, value)
            for row, entry, value in zip(terms.rows, witness["rows"], values, strict=True)
        )
        verdict = combine(rows)
        upper = worst(terms, (value[1] for value in values if value is not None))
        reason = describe(terms, rows, verdict)
        if verdict is Verdict.UNDECIDED and upper is None:
            reason += ": no batch holds both groups" if terms.form == "weighted" else ": nothing follows from the log"
        return Judgement(
            verdict=verdict,
            reason=reason,
            rows=rows,
            estimate=upper,
            lower=worst(terms, (value[0] for value in values if value is not None)),
            upper=upper,
            sample_size=context.n,
        )

    def needed(self, terms: Terms, witness: Json, context: Context) -> int | None:
        return None

    def gap_needs_evidence(self, terms: Terms, witness: Json) -> bool:
        return False

    def contains(self, terms: Terms, claimed: Json, measured: Json, evidence: Evidence) -> bool:
        """The same, but for averages whose ends lie further apart."""
        pairs = list(zip(claimed["rows"], measured["rows"], strict=True))
        bare = [[{**row, "lower": None, "upper": None} for row in rows] for rows in zip(*pairs, strict=True)]
        same = {**claimed, "rows": []} == {**measured, "rows": []} and bare[0] == bare[1]
        return same and all(_around(a, b) for a, b in pairs)


def _around(claimed: Json, measured: Json) -> bool:
    if measured.get("lower") is None or claimed["lower"] is None:
        return bool(claimed.get("lower") == measured.get("lower") and claimed.get("upper") == measured.get("upper"))
    lower, upper = (parse_decimal(measured[end]) for end in ("lower", "upper"))
    return parse_decimal(claimed["lower"]) <= lower and upper <= parse_decimal(claimed["upper"])


def _value(terms: Terms, entry: Json, n: int) -> Interval | None:
    """(lower, upper) of what is claimed of a row; of a bound, the average's lower end and what is promised."""
    if terms.form == "skipped":
        share = Fraction(entry["people"], n)
        return share, share
    upper = entry["promise" if terms.form == "bound" else "upper"]
    return None if upper is None else (parse_decimal(entry["lower"]), parse_decimal(upper))


def _judge_row(terms: Terms, row: Row, entry: Json, value: Interval | None) -> RowVerdict:
    if value is None:
        return RowVerdict(row, Verdict.UNDECIDED, None)
    lower, upper = value
    if terms.form != "bound" and not terms.holds(lower):  # a bound that is too large proves no violation
        return RowVerdict(row, Verdict.FAIL, lower)
    return RowVerdict(row, Verdict.PASS if terms.holds(upper) else Verdict.UNDECIDED, upper)


def _check_average(entry: Json, batches: int, n: int) -> None:
    counted, people, name = entry["counted"], entry["people"], entry["row"]
    _check_counts(name, counted, people, batches, n)
    if entry["lower"] is None or entry["upper"] is None:
        require(entry["lower"] is entry["upper"], f"{name}: half an interval")
        return
    require(counted > 0, f"{name}: an average of nobody")
    lower, upper = _decimal(entry, "lower"), _decimal(entry, "upper")
    require(0 <= lower <= upper, f"{name}: bounds are reversed")


def _check_skipped(entry: Json, batches: int, n: int) -> None:
    require(entry["batches"] <= batches and entry["people"] <= n, f"{entry['row']}: more skipped than there are")
    _check_counts(entry["row"], batches - entry["batches"], n - entry["people"], batches, n)


def _check_counts(name: str, counted: int, people: int, batches: int, n: int) -> None:
    """So many batches count, with so many people, of all: two in each that counts, one in each that does not."""
    require(counted <= batches and 2 * counted <= people <= n, f"{name}: batches and people do not fit")
    require(batches - counted <= n - people, f"{name}: more batches without people than there are")
    require((counted == 0) == (people == 0), f"{name}: people in no batch")
    require((counted == batches) == (people == n), f"{name}: people in all batches, or in not all")


def _check_promise(entry: Json, epsilon: Fraction, rows: int) -> None:
    name = entry["row"]
    missing = {entry[key] is None for key in ("lower", *PROMISED)}
    require(len(missing) == 1, f"{name}: half a promise")
    require(entry["prior"] is None or (rows == 1 and missing == {False}), f"{name}: no theorem gives this bound")
    if missing == {True}:
        return
    last, eta, rounding, promise = (_decimal(entry, key) for key in PROMISED)
    require(last >= 0 and eta > 0 and rounding >= 0, f"{name}: a negative multiplier or step size")
    follows = round_up(epsilon + (last / eta + rounding) / entry["people"], PLACES)
    require(parse_decimal(follows) == promise, f"{name}: the promise does not follow")
    require(parse_decimal(entry["lower"]) <= promise, f"{name}: the average is above what is proved of it")
    require(entry["prior"] is None or _decimal(entry, "prior") >= 0, f"{name}: a negative bound")


def _decimal(entry: Mapping[str, str], key: str) -> Fraction:
    text = entry[key]
    require(len(text.partition(".")[2]) <= PLACES, f"{key} has more than {PLACES} places")
    return parse_decimal(text)
