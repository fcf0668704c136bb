"""A first-order enclosure of f over boxes, in float64; rounding is bounded as in `floats`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual.floats import OMEGA, SLACK, Array, Prepared, Ranges, U, product, quiet

Trim = Callable[[int, Array, Array, Array, Array], tuple[Array, Array]]
"""Other ranges of layer k, whose z is C(x − middle) + c ± e, at most ± reach: of (k, C, c, reach, e)."""


@final
@dataclass(frozen=True, eq=False)
class Enclosure:
    """For every x of each box: |f(x) − (centre + slope·(x − middle))| ≤ error and |∂f/∂x_i − slope_i| ≤ spread_i.

    Shapes (boxes,) and (boxes, n0); |x − middle| ≤ radius. Where nothing is proven, error and spread are inf.
    """

    middle: Array
    radius: Array
    centre: Array
    slope: Array
    error: Array
    spread: Array
    ranges: Ranges
    size: list[Array]

    def only(self, which: NDArray[np.intp]) -> Enclosure:
        """Of these boxes, without ranges and sizes."""
        inputs = Ranges([], [], self.ranges.inputs[which])
        middle, radius, centre, slope = (v[which] for v in (self.middle, self.radius, self.centre, self.slope))
        return Enclosure(middle, radius, centre, slope, self.error[which], self.spread[which], inputs, [])


@quiet
def enclose(net: Prepared, low: Array, high: Array, trim: Trim | None = None) -> Enclosure:
    """First-order enclosures of f over boxes (boxes, n0); trim: of f at points of which `trimmed` tells, no spread.

    In each box every neuron gets a line: act(z) = λz + μ ± ε for z in [l, u] (`_line`). Through these, each
    layer is z = C(x − middle) + c + Σ Λ_j s_j with |s_j| ≤ ε_j for the neurons of the layers below, C and all Λ sums of
    products; so [l, u] = c ∓ (|C|·radius + Σ|Λ_j|ε_j), layer by layer, widened by theta·total. At last from the output
    down: B_k, its row at layer k (after the function), gives error = Σ|B_k|ε_k.

    Derivatives. Where it exists, ∂f/∂x = w T_h W_h … T_1 W_1 with t in [slope, 1], |t − λ| ≤ τ. Let R_k be the true row
    at layer k. Replacing each T_k by λ_k from below, ∂f/∂x − slope = Σ_k R_k (T_k − λ_k) C_k, and |R_k − B_k| ≤ y_k
    with y = 0 for the last and y_{k−1} = (|B_k|τ_k + y_k(|λ_k| + τ_k))|W_k|, as R_k T_k − B_k λ_k =
    B_k(T_k − λ_k) + (R_k − B_k)T_k. So spread = Σ_k (|B_k| + y_k) τ_k |C_k|. Rounding: theta·`most` bounds that of C, B
    and slope. f is continuous and piecewise linear, so this bounds its differences along lines.
    """
    middle = low / 2 + high / 2
    radius = np.maximum(high - middle, middle - low) * (1 + 4 * U)
    lines, slants, ranges, centre, total = _upwards(net, middle, radius, trim)
    most_up, most_down = net.most
    row: Array = net.weight[-1].T
    sizes: list[Array] = []
    error, spread, y = np.zeros(len(low)), np.zeros_like(low), np.zeros(1)
    for k in reversed(range(len(lines))):
        line, size = lines[k], np.abs(row) + net.theta * most_down[k]
        sizes.append(size)
        error = error + (np.abs(row) * line.error).sum(axis=1)
        if trim is None:
            bent = (size + y) * line.bend
            spread = spread + _across(bent, slants[k].swapaxes(1, 2)) + net.theta * product(bent, most_up[k].T)
            if k:
                y = product(size * line.bend + y * (np.abs(line.slope) + line.bend), net.magnitude[k].T)
        row = product(row * line.slope, net.weight[k].T)
    slope = np.broadcast_to(row, low.shape)
    error = (error + 4 * net.theta * total) * SLACK
    spread = (spread + 2 * net.theta * most_up[-1][:, 0]) * SLACK
    reach = (np.abs(slope) * radius).sum(axis=1) * SLACK + error
    ranges.low.append((centre - reach)[:, None])
    ranges.high.append((centre + reach)[:, None])
    good = np.isfinite(slope + spread).all(axis=1) & (error >= 0)
    spread = spread if trim is None else np.full_like(spread, np.inf)
    for ends in (*ranges.low, *ranges.high):
        good &= np.isfinite(ends).all(axis=1)
    error, spread = np.where(good, error, np.inf), np.where(good[:, None], spread, np.inf)
    centre, slope = np.where(good, centre, 0.0), np.where(good[:, None], slope, 0.0)
    return Enclosure(middle, radius, centre, slope, error, spread, ranges, sizes[::-1])


@final
@dataclass(frozen=True, eq=False)
class _Line:
    """act(z) − slope·z is within shift ± error, and act's derivative within slope ± bend."""

    slope: Array
    shift: Array
    error: Array
    bend: Array


