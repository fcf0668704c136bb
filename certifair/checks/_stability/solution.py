"""The exact projection of a batch: rational multipliers that satisfy the optimality conditions, checked exactly.

For multipliers ν let s = Aᵀν and y_i = clip(z_i − s_j(i), L, U). If |v_k| ≤ ε_k for v = A y − b, and v_k = ε_k where
ν_k > 0, v_k = −ε_k where ν_k < 0, then y satisfies the conditions of Karush, Kuhn and Tucker, hence is *the* solution,
as the objective is strictly convex. So nothing matters of how ν was found. It is found like this. Where nobody crosses
a bound v is affine in ν, v(ν') = v(ν) − H (ν' − ν), H = A D Aᵀ, D the people strictly inside. The best ν' of that piece
is a small quadratic program (`_piece`: Goldfarb and Idnani's dual method; it keeps the active rows independent). Then
people are sorted anew and so on: Newton's method on the concave dual, with a search along each step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._stability.linear import dot, inverse
from certifair.checks._stability.problem import People, Problem, System, Vector
from certifair.exact.decimals import outward
from certifair.exact.farkas import contradiction

MOST_STEPS: Final = 200
_HALVINGS: Final = 40
_PATIENCE: Final = 8
_FAR: Final = 2**200


@final
@dataclass(frozen=True)
class Undecided:
    """No answer, and why. Never truthy. `conflict`: weights (K,) of rows that no point of the box satisfies, if known:
    then there is no projection, which is proven (`exact.farkas`).
    """

    reason: str
    conflict: Vector = ()

    def __bool__(self) -> bool:
        return False


@final
@dataclass(frozen=True, eq=False)
class Place:
    """Where people are for shifts s (J,): positions from low[j] to high[j] (excluded) are strictly inside the box.

    Those before are at L, those after at U. `totals` (J,): exact sums of y.
    """

    shifts: Vector
    low: tuple[int, ...]
    high: tuple[int, ...]
    totals: Vector

    @functools.cached_property
    def free(self) -> tuple[int, ...]:
        return tuple(b - a for a, b in zip(self.low, self.high, strict=True))


@final
@dataclass(frozen=True, eq=False)
class Solution:
    """P(z), by multipliers ν (K,), the values v = A y − b (K,), and places. `basis`: independent rows with a ν ≠ 0
    among them; shifts of joint cells that nobody is free in need not be unique, nor ν, but y is.
    """

    people: People
    system: System
    box: tuple[Fraction, Fraction]
    multipliers: Vector
    values: Vector
    place: Place
    basis: tuple[int, ...]

    @property
    def shifts(self) -> Vector:
        return self.place.shifts

    def predictions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Enclosures (n,) of P(z), in the order of the batch: float64 numbers below and above it."""
        low, high = np.empty((2, len(self.people.scores)))
        (down_l, up_l), (down_u, up_u) = ((outward(end, -1), outward(end, 1)) for end in self.box)
        for j, shift in enumerate(self.shifts):
            rows = slice(self.people.starts[j], self.people.starts[j + 1])
            down, up = (self.people.scores[rows] - outward(shift, way) for way in (1, -1))
            at = self.people.order[rows]
            exact = shift == 0  # no rounding then, and an undisturbed person keeps the score exactly
            low[at] = np.clip(down if exact else np.nextafter(down, -np.inf), down_l, down_u)
            high[at] = np.clip(up if exact else np.nextafter(up, np.inf), up_l, up_u)
        return low, high

    def farthest(self, served: NDArray[np.float64]) -> Fraction:
        """An upper bound of the largest |y_i − P(z)_i|, for y (n,) in the order of the batch."""
        low, high = self.predictions()
        gap = np.maximum(served - low, high - served)
        return Fraction(float(np.where(gap > 0, np.nextafter(gap, np.inf), 0.0).max()))


def place(people: People, box: tuple[Fraction, Fraction], shifts: Vector) -> Place:
    """Who is where for these shifts; exactly."""
    lower, upper = box
    cells = range(people.cells)
    low = tuple(people.place(j, lower + shifts[j], after=True) for j in cells)
    high = tuple(people.place(j, upper + shifts[j], after=False) for j in cells)
    high = tuple(max(a, b) for a, b in zip(low, high, strict=True))
    sums = people.sums(low, high)
    totals = tuple(
        (low[j] - people.starts[j]) * lower
        + (people.starts[j + 1] - high[j]) * upper
        + sums[j]
        - (high[j] - low[j]) * shifts[j]
        for j in cells
    )
    return Place(shifts, low, high, totals)


