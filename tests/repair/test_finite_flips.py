"""Flip sets spelled out: their extremes, who has the same, and what rounding leaves unsure."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from certifair.repair import _flips
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import layers_of
from tests.individual.row_cases import flip_set
from tests.repair.finite_cases import AGE, DOMAIN, RACE, RELAXED, B, network, people


def test_extremes_are_those_of_the_flip_set(monkeypatch):
    monkeypatch.setattr(_flips, "CHUNK", 7)
    relaxed = Domain("relaxed", (Feature("a", "integer", -4, 4, eps=2), AGE, RACE, B))
    rows, layers = people(40), layers_of(network())
    steps = _flips.steps_of(relaxed)
    ends, where = _flips.extremes(layers, relaxed, rows, steps, None)
    for number, row in enumerate(rows):
        values = _flips.logits(layers, flip_set(relaxed, row))
        np.testing.assert_allclose(ends[:, number], [values.min(), values.max()], rtol=1e-12)
        for end in (0, 1):
            point = _flips.moved(relaxed, row[None], steps[where[end, number]])
            assert _flips.logits(layers, point)[0] == pytest.approx(ends[end, number], rel=1e-12)


def test_what_is_near_0_is_not_sure():
    layers = layers_of(network())
    ends = np.array([[1e-18, 1e-3, -1.0, -1.0], [1.0, 1.0, 1.0, -1e-3]])
    assert _flips.sure(layers, DOMAIN, ends).tolist() == [False, True, False, True]


@pytest.mark.parametrize("domain", [DOMAIN, RELAXED])
def test_alike_are_those_with_the_same_flip_set(domain):
    rows = people(60)
    rows[:, 5] = np.random.default_rng(1).integers(0, 2, 60)
    first, which = _flips.alike(domain, rows)
    sets = [{tuple(point) for point in flip_set(domain, row).tolist()} for row in rows]
    assert 1 < len(first) < 30
    for i, j in itertools.combinations(range(60), 2):
        assert (which[i] == which[j]) == (sets[i] == sets[j])
    assert which[first].tolist() == list(range(len(first)))


def test_f_is_the_same_in_any_number_of_parts(monkeypatch):
    rows, layers = people(50), layers_of(network())
    whole = _flips.logits(layers, rows)
    monkeypatch.setattr(_flips, "CHUNK", 7)
    np.testing.assert_allclose(_flips.logits(layers, rows), whole, rtol=1e-12)
