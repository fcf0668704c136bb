"""preprocessing.json: read strictly, written canonically, and encoding the same for whoever has the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certifair.errors import InputError
from certifair.evidence.canonical import canonical, strict_json
from certifair.evidence.inputs import Input, Inputs

INPUTS = Inputs((Input("x", "number"), Input("job", "category", ("b", "a")), Input("y", "number")))
CONTENT = (
    b'{"format":"certifair-inputs/0","inputs":[{"column":"x","kind":"number","values":[]},'
    b'{"column":"job","kind":"category","values":["b","a"]},{"column":"y","kind":"number","values":[]}]}'
)
COLUMNS = {"y": [1, 2, 3], "job": ["a", "c", "b"], "x": [0.1, -0.0, 1e308], "other": ["", "", ""]}
ENCODED = [[0.1, 0.0, 1.0, 1.0], [-0.0, 0.0, 0.0, 2.0], [1e308, 1.0, 0.0, 3.0]]
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@st.composite
def descriptions(draw: st.DrawFn) -> Inputs:
    found = []
    for column in draw(st.lists(texts, min_size=1, max_size=5, unique=True)):
        values = tuple(draw(st.lists(texts, max_size=4, unique=True)))
        found.append(Input(column, "category" if values else "number", values))
    return Inputs(tuple(found))


def refused(content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        Inputs.parse(content, "RUN/preprocessing.json")
    assert str(caught.value).startswith("RUN/preprocessing.json: ")
    return str(caught.value)


def test_the_file_is_the_one_in_the_readme() -> None:
    assert INPUTS.to_bytes() == CONTENT
    assert Inputs.parse(CONTENT, "file") == INPUTS
    assert INPUTS.width == 4


@given(descriptions())
def test_what_was_written_is_read(inputs: Inputs) -> None:
    assert Inputs.parse(inputs.to_bytes(), "file") == inputs


def with_input(**changes: Any) -> bytes:
    value = strict_json(CONTENT)
    value["inputs"][1].update(changes)
    return canonical(value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Expecting value"),
        (b"[]", "not an object of the format"),
        (CONTENT[:-1] + b',"more":1}', "not an object of the format"),
        (CONTENT.replace(b"inputs/0", b"inputs/1"), "not an object of the format"),
        (CONTENT.replace(b'"values":[]', b'"values":[],"values":[]', 1), "duplicate key"),
        (CONTENT + b"\n", "RFC 8785"),
        (CONTENT.replace(b",", b", ", 1), "RFC 8785"),
        (b'{"format":"certifair-inputs/0","inputs":[]}', "has no input"),
        (b'{"format":"certifair-inputs/0","inputs":{}}', "no list"),
        (b'{"format":"certifair-inputs/0","inputs":[1]}', "other members"),
        (with_input(scale="2"), "other members"),
        (with_input(kind="ordinal"), "unknown kind 'ordinal'"),
        (with_input(kind="number"), "a number with 2 values"),
        (with_input(values=[]), "a category with 0 values"),
        (with_input(values=["a", "a"]), "a value twice"),
        (with_input(values=["a", ""]), "an empty column or value"),
        (with_input(values=["a", 1]), "something else than texts"),
        (with_input(values="ab"), "whose values are no list"),
        (with_input(values=None), "whose values are no list"),
        (with_input(column=None), "something else than texts"),
        (with_input(column=""), "an empty column or value"),
        (with_input(column="x"), "the column 'x' twice"),
        (with_input(kind=["category"]), "something else than texts"),
    ],
)
def test_anything_else_is_refused(content: bytes, words: str) -> None:
    assert words in refused(content)


def test_nothing_is_written_that_would_not_be_read() -> None:
    for items in ((), (Input("x", "number"), Input("x", "number")), (Input("x", "category"),), (Input("", "number"),)):
        with pytest.raises(ValueError, match="has"):
            Inputs(items).to_bytes()


@pytest.mark.parametrize("make", [pa.table, pd.DataFrame, pl.DataFrame], ids=["arrow", "pandas", "polars"])
def test_every_table_is_encoded_alike(make: Any) -> None:
    encoded = INPUTS.encode(make(COLUMNS))
    assert encoded.tolist() == ENCODED
    assert encoded.dtype == np.float64
    assert np.signbit(encoded[1, 0])
    bundled = INPUTS.bundled(make(COLUMNS))
    assert bundled.column_names == ["input.x", "input.job", "input.y"]
    assert bundled.schema.types == [pa.float64(), pa.string(), pa.float64()]
    assert INPUTS.encode_bundled(bundled, "data.parquet").tolist() == ENCODED


def test_categories_of_a_frame_may_be_codes() -> None:
    inputs = Inputs((Input("job", "category", ("2", "1")),))
    assert inputs.encode(pd.DataFrame({"job": pd.Categorical([1, 2, 3])})).tolist() == [[0, 1], [1, 0], [0, 0]]
    assert inputs.encode(pd.DataFrame({"job": [1.0, 2.0]})).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("x", [1.0, float("nan"), 2.0], "'x' is nan in row 2"),
        ("x", [1.0, 2.0, None], "'x' is missing in row 3"),
        ("x", ["1", "two", "3"], "'x' is 'two' in row 2"),
        ("job", ["a", None, "b"], "'input.job' is missing in row 2"),
        ("job", ["a", "b", ""], "'input.job' is missing in row 3"),
        ("job", [0.5, 1.0, 2.0], "'job' holds fractions"),
        ("y", None, "no column 'y'"),
    ],
)
def test_an_error_names_column_and_row(column: str, values: list[Any] | None, words: str) -> None:
    table = pa.table({name: column for name, column in {**COLUMNS, column: values}.items() if column is not None})
    with pytest.raises(InputError) as caught:
        INPUTS.encode(table)
    assert words in str(caught.value)


def test_blocks_are_what_is_encoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certifair.evidence.inputs._BLOCK", 1)
    table = pa.concat_tables([INPUTS.bundled(pa.table(COLUMNS))] * 12)
    found = list(INPUTS.blocks(table, "data.parquet"))
    assert [(rows.start, rows.stop) for rows, _ in found] == [(0, 16), (16, 32), (32, 36)]
    assert np.concatenate([block for _, block in found]).tolist() == ENCODED * 12
    with pytest.raises(InputError, match="'input\\.job' is missing in row 36"):
        next(INPUTS.blocks(table.set_column(1, "input.job", pa.array(["a"] * 35 + [None])), "data.parquet"))


def test_a_category_of_many_values_takes_no_memory_before_it_is_refused() -> None:
    inputs = Inputs((Input("job", "category", tuple(map(str, range(200_000)))),))
    table = pa.table({"input.job": ["1"] * 200_000})
    with pytest.raises(InputError, match="are 40000000000 numbers; at most"):
        inputs.encode_bundled(table, "data.parquet")
    rows, block = next(inputs.blocks(table, "data.parquet"))
    assert block.shape == (rows.stop, 200_000)
    assert block.size < 1 << 23
    assert (block[:, 1] == 1).all()
    assert block.sum() == rows.stop
