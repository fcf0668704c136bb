"""Trimmed leaves and Fourier shares against brute force: no leaf claims what is false, whatever its ranges are."""

from __future__ import annotations

import time
from array import array

import numpy as np
import pytest

from certifair.checks._individual import bands, by_integers, enclosures, spectra, trimmed, trimming
from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.check import check_witness
from certifair.checks._individual.floats import Prepared, Ranges
from certifair.evidence.witness import COUNTED, SPLIT, TRIMMED, Tree, Witness, layers_to_json
from certifair.spec.domain import Domain, Feature
from tests.oracles import individual_brute as brute

SPLITS = 2
DEEP = 4


def network(rng, inputs, widths, slopes=(0.0,)):
    """Weights on a grid, so that f is exact in float64."""
    built, n = [], inputs
    for k, m in enumerate([*widths, 1]):
        last = k == len(widths)
        slope = np.ones(1) if last else rng.choice(slopes, m)
        built.append(brute.layer(np.rint(rng.normal(size=(m, n)) * 8) / 8, np.rint(rng.normal(size=m) * 8) / 8, slope))
        n = m
    return brute.net(*built)


def values(layers, points):
    h = points
    for layer in layers.layers:
        z = h @ layer.weight.T + layer.bias
        h = np.where(z >= 0, z, layer.slope * z)
    return h[:, 0]


def domain(rng, style):
    """Of some hundred units: numbers, one-hot ones, relaxed ones, one or two sensitive features of either kind."""
    features = [Feature(f"n{i}", "integer", -2, -2 + int(rng.integers(1, 4))) for i in range(4)]
    features += [Feature("wide", "integer", 0, 3)]
    if style % 2:
        features[0] = Feature("n0", "integer", -2, 2, eps=1.0)
    if style % 3 == 1:
        features[1] = Feature("h", "one_hot", values=tuple("abc"))
    features.append(Feature("a", "integer", 0, 1, sensitive=True))
    if style % 4 == 3:
        features.append(Feature("s", "one_hot", values=tuple("xyz"), sensitive=True))
    return Domain("d", tuple(features[i] for i in rng.permutation(len(features))))


def case(seed):
    rng = np.random.default_rng(seed)
    d = domain(rng, seed)
    layers = network(
        rng, d.inputs, [(8,), (6, 5), (5, 4, 3)][seed % 3], [(0.0,), (0.0, 0.125), (-0.5, 0.0, 2.0)][seed % 5 % 3]
    )
    units = brute.units(d)
    f = values(layers, units.points)
    shift = np.rint(np.quantile(f, rng.random()) * 8) / 8  # both signs occur
    last = layers.layers[-1]
    layers = brute.net(*layers.layers[:-1], brute.layer(last.weight, last.bias - shift, last.slope))
    return rng, d, layers, brute.truth_of(brute.decisions(values(layers, units.points) > 0, units.owner))


def check(layers, d, tree):
    return check_witness(Witness(layers_to_json(layers), d, tree, "test"), layers, d)


def tree_of(rng, d, kind, depth):
    """Random splits, of sensitive features too."""
    nodes, level = [], [[(0, f.width - 1) if f.kind == "one_hot" else (int(f.low), int(f.high)) for f in d.features]]
    for deep in range(depth + 1):
        below = []
        for box in level:
            wide = [i for i, (a, b) in enumerate(box) if b > a]
            if deep == depth or not wide or rng.random() < 0.2:
                nodes.append((kind, 0, 0.0))
                continue
            i = int(rng.choice(wide))
            c = int(rng.integers(box[i][0] + 1, box[i][1] + 1))
            nodes.append((SPLIT, i, float(c)))
            below += [[*box[:i], ends, *box[i + 1 :]] for ends in ((box[i][0], c - 1), (c, box[i][1]))]
        level = below
    kinds, features, cuts = zip(*nodes, strict=True)
    return Tree(bytes(kinds), array("H", features), array("d", cuts))


