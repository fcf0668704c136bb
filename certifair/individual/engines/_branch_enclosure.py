"""Compiled: a linear enclosure of f over a box, and bounds on its gradient, by one pass up and one down the network.

Coordinates of a box: x = mid + half·t with t in [−1, 1]; only `free` inputs (half > 0) have a row. Every hidden neuron
is λz + μ ± ε over its range [l, u] (see `_relax`), so layer by layer z = rows·t + centre ± err, where the ε of all
layers but the one below are rows of their own (a zonotope), and f(x) ∈ c + g·t ± e at last.

Trimmed: ranges that hold for most units only. Units are spread evenly over the box, so few of them bring a neuron near
the ends of its range. `missed` adds up estimates of the shares that leave a shorter one (features that are not spread,
and errors of the layers below, at their worst); what is found then holds for all other units. Which ranges are taken
is free: what counts is the share of the units that leave them, which a checker counts exactly.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from certifair.individual.engines._branch_trim import choose
from certifair.individual.engines._branch_vectors import (
    ONE,
    ZERO,
    add,
    add_absolute,
    combine,
    compiled,
    compiled_loosely,
    dot,
    dot_two,
    scale,
)

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


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
    """Room for what is known of the neurons of a box (`_relax`), and for what is passed up and down.

    size: how strongly f depends on each neuron, found on the way down; price: what a unit of its error costs, trimmed.
    """

    rows: Floats
    centre: Floats
    radius: Floats
    slope: Floats
    middle: Floats
    error: Floats
    bend: Floats
    factor: Floats
    used: Indices
    signed: Floats
    absolute: Floats
    signed2: Floats
    absolute2: Floats
    weight: Floats
    gain: Floats
    size: Floats
    price: Floats


class Box(NamedTuple):
    """Inputs' mid and half; the free ones; `worst`: not spread evenly; the variance of t and its fourth cumulant.

    lost: what share of the missed units lies with each input.
    """

    mid: Floats
    half: Floats
    free: Indices
    worst: NDArray[np.bool_]
    variance: Floats
    fourth: Floats
    lost: Floats


class Form(NamedTuple):
    """By free input: f's slope g in t, the gradient's radius rho in t, and how much splitting there would help."""

    g: Floats
    rho: Floats
    score: Floats


@compiled
def _trim(box: Box, lines: Lines, neuron: int, at: int, n: int, free: int, ends: Any) -> Any:
    """(low, high, missed share): a shorter range of the neuron whose rows' entries are at, at + n, …

    ends: (low, centre, high).
    """
    low, centre, high = ends
    rows, inputs, worst, variance, fourths = lines.rows, box.free, box.worst, box.variance, box.fourth
    base, square, fourth = high - centre, 0.0, 0.0
    for r in range(free):
        f, c = inputs[r], rows[at + r * n]
        if not worst[f]:
            part = c * c
            base -= abs(c)
            square += part * variance[f]
            fourth += part * part * fourths[f]
    if square <= 0:
        return low, high, 0.0
    excess = fourth / (square * square)
    low, high, missed = choose(ends, max(base, 0.0), math.sqrt(square), excess, lines.price[neuron])
    if missed > 0:
        for r in range(free):
            f, c = inputs[r], rows[at + r * n]
            if not worst[f]:
                box.lost[f] += missed * c * c * variance[f] / square
    return low, high, missed


@compiled
def _relax(net: Net, lines: Lines, box: Box, k: int, free: int, trimmed: bool) -> float:
    """Of each neuron of layer k: act(z) ∈ slope·z + middle ± error and |act' − slope| ≤ bend on its range; missed.

    With λ between slope and 1, act(z) − λz lies between 0 and the larger end, both ends equal for the λ taken.
    """
    missed, first, row, width = 0.0, net.first[k], net.row[k], net.width[k]
    centres, radii, slopes, lambdas = lines.centre, lines.radius, net.slope, lines.slope
    middles, errors, bends = lines.middle, lines.error, lines.bend
    for j in range(width):
        n = first + j
        centre, s = centres[n], slopes[n]
        low, high = centre - radii[n], centre + radii[n]
        if trimmed and low < 0 < high and s != 1:
            low, high, share = _trim(box, lines, n, row + j, width, free, (low, centre, high))
            missed += share
        if low < 0 < high and s != 1:
            line = (high - s * low) / (high - low)
            half = 0.5 * (1 - line) * high
            lambdas[n], middles[n], errors[n] = line, half, abs(half)
            bends[n] = max(abs(1 - line), abs(line - s))
        else:
            lambdas[n] = 1.0 if low >= 0 else s
            middles[n], errors[n], bends[n] = 0.0, 0.0, 0.0
    return missed


@compiled_loosely
def _start(net: Net, lines: Lines, k: int) -> None:
    """The centre of layer k is its bias so far, and its radius 0."""
    first = net.first[k]
    centre, radius, bias = lines.centre, lines.radius, net.bias
    for j in range(first, first + net.width[k]):
        centre[j] = bias[j]
        radius[j] = ZERO


@compiled
def _first(net: Net, lines: Lines, box: Box, free: int) -> None:
    """The first layer: its rows, centre and radius."""
    n, mid, half, inputs = net.width[0], box.mid, box.half, box.free
    up, rows, radius, centre = net.up, lines.rows, lines.radius, lines.centre
    _start(net, lines, 0)
    for f in range(len(mid)):
        if mid[f] != 0:
            add(centre, 0, n, mid[f], up, f * n)
    for r in range(free):
        f = inputs[r]
        scale(rows, r * n, n, half[f], up, f * n, radius, 0)


@compiled
def _next(net: Net, lines: Lines, k: int, count: int) -> int:
    """Layer k from the `count` rows of the layer below: its rows, centre and radius. How many rows it has."""
    n, m, start = net.width[k], net.width[k - 1], net.at[k]
    b, first, below, row = net.first[k - 1], net.first[k], net.row[k - 1], net.row[k]
    up, rows, radius, centre = net.up, lines.rows, lines.radius, lines.centre
    slope, error, middle, used, factor = lines.slope, lines.error, lines.middle, lines.used, lines.factor
    found = 0
    for i in range(m):
        if slope[b + i] != 0:
            used[found] = i
            found += 1
    _start(net, lines, k)
    for r in range(count):
        for t in range(found):
            factor[t] = rows[below + r * m + used[t]] * slope[b + used[t]]
        at = row + r * n
        rows[at : at + n] = ZERO
        combine(rows, at, n, factor, used, found, up, start)
        add_absolute(radius, first, n, ONE, rows, at)
    for t in range(found):
        i = b + used[t]
        factor[t] = centre[i] * slope[i] + middle[i]
    combine(centre, first, n, factor, used, found, up, start)
    for i in range(m):
        if error[b + i] > 0:
            if k == len(net.width) - 1:
                add_absolute(radius, first, n, error[b + i], up, start + i * n)
            else:
                scale(rows, row + count * n, n, error[b + i], up, start + i * n, radius, first)
                count += 1
    return count


@compiled
def upwards(net: Net, lines: Lines, box: Box, free: int, trimmed: bool) -> float:
    """All hidden layers. Returns the missed share."""
    for f in range(len(box.lost)):
        box.lost[f] = ZERO
    _first(net, lines, box, free)
    missed, count = _relax(net, lines, box, 0, free, trimmed), free
    for k in range(1, len(net.width)):
        count = _next(net, lines, k, count)
        missed += _relax(net, lines, box, k, free, trimmed)
    return missed


@compiled
def downwards(net: Net, lines: Lines, free: int, form: Form) -> Any:
    """(c, e) and `form`, after `upwards`.

    rho adds up, layer by layer, |path from above|·bend·|rows|, where paths that met a bend above count in `absolute`.
    """
    k = len(net.width) - 1
    n, a, row = net.width[k], net.first[k], net.row[k]
    signed, absolute, weight, gain, rows = lines.signed, lines.absolute, lines.weight, lines.gain, lines.rows
    slope, error, bend, radius = lines.slope, lines.error, lines.bend, lines.radius
    g, rho, score = form.g, form.rho, form.score
    c, e = net.shift, 0.0
    for j in range(n):
        signed[j], absolute[j] = net.last[j], ZERO
        weight[j] = signed[j] * slope[a + j]
        c += weight[j] * lines.centre[a + j] + signed[j] * lines.middle[a + j]
    for r in range(free):
        g[r] = dot(rows, row + r * n, weight, n)
        rho[r] = score[r] = ZERO
    for k in range(len(net.width) - 1, -1, -1):
        n, a, row = net.width[k], net.first[k], net.row[k]
        bent = False
        for j in range(n):
            weight[j] = gain[j] = ZERO
            lines.size[a + j] = abs(signed[j])
            if bend[a + j] > 0:
                bent = True
                size = abs(signed[j])
                e += size * error[a + j]
                weight[j] = (size + absolute[j]) * bend[a + j]
                gain[j] = size * error[a + j] / radius[a + j]
        if bent:
            for r in range(free):
                more, better = dot_two(rows, row + r * n, weight, gain, n)
                rho[r] += more
                score[r] += better
        if k > 0:
            _below(net, lines, k)
    return c, e


@compiled_loosely
def _below(net: Net, lines: Lines, k: int) -> None:
    """`signed` and `absolute` of layer k − 1 from those of layer k."""
    n, m, a, start = net.width[k], net.width[k - 1], net.first[k], net.at[k]
    down, signed, absolute, weight, slope = net.down, lines.signed2, lines.absolute2, lines.weight, lines.slope
    for i in range(m):
        signed[i] = absolute[i] = ZERO
    for j in range(n):
        straight = lines.signed[j] * slope[a + j]
        bent = weight[j] + lines.absolute[j] * abs(slope[a + j])
        at = start + j * m
        if bent != 0:
            for i in range(m):
                signed[i] += straight * down[at + i]
                absolute[i] += bent * abs(down[at + i])
        elif straight != 0:
            add(signed, 0, m, straight, down, at)
    for i in range(m):
        lines.signed[i] = signed[i]
        lines.absolute[i] = absolute[i]
