"""Small networks and questions whose answers can be counted out."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from certifair.evidence.onnx_reader import read_network
from certifair.individual.query import Answer, Pair, Query, query_of_row
from certifair.spec.domain import Domain
from certifair.spec.domain_file import load_domain
from certifair.spec.layers import Layers, layers_of
from certifair.spec.verdict import Verdict
from tests.oracles.individual_brute import exact, named_layer

Array = NDArray[np.float64]
KINDS = ("relu", "leaky", "negative", "mixed", "identity", "sigmoid", "tanh", "everything")
LINEAR = KINDS[:5]
SHIPPED = (("adult/AC-1", "adult"), ("german/GC-4", "german"), ("compas/compas-1", "compas"))


def network(seed: int, kind: str = "relu", sizes: Sequence[int] = (4, 6, 5, 1)) -> Layers:
    """Random float32 weights."""
    rng = np.random.default_rng([seed, 17])
    found = []
    for depth, (n, m) in enumerate(itertools.pairwise(sizes)):
        weight = rng.normal(size=(m, n)).astype(np.float32).astype(np.float64)
        bias = rng.normal(size=m).astype(np.float32).astype(np.float64)
        last = depth == len(sizes) - 2
        found.append(named_layer(weight, bias, *(("identity",) * m if last else _neurons(kind, m))))
    return Layers(tuple(found), float32=True)


def _neurons(kind: str, m: int) -> tuple[str, ...]:
    if kind == "mixed":
        return tuple(("relu", "leaky", "negative", "identity")[i % 4] for i in range(m))
    if kind == "everything":
        return tuple(("relu", "leaky", "identity", "sigmoid", "tanh")[i % 5] for i in range(m))
    return (kind,) * m


def box(seed: int, *, continuous: bool = False, width: float = 2.0, inputs: int = 4) -> Query:
    """Two inputs flip; of the others one is fixed now and then."""
    rng = np.random.default_rng([seed, 18])
    low = np.floor(rng.normal(size=inputs) * width)
    high = low + np.floor(rng.random(inputs) * (width + 1))
    flips = np.arange(inputs) % 2 == 1
    high[flips] = np.maximum(high[flips], low[flips] + 1)
    integer = np.full(inputs, fill_value=True)
    integer[-1] = not continuous
    return Query(low, high, integer, flips)


def points(query: Query) -> Array:
    """All of them, (n, d)."""
    assert query.integer.all()
    ranges = [np.arange(a, b + 1) for a, b in zip(query.low, query.high, strict=True)]
    found = np.array(list(itertools.product(*ranges)), dtype=np.float64).reshape(-1, query.inputs)
    hot = [found[:, list(group)].sum(axis=1) == 1 for group in query.one_hot]
    return found[np.all(hot, axis=0)] if hot else found


def spread(query: Query, count: int = 400) -> Array:
    """Points of the box: its corners, and others."""
    rng = np.random.default_rng(19)
    share = rng.random((count, query.inputs))
    return query.low + np.concatenate([share.round(), share]) * (query.high - query.low)


def plain(layers: Layers, x: Array) -> Array:
    """f at (n, d), each neuron as its words say."""
    h = x
    for item in layers.layers:
        z = h @ item.weight.T + item.bias
        h = np.where(z >= 0, z, z * item.slope)
        h[:, item.curve == 1] = 1 / (1 + np.exp(-z[:, item.curve == 1]))
        h[:, item.curve == 2] = np.tanh(z[:, item.curve == 2])
    return h[:, 0]


def unfair(layers: Layers, query: Query) -> bool | None:
    """Whether two points of one unit differ, by evaluating all; None if some f is too near 0 for float64."""
    every = points(query)
    value = plain(layers, every)
    if np.abs(value).min() < 1e-6:
        return None
    sides: dict[tuple[float, ...], set[bool]] = {}
    for point, f in zip(every, value, strict=True):
        sides.setdefault(tuple(point[~query.flips]), set()).add(bool(f > 0))
    return any(len(seen) == 2 for seen in sides.values())


def check(layers: Layers, query: Query, answer: Answer, truth: bool | None) -> None:
    """No answer contradicts what was counted, and a pair is one."""
    if answer.verdict is Verdict.PASS:
        assert truth is not True
    if answer.verdict is Verdict.FAIL:
        assert truth is not False
        assert answer.pair is not None
        check_pair(layers, query, answer.pair)
    else:
        assert answer.pair is None
        assert answer.reason


def check_pair(layers: Layers, query: Query, pair: Pair) -> None:
    assert query.allows(pair)
    if layers.piecewise_linear:
        assert exact(layers, pair[0]) > 0 >= exact(layers, pair[1])
    else:
        value = plain(layers, np.stack(pair))
        assert value[0] > 0 >= value[1]


def shipped(shared: Path, model: str, domain: str) -> tuple[Layers, Domain, Array]:
    """A network of ../shared/models, its domain, and rows spread over its table that lie in the domain."""
    layers = layers_of(read_network((shared / "models" / f"{model}.onnx").read_bytes(), model))
    described = load_domain(shared / "models" / "domains" / f"{domain}.toml").domain
    with (shared / "data" / "encoded" / f"{domain}.csv").open() as file:
        table = list(csv.DictReader(file))
    step = len(table) // 25
    rows = [[float(row[feature.name]) for feature in described.features] for row in table[::step]]
    return layers, described, np.array(rows)


def row_questions(shared: Path, model: str, domain: str) -> list[tuple[Layers, Query, bool | None]]:
    layers, described, rows = shipped(shared, model, domain)
    queries = [query_of_row(described, row) for row in rows]
    return [(layers, query, unfair(layers, query)) for query in queries]
