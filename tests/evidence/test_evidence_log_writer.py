from __future__ import annotations

import contextlib
import errno
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certifair.errors import InputError
from certifair.evidence.log import Header, LogHead, LogWriter, Position, columns_of, read_log
from certifair.evidence.log import batches as batches_module
from certifair.evidence.log import writer as writer_module
from tests.evidence.log_cases import HEADER, check_people, extend, people, sign, stated, ticking, write

Patch = pytest.MonkeyPatch
PLAIN = Header("plain", None, None, columns_of([]))


def create(folder: Path, segment_records: int = 10) -> LogWriter:
    return LogWriter.create(folder, HEADER, sign, ticking(), segment_records)


def reopen(folder: Path, segment_records: int = 10) -> LogWriter:
    return LogWriter.open(folder, sign, ticking(), segment_records)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------------------------- batches, segments
def test_batches_become_segments(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with create(folder) as writer:
        assert (writer.last, writer.head.segments, writer.rest().num_rows) == (Position(0, 0, 0), 0, 0)
        assert writer.last_batch().num_rows == 0
        extend(writer, [4, 5])
        assert names(folder) == ["open.sqlite", "open.sqlite-wal"]
        extend(writer, [4])  # 13: never a part of a batch
        assert [name for name in names(folder) if "open" not in name] == ["00000001.parquet", "head.json"]
        extend(writer, [25, 1])
        check_people(writer.rest(), 39)
        assert (writer.last.seq, writer.last.batch) == (39, 5)
        assert (writer.head.segments, writer.head.records) == (2, 38)
        head = writer.seal()
        assert writer.seal() == head == writer.head
    assert names(folder) == ["00000001.parquet", "00000002.parquet", "00000003.parquet", "head.json", "open.sqlite"]
    log = read_log(folder)
    assert (log.faults, log.state, stated(log)) == ((), head, head)
    table = log.table()
    check_people(table)
    assert table.column_names == list(HEADER.names)
    assert table["batch"].to_pylist() == [1] * 4 + [2] * 5 + [3] * 4 + [4] * 25 + [5]
    assert table["step"].to_pylist() == [1] * 4 + [5] * 5 + [10] * 4 + [14] * 25 + [39]
    assert table["multiplier.sex: F - M"][38].as_py() == 39 / 7
    assert [len(table) for table in log.tables()] == [13, 25, 1]


def test_a_log_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    create(folder).close()
    for size in (3, 9, 2, 30, 1, 1):
        with reopen(folder) as writer:
            extend(writer, [size, size])
            check_people(writer.last_batch(), writer.last.seq - size + 1)
    with reopen(folder) as writer:
        writer.close(seal=True)
    log = read_log(folder)
    assert (log.faults, log.records, log.check_head(stated(log))) == ((), 92, ())
    check_people(log.table())


def test_segments_do_not_depend_on_how_they_came_to_be(tmp_path: Path) -> None:
    sizes = [3, 4, 5, 6, 7]
    write(tmp_path / "a", sizes)
    with LogWriter.create(tmp_path / "b", HEADER, None, ticking(), 10) as writer:
        seqs = writer.append_many([people(1 + sum(sizes[:index]), size) for index, size in enumerate(sizes[:3])])
        assert seqs == [range(1, 4), range(4, 8), range(8, 13)]
        assert writer.append_many([]) == []
        extend(writer, sizes[3:])
        writer.seal()
    for name in ("00000001.parquet", "00000002.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert read_log(tmp_path / "b").statement is None


def test_numbers_may_come_as_arrays(tmp_path: Path) -> None:
    with LogWriter.create(tmp_path / "log", PLAIN, None, ticking()) as writer:
        writer.append(["a", "b"], {}, np.array([1, 2]), np.array([0.1, 0.2], dtype=np.float32))
        writer.append(np.array(["c"]), {}, [True + 1], (-0.0,))  # type: ignore[arg-type]
        table = writer.rest()
    assert table["score"].to_pylist() == [1.0, 2.0, 2.0]
    assert table["prediction"].to_pylist() == [float(np.float32(0.1)), float(np.float32(0.2)), 0.0]
    assert np.signbit(table["prediction"][2].as_py())


def test_a_segment_of_many_columns_is_sealed_earlier(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(writer_module, "SEGMENT_BYTES", 1000)
    with create(tmp_path / "log", 10**6) as writer:
        extend(writer, [7] * 6)
        sizes = [table.num_rows for table in read_log(tmp_path / "log").tables()]
        assert sizes == [21, 21]
        assert writer.rest().num_rows == 0


# -------------------------------------------------------------------------------------------------------------- time
def test_time_never_goes_back(tmp_path: Path) -> None:
    times = iter([5, 3, 9, 8, 8])
    with LogWriter.create(tmp_path / "log", HEADER, None, lambda: next(times), 2) as writer:
        extend(writer, [1, 1, 1])
        assert writer.last == Position(3, 3, 9)
    with LogWriter.open(tmp_path / "log", None, lambda: next(times), 2) as writer:
        writer.append_many([people(4, 1), people(5, 1)])
        writer.seal()
    log = read_log(tmp_path / "log")
    assert (log.table()["time"].to_pylist(), log.faults) == ([5, 5, 9, 9, 9], ())


@pytest.mark.parametrize("time", [1.5, 2**63, None, True])
def test_a_clock_gives_microseconds(tmp_path: Path, time: Any) -> None:
    with LogWriter.create(tmp_path / "log", HEADER, None, lambda: time) as writer:
        with pytest.raises(InputError, match="clock"):
            writer.append_many([people(1, 1)])
        assert writer.last.seq == 0


# ------------------------------------------------------------------------------------------------------------- input
GOOD = people(1, 2)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"row_ids": []}, "has 0 people"),
        ({"row_ids": ["a"]}, "2 values of 'sex' for 1 people"),
        ({"row_ids": ["a", 7]}, "the int 7 where a text"),
        ({"row_ids": ["a", None]}, "the NoneType None where a text"),
        ({"row_ids": ["a", "\ud800"]}, "lone surrogate"),
        ({"row_ids": ["a", b"b"]}, "the bytes b'b'"),
        ({"features": {"sex": ["F", "M"]}}, "lacks the feature 'race'"),
        ({"features": {"sex": ["F", "M"], "race": ["x"]}}, "1 values of 'race' for 2"),
        (
            {"features": {**GOOD.features, "rade": ["x", "y"]}},
            "the feature 'rade', which the log's header does not; did",
        ),
        ({"scores": [1.0]}, r"scores of shape \(1,\) for 2"),
        ({"scores": [[1.0], [2.0]]}, r"scores of shape \(2, 1\)"),
        ({"scores": ["1.0", "2.0"]}, "not numbers"),
        ({"scores": [True, False]}, "not numbers"),
        ({"scores": [1.0, None]}, "not numbers"),
        ({"scores": [1.0, float("nan")]}, r"a score that is not finite \(person 2\)"),
        ({"predictions": [float("inf"), 0.0]}, r"a prediction that is not finite \(person 1\)"),
        ({"predictions": 1.0}, r"of shape \(\)"),
        ({"columns": {}}, "lacks the column 'step'"),
        ({"columns": {**GOOD.columns, "seq": 1}}, "the column 'seq', which"),
        ({"columns": {**GOOD.columns, "step": 1.0}}, "1.0 in 'step', not an integer"),
        ({"columns": {**GOOD.columns, "step": True}}, "True in 'step'"),
        ({"columns": {**GOOD.columns, "step": 2**63}}, "in 'step', not an integer of 64 bits"),
        ({"columns": {**GOOD.columns, "eta": "1"}}, "'1' in 'eta', not a finite number"),
        ({"columns": {**GOOD.columns, "eta": float("nan")}}, "nan in 'eta', not a finite number"),
        ({"columns": {**GOOD.columns, "eta": 10**400}}, "float64 cannot hold"),
    ],
)
def test_a_wrong_batch_is_refused_and_none_with_it(tmp_path: Path, wrong: dict[str, Any], what: str) -> None:
    with create(tmp_path / "log") as writer:
        extend(writer, [3])
        with pytest.raises(InputError, match=what) as caught:
            writer.append_many([people(4, 2), replace(GOOD, **wrong)])
        assert str(tmp_path / "log") in str(caught.value)
        assert (writer.last.seq, writer.last.batch) == (3, 1)
        assert writer.append_many([people(4, 2)]) == [range(4, 6)]


