"""Compiled: what the best leaf for a box can claim, and which feature to split if that is not enough."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from certifair.evidence.witness import COUNTED, ENUMERATED, FIBRES, OPEN, TRIMMED
from certifair.individual.engines._branch_count import (
    CONTINUOUS,
    INTEGER,
    ONE_HOT,
    Axes,
    Grid,
    count,
    fibre,
    one_hot,
    reach_of,
)
from certifair.individual.engines._branch_enclosure import Box, Floats, Form, Indices, Lines, Net, downwards, upwards
from certifair.individual.engines._branch_points import enumerate_box
from certifair.individual.engines._branch_vectors import compiled

PRICE = 0.2
"""Of a neuron's error, in standard deviations of s, in units missed; half of what a normal density says is best."""
_ERROR = 0.7
"""What splitting takes off the error, in standard deviations of s, against what it takes off the missed share."""
_WORTH = 1e-6
"""A leaf that decides less of itself is open: a checker need not look at it."""
_GRAIN = 1 / 1025
"""A checker's count is as if the error were larger, by about this part of the range of s (`spectra`, degree 1024)."""
_FAINT = 1e-4
"""A band that decides less of a box, as far as one can guess, is not counted."""


class Room(NamedTuple):
    """What one thread works in. used: next node, end of its nodes, next slot, end of its slots, boxes evaluated.

    total: the change of (certified, falsified, undecided) so far.
    """

    lines: Lines
    box: Box
    form: Form
    grid: Grid
    g: Floats
    rho: Floats
    score: Floats
    here: Floats
    used: Indices
    total: NDArray[np.float64]
    point: NDArray[np.float64]
    unit: NDArray[np.float64]
    values: NDArray[np.float64]
    stack: Indices


class Rules(NamedTuple):
    """margin: added to every error. points: boxes of so few are evaluated one by one. trimmed: whether to try it."""

    margin: float
    points: float
    trimmed: bool


@compiled
def _fill(axes: Axes, box: Box, low: Any, high: Any) -> int:
    """The box's hull as inputs of the network; how many are free."""
    free = 0
    for a in range(len(low)):
        column, kind = axes.column[a], axes.kind[a]
        if kind == ONE_HOT:
            for v in range(axes.width[a]):
                left = low[a] <= v <= high[a]
                several = left and high[a] > low[a]
                box.mid[column + v] = 0.5 if several else (1.0 if left else 0.0)
                box.half[column + v] = 0.5 if several else 0.0
                box.worst[column + v] = True
                if several:
                    box.free[free] = column + v
                    free += 1
            continue
        least, most = low[a], high[a]
        if axes.eps[a] > 0:
            least, most = max(axes.low[a], least - axes.eps[a]), min(axes.high[a], most + axes.eps[a])
        box.mid[column], box.half[column] = 0.5 * (least + most), 0.5 * (most - least)
        box.worst[column] = axes.sensitive[a] or axes.eps[a] > 0
        if most > least:
            box.free[free] = column
            free += 1
        if high[a] > low[a]:
            square = (high[a] - low[a] + 1) ** 2 if kind == INTEGER else 1e30
            box.variance[column] = (square - 1) / (3 * (math.sqrt(square) - 1) ** 2)
            box.fourth[column] = -1.2 * (square + 1) / (square - 1) * box.variance[column] ** 2
    return free


@compiled
def _enclose(net: Net, axes: Axes, room: Room, rules: Rules, ends: Any, free: int, trimmed: bool) -> Any:
    """(c, e, reach, missed) with g, rho and score of all inputs in room, and in room.here what units' features add."""
    low, high = ends
    box, form = room.box, room.form
    missed = upwards(net, room.lines, box, free, trimmed)
    c, e = downwards(net, room.lines, free, form)
    room.g[:] = np.float32(0)
    room.rho[:] = np.float32(0)
    room.score[:] = np.float32(0)
    for r in range(free):
        f = box.free[r]
        room.g[f], room.rho[f], room.score[f] = form.g[r], form.rho[r], form.score[r]
    for f in range(len(room.g)):
        room.here[f] = room.g[f]
    for a in range(len(low)):
        column = axes.column[a]
        if axes.eps[a] > 0 and box.half[column] > 0:
            c += room.g[column] * (0.5 * (low[a] + high[a]) - box.mid[column]) / box.half[column]
            room.here[column] *= 0.5 * (high[a] - low[a]) / box.half[column]
    return c, e + rules.margin, reach_of(axes, low, high, box.half, room.g, room.rho), missed


@compiled
def _deviation(axes: Axes, room: Room, ends: Any) -> float:
    """The standard deviation of s over the units."""
    low, high = ends
    square = 0.0
    for a in range(len(low)):
        if axes.sensitive[a] or high[a] <= low[a]:
            continue
        column = axes.column[a]
        if axes.kind[a] == ONE_HOT:
            n, total, squares = high[a] - low[a] + 1, 0.0, 0.0
            for v in range(column + int(low[a]), column + int(high[a]) + 1):
                total += room.here[v]
                squares += room.here[v] * room.here[v]
            square += 4.0 * (squares / n - (total / n) ** 2)
        else:
            g = room.here[column]
            square += g * g * room.box.variance[column]
    return math.sqrt(max(square, 1e-60))