def solve(problem: Problem, hints: Sequence[float] = ()) -> Solution | Undecided:
    """P of a batch; `hints` (K,) are multipliers to begin with."""
    return solve_system(problem.people, problem.system, problem.box, tuple(map(_number, hints)))


def _number(value: float) -> Fraction:
    return Fraction(value) if isfinite(value) else Fraction(0)


def solve_system(
    people: People, system: System, box: tuple[Fraction, Fraction], start: Sequence[Fraction] = ()
) -> Solution | Undecided:
    """As `solve`, for any rows on these people: multipliers `start` to begin with, if there are K of them."""
    count = len(system.rows)
    nu = tuple(start) if len(start) == count else (Fraction(0),) * count
    at, values = _evaluate(people, system, box, nu)
    for step in range(MOST_STEPS):
        if step % _PATIENCE == _PATIENCE - 1 and (conflict := _conflict(people, system, box, nu)):
            return Undecided("no predictions in the box satisfy the rows", conflict)
        column = _columns(system, at.free)
        found = _newton(nu, values, column, system.epsilon, Fraction(0))
        damped = found is None
        if found is None:  # the piece promises too much: stay near
            everybody = _columns(system, people.counts)
            damp = max(everybody(k)[k] for k in range(count)) / 64
            found = _newton(nu, values, column, system.epsilon, damp)
        assert found is not None  # a regular matrix: its rows can have any values
        target, basis = found
        at, values = _evaluate(people, system, box, target)
        if optimal(target, values, system.epsilon):
            return Solution(people, system, box, target, values, at, basis)
        nu = _search(nu, target, lambda x: _evaluate(people, system, box, x)[1], system.epsilon, beyond=damped)
        if nu != target:
            at, values = _evaluate(people, system, box, nu)
    return Undecided(f"no multipliers that solve the batch exactly were found in {MOST_STEPS} steps")


def _conflict(people: People, system: System, box: tuple[Fraction, Fraction], nu: Vector) -> Vector:
    """Weights that prove that nothing satisfies the rows: a row by itself, or the multipliers, which then diverge."""
    count = len(system.rows)
    units = (tuple(Fraction(sign * (i == k)) for i in range(count)) for k in range(count) for sign in (1, -1))
    data = system.weights, people.counts, system.offsets, system.epsilon, box
    return next((w for w in (*units, nu) if contradiction(w, *data) > 0), ())


def optimal(nu: Sequence[Fraction], values: Sequence[Fraction], epsilon: Sequence[Fraction]) -> bool:
    """Whether rows hold, and every multiplier that is not 0 pushes at the end that its row is at."""
    return all(
        -e <= v <= e and (not m or v == (e if m > 0 else -e)) for m, v, e in zip(nu, values, epsilon, strict=True)
    )


def _evaluate(
    people: People, system: System, box: tuple[Fraction, Fraction], nu: Sequence[Fraction]
) -> tuple[Place, Vector]:
    """(who is where, A y − b)."""
    at = place(people, box, system.shifts(nu, people.cells))
    lines = zip(system.weights, system.offsets, strict=True)
    return at, tuple(dot(line, at.totals) - offset for line, offset in lines)


Column = Callable[[int], Vector]


def _columns(system: System, free: Sequence[int]) -> Column:
    """The columns of H = A D Aᵀ, each computed once, when it is asked for."""

    @functools.cache
    def column(k: int) -> Vector:
        mine = [(j, w * free[j]) for j, w in enumerate(system.weights[k]) if w and free[j]]
        return tuple(sum((line[j] * w for j, w in mine if line[j]), Fraction(0)) for line in system.weights)

    return column