def test_a_batch_has_limits(tmp_path: Path, monkeypatch: Patch) -> None:
    with LogWriter.create(tmp_path / "log", PLAIN, None, ticking()) as writer:
        monkeypatch.setattr(batches_module, "MAX_BYTES", 9)
        with pytest.raises(InputError, match="more than 9 bytes"):
            writer.append(["ééééé"], {}, [1], [1])
        monkeypatch.setattr(batches_module, "MAX_RECORDS", 2)
        with pytest.raises(InputError, match="has 3 people; a batch has 1 to 2"):
            writer.append(["a", "b", "c"], {}, [1] * 3, [1] * 3)
        assert writer.append(["a", "b"], {}, [1] * 2, [1] * 2) == range(1, 3)


def test_numpy_numbers_are_numbers(tmp_path: Path) -> None:
    columns = {"step": np.int64(3), "eta": np.float64(0.5), "multiplier.sex: F - M": np.float32(0.25)}
    with create(tmp_path / "log") as writer:
        writer.append_many([replace(GOOD, columns=columns)])
        row = writer.rest().to_pylist()[0]
    assert (row["step"], row["eta"], row["multiplier.sex: F - M"]) == (3, 0.5, 0.25)


# ---------------------------------------------------------------------------------------------------- who may write
def test_one_writer_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with create(folder) as writer:
        extend(writer, [3])
        with pytest.raises(InputError, match="being written by somebody else"):
            reopen(folder)
        code = (
            "import sys; from pathlib import Path; from certifair.evidence.log import LogWriter\n"
            "LogWriter.open(Path(sys.argv[1]), None, lambda: 0)"
        )
        result = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=False)
        assert "being written by somebody else" in result.stderr
        extend(writer, [3])
    with reopen(folder) as writer:
        assert writer.last.seq == 6
        writer.close()
        writer.close()
        for call in (writer.seal, writer.rest, lambda: writer.append_many([people(7, 1)]), lambda: writer.last):
            with pytest.raises(InputError, match="is closed"):
                call()


