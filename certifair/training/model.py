"""A network with the fairness layer behind it, and what it serves."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import nn

from certifair.errors import InputError
from certifair.layer import FairnessLayer, Projection, ProjectionError


@final
@dataclass(frozen=True)
class ServedBatch:
    """People `start` to `stop` (excluded) of what was served at once.

    `multipliers`: one mapping from row to dual solution for each output column; `absent`: rows that nothing was
    demanded of, because a group they speak of is not in the batch; `reason`: why it could not be served, else "".
    """

    start: int
    stop: int
    multipliers: tuple[Mapping[str, float], ...]
    absent: tuple[str, ...]
    reason: str = ""


@final
@dataclass(frozen=True, eq=False)
class Served:
    """`scores` and `predictions`, float64, of the network's output shape (predictions NaN where a batch failed).

    Truthy only if every batch was served.
    """

    scores: torch.Tensor
    predictions: torch.Tensor
    batches: tuple[ServedBatch, ...]

    def __bool__(self) -> bool:
        return not any(batch.reason for batch in self.batches)


@final
class FairModel(nn.Module):
    """`backbone`, any module from inputs to scores (n,), (n, 1) or (n, m), and the layer that makes them fair."""

    def __init__(self, backbone: nn.Module, layer: FairnessLayer | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.layer = layer

    def forward(
        self, inputs: torch.Tensor, sensitive_features: Any = None, labels: Any = None, conditions: Any = None
    ) -> torch.Tensor:
        """Fair predictions if there is a layer and sensitive features are given, else scores. Differentiable.

        Raises ProjectionError where no fair prediction exists.
        """
        scores = self.scores(inputs)
        if self.layer is None or sensitive_features is None:
            return scores
        found: torch.Tensor = self.layer(scores, sensitive_features, labels, conditions)
        return found

    def scores(self, inputs: torch.Tensor) -> torch.Tensor:
        """The backbone's raw outputs."""
        found: torch.Tensor = self.backbone(inputs)
        return found

    @property
    def dtype(self) -> torch.dtype:
        """That of the first floating parameter or buffer of the backbone."""
        tensors = (*self.backbone.parameters(), *self.backbone.buffers())
        return next((item.dtype for item in tensors if item.is_floating_point()), torch.get_default_dtype())

    def predict(
        self,
        inputs: Any,
        sensitive_features: Any = None,
        labels: Any = None,
        conditions: Any = None,
        *,
        batch: int = 0,
        partial: bool = False,
    ) -> Served:
        """What is served to these people, `batch` at a time in the order given (0: all at once; the last may be fewer).

        Computed in evaluation mode, without gradients, by a float64 copy of the backbone: the scores are those of the
        stored weights to about 1e-15, and the predictions lie on the grid of 2⁻⁴⁰. The model itself is not changed.
        Raises InputError if the layer is not told the sensitive features, and ProjectionError for the first batch that
        has no fair answer, unless `partial`: then its predictions are NaN, and its reason is kept.
        """
        if self.layer is not None and sensitive_features is None:
            raise InputError("the model serves with a fairness layer", advice="pass sensitive_features=")
        if batch < 0:
            raise InputError(f"batch = {batch} is negative", advice="0 serves everybody at once")
        device = next((item.device for item in self.backbone.parameters()), torch.device("cpu"))
        if isinstance(inputs, np.ndarray) and not inputs.flags.writeable:
            inputs = inputs.copy()  # torch has no read-only tensors, and warns
        inputs = torch.as_tensor(inputs, device=device)
        inputs = inputs.double() if inputs.is_floating_point() else inputs
        with torch.no_grad():
            scores = copy.deepcopy(self.backbone).double().eval()(inputs)
        n = len(inputs)
        if len(scores) != n or n == 0:
            raise InputError(f"{n} inputs gave scores of the shape {tuple(scores.shape)}", where="predict")
        if self.layer is None:
            whole = tuple(ServedBatch(start, stop, (), ()) for start, stop in _ranges(n, batch))
            return Served(scores, scores.clone(), whole)
        columns = (sensitive_features, labels, conditions)
        predictions = torch.empty_like(scores)
        batches = []
        for start, stop in _ranges(n, batch):
            part = [item if stop - start == n else _rows(item, start, stop) for item in columns]
            projection = self.layer.project(scores[start:stop], *part)
            if not projection and not partial:
                raise ProjectionError(projection)
            predictions[start:stop] = projection.predictions
            batches.append(_served(start, stop, projection))
        return Served(scores, predictions, tuple(batches))


def _ranges(n: int, batch: int) -> Iterator[tuple[int, int]]:
    size = batch or n
    for start in range(0, n, size):
        yield start, min(start + size, n)


def _rows(values: Any, start: int, stop: int) -> Any:
    """The same people of any form of columns."""
    if values is None:
        return None
    if isinstance(values, Mapping):
        return {name: _rows(column, start, stop) for name, column in values.items()}
    return values.iloc[start:stop] if hasattr(values, "iloc") else values[start:stop]


def _served(start: int, stop: int, projection: Projection) -> ServedBatch:
    failed = [item.answer for item in projection.problems if not item.status]
    return ServedBatch(
        start,
        stop,
        tuple(item.multipliers for item in projection.problems),
        projection.problems[0].absent,
        f"{failed[0].status.value}: {failed[0].reason}" if failed else "",
    )
