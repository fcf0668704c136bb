"""The fairness layer in training and in serving."""

from __future__ import annotations

from typing import final

import torch

from certifair.layer import FairnessLayer
from certifair.training.data import Dataset
from certifair.training.losses import BaseLoss
from certifair.training.methods.base import Method, labels_of


@final
class FLayer(Method):
    """The loss of fair predictions, trained through the projection; the layer also serves."""

    name = "flayer"
    serves_with_layer = True

    def objective(
        self, layer: FairnessLayer | None, scores: torch.Tensor, batch: Dataset, base_loss: BaseLoss
    ) -> torch.Tensor:
        assert layer is not None
        fair = layer(scores, batch.sensitive, batch.labels, batch.conditions)
        return base_loss(fair, labels_of(batch))
