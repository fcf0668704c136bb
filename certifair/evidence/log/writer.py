"""The one writer of a log: what it acknowledges survives `kill -9`, and what was interrupted is finished (12).

A batch is durable in `open.sqlite` when `append` returns. A full segment is sealed in three instants, of which each
may be the last: its Parquet file appears, whole; one transaction extends the chain and forgets the rows; head.json
follows. A file without the transaction is made again from the same rows, with the same records, before any other
batch is taken, so nothing is lost and nobody stands twice.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, final

from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence.files import write_atomic
from certifair.evidence.log.batches import Batch, Codec, Stored
from certifair.evidence.log.chain import LogHead, Segment, header_link
from certifair.evidence.log.header import Header
from certifair.evidence.log.store import State, Store

if TYPE_CHECKING:
    import pyarrow as pa

HEAD: Final = "head.json"
SEGMENT_RECORDS: Final = 65_536
SEGMENT_BYTES: Final = 1 << 27
"""A segment with many columns is sealed earlier: it is laid out in memory when it is sealed, and when it is read."""
_NOT_OURS: Final = "is not the segment that this writer sealed"
Sign = Callable[[LogHead], bytes]
"""The content of head.json for a state: a statement, packed and signed (12.3)."""
Clock = Callable[[], int]
"""Microseconds since 1970 UTC."""


@final
@dataclass(frozen=True)
class Position:
    """The last record: its seq, its batch, its time in microseconds; all 0 before the first."""

    seq: int
    batch: int
    time: int


@final
class LogWriter:
    """A log, open for writing; a context manager. May be called from several threads, which then take turns.

    `sign` None: the log has no head.json. The first error of a method is an InputError, and leaves the log as it was.
    """

    def __init__(
        self, folder: Path, store: Store, sign: Sign | None, clock: Clock, segment_records: int = SEGMENT_RECORDS
    ) -> None:
        """For `create` and `open`."""
        if segment_records < 1:
            raise InputError("needs at least one record a segment", where=str(folder))
        self._folder, self._store, self._sign, self._clock = folder, store, sign, clock
        self._segment_records = segment_records
        self._content = store.header()
        self.header = Header.parse(self._content)
        self._codec = Codec(self.header, str(folder))
        self._state: State | None = None  # None: what the file says
        self._sealing = False  # a segment's file may be there without its transaction
        self._unsigned = False  # head.json is not that of the last segment
        self._turn = threading.RLock()
        self._process: int | None = os.getpid()

    # ---------------------------------------------------------------------------------------------- opening, closing
    @classmethod
    def create(
        cls, folder: Path, header: Header, sign: Sign | None, clock: Clock, segment_records: int = SEGMENT_RECORDS
    ) -> LogWriter:
        """A new, empty log. Raises InputError if the folder is there already and not empty."""
        Store.create(folder, header.to_bytes())
        return cls.open(folder, sign, clock, segment_records)

    @classmethod
    def open(cls, folder: Path, sign: Sign | None, clock: Clock, segment_records: int = SEGMENT_RECORDS) -> LogWriter:
        """A log that goes on; what a killed writer began is finished first.

        Raises InputError if there is none, if somebody else is writing it (at once), if its segments are not those
        that its writer sealed, or if it has a signed head and `sign` is None.
        """
        store = Store.open(folder)
        try:
            writer = cls(folder, store, sign, clock, segment_records)
            writer._take_up()
        except BaseException:
            store.close()
            raise
        return writer

    def _take_up(self) -> None:
        from certifair.evidence.log.segments import segment_paths

        if self._sign is None and os.path.lexists(self._folder / HEAD):
            what = f"has a signed {HEAD}, which a writer without a key would leave behind"
            raise InputError(what, where=str(self._folder), advice="give the key")
        for pattern in (".????????.parquet.*", f".{HEAD}.*"):  # temporary files of killed writers
            for leftover in self._folder.glob(pattern):
                leftover.unlink(missing_ok=True)
        last = self._now().segment
        sealed = last.number if last else 0
        numbers = sorted(segment_paths(self._folder)[0])
        if len(numbers) not in (sealed, sealed + 1) or numbers != list(range(1, len(numbers) + 1)):
            what = f"has other segments than the {sealed} that its writer sealed"
            raise InputError(what, where=str(self._folder), advice="restore them: a log is continued whole")
        if last:
            self._check_file(last)
        self._sealing = len(numbers) > sealed
        self._unsigned = sealed > 0
        self._finish()

    def close(self, *, seal: bool = False) -> None:
        """Let go of the log; `seal`: seal what is open first. A second call does nothing."""
        with self._turn:
            if self._process is None:
                return
            try:
                if seal:
                    self.seal()
            finally:
                if self._process == os.getpid():  # a forked child must not close its parent's files
                    self._store.close()
                self._process = None

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------------- writing
    def append(
        self,
        row_ids: Sequence[str],
        features: Mapping[str, Sequence[str]],
        scores: Sequence[float] | NDArray[Any],
        predictions: Sequence[float] | NDArray[Any],
        columns: Mapping[str, int | float] = {},
    ) -> range:
        """Log one batch (see `Batch`); returns its seqs. It is durable when this returns, and only then.

        Raises InputError, and logs nothing, if the batch does not fit the header, if the disk is full, or if a
        segment that was due could not be sealed or signed: then it is tried again by the next call.
        """
        return self.append_many([Batch(row_ids, features, scores, predictions, columns)])[0]

    def append_many(self, batches: Sequence[Batch]) -> list[range]:
        """Log several batches in one transaction: all of them durable at the price of one, or none.

        A server puts the batches that it has served into a queue; one thread takes all that wait there, logs them by
        one call, and only then lets the answers go out. Under load the groups grow by themselves.
        """
        with self._turn:
            self._finish()
            if not batches:
                return []
            packed = [self._codec.pack(batch) for batch in batches]
            before = self._now()
            stored, time = [], before.time
            for number, batch in enumerate(packed, before.batch + 1):
                time = max(time, self._time())
                stored.append(Stored(number, time, batch))
            self._state = None
            self._store.add(stored)
            seqs, seq, size = [], before.seq, before.size
            for batch in packed:
                seqs.append(range(seq + 1, seq + batch.records + 1))
                seq += batch.records
                size += len(batch.lengths) + len(batch.texts) + len(batch.numbers) + len(batch.shared) * batch.records
            records = before.records + seq - before.seq
            self._state = State(before.segment, records, size, seq, before.batch + len(packed), time)
            # The batches are durable, whatever becomes of the segment: the next call tries again, and says why not.
            with contextlib.suppress(Exception):
                self._finish()
            return seqs

    def seal(self) -> LogHead:
        """Seal what is open, if anything, so that readers see it; returns the head. Raises InputError if it cannot."""
        with self._turn:
            self._finish()
            if self._now().records:
                self._seal()
                self._finish()
            return self.head

    # ------------------------------------------------------------------------------------------------------- reading
    @property
    def head(self) -> LogHead:
        """The state that is sealed."""
        with self._turn:
            last = self._now().segment
            if last is None:
                return LogHead(self.header.id, 0, 0, header_link(self._content).hex())
            return LogHead(self.header.id, last.number, last.first + last.records - 1, last.link)

    @property
    def last(self) -> Position:
        """Where the log stands, sealed or not."""
        with self._turn:
            state = self._now()
            return Position(state.seq, state.batch, state.time) if state.seq else Position(0, 0, 0)

    def rest(self) -> pa.Table:
        """The records that are not sealed yet."""
        with self._turn:
            state = self._now()
            return self._codec.table(state.seq - state.records + 1, self._store.batches())

    def last_batch(self) -> pa.Table:
        """The records of the last batch, sealed or not; no row if there is none. An algorithm's state follows from it.

        Raises InputError if its segment is not what was sealed.
        """
        from certifair.evidence.log.records import segment_root, values_of
        from certifair.evidence.log.segments import SegmentFile, path_of_segment

        with self._turn:
            state = self._now()
            if state.records or state.segment is None:
                stored = self._store.batches(state.batch)
                return self._codec.table(state.seq - sum(batch.packed.records for batch in stored) + 1, stored)
            file = SegmentFile(path_of_segment(self._folder, state.segment.number))
            table = file.read()
            if segment_root(table).hex() != state.segment.root:
                raise InputError(_NOT_OURS, where=file.where, advice="restore it")
            return table.slice(int((values_of(table["batch"]) < state.batch).sum()))

    # ------------------------------------------------------------------------------------------------------- sealing
    def _now(self) -> State:
        if self._process != os.getpid():
            what = "is closed" if self._process is None else "was opened by another process, of which this is a fork"
            raise InputError(what, where=str(self._folder), advice="open it again")
        if self._state is None:
            self._state = self._store.state()
        return self._state

    def _time(self) -> int:
        time = self._clock()
        if type(time) is not int or not -(2**63) <= time < 2**63:
            raise InputError(f"got {time!r} from its clock, not microseconds", where=str(self._folder))
        return time

    def _finish(self) -> None:
        """Do what is due: a full segment, one that was interrupted, a head that is not signed."""
        state = self._now()
        full = state.records >= self._segment_records or state.size >= SEGMENT_BYTES
        if full or self._sealing:
            self._seal()
        if self._unsigned and self._sign is not None:
            write_atomic(self._folder / HEAD, self._sign(self.head))
            self._unsigned = False

    def _seal(self) -> None:
        from certifair.evidence.log.records import segment_root
        from certifair.evidence.log.segments import path_of_segment, segment_bytes

        state = self._now()
        last = state.segment
        path = path_of_segment(self._folder, last.number + 1 if last else 1)
        if not state.records:  # a file of that number, and no rows that it could be made of
            raise InputError("is no segment that this writer sealed", where=str(path), advice="remove it")
        table = self._codec.table(state.seq - state.records + 1, self._store.batches())
        segment = Segment.after(self._content, last, segment_root(table), state.records)
        if path.exists():
            self._check_file(segment)
        self._sealing = True
        write_atomic(path, segment_bytes(table, self._content, segment))
        self._state = None
        self._store.sealed(segment, state.batch, state.time)
        self._sealing, self._unsigned = False, True

    def _check_file(self, segment: Segment) -> None:
        """The file of that number must state that it is this segment."""
        from certifair.evidence.log.segments import path_of_segment, stated_place

        path = path_of_segment(self._folder, segment.number)
        if stated_place(path) != (self._content, segment):
            raise InputError(_NOT_OURS, where=str(path), advice="restore it: a log is continued from its own files")
