"""A small domain with its people and networks, for the tests of the method `finite`."""

from __future__ import annotations

import time

import numpy as np

from certifair.checks._individual.check import check_witness
from certifair.individual import prove
from certifair.repair import _flips, _tuning, finite
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import layers_of
from certifair.spec.network import Activation, Affine, Network

A, B = Feature("a", "integer", -4, 4), Feature("b", "continuous", 0, 2000)
AGE, RACE = (
    Feature("age", "integer", 1, 5, sensitive=True),
    Feature("race", "one_hot", values=("x", "y", "z"), sensitive=True),
)
DOMAIN = Domain("people", (A, AGE, RACE, B))
RELAXED = Domain("relaxed", (Feature("a", "integer", -4, 4, eps=1), AGE, RACE, B))
COLUMNS = [1, 2, 3, 4]


def single(shape, seed, size=1.0):
    numbers = np.random.default_rng(seed).normal(size=shape) * size
    return numbers.astype(np.float32).astype(np.float64)


def network(seed=0, hidden=7):
    """Of DOMAIN; every input matters about as much."""
    first = single((hidden, 6), seed)
    first[:, 5] = single(hidden, seed + 1, 1e-3)
    steps = (
        Affine(0, first, single(hidden, seed + 2)),
        Activation(1, "relu"),
        Affine(2, single((1, hidden), seed + 3), single(1, seed + 4)),
        Activation(3, "sigmoid"),
    )
    return Network(6, steps, 4)


def people(n, seed=0):
    random = np.random.default_rng(seed)
    hot = np.eye(3)[random.integers(0, 3, n)]
    return np.column_stack([random.integers(-4, 5, n), random.integers(1, 6, n), hot, random.uniform(0, 2000, n)])


def decided(net, rows):
    return _flips.logits(layers_of(net), rows) > 0


def labels(rows, noise=0.3):
    random = np.random.default_rng(9)
    return (rows[:, 0] + rows[:, 5] / 500 - 2 + noise * random.normal(size=len(rows)) > 0).astype(np.float64)


def right(net, rows, wanted):
    return float((decided(net, rows) == (wanted > 0)).mean())


def check_proved(net, domain, rows, levels=("real",)):
    proof = prove(net, domain, rows, check=check_witness)
    for level in levels:
        assert (proof.checked.verdicts[level] == 1).all()


def soon(seconds=4.0):
    return time.monotonic() + seconds


def shorten(monkeypatch):
    """Fewer epochs, and less time for programs: where what is tested is not how good they get."""
    monkeypatch.setattr(_tuning, "EPOCHS", 6)
    monkeypatch.setattr(finite, "PROGRAM", 0.3)
