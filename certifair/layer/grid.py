"""The dyadic grid that predictions are published on: integers times a power of two, which anybody sums exactly."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import final

from certifair.errors import InputError

_LARGEST_SIZE = {"float64": 900, "float32": 90}
BITS = {"float64": 40, "float32": 24}
"""Grid steps a box of about 1, by dtype: 2⁻⁴⁰ and 2⁻²⁴. All grid points of the box are exact in the dtype."""


@final
@dataclass(frozen=True)
class Grid:
    """The multiples of `step` within the box [lower, upper], whose ends need not be on it; none is above 2^size."""

    lower: Fraction
    upper: Fraction
    size: int
    step: Fraction
    first: int
    last: int

    @staticmethod
    def of(lower: Fraction, upper: Fraction, dtype: str) -> Grid:
        """The grid of a box. Raises InputError where the box holds no two grid points."""
        largest = max(abs(lower), abs(upper))
        size = 0
        while Fraction(2) ** size < largest:
            size += 1
        while Fraction(2) ** (size - 1) >= largest:
            size -= 1
        step = Fraction(2) ** (size - BITS[dtype])
        first, last = math.ceil(lower / step), math.floor(upper / step)
        if abs(size) > _LARGEST_SIZE[dtype]:
            what = f"a box of numbers around 2^{size} has no grid in {dtype}"
            raise InputError(what, where="fairness layer", advice="scale scores and box, or use float64")
        if last <= first:
            what = f"the box [{float(lower):g}, {float(upper):g}] is too narrow for {dtype}"
            raise InputError(what, where="fairness layer", advice="widen it, or use float64")
        return Grid(lower, upper, size, step, first, last)

    @functools.cached_property
    def scale(self) -> float:
        """Grid points a unit: a power of two."""
        return float(1 / self.step)

    @functools.cached_property
    def box(self) -> tuple[float, float]:
        """The smallest and the largest grid point, exact."""
        return float(self.first * self.step), float(self.last * self.step)
