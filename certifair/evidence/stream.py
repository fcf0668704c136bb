"""A bundle's log: what it says beside its people, and that its people are the bundle's."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from certifair.errors import InputError, UntrustedError
from certifair.evidence.canonical import canonical
from certifair.evidence.columns import FEATURE, column_of
from certifair.evidence.files import read_regular
from certifair.evidence.tables import first_row
from certifair.exact.decimals import format_decimal
from certifair.spec import Json, metrics
from certifair.spec.groups import partitions_of
from certifair.spec.policy import Policy, Values

if TYPE_CHECKING:
    from certifair.evidence.log.reader import OpenHead

LOG = "log"
_MULTIPLIER = "multiplier."


@final
@dataclass(frozen=True, eq=False)
class Duals:
    """The columns of the paper's algorithm, (n,) each, in the order of the records; `multipliers` by a row's name."""

    step: NDArray[np.int64]
    eta: NDArray[np.float64]
    multipliers: Mapping[str, NDArray[np.float64]]


@final
@dataclass(frozen=True, eq=False)
class Stream:
    """A log that was read from beginning to end, and is whole (certificates/README.md 12).

    `head` is computed from the records that are there. `system`: the digest of the system that the header names, if it
    does. `duals`: None but for algorithm `paper`.
    """

    id: str
    system: str | None
    algorithm: Json | None
    segments: int
    records: int
    head: str
    duals: Duals | None


@final
class BundledLog(NamedTuple):
    """The log, its records in order, and where it was taken into a bundle its files, by name."""

    stream: Stream
    table: pa.Table
    contents: Mapping[str, bytes] = {}


def read_bundled_log(folder: Path, open_head: OpenHead | None = None) -> BundledLog:
    """Read a log's folder. Raises InputError where it cannot be read, UntrustedError [log] where it is not whole."""
    from certifair.evidence.log.reader import whole_log
    from certifair.evidence.log.records import values_of

    log = whole_log(folder, open_head)
    table = log.table()
    duals = None
    if "step" in table.column_names:
        rows = [name for name in table.column_names if name.startswith(_MULTIPLIER)]
        multipliers = {name.removeprefix(_MULTIPLIER): values_of(table[name]) for name in rows}
        duals = Duals(values_of(table["step"]), values_of(table["eta"]), multipliers)
    stream = Stream(
        id=log.header.id,
        system=log.header.system,
        algorithm=log.header.algorithm,
        segments=log.segments,
        records=log.records,
        head=log.head,
        duals=duals,
    )
    return BundledLog(stream, table)


def taken_log(folder: Path, open_head: OpenHead | None = None) -> BundledLog:
    """A log that is to become part of a bundle: every file is read once, and what is checked are these bytes."""
    names = sorted(path.name for path in _entries(folder) if path.suffix == ".parquet" or path.name == "head.json")
    contents = {name: read_regular(folder / name) for name in names}
    if not contents:
        return read_bundled_log(folder, open_head)  # which says what is missing
    with tempfile.TemporaryDirectory() as private:
        copy = Path(private) / LOG  # not the folder's own name: that of `.` is empty
        copy.mkdir()
        for name, content in contents.items():
            (copy / name).write_bytes(content)
        try:
            return read_bundled_log(copy, open_head)._replace(contents=contents)
        except (InputError, UntrustedError) as error:
            error.where = error.where.replace(str(copy), str(folder))
            raise


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError("is not a log's folder", where=str(folder))
    return list(folder.iterdir())


