"""The fairness layer: predictions that satisfy a group-fairness metric by construction, trained through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, final

import numpy as np
import torch

from certifair.errors import InputError
from certifair.layer import solvers
from certifair.layer.autograd import Project
from certifair.layer.encoding import Codes, Column, Encoded, encode_column, feature_columns, join
from certifair.layer.grid import BITS, Grid
from certifair.layer.result import Projection, ProjectionError, Solved
from certifair.layer.rows import Rows, rows_of
from certifair.layer.solvers import _kernels
from certifair.layer.solvers.base import FAR, NEAR, Problem, Solver
from certifair.spec import metrics
from certifair.spec.metrics.base import LABEL, Metric
from certifair.spec.toml_reader import LARGEST, nearest

Number = float | int | str | Decimal | Fraction
Batches = np.ndarray[Any, np.dtype[np.floating[Any]]]


@final
class FairnessLayer(torch.nn.Module):
    """Euclidean projection of scores onto {lower ≤ y ≤ upper, |A y − b| ≤ ε}, exact on a dyadic grid.

    `metric`: a name (`certifair.spec.metrics.names()`) or a `Metric` of your own. `epsilon`: what every row may be, the
    decimal that is written (0.05 is 1/20); `tolerances`: other values for single rows, by name. `features`: names of
    the sensitive features; `values`: their declared values, by name, where an absent group is to be seen as absent;
    `intersectional`: the product of the features instead of each by itself; `condition`: the name of the column that
    conditional parity conditions on. `solver`: "exact", "cvxpylayers", or a `Solver` of your own.

    The layer has no state and no parameters. For fixed groups it is nonexpansive, idempotent and piecewise affine;
    its derivative is that of the real projection at the scores (Jacobian D − D A_Sᵀ (A_S D A_Sᵀ)⁺ A_S D: D selects the
    people strictly inside the box, S the rows with a multiplier), at kinks the element in which people on a bound and
    rows without a multiplier count as inactive. Source: Troxell, Roemer, Montúfar (ICML 2026).
    """

    def __init__(  # noqa: PLR0913 — options by name
        self,
        metric: str | Metric,
        epsilon: Number,
        lower: Number = 0.0,
        upper: Number = 1.0,
        solver: str | Solver = "exact",
        *,
        features: Sequence[str] | None = None,
        values: Mapping[str, Sequence[str]] | None = None,
        intersectional: bool = False,
        condition: str = "condition",
        tolerances: Mapping[str, Number] | None = None,
    ) -> None:
        super().__init__()
        self.metric = _metric(metric)
        self.epsilon = _tolerance(epsilon, "epsilon")
        self.lower, self.upper = exact_number(lower, "lower"), exact_number(upper, "upper")
        if self.lower >= self.upper:
            raise InputError("lower must be below upper", where="fairness layer")
        self.solver = solver if isinstance(solver, Solver) else solvers.get(solver)
        self.features = None if features is None else tuple(features)
        self.values = _declared(values)
        self.intersectional = intersectional
        self.condition = condition
        self.tolerances = {name: _tolerance(value, name) for name, value in (tolerances or {}).items()}
        self._grids: dict[str, Grid] = {}

    def forward(
        self,
        scores: torch.Tensor,
        sensitive_features: Any,
        labels: Any = None,
        conditions: Any = None,
        *,
        epsilon: torch.Tensor | None = None,
        offsets: torch.Tensor | None = None,
        start: np.ndarray[Any, Any] | None = None,
    ) -> torch.Tensor:
        """Predictions of the scores' shape, dtype and device. Raises ProjectionError unless every problem is solved.

        `scores`: (n,); (n, m), each column a problem; or (B, n, m), B independent batches. `sensitive_features`: codes
        or texts (n,) or (n, k), a Series, DataFrame, mapping; for B batches (n,) or (n, k) for all, or with B in front.
        `labels` (n,) and `conditions` (n,), likewise. `epsilon` (scalar or (K,)) and `offsets` (K,), tensors that
        replace the layer's own, in the order of the rows; derivatives are given for them too. `start` (K,): multipliers
        to begin with.
        """
        projection = self.project(
            scores, sensitive_features, labels, conditions, epsilon=epsilon, offsets=offsets, start=start
        )
        if not projection:
            raise ProjectionError(projection)
        return projection.predictions

    def project(
        self,
        scores: torch.Tensor,
        sensitive_features: Any,
        labels: Any = None,
        conditions: Any = None,
        *,
        epsilon: torch.Tensor | None = None,
        offsets: torch.Tensor | None = None,
        start: np.ndarray[Any, Any] | None = None,
    ) -> Projection:
        """As `forward`, with multipliers and status of each problem; what is not solved is NaN, and raises nothing."""
        _check_scores(scores)
        plain = _as_batches(scores.detach())
        grid = self._grid(str(scores.dtype).removeprefix("torch."))
        plain, far = _within_reach(plain, grid)
        count, n, columns = plain.shape
        problems = []
        for k in range(count):
            features, label, condition = (
                _batch(item, k, (count, n)) if scores.ndim == 3 else item
                for item in (sensitive_features, labels, conditions)
            )
            encoded = self._encode(features, label, condition, n)
            rows = self._rows(encoded, label, epsilon, offsets)
            problems += [
                Problem(np.ascontiguousarray(plain[k, :, c]), encoded.joint, rows, grid, far) for c in range(columns)
            ]
        answers = [self.solver.solve(problem, _start(start, len(problem.rows))) for problem in problems]
        solved = tuple(Solved(problem, answer) for problem, answer in zip(problems, answers, strict=True))
        predictions: torch.Tensor = Project.apply(scores, epsilon, offsets, solved)  # type: ignore[no-untyped-call]
        # the tensor is the only copy of the predictions: what its owner does to it must not change the answers
        kept = (Solved(item.problem, item.answer.without_predictions()) for item in solved)
        return Projection(predictions, tuple(kept))

    def _grid(self, dtype: str) -> Grid:
        if dtype not in self._grids:
            self._grids[dtype] = Grid.of(self.lower, self.upper, dtype)
        return self._grids[dtype]

    def rows(self, n: int, sensitive_features: Any, labels: Any = None, conditions: Any = None) -> tuple[Rows, Codes]:
        """What the layer demands of n people, and each one's joint cell (n,): a column of the rows' matrix."""
        encoded = self._encode(sensitive_features, labels, conditions, n)
        return self._rows(encoded, labels, None, None), encoded.joint

    def _encode(self, features: Any, labels: Any, conditions: Any, n: int) -> Encoded:
        columns = list(feature_columns(features, self.features, self.values))
        if unknown := set(self.values or ()) - {column.name for column in columns} - {self.condition}:
            what = f"values are declared of {min(unknown)!r}, which is no sensitive feature"
            raise InputError(what, where="fairness layer", advice=f"given: {[column.name for column in columns]}")
        if self.metric.needs_condition:
            if conditions is None:
                raise InputError(f"{self.metric.name} needs conditions", advice="pass conditions=")
            columns.append(encode_column(conditions, self.condition, (self.values or {}).get(self.condition)))
        elif self.metric.label_conditions:
            columns.append(_label_column(labels, self.metric.name))
        return join(columns, n)

    def _rows(self, encoded: Encoded, labels: Any, epsilon: torch.Tensor | None, offsets: torch.Tensor | None) -> Rows:
        numbers = None if labels is None or not self.metric.needs_label else _label_numbers(labels, len(encoded.joint))
        rows = rows_of(
            self.metric,
            encoded,
            intersectional=self.intersectional,
            labels=numbers,
            tolerances=self.tolerances,
            epsilon=self.epsilon,
        )
        if unknown := set(self.tolerances) - set(rows.names) - set(rows.pattern.absent):
            what = f"there is no row {min(unknown)!r} to have a tolerance"
            raise InputError(what, where="fairness layer", advice=nearest(min(unknown), rows.names))
        return rows.replaced(_given(epsilon, len(rows), "epsilon"), _given(offsets, len(rows), "offsets"))

    def extra_repr(self) -> str:
        """What stands in brackets after the name."""
        return (
            f"{self.metric.name}, epsilon={float(self.epsilon)}, box=[{float(self.lower)}, {float(self.upper)}], "
            f"solver={self.solver.name}"
        )


def exact_number(value: Number, name: str) -> Fraction:
    """The decimal that was written: 0.05 is 1/20. Raises InputError for what is no number of a reasonable size."""
    try:
        found = Fraction(str(value) if isinstance(value, (float, np.floating)) else value)
    except (ValueError, TypeError, ArithmeticError):
        raise InputError(f"{name} = {value!r} is not a finite number", where="fairness layer") from None
    if abs(found) > LARGEST or (found and abs(found) < Fraction(1, LARGEST**10)):
        raise InputError(f"{name} = {value!r} is too large or too small", where="fairness layer")
    return found


def _tolerance(value: Number, name: str) -> Fraction:
    found = exact_number(value, name)
    if found < 0:
        raise InputError(f"{name} = {value!r} is negative", where="fairness layer")
    return found


def _declared(values: Mapping[str, Sequence[Any]] | None) -> dict[str, tuple[str, ...]] | None:
    if values is None:
        return None
    found = {name: tuple(str(value) for value in declared) for name, declared in values.items()}
    for name, declared in found.items():
        if not declared or len(set(declared)) < len(declared):
            raise InputError(f"the values of {name!r} are none, or one stands twice", where="fairness layer")
    return found


def _metric(metric: str | Metric) -> Metric:
    if isinstance(metric, Metric):
        return metric
    if metric not in metrics.names():
        raise InputError(f"there is no metric {metric!r}", advice=nearest(str(metric), metrics.names()))
    return metrics.get(metric)


def _check_scores(scores: Any) -> None:
    if not isinstance(scores, torch.Tensor) or str(scores.dtype).removeprefix("torch.") not in BITS:
        raise InputError("scores must be a float32 or float64 tensor", where="fairness layer", advice="cast them")
    if not 1 <= scores.ndim <= 3 or 0 in scores.shape:
        raise InputError(f"scores have the shape {tuple(scores.shape)}, not (n,), (n, m) or (B, n, m), nobody missing")


def _as_batches(scores: torch.Tensor) -> Batches:
    """(B, n, m), in their own dtype: the compiled passes compute in float64 whatever they read."""
    shape = {1: (1, -1, 1), 2: (1, *scores.shape), 3: tuple(scores.shape)}[scores.ndim]
    plain: Batches = scores.cpu().numpy().reshape(shape)
    return plain


def _within_reach(plain: Batches, grid: Grid) -> tuple[Batches, bool]:
    """The scores, and whether one is far outside the box; who is beyond all reach counts as being at its end.

    Raises InputError for a score that is not finite.
    """
    lower, upper = grid.box
    near, end = NEAR * (upper - lower), FAR * (upper - lower)
    finite, far = _kernels.survey(plain.reshape(-1), lower - near, upper + near)
    if not finite:
        where = np.argwhere(~np.isfinite(plain))[0]
        raise InputError(f"the score of row {where[1] + 1} is not a finite number", where="fairness layer")
    return (np.clip(plain, lower - end, upper + end), True) if far else (plain, False)


def _batch(item: Any, k: int, shape: tuple[int, int]) -> Any:
    """The k-th batch's part, where the item has a batch dimension in front of that of the people."""
    found = getattr(item, "shape", ())
    return item[k] if len(found) >= 2 and tuple(found[:2]) == shape else item


