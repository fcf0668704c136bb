from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from certifair.errors import InputError
from certifair.training import Dataset, hide_sensitive, split, split_indices
from certifair.training.data import strata
from tests.training.people import NAMES, people


@given(
    st.lists(st.integers(0, 4), max_size=150),
    st.sampled_from([(1,), ("0.7", "0.3"), (0.6, 0.2, 0.2), (Fraction(1, 3), Fraction(2, 3)), (0.1, 0.9), (1, 0)]),
    st.integers(0, 3),
)
def test_splits_keep_strata_within_one_person(codes: list[int], shares, seed: int) -> None:
    array = np.array(codes, dtype=np.int64)
    names = [f"part {k}" for k in range(len(shares))]
    found = split_indices(array, dict(zip(names, shares, strict=True)), seed)
    assert list(found) == names
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(len(codes)))
    for code in set(codes):
        for people_of, share in zip(found.values(), shares, strict=True):
            assert abs(int((array[people_of] == code).sum()) - Fraction(str(share)) * codes.count(code)) < 1
        assert (array[found["part 0"]] == code).any()


def test_split_is_by_group_and_label() -> None:
    data = people(300)
    parts = split(data, {"train": 0.8, "test": 0.2}, 1)
    whole, train = strata(data), strata(parts["train"])
    assert len(np.unique(whole)) == len(np.unique(train)) == 12
    assert len(parts["train"]) + len(parts["test"]) == 300
    again = split(data, {"train": 0.8, "test": 0.2}, 1)
    assert torch.equal(again["test"].inputs, parts["test"].inputs)
    assert not torch.equal(split(data, {"train": 0.8, "test": 0.2}, 2)["test"].inputs[:20], parts["test"].inputs[:20])
    assert len(np.unique(strata(people(300, regression=True)))) == 6


@pytest.mark.parametrize("shares", [{"a": 0.5}, {"a": 1.5, "b": -0.5}, {}])
def test_shares_that_do_not_add_up(shares: dict[str, float]) -> None:
    with pytest.raises(InputError, match="add up to 1"):
        split(people(10), shares, 0)


def test_a_dataset_from_anything() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
    found = Dataset.of(frame, pd.Series([1, 0], name="sex"), [True, False], ["x", "y"])
    assert found.columns == ("a", "b")
    assert found.inputs.dtype == torch.float64
    assert found.sensitive["sex"].tolist() == ["1", "0"]
    assert found.labels is not None
    assert found.labels.tolist() == [1.0, 0.0]
    assert Dataset.of([[1], [2]], ["f", "m"]).sensitive["group"].tolist() == ["f", "m"]
    assert list(Dataset.of(frame, [["f", "a"], ["m", "b"]]).sensitive) == ["feature 0", "feature 1"]
    assert found.take(np.array([1])).inputs.tolist() == [[2.0, 1.5]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([1, 2],), r"shape \(2,\), not \(people, columns\)"),
        (([[1], [2]], ["f"]), "'group' has 1 values for 2 people"),
        (([[1], [2]], None, [1]), "'labels' has 1 values for 2 people"),
        (([[1], [2]], None, None, ["x"]), "'conditions' has 1 values for 2 people"),
        (([[1], [float("nan")]],), "inputs of row 2 are missing or not finite"),
        (([[1], [2]], None, [float("inf"), 1]), "labels of row 1"),
        (([["x"], ["y"]],), "inputs does not hold numbers only"),
        ((pd.DataFrame({"n": [1], "job": ["cook"]}),), "inputs: the column 'job' does not hold numbers only"),
        (([[1], [2]], ["f", None]), "missing in row 2"),
        (([[1, 2]], None, None, None, ["a"]), "1 names for inputs"),
    ],
)
def test_a_dataset_refuses(arguments: tuple[object, ...], text: str) -> None:
    with pytest.raises(InputError, match=text):
        Dataset.of(*arguments)


def test_hide_sensitive() -> None:
    data = people(20)
    shown = hide_sensitive(data)
    assert shown.columns == NAMES[:3]
    assert torch.equal(shown.inputs, data.inputs[:, :3])
    assert shown.sensitive is data.sensitive
    assert hide_sensitive(data, ["age"]).columns == ("skill", "luck", "sex=f", "sex=m")
    with pytest.raises(InputError, match="no input 'size' to hide; inputs: skill"):
        hide_sensitive(data, ["size"])
    with pytest.raises(InputError, match="no input would be left"):
        hide_sensitive(data, NAMES)
    with pytest.raises(InputError, match="no input is called like a sensitive feature"):
        hide_sensitive(shown)
    with pytest.raises(InputError, match="without names"):
        hide_sensitive(Dataset(data.inputs, data.sensitive))
