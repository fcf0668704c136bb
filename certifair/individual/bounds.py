"""Bounds of every neuron over a box, in float64: intervals, and intervals met with lines substituted backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from certifair.individual.query import Array
from certifair.spec.layers import CURVES, Layers

if TYPE_CHECKING:
    from certifair.spec._step_layers import Layer

UNIT: Final = 2.0**-53
Ends = tuple[Array, Array]


def activate(layer: Layer, z: Array) -> Array:
    """What the neurons do, for z (…, m)."""
    out = np.where(z < 0, layer.slope * z, z)
    for code, curve in ((CURVES.index("sigmoid"), _sigmoid), (CURVES.index("tanh"), np.tanh)):
        chosen = layer.curve == code
        out[..., chosen] = curve(z[..., chosen])
    return out


def _sigmoid(z: Array) -> Array:
    return 0.5 * np.tanh(0.5 * z) + 0.5


def evaluate(layers: Layers, points: Array) -> Ends:
    """f at points (n, d), and by how much these float64 numbers may be wrong, (n,) each."""
    h = points
    for layer in layers.layers:
        h = activate(layer, h @ layer.weight.T + layer.bias)
    return h[:, 0], rounding(layers, np.abs(points), UNIT)


def rounding(layers: Layers, magnitude: Array, unit: float) -> Array:
    """By how much f at points with |x| ≤ magnitude, (n, d), may be wrong in arithmetic of relative error `unit`, (n,).

    With M = |W| M + size from |x| on, times max(1, |slope|), every neuron is at most M, and its error at most
    ((1 + unit)^N − 1) M, N counting the roundings on the longest way: each layer multiplies once and adds at most its
    inputs and its bias (Higham, Accuracy and Stability, §3.1). Curves are at most 1, bend no steeper than 1, and cost
    a few units. The weights' own uncertainty (`relative`) counts as a rounding of that size.
    """
    count = 0.0
    for layer in layers.layers:
        magnitude = magnitude @ np.abs(layer.weight).T + np.maximum(np.abs(layer.bias), layer.size)
        magnitude = magnitude * np.maximum(1.0, np.abs(layer.slope)) + (layer.curve != 0)
        count += layer.weight.shape[1] + 2 + 8 * bool(layer.curve.any()) + float(layer.relative.max()) / unit
    return np.asarray(1.01 * np.expm1(count * np.log1p(unit)) * magnitude[:, 0])


def box_rounding(layers: Layers, low: Array, high: Array, unit: float = UNIT) -> float:
    """The largest of `rounding` over the box."""
    return float(rounding(layers, np.maximum(np.abs(low), np.abs(high))[None], unit)[0])


def interval(layer: Layer, low: Array, high: Array) -> Ends:
    """Bounds of W h + b for h from low to high."""
    positive, negative = np.maximum(layer.weight, 0), np.minimum(layer.weight, 0)
    return positive @ low + negative @ high + layer.bias, positive @ high + negative @ low + layer.bias


def after(layer: Layer, low: Array, high: Array) -> Ends:
    """Bounds behind the activation. A negative slope turns round at 0, so 0 is an end of its own."""
    ends = np.stack([activate(layer, low), activate(layer, high)])
    kink = np.where((low < 0) & (high > 0) & (layer.curve == 0), 0.0, ends[0])
    return np.minimum(ends.min(axis=0), kink), np.maximum(ends.max(axis=0), kink)


def interval_bounds(layers: Layers, low: Array, high: Array) -> list[Ends]:
    """Bounds before the activation, for every layer: each number by itself (IBP)."""
    found = []
    for layer in layers.layers:
        found.append(interval(layer, low, high))
        low, high = after(layer, *found[-1])
    return found


def linear_bounds(layers: Layers, low: Array, high: Array) -> list[Ends]:
    """Bounds before the activation, for every layer: lines substituted backwards, met with intervals.

    Over [l, u] with l < 0 < u and the chord λ = (u − s·l)/(u − l), act(z) − λz is piecewise linear with its only kink
    at 0; it is 0 there and (1 − s)·u·(−l)/(u − l) = 2μ at both ends. So act(z) = λz + μ ± |μ|, and z is C x + c ± e.
    Errors: ValueError for layers with curves.
    """
    if not layers.piecewise_linear:
        raise ValueError("sigmoid or tanh inside")
    middle, half = (low + high) / 2, (high - low) / 2
    found: list[Ends] = []
    lines: list[tuple[Array, Array]] = []
    for number, layer in enumerate(layers.layers):
        row, constant, error = layer.weight, layer.bias, np.zeros(layer.width)
        for below, (slope, offset) in zip(reversed(layers.layers[:number]), reversed(lines), strict=True):
            constant = constant + row @ offset
            error = error + np.abs(row) @ np.abs(offset)
            row = row * slope
            constant, row = constant + row @ below.bias, row @ below.weight
        centre, radius = row @ middle + constant, np.abs(row) @ half + error
        first = interval(layer, low, high)
        found.append((np.maximum(first[0], centre - radius), np.minimum(first[1], centre + radius)))
        lines.append(_line(layer, *found[-1]))
        low, high = after(layer, *found[-1])
    return found


def _line(layer: Layer, low: Array, high: Array) -> tuple[Array, Array]:
    """λ and μ of every neuron."""
    unstable = (low < 0) & (high > 0)
    width = np.where(unstable, high - low, 1.0)
    chord = (high - layer.slope * low) / width
    offset = (1 - layer.slope) * high * -low / width / 2
    stable = np.where(low >= 0, 1.0, layer.slope)
    return np.where(unstable, chord, stable), np.where(unstable, offset, 0.0)
