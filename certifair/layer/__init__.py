"""The fairness layer: a projection of a network's predictions onto a group-fairness set, trained through."""

from __future__ import annotations

from certifair.layer.fairness_layer import FairnessLayer
from certifair.layer.result import Projection, ProjectionError, Solved
from certifair.layer.solvers.base import Status

__all__ = ["FairnessLayer", "Projection", "ProjectionError", "Solved", "Status"]
