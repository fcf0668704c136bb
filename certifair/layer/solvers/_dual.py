"""The projection by its dual: semismooth Newton on one multiplier a row, with exact line searches.

The projection of z onto {y in the box: |A y − b| ≤ ε} has the concave dual

    d(ν) = min over the box of ½‖y − z‖² + ν·(A y − b) − Σ ε_k |ν_k|,    attained at y(ν) = clip(z − Aᵀν, lower, upper).

Within a joint cell everybody is shifted by the same amount s_j = (Bᵀν)_j, so d needs of the n people only two numbers a
cell: the sum of y, and how many are not clipped. d is piecewise quadratic: on a piece its gradient is r − ε sign(ν),
r = A y(ν) − b, and its Hessian −B diag(free) Bᵀ. Newton's direction on the rows that are active or violated, an exact
line search up to the first sign change (there the row is dropped), and d rises at each step; it ends, up to rounding,
after finitely many pieces. Optimality (r_k = ±ε_k where ν_k ≷ 0, |r_k| ≤ ε_k elsewhere) is the stopping test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from certifair.layer.solvers import _kernels
from certifair.layer.solvers._root import find_root
from certifair.layer.solvers.base import NEAR, Floats, Problem, Shift

_NOISE = 2.0**-50
LARGE = 1 << 16
"""From so many people on speed counts: a first guess from a part of them, and sums in the order of people."""
_RUN, _STRIDE = 64, 32


@final
@dataclass(frozen=True, eq=False)
class DualPoint:
    """Where the search ended. `residual`: how far the worst row is from optimality, in units of A y."""

    multipliers: Floats
    shift: Shift
    residual: float
    unbounded: Floats | None = None
    """A direction (K,) along which the dual rises for ever: the rows contradict the box."""


@final
class Search:
    """One maximisation of the dual, with tolerances `epsilon` (K,), from the multipliers `start` (K,)."""

    def __init__(self, problem: Problem, epsilon: Floats, start: Floats | None = None) -> None:
        self.problem, self.rows, self.box, self.epsilon = problem, problem.rows, problem.box, epsilon
        self.matrix, self.offsets = problem.rows.matrix, problem.rows.offset_floats
        self.joint, self.z = problem.joint, problem.scores
        self.far = problem.far
        self.reach = (NEAR + 2) * (self.box[1] - self.box[0])
        if self.far:
            self.reach += float(np.abs(self.z).max())
        self.scale = max(abs(self.box[0]), abs(self.box[1]))
        self.unit = 2.0 ** (50 - problem.grid.size) if len(self.z) < LARGE else 0.0
        self.tolerance = 2.0**-48 * self.scale
        self.single = len(epsilon) == 1 and not self.far
        self.nu = np.zeros(len(epsilon)) if start is None else start
        self.shift = Shift(self.nu @ self.matrix, np.zeros(self.matrix.shape[1]))
        if self.single:
            reach = float(np.abs(self.matrix[0]) @ self.rows.people) * self.scale + abs(float(self.offsets[0]))
            self.noise = max(_NOISE * reach, self.tolerance / 4)
        else:
            self._move(self.nu, self.shift)

    def _move(self, multipliers: Floats, shift: Shift, tally: Floats | None = None) -> None:
        self.nu, self.shift = multipliers, shift
        self.sums, self.free = self._tally(shift) if tally is None else tally
        self.r = self.matrix @ self.sums - self.offsets

    def _tally(self, shift: Shift) -> Floats:
        return _kernels.tally(self.z, self.joint, shift.value, shift.rest, self.box, self.unit)

    def gradient(self) -> Floats:
        """The steepest subgradient: 0 exactly at an optimum."""
        at_zero = self.r - np.minimum(np.maximum(self.r, -self.epsilon), self.epsilon)
        found: Floats = np.where(self.nu == 0, at_zero, self.r - self.epsilon * np.sign(self.nu))
        return found

    def at_zero(self) -> DualPoint | None:
        """The multipliers 0, if the search starts there and nothing better is to be found."""
        if self.nu.any():
            return None
        if self.single:
            point = self._run_one()
            return None if point.multipliers[0] else point
        return None if self.gradient().any() else DualPoint(self.nu, self.shift, 0.0)

    def run(self, limit: int = 300) -> DualPoint:
        """Maximise, from where the search stands."""
        if self.single:
            return self._run_one()
        best, since, unbounded = DualPoint(self.nu, self.shift, math.inf), 0, None
        for attempt in range(limit):
            gradient = self.gradient()
            residual = float(np.abs(gradient).max(initial=0.0))
            if residual < best.residual:
                best, since = DualPoint(self.nu, self.shift, residual), 0
            since += 1
            if residual <= self.tolerance or since > 16 + 2 * len(self.nu) or unbounded is not None:
                break
            unbounded = self._step(gradient, attempt)
        return DualPoint(best.multipliers, best.shift, best.residual, unbounded)

    def _run_one(self) -> DualPoint:
        """One row needs no directions: its multiplier is a root."""
        nu, left = find_root(self.problem, float(self.epsilon[0]), float(self.nu[0]), self.unit, self.noise)
        self.nu = np.array([nu])
        self.shift = Shift(nu * self.matrix[0], self.shift.rest)
        return DualPoint(self.nu, self.shift, left)

    def _step(self, gradient: Floats, attempt: int) -> Floats | None:
        """One step uphill; a direction, if the dual is unbounded along it."""
        direction = self._newton(self._active(gradient, attempt), gradient)
        sign = np.where(self.nu != 0, np.sign(self.nu), np.sign(gradient))
        against = direction * self.nu < 0
        crossing = np.where(against, -self.nu / np.where(against, direction, 1.0), math.inf)
        slope, most = float(direction @ (self.offsets + self.epsilon * sign)), float(crossing.min())
        moves = direction @ self.matrix
        still = np.abs(moves).max() <= 1e-12 * (np.abs(direction) @ np.abs(self.matrix)).max()
        if still:  # the rows depend on each other, and nobody moves
            tau, shift, tally, endless = most, self.shift, np.stack([self.sums, self.free]), most == math.inf
        else:
            tau, shift, tally, endless = self._line(moves, slope, most)
        if endless:
            return direction
        nu = self.nu + tau * direction
        nu[crossing <= tau] = 0.0
        self._move(nu, shift, tally)
        return None

    def _active(self, gradient: Floats, attempt: int) -> NDArray[np.intp]:
        """Rows with a multiplier, and of each block the most violated one; now and then one alone, to leave a cycle."""
        size = np.abs(gradient)
        if len(size) == 1:
            return np.zeros(1, dtype=np.intp)
        if attempt % 8 == 7:
            return np.array([size.argmax()])
        chosen = self.nu != 0
        new = np.where(chosen, 0.0, size)
        blocks = self.rows.pattern.blocks
        for block in np.unique(blocks[new > self.tolerance]):
            members = np.flatnonzero(blocks == block)
            chosen[members[new[members].argmax()]] = True
        return np.flatnonzero(chosen) if chosen.any() else np.array([size.argmax()])

    def _newton(self, active: NDArray[np.intp], gradient: Floats) -> Floats:
        """Newton's direction on the active rows; a row at 0 that would leave on the wrong side is left out."""
        direction = np.zeros(len(gradient))
        while True:
            rows, slope = self.matrix[active], gradient[active]
            hessian = (rows * self.free) @ rows.T
            largest = float(hessian.diagonal().max())
            if largest == 0:  # nobody moves who is not clipped: uphill as far as it takes
                step = slope / float(np.square(rows).max())
            elif len(active) == 1:
                step = slope / largest
            else:
                step = _uphill(hessian, slope, self.tolerance)
            wrong = (self.nu[active] == 0) & (step * slope <= 0)
            if len(active) == 1 or not wrong.any():
                break
            active = active[~wrong] if not wrong.all() else np.array([np.abs(gradient).argmax()])
        direction[active] = step
        return direction

    def _line(self, moves: Floats, slope: float, most: float) -> tuple[float, Shift, Floats, bool]:
        """The best step length in (0, most], shift and tally there, and whether the dual rises for ever.

        The derivative along the line, moves·sums − slope, falls from a positive value; it is piecewise linear, so
        Newton from a point on the last piece ends at the root. A bracket guards it. Where scores are far away the
        floats of the bracket are used up before that: then the search goes on from its lower end, in the rest.
        """
        noise = _NOISE * (float(np.abs(moves) @ self.rows.people) * self.scale + abs(slope))
        value, curvature = float(moves @ self.sums) - slope, float(np.square(moves) @ self.free)
        base, done, low, high, depth = self.shift, 0.0, 0.0, math.inf, 0
        shift, tally = self.shift, np.stack([self.sums, self.free])
        tau = min(most, value / curvature if curvature > 0 else 1.0)
        for count in range(500):
            shift = _moved(base, moves, tau, self.far)
            tally = self._tally(shift)
            value, curvature = float(moves @ tally[0]) - slope, float(np.square(moves) @ tally[1])
            if abs(value) <= noise or (value > 0 and done + tau >= most):
                break
            low, high = (tau, high) if value > 0 else (low, tau)
            if high == math.inf and curvature == 0 and float(np.abs(moves * tau).max()) > 4 * self.reach:
                return done + tau, shift, tally, True
            following = _next(low, high, tau + value / curvature if curvature > 0 else math.nan, count)
            following = min(following, most - done)
            if low < following < high:
                tau = following
            elif self.far and depth < 3:
                base, done, high, low = _moved(base, moves, low, self.far), done + low, high - low, 0.0
                depth, tau = depth + 1, high / 2
            else:
                break
        return done + tau, shift, tally, False


