"""The last resort where the tolerance is about a grid step: which way to round each distinct person.

An integer program: everybody of one joint cell with one score moves together, by at most two grid steps. HiGHS proposes
(its tolerances are floats'), the caller checks exactly; a search that ends without an answer says nothing.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from certifair.layer.solvers.base import Floats, Problem

Ints = NDArray[np.int64]
_MOST, _REACHES, _SECONDS = 400, (2, 64), 1.0


def search_grid(problem: Problem, y: Floats, sums: list[int]) -> tuple[Floats, list[int]] | None:
    """Predictions near y (n,) on the grid that satisfy every row, with their sums by joint cell; None if none is found.

    `sums` (J,) are those of y, in grid steps.
    """
    firsts, member, size = _classes(problem)
    joint = problem.joint[firsts].astype(np.int64)
    steps = np.rint(y[firsts] * problem.grid.scale).astype(np.int64)
    move = equalise(problem, sums, joint, steps, size)
    if move is not None:
        return _moved(problem, steps, move, member, _changed(sums, joint, move * size))
    chosen = _chosen(joint, size)
    limits = _limits(problem, sums, joint[chosen], size[chosen])
    for reach in _REACHES:
        low = np.maximum(-reach, problem.grid.first - steps[chosen])
        high = np.minimum(reach, problem.grid.last - steps[chosen])
        moved = _solve(*limits, low, high, size[chosen])
        if moved is None:
            continue
        move = np.zeros(len(firsts), dtype=np.int64)
        move[chosen] = moved
        changed = _changed(sums, joint, move * size)
        if problem.rows.holds(changed, problem.grid.step):
            return _moved(problem, steps, move, member, changed)
    return None


def _changed(sums: list[int], joint: Ints, amounts: Ints) -> list[int]:
    found = list(sums)
    for j, amount in zip(joint.tolist(), amounts.tolist(), strict=True):
        found[j] += amount
    return found


def _moved(problem: Problem, steps: Ints, move: Ints, member: Ints, sums: list[int]) -> tuple[Floats, list[int]]:
    served: Floats = (steps + move)[member].astype(np.float64) * float(problem.grid.step)
    return served, sums


def equalise(problem: Problem, sums: list[int], joint: Ints, steps: Ints, size: Ints) -> Ints | None:
    """How far to move each class so that all groups that are compared have *one* mean; None where that does not work.

    For one attribute, whose groups share nobody. With G the greatest common divisor of the group sizes n_g, the mean
    k/G (in steps) is attained by every group, with the sum k·n_g/G. The nearest k asks of each group for about one
    step a person at most; who moves one step further is found by taking the largest class that still fits.
    """
    pattern = problem.rows.pattern
    cells: dict[int, set[int]] = {}
    for block, terms, offset in zip(pattern.blocks.tolist(), pattern.terms, problem.rows.offsets, strict=True):
        if offset or [factor for _, factor in terms] != [1, -1]:
            return None
        cells.setdefault(block, set()).update(c for c, _ in terms)
    used = [c for members in cells.values() for c in members]
    if any(len(pattern.members[c]) != 1 for c in used) or len(set(used)) < len(used):
        return None
    move = np.zeros(len(size), dtype=np.int64)
    for members in cells.values():
        groups = [pattern.members[c][0] for c in members]
        people = [problem.rows.people.item(j) for j in groups]
        common = math.gcd(*people)
        middle = Fraction(sum(sums[j] for j in groups), sum(people))
        for j, n in zip(groups, people, strict=True):
            wanted = round(middle * common) * n // common - sums[j]
            here = np.flatnonzero(joint == j)
            found = _distribute(wanted, steps[here], size[here], (problem.grid.first, problem.grid.last))
            if found is None:
                return None
            move[here] = found
    changed = _changed(sums, joint, move * size)
    return move if problem.rows.holds(changed, problem.grid.step) else None


def _distribute(wanted: int, steps: Ints, size: Ints, ends: tuple[int, int]) -> Ints | None:
    """Moves of the classes that add up to `wanted` steps of single people, as even as can be, within the box."""
    move = np.zeros(len(size), dtype=np.int64)
    sign = 1 if wanted > 0 else -1
    left = abs(wanted)
    largest_first = np.argsort(-size, kind="stable")
    for _ in range(_REACHES[-1]):
        if not left:
            return move
        room = (steps + move < ends[1]) if sign > 0 else (steps + move > ends[0])
        if size[room].sum() <= left:  # everybody who can moves a step
            if not room.any():
                return None
            move[room] += sign
            left -= int(size[room].sum())
            continue
        for k in largest_first.tolist():
            if room[k] and size[k] <= left:
                move[k] += sign
                left -= int(size[k])
        return move if not left else None
    return None


def _solve(matrix: Floats, least: Floats, most: Floats, low: Ints, high: Ints, size: Ints) -> Ints | None:
    """Whole moves within [low, high] that keep least ≤ matrix·move ≤ most, of as few people as little as can be."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    count = len(size)
    one, nothing = np.eye(count), np.zeros_like(matrix)
    far = np.maximum(-low, high)
    found = milp(  # the second half of the variables: how far each class moves, in absolute value
        c=np.concatenate([np.zeros(count), size.astype(float)]),
        integrality=np.concatenate([np.ones(count), np.zeros(count)]),
        bounds=Bounds(np.concatenate([low, np.zeros(count)]), np.concatenate([high, far])),
        constraints=[
            LinearConstraint(np.hstack([matrix, nothing]), least, most),
            LinearConstraint(np.hstack([one, -one]), -np.inf, 0),
            LinearConstraint(np.hstack([-one, -one]), -np.inf, 0),
        ],
        options={"time_limit": _SECONDS, "mip_rel_gap": 0.5},
    )
    return None if found.x is None else np.rint(found.x[:count]).astype(np.int64)


def _limits(problem: Problem, sums: list[int], joint: Ints, size: Ints) -> tuple[Floats, Floats, Floats]:
    """(matrix, least, most): each row in whole numbers, as a constraint on how many steps each class moves."""
    rows, step = problem.rows, problem.grid.step
    matrix, least, most = [], [], []
    for terms, offset, limit in zip(rows.pattern.terms, rows.offsets, rows.epsilon, strict=True):
        people = {c: rows.cell_people[c] for c, _ in terms}
        common = math.lcm(*people.values(), *(Fraction(factor).denominator for _, factor in terms))
        now, effect = Fraction(0), np.zeros(len(rows.people))
        for c, factor in terms:
            weight = Fraction(factor) * common / people[c]
            now += weight * sum(sums[j] for j in rows.pattern.members[c])
            effect[rows.pattern.members[c]] += float(weight)
        target, reach = offset * common / step - now, limit * common / step
        matrix.append(effect[joint] * size)
        least.append(float(math.ceil(target - reach)))
        most.append(float(math.floor(target + reach)))
    return np.array(matrix), np.array(least), np.array(most)


def _chosen(joint: Ints, size: Ints) -> Ints:
    """The smallest classes of each joint cell: they adjust its mean most finely."""
    cells = np.unique(joint)
    each = max(2, _MOST // len(cells))
    order = np.argsort(size, kind="stable")
    return np.concatenate([order[joint[order] == j][:each] for j in cells])


def _classes(problem: Problem) -> tuple[Ints, Ints, Ints]:
    """(a member of each class of identical people, everybody's class, its size)."""
    keys = np.stack([problem.joint.astype(np.float64), problem.scores], axis=1)
    _, firsts, member, size = np.unique(keys, axis=0, return_index=True, return_inverse=True, return_counts=True)
    return firsts, member.reshape(-1), size
