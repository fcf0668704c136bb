"""A solver that fails, in whatever way, has failed: in its words, and without taking away what a repair has already."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is absent: it tunes")
pytest.importorskip("pulp", reason="PuLP is absent: it writes the program")
pytest.importorskip("highspy", reason="HiGHS is absent: it solves the program")

import pulp

from certifair.repair._solvers import answer, solvers
from certifair.repair.base import Task
from certifair.repair.finite import Finite
from certifair.repair.prof import Prof
from certifair.spec.network import Activation, Affine, Network
from tests.repair.finite_cases import right
from tests.repair.prof_cases import FLIPPED, fair

FAILURES = (
    RuntimeError, KeyError, TypeError, AttributeError, AssertionError, SystemError, MemoryError, ZeroDivisionError,
    ValueError, OSError,
)  # fmt: skip
STEPS = (
    Affine(0, np.array([[1.0, 2.0], [-1.0, 1.0]]), np.array([-3.0, 3.0])),
    Activation(1, "relu"),
    Affine(2, np.array([[1.0, -0.5]]), np.array([-0.25])),
)
ROWS = np.column_stack([np.arange(-9, 10), np.arange(-9, 10) % 2]).astype(np.float64)
WANTED = (ROWS[:, 0] > 2) * 1.0


def check_failed(words):
    task = Task(Network(2, STEPS, 3), FLIPPED, ROWS, WANTED, deadline=time.monotonic() + 60)
    found = Finite().repair(task)
    assert found.network is not None
    assert words in found.reason
    assert right(found.network, ROWS, WANTED) == 1.0
    assert (fair(found.network, FLIPPED, ROWS) == 1).all()
    tried = Prof(epochs=0).repair(task)
    assert (tried.network, tried.status) == (None, "failed")
    assert tried.reason.count(words) == 2


@pytest.mark.parametrize("failure", FAILURES)
def test_any_exception_is_the_solvers_failure(monkeypatch, failure):
    def fails(*_, **__):
        raise failure("out of cheese")

    monkeypatch.setattr(pulp.LpProblem, "solve", fails)
    check_failed(f"the solver failed ({failure.__name__}: ")


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_an_optimum_that_is_no_number_is_none(monkeypatch, number):
    solve = pulp.LpProblem.solve

    def lies(self, *args, **options):
        solve(self, *args, **options)
        for variable in self.variables():
            variable.varValue = number
        self.status = self.sol_status = 1

    monkeypatch.setattr(pulp.LpProblem, "solve", lies)
    check_failed("the solver failed (Optimal, Optimal Solution Found, with values that are not finite)")


def test_whoever_interrupts_is_heard(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pulp.LpProblem, "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        answer(pulp.LpProblem("p"), solvers("highs")[0].make, 1.0)
