"""All points of finite flip sets, against a plain loop over them."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from certifair.evidence.witness import ALL, ENUMERATED, PAIR, UNDECIDED
from certifair.individual.engines import _search
from certifair.individual.engines import enumerate as engine
from certifair.individual.engines.base import NotForThisError, Task
from certifair.individual.engines.enumerate import Enumerate, enumerate_domain, enumerate_rows
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers
from tests.individual.comparison_cases import KINDS, LINEAR, network, plain
from tests.individual.row_cases import MIXED, centred, flip_set, moved, pairs, people, shipped
from tests.oracles.individual_brute import exact

SIZES = ((9, 1), (9, 7, 1), (9, 65, 3, 1), (9, 6, 5, 4, 1))


def codes(found):
    return np.frombuffer(found.about.code, dtype=np.uint8)


def check(layers, domain, rows, found, tie=1e-4):
    """PAIR exactly where the loop sees both signs, but for values nearer to 0 than `tie`."""
    both = pairs(domain, rows, found.about)
    for number, row in enumerate(rows):
        value = plain(layers, flip_set(domain, row))
        if value.max() > tie and value.min() < -tie:
            assert codes(found)[number] == PAIR
        elif value.max() < 0 or value.min() > 0:
            assert codes(found)[number] == ALL
    for points in both.values():
        above, below = plain(layers, points)
        assert above > 0 > below
    return both


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_finds_what_a_loop_finds(kind, sizes):
    rows = people(MIXED, 150)
    layers = centred(network(len(sizes), kind, sizes), rows)
    found = enumerate_rows(Task(layers, MIXED), rows)
    both = check(layers, MIXED, rows, found)
    assert len(both) > 0
    assert found.reasons == ()
    if kind in LINEAR:
        for above, below in list(both.values())[:10]:
            assert exact(layers, above) > 0 > exact(layers, below)


def test_more_rows_and_steps_than_a_thread_takes_at_a_time(monkeypatch):
    layers, rows = network(3, "relu", (9, 8, 8, 1)), people(MIXED, 700)
    whole = enumerate_rows(Task(layers, MIXED), rows)
    monkeypatch.setattr(engine, "STEPS", 5)
    monkeypatch.setattr(engine, "PRODUCTS", 1)
    shares = []
    task = Task(layers, MIXED, progress=lambda *share: shares.append(share), processes=3)
    parts = enumerate_rows(task, rows)
    assert parts.about.code == whole.about.code
    check(layers, MIXED, rows, parts)
    assert len(shares) > 10
    assert shares[-1] == pytest.approx((1 - shares[-1][1], (codes(parts) == PAIR).mean(), 0))
    assert all(sum(share) == pytest.approx(1) for share in shares)


def test_rows_outside_of_the_domain():
    layers, rows = network(1, "relu", SIZES[1]), people(MIXED, 12)
    out = rows.copy()
    out[0, 0] = 3  # of −1 to 2
    out[1, 0] = 0.5
    out[2, 1] = np.nextafter(1.0, 2)
    out[3, 2:5] = (1, 1, 0)
    out[4, 2:5] = 0
    out[5, 2:5] = (2, -1, 0)
    out[6, 5] = -3
    out[7, 8] = 0.25
    found = enumerate_rows(Task(layers, MIXED), out)
    assert (codes(found)[:8] == UNDECIDED).all()
    assert found.reasons == ((8, _search.OUTSIDE),)
    assert bytes(codes(found)[8:]) == bytes(codes(enumerate_rows(Task(layers, MIXED), rows))[8:])
    check(layers, MIXED, out[8:], enumerate_rows(Task(layers, MIXED), out[8:]))


def test_nobody():
    layers = network(1, "relu", SIZES[1])
    for rows in (np.empty((0, 9)), np.full((2, 9), 7.0)):
        found = enumerate_rows(Task(layers, MIXED), rows)
        assert found.about.code == bytes(len(rows))
        assert len(found.about.pairs) == 0


def test_no_time():
    layers, rows = network(1, "relu", SIZES[1]), people(MIXED, 20)
    found = enumerate_rows(Task(layers, MIXED, time.monotonic()), rows)
    assert found.about.code == bytes(20)
    assert found.reasons == ((20, _search.LATE),)


def test_a_deadline_is_kept():
    layers, domain = network(1, "relu", (2, 300, 300, 1)), Domain("long", (
        Feature("a", "integer", 0, 999, sensitive=True), Feature("b", "integer", 0, 9),
    ))  # fmt: skip
    rows = np.zeros((20_000, 2))
    enumerate_rows(Task(layers, domain), rows[:1])
    start = time.monotonic()
    found = enumerate_rows(Task(layers, domain, start + 1.0, processes=2), rows)
    assert time.monotonic() - start < 1.6
    assert found.reasons
    assert found.reasons[0][1] == _search.LATE


def test_interrupted(monkeypatch):
    layers, rows = network(3, "relu", (9, 8, 8, 1)), people(MIXED, 700)
    monkeypatch.setattr(engine, "PRODUCTS", 1)

    def stop(*_):
        raise KeyboardInterrupt

    found = enumerate_rows(Task(layers, MIXED, progress=stop, processes=2), rows)
    ((count, reason),) = found.reasons
    assert (reason, count) == (_search.INTERRUPTED, (codes(found) == UNDECIDED).sum())
    assert 0 < count < 700


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_weights_of_any_size(scale):
    """Beyond the range of float32 nothing is clear, and nothing is left out either."""
    layers, rows = network(2, "relu", (9, 6, 1)), people(MIXED, 40)
    sized = [dataclasses.replace(item, weight=item.weight * scale, bias=item.bias * scale) for item in layers.layers]
    found = enumerate_rows(Task(Layers(tuple(sized), float32=False), MIXED), rows)
    assert set(found.about.code) <= {ALL, PAIR}
    for points in pairs(MIXED, rows, found.about).values():
        above, below = (exact(Layers(tuple(sized), float32=False), point) for point in points)
        assert above > 0 > below


def test_near_ties_are_left_to_the_checker():
    layers = network(0, "identity", (1, 1))
    (only,) = layers.layers
    level = Layers((dataclasses.replace(only, weight=np.array([[2.0**-30]]), bias=np.zeros(1)),), float32=True)
    domain = Domain("two", (Feature("a", "integer", 0, 1, sensitive=True),))
    found = enumerate_rows(Task(level, domain), np.zeros((1, 1)))
    assert found.about.code == bytes([ALL])  # 0 and 2^-30: exactly unfair


def test_one_node_for_a_domain():
    whole = Domain("finite", tuple(f for f in MIXED.features if f.levels is not None))
    tree = Enumerate().domain(Task(network(1, "relu", (8, 3, 1)), whole)).about
    assert (tree.kind, list(tree.feature), list(tree.cut)) == (bytes([ENUMERATED]), [0], [0.0])


def test_what_is_refused():
    with pytest.raises(NotForThisError, match="c is continuous"):
        enumerate_domain(MIXED)
    large = Domain("large", tuple(Feature(str(i), "integer", 0, 1 << 24, sensitive=i > 997) for i in range(1000)))
    with pytest.raises(NotForThisError, match=r"more than 2000000000 points.*branch"):
        enumerate_domain(large)
    with pytest.raises(NotForThisError, match=r"more than 1048576 combinations.*branch"):
        enumerate_rows(Task(network(1, "relu", (1000, 1)), large), np.zeros((1, 1000)))
    with pytest.raises(NotForThisError, match=r"c is continuous.*sweep"):
        enumerate_rows(Task(network(1, "relu", (9, 1)), moved(MIXED, "c")), people(MIXED, 1))


def test_relaxed_features_count_in_a_domain():
    def of(eps):
        fixed = [Feature(str(i), "integer", 0, 99) for i in range(4)]
        return Domain("d", (*fixed, Feature("r", "integer", 0, 99, eps=eps)))

    assert enumerate_domain(Domain("d", (Feature("r", "integer", 0, 99, eps=5),))).kind == bytes([ENUMERATED])
    with pytest.raises(NotForThisError):
        enumerate_domain(of(5))


KNOWN = (
    ("prof/adult-AC1", "adult", {"sex": 1239, "race": 1878, "age": 9784}),
    ("prof/compas-compas1", "compas", {"Female": 386, "Race": 541, "Age": 2769}),
    ("prof/german-GC1", "german", {"sex": 26, "age": 29}),
)


@pytest.mark.parametrize(("model", "name", "counts"), KNOWN)
def test_published_counts(shared: Path, model, name, counts):
    """2.74%, 4.15%, 21.64% of adult; 6.25%, 8.77%, 44.86% of compas; 2.60%, 2.90% of german."""
    layers, domain, rows = shipped(shared, model, name)
    for sensitive, count in counts.items():
        question = moved(domain, sensitive)
        found = enumerate_rows(Task(layers, question, processes=2), rows)
        assert found.reasons == ()
        missed = count - (codes(found) == PAIR).sum()
        assert 0 <= missed <= 3
        assert missed == 0 or _ties(layers, question, rows[codes(found) == ALL]) == missed


def _ties(layers, domain, rows):
    """How many of the rows have both signs, by a loop over the values of the only sensitive feature."""
    ((feature, (column,)),) = ((f, c) for f, c in zip(domain.features, domain.columns, strict=True) if f.sensitive)
    above = []
    for (value,) in feature.points():
        rows[:, column] = value
        above.append(plain(layers, rows) > 0)
    return (np.any(above, axis=0) & ~np.all(above, axis=0)).sum()
