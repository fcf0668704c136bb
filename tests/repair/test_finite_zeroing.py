"""Where zeroing is fair on all rows, repair is as good, whatever is relaxed: bounds over boxes tell."""

from __future__ import annotations

import dataclasses
import itertools
import time
from fractions import Fraction

import numpy as np
import pytest

from certifair.individual import decision_of
from certifair.repair import _boxes, finite
from certifair.repair._boxes import unfair_because
from certifair.repair._flips import logits
from certifair.repair.base import Task
from certifair.repair.finite import Finite
from certifair.repair.zeroing import pinned
from certifair.spec.domain import Domain, Feature
from certifair.spec.network import Activation, Affine, Network
from tests.individual.row_cases import flip_set, people
from tests.repair.finite_cases import check_proved, decided, right, single, soon

SEX = Feature("sex", "integer", 0, 1, sensitive=True)
CONTINUOUS = Feature("income", "continuous", 0, 20, eps=0.1)
LARGE = Feature("income", "integer", 0, 100_000, eps=9000)


def line(half):
    return Network(2, (Affine(0, np.array([[1.0, half / 5]]), np.array([-half])),), 1)


@pytest.mark.parametrize("income", [CONTINUOUS, LARGE])
def test_what_is_relaxed_is_not_pinned_where_zeroing_is_fair(income):
    half = income.high / 2
    domain, rows = Domain("d", (income, SEX)), np.array([[share, 1.0] for share in (0.1, 0.2, 0.3, 0.7, 0.8, 0.9)])
    rows[:, 0] *= income.high
    wanted = (rows[:, 0] > half) * 1.0
    found = Finite().repair(Task(line(half), domain, rows, wanted, deadline=soon()))
    assert found.network is not None
    assert right(found.network, rows, wanted) == 1.0
    check_proved(found.network, domain, rows)
    assert found.reason.startswith("zeroing: 6 of 6")


def test_zeroing_that_is_not_fair_is_not_taken():
    domain, rows = Domain("d", (CONTINUOUS, SEX)), np.array([[9.95, 0.0], [1.0, 1.0], [19.0, 0.0]])
    found = Finite().repair(Task(line(10.0), domain, rows, np.array([0.0, 0.0, 1.0]), deadline=soon()))
    assert found.network is not None
    assert "zeroing: some row is decided in two ways" in found.reason
    check_proved(found.network, domain, rows)


def test_who_is_nobody_does_not_count():
    domain, rows = Domain("d", (CONTINUOUS, SEX)), np.array([[9.95, 0.5], [1.0, 1.0], [19.0, 0.0]])
    found = Finite().repair(Task(line(10.0), domain, rows, np.array([0.0, 0.0, 1.0]), deadline=soon()))
    assert found.reason.startswith("zeroing: 3 of 3")


def test_zeroing_is_not_lost_where_all_other_parts_take_too_long(monkeypatch):
    domain, rows = Domain("d", (CONTINUOUS, SEX)), people(Domain("d", (CONTINUOUS, SEX)), 300)
    rows = rows[np.abs(rows[:, 0] - 10) > 0.11]
    monkeypatch.setattr(finite, "with_last_layer", lambda *_: (None, time.sleep(0.6)))
    wanted = (rows[:, 0] > 10) * 1.0
    found = Finite().repair(Task(line(10.0), domain, rows, wanted, deadline=soon(0.5)))
    assert found.network is not None
    assert right(found.network, rows, wanted) == 1.0


# The bounds.

MOVING = Domain(
    "moving",
    (
        SEX,
        Feature("a", "integer", -3, 3),
        Feature("r", "integer", -4, 4, eps=2),
        Feature("t", "integer", 0, 5, eps=1),
        Feature("h", "one_hot", values=("u", "v")),
    ),
)


