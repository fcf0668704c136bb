"""float32 next to ties: the sharp bound, exact sums, and executions in many orders, which may not leave them."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from certifair.checks._individual import close, floats, integers
from certifair.checks._individual.floats import Prepared
from certifair.checks._individual.points import Judge
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.witness import layers_to_json, plain_layers
from certifair.spec.layers import Layers, layers_of
from tests.oracles.individual_brute import layer, net

SHARED = Path(__file__).parents[2].parent / "shared"
F32 = np.float32


def random_layers(rng: np.random.Generator, sizes: tuple[int, ...] = (5, 6, 4, 1)) -> Layers:
    found = []
    for k, (n, m) in enumerate(itertools.pairwise(sizes)):
        weight = rng.normal(size=(m, n)).astype(F32).astype(float)
        found.append(layer(weight, rng.normal(size=m).astype(F32).astype(float), float(k == len(sizes) - 2)))
    return net(*found)


def total(terms: list[np.float32], rng: np.random.Generator, how: int) -> np.float32:
    """A sum in a random tree, or in the order that lets partial sums grow (1) or sink (−1) first."""
    if how:
        terms = sorted(terms, key=lambda t: -how * t)
    terms = list(terms)
    while len(terms) > 1:
        i, j = (0, 1) if how else sorted(rng.choice(len(terms), 2, replace=False).tolist())
        one, two = terms[i], terms[j]
        terms = [F32(one + two), *terms[:i], *terms[i + 1 : j], *terms[j + 1 :]]
    return terms[0]


def execution(layers: Layers, x: np.ndarray, rng: np.random.Generator, how: int) -> float:
    h = x.astype(F32)
    for part in layers.layers:
        z = [
            total([F32(w * v) for w, v in zip(row.astype(F32), h, strict=True)] + [F32(b)], rng, how)
            for row, b in zip(part.weight, part.bias, strict=True)
        ]
        h = np.array([v if v >= 0 or s == 1 else F32(0) for v, s in zip(z, part.slope, strict=True)], dtype=F32)
    return float(h[0])


@pytest.mark.parametrize("seed", range(40))
def test_no_execution_leaves_the_bound(seed: int) -> None:
    """And the bound is no looser than `floats.drift`'s, and used up to a good part somewhere."""
    rng = np.random.default_rng(seed)
    layers = random_layers(rng)
    ready = Prepared(layers)
    x = rng.integers(-20, 20, size=5).astype(float)
    ranges = floats.evaluate(ready, x[None])
    bound = close.drift32(ready, ranges, x)
    assert ready.claimed32 is not None
    assert bound <= floats.drift(ready, ready.claimed32, ranges)[0] * 1.01 or not np.isfinite(bound)
    exact = (ranges.low[-1][0, 0] + ranges.high[-1][0, 0]) / 2
    for how in (0, 0, 0, 0, 0, 1, -1):
        assert abs(execution(layers, x, rng, how) - exact) <= bound


def test_small_integers_are_exact() -> None:
    """f = max(x + y − 3, 0) + x − 2 at x = 2, y = 1: exactly 0, in any order."""
    first = layer([[1.0, 1.0], [1.0, 0.0]], [-3.0, 0.0])
    layers = net(first, layer([[1.0, 1.0]], [-2.0], 1.0))
    judge = Judge.of(Prepared(layers))
    assert judge.signs(np.array([[2.0, 1.0], [2.0, 2.0]])).tolist() == [[-1, -1], [1, 1]]


@pytest.mark.parametrize(
    ("terms", "fits"),
    [
        ([[2.0**24 - 1, 0.0], 0.0], True),
        ([[2.0**24 - 1, 1.0], 0.0], False),
        ([[2.0**24 - 2, 2.0], 0.0], True),  # multiples of 2
        ([[2.0**-149, 2.0**-140], 0.0], True),
        ([[1.0, 2.0**-24], 0.0], False),
        ([[2.0**126, 0.0], 0.0], False),
        ([[0.0, 0.0], 0.0], True),
    ],
)
def test_what_float32_holds(terms: list[object], fits: bool) -> None:
    plain = plain_layers(layers_to_json(net(layer([terms[0]], [terms[1]], 1.0))))
    assert integers.sums_only(plain)
    assert integers.exact32(plain, [Fraction(1)] * 2) is fits


def test_inputs_that_are_no_float32_are_not_exact() -> None:
    """An input that float32 makes infinite gives nan with a weight of 0; one between two float32 is rounded first."""
    judge = Judge.of(Prepared(net(layer([[0.0, 1.0]], [0.0], 1.0))))
    assert judge.signs(np.array([[1e39, 0.0], [0.0, 0.0], [0.1, 0.0]])).tolist() == [[-1, 0], [-1, -1], [-1, 0]]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public networks are not here")
def test_a_public_network_whose_float32_sign_depends_on_the_order() -> None:
    """Row 4295 of Adult at age 77 on AC-10: f = 8.6e-7, and float32 gives both signs: nothing may be claimed."""
    content = (SHARED / "models" / "adult" / "AC-10.onnx").read_bytes()
    layers = layers_of(read_network(content, "AC-10"))
    lines = (SHARED / "data" / "encoded" / "adult.csv").read_text().splitlines()
    x = np.array([float(value) for value in lines[4296].split(",")[:13]])
    x[0] = 77
    rng = np.random.default_rng(0)
    found = [execution(layers, x, rng, 0) for _ in range(200)]
    assert min(found) <= 0 < max(found)
    assert Judge.of(Prepared(layers)).signs(x[None]).tolist() == [[1, 0]]
