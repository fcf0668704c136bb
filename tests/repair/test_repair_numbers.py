"""What no network can hold is no candidate; what a network's file holds keeps its type."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is absent: it tunes")
pytest.importorskip("pulp", reason="PuLP is absent: it writes the program")
pytest.importorskip("highspy", reason="HiGHS is absent: it solves the program")

from certifair.repair import _last_layer, get
from certifair.repair._numbers import all_single, changed
from certifair.repair._solvers import Answer
from certifair.repair.base import Task
from certifair.repair.finite import Finite
from certifair.repair.prof import Prof
from certifair.repair.zeroing import pinned
from certifair.spec.domain import Domain, Feature
from certifair.spec.network import Activation, Affine, Network, Scale
from tests.repair.finite_cases import check_proved, soon

DOMAIN = Domain(
    "large",
    (
        Feature("income", "integer", 0, 20),
        Feature("sex", "integer", 0, 1, sensitive=True),
        Feature("age", "integer", 0, 100, sensitive=True),
    ),
)
ROWS = np.array([[i, i % 2, 30 + i] for i in range(20)], dtype=np.float64)
WANTED = (ROWS[:, 0] > 10) * 1.0
LARGEST = float(np.finfo(np.float32).max)


def network(first, last):
    inside = Affine(0, np.array([[1.0, 2.0, first], [1.0, 0.0, -first]]), np.array([first / 2, 1.0]))
    return Network(3, (inside, Activation(1, "relu"), Affine(2, np.array([[last, last / 2]]), np.array([-last]))), 3)


@pytest.mark.parametrize("first", [LARGEST, 1e100, 1e300])
def test_values_that_no_bias_can_hold_are_left_out(first):
    """The age of 100 would be 100 times the largest float32 number."""
    net = network(first, 1.0)
    if first == LARGEST:
        with pytest.raises(OverflowError, match="no network can hold"):
            pinned(net, [1, 2], np.array([0.0, 100.0]))
    for method in ("finite", "zeroing"):
        found = get(method).repair(Task(net, DOMAIN, ROWS, WANTED, deadline=soon()))
        assert found.network is not None
        check_proved(found.network, DOMAIN, ROWS)


@pytest.mark.parametrize(("first", "last"), [(1e100, 1.0), (1.0, 1e100)])
def test_prof_has_failed_where_no_float32_network_is_left(first, last):
    found = Prof(epochs=1).repair(Task(network(first, last), DOMAIN, ROWS, WANTED, deadline=time.monotonic() + 60))
    assert (found.network, found.status) == (None, "failed")
    assert "no network can hold" in found.reason


def test_a_last_layer_that_no_network_can_hold_is_not_taken(monkeypatch):
    def lies(program, make, seconds, **_):
        for variable in program.variables():
            variable.varValue = 1e300
        return Answer("Optimal", found=True)

    monkeypatch.setattr(_last_layer, "answer", lies)
    found = Finite().repair(Task(network(0.5, 1.0), DOMAIN, ROWS, WANTED, deadline=soon()))
    assert found.network is not None
    assert "no network can hold" in found.reason


def test_a_network_of_numbers_that_are_not_finite_is_none():
    net = network(1.0, 1.0)
    with pytest.raises(OverflowError):
        changed(net, (*net.steps[:2], Affine(2, np.array([[np.nan, 1.0]]), np.zeros(1))))


def test_a_float32_network_stays_one_whatever_it_starts_with():
    """The median of a continuous sensitive input is no float32 number, and shown before a Scale it is a bias."""
    scale = Scale(0, np.ones(2), np.array([2.0, 4.0]), np.zeros(2))
    net = Network(2, (scale, Affine(1, np.array([[1.0, 40.0]]), np.array([-0.75]))), 2)
    domain = Domain(
        "d", (Feature("income", "continuous", 0, 1), Feature("age", "continuous", 0, 0.125, sensitive=True))
    )
    rows = np.array([[0.1, 0.03], [0.9, 0.07], [0.8, 0.06], [0.7, 0.04], [0.2, 0.07]])
    found = Finite().repair(Task(net, domain, rows, (rows[:, 0] > 0.5) * 1.0, deadline=soon()))
    assert found.network is not None
    assert found.reason.startswith("shown (0.06)")
    assert all_single(found.network)
    wide = Network(2, (scale, Affine(1, np.array([[1.0, 0.1]]), np.array([-0.75]))), 2)
    first = pinned(wide, [1], np.array([0.06])).steps[0]
    assert isinstance(first, Affine)
    assert first.bias.tolist() == [0.0, 0.06]
