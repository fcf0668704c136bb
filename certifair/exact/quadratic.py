"""Products of matrices of which both are known within balls, and the quadratic forms that are made of them."""

from __future__ import annotations

import numpy as np

from certifair.exact import ball
from certifair.exact.ball import Ball, quiet


@quiet
def product(a: Ball, b: Ball) -> Ball:
    """a @ b for a (n, d) and b (d, m).

    a·b = a·mid(b) + a·β with |β| ≤ rad(b), and |a·β| ≤ (|mid(a)| + rad(a)) @ rad(b). Where a radius of b is infinite,
    nothing is known.
    """
    first = ball.matmul(a, b.mid)
    if not b.rad.any():
        return first
    if not np.isfinite(b.rad).all():
        return Ball(np.zeros(first.shape), np.full(first.shape, np.inf))
    rest = ball.matmul(ball.exact(ball.outward(np.abs(a.mid) + a.rad)), b.rad)
    return ball.ball(first.mid, ball.outward(first.rad + rest.mid + rest.rad))


def both_ways(left: Ball, right: Ball) -> Ball:
    """leftᵀ @ right + rightᵀ @ left for (d, n) and (d, n); its midpoints are symmetric, as a + b = b + a in floats."""
    half = product(transposed(left), right)
    return ball.add(half, transposed(half))


def transposed(a: Ball) -> Ball:
    """The transpose."""
    return Ball(np.ascontiguousarray(a.mid.T), np.ascontiguousarray(a.rad.T))


def stacked(*parts: Ball) -> Ball:
    """One below the other, columns of zeros added where they are narrower than the widest."""
    width = max(part.shape[1] for part in parts)
    return ball.concatenate([widened(part, width) for part in parts], axis=0)


def widened(a: Ball, width: int) -> Ball:
    """With columns of zeros after its own."""
    more = ((0, 0), (0, width - a.shape[1]))
    return a if a.shape[1] == width else Ball(np.pad(a.mid, more), np.pad(a.rad, more))
