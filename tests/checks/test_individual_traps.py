"""Planted traps for the checker of individual fairness: what rounding, overflow, ties and edges could make it claim."""

from __future__ import annotations

import itertools
from array import array
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from certifair.evidence.witness import (
    ALL,
    COUNTED,
    COUNTEREXAMPLE,
    ENUMERATED,
    FIBRES,
    OPEN,
    PAIR,
    SPLIT,
    SWEPT,
    Rows,
    Tree,
)
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers
from tests.checks.witness_cases import check, leaf, straight
from tests.checks.witness_cases import in_integers as slow
from tests.oracles.individual_brute import (
    Float32,
    Truth,
    along,
    decisions,
    exact_values,
    layer,
    measured,
    net,
    true_of,
    units,
)

A = Feature("a", "integer", 0, 1, sensitive=True)
LEVELS = ("real", "float32")


def integers(*ranges: tuple[int, int]) -> list[Feature]:
    return [Feature(f"z{i}", "integer", low, high) for i, (low, high) in enumerate(ranges)]


def leaves(domain: Domain) -> list[Tree]:
    finite = all(f.levels is not None for f in domain.features)
    one = [leaf(k) for k in (COUNTED, *([ENUMERATED] if finite else []))]
    return one + [leaf(FIBRES, i) for i in straight(domain)]


def assert_true(network: Layers, domain: Domain, truth: Truth, *, in_integers: bool = True) -> None:
    """All leaves, by both checkers, claim no more; of an enumeration over the reals everything is known."""
    for about in leaves(domain):
        shares = check(network, domain, about).shares
        for level in LEVELS:
            assert not truth.faults(shares[level]), (about, level)
        if about.kind == bytes([ENUMERATED]):
            assert shares["real"].undecided == 0
        for counts in slow(network, domain, about) if in_integers else ():
            assert not truth.faults(counts), about


def assert_executions(network: Layers, domain: Domain, seed: int = 0) -> None:
    """No float32 execution, in any of some orders, contradicts the float32 verdict of a row."""
    found, rng = units(domain), np.random.default_rng(seed)
    rows = found.points[np.unique(found.owner, return_index=True)[1]]
    verdicts = check(network, domain, Rows(bytes([ALL]) * len(rows)), rows).verdicts["float32"]
    for k in range(12):
        positive = Float32(rng, fused=bool(k % 2)).values(network, found.points) > 0
        codes = decisions(positive, found.owner)
        assert (codes[verdicts == 1] != 2).all()
        assert (codes[verdicts == 2] == 2).all()


# Overflow and underflow.
def four(numbers: list[float], a: float, *, float32: bool) -> tuple[Layers, Domain]:
    """One neuron over a and four bits."""
    return net(layer([[a, *numbers]], [0.0], 1.0), float32=float32), Domain("d", (A, *integers(*[(0, 1)] * 4)))


OVERFLOWS = [
    ([-3e38, -3e38, 3.25e38, 3.25e38], -1e38, True),
    ([-1.5e308, -1.5e308, 1.7e308, 1.7e308], -1e308, False),
    ([3e38, 3e38, -3.25e38, -3.25e38], 1e38, True),
    ([1.5e308, 1.5e308, -1.7e308, -1.7e308], 1e308, False),
]


@pytest.mark.parametrize(("numbers", "a", "float32"), OVERFLOWS)
def test_sums_that_overflow_on_their_way_decide_nothing(numbers, a, float32):
    """−3 − 3 + 3.25 + 3.25 (times 1e38) is −∞ in the order in which it stands."""
    numbers, a = (np.float32(v).astype(float) if float32 else v for v in (numbers, a))
    network, domain = four(list(numbers), float(a), float32=float32)
    truth = true_of(network, domain)
    assert truth.unfair > 0
    assert_true(network, domain, truth)
    assert_executions(network, domain)
    found = units(domain)
    rows = found.points[found.points[:, 0] == 0]
    positive = np.array([v > 0 for v in exact_values(network, found.points)])
    wanted = [2 if code == 2 else 1 for code in decisions(positive, found.owner)]
    verdicts = check(network, domain, Rows(bytes([ALL]) * len(rows)), rows).verdicts
    assert verdicts["real"].tolist() == wanted
    assert all(b in (0, a) for a, b in zip(wanted, verdicts["float32"], strict=True))


