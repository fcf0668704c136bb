"""No fairness at all: what the other methods are compared with."""

from __future__ import annotations

from typing import final

import torch

from certifair.layer import FairnessLayer
from certifair.training.data import Dataset
from certifair.training.losses import BaseLoss
from certifair.training.methods.base import Method, labels_of


@final
class Plain(Method):
    """The loss of the scores, which are served as they are."""

    name = "plain"
    serves_with_layer = False
    needs_layer = False

    def objective(
        self, layer: FairnessLayer | None, scores: torch.Tensor, batch: Dataset, base_loss: BaseLoss
    ) -> torch.Tensor:
        return base_loss(scores, labels_of(batch))
