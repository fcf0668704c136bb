"""The evidence bundle: a folder `RUN/` of six fixed file names, whose digests a certificate states.

    manifest.json        role, path, digest and row count of every other file; what was left out, and why
    system.json          the served system: the certificate's subject
    policy.toml          the owner's policy, byte for byte
    data.parquet         row_id, feature.NAME (declared values as texts), label
    predictions.parquet  row_id, batch_id, group.NAME (codes of the declared values), score, prediction
    multipliers.parquet  batch_id, row, multiplier: a fairness layer's dual solution (optional)

Names are fixed by role, so no path in a manifest is ever followed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence import files
from certifair.evidence.canonical import canonical, sha256, strict_json
from certifair.evidence.cube import Cube
from certifair.evidence.system import system_of
from certifair.evidence.tables import BROKEN, first_line, first_row, numbers
from certifair.spec import Json, metrics
from certifair.spec.policy import Policy, Values

FORMAT = "certifair-bundle/0"
PATHS = {
    "data": "data.parquet",
    "predictions": "predictions.parquet",
    "multipliers": "multipliers.parquet",
    "policy": "policy.toml",
    "system": "system.json",
    "manifest": "manifest.json",
}
_TABLES = ("data", "predictions", "multipliers")
FEATURE, GROUP = "feature.", "group."
MAX_ROWS = 10**8
"""More rows than this belong into a log, not into a bundle that is read whole."""
_INTEGERS = (pa.int16(), pa.int32(), pa.int64())
_TYPES: dict[str, tuple[pa.DataType, ...]] = {
    "row_id": (pa.int64(), pa.string()),
    "batch_id": (pa.int64(), pa.string()),
    "feature": (pa.string(),),
    "group": _INTEGERS,
    "row": (pa.string(),),
}
_OTHER = (pa.float64(),)
Contents = dict[str, bytes]


@final
@dataclass(frozen=True)
class Evidence:
    """A bundle that was read and found coherent. Arrays are of shape (n,), in the order of the rows.

    `codes[column]` are indices into `values[column]`; `batch` indices into `batch_names`, which stand in order of
    appearance. `scores` and `labels` are None where the table had none.
    """

    policy: Policy
    system: Json
    materials: list[Json]
    exclusions: list[Json]
    values: Values
    batch_names: tuple[str, ...]
    batch: NDArray[np.int64]
    codes: dict[str, NDArray[np.int64]]
    labels: NDArray[np.float64] | None
    scores: NDArray[np.float64] | None
    predictions: NDArray[np.float64]
    multipliers: Mapping[str, Mapping[str, float]] | None

    @property
    def n(self) -> int:
        return len(self.predictions)

    @functools.cached_property
    def cube(self) -> Cube:
        """Counts and sums of every joint cell of the columns."""
        sources = {"served": self.predictions, "scores": self.scores, "labels": self.labels}
        return Cube(self, {name: values for name, values in sources.items() if values is not None})


def read_contents(root: Path) -> Contents:
    """All files of a bundle, each read once: what is hashed is what is parsed. Raises InputError."""
    if not root.is_dir():
        raise InputError("is not a bundle folder", where=str(root), advice="make one with `certifair ingest`")
    found = {role: path for role, path in PATHS.items() if role != "multipliers" or _exists(root / path)}
    return {role: files.read_regular(root / path) for role, path in found.items()}


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def load(contents: Contents, where: str) -> Evidence:
    """Parse and cross-check a bundle's contents. Raises InputError naming the file and what is wrong in it."""
    manifest = _json(contents["manifest"], f"{where}/manifest.json")
    with ThreadPoolExecutor() as pool:  # digests and decoding release the interpreter
        tables = [pool.submit(_table, contents[role], f"{where}/{PATHS[role]}") for role in ("data", "predictions")]
        materials = _materials(contents, manifest, where)
        data, predictions = (table.result() for table in tables)
    policy = Policy.parse(contents["policy"], f"{where}/policy.toml")
    system = _json(contents["system"], f"{where}/system.json")
    # as bytes: in Python True equals 1
    if contents["system"] != canonical(system_of(policy, system.get("model"), system.get("preprocessing"))):
        raise InputError("does not describe the system of policy.toml", where=f"{where}/system.json")
    values = policy.declared(f"{where}/policy.toml")
    _check_ids(data, predictions, where)
    names, batch = _batches(predictions, f"{where}/predictions.parquet")
    with ThreadPoolExecutor() as pool:
        codes = pool.map(lambda name: _codes(data, predictions, name, values[name], where), values)
    return Evidence(
        policy=policy,
        system=system,
        materials=materials,
        exclusions=manifest["exclusions"],
        values=values,
        batch_names=names,
        batch=batch,
        codes=dict(zip(values, codes, strict=True)),
        labels=_labels(data, policy, f"{where}/data.parquet"),
        scores=_optional_numbers(predictions, "score", f"{where}/predictions.parquet"),
        predictions=numbers(_column(predictions, "prediction", where), "prediction", f"{where}/predictions.parquet"),
        multipliers=_multipliers(contents, names, f"{where}/multipliers.parquet"),
    )


