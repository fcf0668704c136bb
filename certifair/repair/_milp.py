"""Step 2: a mixed-integer program over the last layer. One binary variable a row says on which side S(x) falls.

f = w·h + b with low(t) ≤ h ≤ high(t), lines in the free inputs t. Written w = p − n with p, n ≥ 0, so
f ≥ Σ p·low(t) − n·high(t) + b, and its least value over the box, by LP duality, is its value in the middle minus
Σ q for any q ≥ ±(coefficient of t): linear in p, n, q. Over mixtures it is plus any r ≤ all coefficients. f ≤ … alike.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

from certifair.repair._bands import Bands, Lines
from certifair.repair._numbers import single
from certifair.repair._solvers import Answer, Make, answer
from certifair.repair.base import Array, Failure

LARGEST: Final = 3.0
"""|Δ| of each weight and the bias."""
MARGIN: Final = 1e-6
"""How far S(x) stays from 0, as published, beyond what rounding takes."""
TIGHT: Final = 0.97
"""The part of the remaining time that a solver is given: it looks at the clock now and then only."""


@final
@dataclass(frozen=True, eq=False)
class Head:
    """w·h + b, for w (m,)."""

    weight: Array
    bias: float

    def rounded(self) -> Head:
        """To float32; what is too large is infinite."""
        return Head(single(self.weight), float(single(np.array(self.bias))))


@final
@dataclass(frozen=True, eq=False)
class Outcome:
    """What a solver says, in its words, and the last layer that it found, if any, with its side of each row.

    failure: of exactly the program that was asked about, if there is none: of the sides that it was given, and `most`.
    """

    status: str
    head: Head | None = None
    sides: Array | None = None
    cost: float = np.inf
    failure: Failure = "failed"


def solve(
    bands: Bands,
    head: Head,
    make: Make,
    end: float,
    *,
    prices: Array,
    sides: Array | None = None,
    most: float = np.inf,
    margin: float = MARGIN,
) -> Outcome:
    """The smallest Σ|Δ| + Σ prices over the rows that are on the positive side, until `end` (of time.monotonic).

    sides (n,): ±1, which are then not searched for, so that no variable is integer. most: what is not worth looking
    for. A solver's failure is a status. It reads a program for about as long as it took to write.
    """
    began = time.monotonic()
    program = _Program(bands, head, prices, sides, margin)
    for row in range(len(bands.size)):
        if time.monotonic() >= end:
            return Outcome("no time was left when the program was built", failure="time limit")
        program.add_row(row)
    if most < np.inf:
        program.problem += program.cost <= most
    now = time.monotonic()
    seconds = min(TIGHT * (end - now - (now - began)), 1e8)
    if seconds <= 0:
        return Outcome("no time was left for the solver", failure="time limit")
    return program.outcome(answer(program.problem, make, seconds, relaxed=sides is not None))


@final
class _Program:
    """A PuLP problem. p, n (m,), and for each of w and b a bound of its |Δ|."""

    def __init__(self, bands: Bands, head: Head, prices: Array, sides: Array | None, margin: float) -> None:
        import pulp

        self._pulp, self._bands, self._head, self._margin = pulp, bands, head, margin
        self._prices, self._given = prices, sides
        self.problem = pulp.LpProblem("repair", pulp.LpMinimize)
        most = np.abs(head.weight) + LARGEST
        self._up = [self._variable(f"p{j}", 0.0, size) for j, size in enumerate(most)]
        self._down = [self._variable(f"n{j}", 0.0, size) for j, size in enumerate(most)]
        self._bias = self._variable("b", head.bias - LARGEST, head.bias + LARGEST)
        self._sides = [self._side(f"z{row}") for row in range(len(prices))] if sides is None else []
        changes = [self._variable(f"d{j}", 0.0, LARGEST) for j in range(len(most) + 1)]
        for change, up, down, weight in zip(changes, self._up, self._down, head.weight.tolist(), strict=False):
            self.problem += up - down - change <= weight
            self.problem += up - down + change >= weight
        for total, size in zip(map(pulp.lpSum, zip(self._up, self._down, strict=True)), most.tolist(), strict=True):
            self.problem += total <= size
        self.problem += self._bias - changes[-1] <= head.bias
        self.problem += self._bias + changes[-1] >= head.bias
        paid = pulp.LpAffineExpression(list(zip(self._sides, prices.tolist(), strict=False)))
        self.cost = pulp.lpSum(changes) + paid
        self.problem.setObjective(self.cost)

    def _variable(self, name: str, low: float | None, high: float | None) -> Any:
        return self.problem.add_variable(name, low, high)

    def _side(self, name: str) -> Any:
        return self.problem.add_variable(name, 0, 1, cat=self._pulp.LpInteger)

    def add_row(self, row: int) -> None:
        """S(x) is on this side, or on that of its binary variable."""
        bands = self._bands
        low, high = (Lines(lines.at[row], lines.slope[row]) for lines in (bands.low, bands.high))
        positive = ("l", low, high, bands.size[row], 1.0)
        negative = ("h", high.negative(), low.negative(), bands.size[row], -1.0)
        if self._given is not None:
            self._clear(row, *(positive if self._given[row] > 0 else negative), None)
            return
        self._clear(row, *positive, 1 - self._sides[row])
        self._clear(row, *negative, self._sides[row])

    def _clear(self, row: int, name: str, low: Lines, high: Lines, size: Array, sign: float, unless: Any) -> None:
        """Σ p·low − n·high + sign·b ≥ its rounding error and the margin over S(x), unless `unless` is 1.

        Both sides are divided by the largest coefficient. f can miss that by at most what it is without signs.
        """
        name = f"{row}{name}"
        sets, head, error = self._bands.sets, self._head, self._bands.rate * size
        count = len(sets.box)
        reach = np.maximum(np.abs(low.at) + np.abs(low.slope).sum(axis=1), np.abs(high.at) + np.abs(high.slope).sum(1))
        scale = max(1.0, float(reach.max()))
        terms = [self._sum(low.at - error, error + high.at, scale), sign / scale * self._bias]
        for k in range(count):
            q = self._variable(f"q{name}_{k}", 0.0, None)
            coefficient = self._sum(low.slope[:, k], high.slope[:, k], scale)
            self.problem += q - coefficient >= 0
            self.problem += q + coefficient >= 0
            terms.append(-1 * q)
        for number, span in enumerate(sets.spans):
            r = self._variable(f"r{name}_{number}", None, None)
            for k in range(span.start, span.stop):
                self.problem += self._sum(low.slope[:, k], high.slope[:, k], scale) - r >= 0
            terms.append(1 * r)
        bias = abs(head.bias) + LARGEST
        needed = (self._bands.rate * bias + self._margin) / scale
        if unless is None:
            self.problem += self._pulp.lpSum(terms) >= needed
        else:
            most = float((np.abs(head.weight) + LARGEST) @ (reach + error) + bias) / scale + needed
            self.problem += self._pulp.lpSum(terms) + most * unless >= needed

    def _sum(self, up: Array, down: Array, scale: float) -> Any:
        """(Σ p·up − n·down)/scale."""
        pairs = [*zip(self._up, (up / scale).tolist(), strict=True)]
        pairs += zip(self._down, (-down / scale).tolist(), strict=True)
        return self._pulp.LpAffineExpression([(variable, weight) for variable, weight in pairs if weight])

    def outcome(self, said: Answer) -> Outcome:
        """Of the program, about which a solver has said this."""
        if not said.found:
            return Outcome(said.status, failure=said.failure)
        numbers = np.array([variable.value() for variable in (*self._up, *self._down, self._bias)], dtype=np.float64)
        count = len(self._up)
        head = Head(numbers[:count] - numbers[count:-1], float(numbers[-1]))
        sides = self._given
        if sides is None:
            sides = np.array([1.0 if z.value() > 0.5 else -1.0 for z in self._sides])
        cost = np.abs(head.weight - self._head.weight).sum() + abs(head.bias - self._head.bias)
        return Outcome(said.status, head, sides, float(cost + self._prices @ (sides > 0)))
