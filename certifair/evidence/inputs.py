"""How a person's columns become the inputs of the network: `preprocessing.json` (certificates/README.md 11).

Only what a stranger can repeat to the last bit: a number stands as it is, a category becomes zeros and ones. Scaling
and whatever else was fitted belongs into the network itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence.canonical import canonical, strict_json
from certifair.evidence.columns import INPUT, column_of
from certifair.evidence.tables import first_row, numbers, read_table, texts

FORMAT = "certifair-inputs/0"
MOST_NUMBERS: Final = 2_000_000_000
"""In one array of inputs: a text of a few bytes in each row must not become a table of 300 GB."""
_BLOCK: Final = 1 << 22
Array = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Input:
    """One column. A `number` is one input; a `category` one for each of `values`, in their order."""

    column: str
    kind: Literal["number", "category"]
    values: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return len(self.values) if self.kind == "category" else 1


@final
@dataclass(frozen=True)
class Inputs:
    """All columns, in the order of the network's inputs. Makers of networks and their checkers use this one class."""

    items: tuple[Input, ...]

    @staticmethod
    def parse(content: bytes, where: str) -> Inputs:
        """From the bytes of a preprocessing.json. Raises InputError for all that `to_bytes` would not have written."""
        try:
            value = strict_json(content)
            if not isinstance(value, dict) or value.keys() != {"format", "inputs"} or value["format"] != FORMAT:
                raise ValueError(f"is not an object of the format {FORMAT}, with `inputs` and nothing else")
            if not isinstance(value["inputs"], list):
                raise ValueError("has inputs that are no list")
            found = Inputs(tuple(_item(entry, number) for number, entry in enumerate(value["inputs"], 1)))
            if found.to_bytes() != content:
                raise ValueError("is not in its RFC 8785 form")
        except ValueError as error:
            raise InputError(str(error), where=where) from None
        return found

    def to_bytes(self) -> bytes:
        """The file. Raises ValueError for inputs that no network could be given, or that are given twice."""
        columns = [item.column for item in self.items]
        if not columns:
            raise ValueError("has no input")
        if len(set(columns)) < len(columns):
            raise ValueError(f"has the column {next(c for c in columns if columns.count(c) > 1)!r} twice")
        for number, item in enumerate(self.items, 1):
            _check(item, number)
        entries = [{"column": item.column, "kind": item.kind, "values": list(item.values)} for item in self.items]
        return canonical({"format": FORMAT, "inputs": entries})

    @property
    def width(self) -> int:
        """How many inputs the network has."""
        return sum(item.width for item in self.items)

    def bundled(self, source: Any) -> pa.Table:
        """The columns as `data.parquet` holds them, `input.NAME`, from a file or data frame with columns NAME."""
        table, where = read_table(source, [item.column for item in self.items])
        return pa.table({INPUT + item.column: _plain(item, table[item.column], where) for item in self.items})

    def encode(self, source: Any) -> Array:
        """The network's inputs, (people, inputs), from a file or data frame with columns NAME."""
        return self.encode_bundled(self.bundled(source), "the table")

    def encode_bundled(self, table: pa.Table, where: str) -> Array:
        """The same from a table with columns `input.NAME`, float64 or text. Raises InputError naming column and row."""
        people, width = table.num_rows, self.width
        if people * width > MOST_NUMBERS:
            what = f"{people} rows of {width} inputs are {people * width} numbers; at most {MOST_NUMBERS} are encoded"
            raise InputError(what, where=where, advice="use fewer rows, or categories with fewer values")
        return self._encoded(self._columns(table, where), slice(0, people))

    def blocks(self, table: pa.Table, where: str) -> Iterator[tuple[slice, Array]]:
        """The same for a few rows at a time, and which. Whatever is wrong in any row is raised first."""
        columns = self._columns(table, where)
        step = max(16, _BLOCK // self.width)
        for start in range(0, table.num_rows, step):
            rows = slice(start, min(start + step, table.num_rows))
            yield rows, self._encoded(columns, rows)

    def _columns(self, table: pa.Table, where: str) -> list[NDArray[Any]]:
        return [_plain_numbers(item, column_of(table, INPUT + item.column, where), where) for item in self.items]

    def _encoded(self, columns: list[NDArray[Any]], rows: slice) -> Array:
        found = np.zeros((rows.stop - rows.start, self.width))
        start = 0
        for item, column in zip(self.items, columns, strict=True):
            if item.kind == "number":
                found[:, start] = column[rows]
            else:
                (known,) = np.nonzero(column[rows] >= 0)
                found[known, start + column[rows][known]] = 1.0
            start += item.width
        return found


def _item(entry: Any, number: int) -> Input:
    if not isinstance(entry, dict) or entry.keys() != {"column", "kind", "values"}:
        raise ValueError(f"has an input (number {number}) of other members than column, kind and values")
    values = entry["values"]
    if not isinstance(values, list):
        raise ValueError(f"has an input (number {number}) whose values are no list")
    if not all(isinstance(text, str) for text in (entry["column"], entry["kind"], *values)):
        raise ValueError(f"has an input (number {number}) with something else than texts")
    item = Input(entry["column"], entry["kind"], tuple(values))
    _check(item, number)
    return item


def _check(item: Input, number: int) -> None:
    if not all((item.column, *item.values)):
        raise ValueError(f"has an input (number {number}) with an empty column or value")
    if item.kind not in ("number", "category"):
        raise ValueError(f"has the input {item.column!r} of the unknown kind {item.kind!r}: number or category")
    if (item.kind == "category") != bool(item.values):
        raise ValueError(f"has the input {item.column!r}, a {item.kind} with {len(item.values)} values")
    if len(set(item.values)) < len(item.values):
        raise ValueError(f"has the input {item.column!r} with a value twice")


def _plain(item: Input, column: pa.ChunkedArray, where: str) -> pa.Array:
    """A column of any make as bundles have it."""
    if item.kind == "number":
        return pa.array(numbers(column, item.column, where))
    return texts(column, item.column, where).cast(pa.string())


def _plain_numbers(item: Input, column: pa.ChunkedArray, where: str) -> NDArray[Any]:
    """One for each person: the number, or which of the values a category has, −1 for none of them."""
    name = INPUT + item.column
    wanted = pa.string() if item.kind == "category" else pa.float64()
    if column.type != wanted:
        raise InputError(f"{name!r} holds {column.type}, but is a {item.kind} in preprocessing.json", where=where)
    if item.kind == "number":
        return numbers(column, name, where)
    if (row := first_row(pc.or_kleene(pc.is_null(column), pc.equal(pc.binary_length(column), 0)))) is not None:
        raise InputError(f"{name!r} is missing in row {row}", where=where, advice="fill it in or leave the row out")
    codes = pc.fill_null(pc.index_in(column, pa.array(item.values, pa.string())), -1).to_numpy()
    found: NDArray[np.int64] = codes.astype(np.int64)
    return found
