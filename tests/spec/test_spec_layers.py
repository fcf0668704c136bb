from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from certifair.spec import _step_layers
from certifair.spec.layers import layers_of
from certifair.spec.network import (
    Activation,
    Affine,
    BatchNorm,
    Concat,
    Kind,
    LayerNorm,
    Network,
    Scale,
    Step,
    Sum,
)
from tests.oracles import layers_oracle as oracle
from tests.spec.layer_cases import (
    NONE,
    affine,
    chain,
    one,
    points,
    random_network,
    scaled,
)


def test_the_layers_decide_as_the_network_does() -> None:
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(400):
        network = random_network(rng, norms=False)
        layers = layers_of(network)
        assert layers.piecewise_linear
        for x in map(oracle.fractions, points(rng, network)):
            found = oracle.decision(layers, x)
            error = oracle.real_error(layers, x)
            assert layers.exact <= (error == 0)
            if layers.exact or abs(found) > error:
                assert oracle.positive(network, x) in (found > 0, None)
            seen.add((layers.exact, found > 0, network.outputs))
    assert len(seen) == 8


def test_curves_decide_as_the_network_does() -> None:
    rng = np.random.default_rng(6)
    curved = 0
    for _ in range(150):
        network = random_network(rng, kinds=("sigmoid", "tanh", "relu"), norms=False)
        layers = layers_of(network)
        curved += not layers.piecewise_linear
        for x in map(oracle.fractions, points(rng, network, 3)):
            found = oracle.decision(layers, x)
            if abs(found) > oracle.real_error(layers, x) + Fraction(1, 10**60):
                assert oracle.positive(network, x) in (found > 0, None)
    assert curved > 50


def test_without_a_last_function_f_is_the_output() -> None:
    rng = np.random.default_rng(7)
    errors = []
    for _ in range(200):
        network = random_network(rng, ends=1)
        layers = layers_of(network)
        for x in map(oracle.fractions, points(rng, network, 3)):
            *first, last = oracle.outputs(network, x)
            difference = abs(oracle.decision(layers, x) - (last - sum(first)))
            assert difference <= oracle.real_error(layers, x) + Fraction(1, 10**60)
            errors.append(difference)
    assert 0 < max(errors) < 1e-9


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        (("sigmoid",), ""),
        (("tanh", "sigmoid"), ""),
        (("relu", "tanh", "sigmoid"), ""),
        (("sigmoid", "sigmoid"), "sigmoid"),  # of the two only the last one's threshold is 1/2
        (("sigmoid", "relu"), "sigmoid"),
        (("sigmoid", "tanh", "relu"), "sigmoid"),
    ],
)
def test_of_sigmoids_only_the_last_stands_for_its_logit(kinds: tuple[Kind, ...], left: str) -> None:
    network = chain(*kinds)
    layers = layers_of(network)
    assert layers.piecewise_linear == (not left)
    for x in (Fraction(-3), Fraction(0), Fraction(1, 4), Fraction(3)):
        assert (oracle.decision(layers, [x]) > 0) == oracle.positive(network, [x])


def test_two_outputs_are_compared() -> None:
    two = Affine(0, np.array([[1.0], [-2.0]]), np.array([0.5, 0.25]))
    ends: list[list[Step]] = [
        [Activation(1, "sigmoid")],
        [Activation(1, "relu")],  # keeps no order below 0
        [Affine(1, np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros(2)), Activation(2, "sigmoid")],
        [Affine(1, np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([0.0, 3.0])), Activation(2, "sigmoid")],
    ]
    depths = [2, 2, 2, 3]
    for end, depth in zip(ends, depths, strict=True):
        network = one(two, *end)
        layers = layers_of(network)
        assert len(layers.layers) == depth
        for x in (Fraction(k, 12) for k in range(-60, 60)):
            assert oracle.positive(network, [x]) in (oracle.decision(layers, [x]) > 0, None)


