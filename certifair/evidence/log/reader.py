"""A log as a stranger reads it: every digest and every order recomputed, every fault named (certificates/README.md 12).

What points to tampering is a fault, not an error: the first place is named, and the rest is read all the same.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, final

import numpy as np
import pyarrow as pa

from certifair.errors import InputError, UntrustedError
from certifair.evidence.canonical import strict_json
from certifair.evidence.files import read_regular
from certifair.evidence.log.batches import schema_of
from certifair.evidence.log.chain import LogHead, Segment, header_link, next_link
from certifair.evidence.log.header import FLOAT64, Header
from certifair.evidence.log.layout import HEADER_KEY
from certifair.evidence.log.records import segment_root, values_of
from certifair.evidence.log.segments import SegmentFile, segment_paths
from certifair.evidence.log.store import NAME as STORE
from certifair.evidence.log.writer import HEAD

MAX_HEAD: Final = 1 << 24
_STEP: Final = "log"
OpenHead = Callable[[bytes], LogHead]
"""Verifies the signature of a head.json, and gives what it states."""


@final
@dataclass(frozen=True)
class Fault:
    """Something that no honest writer leaves behind. `record`: the seq that belongs there, where it is known."""

    segment: int | None
    record: int | None
    what: str

    def __str__(self) -> str:
        places = [("segment", self.segment), ("record", self.record)]
        where = ", ".join(f"{name} {number}" for name, number in places if number is not None)
        return f"{where}: {self.what}" if where else self.what


@final
@dataclass(frozen=True)
class Log:
    """A log that was read. `chain`: its segments as recomputed from the records; `faults`: empty if all of it holds.

    `statement`: the content of head.json, not opened, or None. Whoever opens it calls `check_head`. `digests`: each
    segment's file, and the SHA-256 of the bytes that were checked.
    """

    folder: Path
    header: Header
    chain: tuple[Segment, ...]
    faults: tuple[Fault, ...]
    statement: bytes | None
    digests: tuple[tuple[Path, bytes], ...]

    @property
    def segments(self) -> int:
        return len(self.chain)

    @property
    def records(self) -> int:
        return sum(segment.records for segment in self.chain)

    @property
    def head(self) -> str:
        """The last link, recomputed, in hexadecimal."""
        return self.chain[-1].link if self.chain else header_link(self.header.to_bytes()).hex()

    @property
    def state(self) -> LogHead:
        """What head.json must state."""
        return LogHead(self.header.id, self.segments, self.records, self.head)

    def check_head(self, stated: LogHead, *, last: bool = True) -> tuple[Fault, ...]:
        """The faults of a signed head against this log; none: the log had that state.

        `last`: it must be the present one, as head.json (unless a writer is at work). A head that was kept from before
        (a certificate's) is checked with `last` False.
        """
        if stated.log != self.header.id:
            return (Fault(None, None, f"the head is that of another log ({stated.log!r})"),)
        if stated.segments > self.segments:
            what = f"the head speaks of {stated.segments} segments, of which {self.segments} are here"
            return (Fault(stated.segments, None, what),)
        if last and stated.segments < self.segments:
            what = f"the head is of an earlier state, of {stated.segments} segments"
            return (Fault(stated.segments + 1, None, what),)
        there = self.chain[stated.segments - 1] if stated.segments > 0 else None
        if there is None or (there.first + there.records - 1, there.link) != (stated.records, stated.head):
            return (Fault(stated.segments, None, "the head is not that of these records"),)
        return ()

    def tables(self) -> Iterator[pa.Table]:
        """Segment after segment, in order; one is in memory at a time. Columns as the header says, nothing null.

        Raises UntrustedError if the log has faults, InputError if a file is no longer what was checked.
        """
        if self.faults:
            raise UntrustedError(_STEP, str(self.faults[0]), where=str(self.folder))
        for path, digest in self.digests:
            file = SegmentFile(path)
            if sha256(file.content).digest() != digest:
                raise InputError("was changed while it was read", where=str(path), advice="try again")
            yield pa.Table.from_arrays(file.read().columns, schema=schema_of(self.header))

    def table(self) -> pa.Table:
        """All records at once; errors as `tables`."""
        return pa.concat_tables(self.tables())


def read_log(folder: Path) -> Log:
    """Read and check all sealed segments, one in memory at a time.

    Raises InputError for what cannot be read at all: no folder, no sealed segment, a file that is not Parquet or is
    damaged, a header that is none.
    """
    paths, strays = segment_paths(folder)
    if not paths:
        advice = "seal it first (LogWriter.seal): readers see sealed segments" if (folder / STORE).exists() else ""
        raise InputError("holds no sealed segment of a log", where=str(folder), advice=advice)
    first = SegmentFile(paths[min(paths)])
    content = first.metadata.get(HEADER_KEY)
    if content is None:
        raise InputError("is not a segment of a log (no metadata certifair.log)", where=first.where)
    walk = _Walk(content)
    for name in strays:
        walk.fault(None, None, f"{name!r} is no segment, but readers of the folder would take it for one")
    digests, expected = [], 1
    for number, path in sorted(paths.items()):
        if number > expected:
            walk.missing(expected, number - 1)
        expected = number + 1
        file = SegmentFile(path)
        digests.append((path, sha256(file.content).digest()))
        walk.segment(number, file)
    # A link that leads nowhere is there too: read_regular refuses all links.
    statement = read_regular(folder / HEAD, limit=MAX_HEAD) if os.path.lexists(folder / HEAD) else None
    return Log(folder, walk.header, tuple(walk.chain), tuple(walk.faults), statement, tuple(digests))


def whole_log(folder: Path, open_head: OpenHead | None = None) -> Log:
    """Read and check a log as evidence: its records and its head, if it has one.

    `open_head` opens head.json and verifies its signature; without it what head.json states is compared, whoever signed
    it: a truncated log is found even by who has no key. Raises InputError as `read_log`, UntrustedError [log] for the
    first fault, and for a log without head.json where a signature is asked for.
    """
    log = read_log(folder)
    faults = list(log.faults)
    if log.statement is not None and not faults:
        faults += log.check_head((open_head or stated_head)(log.statement))
    elif open_head is not None and not faults:
        faults.append(Fault(None, None, f"nobody signed it: there is no {HEAD}"))
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        advice = "do not rely on this log: ask its owner, or take a copy that was kept"
        raise UntrustedError(_STEP, f"{faults[0]}{more}", where=str(folder), advice=advice)
    return log


def stated_head(content: bytes) -> LogHead:
    """What a head.json says; its signature is not looked at. Raises UntrustedError for what is none."""
    try:
        statement = strict_json(base64.b64decode(strict_json(content)["dsseEnvelope"]["payload"], validate=True))
        (subject,) = statement["subject"]
        return LogHead.stated(statement["predicate"], subject["digest"]["sha256"])
    except (ValueError, KeyError, TypeError):
        raise UntrustedError(_STEP, "is not the head of a log", where=HEAD) from None


@final
class _Walk:
    """From segment to segment: what was seen, and what must therefore come next. After a gap, anything may."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.header = Header.parse(content)
        self.start = header_link(content)
        self.chain: list[Segment] = []
        self.faults: list[Fault] = []
        # As stated, not as recomputed: one edit is one fault, not one in every segment after it.
        self.link: str | None = self.start.hex()
        self.last: tuple[int, int, int] | None = (0, 0, -(2**63))  # seq, batch, time

    def fault(self, segment: int | None, record: int | None, what: str) -> None:
        self.faults.append(Fault(segment, record, what))

    def missing(self, first: int, last: int) -> None:
        self.fault(first, None, "is missing" if first == last else f"is missing, and all up to segment {last}")
        self.link = self.last = None

    def segment(self, number: int, file: SegmentFile) -> None:
        before = len(self.faults)
        if file.metadata.get(HEADER_KEY) != self.content:
            self.fault(number, None, "belongs to another log: its header is not that of the first segment")
        for what in file.oddities(self.header):
            self.fault(number, None, what)
        if len(self.faults) > before:
            self.link = self.last = None
            return
        table = file.read()
        self._order(number, table)
        self._chain(number, file, table)

    def _order(self, number: int, table: pa.Table) -> None:
        """Finite numbers; seq by one, batch by at most one and not across segments, time never back."""
        for name, kind in self.header.columns:
            if kind == FLOAT64 and not np.isfinite(values_of(table[name])).all():
                self.fault(number, None, f"has a number in {name!r} that is not finite")
        seq, batch, time = (values_of(table[name]) for name in ("seq", "batch", "time"))
        last = self.last or (int(seq[0]) - 1, int(batch[0]) - 1, int(time[0]))
        expected = last[0] + 1 + np.arange(len(seq))
        stays = np.concatenate([[False], batch[1:] == batch[:-1]])
        before = np.concatenate([[last[1]], batch[:-1]])
        earlier = np.concatenate([[last[2]], time[:-1]])
        for wrong, what in (
            (seq != expected, "another record stands where this one should"),
            (~stays & (batch != before + 1), "the number of the batch does not go on"),
            (time < earlier, "time goes back"),
        ):
            if wrong.any():
                self.fault(number, int(expected[np.argmax(wrong)]), what)
        self.last = int(seq[-1]), int(batch[-1]), int(time[-1])

    def _chain(self, number: int, file: SegmentFile, table: pa.Table) -> None:
        """The metadata must be what follows from the records and from the segment before."""
        root, records = segment_root(table), table.num_rows
        self.chain.append(Segment.after(self.content, self.chain[-1] if self.chain else None, root, records))
        first = table["seq"][0].as_py()
        try:
            stated = file.place()
        except ValueError as error:
            self.fault(number, None, str(error))
            self.link = None
            return
        if stated.number != number:
            self.fault(number, None, f"is segment {stated.number} by its metadata")
        if (stated.first, stated.records) != (first, records):
            what = f"its metadata speak of {stated.records} records from {stated.first}, it has {records} from {first}"
            self.fault(number, None, what)
        if self.link is not None and stated.previous != self.link:
            self.fault(number, None, "does not follow from the segment before it")
        link = next_link(self.start, bytes.fromhex(stated.previous), root, stated.first, stated.records)
        if stated.root != root.hex():
            self.fault(number, None, "its root is not that of its records: one was changed")
        elif stated.link != link.hex():
            self.fault(number, None, "its link is not that of its metadata")
        self.link = stated.link
