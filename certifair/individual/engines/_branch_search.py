"""Compiled: what a box's leaf can claim, and splitting boxes as long as too much of them is undecided.

Boxes live in slots; the tree's nodes are numbered, two children side by side. Several threads share both, each with a
range of free slots and nodes of its own, so none waits for another.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from certifair.individual.engines._branch_count import (
    CONTINUOUS,
    INTEGER,
    ONE_HOT,
    Axes,
    Grid,
    count,
    fibre,
    reach_of,
)
from certifair.individual.engines._branch_enclosure import Box, Floats, Form, Indices, Lines, Net, downwards, upwards

SPLIT, OPEN, ENUMERATED, COUNTED, FIBRES = range(5)
TRIMMED = 6
PRICE = 0.2
"""Of a neuron's error in standard deviations of s, in units missed: half of a normal density's largest value is best."""
_ERROR = 0.7
"""What splitting takes off the error, in standard deviations of s, against what it takes off the missed share."""
_WORTH = 1e-6
"""A leaf that decides less of itself is open: a checker need not look at it."""
_FAINT = 1e-4
"""A band that decides less of a box, as far as one can guess, is not counted."""


class Nodes(NamedTuple):
    """The first child (−1: a leaf), kind, feature and cut of each node."""

    child: NDArray[np.int32]
    kind: NDArray[np.int8]
    feature: NDArray[np.int16]
    cut: NDArray[np.float64]


class Slots(NamedTuple):
    """Boxes [low, high] (slots, features): node, shares of the domain decided and not, what to split (−1: nothing)."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    node: NDArray[np.int32]
    certified: NDArray[np.float64]
    falsified: NDArray[np.float64]
    undecided: NDArray[np.float64]
    split: NDArray[np.int16]


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


@njit(cache=True, nogil=True, _nrt=False, inline="always")
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
            square = (high[a] - low[a] + 1) ** 2 if kind == INTEGER else 1e30
            box.variance[column] = (square - 1) / (3 * (math.sqrt(square) - 1) ** 2)
            box.fourth[column] = -1.2 * (square + 1) / (square - 1) * box.variance[column] ** 2
    return free


@njit(cache=True, nogil=True, _nrt=False, inline="always")
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


@njit(cache=True, nogil=True, _nrt=False)
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


@njit(cache=True, nogil=True, _nrt=False)
def _guess(c: float, e: float, reach: Any, sigma: float) -> float:
    """About the share that a band leaves undecided: s as a normal variable."""
    above = 0.5 * math.erfc((e - c - reach.low) / sigma * 0.7071067811865476)
    below = 0.5 * math.erfc((e + c + reach.high) / sigma * 0.7071067811865476)
    unfair = 0.0
    if reach.high - reach.low > 2 * e:
        top, bottom = -(c + e + reach.low) / sigma, -(c - e + reach.high) / sigma
        unfair = 0.5 * (math.erfc(bottom * 0.7071067811865476) - math.erfc(top * 0.7071067811865476))
    return 1 - above - below - unfair


@njit(cache=True, nogil=True, _nrt=False)
def _points(axes: Axes, low: Any, high: Any) -> float:
    """How many points a box has; infinitely many if a continuous or relaxed feature is left."""
    points = 1.0
    for a in range(len(low)):
        points *= high[a] - low[a] + 1
        if axes.eps[a] > 0 or (axes.kind[a] == CONTINUOUS and high[a] > low[a]):
            points = np.inf
    return points


@njit(cache=True, nogil=True, _nrt=False)
def _set_prices(room: Room, sigma: float) -> None:
    """What errors cost, by the sizes that the last enclosure found."""
    price, size = room.lines.price, room.lines.size
    for n in range(len(price)):
        price[n] = PRICE * size[n] / sigma


@njit(cache=True, nogil=True, _nrt=False)
def _set_scores(room: Room, sigma: float) -> None:
    """What splitting takes off a trimmed enclosure: error and missed share."""
    for f in range(len(room.score)):
        room.score[f] = _ERROR * room.score[f] / sigma + room.box.lost[f]


