from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certifair.errors import InputError, PolicyError
from certifair.evidence.bundle import PATHS, Evidence, load, read_contents
from certifair.evidence.canonical import strict_json
from certifair.evidence.ingest import ingest
from certifair.evidence.tables import numbers, read_table

POLICY = """
[data]
label = "repaid"
sensitive_features = ["sex", "age"]
[data.values]
sex = ["f", "m"]
age = [1, 2, 3]
[predictions]
score = "score"
prediction = "served"
batch = "batch"
[system]
name = "s"
[[property]]
id = "x"
kind = "feasibility"
metric = "equalized_odds"
sensitive_features = "sex"
epsilon = 0.1
"""
COLUMNS: dict[str, list[Any]] = {
    "person": ["p1", "p2", "p3", "p4"],
    "sex": ["f", "m", "m", "f"],
    "age": [1, 2, 3, 1],
    "repaid": [0, 1, 1, 0],
    "score": [0.1, 0.25, 1 / 3, 1e-9],
    "served": [0.125, 0.25, 0.5, 0.0],
    "batch": ["b", "a", "b", "a"],
    "notes": ["", "x,y", 'q"q', "line\nline"],
}


def csv_text(columns: dict[str, list[Any]]) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return sink.getvalue()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "certifair.toml"
    path.write_text(POLICY, encoding="utf-8")
    return path


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def evidence_at(run: Path) -> Evidence:
    return load(read_contents(run), str(run))


# -------------------------------------------------------------------------------------------------- the same table
def as_csv(folder: Path) -> Any:
    return write(folder, "t.csv", csv_text(COLUMNS))


def as_csv_quoted(folder: Path) -> Any:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    writer.writerows(zip(*COLUMNS.values(), strict=True))
    return write(folder, "t.csv", sink.getvalue())


def as_parquet(folder: Path) -> Any:
    path = folder / "t.parquet"
    pq.write_table(pa.table(COLUMNS), path, row_group_size=2)
    return path


