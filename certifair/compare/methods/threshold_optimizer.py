"""Post-processing: fairlearn's thresholds for each group, on the scores of the base network (Hardt et al. 2016)."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any, Final, final

from certifair.compare.base import Case, Made, Method, NothingError
from certifair.compare.bundles import Floats, Mask, People, people, served_as
from certifair.compare.methods._common import base_of, fairlearn, group_frame, one_line, versions
from certifair.spec.values import values

CONSTRAINTS: Final = {
    "demographic_parity": "demographic_parity",
    "equalized_odds": "equalized_odds",
    "equal_opportunity": "true_positive_rate_parity",
}


@final
class ThresholdOptimizer(Method):
    """Fitted to the training part. What is served are its decisions, 0 or 1, which it draws near a threshold.

    Of several group columns it knows the intersections. They may be ε apart, except for equalized odds: there the
    package knows equality alone.
    """

    name = "threshold_optimizer"
    needs_base = True
    per_person = False

    def make(self, case: Case, out: Path) -> Made:
        module, metric = fairlearn("postprocessing"), case.data.metric
        if metric not in CONSTRAINTS:
            raise NothingError("does not apply", f"ThresholdOptimizer has no constraint like {metric}")
        crowd = people(case)
        scores = values(base_of(case), crowd.X)[:, :1]
        tolerance = None if metric == "equalized_odds" else float(case.data.epsilon)
        unfitted = module.ThresholdOptimizer(
            estimator=_given_scores(),
            constraints=CONSTRAINTS[metric],
            prefit=True,
            predict_method="predict",
            tol=tolerance,
        )
        started = time.perf_counter()
        fitted = _fitted(unfitted, crowd, scores)
        trained = time.perf_counter()
        groups = group_frame(crowd, crowd.test)
        served = fitted.predict(scores[crowd.test], sensitive_features=groups, random_state=case.seed)
        done = time.perf_counter()
        served_as(case, served.astype(float), out, scores[crowd.test, 0], crowd=crowd)
        solver = versions("fairlearn", "scikit-learn")
        return Made(solver, trained - started, done - trained, _note(crowd, tolerance))


def _fitted(unfitted: Any, crowd: People, scores: Floats) -> Any:
    """Raises NothingError in fairlearn's words, as where a group has one label only."""
    groups = group_frame(crowd, crowd.train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return unfitted.fit(scores[crowd.train], crowd.y[crowd.train].astype(int), sensitive_features=groups)
        except ValueError as error:
            raise NothingError("failed", one_line(f"fairlearn: {error}")) from None


def _given_scores() -> Any:
    """An estimator of scikit-learn's kind whose input is the score."""
    from sklearn.base import BaseEstimator

    class Given(BaseEstimator):  # type: ignore[misc]  # it ships no types
        def fit(self, *_: Any) -> Any:
            return self

        def predict(self, scores: Any) -> Any:
            return scores[:, 0]

        def __sklearn_is_fitted__(self) -> bool:
            return True

    return Given()


def _note(crowd: People, tolerance: float | None) -> str:
    asked = "groups may differ by 0" if tolerance is None else f"groups may differ by {tolerance:g}"
    if not (unseen := _unseen(crowd)):
        return asked
    return f"{asked}; {unseen} people of groups that nobody in the training part has are served 0, as fairlearn does"


def _unseen(crowd: People) -> int:
    """How many of the test part belong to an intersection of groups without anybody in the training part."""
    known = set(_intersections(crowd, crowd.train))
    return sum(groups not in known for groups in _intersections(crowd, crowd.test))


def _intersections(crowd: People, part: Mask) -> list[tuple[Any, ...]]:
    return list(zip(*(values[part].tolist() for values in crowd.groups.values()), strict=True))


METHODS = (ThresholdOptimizer(),)