@njit(cache=True, nogil=True, _nrt=False)
def evaluate(net: Net, axes: Axes, room: Room, rules: Rules, low: Any, high: Any) -> Any:
    """(certified, falsified, kind, feature, feature to split) of the best leaf for a box.

    First an enclosure that holds for all units, then one that is trimmed by what the first found.
    """
    ends = (low, high)
    if _points(axes, low, high) <= rules.points:
        unfair = enumerate_box(net, axes, room, low, high)
        return 1 - unfair, unfair, ENUMERATED, 0, -1
    free, sigma = _fill(axes, room.box, low, high), 1.0
    best = (0.0, 0.0, OPEN, 0)
    for turn in range(2 if rules.trimmed else 1):
        _set_prices(room, sigma)
        c, e, reach, missed = _enclose(net, axes, room, rules, ends, free, turn == 1)
        sigma = _deviation(axes, room, ends)
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


@njit(cache=True, nogil=True, _nrt=False)
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


@njit(cache=True, nogil=True, _nrt=False)
def _cut(axes: Axes, low: float, high: float, a: int) -> float:
    middle = 0.5 * (low + high)
    return middle if axes.kind[a] == CONTINUOUS else math.floor(middle) + 1


@njit(cache=True, nogil=True, _nrt=False)
def _part(axes: Axes, a: int, low: float, high: float) -> float:
    return high - low if axes.kind[a] == CONTINUOUS else high - low + 1


@njit(cache=True, nogil=True, _nrt=False, inline="always")
def settle(net: Net, axes: Axes, room: Room, rules: Rules, nodes: Nodes, slots: Slots, s: int, share: float) -> None:
    """Slot s, a share of the domain, becomes the best leaf."""
    fair, unfair, kind, feature, split = evaluate(net, axes, room, rules, slots.low[s], slots.high[s])
    node = slots.node[s]
    nodes.child[node], nodes.kind[node], nodes.feature[node], nodes.cut[node] = -1, kind, feature, 0.0
    slots.certified[s], slots.falsified[s], slots.split[s] = fair * share, unfair * share, split
    slots.undecided[s] = max(0.0, 1 - fair - unfair) * share
    room.total[0] += slots.certified[s]
    room.total[1] += slots.falsified[s]
    room.total[2] += slots.undecided[s]
    room.used[4] += 1


@njit(cache=True, nogil=True, _nrt=False)
def grow(net: Net, axes: Axes, room: Room, rules: Rules, nodes: Nodes, slots: Slots, work: Any) -> None:
    """Splits the boxes of work = (slots, their shares of the domain, threshold, stop).

    Until none has more than the threshold undecided; a negative threshold: only finds their best leaves.
    """
    items, shares, threshold, stop = work
    stack, used = room.stack, room.used
    for i in range(len(items)):
        stack[0], top = items[i], 1
        while top > 0:
            top -= 1
            s = t = stack[top]
            part = 1.0
            if threshold >= 0:
                a = slots.split[s]
                if slots.undecided[s] <= threshold or a < 0 or top + 2 > len(stack):
                    continue
                if stop[0] != 0 or used[0] + 2 > used[1] or used[2] + 1 > used[3]:
                    return
                t = _halve(axes, used, nodes, slots, s, a)
                part = _forget(axes, room, slots, s, t, a)
                stack[top], stack[top + 1] = t, s
                top += 2
            elif stop[0] != 0:
                return
            whole = slots.undecided[s] if threshold >= 0 else shares[i]
            for turn in range(1 if s == t else 2):
                share = whole * (part if turn == 0 else 1 - part)
                settle(net, axes, room, rules, nodes, slots, s if turn == 0 else t, share)


