"""Whether a network that reads nothing sensitive is fair: bounds over boxes, which are halved until they decide.

What matters of a flip set then is the box of the relaxed inputs, x ± eps within their ranges: of integers and of
continuous inputs alike, and however many points there are. Over a box every neuron is z = c + C t ± e for t from −1 to
1, one number for each relaxed input (affine arithmetic, Comba and Stolfi 1993, with all that bends put together in e,
rounding too). What bends over [l, u] is the chord's slope times z, and what is left of it lies between its values at l,
u and the kink. A box with l > 0 or u ≤ 0 for f is decided, any other is halved. e shrinks faster than boxes do, so in
the end only rows are left on which f comes as near to 0 as rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.individual.bounds import UNIT, activate
from certifair.individual.points import inside
from certifair.repair._flips import alike, parts
from certifair.repair.base import Array, OutOfTimeError, look_at_clock
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers

if TYPE_CHECKING:
    from certifair.spec._step_layers import Layer

MOST: Final = 1 << 17
"""Boxes that are looked at, beside the first one of each row."""
UNDERFLOW: Final = 2.0**-1000
"""More than all products of a sum lose by it."""


def unfair_because(layers: Layers, domain: Domain, rows: Array, until: float) -> str | None:
    """Why not every row of the domain is surely fair by a network that reads nothing sensitive; None: every one is.

    Other rows are nobody, and left out. until: of time.monotonic.
    """
    known = rows[inside(domain, rows)]
    first, _ = alike(domain, known)
    boxes, looked = _Boxes.of(domain, known[first]), 0
    decided = np.zeros((2, len(first)), dtype=np.bool_)
    try:
        while len(boxes.row):
            if looked > len(first) + MOST:
                return f"not settled by {looked} boxes"
            part, boxes = boxes.last(next(parts(layers, len(boxes.row), boxes.low.shape[1] + 2)).stop)
            look_at_clock(until)
            sides = _sides(layers, part)
            for number, sign in enumerate((1.0, -1.0)):
                decided[number, part.row[sides == sign]] = True
            if decided.all(axis=0).any():
                return "some row is decided in two ways"
            halves = part.some(sides == 0).halves(layers)
            if halves is None:
                return "f comes too near to 0 on some row"
            boxes, looked = boxes.with_more(halves), looked + len(part.row)
    except OutOfTimeError:
        return "no time was left"
    return None


@final
@dataclass(frozen=True, eq=False)
class _Boxes:
    """n boxes: of which `row` (n,) of (rows, inputs), and from `low` to `high` (n, k) in the relaxed `columns`.

    whole (k,): which of these are integers.
    """

    rows: Array
    columns: NDArray[np.intp]
    whole: NDArray[np.bool_]
    row: NDArray[np.intp]
    low: Array
    high: Array

    @staticmethod
    def of(domain: Domain, rows: Array) -> _Boxes:
        """One for each row. Ends are rounded outwards."""
        free = [(f, c[0]) for f, c in zip(domain.features, domain.columns, strict=True) if f.eps]
        columns = np.array([column for _, column in free], dtype=np.intp)
        eps, least, most = (np.array([getattr(f, name) for f, _ in free]) for name in ("eps", "low", "high"))
        whole = np.array([f.kind == "integer" for f, _ in free], dtype=np.bool_)
        low, high = rows[:, columns] - eps, rows[:, columns] + eps  # of integers these are exact
        low = np.where(whole, low, np.nextafter(low, -np.inf)).clip(least)
        high = np.where(whole, high, np.nextafter(high, np.inf)).clip(max=most)
        return _Boxes(rows, columns, whole, np.arange(len(rows)), low, high)

    def some(self, which: slice | NDArray[np.bool_]) -> _Boxes:
        return self._with(self.row[which], self.low[which], self.high[which])

    def last(self, count: int) -> tuple[_Boxes, _Boxes]:
        """These, and the others."""
        return self.some(slice(-count, None)), self.some(slice(None, -count))

    def with_more(self, other: _Boxes) -> _Boxes:
        ends = ((self.low, other.low), (self.high, other.high))
        return self._with(np.concatenate([self.row, other.row]), *(np.concatenate(pair) for pair in ends))

    def halves(self, layers: Layers) -> _Boxes | None:
        """Of each, along the input that moves the first layer most; None where one is a point."""
        every, steep = np.arange(len(self.row)), np.abs(layers.layers[0].weight[:, self.columns]).sum(axis=0)
        axis = (steep * (self.high - self.low)).argmax(axis=1)
        low, high, whole = self.low[every, axis], self.high[every, axis], self.whole[axis]
        middle = (low + high) / 2
        middle = np.where(whole, np.floor(middle), middle)
        if ((middle >= high) | (~whole & (middle <= low))).any():
            return None
        ends, starts = self.high.copy(), self.low.copy()
        ends[every, axis], starts[every, axis] = middle, middle + whole
        one, other = self._with(self.row, self.low, ends), self._with(self.row, starts, self.high)
        return one.with_more(other)

    def _with(self, row: NDArray[np.intp], low: Array, high: Array) -> _Boxes:
        return _Boxes(self.rows, self.columns, self.whole, row, low, high)


def _sides(layers: Layers, boxes: _Boxes) -> Array:
    """(n,) 1 where f > 0 all over a box, −1 where f ≤ 0, 0 where neither is known."""
    at = boxes.rows[boxes.row]
    middle = (boxes.low + boxes.high) / 2
    half = np.maximum(boxes.high - middle, middle - boxes.low)
    slope, error = np.zeros((len(at), len(boxes.columns), at.shape[1])), np.zeros_like(at)
    at[:, boxes.columns] = middle
    slope[:, np.arange(len(boxes.columns)), boxes.columns] = half
    error[:, boxes.columns] = 4 * UNIT * (np.abs(middle) + half)
    with np.errstate(over="ignore", invalid="ignore"):  # then a bound is no number, and decides nothing
        for layer in layers.layers:
            at, slope, error = _bent(layer, *_mixed(layer, at, slope, error))
        radius = (np.abs(slope).sum(axis=1) + error) * (1 + 4 * UNIT * (len(boxes.columns) + 2))
        found: Array = (at > radius).astype(np.float64) - (at <= -radius)
    return found[:, 0]


def _mixed(layer: Layer, at: Array, slope: Array, error: Array) -> tuple[Array, Array, Array]:
    """W h + b. All products and sums of what is added up (`size`) may be rounded, and the weights be wrong."""
    size = np.abs(at) + np.abs(slope).sum(axis=1) + error
    size = size @ np.abs(layer.weight).T + np.maximum(np.abs(layer.bias), layer.size)
    unit = 4 * UNIT * (layer.weight.shape[1] + slope.shape[1] + 8) + 2 * layer.relative
    error = error @ np.abs(layer.weight).T + unit * size + UNDERFLOW
    return at @ layer.weight.T + layer.bias, slope @ layer.weight.T, error


def _bent(layer: Layer, at: Array, slope: Array, error: Array) -> tuple[Array, Array, Array]:
    """What the neurons make of it; no bend is steeper than 1 or the slope, and curves have no chord here."""
    radius = np.abs(slope).sum(axis=1) + error
    low, high = at - radius, at + radius
    crossing, curved = (low < 0) & (high > 0), layer.curve != 0
    width = np.where(crossing, high - low, 1.0)
    straight = np.where(low >= 0, 1.0, layer.slope)
    chord = np.where(curved, 0.0, np.where(crossing, (high - layer.slope * low) / width, straight))
    ends = np.stack([activate(layer, low) - chord * low, activate(layer, high) - chord * high])
    kink = np.where(crossing & ~curved, 0.0, ends[0])
    bottom, top = np.minimum(ends.min(axis=0), kink), np.maximum(ends.max(axis=0), kink)
    rounded = 16 * UNIT * (np.maximum(1.0, np.abs(layer.slope)) * (np.abs(at) + radius) + curved)
    return chord * at + (bottom + top) / 2, chord[:, None] * slope, np.abs(chord) * error + (top - bottom) / 2 + rounded