def as_jsonl(folder: Path) -> Any:
    rows = (dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True))
    return write(folder, "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def as_ndjson_reordered(folder: Path) -> Any:
    rows = (dict(zip(reversed(COLUMNS), reversed(row), strict=True)) for row in zip(*COLUMNS.values(), strict=True))
    return str(write(folder, "T.NDJSON", "".join(json.dumps(row) + "\n" for row in rows)))


def as_parquet_dictionaries(folder: Path) -> Any:
    table = pa.table(COLUMNS)
    for name in ("sex", "batch"):
        table = table.set_column(table.column_names.index(name), name, table[name].dictionary_encode())
    path = folder / "t.parquet"
    pq.write_table(table, path)
    return path


SOURCES: dict[str, Callable[[Path], Any]] = {
    "csv": as_csv,
    "csv quoted, CRLF": as_csv_quoted,
    "parquet": as_parquet,
    "parquet, dictionaries": as_parquet_dictionaries,
    "jsonl": as_jsonl,
    "ndjson, a text path, columns reversed": as_ndjson_reordered,
    "pandas": lambda _: pd.DataFrame(COLUMNS),
    "pandas, categories": lambda _: pd.DataFrame(COLUMNS).astype({"sex": "category", "age": "category"}),
    "pandas, codes as floats": lambda _: pd.DataFrame(COLUMNS).astype({"age": float, "repaid": float}),
    "pandas, index": lambda _: pd.DataFrame(COLUMNS, index=[7, 7, 7, 7]),
    "polars": lambda _: pl.DataFrame(COLUMNS),
    "polars, categories": lambda _: pl.DataFrame(COLUMNS).with_columns(pl.col("sex").cast(pl.Categorical)),
    "polars, lazy": lambda _: pl.LazyFrame(COLUMNS),
    "arrow": lambda _: pa.table(COLUMNS),
    "arrow, chunks": lambda _: pa.concat_tables([pa.table(COLUMNS).slice(0, 1), pa.table(COLUMNS).slice(1)]),
    "arrow, large texts": lambda _: pa.table(COLUMNS).set_column(1, "sex", pa.array(COLUMNS["sex"], pa.large_string())),
    "duckdb": lambda _: duckdb.from_arrow(pa.table(COLUMNS)),
    "duckdb, a query": lambda _: duckdb.from_arrow(pa.table(COLUMNS)).filter("served >= 0"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_table_gives_the_same_bundle(tmp_path: Path, policy: Path, source: str) -> None:
    assert ingest(as_csv(tmp_path), policy, tmp_path / "reference") == 4
    assert ingest(SOURCES[source](tmp_path), policy, tmp_path / "run") == 4
    ours, theirs = read_contents(tmp_path / "run"), read_contents(tmp_path / "reference")
    assert ours == theirs
    evidence = evidence_at(tmp_path / "run")
    assert evidence.scores is not None
    assert evidence.labels is not None
    assert evidence.predictions.tolist() == COLUMNS["served"]
    assert evidence.scores.tolist() == COLUMNS["score"]
    assert evidence.labels.tolist() == COLUMNS["repaid"]
    assert {name: codes.tolist() for name, codes in evidence.codes.items()} == {
        "sex": [0, 1, 1, 0],
        "age": [0, 1, 2, 0],
    }
    assert (evidence.batch_names, evidence.batch.tolist()) == (("b", "a"), [0, 1, 0, 1])
    assert evidence.n == 4


def test_a_bundle_holds_what_the_page_says(tmp_path: Path, policy: Path) -> None:
    ingest(as_csv(tmp_path), policy, tmp_path / "run")
    run = tmp_path / "run"
    assert sorted(path.name for path in run.iterdir()) == [
        "data.parquet",
        "manifest.json",
        "policy.toml",
        "predictions.parquet",
        "system.json",
    ]
    assert (run / "policy.toml").read_bytes() == policy.read_bytes()
    data, served = pq.read_table(run / "data.parquet"), pq.read_table(run / "predictions.parquet")
    assert data.column_names == ["row_id", "feature.sex", "feature.age", "label"]
    assert data["feature.age"].to_pylist() == ["1", "2", "3", "1"]
    assert served.column_names == ["row_id", "batch_id", "group.sex", "group.age", "score", "prediction"]
    assert served["row_id"].to_pylist() == [1, 2, 3, 4]
    manifest = strict_json((run / "manifest.json").read_bytes())
    rows = [(entry["role"], entry["path"], entry["rowCount"]) for entry in manifest["files"]]
    assert rows == [
        ("data", "data.parquet", 4),
        ("predictions", "predictions.parquet", 4),
        ("policy", "policy.toml", None),
        ("system", "system.json", None),
    ]
    assert manifest["exclusions"] == []


def test_ingest_twice_gives_the_same_bytes(tmp_path: Path, policy: Path) -> None:
    for name in ("a", "b"):
        ingest(as_csv(tmp_path), policy, tmp_path / name)
    assert read_contents(tmp_path / "a") == read_contents(tmp_path / "b")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_texts_are_read_as_the_nearest_float64(values: list[float]) -> None:
    column = pa.chunked_array([pa.array([repr(value) for value in values])])
    assert numbers(column, "x", "t").tolist() == values


@pytest.mark.parametrize(
    "text",
    [
        "9007199254740993",
        "9007199254740992.99999999999999999999999999",
        "0.1000000000000000055511151231257827021181583404541015625",
        "2.2250738585072011e-308",
        "2.4703282292062328e-324",
        "2.4703282292062327e-324",
        "1.7976931348623158e308",
        "123456789012345678901234567890",
        "1e-400",
        "00.5",
        "5e-324",
    ],
)
def test_hard_decimals_are_read_as_python_reads_them(text: str) -> None:
    assert numbers(pa.chunked_array([pa.array([text])]), "x", "t").tolist() == [float(text)]


@pytest.mark.parametrize("text", [" 0.5", "0.5 ", "1_0", "0x1p3", "1d5", "0.5f", "1,000", "½", "١"])
def test_what_only_looks_like_a_number(text: str) -> None:
    with pytest.raises(InputError, match="in row 1, not a number"):
        numbers(pa.chunked_array([pa.array([text])]), "x", "t")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "values", [["NA", "null"], ["2025-01-01", "2025-01-02"], ["true", "false"], ["1.0", "1"], ["01", "1"]]
)
def test_texts_are_kept_as_they_are_written(tmp_path: Path, values: list[str], kind: str) -> None:
    """No reader's idea of a missing value, a date or a number changes a group or a batch."""
    text = POLICY.replace('sex = ["f", "m"]', f"sex = {values!r}")
    table = {**COLUMNS, "sex": values * 2, "batch": values * 2}
    rows = (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))
    content = csv_text(table) if kind == "csv" else "".join(json.dumps(row) + "\n" for row in rows)
    ingest(write(tmp_path, f"t.{kind}", content), write(tmp_path, "certifair.toml", text), tmp_path / "run")
    evidence = evidence_at(tmp_path / "run")
    assert evidence.codes["sex"].tolist() == [0, 1, 0, 1]
    assert evidence.batch_names == tuple(values)


def test_other_number_types(tmp_path: Path) -> None:
    half = [Fraction(1, 2), Fraction(1, 4)]
    columns = [
        pa.array([0.5, 0.25], pa.float32()),
        pa.array(np.array([0.5, 0.25], dtype=np.float16)),
        pa.array(["0.5", "0.25"]),
        pa.array(["0.5", "0.25"]).dictionary_encode(),
        pa.array(["0.50", "2.5e-1"], pa.large_string()),
        pa.array([float(value) for value in half]).cast(pa.decimal128(10, 4)),
    ]
    for column in columns:
        assert numbers(pa.chunked_array([column]), "x", "t").tolist() == [0.5, 0.25]
    assert numbers(pa.chunked_array([pa.array([True, False])]), "x", "t").tolist() == [1.0, 0.0]
    assert numbers(pa.chunked_array([pa.array([2**53, -(2**53)])]), "x", "t").tolist() == [2.0**53, -(2.0**53)]


# --------------------------------------------------------------------------------------------------------- errors
def changed(name: str, row: int, value: Any) -> dict[str, list[Any]]:
    """The table with one value of a row (from 1) replaced."""
    column = list(COLUMNS[name])
    column[row - 1] = value
    return {**COLUMNS, name: column}


def renamed(old: str, new: str) -> dict[str, list[Any]]:
    return {new if name == old else name: column for name, column in COLUMNS.items()}


WITH_ID = POLICY.replace("[data]", '[data]\nid = "person"', 1)
IN_GROUPS = POLICY.replace("[data]", '[data]\nmissing = "group"', 1)
SPLIT = POLICY.replace("[data]", '[data]\nsplit = "part"', 1)
CSV = csv_text(COLUMNS)

ERRORS: dict[str, tuple[str, str, str | bytes, list[str]]] = {
    "a missing column": (
        POLICY,
        "t.csv",
        csv_text(renamed("score", "scroe")),
        ["no column 'score'", "did you mean 'scroe'?"],
    ),
    "a missing group column": (POLICY, "t.csv", csv_text(renamed("sex", "gender")), ["no column 'sex'", "known: "]),
    "NaN": (POLICY, "t.csv", csv_text(changed("score", 3, "nan")), ["'score' is nan in row 3", "finite"]),
    "infinity": (POLICY, "t.csv", csv_text(changed("served", 2, "-inf")), ["'served' is -inf in row 2"]),
    "overflow": (POLICY, "t.csv", csv_text(changed("served", 2, "1e400")), ["'served' is inf in row 2"]),
    "text in a score": (POLICY, "t.csv", csv_text(changed("score", 4, "high")), ["'score' is 'high' in row 4"]),
    "a comma for a point": (POLICY, "t.csv", csv_text(changed("score", 1, "0,5")), ["'score' is '0,5' in row 1"]),
    "a hexadecimal number": (POLICY, "t.csv", csv_text(changed("score", 1, "0x1")), ["'score' is '0x1' in row 1"]),
    "a missing score": (
        POLICY,
        "t.csv",
        csv_text(changed("score", 2, "")),
        ["'score' is missing in row 2", "fill it in"],
    ),
    "a missing group": (
        POLICY,
        "t.csv",
        csv_text(changed("sex", 3, "")),
        ["'sex' is missing in row 3", 'missing = "group"'],
    ),
    "a missing batch": (POLICY, "t.csv", csv_text(changed("batch", 3, "")), ["'batch' is missing in row 3"]),
    "an undeclared value": (
        POLICY,
        "t.csv",
        csv_text(changed("sex", 2, "x")),
        ["'sex'", "'x' in row 2", "[data.values]"],
    ),
    "01 is not 1": (POLICY, "t.csv", csv_text(changed("age", 2, "01")), ["'age'", "'01' in row 2"]),
    "a value with a blank": (POLICY, "t.csv", csv_text(changed("sex", 2, "f ")), ["'f ' in row 2"]),
    "a label of 2": (POLICY, "t.csv", csv_text(changed("repaid", 3, 2)), ["label is 2 in row 3", "0 or 1"]),
    "a missing label": (POLICY, "t.csv", csv_text(changed("repaid", 3, "")), ["'repaid' is missing in row 3"]),
    "a duplicate id": (WITH_ID, "t.csv", csv_text(changed("person", 4, "p2")), ["'person' 'p2' stands again in row 4"]),
    "a missing id": (WITH_ID, "t.csv", csv_text(changed("person", 2, "")), ["'person' is missing in row 2"]),
    "a missing split": (
        SPLIT,
        "t.csv",
        csv_text({**COLUMNS, "part": ["test", "", "test", "x"]}),
        ["'part' is missing in row 2"],
    ),
    "no row of the split": (
        SPLIT,
        "t.csv",
        csv_text({**COLUMNS, "part": ["tset"] * 4}),
        ["['test']", "did you mean 'tset'?"],
    ),
    "an empty file": (POLICY, "t.csv", b"", ["is empty"]),
    "only blanks": (POLICY, "t.csv", b" \n\n", ["is empty"]),
    "only a header": (POLICY, "t.csv", CSV.splitlines()[0] + "\n", ["has no row"]),
    "only a header, no newline": (POLICY, "t.csv", CSV.splitlines()[0], ["cannot be read as a table"]),
    "a byte-order mark": (POLICY, "t.csv", b"\xef\xbb\xbf" + CSV.encode(), ["byte-order mark", "UTF-8"]),
    "UTF-16": (POLICY, "t.csv", CSV.encode("utf-16"), ["byte-order mark", "UTF-8"]),
    "UTF-16 without a mark": (POLICY, "t.csv", CSV.encode("utf-16-le"), []),
    "Latin-1": (POLICY, "t.csv", CSV.replace("x,y", "é").encode("latin-1"), []),
    "Latin-1 in a value": (
        POLICY,
        "t.csv",
        csv_text(changed("sex", 2, "é")).encode("latin-1"),
        ["cannot be read as a table"],
    ),
    "two columns of one name": (
        POLICY,
        "t.csv",
        CSV.replace("notes", "score", 1),
        ["two columns 'score'", "rename one"],
    ),
    "a row too short": (POLICY, "t.csv", CSV + "p5,f\n", ["cannot be read as a table"]),
    "a row too long": (POLICY, "t.csv", CSV + "p5,f,1,0,0.5,0.5,b,n,extra\n", ["cannot be read as a table"]),
    "an unknown suffix": (POLICY, "t.xlsx", CSV, ["unknown suffix '.xlsx'", "use .csv"]),
    "no suffix": (POLICY, "t", CSV, ["unknown suffix ''"]),
    "CSV called Parquet": (POLICY, "t.parquet", CSV, ["cannot be read as a table"]),
    "CSV called JSONL": (POLICY, "t.jsonl", CSV, ["cannot be read as a table"]),
    "half a JSON line": (POLICY, "t.jsonl", b'{"sex": "f"', ["cannot be read as a table"]),
    "JSON of two types": (POLICY, "t.jsonl", b'{"sex": "f"}\n{"sex": 1}\n', ["cannot be read as a table"]),
    "an empty Parquet": (POLICY, "t.parquet", b"", ["is empty"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_tables_are_one_clear_error(tmp_path: Path, case: str) -> None:
    policy, name, content, words = ERRORS[case]
    path = write(tmp_path, "certifair.toml", policy)
    table = write(tmp_path, name, content)
    before = sorted(tmp_path.iterdir())
    if case in ("Latin-1",):  # in a column that nobody reads
        assert ingest(table, path, tmp_path / "run") == 4
        return
    with pytest.raises(InputError) as caught:
        ingest(table, path, tmp_path / "run")
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path) in message
    for word in words:
        assert word in message
    assert caught.value.exit_code == 2
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("cut", [8, 200, -8, -1])
def test_a_damaged_parquet_file_is_one_clear_error(tmp_path: Path, policy: Path, cut: int) -> None:
    path = as_parquet(tmp_path)
    content = path.read_bytes()
    for damaged in (
        content[:cut],
        content[:40] + b"\xff" * 40 + content[80:],
        content[:-30] + b"\xff" * 22 + content[-8:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be read as a table"):
            ingest(path, policy, tmp_path / "run")


FRAMES: dict[str, tuple[Any, list[str]]] = {
    "NaN in pandas": (pd.DataFrame(changed("score", 3, float("nan"))), ["'score'", "row 3"]),
    "None in polars": (pl.DataFrame(changed("score", 3, None), strict=False), ["'score' is missing in row 3"]),
    "infinity in Arrow": (pa.table(changed("served", 1, float("inf"))), ["'served' is inf in row 1"]),
    "lists": (pa.table({**COLUMNS, "score": [[0.5]] * 4}), ["'score' holds list", "not numbers"]),
    "dates": (pa.table({**COLUMNS, "score": pa.array([1] * 4, pa.timestamp("s"))}), ["'score' holds timestamp"]),
    "fractions for groups": (pa.table({**COLUMNS, "age": [1.0, 1.5, 2.0, 3.0]}), ["'age' holds fractions"]),
    "lists for groups": (pa.table({**COLUMNS, "sex": [["f"]] * 4}), ["'sex' holds list"]),
    "integers that float64 rounds": (
        pa.table({**COLUMNS, "score": [0, 1, 2**53 + 1, 0]}),
        ["'score' is 9007199254740993 in row 3"],
    ),
    "no row": (pd.DataFrame(COLUMNS).iloc[:0], ["has no row"]),
    "no table": (3, ["int: is neither a path nor a data frame"]),
    "a dictionary": ({"a": [1]}, ["dict: is neither a path nor a data frame"]),
    "a column too few": (pl.DataFrame(COLUMNS).drop("sex"), ["has no column 'sex'"]),
}


@pytest.mark.parametrize("case", FRAMES)
def test_bad_frames_are_one_clear_error(tmp_path: Path, policy: Path, case: str) -> None:
    frame, words = FRAMES[case]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError) as caught:
        ingest(frame, policy, tmp_path / "run")
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('score = "score"\nprediction = "served"', "", "neither a score nor a prediction"),
        ('label = "repaid"\n', "", "needs the label"),
        ('sex = ["f", "m"]', "", "the values of 'sex' are not declared"),
        ('name = "s"', 'model = "absent.onnx"', "absent.onnx: cannot be read"),
        ('name = "s"', 'preprocessing = "absent.json"', "absent.json: cannot be read"),
    ],
)
def test_policies_that_do_not_fit_are_one_clear_error(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = write(tmp_path, "certifair.toml", POLICY.replace(old, new))
    table = as_csv(tmp_path)
    with pytest.raises(InputError) as caught:
        ingest(table, path, tmp_path / "run")
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_claims_on_scores_need_a_score_column(tmp_path: Path) -> None:
    text = POLICY.replace('score = "score"\n', "").replace("epsilon = 0.1", 'epsilon = 0.1\nmap = "scores"')
    with pytest.raises(PolicyError, match="property 'x' speaks of scores"):
        ingest(as_csv(tmp_path), write(tmp_path, "certifair.toml", text), tmp_path / "run")


def test_absent_files(tmp_path: Path, policy: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.csv: cannot be read \(No such file"):
        ingest(tmp_path / "absent.csv", policy, tmp_path / "run")
    with pytest.raises(InputError, match=r"absent\.toml: cannot be read"):
        ingest(as_csv(tmp_path), tmp_path / "absent.toml", tmp_path / "run")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        ingest(tmp_path / "folder.csv", policy, tmp_path / "run")


def test_a_table_may_be_a_link(tmp_path: Path, policy: Path) -> None:
    (tmp_path / "link.csv").symlink_to(as_csv(tmp_path))
    assert ingest(tmp_path / "link.csv", policy, tmp_path / "run") == 4


def test_existing_output_is_left_alone(tmp_path: Path, policy: Path) -> None:
    run = tmp_path / "run"
    ingest(as_csv(tmp_path), policy, run)
    before = read_contents(run)
    with pytest.raises(InputError, match="run: exists already; choose another folder"):
        ingest(as_csv(tmp_path), policy, run)
    assert read_contents(run) == before
    with pytest.raises(InputError, match="cannot be written"):
        ingest(as_csv(tmp_path), policy, policy / "run")


# ------------------------------------------------------------------------------------- missing, split, batch, ids
def test_missing_values_become_a_group_and_are_counted(tmp_path: Path) -> None:
    table = {**COLUMNS, "sex": ["f", "", "m", ""], "age": [1, 2, "", 1]}
    path = write(tmp_path, "certifair.toml", IN_GROUPS)
    ingest(write(tmp_path, "t.csv", csv_text(table)), path, tmp_path / "run")
    evidence = evidence_at(tmp_path / "run")
    assert evidence.values["sex"] == ("f", "m", "(missing)")
    assert evidence.codes["sex"].tolist() == [0, 2, 1, 2]
    assert evidence.codes["age"].tolist() == [0, 1, 3, 0]
    frames = [
        pd.DataFrame({**COLUMNS, "sex": ["f", None, "m", None], "age": [1, 2, None, 1]}),
        pl.DataFrame({**COLUMNS, "sex": ["f", None, "m", None], "age": [1, 2, None, 1]}),
        pd.DataFrame({**COLUMNS, "sex": ["f", "", "m", float("nan")], "age": [1.0, 2.0, float("nan"), 1.0]}),
    ]
    for number, frame in enumerate(frames):
        ingest(frame, path, tmp_path / f"run{number}")
        assert read_contents(tmp_path / f"run{number}") == read_contents(tmp_path / "run")


def test_other_splits_are_excluded_and_counted(tmp_path: Path) -> None:
    parts = ["train", "test", "late", "train"]
    text = SPLIT.replace('split = "part"', 'split = "part"\ncertify = ["test", "late"]')
    path = write(tmp_path, "certifair.toml", text)
    table = {**COLUMNS, "part": parts}
    assert ingest(pa.table(table), path, tmp_path / "run") == 2
    evidence = evidence_at(tmp_path / "run")
    assert evidence.exclusions == [{"reason": "part = train", "count": 2}]
    assert evidence.predictions.tolist() == [0.25, 0.5]
    assert (evidence.batch_names, evidence.batch.tolist()) == (("a", "b"), [0, 1])
    # ids are the rows of the table that was given, also where rows are left out
    assert pq.read_table(tmp_path / "run" / "data.parquet")["row_id"].to_pylist() == [2, 3]


def test_excluded_rows_are_checked_too(tmp_path: Path) -> None:
    table = {**changed("score", 1, "x"), "part": ["train", "test", "test", "test"]}
    path = write(tmp_path, "certifair.toml", SPLIT)
    with pytest.raises(InputError, match="'score' is 'x' in row 1"):
        ingest(write(tmp_path, "t.csv", csv_text(table)), path, tmp_path / "run")


@pytest.mark.parametrize(
    ("size", "expected"), [(0, [0] * 5), (1, [0, 1, 2, 3, 4]), (2, [0, 0, 1, 1, 2]), (99, [0] * 5)]
)
def test_batch_sizes(tmp_path: Path, size: int, expected: list[int]) -> None:
    text = POLICY.replace('batch = "batch"\n', "") + f"[serve]\nbatch = {size}\n"
    path = write(tmp_path, "certifair.toml", text.replace("[[property]]", "[[property]]", 1))
    table = {name: [*column, column[0]] for name, column in COLUMNS.items()}
    ingest(pa.table(table), path, tmp_path / "run")
    evidence = evidence_at(tmp_path / "run")
    assert evidence.batch.tolist() == expected
    assert evidence.batch_names == tuple(str(k) for k in range(max(expected) + 1))


def test_batches_of_a_split_count_kept_rows(tmp_path: Path) -> None:
    text = SPLIT.replace('batch = "batch"\n', "") + "[serve]\nbatch = 1\n"
    table = {**COLUMNS, "part": ["train", "test", "train", "test"]}
    ingest(pa.table(table), write(tmp_path, "certifair.toml", text), tmp_path / "run")
    assert evidence_at(tmp_path / "run").batch_names == ("0", "1")


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        (["p1", "p2", "p3", "p4"], ["p1", "p2", "p3", "p4"]),
        ([10, 5, 7, 1], [10, 5, 7, 1]),
        (pa.array(["a", "b", "c", "d"]).dictionary_encode(), ["a", "b", "c", "d"]),
        (pa.array([1, 2, 3, 4], pa.uint8()), [1, 2, 3, 4]),
        (pa.array(["a", "b", "c", "d"], pa.large_string()), ["a", "b", "c", "d"]),
    ],
)
def test_ids(tmp_path: Path, ids: Any, kept: list[Any]) -> None:
    path = write(tmp_path, "certifair.toml", WITH_ID)
    ingest(pa.table({**COLUMNS, "person": ids}), path, tmp_path / "run")
    assert pq.read_table(tmp_path / "run" / "data.parquet")["row_id"].to_pylist() == kept


@pytest.mark.parametrize("ids", [[1.0, 2.0, 3.0, 4.0], [True, False, True, False], [[1], [2], [3], [4]]])
def test_ids_of_another_type(tmp_path: Path, ids: Any) -> None:
    path = write(tmp_path, "certifair.toml", WITH_ID)
    with pytest.raises(InputError, match="not ids"):
        ingest(pa.table({**COLUMNS, "person": ids}), path, tmp_path / "run")


def test_ids_beyond_64_bits(tmp_path: Path) -> None:
    path = write(tmp_path, "certifair.toml", WITH_ID)
    ids = pa.array([1, 2, 3, 2**64 - 1], pa.uint64())
    with pytest.raises(InputError, match="person"):
        ingest(pa.table({**COLUMNS, "person": ids}), path, tmp_path / "run")


@pytest.mark.parametrize("ids", [[1, 2, 3, 1], [4, 3, 3, 1], ["a", "b", "b", "c"]])
def test_duplicate_ids_name_the_second(tmp_path: Path, ids: list[Any]) -> None:
    path = write(tmp_path, "certifair.toml", WITH_ID)
    row = next(k for k, value in enumerate(ids) if value in ids[:k]) + 1
    with pytest.raises(InputError, match=f"stands again in row {row}"):
        ingest(pa.table({**COLUMNS, "person": ids}), path, tmp_path / "run")


def test_a_prediction_alone_or_a_score_alone(tmp_path: Path) -> None:
    only_score = write(tmp_path, "a.toml", POLICY.replace('prediction = "served"\n', ""))
    ingest(pa.table(COLUMNS), only_score, tmp_path / "a")
    evidence = evidence_at(tmp_path / "a")
    assert evidence.scores is not None
    assert evidence.predictions.tolist() == evidence.scores.tolist() == COLUMNS["score"]
    only_served = write(tmp_path, "b.toml", POLICY.replace('score = "score"\n', ""))
    ingest(pa.table(COLUMNS), only_served, tmp_path / "b")
    evidence = evidence_at(tmp_path / "b")
    assert evidence.scores is None
    assert evidence.predictions.tolist() == COLUMNS["served"]


def test_the_files_of_the_system_are_digested(tmp_path: Path) -> None:
    write(tmp_path, "model.bin", b"abc")
    write(tmp_path, "prep.json", b"")
    text = POLICY.replace('name = "s"', 'name = "s"\nmodel = "model.bin"\npreprocessing = "prep.json"')
    ingest(pa.table(COLUMNS), write(tmp_path, "certifair.toml", text), tmp_path / "run")
    system = strict_json((tmp_path / "run" / "system.json").read_bytes())
    assert system["model"] == {
        "name": "model.bin",
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
    assert system["preprocessing"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


LAYER = """
[layer]
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.5
"""


def test_multipliers(tmp_path: Path) -> None:
    path = write(tmp_path, "certifair.toml", POLICY + LAYER)
    table = {"batch_id": ["a", "b"], "row": ["sex: f - m"] * 2, "multiplier": [0.5, -1.0]}
    for number, source in enumerate((pa.table(table), write(tmp_path, "m.csv", csv_text(table)))):
        ingest(pa.table(COLUMNS), path, tmp_path / f"run{number}", source)
        evidence = evidence_at(tmp_path / f"run{number}")
        assert evidence.multipliers == {"a": {"sex: f - m": 0.5}, "b": {"sex: f - m": -1.0}}
    assert read_contents(tmp_path / "run0") == read_contents(tmp_path / "run1")
    for wrong in ({**table, "batch_id": ["a", "a"]}, {**table, "batch_id": ["a", "c"]}):
        with pytest.raises(InputError, match="row 2 names an unknown batch or a constraint twice"):
            ingest(pa.table(COLUMNS), path, tmp_path / "wrong", pa.table(wrong))
    with pytest.raises(InputError, match="'multiplier' is nan in row 1"):
        ingest(pa.table(COLUMNS), path, tmp_path / "wrong", pa.table({**table, "multiplier": [float("nan"), 0.0]}))
    assert not (tmp_path / "wrong").exists()


def test_only_what_the_policy_names_enters_the_bundle(tmp_path: Path, policy: Path) -> None:
    ingest(pa.table(COLUMNS), policy, tmp_path / "run")
    for name in PATHS.values():
        if name.endswith(".parquet") and (tmp_path / "run" / name).exists():
            assert "notes" not in " ".join(pq.read_table(tmp_path / "run" / name).column_names)
            assert "person" not in " ".join(pq.read_table(tmp_path / "run" / name).column_names)


def test_read_table_names_its_source(tmp_path: Path) -> None:
    path = as_csv(tmp_path)
    table, where = read_table(path, ["score", "sex"])
    assert (table.column_names, where) == (["score", "sex"], str(path))
    assert read_table(pl.DataFrame(COLUMNS), ["age"])[1] == "DataFrame"
