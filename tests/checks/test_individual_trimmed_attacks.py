"""Attacks on counted and trimmed leaves: no witness of theirs claims more than is true, in exact numbers.

Nasty networks, sums with ties and resonances, huge ranges, moves that end with the domain. The truth is known from
`individual_shares` and `individual_brute`. Where Fourier's bounds are replaced by exact shares nothing is left of their
margin, so that every unit that a trimmed leaf forgets to subtract is seen.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from certifair.checks._individual import bands, enclosures, spectra, trimmed, trimming
from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.check import check_witness
from certifair.checks._individual.floats import Prepared
from certifair.evidence.witness import COUNTED, OPEN, SPLIT, TREE, TRIMMED, Rows, Tree, Witness, layers_to_json
from certifair.spec.domain import Domain, Feature
from tests.oracles import individual_brute as brute
from tests.oracles.individual_shares import moved_volumes, share_up_to

OWN = trimming.Rule.choose
SLOPES = ((0.0,), (0.0,), (0.0, 0.125), (1.0, 0.0), (0.5, -0.25, 1.0), (2.0, -1.5, 0.0, 1.0), (0.0, -1.0))
HOSTILE = (0.0, -0.0, 0.5, -1.0, 2.0**24, 1e39, 5e-324, float("nan"), float("inf"), -float("inf"))


# Sums and their shares.
def random_sums(rng, items):
    """Few terms of steps that are equal, tiny beside huge, or 0; (sums, its terms in plain numbers)."""
    n = int(rng.integers(0, 5))
    step = rng.choice([0.0, 1.0, 0.5, 1e-9, rng.random(), 10.0 ** rng.uniform(-300, 300)], (items, n))
    if rng.random() < 0.3:
        step[:] = rng.choice([1.0, 1 / 3, 1e-300, 1e300])
    most = [5, 5, 5, int(rng.choice([64, 65, 127, 128, 129, 2047, 2048, 2049, 2**24 + 1, 2**40]))]
    levels = rng.integers(1, 4, (items, n)).astype(np.float64)
    levels[:, :1] = rng.integers(max(most[rng.integers(4)] - 2, 1), max(most) + 1, (items, min(n, 1)))
    if rng.random() < 0.3:
        levels[rng.random((items, n)) < 0.5] = 0
        levels[levels > 5] = 5
    choices = []
    for _ in range(int(rng.integers(0, 3))):
        there = rng.random((items, 3)) < 0.6
        there[:, 0] |= ~there.any(axis=1)
        value = rng.choice([0.0, 1.0, -1.0, rng.normal()], (items, 3))
        one = np.take_along_axis(value, there.argmax(axis=1)[:, None], axis=1)
        choices.append((np.where(there, value, one), there))
    return spectra.Sums(step, levels, choices)


def terms_of(sums, i):
    """Steps, lengths and choices of one item, as `share_up_to` takes them."""
    pairs = list(zip(sums.step[i].tolist(), sums.levels[i].tolist(), strict=True))
    choices = [value[i][there[i]].tolist() for value, there in sums.choices]
    return [(c, int(n)) for c, n in pairs if n], [c for c, n in pairs if not n], choices


def thresholds(rng, sums, i):
    """Values of the sum, to the last bit and one bit beside, and its ends."""
    steps, lengths, choices = terms_of(sums, i)
    one = sum(c * (int(rng.integers(0, n)) - (n - 1) / 2) for c, n in steps)
    one += sum(float(rng.choice(values)) for values in choices) + sum(c * (rng.random() - 0.5) for c in lengths)
    reach = sums.reach[i]
    ends = [reach, -reach, reach / (1 + 2.0**-32), reach * rng.uniform(-1, 1)]
    return [one, np.nextafter(one, np.inf), np.nextafter(one, -np.inf), float(rng.choice(ends))]


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.filterwarnings("ignore:overflow")
def test_exact_shares_are_within_the_bounds(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(spectra, "AT_ONCE", int(rng.choice([1, 256, 1 << 16])))
    for _ in range(6):
        sums = random_sums(rng, int(rng.integers(1, 6)))
        if not np.isfinite(sums.reach).all():
            continue
        t = np.array([thresholds(rng, sums, i) for i in range(len(sums.step))])
        low, high = spectra.shares(sums, t, int(rng.choice([1, 8, 64, 256, 1024])))
        for i, row in enumerate(t.tolist()):
            for j, one in enumerate(row):
                assert Fraction(low[i, j]) <= share_up_to(*terms_of(sums, i), one) <= Fraction(high[i, j])


def test_thresholds_without_end_or_no_number_at_all():
    sums = spectra.Sums(np.array([[1.0, 2.0]]), np.array([[3.0, 0.0]]), [])
    t = np.array([[np.inf, -np.inf, np.nan]])
    low, high = spectra.shares(sums, t, 64)
    assert low.tolist() == [[1, 0, 0]]
    assert high.tolist() == [[1, 0, 1]]
    for step in (np.nan, np.inf):
        low, high = spectra.shares(spectra.Sums(np.array([[step, 2.0]]), sums.levels, []), np.zeros((1, 1)), 64)
        assert (low[0, 0], high[0, 0]) == (0, 1)


# Networks, domains and trees.
def random_domain(rng, most_points=200):
    """Relaxed and one-hot features, numbers near 2^24, single values, no unit's feature at all."""
    while True:
        features = [_feature(rng, i) for i in range(int(rng.integers(2, 6)))]
        some = len(features) if rng.random() < 0.1 else int(rng.integers(0, 3))
        features[:some] = [replace(f, sensitive=True, eps=0.0) for f in features[:some]]
        if not any(f.sensitive or f.eps for f in features):
            features[0] = replace(features[0], sensitive=True)
        if np.prod([f.levels for f in features]) <= most_points:
            return Domain("d", tuple(features[i] for i in rng.permutation(len(features))))


