"""A large price on unfairness in the loss."""

from __future__ import annotations

from typing import final

import torch

from certifair.layer import FairnessLayer
from certifair.training.data import Dataset
from certifair.training.losses import BaseLoss
from certifair.training.methods.base import Method, penalised


@final
class StrictPenalty(Method):
    """As `penalty`, with a weight that outbids the loss; still nothing is guaranteed."""

    name = "strict_penalty"
    serves_with_layer = False
    default_weight = 10.0

    def objective(
        self, layer: FairnessLayer | None, scores: torch.Tensor, batch: Dataset, base_loss: BaseLoss
    ) -> torch.Tensor:
        return penalised(layer, scores, batch, base_loss, self.weight)