def _uphill(hessian: Floats, slope: Floats, tolerance: float) -> Floats:
    """Newton's step; first of all, where the model is flat but not level, the way up on the flat.

    It is flat along combinations of rows that no free person feels; divided by next to nothing these would drown the
    rest.
    """
    curvature, axes = np.linalg.eigh(hessian)
    along = axes.T @ slope
    flat = curvature <= 1e-12 * curvature[-1]
    if (np.abs(along[flat]) > tolerance).any():
        found: Floats = axes[:, flat] @ along[flat]
    else:
        found = axes[:, ~flat] @ (along[~flat] / curvature[~flat])
    return found


def _moved(base: Shift, moves: Floats, tau: float, far: bool) -> Shift:
    """base + tau·moves; what the first float cannot hold stands in the second, if scores are that far away."""
    if not far:
        return Shift(base.value + tau * moves, base.rest)
    step = base.rest + tau * moves
    value = base.value + step
    part = value - base.value
    return Shift(value, (base.value - (value - part)) + (step - part))


def _next(low: float, high: float, newton: float, count: int) -> float:
    """Newton's point if it lies in the bracket, now and then and otherwise a bisection."""
    if low < newton < high and count % 4 != 3:
        return newton
    if high == math.inf:
        return 8 * max(low, 1e-300) if not newton > 8 * low else newton
    if low > 0 and high > 1e3 * low:
        return math.sqrt(low) * math.sqrt(high)
    return low + (high - low) / 2


def first_guess(problem: Problem, epsilon: Floats) -> Floats | None:
    """Of a large batch: the multipliers of a part of its people, scaled. Newton corrects them in a pass or two."""
    n = len(problem.scores)
    if n < LARGE:
        return None
    joint = _sample(problem.joint)
    people = np.bincount(joint, minlength=problem.rows.matrix.shape[1])
    rows = problem.rows.subsample(people)
    if rows is None:
        return None
    part = Problem(_sample(problem.scores), joint, rows, problem.grid, problem.far)
    found = Search(part, epsilon).run(limit=20).multipliers
    return found * (n / len(joint))


def _sample(values: NDArray[Any]) -> NDArray[Any]:
    """Short runs of neighbours, spread evenly: cheaper to copy than single people."""
    whole = len(values) // _RUN * _RUN
    return values[:whole].reshape(-1, _RUN)[::_STRIDE].reshape(-1)