def _newton(
    nu: Sequence[Fraction], values: Sequence[Fraction], column: Column, epsilon: Sequence[Fraction], damp: Fraction
) -> tuple[Vector, tuple[int, ...]] | None:
    """The best multipliers of a piece, with damp/2·‖ν' − ν‖² added to the cost; None if the piece has none."""
    count = len(nu)

    def damped(k: int) -> Vector:
        return tuple(h + damp if i == k else h for i, h in enumerate(column(k))) if damp else column(k)

    at_zero = list(values)
    for k in range(count):
        if nu[k]:
            at_zero = [v + nu[k] * h for v, h in zip(at_zero, damped(k), strict=True)]
    return _piece(at_zero, damped, epsilon)


def _piece(
    values: list[Fraction], column: Column, epsilon: Sequence[Fraction]
) -> tuple[Vector, tuple[int, ...]] | None:
    """ν with v = values − Hν, |v| ≤ ε, and ν_k ≠ 0 only where it pushes at an end; None if there is none.

    Goldfarb and Idnani: the worst row enters; rows that stand in the way leave; H restricted to `active` is regular.
    """
    active: list[int] = []
    pushes: dict[int, Fraction] = {}  # signed multipliers
    back: list[list[Fraction]] = []
    while True:
        worst = max(range(len(values)), key=lambda k: abs(values[k]) - epsilon[k], default=None)
        if worst is None or abs(values[worst]) <= epsilon[worst]:
            nu = tuple(pushes.get(k, Fraction(0)) for k in range(len(values)))
            return nu, tuple(active)
        side = 1 if values[worst] > 0 else -1
        pushes[worst] = Fraction(0)
        while True:
            mine = column(worst)
            react = [dot(line, [mine[i] for i in active]) for line in back]
            length = mine[worst] - sum((r * mine[i] for r, i in zip(react, active, strict=True)), Fraction(0))
            full = (abs(values[worst]) - epsilon[worst]) / length if length > 0 else None
            ratios = [  # a multiplier falls to 0 where the reaction has its sign; that of an equation may change sign
                (abs(pushes[i]) / abs(r), i)
                for r, i in zip(react, active, strict=True)
                if r and epsilon[i] and (r * side > 0) == (values[i] > 0)
            ]
            leaving = min(ratios, default=None)
            if full is None and leaving is None:
                return None
            blocked = leaving is not None and (full is None or leaving[0] < full)
            step = leaving[0] if leaving is not None and blocked else full
            assert step is not None
            values = _moved(values, mine, [column(i) for i in active], react, side * step)
            pushes[worst] += side * step
            for r, i in zip(react, active, strict=True):
                pushes[i] -= side * step * r
            if not blocked or leaving is None:
                active.append(worst)
                back = inverse([[column(i)[k] for k in active] for i in active])
                break
            active.remove(leaving[1])
            del pushes[leaving[1]]
            back = inverse([[column(i)[k] for k in active] for i in active])


def _moved(
    values: Sequence[Fraction], mine: Vector, others: Sequence[Vector], react: Sequence[Fraction], step: Fraction
) -> list[Fraction]:
    for r, other in zip(react, others, strict=True):
        if r:
            mine = tuple(a - r * b for a, b in zip(mine, other, strict=True))
    return [v - step * a for v, a in zip(values, mine, strict=True)]


def _search(
    nu: Vector, target: Vector, values: Callable[[Vector], Vector], epsilon: Sequence[Fraction], *, beyond: bool
) -> Vector:
    """A point between two where the dual, which is concave, still rises or nearly so; rounded if not the end.

    `beyond`: it may lie on the far side of the target, which was only near because it had to be.
    """
    move = tuple(b - a for a, b in zip(nu, target, strict=True))

    def slope(t: Fraction) -> Fraction:
        point = tuple(a + t * m for a, m in zip(nu, move, strict=True))
        kinks = [m if p > 0 else -m if p < 0 else abs(m) for m, p in zip(move, point, strict=True)]
        return dot(move, values(point)) - dot(epsilon, kinks)

    low, high = Fraction(0), Fraction(1)
    while beyond and high < _FAR and slope(high) >= 0:
        low, high = high, 2 * high
    if not low and slope(high) >= 0:
        return target
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) >= 0 else (low, middle)
        if low and high < 2 * low:
            break
    t = low or high
    return tuple(Fraction(float(a + t * m)) for a, m in zip(nu, move, strict=True))
