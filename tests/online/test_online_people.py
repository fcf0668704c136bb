"""Declared values make the rows and the joint cells; every accepted form of a column gives the same people."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from certifair.errors import InputError
from certifair.layer.encoding import feature_columns, join
from certifair.online import People
from tests.oracles import online_oracle as oracle

SEX, AGE, TOWN = ("f", "m"), ("young", "old", "(missing)"), ("yes", "no")
SHAPES: list[dict[str, Any]] = [
    {"features": ["sex"], "values": {"sex": SEX}},
    {"features": ["sex", "age"], "values": {"sex": SEX, "age": AGE}},
    {"features": ["sex", "age"], "values": {"age": AGE, "sex": SEX}, "intersectional": True},
    {"features": ["age"], "values": {"age": AGE, "town": TOWN}, "condition": "town"},
    {"features": ["age", "sex"], "values": {"age": AGE, "town": TOWN, "sex": SEX}, "condition": "town"},
    {"features": ["sex", "one"], "values": {"sex": SEX, "one": ["only"]}},
]


def people_of(shape: dict[str, Any]) -> People:
    return People.of("conditional_parity" if "condition" in shape else "demographic_parity", **shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_and_cells_are_those_of_the_definition(shape: dict[str, Any]) -> None:
    people = people_of(shape)
    rows = oracle.rows_of(people.description)
    assert people.row_names == tuple(row.name for row in rows)
    names = [*shape["features"], *([shape["condition"]] if "condition" in shape else [])]
    assert list(people.values) == names
    everybody = [dict(zip(names, who, strict=True)) for who in itertools.product(*(shape["values"][n] for n in names))]
    columns = {name: [person[name] for person in everybody] for name in names}
    joint = people.encode(columns, columns.get("town"), len(everybody))
    assert joint.tolist() == list(range(people.joint_cells))
    for k, row in enumerate(rows):
        partition = people.rows[k].cells[0].partition
        for cell, members in zip(people.pairs[k], row.members(everybody), strict=True):
            assert np.flatnonzero(people.cell_of[partition] == cell).tolist() == members


def test_the_members_of_the_header() -> None:
    assert people_of(SHAPES[4]).description == {
        "metric": "conditional_parity",
        "sensitiveFeatures": ["age", "sex"],
        "intersectional": False,
        "condition": "town",
        "values": {"age": list(AGE), "sex": list(SEX), "town": list(TOWN)},
    }


def test_every_form_of_a_table() -> None:
    people = people_of(SHAPES[1])
    sex, age = ["f", "m", "m", "f"], ["old", "young", "(missing)", "old"]
    expected = [1, 3, 5, 1]
    frame = pd.DataFrame({"id": range(4), "age": age, "sex": sex})
    categories = frame.astype({"age": "category", "sex": "string"})
    for form in (
        {"sex": sex, "age": age, "unused": None},
        {"sex": tuple(sex), "age": np.array(age)},
        {"age": np.array(age, dtype=object), "sex": pd.Series(sex)},
        {"age": pl.Series(age), "sex": np.array(sex)[::1]},
        np.array([sex, age]).T,
        frame,
        categories,
        pl.DataFrame({"sex": sex, "age": age}),
    ):
        found = people.encode(form, None, 4)
        assert found.dtype == np.int64
        assert found.tolist() == expected


def test_every_form_of_a_code() -> None:
    one = People.of("demographic_parity", features=["g"], values={"g": [0, 1, 7]})
    codes, expected = [7, 0, 1, 7], [2, 0, 1, 2]
    for dtype in (np.int8, np.uint8, np.int64, np.float32, ">i4", object, str):
        assert one.encode(np.array(codes).astype(dtype), None, 4).tolist() == expected
    for dtype in (torch.int64, torch.uint8, torch.float32, torch.bfloat16):
        assert one.encode(torch.tensor(codes, dtype=dtype), None, 4).tolist() == expected
    for form in (codes, [7.0, 0.0, 1.0, 7.0], [7, False, True, 7.0], pd.Series(codes, name="else"), {"g": codes}):
        assert one.encode(form, None, 4).tolist() == expected
    two = People.of("demographic_parity", features=["a", "b"], values={"a": [0, 1], "b": [0, 1, 2]})
    for table in (np.array([[1, 2], [0, 1]]), torch.tensor([[1, 2], [0, 1]]), torch.tensor([[1.0, 2], [0, 1]])):
        assert two.encode(table, None, 2).tolist() == [5, 1]


def test_many_people_are_encoded_alike() -> None:
    rng = np.random.default_rng(3)
    two = People.of("demographic_parity", features=["a", "b"], values={"a": [0, 1], "b": [0, 1, 2]})
    table = np.stack([rng.integers(0, 2, 10_000), rng.integers(0, 3, 10_000)], axis=1)
    expected = (table[:, 0] * 3 + table[:, 1]).tolist()
    for form in (table, torch.from_numpy(table), {"a": table[:, 0].tolist(), "b": table[:, 1].astype(str)}):
        assert two.encode(form, None, 10_000).tolist() == expected


def answer(encode: Callable[[], Any]) -> object:
    """The codes, or why there are none."""
    try:
        return encode().tolist()
    except InputError as error:
        return str(error)


WORDS = st.sampled_from([0, 1, 2, True, False, 0.0, 1.0, -0.0, 1.5, float("nan"), None, "0", "1", "1.0", "True", "01"])


@given(st.lists(WORDS, min_size=1, max_size=6), st.booleans())
def test_looking_up_is_only_faster(column: list[Any], as_objects: bool) -> None:
    """The layer's encoding decides what a value is; codes or refusal are the same."""
    declared = ("1", "0", "True", "1.0", "01")
    people = People.of("demographic_parity", features=["g"], values={"g": declared})
    given_column = np.array(column, dtype=object) if as_objects else column

    def by_layer() -> Any:
        return join(feature_columns(given_column, ["g"], {"g": declared}), len(column)).joint

    assert answer(lambda: people.encode(given_column, None, len(column))) == answer(by_layer)


