"""Sealed segments: plain Parquet, with their place in the chain as metadata (certificates/README.md 12.2).

What Parquet readers believe without looking at the values (statistics, page indexes, Bloom filters, a sort order, their
own notes on types) is neither written nor accepted: no digest of the records covers it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, final

import pyarrow as pa
import pyarrow.parquet as pq

from certifair.errors import InputError
from certifair.evidence.canonical import canonical, strict_json
from certifair.evidence.files import read_regular
from certifair.evidence.log.chain import MAX_RECORDS, Segment
from certifair.evidence.log.header import INT64, TEXT, Header
from certifair.evidence.tables import BROKEN, first_line

MAX_FILE: Final = 1 << 32
HEADER_KEY, SEGMENT_KEY = b"certifair.log", b"certifair.segment"
_NAME: Final = re.compile(r"(?!0{8})[0-9]{8}\.parquet")
_PLAIN: Final = {"int64": ("INT64", "NONE", "NONE"), "float64": ("DOUBLE", "NONE", "NONE")}
_PHYSICAL: Final = {**_PLAIN, TEXT: ("BYTE_ARRAY", "STRING", "UTF8")}


def path_of_segment(folder: Path, number: int) -> Path:
    """Where segment `number` (from 1) lies. Raises InputError beyond eight digits."""
    if number > 99_999_999:
        raise InputError("has no number left for another segment", where=str(folder))
    return folder / f"{number:08d}.parquet"


def segment_paths(folder: Path) -> tuple[dict[int, Path], list[str]]:
    """The segments by number, and the names of other files that a reader of *.parquet would take for segments."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() == ".parquet")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(folder)) from None
    numbered = {int(name[:8]): folder / name for name in names if _NAME.fullmatch(name)}
    return numbered, [name for name in names if not _NAME.fullmatch(name)]


def segment_bytes(table: pa.Table, header: bytes, place: Segment) -> bytes:
    """The Parquet file: the same records give the same bytes (with one version of Arrow)."""
    names = table.column_names
    rising = [name for name in names if table.schema.field(name).type == pa.int64()]
    metadata = {HEADER_KEY: header, SEGMENT_KEY: canonical(place.to_json())}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        store_schema=False,
        write_statistics=False,
        use_dictionary=[name for name in names if name not in ("row_id", "score", "prediction", *rising)],
        column_encoding=dict.fromkeys(rising, "DELTA_BINARY_PACKED"),
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    return bytes(sink.getvalue().to_pybytes())


def stated_place(path: Path) -> tuple[bytes, Segment]:
    """Header and place by the metadata of a segment's file, whose records are not read. Raises InputError."""
    try:
        metadata: dict[bytes, bytes] = pq.read_metadata(path).metadata or {}
        return metadata[HEADER_KEY], _place(metadata)
    except BROKEN as error:
        raise InputError(f"cannot be read as Parquet ({first_line(error)})", where=str(path)) from None
    except KeyError:
        raise InputError("is not a segment of a log (no metadata certifair.log)", where=str(path)) from None
    except ValueError as error:
        raise InputError(str(error), where=str(path)) from None


def _place(metadata: Mapping[bytes, bytes]) -> Segment:
    """Raises ValueError."""
    content = metadata.get(SEGMENT_KEY)
    if content is None:
        raise ValueError("has no metadata certifair.segment")
    place = Segment.of(strict_json(content))
    if canonical(place.to_json()) != content:
        raise ValueError("has metadata certifair.segment that are not in RFC 8785 form")
    return place


@final
class SegmentFile:
    """A segment's file, read once and whole. Raises InputError if it is not Parquet, or too large."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.content = read_regular(path, limit=MAX_FILE)
        try:
            self._file = pq.ParquetFile(pa.BufferReader(self.content))
        except BROKEN as error:
            raise self._unreadable(error) from None
        self.metadata: dict[bytes, bytes] = self._file.metadata.metadata or {}
        if self._file.metadata.num_rows > MAX_RECORDS:
            raise InputError(f"has more than {MAX_RECORDS} rows", where=self.where)

    def place(self) -> Segment:
        """What its metadata state. Raises ValueError."""
        return _place(self.metadata)

    def oddities(self, header: Header) -> Iterator[str]:
        """What makes it another table than the header says, or one that different readers read differently."""
        if set(self.metadata) - {HEADER_KEY, SEGMENT_KEY}:
            yield "carries metadata by which readers may take it for something else"
        schema, names = self._file.schema, list(header.names)
        found = [schema.column(index) for index in range(len(schema))]
        if [column.path for column in found] != names or self._file.schema_arrow.names != names:
            yield "has other columns than the header says"
            return
        for column, (name, kind) in zip(found, header.columns, strict=True):
            logical = column.logical_type.type, column.converted_type
            if (column.physical_type, *logical) != _PHYSICAL[kind]:
                yield f"holds something else than {kind} in {name!r}"
        yield from self._beliefs()

    def _beliefs(self) -> Iterator[str]:
        """What readers would believe about the values instead of looking at them."""
        metadata = self._file.metadata
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        if sum(group.num_rows for group in groups) != metadata.num_rows:
            yield "states another number of rows than its row groups"
        chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
        if any(group.sorting_columns for group in groups) or any(map(_believed, chunks)):
            yield "carries statistics, indexes, filters or a sort order, which readers believe unseen"
        if any(chunk.file_path for chunk in chunks):
            yield "has a column in another file"

    def read(self) -> pa.Table:
        """All columns, in their plain types; texts are UTF-8. Raises InputError if the pages are damaged."""
        try:
            table = self._file.read().replace_schema_metadata(None)
            table.validate(full=True)
        except BROKEN as error:
            raise self._unreadable(error) from None
        return table

    def _unreadable(self, error: BaseException) -> InputError:
        return InputError(f"cannot be read as Parquet ({first_line(error)})", where=self.where)


def _believed(chunk: Any) -> bool:
    # Bloom filters are invisible to releases of Arrow that know none.
    return bool(chunk.is_stats_set or chunk.has_column_index or getattr(chunk, "bloom_filter_offset", None) is not None)


def plain(table: pa.Table, header: Header) -> bool:
    """Whether every column has the Arrow type that the header says."""
    kinds = {INT64: pa.int64(), "float64": pa.float64(), TEXT: pa.string()}
    return [field.type for field in table.schema] == [kinds[kind] for _, kind in header.columns]