def random_ranges(seed, scale):
    """In place of the rule: any range at all, also ones that no unit respects."""
    rng = np.random.default_rng(seed)

    def choose(self, row, ends, slope, price):
        low, _, high = ends
        cut_low, cut_high = (rng.random(len(row)) * scale for _ in range(2))
        least, most = low + cut_low * (high - low), high - cut_high * (high - low)
        keep = rng.random((2, len(row))) < 0.4
        return np.where(keep[0], low, np.minimum(least, most)), np.where(keep[1], high, np.maximum(least, most))

    return choose


@pytest.mark.parametrize("rule", ["own", "eager", "slight", "any"])
@pytest.mark.parametrize("seed", range(30))
def test_trimmed_leaves_never_claim_more_than_is_true(seed, rule, monkeypatch):
    if rule == "eager":
        monkeypatch.setattr(trimming, "PRICE", 5.0)
    if rule in ("slight", "any"):
        monkeypatch.setattr(trimming.Rule, "choose", random_ranges(seed, 0.1 if rule == "slight" else 1.0))
    rng, d, layers, truth = case(seed)
    for depth in (0, SPLITS, DEEP):
        for share in check(layers, d, tree_of(rng, d, TRIMMED, depth)).shares.values():
            assert not truth.faults(share)


@pytest.mark.parametrize("seed", range(60))
def test_no_more_units_leave_the_ranges_than_are_subtracted(seed, monkeypatch):
    """Of the whole domain as one box: every neuron at every point of every flip set."""
    monkeypatch.setattr(trimming.Rule, "choose", cut_one_neuron(seed))
    _, d, layers, _ = case(seed)
    frame, net, units = Frame(d), Prepared(layers), brute.units(d)
    ends = frame.hull(*frame.relaxed(*frame.root))
    trim = trimmed._Trim(frame, *frame.root, enclosures.enclose(net, *ends))
    ranges = enclosures.enclose(net, *ends, trim).ranges
    h, left = units.points, np.zeros(len(units.points), dtype=bool)
    for k, layer in enumerate(layers.layers[:-1]):
        z = h @ layer.weight.T + layer.bias
        left |= ((z < ranges.low[k] - 1e-9) | (z > ranges.high[k] + 1e-9)).any(axis=1)
        h = np.where(z >= 0, z, layer.slope * z)
    share = (np.bincount(units.owner, weights=left) > 0).mean()
    assert share <= trim.bad[0]


def cut_one_neuron(seed):
    """In place of the rule: of one neuron only, so that nothing is subtracted twice; in the last layer with any."""
    rng = np.random.default_rng(seed)
    layer = 0

    def choose(self, row, ends, slope, price):
        nonlocal layer
        low, _, high = ends
        layer += 1
        least, most = low.copy(), high.copy()
        if len(row) and layer == 1 + seed % 3 % 2:
            j, part = int(rng.integers(len(row))), rng.random() * 0.6 + 0.2
            if rng.random() < 0.5:
                least[j] = low[j] + part * (high[j] - low[j])
            else:
                most[j] = high[j] - part * (high[j] - low[j])
        return least, most

    return choose


@pytest.mark.parametrize("seed", range(40))
def test_a_band_knows_what_flips_and_moves_add(seed):
    """Linear functions of random slopes: of each unit the least and the greatest value on its flip set."""
    rng, d, _, _ = case(seed)
    frame, units = Frame(d), brute.units(d)
    low, high = frame.hull(*frame.relaxed(*frame.root))
    middle, slope, error = (low + high) / 2, rng.normal(size=(1, d.inputs)), rng.random(1)
    none = Ranges([], [], np.abs(high))
    box = enclosures.Enclosure(middle, (high - low) / 2, np.ones(1), slope, error, slope + np.inf, none, [])
    band = bands.Band.of(frame, *frame.root, box)
    f = 1 + (units.points - middle) @ slope[0]
    least, most = np.full((2, len(units.values)), np.inf)
    np.minimum.at(least, units.owner, f)
    np.minimum.at(most, units.owner, -f)
    for t in np.quantile(f, [0.05, 0.3, 0.6, 0.9]):
        ends = np.array([[band.not_above(t)[0], band.surely_up_to(t)[0]]])
        lower, upper = spectra.shares(band.sums, ends, 512)
        assert upper[0, 0] >= (least - error < t - 1e-9).mean()
        assert lower[0, 1] <= (-most + error < t + 1e-9).mean()
        if not any(feature.eps for feature in d.features):  # moves end with the domain
            assert lower[0, 0] <= (least - error < t + 1e-9).mean()
            assert upper[0, 1] >= (-most + error < t - 1e-9).mean()


