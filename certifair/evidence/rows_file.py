"""The rows of a table as a network of a domain reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence.inputs import MOST_NUMBERS
from certifair.evidence.tables import first_row, numbers, read_table, texts
from certifair.spec.domain import Domain, Feature
from certifair.spec.toml_reader import nearest

ROW_ID = "row_id"


@final
@dataclass(frozen=True, eq=False)
class RowsFile:
    """values (n, inputs): every row of the table, in its order. labels: n names of rows, `row_id` or counted from 1.

    ignored: the table's columns that are neither.
    """

    values: NDArray[np.float64]
    labels: Sequence[int | str]
    ignored: tuple[str, ...]


def rows_of(source: Any, domain: Domain, where: str | None = None) -> RowsFile:
    """From a CSV, Parquet or JSONL file, or a data frame, with a column for each feature, by its name.

    A one-hot feature may be one column that holds one of its values, or a column of numbers NAME=value for each of
    them. Numbers are float64, the nearest one to a decimal such as 0.1. No row is left out, and numbers outside the
    domain stay as they are: what is said of such a row is up to the checker. where: what errors call the table;
    None: its path or type. Errors: InputError naming the table, the column and the row, for what is missing, no finite
    number, or none of the values.
    """
    table, named = read_table(source, None)
    where = where or named
    if table.num_rows * domain.inputs > MOST_NUMBERS:
        what = f"{table.num_rows} rows of {domain.inputs} inputs are more than {MOST_NUMBERS} numbers"
        raise InputError(what, where=where, advice="use fewer rows")
    used = {ROW_ID}
    values = np.zeros((table.num_rows, domain.inputs))
    for feature, columns in zip(domain.features, domain.columns, strict=True):
        if feature.kind == "one_hot" and feature.name in table.column_names:
            codes = _codes(table[feature.name], feature, where)
            values[np.arange(len(codes)), columns[0] + codes] = 1
            used.add(feature.name)
            continue
        for column, name in zip(columns, _names(feature), strict=True):
            values[:, column] = numbers(_column(table, name, feature, where), name, where)
            used.add(name)
    ignored = tuple(name for name in table.column_names if name not in used)
    return RowsFile(values, _labels(table, where), ignored)


def _names(feature: Feature) -> list[str]:
    return [f"{feature.name}={value}" for value in feature.values] if feature.kind == "one_hot" else [feature.name]


def _column(table: pa.Table, name: str, feature: Feature, where: str) -> pa.ChunkedArray:
    if name in table.column_names:
        return table[name]
    advice = nearest(name, table.column_names)
    if feature.kind == "one_hot":
        advice = f"give it with one of the values {', '.join(feature.values)}, or a column {name!r} and so on"
    raise InputError(f"has no column {feature.name!r}, a feature of the domain", where=where, advice=advice)


def _codes(column: pa.ChunkedArray, feature: Feature, where: str) -> NDArray[np.int64]:
    """Which of the feature's values each row has."""
    found = texts(column, feature.name, where).cast(pa.string())
    if (row := first_row(pc.is_null(found))) is not None:
        advice = "fill it in or leave the row out"
        raise InputError(f"{feature.name!r} is missing in row {row}", where=where, advice=advice)
    codes = pc.fill_null(pc.index_in(found, pa.array(feature.values, pa.string())), -1).to_numpy(zero_copy_only=False)
    if (row := first_row(codes < 0)) is not None:
        value = found[row - 1].as_py()
        what = f"{feature.name!r} is {value!r} in row {row}, which is none of its values"
        raise InputError(what, where=where, advice=nearest(value, feature.values))
    known: NDArray[np.int64] = codes.astype(np.int64)
    return known


def _labels(table: pa.Table, where: str) -> Sequence[int | str]:
    if ROW_ID not in table.column_names:
        return range(1, table.num_rows + 1)
    found = texts(table[ROW_ID], ROW_ID, where).cast(pa.string())
    if (row := first_row(pc.is_null(found))) is not None:
        raise InputError(f"{ROW_ID!r} is missing in row {row}", where=where)
    labels: list[str] = found.to_pylist()
    return labels
