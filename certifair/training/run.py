"""The main job: train on one part of a table, serve another through the layer, write what was served as evidence."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from certifair.errors import PolicyError
from certifair.evidence import files
from certifair.layer import FairnessLayer
from certifair.spec.policy import Policy, Values
from certifair.spec.training import TRAINED_THROUGH
from certifair.training.backbone import Standardize, mlp
from certifair.training.data import Dataset, split
from certifair.training.export import export_onnx
from certifair.training.gradient_audit import audit_gradients
from certifair.training.gradient_record import GradientAudit
from certifair.training.history import EpochRecord, History
from certifair.training.model import FairModel
from certifair.training.serve import Run, Trained
from certifair.training.stream import LogKeeping
from certifair.training.table import read_people
from certifair.training.trainer import Trainer, TrainerConfig

Floats = NDArray[np.float64]


def train_run(
    source: Any,
    policy: str | Path,
    out: str | Path,
    progress: Callable[[EpochRecord], object] | None = None,
    keeping: LogKeeping | None = None,
) -> Run:
    """Train by the policy's `[model]` and `[training]`, serve the part to certify, write the bundle `out`.

    As `train` and then `Trained.serve`, with the same policy: see there.
    """
    files.require_new(Path(out))
    return train(source, policy, progress).serve(policy, out, keeping)


def train(source: Any, policy: str | Path, progress: Callable[[EpochRecord], object] | None = None) -> Trained:
    """Train on the part of the table that the policy names. Raises InputError and PolicyError."""
    path = Path(policy)
    parsed = Policy.parse(files.read_input(path), str(path))
    _check(parsed, str(path))
    people, table = read_people(source, parsed, str(source) if isinstance(source, (str, Path)) else "the table")
    chosen = people.data.take(np.flatnonzero(people.train))
    model = FairModel(_backbone(parsed, chosen), _layer(parsed, parsed.declared(str(path))))
    if parsed.model is not None and parsed.model.factory != "mlp":
        export_onnx(model.backbone, people.data.inputs.shape[1])  # what cannot be replayed is refused before the work
    with _one_thread():
        history, gradients = _fit(model, chosen, parsed, progress)
    return Trained(source, parsed, table, people, model, history, gradients)


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


def _fit(
    model: FairModel, train: Dataset, policy: Policy, progress: Callable[[EpochRecord], object] | None
) -> tuple[History, GradientAudit | None]:
    """Train, a part of the people held out for early stopping, and audit the gradients if they went through the layer.

    The audited are batches of the last epoch, with the scores that the network gives them in the end.
    """
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
    held_out = None
    if spec.validation:
        parts = split(train, {"train": 1 - spec.validation, "validation": spec.validation}, model_spec.seed)
        train, held_out = parts["train"], parts["validation"]
    history = Trainer(config).fit(model, train, held_out, progress=progress)
    if not spec.audit or spec.method not in TRAINED_THROUGH:
        return history, None
    seed, last = model_spec.seed, len(history.epochs)
    return history, audit_gradients(model, train, spec.audit, seed, size=spec.batch, loss=spec.loss, epoch=last)
