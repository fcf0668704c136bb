"""How a segment is laid out, byte by byte: what Arrow writes for this writer, and nothing else. Standard library.

Readers of Parquet believe much of what a file says about itself without looking at the values, and each believes
something else: statistics, indexes, filters, orders, which encodings its pages have, where its row groups lie. No
digest of the records covers it. So a file may say nothing but what is needed to read it, and that must be true.
Source: parquet.thrift of apache/parquet-format; what Arrow 18 to 26 write: field 7 of a row group up to 18 (later only
in encrypted files), field 16 of a chunk's metadata from 19 on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, final

from certifair.evidence.log.header import FLOAT64, INT64, TEXT, Header
from certifair.evidence.log.thrift import BINARY, FALSE, INT16, INT32, Members, Reader, Shape
from certifair.evidence.log.thrift import INT64 as LONG

HEADER_KEY, SEGMENT_KEY = b"certifair.log", b"certifair.segment"
MAGIC: Final = b"PAR1"
TAIL: Final = 8
"""Bytes at the end of the file: the footer's size (uint32, little-endian), then MAGIC."""
_WRITER: Final = b"parquet-cpp-arrow version "
_TYPES: Final = {INT64: 2, FLOAT64: 5, TEXT: 6}
_TEXT: Final = {"converted": 0, "logical": {"text": {}}}
_PLAIN, _RLE, _DELTA, _DICTIONARY = 0, 3, 5, 8
_NO_CODEC: Final = 0
_CODECS: Final = (_NO_CODEC, 1, 6)
"""None, Snappy, Zstandard: those that every reader knows, and reads alike."""
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_UNSEEN: Final = "says of itself what readers believe unseen, or lacks what a segment says"

_EMPTY: Final = Shape("type")
_COLUMN: Final = Shape(
    "columns",
    {
        1: ("type", INT32),
        3: ("repetition", INT32),
        4: ("name", BINARY),
        5: ("children", INT32),
        6: ("converted", INT32),
        10: ("logical", Shape("logical types", {1: ("text", _EMPTY)})),
    },
    ("type", "children", "converted", "logical"),
)
_SIZES: Final = Shape(
    "sizes", {1: ("bytes", LONG), 2: ("repetitions", Members(LONG)), 3: ("levels", Members(LONG))}, ("bytes",)
)
_PAGES: Final = Shape("encodings", {1: ("page", INT32), 2: ("encoding", INT32), 3: ("count", INT32)})
_META: Final = Shape(
    "chunks' metadata",
    {
        1: ("type", INT32),
        2: ("encodings", Members(INT32)),
        3: ("path", Members(BINARY)),
        4: ("codec", INT32),
        5: ("values", LONG),
        6: ("uncompressed", LONG),
        7: ("compressed", LONG),
        9: ("data", LONG),
        11: ("dictionary", LONG),
        13: ("pages", Members(_PAGES)),
        16: ("sizes", _SIZES),
    },
    ("dictionary", "sizes"),
)
_CHUNK: Final = Shape("chunks", {2: ("offset", LONG), 3: ("meta", _META)})
_GROUP: Final = Shape(
    "row groups",
    {
        1: ("chunks", Members(_CHUNK)),
        2: ("uncompressed", LONG),
        3: ("rows", LONG),
        5: ("offset", LONG),
        6: ("compressed", LONG),
        7: ("ordinal", INT16),
    },
    ("ordinal",),
)
_FILE: Final = Shape(
    "footer",
    {
        1: ("version", INT32),
        2: ("columns", Members(_COLUMN)),
        3: ("rows", LONG),
        4: ("groups", Members(_GROUP)),
        5: ("metadata", Members(Shape("key-value metadata", {1: ("key", BINARY), 2: ("value", BINARY)}))),
        6: ("writer", BINARY),
        7: ("orders", Members(Shape("column orders", {1: ("type", _EMPTY)}))),
    },
)
_DATA: Final = Shape(
    "data pages",
    {
        1: ("values", INT32),
        2: ("encoding", INT32),
        3: ("levels", INT32),
        4: ("repetitions", INT32),
        5: ("statistics", Shape("data pages' statistics")),
    },
    ("statistics",),
)
_PAGE: Final = Shape(
    "pages",
    {
        1: ("type", INT32),
        2: ("uncompressed", INT32),
        3: ("compressed", INT32),
        5: ("data", _DATA),
        7: ("dictionary", Shape("dictionaries", {1: ("values", INT32), 2: ("encoding", INT32), 3: ("sorted", FALSE)})),
    },
    ("data", "dictionary"),
)


