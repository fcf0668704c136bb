"""Step 2's bounds: linear ones of every neuron of the last hidden layer over S(x), by backward substitution (CROWN).

Zhang, Weng, Chen, Hsieh, Daniel, Efficient Neural Network Robustness Certification with General Activation Functions,
1811.00866. S(x) is relaxed as ProF does it: the sensitive inputs are free between their ends, relaxed ones within
±eps; of a one-hot feature all mixtures of its values.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, final

import numpy as np

from certifair.individual.bounds import UNIT, after, interval
from certifair.repair.base import Array, look_at_clock
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers

if TYPE_CHECKING:
    from certifair.spec._step_layers import Layer

SINGLE: Final = 2.0**-24
"""The relative error of one rounding to float32."""
SLACK: Final = 16
"""Times the rounding errors of one evaluation in float64: the bounds are sums of the same size, but longer ones."""


@final
@dataclass(frozen=True, eq=False)
class FlipSets:
    """S(x) of n rows: middle (n, d) + Σ half·t over `box`, each t from −1 to 1, + one mixture of each of `groups`.

    half: (n, len(box)). The middle is 0 in the inputs of groups.
    """

    middle: Array
    half: Array
    box: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(domain: Domain, rows: Array) -> FlipSets:
        """Of rows (n, d). What is sensitive has the range of its feature; what is relaxed stays in its own."""
        low, high = rows.copy(), rows.copy()
        box: list[int] = []
        groups = []
        for feature, columns in zip(domain.features, domain.columns, strict=True):
            if feature.sensitive and feature.kind == "one_hot":
                groups.append(columns)
                low[:, columns], high[:, columns] = 0.0, 0.0
            elif feature.sensitive:
                low[:, columns], high[:, columns] = feature.low, feature.high
                box += columns
            elif feature.eps:
                low[:, columns] = np.maximum(rows[:, columns] - feature.eps, feature.low)
                high[:, columns] = np.minimum(rows[:, columns] + feature.eps, feature.high)
                box += columns
        return FlipSets((low + high) / 2, np.abs(high - low)[:, box] / 2, tuple(box), tuple(groups))

    @property
    def spans(self) -> tuple[slice, ...]:
        """Where the groups' coefficients are in a `Lines.slope`."""
        starts = np.cumsum([len(self.box), *map(len, self.groups)]).tolist()
        return tuple(slice(a, b) for a, b in itertools.pairwise(starts))

    def ends(self) -> tuple[Array, Array]:
        """The smallest box around each S(x), (n, d) twice."""
        low, high = self.middle.copy(), self.middle.copy()
        low[:, self.box] -= self.half
        high[:, self.box] += self.half
        for group in self.groups:
            high[:, group] = 1.0
        return low, high

    def lines(self, row: int, weight: Array, constant: Array) -> Lines:
        """weight @ x + constant (m,) over S(x) of a row."""
        free = [weight[:, self.box] * self.half[row], *(weight[:, group] for group in self.groups)]
        return Lines(weight @ self.middle[row] + constant, np.concatenate(free, axis=1))

    def least(self, lines: Lines) -> Array:
        """The least values over S(x): a box's least is at a corner, a mixture's at one of its values."""
        count = len(self.box)
        least: Array = lines.at - np.abs(lines.slope[..., :count]).sum(axis=-1)
        for span in self.spans:
            least = least + lines.slope[..., span].min(axis=-1)
        return least


@final
class Lines(NamedTuple):
    """at + slope·t: at (…, m); slope (…, m, free inputs), those of the box first."""

    at: Array
    slope: Array

    def negative(self) -> Lines:
        return Lines(-self.at, -self.slope)


@final
@dataclass(frozen=True, eq=False)
class Bands:
    """low ≤ h ≤ high for the last hidden layer h (m,) of n rows, over S(x).

    size (n, m): what a neuron's terms add up to without their signs. If w·h + b is computed in float32 in any order,
    with w and b rounded to float32 before, it differs from the real value by at most rate·(Σ |w|·size + |b|): every
    term passes a number of roundings that `rate` counts (Higham, Accuracy and Stability, §3.1). The errors that these
    bounds themselves have in float64 are contained.
    """

    sets: FlipSets
    low: Lines
    high: Lines
    size: Array
    rate: float

    def sides(self, weight: Array, bias: float) -> Array:
        """(n,) 1 where w·h + b is surely > 0 over S(x) even so, −1 where it is surely ≤ 0, else 0."""
        up, down = np.maximum(weight, 0.0), np.maximum(-weight, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):  # then the error is no number, and nothing is sure
            error = self.rate * (self.size @ np.abs(weight) + abs(bias))
            low = Lines(self.low.at @ up - self.high.at @ down, _mixed(up, self.low.slope, down, self.high.slope))
            high = Lines(self.high.at @ up - self.low.at @ down, _mixed(up, self.high.slope, down, self.low.slope))
            positive = self.sets.least(low) + bias - error > 0
            negative = self.sets.least(high.negative()) - bias - error >= 0
        return positive.astype(np.float64) - negative