def network(seed, kind="relu", slope=0.0):
    """It reads no sex, and decides half of the people either way."""
    first = single((6, 6), [seed, 1])
    first[:, 0] = 0.0
    steps = (
        Affine(0, first, single(6, [seed, 2])),
        Activation(1, kind, slope),
        Affine(2, single((5, 6), [seed, 3]), single(5, [seed, 4])),
        Activation(3, kind, slope),
        Affine(4, single((1, 5), [seed, 5]), np.zeros(1)),
    )
    middle = np.median(logits(decision_of(Network(6, steps, 5)), people(MOVING, 40, seed)))
    return Network(6, (*steps[:4], Affine(4, steps[4].weight, np.array([-middle]))), 5)


@pytest.mark.parametrize(
    ("kind", "slope"), [("relu", 0.0), ("leaky_relu", 0.25), ("leaky_relu", -0.5), ("leaky_relu", 2.0), ("tanh", 0.0)]
)
def test_of_finite_flip_sets_the_bounds_tell_all(kind, slope):
    verdicts = []
    for seed in range(6):
        net = network(seed, kind, slope)
        for row in people(MOVING, 8, seed):
            fair = len(set(decided(net, flip_set(MOVING, row)).tolist())) == 1
            why = unfair_because(decision_of(net), MOVING, row[None], soon())
            assert why == (None if fair else "some row is decided in two ways")
            verdicts.append(fair)
    assert 8 < sum(verdicts) < 40


def test_of_continuous_ones_no_point_has_another_side():
    features = [dataclasses.replace(f, kind="continuous", eps=f.eps / 2) if f.eps else f for f in MOVING.features]
    domain, verdicts = Domain("continuous", tuple(features)), []
    for seed, row in itertools.product(range(4), range(10)):
        net, rows = network(seed), people(domain, 10, seed)[row : row + 1]
        sides = decided(net, flip_set(domain, rows[0], grid=41))
        why = unfair_because(decision_of(net), domain, rows, soon())
        assert (why is None) <= (len(set(sides.tolist())) == 1)
        verdicts.append(why)
    assert set(verdicts) == {None, "some row is decided in two ways"}
    assert 5 < verdicts.count(None) < 35


@pytest.mark.parametrize("level", [0.0, 2.0**-60, -(2.0**-60)])
def test_what_is_near_0_is_not_fair(level):
    """f = r − r + level, the first r as a sum of thirds: rounding decides."""
    first = np.array([[0, 0, 1 / 3, 0, 0, 0], [0, 0, 1.0, 0, 0, 0]])
    net = Network(6, (Affine(0, first, np.zeros(2)), Affine(1, np.array([[3.0, -1.0]]), np.array([level]))), 2)
    rows = people(MOVING, 1)
    rows[:, 2] = 3.0
    assert unfair_because(decision_of(net), MOVING, rows, soon()) == "f comes too near to 0 on some row"


def test_what_a_sum_of_many_terms_is_rounded_by_is_contained():
    weight, h = np.random.default_rng(1).normal(size=(4, 400)), np.random.default_rng(2).normal(size=(1, 400))
    layer = decision_of(
        Network(400, (Affine(0, weight, np.zeros(4)), Affine(1, np.ones((1, 4)), np.zeros(1))), 2)
    ).layers[0]
    at, _, error = _boxes._mixed(layer, h, np.zeros((1, 1, 400)), np.zeros((1, 400)))
    exact = [sum(Fraction(w) * Fraction(x) for w, x in zip(row, h[0], strict=True)) for row in weight]
    away = [abs(Fraction(found) - real) for found, real in zip(at[0], exact, strict=True)]
    assert max(away) > 0
    assert all(gap <= Fraction(limit) for gap, limit in zip(away, error[0], strict=True))


def test_bounds_end_at_their_deadline_or_at_the_last_box(monkeypatch):
    domain = Domain("d", (CONTINUOUS, SEX))
    net, rows = pinned(line(10.0), [1], np.zeros(1)), np.array([[10.1, 0.0]])
    assert unfair_because(decision_of(net), domain, rows, soon(0)) == "no time was left"
    monkeypatch.setattr(_boxes, "MOST", 1)
    assert unfair_because(decision_of(net), domain, rows, soon()) == "not settled by 3 boxes"