def rows_of(content: bytes) -> int:
    """The row count that a Parquet file states in its footer."""
    return int(pq.ParquetFile(pa.BufferReader(content)).metadata.num_rows)


def material(role: str, content: bytes) -> Json:
    """One entry of `materials`: what a certificate says of a file."""
    rows = rows_of(content) if role in _TABLES else None
    return {"role": role, "path": PATHS[role], "sha256": sha256(content), "rowCount": rows}


def manifest_of(contents: Contents, exclusions: list[Json]) -> bytes:
    """The manifest over all other files."""
    entries = [material(role, contents[role]) for role in PATHS if role in contents and role != "manifest"]
    return canonical({"format": FORMAT, "files": entries, "exclusions": exclusions})


def table_bytes(table: pa.Table) -> bytes:
    """Parquet, without the writer's clock or schema metadata: the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    repeated = [n for n in table.column_names if n == "batch_id" or n.startswith((FEATURE, GROUP))]
    numbered = table.column_names.count("row_id") == 1 and pa.types.is_integer(table.schema.field("row_id").type)
    pq.write_table(
        table.replace_schema_metadata(None),
        sink,
        compression="lz4",
        store_schema=False,
        use_dictionary=repeated,
        column_encoding={"row_id": "DELTA_BINARY_PACKED"} if numbered else None,
    )
    return bytes(sink.getvalue().to_pybytes())


def _json(content: bytes, where: str) -> Json:
    try:
        value = strict_json(content)
    except ValueError as error:
        raise InputError(str(error), where=where) from None
    if not isinstance(value, dict):
        raise InputError("is not a JSON object", where=where)
    return value


def _materials(contents: Contents, manifest: Json, where: str) -> list[Json]:
    """The manifest must list exactly the files that are there, with their digests and row counts."""
    try:
        found = [material(role, contents[role]) for role in PATHS if role in contents]
    except BROKEN as error:
        raise InputError(f"holds a table that is not Parquet ({first_line(error)})", where=where) from None
    exclusions = manifest.get("exclusions")
    if manifest.get("format") != FORMAT or not isinstance(exclusions, list):
        raise InputError(f"is not a {FORMAT} manifest", where=f"{where}/manifest.json")
    listed = manifest.get("files")
    for entry in found:
        if entry["role"] != "manifest" and (not isinstance(listed, list) or entry not in listed):
            what = f"does not match its entry in the manifest ({entry['role']})"
            raise InputError(what, where=f"{where}/{entry['path']}", advice="ingest again: bundles are not edited")
    if not isinstance(listed, list) or len(listed) != len(found) - 1:
        raise InputError("lists other files than there are", where=f"{where}/manifest.json")
    return found


def _table(content: bytes, where: str) -> pa.Table:
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


def _column(table: pa.Table, name: str, where: str) -> pa.ChunkedArray:
    if table.column_names.count(name) != 1:
        raise InputError(f"has no column {name!r}", where=where)
    return table[name]


def _check_ids(data: pa.Table, predictions: pa.Table, where: str) -> None:
    """The same people in the same order in both tables, each once."""
    ids = _column(data, "row_id", f"{where}/data.parquet")
    others = _column(predictions, "row_id", f"{where}/predictions.parquet")
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


def _batches(predictions: pa.Table, where: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Batch names in order of appearance, and each row's index into them."""
    column = _column(predictions, "batch_id", where)
    if column.null_count:
        raise InputError("batch_id is missing in a row", where=where)
    if pa.types.is_integer(column.type) and len(set(pc.min_max(column).as_py().values())) == 1:
        return (str(column[0].as_py()),), np.zeros(len(column), dtype=np.int64)
    encoded = column.combine_chunks().dictionary_encode()  # in order of first appearance
    names = tuple(str(name) for name in encoded.dictionary.to_pylist())
    return names, encoded.indices.to_numpy().astype(np.int64)


