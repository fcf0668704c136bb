"""Compiled: how much of a neuron's range to give up, for fewer units than its error is worth."""

from __future__ import annotations

import math
from typing import Any

from certifair.individual.engines._branch_vectors import compiled

_STEPS = (1.5, 2.0, 2.5, 3.0, 3.5)
"""Standard deviations at which a range may be cut off."""


@compiled
def tail(x: float, excess: float) -> float:
    """About the share of a sum of independent terms beyond x standard deviations: normal, with one correction."""
    normal = 0.5 * math.erfc(x * 0.7071067811865476)
    density = 0.3989422804014327 * math.exp(-0.5 * x * x)
    return max(normal + density * excess * (x * x * x - 3 * x) / 24, 0.1 * normal)


@compiled
def choose(ends: Any, base: float, sigma: float, excess: float, price: float) -> Any:
    """(low, high, missed share) of least missed + price·low·high/(low − high), what its error costs.

    ends: (low, centre, high) of a neuron that strays by `base` at worst, and by sigma times something about normal.
    Either the range is cut off some standard deviations from base, or at 0, if most units are on one side.
    """
    low, centre, high = ends
    least, most, missed = low, high, 0.0
    cost = price * low * high / (low - high)
    for i in range(5):
        reach = _STEPS[i] * sigma + base
        down, up = max(low, centre - reach), min(high, centre + reach)
        if down < 0 < up and (down > low or up < high):
            share = tail(_STEPS[i], excess) * ((down > low) + (up < high))
            other = share + price * down * up / (down - up)
            if other < cost:
                cost, least, most, missed = other, down, up, share
    if abs(centre) > base:
        share = tail((abs(centre) - base) / sigma, excess)
        if share < cost:
            least, most, missed = (0.0, high, share) if centre > 0 else (low, 0.0, share)
    return least, most, missed
