"""The columns of a bundle's tables: written plainly, read strictly, and checked against each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence.tables import BROKEN, first_line, first_row, numbers
from certifair.spec import metrics
from certifair.spec.policy import Policy

FEATURE, GROUP, INPUT = "feature.", "group.", "input."
MAX_ROWS = 10**8
"""More rows than this belong into a log, not into a bundle that is read whole."""
_INTEGERS = (pa.int16(), pa.int32(), pa.int64())
_TYPES: dict[str, tuple[pa.DataType, ...]] = {
    "row_id": (pa.int64(), pa.string()),
    "batch_id": (pa.int64(), pa.string()),
    "feature": (pa.string(),),
    "group": _INTEGERS,
    "input": (pa.float64(), pa.string()),
    "row": (pa.string(),),
}
_OTHER = (pa.float64(),)


def table_bytes(table: pa.Table) -> bytes:
    """Parquet, without the writer's clock or schema metadata: the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    repeated = [n for n in table.column_names if n == "batch_id" or n.startswith((FEATURE, GROUP))]
    numbered = table.column_names.count("row_id") == 1 and pa.types.is_integer(table.schema.field("row_id").type)
    pq.write_table(
        table.replace_schema_metadata(None),
        sink,
        compression="zstd",  # bundles are kept and sent: a tenth to a third smaller than with lz4
        store_schema=False,
        use_dictionary=repeated,
        column_encoding={"row_id": "DELTA_BINARY_PACKED"} if numbered else None,
    )
    return bytes(sink.getvalue().to_pybytes())


def read_columns(content: bytes, where: str) -> pa.Table:
    """The table, every column of the plain type that bundles use.

    Texts are read as texts: read as dictionaries, a page that holds one value twice would be decoded wrongly, and
    a stored Arrow schema could ask for that.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows > MAX_ROWS:
            raise InputError(f"has more than {MAX_ROWS} rows", where=where)
        if b"ARROW:schema" in (file.metadata.metadata or {}):
            raise InputError("carries an Arrow schema, which bundles do not", where=where)
        names = file.schema_arrow.names
        if len(set(names)) != len(names):
            raise InputError("has two columns of one name", where=where)
        table = file.read()
        for name in ("row_id", "batch_id", "row"):  # the only texts that are read as texts
            if name in table.column_names:
                table[name].validate(full=True)
    except BROKEN as error:
        raise InputError(f"cannot be read as Parquet ({first_line(error)})", where=where) from None
    for field in table.schema:
        if field.type not in _TYPES.get(field.name.split(".")[0], _OTHER):
            raise InputError(f"holds {field.type} in {field.name!r}", where=where)
    return table


def column_of(table: pa.Table, name: str, where: str) -> pa.ChunkedArray:
    """The one column of that name. Raises InputError."""
    if table.column_names.count(name) != 1:
        raise InputError(f"has no column {name!r}", where=where)
    return table[name]


def check_ids(data: pa.Table, predictions: pa.Table, where: str) -> None:
    """The same people in the same order in both tables, each once."""
    ids = column_of(data, "row_id", f"{where}/data.parquet")
    others = column_of(predictions, "row_id", f"{where}/predictions.parquet")
    if ids.null_count or others.null_count or ids.type != others.type or not ids.equals(others):
        raise InputError("row_id differs from that of data.parquet", where=f"{where}/predictions.parquet")
    if len(ids) == 0:
        raise InputError("has no row", where=f"{where}/data.parquet")
    if (row := first_duplicate(ids)) is not None:
        raise InputError(f"row_id {ids[row - 1].as_py()!r} stands again in row {row}", where=f"{where}/data.parquet")


def first_duplicate(ids: pa.ChunkedArray) -> int | None:
    """The number (from 1) of the first row whose id was seen before."""
    if pa.types.is_integer(ids.type):
        plain = ids.to_numpy()
        if (plain[1:] > plain[:-1]).all():
            return None
    if pc.count_distinct(ids).as_py() == len(ids):
        return None
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.ones(len(codes), dtype=bool)
    first[np.unique(codes, return_index=True)[1]] = False
    return first_row(first)


def batches_of(predictions: pa.Table, where: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Batch names in order of appearance, and each row's index into them."""
    column = column_of(predictions, "batch_id", where)
    if column.null_count:
        raise InputError("batch_id is missing in a row", where=where)
    if pa.types.is_integer(column.type) and len(set(pc.min_max(column).as_py().values())) == 1:
        return (str(column[0].as_py()),), np.zeros(len(column), dtype=np.int64)
    encoded = column.combine_chunks().dictionary_encode()  # in order of first appearance
    names = tuple(str(name) for name in encoded.dictionary.to_pylist())
    return names, encoded.indices.to_numpy().astype(np.int64)


