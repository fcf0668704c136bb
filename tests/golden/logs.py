"""Tables of people that were served through a log: served by the paper's algorithm, written, and read back raw."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from certifair.evidence.canonical import canonical, sha256
from certifair.evidence.log.chain import LogHead, Segment
from certifair.evidence.log.header import Header, columns_of
from certifair.evidence.log.segments import segment_bytes
from certifair.evidence.log.writer import LogWriter
from certifair.evidence.system import system_of
from certifair.spec.policy import Policy
from tests.oracles import log_oracle

Json = dict[str, Any]
Columns = dict[str, list[Any]]
START = 1_767_225_600_000_000  # 2026-01-01, in microseconds


@dataclass(frozen=True)
class Logged:
    """How a table stands in a log. `rows` are those of the algorithm; `shared` columns have one value a batch."""

    algorithm: Json
    features: tuple[str, ...]
    rows: tuple[str, ...]
    segment_records: int = 28
    names_system: bool = False
    signed: bool = True

    @property
    def shared(self) -> tuple[str, ...]:
        return ("step", "eta", *(f"multiplier.{row}" for row in self.rows))


def served(columns: Columns, sizes: Sequence[int], features: Sequence[str], **options: Any) -> tuple[Columns, Logged]:
    """Everybody served in batches of these sizes (over and over), as the paper does it, from a state of its own."""
    from certifair.online import PrimalDual

    start = options.pop("start", None)
    log_options = {key: options.pop(key) for key in ("segment_records", "names_system", "signed") if key in options}
    values = {name: sorted(set(columns[name])) for name in features}
    algorithm = PrimalDual("demographic_parity", options.pop("epsilon"), features=features, values=values, **options)
    state = algorithm.init() if start is None else type(algorithm.init())(*start)
    logged = Logged(algorithm.description_from(state), ("sex", "age"), tuple(algorithm.row_names), **log_options)
    found: Columns = {**columns, "served": [], "batch": [], **{name: [] for name in logged.shared}}
    n, first = len(columns["score"]), 0
    for number, size in enumerate(itertools.cycle(sizes), 1):
        part = slice(first, min(first + size, n))
        groups = {name: columns[name][part] for name in features}
        state, predictions, record = algorithm.step(state, columns["score"][part], groups)
        found["served"] += predictions.tolist()
        for _ in range(part.stop - first):
            found["batch"].append(str(number))
            for name, value in record.columns.items():
                found[name].append(value)
        first = part.stop
        if first == n:
            return found, logged
    raise AssertionError("no batch")


def as_logged(columns: Columns, logged: Logged) -> Columns:
    """The table as the log holds it: batches are the runs of one batch id, and have the first one's shared columns."""
    runs = [
        list(members) for _, members in itertools.groupby(range(len(columns["batch"])), columns["batch"].__getitem__)
    ]
    found = {**columns, "batch": [str(number) for number, members in enumerate(runs, 1) for _ in members]}
    found |= {name: [columns[name][members[0]] for members in runs for _ in members] for name in logged.shared}
    return {**found, "row_id": [f"p{k}" for k in range(1, len(columns["batch"]) + 1)]}


def write_log(
    folder: Path, columns: Columns, logged: Logged, policy: bytes, sign: Callable[[LogHead], bytes] | None
) -> None:
    """The sealed log of a table, with a fixed id and a fixed clock."""
    system = sha256(canonical(system_of(Policy.parse(policy), None, None))) if logged.names_system else None
    header = Header("golden log", system, logged.algorithm, columns_of(logged.features, logged.rows))
    table = as_logged(columns, logged)
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    times = itertools.count(START, 1000)
    with LogWriter.create(folder, header, sign, lambda: next(times), logged.segment_records) as log:
        for _, members in itertools.groupby(rows, lambda row: row["batch"]):
            batch = list(members)
            log.append(
                [row["row_id"] for row in batch],
                {name: [row[name] for row in batch] for name in logged.features},
                [row["score"] for row in batch],
                [row["served"] for row in batch],
                {name: batch[0][name] for name in logged.shared},
            )
        log.seal()


def log_head(folder: Path) -> str:
    """The head that follows from the records in these files, by the oracle."""
    segments, header = [], b""
    for path in sorted(folder.glob("*.parquet")):
        header = header or pq.read_metadata(path).metadata[b"certifair.log"]
        columns = [(name, kind) for name, kind in json.loads(header)["columns"]]
        segments.append([log_oracle.record(columns, row) for row in pq.read_table(path).to_pylist()])
    return log_oracle.links(header, segments)[-1].hex()


def _edit_segment(folder: Path) -> None:
    """One prediction moves; the metadata stay."""
    path = folder / "00000002.parquet"
    table, metadata = pq.read_table(path), pq.read_metadata(path).metadata
    served = table["prediction"].to_pylist()
    served[3] += 0.125
    table = table.set_column(table.column_names.index("prediction"), "prediction", [served])
    place = Segment.of(json.loads(metadata[b"certifair.segment"]))
    path.write_bytes(segment_bytes(table, metadata[b"certifair.log"], place))


def _swap_segments(folder: Path) -> None:
    first, last = folder / "00000001.parquet", folder / "00000002.parquet"
    content = first.read_bytes()
    first.write_bytes(last.read_bytes())
    last.write_bytes(content)


def _earlier_head(folder: Path) -> None:
    """As after the first segment; nobody need have signed it to be compared with."""
    bundle = json.loads((folder / "head.json").read_bytes())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    statement["predicate"] |= {"segments": 1, "records": 28}
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(canonical(statement)).decode()
    (folder / "head.json").write_bytes(canonical(bundle))


LOG_FAULTS: dict[str, Callable[[Path], None]] = {
    "log-segment-edited": _edit_segment,
    "log-segment-missing": lambda folder: (folder / "00000002.parquet").unlink(),
    "log-segments-swapped": _swap_segments,
    "log-head-of-another-state": _earlier_head,
    "log-missing": shutil.rmtree,
}
"""What must not happen to the log in a bundle."""


def log_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def logged_rows(folder: Path) -> list[Mapping[str, Any]]:
    """The records of a log in the words of the cases, each with the algorithm and the head."""
    paths = sorted(folder.glob("*.parquet"))
    header, head = json.loads(pq.read_metadata(paths[0]).metadata[b"certifair.log"]), log_head(folder)
    names = {"prediction": "served"}
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return [
        {
            **{names.get(key, key.removeprefix("feature.")): value for key, value in row.items()},
            "batch": str(row["batch"]),
            "algorithm": header["algorithm"],
            "head": head,
        }
        for row in rows
    ]
