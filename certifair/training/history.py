"""What training leaves behind to read: plain numbers, JSON-able."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final


@final
@dataclass(frozen=True)
class Measures:
    """A data set under the weights at the end of an epoch, all at once, in evaluation mode, in floats.

    `objective`: what the method minimises. Of what would be served: `loss`, the base loss; `gap`, the pooled gap;
    `accuracy`, of predictions against 1/2, for binary labels; `mse`. `score_gap`: the pooled gap of the raw scores.
    None where it is not defined, or could not be projected: then `failed` says why.
    """

    objective: float | None
    loss: float | None
    gap: float | None
    score_gap: float | None
    accuracy: float | None
    mse: float | None
    failed: str = ""


@final
@dataclass(frozen=True)
class Skipped:
    """Batches that no step was made on, because the layer had no answer; `groups`: their people by joint cell."""

    batches: int = 0
    rows: int = 0
    groups: Mapping[str, int] | None = None
    reason: str = ""

    def plus(self, groups: Mapping[str, int], reason: str) -> Skipped:
        """One more batch. The first reason is kept."""
        before = self.groups or {}
        summed = {name: before.get(name, 0) + groups.get(name, 0) for name in (*before, *groups)}
        return Skipped(self.batches + 1, self.rows + sum(groups.values()), summed, self.reason or reason)


@final
@dataclass(frozen=True)
class EpochRecord:
    """`epoch` counts from 1; `train_loss`: the objective, averaged over the people that steps were made on."""

    epoch: int
    train_loss: float
    skipped: Skipped
    train: Measures | None
    validation: Measures | None
    seconds: float

    @staticmethod
    def from_dict(found: Mapping[str, Any]) -> EpochRecord:
        """The inverse of `dataclasses.asdict`. Raises TypeError or KeyError for anything else."""
        train, validation = (
            None if found[name] is None else Measures(**found[name]) for name in ("train", "validation")
        )
        skipped = Skipped(**found["skipped"])
        return EpochRecord(found["epoch"], found["train_loss"], skipped, train, validation, found["seconds"])


@final
@dataclass(frozen=True)
class History:
    """`best_epoch`: whose weights the model now has; `plan`: how people were spread over batches (`BatchPlan.to_dict`).

    `served_with_layer`: whether this method serves with the layer, which a metric that needs labels rules out;
    `hidden`: inputs that the network was not shown.
    """

    method: str
    served_with_layer: bool
    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    stopped_early: bool
    plan: Mapping[str, Any]
    hidden: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON: no number in it is infinite or NaN."""
        return asdict(self)