def _feature(rng, i):
    kind = rng.random()
    if kind < 0.2:
        return Feature(f"f{i}", "one_hot", values=tuple("abcd"[: rng.integers(1, 5)]))
    if kind < 0.25:
        return Feature(f"f{i}", "continuous", 0.3, 0.3, eps=float(rng.choice([0, 0.5])))
    low = int(rng.choice([-(2**24), 2**24 - 2, 1000])) if rng.random() < 0.1 else int(rng.integers(-3, 3))
    eps = float(rng.integers(0, 3)) if rng.random() < 0.25 else 0.0
    return Feature(f"f{i}", "integer", low, low + int(rng.integers(0, 3)), eps=eps)


def random_layers(rng, inputs, most=4):
    """Weights of 1e±30, huge biases, dead, doubled and nearly cancelling neurons; slopes of every kind; float32."""
    slopes = SLOPES[int(rng.integers(len(SLOPES)))]
    layers, n = [], inputs
    for m in [*rng.integers(1, 7, int(rng.integers(1, most))).tolist(), 1]:
        grid = rng.random() < 0.4
        weight = rng.integers(-3, 4, (m, n)) / 2 if grid else rng.normal(size=(m, n))
        bias = rng.integers(-6, 7, m) / 2 if grid else rng.normal(size=m) * 2
        what, scale = int(rng.integers(0, 8)), float(rng.choice([1e6, 1e-6, 1e12, 1e30, 1e-30]))
        if what == 0:
            weight[int(rng.integers(m))] *= scale
        elif what == 1:
            weight[:, int(rng.integers(n))] *= scale
        elif what == 2:
            bias = bias + rng.choice([2.0**24, -1e6]) * (rng.random(m) < 0.5)
        elif what == 3:
            weight[int(rng.integers(m))] = 0
        elif what == 4 and m > 1:
            weight[1], bias[1] = -weight[0], -bias[0] + rng.choice([0, 1e-7, 1e-30])
        layers.append(brute.layer(np.float32(weight), np.float32(bias), rng.choice(slopes, m)))
        n = m
    layers[-1] = replace(layers[-1], slope=np.ones(1))
    return layers, all(abs(slope) <= 1 for slope in slopes)


