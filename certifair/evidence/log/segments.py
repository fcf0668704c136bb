"""Sealed segments: plain Parquet, with their place in the chain as metadata (certificates/README.md 12.2).

What Parquet readers believe without looking at the values (statistics, page indexes, Bloom filters, a sort order, their
own notes on types) is neither written nor accepted: no digest of the records covers it. `layout` sees to that before
Arrow opens a file: Arrow hides some of it, and a malformed footer may end the process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, final

import pyarrow as pa
import pyarrow.parquet as pq

from certifair.errors import InputError
from certifair.evidence.canonical import canonical, strict_json
from certifair.evidence.files import read_regular, reason
from certifair.evidence.log.chain import MAX_RECORDS, Segment
from certifair.evidence.log.header import Header
from certifair.evidence.log.layout import HEADER_KEY, SEGMENT_KEY, TAIL, Footer, OddFileError, footer_size
from certifair.evidence.tables import BROKEN, first_line

MAX_FILE: Final = 1 << 32
_NAME: Final = re.compile(r"(?!0{8})[0-9]{8}\.parquet")


def path_of_segment(folder: Path, number: int) -> Path:
    """Where segment `number` (from 1) lies. Raises InputError beyond eight digits."""
    if number > 99_999_999:
        raise InputError("has no number left for another segment", where=str(folder))
    return folder / f"{number:08d}.parquet"


def segment_paths(folder: Path) -> tuple[dict[int, Path], list[str]]:
    """The segments by number, and the names of what else readers of the folder would take for part of the log."""
    try:
        entries = list(folder.iterdir())
        names = sorted(path.name for path in entries if path.name.lower().endswith(".parquet") or path.is_dir())
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
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            footer = footer_size(file.read())
            file.seek(max(0, size - TAIL - footer))
            metadata = Footer.of(file.read(footer)).metadata
    except OSError as error:
        raise InputError(f"cannot be read ({reason(error)})", where=str(path)) from None
    except ValueError as error:
        raise InputError(f"cannot be read as Parquet ({error})", where=str(path)) from None
    try:
        return metadata[HEADER_KEY], _place(metadata)
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
            size = footer_size(self.content[-TAIL:])
            start = max(0, len(self.content) - TAIL - size)
            self._footer = Footer.of(self.content[start:-TAIL])
            if self._footer.size != size:
                raise ValueError("its footer is longer than the file")
        except ValueError as error:
            raise self._unreadable(error) from None
        self.metadata = self._footer.metadata
        if self._footer.rows > MAX_RECORDS:
            raise InputError(f"has more than {MAX_RECORDS} rows", where=self.where)

    def place(self) -> Segment:
        """What its metadata state. Raises ValueError."""
        return _place(self.metadata)

    def oddities(self, header: Header) -> Iterator[str]:
        """The first thing that makes it another table than the header says, or one that readers read differently.

        A file that has none is safe for `read`.
        """
        try:
            self._footer.check(self.content, header)
        except OddFileError as oddity:
            yield str(oddity)

    def read(self) -> pa.Table:
        """All columns, in their plain types; texts are UTF-8. Raises InputError if the pages are damaged."""
        if self._footer.strange:  # Arrow might not survive it
            raise InputError(f"has what no segment has ({self._footer.strange[0]})", where=self.where)
        try:
            table = pq.ParquetFile(pa.BufferReader(self.content)).read().replace_schema_metadata(None)
            table.validate(full=True)
        except BROKEN as error:
            raise self._unreadable(error) from None
        return table

    def _unreadable(self, error: BaseException) -> InputError:
        return InputError(f"cannot be read as Parquet ({first_line(error)})", where=self.where)
