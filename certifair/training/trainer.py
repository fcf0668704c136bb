"""Training: epochs of stratified batches, early stopping, checkpoints."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from certifair.errors import InputError
from certifair.layer import ProjectionError
from certifair.training import checkpoint as checkpoints
from certifair.training import methods
from certifair.training.batches import BatchPlan, Scarce, plan_batches
from certifair.training.checkpoint import State
from certifair.training.data import Dataset, hide_sensitive
from certifair.training.history import EpochRecord, History, Skipped
from certifair.training.losses import BaseLoss, base_loss
from certifair.training.measure import measure
from certifair.training.methods.base import Method, labels_of
from certifair.training.model import FairModel


@final
@dataclass(frozen=True)
class TrainerConfig:
    """How to train. Raises InputError for values without meaning.

    `batch`: people a step, 0 for everybody; `scarce`: see `batches`; `patience`: epochs without a better objective on
    the validation data until training stops and the best weights come back (0, or without such data: never);
    `loss`: "bce", "mse", or a callable of predictions and labels; `penalty`: weight of the methods that have one, None
    for their own; `hide_sensitive`: leave the sensitive features' columns out of the network's inputs; `measure_train`:
    a pass over the training data after each epoch. The optimiser is AdamW.
    """

    method: str = "flayer"
    epochs: int = 50
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    patience: int = 10
    seed: int = 0
    loss: str | BaseLoss = "bce"
    penalty: float | None = None
    hide_sensitive: bool = False
    device: str = "cpu"
    scarce: Scarce = "enlarge"
    measure_train: bool = True

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 0), ("patience", 0), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} = {value!r} is no whole number from {least} on", where="training")
        for name in ("learning_rate", "weight_decay"):
            value = float(getattr(self, name))
            if not math.isfinite(value) or value < 0 or (value == 0 and name == "learning_rate"):
                raise InputError(f"{name} = {value!r} is no positive number", where="training")

    def to_dict(self) -> dict[str, Any]:
        """For JSON; a callable loss by its name."""
        loss = self.loss if isinstance(self.loss, str) else getattr(self.loss, "__qualname__", type(self.loss).__name__)
        return {**asdict(replace(self, loss="")), "loss": loss}


@final
@dataclass(frozen=True, eq=False)
class _Job:
    """What stays the same during one call of `fit`."""

    config: TrainerConfig
    method: Method
    loss: BaseLoss
    model: FairModel
    optimizer: torch.optim.Optimizer
    plan: BatchPlan
    train: Dataset
    validation: Dataset | None


@final
class Trainer:
    """Trains models by one configuration; holds no state of its own between calls."""

    def __init__(self, config: TrainerConfig | None = None) -> None:
        self.config = config or TrainerConfig()

    def fit(
        self,
        model: FairModel,
        train_data: Dataset,
        validation_data: Dataset | None = None,
        *,
        resume: Path | None = None,
        checkpoint: Path | None = None,
        progress: Callable[[EpochRecord], object] | None = None,
    ) -> History:
        """Train the model in place; afterwards it has the best weights (or the last, without early stopping).

        `resume`: a checkpoint to go on from, bit for bit as if never interrupted (on a CPU, with as many threads);
        only `epochs` may differ. `checkpoint`: written after every epoch, atomically. `progress` gets each epoch's
        record. A batch that cannot be projected is skipped and counted. Raises InputError for unusable data, where all
        batches of an epoch failed, where the loss is no longer finite, and where every gradient of an epoch was 0.
        """
        config = self.config
        method = methods.get(config.method, config.penalty)
        if method.needs_layer and model.layer is None:
            raise InputError(f"the method {method.name} needs a fairness layer", advice="FairModel(backbone, layer)")
        labels_of(train_data)
        validation = validation_data if validation_data is not None and len(validation_data) else None
        train, validation, hidden = _visible(config, train_data, validation)
        model.to(config.device)
        parameters = [item for item in model.parameters() if item.requires_grad]
        if not parameters:
            raise InputError("the backbone has nothing to train", where="training")
        rate, decay = float(config.learning_rate), float(config.weight_decay)
        optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
        train = train.to(config.device, model.dtype)
        validation = None if validation is None else validation.to(config.device, model.dtype)
        plan = plan_batches(train, model.layer, config.batch, config.scarce)
        job = _Job(config, method, base_loss(config.loss), model, optimizer, plan, train, validation)
        setting = _setting(config, train, validation) if resume or checkpoint else {}
        state = checkpoints.restore(Path(resume), model, optimizer, setting) if resume else State()
        mode = model.training
        model.train()
        try:
            while not _finished(state, config):
                record = _epoch(job, state)
                if checkpoint:
                    checkpoints.save(Path(checkpoint), model, optimizer, state, setting)
                if progress:
                    progress(record)
        finally:
            model.train(mode)
        if state.best is not None:
            model.load_state_dict(state.best)
        return History(
            method=method.name,
            served_with_layer=method.serving(model).layer is not None,
            epochs=tuple(state.records),
            best_epoch=state.best_epoch,
            stopped_early=_stopped(state, config),
            plan=plan.to_dict(),
            hidden=hidden,
        )


def _visible(
    config: TrainerConfig, train: Dataset, validation: Dataset | None
) -> tuple[Dataset, Dataset | None, tuple[str, ...]]:
    """The data that the network is shown, and the names of the inputs that it is not."""
    if not config.hide_sensitive:
        return train, validation, ()
    shown = hide_sensitive(train)
    hidden = tuple(name for name in train.columns if name not in shown.columns)
    return shown, None if validation is None else hide_sensitive(validation, hidden), hidden


def _setting(config: TrainerConfig, train: Dataset, validation: Dataset | None) -> dict[str, Any]:
    found = {name: value for name, value in config.to_dict().items() if name != "epochs"}
    return {**found, "data": checkpoints.fingerprint(train, validation)}


def _stopped(state: State, config: TrainerConfig) -> bool:
    return config.patience > 0 and state.waited >= config.patience


def _finished(state: State, config: TrainerConfig) -> bool:
    return len(state.records) >= config.epochs or _stopped(state, config)


def _epoch(job: _Job, state: State) -> EpochRecord:
    """One epoch: steps, measures, and whether it was the best so far."""
    began = time.perf_counter()
    number = len(state.records) + 1
    with _seeded(job.config, number):
        train_loss, skipped = _steps(job, number)
        train = measure(job.model, job.method, job.train, job.loss) if job.config.measure_train else None
        validation = None if job.validation is None else measure(job.model, job.method, job.validation, job.loss)
    record = EpochRecord(number, train_loss, skipped, train, validation, time.perf_counter() - began)
    state.records.append(record)
    if validation is None or job.config.patience == 0:
        state.best_epoch = number
        return record
    objective = validation.objective
    if objective is not None and (state.best_objective is None or objective < state.best_objective):
        state.best, state.best_objective = checkpoints.copied(job.model), objective
        state.best_epoch, state.waited = number, 0
    else:
        state.waited += 1
        state.best_epoch = number if state.best is None else state.best_epoch
    return record


def _steps(job: _Job, number: int) -> tuple[float, Skipped]:
    """A step on every batch that has an answer: the mean objective, and what was skipped."""
    skipped, total, seen, moved = Skipped(), 0.0, 0, False
    for people in job.plan.epoch(job.config.seed, number):
        batch = job.train.take(people)
        job.optimizer.zero_grad()
        try:
            loss = job.method.loss(job.model, batch, job.loss)
        except ProjectionError as error:
            skipped = skipped.plus(job.plan.groups(people), str(error))
            continue
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(f"the loss is {value} in epoch {number}", advice="lower the learning rate")
        loss.backward()  # type: ignore[no-untyped-call]
        moved = moved or any(p.grad is not None and bool(p.grad.any()) for p in job.model.parameters())
        job.optimizer.step()
        total += value * len(people)
        seen += len(people)
    if not seen:
        raise InputError(
            f"none of the {skipped.batches} batches of epoch {number} could be projected ({skipped.reason})",
            where="training",
        )
    if not moved:  # as where the layer clips everybody: training would go on for ever and learn nothing
        raise InputError(
            f"every gradient of epoch {number} was 0, so nothing is learned",
            where="training",
            advice="let the network's first scores lie inside the layer's box: a last bias in its middle, or a sigmoid",
        )
    return total / seen, skipped


@contextlib.contextmanager
def _seeded(config: TrainerConfig, epoch: int) -> Iterator[None]:
    """Torch's generators seeded for this epoch (dropout draws from them), and put back afterwards."""
    device = torch.device(config.device)
    seed = int(np.random.SeedSequence([config.seed, 2, epoch]).generate_state(1, np.uint64)[0] >> 1)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
