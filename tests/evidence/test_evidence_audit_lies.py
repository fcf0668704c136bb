"""Files that say one thing to one reader and another to the next: none of them gets an answer."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from certifair.errors import InputError
from certifair.evidence.audit import plan
from certifair.evidence.audit.mapping import distinct
from certifair.evidence.audit.plan import Asked
from certifair.evidence.audit.run import audit
from certifair.evidence.log import Header, LogWriter, columns_of
from certifair.evidence.log.reader import Log
from certifair.spec.policy import Policy
from certifair.spec.verdict import Verdict
from tests.evidence.audit_cases import expected, found, people, write

ASKED = Asked(prediction="prediction", groups=("sex",))


def refused(*names: Path, asked: Asked = ASKED, policy: Policy | None = None) -> str:
    with pytest.raises(InputError) as caught:
        audit([str(name) for name in names], asked, policy)
    return str(caught.value)


def log(folder: Path, name: str = "a log", segments: int = 2) -> Path:
    header = Header(name, None, None, columns_of(["sex"]))
    with LogWriter.create(folder, header, sign=None, clock=iter(range(1, 99)).__next__) as writer:
        for at in range(segments):
            writer.append([f"{at}a", f"{at}b"], {"sex": ["f", "m"]}, [0.5, 0.5], [1.0, 0.0])
            writer.seal()
    (folder / "open.sqlite").unlink()
    return folder


def test_what_is_counted_of_a_log_is_what_was_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine opens the files of a log: there is nothing it could read in another way."""
    monkeypatch.setattr("certifair.evidence.audit.engines.in_duckdb.DuckDb.open", None)
    tally = audit([str(log(tmp_path / "log"))]).tally
    cells = {values[0]: (cell.n, int(cell.sums[0])) for values, cell in tally.cells.items()}
    assert cells == {"f": (2, 2), "m": (2, 0)}
    assert [rows for _, rows in tally.files] == [2, 2]


def test_a_log_that_is_exchanged_after_its_chain_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, other = log(tmp_path / "log"), log(tmp_path / "other", "another")
    checked = Log.tables

    def and_then_exchanged(self: Log) -> object:
        (other / "00000001.parquet").replace(folder / "00000001.parquet")
        return checked(self)

    monkeypatch.setattr(Log, "tables", and_then_exchanged)
    assert "changed while it was read" in refused(folder, asked=Asked())


