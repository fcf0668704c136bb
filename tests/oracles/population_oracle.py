"""Slow and obvious intervals and population claims, to high precision. Shares no code with the package.

Written from certificates/README.md 9.5 and the formulas of attestation.md (Clopper and Pearson 1934; the Beta(½, ½)
mixture's confidence sequence; the predictable plug-in empirical Bernstein interval of Waudby-Smith and Ramdas 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import Any

import mpmath

DIGITS = 50
STEPS = 60
"""Halvings of [0, 1]: ends are known to 2⁻⁶⁰."""
Bounds = tuple[Fraction, Fraction]
Span = tuple[Fraction, Fraction | None]
"""Low and high end of a row's value; None is infinite."""


# ------------------------------------------------------------------------------------------------------- intervals
def clopper_pearson(n: int, successes: int, tail: Fraction) -> Bounds:
    """The tightest valid ends, each up to 2⁻⁶⁰: exact binomial tails, bisected."""

    def too_low(p: Fraction) -> bool:  # P(X >= S) <= tail
        return binomial_sum(n, successes, n, p) <= tail

    def too_high(p: Fraction) -> bool:
        return binomial_sum(n, 0, successes, p) <= tail

    low = last(too_low, Fraction(0), Fraction(1)) if successes > 0 else Fraction(0)
    high = last(too_high, Fraction(1), Fraction(0)) if successes < n else Fraction(1)
    return low, high


def binomial_sum(n: int, first: int, final: int, p: Fraction) -> Fraction:
    """P(first <= Bin(n, p) <= final), exactly."""
    a, d = p.numerator, p.denominator
    total = sum(comb(n, k) * a**k * (d - a) ** (n - k) for k in range(first, final + 1))
    return Fraction(total, d**n)


def beta_mixture(n: int, successes: int, level: Fraction) -> Bounds:
    """The ends of {p: M(p) < level}, up to 2⁻⁶⁰: logarithms at 50 digits, bisected."""
    failures = n - successes
    with mpmath.workdps(DIGITS):
        half = mpmath.mpf(1) / 2
        mixture = mpmath.log(mpmath.beta(successes + half, failures + half)) - mpmath.log(mpmath.pi)
        log_level = mpmath.log(mpmath.mpf(level.numerator) / level.denominator)

        def excluded(p: Fraction) -> bool:
            q = mpmath.mpf(p.numerator) / p.denominator
            likelihood = (successes * mpmath.log(q) if successes else 0) + (
                failures * mpmath.log(1 - q) if failures else 0
            )
            return bool(mixture - likelihood >= log_level)

        rate = Fraction(successes, n)
        low = last(excluded, Fraction(0), rate) if successes else Fraction(0)
        high = last(excluded, Fraction(1), rate) if failures else Fraction(1)
    return low, high


def last(holds: Callable[[Fraction], bool], start: Fraction, stop: Fraction) -> Fraction:
    """The last p from start towards stop at which a monotone condition holds."""
    good, bad = start, stop
    for _ in range(STEPS):
        middle = (good + bad) / 2
        middle = Fraction(round(middle * 2**80), 2**80)
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good


def empirical_bernstein(values: Sequence[Fraction], tail: Fraction) -> tuple[Any, Any]:
    """The formula as it stands, one value after the other (mpmath numbers)."""
    with mpmath.workdps(DIGITS):
        one = mpmath.mpf(1)
        log_level = mpmath.log(mpmath.mpf(tail.denominator) / tail.numerator)
        total, squares = mpmath.mpf(0), mpmath.mpf(0)
        mean, variance = one / 2, one / 4
        weighted = weight = loss = mpmath.mpf(0)
        for t, exact in enumerate(values, 1):
            x = mpmath.mpf(exact.numerator) / exact.denominator
            rate = min(mpmath.sqrt(2 * log_level / (variance * t * mpmath.log(one + t))), one / 2)
            weighted += rate * x
            weight += rate
            loss += 4 * (x - mean) ** 2 * (-mpmath.log(1 - rate) - rate) / 4
            total += x
            mean = (one / 2 + total) / (t + 1)
            squares += (x - mean) ** 2
            variance = (one / 4 + squares) / (t + 1)
        return (weighted - log_level - loss) / weight, (weighted + log_level + loss) / weight


