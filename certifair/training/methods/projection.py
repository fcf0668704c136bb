"""Plain training; the layer only serves."""

from __future__ import annotations

from typing import final

import torch

from certifair.layer import FairnessLayer
from certifair.training.data import Dataset
from certifair.training.losses import BaseLoss
from certifair.training.methods.base import Method, labels_of


@final
class ProjectionOnly(Method):
    """The loss of the scores; the layer projects them once they are served."""

    name = "projection"
    serves_with_layer = True

    def objective(
        self, layer: FairnessLayer | None, scores: torch.Tensor, batch: Dataset, base_loss: BaseLoss
    ) -> torch.Tensor:
        return base_loss(scores, labels_of(batch))
