"""The evidence bundle: a folder `RUN/` of fixed file names, whose digests a certificate states.

    manifest.json        role, path, digest and row count of every other file; what was left out, and why
    system.json          the served system: the certificate's subject
    policy.toml          the owner's policy, byte for byte
    data.parquet         row_id, feature.NAME (declared values as texts), label, input.NAME (numbers or texts)
    predictions.parquet  row_id, batch_id, group.NAME (codes of the declared values), score, prediction
    multipliers.parquet  batch_id, row, multiplier: a fairness layer's dual solution (optional)
    model.onnx           the network that gave the scores (optional, with the next)
    preprocessing.json   how the columns input.NAME become the network's inputs
    training/gradients.json  how right the gradients were that the network was trained with (optional)
    witness/proofs.json  proofs about the network, by the id of the property (optional)
    log/                 the log that the same people were served through (optional); its digest is its head

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
import pyarrow.parquet as pq
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence import files
from certifair.evidence.canonical import canonical, sha256, strict_json
from certifair.evidence.columns import (
    INPUT,
    batches_of,
    check_ids,
    check_inputs,
    check_label_and_id,
    codes_of,
    column_of,
    labels_of,
    multipliers_of,
    optional_numbers,
    read_columns,
)
from certifair.evidence.cube import Cube
from certifair.evidence.inputs import Inputs
from certifair.evidence.stream import LOG, BundledLog, Stream, check_log, read_bundled_log
from certifair.evidence.system import system_of
from certifair.evidence.tables import BROKEN, first_line, numbers
from certifair.spec import Json
from certifair.spec.policy import Policy, Values

FORMAT = "certifair-bundle/0"
GRADIENTS = "certifair-gradients/0"
PATHS = {
    "data": "data.parquet",
    "predictions": "predictions.parquet",
    "multipliers": "multipliers.parquet",
    "model": "model.onnx",
    "preprocessing": "preprocessing.json",
    "gradients": "training/gradients.json",
    "witness": "witness/proofs.json",
    "policy": "policy.toml",
    "system": "system.json",
    "manifest": "manifest.json",
}
OPTIONAL = ("multipliers", "model", "preprocessing", "gradients", "witness")
_TABLES = ("data", "predictions", "multipliers")
Contents = dict[str, bytes]


@final
@dataclass(frozen=True)
class Evidence:
    """A bundle that was read and found coherent. Arrays are of shape (n,), in the order of the rows.

    `codes[column]` are indices into `values[column]`; `batch` indices into `batch_names`, which stand in order of
    appearance. `scores` and `labels` are None where the table had none, `model` and `preprocessing` where the bundle
    has no network, `witness` where it has no proofs, `stream` where it has no log. `people` holds the columns row_id
    and input.NAME.
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
    people: pa.Table
    model: bytes | None
    preprocessing: Inputs | None
    witness: bytes | None = None
    stream: Stream | None = None

    @property
    def n(self) -> int:
        return len(self.predictions)

    def row_id(self, row: int) -> str:
        """The id of the row of this index, as a text."""
        return str(self.people["row_id"][row].as_py())

    @functools.cached_property
    def inputs(self) -> NDArray[np.float64] | None:
        """What the network was given, of shape (n, d); None without one. Raises InputError naming column and row."""
        if self.preprocessing is None:
            return None
        return self.preprocessing.encode_bundled(self.people, PATHS["data"])

    @functools.cached_property
    def cube(self) -> Cube:
        """Counts and sums of every joint cell of the columns."""
        sources = {"served": self.predictions, "scores": self.scores, "labels": self.labels}
        return Cube(self, {name: values for name, values in sources.items() if values is not None})


def read_contents(root: Path) -> Contents:
    """All files of a bundle, each read once: what is hashed is what is parsed. Raises InputError."""
    if not root.is_dir():
        raise InputError("is not a bundle folder", where=str(root), advice="make one with `certifair ingest`")
    for folder in {path.partition("/")[0] for path in PATHS.values() if "/" in path}:
        if (root / folder).is_symlink():
            raise InputError("is a link", where=str(root / folder), advice="a bundle holds its own files")
    found = {role: path for role, path in PATHS.items() if role not in OPTIONAL or _exists(root / path)}
    return {role: files.read_regular(root / path) for role, path in found.items()}


