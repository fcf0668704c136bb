from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from certifair.evidence import witness
from certifair.individual.bounds import activate, evaluate, interval_bounds, linear_bounds
from certifair.individual.engines._candidates import find_pair
from certifair.individual.engines.base import Task
from certifair.individual.engines.interval import Interval
from certifair.individual.query import Query, query_of_domain, query_of_row
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers
from certifair.spec.verdict import Verdict
from tests.individual import comparison_cases as cases
from tests.oracles.individual_brute import exact, named_layer


@pytest.mark.parametrize("kind", cases.KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_bounds_hold_for_every_neuron(kind: str, seed: int) -> None:
    layers, query = cases.network(seed, kind), cases.box(seed, continuous=True)
    every = [interval_bounds(layers, query.low, query.high)]
    if layers.piecewise_linear:
        every.append(linear_bounds(layers, query.low, query.high))
        for (low, high), (wide_low, wide_high) in zip(every[1], every[0], strict=True):
            assert (low >= wide_low).all()
            assert (high <= wide_high).all()
    for bounds in every:
        h = cases.spread(query)
        for layer, (low, high) in zip(layers.layers, bounds, strict=True):
            z = h @ layer.weight.T + layer.bias
            assert (z >= low - 1e-9).all()
            assert (z <= high + 1e-9).all()
            h = activate(layer, z)
        assert np.allclose(h[:, 0], cases.plain(layers, cases.spread(query)))


def test_bounds_of_a_line_by_hand() -> None:
    """ReLU(x) + ReLU(−x) over [−1, 1]: intervals see 0..2; with λ = 1/2 they are ±x/2 + 1/4 ± 1/4, in sum 1/2 ± 1/2."""
    first = named_layer(np.array([[1.0], [-1.0]]), np.zeros(2), "relu", "relu")
    layers = Layers((first, named_layer(np.ones((1, 2)), np.zeros(1), "identity")), float32=True)
    ends = np.array([-1.0]), np.array([1.0])
    assert [float(end[0]) for end in interval_bounds(layers, *ends)[-1]] == [0.0, 2.0]
    assert [float(end[0]) for end in linear_bounds(layers, *ends)[-1]] == [0.0, 1.0]


@pytest.mark.parametrize("kind", cases.LINEAR)
def test_rounding_covers_what_float64_does(kind: str) -> None:
    layers = cases.network(3, kind, (6, 9, 9, 9, 1))
    x = np.random.default_rng(4).normal(size=(50, 6)) * 1e4
    value, error = evaluate(layers, x)
    for point, f, most in zip(x, value, error, strict=True):
        assert abs(Fraction(f) - exact(layers, point)) <= Fraction(most)
        assert most < 1e-6


def test_rounding_covers_cancellation() -> None:
    layers = Layers((named_layer(np.array([[1e16, 1.0, -1e16]]), np.zeros(1), "identity"),), float32=False)
    x = np.array([[1.0, 1.0, 1.0]])
    value, error = evaluate(layers, x)
    assert abs(Fraction(float(value[0])) - 1) <= Fraction(float(error[0]))


@pytest.mark.parametrize("kind", cases.KINDS)
def test_never_contradicts_what_was_counted(kind: str) -> None:
    verdicts = set()
    for seed in range(40):
        layers, query = cases.network(seed, kind), cases.box(seed, width=1.0 + seed % 3)
        answer = Interval().decide(layers, query, 1.0)
        cases.check(layers, query, answer, cases.unfair(layers, query))
        verdicts.add(answer.verdict)
    assert {Verdict.PASS, Verdict.FAIL} <= verdicts


@pytest.mark.parametrize(("model", "domain"), cases.SHIPPED)
def test_rows_of_shipped_networks(shared: Path, model: str, domain: str) -> None:
    answers = []
    for layers, query, truth in cases.row_questions(shared, model, domain):
        answers.append(Interval().decide(layers, query, 1.0))
        cases.check(layers, query, answers[-1], truth)
    assert any(answer.verdict is not Verdict.UNDECIDED for answer in answers)


def test_numbers_out_of_range_decide_nothing() -> None:
    for factor in (1e200, 1e-200):
        layers = cases.network(1)
        grown = tuple(dataclasses.replace(layer, weight=layer.weight * factor) for layer in layers.layers)
        answer = Interval().decide(Layers(grown, float32=False), cases.box(1), 1.0)
        assert answer.verdict is Verdict.UNDECIDED or factor < 1


def test_what_only_rounding_tells_apart_is_no_pair() -> None:
    """f = (1e16·a + 3·b) − 1e16·a − 7/2 is never positive; in float64 1e16 + 3 is 1e16 + 4."""
    first = named_layer(np.array([[1e16, 3.0], [-1e16, 0.0]]), np.zeros(2), "identity", "identity")
    layers = Layers((first, named_layer(np.ones((1, 2)), np.array([-3.5]), "identity")), float32=False)
    query = Query(np.array([1.0, 0.0]), np.array([1.0, 1.0]), np.full(2, fill_value=True), np.array([False, True]))
    assert (cases.plain(layers, cases.points(query)) > 0).tolist() == [False, True]
    assert Interval().decide(layers, query, 1.0).verdict is Verdict.UNDECIDED


def _domain() -> Domain:
    return Domain(
        "people",
        (
            Feature("group", "one_hot", values=("a", "b", "c"), sensitive=True),
            Feature("hours", "integer", 0.0, 10.0, eps=1.0),
            Feature("score", "continuous", -1.0, 1.0),
        ),
    )


def test_questions_about_a_domain_and_a_row() -> None:
    domain = _domain()
    whole = query_of_domain(domain)
    assert whole.one_hot == ((0, 1, 2),)
    assert whole.flips.tolist() == [True, True, True, True, False]
    assert whole.distance.tolist() == [1, 1, 1, 2, 0]
    row = query_of_row(domain, np.array([0.0, 1.0, 0.0, 10.0, 0.5]))
    assert row.low.tolist() == [0, 0, 0, 9, 0.5]
    assert row.high.tolist() == [1, 1, 1, 10, 0.5]
    for outside in (
        [0.0, 1, 0, 3, 1.5],
        [0.0, 1, 0, 11, 0],
        [1.0, 1, 0, 3, 0],
        [0.0, 1, 0, 3.5, 0],
        [np.nan, 1, 0, 3, 0],
    ):
        with pytest.raises(ValueError, match="not in the domain"):
            query_of_row(domain, np.array(outside))
    a, b, score = [1.0, 0, 0], [0.0, 1, 0], [0.25]
    assert whole.allows((np.array([*a, 3, *score]), np.array([*b, 5, *score])))
    for other in ([*b, 6, *score], [1.0, 1, 0, 3, *score], [0.0, 0, 0, 3, *score], [*b, 3, 0.5], [*b, 3.5, *score]):
        assert not whole.allows((np.array([*a, 3, *score]), np.array(other)))


def test_pairs_respect_groups_and_reach() -> None:
    """f = hours − 5 or so: only near 5 do two points within 2 hours differ, and never by the group."""
    layers = Layers((named_layer(np.array([[0.0, 0, 0, 1, 0]]), np.array([-4.5]), "identity"),), float32=True)
    pair = find_pair(layers, query_of_domain(_domain()), 5.0)
    assert pair is not None
    cases.check_pair(layers, query_of_domain(_domain()), pair)
    assert find_pair(layers, query_of_row(_domain(), np.array([1.0, 0, 0, 8, 0])), 5.0) is None


def test_pairs_share_a_group_that_does_not_flip() -> None:
    """f = 3·[a] + 3·[b] + score − 4: positive only with two of the group, which nobody is; or from 1 on, a or b."""
    features = (
        Feature("group", "one_hot", values=("a", "b", "c")),
        Feature("score", "continuous", -1.0, 2.0, sensitive=True),
    )
    query = query_of_domain(Domain("people", features))
    layers = Layers((named_layer(np.array([[3.0, 3, 0, 1]]), np.array([-4.0]), "identity"),), float32=True)
    pair = find_pair(layers, query, 5.0)
    assert pair is not None
    cases.check_pair(layers, query, pair)
    less = Layers((named_layer(np.array([[3.0, 3, 0, 1]]), np.array([-5.5]), "identity"),), float32=True)
    assert find_pair(less, query, 5.0) is None
    assert find_pair(layers, query, 0.0) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": np.zeros(3)}, "different shapes"),
        ({"high": np.full(4, np.inf)}, "not finite"),
        ({"low": np.full(4, 9.0)}, "empty"),
        ({"high": np.full(4, 1.5)}, "whole number"),
        ({"reach": np.full(4, -1.0)}, "reach"),
        ({"one_hot": ((0, 1),)}, "flips in part"),
    ],
)
def test_questions_that_do_not_fit_together(change: dict[str, np.ndarray], message: str) -> None:
    query = Query(np.zeros(4), np.ones(4), np.full(4, fill_value=True), np.arange(4) % 2 == 1)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(query, **change)


def test_answers_become_witnesses_to_check() -> None:
    layers = Layers((named_layer(np.array([[0.0, 2, 0, 1, 0]]), np.array([-4.5]), "identity"),), float32=True)
    task = Task(layers, _domain())
    rows = np.array([[1.0, 0, 0, 9, 0], [1.0, 0, 0, 4, 0], [1.0, 0, 0, 1, 0], [1.0, 0, 0, 9, 7]])
    found = Interval().rows(task, rows)
    assert list(found.about.code) == [witness.ALL, witness.PAIR, witness.ALL, witness.UNDECIDED]
    assert len(found.about.pairs) == 2 * 4
    assert found.reasons == ((1, "the row is not in the domain"),)
    tree = Interval().domain(task)
    assert list(tree.about.kind) == [witness.COUNTEREXAMPLE]
    cases.check_pair(
        layers, query_of_domain(_domain()), (np.array(tree.about.pairs[0][0]), np.array(tree.about.pairs[0][1]))
    )
    late = Interval().rows(dataclasses.replace(task, deadline=0.0), rows)
    assert set(late.about.code) == {witness.UNDECIDED}
    assert sum(count for count, _ in late.reasons) == 4