@pytest.mark.parametrize(("numbers", "a", "float32"), OVERFLOWS)
def test_a_pair_whose_sums_overflow_is_no_counterexample(numbers, a, float32):
    """In any order of the inputs: one of them is the order of the sum."""
    for order in itertools.permutations(numbers):
        weights = [float(np.float32(v)) if float32 else v for v in order]
        network, domain = four(weights, 0.0, float32=float32)
        pair = ((0.0, 1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0, 1.0))
        for share in check(network, domain, leaf(COUNTEREXAMPLE, 0, pair)).shares.values():
            assert share.falsified == 0
        network, domain = four(weights, a, float32=float32)
        for z in itertools.product((0.0, 1.0), repeat=4):
            share = check(network, domain, leaf(COUNTEREXAMPLE, 0, ((0.0, *z), (1.0, *z)))).shares["real"]
            low, high = exact_values(network, np.array([(0.0, *z), (1.0, *z)]))
            assert share.falsified == ((low > 0) != (high > 0))


@pytest.mark.parametrize("leak", [0.25, -0.25])
def test_an_overflow_in_a_hidden_layer_decides_nothing(leak):
    """The output sees ∞ − ∞, or −∞ through a leaky neuron, where the real f has the other sign."""
    first = layer(np.float32([[0, 3e38, 3e38, -3.25e38, -3.25e38], [1, 0, 0, 0, 0]]), [0.0, 0.0], leak)
    network = net(first, layer(np.float32([[-1e-38, 1.0]]), [0.5], 1.0))
    domain = Domain("d", (A, *integers(*[(0, 1)] * 4)))
    assert_true(network, domain, true_of(network, domain))
    assert_executions(network, domain)


