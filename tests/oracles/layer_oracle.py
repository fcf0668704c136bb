"""Slow and obvious fairness layer: rows person by person in rationals, the projection by somebody else's solver.

Written from the definitions (DESIGN.md, certificates/README.md 9.2, reference/layer.md); shares no code with the
package. `solve_exactly` is exact for a few people; `solve_by_clarabel` is a convex program for a few hundred.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles.projection_oracle import Infeasible, nearest

Floats = NDArray[np.float64]
Texts = Sequence[str]

PAIRS = ("demographic_parity", "conditional_parity", "equalized_odds", "equal_opportunity")
METRICS = (*PAIRS, "equalized_residuals")
ON_LABEL = {"equalized_odds": ("0", "1"), "equal_opportunity": ("1",)}


@dataclass(frozen=True)
class Row:
    """|Σ sign · mean(y of those people) − offset| ≤ ε, people by their index."""

    name: str
    terms: tuple[tuple[int, tuple[int, ...]], ...]
    offset: Fraction

    def value(self, y: Sequence[Fraction]) -> Fraction:
        """A y − b, signed."""
        means = (sign * sum((y[i] for i in people), Fraction(0)) / len(people) for sign, people in self.terms)
        return sum(means, Fraction(0)) - self.offset

    def weights(self, n: int) -> list[Fraction]:
        found = [Fraction(0)] * n
        for sign, people in self.terms:
            for i in people:
                found[i] += Fraction(sign, len(people))
        return found


@dataclass(frozen=True)
class Batch:
    """People: texts by feature (in order), binary or real labels, texts of conditions."""

    features: Mapping[str, Texts]
    labels: Sequence[float] | None = None
    conditions: Texts | None = None

    @property
    def n(self) -> int:
        return len(next(iter(self.features.values())))


# ------------------------------------------------------------------------------------------------------------ rows
def rows_of(metric: str, batch: Batch, *, intersectional: bool = False) -> list[Row]:
    """The metric's rows with somebody in every cell."""
    found: list[Row] = []
    for title, groups in _partitions(batch, intersectional=intersectional):
        for suffix, present in _conditions(metric, batch):
            cells = [(name, tuple(i for i in people if i in present)) for name, people in groups]
            cells = [(name, people) for name, people in cells if people]
            if metric in PAIRS:
                found += [
                    Row(f"{title}{suffix}: {a} - {b}", ((1, these), (-1, those)), Fraction(0))
                    for (a, these), (b, those) in itertools.combinations(cells, 2)
                ]
            else:
                assert batch.labels is not None
                found += [
                    Row(f"{title}: {name}", ((1, people),), mean([batch.labels[i] for i in people]))
                    for name, people in cells
                ]
    return found


def _partitions(batch: Batch, *, intersectional: bool) -> Iterator[tuple[str, list[tuple[str, list[int]]]]]:
    """(title, (group, people) for each group) of each feature, or of their product; the values in order."""
    names = list(batch.features)
    for chosen in [names] if intersectional else [[name] for name in names]:
        values = [sorted(set(batch.features[name])) for name in chosen]
        groups = []
        for group in itertools.product(*values):
            shown = group[0] if len(group) == 1 else "(" + ", ".join(group) + ")"
            members = zip(*(batch.features[name] for name in chosen), strict=True)
            groups.append((shown, [i for i, person in enumerate(members) if person == group]))
        yield " × ".join(chosen), groups


def _conditions(metric: str, batch: Batch) -> list[tuple[str, set[int]]]:
    """(what the name says, people) of each condition."""
    if metric in ON_LABEL:
        assert batch.labels is not None
        split = [(f" | label={v}", {i for i, x in enumerate(batch.labels) if x == int(v)}) for v in ON_LABEL[metric]]
    elif metric == "conditional_parity":
        assert batch.conditions is not None
        on = batch.conditions
        split = [(f" | condition={v}", {i for i, x in enumerate(on) if x == v}) for v in sorted(set(on))]
    else:
        split = [("", set(range(batch.n)))]
    return split


def mean(values: Sequence[float]) -> Fraction:
    return sum((Fraction(v) for v in values), Fraction(0)) / len(values)


# ----------------------------------------------------------------------------------------------------- feasibility
def violations(
    y: Sequence[float], rows: Sequence[Row], epsilon: Sequence[Fraction], box: tuple[Fraction, Fraction]
) -> list[str]:
    """What does not hold, in exact arithmetic: names of rows, indices of people outside the box."""
    numbers, step = _as_integers(y)
    broken = [f"person {i}" for i, v in enumerate(numbers) if not box[0] <= v * step <= box[1]]
    for row, limit in zip(rows, epsilon, strict=True):
        means = (Fraction(sign * sum(numbers[i] for i in people), len(people)) for sign, people in row.terms)
        if abs(sum(means, Fraction(0)) * step - row.offset) > limit:
            broken.append(row.name)
    return broken


