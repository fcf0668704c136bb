"""Flip sets of rows: which inputs move, what they may be, and whether a found pair is clear.

Every point of a row's flip set is base + step: base is the row with its sensitive and continuous flipped inputs put to
0, step one of finitely many combinations (values of sensitive inputs, displacements of relaxed integers), and the
continuous flipped inputs come on top. So W·x = W·base + W·step, and both products are shared.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from certifair.evidence.witness import PAIR, UNDECIDED, Rows
from certifair.individual.engines._bounds import activate
from certifair.individual.engines.base import Array, NotForThisError
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
MOST: Final = 1 << 20
"""Combinations of one flip set."""
FLOAT32: Final = 2.0**-24
OUTSIDE: Final = "the row is not in the domain"
LATE: Final = "no time was left"


@final
@dataclass(frozen=True, eq=False)
class Flips:
    """The inputs that may differ between two points of a flip set (`columns`, in order), and those of them that are
    continuous, with the low and high ends of their features.
    """

    domain: Domain
    columns: Indices
    continuous: Indices
    low: Array
    high: Array

    @property
    def finite(self) -> Indices:
        return np.setdiff1d(self.columns, self.continuous)


def flips_of(domain: Domain) -> Flips:
    """What flips in this domain."""
    free = [(f, c) for f, c in zip(domain.features, domain.columns, strict=True) if f.sensitive or f.eps]
    moving = [(f, c[0]) for f, c in free if f.levels is None]
    return Flips(
        domain,
        np.array([column for _, group in free for column in group], dtype=np.intp),
        np.array([column for _, column in moving], dtype=np.intp),
        np.array([feature.low for feature, _ in moving]),
        np.array([feature.high for feature, _ in moving]),
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
    than MOST combinations.
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
    choices: list[tuple[list[int], Array]] = []
    limits = iter(displaced.values())
    for feature, group in zip(domain.features, domain.columns, strict=True):
        if feature.levels is None:
            continue
        if feature.sensitive:
            choices.append((list(group), _values(feature)))
        elif feature.eps:
            first, last = next(limits)
            choices.append((list(group), np.arange(first, last + 1.0)[:, None]))
    count = math.prod(len(values) for _, values in choices)
    if count > MOST:
        what = f"a flip set has {count} combinations; all are evaluated here, up to {MOST}"
        raise NotForThisError(what, advice="use the method branch")
    steps = np.zeros((count, domain.inputs))
    places = np.indices([len(values) for _, values in choices]).reshape(len(choices), -1)
    for (columns, values), place in zip(choices, places, strict=True):
        steps[:, columns] = values[place]
    return steps


def _values(feature: Feature) -> Array:
    if feature.kind == "continuous":
        return np.array([[feature.low]])
    return np.array(list(feature.points()), dtype=np.float64)


def bases(flips: Flips, rows: Array) -> Array:
    """The rows with what is sensitive or continuous and flips put to 0."""
    kept = rows.copy()
    for feature, group in zip(flips.domain.features, flips.domain.columns, strict=True):
        if feature.sensitive or (feature.eps and feature.levels is None):
            kept[:, list(group)] = 0.0
    return kept


def values_and_errors(layers: Layers, points: Array) -> tuple[Array, Array]:
    """f at points (n, inputs), and about how far float32 hardware may be from the real number, (n,) each.

    A dot product of n terms is wrong by at most γ_n Σ|w x|, γ_n = n·u/(1 − n·u), and carries on the errors E of its
    terms: E_z = |W| E + γ (|W|(|h| + E) + size). Curves bend no steeper than 1.
    """
    h, error = points, np.zeros_like(points)
    with np.errstate(over="ignore", invalid="ignore"):
        for layer in layers.layers:
            weight = np.abs(layer.weight).T
            gamma = layer.rounds * FLOAT32 / (1 - layer.rounds * FLOAT32) + layer.relative
            error = (
                error @ weight + gamma * ((np.abs(h) + error) @ weight + layer.size) + (layer.rounds > 0) * 2.0**-126
            )
            h = activate(layer, h @ layer.weight.T + layer.bias)
            error = error * np.maximum(1.0, np.abs(layer.slope)) + 4 * FLOAT32 * (layer.curve != 0) * np.abs(h)
            error += FLOAT32 * np.abs(h) * ~np.isin(layer.slope, (0.0, 1.0))
    return h[:, 0], error[:, 0]


def clear(layers: Layers, above: Array, below: Array, chunk: int = 4096) -> Mask:
    """Whether f is surely > 0 at `above` and surely ≤ 0 at `below`, on the reals and in float32, pair by pair."""
    found = np.zeros(len(above), dtype=np.bool_)
    for start in range(0, len(above), chunk):
        part = slice(start, start + chunk)
        (high, wide), (low, thick) = (values_and_errors(layers, points[part]) for points in (above, below))
        found[part] = (high > 2 * wide) & (low < -2 * thick)
    return found


def rows_found(
    domain_rows: Mask, late: Mask, flips: Flips, pairs: tuple[Indices, Array, Array], otherwise: int
) -> tuple[Rows, tuple[tuple[int, str], ...]]:
    """Codes and reasons: UNDECIDED outside the domain and where time ran out, PAIR for (rows, above, below), else the
    code `otherwise`.
    """
    rows, above, below = pairs
    order = np.argsort(rows)
    codes = np.where(domain_rows & ~late, otherwise, UNDECIDED).astype(np.uint8)
    codes[rows] = PAIR
    both = np.stack([above[order][:, flips.columns], below[order][:, flips.columns]], axis=1)
    column = array("d")
    column.frombytes(both.astype(np.float64).tobytes())
    counts = ((~domain_rows).sum(), OUTSIDE), ((late & domain_rows).sum(), LATE)
    return Rows(codes.tobytes(), column), tuple((int(count), reason) for count, reason in counts if count)


def spans(count: int, width: int) -> Iterator[tuple[int, int]]:
    """0 to count in pieces of at most `width`."""
    return itertools.pairwise([*range(0, count, width), count])
