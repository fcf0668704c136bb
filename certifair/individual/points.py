"""Flip sets of rows: which inputs move, what they may be, and whether a found pair is clear.

Every point of a row's flip set is base + step: base is the row with its sensitive and continuous flipped inputs put to
0, step one of finitely many combinations (values of sensitive inputs, displacements of relaxed integers), and the
continuous flipped inputs come on top. So W·x = W·base + W·step, and both products are shared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from certifair.evidence.witness import MOST_FLIPS
from certifair.individual.bounds import activate, interval_bounds
from certifair.individual.engines.base import Array, NotForThisError
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Numbers = NDArray[np.floating[Any]]
FLOAT32: Final = 2.0**-24


@final
@dataclass(frozen=True, eq=False)
class Flips:
    """The inputs that may differ between two points of a flip set (in order), and those of them that are continuous."""

    domain: Domain
    columns: Indices
    continuous: Indices


def flips_of(domain: Domain) -> Flips:
    """What flips in this domain."""
    free = [(f, c) for f, c in zip(domain.features, domain.columns, strict=True) if f.sensitive or f.eps]
    return Flips(
        domain,
        np.array([column for _, group in free for column in group], dtype=np.intp),
        np.array([group[0] for f, group in free if f.levels is None], dtype=np.intp),
    )


def inside(domain: Domain, rows: Array) -> Mask:
    """Which rows are points of the domain, (n,)."""
    low = np.array([f.low for f in domain.features for _ in range(f.width)])
    high = np.array([f.high for f in domain.features for _ in range(f.width)])
    whole = np.array([f.kind != "continuous" for f in domain.features for _ in range(f.width)])
    found = _inside(rows, low, high, whole)
    for feature, group in zip(domain.features, domain.columns, strict=True):
        if feature.kind == "one_hot":
            found &= rows[:, list(group)].sum(axis=1) == 1
    return found


@njit(cache=True, nogil=True)
def _inside(rows: Array, low: Array, high: Array, whole: Mask) -> Mask:
    found = np.ones(len(rows), dtype=np.bool_)
    for i in range(len(rows)):
        for j in range(len(low)):
            x = rows[i, j]
            if not low[j] <= x <= high[j] or (whole[j] and x != np.floor(x)):
                found[i] = False
                break
    return found


def groups(flips: Flips, rows: Array) -> Iterator[tuple[Indices, Array]]:
    """Rows that have the same steps, and these: (K, inputs), 0 where nothing flips.

    Relaxed integers near an end of their range have fewer displacements than others. Errors: NotForThisError for more
    than MOST_FLIPS combinations.
    """
    relaxed = [
        (feature, column[0])
        for feature, column in zip(flips.domain.features, flips.domain.columns, strict=True)
        if feature.eps and feature.levels is not None
    ]
    ends = [_displacements(feature, rows[:, column]) for feature, column in relaxed]
    if not ends:
        yield np.arange(len(rows)), _steps(flips.domain, {})
        return
    different, which = np.unique(np.concatenate(ends, axis=1), axis=0, return_inverse=True)
    for number, limits in enumerate(different.astype(int).reshape(-1, len(relaxed), 2).tolist()):
        yield np.flatnonzero(which.reshape(-1) == number), _steps(flips.domain, dict(enumerate(limits)))


def _displacements(feature: Feature, values: Array) -> Array:
    """From and to which displacement, (n, 2)."""
    low, high = np.maximum(feature.low - values, -feature.eps), np.minimum(feature.high - values, feature.eps)
    return np.stack([low, high], axis=1)


def _steps(domain: Domain, displaced: dict[int, list[int]]) -> Array:
    """All combinations: of sensitive features their values, of relaxed integers (in order) their displacements."""
    limits = iter(displaced.values())
    ranges: list[tuple[Feature, list[int], tuple[float, float]]] = []
    for feature, group in zip(domain.features, domain.columns, strict=True):
        if feature.levels is not None and (feature.sensitive or feature.eps):
            low, high = (feature.low, feature.high) if feature.sensitive else next(limits)
            ranges.append((feature, list(group), (low, high if feature.kind != "one_hot" else feature.width - 1)))
    sizes = [int(high - low) + 1 for _, _, (low, high) in ranges]
    count = math.prod(sizes)
    if count > MOST_FLIPS:
        what = f"a flip set has more than {MOST_FLIPS} combinations of integers and categories"
        raise NotForThisError(what, advice="use the method branch")
    steps = np.zeros((count, domain.inputs))
    places = np.indices(sizes).reshape(len(sizes), count)
    for (feature, columns, (low, _)), place in zip(ranges, places, strict=True):
        steps[:, columns] = np.eye(feature.width)[place] if feature.kind == "one_hot" else low + place[:, None]
    return steps


def bases(flips: Flips, rows: Array) -> Array:
    """The rows with what is sensitive or continuous and flips put to 0."""
    kept = rows.copy()
    for feature, group in zip(flips.domain.features, flips.domain.columns, strict=True):
        if feature.sensitive or (feature.eps and feature.levels is None):
            kept[:, list(group)] = 0.0
    return kept


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def affine(points: Numbers, weight: Numbers, bias: Numbers) -> Any:
    """points @ weight + bias, weight (n, m). On one core: BLAS would take all of them for each of these products."""
    out = np.empty((len(points), len(bias)), dtype=points.dtype)
    for r in range(len(points)):
        row = out[r]
        for i in range(len(bias)):
            row[i] = bias[i]
        for j in range(len(weight)):
            by = points[r, j]
            if by != 0:
                for i in range(len(bias)):
                    row[i] += by * weight[j, i]
    return out


def values_and_errors(layers: Layers, points: Array) -> tuple[Array, Array]:
    """f at points (n, inputs), and about how far float32 hardware may be from the real number, (n,) each.

    A dot product of n terms is wrong by at most γ Σ|w x|, γ = n·u/(1 − n·u), and carries on the errors E of its terms:
    E_z = |W|(E + γ (|h| + E)) + γ·size. Curves bend no steeper than 1; a ReLU gives exactly 0 where z + E_z ≤ 0.
    """
    h = np.ascontiguousarray(points)
    error = np.zeros_like(h)
    with np.errstate(over="ignore", invalid="ignore"):
        for layer in layers.layers:
            weight = np.ascontiguousarray(layer.weight.T)
            gamma = float(layer.rounds.max()) * FLOAT32 * 1.01 + float(layer.relative.max())
            error = affine(error + gamma * (np.abs(h) + error), np.abs(weight), gamma * layer.size + 2.0**-126)
            z = affine(h, weight, layer.bias)
            h = activate(layer, z) if layer.curve.any() else np.where(z < 0, layer.slope * z, z)
            steep, silent = np.abs(layer.slope), (layer.slope == 0) & (z + error <= 0)
            rounded = np.where(layer.curve != 0, 4.0, (steep != 0) & (layer.slope != 1))
            error = np.where(silent, 0.0, error * np.maximum(1.0, steep) + FLOAT32 * rounded * np.abs(h))
    return h[:, 0], error[:, 0]


def worst_error(layers: Layers, domain: Domain) -> float:
    """As the errors of `values_and_errors`, for every point of the domain at once: |h| from interval bounds.

    Infinite if float32 might overflow.
    """
    low = np.array([f.low for f in domain.features for _ in range(f.width)])
    high = np.array([f.high for f in domain.features for _ in range(f.width)])
    error, size = np.zeros(len(low)), np.maximum(np.abs(low), np.abs(high))
    with np.errstate(over="ignore", invalid="ignore"):
        for layer, (below, above) in zip(layers.layers, interval_bounds(layers, low, high), strict=True):
            if not (np.abs(layer.weight) @ size + layer.size < 2.0**120).all():
                return math.inf
            gamma = float(layer.rounds.max()) * FLOAT32 * 1.01 + float(layer.relative.max())
            error = np.abs(layer.weight) @ (error + gamma * (size + error)) + gamma * layer.size + 2.0**-126
            steep = np.maximum(1.0, np.abs(layer.slope))
            size = steep * np.maximum(np.abs(below), np.abs(above)) + (layer.curve != 0)
            error = steep * error + 4 * FLOAT32 * size
    return float(error[0])


def clear(layers: Layers, above: Array, below: Array, chunk: int = 4096) -> Mask:
    """Whether f is surely > 0 at `above` and surely ≤ 0 at `below`, on the reals and in float32, pair by pair."""
    found = np.zeros(len(above), dtype=np.bool_)
    for start in range(0, len(above), chunk):
        part = slice(start, start + chunk)
        value, error = values_and_errors(layers, np.concatenate([above[part], below[part]]))
        (high, low), (wide, thick) = np.split(value, 2), np.split(error, 2)
        found[part] = (high > 1.01 * wide) & (low < -1.01 * thick)
    return found
