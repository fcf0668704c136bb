"""Compiled: a linear enclosure of f over a box, and bounds on its gradient, by one pass up and one down the network.

Coordinates of a box: x = mid + half·t with t in [−1, 1]; only `free` inputs (half > 0) have a row. Every hidden neuron
is λz + μ ± ε over its range [l, u] (see `_relax`), so layer by layer z = rows·t + centre ± err, where the ε of all
layers but the one below are rows of their own (a zonotope), and f(x) ∈ c + g·t ± e at last.

Trimmed (kappa > 0): ranges that hold for most units only. A neuron's range over the box is worst ± Σ|row|, and as units
are spread evenly few are further from its centre than kappa standard deviations. `missed` adds up estimates of the
shares that are; what is found then holds for all other units. A checker counts those shares exactly.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
FAST = {"reassoc", "nsz", "contract", "nnan", "ninf", "arcp"}  # it only proposes; a checker decides
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


class Net(NamedTuple):
    """Hidden layers of `width` neurons one after the other, and the last layer.

    up: the weights of layer k (inputs, width) from at[k]; down: the same, transposed; bias, slope, and everything about
    neurons: layer k from first[k]; rows: those of layer k from row[k].
    """

    width: Indices
    up: Floats
    down: Floats
    at: Indices
    bias: Floats
    slope: Floats
    first: Indices
    row: Indices
    last: Floats
    shift: float


class Lines(NamedTuple):
    """Room for what is known of the neurons of a box (`_relax`), and for what is passed up and down."""

    rows: Floats
    centre: Floats
    radius: Floats
    slope: Floats
    middle: Floats
    error: Floats
    bend: Floats
    factor: Floats
    used: Indices
    count: Indices
    signed: Floats
    absolute: Floats
    signed2: Floats
    absolute2: Floats
    weight: Floats
    gain: Floats


class Box(NamedTuple):
    """Inputs' mid and half; the free ones; `worst`: not spread evenly; the variance of t and its fourth cumulant."""

    mid: Floats
    half: Floats
    free: Indices
    worst: NDArray[np.bool_]
    variance: Floats
    fourth: Floats


class Form(NamedTuple):
    """By free input: f's slope g in t, the gradient's radius rho in t, and how much splitting there would help."""

    g: Floats
    rho: Floats
    score: Floats


@njit(cache=True, nogil=True, fastmath=FAST)
def _add_four(y: Any, a: Any, rows: Any, i: Any) -> None:
    p, q, r, s = rows[i[0]], rows[i[1]], rows[i[2]], rows[i[3]]
    for j in range(len(y)):
        y[j] += a[0] * p[j] + a[1] * q[j] + a[2] * r[j] + a[3] * s[j]


@njit(cache=True, nogil=True, fastmath=FAST)
def _add(y: Any, a: Any, x: Any) -> None:
    for j in range(len(y)):
        y[j] += a * x[j]


@njit(cache=True, nogil=True, fastmath=FAST)
def _add_absolute(y: Any, a: Any, x: Any) -> None:
    for j in range(len(y)):
        y[j] += a * abs(x[j])


@njit(cache=True, nogil=True, fastmath=FAST)
def _dot(x: Any, y: Any) -> Any:
    total = _ZERO
    for j in range(len(x)):
        total += x[j] * y[j]
    return total


@njit(cache=True, nogil=True, fastmath=FAST)
def _dot_two(x: Any, y: Any, z: Any) -> Any:
    """(Σ|x|y, Σ|x|z)."""
    first, second = _ZERO, _ZERO
    for j in range(len(x)):
        size = abs(x[j])
        first += size * y[j]
        second += size * z[j]
    return first, second


@njit(cache=True, nogil=True)
def tail(x: float, excess: float) -> float:
    """About the share of a sum of independent terms beyond x standard deviations: normal, with one correction."""
    normal = 0.5 * math.erfc(x * 0.7071067811865476)
    density = 0.3989422804014327 * math.exp(-0.5 * x * x)
    return max(normal + density * excess * (x * x * x - 3 * x) / 24, 0.1 * normal)