@njit(cache=True, nogil=True, _nrt=False, inline="always")
def _forget(axes: Axes, room: Room, slots: Slots, s: int, t: int, a: int) -> float:
    """Takes back what slot s said, and puts its share of the domain in undecided; which part of it is left in s."""
    room.total[0] -= slots.certified[s]
    room.total[1] -= slots.falsified[s]
    room.total[2] -= slots.undecided[s]
    slots.undecided[s] += slots.certified[s] + slots.falsified[s]
    left = _part(axes, a, slots.low[s, a], slots.high[s, a])
    return left / (left + _part(axes, a, slots.low[t, a], slots.high[t, a]))


@njit(cache=True, nogil=True, _nrt=False, inline="always")
def _halve(axes: Axes, used: Any, nodes: Nodes, slots: Slots, s: int, a: int) -> int:
    """The box in slot s becomes its left half; the slot of the right one."""
    t, first, node = used[2], used[0], slots.node[s]
    used[2] += 1
    used[0] += 2
    cut = _cut(axes, slots.low[s, a], slots.high[s, a], a)
    nodes.child[node], nodes.kind[node], nodes.feature[node], nodes.cut[node] = first, SPLIT, a, cut
    for f in range(slots.low.shape[1]):
        slots.low[t, f], slots.high[t, f] = slots.low[s, f], slots.high[s, f]
    slots.low[t, a] = cut
    slots.high[s, a] = cut if axes.kind[a] == CONTINUOUS else cut - 1
    slots.node[s], slots.node[t] = first, first + 1
    return int(t)


@njit(cache=True, nogil=True, _nrt=False)
def _decision(net: Net, point: Any, values: Any) -> Any:
    """f at a point, in float64."""
    width = len(net.width)
    for k in range(width):
        n, a = net.width[k], net.first[k]
        m = len(point) if k == 0 else net.width[k - 1]
        weight = net.up[net.at[k] : net.at[k] + m * n].reshape(m, n)
        for j in range(n):
            values[a + j] = net.bias[a + j]
        for i in range(m):
            x = point[i] if k == 0 else values[net.first[k - 1] + i]
            if x != 0:
                for j in range(n):
                    values[a + j] += x * weight[i, j]
        for j in range(n):
            values[a + j] *= 1.0 if values[a + j] >= 0 else net.slope[a + j]
    total, a = net.shift, net.first[width - 1]
    for j in range(net.width[width - 1]):
        total += values[a + j] * net.last[j]
    return total


@njit(cache=True, nogil=True, _nrt=False)
def _advance(axes: Axes, low: Any, high: Any, unit: Any, flips: bool) -> bool:
    """The next unit (or flip of it); False after the last, which is back at the first."""
    for a in range(len(low)):
        if axes.sensitive[a] != flips:
            continue
        if unit[a] < high[a]:
            unit[a] += 1
            return True
        unit[a] = low[a]
    return False


@njit(cache=True, nogil=True, _nrt=False)
def _put(axes: Axes, unit: Any, point: Any) -> None:
    """The inputs of a unit."""
    for a in range(len(unit)):
        if axes.kind[a] == ONE_HOT:
            for v in range(axes.width[a]):
                point[axes.column[a] + v] = 1.0 if v == unit[a] else 0.0
        else:
            point[axes.column[a]] = unit[a]


@njit(cache=True, nogil=True, _nrt=False)
def enumerate_box(net: Net, axes: Axes, room: Room, low: Any, high: Any) -> float:
    """The unfair share of a box without continuous features, every point evaluated. Relaxed features do not move."""
    unit, unfair, units = room.unit, 0, 0
    for a in range(len(low)):
        unit[a] = low[a]
    while True:
        positive = negative = 0
        while True:
            _put(axes, unit, room.point)
            if _decision(net, room.point, room.values) > 0:
                positive += 1
            else:
                negative += 1
            if not _advance(axes, low, high, unit, True):
                break
        units += 1
        unfair += 1 if positive > 0 and negative > 0 else 0
        if not _advance(axes, low, high, unit, False):
            return unfair / units
