"""Training networks with the fairness layer, and with what it is compared with."""

from __future__ import annotations

from certifair.training.backbone import Standardize, mlp
from certifair.training.batches import BatchPlan, plan_batches
from certifair.training.data import Dataset, hide_sensitive, split, split_indices
from certifair.training.estimators import FairClassifier, FairRegressor
from certifair.training.gradient_audit import audit_gradients
from certifair.training.gradient_record import BatchAudit, Comparison, GradientAudit
from certifair.training.history import EpochRecord, History, Measures, Skipped
from certifair.training.model import FairModel, Served, ServedBatch
from certifair.training.trainer import Trainer, TrainerConfig

__all__ = [
    "BatchAudit",
    "BatchPlan",
    "Comparison",
    "Dataset",
    "EpochRecord",
    "FairClassifier",
    "FairModel",
    "FairRegressor",
    "GradientAudit",
    "History",
    "Measures",
    "Served",
    "ServedBatch",
    "Skipped",
    "Standardize",
    "Trainer",
    "TrainerConfig",
    "audit_gradients",
    "hide_sensitive",
    "mlp",
    "plan_batches",
    "split",
    "split_indices",
]
