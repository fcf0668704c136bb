"""Somebody else's table of predictions becomes an evidence bundle; what is left out is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from certifair.errors import InputError, PolicyError
from certifair.evidence import files
from certifair.evidence.bundle import PATHS, Contents, load, manifest_of
from certifair.evidence.canonical import canonical, sha256
from certifair.evidence.columns import FEATURE, GROUP, first_duplicate, table_bytes
from certifair.evidence.inputs import Inputs
from certifair.evidence.stream import LOG, BundledLog, taken_log
from certifair.evidence.system import system_of
from certifair.evidence.tables import first_row, numbers, read_table, texts
from certifair.spec import Json
from certifair.spec.groups import MISSING
from certifair.spec.policy import Policy, PredictionsSpec, Values
from certifair.spec.toml_reader import nearest

if TYPE_CHECKING:
    from certifair.evidence.log.reader import OpenHead


def ingest(source: Any, policy: str | Path, out: str | Path, multipliers: Any = None) -> int:
    """Write the bundle `out` from a table (path or data frame) and a policy file; returns the number of rows kept.

    Raises InputError (file, row, what to do) before anything is written; the folder appears whole or not at all.
    """
    path, out = Path(policy), Path(out)
    content = files.read_input(path)
    parsed = Policy.parse(content, str(path))
    values = parsed.declared(str(path))
    _check_maps(parsed, str(path))
    table, where = read_table(source, _wanted(parsed, str(path)))
    data, predictions, exclusions = _tables(parsed, values, table, where)
    contents: Contents = {
        "data": table_bytes(data),
        "predictions": table_bytes(predictions),
        "policy": content,
        "system": canonical(_system(parsed, path.parent)),
    }
    if multipliers is not None:
        contents["multipliers"] = _multipliers(multipliers)
    return _write(contents, exclusions, out)


def ingest_log(folder: str | Path, policy: str | Path, out: str | Path, open_head: OpenHead | None = None) -> int:
    """Write the bundle `out` from a log's folder (certificates/README.md 12) and a policy file; as `ingest`.

    The log's columns are what they are, whatever `[data]` and `[predictions]` call those of other tables; everybody in
    the log is kept, and the log itself becomes part of the bundle. `open_head` verifies the signature of its head.
    """
    path, out, folder = Path(policy), Path(out), Path(folder)
    content = files.read_input(path)
    parsed = Policy.parse(content, str(path))
    log = taken_log(folder, open_head)
    values = parsed.declared(str(path))
    if missing := [name for name in values if FEATURE + name not in log.table.column_names]:
        raise InputError(f"has no column {FEATURE + missing[0]!r}", where=str(folder), advice="serve with that feature")
    columns = {"row_id": "row_id", "batch": "batch", "score": "score", "prediction": "prediction"}
    columns |= {FEATURE + name: name for name in values}
    table = log.table.select(list(columns)).rename_columns(list(columns.values()))
    known = replace(parsed.data, id="row_id", label=None, split=None, fractions=())
    mapped = replace(parsed, data=known, predictions=PredictionsSpec("score", "prediction", "batch"))
    _check_maps(mapped, str(path))
    data, predictions, exclusions = _tables(mapped, values, table, str(folder))
    contents: Contents = {
        "data": table_bytes(data),
        "predictions": table_bytes(predictions),
        "policy": content,
        "system": canonical(_system(parsed, path.parent)),
    }
    return _write(contents, exclusions, out, log)


@final
@dataclass(frozen=True, eq=False)
class Served:
    """What a network gave the people of a part of a table, (n,) each, and how: for `bundle_served`.

    `kept` (rows of the table,) says which rows these are, `exclusions` what became of the others. `multipliers` has the
    columns batch_id, row, multiplier, or is None where no layer served. `log` is the folder of the log that the people
    were served through, sealed, if they were; `gradients` the record of an audit of the training, if there was one.
    """

    kept: NDArray[np.bool_]
    exclusions: list[Json]
    scores: NDArray[np.float64]
    predictions: NDArray[np.float64]
    batches: NDArray[np.int64]
    multipliers: pa.Table | None
    model: bytes
    inputs: Inputs
    log: Path | None = None
    gradients: bytes | None = None


def bundle_served(source: Any, policy: str | Path, out: str | Path, served: Served) -> int:
    """Write the bundle `out` of a network that certifair served itself, ready for replay; returns the number of rows.

    `source` is the whole table, with the columns that policy and inputs name. Raises InputError as `ingest` does.
    """
    path, out = Path(policy), Path(out)
    content = files.read_input(path)
    parsed = Policy.parse(content, str(path))
    wanted = [*_named(parsed), *(item.column for item in served.inputs.items)]
    table, where = read_table(source, list(dict.fromkeys(wanted)))
    data, predictions = _people(parsed, parsed.declared(str(path)), table, where)
    bundled = served.inputs.bundled(table)
    data |= {name: bundled[name] for name in bundled.column_names}
    chosen = pa.array(served.kept)
    rows = pa.table(predictions).filter(chosen).set_column(1, "batch_id", [pa.array(served.batches)])
    rows = rows.append_column("score", [served.scores]).append_column("prediction", [served.predictions])
    contents: Contents = {
        "data": table_bytes(pa.table(data).filter(chosen)),
        "predictions": table_bytes(rows),
        "policy": content,
        "model": served.model,
        "preprocessing": served.inputs.to_bytes(),
        "system": system_bytes(parsed, served.model, served.inputs),
    }
    if served.multipliers is not None:
        contents["multipliers"] = table_bytes(served.multipliers)
    if served.gradients is not None:
        contents["gradients"] = served.gradients
    log = None if served.log is None else taken_log(served.log)
    return _write(contents, served.exclusions, out, log)


def system_bytes(policy: Policy, model: bytes, inputs: Inputs) -> bytes:
    """system.json of a system whose network stands in the bundle."""
    described = {"name": PATHS["model"], "sha256": sha256(model)}
    return canonical(system_of(policy, described, sha256(inputs.to_bytes())))


def _write(contents: Contents, exclusions: list[Json], out: Path, log: BundledLog | None = None) -> int:
    """The folder, whole or not at all."""
    contents["manifest"] = manifest_of(contents, exclusions, log)
    evidence = load(contents, str(out), log)  # what certify would refuse is refused now
    written = {PATHS[role]: item for role, item in contents.items()}
    if log is not None:
        written |= {f"{LOG}/{name}": item for name, item in log.contents.items()}
    files.write_directory(out, written)
    return evidence.n


def _system(policy: Policy, folder: Path) -> Json:
    """The system's description, its files digested."""
    preprocessing = _file_digest(folder, policy.system.preprocessing)
    model = _file_digest(folder, policy.system.model)
    return system_of(policy, model, None if preprocessing is None else preprocessing["sha256"])


