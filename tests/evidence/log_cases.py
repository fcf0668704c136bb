"""Logs for tests: everything about a person follows from her seq, so that a lost or doubled one is seen.

And Parquet files that no library writes: `unpacked` and `packed` take the footer apart and put it together again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from certifair.evidence.log import Batch, Header, Log, LogHead, LogWriter, columns_of

HEADER = Header("the log of the tests", "ab" * 32, {"name": "paper"}, columns_of(["sex", "race"], ["sex: F - M"]))
RACES = ("Black", "White", "", "naïve \0 \N{GRINNING FACE}")


def sign(head: LogHead) -> bytes:
    """A head that nobody signs."""
    return json.dumps(asdict(head)).encode()


def stated(log: Log) -> LogHead:
    assert log.statement is not None
    return LogHead(**json.loads(log.statement))


def ticking(start: int = 1_000_000) -> Callable[[], int]:
    """A clock: one more microsecond each time."""
    now = [start]

    def clock() -> int:
        now[0] += 1
        return now[0]

    return clock


def person(seq: int) -> dict[str, Any]:
    """What the log must say of her, but for batch and time."""
    return {
        "seq": seq,
        "row_id": f"p{seq}",
        "feature.sex": "FM"[seq * seq % 7 % 2],
        "feature.race": RACES[seq % len(RACES)],
        "score": seq / 3,
        "prediction": -0.0 if seq % 5 == 0 else 1 / seq,
    }


def people(first: int, count: int) -> Batch:
    rows = [person(seq) for seq in range(first, first + count)]
    return Batch(
        [row["row_id"] for row in rows],
        {name: [row[f"feature.{name}"] for row in rows] for name in ("sex", "race")},
        [row["score"] for row in rows],
        [row["prediction"] for row in rows],
        {"step": first, "eta": 1 / first, "multiplier.sex: F - M": first / 7},
    )


def extend(writer: LogWriter, sizes: Sequence[int]) -> None:
    """Batches of these sizes."""
    for size in sizes:
        before = writer.last.seq
        assert writer.append_many([people(before + 1, size)]) == [range(before + 1, before + size + 1)]


def write(folder: Path, sizes: Sequence[int], segment_records: int = 10, header: Header = HEADER) -> None:
    """A sealed log with a head."""
    with LogWriter.create(folder, header, sign, ticking(), segment_records) as writer:
        extend(writer, sizes)
        writer.seal()


def check_people(table: Any, first: int = 1) -> None:
    """These are the people from `first` on, each once, in order."""
    names = list(person(1))
    rows = table.select(names).to_pylist()
    assert rows == [person(seq) for seq in range(first, first + table.num_rows)]


# ------------------------------------------------------------------------------- Thrift's compact protocol, both ways
Struct = dict[int, Any]
"""{field id: (type, value)}; a list is (type of its members, [value, ...])."""
FALSE, I16, I32, I64, BINARY, LIST, STRUCT = 2, 4, 5, 6, 8, 9, 12


def thrift_struct(content: bytes, at: int) -> tuple[Struct, int]:
    """The struct that begins there, and where it ends."""
    found: Struct = {}
    last = 0
    while content[at]:
        last += content[at] >> 4
        found[last], at = _value(content[at] & 15, content, at + 1)
    return found, at + 1


def _number(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (content[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if content[at - 1] < 128:
            return value, at


def _value(kind: int, content: bytes, at: int) -> tuple[tuple[int, Any], int]:
    if kind == FALSE:
        return (kind, None), at
    if kind == STRUCT:
        struct, at = thrift_struct(content, at)
        return (kind, struct), at
    if kind == LIST:
        member, size = content[at] & 15, content[at] >> 4
        size, at = _number(content, at + 1) if size == 15 else (size, at + 1)
        values = []
        for _ in range(size):
            (_, value), at = _value(member, content, at)
            values.append(value)
        return (kind, (member, values)), at
    number, at = _number(content, at)
    if kind == BINARY:
        return (kind, content[at : at + number]), at + number
    return (kind, (number >> 1) ^ -(number & 1)), at


def thrift_bytes(struct: Struct) -> bytes:
    """Its one form."""
    parts, last = [], 0
    for number, (kind, value) in sorted(struct.items()):
        step = number - last
        parts.append(bytes([step << 4 | kind]) if step < 16 else bytes([kind]) + _varint(2 * number))
        parts.append(_content(kind, value))
        last = number
    return b"".join(parts) + b"\0"


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)


def _content(kind: int, value: Any) -> bytes:
    if kind == FALSE:
        return b""
    if kind == STRUCT:
        return thrift_bytes(value)
    if kind == BINARY:
        return b"".join([_varint(len(value)), value])
    if kind == LIST:
        member, values = value
        start = bytes([len(values) << 4 | member]) if len(values) < 15 else bytes([240 | member]) + _varint(len(values))
        return start + b"".join(_content(member, item) for item in values)
    return _varint(2 * value if value >= 0 else -2 * value - 1)


def unpacked(content: bytes) -> tuple[bytes, Struct]:
    """A Parquet file before its footer, and the footer."""
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer, end = thrift_struct(content, start)
    assert end == len(content) - 8
    return content[:start], footer


def packed(body: bytes, footer: Struct | bytes) -> bytes:
    written = footer if isinstance(footer, bytes) else thrift_bytes(footer)
    return body + written + len(written).to_bytes(4, "little") + b"PAR1"
