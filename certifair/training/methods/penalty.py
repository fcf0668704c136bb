"""A small price on unfairness in the loss."""

from __future__ import annotations

from typing import final

import torch

from certifair.layer import FairnessLayer
from certifair.training.data import Dataset
from certifair.training.losses import BaseLoss
from certifair.training.methods.base import Method, penalised


@final
class Penalty(Method):
    """Loss + weight × violations of the layer's rows; no layer serves, so nothing is guaranteed."""

    name = "penalty"
    serves_with_layer = False
    default_weight = 0.5

    def objective(
        self, layer: FairnessLayer | None, scores: torch.Tensor, batch: Dataset, base_loss: BaseLoss
    ) -> torch.Tensor:
        return penalised(layer, scores, batch, base_loss, self.weight)
