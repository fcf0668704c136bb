"""What a trained network serves to the people to certify, as evidence: in batches through the layer, or as a stream."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from certifair.errors import InputError, PolicyError
from certifair.evidence import files
from certifair.evidence.canonical import canonical, sha256
from certifair.evidence.ingest import Served, bundle_served, row_ids, system_bytes
from certifair.layer import FairnessLayer
from certifair.layer.grid import Grid
from certifair.spec.policy import Policy
from certifair.training.data import Dataset
from certifair.training.export import export_onnx
from certifair.training.gradient_record import GradientAudit
from certifair.training.history import History
from certifair.training.model import FairModel
from certifair.training.model import Served as ServedPeople
from certifair.training.rows import rows_for
from certifair.training.stream import LogKeeping, serve_stream
from certifair.training.stream import People as StreamPeople
from certifair.training.table import People

Floats = NDArray[np.float64]


@final
class Figure(NamedTuple):
    """One number of the scores, and the same of what was served."""

    name: str
    scores: float
    served: float


@final
@dataclass(frozen=True, eq=False)
class Run:
    """What was made: the training's history, and of the people served their columns, scores and predictions (n,)."""

    history: History
    people: Dataset
    scores: Floats
    predictions: Floats
    trained: int
    unseen: Mapping[str, int]
    layer: FairnessLayer | None
    threshold: float
    seconds: float
    """That serving took, without reading and writing; of a stream with its log."""
    ends: NDArray[np.int64] | None = None
    """Of a stream: how many people had been served at the end of each batch."""
    gradients: GradientAudit | None = None
    """What an audit of the training's gradients found, where one was made."""

    def figures(self) -> list[Figure]:
        """Quality (accuracy of decisions where labels are 0 and 1, mean squared error) and the layer's largest gap.

        Over everybody served, in floats: for people to read. The certificate computes its own, exactly.
        """
        assert self.people.labels is not None
        labels = self.people.labels.double().numpy()
        both = (self.scores, self.predictions)
        found = []
        if np.isin(labels, (0, 1)).all():
            found.append(Figure("accuracy", *(float(((y > self.threshold) == labels).mean()) for y in both)))
        found.append(Figure("mean squared error", *(float(((y - labels) ** 2).mean()) for y in both)))
        if self.layer is not None:
            rows = rows_for(self.layer, len(labels), self.people.sensitive, self.people.labels, self.people.conditions)
            gaps = (float(rows.values(torch.from_numpy(y)).abs().max()) for y in both)
            found.append(Figure(f"{self.layer.metric.name} gap", *gaps))
        return found


@final
@dataclass(frozen=True, eq=False)
class Trained:
    """A network, and the table it came from: what can be served, by this policy or by another [serve].

    `gradients` is the audit of the layer's derivative, None where the training had none.
    """

    source: Any
    policy: Policy
    table: pa.Table
    people: People
    model: FairModel
    history: History
    gradients: GradientAudit | None = None

    def serve(self, policy: str | Path, out: str | Path, keeping: LogKeeping | None = None) -> Run:
        """Serve the part to certify, write the bundle `out`; with [serve] online as a stream, through a log.

        The policy may differ from that of the training in [serve], [gate] and its properties. `keeping` says who signs
        the log's head. `out/training` also holds what is no evidence: model.safetensors and history.json. Raises
        InputError and PolicyError before anything is written, ProjectionError where people cannot be served fairly.
        """
        path, out = Path(policy), Path(out)
        files.require_new(out)
        parsed = Policy.parse(files.read_input(path), str(path))
        if any(getattr(parsed, part) != getattr(self.policy, part) for part in _OF_TRAINING):
            advice = "only [serve], [gate] and [[property]] may be others"
            raise PolicyError("is not the policy of the training", where=str(path), advice=advice)
        chosen = self.people.data.take(np.flatnonzero(self.people.kept))
        onnx = export_onnx(self.model.backbone, self.people.data.inputs.shape[1])
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            if parsed.serve.online is None:
                found = _in_batches(parsed, self.people, chosen, self.model, onnx)
            else:
                stream = self._stream(chosen)
                found = _as_stream(parsed, self.people, stream, onnx, Path(folder) / "log", keeping or _unsigned())
            seconds = time.perf_counter() - started
            record = None if self.gradients is None else canonical(self.gradients.to_json())
            bundle_served(self.source, path, out, replace(found, gradients=record))
        _write_by_products(out / "training", self.model, self.history)
        return Run(
            history=self.history,
            people=chosen,
            scores=found.scores,
            predictions=found.predictions,
            trained=int(self.people.train.sum()),
            unseen=self.people.unseen,
            layer=self.model.layer,
            threshold=float(parsed.serve.threshold),
            ends=None if found.log is None else np.cumsum(np.bincount(found.batches)[1:]),
            gradients=self.gradients,
            seconds=seconds,
        )

    def _stream(self, chosen: Dataset) -> StreamPeople:
        """Those to be served, in the table's order."""
        ids = row_ids(self.policy, self.table, "table").filter(pa.array(self.people.kept))
        scores = _column(FairModel(self.model.backbone).predict(chosen.inputs).scores)
        return StreamPeople(ids.cast(pa.string()).to_pylist(), scores, chosen.sensitive)


