"""Solutions of one layer whose offsets move with two parameters: affine, piece by piece of the parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import final

from certifair.checks._stability.linear import dot, inverse
from certifair.checks._stability.polygons import Form, Point, Polygon, combined, scaled, value
from certifair.checks._stability.problem import System, Vector
from certifair.checks._stability.solution import Solution


@final
@dataclass(frozen=True, eq=False)
class Family:
    """Rows of the new numbers of people, and how their offsets move with u1 and u2."""

    system: System
    drift: tuple[Vector, Vector]
    parameters: Polygon

    def at(self, u: Point) -> System:
        offsets = tuple(b + u[0] * p + u[1] * q for b, p, q in zip(self.system.offsets, *self.drift, strict=True))
        return System(self.system.rows, self.system.weights, offsets)


@final
@dataclass(frozen=True, eq=False)
class Piece:
    """`shifts`: s' as forms, by joint cell; `conditions`: forms that are ≥ 0 exactly on the piece."""

    multipliers: Vector
    shifts: tuple[Form, ...]
    conditions: tuple[Form, ...]

    def at(self, u: Point) -> Vector:
        return tuple(value(form, u) for form in self.shifts)


def piece_of(solution: Solution, family: Family) -> Piece | None:
    """The affine solution around one: ν = H⁻¹ (A_R S0 − b_R(u) − σ ε), S0 the totals for s = 0, the same people inside.

    None if the rows with a multiplier depend on each other there.
    """
    system, at = solution.system, solution.place
    used = [k for k in solution.basis if solution.multipliers[k] or not system.epsilon[k]]
    if any(solution.multipliers[k] and k not in used for k in range(len(system.rows))):
        return None
    weighted = [tuple(w * f for w, f in zip(system.weights[k], at.free, strict=True)) for k in used]
    try:
        back = inverse([[dot(system.weights[m], line) for m in used] for line in weighted])
    except ZeroDivisionError:
        return None
    totals = tuple(t + f * s for t, f, s in zip(at.totals, at.free, at.shifts, strict=True))
    base, drift = family.system.offsets, family.drift
    right: list[Form] = []
    for k in used:
        end = system.epsilon[k] if solution.values[k] > 0 else -system.epsilon[k]
        right.append((dot(system.weights[k], totals) - base[k] - end, -drift[0][k], -drift[1][k]))
    multipliers = [combined(line, right) for line in back]
    shifts = tuple(combined([system.weights[k][j] for k in used], multipliers) for j in range(len(at.free)))
    conditions = list(_bounds(solution, shifts))
    for k, form in zip(used, multipliers, strict=True):
        if system.epsilon[k]:
            conditions.append(scaled(form, Fraction(1 if solution.multipliers[k] > 0 else -1)))
    for k, (line, limit) in enumerate(zip(system.weights, system.epsilon, strict=True)):
        if k not in used:
            moved = combined([-w * f for w, f in zip(line, at.free, strict=True)], shifts)
            value = (moved[0] + dot(line, totals) - base[k], moved[1] - drift[0][k], moved[2] - drift[1][k])
            conditions += [(limit - value[0], -value[1], -value[2]), (limit + value[0], value[1], value[2])]
    return Piece(solution.multipliers, shifts, tuple(conditions))


def _bounds(solution: Solution, shifts: Sequence[Form]) -> Iterator[Form]:
    """Of each joint cell, the people next to each bound stay on their side of it."""
    people, at, (lower, upper) = solution.people, solution.place, solution.box
    for j, (a, b, c) in enumerate(shifts):
        first, last = people.starts[j], people.starts[j + 1]
        for position, sign, bound in (
            (at.low[j] - 1, 1, lower),
            (at.low[j], -1, lower),
            (at.high[j] - 1, 1, upper),
            (at.high[j], -1, upper),
        ):
            if first <= position < last:
                yield sign * (bound + a - people.score(position)), sign * b, sign * c
