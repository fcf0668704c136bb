from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from certifair.errors import InputError, UntrustedError
from certifair.evidence.canonical import canonical
from certifair.evidence.log import Fault, Header, LogHead, LogWriter, check, columns_of, prove, read_log
from certifair.evidence.log.batches import schema_of
from certifair.evidence.log.chain import Segment
from certifair.evidence.log.records import segment_root
from certifair.evidence.log.segments import segment_bytes
from tests.evidence.log_cases import HEADER, check_people, extend, person, sign, stated, ticking, write
from tests.oracles import log_oracle as oracle

SIZES = [3, 7, 12, 1, 1, 9, 4, 6]
"""Four segments of 10, 12, 11 and 10 records: 1 to 10, 11 to 22, 23 to 33, 34 to 43."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs") / "log"
    write(folder, SIZES)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A log to tamper with."""
    return Path(shutil.copytree(made, tmp_path / "log"))


def segment(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.parquet"


def metadata_of(path: Path) -> dict[str, bytes]:
    return {key.decode(): value for key, value in pq.read_metadata(path).metadata.items()}


# ------------------------------------------------------------------------------------------------------- what is there
def test_digests_are_those_of_the_specification(made: Path) -> None:
    log = read_log(made)
    segments = [table.to_pylist() for table in log.tables()]
    content = log.header.to_bytes()
    expected = oracle.links(content, [[oracle.record(HEADER.columns, row) for row in rows] for rows in segments])
    assert [bytes.fromhex(place.link) for place in log.chain] == expected[1:]
    assert [len(rows) for rows in segments] == [10, 12, 11, 10]
    assert log.head == expected[-1].hex()
    for number, (place, rows) in enumerate(zip(log.chain, segments, strict=True), 1):
        metadata = metadata_of(segment(made, number))
        assert set(metadata) == {"certifair.log", "certifair.segment"}
        assert metadata["certifair.log"] == content
        assert json.loads(metadata["certifair.segment"]) == {
            "number": number,
            "first": rows[0]["seq"],
            "records": len(rows),
            "previous": expected[number - 1].hex(),
            "root": place.root,
            "link": expected[number].hex(),
        }


def test_a_log_as_it_is_read(made: Path) -> None:
    log = read_log(made)
    assert (log.faults, log.header, log.segments, log.records) == ((), HEADER, 4, 43)
    assert log.state == LogHead(HEADER.id, 4, 43, log.head) == stated(log)
    assert log.check_head(log.state) == ()
    tables = list(log.tables())
    assert len(tables) == 4
    assert all(table.schema.equals(schema_of(HEADER), check_metadata=True) for table in tables)
    check_people(log.table())


def test_what_cannot_be_read_at_all(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="holds no sealed segment"):
        read_log(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        read_log(tmp_path / "absent")
    with LogWriter.create(tmp_path / "open", HEADER, sign, ticking()) as writer:
        extend(writer, [3])
        with pytest.raises(InputError, match=r"seal it first \(LogWriter\.seal\)"):
            read_log(tmp_path / "open")
    content = segment(folder, 2).read_bytes()
    segment(folder, 2).write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(InputError, match=r"00000002\.parquet: cannot be read as Parquet"):
        read_log(folder)
    segment(folder, 2).write_bytes(content[:30] + bytes(12) + content[42:])  # what the first page holds
    with pytest.raises(InputError, match=r"00000002\.parquet: cannot be read as Parquet"):
        read_log(folder)
    pq.write_table(pa.table({"seq": [1]}), segment(folder, 1))
    with pytest.raises(InputError, match="not a segment of a log"):
        read_log(folder)
    segment(folder, 1).unlink()
    segment(folder, 1).symlink_to(segment(folder, 3))
    with pytest.raises(InputError, match="cannot be read"):
        read_log(folder)


def test_a_log_that_changes_while_it_is_read(folder: Path) -> None:
    log = read_log(folder)
    segment(folder, 2).write_bytes(segment(folder, 1).read_bytes())
    with pytest.raises(InputError, match="changed while it was read"):
        log.table()


# ---------------------------------------------------------------------------------------------------------- tampering
def rewrite(path: Path, change: Callable[[pa.Table], pa.Table], **options: Any) -> None:
    """Other records under the same metadata, as whoever edits a file would leave it."""
    table = change(pq.read_table(path).replace_schema_metadata(None))
    metadata = {**metadata_of(path), **options.pop("metadata", {})}
    settings = {"store_schema": False, "write_statistics": False, **options}
    with pq.ParquetWriter(path, table.schema, **settings) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)


def resealed(folder: Path, number: int, change: Callable[[pa.Table], pa.Table], **edits: Any) -> None:
    """Other records under metadata that fit them: as far as whoever edits one file alone can get."""
    path = segment(folder, number)
    table = change(pq.read_table(path).replace_schema_metadata(None))
    metadata = metadata_of(path)
    place = Segment.of(json.loads(metadata["certifair.segment"]))
    last = replace(place, number=place.number - 1, first=place.first - 1, records=1, link=place.previous)
    place = Segment.after(metadata["certifair.log"], last, segment_root(table), table.num_rows)
    path.write_bytes(segment_bytes(table, metadata["certifair.log"], replace(place, **edits)))


def setting(column: str, row: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value
        index = table.column_names.index(column)
        return table.set_column(index, table.schema.field(index), pa.array(values, table.schema.types[index]))

    return change


def without(row: int) -> Callable[[pa.Table], pa.Table]:
    return lambda table: pa.concat_tables([table.slice(0, row), table.slice(row + 1)])


def doubled(row: int) -> Callable[[pa.Table], pa.Table]:
    return lambda table: pa.concat_tables([table.slice(0, row + 1), table.slice(row)])


def swapped(row: int) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.take([*range(row), row + 1, row, *range(row + 2, table.num_rows)])


def faults(folder: Path) -> list[tuple[int | None, int | None]]:
    """Where they are; and nothing is computed from such a log."""
    log = read_log(folder)
    if log.faults:
        with pytest.raises(UntrustedError) as caught:
            log.table()
        assert (caught.value.step, caught.value.what) == ("log", str(log.faults[0]))
    return [(fault.segment, fault.record) for fault in log.faults]


def first(folder: Path) -> str:
    return str(read_log(folder).faults[0])


@pytest.mark.parametrize(("column", "value"), [(name, value) for name, value in person(13).items() if name != "seq"])
def test_an_edited_value(folder: Path, column: str, value: Any) -> None:
    rewrite(segment(folder, 2), lambda table: table)
    assert faults(folder) == []  # rewritten, but the same
    rewrite(segment(folder, 2), setting(column, 5, value))
    assert faults(folder) == [(2, None)]
    assert first(folder) == "segment 2: its root is not that of its records: one was changed"


def test_the_sign_of_zero_is_a_change(folder: Path) -> None:
    assert str(read_log(folder).table()["prediction"][9]) == "-0.0"
    rewrite(segment(folder, 1), setting("prediction", 9, 0.0))
    assert faults(folder) == [(1, None)]


def test_an_edit_that_is_sealed_again(folder: Path) -> None:
    resealed(folder, 2, lambda table: table)
    assert read_log(folder).faults == ()
    resealed(folder, 2, setting("score", 5, 0.5))
    assert faults(folder) == [(3, None)]
    assert first(folder) == "segment 3: does not follow from the segment before it"
    # the last segment has nobody behind it but the signed head
    resealed(folder, 2, setting("score", 5, person(16)["score"]))
    assert faults(folder) == []
    resealed(folder, 4, setting("score", 5, 0.5))
    log = read_log(folder)
    assert log.faults == ()
    assert [str(fault) for fault in log.check_head(stated(log))] == ["segment 4: the head is not that of these records"]


@pytest.mark.parametrize(
    ("change", "where"),
    [(without(4), 15), (doubled(4), 16), (swapped(4), 15), (without(0), 11), (swapped(0), 11)],
)
def test_records_that_went_or_came(folder: Path, change: Callable[[pa.Table], pa.Table], where: int) -> None:
    rewrite(segment(folder, 2), change)
    assert faults(folder)[0] == (2, where)
    assert first(folder) == f"segment 2, record {where}: another record stands where this one should"
    assert (2, None) in faults(folder)


def test_the_last_record_of_a_segment(folder: Path) -> None:
    rewrite(segment(folder, 2), without(11))
    assert set(faults(folder)) == {(2, None), (3, 22)}
    assert "metadata speak of 12 records from 11, it has 11 from 11" in first(folder)


def test_a_segment_that_is_missing(folder: Path) -> None:
    segment(folder, 2).unlink()
    assert [str(fault) for fault in read_log(folder).faults] == ["segment 2: is missing"]
    segment(folder, 3).unlink()
    assert [str(fault) for fault in read_log(folder).faults] == ["segment 2: is missing, and all up to segment 3"]
    shutil.copy(segment(folder, 4), segment(folder, 99_999_999))
    assert faults(folder)[:2] == [(2, None), (5, None)]
    segment(folder, 1).unlink()
    assert first(folder) == "segment 1: is missing, and all up to segment 3"


def test_a_tail_that_was_cut_off(folder: Path) -> None:
    kept = stated(read_log(folder))
    segment(folder, 4).unlink()
    log = read_log(folder)
    assert log.faults == ()
    assert log.check_head(stated(log)) == (Fault(4, None, "the head speaks of 4 segments, of which 3 are here"),)
    (folder / "head.json").write_bytes(sign(log.state))  # head and all
    log = read_log(folder)
    assert log.check_head(stated(log)) == ()
    assert log.check_head(kept, last=False) != ()


def test_a_head_of_another_state(folder: Path, tmp_path: Path) -> None:
    log = read_log(folder)
    early = LogHead(HEADER.id, 2, 22, log.chain[1].link)
    assert log.check_head(early, last=False) == ()
    assert log.check_head(early) == (Fault(3, None, "the head is of an earlier state, of 2 segments"),)
    for wrong in (
        replace(early, log="x"),
        replace(early, records=21),
        replace(early, head=log.chain[2].link),
        replace(early, segments=0),
        replace(early, segments=-1),
        replace(early, segments=5),
    ):
        assert len(log.check_head(wrong, last=False)) == 1
    (folder / "head.json").unlink()
    assert read_log(folder).statement is None


def test_segments_in_another_order(folder: Path) -> None:
    other = segment(folder, 2).read_bytes()
    segment(folder, 2).write_bytes(segment(folder, 3).read_bytes())
    segment(folder, 3).write_bytes(other)
    assert faults(folder)[0] == (2, 11)
    assert "segment 2: is segment 3 by its metadata" in [str(fault) for fault in read_log(folder).faults]


def test_a_segment_that_stands_twice(folder: Path) -> None:
    shutil.copy(segment(folder, 4), segment(folder, 5))
    assert faults(folder)[0] == (5, 44)
    assert {fault.segment for fault in read_log(folder).faults} == {5}


def test_a_segment_of_another_log(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "other", SIZES, header=replace(HEADER, id="another"))
    shutil.copy(segment(tmp_path / "other", 3), segment(folder, 3))
    assert faults(folder) == [(3, None)]
    assert "another log" in first(folder)
    shutil.copy(segment(tmp_path / "other", 1), segment(folder, 1))
    assert {fault[0] for fault in faults(folder)} == {2, 4}


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize(
    ("edit", "what"),
    [
        ({"number": 7}, "is segment 7"),
        ({"first": 12}, "speak of"),
        ({"records": 9}, "speak of 9 records"),
        ({"previous": "00" * 32}, "does not follow"),
        ({"root": "00" * 32}, "one was changed"),
        ({"link": "00" * 32}, "its link"),
        ({"link": "AA" * 32}, "no SHA-256"),
        ({"more": 1}, "does not say"),
        ({"first": 0}, "no positive integer"),
        ({"records": True}, "no positive integer"),
        ({"first": 1.0}, "only integers"),
        (None, "no metadata"),
        ("[", "metadata certifair.segment|Expecting|delimiter"),
    ],
)
def test_edited_metadata(folder: Path, number: int, edit: Any, what: str) -> None:
    path = segment(folder, number)
    table, metadata = pq.read_table(path).replace_schema_metadata(None), metadata_of(path)
    if edit is None:
        del metadata["certifair.segment"]
    elif isinstance(edit, str):
        metadata["certifair.segment"] = edit.encode()
    else:
        content = {**json.loads(metadata["certifair.segment"]), **edit}
        metadata["certifair.segment"] = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    with pq.ParquetWriter(path, table.schema, store_schema=False, write_statistics=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    log = read_log(folder)
    assert log.faults[0].segment == number
    assert any(re.search(what, fault.what) for fault in log.faults), log.faults


def test_metadata_have_one_form(folder: Path) -> None:
    path = segment(folder, 2)
    spaced = json.dumps(json.loads(metadata_of(path)["certifair.segment"]), sort_keys=True).encode()
    rewrite(path, lambda table: table, metadata={"certifair.segment": spaced})
    assert faults(folder) == [(2, None)]
    assert "RFC 8785" in first(folder)


def test_a_header_that_was_edited(folder: Path) -> None:
    other = replace(HEADER, system=None).to_bytes()
    rewrite(segment(folder, 3), lambda table: table, metadata={"certifair.log": other})
    assert faults(folder) == [(3, None)]
    for number in (1, 2, 3, 4):
        rewrite(segment(folder, number), lambda table: table, metadata={"certifair.log": other})
    assert {fault[0] for fault in faults(folder)} == {1, 2, 3, 4}
    rewrite(segment(folder, 1), lambda table: table, metadata={"certifair.log": other + b" "})
    with pytest.raises(InputError, match="RFC 8785"):
        read_log(folder)


# --------------------------------------------------------------------------------------------- wrong from the beginning
def forged(folder: Path, *tables: list[dict[str, Any]]) -> None:
    """A log whose owner hashed something that no writer would have logged."""
    folder.mkdir()
    header = PLAIN.to_bytes()
    last = None
    for number, rows in enumerate(tables, 1):
        table = pa.Table.from_pylist(rows, schema=schema_of(PLAIN))
        last = Segment.after(header, last, segment_root(table), len(rows))
        segment(folder, number).write_bytes(segment_bytes(table, header, last))


PLAIN = Header("plain", None, None, columns_of([]))


def row(seq: int, batch: int, time: int, score: float = 0.5) -> dict[str, Any]:
    return {"seq": seq, "batch": batch, "time": time, "row_id": "x", "score": score, "prediction": 0.5}


GOOD = [row(1, 1, 5), row(2, 1, 5), row(3, 2, 6)]


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ([GOOD, [row(4, 3, 6)]], []),
        ([[row(2, 1, 5)]], ["segment 1, record 1: another record", "segment 1: its metadata"]),
        ([[row(1, 2, 5)]], ["segment 1, record 1: the number of the batch"]),
        ([[row(1, 0, 5)]], ["segment 1, record 1: the number of the batch"]),
        ([[*GOOD[:2], row(3, 3, 6)]], ["segment 1, record 3: the number of the batch"]),
        ([[*GOOD, row(4, 1, 6)]], ["segment 1, record 4: the number of the batch"]),
        ([GOOD, [row(4, 2, 6)]], ["segment 2, record 4: the number of the batch"]),
        ([GOOD, [row(4, 4, 6)]], ["segment 2, record 4: the number of the batch"]),
        ([[*GOOD[:2], row(3, 2, 4)]], ["segment 1, record 3: time goes back"]),
        ([GOOD, [row(4, 3, 5)]], ["segment 2, record 4: time goes back"]),
        ([GOOD, [row(5, 3, 6)]], ["segment 2, record 4: another record", "segment 2: its metadata"]),
        ([[row(1, 1, 5, float("nan"))]], ["segment 1: has a number in 'score' that is not finite"]),
        ([[row(1, 1, 5, float("inf"))]], ["segment 1: has a number in 'score' that is not finite"]),
        ([[row(1, 1, -(2**63)), row(2, 1, 2**63 - 1)]], []),
        ([[row(1, 1, 2**63 - 1), row(2, 1, -(2**63))]], ["segment 1, record 2: time goes back"]),
    ],
)
def test_orders_are_kept(tmp_path: Path, tables: list[list[dict[str, Any]]], expected: list[str]) -> None:
    forged(tmp_path / "log", *tables)
    found = [str(fault) for fault in read_log(tmp_path / "log").faults]
    assert len(found) == len(expected), found
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True)), found


