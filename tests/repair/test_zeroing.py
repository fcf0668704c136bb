"""A pinned network is the network at the pinned values, in exact arithmetic, whatever it starts with."""

from __future__ import annotations

import numpy as np
import pytest

from certifair.checks._individual.check import check_witness
from certifair.individual import prove
from certifair.repair._numbers import is_single
from certifair.repair.base import Task
from certifair.repair.zeroing import Zeroing, pinned, sensitive_columns
from certifair.spec.domain import Domain, Feature
from certifair.spec.network import Activation, Affine, BatchNorm, Network, Scale, Sum
from tests.oracles import layers_oracle as oracle

DOMAIN = Domain(
    "five inputs",
    (
        Feature("a", "integer", -4, 4),
        Feature("s", "integer", 0, 3, sensitive=True),
        Feature("t", "one_hot", values=("x", "y"), sensitive=True),
        Feature("b", "integer", 0, 9),
    ),
)
COLUMNS = [1, 2, 3]


def quarters(shape, seed):
    """Multiples of 1/4: sums of their products are exact."""
    return np.random.default_rng(seed).integers(-8, 9, size=shape) / 4


def end(source):
    return (
        Affine(source, quarters((6, 5), 1), quarters(6, 2)),
        Activation(source + 1, "relu"),
        Affine(source + 2, quarters((1, 6), 3), quarters(1, 4)),
    )


def affine():
    return Network(5, end(0), 3)


def two_readers():
    """The inputs are read twice, affinely both times."""
    steps = (*end(0), Affine(0, quarters((1, 5), 5), quarters(1, 6)), Sum((3, 4)))
    return Network(5, steps, 5)


def scaled():
    first = Scale(0, quarters(5, 7), np.array([1.0, 2.0, 4.0, 0.5, 1.0]), quarters(5, 8))
    return Network(5, (first, *end(1)), 4)


def normed():
    first = BatchNorm(0, quarters(5, 9), np.array([1.0, 4.0, 0.25, 9.0, 1.0]), 0.0, quarters(5, 10), quarters(5, 11))
    return Network(5, (first, *end(1)), 4)


def skipping():
    """The inputs themselves are added to what an affine step makes of them."""
    steps = (Affine(0, quarters((5, 5), 12), quarters(5, 13)), Sum((0, 1)), *end(2))
    return Network(5, steps, 5)


NETWORKS = (affine, two_readers, scaled, normed, skipping)


def people(n, seed=0):
    random = np.random.default_rng(seed)
    hot = np.eye(2)[random.integers(0, 2, n)]
    return np.column_stack(
        [random.integers(-4, 5, n), random.integers(0, 4, n), hot, random.integers(0, 10, n)]
    ).astype(np.float64)


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("values", [(0.0, 0.0, 0.0), (2.0, 1.0, 0.0), (3.0, 0.0, 1.0)])
def test_a_pinned_network_is_the_network_at_these_values(make, values):
    network = make()
    changed = pinned(network, COLUMNS, np.array(values))
    for row in people(30):
        shown = row.copy()
        shown[COLUMNS] = values
        assert oracle.outputs(changed, oracle.fractions(row)) == oracle.outputs(network, oracle.fractions(shown))


@pytest.mark.parametrize("make", NETWORKS)
def test_zeroing_is_proved_fair_on_every_row(make):
    network, rows = make(), people(60)
    found = Zeroing().repair(Task(network, DOMAIN, rows))
    assert found.network is not None
    proof = prove(found.network, DOMAIN, rows, check=check_witness)
    assert (proof.checked.verdicts["real"] == 1).all()
    before = prove(network, DOMAIN, rows, check=check_witness)
    assert (before.checked.verdicts["real"] == 2).any()


def test_the_sensitive_columns_are_those_of_every_sensitive_feature():
    assert sensitive_columns(DOMAIN) == COLUMNS


@pytest.mark.parametrize("value", [0.1, 1 / 3])
def test_float32_networks_stay_float32(value):
    random = np.random.default_rng(5)
    weight, bias = (random.normal(size=shape).astype(np.float32).astype(np.float64) for shape in ((4, 5), (4,)))
    network = Network(5, (Affine(0, weight, bias), Affine(1, np.ones((1, 4)), np.zeros(1))), 2)
    (first, _) = pinned(network, COLUMNS, np.full(3, value)).steps
    assert isinstance(first, Affine)
    assert is_single(first.bias)
    np.testing.assert_allclose(first.bias, bias + weight[:, COLUMNS].sum(axis=1) * value, rtol=1e-6)
    wide = Network(5, (Affine(0, weight + 1e-12, bias), Affine(1, np.ones((1, 4)), np.zeros(1))), 2)
    (other, _) = pinned(wide, COLUMNS, np.full(3, value)).steps
    assert isinstance(other, Affine)
    assert not is_single(other.bias)


def test_the_other_inputs_matter_as_before():
    network = affine()
    (first, *_), (old, *_) = pinned(network, COLUMNS, np.zeros(3)).steps, network.steps
    assert isinstance(first, Affine)
    assert isinstance(old, Affine)
    np.testing.assert_array_equal(first.weight[:, [0, 4]], old.weight[:, [0, 4]])
    assert not first.weight[:, COLUMNS].any()
