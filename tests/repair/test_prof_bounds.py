"""ProF's bounds over flip sets: those that the program stands on, and those that fine-tuning narrows."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np
import pytest
import torch

from certifair.repair._bands import FlipSets, bands_of
from certifair.repair._fine_tuning import Tuning, fine_tuned
from certifair.repair._numbers import is_single
from certifair.repair._widths import Bounds, values
from certifair.repair.base import Array
from certifair.repair.prof import decisions, head_of
from certifair.spec.layers import layers_of
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, Network, Scale, Sum
from tests.repair.prof_cases import FLIPPED, PEOPLE, SCALES, bands_and_head, evaluated, network, people, single


@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "tanh"])
def test_the_last_hidden_layer_is_within_its_bounds_over_the_flip_set(kind: str) -> None:
    rng = np.random.default_rng(1)
    net = network(rng, [7, 9, 6, 1], SCALES, kind)
    rows = people(rng, 12)
    bands, head = bands_and_head(net, PEOPLE, rows)
    hidden = Network(7, net.steps[:-1], len(net.steps) - 1)
    bias = head.bias + 4.0
    sides = bands.sides(head.weight, bias)
    for row, x in enumerate(rows):
        points = np.repeat(x[None], 200, axis=0)
        points[:, 1] = np.clip(x[1] + rng.integers(-1, 2, 200), 0, 40)
        points[:, 2] = rng.integers(0, 2, 200)
        points[:, 3:6] = np.eye(3)[rng.integers(0, 3, 200)]
        points[:, 6] = rng.choice([18.0, 80.0, 50.0], 200)
        half = bands.sets.half[row]
        t = np.where(half > 0, (points[:, [1, 2, 6]] - bands.sets.middle[row, [1, 2, 6]]) / np.where(half, half, 1), 0)
        free = np.concatenate([t, points[:, 3:6]], axis=1)
        h = evaluated(hidden, points)
        assert (h >= bands.low.at[row] + free @ bands.low.slope[row].T - 1e-9).all()
        assert (h <= bands.high.at[row] + free @ bands.high.slope[row].T + 1e-9).all()
        f = h @ head.weight + bias
        assert sides[row] == 0 or ((f > 0) == (sides[row] > 0)).all()
    assert (sides != 0).any()


def test_a_neuron_that_does_not_bend_has_no_gap() -> None:
    rng = np.random.default_rng(2)
    net = Network(
        2, (Affine(0, np.eye(2), np.full(2, 20.0)), Activation(1, "relu"), Affine(2, np.ones((1, 2)), np.zeros(1))), 3
    )
    rows = np.column_stack([rng.integers(-9, 10, 5), np.zeros(5)]).astype(float)
    bands, _ = bands_and_head(net, FLIPPED, rows)
    np.testing.assert_array_equal(bands.low.at, bands.high.at)
    np.testing.assert_array_equal(bands.low.slope, bands.high.slope)
    assert bands.sides(np.array([0.0, 1.0]), -20.0 - 1e-2).tolist() == [0.0] * 5
    assert bands.sides(np.array([0.0, 1.0]), -20.0 + 1e-2).tolist() == [1.0] * 5


def test_fine_tuning_narrows_the_bounds_and_keeps_the_decisions() -> None:
    rng = np.random.default_rng(3)
    net = network(rng, [2, 12, 8, 1], np.ones(2))
    rows = np.column_stack([rng.normal(size=300), rng.integers(0, 2, 300)])
    labels = (rows[:, 0] > 0).astype(np.float64)
    sets = FlipSets.of(FLIPPED, rows[:60])
    tuning = Tuning(rows, labels, sets.ends(), 200, time.monotonic() + 60)
    tuned = fine_tuned(net, head_of(net), tuning)

    def width(some: Network) -> Array:
        bands = bands_of(layers_of(some), sets)
        return (-sets.least(bands.high.negative()) - sets.least(bands.low)).sum(axis=1)

    assert (width(tuned) / width(net)).mean() < 0.5
    assert (decisions(layers_of(tuned), rows) == labels).mean() > 0.9
    assert all(is_single(step.weight) and is_single(step.bias) for step in tuned.steps if isinstance(step, Affine))
    assert np.array_equal(evaluated(fine_tuned(net, head_of(net), tuning), rows), evaluated(tuned, rows))
    late = fine_tuned(net, head_of(net), dataclasses.replace(tuning, end=time.monotonic()))
    assert np.array_equal(evaluated(late, rows), evaluated(net, rows))


def test_the_bounds_that_fine_tuning_narrows_are_those_of_the_program() -> None:
    rng = np.random.default_rng(5)
    net = network(rng, [2, 9, 1], np.ones(2), "leaky_relu")
    sets = FlipSets.of(FLIPPED, np.column_stack([rng.integers(-9, 10, 30), np.zeros(30)]).astype(float))
    bounds = tuning_bounds(net, sets.ends())
    bands = bands_of(layers_of(net), sets)
    widths = (-sets.least(bands.high.negative()) - sets.least(bands.low)).sum(axis=1)
    assert widths.min() > 0.1
    np.testing.assert_allclose(bounds.width(2).numpy(), widths, rtol=1e-12)


def tuning_bounds(net: Network, ends: tuple[Array, Array]) -> Any:
    leaves = {
        k: (torch.from_numpy(step.weight), torch.from_numpy(step.bias))
        for k, step in enumerate(net.steps)
        if isinstance(step, Affine)
    }
    return Bounds(net, leaves, *map(torch.from_numpy, ends), math.inf)


def test_the_bounds_that_fine_tuning_narrows_hold_through_every_step() -> None:
    rng = np.random.default_rng(6)
    affine = [Affine(k, single(rng.normal(size=(4, n))), single(rng.normal(size=4))) for k, n in ((0, 3), (2, 4))]
    factors = [single(rng.normal(size=4)) for _ in range(5)]
    last = Affine(10, np.ones((1, 12)), np.zeros(1))
    steps = (
        affine[0],
        Activation(1, "leaky_relu", -0.25),
        affine[1],
        Sum((1, 3, 3)),
        Activation(4, "leaky_relu", 1.5),
        Scale(5, factors[0], np.full(4, 2.0), factors[1]),
        Activation(6, "tanh"),
        BatchNorm(7, factors[2], factors[3] ** 2, 1e-5, factors[4], factors[0]),
        Activation(8, "relu"),
        Concat((9, 2, 6)),
        last,
    )
    net = Network(3, steps, 11)
    low = rng.normal(size=(20, 3))
    high = low + rng.uniform(0, 1, (20, 3)) * [1.0, 0.0, 0.5]
    bounds = tuning_bounds(net, (low, high))
    relaxed = bounds.relaxed(10)
    for slot in range(11):
        least, most = (end.detach().numpy() for end in bounds.ends(slot, relaxed))
        for _ in range(50):
            points = torch.from_numpy(low + rng.uniform(0, 1, low.shape) * (high - low))
            found = values(net, bounds.parameters, slot, points).detach().numpy()
            assert (least - 1e-9 <= found).all()
            assert (found <= most + 1e-9).all()


@pytest.mark.parametrize("slope", [-0.25, 0.0, 0.5, 1.5])
def test_one_neurons_bounds_are_its_values(slope: float) -> None:
    low, high = np.array([[-1.0], [-2.0], [1.0], [-3.0]]), np.array([[2.0], [1.0], [2.0], [-1.0]])
    bounds = tuning_bounds(Network(1, (Activation(0, "leaky_relu", slope),), 1), (low, high))
    least, most = (end.numpy() for end in bounds.ends(1, bounds.relaxed(1)))
    z = np.linspace(low, high, 31)
    found = np.where(z >= 0, z, slope * z)
    assert (least <= found + 1e-12).all()
    assert (most >= found - 1e-12).all()
    assert (np.minimum(most - found.max(axis=0), found.min(axis=0) - least) < 1e-12).all()