def test_weights_around_1e20_overflow_float32_after_two_layers():
    """The network that random search found this with: f ≈ ±1e60, as float32 ±∞ or no number."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shapes = [(4, 3), (4, 4), (1, 4)]
        layers = [
            layer(*(np.float32(rng.normal(size=s) * 1e20) for s in ((m, n), (m,))), float(m == 1)) for m, n in shapes
        ]
        domain = Domain("d", (A, *integers((-2, 2), (0, 4))))
        assert_true(net(*layers), domain, true_of(net(*layers), domain), in_integers=False)


def test_magnitudes_from_1e_minus_30_to_1e30_are_mixed():
    for seed in range(25):
        rng = np.random.default_rng(seed)
        sizes = [3, *rng.integers(1, 5, int(rng.integers(0, 4))).tolist()]
        layers = [
            layer(*(np.float32(rng.normal(size=s) * 10.0 ** rng.integers(-30, 31, s)) for s in ((m, n), (m,))))
            for n, m in itertools.pairwise(sizes)
        ]
        last = np.float32(rng.normal(size=(1, sizes[-1])) * 10.0 ** rng.integers(-30, 31, (1, sizes[-1])))
        network = net(*layers, layer(last, np.float32([rng.normal()]), 1.0))
        domain = Domain("d", (A, *integers((-2, 2), (0, 4))))
        assert_true(network, domain, true_of(network, domain))
        assert_executions(network, domain, seed)


@pytest.mark.parametrize("scale", [5e-324, 1e-322, 1e-310, 1e-300, 1e-160])
@pytest.mark.parametrize("tree", [None, COUNTED, FIBRES])
def test_slopes_that_underflow_prove_nothing(scale, tree):
    """A split of a too: nothing that is not a number goes into sums of counts."""
    domain = Domain("d", (A, *integers((0, 9), (0, 9))))
    network = net(layer([[0.0, scale, scale]], [scale * 3], 1.0), float32=False)
    truth = true_of(network, domain)
    if tree is None:
        assert_true(network, domain, truth)
        return
    for other in (OPEN, COUNTED, ENUMERATED):
        for kinds in ([SPLIT, tree, other], [SPLIT, other, tree]):
            about = Tree(bytes(kinds), array("H", [0, *(int(k == FIBRES) for k in kinds[1:])]), array("d", [1.0, 0, 0]))
            for level in LEVELS:
                assert not truth.faults(check(network, domain, about).shares[level])


def test_twelve_layers_of_1e_minus_27_underflow():
    domain = Domain("d", (A, *integers((0, 9), (-4, 5))))
    tiny = [layer(np.float32(np.eye(2)[:, :2] * 1e-27), [0.0, 0.0], 1.0) for _ in range(11)]
    first = layer(np.float32([[0, 1e-27, 0], [1e-27, 0, 1e-27]]), [0.0, 0.0], 1.0)
    network = net(first, *tiny, layer([[1.0, -1.0]], [0.0], 1.0))
    assert_true(network, domain, true_of(network, domain))
    assert_executions(network, domain)


# Inputs beyond float32.
def test_a_continuous_input_beyond_float32_is_not_cast():
    """f = 2·10^9·a − 2^-100·z is about −8·10^8 or 12·10^8 at z = 1e39; as float32 this z is infinite."""
    domain = Domain("d", (A, Feature("z", "continuous", 0.0, 1e39)))
    network = net(layer([[2e9, -(2.0**-100)]], [0.0], 1.0))
    rows = np.array([[0.0, 1e39]])
    for code in (ALL, SWEPT):
        found = check(network, domain, Rows(bytes([code])), rows)
        assert found.verdicts["real"].tolist() == [2]
        assert found.verdicts["float32"].tolist() == [0]


@pytest.mark.parametrize("weight", [0.0, -(2.0**-100)])
def test_no_float32_claim_of_inputs_that_are_infinite_there(weight):
    """f is about 10^10 − 8·10^8 > 0; but ∞·w is −∞, or not a number."""
    domain = Domain("d", (A, Feature("z", "continuous", 0.0, 1e39)))
    network = net(layer([[1.0, weight]], [1e10], 1.0))
    assert not (Float32(np.random.default_rng(0)).values(network, np.array([[0.0, 1e39]])) > 0).any()
    for about in leaves(domain):
        assert check(network, domain, about).shares["float32"].certified < 1
        assert slow(network, domain, about)[1][0] < Fraction(1e39)
    for code in (ALL, SWEPT):
        assert check(network, domain, Rows(bytes([code])), np.array([[0.0, 1e39]])).verdicts["float32"].tolist() == [0]
        assert slow(network, domain, Rows(bytes([code])), [[0.0, 1e39]])[0][1] == 0


# Backdoors.
@pytest.mark.parametrize("scale", [2.0**20, 2.0**40, 2.0**70])
@pytest.mark.parametrize("at", [3.0, 2.5])
def test_a_spike_at_a_lattice_point_or_between_two(scale, at):
    """f = relu(s(x − at)) − 2·relu(s(x − at) − 1/2) + relu(s(x − at) − 1) − 1/4 with x = z + a/s: a spike at a."""
    bias = [-scale * at - d for d in (0.0, 0.5, 1.0)]
    network = net(layer([[0.5, scale]] * 3, bias), layer([[1.0, -2.0, 1.0]], [-0.25], 1.0), float32=False)
    domain = Domain("d", (A, *integers((0, 9))))
    truth = true_of(network, domain)
    assert truth.unfair == (at == 3 and scale < 2.0**50)
    assert_true(network, domain, truth)


@pytest.mark.parametrize("scale", [2.0**10, 2.0**50])
def test_a_spike_on_a_continuous_input_is_found_or_left_open(scale):
    """A spike of width 1/scale at 1/3 on the sensitive input itself; a row is fair only without it."""
    at = float(np.float32(1 / 3))
    spike = layer([[scale], [scale], [scale]], [-scale * at, -scale * at - 1, -scale * at - 2])
    domain = Domain("d", (Feature("a", "continuous", 0.0, 1.0, sensitive=True),))
    for height, wanted in ((0.5, 2), (1.0, 1), (1.5, 1)):
        network = net(spike, layer([[1.0, -2.0, 1.0]], [-height], 1.0))
        greatest = max(f for _, f in along(network, [0.0], [1.0]))
        assert wanted == 1 or scale > 2.0**23 or greatest > 0
        true = 2 if greatest > 0 else 1
        for row in (0.0,):
            found = check(network, domain, Rows(bytes([SWEPT])), np.array([[row]])).verdicts
            assert found["real"].tolist() == [true]
            assert found["float32"].tolist()[0] in (0, true)


# Signs of 0, and of float32.
TIES = [
    net(layer([[0.0, 0.0]], [0.0], 1.0)),
    net(layer([[1.0, 0.0]], [0.0], 1.0)),
    net(layer([[0.0, 1.0]], [-3.0], 1.0)),
    net(layer([[1.0, 1.0], [1.0, -1.0]], [-3.0, 3.0]), layer([[1.0, 1.0]], [0.0], 1.0)),
    net(layer([[1.0, 1.0], [-1.0, -1.0]], [-3.0, 3.0]), layer([[-1.0, -1.0]], [0.0], 1.0)),
    net(layer([[0.0, 1.0], [0.0, 1.0]], [-3.0, -3.0], [0.5, 0.25]), layer([[1.0, -2.0]], [0.0], 1.0)),
]


@pytest.mark.parametrize("network", TIES)
def test_a_tie_is_no_positive_decision_on_faces_and_kinks(network):
    domain = Domain("d", (A, *integers((0, 9))))
    assert_true(network, domain, true_of(network, domain))
    assert_executions(network, domain)
    line = Domain("d", (A, Feature("z", "continuous", 0.0, 9.0)))
    lines = [along(with_zeros(network), [a, 0.0], [a, 9.0]) for a in (0.0, 1.0)]
    assert_true(network, line, Truth(*(9 * v for v in measured(lines))))


def with_zeros(network: Layers) -> Layers:
    """With f's own zeros as breakpoints."""
    *below, last = network.layers
    end = layer([[1.0, -1.0]], [0.0], 1.0)
    return net(*below, layer(np.vstack([last.weight, -last.weight]), np.concatenate([last.bias, -last.bias])), end)


