"""What a training method is: the loss of a batch, and whether what is served passes through the layer."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from certifair.errors import InputError
from certifair.layer import FairnessLayer
from certifair.training.data import Dataset
from certifair.training.losses import BaseLoss
from certifair.training.model import FairModel
from certifair.training.rows import rows_for


class Method(ABC):
    """A final subclass in a file of its own in this folder is a method: `methods.names()` finds it.

    `weight`: of the penalty, for methods that have a `default_weight`. Raises InputError for a weight without use.
    """

    name: ClassVar[str]
    serves_with_layer: ClassVar[bool]
    needs_layer: ClassVar[bool] = True
    default_weight: ClassVar[float | None] = None

    def __init__(self, weight: float | None = None) -> None:
        if weight is not None and self.default_weight is None:
            raise InputError(f"the method {self.name} has no penalty to weigh", advice="leave the weight out")
        if weight is not None and not (math.isfinite(weight) and weight >= 0):
            raise InputError(f"a penalty weight of {weight}", advice="0 or a positive number")
        self.weight = self.default_weight if weight is None else weight

    @abstractmethod
    def objective(
        self, layer: FairnessLayer | None, scores: torch.Tensor, batch: Dataset, base_loss: BaseLoss
    ) -> torch.Tensor:
        """What is minimised, a scalar, from a batch's scores. Raises ProjectionError where the layer has no answer."""

    def loss(self, model: FairModel, batch: Dataset, base_loss: BaseLoss) -> torch.Tensor:
        """`objective` of the model's scores."""
        return self.objective(model.layer, model.scores(batch.inputs), batch, base_loss)

    def serving(self, model: FairModel, *, labels_known: bool = False) -> FairModel:
        """What this method serves with: the same backbone, with the layer if the method serves with it.

        A metric that needs labels cannot be enforced where labels are not known: then without.
        """
        layer = model.layer if self.serves_with_layer else None
        if layer is not None and layer.metric.needs_label and not labels_known:
            layer = None
        return FairModel(model.backbone, layer)


def labels_of(batch: Dataset) -> torch.Tensor:
    """The labels. Raises InputError if there are none."""
    if batch.labels is None:
        raise InputError("nothing can be learned without labels", advice="pass labels=")
    return batch.labels


def penalised(
    layer: FairnessLayer | None, scores: torch.Tensor, batch: Dataset, base_loss: BaseLoss, weight: float | None
) -> torch.Tensor:
    """Loss of the scores + weight × how far the layer's rows exceed their tolerances."""
    assert layer is not None
    assert weight is not None
    rows = rows_for(layer, len(batch), batch.sensitive, batch.labels, batch.conditions)
    return base_loss(scores, labels_of(batch)) + weight * rows.violation(scores).to(scores.dtype)