@final
class OddFileError(ValueError):
    """What makes a file another table than the header says, or one that different readers read differently."""


def footer_size(tail: bytes) -> int:
    """The size of the footer, by the last TAIL bytes of a file. Raises ValueError."""
    if len(tail) != TAIL or not tail.endswith(MAGIC):
        raise ValueError("it does not end as Parquet does")
    return int.from_bytes(tail[:4], "little")


@final
@dataclass(frozen=True)
class Footer:
    """What a file says about itself. `size` in bytes; `strange`: what no segment says; else `file` has its shape."""

    file: dict[str, Any]
    size: int
    strange: tuple[str, ...]

    @staticmethod
    def of(content: bytes) -> Footer:
        """The footer that these bytes are. Raises ValueError if it is none."""
        reader = Reader(content, 0, len(content))
        found = reader.struct(_FILE)
        if reader.at != len(content):
            raise ValueError("it does not end where its description ends")
        return Footer(found, len(content), tuple(reader.strange))

    @property
    def metadata(self) -> dict[bytes, bytes]:
        """The key-value metadata; of two with one key, the first, as Arrow has it."""
        entries = [entry for entry in self.file.get("metadata", []) if len(entry) == 2]
        return {entry["key"]: entry["value"] for entry in reversed(entries)}

    @property
    def rows(self) -> int:
        rows: int = self.file.get("rows", 0)
        return rows

    def check(self, content: bytes, header: Header) -> None:
        """That the file, whose content this is, is laid out as one of a log with this header. Raises OddFileError."""
        if self.strange:
            raise OddFileError(f"{_UNSEEN} ({self.strange[0]})")
        keys = [entry["key"] for entry in self.file["metadata"]]
        if len(set(keys)) != len(keys) or not set(keys) <= {HEADER_KEY, SEGMENT_KEY}:
            raise OddFileError("carries metadata by which readers may take it for something else")
        if self.file["version"] != 2 or not self.file["writer"].startswith(_WRITER):
            raise OddFileError("was not written by Arrow, as segments are")
        self._check_columns(header)
        self._check_groups(content, header)

    def _check_columns(self, header: Header) -> None:
        root, *columns = self.file["columns"] or [{}]
        size = len(header.names)
        expected = {"repetition": 0, "name": b"schema", "children": size}
        names = [column["name"] for column in columns if "children" not in column]
        if root != expected or len(columns) != size or names != [name.encode() for name in header.names]:
            raise OddFileError("has other columns than the header says")
        if len(self.file["orders"]) != size:
            raise OddFileError(f"{_UNSEEN} (the orders of its columns)")
        for column, (name, kind) in zip(columns, header.columns, strict=True):
            text = _TEXT if kind == TEXT else {}
            said = {key: value for key, value in column.items() if key not in ("name", "repetition")}
            if said != {"type": _TYPES[kind], **text}:
                raise OddFileError(f"holds something else than {kind} in {name!r}")
            if column["repetition"] != 0:
                raise OddFileError(f"may lack a value in {name!r}")

    def _check_groups(self, content: bytes, header: Header) -> None:
        """Row groups follow one another from byte 4 to the footer; in each, the chunks, in the header's order."""
        groups = self.file["groups"]
        if sum(group["rows"] for group in groups) != self.rows or any(group["rows"] < 0 for group in groups):
            raise OddFileError("states another number of rows than its row groups")
        if self.rows == 0:
            raise OddFileError("has no record")
        at, end = len(MAGIC), len(content) - TAIL - self.size
        for number, group in enumerate(groups):
            start = at
            if group.get("ordinal", number) != number or len(group["chunks"]) != len(header.columns):
                raise OddFileError("has row groups that are not in order, or lack a column")
            for chunk, (name, kind) in zip(group["chunks"], header.columns, strict=True):
                for what in _chunk_faults(content, at, end, chunk, (name, kind), group["rows"]):
                    raise OddFileError(f"{what} (row group {number + 1}, {name!r})")
                at += chunk["meta"]["compressed"]
            uncompressed = sum(chunk["meta"]["uncompressed"] for chunk in group["chunks"])
            if (group["offset"], group["compressed"], group["uncompressed"]) != (start, at - start, uncompressed):
                raise OddFileError(f"states another place or size of row group {number + 1} than it has")
        if content[: len(MAGIC)] != MAGIC or at != end:
            raise OddFileError("has bytes that belong to no column")


