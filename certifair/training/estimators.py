"""The layer for people who want fit and predict. scikit-learn's conventions, without needing scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.layer.fairness_layer import Number
from certifair.training._estimator import FairEstimator, Floats, network, one_column
from certifair.training.backbone import Standardize
from certifair.training.data import Dataset, numbers


@final
@dataclass(eq=False, kw_only=True)
class FairClassifier(FairEstimator):
    """Two classes; probabilities that satisfy the metric exactly, whenever `method` serves with the layer.

    `threshold`: from which probability on the second class of `classes_` (sorted) is predicted. The guarantee is about
    probabilities, not about thresholded decisions.
    """

    threshold: float = 0.5
    classes_: NDArray[Any] = field(init=False, repr=False)

    def predict_proba(self, X: Any, sensitive_features: Any = None, conditions: Any = None) -> Floats:
        """(n, 2), in the order of `classes_`; the second column is what the layer serves."""
        served = self._predicted(X, sensitive_features, conditions)
        return np.stack([1 - served, served], axis=1)

    def predict(self, X: Any, sensitive_features: Any = None, conditions: Any = None) -> NDArray[Any]:
        """(n,) of `classes_`."""
        served = self._predicted(X, sensitive_features, conditions)
        found: NDArray[Any] = self.classes_[(served >= self.threshold).astype(int)]
        return found

    def score(self, X: Any, y: Any, sensitive_features: Any = None, conditions: Any = None) -> float:
        """Accuracy."""
        found = self.predict(X, sensitive_features, conditions)
        return float(np.mean(found == one_column(y, len(found))))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags("classifier", TargetTags(required=True), classifier_tags=ClassifierTags(multi_class=False),
                    input_tags=InputTags())  # fmt: skip

    @property
    def _loss(self) -> str:
        return "bce"

    def _learned(self, y: Any) -> Floats:
        found = one_column(y)
        self.classes_, codes = np.unique(found, return_inverse=True)
        if len(self.classes_) != 2:
            raise InputError(f"y has {len(self.classes_)} classes, not two", where="FairClassifier")
        return codes.astype(np.float64)

    def _box(self, data: Dataset) -> tuple[Number, Number]:
        return 0, 1

    def _backbone(self, train: Dataset) -> torch.nn.Module:
        return network(self, train, "sigmoid")


@final
@dataclass(eq=False, kw_only=True)
class FairRegressor(FairEstimator):
    """Numbers within [lower, upper] that satisfy the metric; None: the least and the greatest of y seen by `fit`."""

    lower: Number | None = None
    upper: Number | None = None

    def predict(self, X: Any, sensitive_features: Any = None, conditions: Any = None) -> Floats:
        """(n,), in y's units."""
        return self._predicted(X, sensitive_features, conditions)

    def score(self, X: Any, y: Any, sensitive_features: Any = None, conditions: Any = None) -> float:
        """R², the share of y's variance that is explained; 0 where y does not vary."""
        found = self.predict(X, sensitive_features, conditions)
        wanted = numbers(one_column(y, len(found)), "y")
        spread = float(((wanted - wanted.mean()) ** 2).sum())
        return 1 - float(((wanted - found) ** 2).sum()) / spread if spread > 0 else 0.0

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags("regressor", TargetTags(required=True), regressor_tags=RegressorTags(), input_tags=InputTags())

    @property
    def _loss(self) -> str:
        return "mse"

    def _learned(self, y: Any) -> Floats:
        return numbers(one_column(y), "y")

    def _box(self, data: Dataset) -> tuple[Number, Number]:
        assert data.labels is not None
        lower = float(data.labels.min()) if self.lower is None else self.lower
        return lower, float(data.labels.max()) if self.upper is None else self.upper

    def _backbone(self, train: Dataset) -> torch.nn.Module:
        """The network learns y standardised; its last module puts it back into y's units."""
        assert train.labels is not None
        units = Standardize.fitted(train.labels.reshape(-1, 1))
        back = Standardize(-units.mean / units.scale, 1 / units.scale)
        return torch.nn.Sequential(*network(self, train, None), back)