def _file_digest(folder: Path, name: str | None) -> Json | None:
    if name is None:
        return None
    path = folder / name
    return {"name": Path(name).name, "sha256": sha256(files.read_input(path))}


def _wanted(policy: Policy, where: str) -> list[str]:
    """The columns to read: nothing else of the table enters the bundle."""
    if not policy.predictions.score and not policy.predictions.prediction:
        advice = "write [predictions] score = … or prediction = …, the columns of the table"
        raise PolicyError("names neither a score nor a prediction", where=where, advice=advice)
    predictions = policy.predictions
    named = [*_named(policy), predictions.batch, predictions.score, predictions.prediction]
    return list(dict.fromkeys(name for name in named if name is not None))


def _named(policy: Policy) -> list[str]:
    """The columns that a policy speaks of, but for those of predictions."""
    named = [policy.data.id, policy.data.label, policy.data.split, *policy.columns()]
    return [name for name in named if name is not None]


def _check_maps(policy: Policy, where: str) -> None:
    for item in policy.properties:
        if item.map != "served" and policy.predictions.score is None:
            advice = "name the score's column in [predictions] score"
            raise PolicyError(f"property {item.id!r} speaks of {item.map}", where=where, advice=advice)
        if item.about is not None and item.about.needs_label and policy.data.label is None:
            advice = "name its column in [data] label"
            raise PolicyError(f"property {item.id!r} needs the label", where=where, advice=advice)


def _tables(policy: Policy, values: Values, table: pa.Table, where: str) -> tuple[pa.Table, pa.Table, list[Json]]:
    """(data, predictions, exclusions). All rows are checked, the excluded ones too."""
    kept, exclusions = _kept(policy, table, where)
    data, served = _people(policy, values, table, where)
    score, prediction = policy.predictions.score, policy.predictions.prediction or policy.predictions.score
    if score is not None:
        served["score"] = numbers(table[score], score, where)
    assert prediction is not None
    served["prediction"] = numbers(table[prediction], prediction, where)
    data_table, served_table = pa.table(data).filter(kept), pa.table(served).filter(kept)
    batches = _batches(policy, table.filter(kept), where)
    return data_table, served_table.set_column(1, "batch_id", [batches]), exclusions