def test_a_fork_is_another_process(tmp_path: Path, monkeypatch: Patch) -> None:
    with create(tmp_path / "log") as writer:
        extend(writer, [3])
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            with pytest.raises(InputError, match="a fork"):
                writer.append_many([people(4, 1)])
        extend(writer, [3])


def test_threads_take_turns(tmp_path: Path) -> None:
    header = Header("threads", None, None, columns_of([]))
    seqs: list[int] = []
    with LogWriter.create(tmp_path / "log", header, None, ticking(), 50) as writer:

        def work(name: int) -> None:
            for _ in range(40):
                seqs.extend(writer.append([f"{name}"] * 2, {}, [1, 2], [1, 2]))

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.seal()
    log = read_log(tmp_path / "log")
    assert (log.faults, log.records, sorted(seqs)) == ((), 320, list(range(1, 321)))


def test_an_interrupt_between_commit_and_acknowledgement(tmp_path: Path, monkeypatch: Patch) -> None:
    with create(tmp_path / "log") as writer:
        extend(writer, [3])
        commit = writer._store._commit

        def interrupted() -> None:
            commit()
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(writer._store, "_commit", interrupted)
            with pytest.raises(KeyboardInterrupt):
                writer.append_many([people(4, 2)])
        assert writer.last.seq == 5  # durable, though nobody was told
        extend(writer, [1])
        check_people(writer.rest())


