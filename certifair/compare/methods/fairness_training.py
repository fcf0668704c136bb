"""The published fairness layer's own package, in an environment of its own (`certifair.compare.peers`)."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final, final

import numpy as np

from certifair.compare import peers
from certifair.compare._peer_fairness_training import METRICS, Job, Said
from certifair.compare.base import Case, Made, Method, NothingError
from certifair.compare.bundles import People, people, served_otherwise
from certifair.compare.methods._common import one_line
from certifair.compare.policy import training_policy
from certifair.spec import metrics
from certifair.spec.policy import Policy

REQUIREMENTS: Final = ("fairness_training==0.1.0",)
MODULE: Final = "certifair.compare._peer_fairness_training"
MOST: Final = 2
"""Group columns that it takes, of two values each."""
KEPT: Final = 0.05
"""The part of the case's time that is for writing the bundle."""


@final
class FairnessTraining(Method):
    """Trains the network that our own layer's method trains, and as long; serves by its hard constraints.

    Its rule for small batches is switched off (b_tau = 1): each batch is to be fair, as with our layer.
    """

    name = "fairness_training"
    per_person = False

    def prepare(self, seconds: float) -> None:
        peers.environment(REQUIREMENTS, peers.cache_folder(), time.monotonic() + seconds)

    def make(self, case: Case, out: Path) -> Made:
        data = case.data
        if data.metric not in METRICS:
            raise NothingError("does not apply", f"fairness_training has no metric like {data.metric}")
        columns = [name for name in data.groups if len(data.values[name]) == 2][:MOST]
        if not columns:
            raise NothingError("does not apply", "fairness_training takes groups of two values, and there are none")
        crowd = people(case)
        deadline = case.deadline - KEPT * case.seconds
        where = peers.environment(REQUIREMENTS, peers.cache_folder(), deadline)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            job = _job(case, deadline)
            (folder / "job.json").write_text(json.dumps(asdict(job)), encoding="utf-8")
            _write_people(folder / "people.npz", case, crowd, columns)
            where.run(MODULE, folder, deadline)
            said = Said(**json.loads((folder / "said.json").read_text(encoding="utf-8")))
            if said.failed:
                what = f"its solver failed on {said.failed} of {said.batches} batches: {said.reason}"
                raise NothingError("failed", one_line(what))
            with np.load(folder / "served.npz") as served:
                scores, predictions = served["scores"], served["predictions"]
            content = (folder / "model.onnx").read_bytes()
        served_otherwise(case, scores, predictions, content, out, crowd=crowd)
        solver = ", ".join(f"{package} {number}" for package, number in said.versions.items())
        return Made(solver, said.train, said.serve, *_notes(case, columns, job, said))


def _job(case: Case, deadline: float) -> Job:
    """As our own layer's method is trained, by the same policy."""
    policy = Policy.parse(training_policy(case.data, "flayer", case.seed), case.data.name)
    assert policy.model is not None
    assert policy.training is not None
    return Job(
        metric=case.data.metric,
        epsilon=float(case.data.epsilon),
        hidden=list(policy.model.hidden),
        epochs=policy.training.epochs,
        batch=policy.training.batch,
        learning_rate=float(policy.training.learning_rate),
        weight_decay=float(policy.training.weight_decay),
        patience=policy.training.patience,
        validation=str(policy.training.validation),
        seed=case.seed,
        serve_batch=case.data.batch,
        seconds=max(0.0, deadline - time.monotonic()),
    )


def _write_people(path: Path, case: Case, crowd: People, columns: list[str]) -> None:
    """Of both parts: X, the protected columns, 0 for a group's first value; and y to train with."""
    protected = np.column_stack([crowd.groups[name] == case.data.values[name][1] for name in columns])
    np.savez(
        path,
        X_train=crowd.X[crowd.train],
        y_train=crowd.y[crowd.train],
        protected_train=protected[crowd.train].astype(float),
        X_test=crowd.X[crowd.test],
        protected_test=protected[crowd.test].astype(float),
    )


def _notes(case: Case, columns: list[str], job: Job, said: Said) -> tuple[str, str]:
    """For whoever wants to know more, and for everybody."""
    parts = [f"{said.epochs} of {job.epochs} epochs"]
    cautions = [f"stopped after {parts[0]}, when 60% of the time was over"] if said.late else []
    if left := [name for name in case.data.groups if name not in columns]:
        cautions.append(f"knows nothing of {', '.join(left)}: it takes {MOST} columns of two values at most")
    if metrics.get(case.data.metric).needs_label:
        parts.append("the network alone serves, as labels are not known then")
    if said.plain:
        parts.append("batches drawn from everybody, as its stratified ones leave out too many")
    return "; ".join(parts), "; ".join(cautions)


METHODS = (FairnessTraining(),)
