"""Counts, sums and certified bounds of a population claim's cells, and how many people would have decided it.

Bounds are proposed in float64 (scipy) and only stand once `exact.tails` has proved them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal, localcontext
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from certifair.checks._tally import cell_codes, counts_as_sums, source_of
from certifair.checks.base import Context, Judgement, cell_json
from certifair.checks.population import mean_range, tails
from certifair.evidence.bundle import Evidence
from certifair.exact.decimals import format_rational, parse_decimal, parse_dyadic, round_down, round_up
from certifair.exact.sums import exact_counts, exact_sums
from certifair.exact.tails import beta_mixture, clopper_pearson, propose_beta_mixture
from certifair.spec import Json
from certifair.spec.groups import Cell
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

Array = NDArray[np.float64]
BOUND_PLACES = 9
UNIT = Fraction(1, 2**53)


def measure_cells(terms: Terms, evidence: Evidence, context: Context) -> list[Json]:
    """All cells of the claim with people, sum and bounds (certificates/README.md 9.5)."""
    cube, source = evidence.cube, source_of(terms, evidence)
    positives = cube.positives(source, terms.decision_threshold)
    sums = counts_as_sums(positives) if terms.map == "decisions" else cube.sums(source)
    found: list[Json] = []
    for p in range(len(terms.partitions)):
        codes, width = cell_codes(terms, p, cube)
        counts = exact_counts(cube.counts, codes, width).tolist()
        totals = [sums.regroup(codes, width).exact(k) for k in range(width)]
        if not terms.metric.has_ratio:
            labels = cube.sums("labels").regroup(codes, width)
            totals = [labels.exact(k) - total for k, total in enumerate(totals)]
        sequences = _sequences(terms, p, evidence) if terms.method == "empirical_bernstein" else [None] * width
        for cell, n, total, sequence in zip(_cells_of(terms, p), counts, totals, sequences, strict=True):
            entry = {**cell_json(terms, cell), "n": n, "sum": format_rational(total)}
            found.append({**entry, **_bounds(terms, entry, sequence, context)})
    return found


def _cells_of(terms: Terms, partition: int) -> list[Cell]:
    return [cell for cell in terms.cells if cell.partition == partition]


def _sequences(terms: Terms, partition: int, evidence: Evidence) -> list[Array | None]:
    """The values of each cell in order of arrival, scaled to [0, 1] for residuals; None where the theorem is silent."""
    codes, width = cell_codes(terms, partition, evidence)
    assert evidence.scores is not None
    values, bounded = evidence.scores, _in_unit(evidence.scores)
    if not terms.metric.has_ratio:
        assert evidence.labels is not None
        values, bounded = (evidence.labels - values) / 2 + 0.5, bounded and _in_unit(evidence.labels)
    return [values[codes == k] if bounded else None for k in range(width)]


def _in_unit(values: Array) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1)


def _bounds(terms: Terms, entry: Json, sequence: Array | None, context: Context) -> Json:
    unbounded = terms.method == "empirical_bernstein" and sequence is None
    if not context.frozen_holdout or entry["n"] < terms.least or unbounded:
        return {"interval": None, "oneSided": None}
    found = {key: _interval(terms, entry, sequence, tail) for key, tail in tails(terms, context).items()}
    return {key: [round_down(low, BOUND_PLACES), round_up(high, BOUND_PLACES)] for key, (low, high) in found.items()}


def _interval(terms: Terms, entry: Json, sequence: Array | None, tail: Fraction) -> tuple[Fraction, Fraction]:
    n, total = entry["n"], parse_dyadic(entry["sum"])
    if terms.method == "clopper_pearson":
        return clopper_pearson(n, int(total), tail, propose_clopper_pearson, BOUND_PLACES)
    if terms.method == "beta_mixture":
        return beta_mixture(n, int(total), tail, propose_beta_mixture, BOUND_PLACES)
    assert sequence is not None
    low, high = empirical_bernstein(sequence, tail)
    if not terms.metric.has_ratio:
        # x = r/2 + 1/2 was rounded twice, by at most 2⁻⁵³ of a number of size at most 1 each
        low, high = 2 * (low - 2 * UNIT) - 1, 2 * (high + 2 * UNIT) - 1
    least, most = mean_range(terms)
    mean = total / n
    # the published interval also holds the sample mean and the possible range, which widens or changes nothing
    return min(max(low, least), mean), max(min(high, most), mean)


def propose_clopper_pearson(n: float, successes: float, tail: float) -> tuple[float, float]:
    """Beta quantiles (Clopper and Pearson 1934)."""
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return low, high


def empirical_bernstein(x: Array, tail: Fraction) -> tuple[Fraction, Fraction]:
    """Predictable plug-in empirical Bernstein bounds at the end of a sequence in [0, 1], each side with this tail.

    Waudby-Smith and Ramdas (2020), theorem 2: for any predictable λ_i ∈ (0, 1) and any predictable μ̂_i ∈ [0, 1],
    Σλx/Σλ ± [ln(1/tail) + Σ 4 (x_i − μ̂_{i−1})² ψ(λ_i)] / Σλ, ψ(λ) = (−ln(1 − λ) − λ)/4. Because the theorem allows
    any predictable choice, λ and μ̂ may be *whatever floats* come out below: their rounding cannot hurt. Only the
    final sums must be outward: they are summed exactly, and widened by the relative error of the float64 terms.
    """
    n = len(x)
    times = np.arange(1, n + 1, dtype=np.float64)
    mean = (0.5 + np.cumsum(x)) / (times + 1)
    before = np.concatenate(([0.5], mean[:-1]))
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (times + 1)
    spread = np.concatenate(([0.25], variance[:-1]))
    log_level = log_upper(1 / tail)
    with np.errstate(divide="ignore"):
        rate = np.sqrt(2 * float(log_level) / (spread * times * np.log1p(times)))
    rate = np.minimum(rate, 0.5)
    # λx: one rounding. 4(x − μ̂)²ψ: x − μ̂, its square, the two products and ψ's own 120 roundings: below 2⁻⁴⁵.
    weighted, weight = _total(rate * x), _total(rate)
    loss = _total((x - before) ** 2 * psi_times_four(rate)) * (1 + Fraction(1, 2**45))
    slack = weighted * 2 * UNIT
    radius = log_level + loss
    return (weighted - slack - radius) / weight, (weighted + slack + radius) / weight


def _total(values: Array) -> Fraction:
    return exact_sums(values, np.zeros(len(values), dtype=np.int64), 1).exact(0)


def log_upper(value: Fraction) -> Fraction:
    """A rational that is at least ln(value), by less than 10⁻²⁵. libmpdec rounds ln correctly at 30 digits."""
    with localcontext() as context:
        context.prec = 30
        context.rounding = ROUND_CEILING
        quotient = Decimal(value.numerator) / Decimal(value.denominator)
        return Fraction(quotient.ln()) + Fraction(1, 10**26)


def psi_times_four(rate: Array) -> Array:
    """−ln(1 − λ) − λ = λ² Σ_{k ≥ 0} λᵏ/(k + 2) for 0 < λ ≤ ½, relative error below 2⁻⁴⁶.

    Only sums and products of non-negative numbers, so each of the 2K operations adds at most one unit roundoff. The
    remainder after K terms is below λᴷ · 2/(K + 2) · 2 of the leading ½: 2⁻⁵⁴ for K = 54 at λ = ½, for K = 14 at 1/16.
    """
    result = np.empty_like(rate)
    small = rate <= 1 / 16
    for mask, terms in ((small, 14), (~small, 54)):
        part = rate[mask]
        series = np.zeros_like(part)
        for k in range(terms - 1, -1, -1):
            series = series * part + 1.0 / (k + 2)
        result[mask] = part * part * series
    return result


def needed(terms: Terms, cells: Sequence[Json], context: Context, judgement: Judgement) -> int | None:
    """About how many people, in the same proportions, would have decided the claim. Advice, never a claim."""
    estimate = judgement.estimate
    if judgement.verdict is not Verdict.UNDECIDED or estimate is None:
        return None
    if any(entry["n"] == 0 or (entry["interval"] is None and entry["n"] >= terms.least) for entry in cells):
        return None
    people: int = sum(entry["n"] for entry in cells if entry["partition"] == 0)
    start = max(1.0, terms.least / min(entry["n"] for entry in cells))

    def decides(scale: float) -> bool:
        return scale >= start and _decides(terms, cells, context, scale, passing=terms.holds(estimate))

    high = start
    while not decides(high):
        high *= 2
        if high * people > 1e9:
            return None
    low = high / 2
    for _ in range(20):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if decides(middle) else (middle, high)
    return int(max(people + 1, math.ceil(people * high)))


def _decides(terms: Terms, cells: Sequence[Json], context: Context, scale: float, *, passing: bool) -> bool:
    """Whether bounds at `scale` times the sample, with the same means, would pass (or fail) the claim."""
    key = "oneSided" if passing else "interval"
    tail = tails(terms, context)[key]
    ends = [_planned(terms, entry, key, tail, scale) for entry in cells]
    by_cell = dict(zip(terms.cells, ends, strict=True))
    limit = float(terms.threshold) + (-1 if terms.form == "ratio" else 1) * float(terms.tau)
    spans = [_float_span(terms, [by_cell[cell] for cell in row.cells]) for row in terms.rows]
    if terms.form == "ratio":
        return min(low for low, _ in spans) >= limit if passing else min(high for _, high in spans) < limit
    return max(high for _, high in spans) <= limit if passing else max(low for low, _ in spans) > limit


def _planned(terms: Terms, entry: Json, key: str, tail: Fraction, scale: float) -> tuple[float, float]:
    """The bounds of a cell of `scale` times as many people with the same mean."""
    mean = float(parse_dyadic(entry["sum"])) / entry["n"]
    n = entry["n"] * scale
    if terms.method == "clopper_pearson":
        return propose_clopper_pearson(n, n * mean, float(tail))
    if terms.method == "beta_mixture":
        return propose_beta_mixture(round(n), round(n * mean), float(tail))
    low, high = (float(end) for end in mean_range(terms))
    level = float(log_upper(1 / tail))
    variance = _implied_variance(terms, entry, key, level)
    # the centre is a weighted mean, which strays from the mean with the order of the rows: allow half a standard error
    radius = (high - low) * (_bernstein_radius(n, variance, level) + math.sqrt(variance / n) / 2)
    return max(low, mean - radius), min(high, mean + radius)


def _implied_variance(terms: Terms, entry: Json, key: str, level: float) -> float:
    """The variance (of values in [0, 1]) under which the cell's bounds would be as wide as they are."""
    if entry[key] is None:
        return 0.25
    low, high = (float(parse_decimal(end)) for end in entry[key])
    least, most = (float(end) for end in mean_range(terms))
    mean = float(parse_dyadic(entry["sum"])) / entry["n"]
    # a side that ends at the range's end is shorter than it would be
    sides = [abs(end - mean) for end in (low, high) if least < end < most] or [(most - least) / 2]
    observed = sum(sides) / len(sides) / (most - least)
    small, large = 0.0, 0.25
    for _ in range(30):
        middle = (small + large) / 2
        wide = _bernstein_radius(entry["n"], middle, level) > observed
        small, large = (small, middle) if wide else (middle, large)
    return large


def _float_span(terms: Terms, ends: list[tuple[float, float]]) -> tuple[float, float]:
    if len(ends) == 1:
        ((low, high),) = ends
        return max(0.0, low, -high), max(high, -low)
    (low_a, high_a), (low_b, high_b) = ends
    if terms.form == "difference":
        return max(0.0, low_a - high_b, low_b - high_a), max(high_a - low_b, high_b - low_a)
    tiny = 1e-12
    low = min(low_a / max(high_b, tiny), low_b / max(high_a, tiny))
    return low, min(high_a / max(low_b, tiny), high_b / max(low_a, tiny))


def _bernstein_radius(n: float, variance: float, level: float) -> float:
    """The radius that `empirical_bernstein` tends to under this variance, integrated over a grid of times."""
    times = np.geomspace(1, max(n, 2), 400)
    rate = np.minimum(np.sqrt(2 * level / (max(variance, 1e-9) * times * np.log1p(times))), 0.5)
    weight = float(np.trapezoid(rate, times)) + 0.5
    loss = float(np.trapezoid(variance * psi_times_four(rate), times))
    return (level + loss) / weight
