"""Boxes of flip sets: for each feature that is sensitive or relaxed a range of values, or of positions of one-hot ones.

Arrays (boxes, free) over these features; all other inputs of a box are its row's.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, final

import numpy as np

from certifair.individual.engines.base import Array
from certifair.individual.points import Indices, Mask
from certifair.spec.domain import Domain, Feature

if TYPE_CHECKING:
    from certifair.individual.engines._row_enclosure import Enclosure


class Effects(NamedTuple):
    """What an enclosure's line does over a box: its extremes relative to the centre, (boxes,), the values where they
    are attained, (boxes, free), and how much each feature may change f, (boxes, free).
    """

    least: Array
    most: Array
    bottom: Array
    top: Array
    reach: Array


@final
@dataclass(frozen=True, eq=False)
class FlipSets:
    """What moves in the flip sets of a domain's rows."""

    domain: Domain

    @cached_property
    def free(self) -> list[int]:
        """Features that are sensitive or relaxed."""
        return [i for i, f in enumerate(self.domain.features) if f.sensitive or f.eps]

    @cached_property
    def features(self) -> list[Feature]:
        return [self.domain.features[i] for i in self.free]

    @cached_property
    def columns(self) -> list[list[int]]:
        """The network's inputs of each."""
        return [list(self.domain.columns[i]) for i in self.free]

    @cached_property
    def inputs(self) -> Indices:
        """All of them, in order."""
        return np.array([column for group in self.columns for column in group], dtype=np.intp)

    @cached_property
    def long(self) -> Array:
        """1 for features with every number of a range, of which nothing is to be enumerated; else 0."""
        return np.array([float(f.levels is None) for f in self.features])

    @cached_property
    def off(self) -> Array:
        """(inputs,) How far each input may be from a float32 number."""
        most = [
            max(abs(f.low), abs(f.high)) * (f.kind == "continuous")
            for f in self.domain.features
            for _ in range(f.width)
        ]
        return np.array(most) * 2.0**-24

    def roots(self, rows: Array) -> tuple[Array, Array]:
        """The whole flip set of each row; ends of continuous ranges are rounded inwards."""
        ends = [
            [self._ends(feature, row[group[0]]) for feature, group in zip(self.features, self.columns, strict=True)]
            for row in rows.tolist()
        ]
        found = np.array(ends, dtype=np.float64).reshape(len(rows), len(self.free), 2)
        return found[:, :, 0].copy(), found[:, :, 1].copy()

    @staticmethod
    def _ends(feature: Feature, own: float) -> tuple[float, float]:
        if feature.kind == "one_hot":
            return 0.0, feature.width - 1.0
        if feature.sensitive:
            return feature.low, feature.high
        low, high = own - feature.eps, own + feature.eps
        if Fraction(own) - Fraction(low) > Fraction(feature.eps):
            low = float(np.nextafter(low, np.inf))
        if Fraction(high) - Fraction(own) > Fraction(feature.eps):
            high = float(np.nextafter(high, -np.inf))
        return max(low, feature.low), min(high, feature.high)

    def hull(self, rows: Array, low: Array, high: Array) -> tuple[Array, Array]:
        """The smallest ranges of the network's inputs, (boxes, inputs), that contain boxes of these rows."""
        lows, highs = rows.copy(), rows.copy()
        for i, group in enumerate(self.columns):
            if self.features[i].kind == "one_hot":
                there = self._there(i, low, high)
                highs[:, group], lows[:, group] = there, there & (low[:, i] == high[:, i])[:, None]
            else:
                lows[:, group[0]], highs[:, group[0]] = low[:, i], high[:, i]
        return lows, highs

    def _there(self, i: int, low: Array, high: Array) -> Mask:
        place = np.arange(len(self.columns[i]))
        found: Mask = (low[:, i, None] <= place) & (place <= high[:, i, None])
        return found

    def points(self, rows: Array, values: Array) -> Array:
        """The network's inputs, (points, inputs), for values (points, free) in the flip sets of these rows."""
        found = rows.copy()
        for i, group in enumerate(self.columns):
            if self.features[i].kind == "one_hot":
                found[:, group] = np.arange(len(group)) == values[:, i, None]
            else:
                found[:, group[0]] = values[:, i]
        return found

    def middles(self, low: Array, high: Array) -> Array:
        """A point of each box near its middle."""
        middle = low + (high - low) / 2
        return np.where(self.long > 0, middle, np.maximum(low, np.floor(middle)))

    def rounded(self, values: Array, low: Array, high: Array) -> Array:
        """The nearest float32 numbers, where these are in the flip sets from low to high."""
        with np.errstate(over="ignore"):
            near = values.astype(np.float32).astype(np.float64)
        return np.where((low <= near) & (near <= high), near, values)

    def effects(self, box: Enclosure, low: Array, high: Array) -> Effects:
        """Exactly one input of a one-hot feature is 1, so only the values of its positions in the box count."""
        least, most = np.zeros((2, len(low)))
        bottom, top, reach = low.copy(), high.copy(), np.zeros_like(low)
        start = 0
        for i, group in enumerate(self.columns):
            here = slice(start, start + len(group))
            slope, spread, start = box.slope[:, here], box.spread[:, here], here.stop
            if self.features[i].kind != "one_hot":
                width = high[:, i] - low[:, i]
                change = np.abs(slope[:, 0]) * width
                falls = slope[:, 0] < 0
                bottom[falls, i], top[falls, i] = high[falls, i], low[falls, i]
                least, most = least - change / 2, most + change / 2
                reach[:, i] = change + spread[:, 0] * width
                continue
            there = self._there(i, low, high)
            one = there & (low[:, i] == high[:, i])[:, None]
            value = slope - (slope * (there * 0.5 + one * 0.5)).sum(axis=1, keepdims=True)
            up, down = np.where(there, value, -np.inf), np.where(there, value, np.inf)
            bottom[:, i], top[:, i] = down.argmin(axis=1), up.argmax(axis=1)
            least, most = least + down.min(axis=1), most + up.max(axis=1)
            reach[:, i] = up.max(axis=1) - down.min(axis=1) + 2 * np.where(there & ~one, spread, 0.0).max(axis=1)
        return Effects(least, most, bottom, top, reach)

    def cuts(self, low: Array, high: Array, reach: Array) -> tuple[Indices, Array, Mask]:
        """Which feature to halve, and where: (boxes,) of `free`, cuts, and whether that is possible at all.

        Integers and positions go left if < cut.
        """
        middle = low + (high - low) / 2
        near = self.rounded(middle, low, high)
        near = np.where((low < near) & (near < high), near, middle)
        cut = np.where(self.long > 0, near, np.floor(middle) + 1)
        possible = (low < cut) & np.where(self.long > 0, cut < high, cut <= high)
        chosen = np.where(possible, reach + 1e-9 * reach.max(axis=1, keepdims=True), -1.0).argmax(axis=1)
        every = np.arange(len(low))
        return chosen, cut[every, chosen], possible[every, chosen]

    def halves(self, low: Array, high: Array, chosen: Indices, cut: Array) -> tuple[Array, Array]:
        """Both halves of each box, side by side."""
        every = np.arange(len(low))
        lows, highs = np.repeat(low, 2, axis=0), np.repeat(high, 2, axis=0)
        highs[2 * every, chosen] = np.where(self.long[chosen] > 0, cut, cut - 1)
        lows[2 * every + 1, chosen] = cut
        return lows, highs

    def sizes(self, low: Array, high: Array) -> Array:
        """How many points each box has, (boxes,); infinite if something continuous moves."""
        if self.long.any():
            return np.full(len(low), np.inf)
        found: Array = (high - low + 1).prod(axis=1)
        return found

    @staticmethod
    def every(low: Array, high: Array) -> Array:
        """All values of one finite box (free,), (points, free)."""
        shape = (high - low + 1).astype(np.intp).tolist()
        found: Array = np.indices(shape).reshape(len(shape), -1).T + low
        return found
