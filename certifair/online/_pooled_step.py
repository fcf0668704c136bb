"""Compiled: one batch of the pooled algorithm. First what it wants to serve, then what it may.

The plan costs little and may be as wrong as it likes; `_limited` alone decides, by `_pooled_cells.within`.
In these units the box is [0, 1] and `width` grid steps wide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from certifair.online._pooled_cells import add_batch, count, limits_of, middle, sort_by_cell, within
from certifair.online._pooled_dual import project
from certifair.online._pooled_plan import expect, plan

_RESERVE, _PULLS = 1.0, 30


@njit(cache=True, nogil=True)
def _shifted(
    condition: int, layout: Any, values: Any, starts: Any, lifts: Any, width: float, steps: Any
) -> None:  # pragma: no cover — compiled
    """steps (n,): the values of this condition's people less their cells' lifts, clipped and rounded to the grid."""
    cell_of, conditions = layout[0], layout[4]
    for j in range(condition, cell_of.shape[1], conditions):
        shift = 0.0
        for p in range(len(cell_of)):
            shift += lifts[cell_of[p, j]]
        for i in range(starts[j], starts[j + 1]):
            steps[i] = np.int64(np.rint(min(max(values[i] - shift, 0.0), 1.0) * width))


@njit(cache=True, nogil=True)
def _expected(
    condition: int, layout: Any, counted: Any, spread: float, pace: Any, full: Any
) -> Any:  # pragma: no cover — compiled
    """(totals, divisors, slack), (C,) each: where means will be when the rarest group of the batch comes again.

    Between two people of a group come several of one that is larger, at their planned pace: a group that comes seldom
    has to be where the others are going to. `slack` is less for it, as they may not quite go there.
    """
    served, present, totals, heard = counted
    totals, divisors, slack = totals.copy(), served + present, full.copy()
    for b in range(condition, len(layout[3]) - 1, layout[4]):
        for c in range(layout[3][b], layout[3][b + 1]):
            if not present[c] or heard[c] <= 0:
                continue
            drift = 0.0
            for other in range(layout[3][b], layout[3][b + 1]):
                m = served[other] + present[other]
                more = heard[other] / heard[c] - max(1.0, present[other])
                if other != c and more > 0:
                    drift = max(drift, np.sqrt(more) / (m + more))
                    if m + more > divisors[other]:
                        divisors[other] = m + more
                        totals[other] = counted[2][other] + more * pace[other]
            slack[c] = max(0.0, full[c] - _RESERVE * spread * drift)
    return totals, divisors, slack


@njit(cache=True, nogil=True)
def _inside(condition: int, layout: Any, demand: Any, batch: Any) -> bool:  # pragma: no cover — compiled
    """Whether the demand of `project` is met as it is; in floats, and nothing depends on it."""
    totals, divisors, slack = demand
    steps, starts, width = batch
    for b in range(condition, len(layout[3]) - 1, layout[4]):
        low, high = np.inf, -np.inf
        for c in range(layout[3][b], layout[3][b + 1]):
            if divisors[c] > 0:
                total = 0.0
                for a in range(layout[1][c], layout[1][c + 1]):
                    j = layout[2][a]
                    total += steps[starts[j] : starts[j + 1]].sum()
                mean = (totals[c] + total / width) / divisors[c]
                low, high = min(low, mean + slack[c]), max(high, mean - slack[c])
        if high > low:
            return False
    return True


@njit(cache=True, nogil=True)
def _pulled(
    condition: int, layout: Any, sums: Any, starts: Any, steps: Any, limits: Any, after: Any
) -> None:  # pragma: no cover — compiled
    """Move everybody towards `middle`, all the way if need be: that always holds, as `PooledPrimalDual` proves."""
    anchor = middle(condition, layout, sums, after)
    original, low, high, part = steps.copy(), 0.0, 1.0, 1.0
    for attempt in range(_PULLS + 1):
        for j in range(condition, len(sums), layout[4]):
            for i in range(starts[j], starts[j + 1]):
                steps[i] = original[i] + np.int64(np.rint(part * (anchor - original[i])))
        add_batch(condition, layout, sums, starts, steps, after)
        if attempt == _PULLS:
            return
        if within(condition, layout, after, limits):
            high = part
        else:
            low = part
        part = high if attempt == _PULLS - 1 else low + (high - low) / 2


@njit(cache=True, nogil=True)
def _limited(
    condition: int, layout: Any, sums: Any, starts: Any, known: Any, rule: Any, steps: Any, after: Any
) -> bool:  # pragma: no cover — compiled
    """Make `steps` (n,), what is wanted, what may be served, and `after` the sums with it. Whether anything changed.

    `known` is (what `count` found, how far scores spread, the pace of each cell, the limits).
    """
    (counted, spread, pace, limits), (_, width, _, epsilon) = known, rule
    full, noise = np.zeros(len(pace)), 1e-9 * epsilon + 1e-14
    for b in range(condition, len(limits), layout[4]):
        full[layout[3][b] : layout[3][b + 1]] = max(0.0, (limits[b] - 4) / width - 1e-7 * epsilon) / 2
    demand = _expected(condition, layout, counted, spread, pace, full)
    add_batch(condition, layout, sums, starts, steps, after)
    if within(condition, layout, after, limits) and _inside(condition, layout, demand, (steps, starts, width)):
        return False
    for _ in range(2):
        wanted, lifts = steps / width, np.zeros(len(pace))
        points = (wanted, np.ones(len(steps)), starts)
        project(condition, layout, points, demand, lifts, noise, 40)
        _shifted(condition, layout, wanted, starts, lifts, width, steps)
        add_batch(condition, layout, sums, starts, steps, after)
        if within(condition, layout, after, limits):
            return True
        demand = (counted[2], counted[0] + counted[1], full)
    _pulled(condition, layout, sums, starts, steps, limits, after)
    return True


@njit(cache=True, nogil=True)
def _remember(
    condition: int, layout: Any, v: Any, starts: Any, scores: Any, sums: Any, after: Any
) -> None:  # pragma: no cover — compiled
    bins = scores.shape[1]
    for j in range(condition, len(sums), layout[4]):
        sums[j] = after[j]
        for i in range(starts[j], starts[j + 1]):
            q = np.int64((v[i] + 1.0) * (bins / 3.0))
            scores[j, min(max(q, 0), bins - 1)] += 1


@njit(cache=True, nogil=True)
def units(z: Any, rule: Any) -> Any:  # pragma: no cover — compiled
    """Scores in boxes above the box's lower end; who is farther outside than its width counts as that far."""
    (lower, upper, scale), width = rule[0], rule[1]
    reach = upper - lower
    v = np.empty(len(z))
    for i in range(len(z)):
        v[i] = (min(max(z[i], lower - reach), upper + reach) - lower) * scale / width
    return v