# ---------------------------------------------------------------------------------------------------------- claims
@dataclass(frozen=True)
class CellFacts:
    """A cell's people and sum, and its two published intervals (None: no interval)."""

    n: int
    total: Fraction
    interval: Bounds | None
    one_sided: Bounds | None


@dataclass(frozen=True)
class Demand:
    """`rows` name their cells by position; one cell means a residual."""

    form: str
    threshold: Fraction
    tau: Fraction
    rows: Sequence[tuple[int, ...]]

    def holds(self, value: Fraction) -> bool:
        if self.form == "ratio":
            return value >= self.threshold - self.tau
        return value <= self.threshold + self.tau


@dataclass(frozen=True)
class Outcome:
    verdict: str
    rows: list[tuple[Span | None, str]]
    estimate: Fraction | None
    lower: Fraction | None
    upper: Fraction | None
    bound: Fraction | None


def judge(demand: Demand, cells: Sequence[CellFacts]) -> Outcome:
    """Certificates/README.md 9.5."""
    ratio = demand.form == "ratio"
    spans = [span(demand, [cells[k].interval for k in row]) for row in demand.rows]
    ones = [span(demand, [cells[k].one_sided for k in row]) for row in demand.rows]
    lows = [s[0] for s in spans if s is not None]
    highs = [s[1] for s in spans if s is not None and s[1] is not None]
    worst_low = min(lows, default=None) if ratio else max(lows, default=None)
    worst_high = min(highs, default=None) if ratio else max(highs, default=None)
    bounds = [s[0] if ratio else s[1] for s in ones if s is not None]
    finite = [value for value in bounds if value is not None]
    bound = (min(finite) if ratio else max(finite)) if finite else None
    values = [
        value
        for row, s in zip(demand.rows, spans, strict=True)
        if s is not None and (value := point(demand, [cells[k] for k in row])) is not None
    ]
    estimate = (min(values) if ratio else max(values)) if values else None
    if spans and None not in spans and None not in ones and bound is not None and demand.holds(bound):
        return Outcome("PASS", [(s, "PASS") for s in spans], estimate, worst_low, worst_high, bound)
    verdicts = [_row_verdict(demand, s) for s in spans]
    verdict = "FAIL" if "FAIL" in verdicts else "UNDECIDED"
    return Outcome(verdict, list(zip(spans, verdicts, strict=True)), estimate, worst_low, worst_high, bound)


def _row_verdict(demand: Demand, found: Span | None) -> str:
    if found is None:
        return "UNDECIDED"
    low, high = found
    best, worst = (high, low) if demand.form == "ratio" else (low, high)
    if best is not None and not demand.holds(best):
        return "FAIL"
    return "PASS" if worst is not None and demand.holds(worst) else "UNDECIDED"


def span(demand: Demand, bounds: Sequence[Bounds | None]) -> Span | None:
    """The values that a row can have where its means lie within their bounds."""
    known = [pair for pair in bounds if pair is not None]
    if len(known) < len(bounds):
        return None
    if len(known) == 1:
        ((low, high),) = known
        return max(Fraction(0), low, -high), max(high, -low)
    (la, ua), (lb, ub) = known
    if demand.form == "difference":
        return max(Fraction(0), la - ub, lb - ua), max(ua - lb, ub - la)
    if ua == 0 or ub == 0:
        return None
    quotients = [Fraction(u, 1) / low for u, low in ((ua, lb), (ub, la)) if low > 0]
    return min(la / ub, lb / ua), min(quotients, default=None)


def point(demand: Demand, cells: Sequence[CellFacts]) -> Fraction | None:
    means = [cell.total / cell.n for cell in cells]
    if len(means) == 1:
        return abs(means[0])
    if demand.form == "difference":
        return abs(means[0] - means[1])
    return min(means) / max(means) if min(means) >= 0 and max(means) > 0 else None