def test_a_file_with_its_old_time_is_still_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first look and the counting; size, time of change and inode are as they were."""
    path = write(people(30), tmp_path / "log.csv")

    def and_then_written(*arguments: object) -> object:
        before, content = path.stat(), path.read_bytes()
        path.write_bytes(content.replace(b"f,", b"m,"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return plan.plan(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("certifair.evidence.audit.run.plan", and_then_written)
    assert "changed while it was read" in refused(path)


@pytest.mark.parametrize("column", ["sex", "prediction", "inner"])
def test_a_footer_that_says_that_there_is_nothing(column: str, tmp_path: Path) -> None:
    """The null count of one row group is set to its number of rows: 1 byte of the footer, zigzag 0 -> 2 * 50."""
    table = people(50) | {"inner": [{"x": 0.5}] * 50}
    path = write(table, tmp_path / "log.parquet", use_dictionary=False, compression="none")
    metadata = pq.read_metadata(path).row_group(0)
    leaf = next(k for k in range(metadata.num_columns) if metadata.column(k).path_in_schema.startswith(column))
    content = path.read_bytes()
    size = len(content)
    for at in range(size - int.from_bytes(content[-8:-4], "little") - 8, size - 8):
        if content[at] != 0:
            continue
        path.write_bytes(content[:at] + b"\x64" + content[at + 1 :])
        try:
            chunk = pq.read_metadata(path).row_group(0).column(leaf)
        except (OSError, ValueError):
            continue
        if chunk.statistics is not None and chunk.statistics.null_count == 50:
            break
    else:
        pytest.fail("no such byte")
    asked = Asked(prediction="inner.x" if column == "inner" else "prediction", groups=("sex",))
    assert f"row group 1 holds no value of {column!r}, and it holds some" in refused(path, asked=asked)
    unused = Asked(prediction="score", groups=("race",))
    assert audit([str(path)], unused).tally.counted == 50


def test_a_column_that_is_really_empty_is_read(tmp_path: Path) -> None:
    path = write({"sex": pa.array([None] * 4, pa.string()), "prediction": [0.5] * 4}, tmp_path / "log.parquet")
    assert audit([str(path)], ASKED).tally.values("sex") == ("(missing)",)


def test_names_that_engines_take_for_one(tmp_path: Path) -> None:
    table = people(10)
    clash = "has columns 'Sex' and 'sex', which engines take for one"
    for name in ("log.parquet", "log.csv"):
        assert clash in refused(write({"Sex": table["race"]} | table, tmp_path / name))
    good = {"sex": table["sex"], "P": table["score"], "p": table["prediction"], "p_1": table["score"]}
    path = write(good, tmp_path / "late.parquet")
    assert "'P' and 'p'" in refused(path, asked=Asked(prediction="p_1", groups=("sex",)))
    inside = pa.StructArray.from_arrays([pa.array([0.5]), pa.array([1.0])], names=["A", "a"])
    pq.write_table(pa.table({"sex": ["f"], "q": inside}), tmp_path / "struct.parquet")
    assert "'A' and 'a'" in refused(tmp_path / "struct.parquet", asked=Asked(prediction="q.a", groups=("sex",)))
    for pair in (["i", "\u0130"], ["I", "\u0131"], ["ss", "\u00df"], ["k", "\u212a"]):
        with pytest.raises(InputError, match="take for one"):
            distinct(pair, "here")
    lines = write({"P": table["score"], "sex": table["sex"], "p": table["prediction"]}, tmp_path / "log.jsonl")
    evidence = audit([str(lines)], Asked(prediction="p", groups=("sex",))).evidence  # places in JSON are exact
    assert found(evidence) == expected(table, ["sex"])


def test_files_of_other_types_are_not_read_as_the_first(tmp_path: Path) -> None:
    exact = [Decimal("0.54"), Decimal("0.46")]
    for name, kind, values in [("a", (10, 1), [Decimal("0.5")] * 2), ("b", (30, 20), exact)]:
        column = pa.array(values, pa.decimal128(*kind))
        pq.write_table(pa.table({"sex": ["f", "m"], "prediction": column}), tmp_path / f"{name}.parquet")
    cells = found(audit([str(tmp_path)], ASKED).evidence)
    assert [float(cells[(sex,)][1]) for sex in "fm"] == [0.5 + 0.54, 0.5 + 0.46]


LINE = '{"sex": "f", "prediction": 0.5}'


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"{LINE} {LINE}", "Extra data"),
        ('{"sex": "f", "prediction": 0.5, "prediction": 1}', "has a duplicate key"),
        ('{"\\u0073ex": "m", "sex": "f", "prediction": 0.5}', "has a duplicate key"),
        ('{"sex": "f", "prediction": 1e400}', "beyond float64"),
        ('{"sex": "f", "prediction": NaN}', "has NaN"),
        ('{"sex": "\\ud800", "prediction": 1}', "lone surrogate"),
        ('{"sex": "f",\r"prediction": 1}', "carriage return"),
        ("[1]", "is no object"),
        ("\t", "Expecting value"),
    ],
)
def test_every_line_is_one_object(line: str, why: str, tmp_path: Path) -> None:
    """For all engines, since it is Python that reads; far behind the first lines."""
    path = tmp_path / "log.jsonl"
    path.write_text(f"{LINE}\n" * 1500 + f"{line}\n" + LINE, newline="")
    assert f"no JSON object in line 1501 ({why}" in refused(path) or why in refused(path)
    path.write_text(f"{LINE}\r\n" * 3 + "\n \r\n" + LINE, newline="")
    assert audit([str(path)], ASKED).tally.rows == 4


def test_nobody_is_counted_twice(tmp_path: Path) -> None:
    first = write(people(10), tmp_path / "a.parquet")
    os.link(first, tmp_path / "b.parquet")
    (tmp_path / "c.parquet").symlink_to(first)
    for other in ("b", "c"):
        assert f"{other}.parquet: is the same file as '{first}'" in refused(first, tmp_path / f"{other}.parquet")
    folder = log(tmp_path / "log")
    prefix = log(tmp_path / "prefix", segments=1)
    assert f"prefix: is the log 'a log', as '{folder}' is" in refused(folder, prefix, asked=Asked())
    assert "which is read whole" in refused(folder, prefix / "00000001.parquet", asked=Asked())
    assert audit([str(folder), str(folder / "00000001.parquet")]).tally.rows == 4
    inside = tmp_path / "inside"
    inside.mkdir()
    write(people(10), inside / "a.parquet")
    (inside / "more").symlink_to(prefix)
    assert "inside/more: is a link to a folder" in refused(inside)


POLICY = b"""
[data]
sensitive_features = ["sex"]
[data.values]
sex = ["f", "m"]
[[property]]
id = "x"
kind = "aggregate"
form = "pooled"
metric = "demographic_parity"
sensitive_features = ["sex"]
epsilon = 1
min_group_size = 1
"""


def test_segments_by_themselves_are_not_judged(tmp_path: Path) -> None:
    folder = log(tmp_path / "log")
    policy = Policy.parse(POLICY, "policy")
    assert "name the log's folder" in refused(folder / "00000001.parquet", asked=Asked(), policy=policy)
    done = audit([str(folder)], Asked(), policy)
    assert done.verdict is Verdict.PASS
    assert any("nobody signed it: segments missing at its end would not be noticed" in note for note in done.notes)
    with pytest.raises(InputError, match="no folder of a log"):
        audit([str(folder / "00000001.parquet")], open_head=lambda content: pytest.fail(str(content)))