def test_a_slot_twice() -> None:
    two = affine(np.random.default_rng(1), 0, 1, 2)
    joined = Concat((1, 1, 1))
    rng = np.random.default_rng(2)
    for last in (affine(rng, 3, 6, 1), affine(rng, 2, 6, 1)):
        network = one(two, joined, Activation(2, "relu"), last)
        layers = layers_of(network)
        assert layers.exact
        for x in (Fraction(k, 7) for k in range(-20, 20)):
            assert oracle.decision(layers, [x]) == oracle.outputs(network, [x])[0]
    uneven = one(Concat((0, 0)), Affine(1, np.array([[1.0, 2.0**-60]]), NONE))
    assert oracle.decision(layers_of(uneven), [Fraction(1)]) == 1 + Fraction(1, 2**60)
    doubled = layers_of(one(Sum((0, 0, 0))))
    assert oracle.decision(doubled, [Fraction(2)]) == 6
    same = layers_of(one(Concat((0, 0))))
    assert oracle.decision(same, [Fraction(2)]) == 0


def test_thresholds() -> None:
    network = one(scaled(2.0, 1.0, 0.5))
    for threshold in (Fraction(0), Fraction(1, 3), Fraction(-7, 10), Fraction(1, 2)):
        layers = layers_of(network, threshold)
        assert layers.exact
        for x in (Fraction(k, 60) for k in range(-60, 60)):
            assert (oracle.decision(layers, [x]) > 0) == (oracle.outputs(network, [x])[0] > threshold)
    relu = one(scaled(), Activation(1, "relu"), scaled(source=1))  # the last step is not used
    assert oracle.decision(layers_of(Network(1, relu.steps, 2), Fraction(1, 4)), [Fraction(-1)]) == -1
    assert len(layers_of(chain("sigmoid"), Fraction(1, 2)).layers) == 1
    with pytest.raises(ValueError, match=r"ends in a sigmoid: its threshold is 1/2, not 1/4; "):
        layers_of(chain("sigmoid"), Fraction(1, 4))
    with pytest.raises(ValueError, match=r"ends in a tanh: its threshold is 0, not 1/4; "):
        layers_of(chain("tanh"), Fraction(1, 4))
    with pytest.raises(ValueError, match=r"compares two outputs"):
        layers_of(one(Concat((0, 0))), Fraction(1, 4))
    with pytest.raises(ValueError, match=r"the threshold .* exactly; use a shorter one"):
        layers_of(network, Fraction(1, 3**40))


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (one(Concat((0, 0, 0))), "3 outputs"),
        (one(Activation(0, "softplus"), scaled(source=1)), "softplus inside; use relu, leaky_relu, sigmoid or tanh"),
        (one(Activation(0, "softplus")), "softplus"),
        (one(LayerNorm(0, 0.1, np.ones(1), NONE)), "LayerNormalization.*; use BatchNorm"),
        (one(Scale(0, np.ones(1), np.array([1e-310]), NONE)), "too large"),
        (one(Scale(0, np.ones(1), np.array([7e300]), NONE)), "too small"),
        (one(BatchNorm(0, NONE, np.array([1e-300]), 1e-320, np.array([1e200]), NONE)), "too large"),
        (one(BatchNorm(0, np.array([1e200]), np.array([1e-300]), 1e-320, np.ones(1), NONE)), "too large"),
        (one(BatchNorm(0, NONE, np.array([1e300]), 0.0, np.array([1e-200]), NONE)), "too small"),
    ],
)
def test_what_is_refused(network: Network, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        layers_of(network)


def test_no_matrix_is_larger_than_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_step_layers, "MOST_WEIGHTS", 100)
    wide = Affine(0, np.ones((11, 1)), np.zeros(11))
    last = Affine(2, np.ones((1, 11)), NONE)
    for step in (Activation(1, "relu"), Sum((1, 1)), Scale(1, np.ones(11), np.ones(11), np.zeros(11))):
        network = one(wide, step, last)
        if isinstance(step, Activation):
            assert len(layers_of(network).layers) == 2
            continue
        with pytest.raises(ValueError, match=r"layer of 11 neurons that read (11|22) numbers; at most 100"):
            layers_of(network)