def _people(policy: Policy, values: Values, table: pa.Table, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns of data and predictions that do not depend on what was served; batches are to be filled in."""
    ids = row_ids(policy, table, where)
    data: dict[str, Any] = {"row_id": ids}
    served: dict[str, Any] = {"row_id": ids, "batch_id": pa.nulls(table.num_rows)}
    for name, declared in values.items():
        column, codes = _grouped(texts(table[name], name, where), name, declared, policy, where)
        data[FEATURE + name], served[GROUP + name] = column, codes
    if policy.data.label is not None:
        data["label"] = numbers(table[policy.data.label], policy.data.label, where)
    return data, served


def _kept(policy: Policy, table: pa.Table, where: str) -> tuple[pa.Array, list[Json]]:
    """Which rows are certified (a mask), and how many of each other split are not."""
    if policy.data.fractions:
        advice = "name the column that holds each row's part"
        raise PolicyError("draws a split, which belongs to `certifair train`", where=where, advice=advice)
    if policy.data.split is None:
        return pa.array(np.ones(table.num_rows, dtype=bool)), []
    split = texts(table[policy.data.split], policy.data.split, where).cast(pa.string())
    if (row := first_row(split.is_null())) is not None:
        raise InputError(f"{policy.data.split!r} is missing in row {row}", where=where)
    kept = pc.is_in(split, pa.array(policy.data.certify, pa.string()))
    counts = {item["values"]: item["counts"] for item in split.value_counts().to_pylist()}
    if not pc.any(kept).as_py():
        what = f"no row has {policy.data.split!r} in {list(policy.data.certify)}"
        raise InputError(what, where=where, advice=nearest(policy.data.certify[0], map(str, counts)))
    exclusions = [
        {"reason": f"{policy.data.split} = {name}", "count": counts[name]}
        for name in sorted(counts)
        if name not in policy.data.certify
    ]
    return kept, exclusions


def row_ids(policy: Policy, table: pa.Table, where: str) -> pa.Array:
    """The row ids as they are (whole numbers or texts), or the row numbers from 1."""
    if policy.data.id is None:
        return pa.array(np.arange(1, table.num_rows + 1))
    ids = table[policy.data.id]
    if pa.types.is_dictionary(ids.type):
        ids = pc.cast(ids, ids.type.value_type)
    texts_of_arrow = (pa.string(), pa.large_string(), pa.string_view())
    if not (pa.types.is_integer(ids.type) or ids.type in texts_of_arrow):
        raise InputError(f"{policy.data.id!r} holds {ids.type}, not ids", where=where, advice="use integers or texts")
    try:
        ids = pc.cast(ids, pa.int64() if pa.types.is_integer(ids.type) else pa.string())
    except pa.ArrowInvalid:
        raise InputError(f"{policy.data.id!r} holds ids beyond 64 bits", where=where, advice="use texts") from None
    if (row := first_row(pc.is_null(ids))) is not None:
        raise InputError(f"{policy.data.id!r} is missing in row {row}", where=where)
    if (row := first_duplicate(ids)) is not None:
        what = f"{policy.data.id!r} {ids[row - 1].as_py()!r} stands again in row {row}"
        raise InputError(what, where=where, advice="every row needs an id of its own")
    return ids.combine_chunks()


def _grouped(
    column: pa.DictionaryArray, name: str, declared: Sequence[str], policy: Policy, where: str
) -> tuple[pa.Array, pa.Array]:
    """The column with missing values named, and the code of each row's declared value."""
    if (row := first_row(column.is_null())) is not None and policy.data.missing == "error":
        advice = 'fill it in, or count such people as a group with [data] missing = "group"'
        raise InputError(f"{name!r} is missing in row {row}", where=where, advice=advice)
    plain = pc.fill_null(column.cast(pa.string()), MISSING)
    codes = pc.index_in(plain, pa.array(declared, pa.string()))
    if (row := first_row(codes.is_null())) is not None:
        what = f"{name!r} has the value {plain[row - 1].as_py()!r} in row {row}, which the policy does not declare"
        advice = f"declare it under [data.values] {name} = […] or mend the row"
        raise InputError(what, where=where, advice=advice)
    return plain, pc.cast(codes, pa.int32())


def _batches(policy: Policy, table: pa.Table, where: str) -> pa.Array:
    """The batch each row was served in: as logged, or consecutive rows of the policy's batch size."""
    name = policy.predictions.batch
    if name is not None:
        batches = texts(table[name], name, where).cast(pa.string())
        if (row := first_row(batches.is_null())) is not None:
            raise InputError(f"{name!r} is missing in row {row}", where=where)
        return batches
    size = policy.serve.batch or table.num_rows
    return pa.array(np.arange(table.num_rows) // size)


def _multipliers(source: Any) -> bytes:
    table, where = read_table(source, ["batch_id", "row", "multiplier"])
    batch, row = (texts(table[name], name, where).cast(pa.string()) for name in ("batch_id", "row"))
    multiplier = numbers(table["multiplier"], "multiplier", where)
    return table_bytes(pa.table({"batch_id": batch, "row": row, "multiplier": multiplier}))
