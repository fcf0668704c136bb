"""A compiled walk along a segment: its breakpoints layer by layer, in float64.

Between two neighbouring breakpoints every z of a layer is linear, so a change of its sign is at a known place, and all
z of that place are between those of the neighbours. The new places join the old ones before the next layer.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from certifair.individual.engines.base import Array
from certifair.individual.points import affine

MOST_NUMBERS: Final = 1 << 23
"""Of one layer at all breakpoints; past it no further ones are looked for."""


@njit(cache=True, nogil=True)
def _crossings(z: Array, slope: Array) -> int:
    """How many signs change between neighbours, of neurons with a kink."""
    count = 0
    for t in range(len(z) - 1):
        for i in range(len(slope)):
            count += slope[i] != 1 and ((z[t, i] < 0) != (z[t + 1, i] < 0))
    return count


@njit(cache=True, nogil=True)
def _insert(share: Array, count: int, value: float) -> None:
    """Into the first `count` numbers, which are sorted and stay so. (np.sort takes seconds to compile.)"""
    while count and share[count - 1] > value:
        share[count] = share[count - 1]
        count -= 1
    share[count] = value


@njit(cache=True, nogil=True)
def _cut(x: Array, z: Array, slope: Array, count: int) -> tuple[Array, Array]:
    """Places and their z with the `count` places where a neuron is 0 among them."""
    n, m = z.shape
    places, values = np.empty(n + count), np.empty((n + count, m))
    share = np.empty(m + 1)
    share[0] = 0.0
    at = 0
    for t in range(n):
        found = 1
        after = min(t + 1, n - 1)
        for i in range(m):
            if slope[i] != 1 and ((z[t, i] < 0) != (z[after, i] < 0)):
                _insert(share, found, z[t, i] / (z[t, i] - z[after, i]))
                found += 1
        for k in range(found):
            places[at] = x[t] + share[k] * (x[after] - x[t])
            for i in range(m):
                values[at, i] = z[t, i] + share[k] * (z[after, i] - z[t, i])
            at += 1
    return places, values


@njit(cache=True, nogil=True)
def _walk(x: Array, z: Array, shape: Any, numbers: Array) -> tuple[Array, Array]:
    """Breakpoints, and f at them, from the first layer's z at both ends.

    shape: the widths of all layers; numbers: of each layer slopes, and of all but the first weights (n, m) and bias
    before them.
    """
    at = 0
    for layer in range(len(shape)):
        m = shape[layer]
        if layer:
            n = shape[layer - 1]
            z = affine(z, numbers[at : at + n * m].reshape(n, m), numbers[at + n * m : at + (n + 1) * m])
            at += (n + 1) * m
        slope = numbers[at : at + m]
        at += m
        count = _crossings(z, slope)
        if count and (len(x) + count) * m <= MOST_NUMBERS:
            x, z = _cut(x, z, slope, count)
        for t in range(len(z)):
            for i in range(m):
                z[t, i] = z[t, i] if z[t, i] >= 0 else slope[i] * z[t, i]
    return x, z[:, 0]


@njit(cache=True, nogil=True)
def sweep(
    base: Array,
    delta: Array,
    direction: Array,
    ends: Array,
    net: tuple[Any, Array],
    best: tuple[Array, Any],
    start: int,
    enough: float,
) -> None:
    """Of each person over segments: the first layer's z are base + delta + direction·x, ends[0] ≤ x ≤ ends[1].

    base (R, m), delta (K, m), ends (2, R); net: see `_walk`. best: (2, 2, R), the largest and smallest value, and their
    x; and (2, R), which combination, counted from `start`. Stops at values beyond ±enough.
    """
    found, where = best
    for r in range(len(base)):
        for k in range(len(delta)):
            if found[0, 0, r] > enough and found[1, 0, r] < -enough:
                break
            x, z = np.empty(2), np.empty((2, base.shape[1]))
            for t in range(2):
                x[t] = ends[t, r]
                for i in range(base.shape[1]):
                    z[t, i] = base[r, i] + delta[k, i] + direction[i] * x[t]
            places, values = _walk(x, z, net[0], net[1])
            for t in range(len(places)):
                if values[t] > found[0, 0, r]:
                    found[0, 0, r], found[0, 1, r], where[0, r] = values[t], places[t], start + k
                if values[t] < found[1, 0, r]:
                    found[1, 0, r], found[1, 1, r], where[1, r] = values[t], places[t], start + k
