"""Repair that changes as few decisions as possible, against all choices of sides, each by a linear program of SciPy's.

A side for every flip set, then the last layer that is nearest to the network's own and puts all of them there: no other
solver, no cuts, no choice of points.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("pulp", reason="PuLP is absent: it writes the program")
pytest.importorskip("highspy", reason="HiGHS is absent: it solves the program")
from scipy.optimize import linprog

from certifair.repair import _flips, _last_layer
from certifair.repair._last_layer import with_last_layer
from certifair.repair._tuning import Examples
from certifair.repair.base import Task
from certifair.repair.finite import Finite
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import layers_of
from certifair.spec.network import Activation, Affine, Network
from tests.individual.row_cases import flip_set
from tests.repair.finite_cases import check_proved, decided, single, soon

DOMAIN = Domain(
    "few",
    (
        Feature("a", "integer", 0, 9),
        Feature("b", "integer", 0, 4, eps=1),
        Feature("sex", "integer", 0, 1, sensitive=True),
    ),
)
LITTLE, MUCH = 2e-7, 1e-5
"""Margins: that of the program is between them."""


def drawn(seed):
    """A network with two or three hidden neurons, and six rows."""
    random = np.random.default_rng([seed, 3])
    hidden = 2 + seed % 2
    steps = (
        Affine(0, single((hidden, 3), [seed, 1]), single(hidden, [seed, 2])),
        Activation(1, "relu"),
        Affine(2, single((1, hidden), [seed, 3]), single(1, [seed, 4])),
    )
    rows = np.column_stack([random.integers(0, 10, 6), random.integers(0, 5, 6), random.integers(0, 2, 6)])
    return Network(3, steps, 3), rows.astype(np.float64)


def problem_of(net, rows, wanted):
    known = np.ones(len(rows), dtype=np.bool_)
    return _last_layer._Problem.of(Task(net, DOMAIN, rows), net, 2, Examples(rows, wanted), known, soon())


def cost(problem, net, rows, wanted):
    """People who are decided otherwise, and a little for how far all weights move: what the program's objective is."""
    moves = _last_layer.LITTLE / problem.reach.sum() * problem.moves(net)
    return (decided(net, rows) != (wanted > 0)).sum() + moves


def cheapest(problem, net, rows, wanted, margin):
    """The least cost of all choices of sides; infinite where no choice has a last layer."""
    layers, n = layers_of(net), len(problem.start)
    h = [np.unique(_flips.hidden(layers, flip_set(DOMAIN, row), len(layers.layers) - 1), axis=0) for row in rows]
    points = [np.column_stack([part / problem.scale, np.ones(len(part))]) for part in h]
    near = np.block([[np.eye(n), -np.eye(n)], [-np.eye(n), -np.eye(n)]])
    bounds = [*zip(problem.start - problem.reach, problem.start + problem.reach, strict=True), *[(0, None)] * n]
    objective, least = np.append(np.zeros(n), np.ones(n)), np.inf
    for sides in itertools.product([1.0, -1.0], repeat=len(rows)):
        signed = np.concatenate([-side * part for side, part in zip(sides, points, strict=True)])
        matrix = np.vstack([np.hstack([signed, np.zeros_like(signed)]), near])
        limits = np.concatenate([np.full(len(signed), -margin), problem.start, -problem.start])
        found = linprog(objective, matrix, limits, bounds=bounds)
        if found.success:
            wrong = ((np.array(sides) > 0) != (wanted > 0)).sum()
            least = min(least, wrong + _last_layer.LITTLE / problem.reach.sum() * found.fun)
    return least


@pytest.mark.parametrize("seed", [2, 3, 5, 7, 9, 70, 258, 569])
def test_no_last_layer_is_cheaper(seed):
    net, rows = drawn(seed)
    wanted = decided(net, rows) * 1.0
    task = Task(net, DOMAIN, rows, objective="change", deadline=soon(20))
    found, why = with_last_layer(task, net, Examples(rows, wanted), np.ones(6, dtype=np.bool_), soon(20))
    problem = problem_of(net, rows, wanted)
    least, surely = (cheapest(problem, net, rows, wanted, margin) for margin in (LITTLE, MUCH))
    if found is None:
        assert surely == np.inf, why
        return
    check_proved(found, DOMAIN, rows)
    assert least - 1e-6 <= cost(problem, found, rows, wanted) <= surely + 1e-6
    assert surely < least + 1e-4
    repaired = Finite().repair(task).network
    assert repaired is not None
    assert (decided(repaired, rows) != (wanted > 0)).sum() <= (decided(found, rows) != (wanted > 0)).sum()
