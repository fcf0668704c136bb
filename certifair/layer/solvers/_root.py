"""One row: its multiplier is the root of a falling, piecewise linear function of one number, found between brackets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from certifair.layer.solvers._kernels import Box, Numbers, _tally_exact, _tally_few, _tally_many
from certifair.layer.solvers.base import Floats, Problem


@njit(cache=True, nogil=True)
def _row(
    z: Numbers, codes: Any, row: Floats, offset: float, box: Box, unit: float, nu: float
) -> tuple[float, float]:  # pragma: no cover — compiled
    """(a·y(ν) − b, minus its slope) at y = clip(z − ν a)."""
    shift, rest, out = nu * row, np.zeros(len(row)), np.zeros((2, len(row)))
    if unit > 0:
        sums = np.zeros((2, len(row)), dtype=np.int64)
        _tally_exact(z, codes, shift, rest, box, unit, sums, out[1])
        for j in range(len(row)):
            out[0, j] = (sums[0, j] * 1048576.0 + sums[1, j]) / unit
    elif len(row) <= 2:
        _tally_few(z, codes, shift, box, out)
    else:
        _tally_many(z, codes, shift, rest, box, out)
    value, slope = -offset, 0.0
    for j in range(len(row)):
        value += row[j] * out[0, j]
        slope += row[j] * row[j] * out[1, j]
    return value, slope


@njit(cache=True, nogil=True)
def _find(
    z: Numbers, codes: Any, row: Floats, box: Box, unit: float, demand: tuple[float, float, float], start: float
) -> tuple[float, float]:  # pragma: no cover — compiled
    offset, epsilon, noise = demand
    value, slope = _row(z, codes, row, offset, box, unit, start)
    if start != 0.0 and value * start <= 0:  # a start on the wrong side says nothing
        start = 0.0
        value, slope = _row(z, codes, row, offset, box, unit, start)
    if start == 0.0 and abs(value) <= epsilon:
        return 0.0, 0.0
    sign = 1.0 if value > 0 else -1.0
    t, low, high, best, left = sign * start, 0.0, np.inf, 0.0, np.inf
    for count in range(300):
        excess = sign * value - epsilon  # falls as t grows
        if abs(excess) < left:
            best, left = t, abs(excess)
        if abs(excess) <= noise:
            break
        if excess > 0:
            low = t
        else:
            high = t
        if high == 0.0:
            break
        following = t + excess / slope if slope > 0 else -1.0
        if not low < following < high or count % 4 == 3:
            following = 2.0 * max(low, 1.0) if high == np.inf else low + (high - low) / 2
        if not low < following < high or following > 1e30:
            break
        t = following
        value, slope = _row(z, codes, row, offset, box, unit, sign * t)
    return sign * best, left


def find_root(problem: Problem, epsilon: float, start: float, unit: float, noise: float) -> tuple[float, float]:
    """(ν, how far the row is from optimality): 0 if |a·y(0) − b| ≤ ε, else where a·y(ν) − b is ±ε.

    r(ν) = a·y(ν) − b never rises. Where r(0) > ε the root of r = ε lies at ν > 0, where r(0) < −ε that of r = −ε at
    ν < 0. Newton's steps are exact on the last piece; where one leaves the bracket, and every fourth time, a bisection.
    A start with r(ν)·ν > 0 lies on the right side; whether ν = 0 would do is then seen at the lower end of the bracket.
    """
    rows = problem.rows
    row, demand = rows.matrix[0], (float(rows.offset_floats[0]), epsilon, noise)
    nu, left = _find(problem.scores, problem.joint, row, problem.box, unit, demand, start)
    if (start and nu * start <= 0) or left > noise:  # from a start the search may have run into 0: once more from there
        nu, left = _find(problem.scores, problem.joint, row, problem.box, unit, demand, 0.0)
    return float(nu), float(left)