def check_log(
    log: BundledLog, policy: Policy, values: Values, data: pa.Table, predictions: pa.Table, system: str, where: str
) -> None:
    """The log is of this system's algorithm, and holds the bundle's people, one by one. Raises InputError."""
    _check_algorithm(log.stream, policy, values, where)
    if log.stream.system not in (None, system):
        advice = "name in [system] the model and preprocessing that served: the header holds that system's digest"
        raise InputError("is the log of another system", where=where, advice=advice)
    wanted = [FEATURE + name for name in values]
    if missing := [name for name in wanted if name not in log.table.column_names]:
        what = f"has no column {missing[0]!r}: its head would not commit to who is in which group"
        raise InputError(what, where=where, advice="serve with every feature and condition that the policy names")
    pairs = [("row_id", column_of(data, "row_id", where)), ("batch", column_of(predictions, "batch_id", where))]
    pairs += [(name, column_of(predictions, name, where)) for name in ("score", "prediction")]
    pairs += [(name, column_of(data, name, where)) for name in wanted]
    if log.table.num_rows != data.num_rows:
        raise InputError(f"has {log.table.num_rows} records for {data.num_rows} people", where=where)
    for name, column in pairs:
        if (row := _first_difference(log.table[name], column)) is not None:
            raise InputError(f"{name!r} of record {row} differs from the bundle's row", where=where)


def _first_difference(a: pa.ChunkedArray, b: pa.ChunkedArray) -> int | None:
    """The number (from 1) of the first row where two columns differ; numbers and texts are compared as texts."""
    if a.type != b.type:
        a, b = (pc.cast(column, pa.string()) for column in (a, b))
    return None if a.equals(b) else first_row(pc.fill_null(pc.not_equal(a, b), True))


def _check_algorithm(stream: Stream, policy: Policy, values: Values, where: str) -> None:
    found, online, layer = stream.algorithm, policy.serve.online, policy.layer
    name = None if found is None else found.get("name")
    if name != online:
        what = f"was served by {name or 'no algorithm'}, the policy says {online or 'none'}"
        raise InputError(what, where=where, advice="write it in [serve] online")
    if found is None or layer is None or layer.metric is None or layer.epsilon is None:
        return
    columns = [*layer.sensitive_features, *([layer.condition] if layer.condition else [])]
    expected = {
        "metric": layer.metric,
        "sensitiveFeatures": list(layer.sensitive_features),
        "intersectional": layer.intersectional,
        "condition": layer.condition,
        "values": {column: list(values[column]) for column in columns},
        "epsilon": format_decimal(layer.epsilon),
        "lower": format_decimal(layer.lower),
        "upper": format_decimal(layer.upper),
    }
    if policy.serve.eta0 is not None:
        expected |= {"eta0": format_decimal(policy.serve.eta0), "absent": "skip"}
    for key, value in expected.items():
        if key not in found or canonical(found[key]) != canonical(value):  # as bytes: in Python True equals 1
            raise InputError(f"has {key} = {found.get(key)!r}, the policy says {value!r}", where=where)
    if set(found) != {"name", *expected, *(("start",) if online == "paper" else ())}:
        raise InputError("its algorithm has other members than 12.4 says", where=where)
    if online == "paper":
        _check_paper(stream, policy, values, where)


def _check_paper(stream: Stream, policy: Policy, values: Values, where: str) -> None:
    """The dual variables are those of the metric's rows, in order, from a start that makes sense."""
    layer, found = policy.layer, stream.algorithm
    assert layer is not None
    assert layer.metric is not None
    assert found is not None
    partitions = partitions_of(layer.sensitive_features, values, intersectional=layer.intersectional)
    metric = metrics.get(layer.metric)
    conditions = values[layer.condition] if layer.condition else ()
    rows = [row.name for row in metric.rows(partitions, conditions, metric.condition_on(layer.condition))]
    if stream.duals is None or list(stream.duals.multipliers) != rows:
        raise InputError("holds multipliers of other rows than the policy's layer", where=where)
    start = found.get("start")
    sound = (
        isinstance(start, dict)
        and set(start) == {"step", "multipliers"}
        and type(start["step"]) is int
        and start["step"] >= 0
        and isinstance(start["multipliers"], list)
        and len(start["multipliers"]) == len(rows)
        and all(map(_is_multiplier, start["multipliers"]))
    )
    if not sound:
        raise InputError("its header describes no state that the paper's algorithm can start from", where=where)


def _is_multiplier(text: object) -> bool:
    try:
        value = float.fromhex(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False
    return 0 <= value < float("inf") and value.hex() == text and not text.startswith("-")
