"""Compiled: the projection of weighted points such that in each block the pooled means lie within a band.

    minimise Σ w_i (y_i − x_i)² over 0 ≤ y ≤ 1,   |m_c − t_b| ≤ slack_c for every inhabited cell c of block b,
    m_c = (totals_c + Σ_{i in c} w_i y_i) / divisors_c,   t_b free:

with equal slacks, that all pairs of means of a block differ by at most twice that. With multipliers f_c on the means,
the minimiser is y_i = clip(x_i − Σ of the lifts of i's cells), lift_c = f_c / divisors_c, and t_b being free asks for
Σ f_c = 0 in every block. One block at a time (which makes the concave dual rise, so it ends at the optimum; one
partition needs one pass): given t, each lift is the root of a falling, piecewise linear function, or 0 if the mean
is in the band; Σ f_c(t) falls in t, and t is its root.

*Points* are (x, w, starts): by joint cell, where each begins. A *layout* is that of `_pooled_cells`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_BLOCK = 1024


@njit(cache=True, nogil=True)
def _sum(cell: int, lift: float, layout: Any, base: Any, points: Any) -> tuple[float, float]:  # pragma: no cover
    """(Σ w y, Σ w of those who are not clipped) of a cell whose joint cells are shifted by base + lift."""
    x, w, starts = points
    total = free = 0.0
    for a in range(layout[1][cell], layout[1][cell + 1]):
        j = layout[2][a]
        shift = base[j] + lift
        for begin in range(starts[j], starts[j + 1], _BLOCK):  # in blocks: less rounding
            part = 0.0
            for i in range(begin, min(begin + _BLOCK, starts[j + 1])):
                v = x[i] - shift
                y = min(max(v, 0.0), 1.0)
                part += w[i] * y
                free += w[i] if v == y else 0.0
            total += part
    return total, free


@njit(cache=True, nogil=True)
def _lift(
    cell: int, start: float, wanted: float, layout: Any, base: Any, points: Any, noise: float, reach: float
) -> tuple[float, float]:  # pragma: no cover — compiled
    """(lift, slope) at which the cell's sum is `wanted`; slope −1: out of reach, all are at the end of the box."""
    low, high, lift = -reach, reach, start
    total, free = _sum(cell, lift, layout, base, points)
    for attempt in range(100):
        excess = total - wanted
        if abs(excess) <= noise:
            return lift, free
        if excess > 0:
            low = lift
        else:
            high = lift
        following = lift + excess / free if free > 0 else low - 1.0
        if not low < following < high or attempt % 6 == 5:
            following = low + (high - low) / 2
        if not low < following < high:
            break
        lift = following
        total, free = _sum(cell, lift, layout, base, points)
    return lift, free if free > 0 else -1.0


@njit(cache=True, nogil=True)
def _balance(
    block: tuple[int, int], t: float, lifts: Any, means: Any, demand: Any, layout: Any, base: Any, points: Any
) -> tuple[float, float]:  # pragma: no cover — compiled
    """(Σ f_c, minus its slope) with the band around t; sets the block's lifts. What cannot be reached weighs most."""
    totals, divisors, slack, noise, reach = demand
    force = slope = 0.0
    for c in range(block[0], block[1]):
        mean = means[c - block[0]]
        target = min(max(mean, t - slack[c]), t + slack[c])
        if divisors[c] <= 0 or target == mean:
            lifts[c] = 0.0
            continue
        start = lifts[c] if (mean - target) * lifts[c] > 0 else 0.0
        wanted = target * divisors[c] - totals[c]
        lifts[c], free = _lift(c, start, wanted, layout, base, points, noise * divisors[c], reach)
        if free < 0:
            force += 1e200 if lifts[c] > 0 else -1e200
            slope = np.inf
        else:
            force += divisors[c] * lifts[c]
            slope += divisors[c] * divisors[c] / free if free > 0 else np.inf
    return force, slope


@njit(cache=True, nogil=True)
def _solve_block(
    block: tuple[int, int], lifts: Any, demand: Any, layout: Any, base: Any, points: Any
) -> None:  # pragma: no cover — compiled
    """The best lifts of one block, the others' as they are."""
    totals, divisors, slack, noise, _ = demand
    means = np.zeros(block[1] - block[0])
    low, high = np.inf, -np.inf  # the band's middle must be at most low, and at least high, for no lift at all
    for c in range(block[0], block[1]):
        if divisors[c] > 0:
            mean = (totals[c] + _sum(c, 0.0, layout, base, points)[0]) / divisors[c]
            means[c - block[0]] = mean
            low, high = min(low, mean + slack[c]), max(high, mean - slack[c])
    if high <= low:
        lifts[block[0] : block[1]] = 0.0
        return
    t = low + (high - low) / 2
    for attempt in range(60):
        force, slope = _balance(block, t, lifts, means, demand, layout, base, points)
        if force > 0:
            low = t
        else:
            high = t
        following = t + force / slope if 0 < slope < np.inf else low - 1.0
        if abs(following - t) <= noise:
            return
        if not low < following < high or attempt % 6 == 5:
            following = low + (high - low) / 2
        if not low < following < high:
            return
        t = following


@njit(cache=True, nogil=True)
def _others(block: tuple[int, int], lifts: Any, layout: Any, base: Any) -> float:  # pragma: no cover — compiled
    """Sets `base` to the lifts of all other blocks; returns how far a lift may have to go."""
    cell_of, starts, members, _, _ = layout
    farthest = 0.0
    for a in range(starts[block[0]], starts[block[1]]):
        j = members[a]
        base[j] = 0.0
        for p in range(len(cell_of)):
            c = cell_of[p, j]
            base[j] += 0.0 if block[0] <= c < block[1] else lifts[c]
        farthest = max(farthest, abs(base[j]))
    return farthest + 4.0


@njit(cache=True, nogil=True)
def project(
    condition: int, layout: Any, points: Any, demand: Any, lifts: Any, noise: float, rounds: int
) -> None:  # pragma: no cover — compiled
    """Set the lifts (C,) of a condition's cells, from those that stand there; means are good to `noise`.

    `demand` is (totals, divisors, slack), (C,) each.
    """
    totals, divisors, slack = demand
    blocks, conditions = layout[3], layout[4]
    base = np.zeros(layout[0].shape[1])
    single = len(layout[0]) == 1
    for _ in range(rounds):
        moved = 0.0
        for b in range(condition, len(blocks) - 1, conditions):
            block = (blocks[b], blocks[b + 1])
            reach = _others(block, lifts, layout, base)
            before = lifts[block[0] : block[1]].copy()
            _solve_block(block, lifts, (totals, divisors, slack, noise, reach), layout, base, points)
            moved = max(moved, np.abs(lifts[block[0] : block[1]] - before).max())
        if single or moved <= 10 * noise:
            return
