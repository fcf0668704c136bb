"""The log's digests and the check of an inclusion proof, slowly and obviously. Shares no code with the package.

Written from certificates/README.md 12 and RFC 6962, 2.1: recursive where the package goes level by level, one record at
a time where it works on columns. Standard library only.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

Columns = Sequence[tuple[str, str]]


def record(columns: Columns, row: Mapping[str, Any]) -> bytes:
    """The bytes of one record (12.2)."""
    parts = []
    for name, kind in columns:
        if kind == "int64":
            parts.append(struct.pack(">q", row[name]))
        elif kind == "float64":
            parts.append(struct.pack(">d", row[name]))
        else:
            text = row[name].encode("utf-8")
            parts.append(struct.pack(">Q", len(text)) + text)
    return b"".join(parts)


def split(n: int) -> int:
    """The largest power of two below n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def tree(records: Sequence[bytes]) -> bytes:
    """MTH(D[n]) of RFC 6962."""
    if len(records) == 1:
        return sha256(b"\x00" + records[0]).digest()
    k = split(len(records))
    return sha256(b"\x01" + tree(records[:k]) + tree(records[k:])).digest()


def path(m: int, records: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962."""
    if len(records) == 1:
        return []
    k = split(len(records))
    if m < k:
        return [*path(m, records[:k]), tree(records[k:])]
    return [*path(m - k, records[k:]), tree(records[:k])]


def climb(digest: bytes, m: int, n: int, steps: Sequence[bytes]) -> bytes:
    """The root that a path leads to."""
    if n == 1:
        assert not steps
        return digest
    k = split(n)
    if m < k:
        return sha256(b"\x01" + climb(digest, m, k, steps[:-1]) + steps[-1]).digest()
    return sha256(b"\x01" + steps[-1] + climb(digest, m - k, n - k, steps[:-1])).digest()


def links(header: bytes, segments: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Link 0 and that of every segment, given the bytes of their records."""
    found, seq = [sha256(b"\x02" + header).digest()], 1
    for records in segments:
        numbers = struct.pack(">QQ", seq, len(records))
        found.append(sha256(b"\x03" + found[0] + found[-1] + tree(records) + numbers).digest())
        seq += len(records)
    return found


def included(proof: Mapping[str, Any], head: str) -> bytes:
    """The bytes of the record that a sound proof shows. Raises AssertionError otherwise."""
    content = base64.b64decode(proof["record"])
    leaf = sha256(b"\x00" + content).digest()
    root = climb(leaf, proof["index"], proof["records"], [bytes.fromhex(step) for step in proof["path"]])
    start = sha256(b"\x02" + proof["header"].encode()).digest()
    link = bytes.fromhex(proof["links"]["previous"])
    assert (link == start) == (proof["number"] == 1)
    seq = proof["first"]
    for other, first, records in [(root.hex(), seq, proof["records"]), *proof["links"]["later"]]:
        assert first == seq
        numbers = struct.pack(">QQ", first, records)
        link = sha256(b"\x03" + start + link + bytes.fromhex(other) + numbers).digest()
        seq += records
    assert link.hex() == head
    columns = json.loads(proof["header"])["columns"]
    assert columns[0] == ["seq", "int64"]
    assert struct.unpack(">q", content[:8]) == (proof["first"] + proof["index"],)
    return content
