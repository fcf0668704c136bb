"""Which files an audit reads, which columns, and what it refuses."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from certifair.errors import InputError
from certifair.evidence.audit.mapping import bind, bind_json, parse_path
from certifair.evidence.audit.plan import Asked
from certifair.evidence.audit.run import audit
from certifair.evidence.audit.sources import find
from certifair.evidence.canonical import sha256
from tests.evidence.audit_cases import expected, found, people, write

ASKED = Asked(prediction="prediction", groups=("sex", "race"))
KEYS = ["sex", "race"]


def paths(*names: str | Path) -> list[str]:
    return [file.path for file in find([str(name) for name in names]).files]


def refused(*names: str | Path, asked: Asked = ASKED) -> str:
    with pytest.raises(InputError) as caught:
        audit([str(name) for name in names], asked)
    return str(caught.value)


def test_folders_globs_and_files_are_read_once_and_hidden_files_are_not_data(tmp_path: Path) -> None:
    (tmp_path / "day=1").mkdir()
    first = write(people(30, 1), tmp_path / "part-0.parquet")
    second = write(people(40, 2), tmp_path / "day=1" / "part-1.parquet")
    for name in ("_SUCCESS", ".part-0.parquet.crc", "_committed_1"):
        (tmp_path / name).write_text("not data")
    (tmp_path / "_staging").mkdir()
    write(people(10, 3), tmp_path / "_staging" / "part-2.parquet")
    everything = [str(second), str(first)]
    assert paths(tmp_path) == everything
    assert paths(first, tmp_path / "d*" / "*.parquet", tmp_path) == everything
    evidence = json.loads(audit([str(tmp_path)], ASKED).evidence)
    assert [file["rows"] for file in evidence["files"]] == [40, 30]
    assert evidence["files"][1]["sha256"] == sha256(first.read_bytes())


def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path: Path) -> None:
    table = people(20, 1)
    odd = write(table, tmp_path / "part-*.parquet")
    write(people(20, 2), tmp_path / "part-2.parquet")
    assert found(audit([str(odd)], ASKED).evidence) == expected(table, KEYS)


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    assert "is no file and no folder" in refused(tmp_path / "none.csv")
    assert "matches no file" in refused(tmp_path / "*.csv")
    (tmp_path / "empty").mkdir()
    assert "holds no table" in refused(tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("x")
    assert "notes.txt: cannot be audited" in refused(tmp_path)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 is not enough")
    assert "bad.parquet: cannot be read as parquet" in refused(tmp_path / "bad.parquet")
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbfsex,prediction\n")
    assert "byte-order mark" in refused(tmp_path / "bom.csv")
    (tmp_path / "bare.csv").write_text("sex,race,prediction\n")
    assert "bare.csv: has no row" in refused(tmp_path / "bare.csv")
    (tmp_path / "list.jsonl").write_text('{"sex": "f"}\n[1]\n')
    assert "no JSON object in line 2" in refused(tmp_path / "list.jsonl")


def test_a_damaged_page_is_blamed_on_its_file(tmp_path: Path) -> None:
    write(people(2000, 1), tmp_path / "a.parquet", compression="none", use_dictionary=False)
    broken = write(people(2000, 2), tmp_path / "b.parquet", compression="zstd", use_dictionary=False)
    content = bytearray(broken.read_bytes())
    content[2000:9000] = bytes(7000)
    broken.write_bytes(content)
    assert refused(tmp_path).startswith(f"{broken}: cannot be read")


def delta(folder: Path, *commits: list[dict[str, object]]) -> None:
    (folder / "_delta_log").mkdir(exist_ok=True)
    for number, actions in enumerate(commits):
        lines = "".join(json.dumps(action) + "\n" for action in actions)
        (folder / "_delta_log" / f"{number:020}.json").write_text(lines)


def test_a_delta_table_is_read_only_if_its_log_says_the_same(tmp_path: Path) -> None:
    write(people(10, 1), tmp_path / "part-0.parquet")
    write(people(10, 2), tmp_path / "part 1.parquet")
    adds: list[dict[str, object]] = [{"add": {"path": "part-0.parquet"}}, {"add": {"path": "part%201.parquet"}}]
    delta(tmp_path, adds)
    assert len(paths(tmp_path)) == 2
    delta(tmp_path, adds, [{"remove": {"path": "part-0.parquet"}}])
    assert "log and files differ (1 files, one is 'part-0.parquet')" in refused(tmp_path)
    delta(tmp_path, adds, [{"add": {"path": "part-0.parquet", "deletionVector": {"storageType": "u"}}}])
    assert "deleted rows" in refused(tmp_path)
    (tmp_path / "_delta_log" / f"{0:020}.json").unlink()
    assert "first commits are gone" in refused(tmp_path)


def test_files_may_differ_in_order_and_type_but_not_lack_a_column(tmp_path: Path) -> None:
    first, second = people(30, 1), people(30, 2)
    write(first, tmp_path / "a.parquet")
    codes = {"f": 1, "m": 2}
    turned = {"prediction": second["prediction"], "race": second["race"], "sex": [codes[v] for v in second["sex"]]}
    write(turned, tmp_path / "b.parquet")
    whole = {name: [*first[name], *turned[name]] for name in ("sex", "race", "prediction")}
    assert found(audit([str(tmp_path)], ASKED).evidence) == expected(whole, KEYS)
    del turned["race"]
    write(turned | {"rice": second["race"]}, tmp_path / "b.parquet")
    assert refused(tmp_path) == f"{tmp_path / 'b.parquet'}: has no column 'race'; did you mean 'rice'?"


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from certifair.evidence.audit.count import Counter

    path = write(people(30), tmp_path / "log.csv")
    counted = Counter.tally

    def and_then_written(self: Counter, *, strict: bool) -> object:
        with path.open("a") as file:
            file.write("f,a,0.5,0.5\r\n")
        return counted(self, strict=strict)

    monkeypatch.setattr(Counter, "tally", and_then_written)
    assert "changed while it was read" in refused(path)


def test_bad_columns_are_named(tmp_path: Path) -> None:
    table = {"sex": ["f", "m"], "half": [0.5, 1.5], "list": [[1], [2]], "struct": [{"a": 1}, {"a": 2}], "x": [1.0, 2.0]}
    path = write(table, tmp_path / "log.parquet")
    for prediction, group, what in [
        ("y", "sex", "has no column 'y'"),
        ("list", "sex", "'list' holds list"),
        ("struct", "sex", "'struct' holds struct"),
        ("struct.b", "sex", "has no field 'b' in 'struct'; known: a"),
        ("x:$.p", "sex", "'x' holds float, no JSON text"),
        ("sex:$p", "sex", "is no path into JSON"),
        ("sex:$.a[*]", "sex", "is no path into JSON"),
        ("x", "half", "a fraction, not a category"),
        ("x", "=sex", "is not NAME=COLUMN"),
    ]:
        asked = Asked(prediction=prediction, groups=(group,))
        assert what in refused(path, asked=asked)
    assert audit([str(path)], Asked(prediction="sex", groups=("x",))).tally.excluded == {"prediction is no number": 2}
    assert "no column of predictions is named" in refused(path, asked=Asked())
    assert "no group is named" in refused(path, asked=Asked(prediction="x"))
    assert "no group is named" in refused(path, asked=Asked(prediction="x", condition="sex"))


def test_the_text_that_stands_for_missing_cannot_be_a_value(tmp_path: Path) -> None:
    path = write({"sex": ["f", "(missing)"], "race": ["a", "b"], "prediction": [0.5, 0.5]}, tmp_path / "log.csv")
    assert "names missing values" in refused(path)


def test_too_many_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(people(30), tmp_path / "log.csv")
    monkeypatch.setattr("certifair.evidence.audit.count.MAX_CELLS", 3)
    assert "more than 3 groups" in refused(path)
    monkeypatch.setattr("certifair.evidence.audit.count.MAX_CELLS", 100)
    monkeypatch.setattr("certifair.evidence.audit.plan.MOST_ROWS", 3)
    assert "7 pairs of groups are too many" in refused(path)


def test_paths_and_expressions() -> None:
    assert parse_path("$.a['b c'][3].d", "here") == ("a", "b c", 3, "d")
    schema = pa.schema([("a.b", pa.string()), ("a", pa.struct([("b", pa.float64())])), ("c", pa.string())])
    assert bind("a.b", schema, "f", numeric=True).fields == ()
    assert bind("c:$.x[0].y", schema, "f", numeric=True).paths == (("x", 0, "y"),)
    second = bind("c:$.x[0].y", schema, "f", numeric=True).second()
    assert second is not None
    assert second.paths == (("x", 1),)
    assert bind("c:$.x[2]", schema, "f", numeric=True).second() is None
    assert bind_json("a.b:$.c[0]", ["a"], "f", "doc").paths == (("a", "b"), ("c", 0))
    assert bind_json("a.b", ["a", "a.b"], "f", "doc").paths == (("a.b",),)


def test_rows_of_the_footer_must_be_the_rows_that_were_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from certifair.errors import CertifairError
    from certifair.evidence.audit.count import Counter

    path = write(people(30), tmp_path / "log.parquet")
    plainly = Counter._plainly
    monkeypatch.setattr(Counter, "_plainly", lambda *arguments: (plainly(*arguments) or 0) - 1)
    with pytest.raises(CertifairError, match="duckdb read 29 rows where the files say 30"):
        audit([str(path)], ASKED)
    assert pq.read_metadata(path).num_rows == 30


@pytest.mark.parametrize("lie", [0.25, 0.75])
def test_the_minima_and_maxima_of_a_footer_are_not_believed(lie: float, tmp_path: Path) -> None:
    """The footer says that the largest prediction is another, or leaves out that one is not a number."""
    table = people(50)
    table["prediction"] = [0.1, 0.9] * 25
    path = write(table, tmp_path / "log.parquet", use_dictionary=False, compression="none")
    content = path.read_bytes()
    at = len(content) - int.from_bytes(content[-8:-4], "little") - 8
    footer = content[at:].replace(struct.pack("<d", 0.9), struct.pack("<d", lie))
    assert footer != content[at:]
    path.write_bytes(content[:at] + footer)
    assert pq.read_metadata(path).row_group(0).column(2).statistics.max == lie
    assert found(audit([str(path)], ASKED).evidence) == expected(table, KEYS)
    table["prediction"][0] = float("nan")
    write(table, path)
    assert audit([str(path)], ASKED).tally.excluded == {"prediction is not finite": 1}