def test_a_record_with_another_seq_is_not_proved(tmp_path: Path) -> None:
    forged(tmp_path / "log", [row(1, 1, 5), row(3, 1, 5), row(3, 1, 5)])
    head = read_log(tmp_path / "log").head
    assert check(prove(tmp_path / "log", 3), head)["seq"] == 3
    with pytest.raises(UntrustedError, match="another seq"):
        check(prove(tmp_path / "log", 2), head)


# ------------------------------------------------------------------------------------- what readers believe of a file
def as_type(column: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        index = table.column_names.index(column)
        return table.set_column(index, pa.field(column, kind, nullable=False), table[column].cast(kind))

    return change


def nullable(table: pa.Table) -> pa.Table:
    return table.cast(pa.schema([pa.field(field.name, field.type) for field in table.schema]))


def missing(table: pa.Table) -> pa.Table:
    return setting("feature.sex", 3, None)(nullable(table))


def nested(table: pa.Table) -> pa.Table:
    """feature.sex and feature.race as the members of one column: Parquet's path of a member is the same."""
    names = ("feature.sex", "feature.race")
    struct = pa.StructArray.from_arrays([table[name].combine_chunks() for name in names], names=["sex", "race"])
    return table.drop_columns(names).add_column(4, "feature", struct)


@pytest.mark.parametrize(
    ("change", "options", "what"),
    [
        (lambda table: table, {"write_statistics": True}, "believe unseen"),
        (lambda table: table, {"write_statistics": ["seq"]}, "believe unseen"),
        (lambda table: table, {"write_statistics": True, "write_page_index": True}, "believe unseen"),
        (lambda table: table, {"bloom_filter_options": {"row_id": True}}, "believe unseen"),
        (lambda table: table, {"sorting_columns": [pq.SortingColumn(5)]}, "believe unseen"),
        (lambda table: table, {"store_schema": True}, "take it for something else"),
        (lambda table: table, {"metadata": {"pandas": b"{}"}}, "take it for something else"),
        (as_type("time", pa.timestamp("us")), {}, "field 8 of its logical types"),
        (as_type("step", pa.int32()), {}, "something else than int64 in 'step'"),
        (as_type("step", pa.uint64()), {}, "field 10 of its logical types"),
        (as_type("score", pa.float32()), {}, "something else than float64 in 'score'"),
        (as_type("row_id", pa.binary()), {}, "something else than text in 'row_id'"),
        (lambda table: table.drop_columns("score"), {}, "other columns"),
        (lambda table: table.append_column("more", table["score"]), {}, "other columns"),
        (lambda table: table.select([1, 0, *range(2, table.num_columns)]), {}, "other columns"),
        (lambda table: table.rename_columns([name.upper() for name in table.column_names]), {}, "other columns"),
        (nested, {}, "other columns"),
        (lambda table: table.slice(0, 0), {}, "has no record"),
        (nullable, {}, "may lack a value in 'seq'"),
        (missing, {}, "may lack a value in 'seq'"),
    ],
)
def test_files_that_read_differently(
    folder: Path, change: Callable[[pa.Table], pa.Table], options: dict[str, Any], what: str
) -> None:
    rewrite(segment(folder, 2), change, **options)
    found = read_log(folder).faults
    assert [fault.segment for fault in found] == [2], found
    assert what in found[0].what


def test_texts_are_utf_8(folder: Path) -> None:
    path = segment(folder, 2)
    content = path.read_bytes()
    rewrite(path, lambda table: table, compression="none", use_dictionary=False)
    content = path.read_bytes()
    assert content.count(b"p17") == 1
    path.write_bytes(content.replace(b"p17", b"p1\xff"))
    with pytest.raises(InputError, match=r"00000002\.parquet: cannot be read as Parquet"):
        read_log(folder)


@pytest.mark.parametrize(
    "name", ["extra.parquet", "5.parquet", "00000000.parquet", "00000005.PARQUET", ".x.parquet", ".parquet"]
)
def test_files_that_pass_for_segments(folder: Path, name: str) -> None:
    shutil.copy(segment(folder, 1), folder / name)
    assert faults(folder) == [(None, None)]
    assert repr(name) in first(folder)


def test_a_segment_has_a_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certifair.evidence.log.segments.MAX_RECORDS", 11)
    with pytest.raises(InputError, match=r"00000002\.parquet: has more than 11 rows"):
        read_log(folder)


# -------------------------------------------------------------------------------------------------------- other readers
def same(rows: list[dict[str, Any]], made: Path) -> None:
    expected = read_log(made).table().to_pylist()
    rows = sorted(rows, key=lambda row: row["seq"])
    assert [repr(row) for row in rows] == [repr(row) for row in expected]


def test_pandas_reads_a_log(made: Path) -> None:
    import pandas as pd

    frame = pd.concat([pd.read_parquet(path) for path in sorted(made.glob("*.parquet"))])
    same(frame.to_dict("records"), made)


def test_duckdb_reads_a_log(made: Path) -> None:
    import duckdb

    result = duckdb.execute("SELECT * FROM read_parquet(?)", [str(made / "*.parquet")])
    names = [column[0] for column in result.description]
    same([dict(zip(names, values, strict=True)) for values in result.fetchall()], made)
    assert names == list(HEADER.names)


def test_polars_reads_a_log(made: Path) -> None:
    import polars as pl

    same(pl.read_parquet(made / "*.parquet").to_dicts(), made)
    filtered = pl.scan_parquet(made / "*.parquet").filter(pl.col("feature.sex") == "F").select(pl.len()).collect()
    assert filtered.item() == pc.sum(pc.equal(read_log(made).table()["feature.sex"], "F")).as_py()


def test_spark_reads_a_log(made: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sql = pytest.importorskip("pyspark.sql")
        session = (
            sql.SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "1")
            .getOrCreate()
        )
        try:
            frame = session.read.parquet(str(made / "*.parquet"))
            assert frame.columns == list(HEADER.names)
            same([row.asDict() for row in frame.collect()], made)
        finally:
            session.stop()


def test_canonical_metadata(made: Path) -> None:
    place = metadata_of(segment(made, 1))["certifair.segment"]
    assert canonical(json.loads(place)) == place
