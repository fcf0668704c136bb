"""Leaves that bound f with ranges of neurons that most units of a box respect, not all: fewer errors, for a few units.

Theorem. Up the layers, give neuron j of layer k a range [l, u] of any kind. Let C(x − middle) + c ± e enclose its z at
every x of the box at which all neurons below are in their ranges (`enclosures.enclose`). Bad_kj: the units z that have
some x in S(z) with C(x − middle) + c − e < l or C(x − middle) + c + e > u. Then, by induction over the layers, for a
unit outside all Bad_kj every neuron is in its range at every x of S(z): for the neurons of layer k this holds as those
below are in theirs, so z is in C(x − middle) + c ± e, and this in [l, u]. So the lines, which are sound in these
ranges, enclose f on S(z), and (1), (2) and (3) of `counting` say of z what is true. They need no other points than
those of S(z); fibres and ∂f/∂x do, so nothing is claimed by these (`spread` is infinite).

Counts. With P, N, F the units of (1), (2), (3), and B ≥ |∪ Bad|: |P| − B are positive, |N| − B negative, |P| + |N| − B
fair, |F| − B unfair; as P, N and F less the bad units are sets of units for which it is true, all of these hold at
once. |∪ Bad| ≤ Σ |Bad_kj|, and Bad_kj = ∅ where [l, u] is what `enclose` finds. Else C(x − middle) + c ± e is an
enclosure of one function like any other, and with it (1) says for how many units z − l > 0 on all of S(z), (2) for how
many z − u ≤ 0: the others may be bad. These counts are less than the truth, so their complements are more than it.
Sensitive, relaxed and one-hot inputs and cells of continuous features are what they are in `counting`.

Float32. What it may add to f is bounded from the ranges that hold for all units, hence for these.

Which ranges are taken is free. The rule is that of the engine: what a shorter range costs in units against what its
error costs, by how f depends on the neuron in the untrimmed enclosure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual import counting
from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.counting import FALSIFIED, MIXED, NEGATIVE, POSITIVE
from certifair.checks._individual.enclosures import Enclosure, enclose
from certifair.checks._individual.floats import Array, Prepared, quiet

Ints = NDArray[np.int64]

PRICE: Final = 0.2
STEPS: Final = (1.5, 2.0, 2.5, 3.0, 3.5)
"""Standard deviations at which a range may be cut off."""


@quiet
def count(
    net: Prepared, frame: Frame, low: Array, high: Array, box: Enclosure, errors: Array
) -> tuple[Array, Array]:
    """`counting.count` of boxes of units, whose untrimmed enclosures are `box`: the better of both."""
    none = np.full(len(low), -1)
    plain, cells = counting.count(frame, low, high, box, errors, none)
    trim = Trim(frame, low, high, box)
    inner = enclose(net, *frame.hull(*frame.relaxed(low, high)), trim)
    found, cells = counting.count(frame, low, high, replace(inner, spread=inner.spread + np.inf), errors, none)
    bad = np.minimum(np.ceil(trim.share * cells * (1 + 2.0**-30)), cells) if frame.continuous.any() else trim.bad
    return _better(plain, _less(found, bad[:, None])), cells


def _less(found: Array, bad: Array) -> Array:
    """(boxes, levels, 4) What is true whichever the bad units are."""
    fair = np.maximum(found[..., POSITIVE] + found[..., NEGATIVE] + found[..., MIXED] - bad, 0.0)
    less = np.maximum(found - bad[..., None], 0.0)
    less[..., MIXED] = np.maximum(fair - less[..., POSITIVE] - less[..., NEGATIVE], 0.0)
    return less


def _better(one: Array, two: Array) -> Array:
    """Of each box and level the counts with more fair units, and with more unfair ones."""
    more = two[..., :FALSIFIED].sum(axis=-1) > one[..., :FALSIFIED].sum(axis=-1)
    found = np.where(more[..., None], two, one)
    found[..., FALSIFIED] = np.maximum(one[..., FALSIFIED], two[..., FALSIFIED])
    return found


@final
class Trim:
    """Shorter ranges for the neurons of boxes, layer by layer; bad (boxes,): at least as many units leave them."""

    def __init__(self, frame: Frame, low: Array, high: Array, box: Enclosure) -> None:
        self._frame, self._low, self._high, self._box = frame, low, high, box
        self._variance, self._fourth = _moments(frame, low, high)
        deviation = np.sqrt(_variance(frame, low, high, box.slope))
        self._price = [PRICE * size / np.maximum(deviation, 1e-30)[:, None] for size in box.size]
        self.bad = np.zeros(len(low))
        self.share = np.zeros(len(low))
        self.pairs = 0

    def __call__(self, k: int, slant: Array, centre: Array, reach: Array, error: Array) -> tuple[Array, Array]:
        """Ranges of layer k, whose z is slant·(x − middle) + centre ± error, at most ± reach."""
        low, high = centre - reach, centre + reach
        row, j = np.nonzero((low < 0) & (high > 0) & (self._price[k] > 0))
        if not len(row):
            return low, high
        slope = slant[row if len(slant) > 1 else 0 * row, :, j]
        ends = _chosen(
            (low[row, j], centre[row, j], high[row, j]),
            slope, self._box.radius[row], self._variance[row], self._fourth[row], self._price[k][row, j],
        )
        cut_low, cut_high = ends[0] > low[row, j], ends[1] < high[row, j]
        some = np.flatnonzero(cut_low | cut_high)
        if len(some):
            row, j = row[some], j[some]
            low[row, j], high[row, j] = ends[0][some], ends[1][some]
            self._count(row, slope[some], centre[row, j], error[row, j], ends[0][some], ends[1][some], cut_low[some], cut_high[some])
        return low, high

    def _count(self, row, slope, centre, error, low, high, cut_low, cut_high) -> None:
        self.pairs += len(row)
        box = Enclosure(
            self._box.middle[row], self._box.radius[row], centre, slope, error, np.full_like(slope, np.inf),
            self._box.ranges, [],
        )
        zero = np.zeros((len(row), 1))
        none = np.full(len(row), -1)
        args = self._frame, self._low[row], self._high[row]
        a, cells = counting.count(*args, replace(box, centre=centre - low), zero, none)
        b, cells = counting.count(*args, replace(box, centre=centre - high), zero, none)
        bad = np.where(cut_low, cells - a[:, 0, POSITIVE], 0.0) + np.where(cut_high, cells - b[:, 0, NEGATIVE], 0.0)
        np.add.at(self.bad, row, bad)
        np.add.at(self.share, row, bad / cells * (1 + 2.0**-40))


def _moments(frame: Frame, low: Array, high: Array) -> tuple[Array, Array]:
    """(boxes, n0) Of inputs that are spread evenly, neither relaxed nor one-hot: variance and fourth cumulant."""
    variance, fourth = np.zeros((2, len(low), frame.domain.inputs))
    for i in frame.unit.tolist():
        feature = frame.domain.features[i]
        if feature.kind == "one_hot" or feature.eps:
            continue
        width, c = high[:, i] - low[:, i], frame.first[i]
        if frame.is_range[i]:
            variance[:, c], fourth[:, c] = width**2 / 12, -(width**4) / 120
        else:
            variance[:, c], fourth[:, c] = ((width + 1) ** 2 - 1) / 12, (1 - (width + 1) ** 4) / 120
    return variance, fourth


def _variance(frame: Frame, low: Array, high: Array, slope: Array) -> Array:
    """(boxes,) Of s over the units."""
    found = np.zeros(len(low))
    for i in frame.unit.tolist():
        columns = list(frame.domain.columns[i])
        if frame.domain.features[i].kind == "one_hot":
            place = np.arange(len(columns))
            there = (low[:, i, None] <= place) & (place <= high[:, i, None])
            n = there.sum(axis=1)
            some = np.where(there, slope[:, columns], 0.0)
            found += (some**2).sum(axis=1) / n - (some.sum(axis=1) / n) ** 2
            continue
        width = high[:, i] - low[:, i]
        found += slope[:, columns[0]] ** 2 * (width**2 if frame.is_range[i] else (width + 1) ** 2 - 1) / 12
    return np.maximum(found, 0.0)


def _chosen(ends, slope, radius, variance, fourth, price) -> tuple[Array, Array]:
    low, centre, high = ends
    square = slope * slope
    sigma2 = (square * variance).sum(axis=1)
    excess = np.where(sigma2 > 0, (square * square * fourth).sum(axis=1) / sigma2**2, 0.0)
    sigma = np.sqrt(sigma2)
    base = np.maximum(high - centre - (np.abs(slope) * radius * (variance > 0)).sum(axis=1), 0.0)
    least, most = low.copy(), high.copy()
    cost = price * low * high / (low - high)
    for x in STEPS:
        reach = x * sigma + base
        down, up = np.maximum(low, centre - reach), np.minimum(high, centre + reach)
        share = _tail(np.full(len(low), x), excess) * ((down > low) * 1.0 + (up < high))
        other = share + price * down * up / (down - up)
        better = (down < 0) & (up > 0) & ((down > low) | (up < high)) & (other < cost) & (sigma > 0)
        least, most, cost = np.where(better, down, least), np.where(better, up, most), np.where(better, other, cost)
    share = _tail((np.abs(centre) - base) / sigma, excess)
    better = (np.abs(centre) > base) & (sigma > 0) & (share < cost)
    least = np.where(better, np.where(centre > 0, 0.0, low), least)
    most = np.where(better, np.where(centre > 0, high, 0.0), most)
    return least, most


def _tail(x: Array, excess: Array) -> Array:
    """About the share of a sum of independent terms beyond x standard deviations, x ≥ 0."""
    density = 0.3989422804014327 * np.exp(-0.5 * x * x)
    t = 1 / (1 + 0.2316419 * x)
    normal = density * t * (
        0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429)))
    )
    return np.maximum(normal + density * excess * (x * x * x - 3 * x) / 24, 0.1 * normal)
