"""The projection at z + e and z − e, in exact arithmetic and as a layer serves it, and what a derivative says of both.

z, e and z ± e are exact in float64: multiples of 2⁻⁵¹ of what is largest (`quantum`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray

from certifair.exact.duality import sum_up
from certifair.exact.sums import exact_sums
from certifair.layer import FairnessLayer
from certifair.layer.result import Projection
from certifair.training._exact_piece import Point, prove
from certifair.training.data import Dataset

Floats = NDArray[np.float64]
_STEPS: Final = tuple(10.0**-k for k in range(1, 9))
_BITS: Final = 51
_SLACK: Final = Fraction(1, 2**51)


@final
@dataclass(frozen=True, eq=False)
class Direction:
    """`move` e, of the scores' shape, and at z + e and z − e: P in each column, on one piece, and what is served."""

    move: Floats
    ends: tuple[tuple[Point, Point], ...]
    served: tuple[Floats, Floats]

    @property
    def delta2(self) -> Fraction:
        """An upper bound of ‖y − P‖² at the worse end."""
        found = []
        for side, served in enumerate(self.served):
            columns = zip(self.ends, served.T, strict=True)
            found.append(sum((pair[side].distance2(np.ascontiguousarray(y)) for pair, y in columns), Fraction(0)))
        return max(found)

    def error(self, g: Floats, w: Floats) -> Fraction:
        """An upper bound of |w · e − g · (P(z + e) − P(z − e)) / 2|.

        People inside move by e_i − (s⁺ − s⁻)_j / 2, everybody else not at all; so what stands between the bars is
        Σ (w_i − [inside] g_i) e_i + Σ_j (s⁺ − s⁻)_j / 2 · Σ_{i inside, in j} g_i, the second sum exact.
        """
        inside = np.stack([up.places == 0 for up, _ in self.ends], axis=1)
        felt = np.where(inside, _table(g), 0.0)
        total, slack = _dot(_table(w) - felt, _table(self.move))
        for (up, down), column in zip(self.ends, felt.T, strict=True):
            sums = exact_sums(np.ascontiguousarray(column), up.joint, len(up.shifts))
            apart = [a - b for a, b in zip(up.shifts, down.shifts, strict=True)]
            total += sum((gap / 2 * sums.exact(j) for j, gap in enumerate(apart) if gap), Fraction(0))
        return abs(total) + slack

    def difference(self, g: Floats, w: Floats) -> Fraction:
        """An upper bound of |w · e − g · (y⁺ − y⁻) / 2|. Served points lie on a grid: their differences are exact."""
        (one, slack), (two, more) = _dot(w, self.move), _dot(_table(g), (self.served[0] - self.served[1]) / 2)
        return abs(one - two) + slack + more


def quantum(layer: FairnessLayer, scores: Floats) -> float:
    """A power of two: its multiples up to four times the largest score or box end are exact in float64."""
    largest = max(float(np.abs(scores).max()), *(abs(float(end)) for end in (layer.lower, layer.upper)))
    return math.ldexp(1.0, math.frexp(largest)[1] - _BITS)


def find_direction(layer: FairnessLayer, data: Dataset, scores: Floats, v: Floats) -> Direction | None:
    """Along ±v the longest step, of a few, that was proven to stay on one piece; None if there is none.

    `scores` are multiples of their `quantum`. Both and v, not 0, are (n,) or (n, m).
    """
    unit, width = quantum(layer, scores), float(layer.upper - layer.lower)
    for step in _STEPS:
        move = np.rint(v * (step * width / float(np.linalg.norm(v)) / unit)) * unit
        if not move.any():
            break
        plus = _end(layer, data, scores + move)
        minus = None if plus is None else _end(layer, data, scores - move)
        if plus is None or minus is None:
            continue
        ends = tuple(zip(plus.points, minus.points, strict=True))
        if all(up.same_piece(down) for up, down in ends):
            return Direction(move, ends, (plus.served, minus.served))
    return None


@final
class _End(NamedTuple):
    """One end: P in each column, and what is served, (n, m)."""

    points: list[Point]
    served: Floats


def _end(layer: FairnessLayer, data: Dataset, scores: Floats) -> _End | None:
    """None where a column has no answer, or one that could not be proven."""
    found = project(layer, torch.from_numpy(scores), data)
    columns = np.ascontiguousarray(_table(scores).T)
    points = [prove(item, column) for item, column in zip(found.problems, columns, strict=True)]
    proven = [point for point in points if point is not None]
    return _End(proven, _table(found.predictions.numpy())) if len(proven) == len(points) else None


def project(layer: FairnessLayer, scores: torch.Tensor, data: Dataset) -> Projection:
    """What the layer serves these people."""
    return layer.project(scores, data.sensitive, data.labels, data.conditions)


def forward(layer: FairnessLayer, data: Dataset, scores: Floats, dtype: torch.dtype) -> tuple[torch.Tensor, Projection]:
    """The scores as the layer is given them, and its answer, ready to be gone back through."""
    z = torch.from_numpy(scores).to(dtype).requires_grad_()
    with torch.enable_grad():
        return z, project(layer, z, data)


def pulled(z: torch.Tensor, served: Projection, g: Floats) -> Floats:
    """What the backward pass makes of g, of the scores' shape."""
    given = torch.from_numpy(g).to(z.dtype)
    (found,) = torch.autograd.grad(served.predictions, z, given, retain_graph=True)
    back: Floats = found.double().numpy()
    return back


def norm2_up(values: Floats) -> Fraction:
    """An upper bound of |v|²."""
    total, slack = _dot(values, values)
    return total + slack


def norm_down(values: Floats) -> Fraction:
    """A lower bound of |v|, 0 only for next to nothing."""
    total, slack = _dot(values, values)
    low = max(total - slack, Fraction(0))
    return Fraction(math.isqrt((low.numerator << 2200) // low.denominator), 1 << 1100)


def _table(values: Floats) -> Floats:
    """(n,) or (n, m) as (n, m)."""
    return values.reshape(len(values), -1)


def _dot(a: Floats, b: Floats) -> tuple[Fraction, Fraction]:
    """(a · b, a bound of its error), where entries of a or b were rounded once before.

    With u = 2⁻⁵³ a product's relative error is below (1 − u)⁻² − 1 < 2⁻⁵¹, and where it underflows there is another of
    2⁻¹⁰⁷⁴; sums are exact.
    """
    products = (a.reshape(-1) * b.reshape(-1)).astype(np.float64)
    return sum_up(products), _SLACK * sum_up(np.abs(products)) + Fraction(len(products), 2**1070)
