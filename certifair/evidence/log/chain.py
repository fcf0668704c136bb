"""What makes a log tamper-evident: the Merkle tree of each segment, and the links between them. Standard library.

Source: certificates/README.md 12.2; RFC 6962, section 2.1. One byte in front of everything that is hashed tells what it
is, so that nothing passes for something else: 00 a record, 01 two digests, 02 a header, 03 a link.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Final, final

from certifair.errors import InputError
from certifair.spec import Json

MAX_RECORDS: Final = 10_000_000
"""Records of a segment, hence people of a batch: a segment is read whole."""
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_MOST: Final = 2**53 - 1
_CACHED: Final = 4096
"""A power of two: digests that are hashed while they are in the cache."""


@final
@dataclass(frozen=True)
class LogHead:
    """One state of a log, as head.json signs it: after `segments` segments of `records` records in all.

    `log` is the id of its header, `head` the last link in hexadecimal.
    """

    log: str
    segments: int
    records: int
    head: str

    @staticmethod
    def stated(predicate: Any, head: Any) -> LogHead:
        """What a signed statement says: its predicate, and the digest of its subject. Raises ValueError."""
        sound = (
            isinstance(predicate, dict)
            and set(predicate) == {"log", "segments", "records", "signedAt"}
            and isinstance(predicate["log"], str)
            and is_count(predicate["segments"])
            and is_count(predicate["records"])
            and is_digest(head)
        )
        if not sound:
            raise ValueError("is not the head of a log")
        return LogHead(predicate["log"], predicate["segments"], predicate["records"], head)


@final
@dataclass(frozen=True)
class Segment:
    """A segment's place in the chain: number, seq of its first record, number of records, and digests (hexadecimal)."""

    number: int
    first: int
    records: int
    previous: str
    root: str
    link: str

    @staticmethod
    def after(header: bytes, last: Segment | None, root: bytes, records: int) -> Segment:
        """The next one; `last` None: the first of the log with this header."""
        start = header_link(header)
        previous = bytes.fromhex(last.link) if last else start
        first = last.first + last.records if last else 1
        link = next_link(start, previous, root, first, records)
        return Segment(last.number + 1 if last else 1, first, records, previous.hex(), root.hex(), link.hex())

    def to_json(self) -> Json:
        return asdict(self)

    @staticmethod
    def of(value: Any) -> Segment:
        """The place that this JSON value states. Raises ValueError."""
        if not isinstance(value, dict) or set(value) != set(Segment.__dataclass_fields__):
            raise ValueError("does not say number, first, records, previous, root and link")
        place = Segment(**value)
        if not all(is_count(number) for number in (place.number, place.first, place.records)):
            raise ValueError("has a number, first or records that is no positive integer")
        if not all(is_digest(digest) for digest in (place.previous, place.root, place.link)):
            raise ValueError("has a previous, root or link that is no SHA-256 in hexadecimal")
        return place


def is_count(value: Any) -> bool:
    """Whether it is a positive integer that JSON can carry."""
    return type(value) is int and 0 < value <= _MOST


def is_digest(value: Any) -> bool:
    """Whether it is a SHA-256 in lower-case hexadecimal."""
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


# ------------------------------------------------------------------------------------------------------------ links
def header_link(header: bytes) -> bytes:
    """Link 0."""
    return sha256(b"\x02" + header).digest()


def next_link(start: bytes, previous: bytes, root: bytes, first: int, records: int) -> bytes:
    """The link of a segment; `start` is link 0, so that every link says by which header its records are to be read.

    Raises InputError where a number does not fit into 8 bytes.
    """
    try:
        numbers = first.to_bytes(8, "big") + records.to_bytes(8, "big")
    except OverflowError:
        raise InputError("has a number beyond 64 bits", where="log") from None
    return sha256(b"\x03" + start + previous + root + numbers).digest()


# ------------------------------------------------------------------------------------------------------------ trees
def leaf(record: bytes) -> bytes:
    """The digest of one record."""
    return sha256(b"\x00" + record).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of at least one leaf digest.

    Level by level: pairs from the left, and an odd last one moves up unchanged. That is the tree of RFC 6962: a left
    part of 2ᵏ leaves, the largest power of two below n, is complete, so its pairs never mix with the right part's.
    """
    if len(leaves) > _CACHED:  # the same tree, one complete part after the other
        leaves = [root_of(leaves[start : start + _CACHED]) for start in range(0, len(leaves), _CACHED)]
    while len(leaves) > 1:
        leaves = _level_above(leaves)
    return leaves[0]


def path_of(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The digests that lead from leaf `index` (from 0) to the root, lowest first (RFC 6962, 2.1.1)."""
    path = []
    while len(leaves) > 1:
        beside = index ^ 1
        if beside < len(leaves):
            path.append(leaves[beside])
        leaves, index = _level_above(leaves), index // 2
    return path


def root_from(digest: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root of a tree of `size` leaves whose leaf `index` is `digest`. Raises ValueError if the path cannot fit."""
    if not 0 <= index < size:
        raise ValueError("an index outside the segment")
    rest = iter(path)
    try:
        while size > 1:
            if index % 2:
                digest = _node(next(rest), digest)
            elif index + 1 < size:
                digest = _node(digest, next(rest))
            index, size = index // 2, (size + 1) // 2
    except StopIteration:
        raise ValueError("a path that is too short") from None
    if next(rest, None) is not None:
        raise ValueError("a path that is too long")
    return digest


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _level_above(digests: Sequence[bytes]) -> list[bytes]:
    # The loop that every record pays for once: hence no call to _node.
    above = [sha256(b"\x01" + left + right).digest() for left, right in zip(digests[::2], digests[1::2], strict=False)]
    return above if len(digests) % 2 == 0 else [*above, digests[-1]]
