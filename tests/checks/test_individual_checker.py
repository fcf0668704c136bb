"""The checker of individual fairness against brute force in fractions, on many small networks and trees."""

from __future__ import annotations

from array import array
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from certifair.checks._individual import enclosures, integers
from certifair.checks._individual.check import check_witness
from certifair.checks._individual.floats import Prepared
from certifair.checks._individual.independence import independent
from certifair.checks._individual.points import Judge
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
    TREE,
    TRIMMED,
    UNDECIDED,
    Rows,
    Tree,
    Witness,
    layers_to_json,
)
from certifair.spec.domain import Domain, Feature
from tests.checks.witness_cases import (
    WITHOUT_PAIRS,
    check,
    in_integers,
    leaf,
    random_domain,
    random_tree,
    row_box,
    whole,
)
from tests.oracles.individual_brute import Truth, decode, encode, exact, flip_values, flipped, layer, net, true_of


def network(rng, inputs, *, widths=None, slopes=(0.0,), grid=None, scale=1.0):
    """A network of random float32 weights; on a grid of multiples of 1/grid there are exact ties."""
    widths = [int(w) for w in rng.integers(1, 6, rng.integers(0, 4))] if widths is None else widths
    layers, n = [], inputs
    for k, m in enumerate([*widths, 1]):
        weight = rng.normal(size=(m, n)) if grid is None else rng.integers(-3, 4, (m, n)) / grid
        bias = rng.normal(size=m) * 2 if grid is None else rng.integers(-3, 4, m) / grid
        weight, bias = (np.float32(v * (scale if k == 0 else 1)) for v in (weight, bias))
        layers.append(layer(weight, bias, 1.0 if k == len(widths) else rng.choice(np.float32(slopes), m)))
        n = m
    return net(*layers)


def random_case(seed, **options):
    rng = np.random.default_rng(seed)
    d = random_domain(rng, eps=1, **options)
    grid = [None, 1, 2][seed % 3]
    slopes = [(0.0,), (0.0, 0.1), (0.0, 1.0), (0.5, -0.25, 2.0, 1.0)][seed % 4]
    scale = [1.0, 1.0, 1e-20, 1e20][seed % 4] if grid is None else 1.0
    return rng, network(rng, d.inputs, slopes=slopes, grid=grid, scale=scale), d


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_enumerating_is_exact(seed, relaxed):
    _, layers, d = random_case(seed, relaxed=relaxed)
    shares = check(layers, d, leaf(ENUMERATED)).shares
    real, single = shares["real"], shares["float32"]
    assert Truth(real.positive, real.negative, real.falsified) == true_of(layers, d)
    assert real.undecided == 0
    assert single.certified <= real.certified
    assert single.falsified <= real.falsified


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("seed", range(80))
def test_leaves_never_claim_more_than_is_true(seed, relaxed):
    rng, layers, d = random_case(seed + 1000, relaxed=relaxed, size=12 if seed % 2 else 4)
    truth = true_of(layers, d)
    for _ in range(4):
        tree = random_tree(rng, d, WITHOUT_PAIRS)
        for share in check(layers, d, tree).shares.values():
            assert not truth.faults(share)


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_integers_agree_and_never_claim_more_than_is_true(seed, relaxed):
    rng, layers, d = random_case(seed + 2000, relaxed=relaxed)
    truth = true_of(layers, d)
    real, single = in_integers(layers, d, leaf(ENUMERATED))
    assert real == (truth.positive, truth.negative, 0, truth.unfair)
    shares = check(layers, d, leaf(ENUMERATED)).shares["float32"]
    assert single == (shares.positive, shares.negative, 0, shares.falsified)
    tree = random_tree(rng, d, WITHOUT_PAIRS, depth=2)
    for counts in in_integers(layers, d, tree):
        assert not truth.faults(counts)


def rows_of(rng, d, n):
    return np.array([encode(d, [int(rng.integers(a, b + 1)) for a, b in whole(d)]) for _ in range(n)])


def row_points(d, row):
    """All points of a row's flip set."""
    return [tuple(encode(d, values)) for values in flip_values(d, decode(d, row))]


