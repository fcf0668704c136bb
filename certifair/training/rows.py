"""A fairness layer's own rows on a batch, as torch code: from them come the gap, the penalty and the batches' cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

from certifair.layer import FairnessLayer
from certifair.layer.rows import Rows


@final
@dataclass(frozen=True, eq=False)
class BatchRows:
    """|A y − b| ≤ ε on one batch. `joint` (n,): each person's joint cell, their column of `rows.matrix`."""

    rows: Rows
    joint: torch.Tensor

    def values(self, predictions: torch.Tensor) -> torch.Tensor:
        """A y − b in float64, (K,) for predictions (n,), (K, m) for (n, m). Differentiable."""
        y = predictions.double()
        matrix = torch.tensor(self.rows.matrix, device=y.device)
        sums = y.new_zeros((matrix.shape[1], *y.shape[1:])).index_add(0, self.joint.to(y.device), y)
        offsets = torch.from_numpy(self.rows.offset_floats).to(y.device)
        return matrix @ sums - offsets.reshape(-1, *[1] * (y.ndim - 1))

    def violation(self, predictions: torch.Tensor) -> torch.Tensor:
        """Σ over rows (and columns) of max(0, |A y − b| − ε), a scalar in float64. Differentiable.

        The sum and not the largest: every violated row pulls at once, where the largest alone gives a gradient to one
        row a step and lets the others wait; and it is an exact penalty from a weight of the largest multiplier on,
        where the largest needs the sum of all multipliers. Pairwise rows of many groups count each pair.
        """
        limits = torch.tensor([float(value) for value in self.rows.epsilon], dtype=torch.float64)
        values = self.values(predictions)
        return (values.abs() - limits.to(values.device).reshape(-1, *[1] * (values.ndim - 1))).relu().sum()

    def gap(self, predictions: torch.Tensor) -> float | None:
        """The largest |A y − b|, in floats; None where no row compares anybody."""
        with torch.no_grad():
            values = self.values(predictions)
        return float(values.abs().max()) if values.numel() else None


def rows_for(
    layer: FairnessLayer, n: int, sensitive_features: Any, labels: Any = None, conditions: Any = None
) -> BatchRows:
    """What the layer demands of these n people; nothing is solved. Raises InputError as the layer does."""
    rows, joint = layer.rows(n, sensitive_features, labels, conditions)
    return BatchRows(rows, torch.from_numpy(joint.astype(np.int64)))