def _label_numbers(labels: Any, n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    if hasattr(labels, "detach"):
        labels = labels.detach().cpu().numpy()
    try:
        found = np.asarray(labels, dtype=np.float64).reshape(-1)
    except (ValueError, TypeError):
        raise InputError("labels must be numbers", where="fairness layer") from None
    if len(found) != n or not np.isfinite(found).all():
        raise InputError(f"labels must be {n} finite numbers", where="fairness layer")
    return found


def _label_column(labels: Any, metric: str) -> Column:
    """Binary labels as a condition."""
    if labels is None:
        raise InputError(f"{metric} needs labels", advice="pass labels=")
    found = labels.detach().cpu().numpy() if hasattr(labels, "detach") else np.asarray(labels)
    found = found.reshape(-1)
    if found.dtype.kind not in "fiub" or ((found != 0) & (found != 1)).any():
        raise InputError(f"{metric} needs labels 0 or 1", where="fairness layer")
    return encode_column(found.astype(np.int64), LABEL, ("0", "1"))


def _start(start: Any, count: int) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    if start is None:
        return None
    found = np.array(start, dtype=np.float64)
    if found.shape != (count,) or not np.isfinite(found).all():
        raise InputError(f"start must be {count} finite multipliers, one for each row", where="fairness layer")
    return found


def _given(values: Any, count: int, name: str) -> tuple[Fraction, ...] | None:
    """A tensor's numbers as they stand, one for each row."""
    if values is None:
        return None
    if not isinstance(values, torch.Tensor):
        raise InputError(f"{name} must be a tensor here", where="fairness layer", advice="or give it to the layer")
    found = values.detach().cpu().double().reshape(-1).tolist()
    if len(found) not in (1, count) or (name == "epsilon" and min(found) < 0) or not np.isfinite(found).all():
        raise InputError(
            f"{name} must be one finite number, or one for each of the {count} rows", where="fairness layer"
        )
    return tuple(Fraction(value) for value in (found * count if len(found) == 1 else found))
