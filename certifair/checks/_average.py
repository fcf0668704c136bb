"""The witnesses of claims about averages over batches: enclosed in float64, rounded outwards to decimals."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._history import Steps, check_rows, replayed, stream_of
from certifair.checks._tally import UNIT, Tally
from certifair.checks.average import PROMISED
from certifair.evidence.bundle import Evidence
from certifair.exact.decimals import PLACES, format_decimal, parse_decimal, round_down, round_up
from certifair.spec import Json
from certifair.spec.metrics.base import Row
from certifair.spec.terms import Terms

Floats = NDArray[np.float64]


@final
class _Batches:
    """The batches of a claim, and which of them a row counts in."""

    def __init__(self, terms: Terms, evidence: Evidence) -> None:
        self.tally = Tally(terms, evidence)
        self.people = np.bincount(evidence.batch)

    def counted(self, row: Row) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.minimum.reduce([self.tally.counts(cell) for cell in row.cells]) > 0
        return found

    def average(self, row: Row) -> Json:
        """Batches, people, and the average's ends, of the row."""
        counted = self.counted(row)
        people = int(self.people[counted].sum())
        found = {"row": row.name, "counted": int(counted.sum()), "people": people}
        if not people:
            return {**found, "lower": None, "upper": None}
        lower, upper = self._sum(row, counted)
        return {
            **found,
            "lower": round_down(max(lower, Fraction(0)) / people, PLACES),
            "upper": round_up(upper / people, PLACES),
        }

    def _sum(self, row: Row, counted: NDArray[np.bool_]) -> tuple[Fraction, Fraction]:
        """Bounds of Σ people × |difference of means| over the batches that count."""
        people = self.people[counted]
        with np.errstate(over="ignore"):
            low, high = (ends[counted] * people for ends in self._differences(row))
        try:  # fsum rounds once, the products before it once each: one neighbour further is a bound
            lower = math.nextafter(math.fsum(np.nextafter(low, -np.inf).tolist()), -math.inf)
            upper = math.nextafter(math.fsum(np.nextafter(high, np.inf).tolist()), math.inf)
            return Fraction(lower), Fraction(upper)
        except OverflowError:  # beyond the range of float64
            exact = (self.tally.exact_value(row, batch) or Fraction(0) for batch in np.flatnonzero(counted).tolist())
            total = sum((int(b) * value for b, value in zip(people, exact, strict=True)), Fraction(0))
            return total, total

    def _differences(self, row: Row) -> tuple[Floats, Floats]:
        """Bounds of |difference of means| in every batch, (T,)."""
        (a, a_error), (b, b_error) = (self.tally.means(cell) for cell in row.cells)
        value = np.abs(a - b)
        error = (a_error + b_error) * (1 + 8 * UNIT) + 4 * UNIT * value
        return np.maximum(np.nextafter(value - error, -np.inf), 0.0), np.nextafter(value + error, np.inf)


def measure(terms: Terms, evidence: Evidence) -> Json:
    """The witness of a claim of form `weighted`, `skipped` or `bound`."""
    batches = _Batches(terms, evidence)
    found = {"batches": len(batches.people)}
    if terms.form == "weighted":
        return {**found, "rows": [batches.average(row) for row in terms.rows]}
    if terms.form == "skipped":
        return {**found, "rows": [_skipped(batches, row) for row in terms.rows]}
    return {**found, **_promises(terms, evidence, batches)}


def _skipped(batches: _Batches, row: Row) -> Json:
    absent = ~batches.counted(row)
    return {"row": row.name, "batches": int(absent.sum()), "people": int(batches.people[absent].sum())}


def _promises(terms: Terms, evidence: Evidence, batches: _Batches) -> Json:
    stream = stream_of(terms, evidence)
    check_rows(terms, evidence)
    steps = replayed(terms, evidence)
    assert stream.algorithm is not None
    epsilon = parse_decimal(stream.algorithm["epsilon"])
    valid = not steps.faults  # a theorem about logs whose steps are right
    index = {row.name: k for k, row in enumerate(steps.rows)}
    rows = []
    for row in terms.rows:
        entry, k = batches.average(row), index[row.name]
        promised = _promise(steps, k, epsilon, entry["people"]) if valid and entry["counted"] else None
        if promised is None:
            promised = dict.fromkeys(("lower", "upper", *PROMISED))
        prior = None
        if len(steps.rows) == 1 and promised["promise"] is not None:
            prior = _prior(steps, k, evidence, parse_decimal(promised["rounding"]))
        rows.append({**entry, **promised, "prior": prior})
    return {"epsilon": format_decimal(epsilon), "rows": rows}


def _promise(steps: Steps, k: int, epsilon: Fraction, people: int) -> dict[str, str | None] | None:
    """None where the last step size is beyond all use (12 places do not hold it), or the multiplier is infinite."""
    if not np.isfinite(steps.multipliers[k, -1]):
        return None
    last = round_up(Fraction(float(steps.multipliers[k, -1])), PLACES)
    eta = round_down(Fraction(float(steps.eta[steps.counts[k]][-1])), PLACES)
    if parse_decimal(eta) == 0:
        return None
    rounding = round_up(_rounding(steps, k, epsilon), PLACES)
    bound = (parse_decimal(last) / parse_decimal(eta) + parse_decimal(rounding)) / people
    return {"last": last, "eta": eta, "rounding": rounding, "promise": round_up(epsilon + bound, PLACES)}


def _rounding(steps: Steps, k: int, epsilon: Fraction) -> Fraction:
    """What the multipliers, rounded, fall short of: Σ max(0, v_t − (λ_{t+1} − λ_t)/η_t), v_t = b_t (gap_t − ε)."""
    total, line = Fraction(0), steps.multipliers[k].tolist()
    for t in np.flatnonzero(steps.counts[k]).tolist():
        value = steps.values[k][t]
        assert value is not None
        moved = (Fraction(line[t + 1]) - Fraction(line[t])) / Fraction(float(steps.eta[t]))
        total += max(Fraction(0), int(steps.people[t]) * (value - epsilon) - moved)
    return total


def _prior(steps: Steps, k: int, evidence: Evidence, rounding: Fraction) -> str | None:
    """The promise from what is known before the stream starts, where scores lie in the box of width W.

    There gap_t ≤ max(0, W − 2λ_t) for the exact solution, hence λ ≤ max(λ_1, W/2, η_0 b_max (W − ε)). That predictions
    are the exact solution is not checked here; that the log's multipliers keep the bound is.
    """
    stream, layer, scores = evidence.stream, evidence.policy.layer, evidence.scores
    assert stream is not None
    assert stream.algorithm is not None
    assert layer is not None
    if (
        scores is None
        or not layer.lower <= Fraction(float(scores.min())) <= Fraction(float(scores.max())) <= layer.upper
    ):
        return None
    width, eta0 = layer.upper - layer.lower, parse_decimal(stream.algorithm["eta0"])
    epsilon = parse_decimal(stream.algorithm["epsilon"])
    start = Fraction(float.fromhex(stream.algorithm["start"]["multipliers"][k]))
    counted = steps.counts[k]
    most = int(steps.people[counted].max())
    largest = max(start, width / 2, eta0 * most * (width - epsilon)) * (1 + Fraction(1, 10**9))
    if Fraction(float(steps.multipliers[k].max())) > largest:
        return None
    people, eta = int(steps.people[counted].sum()), Fraction(float(steps.eta[counted][-1]))
    return round_up(epsilon + (largest / eta + rounding) / people, PLACES)
