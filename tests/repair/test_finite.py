"""Repair over finite flip sets: fair on every row, proved by the checker, and never worse than zeroing."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

pytest.importorskip("pulp", reason="PuLP is absent: it writes the program")
pytest.importorskip("highspy", reason="HiGHS is absent: it solves the program")

from certifair.repair import _first_layer, _flips, _tuning, finite
from certifair.repair._last_layer import with_last_layer
from certifair.repair._numbers import is_single
from certifair.repair._tuning import Examples
from certifair.repair.base import Task
from certifair.repair.finite import Finite
from certifair.repair.zeroing import pinned
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import layers_of
from certifair.spec.network import Activation, Affine, BatchNorm, Network, Scale
from tests.individual.row_cases import flip_set
from tests.repair.finite_cases import (
    COLUMNS,
    DOMAIN,
    RACE,
    RELAXED,
    A,
    B,
    check_proved,
    decided,
    labels,
    network,
    people,
    right,
    shorten,
    single,
    soon,
)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    shorten(monkeypatch)


@pytest.mark.parametrize("objective", ["accuracy", "change"])
@pytest.mark.parametrize("seed", [0, 10, 20])
def test_is_fair_and_not_worse_than_zeroing(objective, seed):
    net, rows = network(seed), people(200, seed)
    wanted = labels(rows)
    found = Finite().repair(Task(net, DOMAIN, rows, wanted, objective, deadline=soon())).network
    assert found is not None
    check_proved(found, DOMAIN, rows)
    layers = layers_of(found)
    for row in rows[:40]:
        assert len(set(_flips.logits(layers, flip_set(DOMAIN, row)) > 0)) == 1
    target = wanted if objective == "accuracy" else decided(net, rows) * 1.0
    for values in itertools.product(range(1, 6), np.eye(3).tolist()):
        other = pinned(net, COLUMNS, np.array([values[0], *values[1]]))
        assert right(found, rows, target) >= right(other, rows, target)
    assert right(found, rows, target) >= right(pinned(net, COLUMNS, np.zeros(4)), rows, target)


def test_all_its_weights_are_float32_numbers():
    rows = people(300)
    found = Finite().repair(Task(network(), DOMAIN, rows, labels(rows), deadline=soon())).network
    assert found is not None
    for step in found.steps:
        if isinstance(step, Affine):
            assert is_single(step.weight)
            assert is_single(step.bias)


def test_the_same_seed_gives_the_same_network(monkeypatch):
    monkeypatch.setattr(finite, "PROGRAM", 0.0)  # what is found within a time depends on the machine
    rows = people(150)
    first, again = (Finite().repair(Task(network(5), DOMAIN, rows, labels(rows), seed=3)).network for _ in range(2))
    assert first is not None
    assert again is not None
    for one, other in zip(first.steps, again.steps, strict=True):
        if isinstance(one, Affine) and isinstance(other, Affine):
            np.testing.assert_array_equal(one.weight, other.weight)


def test_a_last_layer_that_is_fair_but_worse_is_not_taken(monkeypatch):
    """Always positive: fair, and wrong about nearly everybody."""
    net, rows = network(), people(100)
    always = Network(6, (*net.steps[:2], Affine(2, np.zeros((1, 7)), np.ones(1))), 3)
    monkeypatch.setattr(finite, "with_last_layer", lambda *_: (always, "fair"))
    found = Finite().repair(Task(net, DOMAIN, rows, objective="change", deadline=soon())).network
    assert found is not None
    assert right(found, rows, decided(net, rows)) > right(always, rows, decided(net, rows))


def test_a_last_layer_that_is_better_than_zeroing_does_not_end_the_search(monkeypatch):
    net, rows = network(), people(100)
    wanted = decided(net, rows) * 1.0
    zeroed = right(pinned(net, COLUMNS, np.zeros(4)), rows, wanted)
    several = [pinned(net, COLUMNS, np.array([age, *hot])) for age in range(1, 6) for hot in np.eye(3).tolist()]
    others = sorted(several, key=lambda one: right(one, rows, wanted))
    others = [one for one in others if right(one, rows, wanted) > zeroed]
    assert right(others[0], rows, wanted) < right(others[-1], rows, wanted)
    monkeypatch.setattr(finite, "with_last_layer", lambda *_: (others[0], "fair"))
    found = Finite().repair(Task(net, DOMAIN, rows, objective="change", deadline=soon())).network
    assert found is not None
    assert right(found, rows, wanted) >= right(others[-1], rows, wanted)


def test_a_last_layer_that_fits_by_chance_is_not_taken(monkeypatch):
    """Always positive: right about all rows that a program sees, and about none of the others."""
    net, rows = network(), people(100)
    always = Network(6, (*net.steps[:2], Affine(2, np.zeros((1, 7)), np.ones(1))), 3)
    counted = []

    def program(task, network, examples, seen, until):
        counted.append(seen)
        return always, "fair"

    monkeypatch.setattr(finite, "with_last_layer", program)
    Finite().repair(Task(net, DOMAIN, rows, np.ones(100), deadline=soon(1)))
    wanted = counted[0] * 1.0
    assert wanted.sum() == 80
    found = Finite().repair(Task(net, DOMAIN, rows, wanted, deadline=soon(1))).network
    assert found is not None
    assert not decided(found, rows).all()


def test_the_values_that_do_best_on_some_rows_go_on(monkeypatch):
    net, rows = network(), people(400)
    wanted = decided(net, rows) * 1.0
    monkeypatch.setattr(_first_layer, "GLANCES", ((400, 3),))
    task, examples = Task(net, DOMAIN, rows), Examples(rows, wanted)
    values = _first_layer.best_values(task, COLUMNS, examples, soon())
    some = {tuple(value): right(pinned(net, COLUMNS, value), rows, wanted) for value in values}
    every = [
        right(pinned(net, COLUMNS, np.array([age, *hot])), rows, wanted) for age in range(1, 6) for hot in np.eye(3)
    ]
    assert sorted(some.values()) == sorted(every)[-3:]


def test_without_time_there_is_still_a_fair_network_and_soon():
    rows, began = people(2000), time.monotonic()
    found = Finite().repair(Task(network(), DOMAIN, rows, labels(rows), deadline=began))
    assert time.monotonic() - began < 1
    assert found.status == "done"
    check_proved(found.network, DOMAIN, rows)


def test_the_deadline_is_kept_where_every_part_of_it_would_take_longer(monkeypatch):
    """1000 flips of 20 000 rows; training and programs without any limit of their own."""
    for name in ("PROGRAM", "TUNING"):
        monkeypatch.setattr(finite, name, 1e6)
    monkeypatch.setattr(_tuning, "EPOCHS", 10_000)
    old = Feature("age", "integer", 1, 1000, sensitive=True)
    domain = Domain("long", (A, old, Feature("race", "one_hot", values=("x", "y", "z")), B))
    rows = people(20_000)
    net, wanted, began = network(hidden=40), labels(rows), time.monotonic()
    found = Finite().repair(Task(net, domain, rows, wanted, deadline=began + 1.5)).network
    assert time.monotonic() - began < 2.5
    assert found is not None
    assert right(found, rows, wanted) >= right(pinned(net, [1], np.zeros(1)), rows, wanted)


def test_relaxed_inputs_may_move_as_well():
    rows = people(120)
    found = Finite().repair(Task(network(), RELAXED, rows, labels(rows), deadline=soon())).network
    assert found is not None
    check_proved(found, RELAXED, rows)


def test_a_continuous_sensitive_input():
    line = Domain("line", (A, Feature("age", "continuous", 1, 5, sensitive=True), RACE, B))
    rows = people(200)
    found = Finite().repair(Task(network(), line, rows, labels(rows), deadline=soon()))
    assert found.network is not None
    check_proved(found.network, line, rows)
    assert "not finite" in found.reason


@pytest.mark.parametrize("first", ["scale", "norm"])
def test_networks_that_do_not_start_with_an_affine_step(first):
    shift, spread = single(6, 30), np.array([2.0, 1.0, 1.0, 2.0, 1.0, 64.0])
    start = Scale(0, np.ones(6), spread, shift) if first == "scale" else BatchNorm(0, shift, spread, 0.0, shift, shift)
    inner = network().steps
    net = Network(6, (start, *(type(s)(s.source + 1, *list(vars(s).values())[1:]) for s in inner)), 5)
    rows = people(300)
    found = Finite().repair(Task(net, DOMAIN, rows, labels(rows), deadline=soon())).network
    assert found is not None
    check_proved(found, DOMAIN, rows)


# Which layers change.


def summed(weights, ahead):
    """a and age, both as they are and negative, into `weights`; `ahead` (4, 6) adds inputs up before."""
    first = Affine(0, np.array(ahead, dtype=np.float64), np.zeros(4))
    return Network(6, (first, Activation(1, "relu"), Affine(2, np.array([weights]), np.array([-0.25]))), 3)


def test_the_last_layer_alone_changes_where_no_fair_network_is_better():
    """f = a + age/8 − 1/4: unfair for a = 0 alone, where ages of 3 to 5 are positive, and most people's. With another
    weight of the age in the last layer and another bias all of these are, and no fair network changes fewer.
    """
    ahead = [[1, 0, 0, 0, 0, 0], [-1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, -1, 0, 0, 0, 0]]
    net, rows = summed([1.0, -1.0, 0.125, 0.0], ahead), people(300)
    rows[:60, 0], rows[:, 5] = 0, 0
    found = Finite().repair(Task(net, DOMAIN, rows, objective="change", deadline=soon()))
    assert found.network is not None
    assert found.network.steps[:2] == net.steps[:2]
    assert "first layer" not in found.reason
    check_proved(found.network, DOMAIN, rows)
    changed = decided(found.network, rows) != decided(net, rows)
    np.testing.assert_array_equal(changed, (rows[:, 0] == 0) & (rows[:, 1] <= 2))


def test_earlier_layers_change_where_the_last_one_cannot_do():
    """All hidden neurons read a + age, so that a last layer is fair only if it is nearly the same for all."""
    ahead = np.outer([1, -1, 1, -1], [1, 1, 0, 0, 0, 0])
    net, rows = summed([1.0, -1.0, 0.0, 0.0], ahead), people(300)
    wanted = (rows[:, 0] > 0) * 1.0
    found = Finite().repair(Task(net, DOMAIN, rows, wanted, deadline=soon()))
    assert found.network is not None
    assert isinstance(found.network.steps[0], Affine)
    assert not found.network.steps[0].weight[:, COLUMNS].any()
    check_proved(found.network, DOMAIN, rows)
    assert found.reason.index("last layer") < found.reason.index("first layer")
    alone, _ = with_last_layer(Task(net, DOMAIN, rows), net, Examples(rows, wanted), np.ones(300, np.bool_), soon(1))
    assert right(found.network, rows, wanted) > 0.85
    assert alone is None or right(alone, rows, wanted) < right(found.network, rows, wanted)


def test_what_is_fair_and_right_already_stays_as_it_is():
    net, rows = pinned(network(), COLUMNS, np.ones(4)), people(50)
    for objective in ("accuracy", "change"):
        found = Finite().repair(Task(net, DOMAIN, rows, decided(net, rows) * 1.0, objective, deadline=soon()))
        assert found.network is net
