"""The published layer's own package, fairness_training: trains and serves with its FairModel. A process by itself.

Started with a folder that holds job.json and people.npz (X, y and the protected columns of both parts); writes
served.npz (predictions and scores (n_test,)), model.onnx (the network, without the layer) and said.json beside them.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
METRICS: Final = {
    "demographic_parity": "mean_pred",
    "equalized_odds": "equalized_odds",
    "equalized_residuals": "mean_residual",
}
PACKAGES: Final = ("fairness_training", "cvxpylayers", "cvxpy", "torch")
TRAINING: Final = 0.6
"""Of the time, after which no other epoch is begun."""
GRACE: Final = 5.0
"""Seconds after which the process ends itself."""
LEFT_OUT: Final = 0.1
"""The part of the people that its stratified batches may leave out."""


@final
@dataclass(frozen=True)
class Job:
    """What is asked for. serve_batch: people served together, 0 for all; seconds: for all of it."""

    metric: str
    epsilon: float
    hidden: list[int]
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    patience: int
    validation: str
    seed: int
    serve_batch: int
    seconds: float


@final
@dataclass(frozen=True)
class Said:
    """What became of it. epochs: how many were trained; late: whether the time ended them. batches: of the test part.

    failed: batches that were not served, and the package's first words about one. plain: whether the batches of
    training were drawn from everybody rather than stratified.
    """

    epochs: int
    late: bool
    plain: bool
    batches: int
    failed: int
    reason: str
    train: float
    serve: float
    versions: dict[str, str]


def main(folder: Path) -> None:
    """Do the job of a folder."""
    import torch

    started = time.monotonic()
    torch.set_num_threads(1)
    job = Job(**json.loads((folder / "job.json").read_text(encoding="utf-8")))
    faulthandler.dump_traceback_later(job.seconds + GRACE, exit=True)  # whoever waits for this may be gone by then
    with np.load(folder / "people.npz") as file:
        people = dict(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cvxpylayers' on every call
        network, model, trained = _trained(job, people, started)
        served = _served(job, model, people)
    np.savez(folder / "served.npz", predictions=served.pop("predictions"), scores=_scores(network, people["X_test"]))
    said = Said(**trained, **served, versions={name: version(name) for name in PACKAGES})
    (folder / "said.json").write_text(json.dumps(asdict(said)), encoding="utf-8")
    (folder / "model.onnx").write_bytes(_onnx(network, people["X_test"].shape[1]))


def _trained(job: Job, people: dict[str, Floats], started: float) -> tuple[torch.nn.Module, Any, dict[str, Any]]:
    """The network, their model around it, and how training went, by their trainer."""
    import torch

    from certifair.training import mlp
    from certifair.training.backbone import Standardize
    from certifair.training.losses import bce, like

    fit, held = _parts(job, people)
    inputs, protected = people["X_train"].shape[1], people["protected_train"].shape[1]
    standardize = Standardize.fitted(torch.from_numpy(people["X_train"][fit]))
    network = mlp(inputs, job.hidden, seed=job.seed, standardize=standardize)
    columns = list(range(inputs, inputs + protected))
    model = _theirs().FairModel(
        inputs + protected,
        protected_attr_idx=columns,
        prediction_bounds=(0.0, 1.0),
        fairness_tolerance=job.epsilon,
        b_tau=1,
        fairness_metric=METRICS[job.metric],
        custom_network=_first(network, inputs),
    )
    loaders, plain = _loaders(job, people, fit, held, columns)

    def loss(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return bce(predictions.clamp(0, 1), like(labels, predictions))  # its solver leaves the box by a little

    optimizer = torch.optim.AdamW(network.parameters(), lr=job.learning_rate, weight_decay=job.weight_decay)
    trainer = _theirs().FairTrainer(model, loss, optimizer, early_stopping_patience=job.patience or job.epochs)
    began = time.monotonic()
    epochs, late = _epochs(job, trainer, loaders, started + TRAINING * job.seconds)
    if trainer.best_model_state is not None:
        model.load_state_dict(trainer.best_model_state)
    return network, model, {"epochs": epochs, "late": late, "plain": plain, "train": time.monotonic() - began}


def _theirs() -> Any:
    return importlib.import_module("fairness_training")


def _epochs(job: Job, trainer: Any, loaders: tuple[Any, ...], end: float) -> tuple[int, bool]:
    """How many epochs were trained, one or more, and whether another would have gone on beyond `end`."""
    began = time.monotonic()
    for epoch in range(1, job.epochs + 1):
        trainer.fit(*loaders, epochs=1, verbose=0)
        if trainer.patience_counter >= trainer.patience:
            return epoch, False
        now = time.monotonic()
        if epoch < job.epochs and now + (now - began) / epoch > end:
            return epoch, True
    return job.epochs, False


def _first(network: torch.nn.Module, inputs: int) -> torch.nn.Module:
    """The network on the first columns: behind them are the protected ones, for the layer only."""
    import torch

    class First(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> Any:
            return self.network(x[:, :inputs])

    return First()


def _parts(job: Job, people: dict[str, Floats]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who is trained on and who is held out for early stopping."""
    from certifair.training.data import split_indices

    columns = np.column_stack([people["protected_train"], people["y_train"]])
    codes = np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1)
    held = Fraction(job.validation)
    parts = split_indices(codes, {"train": 1 - held, "held": held}, job.seed)
    return parts["train"], parts["held"]


