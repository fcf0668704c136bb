"""The face of the fair set that P(z) lies on, and the derivative of P there.

y = P(z). F: the people strictly inside the box; S: *all* active rows, |v_k| = ε_k, whatever their multipliers. The
directions in which y can move within its face are T = {d : d = 0 outside F, A_S d = 0}. With `basis` R, rows of S that
are a basis of the span of A_S on F, and H = A_R D A_Rᵀ (D = diag(i in F)), the orthogonal projection on T is

    J = D − D A_Rᵀ H⁻¹ A_R D,   J_ii' = [i = i'] − a_iᵀ H⁻¹ a_i'   (a_i: column of A_R of i's joint cell; i, i' in F),

the same for every choice of R. Where P is differentiable, J is its derivative (`differentiable`). Within a joint cell
everything is the same, so q(j, l) = a_jᵀ H⁻¹ a_l over joint cells tells all of J.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import final

from certifair.checks._stability.linear import Matrix, dot, independent, inverse
from certifair.checks._stability.problem import Vector
from certifair.checks._stability.solution import Solution


@final
@dataclass(frozen=True, eq=False)
class Face:
    """`active`: rows at ±ε; `sides`: 1 or −1, 0 for an equation (ε = 0); `basis`: of the active rows on free people."""

    solution: Solution
    active: tuple[int, ...]
    sides: dict[int, int]
    basis: tuple[int, ...]
    inverse: Matrix

    @property
    def free(self) -> tuple[int, ...]:
        return self.solution.place.free

    @property
    def rank(self) -> int:
        """rank J = trace J = free people − rank(A_S D)."""
        return sum(self.free) - len(self.basis)

    def column(self, j: int) -> Vector:
        """a_j (R,)."""
        return tuple(self.solution.system.weights[k][j] for k in self.basis)

    @functools.cached_property
    def reactions(self) -> Matrix:
        """q (J, J)."""
        columns = [self.column(j) for j in range(self.solution.people.cells)]
        half = [[dot(line, a) for line in self.inverse] for a in columns]
        return [[dot(a, h) for h in half] for a in columns]

    def norm2(self, row: int) -> Fraction:
        """A_k J A_kᵀ, the squared length of a row along the face."""
        line = self.solution.system.weights[row]
        return dot(line, self.weighted(line)) - self.dual_norm2(self.along(row))

    def along(self, row: int) -> Vector:
        """A_R D A_kᵀ (R,)."""
        line = self.weighted(self.solution.system.weights[row])
        return tuple(dot(self.solution.system.weights[k], line) for k in self.basis)

    def weighted(self, line: Sequence[Fraction]) -> Vector:
        """D applied to what is the same within joint cells, summed by joint cell."""
        return tuple(w * f for w, f in zip(line, self.free, strict=True))

    def dual_norm2(self, x: Sequence[Fraction]) -> Fraction:
        """xᵀ H⁻¹ x."""
        return dot(x, [dot(line, x) for line in self.inverse])

    def coordinates(self, row: int) -> Vector:
        """c (R,) with A_k = Σ c_r A_r on free people, for an active row k."""
        along = self.along(row)
        return tuple(dot(line, along) for line in self.inverse)

    def structure_holds(self) -> bool:
        """J = Jᵀ, J J = J, J A_Sᵀ = 0 and trace J = rank, each as an equation of rationals, by joint cell.

        Between free people of cells j and m: (J J)_jm = [same] − 2 q_jm + Σ_l q_jl f_l q_lm, and
        (J A_kᵀ)_j = A_kj − Σ_l q_jl f_l A_kl.
        """
        q, inside = self.reactions, [j for j, f in enumerate(self.free) if f]
        weighted = {j: self.weighted(q[j]) for j in inside}
        rows = [self.solution.system.weights[k] for k in self.active]
        return (
            all(q[j][m] == q[m][j] for j in inside for m in inside)
            and all(dot(weighted[j], q[m]) == q[j][m] for j in inside for m in inside)
            and all(row[j] == dot(weighted[j], row) for row in rows for j in inside)
            and sum((self.free[j] * (1 - q[j][j]) for j in inside), Fraction(0)) == self.rank
        )


def face_of(solution: Solution) -> Face:
    """The face that P(z) lies on. Equations come first into the basis: they have no sign that could be lost."""
    epsilon, values, free = solution.system.epsilon, solution.values, solution.place.free
    active = [k for k, (v, e) in enumerate(zip(values, epsilon, strict=True)) if abs(v) == e]
    sides = {k: 0 if not epsilon[k] else 1 if values[k] > 0 else -1 for k in active}
    order = sorted(active, key=lambda k: (sides[k] != 0, k))
    inside = [j for j, f in enumerate(free) if f]
    weights = solution.system.weights
    basis = tuple(order[i] for i in independent([[weights[k][j] for j in inside] for k in order]))
    gram = [[sum((weights[k][j] * free[j] * weights[m][j] for j in inside), Fraction(0)) for m in basis] for k in basis]
    return Face(solution, tuple(active), sides, basis, inverse(gram))
