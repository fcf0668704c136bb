"""Pairs to try: points of the box that differ only where they may, evaluated many at a time."""

from __future__ import annotations

import itertools
import math
import time
from typing import Final

import numpy as np

from certifair.individual.bounds import evaluate
from certifair.individual.query import Array, Pair, Query
from certifair.spec.layers import Layers

UNITS: Final = 32
"""How many choices of the inputs that do not flip are tried in a round; corners of the box in every other one."""
FLIPS: Final = 256
"""How many combinations of those that do: all of them if there are no more."""
ROUNDS: Final = 8


def find_pair(layers: Layers, query: Query, seconds: float) -> Pair | None:
    """Two points with surely different decisions, the positive one first; None if none was met. Deterministic."""
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    alone = bool((query.low == query.high)[~query.flips].all()) and query.reach is None
    for number in range(ROUNDS * UNITS):
        corners = number // UNITS % 2 == 0
        centre = _draw(query, query.low, query.high, 1, rng, corners=corners)[0]
        if time.perf_counter() - start >= seconds:
            return None
        points, complete = _flips(query, centre, rng, corners=corners)
        found = differing(layers, points)
        if found is not None or (alone and (complete or number >= ROUNDS)):
            return found
    return None


def differing(layers: Layers, points: Array) -> Pair | None:
    """The two of these points (n, d) that are farthest on the two sides of 0, by more than rounding."""
    with np.errstate(over="ignore", invalid="ignore"):
        value, error = evaluate(layers, points)
        above, below = np.nan_to_num([value - error, -value - error], nan=-np.inf)
    first, second = int(above.argmax()), int(below.argmax())
    return (points[first], points[second]) if above[first] > 0 and below[second] > 0 else None


def _flips(query: Query, centre: Array, rng: np.random.Generator, *, corners: bool) -> tuple[Array, bool]:
    """Points that differ from the centre where they may, by half the reach at most, (n, d); whether they are all."""
    half = query.distance if query.reach is None else query.reach / 2
    half = np.where(query.integer & np.isfinite(half), np.floor(half), half)
    low = np.where(query.flips, np.maximum(query.low, centre - half), centre)
    high = np.where(query.flips, np.minimum(query.high, centre + half), centre)
    grid = _grid(query, low, high)
    if grid is None:
        return _draw(query, low, high, FLIPS, rng, corners=corners), False
    points = np.repeat(centre[None], len(grid), axis=0)
    points[:, query.flips] = grid
    return points, True


def _grid(query: Query, low: Array, high: Array) -> Array | None:
    """Every combination of the flipped inputs, (n, flips); None if they are more than FLIPS."""
    where = np.flatnonzero(query.flips)
    free = where[low[where] < high[where]]
    if not query.integer[free].all() or math.prod((high - low)[free] + 1) > FLIPS << 2:
        return None
    ranges = [np.arange(low[i], high[i] + 1) for i in where]
    grid = np.array(list(itertools.product(*ranges))).reshape(-1, len(where))
    for group in query.one_hot:
        if query.flips[group[0]]:
            grid = grid[grid[:, np.searchsorted(where, group)].sum(axis=1) == 1]
    return grid if 0 < len(grid) <= FLIPS else None


def _draw(query: Query, low: Array, high: Array, count: int, rng: np.random.Generator, *, corners: bool) -> Array:
    """Points of a box, (count, d): corners, or spread over it."""
    share = rng.random((count, query.inputs))
    points = low + (share.round() if corners else share) * (high - low)
    points[:, query.integer] = points[:, query.integer].round()
    for group in query.one_hot:
        columns = np.array(group)
        weight = rng.random((count, len(columns))) * high[columns] + 2 * low[columns]
        points[:, columns] = 0
        points[np.arange(count), columns[weight.argmax(axis=1)]] = 1
    return np.clip(points, query.low, query.high)