def _loaders(
    job: Job, people: dict[str, Floats], fit: NDArray[np.int64], held: NDArray[np.int64], columns: list[int]
) -> tuple[tuple[Any, ...], bool]:
    """Theirs for training and validation: stratified, as they advise; plain where that leaves out too many people."""
    import torch

    X, y = np.column_stack([people["X_train"], people["protected_train"]]), people["y_train"]
    parts = [X[fit], y[fit], *([X[held], y[held]] if len(held) else [])]
    sizes = {
        "batch_size_train": min(job.batch, max(1, len(fit) // 2)),
        "batch_size_eval": min(job.batch, max(1, len(held) // 2)),
    }
    np.random.seed(job.seed)  # theirs draw from it,
    torch.manual_seed(job.seed)  # or from this
    with contextlib.suppress(ValueError):  # groups too small for a batch
        found = _theirs().create_stratified_dataloaders(*parts, protected_attr_idx=columns, **sizes)
        if len(found[0].dataset) >= (1 - LEFT_OUT) * len(fit):
            return found, False
    return _theirs().create_dataloaders(*parts, **sizes), True


def _served(job: Job, model: Any, people: dict[str, Floats]) -> dict[str, Any]:
    """Predictions for the test part, batch after batch, NaN where the package raises.

    A metric that needs labels cannot be enforced where nobody knows them: then the network alone serves.
    """
    import torch

    X = torch.from_numpy(np.column_stack([people["X_test"], people["protected_test"]])).float()
    size = job.serve_batch or len(X)
    predictions, failures = np.full(len(X), np.nan), []
    model.eval()
    began = time.monotonic()
    with torch.no_grad():
        for start in range(0, len(X), size):
            batch = X[start : start + size]
            try:
                served = model.ffnn(batch) if model.requires_targets else model(batch, inference=True)
                predictions[start : start + size] = served.reshape(-1).double().numpy()
            except Exception as error:  # whatever its solver raises: it fails the batch
                failures.append(str(error).strip().partition("\n")[0])
    return {
        "predictions": predictions,
        "batches": -(-len(X) // size),
        "failed": len(failures),
        "reason": failures[0] if failures else "",
        "serve": time.monotonic() - began,
    }


def _scores(network: torch.nn.Module, X: Floats) -> Floats:
    """Of the stored weights, in float64, as a certificate's replay computes them."""
    import copy

    import torch

    with torch.no_grad():
        found: Floats = copy.deepcopy(network).double().eval()(torch.from_numpy(X)).reshape(-1).numpy()
    return found


def _onnx(network: torch.nn.Module, inputs: int) -> bytes:
    from certifair.training.export import export_onnx

    return export_onnx(network, inputs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
