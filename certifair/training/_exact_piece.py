"""Which piece of the projection a point lies on, and the projection there: proven in rationals, whoever found it.

Theorem (Karush, Kuhn, Tucker; the objective is strictly convex). Let ν (K,) and s = Aᵀν. If y_i = clip(z_i − s_i, L, U)
has v = A y − b with |v_k| ≤ ε_k, and v_k = ±ε_k where ν_k ≷ 0, then y = P(z). So nothing matters of where ν is from:
the solver's ν in floats, corrected on independent rows by an exact solution of A_S y = b_S ± ε_S, and then checked.

A *piece* is all z with such a ν, the same signs of ν and the same people at L, strictly between and at U (a person on
the edge belongs to either). Its conditions are linear in (z, ν): on the segment between two of its points P is affine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.exact.decimals import outward
from certifair.exact.duality import sum_up
from certifair.exact.sums import exact_sums
from certifair.layer.result import Solved
from certifair.layer.rows import Rows

Floats = NDArray[np.float64]
Vector = list[Fraction]
MOST_ROWS: Final = 48
"""Independent active rows that are solved exactly: the time grows with their cube, at 48 about 0.1 s."""


@final
@dataclass(frozen=True, eq=False)
class Point:
    """P(z) of scores (n,): `places` (n,) −1 at L, 0 inside, 1 at U; `shifts` (J,) exact.

    `sides` (K,): signs of ν, 0 for equations (ε = 0), which ν may push at either way.
    """

    scores: Floats
    joint: NDArray[np.intp]
    box: tuple[Fraction, Fraction]
    places: NDArray[np.int8]
    sides: NDArray[np.int8]
    shifts: tuple[Fraction, ...]

    def same_piece(self, other: Point) -> bool:
        """Whether P is affine on the segment between both (then for certain)."""
        return np.array_equal(self.places, other.places) and np.array_equal(self.sides, other.sides)

    def distance2(self, served: Floats) -> Fraction:
        """An upper bound of ‖y − P(z)‖² for y (n,): outward rounded, or exact where a shift is 0."""
        down, up = (np.array([outward(s, way) for s in self.shifts])[self.joint] for way in (-1, 1))
        still = np.array([not s for s in self.shifts])[self.joint]
        low = np.where(still, self.scores, np.nextafter(self.scores - up, -np.inf))
        high = np.where(still, self.scores, np.nextafter(self.scores - down, np.inf))
        lower, upper = self.box
        low = np.clip(low, outward(lower, -1), outward(upper, -1))
        high = np.clip(high, outward(lower, 1), outward(upper, 1))
        gap = np.nextafter(np.maximum(served - low, high - served).clip(0.0), np.inf)
        return sum_up(np.nextafter(gap * gap, np.inf))


def prove(solved: Solved, scores: Floats) -> Point | None:
    """P at these scores (n,), from what a solver found for them; None where it is not exactly optimal."""
    problem, answer = solved.problem, solved.answer
    rows, box = problem.rows, (problem.grid.lower, problem.grid.upper)
    joint = problem.joint.astype(np.intp)
    if not answer.status or not np.array_equal(problem.scores, scores):
        return None
    moved = (scores - answer.shift.value[joint]) - answer.shift.rest[joint]
    places = (moved >= problem.box[1]).astype(np.int8) - (moved <= problem.box[0]).astype(np.int8)
    sides = np.sign(answer.multipliers).astype(np.int8)
    width = rows.matrix.shape[1]
    free = np.bincount(joint[places == 0], minlength=width)
    cells = _Cells(rows)
    chosen = _independent(rows, np.flatnonzero((sides != 0) | (rows.limits == 0)), free)
    if len(chosen) > MOST_ROWS:
        return None
    sums = exact_sums(np.where(places == 0, scores, 0.0), joint, width)
    fixed = [
        sums.exact(j) + box[0] * int(low) + box[1] * int(high)
        for j, (low, high) in enumerate(zip(*_ends(joint, places, width), strict=True))
    ]
    hints = [Fraction(value) for value in answer.multipliers.tolist()]
    nu = _corrected(cells, rows, hints, sides, fixed, free.tolist(), chosen)
    if nu is None:
        return None
    sides = np.array([((v > 0) - (v < 0)) * bool(e) for v, e in zip(nu, rows.epsilon, strict=True)], dtype=np.int8)
    shifts = cells.shifts(nu)
    values = cells.values([t - int(f) * s for t, f, s in zip(fixed, free, shifts, strict=True)], rows.offsets)
    if not _optimal(values, sides, rows.epsilon) or not _in_place(scores, joint, places, shifts, box):
        return None
    return Point(scores, joint, box, places, sides, tuple(shifts))


@final
class _Cells:
    """A of a batch in rationals: of row k, factor / people on everybody of its cells."""

    def __init__(self, rows: Rows) -> None:
        pattern, people = rows.pattern, rows.cell_people
        self.members, self.width = pattern.members, rows.matrix.shape[1]
        self.terms = [[(c, Fraction(factor) / people[c]) for c, factor in terms] for terms in pattern.terms]

    def line(self, k: int) -> Vector:
        """Row k of A (J,)."""
        found = [Fraction(0)] * self.width
        for c, weight in self.terms[k]:
            for j in self.members[c]:
                found[j] += weight
        return found

    def shifts(self, nu: Sequence[Fraction]) -> Vector:
        """Aᵀν (J,)."""
        found = [Fraction(0)] * self.width
        for k, value in enumerate(nu):
            for c, weight in self.terms[k] if value else ():
                for j in self.members[c]:
                    found[j] += value * weight
        return found

    def values(self, totals: Sequence[Fraction], offsets: Sequence[Fraction]) -> Vector:
        """A y − b (K,) from the sums of y by joint cell."""
        sums = [sum((totals[j] for j in members), Fraction(0)) for members in self.members]
        return [
            sum((weight * sums[c] for c, weight in terms), -b) for terms, b in zip(self.terms, offsets, strict=True)
        ]


def _ends(joint: NDArray[np.intp], places: NDArray[np.int8], width: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """How many people of each joint cell are at L and at U."""
    low, high = (np.bincount(joint[places == side], minlength=width) for side in (-1, 1))
    return low, high


def _independent(rows: Rows, active: NDArray[np.intp], free: NDArray[Any]) -> list[int]:
    """Active rows that span the others on the people inside, by Gram and Schmidt in floats: a guess."""
    found: list[int] = []
    basis = np.zeros((0, rows.matrix.shape[1]))
    for k in active.tolist():
        line = rows.matrix[k] * np.sqrt(free)
        rest = line - basis.T @ (basis @ line)
        rest -= basis.T @ (basis @ rest)
        if (length := float(np.linalg.norm(rest))) > 1e-9 * float(np.linalg.norm(line)):
            basis, found = np.vstack([basis, rest / length]), [*found, k]
    return found


def _corrected(
    cells: _Cells, rows: Rows, hints: Vector, sides: NDArray[np.int8], fixed: Vector, free: list[int], chosen: list[int]
) -> Vector | None:
    """ν, the hints changed on the chosen rows only, which then hold with equality; None if these are dependent."""
    shifts = cells.shifts(hints)
    values = cells.values([t - f * s for t, f, s in zip(fixed, free, shifts, strict=True)], rows.offsets)
    excess = [values[k] - int(sides[k]) * rows.epsilon[k] for k in chosen]
    lines = [cells.line(k) for k in chosen]
    weighted = [[w * f for w, f in zip(line, free, strict=True)] for line in lines]
    gram = [[sum((a * b for a, b in zip(x, y, strict=True) if a and b), Fraction(0)) for y in lines] for x in weighted]
    steps = _solved(gram, excess)
    if steps is None:
        return None
    changes = dict(zip(chosen, steps, strict=True))
    return [value + changes.get(k, 0) for k, value in enumerate(hints)]


def _solved(matrix: list[Vector], right: Vector) -> Vector | None:
    """x with H x = r, by elimination without pivoting: H is symmetric, positive definite unless None is returned."""
    work = [[*line, r] for line, r in zip(matrix, right, strict=True)]
    size = len(work)
    for k in range(size):
        if work[k][k] <= 0:
            return None
        for line in work[k + 1 :]:
            if factor := line[k] / work[k][k]:
                for column in range(k + 1, size + 1):
                    line[column] -= factor * work[k][column]
    found = [Fraction(0)] * size
    for k in reversed(range(size)):
        known = sum((work[k][c] * found[c] for c in range(k + 1, size)), Fraction(0))
        found[k] = (work[k][size] - known) / work[k][k]
    return found


def _optimal(values: Vector, sides: NDArray[np.int8], epsilon: Sequence[Fraction]) -> bool:
    """|v_k| ≤ ε_k, with equality at the end that ν_k pushes at."""
    return all(
        -e <= v <= e and (not side or v == side * e) for v, side, e in zip(values, sides.tolist(), epsilon, strict=True)
    )


def _in_place(
    scores: Floats,
    joint: NDArray[np.intp],
    places: NDArray[np.int8],
    shifts: Sequence[Fraction],
    box: tuple[Fraction, Fraction],
) -> bool:
    """Whether everybody at L has z_i − s ≤ L, at U ≥ U, and everybody else lies between; exactly.

    A float is ≤ a rational if it is ≤ the largest float that is, and ≥ it if it is ≥ the least that is.
    """
    most, least = (np.array([outward(box[0] + s, way) for s in shifts])[joint] for way in (-1, 1))
    upper_most, upper_least = (np.array([outward(box[1] + s, way) for s in shifts])[joint] for way in (-1, 1))
    fine = np.where(
        places < 0,
        scores <= most,
        np.where(places > 0, scores >= upper_least, (scores >= least) & (scores <= upper_most)),
    )
    return bool(fine.all())