def shifted(rng, layers, float32, points):
    """Such that f is 0 at a point, or nearly."""
    value = rng.choice(np.array(brute.exact_values(brute.net(*layers), points), dtype=object))
    bias = np.float32(np.clip(float(layers[-1].bias[0]) - float(value), -3e38, 3e38))
    bias = np.nextafter(bias, np.float32(rng.choice([-np.inf, np.inf]))) if rng.random() < 0.3 else bias
    return brute.net(*layers[:-1], brute.layer(layers[-1].weight, [float(bias)], 1.0), float32=float32)


def random_tree(rng, domain, kinds, depth):
    nodes, level = [], [[(0.0, f.width - 1.0) if f.kind == "one_hot" else (f.low, f.high) for f in domain.features]]
    for deep in range(depth + 1):
        below = []
        for box in level:
            wide = [i for i, (a, b) in enumerate(box) if b > a]
            if deep == depth or not wide or rng.random() < 0.2:
                nodes.append((int(rng.choice(kinds)), 0, 0.0))
                continue
            i = int(rng.choice(wide))
            a, b = box[i]
            long = domain.features[i].kind == "continuous"
            c = (
                a + (b - a) * float(rng.choice([0.25, 0.5, 0.7]))
                if long
                else float(rng.integers(int(a) + 1, int(b) + 1))
            )
            nodes.append((SPLIT, i, c))
            below += [[*box[:i], ends, *box[i + 1 :]] for ends in ((a, c if long else c - 1), (c, b))]
        level = below
    kind, feature, cut = zip(*nodes, strict=True)
    return Tree(bytes(kind), array("H", feature), array("d", cut))


def any_ranges(rng, share):
    """In place of the rule: ranges of some neurons, cut off anywhere."""

    def choose(self, row, ends, slope, price):
        low, _, high = ends
        least, most = (np.where(rng.random(len(row)) < share, v, e) for v, e in ((0, low), (0, high)))
        part = np.sort(rng.random((2, len(row))), axis=0)
        inner = rng.random((2, len(row))) < share / 2
        least = np.where(inner[0], low + part[0] * (high - low), least)
        most = np.where(inner[1], low + part[1] * (high - low), most)
        wrong = ~((low <= least) & (least <= most) & (most <= high))
        return np.where(wrong, low, least), np.where(wrong, high, most)

    return choose


def check(layers, domain, tree):
    return check_witness(Witness(layers_to_json(layers), domain, tree, "attack"), layers, domain)


def faults(layers, domain, tree, truth):
    found = check(layers, domain, tree).shares
    if not layers.float32 and (found["float32"].certified or found["float32"].falsified):
        return ["float32"]
    return truth.faults(found["real"]) + truth.faults(found["float32"])


def attacked(rng, monkeypatch):
    """One of: the rule, an eager one, any ranges; mostly without the untrimmed count, which hides what is lost."""
    choose = any_ranges(rng, float(rng.choice([0.1, 0.3, 1.0]))) if rng.random() < 0.6 else OWN
    monkeypatch.setattr(trimming.Rule, "choose", choose)
    monkeypatch.setattr(trimming, "PRICE", float(rng.choice([0.2, 5.0])))
    if rng.random() < 0.7:
        monkeypatch.setattr(bands, "promising", lambda band, errors, found: np.zeros(len(found), dtype=bool))


def exact_shares(sums, t, degree):
    """In place of `spectra.shares`."""
    low, high = np.zeros_like(t), np.ones_like(t)
    for i, row in enumerate(t.tolist()):
        for j, one in enumerate(row):
            if np.isinf(one):
                low[i, j] = high[i, j] = one > 0
            elif np.isfinite(one) and np.isfinite(sums.reach[i]):
                share = share_up_to(*terms_of(sums, i), one)
                near = float(share)
                low[i, j] = near if Fraction(near) <= share else np.nextafter(near, 0)
                high[i, j] = near if Fraction(near) >= share else np.nextafter(near, 2)
    return low, high


