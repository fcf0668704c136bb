"""A domain with its people and networks, and what bounds and the checker say of these: for the tests of `prof`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from certifair.checks._individual.check import check_witness
from certifair.individual import prove
from certifair.repair._bands import Bands, FlipSets, bands_of
from certifair.repair._milp import Head
from certifair.repair.base import Array
from certifair.repair.prof import head_of
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import layers_of
from certifair.spec.network import Activation, Affine, Network

PEOPLE = Domain(
    "people",
    (
        Feature("amount", "integer", 0, 20_000),
        Feature("years", "integer", 0, 40, eps=1),
        Feature("sex", "integer", 0, 1, sensitive=True),
        Feature("race", "one_hot", values=("a", "b", "c"), sensitive=True),
        Feature("age", "continuous", 18.0, 80.0, sensitive=True),
    ),
)
FLIPPED = Domain("flipped", (Feature("x", "integer", -9, 9), Feature("sex", "integer", 0, 1, sensitive=True)))
SCALES = np.array([20_000.0, 40.0, 1.0, 1.0, 1.0, 1.0, 80.0])


def single(array: Any) -> Array:
    return np.asarray(array).astype(np.float32).astype(np.float64)


def network(rng: np.random.Generator, widths: list[int], scales: Array, kind: str = "relu") -> Network:
    """scales: the size of each input."""
    steps: list[Any] = []
    for depth, (n, m) in enumerate(itertools.pairwise(widths)):
        weight = rng.normal(size=(m, n)) / (scales * np.sqrt(n) if depth == 0 else np.sqrt(n))
        steps.append(Affine(len(steps), single(weight), single(rng.normal(size=m) / 4)))
        if depth < len(widths) - 2:
            slope = {"leaky_relu": 0.125}.get(kind, 0.0)
            steps.append(Activation(len(steps), kind, slope))  # type: ignore[arg-type]
    return Network(widths[0], tuple(steps), len(steps))


def people(rng: np.random.Generator, n: int) -> Array:
    hot = np.eye(3)[rng.integers(0, 3, n)]
    first = [rng.integers(0, 20_001, n), rng.integers(0, 41, n), rng.integers(0, 2, n)]
    return np.column_stack([*first, hot, rng.uniform(18, 80, n)])


def bands_and_head(net: Network, domain: Domain, rows: Array) -> tuple[Bands, Head]:
    step = net.steps[head_of(net)]
    assert isinstance(step, Affine)
    return bands_of(layers_of(net), FlipSets.of(domain, rows)), Head(step.weight[0], float(step.bias[0]))


def with_head(net: Network, head: Head) -> Network:
    last = Affine(len(net.steps) - 1, head.weight[None], np.array([head.bias]))
    return Network(net.inputs, (*net.steps[:-1], last), net.output)


def fair(net: Network, domain: Domain, rows: Array, level: str = "real") -> Any:
    """(n,) 1 fair, 2 unfair, 0 undecided: the checker's word."""
    return prove(net, domain, rows, check=check_witness).checked.verdicts[level]


def evaluated(net: Network, points: Array) -> Array:
    h = points
    for step in net.steps:
        if isinstance(step, Affine):
            h = h @ step.weight.T + step.bias
        else:
            assert isinstance(step, Activation)
            h = np.tanh(h) if step.kind == "tanh" else np.where(h >= 0, h, step.slope * h)
    return h