def row_truth(layers, d, row):
    return len({exact(layers, x) > 0 for x in row_points(d, row)})


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_rows_by_enumeration_and_by_pairs(seed, relaxed):
    rng, layers, d = random_case(seed + 3000, relaxed=relaxed)
    rows = rows_of(rng, d, 8)
    wanted = [row_truth(layers, d, row) for row in rows]
    found = check(layers, d, Rows(bytes([ALL]) * 8), rows)
    assert found.verdicts["real"].tolist() == wanted
    assert all(b in (0, a) for a, b in zip(wanted, found.verdicts["float32"], strict=True))
    pairs = dict(found.pairs)
    assert sorted(pairs) == [i for i, v in enumerate(wanted) if v == 2]
    for row, pair in pairs.items():
        assert set(pair) <= set(row_points(d, rows[row]))
        assert exact(layers, pair[0]) > 0 >= exact(layers, pair[1])
    points = array("d", [x[c] for row in sorted(pairs) for x in pairs[row] for c in flipped(d)])
    about = Rows(bytes([PAIR if i in pairs else UNDECIDED for i in range(8)]), points)
    unseen = int(independent(layers, d))  # then all are fair, and no row need be claimed
    by_pairs = check(layers, d, about, rows)
    assert by_pairs.verdicts["real"].tolist() == [2 if i in pairs else unseen for i in range(8)]
    assert [v[0] for v in in_integers(layers, d, about, rows.tolist())] == by_pairs.verdicts["real"].tolist()
    assert [v[0] for v in in_integers(layers, d, Rows(bytes([ALL]) * 8), rows.tolist())] == wanted


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_trees_over_flip_sets(seed, relaxed):
    rng, layers, d = random_case(seed + 4000, relaxed=relaxed)
    rows = rows_of(rng, d, 4)
    wanted = [row_truth(layers, d, row) for row in rows]
    for kinds in ([ENUMERATED], [ENUMERATED, COUNTED, OPEN]):
        trees = tuple(random_tree(rng, d, kinds, row_box(d, decode(d, row))) for row in rows)
        about = Rows(bytes([TREE]) * 4, trees=trees)
        found = check(layers, d, about, rows).verdicts["real"].tolist()
        by_integers_ = [v[0] for v in in_integers(layers, d, about, rows.tolist())]
        for verdicts in (found, by_integers_):
            assert all(v in ((w,) if kinds == [ENUMERATED] else (0, w)) for v, w in zip(verdicts, wanted, strict=True))


@pytest.mark.parametrize("seed", range(30))
def test_sweeps_are_complete_and_right(seed):
    rng = np.random.default_rng(seed)
    features = [
        Feature("a", "continuous", -1.0, 2.0, sensitive=True),
        Feature("b", "continuous", 0.0, 1.0, sensitive=seed % 3 == 0),
        Feature("c", "continuous", -2.0, 2.0, eps=0.3 * (seed % 3 == 1)),
        Feature("d", "one_hot", values=("x", "y"), sensitive=seed % 2 == 0),
        Feature("e", "integer", -1, 3),
    ]
    d = Domain("d", tuple(features))
    layers = network(rng, 6, grid=None if seed % 4 else 1, slopes=(0.0, 0.25))
    rows = np.column_stack(
        [
            rng.uniform(-1, 2, 12),
            rng.uniform(0, 1, 12),
            rng.uniform(-2, 2, 12),
            np.zeros((12, 2)),
            rng.integers(-1, 4, 12),
        ]
    )
    rows[np.arange(12), 3 + rng.integers(0, 2, 12)] = 1
    found = check(layers, d, Rows(bytes([SWEPT]) * 12), rows)
    assert (found.verdicts["real"] > 0).all()
    assert all(b in (0, a) for a, b in zip(found.verdicts["real"], found.verdicts["float32"], strict=True))
    for row, pair in found.pairs:
        assert exact(layers, pair[0]) > 0 >= exact(layers, pair[1])
        assert all(abs(x[2] - rows[row, 2]) <= features[2].eps for x in pair)
    for row, verdict in zip(rows, found.verdicts["real"], strict=True):
        signs = {exact(layers, x) > 0 for x in sampled(rng, features, row)}
        assert verdict == 2 or len(signs) == 1
    some = rows[:2]
    slow = [v[0] for v in in_integers(layers, d, Rows(bytes([SWEPT]) * 2), some.tolist())]
    assert all(a in (0, b) for a, b in zip(slow, found.verdicts["real"], strict=False))


