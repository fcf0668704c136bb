"""The checker of individual fairness against brute force in fractions, on many small networks and trees."""

from __future__ import annotations

import itertools
from array import array
from fractions import Fraction

import numpy as np
import pytest

from certifair.checks._individual import by_integers
from certifair.checks._individual.check import Checked, check_witness
from certifair.evidence.witness import (
    ALL,
    COUNTED,
    COUNTEREXAMPLE,
    ENUMERATED,
    FIBRES,
    OPEN,
    PAIR,
    SPLIT,
    UNDECIDED,
    Rows,
    Tree,
    Witness,
    layers_to_json,
)
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layer, Layers


def network(rng, inputs, *, widths=None, slopes=(0.0,), grid=None, scale=1.0, relative=0.0):
    """A network of random float32 weights; on a grid of multiples of 1/grid there are exact ties."""
    widths = [int(w) for w in rng.integers(1, 6, rng.integers(0, 4))] if widths is None else widths
    layers, n = [], inputs
    for k, m in enumerate([*widths, 1]):
        weight = rng.normal(size=(m, n)) if grid is None else rng.integers(-3, 4, (m, n)) / grid
        bias = rng.normal(size=m) * 2 if grid is None else rng.integers(-3, 4, m) / grid
        weight, bias = (np.float32(v * (scale if k == 0 else 1)).astype(np.float64) for v in (weight, bias))
        slope = np.ones(1) if k == len(widths) else rng.choice(np.float32(slopes).astype(np.float64), m)
        rounds, none = np.full(m, n + 1), np.zeros(m)
        layers.append(Layer(weight, bias, slope, np.zeros(m, np.int8), rounds, np.abs(bias), none + relative))
        n = m
    return Layers(tuple(layers), True)


def exact(layers, x):
    h = [Fraction(v) for v in x]
    for layer in layers.layers:
        z = [
            sum((Fraction(w) * v for w, v in zip(row, h, strict=True)), Fraction(b))
            for row, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
        ]
        h = [v if v >= 0 else Fraction(s) * v for v, s in zip(z, layer.slope.tolist(), strict=True)]
    return h[0]


def domain(rng, *, one_hot=True, relaxed=False, size=4):
    features = []
    for i in range(int(rng.integers(2, 5))):
        if one_hot and rng.random() < 0.25:
            features.append(Feature(f"f{i}", "one_hot", values=tuple("abc"[: rng.integers(1, 4)])))
        else:
            low = int(rng.integers(-3, 3))
            eps = float(rng.integers(0, 2)) if relaxed and i else 0.0
            features.append(Feature(f"f{i}", "integer", low, low + int(rng.integers(0, size)), eps=eps))
    sensitive = {0} | ({1} if rng.random() < 0.3 and not features[1].eps else set())
    order = rng.permutation(len(features))
    marked = [
        Feature(f.name, f.kind, f.low, f.high, f.values, i in sensitive, 0.0 if i in sensitive else f.eps)
        for i, f in enumerate(features)
    ]
    return Domain("d", tuple(marked[i] for i in order))


def flip_sets(d, box=None):
    """Each unit of a box with all points of its flip set; box: ranges of values or positions."""
    box = box or [(0, f.width - 1) if f.kind == "one_hot" else (int(f.low), int(f.high)) for f in d.features]
    choices = [range(a, b + 1) for a, b in box]
    unit = [i for i, f in enumerate(d.features) if not f.sensitive]
    other = [i for i, f in enumerate(d.features) if f.sensitive]
    for z in itertools.product(*(choices[i] for i in unit)):
        spans = []
        for i, v in zip(unit, z, strict=True):
            f, e = d.features[i], int(d.features[i].eps)
            spans.append(range(v, v + 1) if not e else range(max(v - e, int(f.low)), min(v + e, int(f.high)) + 1))
        points = []
        for moved in itertools.product(*spans):
            for a in itertools.product(*(choices[i] for i in other)):
                at = dict(zip([*unit, *other], [*moved, *a], strict=True))
                points.append(point(d, [at[i] for i in range(len(d.features))]))
        yield dict(zip(unit, z, strict=True)), points


def point(d, places):
    x = []
    for f, v in zip(d.features, places, strict=True):
        x += [float(v == j) for j in range(f.width)] if f.kind == "one_hot" else [float(v)]
    return tuple(x)


