"""The last resort where the tolerance is about a grid step: which way to round each distinct person.

An integer program: everybody of one joint cell with one score moves together, by at most two grid steps. HiGHS proposes
(its tolerances are floats'), the caller checks exactly; a search that ends without an answer says nothing.
"""

from __future__ import annotations

import numpy as np

from certifair.layer.solvers.base import Floats, Problem

_MOST, _REACH, _SECONDS = 400, 2, 5.0


def search_grid(problem: Problem, y: Floats, sums: list[int]) -> tuple[Floats, list[int]] | None:
    """Predictions near y (n,) on the grid that may satisfy every row, with their sums by joint cell; None if none is
    found."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    firsts, member, size = _classes(problem)
    joint = problem.joint[firsts].astype(np.int64)
    steps = np.rint(y[firsts] * problem.grid.scale).astype(np.int64)
    chosen = np.argsort(size, kind="stable")[:_MOST]  # single people first: they adjust a mean most finely
    now = problem.rows.matrix @ np.array([float(total) for total in sums])
    scale = problem.grid.scale
    limit = problem.rows.limits * scale
    offsets = problem.rows.offset_floats * scale
    effect = problem.rows.matrix[:, joint[chosen]] * size[chosen]
    low = np.maximum(-_REACH, problem.grid.first - steps[chosen])
    high = np.minimum(_REACH, problem.grid.last - steps[chosen])
    if (low > high).any():
        return None
    count = len(chosen)
    # z = |move|: minimise how many people move how far
    rows = [
        LinearConstraint(np.hstack([effect, np.zeros_like(effect)]), offsets - limit - now, offsets + limit - now),
        LinearConstraint(np.hstack([np.eye(count), -np.eye(count)]), -np.inf, 0),
        LinearConstraint(np.hstack([-np.eye(count), -np.eye(count)]), -np.inf, 0),
    ]
    found = milp(
        c=np.concatenate([np.zeros(count), size[chosen].astype(float)]),
        integrality=np.concatenate([np.ones(count), np.zeros(count)]),
        bounds=Bounds(np.concatenate([low, np.zeros(count)]), np.concatenate([high, np.full(count, _REACH)])),
        constraints=rows,
        options={"time_limit": _SECONDS},
    )
    if found.x is None:
        return None
    move = np.zeros(len(firsts), dtype=np.int64)
    move[chosen] = np.rint(found.x[:count]).astype(np.int64)
    changed = list(sums)
    for j, amount in zip(joint.tolist(), (move * size).tolist(), strict=True):
        changed[j] += amount
    return (steps + move)[member] * float(problem.grid.step), changed


def _classes(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(a member of each class of identical people, everybody's class, its size)."""
    keys = np.stack([problem.joint.astype(np.float64), problem.scores], axis=1)
    _, firsts, member, size = np.unique(keys, axis=0, return_index=True, return_inverse=True, return_counts=True)
    return firsts, member.reshape(-1), size