@njit(cache=True, nogil=True)
def _trim(box: Box, rows: Any, free: int, j: int, ends: Any, kappa: float) -> Any:
    """(low, high, missed share): a shorter range of a neuron, given (low, centre, high)."""
    low, centre, high = ends
    base, square, fourth = high - centre, 0.0, 0.0
    for r in range(free):
        f, c = box.free[r], rows[r, j]
        if not box.worst[f]:
            base -= abs(c)
            square += c * c * box.variance[f]
            fourth += c * c * c * c * box.fourth[f]
    if square <= 0:
        return low, high, 0.0
    sigma, excess = math.sqrt(square), fourth / (square * square)
    base = max(base, 0.0)
    reach = base + kappa * sigma
    if centre - reach > 0:
        return 0.0, high, tail((centre - base) / sigma, excess)
    if centre + reach < 0:
        return low, 0.0, tail((-centre - base) / sigma, excess)
    missed = 0.0
    if centre - reach > low:
        low = centre - reach
        missed += tail(kappa, excess)
    if centre + reach < high:
        high = centre + reach
        missed += tail(kappa, excess)
    return low, high, missed


@njit(cache=True, nogil=True)
def _relax(net: Net, lines: Lines, box: Box, k: int, rows: Any, free: int, kappa: float) -> float:
    """Of each neuron of layer k: act(z) ∈ slope·z + middle ± error and |act' − slope| ≤ bend on its range; missed.

    With λ between slope and 1, act(z) − λz lies between 0 and the larger end, both ends equal for the λ taken.
    """
    missed = 0.0
    for j in range(net.width[k]):
        n = net.first[k] + j
        centre, radius, s = lines.centre[n], lines.radius[n], net.slope[n]
        low, high = centre - radius, centre + radius
        if low < 0 < high and s != 1 and kappa > 0:
            ends = (low, centre, high)
            low, high, share = _trim(box, rows, free, j, ends, kappa)
            missed += share
        if low < 0 < high and s != 1:
            line = (high - s * low) / (high - low)
            half = 0.5 * (1 - line) * high
            lines.slope[n], lines.middle[n], lines.error[n] = line, half, abs(half)
            lines.bend[n] = max(abs(1 - line), abs(line - s))
        else:
            lines.slope[n] = 1.0 if low >= 0 else s
            lines.middle[n], lines.error[n], lines.bend[n] = 0.0, 0.0, 0.0
    return missed


@njit(cache=True, nogil=True, fastmath=FAST)
def _first(net: Net, lines: Lines, box: Box, free: int) -> Any:
    """The first layer: its rows, centre and radius."""
    n, inputs = net.width[0], len(box.mid)
    weight = net.up[: inputs * n].reshape(inputs, n)
    centre, radius = lines.centre[:n], lines.radius[:n]
    centre[:] = net.bias[:n]
    radius[:] = _ZERO
    for f in range(inputs):
        if box.mid[f] != 0:
            _add(centre, box.mid[f], weight[f])
    rows = lines.rows[: free * n].reshape(free, n)
    for r in range(free):
        half, column, row = box.half[box.free[r]], weight[box.free[r]], rows[r]
        for j in range(n):
            row[j] = half * column[j]
            radius[j] += abs(row[j])
    return rows


@njit(cache=True, nogil=True, fastmath=FAST)
def _combine(y: Any, factor: Any, used: Any, weight: Any) -> None:
    """y += Σ factor[t]·weight[used[t]]."""
    t, count = 0, len(used)
    while t + 4 <= count:
        _add_four(y, factor[t : t + 4], weight, used[t : t + 4])
        t += 4
    while t < count:
        _add(y, factor[t], weight[used[t]])
        t += 1