def test_trimming_happens_and_proves_more():
    """Else the test above would say little; and a trimmed leaf is never worth less than a counted one."""
    gains, features = 0, [Feature(f"n{i}", "integer", 0, 3) for i in range(8)]
    wide = Domain("d", (*features, Feature("a", "integer", 0, 1, sensitive=True)))
    for seed in range(24):
        rng, d, layers, _ = case(seed)
        if seed % 2:
            d, layers = wide, network(rng, 9, (12, 8))
        one, two = (check(layers, d, tree_of(np.random.default_rng(seed), d, k, 8)).shares for k in (COUNTED, TRIMMED))
        for level in one:
            assert two[level].certified >= one[level].certified
            assert two[level].falsified >= one[level].falsified
        gains += two["real"].undecided < one["real"].undecided
    assert gains > 5, gains


@pytest.mark.parametrize("seed", range(12))
def test_continuous_features_are_shares_of_the_volume(seed, monkeypatch):
    """Against midpoints of a fine grid, whose shares err by a few cells."""
    if seed % 2:
        monkeypatch.setattr(trimming, "PRICE", 2.0)
    rng = np.random.default_rng(seed)
    eps = 0.25 if seed % 3 == 2 else 0.0
    d = Domain(
        "d",
        (
            Feature("x", "continuous", -1.0, 1.0, eps=eps),
            Feature("a", "integer", 0, 1, sensitive=True),
            Feature("y", "continuous", 0.0, 2.0),
            Feature("n", "integer", 0, 3),
        ),
    )
    layers = network(rng, 4, [(10,), (6, 5)][seed % 2])
    n = 60
    x, y, z = (
        v.reshape(-1) for v in np.meshgrid((np.arange(n) + 0.5) / n * 2 - 1, (np.arange(n) + 0.5) / n * 2, np.arange(4))
    )
    moves = np.linspace(-eps, eps, 9 if eps else 1)
    signs = [
        values(layers, np.stack([np.clip(x + m, -1, 1), 0 * x + a, y, z], axis=1)) > 0 for a in (0, 1) for m in moves
    ]
    unfair = (np.any(signs, axis=0) & ~np.all(signs, axis=0)).mean()
    share = check(layers, d, tree_of(rng, d, TRIMMED, 0)).shares["real"]
    fair = float(share.certified)
    assert fair <= 1 - unfair + 0.02
    assert float(share.falsified_share) <= unfair + 0.02


@pytest.mark.parametrize("degree", [8, 64, 256, 1024])
@pytest.mark.parametrize("seed", range(40))
def test_shares_of_sums_hold_on_both_sides(seed, degree):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    levels = rng.integers(1, 8, n).astype(np.float64)
    step = rng.choice([1e-9, 1e-3, 0.3, 1.0, 1.0], n) * (rng.random(n) if seed % 3 else 1.0)
    sums, choices = np.zeros(1), []
    for c, count in zip(step, levels, strict=True):
        sums = np.add.outer(sums, c * (np.arange(count) - (count - 1) / 2)).reshape(-1)
    if seed % 2:
        there = np.array([True, False, True, True])
        value = np.where(there, rng.normal(size=4), 0.0)
        value -= np.where(there, (value[there].max() + value[there].min()) / 2, 0.0)
        sums, choices = np.add.outer(sums, value[there]).reshape(-1), [(value[None], there[None])]
    t = np.concatenate([rng.uniform(sums.min() - 0.1, sums.max() + 0.1, 20), rng.choice(sums, 10)])
    low, high = spectra.shares(spectra.Sums(step[None], levels[None], choices), t[None], degree)
    near = 1e-12 * (1 + np.abs(t))[:, None]
    below, up_to = (sums < t[:, None] - near).mean(axis=1), (sums <= t[:, None] + near).mean(axis=1)
    assert (low[0] <= up_to).all()
    assert (high[0] >= below).all()
    assert (low <= high).all()
    if degree == 1024 and (levels > 1).sum() > 3 and step.min() > 0.1:
        assert (high - low).mean() < 0.1


