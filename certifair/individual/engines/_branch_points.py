"""Compiled: small boxes, every point evaluated."""

from __future__ import annotations

from typing import Any

from certifair.individual.engines._branch_count import ONE_HOT, Axes
from certifair.individual.engines._branch_enclosure import Net
from certifair.individual.engines._branch_vectors import compiled


@compiled
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


@compiled
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


@compiled
def _put(axes: Axes, unit: Any, point: Any) -> None:
    """The inputs of a unit."""
    for a in range(len(unit)):
        if axes.kind[a] == ONE_HOT:
            for v in range(axes.width[a]):
                point[axes.column[a] + v] = 1.0 if v == unit[a] else 0.0
        else:
            point[axes.column[a]] = unit[a]


@compiled
def enumerate_box(net: Net, axes: Axes, low: Any, high: Any, room: Any) -> float:
    """The unfair share of a box without continuous features, every point evaluated. Relaxed features do not move.

    room: for a unit, a point and all neurons.
    """
    (unit, point, values), unfair, units = room, 0, 0
    for a in range(len(low)):
        unit[a] = low[a]
    while True:
        positive = negative = 0
        while True:
            _put(axes, unit, point)
            if _decision(net, point, values) > 0:
                positive += 1
            else:
                negative += 1
            if not _advance(axes, low, high, unit, True):
                break
        units += 1
        unfair += 1 if positive > 0 and negative > 0 else 0
        if not _advance(axes, low, high, unit, False):
            return unfair / units
