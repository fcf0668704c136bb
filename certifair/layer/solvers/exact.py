"""The exact projection: the dual's optimum in floats, tightened, rounded to the grid, checked in integers.

Why a solved answer is feasible: the integer sums of what is served are put into every row with the tolerance as it was
written, in rational arithmetic; the box's ends are grid points. Nothing else is trusted, so it does not matter how the
answer was found. Rounding each person by at most half a grid step moves a row by at most ‖a_k‖₁/2 steps: with a
tolerance tightened by that much the answer would always pass. Far less does in practice, and is tried first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import final

import numpy as np

from certifair.layer.rows import Rows
from certifair.layer.solvers import _kernels
from certifair.layer.solvers._conflict import find_conflict
from certifair.layer.solvers._dual import DualPoint, Search, first_guess
from certifair.layer.solvers._search import search_grid
from certifair.layer.solvers.base import Answer, Floats, Problem, Solver, Status


@final
class Exact(Solver):
    """Semismooth Newton on the dual, then the grid."""

    name = "exact"

    def solve(self, problem: Problem, start: Floats | None = None) -> Answer:
        """The projection, feasible exactly, or why there is none."""
        step, limits = float(problem.grid.step), problem.rows.limits
        search = Search(problem, limits, first_guess(problem, limits) if start is None else start)
        fair = search.at_zero()
        if fair is not None:  # as they are: only to be clipped and rounded
            answer, _ = _served(problem, fair)
            if answer.status:
                return answer
        for margin in _margins(problem.rows, step):
            search.epsilon = np.maximum(limits - margin, 0.0)
            point = search.run()
            if point.residual > step / 4 and start is not None:  # a start so bad that the search lost its way
                return self.solve(problem)
            if point.residual > step / 4:
                break
            answer, _ = _served(problem, point)
            if answer.status:
                return answer
        search.epsilon = limits
        return _last_resort(problem, search.run(), step)


def _margins(rows: Rows, step: float) -> Iterator[Floats]:
    """By how much to tighten: what rounding errors come to if they do not conspire, then the most that they can be."""
    most = rows.pattern.norms * (step / 2)
    smallest = float((rows.pattern.incidence @ rows.people).min(initial=math.inf))
    yield np.minimum(most, 2 * step / np.sqrt(smallest))
    yield most + step / 64


def _served(problem: Problem, point: DualPoint) -> tuple[Answer, list[int]]:
    """What this dual point serves, solved if every row holds exactly; and its sums by joint cell, in grid steps."""
    grid, shift = problem.grid, point.shift
    if not (np.isfinite(shift.value).all() and np.isfinite(shift.rest).all()):
        return Answer.none(problem, Status.FAILED, "the search left the range of floats"), [0] * len(shift.value)
    y = np.empty_like(problem.scores)  # every grid point is exact in the scores' dtype
    sums = _kernels.round_all(problem.scores, problem.joint, shift.value, shift.rest, grid.box, grid.scale, y)
    status = Status.SOLVED if problem.rows.holds(sums, grid.step) else Status.NO_GRID_POINT
    return Answer(status, y, spread(problem.rows, point.multipliers), shift), sums


def spread(rows: Rows, multipliers: Floats) -> Floats:
    """The multipliers of the same shifts in which every row has one that can have one.

    Rows that compare pairs of groups depend on each other: where two groups are pushed down and two up, two multipliers
    do what four can share. Of one block, with one tolerance, only the force on each group counts (its multipliers with
    their signs, added up); shared in proportion to the forces of both ends, every row between a group that is pushed
    down and one that is pushed up gets a part. That is a point inside the set of optimal multipliers, which tells
    which rows are active and, by that, the derivative.
    """
    used = np.flatnonzero(multipliers)
    if len(used) < 2:
        return multipliers
    pattern, found = rows.pattern, multipliers.copy()
    for block in np.unique(pattern.blocks[used]):
        members = np.flatnonzero(pattern.blocks == block)
        factors, limits = pattern.factors[members], rows.limits[members]
        pairs = (np.abs(factors).sum(axis=1) == 2) & (factors.sum(axis=1) == 0)
        if len(members) < 2 or not pairs.all() or (limits != limits[0]).any():
            continue
        force = multipliers[members] @ factors
        force[np.abs(force) <= 1e-12 * np.abs(force).max(initial=0.0)] = 0.0
        first, second = (force[np.argmax(factors == sign, axis=1)] for sign in (1, -1))
        down, up = np.minimum(first, second), np.maximum(first, second)
        share = np.where((down < 0) & (up > 0), -down * up / force[force > 0].sum(), 0.0) if force.any() else 0.0
        found[members] = np.sign(first) * share
    return found


def _last_resort(problem: Problem, point: DualPoint, step: float) -> Answer:
    """Infeasible with a proof, or a bounded search on the grid, or the reason why neither came to an end."""
    candidates = [weights for weights in (point.unbounded, point.multipliers) if weights is not None]
    box = (problem.grid.lower, problem.grid.upper)
    witness = find_conflict(problem.rows, box, candidates, search=point.residual > step)
    if witness is not None:
        reason = f"no prediction in the box satisfies these rows together: {', '.join(witness)}"
        return Answer.none(problem, Status.INFEASIBLE, reason, witness)
    if not point.residual <= step:  # feasible perhaps, but not the projection
        reason = f"a row was left {point.residual:.3g} off its tolerance, and no proof was found that it must be"
        return Answer.none(problem, Status.FAILED, reason)
    answer, sums = _served(problem, point)
    if answer.status:
        return answer
    found = search_grid(problem, answer.predictions.astype(np.float64), sums)
    if found is not None:
        return Answer(Status.SOLVED, found[0], answer.multipliers, point.shift)
    return Answer.none(problem, Status.NO_GRID_POINT, "the tolerance is too small for the grid: no grid point found")
