from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from certifair.errors import InputError
from certifair.layer import FairnessLayer
from certifair.training import Dataset, plan_batches
from tests.training.people import parity, people


def dataset(sensitive: dict[str, list[int]], labels: list[int] | None = None) -> Dataset:
    n = len(next(iter(sensitive.values())))
    columns = {name: np.array(values) for name, values in sensitive.items()}
    return Dataset(torch.zeros(n, 1), columns, None if labels is None else torch.tensor(labels, dtype=torch.float64))


def each_once(plan, n: int, epoch: int = 1) -> list[np.ndarray]:
    found = list(plan.epoch(0, epoch))
    assert sorted(np.concatenate(found).tolist()) == list(range(n))
    return found


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=120),
    st.integers(0, 50),
    st.sampled_from(["enlarge", "spread"]),
)
def test_one_feature_keeps_proportions_within_one_person(codes: list[int], size: int, scarce) -> None:
    plan = plan_batches(dataset({"g": codes}), FairnessLayer("demographic_parity", 0.1), size, scarce)
    batches = each_once(plan, len(codes))
    groups = np.array(codes)
    sizes = [len(batch) for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    values, people = np.unique(groups, return_counts=True)
    for batch in batches:
        for value, count in zip(values, people, strict=True):
            assert abs(int((groups[batch] == value).sum()) - count / len(batches)) < 1
    wanted = -(-len(codes) // size) if size else 1
    if scarce == "spread" or people.min() >= wanted or len(values) == 1:
        assert len(batches) == wanted
        assert plan.limiting == ""
    else:
        assert len(batches) == people.min()
        assert plan.limiting.startswith("g=")
    absent = sum(int(value not in groups[batch]) for batch in batches for value in values)
    assert sum(plan.without.values()) == (absent if len(values) > 1 else 0)
    if scarce == "enlarge":
        assert absent == 0


@given(st.data(), st.booleans())
def test_two_features_in_every_batch(data: st.DataObject, intersectional: bool) -> None:
    n = data.draw(st.integers(1, 80))
    a, b = (data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)) for _ in range(2))
    layer = FairnessLayer("demographic_parity", 0.1, intersectional=intersectional)
    plan = plan_batches(dataset({"a": a, "b": b}), layer, 10)
    batches = each_once(plan, n)
    joint = np.array(a) * 3 + np.array(b)
    marks = [joint] if intersectional else [np.array(a), np.array(b)]
    for batch in batches:
        for code, count in zip(*np.unique(joint, return_counts=True), strict=True):
            assert abs(int((joint[batch] == code).sum()) - count / len(batches)) < 1
        for mark in marks:
            assert set(mark[batch].tolist()) == set(mark.tolist())
    assert plan.without == {}


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=80))
def test_labels_where_the_metric_needs_them(rows: list[tuple[int, int]]) -> None:
    groups, labels = [row[0] for row in rows], [row[1] for row in rows]
    data = dataset({"g": groups}, labels)
    both = plan_batches(data, FairnessLayer("equalized_odds", 0.1), 8)
    joint = np.array(groups) * 2 + np.array(labels)
    for batch in each_once(both, len(rows)):
        for code, count in zip(*np.unique(joint, return_counts=True), strict=True):
            assert abs(int((joint[batch] == code).sum()) - count / len(both.counts)) < 1
    positive = plan_batches(data, FairnessLayer("equal_opportunity", 0.1), 8)
    for batch in each_once(positive, len(rows)):
        found = {group for group, label in (rows[k] for k in batch) if label == 1}
        if {(0, 1), (1, 1)} <= set(rows):
            assert found == {0, 1}


def test_conditions_and_names() -> None:
    data = people(200)
    plan = plan_batches(data, parity(0.1, "conditional_parity"), 20)
    assert plan.names == tuple(f"sex={s} | condition={c}" for s in "fm" for c in ("land", "town"))
    for batch in plan.epoch(3, 1):
        assert set(plan.groups(batch)) == set(plan.names)
        assert sum(plan.groups(batch).values()) == len(batch)


def test_epochs_differ_and_repeat_by_seed() -> None:
    plan = plan_batches(people(100), parity(), 10)
    first, again, next_epoch, other = (
        [batch.tolist() for batch in plan.epoch(seed, epoch)] for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    assert first == again
    assert first != next_epoch
    assert first != other


def test_without_a_layer_everybody_is_one_stratum() -> None:
    plan = plan_batches(people(100), None, 30)
    assert plan.sizes == (25, 25, 25, 25)
    each_once(plan, 100)


def test_scarce_groups_are_reported() -> None:
    data = dataset({"g": [0] * 97 + [1] * 3})
    layer = FairnessLayer("demographic_parity", 0.1, features=["g"], values={"g": ["0", "1", "2"]})
    enlarged = plan_batches(data, layer, 10).to_dict()
    json.dumps(enlarged)
    assert enlarged["limiting"] == "g=1"
    assert enlarged["batches"] == 3
    assert enlarged["smallest"] == 33
    assert enlarged["absent_rows"] == ["g: 0 - 2", "g: 1 - 2"]
    assert plan_batches(data, layer, 10, "spread").without == {"g=1": 7}
    with pytest.raises(InputError, match="g=1 has 3 people for 10 batches"):
        plan_batches(data, layer, 10, "error")


def test_overlapping_features_that_are_dealt_unluckily_make_fewer_batches() -> None:
    data = dataset({"a": [0, 0, 0, 1, 1], "b": [0, 0, 1, 0, 1]})
    plan = plan_batches(data, FairnessLayer("demographic_parity", 0.1), 3)
    assert plan.sizes == (5,)
    assert plan.limiting == "a=1"
    assert sum(plan_batches(data, FairnessLayer("demographic_parity", 0.1), 3, "spread").without.values()) == 1


def test_batches_refuse() -> None:
    data = people(10)
    with pytest.raises(InputError, match="nobody"):
        plan_batches(data.take(np.array([], dtype=np.int64)), None, 5)
    with pytest.raises(InputError, match="0 means everybody"):
        plan_batches(data, None, -1)
    with pytest.raises(InputError, match="known: enlarge, spread, error"):
        plan_batches(data, None, 5, "drop")  # type: ignore[arg-type]
