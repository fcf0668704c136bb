"""The exact projection of a few numbers onto fair predictions in a box, in rationals. Slow, and shares no code.

Minimise ½‖y − z‖² over lower <= y_i <= upper and |A[k] y − b[k]| <= epsilon: a dual active-set method (Goldfarb and
Idnani 1983) with the identity as its matrix, which ends after finitely many steps in exact arithmetic. The solution is
checked by the optimality conditions, exactly, before it is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Vector = list[Fraction]
Half = tuple[Vector, Fraction]
"""A half-space normal · y >= bound."""


class Infeasible(Exception):  # noqa: N818
    """No y satisfies all constraints."""


@dataclass(frozen=True)
class Projected:
    """The nearest point, and a signed multiplier for each row (positive where the upper end pushes)."""

    y: Vector
    multipliers: Vector


def project(
    z: Sequence[Fraction],
    rows: Sequence[tuple[Sequence[Fraction], Fraction]],
    epsilon: Fraction,
    lower: Fraction,
    upper: Fraction,
) -> Projected:
    """`rows` are pairs (A[k], b[k])."""
    n = len(z)
    halves: list[Half] = []
    for weights, offset in rows:
        halves.append(([-w for w in weights], -offset - epsilon))  # A y - b <= epsilon
        halves.append((list(weights), offset - epsilon))
    for i in range(n):
        unit = [Fraction(int(j == i)) for j in range(n)]
        halves.append((unit, lower))
        halves.append(([-u for u in unit], -upper))
    y, duals = nearest(list(z), halves)
    return Projected(y, [duals[2 * k] - duals[2 * k + 1] for k in range(len(rows))])


def nearest(z: Vector, halves: Sequence[Half]) -> tuple[Vector, Vector]:
    """The point nearest to z in all half-spaces, and a multiplier >= 0 for each."""
    y, active, duals = list(z), [], []  # type: tuple[Vector, list[int], Vector]
    while True:
        worst = min(range(len(halves)), key=lambda k: _slack(halves[k], y), default=None)
        if worst is None or _slack(halves[worst], y) >= 0:
            break
        y, active, duals = _enter(y, active, duals, worst, halves)
    full = [Fraction(0)] * len(halves)
    for k, value in zip(active, duals, strict=True):
        full[k] = value
    _check(z, y, full, halves)
    return y, full


def _enter(
    y: Vector, active: list[int], duals: Vector, entering: int, halves: Sequence[Half]
) -> tuple[Vector, list[int], Vector]:
    """One constraint becomes active; those that stand in the way leave."""
    normal = halves[entering][0]
    gained = Fraction(0)
    while True:
        normals = [halves[k][0] for k in active]
        r = _solve([[_dot(a, b) for b in normals] for a in normals], [_dot(a, normal) for a in normals])
        step = [v - sum((c * a[i] for c, a in zip(r, normals, strict=True)), Fraction(0)) for i, v in enumerate(normal)]
        blocking = [(duals[j] / r[j], j) for j in range(len(active)) if r[j] > 0]
        length = _dot(step, normal)
        full = -_slack(halves[entering], y) / length if length > 0 else None
        if full is None and not blocking:
            raise Infeasible
        leaving = min(blocking, default=None)
        partial = leaving is not None and (full is None or leaving[0] < full)
        t = leaving[0] if leaving is not None and partial else full
        assert t is not None
        if length > 0:
            y = [a + t * s for a, s in zip(y, step, strict=True)]
        duals = [u - t * c for u, c in zip(duals, r, strict=True)]
        gained += t
        if not partial:
            return y, [*active, entering], [*duals, gained]
        assert leaving is not None
        drop = leaving[1]
        active, duals = active[:drop] + active[drop + 1 :], duals[:drop] + duals[drop + 1 :]


def _check(z: Vector, y: Vector, duals: Vector, halves: Sequence[Half]) -> None:
    """The conditions of Karush, Kuhn and Tucker, which suffice here."""
    for half, dual in zip(halves, duals, strict=True):
        slack = _slack(half, y)
        assert slack >= 0
        assert dual >= 0
        assert slack == 0 or dual == 0
    for i, value in enumerate(y):
        push = sum((dual * half[0][i] for dual, half in zip(duals, halves, strict=True) if dual), Fraction(0))
        assert value - z[i] == push


def _slack(half: Half, y: Vector) -> Fraction:
    return _dot(half[0], y) - half[1]


def _dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((p * q for p, q in zip(a, b, strict=True) if p and q), Fraction(0))


def _solve(matrix: list[Vector], right: Vector) -> Vector:
    """Gauss and Jordan; the matrix is regular because active normals are independent."""
    n = len(right)
    table = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for k in range(n):
        pivot = next(i for i in range(k, n) if table[i][k])
        table[k], table[pivot] = table[pivot], table[k]
        table[k] = [value / table[k][k] for value in table[k]]
        for i in range(n):
            if i != k and table[i][k]:
                factor = table[i][k]
                table[i] = [a - factor * b for a, b in zip(table[i], table[k], strict=True)]
    return [row[n] for row in table]


def mean_square(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    """‖a − b‖²/n."""
    return sum(((p - q) ** 2 for p, q in zip(a, b, strict=True)), Fraction(0)) / len(a)


def duality_gap(
    z: Sequence[Fraction],
    y: Sequence[Fraction],
    rows: Sequence[tuple[Sequence[Fraction], Fraction]],
    multipliers: Sequence[Fraction],
    bounds: tuple[Fraction, Fraction, Fraction],
) -> Fraction:
    """½‖y − z‖² − d(ν), exactly, d the Lagrangian's minimum over the box; `bounds` are epsilon, lower, upper."""
    epsilon, lower, upper = bounds
    half = Fraction(1, 2)
    dual = Fraction(0)
    for i, score in enumerate(z):
        shift = sum((nu * weights[i] for nu, (weights, _) in zip(multipliers, rows, strict=True)), Fraction(0))
        w = min(max(score - shift, lower), upper)
        dual += half * (w - score) ** 2 + shift * w
    for nu, (_, offset) in zip(multipliers, rows, strict=True):
        dual -= nu * offset + epsilon * abs(nu)
    return half * sum(((a - b) ** 2 for a, b in zip(y, z, strict=True)), Fraction(0)) - dual