# Whole witnesses.
@pytest.mark.parametrize("seed", range(100))
def test_without_any_margin_no_claim_is_false(seed, monkeypatch):
    """Small domains, shares exactly known: the theorem of `trimmed` alone."""
    rng = np.random.default_rng(seed)
    attacked(rng, monkeypatch)
    for where in (spectra, bands):
        monkeypatch.setattr(where, "shares", exact_shares)
    for _ in range(4):
        domain = random_domain(rng, 100)
        units = brute.units(domain)
        layers = shifted(rng, *random_layers(rng, domain.inputs), units.points)
        positive = np.array([v > 0 for v in brute.exact_values(layers, units.points)])
        truth = brute.truth_of(brute.decisions(positive, units.owner))
        for depth in (0, 2):
            assert not faults(layers, domain, random_tree(rng, domain, [TRIMMED, TRIMMED, COUNTED], depth), truth)


@pytest.mark.parametrize("seed", range(60))
def test_volumes_of_moves_and_flips_hold(seed, monkeypatch):
    """One continuous feature, relaxed or not, whose units are known exactly, and some finite ones."""
    rng = np.random.default_rng(seed)
    attacked(rng, monkeypatch)
    low, width = float(rng.choice([0, -1, 1e6])), float(rng.choice([1, 2, 0.125, 1024]))
    eps = float(width * rng.choice([0.0, 0.125, 0.03125, 2]))
    number = Feature("n", "integer", -1, int(rng.integers(-1, 3)), eps=float(rng.integers(0, 2)))
    one_hot = Feature("h", "one_hot", values=tuple("ab"), sensitive=bool(rng.random() < 0.5))
    others = [number, one_hot, Feature("a", "integer", 0, 1, sensitive=True)]
    there = rng.permutation(4).tolist()
    domain = Domain("d", tuple([*others, Feature("x", "continuous", low, low + width, eps=eps)][i] for i in there))
    column = domain.columns[there.index(3)][0]
    units = brute.units(
        Domain("r", tuple(f if f.name != "x" else replace(f, high=low, eps=0.0) for f in domain.features))
    )
    layers = shifted(
        rng, *random_layers(rng, domain.inputs, 3), units.points + width / 2 * np.eye(domain.inputs)[column]
    )
    far = units.points + width * np.eye(domain.inputs)[column]
    lines = [brute.along(layers, a, b) for a, b in zip(units.points, far, strict=True)]
    found = [
        moved_volumes([lines[i] for i in np.flatnonzero(units.owner == k)], Fraction(eps) / Fraction(width))
        for k in range(len(units.values))
    ]
    truth = brute.Truth(*(sum(part) * Fraction(width) for part in zip(*found, strict=True)))
    assert truth.positive + truth.negative + truth.unfair == domain.units
    for depth in (0, 2, 5):
        assert not faults(layers, domain, random_tree(rng, domain, [TRIMMED, COUNTED], depth), truth)


