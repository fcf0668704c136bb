"""The files of a log, looked into and bound to a mapping; files that are alike are read as one table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, final

from certifair.errors import InputError
from certifair.evidence.audit.engines.base import DOCUMENT
from certifair.evidence.audit.lines import keys_and_lines
from certifair.evidence.audit.mapping import FEATURE, OWN, Bound, Mapping, bind, bind_json, distinct
from certifair.evidence.audit.sources import SEGMENT, Folder, Source
from certifair.evidence.canonical import BYTE_ORDER_MARKS
from certifair.evidence.tables import BROKEN, first_line

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from certifair.evidence.log.reader import Log

Types = dict[str, tuple[str, ...]]
HEADER_KEY = b"certifair.log"
"""In the metadata of a log's segments (certificates/README.md 12.2)."""


@final
@dataclass(frozen=True)
class Inspected:
    """A file's columns (of JSONL: its objects' keys, in `schema` None) and its rows, of CSV None.

    `types`: of the columns of a Parquet file, exactly. `log`: the log of which this is all segments; `source` is then
    the first, and `header` None. Else `header` is what the metadata of a single segment carry.
    """

    source: Source
    names: tuple[str, ...]
    schema: pa.Schema | None
    rows: int | None
    types: Types = field(default_factory=dict)
    header: bytes | None = None
    log: Log | None = None
    segments: tuple[Source, ...] = ()

    @property
    def segment(self) -> bool:
        """Whether it says that it is one file of a log."""
        return self.header is not None or (self.own and SEGMENT.fullmatch(Path(self.source.path).name) is not None)

    @property
    def own(self) -> bool:
        """Whether it is a segment of a log that certifair wrote."""
        return set(OWN) <= set(self.names)


@final
@dataclass(frozen=True)
class Part:
    """Files that are read as one table: Parquet files of the same columns and types, or one file of another form.

    Or a log: its segments are read one at a time, and counted from the very tables whose digests were checked.
    """

    files: tuple[Source, ...]
    columns: tuple[str, ...]
    keys: tuple[Bound, ...]
    measures: tuple[Bound, ...]
    rows: tuple[int, ...] | None
    log: Log | None = None
    table: pa.Table | None = None

    def alone(self, file: Source) -> Part:
        """The part that is one of its files."""
        return replace(self, files=(file,), rows=None)

    def pieces(self) -> Iterator[Part]:
        """What is read at a time: the part, or of a log one segment after the other, in memory."""
        if self.log is None:
            yield self
            return
        used = list(dict.fromkeys(bound.column for bound in (*self.keys, *self.measures)))
        for file, table in zip(self.files, self.log.tables(), strict=True):
            yield replace(self, files=(file,), rows=(table.num_rows,), log=None, table=table.select(used))


def inspect(source: Source) -> Inspected:
    """Names, types and rows of a file, from its footer or its first lines. Raises InputError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if source.form == "parquet":
            with pq.ParquetFile(source.real) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
                distinct(schema.names, source.path)
                header = (file.metadata.metadata or {}).get(HEADER_KEY)
                return Inspected(source, tuple(schema.names), schema, rows, _types(file), header)
        if source.form == "csv":
            names = _header(source)
            return Inspected(source, names, pa.schema([(name, pa.string()) for name in names]), None)
        names, lines = keys_and_lines(source)
        return Inspected(source, names, None, lines)
    except (*BROKEN, csv.Error, StopIteration) as error:
        raise InputError(f"cannot be read as {source.form} ({first_line(error)})", where=source.path) from None


def _header(source: Source) -> tuple[str, ...]:
    with source.real.open("rb") as file:
        if file.read(3).startswith(BYTE_ORDER_MARKS):
            raise InputError("starts with a byte-order mark", where=source.path, advice="save it as UTF-8 without one")
    with source.real.open(encoding="utf-8", newline="") as text:
        names = tuple(next(csv.reader(text, strict=True)))
    if not names:
        raise InputError("has no header", where=source.path)
    distinct(names, source.path)
    return names


def _types(file: pq.ParquetFile) -> Types:
    """By column: its type in Arrow, and what the file says of each leaf of it."""
    arrow = {item.name: [str(item.type)] for item in file.schema_arrow}
    for at in range(len(file.schema)):
        leaf = file.schema.column(at)
        top = next((name for name in arrow if leaf.path == name or leaf.path.startswith(f"{name}.")), None)
        for name in arrow if top is None else [top]:
            arrow[name].append(f"{leaf.path}: {leaf.physical_type} {leaf.logical_type} {leaf.converted_type}")
    return {name: tuple(said) for name, said in arrow.items()}


def inspect_log(folder: Folder, log: Log) -> Inspected:
    """A log whose chain holds. Raises InputError if it is not what lay in its folder when the audit began."""
    from certifair.evidence.log.batches import schema_of

    if set(digests_of(folder, log)) != {segment.path for segment in folder.segments}:
        raise InputError("changed while it was read", where=str(folder.path), advice="audit a copy that nobody writes")
    schema = schema_of(log.header)
    distinct(schema.names, str(folder.path))
    return Inspected(folder.segments[0], tuple(schema.names), schema, None, log=log, segments=folder.segments)


def digests_of(folder: Folder, log: Log) -> dict[str, str]:
    """SHA-256 of the segments by path, from the reading that checked the chain; `Log.tables` checks them again."""
    return {str(folder.path / path.name): digest.hex() for path, digest in log.digests}


def parts_of(files: Sequence[Inspected], mapping: Mapping) -> tuple[Part, ...]:
    """Every file bound to the mapping. Raises InputError that names the file where a column is missing or unfit."""
    alike: dict[tuple[object, ...], list[Inspected]] = {}
    bound: dict[tuple[object, ...], tuple[tuple[Bound, ...], tuple[Bound, ...]]] = {}
    for file in files:
        keys = tuple(_bind(file, expression, numeric=False) for _, expression in mapping.columns)
        measures = tuple(_bind(file, expression, numeric=True) for _, expression in mapping.measures)
        single = file.source.form != "parquet"
        types = tuple(file.types.get(bound.column) for bound in (*keys, *measures))
        key = (file.source if single or file.log is not None else None, keys, measures, types)
        alike.setdefault(key, []).append(file)
        bound[key] = keys, measures
    return tuple(_part(group, *bound[key]) for key, group in alike.items())


def _part(group: Sequence[Inspected], keys: tuple[Bound, ...], measures: tuple[Bound, ...]) -> Part:
    first = group[0]
    files = tuple(file.source for file in group) if first.log is None else first.segments
    rows = None if first.rows is None else tuple(file.rows or 0 for file in group)
    return Part(files, first.names, keys, measures, rows, first.log)


def _bind(file: Inspected, expression: str, *, numeric: bool) -> Bound:
    if file.own and expression not in file.names and FEATURE + expression in file.names:
        expression = FEATURE + expression
    if file.schema is None:
        return bind_json(expression, file.names, file.source.path, DOCUMENT)
    return bind(expression, file.schema, file.source.path, numeric=numeric)