def _mixed(up: Array, one: Array, down: Array, two: Array) -> Array:
    found: Array = np.einsum("j,ijk->ik", up, one) - np.einsum("j,ijk->ik", down, two)
    return found


def bands_of(layers: Layers, sets: FlipSets, until: float | None = None) -> Bands:
    """Of what the last layer reads. Errors: OutOfTimeError after `until`, of time.monotonic."""
    hidden = layers.layers[:-1]
    ends = sets.ends()
    found = []
    for row in range(len(sets.middle)):
        look_at_clock(until)
        found.append(_bounds(hidden, sets, row, (ends[0][row], ends[1][row])))
    low, high = (Lines(*(np.stack(part) for part in zip(*side, strict=True))) for side in zip(*found, strict=True))
    size, rate = _rounding(layers, np.maximum(np.abs(ends[0]), np.abs(ends[1])))
    return Bands(sets, low, high, size, rate)


def _bounds(hidden: tuple[Layer, ...], sets: FlipSets, row: int, ends: tuple[Array, Array]) -> tuple[Lines, Lines]:
    """Of one row: each layer's z over S(x), met with intervals, gives the next one's relaxation."""
    relaxed: list[tuple[Array, ...]] = []
    for layer in hidden:
        low, high = _lines(hidden, relaxed, sets, row, layer.weight, layer.bias)
        met = interval(layer, *ends)
        z = np.maximum(met[0], sets.least(low)), np.minimum(met[1], -sets.least(high.negative()))
        relaxed.append(_relaxation(layer, *z))
        ends = after(layer, *z)
    width = len(ends[0])
    return _lines(hidden, relaxed, sets, row, np.eye(width), np.zeros(width))


def _lines(
    hidden: tuple[Layer, ...],
    relaxed: list[tuple[Array, ...]],
    sets: FlipSets,
    row: int,
    weight: Array,
    constant: Array,
) -> tuple[Lines, Lines]:
    """Lower and upper lines of weight @ h + constant, h being what the last relaxed layer gives."""
    low = _substituted(hidden, relaxed, weight, constant)
    high = _substituted(hidden, relaxed, -weight, -constant)
    return sets.lines(row, *low), sets.lines(row, *high).negative()


def _substituted(
    hidden: tuple[Layer, ...], relaxed: list[tuple[Array, ...]], weight: Array, constant: Array
) -> tuple[Array, Array]:
    """A lower line in the inputs: where a coefficient is positive the lower relaxation, else the upper one."""
    for layer, (low, low_at, high, high_at) in zip(reversed(hidden[: len(relaxed)]), reversed(relaxed), strict=True):
        up, down = np.maximum(weight, 0.0), np.minimum(weight, 0.0)
        constant = constant + up @ low_at + down @ high_at
        weight = up * low + down * high
        constant, weight = constant + weight @ layer.bias, weight @ layer.weight
    return weight, constant


def _relaxation(layer: Layer, low: Array, high: Array) -> tuple[Array, ...]:
    """Lines below and above the neurons' function over [low, high], each as (slope, constant).

    max(z, s·z), for s ≤ 1 convex: the chord is above it; below it is the branch that is nearer over the longer side.
    For s > 1 it is concave, and they change places. A curve lies between its ends.
    """
    s = layer.slope
    crossing = (low < 0) & (high > 0)
    width = np.where(crossing, high - low, 1.0)
    flat = np.where(low >= 0, 1.0, s)
    chord = np.where(crossing, (high - s * low) / width, flat)
    chord_at = np.where(crossing, high - chord * high, 0.0)
    branch = np.where(crossing, np.where(high >= -low, 1.0, s), flat)
    convex, none = s <= 1, np.zeros_like(low)
    lines = [
        np.where(convex, branch, chord),
        np.where(convex, none, chord_at),
        np.where(convex, chord, branch),
        np.where(convex, chord_at, none),
    ]
    bottom, top = after(layer, low, high)
    constants = (none, bottom, none, top)
    return tuple(np.where(layer.curve != 0, ends, line) for ends, line in zip(constants, lines, strict=True))


def _rounding(layers: Layers, magnitude: Array) -> tuple[Array, float]:
    """`Bands.size` and `Bands.rate` at inputs of this magnitude (n, d)."""
    unit = SINGLE if layers.float32 else SLACK * UNIT
    count = 2.0 * SINGLE / unit
    for layer in layers.layers[:-1]:
        magnitude = magnitude @ np.abs(layer.weight).T + np.maximum(np.abs(layer.bias), layer.size)
        magnitude = magnitude * np.maximum(1.0, np.abs(layer.slope)) + (layer.curve != 0)
        count += layer.weight.shape[1] + 2 + 8 * bool(layer.curve.any()) + float(layer.relative.max()) / unit
    count += layers.layers[-1].weight.shape[1] + 2
    return magnitude, 1.01 * float(np.expm1(count * np.log1p(unit)))