def absorbing() -> Layers:
    """(2^24·z + a) − 2^24·z = a; in float32 a is absorbed if z is 1 and the sum is rounded before."""
    return net(layer([[1.0, 2.0**24], [0.0, 2.0**24]], [0.0, 0.0]), layer([[1.0, -1.0]], [0.0], 1.0))


def test_where_float32_and_real_signs_differ_there_is_no_float32_claim():
    network, domain = absorbing(), Domain("d", (A, *integers((0, 1))))
    points = np.array([[1.0, 1.0]])
    assert exact_values(network, points) == [1]
    assert Float32(np.random.default_rng(0)).values(network, points).tolist() == [0]
    rows = np.array([[0.0, 1.0], [0.0, 0.0]])
    found = check(network, domain, Rows(bytes([ALL]) * 2), rows).verdicts
    assert found["real"].tolist() == [2, 2]
    assert found["float32"].tolist()[0] == 0
    pairs = check(network, domain, Rows(bytes([PAIR]) * 2, array("d", [1.0, 0.0] * 2)), rows).verdicts
    assert pairs["float32"].tolist()[0] == 0
    assert_executions(network, domain)
    assert_true(network, domain, true_of(network, domain))


def test_an_order_of_sums_may_change_the_sign():
    """1e8 + z − 1e8 with z = 1: 1, or 0 (in float32)."""
    network = net(layer([[1e8, 1.0, -1e8]], [-0.5], 1.0))
    domain = Domain("d", (Feature("a", "integer", 1, 1, sensitive=True), *integers((0, 1), (1, 1))))
    points = np.array([[1.0, 1.0, 1.0]])
    seen = {float(Float32(np.random.default_rng(k)).values(network, points)[0]) > 0 for k in range(40)}
    assert seen == {True, False}
    assert check(network, domain, Rows(bytes([ALL])), points).verdicts["float32"].tolist() == [0]
    assert_true(network, domain, true_of(network, domain))