@njit(cache=True, nogil=True)
def remember(z: Any, joint: Any, layout: Any, scores: Any, rule: Any) -> None:  # pragma: no cover — compiled
    """Count the scores of people who are not served."""
    v, bins = units(z, rule), scores.shape[1]
    for i in range(len(z)):
        q = np.int64((v[i] + 1.0) * (bins / 3.0))
        scores[joint[i], min(max(q, 0), bins - 1)] += 1


@njit(cache=True, nogil=True)
def serve(
    z: Any, joint: Any, layout: Any, sums: Any, scores: Any, control: Any, shares: Any, rule: Any
) -> Any:  # pragma: no cover — compiled
    """(predictions in steps (n,), how many people the limit moved); sums, scores and control become those after it.

    `rule` is ((lower, upper, scale), width, tolerance, epsilon): the grid's ends and points a unit; its steps; what
    `limits_of` takes; ε in boxes. `control` is (lifts (C,), spread, due, pace (C,)), spread and due by condition.
    """
    order, starts = sort_by_cell(joint, len(sums))
    in_order = units(z, rule)[order]
    steps, after, moved = np.zeros(len(z), dtype=np.int64), np.zeros_like(sums), 0
    for condition in range(layout[4]):
        here = there = 0
        for j in range(condition, len(sums), layout[4]):
            here += starts[j + 1] - starts[j]
            there += sums[j, 0]
        if not here:
            continue
        served, present, totals = count(condition, layout, sums, starts, rule[1])
        counted = (served, present, totals, expect(condition, layout, (in_order, starts), (scores, shares)))
        if here + there >= control[2][condition]:
            plan(condition, layout, (in_order, starts), (scores, shares), counted, rule[3], control)
        _shifted(condition, layout, in_order, starts, control[0], rule[1], steps)
        wanted = steps.copy()
        limits = limits_of(condition, layout, sums, here + there, rule[2])
        known = (counted, control[1][condition], control[3], limits)
        if _limited(condition, layout, sums, starts, known, rule, steps, after):
            control[2][condition] = 0
            for j in range(condition, len(sums), layout[4]):
                for i in range(starts[j], starts[j + 1]):
                    moved += steps[i] != wanted[i]
        _remember(condition, layout, in_order, starts, scores, sums, after)
    predictions = np.empty(len(z), dtype=np.int64)
    predictions[order] = steps
    return predictions, moved
