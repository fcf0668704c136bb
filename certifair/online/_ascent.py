"""Compiled: the clipped scores that pay least, distance and penalties together, rounded and added up.

    minimise ‖y − z‖² + Σ_k 2 w_k |a_k · y|   over the box,   a_k · y = mean of cell a − mean of cell b.

w_k |a_k · y| is the largest ν_k (a_k · y) over |ν_k| ≤ w_k. Exchanging min and max leaves the minimiser
y(ν) = clip(z − Σ_k ν_k a_k) and a concave dual, piecewise quadratic, with the derivative 2 a_k · y(ν) in ν_k. It is
climbed one row at a time, each by the root of a falling piecewise linear function, and after each round once along
Newton's direction of the rows strictly between their limits, which ends the climb on the last piece. Every step goes
up, so the rounds by themselves already converge.

A *batch* is (v, starts, box): the scores sorted by joint cell, where each begins (J + 1), the box. *Terms* are
(rows, limits): a_k by joint cell (K, J), w (K,). A *point* is (nu, shift, slopes, free): ν (K,), Σ ν_k a_k by joint
cell (J,), a_k · y (K,), the people who are not clipped (J,).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from certifair.layer.solvers._kernels import _add

_BLOCK = 4096
_ROUNDS = 400
_MOST_NEWTON = 256
_LARGEST = 2.0**100
"""No limit is larger: from here 200 bisections still lead to any root. Scores beyond it just stay clipped."""


@njit(cache=True, nogil=True)
def _clipped(
    v: Any, begin: int, end: int, shift: float, box: tuple[float, float]
) -> tuple[float, float]:  # pragma: no cover — compiled
    """Of the people begin … end − 1: sum of clip(v − shift), and how many are not clipped. In blocks: less rounding."""
    lower, upper = box
    total, free = 0.0, 0.0
    for first in range(begin, end, _BLOCK):
        partial = 0.0
        for i in range(first, min(first + _BLOCK, end)):
            w = v[i] - shift
            y = min(max(w, lower), upper)
            partial += y
            free += 1.0 if y == w else 0.0
        total += partial
    return total, free


@njit(cache=True, nogil=True)
def _along(batch: Any, shift: Any, moves: Any, t: float) -> tuple[float, float]:  # pragma: no cover — compiled
    """Half the dual's derivative along `moves` at shift + t·moves, and minus the slope of that."""
    v, starts, box = batch
    value, slope = 0.0, 0.0
    for j in range(len(shift)):
        m = moves[j]
        if m != 0.0:
            total, free = _clipped(v, starts[j], starts[j + 1], shift[j] + t * m, box)
            value += m * total
            slope += m * m * free
    return value, slope


@njit(cache=True, nogil=True)
def _climb(
    batch: Any, shift: Any, moves: Any, reach: tuple[float, float], noise: float
) -> float:  # pragma: no cover — compiled
    """The t in [−reach[0], reach[1]] at which the dual is highest: the root of `_along`, or the end on its side.

    Newton's step is exact on the last piece; where one leaves the bracket, and every fourth time, a bisection.
    """
    value, slope = _along(batch, shift, moves, 0.0)
    if abs(value) <= noise:
        return 0.0
    sign, end = (1.0, reach[1]) if value > 0 else (-1.0, reach[0])
    value *= sign
    low, high, t, best, left, closed = 0.0, end, 0.0, 0.0, value, False
    for count in range(200):
        following = t + value / slope if slope > 0 else np.inf
        if not closed and following >= high:
            following = high
        elif not low < following < high or count % 4 == 3:
            following = low + (high - low) / 2
            if not low < following < high:
                break
        t = following
        value, slope = _along(batch, shift, moves, sign * t)
        value *= sign
        if t == end and value >= -noise:
            return sign * end
        if abs(value) < left:
            best, left = t, abs(value)
        if abs(value) <= noise:
            break
        if value > 0:
            low = t
        else:
            high, closed = t, True
    return sign * best


