"""Random networks and domains: by brute force in rationals fair on every row, and about these as good as zeroing."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from certifair.repair.base import Task
from certifair.repair.finite import Finite
from certifair.repair.zeroing import Zeroing
from certifair.spec.domain import Domain, Feature
from certifair.spec.network import Activation, Affine, Network
from tests.individual.row_cases import flip_set, people
from tests.oracles import layers_oracle as oracle
from tests.repair.finite_cases import shorten, single, soon

SEEDS = (0, 1, 2, 3, 4, 5, 11, 15)
FEATURES = (
    Feature("sex", "integer", 0, 1, sensitive=True),
    Feature("race", "one_hot", values=("x", "y", "z"), sensitive=True),
    Feature("age", "integer", -2, 3, sensitive=True),
    Feature("a", "integer", -3, 3),
    Feature("r", "integer", -2, 3, eps=1),
    Feature("h", "one_hot", values=("u", "v")),
    Feature("b", "continuous", -2.0, 2.0),
)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    shorten(monkeypatch)


def drawn(seed):
    """A domain of some of the features, one or two of them sensitive; a network of one or two hidden layers; rows."""
    random = np.random.default_rng([seed, 7])
    chosen = [seed % 3, *random.choice(7, 3, replace=False).tolist(), 3]
    domain = Domain("drawn", tuple(FEATURES[k] for k in sorted(set(chosen))))
    kind, slope = ("leaky_relu", 0.25) if seed % 4 == 0 else ("relu", 0.0)
    steps: list[Affine | Activation] = []
    widths = [domain.inputs, *random.integers(2, 6, random.integers(1, 3)).tolist()]
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        steps.append(Affine(len(steps), single((outputs, inputs), [seed, number]), single(outputs, [seed, number, 1])))
        steps.append(Activation(len(steps), kind, slope))
    steps.append(Affine(len(steps), single((1, widths[-1]), [seed, 9]), single(1, [seed, 9, 1])))
    return Network(domain.inputs, tuple(steps), len(steps)), domain, people(domain, 40, seed)


def decision(network, point):
    return oracle.outputs(network, oracle.fractions(point))[0] > Fraction(0)


def fair(network, domain, rows):
    return all(len({decision(network, point) for point in flip_set(domain, row)}) == 1 for row in rows)


def right(network, rows, wanted):
    return sum(decision(network, row) == (target > 0) for row, target in zip(rows, wanted, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("objective", ["accuracy", "change"])
def test_fair_on_every_row_and_as_good_as_zeroing(seed, objective):
    network, domain, rows = drawn(seed)
    labels = (rows[:, -1] + np.random.default_rng(seed).normal(size=len(rows)) > 0) * 1.0
    found = Finite().repair(Task(network, domain, rows, labels, objective, deadline=soon(3))).network
    assert found is not None
    assert fair(found, domain, rows)
    zeroed = Zeroing().repair(Task(network, domain, rows)).network
    assert zeroed is not None
    wanted = labels if objective == "accuracy" else np.array([decision(network, row) for row in rows]) * 1.0
    if fair(zeroed, domain, rows):
        assert right(found, rows, wanted) >= right(zeroed, rows, wanted)


def test_most_of_these_networks_are_unfair_and_some_domains_are_relaxed():
    """So that the test above says something."""
    cases = [drawn(seed) for seed in SEEDS]
    assert sum(not fair(*case) for case in cases) >= 6
    features = [feature for _, domain, _ in cases for feature in domain.features]
    assert {"one_hot", "integer", "continuous"} <= {feature.kind for feature in features}
    assert sum(bool(feature.eps) for feature in features) >= 3
    assert {feature.kind for feature in features if feature.sensitive} == {"one_hot", "integer"}