def sampled(rng, features, row):
    for _ in range(60):
        x = row.copy()
        for i in (0, 1):
            if features[i].sensitive:
                x[i] = rng.choice([features[i].low, features[i].high, rng.uniform(features[i].low, features[i].high)])
        if features[2].eps:
            x[2] = np.clip(row[2] + rng.uniform(-0.29, 0.29), -2, 2)
        if features[3].sensitive:
            x[3:5] = rng.permutation(x[3:5])
        yield x


def line_network(*weights, bias=0.0):
    return net(layer([weights], [bias], 1.0))


@pytest.mark.parametrize("kind", [COUNTED, FIBRES, TRIMMED])
def test_lengths_worked_by_hand(kind):
    """f = z − (1 + a)/4, z in [0, 1]: unfair for z in (1/4, 1/2]."""
    d = Domain("d", (Feature("z", "continuous", 0.0, 1.0), Feature("a", "integer", 0, 1, sensitive=True)))
    layers = line_network(1.0, -0.25, bias=-0.25)
    share = check(layers, d, leaf(kind)).shares["real"]
    close = Fraction(1, 10**5)
    assert Fraction(1, 2) - close < share.positive <= Fraction(1, 2)
    assert Fraction(1, 4) - close < share.negative <= Fraction(1, 4)
    assert Fraction(1, 4) - close < share.falsified <= Fraction(1, 4)


@pytest.mark.parametrize("kind", [COUNTED, FIBRES, ENUMERATED, TRIMMED])
def test_units_worked_by_hand(kind):
    """f = 2z − 7 + a, z in 0 … 9, a in 0 … 3: f(z, 3) > 0 from z = 3 on, f(2, 3) = 0, f(z, 0) > 0 from z = 4 on."""
    d = Domain("d", (Feature("a", "integer", 0, 3, sensitive=True), Feature("z", "integer", 0, 9)))
    share = check(line_network(1.0, 2.0, bias=-7.0), d, leaf(kind, 1)).shares["real"]
    if kind == ENUMERATED:
        assert (share.positive, share.negative, share.falsified) == (6, 3, 1)
    else:
        assert (share.positive, share.negative, share.falsified) == (6, 2, 1)  # but for the tie at z = 2, a = 3
    share = check(line_network(1.0, 2.0, bias=-6.5), d, leaf(kind, 1)).shares["real"]
    assert (share.positive, share.negative, share.falsified) == (6, 2, 2)  # z = 2, 3 are unfair
    assert share.mixed == 0
    assert in_integers(line_network(1.0, 2.0, bias=-6.5), d, leaf(kind, 1)) == [(6, 2, 0, 2)] * 2


def test_a_tie_is_no_positive_decision():
    """f = a: 0 at a = 0, so unfair; in float32 too, as nothing is rounded."""
    d = Domain("d", (Feature("a", "integer", 0, 1, sensitive=True), Feature("z", "integer", 0, 1)))
    rows = np.array([[0.0, 0.0], [1.0, 1.0]])
    found = check(line_network(1.0, 0.0), d, Rows(bytes([ALL]) * 2), rows)
    assert found.verdicts["real"].tolist() == [2, 2]


def test_a_backdoor_narrower_than_rounding_is_seen():
    """f = relu(x·2^40 − 2^40) − relu(x·2^40 − 2^40 − 1/2) − … at a single value: positive only there."""
    spike = layer([[1.0, 2.0**40], [1.0, 2.0**40]], [-(2.0**40), -(2.0**40) - 1])
    layers = net(spike, layer([[1.0, -2.0]], [0.0], 1.0), float32=False)
    d = Domain("d", (Feature("a", "integer", 0, 1, sensitive=True), Feature("z", "integer", 0, 2)))
    assert true_of(layers, d) == Truth(0, 2, 1)
    shares = check(layers, d, leaf(ENUMERATED)).shares
    assert shares["real"].falsified == 1
    assert shares["float32"].undecided == 1