@pytest.mark.parametrize("seed", range(60))
def test_linear_functions_of_huge_ranges(seed, monkeypatch):
    """Up to 2^100 units and ties with f = 0 among them; beside f neurons whose ranges may be cut for nothing."""
    rng = np.random.default_rng(seed)
    attacked(rng, monkeypatch)
    monkeypatch.setattr(bands, "FEW", int(rng.choice([0, 1 << 13])))
    ranges = [(-(2**24), 2**24), (0, 99), (-3, 2), (0, 1), (-1, 1)]
    features = [Feature(f"n{i}", "integer", *ranges[i]) for i in range(5) if rng.random() < 0.7]
    dead = [Feature(f"d{i}", "integer", -(2**24), 2**24) for i in range(int(rng.choice([0, 1, 3])))]
    features = [*features, Feature("a", "integer", 0, int(rng.integers(0, 3)), sensitive=True), *dead]
    domain, n = Domain("d", tuple(features)), len(features) - len(dead)
    weight = np.float32(rng.choice([1.0, -1.0, 0.5, rng.normal(), 1e-3], n)).astype(np.float64)
    steps = [(abs(w), f.levels) for w, f in zip(weight[:-1].tolist(), features, strict=False)]
    middle = sum((Fraction(w) * Fraction(f.low + f.high) / 2 for w, f in zip(weight[:-1], features, strict=False)), 0)
    point = sum((Fraction(w) * rng.integers(f.low, f.high + 1) for w, f in zip(weight[:-1], features, strict=False)), 0)
    flip = float(weight[-1]) * features[n - 1].high
    bias = float(np.float32(-float(point) - rng.choice([0, flip])))
    most, least = -Fraction(bias) - middle - Fraction(min(flip, 0)), -Fraction(bias) - middle - Fraction(max(flip, 0))
    at_most, negative = (share_up_to(steps, [], [], t) * domain.units for t in (most, least))
    truth = brute.Truth(domain.units - at_most, negative, at_most - negative)
    row = np.append(weight, np.zeros(len(dead)))
    first = brute.layer([row, row, -row], [bias, bias, 0], [1.0, 0.0, 0.5])
    layers = brute.net(first, brute.layer([[1.0, 0.0, 0.0]], [0.0], 1.0))
    for depth in (0, 4):
        assert not faults(layers, domain, random_tree(rng, domain, [TRIMMED, COUNTED], depth), truth)


def in_layer_only(rng, layer):
    """In place of the rule: the range of one neuron of this layer, cut off at one end."""
    calls = iter(range(99))

    def choose(self, row, ends, slope, price):
        low, high = ends[0].copy(), ends[2].copy()
        if next(calls) == layer and len(row):
            j, part = int(rng.integers(len(row))), float(rng.choice([0.25, 0.5, rng.random()]))
            cut = low[j] + part * (high[j] - low[j])
            if low[j] < cut < high[j]:
                (low if rng.random() < 0.5 else high)[j] = cut
        return low, high

    return choose


@pytest.mark.parametrize("seed", range(60))
def test_units_that_leave_a_range_are_subtracted(seed, monkeypatch):
    """Of one neuron, in the first or a later layer, at every point of every flip set, moves among them."""
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(spectra, "shares", exact_shares)
    for _ in range(4):
        domain, layer = random_domain(rng, 100), int(rng.integers(0, 3))
        units, layers = brute.units(domain), brute.net(*random_layers(rng, domain.inputs)[0])
        monkeypatch.setattr(trimming.Rule, "choose", in_layer_only(rng, layer))
        frame, net = Frame(domain), Prepared(layers)
        ends = frame.hull(*frame.relaxed(*frame.root))
        box = enclosures.enclose(net, *ends)
        trim = trimmed._Trim(frame, *frame.root, box)
        ranges = enclosures.enclose(net, *ends, trim).ranges
        if layer >= len(layers.layers) - 1:
            assert not trim.bad.any()
            continue
        low, high = ranges.low[layer][0], ranges.high[layer][0]
        for j in np.flatnonzero((low > box.ranges.low[layer][0]) | (high < box.ranges.high[layer][0])).tolist():
            whole = layers.layers[layer]
            one = brute.layer(whole.weight[[j]], whole.bias[[j]], 1.0)
            z = brute.exact_values(brute.net(*layers.layers[:layer], one), units.points)
            left = np.array([not low[j] <= v <= high[j] for v in z])
            assert (brute.decisions(~left, units.owner) != 1).mean() <= trim.bad[0]


@pytest.mark.parametrize("kind", [COUNTED, TRIMMED])
def test_levels_that_hardly_differ_are_both_held_to(kind, monkeypatch):
    """1 + 2^-25 − 1 is 0 in float32, if it is added up so, and above 0 over the reals, as are three more of 8 units."""
    for where in (spectra, bands):
        monkeypatch.setattr(where, "shares", exact_shares)
    monkeypatch.setattr(bands, "FEW", 0)
    features = [Feature(f"n{i}", "integer", 0, 1) for i in range(3)]
    domain = Domain("d", (*features, Feature("a", "integer", 0, 1, sensitive=True)))
    layers = brute.net(brute.layer([[1.0, 2.0**-25, -1.0, 0.0]], [0.0], 1.0))
    found = check(layers, domain, Tree(bytes([kind]), array("H", [0]), array("d", [0.0]))).shares
    assert 2 <= found["float32"].positive <= 3
    assert 2 <= found["real"].positive <= 4
    assert 2 <= found["real"].negative <= 4