def _codes(
    data: pa.Table, predictions: pa.Table, name: str, declared: tuple[str, ...], where: str
) -> NDArray[np.int64]:
    """The group codes, derived again from the values in the data; the codes beside the predictions must be the same."""
    column = _column(data, FEATURE + name, f"{where}/data.parquet")
    found = pc.index_in(column, pa.array(declared, pa.string()))
    if (row := first_row(pc.is_null(found))) is not None:
        what = f"{name!r} has the undeclared value {_shown(column[row - 1])} in row {row}"
        raise InputError(what, where=f"{where}/data.parquet")
    codes: NDArray[np.int64] = found.to_numpy().astype(np.int64)
    stated = _column(predictions, GROUP + name, f"{where}/predictions.parquet")
    if stated.null_count or not pa.types.is_integer(stated.type) or not np.array_equal(stated.to_numpy(), codes):
        raise InputError(f"{GROUP}{name} differs from the data", where=f"{where}/predictions.parquet")
    return codes


def _shown(value: pa.Scalar) -> str:
    """A text of a stranger's file, which need not be one."""
    return repr(value.as_buffer().to_pybytes()[:80].decode("utf-8", "backslashreplace") if value.is_valid else None)


def _optional_numbers(table: pa.Table, name: str, where: str) -> NDArray[np.float64] | None:
    return numbers(table[name], name, where) if name in table.column_names else None


def _labels(data: pa.Table, policy: Policy, where: str) -> NDArray[np.float64] | None:
    labels = _optional_numbers(data, "label", where)
    needing = [item for item in policy.properties if metrics.get(item.metric).needs_label]
    if needing and labels is None:
        raise InputError(
            f"has no label, which {needing[0].metric} needs", where=where, advice="name it in [data] label"
        )
    binary = [item for item in needing if metrics.get(item.metric).label_conditions]
    if binary and labels is not None and (row := first_row((labels != 0) & (labels != 1))) is not None:
        what = f"the label is {labels[row - 1]:g} in row {row}; {binary[0].metric} needs 0 or 1"
        raise InputError(what, where=where)
    return labels


def _multipliers(contents: Contents, batches: tuple[str, ...], where: str) -> Mapping[str, Mapping[str, float]] | None:
    if "multipliers" not in contents:
        return None
    table = _table(contents["multipliers"], where)
    values = numbers(_column(table, "multiplier", where), "multiplier", where).tolist()
    found: dict[str, dict[str, float]] = {name: {} for name in batches}
    keys = zip(_column(table, "batch_id", where).to_pylist(), _column(table, "row", where).to_pylist(), strict=True)
    for number, ((batch, row), value) in enumerate(zip(keys, values, strict=True), 1):
        if batch not in found or row in found[batch]:
            raise InputError(f"row {number} names an unknown batch or a constraint twice", where=where)
        found[batch][row] = value
    return found
