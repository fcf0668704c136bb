"""Solutions of one layer whose offsets move with two parameters: affine, piece by piece of the parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import final

from certifair.checks._stability.linear import dot, independent, inverse
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
    """The affine solution around one, the same people inside and the same rows pushing.

    Of those rows `used` are independent on free people: ν = H⁻¹ (A_R S0 − b_R(u) − σ ε − A_R D A_Hᵀ ν_H), S0 the totals
    for s = 0. The others, H, keep the multipliers that they have, which is one choice of many; they must stay at their
    ends all over the piece. None if they do not: then the piece is flat.
    """
    system, at = solution.system, solution.place
    pushing = [k for k, nu in enumerate(solution.multipliers) if nu or not system.epsilon[k]]
    inside = [j for j, f in enumerate(at.free) if f]
    used = [pushing[i] for i in independent([[system.weights[k][j] for j in inside] for k in pushing])]
    held = [k for k in pushing if k not in used]
    kept = system.shifts([nu if k in held else Fraction(0) for k, nu in enumerate(solution.multipliers)], len(at.free))
    totals = tuple(t + f * (s - h) for t, f, s, h in zip(at.totals, at.free, at.shifts, kept, strict=True))
    ends = [end if v > 0 else -end for v, end in zip(solution.values, system.epsilon, strict=True)]
    values = [
        (dot(line, totals) - b - end, -p, -q)
        for line, b, end, p, q in zip(system.weights, family.system.offsets, ends, *family.drift, strict=True)
    ]  # less the end, for the shifts that are kept alone
    weighted = [tuple(w * f for w, f in zip(system.weights[k], at.free, strict=True)) for k in used]
    back = inverse([[dot(system.weights[m], line) for m in used] for line in weighted])
    multipliers = [combined(line, [values[k] for k in used]) for line in back]
    moved = [combined([system.weights[k][j] for k in used], multipliers) for j in range(len(at.free))]
    shifts = tuple((a + h, b, c) for (a, b, c), h in zip(moved, kept, strict=True))
    conditions = list(_bounds(solution, shifts))
    for k, form in zip(used, multipliers, strict=True):
        if system.epsilon[k]:
            conditions.append(scaled(form, Fraction(1 if solution.multipliers[k] > 0 else -1)))
    for k, (line, limit) in enumerate(zip(system.weights, system.epsilon, strict=True)):
        if k in used:
            continue
        off = combined([Fraction(1), *(-w * f for w, f in zip(line, at.free, strict=True))], [values[k], *moved])
        if k in held and any(off):
            return None
        a, b, c = off[0] + ends[k], off[1], off[2]
        conditions += [(limit - a, -b, -c), (limit + a, b, c)]
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
