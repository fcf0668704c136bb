"""The files of a log, looked into and bound to a mapping; files that are alike are read as one table."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from certifair.errors import InputError
from certifair.evidence.audit.engines.base import DOCUMENT
from certifair.evidence.audit.mapping import FEATURE, OWN, Bound, Mapping, bind, bind_json
from certifair.evidence.audit.sources import Source
from certifair.evidence.canonical import BYTE_ORDER_MARKS
from certifair.evidence.tables import BROKEN, first_line

if TYPE_CHECKING:
    import pyarrow as pa

LOOK = 1000
"""Lines of a JSONL file that are looked through for names: a key may be absent in some of them."""
LONGEST = 1 << 24


@final
@dataclass(frozen=True)
class Inspected:
    """A file's columns (of JSONL: its objects' keys, in `schema` None) and, where its footer says so, its rows."""

    source: Source
    names: tuple[str, ...]
    schema: pa.Schema | None
    rows: int | None

    @property
    def own(self) -> bool:
        """Whether it is a segment of a log that certifair wrote."""
        return set(OWN) <= set(self.names)


@final
@dataclass(frozen=True)
class Part:
    """Files that are read as one table: all Parquet files of the same columns, or one file of another form."""

    files: tuple[Source, ...]
    columns: tuple[str, ...]
    keys: tuple[Bound, ...]
    measures: tuple[Bound, ...]
    rows: tuple[int, ...] | None

    def alone(self, file: Source) -> Part:
        """The part that is one of its files."""
        return Part((file,), self.columns, self.keys, self.measures, None)


def inspect(source: Source) -> Inspected:
    """Names, types and rows of a file, from its footer or its first lines. Raises InputError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if source.form == "parquet":
            with pq.ParquetFile(source.real) as file:
                schema = file.schema_arrow
                return Inspected(source, tuple(schema.names), schema, file.metadata.num_rows)
        if source.form == "csv":
            names = _header(source)
            return Inspected(source, names, pa.schema([(name, pa.string()) for name in names]), None)
        return Inspected(source, _json_keys(source), None, None)
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
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"has two columns {name!r}", where=source.path, advice="rename one")
    return names


def _json_keys(source: Source) -> tuple[str, ...]:
    names: dict[str, None] = {}
    with source.real.open("rb") as file:
        for number in range(1, LOOK + 1):
            line = file.readline(LONGEST)
            if not line:
                break
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                found = None
            if not isinstance(found, dict):
                raise InputError(f"has no JSON object in line {number}", where=source.path)
            names.update(dict.fromkeys(found))
    return tuple(names)


def parts_of(files: Sequence[Inspected], mapping: Mapping) -> tuple[Part, ...]:
    """Every file bound to the mapping. Raises InputError that names the file where a column is missing or unfit."""
    alike: dict[tuple[object, ...], list[Inspected]] = {}
    bound: dict[tuple[object, ...], tuple[tuple[Bound, ...], tuple[Bound, ...]]] = {}
    for file in files:
        keys = tuple(_bind(file, expression, numeric=False) for _, expression in mapping.columns)
        measures = tuple(_bind(file, expression, numeric=True) for _, expression in mapping.measures)
        single = file.source.form != "parquet"
        key = (file.source if single else None, keys, measures)
        alike.setdefault(key, []).append(file)
        bound[key] = keys, measures
    return tuple(
        Part(
            tuple(file.source for file in group),
            group[0].names,
            *bound[key],
            None if group[0].rows is None else tuple(file.rows or 0 for file in group),
        )
        for key, group in alike.items()
    )


def _bind(file: Inspected, expression: str, *, numeric: bool) -> Bound:
    if file.own and expression not in file.names and FEATURE + expression in file.names:
        expression = FEATURE + expression
    if file.schema is None:
        return bind_json(expression, file.names, file.source.path, DOCUMENT)
    return bind(expression, file.schema, file.source.path, numeric=numeric)
