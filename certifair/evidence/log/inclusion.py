"""The proof that one record stands in a log, and its check, for which the standard library is enough (12.3).

A proof shows one record and hides the others, but not well: it holds the digests of neighbouring records, and a record
of few bits (a score on a coarse grid, a group, a row_id that can be counted through) can be guessed and the guess
confirmed by its digest. Give row_ids that cannot be guessed to people whose neighbours may ask for proofs.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from pathlib import Path
from typing import Any, Final

from certifair.errors import InputError, UntrustedError
from certifair.evidence.log.chain import (
    Segment,
    header_link,
    is_count,
    is_digest,
    leaf,
    next_link,
    path_of,
    root_from,
    root_of,
)
from certifair.evidence.log.header import INT64, TEXT, Header
from certifair.spec import Json

FORMAT: Final = "certifair-inclusion/0"
_MEMBERS: Final = {"format", "header", "record", "number", "index", "records", "path", "first", "links"}
_WHERE: Final = "inclusion proof"
_STEP: Final = "log"
Value = int | float | str


# ------------------------------------------------------------------------------------------------------------ proving
def prove(folder: Path, seq: int) -> Json:
    """The proof that record `seq` stands in the log under its present head.

    Reads one segment and the metadata of all. Raises InputError if there is no such record, or if the log is broken on
    the way from it to the head.
    """
    from certifair.evidence.log.records import leaf_digests, record_bytes
    from certifair.evidence.log.segments import SegmentFile, segment_paths, stated_place

    paths, _ = segment_paths(folder)
    stated = [stated_place(path) for _, path in sorted(paths.items())]
    if not stated:
        raise InputError("holds no sealed segment of a log", where=str(folder))
    header, places = stated[0][0], [place for _, place in stated]
    if any(other != header for other, _ in stated) or places != _chain(header, places):
        raise InputError("has segments that are no chain", where=str(folder), advice="read_log names the fault")
    place = next((place for place in places if place.first <= seq < place.first + place.records), None)
    if place is None:
        raise InputError(f"has no record {seq}", where=str(folder), advice="only sealed segments count")
    table = SegmentFile(paths[place.number]).read()
    leaves = leaf_digests(table)
    if (len(leaves), root_of(leaves).hex()) != (place.records, place.root):
        raise InputError("has another root than its metadata say", where=str(paths[place.number]))
    index = seq - place.first
    return {
        "format": FORMAT,
        "header": header.decode(),
        "record": base64.b64encode(record_bytes(table, index)).decode(),
        "number": place.number,
        "index": index,
        "records": place.records,
        "path": [digest.hex() for digest in path_of(leaves, index)],
        "first": place.first,
        "links": {
            "previous": place.previous,
            "later": [[other.root, other.first, other.records] for other in places[place.number :]],
        },
    }


def _chain(header: bytes, places: list[Segment]) -> list[Segment]:
    """What the places must be, given their roots and sizes."""
    chain: list[Segment] = []
    for place in places:
        last = chain[-1] if chain else None
        chain.append(Segment.after(header, last, bytes.fromhex(place.root), place.records))
    return chain


# ----------------------------------------------------------------------------------------------------------- checking
def check(proof: Any, head: str) -> dict[str, Value]:
    """The record, {column: value}, that this proof (JSON) shows to stand in the log with this head (hexadecimal).

    Raises InputError for what is no proof, UntrustedError for one that does not lead to the head.
    """
    if not isinstance(proof, dict) or set(proof) != _MEMBERS or proof["format"] != FORMAT:
        raise InputError(f"is not of the format {FORMAT}", where=_WHERE)
    if not is_digest(head):
        raise InputError("needs a head that is a SHA-256 in lower-case hexadecimal", where=_WHERE)
    try:
        return _check(proof, head)
    except (ValueError, RecursionError) as error:  # RecursionError: a header nested without end
        raise InputError(f"has {error}", where=_WHERE) from None


def _check(proof: Json, head: str) -> dict[str, Value]:
    """Raises ValueError for what is no proof, UntrustedError for one that proves nothing."""
    if not isinstance(proof["header"], str):
        raise ValueError("a header that is no text")
    content = proof["header"].encode()
    record = _decoded(proof["record"])
    number, index, records, first = (proof[name] for name in ("number", "index", "records", "first"))
    if not (is_count(number) and is_count(records) and is_count(first) and type(index) is int):
        raise ValueError("a number, index, records or first that is no integer, or not positive")
    path = proof["path"]
    if not isinstance(path, list) or not all(map(is_digest, path)):
        raise ValueError("a path of something else than digests")
    # (1) from the record to the root of its segment
    root = root_from(leaf(record), index, records, [bytes.fromhex(digest) for digest in path])
    # (2) from there, with the header, which gives the record its meaning, to the head
    previous, later = _links(proof["links"])
    start = header_link(content)
    if number == 1 and previous != start:
        raise ValueError("a first segment that does not follow from the header")
    link, expected = previous, first
    for other, begin, size in [(root, first, records), *later]:
        if begin != expected:
            raise ValueError("a segment that does not begin where the one before it ends")
        link, expected = next_link(start, link, other, begin, size), begin + size
    if link.hex() != head:
        raise UntrustedError(_STEP, "the proof does not lead to this head", where=_WHERE)
    # (3) what the record says
    header = Header.of(json.loads(content, object_pairs_hook=_unique))
    values = decode(record, header)
    if values["seq"] != first + index:
        raise UntrustedError(_STEP, "the record has another seq than its place", where=_WHERE)
    return values


def _decoded(text: Any) -> bytes:
    """Base64 in its one form. Raises ValueError."""
    try:
        content = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except binascii.Error:
        content = b""
    if not content or base64.b64encode(content).decode() != text:
        raise ValueError("a record that is not in base64")
    return content


def _links(value: Any) -> tuple[bytes, list[tuple[bytes, int, int]]]:
    if not isinstance(value, dict) or set(value) != {"previous", "later"} or not is_digest(value["previous"]):
        raise ValueError("links that are not previous and later")
    later = value["later"]
    if not isinstance(later, list) or not all(map(_is_entry, later)):
        raise ValueError("later links that are not lists of root, first and records")
    return bytes.fromhex(value["previous"]), [(bytes.fromhex(root), first, size) for root, first, size in later]


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 3
        and is_digest(entry[0])
        and is_count(entry[1])
        and is_count(entry[2])
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a header with a duplicate key")
    return found


def decode(record: bytes, header: Header) -> dict[str, Value]:
    """The values of a record (12.2), {column: value}. Raises ValueError if these are not its bytes."""
    values: dict[str, Value] = {}
    rest = memoryview(record)
    for name, kind in header.columns:
        if len(rest) < 8:
            raise ValueError("a record that is too short")
        start, rest = rest[:8], rest[8:]
        if kind == TEXT:
            size = int.from_bytes(start, "big")
            if size > len(rest):
                raise ValueError("a record that is too short")
            values[name], rest = str(rest[:size], "utf-8"), rest[size:]
        elif kind == INT64:
            values[name] = int.from_bytes(start, "big", signed=True)
        else:
            (number,) = struct.unpack(">d", start)
            if not math.isfinite(number):
                raise ValueError(f"a record whose {name!r} is not finite")
            values[name] = number
    if rest:
        raise ValueError("a record that is too long")
    return values
