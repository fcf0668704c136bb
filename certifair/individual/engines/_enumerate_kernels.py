"""Compiled passes over flip sets: LANES people side by side, one combination after the other, in float32.

The first layer is base + delta (see `points`), and base is added up once. Layers add up inputs four at a time into two
neurons, so that a vector that is loaded is used twice and a sum is stored once for four products.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
LANES: Final = 64
_FAST = {"reassoc", "nsz", "contract", "nnan"}  # sums may be reordered; what is not finite is looked at again


@njit(cache=True, nogil=True, fastmath=_FAST)
def _activate(z: Floats, slope: float, curve: int) -> None:
    """LANES numbers of one neuron, in place."""
    if curve == 0:
        if slope != 1:
            for p in range(LANES):
                z[p] = z[p] if z[p] > 0 else slope * z[p]
    elif curve == 1:
        for p in range(LANES):
            z[p] = np.float32(0.5) * np.tanh(np.float32(0.5) * z[p]) + np.float32(0.5)
    else:
        for p in range(LANES):
            z[p] = np.tanh(z[p])


@njit(cache=True, nogil=True, fastmath=_FAST)
def _dense(weight: Floats, bias: Floats, h: Floats, z: Floats) -> None:
    """z = weight·h + bias for h (n, LANES)."""
    m, n = weight.shape
    for i in range(0, m - 1, 2):
        first, second = z[i], z[i + 1]
        for p in range(LANES):
            first[p] = bias[i]
            second[p] = bias[i + 1]
        for j in range(0, n - 3, 4):
            a, b, c, d = weight[i, j], weight[i, j + 1], weight[i, j + 2], weight[i, j + 3]
            e, f, g, k = weight[i + 1, j], weight[i + 1, j + 1], weight[i + 1, j + 2], weight[i + 1, j + 3]
            for p in range(LANES):
                w, x, y, v = h[j, p], h[j + 1, p], h[j + 2, p], h[j + 3, p]
                first[p] += a * w + b * x + c * y + d * v
                second[p] += e * w + f * x + g * y + k * v
        for j in range(n - n % 4, n):
            a, e = weight[i, j], weight[i + 1, j]
            for p in range(LANES):
                first[p] += a * h[j, p]
                second[p] += e * h[j, p]
    if m % 2:
        _last(weight[m - 1], bias[m - 1], h, z[m - 1])


@njit(cache=True, nogil=True, fastmath=_FAST)
def _last(weight: Floats, bias: float, h: Floats, z: Floats) -> None:
    """One neuron."""
    n = len(weight)
    for p in range(LANES):
        z[p] = bias
    for j in range(0, n - 3, 4):
        a, b, c, d = weight[j], weight[j + 1], weight[j + 2], weight[j + 3]
        for p in range(LANES):
            z[p] += a * h[j, p] + b * h[j + 1, p] + c * h[j + 2, p] + d * h[j + 3, p]
    for j in range(n - n % 4, n):
        for p in range(LANES):
            z[p] += weight[j] * h[j, p]


@njit(cache=True, nogil=True, fastmath=_FAST)
def _keep(value: Floats, number: int, r: int, best: Floats, where: Any) -> None:
    """The largest and smallest so far of the people from r on, and which combination they were."""
    for p in range(LANES):
        more = value[p] > best[0, r + p]
        best[0, r + p] = value[p] if more else best[0, r + p]
        where[0, r + p] = number if more else where[0, r + p]
    for p in range(LANES):
        less = value[p] < best[1, r + p]
        best[1, r + p] = value[p] if less else best[1, r + p]
        where[1, r + p] = number if less else where[1, r + p]


@njit(cache=True, nogil=True, fastmath=_FAST)
def extremes(people: Any, delta: Floats, net: tuple[Any, Floats, Any], start: int, best: Floats, where: Any) -> None:
    """Of each of the people (R, n) over the combinations of delta (K, m). best and where are R' ≥ R long, full LANES.

    net: the number of inputs and the widths of all layers; of each layer weights, bias and slopes; the codes of curves.
    best: (2, R'), the largest and smallest value; where: (2, R'), which combination, counted from `start`.
    """
    shape, numbers, curves = net
    widest, n, m = shape.max(), shape[0], shape[1]
    base = np.empty((widest, LANES), dtype=np.float32)
    one, two = np.empty_like(base), np.empty_like(base)
    for r in range(0, len(people), LANES):
        for p in range(LANES):
            person = people[min(r + p, len(people) - 1)]
            for j in range(n):
                one[j, p] = person[j]
        _dense(numbers[: m * n].reshape(m, n), numbers[m * n : m * n + m], one, base)
        slopes = numbers[m * n + m : m * n + 2 * m]
        for k in range(len(delta)):
            for i in range(m):
                by = delta[k, i]
                for p in range(LANES):
                    one[i, p] = base[i, p] + by
                _activate(one[i], slopes[i], curves[i])
            value = _others(net, one, two)
            _keep(value, start + k, r, best, where)


@njit(cache=True, nogil=True, fastmath=_FAST)
def _others(net: tuple[Any, Floats, Any], h: Floats, z: Floats) -> Any:
    """f, from what the first layer gives: LANES numbers. z is for work."""
    shape, numbers, curves = net
    at, neuron = (shape[0] + 2) * shape[1], shape[1]
    for layer in range(2, len(shape)):
        n, m = shape[layer - 1], shape[layer]
        bias = numbers[at + m * n : at + m * n + m]
        _dense(numbers[at : at + m * n].reshape(m, n), bias, h, z)
        at += m * n + m
        for i in range(m):
            _activate(z[i], numbers[at + i], curves[neuron + i])
        at += m
        neuron += m
        h, z = z, h
    return h[0]