@compiled
def _coarseness(axes: Axes, room: Room, ends: Any) -> float:
    """How coarse a checker's count is, as an error; what splitting takes off it goes into the scores."""
    low, high = ends
    found = 0.0
    for a in range(len(low)):
        if axes.sensitive[a] or high[a] <= low[a]:
            continue
        column = axes.column[a]
        size = abs(room.here[column])
        if axes.kind[a] == ONE_HOT:
            least, most, _, _ = one_hot(column, int(low[a]), int(high[a]), room.here, room.here)
            size = 0.5 * (most - least)
        found += _GRAIN * size
        room.score[column] += np.float32(0.5 * _GRAIN * size)
    return found


@compiled
def _guess(c: float, e: float, reach: Any, sigma: float) -> float:
    """About the share that a band leaves undecided: s as a normal variable."""
    above = 0.5 * math.erfc((e - c - reach.low) / sigma * 0.7071067811865476)
    below = 0.5 * math.erfc((e + c + reach.high) / sigma * 0.7071067811865476)
    unfair = 0.0
    if reach.up - reach.down > 2 * e:
        top, bottom = -(c + e + reach.down) / sigma, -(c - e + reach.up) / sigma
        unfair = 0.5 * (math.erfc(bottom * 0.7071067811865476) - math.erfc(top * 0.7071067811865476))
    return 1 - above - below - unfair


@compiled
def _points(axes: Axes, low: Any, high: Any) -> float:
    """How many points a box has; infinitely many if a continuous or relaxed feature is left."""
    points = 1.0
    for a in range(len(low)):
        points *= high[a] - low[a] + 1
        if axes.eps[a] > 0 or (axes.kind[a] == CONTINUOUS and high[a] > low[a]):
            points = np.inf
    return points


@compiled
def _set_prices(room: Room, sigma: float) -> None:
    """What errors cost, by the sizes that the last enclosure found."""
    price, size = room.lines.price, room.lines.size
    for n in range(len(price)):
        price[n] = PRICE * size[n] / sigma


@compiled
def _set_scores(room: Room, sigma: float) -> None:
    """What splitting takes off a trimmed enclosure: error and missed share."""
    for f in range(len(room.score)):
        room.score[f] = _ERROR * room.score[f] / sigma + room.box.lost[f]


@compiled
def evaluate(net: Net, axes: Axes, room: Room, rules: Rules, low: Any, high: Any) -> Any:
    """(certified, falsified, kind, feature, feature to split) of the best leaf for a box.

    First an enclosure that holds for all units, then one that is trimmed by what the first found.
    """
    ends = (low, high)
    if _points(axes, low, high) <= rules.points:
        unfair = enumerate_box(net, axes, low, high, (room.unit, room.point, room.values))
        return 1 - unfair, unfair, ENUMERATED, 0, -1
    free, sigma = _fill(axes, room.box, low, high), 1.0
    best = (0.0, 0.0, OPEN, 0)
    for turn in range(2 if rules.trimmed else 1):
        _set_prices(room, sigma)
        c, e, reach, missed = _enclose(net, axes, room, rules, ends, free, turn == 1)
        sigma = _deviation(axes, room, ends)
        e += _coarseness(axes, room, ends)
        k, share = fibre(axes, low, high, room.g, room.rho, reach.most + 2 * rules.margin)
        if turn == 1:
            _set_scores(room, sigma)
            share = 1.0
        if missed >= 1 or (share == 1 and missed + _guess(c, e, reach, sigma) > 1 - _FAINT):
            continue
        fair, unfair, fibres, k = count(axes, low, high, room.here, room.rho, (c, e, reach, k, share), room.grid)
        unfair = max(0.0, min(unfair, 1 - fair) - missed)
        fair = max(0.0, fair - missed)
        if fair + unfair > max(best[0] + best[1], _WORTH):
            kind = TRIMMED if turn == 1 else (FIBRES if fibres else COUNTED)
            best = (fair, unfair, kind, k if fibres else 0)
        if best[0] + best[1] > 1 - _WORTH:
            break
    return best[0], best[1], best[2], best[3], _split(axes, room, ends)


@compiled
def _split(axes: Axes, room: Room, ends: Any) -> int:
    """The feature whose halving takes most off the error; of those that take nothing, the one of most effect."""
    low, high = ends
    best, most, gap = -1, -1.0, -1.0
    for a in range(len(low)):
        if axes.sensitive[a] or high[a] <= low[a]:
            continue
        score, size = 0.0, 0.0
        for v in range(axes.width[a]):
            score += room.score[axes.column[a] + v]
            size += abs(room.g[axes.column[a] + v])
        if score > most or (score == most and size > gap):
            best, most, gap = a, score, size
    return best
