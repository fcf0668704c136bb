"""Boxes of a domain: for each feature a range [low, high] of values, or of positions of one-hot values.

Arrays (boxes, features) of float64, which holds integers up to 2^24 and the ends of continuous ranges exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual.floats import Array
from certifair.spec.domain import Domain

EXACT: Final = 1 << 53
"""Up to here float64 counts exactly, and int64 far beyond."""


@final
@dataclass(frozen=True, eq=False)
class Frame:
    """A domain, with its features' properties as arrays."""

    domain: Domain

    @cached_property
    def numeric(self) -> NDArray[np.intp]:
        """Features of one input that is no one-hot position."""
        return self._where(lambda f: f.kind != "one_hot")

    @cached_property
    def unit(self) -> NDArray[np.intp]:
        return self._where(lambda f: not f.sensitive)

    @cached_property
    def sensitive(self) -> NDArray[np.intp]:
        return self._where(lambda f: f.sensitive)

    @cached_property
    def continuous(self) -> NDArray[np.bool_]:
        """Features whose size is a length."""
        return np.array([f.levels is None for f in self.domain.features])

    @cached_property
    def is_range(self) -> NDArray[np.bool_]:
        """Features with every number of a range; one that has only one number is no length, but neither an integer."""
        return np.array([f.kind == "continuous" for f in self.domain.features])

    @cached_property
    def is_sensitive(self) -> NDArray[np.bool_]:
        return np.array([f.sensitive for f in self.domain.features])

    @cached_property
    def eps(self) -> Array:
        return np.array([f.eps for f in self.domain.features])

    @cached_property
    def first(self) -> NDArray[np.intp]:
        """The first input of each feature."""
        return np.array([columns[0] for columns in self.domain.columns])

    @cached_property
    def root(self) -> tuple[Array, Array]:
        """The whole domain, (1, features)."""
        ends = [(0, f.width - 1) if f.kind == "one_hot" else (f.low, f.high) for f in self.domain.features]
        low, high = np.array(ends, dtype=np.float64).T
        return low[None], high[None]

    @cached_property
    def counts_in_floats(self) -> bool:
        """Whether units are counted, and fewer than 2^53."""
        return not self.continuous[self.unit].any() and self.domain.units < EXACT

    def _where(self, which: Any) -> NDArray[np.intp]:
        return np.array([i for i, f in enumerate(self.domain.features) if which(f)], dtype=np.intp)

    def relaxed(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Ranges widened by ±eps within the domain; continuous ends are rounded outwards."""
        moved = self.eps > 0
        out, least, most = np.where(self.continuous, np.inf, 0.0), self.root[0], self.root[1]
        wide_low = np.where(out > 0, np.nextafter(low - self.eps, -out), low - self.eps)
        wide_high = np.where(out > 0, np.nextafter(high + self.eps, out), high + self.eps)
        return np.where(moved, np.maximum(wide_low, least), low), np.where(moved, np.minimum(wide_high, most), high)

    def hull(self, low: Array, high: Array) -> tuple[Array, Array]:
        """The smallest ranges of the network's inputs (boxes, inputs) that contain the boxes."""
        lows, highs = np.zeros((2, len(low), self.domain.inputs))
        lows[:, self.first[self.numeric]] = low[:, self.numeric]
        highs[:, self.first[self.numeric]] = high[:, self.numeric]
        for i, feature in enumerate(self.domain.features):
            if feature.kind == "one_hot":
                place, columns = np.arange(feature.width), list(self.domain.columns[i])
                inside = (low[:, i, None] <= place) & (place <= high[:, i, None])
                highs[:, columns] = inside
                lows[:, columns] = inside & (low[:, i, None] == high[:, i, None])
        return lows, highs

    def inputs(self, values: Array, features: NDArray[np.intp]) -> Array:
        """The network's inputs (rows, inputs) for values or positions (rows, features) of these; all others 0."""
        found = np.zeros((len(values), self.domain.inputs))
        for j, i in enumerate(features):
            if self.domain.features[i].kind == "one_hot":
                found[np.arange(len(values)), self.first[i] + values[:, j].astype(np.intp)] = 1
            else:
                found[:, self.first[i]] = values[:, j]
        return found

    @cached_property
    def flip_sets(self) -> Frame:
        """Boxes of a single flip set: everything is as if sensitive, so that there is one unit."""
        return Frame(Domain(self.domain.name, tuple(replace(f, sensitive=True, eps=0.0) for f in self.domain.features)))

    @cached_property
    def sensitive_inputs(self) -> list[int]:
        """The network's inputs of sensitive features."""
        return [c for i in self.sensitive for c in self.domain.columns[i]]

    @cached_property
    def flipped_inputs(self) -> list[int]:
        """The network's inputs of sensitive and relaxed features, in their order."""
        return [c for i, f in enumerate(self.domain.features) if f.sensitive or f.eps for c in self.domain.columns[i]]

    def values(self, rows: Array) -> tuple[NDArray[np.bool_], Array]:
        """Which rows (rows, n0) are in the domain; and all values or positions (rows, features), of these."""
        inside, found = np.ones(len(rows), dtype=bool), np.zeros((len(rows), len(self.domain.features)))
        for i, (feature, columns) in enumerate(zip(self.domain.features, self.domain.columns, strict=True)):
            some = rows[:, list(columns)]
            if feature.kind == "one_hot":
                inside &= ((some == 0) | (some == 1)).all(axis=1) & ((some == 1).sum(axis=1) == 1)
                found[:, i] = some.argmax(axis=1)
                continue
            found[:, i] = some[:, 0]
            inside &= (feature.low <= some[:, 0]) & (some[:, 0] <= feature.high)
            if feature.kind == "integer":
                inside &= some[:, 0] == np.rint(some[:, 0])
        return inside, found

    def in_flip_set(self, rows: Array, points: Array) -> NDArray[np.bool_]:
        """Whether points (rows, n0) are in the flip sets of these rows of the domain: within eps exactly."""
        member, _ = self.values(points)
        for feature, columns in zip(self.domain.features, self.domain.columns, strict=True):
            if feature.sensitive:
                continue
            one, two = rows[:, list(columns)], points[:, list(columns)]
            same = (one == two).all(axis=1)
            if feature.eps:
                apart = np.abs(one - two)[:, 0]
                same |= np.nextafter(apart, np.inf) <= feature.eps
                for row in np.flatnonzero(~same & member & (np.nextafter(apart, 0) <= feature.eps)):
                    same[row] = abs(Fraction(one[row, 0]) - Fraction(two[row, 0])) <= Fraction(feature.eps)
            member &= same
        return member

    @cached_property
    def rounds(self) -> Array:
        """(inputs,) At most how far an input is from a float32 number: nothing for integers up to 2^24, inf beyond."""
        found = np.zeros(self.domain.inputs)
        for i, feature in enumerate(self.domain.features):
            if feature.kind == "continuous":
                most = max(abs(feature.low), abs(feature.high))
                near = most * 2.0**-24 * (1 + 2.0**-20) + 2.0**-149
                found[self.first[i]] = near if most < 2.0**127 else np.inf
        return found

    def measure(self, low: Array, high: Array) -> NDArray[Any]:
        """(boxes,) The units of each box, exactly: int64 if `counts_in_floats`, else Python's integers or fractions."""
        if self.counts_in_floats:
            found: NDArray[Any] = (high - low + 1)[:, self.unit].prod(axis=1).astype(np.int64)
            return found
        return np.array([self._size(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)], dtype=object)

    def _size(self, low: list[float], high: list[float]) -> Fraction | int:
        ends = [(self.continuous[i], Fraction(low[i]), Fraction(high[i])) for i in self.unit.tolist()]
        size = prod((b - a if continuous else b - a + 1 for continuous, a, b in ends), start=Fraction(1))
        return size if self.continuous[self.unit].any() else int(size)
