"""Why a batch has no answer: weights of rows that contradict the box, found by a linear program, confirmed exactly."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

import numpy as np

from certifair.exact.farkas import contradiction
from certifair.layer.rows import Rows
from certifair.layer.solvers.base import Floats

Box = tuple[Fraction, Fraction]


def find_conflict(
    rows: Rows, box: Box, candidates: Iterable[Floats] = (), *, search: bool = True
) -> Mapping[str, Fraction] | None:
    """Weights by row name that prove the rows infeasible; None where no proof was found.

    Tried are the candidates (K,), each row alone, and, if `search`, what a linear program proposes. Differences of
    means can always be met, by one prediction for everybody: then there is nothing to look for.
    """
    if not rows.offset_floats.any() and not rows.pattern.factors.sum(axis=1).any():
        return None
    alone = (sign * line for line in np.eye(len(rows)) for sign in (1.0, -1.0))
    for weights in itertools.chain(candidates, alone, _least_violation(rows, box) if search else ()):
        if confirmed := _confirm(rows, box, weights):
            return confirmed
    return None


def _least_violation(rows: Rows, box: Box) -> Iterator[Floats]:
    """The multipliers of the linear program that makes the largest excess of a row as small as the box allows."""
    from scipy.optimize import linprog

    k, cells = len(rows), rows.matrix.shape[1]
    width = float(box[1] - box[0])
    means = rows.matrix * rows.people
    # in box widths from its lower end, so that the program's own tolerances fit
    target = (rows.offset_floats - means.sum(axis=1) * float(box[0])) / width
    limit = rows.limits / width
    found = linprog(
        c=np.append(np.zeros(cells), 1.0),
        A_ub=np.hstack([np.vstack([means, -means]), -np.ones((2 * k, 1))]),
        b_ub=np.concatenate([limit + target, limit - target]),
        bounds=[(0, 1)] * cells + [(0, None)],
        method="highs",
    )
    if found.status == 0:
        yield found.ineqlin.marginals[k:] - found.ineqlin.marginals[:k]


def _confirm(rows: Rows, box: Box, weights: Floats) -> Mapping[str, Fraction] | None:
    """The candidate as a proof in rationals, without the rows that it does not need."""
    largest = float(np.abs(weights).max(initial=0.0))
    if not 0 < largest < np.inf:
        return None
    for least in (1e-6, 1e-12, 0.0):
        kept = np.where(np.abs(weights) > least * largest, weights / largest, 0.0)
        exact = [Fraction(float(w)) for w in kept]
        if contradiction(exact, _matrix(rows), rows.people.tolist(), rows.offsets, rows.epsilon, box) > 0:
            return {name: w for name, w in zip(rows.names, exact, strict=True) if w}
    return None


def _matrix(rows: Rows) -> list[list[Fraction]]:
    """A[k, i] of a person of each joint cell, exactly."""
    matrix = []
    for terms in rows.pattern.terms:
        line = [Fraction(0)] * len(rows.people)
        for c, factor in terms:
            for j in rows.pattern.members[c]:
                line[j] += Fraction(factor) / rows.cell_people[c]
        matrix.append(line)
    return matrix
