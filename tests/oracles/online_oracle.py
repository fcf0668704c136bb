"""Slow and obvious online algorithm of the paper, from what a log's header says; shares no code with the package.

Multipliers by the standard library alone (certificates/README.md 12.4): rationals, and each float operation by itself.
Predictions by somebody else's solver, for a few hundred people.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Person = Mapping[str, str]
"""A person's text in each column."""


@dataclass(frozen=True)
class Row:
    """Two cells, each as what its people have in which columns."""

    name: str
    first: Person
    second: Person

    def members(self, people: Sequence[Person]) -> tuple[list[int], list[int]]:
        """The people of both cells, by index."""
        first, second = (
            [i for i, person in enumerate(people) if all(person[c] == v for c, v in cell.items())]
            for cell in (self.first, self.second)
        )
        return first, second


def rows_of(algorithm: Mapping[str, Any]) -> list[Row]:
    """All rows over the declared values, in the order of certificates/README.md 9.2."""
    features, values, condition = algorithm["sensitiveFeatures"], algorithm["values"], algorithm["condition"]
    found = []
    for group in [features] if algorithm["intersectional"] else [[feature] for feature in features]:
        for among in [None] if condition is None else values[condition]:
            tuples = list(itertools.product(*(values[feature] for feature in group)))
            for a, b in itertools.combinations(tuples, 2):
                extra = {} if among is None else {condition: among}
                prefix = " × ".join(group) + ("" if among is None else f" | {condition}={among}")
                name = f"{prefix}: {_written(a)} - {_written(b)}"
                found.append(
                    Row(
                        name,
                        {**dict(zip(group, a, strict=True)), **extra},
                        {**dict(zip(group, b, strict=True)), **extra},
                    )
                )
    return found


def _written(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else "(" + ", ".join(values) + ")"


def nearest_float(value: Fraction) -> float:
    """The float64 nearest to it, ties to even; seen to be so."""
    found = float(value)
    away = abs(Fraction(found) - value)
    for other in (math.nextafter(found, math.inf), math.nextafter(found, -math.inf)):
        distance = abs(Fraction(other) - value)
        assert away < distance or (away == distance and found.hex().split("p")[0][-1] in "02468ace")
    return found


def gap_of(row: Row, people: Sequence[Person], predictions: Sequence[float]) -> Fraction | None:
    """|mean − mean|, exactly; None if a cell is empty."""
    first, second = row.members(people)
    if not first or not second:
        return None
    means = [sum((Fraction(predictions[i]) for i in cell), Fraction(0)) / len(cell) for cell in (first, second)]
    return abs(means[0] - means[1])


def multipliers(
    algorithm: Mapping[str, Any], batches: Sequence[tuple[Sequence[Person], Sequence[float]]]
) -> Iterator[tuple[int, float, list[float]]]:
    """(step, η, multipliers) in force in each batch, and what the next one would have, from the predictions alone."""
    rows = rows_of(algorithm)
    lambdas = [float.fromhex(text) for text in algorithm["start"]["multipliers"]]
    epsilon, eta0 = (nearest_float(Fraction(algorithm[key])) for key in ("epsilon", "eta0"))
    step = algorithm["start"]["step"] + 1
    for people, predictions in batches:
        eta = eta0 / math.sqrt(float(step))
        yield step, eta, list(lambdas)
        counted = False
        for k, row in enumerate(rows):
            gap = gap_of(row, people, predictions)
            if gap is None and algorithm["absent"] == "skip":
                continue
            counted = True
            over = (0.0 if gap is None else nearest_float(gap)) - epsilon
            weighted = float(len(people)) * over
            moved = lambdas[k] + eta * weighted
            lambdas[k] = moved if moved > 0.0 else 0.0
        step += 1 if counted else 0
    yield step, eta0 / math.sqrt(float(step)), list(lambdas)


@dataclass(frozen=True)
class Penalised:
    """min ‖y − z‖² + Σ c_k |a_k·y| over 0 ≤ y ≤ 1, `matrix` (K, n): the a_k of rows that count, `prices` c (K,).

    y = (prediction − lower)/width: rows are differences, so only the prices change with the unit.
    """

    z: Floats
    matrix: Floats
    prices: Floats

    @staticmethod
    def of(
        algorithm: Mapping[str, Any], people: Sequence[Person], scores: Sequence[float], lambdas: Sequence[float]
    ) -> Penalised:
        rows, prices = [], []
        for row, price in zip(rows_of(algorithm), lambdas, strict=True):
            first, second = row.members(people)
            if first and second:
                weights = np.zeros(len(people))
                weights[first], weights[second] = 1 / len(first), -1 / len(second)
                rows.append(weights)
                prices.append(len(people) * price)
        lower, upper = float(algorithm["lower"]), float(algorithm["upper"])
        z = (np.array(scores, dtype=np.float64) - lower) / (upper - lower)
        return Penalised(z, np.array(rows).reshape(len(rows), len(people)), np.array(prices) / (upper - lower))

    def objective(self, y: Floats) -> float:
        return float(np.square(y - self.z).sum() + self.prices @ np.abs(self.matrix @ y))

    def solution(self) -> Floats:
        """By Clarabel, to about 1e-6; then on the pieces that this points at, by one linear system each, to 1e-13.

        Who is near a bound or 0 is taken to be there, for several meanings of near; the cheapest answer is the best,
        since what is strongly convex has one minimiser.
        """
        rough = self._by_clarabel()
        guesses = [self._polished(rough, 10.0**-k) for k in range(2, 9)]
        inside = [y for y in guesses if y.min() >= -1e-13 and y.max() <= 1 + 1e-13]
        return min([rough, *inside], key=self.objective)

    def _by_clarabel(self) -> Floats:
        import cvxpy

        cp: Any = cvxpy  # its types lag behind its names

        y = cp.Variable(len(self.z))
        cost = cp.sum_squares(y - self.z)
        if len(self.prices):
            cost += self.prices @ cp.abs(self.matrix @ y)
        problem = cp.Problem(cp.Minimize(cost), [y >= 0, y <= 1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it may be inaccurate: it is only where the polishing starts
            problem.solve(
                solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11, tol_ktratio=1e-9, max_iter=300
            )
        assert y.value is not None, problem.status
        return np.clip(np.asarray(y.value, dtype=np.float64), 0.0, 1.0)

    def _polished(self, y: Floats, near: float) -> Floats:
        """Who is on a bound stays there, rows at 0 stay at 0; then the rest is a projection onto a linear space."""
        free = (y > near) & (y < 1 - near)
        values = self.matrix @ y
        zero = np.abs(values) <= near
        pull = (self.prices * np.sign(values) / 2)[~zero] @ self.matrix[~zero]
        found = np.where(free, self.z - pull, np.round(y))
        held = self.matrix[zero][:, free]
        left = self.matrix[zero] @ found
        if held.size:
            found[free] -= np.linalg.pinv(held, rcond=1e-10) @ left
        return found
