"""Flip sets as they are: finite, and evaluated point by point.

S(x) holds x with every combination of the sensitive features' values, and every displacement of a relaxed integer by at
most ±eps that stays in its range. f is computed in float64, with a bound on what rounding does to it; so `fair` says
nothing that is not true of the real numbers, and stays silent where f is too near 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from certifair.individual.bounds import activate, box_rounding
from certifair.repair.base import Array, look_at_clock
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers

Mask = NDArray[np.bool_]
CHUNK: Final = 4096
"""Rows at a time, at most,"""
WORK: Final = 1 << 28
"""and multiplications: about a tenth of a second."""
MOST_STEPS: Final = 1 << 14
"""Combinations that are gone through here."""


def free_features(domain: Domain) -> list[tuple[Feature, tuple[int, ...]]]:
    """What may differ between two points of a flip set, with its inputs."""
    both = zip(domain.features, domain.columns, strict=True)
    return [(feature, columns) for feature, columns in both if feature.sensitive or feature.eps]


def free_columns(domain: Domain) -> list[int]:
    """The inputs of these."""
    return [column for _, columns in free_features(domain) for column in columns]


def finite_size(domain: Domain) -> int | None:
    """At most how many points a flip set has; None if there is no end of them."""
    size, continuous = domain.freedom
    return None if continuous else size


def steps_of(domain: Domain) -> Array:
    """Every combination, (K, free inputs): values of sensitive features, displacements of relaxed ones."""
    choices = [_choices(feature) for feature, _ in free_features(domain)]
    sizes = [len(choice) for choice in choices]
    places = np.indices(sizes).reshape(len(sizes), math.prod(sizes))
    return np.concatenate([choice[place] for choice, place in zip(choices, places, strict=True)], axis=1)


def _choices(feature: Feature) -> Array:
    if feature.sensitive:
        return np.array(list(feature.points()), dtype=np.float64)
    return np.arange(-feature.eps, feature.eps + 1)[:, None]


def moved(domain: Domain, rows: Array, step: Array) -> Array:
    """The point of each row's flip set that a combination leads to; beyond a range the end of it, also in the set."""
    points, start = rows.copy(), 0
    for feature, columns in free_features(domain):
        value = step[start : start + feature.width]
        start += feature.width
        if feature.eps:
            value = np.clip(rows[:, columns] + value, feature.low, feature.high)
        points[:, columns] = value
    return points


def logits(layers: Layers, points: Array) -> Array:
    """f at points (n, inputs)."""
    found = np.empty(len(points))
    for part in parts(layers, len(points)):
        found[part] = hidden(layers, points[part], len(layers.layers))[:, 0]
    return found


def parts(layers: Layers, count: int, times: int = 1) -> Iterator[slice]:
    """So many rows, as many at a time as are evaluated so many `times` soon."""
    weights = times * sum(layer.weight.size for layer in layers.layers)
    most = max(1, min(CHUNK, WORK // weights))
    return (slice(start, min(start + most, count)) for start in range(0, count, most))


def hidden(layers: Layers, points: Array, depth: int) -> Array:
    """What so many layers make of points; not finite where float64 overflows."""
    h = points
    with np.errstate(over="ignore", invalid="ignore"):
        for layer in layers.layers[:depth]:
            z = h @ layer.weight.T + layer.bias
            h = activate(layer, z) if layer.curve.any() else np.where(z < 0, layer.slope * z, z)
    return h


def alike(domain: Domain, rows: Array) -> tuple[Any, Any]:
    """Rows of the domain with the same flip set: the first of each kind (k,), and of which kind each row is (n,).

    What is not sensitive is the same in them, relaxed inputs too.
    """
    kept = rows.copy()
    kept[:, [column for k in domain.sensitive for column in domain.columns[k]]] = 0.0
    _, first, which = np.unique(kept, axis=0, return_index=True, return_inverse=True)
    return first, which.reshape(-1)


def extremes(
    layers: Layers, domain: Domain, rows: Array, steps: Array, deadline: float | None
) -> tuple[Array, NDArray[np.intp]]:
    """Least and largest f on every row's flip set, and at which combination: (2, n) each. Errors: OutOfTimeError."""
    ends = np.repeat(np.array([[np.inf], [-np.inf]]), len(rows), axis=1)
    where = np.zeros(ends.shape, dtype=np.intp)
    for part in parts(layers, len(rows)):
        for number, step in enumerate(steps):
            look_at_clock(deadline)
            value = logits(layers, moved(domain, rows[part], step))
            for end, better in ((0, value < ends[0, part]), (1, value > ends[1, part])):
                ends[end, part][better] = value[better]
                where[end, part][better] = number
    return ends, where


def sure(layers: Layers, domain: Domain, ends: Array) -> Mask:
    """Which flip sets surely lie on one side of 0, by the least and the largest f on them, (2, n).

    Both are wrong by at most the rounding of float64 anywhere in the domain (`box_rounding`).
    """
    low, high = (
        np.array([getattr(feature, end) for feature in domain.features for _ in range(feature.width)])
        for end in ("low", "high")
    )
    with np.errstate(over="ignore", invalid="ignore"):  # then the error is no number, and nothing is sure
        error = box_rounding(layers, low, high)
    return np.asarray((ends[0] > error) | (ends[1] < -error))
