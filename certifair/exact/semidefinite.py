"""Proofs that symmetric matrices are positive semidefinite, and bounds of norms that follow. No LAPACK is believed.

Exactly: fraction-free elimination (Bareiss). The k-th pivot is a leading principal minor of the rows that were kept,
so its sign is that of the pivot of LDLᵀ. A pivot of 0 needs a row of zeros in what is left; then the row is dropped.

In floats: for any C whatsoever, A = CCᵀ + (A − CCᵀ). CCᵀ is positive semidefinite; so is the rest, if each element of
its diagonal is at least the sum of the magnitudes of the others in its row (Gershgorin). C is a Cholesky factor of A
less a small slack of the diagonal, as LAPACK computes it; the rest is enclosed in balls. A congruence by powers of 2,
which rounds nothing but what underflows, makes the diagonal about 1 before: an element that underflows becomes a
subnormal one or 0, which a radius of 2^-1000 repays.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import inf, isfinite, lcm, nextafter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from certifair.exact import ball
from certifair.exact.ball import Ball, quiet
from certifair.exact.sums import require_subnormals

Array = NDArray[np.float64]

LOST: Final = 2.0**-1000
"""More than what a product by powers of two may lose by underflow."""
TRIES: Final = 60


def exactly_semidefinite(rows: Sequence[Sequence[Fraction | int]]) -> bool:
    """Whether a symmetric matrix of rationals is positive semidefinite. Errors: ValueError if it is not symmetric."""
    numbers = [[_rational(value) for value in row] for row in rows]
    scale = lcm(*(value.denominator for row in numbers for value in row))
    left = [[int(value * scale) for value in row] for row in numbers]
    if any(len(row) != len(left) for row in left) or any(
        left[i][j] != left[j][i] for i in range(len(left)) for j in range(i)
    ):
        raise ValueError("the matrix is not symmetric")
    before = 1
    while left:
        (pivot, *first), *below = left
        rest = [row[1:] for row in below]
        if pivot < 0 or (pivot == 0 and any(first)):
            return False
        if pivot:
            rest = [
                [(pivot * value - side * top) // before for value, top in zip(row, first, strict=True)]
                for row, side in zip(rest, first, strict=True)
            ]
            before = pivot
        left = rest
    return True


def _rational(value: Fraction | int) -> Fraction:
    """In Python's own integers: a Fraction of numpy's would keep those, which overflow."""
    found = Fraction(value)
    return Fraction(int(found.numerator), int(found.denominator))


@quiet
def semidefinite(matrix: Ball) -> bool:
    """Whether it is proven that every symmetric matrix (n, n) in the ball is positive semidefinite.

    Errors: ValueError for midpoints that are not symmetric, or a processor in flush-to-zero mode.
    """
    require_subnormals()
    if matrix.mid.ndim != 2 or not np.array_equal(matrix.mid, matrix.mid.T):
        raise ValueError("the midpoints are no symmetric matrix")
    radius = np.maximum(matrix.rad, matrix.rad.T)
    diagonal = np.diagonal(matrix.mid)
    nothing = (diagonal == 0) & ~matrix.mid.any(axis=1) & ~radius.any(axis=1)
    some = np.flatnonzero(~nothing)
    mid, radius, diagonal = matrix.mid[np.ix_(some, some)], radius[np.ix_(some, some)], diagonal[some]
    if not (np.isfinite(mid).all() and np.isfinite(radius).all() and (diagonal > 0).all()):
        return False
    power = -(np.frexp(diagonal)[1] // 2)
    both = power[:, None] + power
    mid, radius = np.ldexp(mid, both), np.ldexp(radius, both) * (1 + 2.0**-50) + LOST
    return _dominated(mid, radius)


def _dominated(mid: Array, radius: Array) -> bool:
    """Whether mid ± radius, of a diagonal of about 1, is a product CCᵀ and a rest that its diagonal dominates."""
    n = len(mid)
    slack = 2 * radius.sum(axis=1) + 8 * (n + 2) * n * 2.0**-53
    try:
        factor = np.linalg.cholesky(mid - np.diag(slack))
    except np.linalg.LinAlgError:
        return False
    if not np.isfinite(factor).all():
        return False
    rest = ball.subtract(Ball(mid, radius), ball.matmul(ball.exact(factor), np.ascontiguousarray(factor.T)))
    sizes = ball.outward(np.abs(rest.mid) + rest.rad)
    np.fill_diagonal(sizes, np.diagonal(rest.rad))
    return bool((np.diagonal(rest.mid) >= ball.outward(sizes.sum(axis=1))).all())


def norm_up(matrix: Ball) -> float:
    """At least the largest singular value of every matrix (m, n) in the ball, and hardly more; inf if that fails.

    σ(W) ≤ t just if [[tI, W], [Wᵀ, tI]] is positive semidefinite: nothing is rounded to build it.
    """
    m, n = matrix.shape
    if not matrix.mid.any() and not matrix.rad.any():
        return 0.0
    if not (np.isfinite(matrix.mid).all() and np.isfinite(matrix.rad).all()):
        return inf
    guess = float(np.linalg.norm(matrix.mid, 2) + np.linalg.norm(matrix.rad))
    more = 2.0**-44 * (m + n)
    for _ in range(TRIES):
        bound = nextafter(guess * (1 + more), inf)
        if not isfinite(bound) or bound <= 0:
            return inf
        mid, radius = np.diag(np.full(m + n, bound)), np.zeros((m + n, m + n))
        mid[:m, m:], mid[m:, :m] = matrix.mid, matrix.mid.T
        radius[:m, m:], radius[m:, :m] = matrix.rad, matrix.rad.T
        if semidefinite(Ball(mid, radius)):
            return bound
        more *= 2
    return inf