def _upwards(
    net: Prepared, middle: Array, radius: Array, trim: Trim | None
) -> tuple[list[_Line], list[Array], Ranges, Array, Array]:
    """Lines, C (1 or boxes, n0, m) and ranges of each hidden layer; centre and total (boxes,) of the output."""
    lines: list[_Line] = []
    slants, others = [net.weight[0][None]], list[Array]()
    ranges = Ranges([], [], np.abs(middle) + radius)
    centre = product(middle, net.weight[0]) + net.bias[0]
    total = product(ranges.inputs, net.magnitude[0]) + net.size[0] + OMEGA
    hidden = len(net.weight) - 1
    for k in range(hidden):
        error = 4 * net.theta * total
        for line, other in zip(lines, others, strict=True):
            error = error + _across(line.error, other)
        reach = _across(radius, slants[k]) + error
        low, high = centre - reach, centre + reach
        if trim is not None:
            low, high = trim(k, slants[k], centre, reach, error * SLACK)
        ranges.low.append(low)
        ranges.high.append(high)
        line, weight = _line(low, high, net.slope[k]), net.weight[k + 1]
        lines.append(line)
        total = product(np.abs(line.slope) * total + np.abs(line.shift) + line.error, net.magnitude[k + 1])
        total = total + net.size[k + 1] + OMEGA
        centre = product(line.slope * centre + line.shift, weight) + net.bias[k + 1]
        if k + 1 < hidden:
            others = [*(_through(line, other, weight) for other in others), weight[None]]
            slants.append(_through(line, slants[k], weight))
    return lines, slants, ranges, centre[:, 0], total[:, 0]


def _across(width: Array, block: Array) -> Array:
    """Σ_i width_i |block_ij| for width (boxes, i) and block (1 or boxes, i, j)."""
    if len(block) == 1:
        alone: Array = product(width, np.abs(block[0]))
        return alone
    found: Array = (width[:, None, :] @ np.abs(block))[:, 0]
    return found


def _through(line: _Line, block: Array, weight: Array) -> Array:
    """(boxes, i, n) through the lines and the weight (n, m)."""
    scaled = line.slope[:, None, :] * block
    found: Array = product(scaled.reshape(-1, len(weight)), weight).reshape(*scaled.shape[:2], -1)
    return found


def _line(low: Array, high: Array, slope: Array) -> _Line:
    """The line for z in [low, high]: any slope λ is sound; this one joins the function's ends.

    act(z) − λz is piecewise linear with its kink at 0, so it lies in the hull of (slope − λ)·low, 0, (1 − λ)·high.
    """
    bent = (low < 0) & (high > 0) & (slope != 1)
    lam = np.where(low >= 0, 1.0, slope)
    joined = (high - slope * low) / (high - low)
    lam = np.where(bent, np.clip(joined, np.minimum(slope, 1.0), np.maximum(slope, 1.0)), lam)
    ends = (slope - lam) * low, (1 - lam) * high
    top = np.where(bent, np.maximum(np.maximum(*ends), 0.0), 0.0)
    bottom = np.where(bent, np.minimum(np.minimum(*ends), 0.0), 0.0)
    error = np.where(bent, (top - bottom) * (0.5 + 2.0**-48) + OMEGA, 0.0)
    bend = np.where(bent, np.maximum(np.abs(1 - lam), np.abs(lam - slope)) * (1 + 2.0**-40), 0.0)
    return _Line(lam, (top + bottom) / 2, error, bend)