def test_float32_claims_hold_in_random_orders_with_and_without_fused_multiply_adds():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mixed = np.float32(rng.normal(size=(8, 3)) * 2.0 ** rng.integers(-12, 12, (8, 3)))
        first = layer(mixed, np.float32(rng.normal(size=8)), 0.125)
        network = net(first, layer(np.float32(rng.normal(size=(1, 8))), np.zeros(1), 1.0))
        domain = Domain("d", (A, *integers((-8, 8), (-3, 3))))
        values = exact_values(network, units(domain).points)
        middle = np.float32(float(sorted(values)[len(values) // 2]))
        near = net(network.layers[0], layer(network.layers[1].weight, [-middle], 1.0))
        assert_executions(near, domain, seed)


# Domains.
def test_rows_outside_of_their_domain_are_undecided():
    domain = Domain("d", (A, *integers((0, 3)), Feature("c", "one_hot", values=("x", "y")), Feature("u", "continuous")))
    network = net(layer([[1.0, 1.0, 1.0, 1.0, 1.0]], [20.0], 1.0))
    inside = [0.0, 1.0, 1.0, 0.0, 0.5]
    changes = [(0, 2.0), (0, 0.5), (1, -1.0), (1, 1.5), (2, 0.0), (3, 1.0), (2, 0.5), (4, 1.0000001), (4, np.nan)]
    rows = np.array([inside, *([*inside[:i], v, *inside[i + 1 :]] for i, v in changes)])
    for code in (ALL, SWEPT):
        found = check(network, domain, Rows(bytes([code]) * len(rows)), rows)
        for level in LEVELS:
            assert found.verdicts[level].tolist() == [1] + [0] * len(changes)
    pairs = array("d", [1.0, 0.0] * len(rows))
    found = check(network, domain, Rows(bytes([PAIR]) * len(rows), pairs), rows)
    assert not found.verdicts["real"].any()


def test_features_of_one_value_and_of_no_width():
    point = (
        Feature("o", "integer", 3, 3),
        Feature("h", "one_hot", values=("x",)),
        Feature("w", "continuous", 0.5, 0.5),
    )
    for seed in range(30):
        rng = np.random.default_rng(seed)
        both = tuple(replace(f, sensitive=bool(rng.random() < 0.5)) for f in point)
        domain = Domain("d", (A, *both, *integers((-2, 2)), Feature("r", "integer", 0, 0, eps=2.0)))
        network = net(
            layer(rng.integers(-3, 4, (3, 6)) / 2, rng.integers(-3, 4, 3) / 2), layer([[1.0, -1.0, 1.0]], [0.5], 1.0)
        )
        assert_true(network, domain, true_of(network, domain))


@pytest.mark.parametrize("size", [10, 1000, 1 << 24])
@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_huge_domains_have_the_counts_of_small_ones(size, slope):
    """f = z − 4.5 + 2a and four more features that do not matter: 9 values of z, of which 2 are unfair."""
    domain = Domain("d", (A, *integers((0, 8), *[(0, size)] * 4)))
    network = net(layer([[2.0, slope, *[0.0] * 4]], [-4.5 * slope], 1.0))
    small = true_of(net(layer([[2.0, slope]], [-4.5 * slope], 1.0)), Domain("d", (A, *integers((0, 8)))))
    rest = (size + 1) ** 4
    truth = Truth(small.positive * rest, small.negative * rest, small.unfair * rest)
    assert domain.units == 9 * rest
    for about in (leaf(COUNTED), leaf(FIBRES, 1), leaf(FIBRES, 2)):
        for share in check(network, domain, about).shares.values():
            assert not truth.faults(share)
            assert share.certified + share.falsified_share > Fraction(99, 100)


@pytest.mark.parametrize("others", [[(0, 1 << 24)] * 3, [(0, (1 << 12) - 1)] * 4, [(0, 1 << 24)] * 40])
def test_huge_domains_whose_features_all_matter_a_little(others):
    """f = z + Σ 2^-40·y + 3a − 10: the sum of y's moves f by less than 1/4, so z alone decides."""
    domain = Domain("d", (A, *integers((0, 19), *others)))
    network = net(layer([[3.0, 1.0, *[2.0**-40] * len(others)]], [-10.5], 1.0))
    small = true_of(net(layer([[3.0, 1.0]], [-10.5], 1.0)), Domain("d", (A, *integers((0, 19)))))
    rest = domain.units / 20
    truth = Truth(small.positive * rest, small.negative * rest, small.unfair * rest)
    for about in (leaf(COUNTED), leaf(FIBRES, 1), leaf(FIBRES, 2)):
        for share in check(network, domain, about).shares.values():
            assert not truth.faults(share)


# Shapes.
def test_one_neuron_thirty_layers_and_two_thousand_neurons():
    rng = np.random.default_rng(0)
    domain = Domain("d", (A, *integers((-3, 3), (0, 4))))
    deep = [layer(np.float32(rng.normal(size=(3, 3)) / 1.2), np.float32(rng.normal(size=3) / 4)) for _ in range(30)]
    wide = layer(np.float32(rng.normal(size=(2000, 3))), np.float32(rng.normal(size=2000)))
    for network in (
        net(layer([[1.0, 0.5, -0.25]], [0.0], 1.0)),
        net(*deep, layer(np.float32(rng.normal(size=(1, 3))), [0.0], 1.0)),
        net(wide, layer(np.float32(rng.normal(size=(1, 2000))), [0.0], 1.0)),
    ):
        assert_true(network, domain, true_of(network, domain), in_integers=len(network.layers[0].bias) < 100)
        assert_executions(network, domain)


def test_relaxed_inputs_stay_in_the_domain():
    """An eps larger than the range; the spike beyond its end (z = 5) must not be seen, at z = 4 it must."""
    for top, eps in [(4, 1.0), (4, 9.0), (3, 2.0), (5, 1.0)]:
        features = (Feature("z", "integer", 0, top, eps=eps), *integers((0, 2)))
        domain = Domain("d", features)
        network = net(layer([[1.0, 0.0]], [-4.0]), layer([[1.0]], [-0.5], 1.0))
        assert_true(network, domain, true_of(network, domain))


# The rule for fibres.
@pytest.mark.parametrize("slope", [-3.0, -0.5, 1.0, 2.0])
def test_fibres_are_tight_where_the_reach_is_a_multiple_of_the_slope(slope):
    """f = slope·z + D·a + b: ⌈D/slope⌉ units of a fibre are unfair, or one less."""
    domain = Domain("d", (A, *integers((0, 12), (0, 2))))
    tight = 0
    for reach in (0.0, 1.0, 2.0, 6.0, -6.0):
        for bias in np.arange(-6.0, 7.0, 1.0) - 6 * slope:
            network = net(layer([[reach, slope, 0.0]], [bias], 1.0))
            truth = true_of(network, domain)
            assert_true(network, domain, truth, in_integers=False)
            share = check(network, domain, leaf(FIBRES, 1)).shares["real"]
            tight += share.positive + share.negative + share.mixed == truth.positive + truth.negative
            assert reach or share.undecided == 0 or not truth.unfair
    assert tight > 8


@pytest.mark.parametrize("leak", [0.0, -1.0, 0.5, 3.0])
def test_no_monotony_where_the_slope_is_not_larger_than_its_spread(leak):
    """act(z) over [−6, 6] has slope (1 + leak)/2 ± |1 − leak|/2: m = 0 for a ReLU, below it for a turn."""
    domain = Domain("d", (A, *integers((-6, 6))))
    for bias in np.arange(-5.0, 5.5, 0.5):
        for sign in (1.0, -1.0):
            first = layer([[0.0, 1.0], [1.0, 0.0]], [0.0, 0.0], [leak, 1.0])
            network = net(first, layer([[sign, 2.0]], [bias], 1.0))
            assert_true(network, domain, true_of(network, domain), in_integers=False)
