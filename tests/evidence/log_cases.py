"""Logs for tests: everything about a person follows from her seq, so that a lost or doubled one is seen."""

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
