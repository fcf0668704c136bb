from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from certifair.errors import InputError
from certifair.evidence import rows_file
from certifair.evidence.rows_file import rows_of
from certifair.spec.domain import Domain, Feature
from certifair.spec.domain_file import load_domain

DOMAIN = Domain(
    "people",
    (
        Feature("age", "integer", 17, 90, sensitive=True),
        Feature("job", "one_hot", values=("a", "b", "c")),
        Feature("wage", "continuous", 0, 2),
    ),
)
CSV = "wage,name,job,age,city\n0.1,Ann,b,30,x\n1e-3,Bob,a,17.5,y\n2,Cid,c,-4,\n"
WANTED = [[30, 0, 1, 0, 0.1], [17.5, 1, 0, 0, 0.001], [-4, 0, 0, 1, 2]]


def written(folder: Path, text: str, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_go_by_name_and_no_row_is_left_out(tmp_path: Path) -> None:
    found = rows_of(written(tmp_path, CSV), DOMAIN)
    assert found.values.dtype == np.float64
    assert found.values.tolist() == WANTED
    assert found.ignored == ("name", "city")
    assert list(found.labels) == [1, 2, 3]


def frames() -> list[Any]:
    columns = {"age": [30.0, 17.5, -4.0], "job": ["b", "a", "c"], "wage": [0.1, 0.001, 2.0]}
    coded = pa.table({**columns, "job": pa.array(["b", "a", "c"]).dictionary_encode()})
    return [pd.DataFrame(columns), pl.DataFrame(columns), pa.table(columns), coded]


@pytest.mark.parametrize("number", range(4))
def test_other_formats_say_the_same(number: int, tmp_path: Path) -> None:
    frame = frames()[number]
    assert rows_of(frame, DOMAIN).values.tolist() == WANTED
    if isinstance(frame, pa.Table):
        pq.write_table(frame, tmp_path / "people.parquet")
        assert rows_of(tmp_path / "people.parquet", DOMAIN).values.tolist() == WANTED
    if isinstance(frame, pl.DataFrame):
        frame.write_ndjson(tmp_path / "people.jsonl")
        assert rows_of(str(tmp_path / "people.jsonl"), DOMAIN).values.tolist() == WANTED


def test_a_column_for_each_value(tmp_path: Path) -> None:
    text = "age,job=c,job=a,job=b,wage\n30,0,0,1,0.1\n20,0.5,0,0,1\n"
    found = rows_of(written(tmp_path, text), DOMAIN)
    assert found.values.tolist() == [[30, 0, 1, 0, 0.1], [20, 0, 0, 0.5, 1]]  # what is in no domain is not decided here
    both = rows_of(written(tmp_path, "age,job,job=a,job=b,job=c,wage\n30,b,1,0,0,0.1\n"), DOMAIN)
    assert both.values.tolist() == WANTED[:1]
    assert both.ignored == ("job=a", "job=b", "job=c")


def test_codes_are_texts() -> None:
    domain = Domain("d", (Feature("code", "one_hot", values=("1", "0"), sensitive=True),))
    for column in ([0, 1], [0.0, 1.0], ["0", "1"]):
        assert rows_of(pd.DataFrame({"code": column}), domain).values.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(InputError, match=r"'code' is '01' in row 2, which is none of its values; "):
        rows_of(pd.DataFrame({"code": ["0", "01"]}), domain)


def test_rows_may_have_names(tmp_path: Path) -> None:
    text = "row_id,age,job,wage\np-7,30,b,0.1\n007,20,b,0.1\n"
    found = rows_of(written(tmp_path, text), DOMAIN)
    assert list(found.labels) == ["p-7", "007"]
    assert found.ignored == ()
    with pytest.raises(InputError, match="'row_id' is missing in row 2"):
        rows_of(written(tmp_path, text.replace("007", "")), DOMAIN)


def test_decimals_are_the_nearest_floats(tmp_path: Path) -> None:
    text = "age,job,wage\n9007199254740993,a,0.30000000000000004\n1,a,0.3\n"
    values = rows_of(written(tmp_path, text), DOMAIN).values
    assert values[:, 0].tolist() == [2.0**53, 1]
    assert values[:, -1].tolist() == [0.1 + 0.2, 0.3]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("age,job\n1,a\n", "has no column 'wage', a feature of the domain"),
        ("age,job,wagge\n1,a,2\n", "has no column 'wage', .*; .*'wagge'"),
        ("age,wage\n1,2\n", "has no column 'job', .*; give it with one of the values a, b, c, or a column 'job=a'"),
        ("age,job=a,job=b,wage\n1,0,1,2\n", "has no column 'job', .*or a column 'job=c'"),
        ("age,job,wage\n1,a,2\n2,,2\n", "'job' is missing in row 2"),
        ("age,job,wage\n1,a,2\n2,a,\n", "'wage' is missing in row 2"),
        ("age,job,wage\n1,a,2\n2,B,2\n", "'job' is 'B' in row 2, which is none of its values; "),
        ("age,job,wage\n1,a,2\nold,a,2\n", "'age' is 'old' in row 2, not a number"),
        ("age,job,wage\n1,a,2\n2,a,inf\n", "'wage' is inf in row 2, not a finite number"),
        ("age,job,wage\n1,a,nan\n2,a,2\n", "'wage' is nan in row 1"),
        ("age,job,wage,age\n1,a,2,3\n", "two columns 'age'"),
        ("age,job,wage\n", "has no row|no row"),
        ("", "is empty"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, text: str, why: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=why) as caught:
        rows_of(path, DOMAIN)
    assert str(caught.value).startswith(f"{path}: ")


def test_other_things_that_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="suffix"):
        rows_of(written(tmp_path, CSV, "people.xlsx"), DOMAIN)
    with pytest.raises(InputError, match="cannot be read"):
        rows_of(tmp_path / "none.csv", DOMAIN)
    with pytest.raises(InputError, match="neither a path nor a data frame"):
        rows_of(3, DOMAIN)
    with pytest.raises(InputError, match="'job' holds fractions"):
        rows_of(pd.DataFrame({"age": [1], "job": [0.5], "wage": [1]}), DOMAIN)


def test_too_many_numbers_are_refused_before_there_is_memory_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_file, "MOST_NUMBERS", 14)
    with pytest.raises(InputError, match="3 rows of 5 inputs are more than 14"):
        rows_of(frames()[0], DOMAIN)


@pytest.mark.parametrize(("name", "rows"), [("adult", 45_222), ("compas", 6_172), ("german", 1_000), ("bank", 3_090)])
def test_the_public_tables(shared: Path, name: str, rows: int) -> None:
    file = shared / "models" / "domains" / f"{name}.toml"
    found = load_domain(file)
    assert found.rows is not None
    table = rows_of(file.parent / found.rows, found.domain)
    assert table.values.shape == (rows, found.domain.inputs)
    assert found.label in table.ignored
    inside = sum(
        all(f.contains(tuple(row[list(c)])) for f, c in zip(found.domain.features, found.domain.columns, strict=True))
        for row in table.values[:500]
    )
    assert inside > 400
