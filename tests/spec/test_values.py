"""Values in floats are those of the network, within the bound that ball arithmetic proves of them."""

from __future__ import annotations

import numpy as np
import pytest

from certifair.checks._forward import evaluate
from certifair.spec.network import KINDS, Activation, Affine, Network, Step
from certifair.spec.values import slots, values
from tests.spec.lipschitz_cases import random_network

SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_values_lie_within_the_proven_bound(seed: int) -> None:
    network = random_network(seed)
    points = np.random.default_rng(seed).normal(size=(30, network.inputs))
    found, proven = values(network, points), evaluate(network, points)
    assert found.shape == (30, network.outputs)
    assert (np.abs(found - proven.mid) <= 2 * proven.rad).all()


def test_every_step_was_among_them() -> None:
    steps = [step for seed in SEEDS for step in random_network(seed).without_unused().steps]
    assert {type(step) for step in steps} == set(Step.__args__)
    assert {step.kind for step in steps if isinstance(step, Activation)} == set(KINDS)


def test_a_softplus_above_its_threshold_is_the_identity() -> None:
    network = Network(1, (Activation(0, "softplus", threshold=20.0),), 1)
    found = values(network, np.array([[20.0], [20.5], [-800.0]]))
    assert found[1, 0] == 20.5
    assert found[0, 0] == 20.0 + np.log1p(np.exp(-20.0))
    assert found[2, 0] == 0.0


def test_slots_up_to_one() -> None:
    network = random_network(3)
    points = np.random.default_rng(0).normal(size=(5, network.inputs))
    everything = slots(network, points)
    assert [slot.shape for slot in everything] == [(5, width) for width in network.widths]
    some = slots(network, points, 2)
    assert len(some) == 3
    np.testing.assert_array_equal(some[2], everything[2])
    np.testing.assert_array_equal(values(network, points), everything[network.output])


def test_values_are_those_of_the_output_wherever_it_is() -> None:
    steps = (Affine(0, np.array([[2.0]]), np.zeros(1)), Affine(1, np.array([[3.0]]), np.zeros(1)))
    assert [values(Network(1, steps, output), np.ones((1, 1)))[0, 0] for output in range(3)] == [1, 2, 6]


def test_beyond_float64_nothing_is_said_and_nothing_is_warned_of() -> None:
    network = Network(1, (Affine(0, np.array([[1e308]]), np.zeros(1)), Affine(1, np.array([[1e308]]), np.zeros(1))), 2)
    assert values(network, np.array([[10.0]]))[0, 0] == np.inf