def codes_of(
    data: pa.Table, predictions: pa.Table, name: str, declared: tuple[str, ...], where: str
) -> NDArray[np.int64]:
    """The group codes, derived again from the values in the data; the codes beside the predictions must be the same."""
    column = column_of(data, FEATURE + name, f"{where}/data.parquet")
    found = pc.index_in(column, pa.array(declared, pa.string()))
    if found.null_count:
        row = first_row(pc.is_null(found)) or 0
        what = f"{name!r} has the undeclared value {_shown(column[row - 1])} in row {row}"
        raise InputError(what, where=f"{where}/data.parquet")
    codes: NDArray[np.int64] = found.to_numpy().astype(np.int64)
    stated = column_of(predictions, GROUP + name, f"{where}/predictions.parquet")
    if stated.null_count or not pa.types.is_integer(stated.type) or not np.array_equal(stated.to_numpy(), codes):
        raise InputError(f"{GROUP}{name} differs from the data", where=f"{where}/predictions.parquet")
    return codes


def check_inputs(data: pa.Table, names: Iterable[str], where: str) -> None:
    """A column that is both a feature and an input of the network says the same in both roles."""
    for name in names:
        if INPUT + name not in data.column_names:
            continue
        feature, given = (column.combine_chunks() for column in (data[FEATURE + name], data[INPUT + name]))
        if given.type == pa.string():
            same = pc.equal(feature, given)
        else:  # the number that the text writes; MISSING writes none, and a network has no input for it
            written = pa.array(
                [_number(text) for text in feature.dictionary_encode().dictionary.to_pylist()], pa.float64()
            )
            same = pc.equal(written.take(feature.dictionary_encode().indices), given)
        if (row := first_row(pc.invert(pc.fill_null(same, False)))) is not None:
            raise InputError(f"{INPUT + name!r} differs from {FEATURE + name!r} in row {row}", where=where)


def check_label_and_id(data: pa.Table, policy: Policy, where: str) -> None:
    """The same for the label and the id, should the network be given them."""
    if policy.data.label is not None and INPUT + policy.data.label in data.column_names:
        given, labels = numbers(data[INPUT + policy.data.label], "input", where), numbers(data["label"], "label", where)
        if (row := first_row(given != labels)) is not None:
            raise InputError(f"{INPUT + policy.data.label!r} differs from the label in row {row}", where=where)
    if policy.data.id is not None and INPUT + policy.data.id in data.column_names:
        raise InputError(f"{INPUT + policy.data.id!r} is the id, which is no input", where=where)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _shown(value: pa.Scalar) -> str:
    """A text of a stranger's file, which need not be one."""
    return repr(value.as_buffer().to_pybytes()[:80].decode("utf-8", "backslashreplace") if value.is_valid else None)


def optional_numbers(table: pa.Table, name: str, where: str) -> NDArray[np.float64] | None:
    """Finite numbers, or None where there is no such column."""
    return numbers(table[name], name, where) if name in table.column_names else None


def labels_of(data: pa.Table, policy: Policy, where: str, *, layer: bool) -> NDArray[np.float64] | None:
    """The labels, fit for the metrics of the policy, and for that of the layer if it is to be checked."""
    labels = optional_numbers(data, "label", where)
    metrics_asked = [item.about for item in policy.properties if item.about is not None]
    if layer and policy.served_metric is not None:
        metrics_asked.append(metrics.get(policy.served_metric))
    needing = [metric for metric in metrics_asked if metric.needs_label]
    if needing and labels is None:
        raise InputError(f"has no label, which {needing[0].name} needs", where=where, advice="name it in [data] label")
    binary = [metric for metric in needing if metric.label_conditions]
    if binary and labels is not None and (row := first_row((labels != 0) & (labels != 1))) is not None:
        what = f"the label is {labels[row - 1]:g} in row {row}; {binary[0].name} needs 0 or 1"
        raise InputError(what, where=where)
    return labels


def multipliers_of(content: bytes, batches: tuple[str, ...], where: str) -> Mapping[str, Mapping[str, float]]:
    """A layer's multipliers, batch by batch, by the names of the metric's rows."""
    table = read_columns(content, where)
    values = numbers(column_of(table, "multiplier", where), "multiplier", where).tolist()
    found: dict[str, dict[str, float]] = {name: {} for name in batches}
    keys = zip(column_of(table, "batch_id", where).to_pylist(), column_of(table, "row", where).to_pylist(), strict=True)
    for number, ((batch, row), value) in enumerate(zip(keys, values, strict=True), 1):
        name = str(batch)
        if name not in found or row in found[name]:
            raise InputError(f"row {number} names an unknown batch or a constraint twice", where=where)
        found[name][row] = value
    return found
