"""DuckDB and Spark say the same, byte for byte."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from certifair.errors import InputError
from certifair.evidence.audit import engines
from certifair.evidence.audit.plan import Asked
from certifair.evidence.audit.run import audit
from certifair.evidence.audit.summary import to_json
from certifair.evidence.log import Header, LogWriter, columns_of
from tests.evidence.audit_cases import NASTY, expected, found, people, write

ASKED = Asked(prediction="prediction", groups=("sex", "race"))


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    """One session for all tests here: the engine takes the one that runs."""
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyspark.sql import SparkSession

        from certifair.evidence.audit.engines.in_spark import _start

        session = _start(SparkSession)
        yield
        session.stop()


def both(path: Path, asked: Asked = ASKED) -> bytes:
    """The evidence, after both engines have agreed on every byte of the result."""
    first, second = (audit([str(path)], asked, engine=name) for name in ("duckdb", "spark"))
    assert to_json(first) == to_json(second)
    return first.evidence


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize(("suffix", "nasty"), [(".parquet", True), (".csv", True), (".jsonl", False)])
def test_both_engines_are_exact(suffix: str, nasty: bool, tmp_path: Path) -> None:
    table = people(700, nasty=nasty)
    evidence = both(write(table, tmp_path / f"log{suffix}"))
    assert found(evidence) == expected(table, ["sex", "race"])
    assert json.loads(evidence)["rows"] == 700


@pytest.mark.usefixtures("spark")
def test_several_files_of_several_forms(tmp_path: Path) -> None:
    tables = [people(100, seed, nasty=seed == 3) for seed in range(4)]
    for table, name in zip(tables, ["a.parquet", "b.parquet", "c.csv", "d.jsonl"], strict=True):
        write(table, tmp_path / name)
    whole = {name: [v for table in tables for v in table[name]] for name in tables[0]}
    evidence = both(tmp_path)
    assert found(evidence) == expected(whole, ["sex", "race"])
    assert [file["rows"] for file in json.loads(evidence)["files"]] == [100] * 4


@pytest.mark.usefixtures("spark")
def test_both_exclude_the_same_rows_with_the_same_reasons(tmp_path: Path) -> None:
    table = people(40)
    table["prediction"][:8] = ["", "NaN", "1e999", "1_0", "1d", " 1", "0x1p3", "inf"]
    evidence = json.loads(both(write(table, tmp_path / "log.csv")))
    reasons = {item["reason"]: item["rows"] for item in evidence["excluded"]}
    assert reasons == {"prediction is missing": 1, "prediction is no number": 6, "prediction is not finite": 1}
    kept = {name: column[8:] for name, column in table.items()}
    assert found(json.dumps(evidence).encode()) == expected(kept, ["sex", "race"])
    assert sum(cell["n"] for cell in evidence["cells"]) == 32


DECIMALS = [Decimal("0.1"), Decimal("0.30000000000000000001"), Decimal("12345678901.25"), Decimal(1), Decimal(0)]
TYPES = {
    pa.decimal128(38, 20): (DECIMALS, DECIMALS),
    pa.string(): ([str(v) for v in DECIMALS], DECIMALS),
    pa.int64(): ([2**60 + 1, 2**60 + 129, -(2**53) - 1, 1, 0],) * 2,
    pa.float32(): ([float(np.float32(v)) for v in DECIMALS],) * 2,
    pa.bool_(): ([True, False, True, True, False],) * 2,
}


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize(("kind", "other"), [tuple(TYPES)[:2], tuple(TYPES)[2:4], tuple(TYPES)[3:]])
def test_numbers_of_any_type_are_the_nearest_float64(kind: pa.DataType, other: pa.DataType, tmp_path: Path) -> None:
    columns = {"prediction": pa.array(TYPES[kind][0], kind), "score": pa.array(TYPES[other][0], other)}
    pq.write_table(pa.table({"g": pa.array([1.0, 2.0, None, 1.0, 2.0]), **columns}), tmp_path / "a.parquet")
    asked = Asked(prediction="prediction", score="score", groups=("g",))
    evidence = both(tmp_path / "a.parquet", asked)
    table = {"g": [1, 2, None, 1, 2], "p": [float(v) for v in TYPES[kind][1]], "s": [float(v) for v in TYPES[other][1]]}
    assert found(evidence) == expected(table, ["g"], "p")
    scores = {tuple(c["values"]): Fraction(c["scoreSum"]) for c in json.loads(evidence)["cells"]}
    assert scores == {values: cell[1] for values, cell in expected(table, ["g"], "s").items()}


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("names", [('a"b', "x'; DROP TABLE y; --", "c.d`e"), ("wïth $1 ?", "count(*)", "[*]")])
def test_names_of_strangers_are_only_names(names: tuple[str, str, str], tmp_path: Path) -> None:
    table = people(50)
    odd = {f"g{names[0]}": table["sex"], f"h{names[1]}": table["race"], f"p{names[2]}": table["prediction"]}
    path = write(odd, tmp_path / f"_{names[0]}{names[1]}{names[2]}.parquet")
    asked = Asked(prediction=f"p{names[2]}", groups=(f"one=g{names[0]}", f"g{names[1]}=h{names[1]}"))
    assert found(both(path, asked)) == expected(table, ["sex", "race"])


@pytest.mark.usefixtures("spark")
def test_structs_and_json_texts(tmp_path: Path) -> None:
    table = people(60)
    rows = list(zip(table["sex"], table["prediction"], strict=True))
    request = [{"sex": sex, "a.b": {"c": sex}} for sex, _ in rows]
    answers = [json.dumps({"predictions": [x]}) for _, x in rows]
    odd = [json.dumps({"records": [{"the sex": sex}]}) for sex, _ in rows]
    path = write({"request": request, "response": answers, "odd": odd}, tmp_path / "log.parquet")
    for group in ("request.sex", "odd:$.records[0]['the sex']"):  # nothing but that list is looked at twice
        asked = Asked(prediction="response:$.predictions[0]", groups=(f"g={group}",))
        assert found(both(path, asked)) == expected(table, ["sex"])
    lines = write({"request": request, "response": answers, "odd": odd}, tmp_path / "log.jsonl")
    for group in ("request.sex", "request:$['a.b'].c", "odd:$.records[0]['the sex']"):
        asked = Asked(prediction="response:$.predictions[0]", groups=(f"g={group}",))
        assert found(both(lines, asked)) == expected(table, ["sex"])


@pytest.mark.usefixtures("spark")
def test_logs_are_counted_from_the_tables_that_were_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from certifair.evidence.audit.engines.in_spark import Spark

    table = {"sex": ["f", "m", "f"], "prediction": [0.1, 0.7, 0.9]}
    header = Header("a log", None, None, columns_of(["sex"]))
    with LogWriter.create(tmp_path / "log", header, sign=None, clock=iter(range(1, 9)).__next__) as writer:
        for at in range(3):
            numbers = table["prediction"][at : at + 1]
            writer.append([str(at)], {"sex": table["sex"][at : at + 1]}, numbers, numbers, {})
            if at:
                writer.seal()
    monkeypatch.setattr(Spark, "open", None)
    evidence = both(tmp_path / "log", Asked())
    assert found(evidence) == expected(table, ["sex"])
    assert [file["rows"] for file in json.loads(evidence)["files"]] == [2, 1]


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_a_second_record_in_a_row_is_never_lost(engine: str, tmp_path: Path) -> None:
    answers = [json.dumps({"predictions": [0.5] * k}) for k in (1, 1, 2)]
    path = write({"sex": ["f", "m", "f"], "response": answers}, tmp_path / "log.parquet")
    with pytest.raises(InputError, match="more than one record in 'predictions' in 1 row"):
        audit([str(path)], Asked(prediction="response:$.predictions[0]", groups=("sex",)), engine=engine)


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("engine", ["duckdb", "spark"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("short.csv", "sex,prediction\nf,0.5\nm\n"),
        ("long.csv", "sex,prediction\nf,0.5\nm,1,2\n"),
    ],
)
def test_broken_lines_are_errors(engine: str, name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as caught:
        audit([str(tmp_path / name)], Asked(prediction="prediction", groups=("sex",)), engine=engine)
    assert "cannot be read" in caught.value.what
    assert name in str(caught.value)


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("engine", ["duckdb", "spark"])
@pytest.mark.parametrize("late", ['{"sex": "f"} {"sex": "m"}', '{"sex": "f", "prediction": 1e400}', "{bad"])
def test_broken_json_is_an_error_wherever_it_stands(engine: str, late: str, tmp_path: Path) -> None:
    (tmp_path / "late.jsonl").write_text('{"sex": "f", "prediction": 1}\n' * 1500 + late + "\n")
    with pytest.raises(InputError, match=r"late\.jsonl: has no JSON object in line 1501"):
        audit([str(tmp_path / "late.jsonl")], Asked(prediction="prediction", groups=("sex",)), engine=engine)


@pytest.mark.usefixtures("spark")
def test_spark_adds_beyond_64_bits(tmp_path: Path) -> None:
    table = {"g": ["a"] * 2**13, "prediction": [2.0**22 - 2.0**-30] * 2**13}
    evidence = both(write(table, tmp_path / "log.parquet"), Asked(prediction="prediction", groups=("g",)))
    assert found(evidence)[("a",)][1] == 2**13 * (Fraction(2) ** 22 - Fraction(1, 2**30))
    assert {abs(x) for x in NASTY} & {1e300}


def test_an_engine_that_is_missing_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown engine 'duckbd'") as unknown:
        engines.start("duckbd")
    assert "did you mean 'duckdb'?" in str(unknown.value)
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(InputError, match="pyspark is not installed") as missing:
        engines.start("spark")
    assert "pip install 'certifair[spark]'" in str(missing.value)
