"""Compiled: what the pooled algorithm would like to serve, by the offline optimum for the people to come.

Nothing here has to be right for the rows to hold: that is seen to in `_pooled_step`. The box is [0, 1]. Layouts are
those of `_pooled_cells`; a *batch* is (v, starts): scores by joint cell, and where each begins; a *history* is (scores
so far by joint cell and bin, given shares by joint cell or −1). The numbers below were tuned on streams like those of
examples/streams, where the optimum is flat.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from certifair.online._pooled_dual import project

_HORIZON, _MARGIN, _AGAIN = 0.5, 1.5, 0.03


@njit(cache=True, nogil=True)
def _points(
    condition: int, layout: Any, batch: Any, history: Any, horizon: float, ahead: Any
) -> Any:  # pragma: no cover — compiled
    """The batch and, as a guess at the people after it, the scores so far, weighted. `ahead` (C,): the latter."""
    (v, starts), (scores, shares), (cell_of, _, _, _, conditions) = batch, history, layout
    count, bins = scores.shape
    known, share, size = np.zeros(count), np.zeros(count), starts[-1]
    for j in range(condition, count, conditions):
        known[j] = scores[j].sum()
        size += np.count_nonzero(scores[j])
        share[j] = shares[j] if shares[0] >= 0 else known[j] + starts[j + 1] - starts[j]
    everybody = share.sum()
    x, w, begin, end = np.empty(size), np.ones(size), np.zeros(count + 1, dtype=np.int64), 0
    for j in range(count):
        begin[j] = end
        if (j - condition) % conditions:
            continue
        n = starts[j + 1] - starts[j]
        x[end : end + n] = v[starts[j] : starts[j + 1]]
        end += n
        future = horizon * share[j] / everybody - n if everybody > 0 and known[j] > 0 else 0.0
        if future <= 0:
            continue
        for p in range(len(cell_of)):
            ahead[cell_of[p, j]] += future
        for q in range(bins):
            if scores[j, q]:
                x[end], w[end] = (q + 0.5) * 3.0 / bins - 1.0, future * scores[j, q] / known[j]
                end += 1
    begin[count] = end
    return x[:end], w[:end], begin


@njit(cache=True, nogil=True)
def expect(condition: int, layout: Any, batch: Any, history: Any) -> Any:  # pragma: no cover — compiled
    """(C,): how many people are known of each cell, warm-up and batch included; or as many by the given shares."""
    starts, (scores, shares), cell_of = batch[1], history, layout[0]
    found, everybody = np.zeros(len(layout[1]) - 1), 0.0
    for j in range(condition, len(scores), layout[4]):
        known = scores[j].sum() + starts[j + 1] - starts[j]
        everybody += known
        for p in range(len(cell_of)):
            found[cell_of[p, j]] += known if shares[0] < 0 else shares[j]
    return found if shares[0] < 0 else found * everybody


@njit(cache=True, nogil=True)
def _spread(cell: int, layout: Any, points: Any) -> float:  # pragma: no cover — compiled
    """Standard deviation of a cell's clipped points."""
    x, w, starts = points
    first = second = weight = 0.0
    for a in range(layout[1][cell], layout[1][cell + 1]):
        for i in range(starts[layout[2][a]], starts[layout[2][a] + 1]):
            y = min(max(x[i], 0.0), 1.0)
            first, second, weight = first + w[i] * y, second + w[i] * y * y, weight + w[i]
    return np.sqrt(max(second / weight - (first / weight) ** 2, 0.0)) if weight > 0 else 0.0


@njit(cache=True, nogil=True)
def _pace(condition: int, layout: Any, points: Any, lifts: Any, pace: Any) -> None:  # pragma: no cover — compiled
    """Set the mean prediction that each cell's next people are going to have."""
    (cell_of, _, _, blocks, conditions), (x, w, starts) = layout, points
    total, weight = np.zeros(len(pace)), np.zeros(len(pace))
    for j in range(condition, cell_of.shape[1], conditions):
        shift = 0.0
        for p in range(len(cell_of)):
            shift += lifts[cell_of[p, j]]
        for i in range(starts[j], starts[j + 1]):
            y = w[i] * min(max(x[i] - shift, 0.0), 1.0)
            for p in range(len(cell_of)):
                total[cell_of[p, j]] += y
                weight[cell_of[p, j]] += w[i]
    for b in range(condition, len(blocks) - 1, conditions):
        for c in range(blocks[b], blocks[b + 1]):
            if weight[c] > 0:
                pace[c] = total[c] / weight[c]


@njit(cache=True, nogil=True)
def _smallest(condition: int, layout: Any, known: Any) -> float:  # pragma: no cover — compiled
    """How many people are known of the rarest group."""
    least = np.inf
    for b in range(condition, len(layout[3]) - 1, layout[4]):
        for c in range(layout[3][b], layout[3][b + 1]):
            if known[c] > 0:
                least = min(least, known[c])
    return least


@njit(cache=True, nogil=True)
def plan(
    condition: int, layout: Any, batch: Any, history: Any, counted: Any, epsilon: float, control: Any
) -> None:  # pragma: no cover — compiled
    """Set lifts, spread, and when to plan again.

    The pooled rows are to hold, with a margin, after the next H people, of whom the batch are the first. H is
    n·N^(−1/3)/2 for n people in all, N of the rarest group: what random scores add to a group's excess until it is
    worked off is about √H, which is what the margin is for; a longer H asks for a larger one, a shorter H for larger
    corrections. `n` and `N` include the warm-up.
    """
    (served, present, totals, heard), (lifts, spread, due, pace) = counted, control
    people = served + present
    block = (layout[3][condition], layout[3][condition + 1])
    horizon = heard[block[0] : block[1]].sum() * _HORIZON * _smallest(condition, layout, heard) ** (-1 / 3)
    ahead = np.zeros(len(people))
    points = _points(condition, layout, batch, history, horizon, ahead)
    divisors, slack, widest = people + ahead, np.full(len(people), epsilon / 2), 0.0
    for b in range(condition, len(layout[3]) - 1, layout[4]):
        for c in range(layout[3][b], layout[3][b + 1]):
            sd = _spread(c, layout, points)
            widest = max(widest, sd)
            if ahead[c] > 0:
                slack[c] = max(epsilon / 2 - _MARGIN * sd * np.sqrt(ahead[c]) / divisors[c], 0.0)
    project(condition, layout, points, (totals, divisors, slack), lifts, 1e-9, 6)
    for b in range(condition, len(layout[3]) - 1, layout[4]):
        for c in range(layout[3][b], layout[3][b + 1]):
            lifts[c] = min(max(lifts[c], -4.0), 4.0)
    _pace(condition, layout, points, lifts, pace)
    spread[condition] = widest
    due[condition] = np.int64(people[block[0] : block[1]].sum() + _AGAIN * horizon)