@njit(cache=True, nogil=True)
def _round(batch: Any, terms: Any, point: Any, noise: float) -> float:  # pragma: no cover — compiled
    """Climb along every row once. Returns how far the worst row is from optimality then; writes slopes and free."""
    (v, starts, box), (rows, limits), (nu, shift, slopes, free) = batch, terms, point
    for k in range(len(limits)):
        reach = (limits[k] + nu[k], limits[k] - nu[k])
        t = _climb(batch, shift, rows[k], reach, noise)
        if t != 0.0:
            nu[k] = limits[k] if t == reach[1] else -limits[k] if t == -reach[0] else nu[k] + t
            shift += t * rows[k]
    if len(limits) == 1:
        return 0.0
    sums, worst = np.zeros(len(shift)), 0.0
    for j in range(len(shift)):
        sums[j], free[j] = _clipped(v, starts[j], starts[j + 1], shift[j], box)
    for k in range(len(limits)):
        slopes[k] = 0.0
        for j in range(len(shift)):
            slopes[k] += rows[k, j] * sums[j]
        if (slopes[k] > 0 and nu[k] < limits[k]) or (slopes[k] < 0 and nu[k] > -limits[k]):
            worst = max(worst, abs(slopes[k]))
    return worst


@njit(cache=True, nogil=True)
def _hessian(rows: Any, inner: Any, free: Any) -> Any:  # pragma: no cover — compiled
    """The lower half of A D Aᵀ of the rows `inner`, and a little more: rows may depend on each other."""
    size, largest = len(inner), 0.0
    h = np.zeros((size, size))
    for p in range(size):
        for q in range(p + 1):
            for j in range(len(free)):
                h[p, q] += rows[inner[p], j] * rows[inner[q], j] * free[j]
        largest = max(largest, h[p, p])
    for p in range(size):
        h[p, p] += 1e-12 * largest
    return h


@njit(cache=True, nogil=True)
def _solve(h: Any, d: Any) -> None:  # pragma: no cover — compiled
    """d becomes h⁻¹ d, by Cholesky, within h; no pivot is taken for smaller than rounding may make it."""
    size, least = len(d), 1e-13 * np.diag(h).max()
    for p in range(size):
        for q in range(p + 1):
            for j in range(q):
                h[p, q] -= h[p, j] * h[q, j]
            h[p, q] = np.sqrt(max(h[p, p], least)) if p == q else h[p, q] / h[q, q]
        for j in range(p):
            d[p] -= h[p, j] * d[j]
        d[p] /= h[p, p]
    for p in range(size - 1, -1, -1):
        for j in range(p + 1, size):
            d[p] -= h[j, p] * d[j]
        d[p] /= h[p, p]


@njit(cache=True, nogil=True)
def _leap(batch: Any, terms: Any, point: Any, noise: float) -> None:  # pragma: no cover — compiled
    """Climb along Newton's direction, at most to where the first row reaches its limit."""
    (rows, limits), (nu, shift, slopes, free) = terms, point
    inner = np.flatnonzero(np.abs(nu) < limits)
    h = _hessian(rows, inner[:_MOST_NEWTON], free)
    if not 2 <= len(inner) <= _MOST_NEWTON or np.diag(h).max() == 0.0:
        return
    d = slopes[inner]
    _solve(h, d)
    most, first = np.inf, -1
    moves = np.zeros(len(shift))
    for p in range(len(inner)):
        limit = limits[inner[p]] if d[p] > 0 else -limits[inner[p]]
        if d[p] != 0.0 and (limit - nu[inner[p]]) / d[p] < most:
            most, first = (limit - nu[inner[p]]) / d[p], p
        moves += d[p] * rows[inner[p]]
    if first < 0:
        return
    t = _climb(batch, shift, moves, (0.0, most), noise * np.abs(d).sum())
    for p in range(len(inner)):
        limit = limits[inner[p]]
        nu[inner[p]] = min(max(nu[inner[p]] + t * d[p], -limit), limit)
    if t == most:
        nu[inner[first]] = limits[inner[first]] if d[first] > 0 else -limits[inner[first]]
    shift[:] = 0.0  # anew: what rounding has left in it would otherwise stay
    for k in range(len(nu)):
        shift += nu[k] * rows[k]


