"""Rows with large flip sets, against points of them, exact facts, and the checker."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from certifair.checks._individual.check import check_witness
from certifair.evidence.witness import COUNTED, ENUMERATED, PAIR, SPLIT, TREE, UNDECIDED, Witness, layers_to_json
from certifair.individual.bounds import evaluate
from certifair.individual.engines import _row_trees
from certifair.individual.engines._row_boxes import FlipSets
from certifair.individual.engines._row_enclosure import enclose
from certifair.individual.engines._row_trees import tree_rows
from certifair.individual.engines.base import NotForThisError, Task
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers
from tests.individual.comparison_cases import LINEAR, network, plain
from tests.individual.row_cases import centred, flip_set, moved, pairs, people, shipped
from tests.oracles.individual_brute import exact, named_layer

CUBE = Domain(
    "cube",
    (
        *(Feature(name, "continuous", -1.0, 1.0, sensitive=True) for name in "ab"),
        Feature("c", "continuous", -1.0, 1.0),
        Feature("r", "continuous", -2.0, 2.0, eps=0.3),
        Feature("g", "one_hot", values=("x", "y", "z"), sensitive=True),
        Feature("h", "one_hot", values=("u", "v")),
        Feature("k", "integer", -3, 3, eps=1),
        Feature("e", "continuous", 0.5, 0.5, sensitive=True),
    ),
)
MANY = Domain(
    "2^21 combinations",
    (
        *(Feature(f"s{i}", "integer", 0, 7, sensitive=True) for i in range(7)),
        Feature("z", "continuous", -2.0, 2.0),
        Feature("y", "integer", -20, 20),
    ),
)
SIZES = ((1,), (8, 1), (16, 8, 1))


def check(layers, domain, rows, found):
    witness = Witness(layers_to_json(layers), domain, found.about, "branch")
    return check_witness(witness, layers, domain, rows)


def calm(domain, rows, layers, halvings=3):
    """The network with less weight on what flips, so that both verdicts occur."""
    first, *others = layers.layers
    weight = first.weight.copy()
    weight[:, FlipSets(domain).inputs] *= 2.0**-halvings
    return centred(Layers((dataclasses.replace(first, weight=weight), *others), layers.float32), rows)


def sample(domain, row, count=3000):
    """Corners of the flip set, and points spread over it."""
    corners = flip_set(domain, row, 2)
    rng = np.random.default_rng(5)
    corners = corners[rng.permutation(len(corners))[:count]]
    spread = corners[rng.integers(0, len(corners), count)]
    for f, group in zip(domain.features, domain.columns, strict=True):
        if (f.sensitive or f.eps) and f.levels is None:
            low, high = corners[:, group[0]].min(), corners[:, group[0]].max()
            spread[:, group[0]] = rng.uniform(low, high, count)
    return np.concatenate([corners, spread, row[None]])


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", LINEAR)
def test_three_continuous_inputs(kind, sizes):
    rows = people(CUBE, 24)
    layers = calm(CUBE, rows, network(len(sizes), kind, (11, *sizes)), 2)
    found = tree_rows(Task(layers, CUBE), rows)
    assert found.reasons == ()
    assert set(found.about.code) <= {PAIR, TREE}
    verdicts = check(layers, CUBE, rows, found).verdicts
    for level in ("real", "float32"):
        assert (verdicts[level] == np.where(np.frombuffer(found.about.code, np.uint8) == PAIR, 2, 1)).all()
    for points in pairs(CUBE, rows, found.about).values():
        assert exact(layers, points[0]) > 0 >= exact(layers, points[1])
    for row, code in zip(rows, found.about.code, strict=True):
        value = plain(layers, sample(CUBE, row))
        assert code == PAIR or (value > 0).all() or (value <= 0).all()


def test_both_verdicts_and_all_sorts_of_nodes_are_met():
    rows = people(CUBE, 60)
    layers = calm(CUBE, rows, network(3, "relu", (11, 16, 8, 1)))
    code = tree_rows(Task(layers, CUBE), rows).about
    assert {PAIR, TREE} == set(code.code)
    assert max(len(tree.kind) for tree in code.trees) > 10
    assert {SPLIT, COUNTED} == {kind for tree in code.trees for kind in tree.kind}
    assert len({f for tree in code.trees for f, k in zip(tree.feature, tree.kind, strict=True) if k == SPLIT}) >= 3


@pytest.mark.parametrize("kind", LINEAR)
def test_2_to_the_21_combinations(kind):
    """Of a line over all corners, the extremes are known exactly; other networks are met by sampling."""
    rows = people(MANY, 30)
    met: set[int] = set()
    for sizes in ((1,), (16, 8, 1)):
        layers = calm(MANY, rows, network(len(sizes), kind, (9, *sizes)), 2)
        found = tree_rows(Task(layers, MANY), rows)
        verdict = check(layers, MANY, rows, found).verdicts["real"]
        met |= set(found.about.code)
        assert (verdict == np.where(np.frombuffer(found.about.code, np.uint8) == PAIR, 2, 1)).all()
        for row, unfair in zip(rows, verdict == 2, strict=True):
            corners = np.array([(*ends, *row[7:]) for ends in itertools.product((0.0, 7.0), repeat=7)])
            if sizes == (1,):
                f = sorted(exact(layers, point) for point in corners)
                assert unfair == (f[-1] > 0 >= f[0])
            inner = np.random.default_rng(3).integers(0, 8, (2000, 7))
            more = np.hstack([inner, np.repeat(row[None, 7:], 2000, axis=0)])
            value = plain(layers, np.concatenate([corners, more]))
            assert unfair or (value > 0).all() or (value <= 0).all()
    assert met == {PAIR, TREE}


def box_cases(domain, seed):
    """Boxes of flip sets, as the search would halve them, with the enclosures of f over them."""
    rows, sets = people(domain, 20, seed), FlipSets(domain)
    layers = network(seed, LINEAR[seed % len(LINEAR)], (rows.shape[1], 12, 7, 1))
    low, high = sets.roots(rows)
    rng = np.random.default_rng(seed)
    owner = np.arange(20)
    for _ in range(4):
        reach = rng.random(low.shape)
        chosen, cut, possible = sets.cuts(low, high, reach)
        assert possible.all()
        low, high = sets.halves(low, high, chosen, cut)
        owner = np.repeat(owner, 2)
    hull = sets.hull(rows[owner], low, high)
    return layers, sets, rows[owner], low, high, hull, enclose(layers, *hull, sets.inputs, sets.off)


@pytest.mark.parametrize("domain", [CUBE, MANY], ids=["cube", "many"])
@pytest.mark.parametrize("seed", range(5))
def test_enclosures_hold(domain, seed):
    layers, sets, rows, low, high, hull, box = box_cases(domain, seed)
    effects = sets.effects(box, low, high)
    rng = np.random.default_rng(seed)
    middle = (hull[0] + hull[1])[:, sets.inputs] / 2
    for share in [*(rng.random(low.shape) for _ in range(20)), *(rng.integers(0, 2, low.shape) for _ in range(20))]:
        values = low + share * (high - low)
        values = np.where(sets.long > 0, values, np.maximum(low, np.round(values)))
        points = sets.points(rows, values)
        f = plain(layers, points)
        line = box.centre + (box.slope * (points[:, sets.inputs] - middle)).sum(axis=1)
        assert (np.abs(f - line) <= box.error + 1e-9).all()
        assert (line >= box.centre + effects.least - 1e-9).all()
        assert (line <= box.centre + effects.most + 1e-9).all()
        other = sets.points(rows, np.where(rng.integers(0, 2, low.shape) == 1, low, values))
        apart = (points - other)[:, sets.inputs]
        change = f - plain(layers, other)
        assert (
            np.abs(change - (box.slope * apart).sum(axis=1)) <= (box.spread * np.abs(apart)).sum(axis=1) + 1e-9
        ).all()
    for values, extreme in ((effects.bottom, effects.least), (effects.top, effects.most)):
        points = sets.points(rows, values)[:, sets.inputs]
        assert np.allclose((box.slope * (points - middle)).sum(axis=1), extreme)


def test_trees_divide_the_whole_flip_set():
    """Walking down, every point is in a leaf; and children are where the witness says."""
    rows = people(CUBE, 60)
    layers = calm(CUBE, rows, network(3, "relu", (11, 16, 8, 1)))
    found = tree_rows(Task(layers, CUBE), rows).about
    chosen = [row for row, code in zip(rows, found.code, strict=True) if code == TREE]
    for row, tree in zip(chosen, found.trees, strict=True):
        first = np.cumsum(np.frombuffer(tree.kind, np.uint8) == SPLIT) * 2 - 1
        for point in sample(CUBE, row, 20):
            node = 0
            while tree.kind[node] == SPLIT:
                group = CUBE.columns[tree.feature[node]]
                one_hot = CUBE.features[tree.feature[node]].kind == "one_hot"
                value = point[list(group)].argmax() if one_hot else point[group[0]]
                node = int(first[node]) + int(value >= tree.cut[node])
            assert tree.kind[node] == COUNTED


def tied(*numbers, bias=0.0, float32=True):
    """A line through these weights."""
    return Layers((named_layer(np.array([numbers], dtype=float), np.array([bias]), "identity"),), float32=float32)


SQUARE = Domain("square", tuple(Feature(name, "continuous", 0.0, 1.0, sensitive=True) for name in "abc"))


def test_the_boundary_decides_nothing_where_it_is_only_touched():
    """f = a + b + c is 0 at a corner, which is no positive decision: unfair, but by that one point."""
    rows = np.full((1, 3), 0.5)
    found = tree_rows(Task(tied(1, 1, 1), SQUARE), rows)
    assert list(found.about.code) in ([PAIR], [UNDECIDED])
    above = tree_rows(Task(tied(1, 1, 1, bias=1e-3), SQUARE), rows)
    assert list(above.about.code) == [TREE]
    assert check(tied(1, 1, 1, bias=1e-3), SQUARE, rows, above).verdicts["float32"].tolist() == [1]


def test_what_float32_cannot_tell_is_proven_of_real_numbers():
    """f ≥ 2^-20 everywhere, of sums of 2^10: float32 errs by more, the real numbers by nothing."""
    layers = tied(2.0**10, 2.0**10, 2.0**10, bias=2.0**-20)
    rows = np.full((2, 3), 0.5)
    found = tree_rows(Task(layers, SQUARE), rows)
    assert list(found.about.code) == [TREE, TREE]
    verdicts = check(layers, SQUARE, rows, found).verdicts
    assert verdicts["real"].tolist() == [1, 1]
    assert verdicts["float32"].tolist() == [0, 0]
    assert found.about.trees[0].kind == bytes([SPLIT, *[COUNTED] * 2]) or len(found.about.trees[0].kind) < 100


def test_what_float32_can_tell_is_proven_of_it_too():
    """f = K·relu(a) − K·relu(a) + 512, K = 1024 − 2^-13: chords over all of a prove f ≥ 2^-14, less than float32 errs
    by; halves prove f = 512.
    """
    many = 1024 - 2.0**-13
    first = named_layer(np.array([[1.0, 0, 0], [1.0, 0, 0]]), np.zeros(2), "relu", "relu")
    layers = Layers((first, named_layer(np.array([[many, -many]]), np.array([512.0]), "identity")), float32=True)
    domain = Domain("wide", tuple(Feature(name, "continuous", -1.0, 1.0, sensitive=True) for name in "abc"))
    rows = np.full((1, 3), 0.5)
    found = tree_rows(Task(layers, domain), rows)
    assert list(found.about.trees[0].kind) == [SPLIT, COUNTED, COUNTED]
    assert check(layers, domain, rows, found).verdicts["float32"].tolist() == [1]


def test_a_pair_that_only_real_numbers_tell_apart():
    """0 < f ≤ 2^-12 at one corner only, of sums of 6144, and f ≤ 0 elsewhere."""
    domain = Domain("corner", tuple(Feature(name, "continuous", 1.0, 2.0, sensitive=True) for name in "abc"))
    layers = tied(-1024.0, -1024.0, -1024.0, bias=3072 + 2.0**-12)
    rows = np.full((1, 3), 1.5)
    found = tree_rows(Task(layers, domain), rows)
    assert list(found.about.code) == [PAIR]
    verdicts = check(layers, domain, rows, found).verdicts
    assert verdicts["real"].tolist() == [2]
    assert verdicts["float32"].tolist() == [0]


def test_ties_of_integers_are_left_to_the_checker():
    """f = Σ(7 − s)·2^k ≥ 0 is 0 at one of 2^21 points, where bounds say nothing: enumerated, the checker sees a tie."""
    weight = [-float(2**k) for k in range(7)]
    layers = tied(*weight, 0, 0, bias=7.0 * (2**7 - 1))
    rows = np.zeros((1, 9))
    found = tree_rows(Task(layers, MANY), rows)
    assert check(layers, MANY, rows, found).verdicts["real"].tolist() == [2]
    shifted = tied(*weight, 0, 0, bias=7.0 * (2**7 - 1) + 2.0**-14)
    found = tree_rows(Task(shifted, MANY), rows)
    assert list(found.about.code) == [TREE]
    assert check(shifted, MANY, rows, found).verdicts["real"].tolist() == [1]


def test_small_boxes_are_enumerated():
    rows = people(MANY, 200)
    layers = centred(network(3, "relu", (9, 16, 8, 1)), rows)
    found = tree_rows(Task(layers, MANY), rows).about
    assert ENUMERATED in {kind for tree in found.trees for kind in tree.kind}


def test_relaxed_ends_stay_within_eps():
    """Rounded sums of own ± eps may be farther away than eps."""
    domain = Domain("near", tuple(Feature(name, "continuous", -9.0, 9.0, eps=0.1) for name in "abc"))
    rows = people(domain, 300)
    layers = centred(network(1, "identity", (3, 1)), rows)
    bias = layers.layers[0].bias
    near = rows - plain(layers, rows)[:, None] * layers.layers[0].weight / (layers.layers[0].weight ** 2).sum()
    near = near[(np.abs(near) <= 9).all(axis=1)]
    assert np.abs(plain(layers, near)).max() < 1e-12 * (1 + np.abs(bias).max())
    found = tree_rows(Task(layers, domain), near)
    assert set(found.about.code) == {PAIR}
    assert len(pairs(domain, near, found.about)) == len(near)
    low, high = FlipSets(domain).roots(near)
    for value, one, two in zip(near.ravel(), low.ravel(), high.ravel(), strict=True):
        assert Fraction(value) - Fraction(one) <= Fraction(0.1) >= Fraction(two) - Fraction(value)
        assert value - one > 0.0999999 or one == -9
        assert two - value > 0.0999999 or two == 9


def test_rows_outside_the_domain():
    rows = people(CUBE, 8)
    rows[1, 2], rows[2, 4:7], rows[5, -2], rows[6, 0] = 1.5, 1.0, 0.5, -3.0
    layers = centred(network(1, "relu", (11, 8, 1)), rows)
    found = tree_rows(Task(layers, CUBE), rows)
    assert [i for i, code in enumerate(found.about.code) if code == UNDECIDED] == [1, 2, 5, 6]
    assert found.reasons == ((4, "the row is not in the domain"),)
    assert (check(layers, CUBE, rows, found).verdicts["real"] != 0).tolist() == [1, 0, 0, 1, 1, 0, 0, 1]


def test_time_and_boxes_are_limited(monkeypatch):
    names = "abcdefgh"
    domain = Domain("large", tuple(Feature(name, "continuous", -2.0, 2.0, sensitive=True) for name in names))
    layers = network(2, "relu", (8, 24, 24, 1))
    rows = people(domain, 20)
    lowest = evaluate(layers, np.random.default_rng(1).uniform(-2, 2, (20000, 8)))[0].min()
    *others, last = layers.layers
    bias = np.float32(last.bias - lowest + 60).astype(np.float64)  # fair, and hard to prove
    layers = Layers((*others, dataclasses.replace(last, bias=bias, size=np.abs(bias))), float32=True)
    start = time.monotonic()
    late = tree_rows(Task(layers, domain, start + 0.5), rows)
    assert time.monotonic() - start < 0.7
    assert UNDECIDED in late.about.code
    assert dict(reversed(pair) for pair in late.reasons).keys() == {"no time was left"}
    monkeypatch.setattr(_row_trees, "MOST_NODES", 200)
    limited = tree_rows(Task(layers, domain), rows[:2])
    for code, (_, reason) in zip(limited.about.code, itertools.cycle(limited.reasons)):
        assert code == PAIR or reason == _row_trees.LIMIT
    assert UNDECIDED in limited.about.code


def test_of_a_large_network_rows_are_decided_one_by_one():
    layers = network(1, "relu", (11, 600, 1))
    assert _row_trees._batch(layers) < 64
    rows = people(CUBE, 3)
    rows[2, 0] = 9.0
    found = tree_rows(Task(layers, CUBE), rows)
    assert list(found.about.code[:2]) == [tree_rows(Task(layers, CUBE), rows[[i]]).about.code[0] for i in range(2)]
    assert found.reasons == ((1, "the row is not in the domain"),)


def test_a_search_that_was_stopped_goes_on():
    """Stopped before every look at a batch, in turn; a tree is the same as of one that never was."""
    rows = people(CUBE, 12)
    layers = calm(CUBE, rows, network(3, "relu", (11, 16, 8, 1)))
    at_once, again = (_row_trees._Search(layers, FlipSets(CUBE), rows) for _ in range(2))
    at_once.run(math.inf)
    again.run(0.0)
    assert not again.done
    for _ in range(100):
        again.run(time.monotonic() + 3e-3)
    again.run(math.inf)
    assert again.done
    assert again.proposal() == at_once.proposal()
    assert TREE in again.proposal().about.code


def test_curves_are_refused():
    with pytest.raises(NotForThisError, match="sigmoid"):
        tree_rows(Task(network(1, "sigmoid", (11, 8, 1)), CUBE), people(CUBE, 2))


def test_numbers_out_of_range_decide_nothing():
    rows = people(CUBE, 10)
    layers = network(2, "relu", (11, 6, 1))
    for scale in (1e200, 1e-200):
        sized = tuple(dataclasses.replace(item, weight=item.weight * scale) for item in layers.layers)
        big = Layers(sized, float32=False)
        found = tree_rows(Task(big, CUBE, time.monotonic() + 2.0), rows)
        for points in pairs(CUBE, rows, found.about).values():
            assert exact(big, points[0]) > 0 >= exact(big, points[1])


def test_inexact_weights_widen_what_is_proven_of_real_numbers():
    rows = people(CUBE, 30)
    layers = calm(CUBE, rows, network(3, "relu", (11, 16, 8, 1)))
    vague = Layers(
        tuple(dataclasses.replace(item, relative=np.full(item.width, 2.0**-20)) for item in layers.layers), float32=True
    )
    found = tree_rows(Task(vague, CUBE), rows)
    assert set(found.about.code) == {PAIR, TREE}
    assert (check(vague, CUBE, rows, found).verdicts["real"] != 0).all()


def test_rows_of_a_shipped_network(shared: Path):
    """All numbers relaxed, as continuous ones: 64 rows in half a second (measured 0.08 s)."""
    layers, domain, rows = shipped(shared, "german/GC-4", "german")
    numbers = [f.name for f in domain.features if f.kind == "integer" and not f.sensitive and f.high > 4]
    sensitive = [f.name for f in domain.features if f.sensitive]
    relaxed = moved(domain, *sensitive, continuous=tuple(numbers), **dict.fromkeys(numbers, 4.0))
    assert relaxed.freedom[1] >= 3
    found = tree_rows(Task(layers, relaxed), rows[:64])
    assert found.reasons == ()
    checked = check(layers, relaxed, rows[:64], found)
    assert (checked.verdicts["float32"] != 0).all()
    assert math.isclose((checked.verdicts["real"] == 2).sum(), found.about.code.count(PAIR))
