"""Networks with sigmoids and tanhs inside: points are decided over the reals, in balls; ties and boxes are not."""

from __future__ import annotations

from array import array

import mpmath
import numpy as np
import pytest

from certifair.evidence.witness import ALL, COUNTED, ENUMERATED, PAIR, SPLIT, SWEPT, Rows, Tree
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import CURVES, Layers
from tests.checks.witness_cases import check, leaf
from tests.oracles.individual_brute import layer, named_layer, net

DOMAIN = Domain(
    "d",
    (
        Feature("a", "integer", -2, 2, sensitive=True),
        Feature("b", "integer", 0, 3),
        Feature("c", "one_hot", values=("x", "y"), sensitive=True),
    ),
)
UNITS = [0, 1, 2, 3]
FLIPS = [(a, c) for a in range(-2, 3) for c in ((1, 0), (0, 1))]


def random_layers(seed: int) -> Layers:
    rng = np.random.default_rng(seed)
    first = named_layer(rng.normal(size=(4, 4)), rng.normal(size=4), "tanh", "sigmoid", "relu", "tanh")
    second = named_layer(rng.normal(size=(3, 4)), rng.normal(size=3), "sigmoid", "relu", "tanh")
    return net(first, second, layer(rng.normal(size=(1, 3)), rng.normal(size=1) / 4, 1.0), float32=False)


def value(layers: Layers, x: list[float]) -> mpmath.mpf:
    h = [mpmath.mpf(v) for v in x]
    for part in layers.layers:
        z = [
            mpmath.fsum(mpmath.mpf(w) * v for w, v in zip(row, h, strict=True)) + b
            for row, b in zip(part.weight.tolist(), part.bias.tolist(), strict=True)
        ]
        names = [CURVES[code] for code in part.curve]
        h = [
            mpmath.tanh(v) if n == "tanh" else 1 / (1 + mpmath.exp(-v)) if n == "sigmoid" else v if v > 0 else s * v
            for v, n, s in zip(z, names, part.slope.tolist(), strict=True)
        ]
    return h[0]


def truth(layers: Layers) -> list[bool]:
    """Whether each unit is fair."""
    found = []
    for b in UNITS:
        signs = {value(layers, [a, b, *c]) > 0 for a, c in FLIPS}
        found.append(len(signs) == 1)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_points_are_decided(seed: int) -> None:
    layers = random_layers(seed)
    fair = truth(layers)
    rows = np.array([[0, b, 1, 0] for b in UNITS], dtype=float)
    found = check(layers, DOMAIN, Rows(bytes([ALL] * 4)), rows)
    assert found.verdicts["real"].tolist() == [1 if one else 2 for one in fair]
    assert not found.verdicts["float32"].any()
    for row, (positive, negative) in found.pairs:
        assert not fair[row]
        assert value(layers, list(positive)) > 0 >= value(layers, list(negative))
    tree = Tree(bytes([SPLIT, ENUMERATED, ENUMERATED]), array("H", [1, 0, 0]), array("d", [2.0, 0, 0]))
    shares = check(layers, DOMAIN, tree).shares["real"]
    assert (shares.certified * 4, shares.falsified) == (sum(fair), 4 - sum(fair))


def test_a_tie_is_not_decided() -> None:
    """f is about 1e-17: no ball of float64 numbers tells on which side of 0."""
    tied = named_layer([[1.0, 0, 0, 0]], [0.0], "tanh")
    layers = net(
        tied, layer([[1.0]], [np.tanh(1.0)], 1.0), float32=False
    )  # f(−1) = tanh(1) rounded, less tanh(1): some 1e-17
    rows = np.array([[-1.0, 0, 1, 0]])
    domain = Domain("d", (Feature("a", "integer", -1, -1, sensitive=True), *DOMAIN.features[1:]))
    found = check(layers, domain, Rows(bytes([ALL])), rows)
    assert found.verdicts["real"].tolist() == [0]


@pytest.mark.parametrize("about", [leaf(COUNTED), Rows(bytes([SWEPT]))])
def test_boxes_are_not_decided(about: Tree | Rows) -> None:
    layers = random_layers(0)
    found = check(layers, DOMAIN, about, np.array([[0.0, 0, 1, 0]]))
    if isinstance(about, Tree):
        assert found.shares["real"].undecided == 1
    else:
        assert not found.verdicts["real"].any()


def test_a_pair_is_looked_at() -> None:
    layers = next(random_layers(seed) for seed in range(50) if not all(truth(random_layers(seed))))
    b = truth(layers).index(False)
    signs = {(a, *c): value(layers, [a, b, *c]) > 0 for a, c in FLIPS}
    one = next(point for point, sign in signs.items() if sign)
    two = next(point for point, sign in signs.items() if not sign)
    for pair, verdict in (((one, two), 2), ((two, one), 2), ((one, one), 0)):
        rows = Rows(bytes([PAIR]), array("d", [float(v) for point in pair for v in point]))
        found = check(layers, DOMAIN, rows, np.array([[0.0, b, 1, 0]]))
        assert found.verdicts["real"].tolist() == [verdict]
