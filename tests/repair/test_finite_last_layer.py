"""Another last layer: the best fair one there is, or a reason."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

pytest.importorskip("pulp", reason="PuLP is absent: it writes the program")
pytest.importorskip("highspy", reason="HiGHS is absent: it solves the program")
from scipy.optimize import linprog

from certifair.repair import _flips, _last_layer, _solvers
from certifair.repair._last_layer import with_last_layer
from certifair.repair._numbers import is_single
from certifair.repair._tuning import Examples
from certifair.repair.base import Task
from certifair.repair.zeroing import pinned
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import layers_of
from certifair.spec.network import Affine, Network
from tests.individual.row_cases import flip_set
from tests.repair.finite_cases import COLUMNS, DOMAIN, RACE, A, B, check_proved, decided, network, people, single, soon


def last_layer(net, domain, rows, targets, seconds=20.0):
    known = Examples(rows, targets)
    task, counted = Task(net, domain, rows, targets), np.ones(len(rows), dtype=np.bool_)
    return with_last_layer(task, net, known, counted, soon(seconds))


def least_wrong(net, domain, rows, targets):
    """The fewest wrong rows of any fair last layer within the bounds: a linear program for each choice of sides."""
    depth = len(layers_of(net).layers) - 1
    layers = layers_of(net)
    h = [np.unique(_flips.hidden(layers, flip_set(domain, row), depth), axis=0) for row in rows]
    known = np.ones(len(rows), dtype=np.bool_)
    problem = _last_layer._Problem.of(Task(net, domain, rows), net, 2, Examples(rows, targets), known, soon())
    bounds = list(zip(problem.start - problem.reach, problem.start + problem.reach, strict=True))
    for wrong in range(len(rows) + 1):
        for flipped in itertools.combinations(range(len(rows)), wrong):
            sides = [1 if (t > 0) != (i in flipped) else -1 for i, t in enumerate(targets)]
            left = [-s * np.column_stack([p / problem.scale, np.ones(len(p))]) for s, p in zip(sides, h, strict=True)]
            matrix = np.concatenate(left)
            if linprog(np.zeros(len(bounds)), matrix, np.full(len(matrix), -1e-4), bounds=bounds).success:
                return wrong
    return None


@pytest.mark.parametrize("seed", [0, 4, 8, 12])
def test_no_fair_last_layer_is_right_about_more_rows(seed):
    net, rows = network(seed, hidden=4), people(8, seed)
    targets = np.random.default_rng(seed).integers(0, 2, 8) * 1.0
    found, why = last_layer(net, DOMAIN, rows, targets)
    assert found is not None, why
    check_proved(found, DOMAIN, rows)
    assert (decided(found, rows) != (targets > 0)).sum() == least_wrong(net, DOMAIN, rows, targets)


def test_only_the_last_layer_changes():
    net, rows = network(3), people(60)
    found, _ = last_layer(net, DOMAIN, rows, decided(net, rows) * 1.0)
    assert found is not None
    assert found.steps[:2] == net.steps[:2]
    assert isinstance(found.steps[2], Affine)
    assert is_single(found.steps[2].weight)


def test_what_is_fair_already_stays_as_it_is():
    net, rows = pinned(network(), COLUMNS, np.ones(4)), people(50)
    found, _ = last_layer(net, DOMAIN, rows, decided(net, rows) * 1.0)
    assert found is net


def test_a_program_that_cannot_be_written_or_solved_says_why():
    net, rows = network(), people(30)
    line = Domain("line", (A, Feature("age", "continuous", 1, 5, sensitive=True), RACE, B))
    targets = decided(net, rows) * 1.0
    assert last_layer(net, line, rows, targets) == (None, "flip sets are not finite, or too large")
    found, why = last_layer(net, DOMAIN, rows, targets, seconds=0.0)
    assert found is None
    assert "no time was left for a program" in why
    two = Network(6, (*net.steps[:2], Affine(2, single((2, 7), 1), single(2, 2))), 3)
    found, why = last_layer(two, DOMAIN, rows, targets)
    assert found is None
    assert "affine" in why


def test_without_pulp_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pulp", None)
    found, why = last_layer(network(), DOMAIN, people(30), np.ones(30))
    assert found is None
    assert "needs pulp" in why


def test_a_solver_that_fails_is_a_reason(monkeypatch):
    def fails(relaxed, seconds):
        raise ValueError("no licence")

    monkeypatch.setattr(_solvers, "_highs", lambda pulp: _solvers.Solver("HiGHS", fails))
    found, why = last_layer(network(), DOMAIN, people(30), np.ones(30))
    assert found is None
    assert why == "HiGHS: the solver failed (ValueError: no licence)"


@pytest.mark.parametrize("first", [1, 3, 500])
def test_however_few_flip_sets_are_looked_at_first_all_are_fair(monkeypatch, first):
    monkeypatch.setattr(_last_layer, "FIRST", first)
    net, rows = network(3), people(30)
    targets = decided(net, rows) * 1.0
    found, _ = last_layer(net, DOMAIN, rows, targets)
    assert found is not None
    check_proved(found, DOMAIN, rows)


def test_people_with_one_flip_set_count_as_many_as_they_are():
    """Two flip sets that cannot both be right, as h is the same for both: the one with more people is."""
    steps = (Affine(0, np.array([[0.0, 1, 0, 0, 0, 0]]), np.zeros(1)), Affine(1, np.ones((1, 1)), -3 * np.ones(1)))
    net = Network(6, steps, 2)
    rows = people(7)
    rows[:, 0], rows[:, 5] = [1, 1, 1, 1, 2, 2, 2], 0.0
    for targets in ([1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1]):
        found, _ = last_layer(net, DOMAIN, rows, np.array(targets) * 1.0)
        assert found is not None
        check_proved(found, DOMAIN, rows)
        assert decided(found, rows).tolist() == [sum(targets) > 3] * 7
    targets = np.array([1.0, 1, 0, 0, 0, 0, 0])
    found, _ = with_last_layer(Task(net, DOMAIN, rows), net, Examples(rows, targets), targets > 0, soon())
    assert found is not None
    assert decided(found, rows).all()


def test_a_program_that_grows_too_large_ends_the_search(monkeypatch):
    net, rows = network(3), people(60)
    _, why = last_layer(net, DOMAIN, rows, decided(net, rows) * 1.0)
    assert " 1 programs" not in why
    monkeypatch.setattr(_last_layer, "MOST_SETS", 3)
    monkeypatch.setattr(_last_layer, "ENTERING", 3)
    found, why = last_layer(net, DOMAIN, rows, decided(net, rows) * 1.0)
    assert " 1 programs over 3 flip sets" in why
    if found is not None:
        check_proved(found, DOMAIN, rows)
