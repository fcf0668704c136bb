"""How much of neurons' ranges to give up, for fewer units than their errors are worth. Nothing rests on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.enclosures import Enclosure
from certifair.checks._individual.floats import Array

PRICE: Final = 0.2
"""Of a neuron's error, in standard deviations of s, in units missed."""
STEPS: Final = (1.5, 2.0, 2.5, 3.0, 3.5)
"""Standard deviations at which a range may be cut off."""


@final
@dataclass(frozen=True, eq=False)
class Rule:
    """price: of each layer, (boxes, m). Of inputs, (boxes, n0): half the range, variance and fourth cumulant over the
    units; 0 of those that are not spread evenly."""

    price: list[Array]
    half: Array
    variance: Array
    fourth: Array

    @staticmethod
    def of(frame: Frame, low: Array, high: Array, box: Enclosure) -> Rule:
        """By how f depends on the neurons in the untrimmed enclosure."""
        half, variance, fourth = _moments(frame, low, high)
        deviation = np.sqrt(_variance(frame, low, high, box.slope))
        price = [PRICE * size / np.maximum(deviation, 1e-30)[:, None] for size in box.size]
        return Rule(price, half, variance, fourth)

    def choose(self, row: NDArray[np.intp], ends: tuple[Array, Array, Array], slope: Array, price: Array) -> Ends:
        """Ranges of least missed share + price·error, for neurons (neurons,) of boxes; ends: low, centre and high.

        Either the range is cut off some standard deviations from base, or at 0, if most units are on one side.
        """
        low, centre, high = ends
        square = slope * slope
        spread = (square * self.variance[row]).sum(axis=1)
        excess = np.where(spread > 0, (square * square * self.fourth[row]).sum(axis=1) / spread**2, 0.0)
        sigma = np.sqrt(spread)
        base = np.maximum(high - centre - (np.abs(slope) * self.half[row]).sum(axis=1), 0.0)
        least, most, cost = low, high, price * low * high / (low - high)
        for x in STEPS:
            reach = x * sigma + base
            down, up = np.maximum(low, centre - reach), np.minimum(high, centre + reach)
            share = _tail(np.full(len(low), x), excess) * (1.0 * (down > low) + (up < high))
            other = share + price * down * up / (down - up)
            better = (down < 0) & (up > 0) & ((down > low) | (up < high)) & (other < cost) & (sigma > 0)
            least, most, cost = np.where(better, down, least), np.where(better, up, most), np.where(better, other, cost)
        share = _tail((np.abs(centre) - base) / sigma, excess)
        better = (np.abs(centre) > base) & (sigma > 0) & (share < cost)
        least = np.where(better, np.where(centre > 0, 0.0, low), least)
        most = np.where(better, np.where(centre > 0, high, 0.0), most)
        return least, most


Ends = tuple[Array, Array]


def _moments(frame: Frame, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """(boxes, n0)"""
    half, variance, fourth = np.zeros((3, len(low), frame.domain.inputs))
    for i in frame.unit.tolist():
        feature = frame.domain.features[i]
        if feature.kind == "one_hot" or feature.eps:
            continue
        width, c = high[:, i] - low[:, i], frame.first[i]
        more = 0 if frame.is_range[i] else 1
        half[:, c] = width / 2
        variance[:, c], fourth[:, c] = ((width + more) ** 2 - more) / 12, (more - (width + more) ** 4) / 120
    return half, variance, fourth


def _variance(frame: Frame, low: Array, high: Array, slope: Array) -> Array:
    """(boxes,) Of s over the units."""
    found = np.zeros(len(low))
    for i in frame.unit.tolist():
        columns = list(frame.domain.columns[i])
        if frame.domain.features[i].kind == "one_hot":
            place = np.arange(len(columns))
            there = (low[:, i, None] <= place) & (place <= high[:, i, None])
            n = there.sum(axis=1)
            some = np.where(there, slope[:, columns], 0.0)
            found += (some**2).sum(axis=1) / n - (some.sum(axis=1) / n) ** 2
            continue
        width = high[:, i] - low[:, i]
        found += slope[:, columns[0]] ** 2 * (width**2 if frame.is_range[i] else (width + 1) ** 2 - 1) / 12
    return np.maximum(found, 0.0)


def _tail(x: Array, excess: Array) -> Array:
    """About the share of a sum of independent terms beyond x standard deviations, x ≥ 0."""
    density = 0.3989422804014327 * np.exp(-0.5 * x * x)
    t = 1 / (1 + 0.2316419 * x)
    normal = density * t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    return np.maximum(normal + density * excess * (x * x * x - 3 * x) / 24, 0.1 * normal)