def mutated(rng, tree):
    """Errors: ValueError for what is no tree any more."""
    kind, feature, cut = bytearray(tree.kind), array("H", tree.feature), array("d", tree.cut)
    for _ in range(int(rng.integers(1, 4))):
        i, j = (int(v) for v in rng.integers(0, len(kind), 2))
        what = int(rng.integers(0, 8))
        if what <= 1:
            kind[i] = TRIMMED if what else int(rng.integers(0, 9))
        elif what == 2:
            feature[i] = int(rng.choice([0, 1, 2, 9, 65535]))
        elif what <= 4:
            cut[i] = cut[i] + float(rng.choice([-1, 1])) if what == 3 else float(rng.choice(HOSTILE))
        elif what == 5:
            kind[i], kind[j] = kind[j], kind[i]
        elif what == 6 and len(kind) > 2:
            del kind[-2:], feature[-2:], cut[-2:]
        else:
            cut[i], cut[j] = cut[j], cut[i]
    return Tree(bytes(kind), feature, cut)


def test_mutated_trees_of_nasty_networks_never_claim_what_is_false(monkeypatch):
    rng = np.random.default_rng(11)
    accepted = 0
    for _ in range(100):
        domain = random_domain(rng)
        units = brute.units(domain)
        layers = shifted(rng, *random_layers(rng, domain.inputs), units.points)
        positive = np.array([v > 0 for v in brute.exact_values(layers, units.points)])
        truth = brute.truth_of(brute.decisions(positive, units.owner))
        for _ in range(6):
            with monkeypatch.context() as some:
                attacked(rng, some)
                try:
                    assert not faults(layers, domain, mutated(rng, random_tree(rng, domain, [TRIMMED], 3)), truth)
                except ValueError:
                    continue
                accepted += 1
    assert accepted > 150


@pytest.mark.parametrize("seed", range(40))
def test_trimmed_trees_of_rows(seed, monkeypatch):
    """One flip set each: all of it is sensitive, so that ranges are left by this one unit or by none."""
    rng = np.random.default_rng(seed)
    leaf = Tree(bytes([TRIMMED]), array("H", [0]), array("d", [0.0]))
    for _ in range(5):
        attacked(rng, monkeypatch)
        domain = random_domain(rng, 60)
        units = brute.units(domain)
        layers = shifted(rng, *random_layers(rng, domain.inputs), units.points)
        decided = np.array([v > 0 for v in brute.exact_values(layers, units.points)])
        codes = brute.decisions(decided, units.owner)
        rows = units.points[np.unique(units.owner, return_index=True)[1]]
        about = Rows(bytes([TREE] * len(rows)), array("d"), (leaf,) * len(rows))
        found = check_witness(Witness(layers_to_json(layers), domain, about, "attack"), layers, domain, rows)
        for verdict in found.verdicts.values():
            assert ((verdict == 0) | (verdict == np.where(codes == 2, 2, 1))).all()


def test_nothing_is_proven_by_trimmed_leaves_of_curves():
    domain = Domain("d", (Feature("n", "integer", 0, 3), Feature("a", "integer", 0, 1, sensitive=True)))
    first = replace(brute.layer(np.ones((2, 2)), np.zeros(2)), curve=np.ones(2, dtype=np.int8))
    layers = brute.net(first, brute.layer(np.ones((1, 2)), np.zeros(1), 1.0))
    for kind in (OPEN, COUNTED, TRIMMED):
        tree = Tree(bytes([kind]), array("H", [0]), array("d", [0.0]))
        assert check(layers, domain, tree).shares["real"].undecided == 1
