"""The main job: train on one part of a table, serve another through the layer, write what was served as evidence."""

from __future__ import annotations

import contextlib
import importlib
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from certifair.errors import InputError, PolicyError
from certifair.evidence import files
from certifair.evidence.canonical import sha256
from certifair.evidence.ingest import Served, bundle_served, row_ids, system_bytes
from certifair.layer import FairnessLayer
from certifair.layer.grid import Grid
from certifair.spec.policy import Policy, Values
from certifair.training.backbone import Standardize, mlp
from certifair.training.data import Dataset, split
from certifair.training.export import export_onnx
from certifair.training.history import EpochRecord, History
from certifair.training.model import FairModel
from certifair.training.model import Served as ServedPeople
from certifair.training.rows import rows_for
from certifair.training.stream import LogKeeping, serve_stream
from certifair.training.stream import People as StreamPeople
from certifair.training.table import People, read_people
from certifair.training.trainer import Trainer, TrainerConfig

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


def train_run(
    source: Any,
    policy: str | Path,
    out: str | Path,
    progress: Callable[[EpochRecord], object] | None = None,
    keeping: LogKeeping | None = None,
) -> Run:
    """Train by the policy's `[model]` and `[training]`, serve the part to certify, write the bundle `out`.

    With [serve] online the people are served as a stream, through a log; `keeping` says by whom it is signed.

    Beside the evidence, `out/training` holds what is no part of it: model.safetensors and history.json. Raises
    InputError and PolicyError before anything is written, ProjectionError where people cannot be served fairly.
    """
    path, out = Path(policy), Path(out)
    if out.exists():
        raise InputError("exists already", where=str(out), advice="choose another --out")
    parsed = Policy.parse(files.read_input(path), str(path))
    _check(parsed, str(path))
    people, table = read_people(source, parsed, str(source) if isinstance(source, (str, Path)) else "the table")
    layer = _layer(parsed, parsed.declared(str(path)))
    train = people.data.take(np.flatnonzero(people.train))
    model = FairModel(_backbone(parsed, train), layer)
    if parsed.model is not None and parsed.model.factory != "mlp":
        export_onnx(model.backbone, people.data.inputs.shape[1])  # what cannot be replayed is refused before the work
    with _one_thread():
        history = _fit(model, train, parsed, progress)
    chosen = people.data.take(np.flatnonzero(people.kept))
    onnx = export_onnx(model.backbone, people.data.inputs.shape[1])
    with tempfile.TemporaryDirectory() as folder:
        if parsed.serve.online is None:
            found = _in_batches(parsed, people, chosen, FairModel(model.backbone, layer), onnx)
        else:
            ids = row_ids(parsed, table, str(source)).filter(pa.array(people.kept)).cast(pa.string()).to_pylist()
            scores = _column(FairModel(model.backbone).predict(chosen.inputs).scores)
            stream = StreamPeople(ids, scores, chosen.sensitive)
            found = _as_stream(parsed, people, stream, onnx, Path(folder) / "log", keeping or _unsigned())
        bundle_served(source, path, out, found)
    _write_by_products(out / "training", model, history)
    threshold = float(parsed.serve.threshold)
    return Run(history, chosen, found.scores, found.predictions, len(train), people.unseen, layer, threshold)


def _unsigned() -> LogKeeping:
    """A log that nobody signs, by this machine's clock."""
    return LogKeeping(str(uuid.uuid4()), None, lambda: time.time_ns() // 1000)


def _check(policy: Policy, where: str) -> None:
    if policy.training is None:
        advice = "write [training], with its defaults if you like"
        raise PolicyError("says nothing of training", where=where, advice=advice)
    if policy.training.method != "plain" and (policy.layer is None or policy.layer.metric is None):
        advice = 'write [layer] metric, sensitive_features and epsilon, or method = "plain"'
        raise PolicyError(f"method {policy.training.method!r} needs a layer", where=where, advice=advice)
    if policy.predictions.score or policy.predictions.prediction or policy.predictions.batch:
        raise PolicyError("[predictions] is for imported ones", where=where, advice="leave it out")


def _layer(policy: Policy, values: Values) -> FairnessLayer | None:
    spec = policy.layer
    if spec is None or spec.metric is None or spec.epsilon is None:
        return None
    return FairnessLayer(
        spec.metric,
        spec.epsilon,
        spec.lower,
        spec.upper,
        features=spec.sensitive_features,
        values=values,
        intersectional=spec.intersectional,
        condition=spec.condition or "condition",
    )


def _backbone(policy: Policy, train: Dataset) -> torch.nn.Module:
    spec = policy.model
    assert spec is not None
    if spec.factory == "mlp":
        net = mlp(
            train.inputs.shape[1],
            spec.hidden,
            activation=spec.activation,
            final="sigmoid" if spec.final == "sigmoid" else None,
            layer_norm=spec.layer_norm,
            seed=spec.seed,
            standardize=Standardize.fitted(train.inputs),
        )
        if spec.final == "none" and train.labels is not None:
            # outside the layer's box everybody would be clipped, and nothing learned: start at the mean label
            last = net[-1]
            assert isinstance(last, torch.nn.Linear)
            torch.nn.init.constant_(last.bias, float(train.labels.double().mean()))
        return net
    module, _, function = spec.factory.partition(":")
    try:
        factory = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever the user's module raises
        raise PolicyError(f"[model] factory = {spec.factory!r} cannot be imported ({error})") from None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            found = factory(train.inputs.shape[1])
    except Exception as error:
        raise PolicyError(f"[model] factory = {spec.factory!r} failed ({type(error).__name__}: {error})") from None
    if not isinstance(found, torch.nn.Module):
        raise PolicyError(f"[model] factory = {spec.factory!r} makes {type(found).__name__}, no torch module")
    return found


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, so that a machine with other cores finds the same weights; small networks are faster so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fit(model: FairModel, train: Dataset, policy: Policy, progress: Callable[[EpochRecord], object] | None) -> History:
    """Train, a part of the people held out for early stopping."""
    spec, model_spec = policy.training, policy.model
    assert spec is not None
    assert model_spec is not None
    config = TrainerConfig(
        method=spec.method,
        epochs=spec.epochs,
        batch=spec.batch,
        learning_rate=float(spec.learning_rate),
        weight_decay=float(spec.weight_decay),
        patience=spec.patience,
        seed=model_spec.seed,
        loss=spec.loss,
        penalty=None if spec.penalty is None else float(spec.penalty),
        measure_train=False,
    )
    if not spec.validation:
        return Trainer(config).fit(model, train, progress=progress)
    parts = split(train, {"train": 1 - spec.validation, "validation": spec.validation}, model_spec.seed)
    return Trainer(config).fit(model, parts["train"], parts["validation"], progress=progress)


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

    folder.mkdir()
    weights = {name: tensor.clone().contiguous() for name, tensor in model.backbone.state_dict().items()}
    files.write_atomic(folder / "model.safetensors", save(weights))
    files.write_atomic(folder / "history.json", json.dumps(history.to_dict(), indent=1).encode())
