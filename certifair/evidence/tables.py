"""Tables of any make (CSV, Parquet, JSONL, pandas, polars, Arrow, …) as Arrow columns, with errors that name the row.

Rows are counted from 1, the header not included. Texts are kept as they are written: `01` is not `1`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence.canonical import BYTE_ORDER_MARKS
from certifair.evidence.files import read_input
from certifair.spec.toml_reader import nearest

BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What Arrow raises for content that is not what it should be."""


def first_line(error: BaseException) -> str:
    """An error in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def read_table(source: Any, columns: Sequence[str] | None) -> tuple[pa.Table, str]:
    """The named columns (None: all) of a file (by its suffix) or of a data frame, and a name for it in errors."""
    if isinstance(source, (str, Path)):
        return _read_file(Path(source), columns), str(source)
    where = type(source).__name__
    try:
        frame = nw.from_native(source)
    except TypeError:
        raise InputError(
            "is neither a path nor a data frame", where=where, advice="give a file, pandas, polars or Arrow"
        ) from None
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect(backend="pyarrow")
    columns = _chosen(frame.columns, columns, where)
    return _not_empty(frame.select(columns).to_arrow(), where), where


def table_content(table: pa.Table, suffix: str) -> bytes:
    """The bytes of a file of this kind: .csv, .parquet or .jsonl. Errors: InputError for another one."""
    sink = pa.BufferOutputStream()
    if suffix == ".csv":
        pa.csv.write_csv(table, sink)
    elif suffix == ".parquet":
        pq.write_table(table, sink)
    elif suffix == ".jsonl":
        sink.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()).encode())
    else:
        raise InputError(
            f"a table cannot be written as {suffix or 'a file without a suffix'}", advice="use .csv, .parquet or .jsonl"
        )
    return bytes(sink.getvalue())


def _read_file(path: Path, columns: Sequence[str] | None) -> pa.Table:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"has the unknown suffix {path.suffix!r}", where=str(path), advice=f"use {', '.join(_READERS)}"
        )
    content = read_input(path)
    if not content.strip():
        raise InputError("is empty", where=str(path), advice="it needs a header and at least one row")
    if content.startswith(BYTE_ORDER_MARKS):
        raise InputError("starts with a byte-order mark", where=str(path), advice="save it as UTF-8 without one")
    try:
        return _not_empty(reader(content, columns, str(path)), str(path))
    except (*BROKEN, csv.Error) as error:
        raise InputError(f"cannot be read as a table: {first_line(error)}", where=str(path)) from None


def _read_csv(content: bytes, wanted: Sequence[str] | None, where: str) -> pa.Table:
    header = next(csv.reader(io.StringIO(content[: content.find(b"\n") + 1 or None].decode("utf-8"))))
    columns = _chosen(header, wanted, where)
    options = pa.csv.ConvertOptions(
        include_columns=columns,
        column_types={name: pa.string() for name in columns},
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
        null_values=[""],
    )
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    return pa.csv.read_csv(io.BytesIO(content), convert_options=options, parse_options=parse)


def _read_parquet(content: bytes, wanted: Sequence[str] | None, where: str) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(content))
    return file.read(columns=_chosen(file.schema_arrow.names, wanted, where))


def _read_jsonl(content: bytes, wanted: Sequence[str] | None, where: str) -> pa.Table:
    options = pa.json.ReadOptions(block_size=1 << 24)
    table = pa.json.read_json(io.BytesIO(content), read_options=options)
    columns = _chosen(table.column_names, wanted, where)
    dates = [field.name for field in table.schema if field.name in columns and pa.types.is_temporal(field.type)]
    if dates:  # a text that looks like a date is still a text
        schema = pa.schema([(name, pa.string()) for name in dates])
        parse = pa.json.ParseOptions(explicit_schema=schema)
        table = pa.json.read_json(io.BytesIO(content), read_options=options, parse_options=parse)
    return table.select(columns)


_READERS: dict[str, Callable[[bytes, Sequence[str] | None, str], pa.Table]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
}


def _chosen(found: Sequence[str], wanted: Sequence[str] | None, where: str) -> list[str]:
    """The wanted columns, each there once; all of them where none is named."""
    for name in found if wanted is None else wanted:
        if name not in found:
            raise InputError(f"has no column {name!r}", where=where, advice=nearest(name, found))
        if list(found).count(name) > 1:
            raise InputError(f"has two columns {name!r}", where=where, advice="rename one")
    return list(found if wanted is None else wanted)


def _not_empty(table: pa.Table, where: str) -> pa.Table:
    if table.num_rows == 0:
        raise InputError("has no row", where=where, advice="it needs at least one")
    return table


def first_row(mask: Any) -> int | None:
    """The number (from 1) of the first true entry; None if there is none."""
    flags = np.asarray(mask)
    return int(np.argmax(flags)) + 1 if flags.any() else None


def numbers(column: pa.ChunkedArray, name: str, where: str) -> NDArray[np.float64]:
    """Finite float64 values; texts are read as the nearest float64. Raises InputError naming the row."""
    if pa.types.is_boolean(column.type) or pa.types.is_decimal(column.type):
        column = pc.cast(column, pa.int8() if pa.types.is_boolean(column.type) else pa.string())
    if (row := first_row(pc.is_null(column))) is not None:
        raise InputError(f"{name!r} is missing in row {row}", where=where, advice="fill it in or leave the row out")
    try:
        values: NDArray[np.float64] = pc.cast(column, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        row, value = _first_unreadable(column)
        raise InputError(f"{name!r} is {value!r} in row {row}, not a number that float64 holds", where=where) from None
    except pa.ArrowNotImplementedError:
        raise InputError(f"{name!r} holds {column.type}, not numbers", where=where) from None
    if (row := first_row(~np.isfinite(values))) is not None:
        raise InputError(f"{name!r} is {values[row - 1]} in row {row}, not a finite number", where=where)
    return values


def _first_unreadable(column: pa.ChunkedArray) -> tuple[int, object]:
    for row, value in enumerate(column, 1):
        try:
            pc.cast(value, pa.float64())
        except pa.ArrowInvalid:
            return row, value.as_py()
    raise AssertionError("the whole column was refused, but none of its values")


def texts(column: pa.ChunkedArray, name: str, where: str) -> pa.DictionaryArray:
    """Category texts, null where missing, as one dictionary array in order of first appearance."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = pc.cast(column, kind.value_type), kind.value_type
    if pa.types.is_floating(kind):
        column = _whole_numbers(column, name, where)
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise InputError(f"{name!r} holds {kind}, not categories", where=where)
    try:
        plain = pc.cast(column, pa.string()).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InputError(f"{name!r} holds {kind}, not categories", where=where) from None
    plain = pc.if_else(pc.equal(plain, ""), None, plain)
    encoded = plain.dictionary_encode()
    return encoded if isinstance(encoded, pa.DictionaryArray) else encoded.combine_chunks()


def _whole_numbers(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    """Codes that became floats because some are missing (pandas does that) are codes again."""
    column = pc.if_else(pc.is_nan(column), None, column)
    try:
        return pc.cast(column, pa.int64())
    except pa.ArrowInvalid:
        raise InputError(f"{name!r} holds fractions, not categories", where=where) from None