def truth(layers, d):
    """How many units are positive, negative, unfair."""
    found = [0, 0, 0]
    for _, points in flip_sets(d):
        signs = {exact(layers, x) > 0 for x in points}
        found[2 if len(signs) == 2 else (0 if True in signs else 1)] += 1
    return found


def random_tree(rng, d, kinds, depth=3):
    """Random splits; leaves of these kinds."""
    kind, feature, cut = [], [], []
    level = [[(0, f.width - 1) if f.kind == "one_hot" else (int(f.low), int(f.high)) for f in d.features]]
    along = [i for i, f in enumerate(d.features) if not f.sensitive and not f.eps and f.kind == "integer"]
    for deep in range(depth + 1):
        below = []
        for box in level:
            wide = [i for i, (a, b) in enumerate(box) if b > a]
            if deep < depth and wide and rng.random() < 0.7:
                i = int(rng.choice(wide))
                c = int(rng.integers(box[i][0] + 1, box[i][1] + 1))
                left, right = list(box), list(box)
                left[i], right[i] = (box[i][0], c - 1), (c, box[i][1])
                below += [left, right]
                kind.append(SPLIT), feature.append(i), cut.append(float(c))
                continue
            one = int(rng.choice(kinds))
            if one == FIBRES and not along:
                one = COUNTED
            kind.append(one), feature.append(int(rng.choice(along)) if one == FIBRES else 0), cut.append(0.0)
        level = below
    return Tree(bytes(kind), array("H", feature), array("d", cut))


def check(layers, d, about, rows=None, **options) -> Checked:
    return check_witness(Witness(layers_to_json(layers), d, about, "test"), layers, d, rows, **options)


def leaf(kind, feature=0):
    return Tree(bytes([kind]), array("H", [feature]), array("d", [0.0]))


def random_case(seed, **options):
    rng = np.random.default_rng(seed)
    d = domain(rng, **options)
    grid = [None, 1, 2][seed % 3]
    slopes = [(0.0,), (0.0, 0.1), (0.0, 1.0), (0.5, -0.25, 2.0, 1.0)][seed % 4]
    scale = [1.0, 1.0, 1e-20, 1e20][seed % 4] if grid is None else 1.0
    return rng, network(rng, d.inputs, slopes=slopes, grid=grid, scale=scale), d


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_enumerating_is_exact(seed, relaxed):
    _, layers, d = random_case(seed, relaxed=relaxed)
    shares = check(layers, d, leaf(ENUMERATED)).shares
    real, single = shares["real"], shares["float32"]
    assert [real.positive, real.negative, real.falsified] == truth(layers, d)
    assert real.undecided == 0
    assert single.certified <= real.certified
    assert single.falsified <= real.falsified


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("seed", range(150))
def test_leaves_never_claim_more_than_is_true(seed, relaxed):
    rng, layers, d = random_case(seed + 1000, relaxed=relaxed, size=12 if seed % 2 else 4)
    positive, negative, unfair = truth(layers, d)
    for _ in range(4):
        tree = random_tree(rng, d, [OPEN, ENUMERATED, COUNTED, FIBRES])
        for share in check(layers, d, tree).shares.values():
            assert share.positive <= positive
            assert share.negative <= negative
            assert share.positive + share.negative + share.mixed <= positive + negative
            assert share.falsified <= unfair


def in_integers(layers, d, about, rows=()):
    return by_integers.check(Witness(layers_to_json(layers), d, about, "test"), rows)


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_integers_agree_and_never_claim_more_than_is_true(seed, relaxed):
    rng, layers, d = random_case(seed + 2000, relaxed=relaxed)
    positive, negative, unfair = truth(layers, d)
    real, single = in_integers(layers, d, leaf(ENUMERATED))
    assert real == (positive, negative, 0, unfair)
    shares = check(layers, d, leaf(ENUMERATED)).shares["float32"]
    assert abs(shares.falsified - single[3]) + abs(shares.positive - single[0]) + abs(shares.negative - single[1]) == 0
    tree = random_tree(rng, d, [OPEN, ENUMERATED, COUNTED, FIBRES], depth=2)
    for p, n, m, f in in_integers(layers, d, tree):
        assert p <= positive
        assert n <= negative
        assert p + n + m <= positive + negative
        assert f <= unfair
