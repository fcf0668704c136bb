"""Linear algebra and linear programs of a few dozen unknowns, in rationals."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Matrix = list[list[Fraction]]


def dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    """Σ a_i b_i.

    >>> dot([Fraction(1), Fraction(2)], [Fraction(3), Fraction(4)])
    Fraction(11, 1)
    """
    return sum((x * y for x, y in zip(a, b, strict=True) if x and y), Fraction(0))


def inverse(matrix: Sequence[Sequence[Fraction]]) -> Matrix:
    """The inverse of a regular matrix. Errors: ZeroDivisionError if it is singular.

    >>> inverse([[Fraction(2)]])
    [[Fraction(1, 2)]]
    """
    n = len(matrix)
    table = [[*row, *(Fraction(int(i == j)) for j in range(n))] for i, row in enumerate(matrix)]
    for k in range(n):
        pivot = next((i for i in range(k, n) if table[i][k]), None)
        if pivot is None:
            raise ZeroDivisionError("the matrix is singular")
        table[k], table[pivot] = table[pivot], table[k]
        reduce_by(table, k, k)
    return [row[n:] for row in table]


def reduce_by(table: Matrix, row: int, column: int) -> None:
    """Make `column` that of the unit vector of `row`, by row operations."""
    pivot = table[row][column]
    line = table[row] = [value / pivot if value else value for value in table[row]]
    for i, other in enumerate(table):
        factor = other[column]
        if i != row and factor:
            table[i] = [a - factor * b if b else a for a, b in zip(other, line, strict=True)]


def independent(vectors: Sequence[Sequence[Fraction]]) -> list[int]:
    """Indices of vectors that are a basis of the span of all: each that those before it do not give.

    >>> one, none = [Fraction(1)], [Fraction(0)]
    >>> independent([none, one, one])
    [1]
    """
    kept: list[int] = []
    basis: list[tuple[int, list[Fraction]]] = []
    for k, vector in enumerate(vectors):
        left = list(vector)
        for column, line in basis:
            if left[column]:
                factor = left[column]
                left = [a - factor * b if b else a for a, b in zip(left, line, strict=True)]
        column = next((i for i, value in enumerate(left) if value), -1)
        if column >= 0:
            basis.append((column, [value / left[column] for value in left]))
            kept.append(k)
    return kept


def maximise(
    objective: Sequence[Fraction], matrix: Sequence[Sequence[Fraction]], right: Sequence[Fraction]
) -> tuple[Fraction, list[Fraction]] | None:
    """(max c·x over x ≥ 0 with M x = b, an x that reaches it); None if there is no bound.

    Two phases of the simplex method with Bland's rule, which ends. Errors: ValueError if no x ≥ 0 has M x = b.
    """
    n, m = len(objective), len(matrix)
    table = []
    for i, (row, value) in enumerate(zip(matrix, right, strict=True)):
        sign = -1 if value < 0 else 1
        table.append([*(sign * a for a in row), *(Fraction(int(i == k)) for k in range(m)), sign * value])
    basis = list(range(n, n + m))
    first = [sum((line[j] for line in table), Fraction(0)) for j in range(n)]
    table.append([*first, *[Fraction(0)] * m, sum((line[-1] for line in table), Fraction(0))])
    _climb(table, basis, n)
    if table.pop()[-1] != 0:
        raise ValueError("the constraints contradict each other")
    for i in range(m):  # artificial unknowns, all 0 now, leave; where none of the others can enter, the row is empty
        column = next((j for j in range(n) if table[i][j]), -1) if basis[i] >= n else -1
        if column >= 0:
            reduce_by(table, i, column)
            basis[i] = column
    kept = [i for i in range(m) if basis[i] < n]
    table, basis = [[*table[i][:n], table[i][-1]] for i in kept], [basis[i] for i in kept]
    costs = [*objective, Fraction(0)]
    for line, b in zip(table, basis, strict=True):
        if costs[b]:
            factor = costs[b]
            costs = [c - factor * a for c, a in zip(costs, line, strict=True)]
    table.append(costs)
    if not _climb(table, basis, n):
        return None
    x = [Fraction(0)] * n
    for line, b in zip(table, basis, strict=False):
        x[b] = line[-1]
    return dot(objective, x), x


def _climb(table: Matrix, basis: list[int], n: int) -> bool:
    """Pivot until no reduced cost among the first n, in the last row, is positive; False if there is no bound."""
    while True:
        entering = next((j for j in range(n) if table[-1][j] > 0), None)
        if entering is None:
            return True
        ratios = [(line[-1] / line[entering], basis[i], i) for i, line in enumerate(table[:-1]) if line[entering] > 0]
        if not ratios:
            return False
        row = min(ratios)[2]
        reduce_by(table, row, entering)
        basis[row] = entering
