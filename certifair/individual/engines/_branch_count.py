"""Compiled: which share of a box's units an enclosure f ∈ c + g·t ± e decides.

The enclosure's sum s over the features that are not sensitive has one distribution over the units, since units are
spread evenly: a convolution on a grid. Shares here are estimates (bins are rounded to nearest): a checker counts.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from certifair.individual.engines._branch_enclosure import Floats, Indices
from certifair.individual.engines._branch_vectors import compiled, compiled_loosely

INTEGER, CONTINUOUS, ONE_HOT = range(3)
_COARSE = 0.7
"""Steps of less than so many bins are spread over all of them."""
_SAMPLES = 64


class Axes(NamedTuple):
    """The features: kind, first column, width in columns, whether sensitive, eps, range (positions of one-hot)."""

    kind: Indices
    column: Indices
    width: Indices
    sensitive: NDArray[np.bool_]
    eps: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class Grid(NamedTuple):
    """Room for distributions of up to `bins` bins, their sums from below, and the order in which they are made."""

    bins: int
    here: Floats
    there: Floats
    below: NDArray[np.float64]
    order: Indices
    span: NDArray[np.float64]
    four: NDArray[np.float64]


class Reach(NamedTuple):
    """What the flip set adds to s: at least low, at most high; |f(p) − f(p')| ≤ most; for some pair ≥ least.

    Sensitive features alone add down at least and up at most, and both do occur: relaxed ones end with the domain.
    """

    low: float
    high: float
    down: float
    up: float
    most: float
    least: float


@compiled
def one_hot(column: int, low: int, high: int, g: Any, rho: Any) -> Any:
    """(least, most, largest difference, surest difference) of the values' contributions, and the middle of the ends.

    A value's contribution is 2·g of its input less Σg over the values that are left.
    """
    least, most, total, far, sure = np.inf, -np.inf, 0.0, 0.0, 0.0
    for v in range(low, high + 1):
        x = 2.0 * g[column + v]
        least, most, total = min(least, x), max(most, x), total + g[column + v]
        for u in range(low, v):
            gap, slack = abs(x - 2.0 * g[column + u]), 2.0 * (rho[column + v] + rho[column + u])
            far, sure = max(far, gap + slack), max(sure, gap - slack)
    return least - total, most - total, far, sure


@compiled
def reach_of(axes: Axes, low: Any, high: Any, half: Any, g: Any, rho: Any) -> Reach:
    """Sensitive features over all their values that are left, relaxed ones by ±eps."""
    least, most, far, sure, moved = 0.0, 0.0, 0.0, 0.0, 0.0
    for a in range(len(low)):
        column = axes.column[a]
        if axes.sensitive[a] and high[a] > low[a]:
            if axes.kind[a] == ONE_HOT:
                down, up, gap, surely = one_hot(column, int(low[a]), int(high[a]), g, rho)
                least, most, far, sure = least + down, most + up, far + gap, sure + surely
            else:
                size = abs(g[column])
                least, most, far = least - size, most + size, far + 2.0 * (size + rho[column])
                sure += max(0.0, 2.0 * (size - rho[column]))
        elif axes.eps[a] > 0 and half[column] > 0:
            part = axes.eps[a] / half[column]
            size = abs(g[column]) * part
            moved += size
            far += 2.0 * (size + part * rho[column])
    return Reach(least - moved, most + moved, least, most, far, sure)


@compiled
def levels(axes: Axes, low: Any, high: Any, a: int) -> int:
    """How many values are left; 0: a continuous range."""
    return 0 if axes.kind[a] == CONTINUOUS else int(high[a] - low[a]) + 1


@compiled
def fibre(axes: Axes, low: Any, high: Any, g: Any, rho: Any, most: float) -> Any:
    """(feature, share of a fibre that can be unfair), 1 if f is monotone in none; then the feature of most effect."""
    best, share, widest, size = -1, 1.0, -1, -1.0
    for a in range(len(low)):
        column, kind = axes.column[a], axes.kind[a]
        if axes.sensitive[a] or axes.eps[a] > 0 or kind == ONE_HOT or high[a] <= low[a]:
            continue
        slope = abs(g[column])
        if slope > size:
            widest, size = a, slope
        rise = 2.0 * (slope - rho[column])
        if rise <= 0:
            continue
        count = levels(axes, low, high, a)
        part = most / rise if count == 0 else math.ceil(most / rise * (count - 1)) / count
        if part < share:
            best, share = a, part
    return (best, share) if best >= 0 else (widest, 1.0)


@compiled
def _spans(axes: Axes, low: Any, high: Any, g: Any, skip: int, grid: Grid) -> Any:
    """The features that s is made of, from the smallest effect to the largest: (how many, total, middle)."""
    count, total, middle = 0, 0.0, 0.0
    for a in range(len(low)):
        if axes.sensitive[a] or a == skip or high[a] <= low[a]:
            continue
        if axes.kind[a] == ONE_HOT:
            least, most, _, _ = one_hot(axes.column[a], int(low[a]), int(high[a]), g, g)
            span = 0.5 * (most - least)
            middle += 0.5 * (most + least)
        else:
            span = float(abs(g[axes.column[a]]))
        if span <= 0:
            continue
        i = count
        while i > 0 and grid.span[grid.order[i - 1]] > span:
            grid.order[i] = grid.order[i - 1]
            i -= 1
        grid.order[i], grid.span[a] = a, span
        count, total = count + 1, total + span
    return count, total, middle


@compiled_loosely
def _shift(y: Any, x: Any, by: int, weight: Any) -> None:
    for b in range(len(x)):
        y[by + b] += weight * x[b]


@compiled_loosely
def _spread(y: Any, x: Any, extent: int) -> None:
    """x evenly over extent + 1 bins."""
    total, weight, n = np.float32(0), np.float32(1.0 / (extent + 1)), len(x)
    for b in range(n + extent):
        if b < n:
            total += x[b]
        if b > extent:
            total -= x[b - extent - 1]
        y[b] = total * weight


@compiled
def _step(axes: Axes, ends: Any, a: int, span: float, g: Any, x: Any, y: Any) -> Any:
    """The distribution x with feature a added, in y; span is half its range, in bins. Returns how many bins."""
    low, high = ends
    n, count, extent = len(x), levels(axes, low, high, a), int(2 * span + 0.5)
    if extent == 0:
        for b in range(n):
            y[b] = x[b]
        return n
    weight = np.float32(1.0 / max(count, 1))
    if axes.kind[a] == ONE_HOT:
        y[: n + extent] = np.float32(0)
        first, last = axes.column[a] + int(low[a]), axes.column[a] + int(high[a])
        least = most = g[first]
        for v in range(first, last + 1):
            least, most = min(least, g[v]), max(most, g[v])
        for v in range(first, last + 1):
            _shift(y, x, int(extent * (g[v] - least) / (most - least) + 0.5), weight)
    elif count == 0 or 2 * span / (count - 1) < _COARSE:
        _spread(y, x, extent)
    else:
        y[: n + extent] = np.float32(0)
        for v in range(count):
            _shift(y, x, int(v * (2 * span / (count - 1)) + 0.5), weight)
    return n + extent


@compiled
def distribute(axes: Axes, low: Any, high: Any, g: Any, skip: int, grid: Grid) -> Any:
    """The distribution of s without feature `skip`, summed up in grid.below: (bins, width of a bin, low end)."""
    count, total, middle = _spans(axes, low, high, g, skip, grid)
    x, y, n, width = grid.here, grid.there, 1, max(2 * total / grid.bins, 1e-30)
    x[0] = np.float32(1)
    for i in range(count):
        a = grid.order[i]
        n = _step(axes, (low, high), a, grid.span[a] / width, g, x[:n], y)
        x, y = y, x
    below = 0.0
    grid.below[0] = 0.0
    for b in range(n):
        below += x[b]
        grid.below[b + 1] = below
    for b in range(n + 1):
        grid.below[b] /= below
    return n, width, middle - 0.5 * n * width


@compiled
def _less(grid: Grid, spread: Any, x: float) -> float:
    """The share of the distribution below x."""
    n, width, start = spread
    place = (x - start) / width
    if place <= 0:
        return 0.0
    if place >= n:
        return 1.0
    b = int(place)
    here = grid.below[b]
    return float(here + (grid.below[b + 1] - here) * (place - b))


@compiled
def _less_with(grid: Grid, spread: Any, size: float, count: int, x: Any) -> None:
    """grid.four: `_less` of the four numbers in x, with a feature of half-range `size` and so many levels added."""
    total = grid.four
    total[:] = 0.0
    n = count if 0 < count <= _SAMPLES else _SAMPLES
    if size <= 0 or count == 1:
        n, size = 1, 0.0
    for v in range(n):
        if n == 1:
            place = 0.0
        elif n == count:
            place = 2.0 * v / (n - 1) - 1
        else:
            place = (2.0 * v + 1) / n - 1
        total[0] += _less(grid, spread, x[0] - size * place) / n
        total[1] += _less(grid, spread, x[1] - size * place) / n
        total[2] += _less(grid, spread, x[2] - size * place) / n
        total[3] += _less(grid, spread, x[3] - size * place) / n


@compiled
def count(axes: Axes, low: Any, high: Any, g: Any, rho: Any, enclosure: Any, grid: Grid) -> Any:
    """(certified, falsified, whether by fibres, their feature) of an enclosure (c, e, reach, feature k, share).

    Band: fair where s + c − e > −reach.low or s + c + e ≤ −reach.high; unfair where the flips surely lie on both sides.
    Fibres along k: of those not surely on one side at most `share` is unfair; of those where f surely crosses 0 for the
    lower of a pair, at least ⌊least/M⌋ points.
    """
    c, e, reach, k, share = enclosure
    spread = distribute(axes, low, high, g, k, grid)
    size, n = 0.0, 1
    if k >= 0:
        size, n = float(abs(g[axes.column[k]])), levels(axes, low, high, k)
    ends = (-(c - e + reach.low), -(c + e + reach.high), -(c - e + reach.up), -(c + e + reach.down))
    _less_with(grid, spread, size, n, ends)
    less = grid.four
    fair, unfair, fibres = 1 - less[0] + less[1], max(0.0, less[3] - less[2]), False
    if share < 1:
        cross = _less(grid, spread, ends[0] + size) - _less(grid, spread, ends[1] - size)
        if 1 - share * max(cross, 0.0) > fair:
            fair, fibres = 1 - share * max(cross, 0.0), True
        part, last = _unfair(reach.least, size + rho[axes.column[k]], n)
        if part > 0:
            first = -(c - e + reach.down) - size
            met = _less(grid, spread, ends[3] - size * (2 * last - 1)) - _less(grid, spread, first)
            if part * met > unfair:
                unfair, fibres = part * met, True
    return fair, unfair, fibres, k


@compiled
def _unfair(least: float, steep: float, n: int) -> Any:
    """(unfair share of a fibre that surely crosses, the last place, from 0 to 1, where it must not have crossed)."""
    if n == 0:
        part = min(1.0, least / (2 * steep))
        return part, part
    if n == 1:
        return 0.0, 0.0
    points = min(math.floor(least / (2 * steep) * (n - 1)), n - 1)
    return (points / n, (points - 1) / (n - 1)) if points >= 1 else (0.0, 0.0)
