"""Synthetic people with a real disparity, seeded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from certifair.layer import FairnessLayer
from certifair.training import Dataset, FairModel, History, Standardize, mlp

NAMES = ("skill", "luck", "age", "sex=f", "sex=m")


def people(n: int = 240, seed: int = 0, *, regression: bool = False) -> Dataset:
    """Men have more of the first input and of the label; three races; town or land."""
    rng = np.random.default_rng(seed)
    man = rng.random(n) < 0.6
    inputs = rng.normal(size=(n, 3))
    inputs[:, 0] += 1.2 * man
    inputs[:, 2] = 40 + 10 * inputs[:, 2]
    likely = 1 / (1 + np.exp(1 - 1.5 * inputs[:, 0] - inputs[:, 1] - man))
    labels = 20 + 30 * likely + rng.normal(size=n) if regression else (rng.random(n) < likely).astype(float)
    return Dataset.of(
        np.column_stack([inputs, ~man, man]),
        {"sex": np.array(["f", "m"])[man.astype(int)], "race": np.array(["a", "b", "c"])[rng.integers(0, 3, n)]},
        labels,
        np.array(["land", "town"])[rng.integers(0, 2, n)],
        NAMES,
    )


def parity(epsilon: Any = 0.05, metric: str = "demographic_parity", **options: Any) -> FairnessLayer:
    return FairnessLayer(metric, epsilon, **({"features": ["sex"]} | options))


def model_of(data: Dataset, layer: FairnessLayer | None, *, dropout: bool = False, seed: int = 0) -> FairModel:
    backbone = mlp(data.inputs.shape[1], (8,), standardize=Standardize.fitted(data.inputs), seed=seed)
    if dropout:
        backbone.insert(3, torch.nn.Dropout(0.3))
    return FairModel(backbone, layer)


def without_time(history: History) -> dict[str, Any]:
    found = history.to_dict()
    for record in found["epochs"]:
        del record["seconds"]
    return found
