"""What a classifier and a regressor share: parameters, fit, serve. scikit-learn's conventions, without scikit-learn."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.layer import FairnessLayer
from certifair.layer.fairness_layer import Number
from certifair.spec.toml_reader import nearest
from certifair.training import methods
from certifair.training.backbone import Standardize, mlp
from certifair.training.data import Dataset, hide_sensitive, split
from certifair.training.history import History
from certifair.training.model import FairModel, Served
from certifair.training.trainer import Trainer, TrainerConfig

Floats = NDArray[np.float64]


@dataclass(eq=False, kw_only=True)
class FairEstimator(ABC):
    """Parameters are kept as given and looked at by `fit`, so that `sklearn.base.clone` works.

    `metric`, `epsilon`, `intersectional`: what is demanded; `method`: see `certifair.training.methods`; `hidden`,
    `activation`, `layer_norm`: the network; `validation`: the share kept for early stopping; `serve_batch`: how many
    people are served at once (0: all). The rest as in `TrainerConfig`. After `fit`: `model_` (what serves), `history_`,
    `n_features_in_`, `feature_names_in_`, `sensitive_values_` (each sensitive feature's known values).
    """

    metric: Any = "demographic_parity"
    epsilon: Number = 0.05
    intersectional: bool = False
    method: str = "flayer"
    hidden: Sequence[int] = (32, 16)
    activation: str = "relu"
    layer_norm: bool = False
    epochs: int = 50
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    patience: int = 10
    validation: float = 0.1
    penalty: float | None = None
    hide_sensitive: bool = False
    serve_batch: int = 0
    seed: int = 0

    model_: FairModel = field(init=False, repr=False)
    history_: History = field(init=False, repr=False)
    n_features_in_: int = field(init=False, repr=False)
    feature_names_in_: tuple[str, ...] = field(init=False, repr=False)
    sensitive_values_: Mapping[str, tuple[str, ...]] = field(init=False, repr=False)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters. `deep` changes nothing: none of them is an estimator."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.init}

    def set_params(self, **params: Any) -> Self:
        """Raises InputError for an unknown name."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise InputError(f"{type(self).__name__} has no parameter {name!r}", advice=nearest(name, list(known)))
            setattr(self, name, value)
        return self

    def fit(self, X: Any, y: Any, sensitive_features: Any = None, conditions: Any = None) -> Self:
        """Train. `X` (n, d) numbers, `y` (n,), `sensitive_features` (n,) or (n, k), `conditions` (n,)."""
        names = _names(X)
        labels = self._learned(y)
        needs_layer = methods.get(self.method, self.penalty).needs_layer
        if sensitive_features is None and needs_layer:
            raise InputError(f"the method {self.method} needs sensitive features", advice="pass sensitive_features=")
        data = Dataset.of(_table(X), sensitive_features, labels, conditions, names)
        config = self._config()
        columns = data.columns
        if self.hide_sensitive:
            data = hide_sensitive(data)
        parts = split(data, {"train": 1 - _share(self.validation), "validation": _share(self.validation)}, self.seed)
        layer = None if sensitive_features is None else self._layer(data)
        model = FairModel(self._backbone(parts["train"]), layer)
        history = Trainer(config).fit(model, parts["train"], parts["validation"])
        self.n_features_in_ = len(names) if names else data.inputs.shape[1]
        self.feature_names_in_ = names
        self.sensitive_values_ = {name: _values(column) for name, column in data.sensitive.items()}
        self._shown = data.columns
        self.history_ = replace(history, hidden=tuple(name for name in columns if name not in data.columns))
        self.model_ = methods.get(self.method, self.penalty).serving(model).eval()
        return self

    def serve(self, X: Any, sensitive_features: Any = None, conditions: Any = None) -> Served:
        """Scores, predictions (n, 1) and the layer's multipliers, `serve_batch` people at a time.

        `sensitive_features` are needed where the layer serves: with the methods flayer and projection, unless the
        metric needs labels: it is then enforced in training only, because labels are not known while serving.
        Raises InputError, and ProjectionError where a batch has no fair answer.
        """
        if not hasattr(self, "model_"):
            raise InputError(f"this {type(self).__name__} is not fitted", advice="call fit first")
        if (names := _names(X)) and self.feature_names_in_ and names != self.feature_names_in_:
            raise InputError(f"the columns are {list(names)}, not {list(self.feature_names_in_)}")
        table = _table(X)
        if table.shape[1] != self.n_features_in_:
            raise InputError(f"X has {table.shape[1]} columns, not {self.n_features_in_}")
        features = sensitive_features if self.model_.layer is not None else None
        data = Dataset.of(table, features, None, conditions, self.feature_names_in_ or names)
        if self._shown != data.columns:
            data = hide_sensitive(data, [name for name in data.columns if name not in self._shown])
        return self.model_.predict(
            data.inputs, data.sensitive or None, conditions=data.conditions, batch=self.serve_batch
        )

    def _predicted(self, X: Any, sensitive_features: Any, conditions: Any) -> Floats:
        found: Floats = self.serve(X, sensitive_features, conditions).predictions.cpu().numpy().reshape(-1)
        return found

    def _config(self) -> TrainerConfig:
        return TrainerConfig(
            method=self.method,
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
            seed=self.seed,
            loss=self._loss,
            penalty=self.penalty,
            measure_train=False,
        )

    def _layer(self, data: Dataset) -> FairnessLayer:
        values = {name: _values(column) for name, column in data.sensitive.items()}
        if data.conditions is not None:
            values["condition"] = _values(data.conditions)
        lower, upper = self._box(data)
        return FairnessLayer(
            self.metric,
            self.epsilon,
            lower,
            upper,
            features=list(data.sensitive),
            values=values,
            intersectional=self.intersectional,
        )

    @property
    @abstractmethod
    def _loss(self) -> str: ...

    @abstractmethod
    def _learned(self, y: Any) -> Floats:
        """The labels as numbers."""

    @abstractmethod
    def _box(self, data: Dataset) -> tuple[Number, Number]: ...

    @abstractmethod
    def _backbone(self, train: Dataset) -> torch.nn.Module: ...


def network(estimator: FairEstimator, train: Dataset, end: str | None) -> torch.nn.Sequential:
    """The built-in network that the parameters describe, standardising by the training split."""
    return mlp(
        train.inputs.shape[1],
        estimator.hidden,
        activation=estimator.activation,
        final=end,
        layer_norm=estimator.layer_norm,
        seed=estimator.seed,
        standardize=Standardize.fitted(train.inputs),
    )


def _names(X: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in getattr(X, "columns", ()))


def _table(X: Any) -> Any:
    """X with two dimensions, however it came. Raises InputError."""
    found = np.asarray(X) if isinstance(X, list | tuple) else X
    if len(getattr(found, "shape", ())) != 2:
        raise InputError(f"X has the shape {tuple(getattr(found, 'shape', ()))}, not (people, columns)")
    return found


def one_column(y: Any, n: int | None = None) -> NDArray[Any]:
    """Labels (n,); (n, 1) is taken too. Raises InputError."""
    if hasattr(y, "detach"):
        y = y.detach().cpu()
    found = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1 or (n is not None and len(found) != n):
        raise InputError(f"y has the shape {found.shape}, not ({'n' if n is None else n},)")
    if any(value is None or (isinstance(value, float) and math.isnan(value)) for value in found.tolist()):
        raise InputError("y holds missing values", advice="drop those rows")
    return found


def _share(validation: float) -> Fraction:
    try:
        share = Fraction(str(validation))
    except ValueError:
        share = Fraction(-1)
    if not 0 <= share < 1:
        raise InputError(f"validation = {validation!r} is no share from 0 to below 1")
    return share


def _values(column: NDArray[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in np.unique(column).tolist())