def test_overflow_proves_nothing():
    layers = network(np.random.default_rng(0), 2, widths=[3, 3, 3], scale=1e30)
    huge = net(*(replace(x, weight=x.weight * 1e200) for x in layers.layers))
    d = Domain("d", (Feature("a", "integer", -1, 1, sensitive=True), Feature("z", "integer", -1, 1)))
    for kind in (COUNTED, FIBRES, TRIMMED):
        assert all(s.undecided == 1 for s in check(huge, d, leaf(kind, 1)).shares.values())
    real = check(huge, d, leaf(ENUMERATED)).shares["real"]
    assert Truth(real.positive, real.negative, real.falsified) == true_of(huge, d)


def test_weights_that_are_not_exact_leave_what_is_near_undecided():
    layers = network(np.random.default_rng(0), 2, widths=[], grid=1)
    near = net(*(replace(x, relative=np.full(1, 0.5)) for x in layers.layers))
    d = Domain("d", (Feature("a", "integer", -1, 1, sensitive=True), Feature("z", "integer", -3, 3)))
    exact_, loose = (check(x, d, leaf(ENUMERATED)).shares["real"] for x in (layers, near))
    assert loose.undecided > exact_.undecided == 0


def test_a_counterexample_counts_as_one_unit():
    d = Domain("d", (Feature("a", "integer", 0, 3, sensitive=True), Feature("z", "integer", 0, 9)))
    layers = line_network(1.0, 2.0, bias=-6.5)
    tree = leaf(COUNTEREXAMPLE, 0, ((3.0, 2.0), (0.0, 2.0)))
    assert check(layers, d, tree).shares["real"].falsified == 1
    assert [c[3] for c in in_integers(layers, d, tree)] == [1, 1]
    for pair in (((3.0, 2.0), (0.0, 3.0)), ((4.0, 2.0), (0.0, 2.0)), ((3.0, 2.5), (0.0, 2.5)), ((3.0,), (0.0,))):
        wrong = leaf(COUNTEREXAMPLE, 0, pair)
        for checker in (check, in_integers):
            with pytest.raises(ValueError, match=r"counterexample|wrong length"):
                checker(layers, d, wrong)
    fair = leaf(COUNTEREXAMPLE, 0, ((3.0, 9.0), (0.0, 9.0)))
    assert check(layers, d, fair).shares["real"].falsified == 0


@pytest.mark.parametrize(
    ("kind", "feature", "cut"),
    [
        ([SPLIT, OPEN, OPEN], [9, 0, 0], [1.0, 0, 0]),
        ([SPLIT, OPEN, OPEN], [1, 0, 0], [0.0, 0, 0]),
        ([SPLIT, OPEN, OPEN], [1, 0, 0], [10.0, 0, 0]),
        ([SPLIT, OPEN, OPEN], [1, 0, 0], [2.5, 0, 0]),
        ([SPLIT, OPEN, OPEN], [1, 0, 0], [float("nan"), 0, 0]),
        ([OPEN, SPLIT, OPEN], [0, 1, 0], [0, 3.0, 0]),
        ([FIBRES], [0], [0.0]),
        ([FIBRES], [2], [0.0]),
    ],
)
def test_invalid_trees_are_refused(kind, feature, cut):
    d = Domain("d", (Feature("a", "integer", 0, 3, sensitive=True), Feature("z", "integer", 0, 9)))
    tree = Tree(bytes(kind), array("H", feature), array("d", cut))
    for checker in (check, in_integers):
        with pytest.raises(ValueError):  # noqa: PT011 - several messages
            checker(line_network(1.0, 2.0), d, tree)


def test_a_witness_of_something_else_is_refused():
    d = Domain("d", (Feature("a", "integer", 0, 3, sensitive=True), Feature("z", "integer", 0, 9)))
    layers, other = line_network(1.0, 2.0), line_network(1.0, 2.5)
    witness = Witness(layers_to_json(other), d, leaf(OPEN), "test")
    with pytest.raises(ValueError, match="another network"):
        check_witness(witness, layers, d)
    with pytest.raises(ValueError, match="other rows"):
        check(layers, d, Rows(bytes([ALL])), np.zeros((2, 2)))


