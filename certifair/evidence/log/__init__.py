"""The tamper-evident log of everybody who was served (certificates/README.md 12): hashes in a chain, people in Parquet.

    header     what a log says of itself: its system, its algorithm, its columns
    chain      Merkle trees and links
    batches    one batch, checked and packed
    records    the bytes that are hashed
    store      the segment that is being written, in SQLite
    segments   sealed segments, in Parquet
    layout     how a segment's file may be laid out: nothing that readers would believe unseen
    thrift     the encoding of Parquet's own metadata, read strictly
    writer     LogWriter: batch after batch, durable when acknowledged
    reader     read_log: everything checked, every fault named
    inclusion  the proof that one person stands in a log, and its check

Each is imported when it is first used: whoever checks the proof of one record needs neither Arrow nor SQLite.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from certifair.evidence.log.batches import Batch
    from certifair.evidence.log.chain import LogHead, Segment
    from certifair.evidence.log.header import Header, columns_of
    from certifair.evidence.log.inclusion import check, prove
    from certifair.evidence.log.reader import Fault, Log, read_log, whole_log
    from certifair.evidence.log.writer import LogWriter, Position

__all__ = [
    "Batch",
    "Fault",
    "Header",
    "Log",
    "LogHead",
    "LogWriter",
    "Position",
    "Segment",
    "check",
    "columns_of",
    "prove",
    "read_log",
    "whole_log",
]

_HOMES = {
    "batches": ("Batch",),
    "chain": ("LogHead", "Segment"),
    "header": ("Header", "columns_of"),
    "inclusion": ("check", "prove"),
    "reader": ("Fault", "Log", "read_log", "whole_log"),
    "writer": ("LogWriter", "Position"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