# --------------------------------------------------------------------------------------------------- what is opened
def test_a_log_is_created_in_a_new_folder(tmp_path: Path) -> None:
    write(tmp_path / "log", [3])
    with pytest.raises(InputError, match="exists already"):
        create(tmp_path / "log")
    with pytest.raises(InputError, match="at least one record"):
        create(tmp_path / "zero", 0)
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match=r"no open\.sqlite"):
            reopen(folder)


def break_store(folder: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "open.sqlite")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("PRAGMA user_version = 2", "not the store of a log"),
        ("DELETE FROM header", "not the store of a log"),
        ("DROP TABLE batches", "no such table"),
        ("UPDATE header SET content = X'00'", "log header"),
    ],
)
def test_no_store_of_a_log(tmp_path: Path, statement: str, what: str) -> None:
    create(tmp_path / "log").close()
    break_store(tmp_path / "log", statement)
    with pytest.raises(InputError, match=what):
        reopen(tmp_path / "log")
    (tmp_path / "log" / "open.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="not a database"):
        reopen(tmp_path / "log")


def removed(folder: Path) -> None:
    (folder / "00000002.parquet").unlink()


def earlier_removed(folder: Path) -> None:
    (folder / "00000001.parquet").unlink()


def replaced(folder: Path) -> None:
    (folder / "00000002.parquet").write_bytes((folder / "00000001.parquet").read_bytes())


def added(folder: Path) -> None:
    (folder / "00000003.parquet").write_bytes((folder / "00000001.parquet").read_bytes())


def far_away(folder: Path) -> None:
    (folder / "00000009.parquet").write_bytes((folder / "00000001.parquet").read_bytes())


def nonsense(folder: Path) -> None:
    (folder / "00000003.parquet").write_bytes(b"PAR1")


@pytest.mark.parametrize("change", [removed, earlier_removed, replaced, added, far_away, nonsense])
@pytest.mark.parametrize("rest", [0, 3])
def test_a_log_is_continued_from_its_own_files(tmp_path: Path, change: Callable[[Path], None], rest: int) -> None:
    folder = tmp_path / "log"
    write(folder, [10, 10])
    with reopen(folder) as writer:
        extend(writer, [rest] if rest else [])
    before = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
    change(folder)
    with pytest.raises(InputError, match=r"its writer sealed|this writer sealed|cannot be read as Parquet"):
        reopen(folder)
    for path in folder.glob("*.parquet"):
        path.unlink()
    for name, content in before.items():
        (folder / name).write_bytes(content)
    with reopen(folder) as writer:
        assert writer.last.seq == 20 + rest


def test_an_old_store_does_not_fork_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    write(folder, [10])
    old = (folder / "open.sqlite").read_bytes()
    with reopen(folder) as writer:
        extend(writer, [4, 6])
    (folder / "open.sqlite").write_bytes(old)
    with pytest.raises(InputError, match="no segment that this writer sealed"):
        reopen(folder)
    assert read_log(folder).faults == ()


def test_the_last_batch_is_that_which_was_sealed(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    write(folder, [6, 5])
    with reopen(folder) as writer:
        check_people(writer.last_batch(), 7)
        other = tmp_path / "other"
        write(other, [6, 6])
        (folder / "00000001.parquet").write_bytes((other / "00000001.parquet").read_bytes())
        with pytest.raises(InputError, match="not the segment that this writer sealed"):
            writer.last_batch()


# -------------------------------------------------------------------------------------------------------- the head
def test_a_signed_log_stays_signed(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    write(folder, [10])
    with pytest.raises(InputError, match="give the key"):
        LogWriter.open(folder, None, ticking())
    (folder / "head.json").unlink()
    reopen(folder).close()
    assert read_log(folder).check_head(stated(read_log(folder))) == ()


def test_a_signer_that_fails_holds_the_log_up(tmp_path: Path) -> None:
    working = [False]

    def signer(head: LogHead) -> bytes:
        if not working[0]:
            raise RuntimeError("no key today")
        return sign(head)

    with LogWriter.create(tmp_path / "log", HEADER, signer, ticking(), 5) as writer:
        extend(writer, [6])  # acknowledged: it is durable
        with pytest.raises(RuntimeError, match="no key today"):
            writer.append_many([people(7, 1)])
        assert writer.last.seq == 6
        working[0] = True
        extend(writer, [1])
    log = read_log(tmp_path / "log")
    assert (stated(log).records, log.faults) == (6, ())


# --------------------------------------------------------------------------------------------------------- full disk
@contextlib.contextmanager
def full(monkeypatch: Patch, call: str, number: int = errno.ENOSPC) -> Iterator[None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        yield


@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
def test_no_room_for_a_segment(tmp_path: Path, monkeypatch: Patch, call: str) -> None:
    folder = tmp_path / "log"
    with create(folder) as writer:
        with full(monkeypatch, call):
            extend(writer, [6, 5])  # 11 are due to be sealed; they are durable all the same
            with pytest.raises(InputError, match="No space left"):
                writer.append_many([people(12, 1)])
            with pytest.raises(InputError, match="No space left"):
                writer.seal()
            assert writer.last.seq == 11
            assert [name for name in names(folder) if name.startswith(".") or "parquet" in name] == []
        extend(writer, [1])
        check_people(writer.rest(), 12)
        writer.seal()
    log = read_log(folder)
    assert (log.faults, [segment.records for segment in log.chain]) == ((), [11, 1])
    check_people(log.table())


def test_no_room_for_the_chain(tmp_path: Path, monkeypatch: Patch) -> None:
    """The file is there, the transaction fails: the next call makes the segment again, from the same rows."""
    folder = tmp_path / "log"
    with create(folder) as writer:

        def refuse(*_: object) -> None:
            raise InputError("cannot be used (database or disk is full)")

        with monkeypatch.context() as patch:
            patch.setattr(writer._store, "sealed", refuse)
            extend(writer, [6, 5])
            assert (folder / "00000001.parquet").exists()
            with pytest.raises(InputError, match="disk is full"):
                writer.append_many([people(12, 1)])
        extend(writer, [1])
        assert (writer.head.records, writer.rest().num_rows) == (11, 1)
        writer.seal()
    assert read_log(folder).faults == ()
    check_people(read_log(folder).table())


def test_no_room_in_the_store(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with create(folder, 10**6) as writer:
        database = writer._store._database
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages + 10}")
        with pytest.raises(InputError, match=r"open\.sqlite: cannot be used \(database or disk is full\).*make room"):
            extend(writer, [50] * 100)
        acknowledged = writer.last
        assert acknowledged.seq > 0
        with pytest.raises(InputError, match="full"):
            writer.append_many([people(acknowledged.seq + 1, 5000)])
        assert writer.last == acknowledged
        database.execute("PRAGMA max_page_count = 100000")
        extend(writer, [50])
        assert writer.last.batch == acknowledged.batch + 1
        check_people(writer.rest())
    with reopen(folder) as writer:
        assert writer.last.seq == acknowledged.seq + 50


LIMITED = """
import resource, signal, sys
from pathlib import Path
from certifair.errors import InputError
from certifair.evidence.log import LogWriter, read_log
from tests.evidence.log_cases import HEADER, check_people, people, sign, ticking

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
refused = 0
with LogWriter.create(folder, HEADER, sign, ticking(), 600) as writer:
    for round in range(1, 6):
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000 * round, -1))
        while True:
            last = writer.last
            try:
                writer.append_many([people(last.seq + 1, 50)])
            except InputError as error:
                assert writer.last == last
                refused += 1
                break
            if last.seq > 2000 * round:
                break
    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
    writer.append_many([people(writer.last.seq + 1, 50)])
    last = writer.seal()
assert refused, "nothing was refused"
log = read_log(folder)
assert log.faults == () and log.state == last, log.faults
check_people(log.table())
print(refused, log.records)
"""


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """The system refuses to write, to SQLite and Arrow alike."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY, "the limit cannot be lifted again"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", LIMITED, tmp_path / "log"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=root)
    assert result.returncode == 0, result.stderr
