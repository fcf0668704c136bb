"""The segment that is being written: batches in SQLite, durable when a transaction returns (certificates/README.md 12).

`open.sqlite` is its writer's own business. The lock is SQLite's: a process that is killed holds none, and a process
that it had forked does not inherit it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from certifair.errors import InputError
from certifair.evidence.files import write_directory
from certifair.evidence.log.batches import Packed, Stored
from certifair.evidence.log.chain import Segment

NAME: Final = "open.sqlite"
# `segment`: the last sealed one, no row before the first. `state`: batch and time of its last record.
_SCHEMA: Final = """
CREATE TABLE header (content BLOB NOT NULL);
CREATE TABLE segment (number INTEGER, first INTEGER, records INTEGER, previous TEXT, root TEXT, link TEXT);
CREATE TABLE state (batch INTEGER NOT NULL, time INTEGER NOT NULL);
CREATE TABLE batches (number INTEGER PRIMARY KEY, time INTEGER NOT NULL, records INTEGER NOT NULL,
                      lengths BLOB NOT NULL, texts BLOB NOT NULL, numbers BLOB NOT NULL, shared BLOB NOT NULL);
INSERT INTO state VALUES (0, -9223372036854775808);
PRAGMA user_version = 1;
"""
_BYTES: Final = "length(lengths) + length(texts) + length(numbers) + length(shared) * records"


@final
@dataclass(frozen=True)
class State:
    """Where a log stands. `segment`: the last sealed one; `records`, `size`: those that are not, and their bytes.

    `seq`, `batch`, `time`: of the last record; 0, 0 and −2⁶³ before the first.
    """

    segment: Segment | None
    records: int
    size: int
    seq: int
    batch: int
    time: int


@final
class Store:
    """`open.sqlite`, held exclusively until it is closed. All errors are InputErrors that name the file."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._path, self._database = path, database

    @staticmethod
    def create(folder: Path, header: bytes) -> None:
        """A new folder with an empty store, or nothing. Raises InputError if something is there already."""
        memory = sqlite3.connect(":memory:")
        try:
            memory.executescript(_SCHEMA)
            memory.execute("INSERT INTO header VALUES (?)", (header,))
            memory.commit()
            write_directory(folder, {NAME: bytes(memory.serialize())})
        finally:
            memory.close()

    @staticmethod
    def open(folder: Path) -> Store:
        """Raises InputError at once if somebody else writes this log, or if there is none."""
        path = folder / NAME
        if not path.is_file():
            raise InputError(f"holds no {NAME}", where=str(folder), advice="only its writer's folder can be continued")
        # autocommit: transactions are opened and closed here, not by the module
        database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        store = Store(path, database)
        try:
            with store._errors():
                database.execute("PRAGMA locking_mode = EXCLUSIVE")
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                database.execute("BEGIN EXCLUSIVE")
                database.execute("COMMIT")
                if store._row("PRAGMA user_version") != (1,):
                    raise InputError("is not the store of a log", where=str(path))
        except BaseException:
            database.close()
            raise
        return store

    def close(self) -> None:
        with self._errors():
            self._database.close()

    def header(self) -> bytes:
        with self._errors():
            (content,) = self._row("SELECT content FROM header")
        return bytes(content)

    def state(self) -> State:
        with self._errors():
            segment = self._segment()
            batch, time = self._row("SELECT batch, time FROM state")
            totals = f"SELECT max(number), max(time), sum(records), sum({_BYTES}) FROM batches"  # noqa: S608
            last, latest, records, size = self._row(totals)
        sealed = segment.first + segment.records - 1 if segment else 0
        if last is None:
            return State(segment, 0, 0, sealed, batch, time)
        return State(segment, records, size, sealed + records, last, latest)

    def batches(self, first: int = 1) -> list[Stored]:
        """Those that are not sealed, from number `first` on."""
        with self._errors():
            rows = self._database.execute("SELECT * FROM batches WHERE number >= ? ORDER BY number", (first,))
            return [Stored(number, time, Packed(*rest)) for number, time, *rest in rows]

    def add(self, batches: Iterable[Stored]) -> None:
        """All of them, durably, or none."""
        rows = [(batch.number, batch.time, *batch.packed) for batch in batches]
        with self._transaction():
            self._database.executemany("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def sealed(self, segment: Segment, batch: int, time: int) -> None:
        """In one transaction: this is the last segment now, and its records are no longer here."""
        with self._transaction():
            self._database.execute("DELETE FROM batches WHERE number <= ?", (batch,))
            self._database.execute("DELETE FROM segment")
            self._database.execute("INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?)", tuple(segment.to_json().values()))
            self._database.execute("UPDATE state SET batch = ?, time = ?", (batch, time))

    def _segment(self) -> Segment | None:
        row = self._database.execute("SELECT * FROM segment").fetchone()
        return Segment(*row) if row else None

    def _row(self, query: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._database.execute(query).fetchone()
        if row is None:
            raise InputError("is not the store of a log", where=str(self._path))
        return row

    def _commit(self) -> None:
        self._database.execute("COMMIT")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._errors():
                self._database.execute("BEGIN IMMEDIATE")
                yield
                self._commit()
        except BaseException:
            # SQLite has rolled back by itself after some errors, the full disk among them
            if self._database.in_transaction:
                self._database.rollback()
            raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                what, advice = "is being written by somebody else", "a log has one writer at a time"
            else:
                what, advice = f"cannot be used ({error})", ""
            if code is not None and code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                advice = "nothing was written: make room, then try again"
            raise InputError(what, where=str(self._path), advice=advice) from None