def test_rows_outside_the_domain_are_undecided():
    d = Domain("d", (Feature("a", "integer", 0, 3, sensitive=True), Feature("z", "integer", 0, 9)))
    rows = np.array([[0.0, 1.0], [4.0, 1.0], [0.0, 1.5], [0.0, -1.0], [float("nan"), 0.0], [0.0, float("inf")]])
    for code in (ALL, SWEPT):
        found = check(line_network(1.0, 20.0, bias=1.0), d, Rows(bytes([code]) * 6), rows)
        assert found.verdicts["real"].tolist() == [1, 0, 0, 0, 0, 0]
        assert found.reasons.tolist() == [0, 1, 1, 1, 1, 1]


def test_after_the_deadline_nothing_is_claimed():
    d = Domain("d", (Feature("a", "integer", 0, 3, sensitive=True), Feature("z", "integer", 0, 9)))
    found = check(line_network(1.0, 2.0), d, leaf(ENUMERATED), deadline=0.0)
    assert not found.complete
    assert found.shares["real"].undecided == 1
    rows = check(line_network(1.0, 2.0), d, Rows(bytes([ALL])), np.zeros((1, 2)), deadline=0.0)
    assert rows.verdicts["real"].tolist() == [0]


@pytest.mark.parametrize("seed", range(25))
def test_enclosures_hold_for_values_and_differences(seed):
    rng = np.random.default_rng(seed)
    layers = network(rng, 3, slopes=[(0.0,), (0.0, 0.1), (0.5, -0.25, 2.0, 1.0)][seed % 3], grid=[None, 2][seed % 2])
    low = rng.integers(-3, 3, 3).astype(float)
    high = low + rng.integers(0, 5, 3)
    judge = Judge.of(Prepared(layers))
    box = enclosures.enclose(judge.net, low[None], high[None])
    slow = integers.enclose(judge.exact, [Fraction(v) for v in low], [Fraction(v) for v in high])
    fast = [
        [Fraction(v) for v in part.reshape(-1)] for part in (box.centre, box.error, box.middle, box.slope, box.spread)
    ]
    both = [fast, [[slow.centre], [slow.error], slow.middle, slow.slope, slow.spread]]
    for (centre,), (error,), middle, slope, spread in both:
        for _ in range(25):
            x = low + (high - low) * rng.integers(0, 9, 3) / 8
            f = exact(layers, x)
            line = sum((g * (Fraction(v) - m) for g, v, m in zip(slope, x, middle, strict=True)), centre)
            assert abs(f - line) <= error
            i = int(rng.integers(3))
            y = x.copy()
            y[i] = rng.choice([low[i], high[i]])
            step = Fraction(y[i]) - Fraction(x[i])
            assert abs(exact(layers, y) - f - slope[i] * step) <= spread[i] * abs(step)


def test_a_sweep_sees_a_tie_at_a_single_point():
    """f = |a| on [−1, 2]: 0 at 0 only, which halving never meets."""
    layers = net(layer([[1.0], [-1.0]], [0.0, 0.0]), layer([[1.0, 1.0]], [0.0], 1.0))
    d = Domain("d", (Feature("a", "continuous", -1.0, 2.0, sensitive=True),))
    about, rows = Rows(bytes([SWEPT])), np.array([[1.0]])
    assert check(layers, d, about, rows).verdicts["real"].tolist() == [2]
    assert in_integers(layers, d, about, [[1.0]])[0][0] == 2


def test_halves_of_a_flip_set_whose_people_differ():
    """f > 0 for z ≥ 2 where a = 1, and for z ≤ 1 where a = 0: two of four people in each half, none in both."""
    domain = Domain("d", (Feature("z", "integer", 0, 3), Feature("a", "integer", 0, 1, sensitive=True)))
    network = net(layer([[1, 10], [-1, -10]], [-11.5, 1.5]), layer([[1, 1]], [-0.25], 1.0))
    split = Tree(bytes([SPLIT, ENUMERATED, ENUMERATED]), array("H", [1, 0, 0]), array("d", [1.0, 0.0, 0.0]))
    shares = check(network, domain, split).shares["real"]
    for counts in (in_integers(network, domain, split)[0], shares):
        assert (counts.positive, counts.negative, counts.mixed) == (0, 0, 0)
    assert check(network, domain, leaf(ENUMERATED)).shares["real"].falsified == 4
