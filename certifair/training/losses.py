"""What is minimised beside fairness."""

from __future__ import annotations

from collections.abc import Callable

import torch

from certifair.errors import InputError

BaseLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Predictions and labels of one shape → a scalar, a mean over people."""

MARGIN = 1e-6
"""How far "bce" keeps probabilities from 0 and 1."""


def bce(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of δ + (1 − 2δ)·p, δ = 1e-6: the layer may serve 0 or 1 exactly, and no slope exceeds 1/δ.

    Raises InputError for predictions outside [0, 1].
    """
    if bool(((predictions < 0) | (predictions > 1)).any()):
        raise InputError("the loss bce needs predictions in [0, 1]", advice="end the network in a sigmoid, or use mse")
    likely = MARGIN + (1 - 2 * MARGIN) * predictions
    return -(labels * likely.log() + (1 - labels) * torch.log1p(-likely)).mean()


def mse(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean squared error."""
    return ((predictions - labels) ** 2).mean()


LOSSES: dict[str, BaseLoss] = {"bce": bce, "mse": mse}


def base_loss(loss: str | BaseLoss) -> BaseLoss:
    """A loss by name, or a callable as it is; either gets labels in the predictions' shape and dtype."""
    if isinstance(loss, str) and loss not in LOSSES:
        raise InputError(f"there is no loss {loss!r}", advice=f"known: {', '.join(LOSSES)}, or a callable")
    function = LOSSES[loss] if isinstance(loss, str) else loss

    def aligned(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return function(predictions, like(labels, predictions))

    return aligned


def like(labels: torch.Tensor, predictions: torch.Tensor) -> torch.Tensor:
    """Labels (n,) for predictions (n, 1), in their dtype. Raises InputError for another number of them."""
    if labels.numel() != predictions.numel():
        raise InputError(f"labels of the shape {tuple(labels.shape)} for predictions {tuple(predictions.shape)}")
    return labels.reshape(predictions.shape).to(predictions.dtype)
