"""How good and how fair a model is on a data set, as floats: for watching training, never for a claim."""

from __future__ import annotations

import torch

from certifair.layer import FairnessLayer, ProjectionError
from certifair.training.data import Dataset
from certifair.training.history import Measures
from certifair.training.losses import BaseLoss, like
from certifair.training.methods.base import Method, labels_of
from certifair.training.model import FairModel
from certifair.training.rows import rows_for


def measure(model: FairModel, method: Method, data: Dataset, base_loss: BaseLoss) -> Measures:
    """In evaluation mode, without gradients, the whole data set as one batch; the model's mode is restored."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            scores = model.scores(data.inputs)
            return _measured(model.layer, method, scores, data, base_loss, method.serving(model).layer)
    finally:
        model.train(mode)


def _measured(
    layer: FairnessLayer | None,
    method: Method,
    scores: torch.Tensor,
    data: Dataset,
    base_loss: BaseLoss,
    serving: FairnessLayer | None,
) -> Measures:
    objective, failed = None, ""
    try:
        objective = float(method.objective(layer, scores, data, base_loss))
    except ProjectionError as error:
        failed = str(error)
    rows = layer and rows_for(layer, len(data), data.sensitive, data.labels, data.conditions)
    score_gap = rows and rows.gap(scores)
    served: torch.Tensor | None = scores
    if serving is not None:
        projection = serving.project(scores, data.sensitive, data.labels, data.conditions)
        served = projection.predictions if projection else None
        failed = failed or ("" if projection else str(ProjectionError(projection)))
    if served is None:
        return Measures(objective, None, None, score_gap, None, None, failed)
    labels = like(labels_of(data), served)
    binary = bool(((labels == 0) | (labels == 1)).all())
    return Measures(
        objective=objective,
        loss=float(base_loss(served, labels)),
        gap=rows and rows.gap(served),
        score_gap=score_gap,
        accuracy=float(((served >= 0.5) == (labels == 1)).double().mean()) if binary else None,
        mse=float(((served - labels).double() ** 2).mean()),
        failed=failed,
    )