@njit(cache=True, nogil=True)
def _maximise(batch: Any, terms: Any) -> Any:  # pragma: no cover — compiled
    """The shift of each joint cell, (J,), at the top of the dual."""
    count, width = terms[0].shape
    lower, upper = batch[2]
    tolerance = (2.0**-48 + min(len(batch[0]), _BLOCK) * 2.0**-54) * max(abs(lower), abs(upper))
    point = (np.zeros(count), np.zeros(width), np.zeros(count), np.zeros(width))
    best, least, since = np.zeros(width), np.inf, 0
    for _ in range(_ROUNDS):
        left = _round(batch, terms, point, tolerance / 8)
        since += 1
        if left < least:
            best[:], least, since = point[1], left, 0
        if left <= tolerance or since > 16 + 2 * count:
            break
        _leap(batch, terms, point, tolerance / 8)
    return best


@njit(cache=True, nogil=True)
def _sorted(z: Any, joint: Any, width: int) -> Any:  # pragma: no cover — compiled
    """(v, starts, present, place): scores by joint cell, where each begins, which they are, whose is which."""
    counts = np.zeros(width, dtype=np.int64)
    for i in range(len(z)):
        counts[joint[i]] += 1
    present = np.flatnonzero(counts)
    number, starts = np.zeros(width, dtype=np.int64), np.zeros(len(present) + 1, dtype=np.int64)
    for p in range(len(present)):
        number[present[p]] = p
        starts[p + 1] = starts[p] + counts[present[p]]
    v, place, following = np.empty(len(z)), np.empty(len(z), dtype=np.int64), starts.copy()
    for i in range(len(z)):
        p = number[joint[i]]
        v[following[p]], place[i] = z[i], p
        following[p] += 1
    return v, starts, present, place


@njit(cache=True, nogil=True)
def _matrix(rows: Any, weighty: Any, cells: Any, people: Any) -> Any:  # pragma: no cover — compiled
    """a_k of the rows `weighty`, by joint cell; `cells` (partitions, J) says which cell each joint cell is in."""
    found = np.zeros((len(weighty), cells.shape[1]))
    for w in range(len(weighty)):
        a, b, partition = rows[weighty[w]]
        for p in range(cells.shape[1]):
            if cells[partition, p] == a:
                found[w, p] = 1.0 / people[a]
            elif cells[partition, p] == b:
                found[w, p] = -1.0 / people[b]
    return found


@njit(cache=True, nogil=True)
def serve(
    z: Any, joint: Any, cell_of: Any, rows: Any, limits: Any, count: int, grid: tuple[float, float, float]
) -> Any:  # pragma: no cover — compiled
    """(y, people, sums): predictions (n,) on the grid; of each of `count` cells the people (C,), the sum of y (2, C).

    `z` and `joint` (n,); `cell_of` (partitions, joint cells); `rows` (K, 3): two cells and their partition; `limits`
    (K,): w; a row with an empty cell does not matter. `grid` is (lower, upper, scale): box and predictions are
    multiples of 1/scale, a power of two, at most 2⁴⁰ times that. A sum is (sums[0]·2²⁰ + sums[1]) / scale, exactly.
    """
    lower, upper, scale = grid
    v, starts, present, place = _sorted(z, joint, cell_of.shape[1])
    cells = cell_of[:, present]
    people, sums = np.zeros(count, dtype=np.int64), np.zeros((2, count), dtype=np.int64)
    for q in range(len(cells)):
        for p in range(len(present)):
            people[cells[q, p]] += starts[p + 1] - starts[p]
    weighty = np.flatnonzero((limits > 0) & (people[rows[:, 0]] > 0) & (people[rows[:, 1]] > 0))
    shift = np.zeros(len(present))
    if len(weighty):
        terms = (_matrix(rows, weighty, cells, people), np.minimum(limits[weighty], _LARGEST))
        shift = _maximise((v, starts, (lower, upper)), terms)
    y, totals = np.empty(len(z)), np.zeros((2, len(present)), dtype=np.int64)
    for i in range(len(z)):
        steps = np.rint(min(max(z[i] - shift[place[i]], lower), upper) * scale)
        y[i] = steps / scale
        _add(totals, place[i], np.int64(steps))
    for q in range(len(cells)):
        for p in range(len(present)):
            sums[:, cells[q, p]] += totals[:, p]
    return y, people, sums