@njit(cache=True, nogil=True, fastmath=FAST)
def _next(net: Net, lines: Lines, k: int, below: Any) -> Any:
    """Layer k from the rows of the layer below: its rows, centre and radius."""
    n, m, count = net.width[k], net.width[k - 1], len(below)
    b, a = net.first[k - 1], net.first[k]
    weight = net.up[net.at[k] : net.at[k] + m * n].reshape(m, n)
    slope, error = lines.slope[b : b + m], lines.error[b : b + m]
    found, errors = 0, 0
    for i in range(m):
        if slope[i] != 0:
            lines.used[found] = i
            found += 1
        if error[i] > 0:
            errors += 1
    used, factor, last = lines.used[:found], lines.factor, k == len(net.width) - 1
    total = count if last else count + errors
    rows = lines.rows[net.row[k] : net.row[k] + total * n].reshape(total, n)
    centre, radius = lines.centre[a : a + n], lines.radius[a : a + n]
    centre[:] = net.bias[a : a + n]
    radius[:] = _ZERO
    for r in range(count + 1):
        for t in range(found):
            i = used[t]
            factor[t] = below[r, i] * slope[i] if r < count else lines.centre[b + i] * slope[i] + lines.middle[b + i]
        if r < count:
            rows[r] = _ZERO
            _combine(rows[r], factor, used, weight)
            _add_absolute(radius, _ONE, rows[r])
        else:
            _combine(centre, factor, used, weight)
    for i in range(m):
        if error[i] > 0:
            _add_absolute(radius, error[i], weight[i])
            if not last:
                for j in range(n):
                    rows[count, j] = error[i] * weight[i, j]
                count += 1
    return rows


@njit(cache=True, nogil=True)
def upwards(net: Net, lines: Lines, box: Box, free: int, kappa: float) -> float:
    """All hidden layers. Returns the missed share."""
    rows = _first(net, lines, box, free)
    missed = _relax(net, lines, box, 0, rows, free, kappa)
    for k in range(1, len(net.width)):
        rows = _next(net, lines, k, rows)
        missed += _relax(net, lines, box, k, rows, free, kappa)
    return missed


@njit(cache=True, nogil=True, fastmath=FAST)
def downwards(net: Net, lines: Lines, free: int, form: Form) -> Any:
    """(c, e) and `form`, after `upwards`.

    rho adds up, layer by layer, |path from above|·bend·|rows|, where paths that met a bend above count in `absolute`.
    """
    k = len(net.width) - 1
    n, a = net.width[k], net.first[k]
    signed, absolute = lines.signed, lines.absolute
    c, e = net.shift, 0.0
    signed[:n] = net.last
    absolute[:n] = _ZERO
    for j in range(n):
        lines.weight[j] = signed[j] * lines.slope[a + j]
        c += lines.weight[j] * lines.centre[a + j] + signed[j] * lines.middle[a + j]
    rows = lines.rows[net.row[k] : net.row[k] + free * n].reshape(free, n)
    for r in range(free):
        form.g[r] = _dot(rows[r], lines.weight[:n])
        form.rho[r] = _ZERO
        form.score[r] = _ZERO
    for k in range(len(net.width) - 1, -1, -1):
        n, a = net.width[k], net.first[k]
        bent = False
        for j in range(n):
            size = abs(signed[j])
            e += size * lines.error[a + j]
            lines.weight[j] = (size + absolute[j]) * lines.bend[a + j]
            lines.gain[j] = _ZERO
            if lines.bend[a + j] > 0:
                bent = True
                lines.gain[j] = size * lines.error[a + j] / lines.radius[a + j]
        if bent:
            rows = lines.rows[net.row[k] : net.row[k] + free * n].reshape(free, n)
            for r in range(free):
                rho, score = _dot_two(rows[r], lines.weight[:n], lines.gain[:n])
                form.rho[r] += rho
                form.score[r] += score
        if k > 0:
            _below(net, lines, k)
    return c, e


@njit(cache=True, nogil=True, fastmath=FAST)
def _below(net: Net, lines: Lines, k: int) -> None:
    """`signed` and `absolute` of layer k − 1 from those of layer k."""
    n, m, a = net.width[k], net.width[k - 1], net.first[k]
    weight = net.down[net.at[k] : net.at[k] + m * n].reshape(n, m)
    signed, absolute = lines.signed2[:m], lines.absolute2[:m]
    signed[:] = _ZERO
    absolute[:] = _ZERO
    for j in range(n):
        straight = lines.signed[j] * lines.slope[a + j]
        bent = lines.weight[j] + lines.absolute[j] * abs(lines.slope[a + j])
        row = weight[j]
        if bent != 0:
            for i in range(m):
                signed[i] += straight * row[i]
                absolute[i] += bent * abs(row[i])
        elif straight != 0:
            _add(signed, straight, row)
    lines.signed[:m] = signed
    lines.absolute[:m] = absolute
