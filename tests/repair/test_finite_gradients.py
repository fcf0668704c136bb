"""f and its derivative by the weights, against exact arithmetic and against differences."""

from __future__ import annotations

import numpy as np
import pytest

from certifair.errors import InputError
from certifair.repair._gradients import Adam, Weights, backward, forward, logit
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Sum
from tests.oracles import layers_oracle as oracle
from tests.repair.finite_cases import single


def affine(source, outputs, inputs, seed):
    return Affine(source, single((outputs, inputs), seed), single(outputs, seed + 1))


def everything(outputs):
    """Every kind of step, and a slot that is read twice."""
    steps = (
        Scale(0, single(3, 1), np.array([2.0, 1.0, 4.0]), single(3, 2)),
        affine(1, 4, 3, 3),
        Activation(2, "relu"),
        BatchNorm(3, single(4, 5), np.abs(single(4, 6)) + 0.5, 0.25, single(4, 7), single(4, 8)),
        affine(4, 4, 4, 9),
        Activation(5, "leaky_relu", 0.25),
        Sum((3, 6)),
        affine(0, 2, 3, 11),
        Activation(8, "tanh"),
        Concat((7, 9)),
        affine(10, 3, 6, 13),
        Activation(11, "sigmoid"),
        affine(12, outputs, 3, 15),
    )
    return Network(3, steps, 13)


def weights_of(network):
    pairs = {k: (step.weight, step.bias) for k, step in enumerate(network.steps) if isinstance(step, Affine)}
    return Weights.of(pairs)


@pytest.mark.parametrize("outputs", [1, 2])
def test_f_is_that_of_the_network(outputs):
    network, points = everything(outputs), single((5, 3), 20)
    value = logit(network, forward(network, weights_of(network), points))
    for point, found in zip(points, value, strict=True):
        exact = oracle.outputs(network, oracle.fractions(point))
        assert found == pytest.approx(float(exact[-1] - (exact[0] if outputs == 2 else 0)), rel=1e-12)


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_derivative_is_that_of_differences(outputs):
    network, points, by = everything(outputs), single((5, 3), 20), single(5, 21)
    weights = weights_of(network)
    found = backward(network, weights, forward(network, weights, points), by).flat
    for number in range(len(weights.flat)):
        ends = []
        for sign in (1.0, -1.0):
            other = Weights.of(weights.pairs)
            other.flat[number] += sign * 1e-6
            ends.append(float(by @ logit(network, forward(network, other, points))))
        assert found[number] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


def test_what_has_no_derivative_here_is_refused():
    network = Network(3, (LayerNorm(0, 1.0, np.ones(3), np.zeros(3)), affine(1, 1, 3, 0)), 2)
    with pytest.raises(InputError, match="LayerNorm is not trained"):
        forward(network, weights_of(network), np.ones((2, 3)))


def test_adam_is_as_published():
    """Both means are sums over all steps so far, divided by the sum of their weights."""
    flat, adam = single(6, 30), Adam(6)
    expected, slopes = flat.copy(), [single(6, 31 + step) for step in range(20)]
    for step, slope in enumerate(slopes):
        means = []
        for keep, power in ((0.9, 1), (0.999, 2)):
            weights = keep ** np.arange(step, -1.0, -1.0)
            means.append(np.average([g**power for g in slopes[: step + 1]], axis=0, weights=weights))
        expected -= 0.03 * means[0] / (np.sqrt(means[1]) + 1e-8)
        adam.step(flat, slope, 0.03)
    np.testing.assert_allclose(flat, expected, rtol=1e-9)
