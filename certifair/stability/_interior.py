"""A primal-dual interior point method for LipSDP: about 20 steps on matrices of the size of the network.

Minimise ρ such that Q = C + ρU + Σ t_i·A_i ⪰ 0 and t ≥ 0, for A_i = −(l_i r_iᵀ + r_i l_iᵀ). Its dual has Y ⪰ 0 and
s ≥ 0 with tr(UY) = 1 and tr(A_i Y) + s_i = 0. Each step solves for QY = μI and t_i·s_i = μ to first order, in the
direction of Helmberg, Rendl, Vanderbei and Wolkowicz, and corrects it as Mehrotra does (SIAM J. Optim. 6, 1996). The
matrix of the step, tr(A_i Q⁻¹ A_j Y), consists of products of l, r, Q⁻¹ and Y, as all A_i have rank 2: that is why it
is so much quicker than a solver that does not know this. Every Q is positive definite, so every iterate is a bound, and
one that is left when time is up is as good as any.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from certifair.exact.ball import quiet
from certifair.stability._problem import Array, Problem, least_rho
from certifair.stability._sequential import central

GAP: Final = 1e-8
"""How far from the optimum, relative to ρ, it stops."""
STEPS: Final = 80
BACK: Final = 0.95
"""The part of the way to where a matrix becomes singular that a step goes."""


class _Point(NamedTuple):
    """y = (ρ, t), and the dual (Y, s)."""

    y: Array
    dual: Array
    s: Array


@quiet
def optimum(problem: Problem, start: Array, end: float) -> Array:
    """Multipliers at least as good as `start`, which is feasible; the best, if found before `end` (time.monotonic).

    No step starts that would end later if it took as long as the longest so far.
    """
    first = least_rho(problem, start)
    if not problem.multipliers or not 0 < first < np.inf:
        return start
    inner = central(problem, start)
    rho, most = least_rho(problem, inner), inner.max()
    # Over ρ, and with multipliers of about 1.
    scaled = replace(problem, left=problem.left * (most / rho), output=problem.output / np.sqrt(rho))
    method = _Method(scaled)
    point = method.start(np.concatenate([[1.5], inner / most]))
    before, longest = time.monotonic(), 0.0
    for _ in range(STEPS):
        moved = None if before + longest > end else method.step(point)
        if moved is None:
            break
        now = time.monotonic()
        before, longest, point = now, max(longest, now - before), moved
        if method.gap(point) < GAP * point.y[0]:
            break
    found = point.y[1:] * most
    return found if least_rho(problem, found) < first else start


class _Method:
    """One problem, with what does not change."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._constant = problem.rest(np.zeros(problem.multipliers))
        self._goal = np.eye(1, problem.multipliers + 1)[0]
        count, neurons = problem.multipliers, len(problem.own)
        self._gather = None
        if count < neurons:
            self._gather = np.zeros((count, neurons))
            self._gather[problem.own, np.arange(neurons)] = 1.0

    def start(self, y: Array) -> _Point:
        """Y = μQ⁻¹ and s = μ/t, with μ such that tr(UY) = 1."""
        inverse = _inverse(self._matrix(y))
        n = self._problem.inputs
        mu = 1 / float(np.trace(inverse[:n, :n]))
        return _Point(y, mu * inverse, mu / y[1:])

    def gap(self, point: _Point) -> float:
        """tr(QY) + t·s."""
        return float((self._matrix(point.y) * point.dual).sum() + point.y[1:] @ point.s)

    def step(self, point: _Point) -> _Point | None:
        """The next iterate; None where floats end."""
        try:
            return self._step(point)
        except np.linalg.LinAlgError:
            return None

    def _step(self, point: _Point) -> _Point | None:
        matrix, t = self._matrix(point.y), point.y[1:]
        inverse = _inverse(matrix)
        size = len(matrix) + len(t)
        mu = self.gap(point) / size
        system = self._system(inverse, point)
        scale = 1 / np.sqrt(np.diagonal(system))
        factor = np.linalg.inv(system * scale[:, None] * scale)
        traces = self._traces(inverse) + np.concatenate([[0.0], 1 / t])

        def solved(aim: float, bend: Array, bent: Array) -> tuple[Array, Array, Array, Array]:
            right = aim * traces - self._goal - self._traces(bend) - np.concatenate([[0.0], bent / t])
            dy: Array = scale * (factor @ (scale * right))
            change = self._change(dy)
            product = inverse @ (change @ point.dual) + bend
            ddual = aim * inverse - point.dual - (product + product.T) / 2
            return dy, change, ddual, (aim - bent - point.s * dy[1:]) / t - point.s

        nothing = np.zeros((1, 1)), np.zeros(len(t))
        dy, change, ddual, ds = solved(0.0, nothing[0] * inverse, nothing[1])
        ahead, behind = _longest(matrix, change, t, dy[1:]), _longest(point.dual, ddual, point.s, ds)
        left = ((matrix + ahead * change) * (point.dual + behind * ddual)).sum()
        left += (t + ahead * dy[1:]) @ (point.s + behind * ds)
        aim = mu * min(max(float(left) / (mu * size), 0.0), 1.0) ** 3
        aim = max(aim, 1e-3 * mu) if min(ahead, behind) > 0.2 else max(aim, 0.3 * mu)
        dy, change, ddual, ds = solved(aim, inverse @ (change @ ddual), dy[1:] * ds)
        ahead, behind = _longest(matrix, change, t, dy[1:]), _longest(point.dual, ddual, point.s, ds)
        if ahead < 1e-6 and behind < 1e-6:
            return None
        return _Point(point.y + ahead * dy, point.dual + behind * ddual, point.s + behind * ds)

    def _matrix(self, y: Array) -> Array:
        found = self._problem.rest(y[1:])
        found[np.diag_indices(self._problem.inputs)] += y[0]
        return found

    def _change(self, dy: Array) -> Array:
        found: Array = self._matrix(dy) - self._constant
        return found

    def _traces(self, a: Array) -> Array:
        """tr(U·a) and tr(A_i·a)."""
        problem, n = self._problem, self._problem.inputs
        if a.shape == (1, 1):
            return np.zeros(problem.multipliers + 1)
        both = (problem.left @ (a + a.T) * problem.right).sum(axis=1)
        return np.concatenate([[np.trace(a[:n, :n])], -self._sums(both)])

    def _system(self, inverse: Array, point: _Point) -> Array:
        """tr(F_i Q⁻¹ F_j Y) for F = (U, A), and s/t on the diagonal."""
        problem, n, dual = self._problem, self._problem.inputs, point.dual
        left, right = problem.left, problem.right
        gl, gr, yl, yr = left @ inverse, right @ inverse, left @ dual, right @ dual
        cross = (gl @ right.T) * (yl @ right.T).T
        pairs = cross + cross.T + (gl @ left.T) * (yr @ right.T) + (gr @ right.T) * (yl @ left.T)
        mixed = -((gl[:, :n] * yr[:, :n]) + (gr[:, :n] * yl[:, :n])).sum(axis=1)
        if self._gather is not None:
            pairs = self._gather @ pairs @ self._gather.T
        corner = float((inverse[:n, :n] * dual[:n, :n]).sum())
        row = self._sums(mixed)
        found = np.block([[np.array([[corner]]), row[None]], [row[:, None], pairs]])
        found[np.diag_indices(len(found))] += np.concatenate([[0.0], point.s / point.y[1:]])
        return found

    def _sums(self, values: Array) -> Array:
        return values if self._gather is None else self._gather @ values


def _inverse(matrix: Array) -> Array:
    """Of a positive definite matrix, scaled so that its diagonal is 1. Errors: LinAlgError."""
    diagonal = np.diagonal(matrix)
    if not (diagonal > 0).all():
        raise np.linalg.LinAlgError("not positive definite")
    scale = 1 / np.sqrt(diagonal)
    root = np.linalg.inv(np.linalg.cholesky(matrix * scale[:, None] * scale)) * scale
    found: Array = root.T @ root
    return found


def _longest(matrix: Array, change: Array, t: Array, dt: Array) -> float:
    """A step of at most 1 that keeps the matrix positive definite and t positive, and stops a little before."""
    shrinks = dt < 0
    length = min(1.0, float((-t[shrinks] / dt[shrinks]).min())) if shrinks.any() else 1.0
    diagonal = np.diagonal(matrix)
    scale = 1 / np.sqrt(diagonal)
    first, rest = matrix * scale[:, None] * scale, change * scale[:, None] * scale
    while length > 1e-8:
        try:
            np.linalg.cholesky(first + length * rest)
        except np.linalg.LinAlgError:
            length *= 0.85
        else:
            return BACK * length
    return 0.0