def read_bundle_log(root: Path) -> BundledLog | None:
    """The bundle's log, None where it has none. Raises InputError, UntrustedError [log]."""
    if (root / LOG).is_symlink():
        raise InputError("is a link", where=str(root / LOG), advice="a bundle holds its own log")
    return read_bundled_log(root / LOG) if (root / LOG).exists() else None


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def load(contents: Contents, where: str, log: BundledLog | None = None) -> Evidence:
    """Parse and cross-check a bundle's contents. Raises InputError naming the file and what is wrong in it."""
    manifest = _json(contents["manifest"], f"{where}/manifest.json")
    with ThreadPoolExecutor() as pool:  # digests and decoding release the interpreter
        tables = [
            pool.submit(read_columns, contents[role], f"{where}/{PATHS[role]}") for role in ("data", "predictions")
        ]
        materials = _materials(contents, manifest, where, log)
        data, predictions = (table.result() for table in tables)
    policy = Policy.parse(contents["policy"], f"{where}/policy.toml")
    system = _json(contents["system"], f"{where}/system.json")
    # as bytes: in Python True equals 1
    if contents["system"] != canonical(system_of(policy, system.get("model"), system.get("preprocessing"))):
        raise InputError("does not describe the system of policy.toml", where=f"{where}/system.json")
    _check_model(contents, system, where)
    _check_gradients(contents, where)
    values = policy.declared(f"{where}/policy.toml")
    check_ids(data, predictions, where)
    check_inputs(data, values, f"{where}/data.parquet")
    check_label_and_id(data, policy, f"{where}/data.parquet")
    if log is not None:
        check_log(log, policy, values, data, predictions, sha256(contents["system"]), f"{where}/{LOG}")
    names, batch = batches_of(predictions, f"{where}/predictions.parquet")
    with ThreadPoolExecutor() as pool:
        codes = pool.map(lambda name: codes_of(data, predictions, name, values[name], where), values)
    return Evidence(
        policy=policy,
        system=system,
        materials=materials,
        exclusions=manifest["exclusions"],
        values=values,
        batch_names=names,
        batch=batch,
        codes=dict(zip(values, codes, strict=True)),
        labels=labels_of(data, policy, f"{where}/data.parquet", layer="multipliers" in contents),
        scores=optional_numbers(predictions, "score", f"{where}/predictions.parquet"),
        predictions=numbers(column_of(predictions, "prediction", where), "prediction", f"{where}/predictions.parquet"),
        multipliers=multipliers_of(contents["multipliers"], names, f"{where}/multipliers.parquet")
        if "multipliers" in contents
        else None,
        people=data.select([name for name in data.column_names if name == "row_id" or name.startswith(INPUT)]),
        model=contents.get("model"),
        preprocessing=Inputs.parse(contents["preprocessing"], f"{where}/{PATHS['preprocessing']}")
        if "preprocessing" in contents
        else None,
        witness=contents.get("witness"),
        stream=None if log is None else log.stream,
    )


def _check_model(contents: Contents, system: Json, where: str) -> None:
    """A network and its preprocessing are there together or not at all, and those of the system.

    A system may also name files that stay with their owner: then there is nothing to check, and no replay.
    """
    for role, other in (("model", "preprocessing"), ("preprocessing", "model")):
        if role not in contents:
            continue
        if other not in contents:
            what = f"stands without {PATHS[other]}"
            raise InputError(what, where=f"{where}/{PATHS[role]}", advice="both belong into a bundle, or neither")
        stated = system.get(role)
        digest = stated.get("sha256") if role == "model" and isinstance(stated, dict) else stated
        if digest != sha256(contents[role]):
            raise InputError(f"is not the {role} of system.json", where=f"{where}/{PATHS[role]}")


def _check_gradients(contents: Contents, where: str) -> None:
    """A record of the training, which nothing is computed from: only that it is one."""
    if "gradients" not in contents:
        return
    name = f"{where}/{PATHS['gradients']}"
    if _json(contents["gradients"], name).get("format") != GRADIENTS:
        raise InputError(f"is not of the format {GRADIENTS}", where=name, advice="leave it as training wrote it")


def rows_of(content: bytes) -> int:
    """The row count that a Parquet file states in its footer."""
    return int(pq.ParquetFile(pa.BufferReader(content)).metadata.num_rows)


def material(role: str, content: bytes) -> Json:
    """One entry of `materials`: what a certificate says of a file."""
    rows = rows_of(content) if role in _TABLES else None
    return {"role": role, "path": PATHS[role], "sha256": sha256(content), "rowCount": rows}


def log_material(log: BundledLog) -> Json:
    """The entry of a log: its head commits to every record."""
    return {"role": LOG, "path": LOG, "sha256": log.stream.head, "rowCount": log.stream.records}


def manifest_of(contents: Contents, exclusions: list[Json], log: BundledLog | None = None) -> bytes:
    """The manifest over all other files."""
    entries = [material(role, contents[role]) for role in PATHS if role in contents and role != "manifest"]
    entries += [] if log is None else [log_material(log)]
    return canonical({"format": FORMAT, "files": entries, "exclusions": exclusions})


def _json(content: bytes, where: str) -> Json:
    try:
        value = strict_json(content)
    except ValueError as error:
        raise InputError(str(error), where=where) from None
    if not isinstance(value, dict):
        raise InputError("is not a JSON object", where=where)
    return value


def _materials(contents: Contents, manifest: Json, where: str, log: BundledLog | None) -> list[Json]:
    """The manifest must list exactly the files that are there, with their digests and row counts."""
    try:
        found = [material(role, contents[role]) for role in PATHS if role in contents]
        found += [] if log is None else [log_material(log)]
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
