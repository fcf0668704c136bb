"""The layer person by person, in rationals and by brute force: every set of active constraints is tried. Tiny only."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

Vector = list[Fraction]


@dataclass(frozen=True)
class Tiny:
    """Minimise ½‖y − z‖² over lower ≤ y ≤ upper, |A y − b| ≤ epsilon; `rows` (K, n)."""

    z: Vector
    rows: list[Vector]
    offsets: Vector
    epsilon: Vector
    lower: Fraction
    upper: Fraction

    def halves(self) -> list[tuple[Vector, Fraction]]:
        """Constraints normal·y ≤ bound: the two ends of each row, then the two bounds of each person."""
        n = len(self.z)
        found: list[tuple[Vector, Fraction]] = []
        for row, b, e in zip(self.rows, self.offsets, self.epsilon, strict=True):
            found += [(row, b + e), ([-a for a in row], e - b)]
        for i in range(n):
            unit = [Fraction(int(j == i)) for j in range(n)]
            found += [(unit, self.upper), ([-a for a in unit], -self.lower)]
        return found


def dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def project(tiny: Tiny) -> Vector | None:
    """The projection: the first point that some independent set of active constraints makes optimal; None if empty."""
    halves = tiny.halves()
    n = len(tiny.z)
    for size in range(n + 1):
        for active in itertools.combinations(range(len(halves)), size):
            found = _candidate(tiny.z, [halves[k] for k in active])
            if found is not None and all(dot(a, found) <= b for a, b in halves):
                return found
    return None


def _candidate(z: Vector, active: Sequence[tuple[Vector, Fraction]]) -> Vector | None:
    """z − Nᵀμ with N y = bounds and μ ≥ 0; None if dependent or a μ is negative."""
    gram = [[dot(a, c) for c, _ in active] for a, _ in active]
    mu = solve(gram, [dot(a, z) - b for a, b in active])
    if mu is None or min(mu, default=Fraction(0)) < 0:
        return None
    return [zi - sum((m * a[i] for m, (a, _) in zip(mu, active, strict=True)), Fraction(0)) for i, zi in enumerate(z)]


def solve(matrix: list[Vector], right: Vector) -> Vector | None:
    """Gauss and Jordan; None if singular."""
    n = len(right)
    table = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for k in range(n):
        pivot = next((i for i in range(k, n) if table[i][k]), None)
        if pivot is None:
            return None
        table[k], table[pivot] = table[pivot], table[k]
        table[k] = [value / table[k][k] for value in table[k]]
        for i in range(n):
            if i != k and table[i][k]:
                factor = table[i][k]
                table[i] = [a - factor * b for a, b in zip(table[i], table[k], strict=True)]
    return [row[n] for row in table]


def tight(tiny: Tiny, y: Vector) -> list[int]:
    """Which half-spaces y is on the border of."""
    return [k for k, (a, b) in enumerate(tiny.halves()) if dot(a, y) == b]


def is_differentiable(tiny: Tiny, y: Vector) -> bool:
    """P'(z; d) is the projection of d on the critical cone {d : a·d ≤ 0 for tight a, (z − y)·d = 0} (Haraux 1977).

    It is linear in d exactly if the cone is a subspace: if no d of it has a·d < 0 for some tight a. One linear program
    each, in floats: the numbers of the tests are small fractions.
    """
    halves = tiny.halves()
    active = [[float(x) for x in halves[k][0]] for k in tight(tiny, y)]
    push = [[float(a - b) for a, b in zip(tiny.z, y, strict=True)]]
    for normal in active:
        found = linprog(normal, active, np.zeros(len(active)), push, [0.0], bounds=[(-1, 1)] * len(y), method="highs")
        if found.fun < -1e-7:
            return False
    return True


def neighbours(rng: np.random.Generator, z: np.ndarray, length: float, count: int) -> Iterator[np.ndarray]:
    """Points at a distance of about `length`."""
    for _ in range(count):
        step = rng.normal(size=len(z))
        yield z + step * (length / np.linalg.norm(step))