_OF_TRAINING = ("data", "system", "layer", "model", "training", "predictions")


def _unsigned() -> LogKeeping:
    """A log that nobody signs, by this machine's clock."""
    return LogKeeping(str(uuid.uuid4()), None, lambda: time.time_ns() // 1000)


def _in_batches(policy: Policy, people: People, chosen: Dataset, model: FairModel, onnx: bytes) -> Served:
    """Everybody served through the layer, if it serves, in batches of [serve] batch."""
    if policy.served_metric is None:
        model = FairModel(model.backbone)
    features = None if policy.layer is None else {f: chosen.sensitive[f] for f in policy.layer.sensitive_features}
    labels = chosen.labels if policy.serve.labels_known else None
    served = model.predict(chosen.inputs, features, labels, chosen.conditions, batch=policy.serve.batch)
    scores, predictions = _column(served.scores), _clipped(_column(served.predictions), policy)
    return _evidence(people, scores, predictions, served, onnx)


def _as_stream(
    policy: Policy, people: People, stream: StreamPeople, onnx: bytes, folder: Path, keeping: LogKeeping
) -> Served:
    """Everybody served by [serve] online, through a log in the folder."""
    system = sha256(system_bytes(policy, onnx, people.inputs))
    predictions, batches = serve_stream(policy, policy.declared(), stream, system, folder, keeping)
    return Served(
        kept=people.kept,
        exclusions=people.exclusions,
        scores=stream.scores,
        predictions=predictions,
        batches=batches,
        multipliers=None,
        model=onnx,
        inputs=people.inputs,
        log=folder,
    )


def _column(values: torch.Tensor) -> Floats:
    """One score a person, (n,)."""
    if values.numel() != len(values):
        raise InputError(
            f"the model gives {values.numel() // len(values)} scores a person", advice="evidence holds one"
        )
    return values.reshape(-1).numpy()


def _clipped(predictions: Floats, policy: Policy) -> Floats:
    """Where no layer serves, its box does; a layer's answer lies in it already."""
    if policy.layer is None:
        return predictions
    return np.clip(predictions, *Grid.of(policy.layer.lower, policy.layer.upper, "float64").box)


def _evidence(people: People, scores: Floats, predictions: Floats, served: ServedPeople, onnx: bytes) -> Served:
    sizes = [batch.stop - batch.start for batch in served.batches]
    rows = [
        (str(number), name, value)
        for number, batch in enumerate(served.batches)
        for name, value in (batch.multipliers[0] if batch.multipliers else {}).items()
    ]
    batches, names, values = zip(*rows, strict=True) if rows else ((), (), ())
    multipliers = pa.table(
        {
            "batch_id": pa.array(batches, pa.string()),
            "row": pa.array(names, pa.string()),
            "multiplier": pa.array(values, pa.float64()),
        }
    )
    return Served(
        kept=people.kept,
        exclusions=people.exclusions,
        scores=scores,
        predictions=predictions,
        batches=np.repeat(np.arange(len(sizes)), sizes),
        multipliers=multipliers if any(batch.multipliers for batch in served.batches) else None,
        model=onnx,
        inputs=people.inputs,
    )


def _write_by_products(folder: Path, model: FairModel, history: History) -> None:
    """What helps its makers and proves nothing: weights to go on from, and how training went."""
    from safetensors.torch import save

    folder.mkdir(exist_ok=True)  # the audit of the gradients, which is evidence, stands there already
    weights = {name: tensor.clone().contiguous() for name, tensor in model.backbone.state_dict().items()}
    files.write_atomic(folder / "model.safetensors", save(weights))
    files.write_atomic(folder / "history.json", json.dumps(history.to_dict(), indent=1).encode())