@pytest.mark.parametrize(
    ("features", "conditions", "message"),
    [
        ({"age": ["old", "young"]}, ["yes", "dunno"], "undeclared value 'dunno'"),
        ({"age": ["old", "ancient"]}, ["yes", "no"], "undeclared value 'ancient'"),
        ({"age": ["old", None]}, ["yes", "no"], "missing in row 2"),
        ({"age": ["old", float("nan")]}, ["yes", "no"], "missing in row 2"),
        ({"age": ["old"]}, ["yes", "no"], "'age' has 1 values for 2 scores"),
        ({"age": ["old", "old", "old"]}, ["yes", "no"], "'age' has 3 values for 2 scores"),
        ({"age": ["old", "old"]}, ["yes"], "'town' has 1 values for 2 scores"),
        ({"age": ["old", "old"]}, None, "needs conditions"),
        ({"sex": ["f", "m"]}, ["yes", "no"], "no column 'age'"),
        (np.zeros((2, 2)), ["yes", "no"], "2 columns"),
        (np.zeros((2, 1, 1)), ["yes", "no"], "shape"),
        ([["old"], ["old"]], ["yes", "no"], "undeclared|shape"),
        ([0.5, 1.0], ["yes", "no"], "fractions"),
        (np.array(["2020-01-01", "2020-01-01"], dtype="M8[ns]"), ["yes", "no"], "undeclared"),
    ],
)
def test_people_who_cannot_be_encoded(features: Any, conditions: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        people_of(SHAPES[3]).encode(features, conditions, 2)


def test_conditions_that_nobody_asked_for() -> None:
    with pytest.raises(InputError, match="demographic_parity has no conditions"):
        people_of(SHAPES[0]).encode(["f"], ["yes"], 1)


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        ("demografic_parity", SHAPES[0], "did you mean 'demographic_parity'"),
        ("equalized_odds", SHAPES[0], "needs labels"),
        ("equal_opportunity", SHAPES[0], "needs labels"),
        ("equalized_residuals", SHAPES[0], "needs labels"),
        ("conditional_parity", SHAPES[0], "needs the name of a condition"),
        ("demographic_parity", SHAPES[3], "has no condition"),
        ("demographic_parity", {"features": [], "values": {}}, "none, or one stands twice"),
        ("demographic_parity", {"features": ["a", "a"], "values": {"a": SEX}}, "stands twice"),
        ("conditional_parity", {"features": ["a"], "values": {"a": SEX}, "condition": "a"}, "stands twice"),
        ("demographic_parity", {"features": "sex", "values": {"sex": SEX}}, "lists of texts"),
        ("demographic_parity", {"features": ["sex"], "values": {"sex": "fm"}}, "lists of texts"),
        ("demographic_parity", {"features": ["sex"], "values": {}}, r"declared of \[\]"),
        ("demographic_parity", {"features": ["sex"], "values": {"sex": SEX, "age": AGE}}, r"not of \['sex'\]"),
        ("demographic_parity", {"features": ["sex"], "values": {"sex": []}}, "values of 'sex' are none"),
        ("demographic_parity", {"features": ["sex"], "values": {"sex": [1, "1"]}}, "or one stands twice"),
        ("demographic_parity", {"features": ["sex"], "values": {"sex": ["f"]}}, "nobody to compare"),
        ("demographic_parity", {"features": ["sex"], "values": {"sex": ["\ud800", "m"]}}, "no Unicode"),
        ("demographic_parity", {"features": ["g"], "values": {"g": ["a", "b - c", "a - b", "c"]}}, "the same name"),
        ("demographic_parity", {"features": ["g"], "values": {"g": range(46)}}, "1035 rows"),
        ("demographic_parity", {"features": ["g", "h"], "values": {"g": range(40), "h": range(103)}}, "4120 comb"),
    ],
)
def test_declarations_that_do_not_fit(metric: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        People.of(metric, **options)
