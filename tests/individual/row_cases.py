"""Rows, their flip sets spelled out one by one, and what an engine said about them."""

from __future__ import annotations

import dataclasses
import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from certifair.evidence.onnx_reader import read_network
from certifair.evidence.rows_file import rows_of
from certifair.evidence.witness import PAIR, Rows
from certifair.spec.domain import Domain, Feature
from certifair.spec.domain_file import load_domain
from certifair.spec.layers import Layers, layers_of
from tests.individual.comparison_cases import plain
from tests.oracles.individual_brute import flipped

Array = NDArray[np.float64]

MIXED = Domain(
    "mixed",
    (
        Feature("a", "integer", -1, 2, sensitive=True),
        Feature("c", "continuous", -1.0, 1.0),
        Feature("g", "one_hot", values=("x", "y", "z"), sensitive=True),
        Feature("r", "integer", -2, 3, eps=1),
        Feature("h", "one_hot", values=("u", "v")),
        Feature("e", "continuous", 0.5, 0.5, sensitive=True),
    ),
)


def moved(domain: Domain, *sensitive: str, continuous: tuple[str, ...] = (), **eps: float) -> Domain:
    """The domain with other features sensitive, continuous or relaxed."""
    features = [
        Feature(
            f.name,
            "continuous" if f.name in continuous else f.kind,
            f.low,
            f.high,
            f.values,
            f.name in sensitive,
            eps.get(f.name.replace("-", "_"), 0.0),
        )
        for f in domain.features
    ]
    return Domain(domain.name, tuple(features))


def people(domain: Domain, count: int, seed: int = 0) -> Array:
    """Rows of the domain."""
    rng = np.random.default_rng([seed, 91])
    columns = []
    for f in domain.features:
        if f.kind == "one_hot":
            columns.append(np.eye(f.width)[rng.integers(0, f.width, count)])
        elif f.kind == "integer":
            columns.append(rng.integers(int(f.low), int(f.high) + 1, (count, 1)))
        else:
            columns.append(rng.uniform(f.low, f.high, (count, 1)).astype(np.float32).clip(f.low, f.high))
    return np.concatenate(columns, axis=1).astype(np.float64)


def centred(layers: Layers, rows: Array) -> Layers:
    """The network with a last bias that puts half of the rows on each side."""
    *others, last = layers.layers
    bias = (last.bias - np.median(plain(layers, rows))).astype(np.float32).astype(np.float64)
    return Layers((*others, dataclasses.replace(last, bias=bias, size=np.abs(bias))), layers.float32)


def flip_set(domain: Domain, row: Array, grid: int = 2) -> Array:
    """All points of a row's flip set; of continuous inputs `grid` values from end to end, and the row's own."""
    choices = []
    for f, group in zip(domain.features, domain.columns, strict=True):
        own = tuple(row[list(group)])
        if not (f.sensitive or f.eps):
            choices.append([own])
        elif f.kind == "one_hot":
            choices.append([tuple(line) for line in np.eye(f.width)])
        else:
            low, high = (f.low, f.high) if f.sensitive else (max(f.low, own[0] - f.eps), min(f.high, own[0] + f.eps))
            whole = f.kind == "integer"
            values = np.arange(low, high + 1) if whole else np.append(np.linspace(low, high, grid), own)
            choices.append([(value,) for value in values])
    return np.array([sum(parts, ()) for parts in itertools.product(*choices)])


def pairs(domain: Domain, rows: Array, said: Rows) -> dict[int, Array]:
    """The two points of every row with a pair, all inputs, which were looked up in the domain one by one."""
    columns = flipped(domain)
    numbers = np.array(said.pairs).reshape(-1, 2, len(columns))
    found = {}
    for row, both in zip(np.flatnonzero(np.frombuffer(said.code, np.uint8) == PAIR), numbers, strict=True):
        points = np.repeat(rows[row][None], 2, axis=0)
        points[:, columns] = both
        for point in points:
            _check_inside(domain, rows[row], point)
        found[int(row)] = points
    return found


def _check_inside(domain: Domain, row: Array, point: Array) -> None:
    for f, group in zip(domain.features, domain.columns, strict=True):
        own, other = tuple(row[list(group)].tolist()), tuple(point[list(group)].tolist())
        assert f.contains(other), f"{f.name} is {other}"
        if f.eps:
            assert abs(Fraction(own[0]) - Fraction(other[0])) <= Fraction(f.eps)
        elif not f.sensitive:
            assert own == other


def shipped(shared: Path, model: str, domain: str) -> tuple[Layers, Domain, Array]:
    """A network of shared/models, its domain, and the rows of its data set."""
    where = shared / "models" / "domains" / f"{domain}.toml"
    file = load_domain(where)
    path = shared / "models" / f"{model}.onnx"
    if file.rows is None or not (where.parent / file.rows).is_file() or not path.is_file():
        pytest.skip(f"{model} or the rows of {domain} are not here")
    layers = layers_of(read_network(path.read_bytes(), str(path)))
    return layers, file.domain, rows_of(where.parent / file.rows, file.domain).values