def _chunk_faults(
    content: bytes, at: int, end: int, chunk: dict[str, Any], column: tuple[str, str], rows: int
) -> Iterator[str]:
    """What is wrong with the chunk of this column (name, type): it must begin at `at`, and end by `end`."""
    (name, kind), meta = column, chunk["meta"]
    if chunk["offset"] != 0 or meta["path"] != [name.encode()] or meta["type"] != _TYPES[kind]:
        yield "has a chunk that says to be of another column, or elsewhere"
    if meta["codec"] not in _CODECS:
        yield "is compressed in a way that not every reader knows"
    if meta["values"] != rows:
        yield "has another number of values than rows"
    if meta.get("sizes", {}).get("repetitions") or meta.get("sizes", {}).get("levels"):
        yield "counts levels that it has not"
    if not 0 < meta["compressed"] <= end - at or meta.get("dictionary", meta["data"]) != at:
        yield "has chunks that leave gaps, overlap, or begin with something else than their first page"
        return
    yield from _page_faults(content, at, meta, kind)


def _page_faults(content: bytes, at: int, meta: dict[str, Any], kind: str) -> Iterator[str]:
    """The pages must fill the chunk, a dictionary first, if any, and be what the chunk's metadata say."""
    end, first_data = at + meta["compressed"], None
    found: Counter[tuple[int, int]] = Counter()
    values = uncompressed = 0
    while at < end:
        reader = Reader(content, at, end)
        dictionary = at == meta.get("dictionary")
        try:
            page = reader.struct(_PAGE)
        except ValueError as error:
            yield f"has a page that cannot be read: {error}"
            return
        what = _page_fault(page, reader.strange, dictionary, meta, kind)
        if what:
            yield what
            return
        if dictionary:
            found[_DICTIONARY_PAGE, page["dictionary"]["encoding"]] += 1
        else:
            first_data = at if first_data is None else first_data
            found[_DATA_PAGE, page["data"]["encoding"]] += 1
            values += page["data"]["values"]
        uncompressed += reader.at - at + page["uncompressed"]
        at = reader.at + page["compressed"]
    if at != end or first_data != meta["data"] or (values, uncompressed) != (meta["values"], meta["uncompressed"]):
        yield "has pages that do not fill its chunk, or not with its values"
    stated = {(entry["page"], entry["encoding"]): entry["count"] for entry in meta["pages"]}
    encodings = {_RLE, *(encoding for _, encoding in found)}
    if stated != dict(found) or len(meta["pages"]) != len(found) or set(meta["encodings"]) != encodings:
        yield "states other encodings than its pages have"


def _page_fault(page: dict[str, Any], strange: list[str], dictionary: bool, meta: dict[str, Any], kind: str) -> str:
    """What is wrong with one page, a dictionary or not, by its own header; empty: nothing."""
    own, other = ("dictionary", "data") if dictionary else ("data", "dictionary")
    if strange or own not in page or other in page or page["type"] != (_DICTIONARY_PAGE if dictionary else _DATA_PAGE):
        return f"has a page of another kind than belongs there ({strange[0] if strange else 'its type'})"
    inner = page[own]
    allowed = {_PLAIN}
    if not dictionary:
        allowed |= {_DICTIONARY} if "dictionary" in meta else set()
        allowed |= {_DELTA} if kind == INT64 else set()
        if (inner["levels"], inner["repetitions"]) != (_RLE, _RLE):
            return "has a page with levels in another encoding"
    if inner["encoding"] not in allowed:
        return "has a page in another encoding"
    if min(page["compressed"], page["uncompressed"], inner["values"]) < 0:
        return "has a page of negative size"
    if meta["codec"] == _NO_CODEC and page["compressed"] != page["uncompressed"]:
        return "has a page of another size than it states"
    return ""