def _as_integers(y: Sequence[float]) -> tuple[list[int], Fraction]:
    """Whole multiples of a power of two."""
    ratios = [float(v).as_integer_ratio() for v in y]
    largest = max(d for _, d in ratios)
    return [p * (largest // d) for p, d in ratios], Fraction(1, largest)


def contradiction(
    witness: Mapping[str, Fraction],
    rows: Sequence[Row],
    epsilon: Sequence[Fraction],
    box: tuple[Fraction, Fraction],
    n: int,
) -> Fraction:
    """min over the box of Σ w_k (A y − b)_k, less the most that it may be, Σ |w_k| ε_k. Positive: a proof."""
    pull = [Fraction(0)] * n
    least = Fraction(0)
    named = {row.name for row in rows}
    assert set(witness) <= named, f"unknown rows {set(witness) - named}"
    for row, limit in zip(rows, epsilon, strict=True):
        w = witness.get(row.name)
        if w:
            for i, a in enumerate(row.weights(n)):
                pull[i] += w * a
            least -= w * row.offset + abs(w) * limit
    return least + sum((min(c * box[0], c * box[1]) for c in pull), Fraction(0))


# ------------------------------------------------------------------------------------------------------ projection
def matrix_of(rows: Sequence[Row], n: int) -> tuple[Floats, Floats]:
    """A (K, n) and b (K,) as floats."""
    matrix = np.zeros((len(rows), n))
    for k, row in enumerate(rows):
        for sign, people in row.terms:
            matrix[k, list(people)] += sign / len(people)
    return matrix, np.array([float(row.offset) for row in rows])


def solve_by_clarabel(z: Floats, rows: Sequence[Row], epsilon: Sequence[Fraction], box: tuple[float, float]) -> Floats:
    """The projection to about 1e-9, for scores of about the box's size. Raises Infeasible."""
    import cvxpy

    cp: Any = cvxpy  # its types lag behind its names

    matrix, offsets = matrix_of(rows, len(z))
    y = cp.Variable(len(z))
    limits = np.array([float(e) for e in epsilon])
    constraints = [y >= box[0], y <= box[1]]
    if rows:
        constraints += [matrix @ y - offsets <= limits, matrix @ y - offsets >= -limits]
    problem = cp.Problem(cp.Minimize(cp.sum_squares(y - z)), constraints)
    problem.solve(
        solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11, tol_ktratio=1e-9, max_iter=300
    )
    if problem.status in ("infeasible", "infeasible_inaccurate"):
        raise Infeasible
    assert y.value is not None, problem.status
    return np.asarray(y.value, dtype=np.float64)


def solve_exactly(
    z: Sequence[float], rows: Sequence[Row], epsilon: Sequence[Fraction], box: tuple[Fraction, Fraction]
) -> list[Fraction]:
    """The projection in rationals, for a few people. Raises Infeasible."""
    n = len(z)
    halves: list[tuple[list[Fraction], Fraction]] = []
    for row, limit in zip(rows, epsilon, strict=True):
        weights = row.weights(n)
        halves += [([-w for w in weights], -row.offset - limit), (weights, row.offset - limit)]
    for i in range(n):
        unit = [Fraction(int(j == i)) for j in range(n)]
        halves += [(unit, box[0]), ([-u for u in unit], -box[1])]
    return nearest([Fraction(v) for v in z], halves)[0]


def duality_gap(
    z: Floats,
    y: Floats,
    rows: Sequence[Row],
    epsilon: Sequence[Fraction],
    multipliers: Floats,
    box: tuple[float, float],
) -> float:
    """½‖y − z‖² − d(ν) for a feasible y, as sums of terms ≥ 0 (see `certifair.exact.duality`): floats suffice."""
    matrix, offsets = matrix_of(rows, len(z))
    moved = z - multipliers @ matrix
    w = np.clip(moved, *box)
    people = 0.5 * (y - w) ** 2 + (w - moved) * (y - w)
    slack = np.array([float(e) for e in epsilon]) * np.abs(multipliers) - multipliers * (matrix @ y - offsets)
    return float(people.sum() + slack.sum())


# ------------------------------------------------------------------------------------------------------ derivative
def jacobian(matrix: Floats, free: NDArray[np.bool_], active: NDArray[np.bool_]) -> Floats:
    """D − D A_Sᵀ (A_S D A_Sᵀ)⁺ A_S D, dense."""
    selected = np.diag(free.astype(np.float64))
    rows = matrix[active] @ selected
    return selected - rows.T @ np.linalg.pinv(rows @ rows.T, rcond=1e-12, hermitian=True) @ rows


def differences(function: Callable[[Floats], Floats], z: Floats, reach: float) -> Floats:
    """Central differences (len(f), n)."""
    columns = []
    for i in range(len(z)):
        unit = np.zeros(len(z))
        unit[i] = reach
        columns.append((function(z + unit) - function(z - unit)) / (2 * reach))
    return np.stack(columns, axis=1)