def test_shares_of_continuous_sums():
    """x + y with x and y in [−1/2, 1/2]: t²/2 and the like."""
    sums = spectra.Sums(np.ones((1, 2)), np.zeros((1, 2)), [])
    t = np.linspace(-1.1, 1.1, 23)[None]
    truth = np.where(t < 0, np.maximum(1 + t, 0) ** 2 / 2, 1 - np.maximum(1 - t, 0) ** 2 / 2)
    low, high = spectra.shares(sums, t, 256)
    assert (low <= truth + 1e-15).all()
    assert (high >= truth - 1e-15).all()
    assert (high - low).max() < 0.012


@pytest.mark.parametrize("levels", [0, 2, 3, 7, 40, 3000])
def test_coefficients_are_right(levels):
    """Against sums of cosines; near multiples of π too."""
    rng = np.random.default_rng(levels)
    widest = np.pi / max(levels - 1, 1)
    x = np.concatenate([rng.random(20) * widest, widest * np.array([1, 0.5, 1 / 3, 1e-3, 1e-9])])
    found = spectra._quotients(x, np.full(len(x), float(levels)), 512).T
    k = np.arange(1, 513)
    angle = x[:, None] * k
    if levels == 0:
        expected = np.sinc(angle / np.pi)
    else:
        expected = np.mean([np.cos(angle * (2 * j - levels + 1)) for j in range(levels)], axis=0)
    assert np.abs(found - expected).max() < 2.0**-30


def test_polynomials_are_on_both_sides_of_the_sawtooth():
    """Vaaler's theorem, on a fine grid."""
    x = (np.arange(20000) + 0.5) / 20000
    saw = x - 0.5
    for degree in (1, 2, 7, 64):
        v, w = spectra._kernels(degree)
        k = np.arange(1, degree + 1)
        vaaler = np.sin(2 * np.pi * np.outer(x, k)) @ v
        fejer = 1 / (2 * degree + 2) + np.cos(2 * np.pi * np.outer(x, k)) @ w / 1
        assert (np.abs(vaaler - saw) <= fejer + 1e-12).all()


@pytest.mark.parametrize("seed", range(6))
def test_integers_take_a_trimmed_leaf_for_a_counted_one(seed):
    _, d, layers, truth = case(3 * seed)
    trees = [Tree(bytes([k]), array("H", [0]), array("d", [0.0])) for k in (COUNTED, TRIMMED)]
    one, two = (by_integers.check(Witness(layers_to_json(layers), d, tree, "test")) for tree in trees)
    assert one == two
    assert two[0][0] <= truth.positive
    assert two[0][1] <= truth.negative


def test_an_engines_trimmed_tree_is_worth_about_what_it_says():
    pytest.importorskip("numba")
    from certifair.individual.engines.base import Task
    from certifair.individual.engines.branch import search

    rng = np.random.default_rng(5)
    features = [Feature(f"n{i}", "integer", 0, 9) for i in range(7)]
    d = Domain("d", (*features, Feature("a", "integer", 0, 1, sensitive=True)))
    layers = network(rng, 8, (12, 8))
    found = search(Task(layers, d, time.monotonic() + 60, 1 << 28, 1), most_leaves=400)
    assert found.tree.kind.count(TRIMMED) > 100
    checked = check(layers, d, found.tree)
    assert checked.nodes[TRIMMED] == found.tree.kind.count(TRIMMED)
    assert abs(float(checked.shares["real"].undecided) - found.undecided) < 0.03
