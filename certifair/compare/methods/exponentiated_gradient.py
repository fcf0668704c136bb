"""Training under constraints: fairlearn's exponentiated gradient, a lottery over classifiers (Agarwal et al. 2018)."""

from __future__ import annotations

import contextlib
import importlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, final

from certifair.compare.base import Case, Made, Method, NothingError
from certifair.compare.bundles import people, served_as
from certifair.compare.methods._common import fairlearn, group_frame, one_line, versions

CONSTRAINTS: Final = {
    "demographic_parity": "DemographicParity",
    "equalized_odds": "EqualizedOdds",
    "equal_opportunity": "TruePositiveRateParity",
}
TREES: Final = 20
LEAVES: Final = 15
RATE: Final = 0.2
ITERATIONS: Final = 50
"""fairlearn's own number."""
PART: Final = 0.93
"""Of the case's time, for fitting."""


@final
class ExponentiatedGradient(Method):
    """Fitted to the training part. What is served is 0 or 1, drawn for each person by the seed.

    Its classifiers are scikit-learn's gradient-boosted trees, 20 of 15 leaves: as accurate as the networks here or more
    (on Adult's integers 0.86; a logistic regression 0.82), and fitted in a tenth of a second, which it asks for a
    hundred times and more. fairlearn bounds each group's distance from everybody, so ε/2 is what keeps any two groups
    within ε of each other; of several group columns it knows the intersections.
    """

    name = "exponentiated_gradient"
    per_person = False

    def make(self, case: Case, out: Path) -> Made:
        reductions, metric = fairlearn("reductions"), case.data.metric
        if metric not in CONSTRAINTS:
            raise NothingError("does not apply", f"fairlearn's reductions have no constraint like {metric}")
        crowd = people(case)
        started = time.perf_counter()
        with _quiet_and_alone():
            bound = getattr(reductions, CONSTRAINTS[metric])(difference_bound=float(case.data.epsilon) / 2)
            timed = _Timed(_trees(case.seed), PART * case.seconds)
            fitted = reductions.ExponentiatedGradient(timed, bound, max_iter=ITERATIONS)
            try:
                groups = group_frame(crowd, crowd.train)
                fitted.fit(crowd.X[crowd.train], crowd.y[crowd.train].astype(int), sensitive_features=groups)
            except ValueError as error:
                raise NothingError("failed", one_line(f"fairlearn: {error}")) from None
            trained = time.perf_counter()
            served = fitted.predict(crowd.X[crowd.test], random_state=case.seed)
            done = time.perf_counter()
            shares = _shares(fitted, crowd.X[crowd.test])
        served_as(case, served.astype(float), out, shares, crowd=crowd)
        note = f"a lottery over {int((fitted.weights_ > 0).sum())} classifiers after {fitted.last_iter_ + 1} iterations"
        return Made(versions("fairlearn", "scikit-learn"), trained - started, done - trained, note)


@contextlib.contextmanager
def _quiet_and_alone() -> Iterator[None]:
    """Without warnings, and in one thread: trees this small wait for other threads more than they work."""
    with warnings.catch_warnings(), importlib.import_module("threadpoolctl").threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield


def _trees(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=TREES, max_leaf_nodes=LEAVES, learning_rate=RATE, early_stopping=False, random_state=seed
    )


@final
class _Timed:
    """A classifier that refuses to be fitted once it is late: fairlearn itself never looks at the clock.

    It is no estimator of scikit-learn's, so that fairlearn copies it whole.
    """

    def __init__(self, classifier: Any, seconds: float) -> None:
        self._classifier = classifier
        self._seconds, self._deadline = seconds, time.monotonic() + seconds

    def fit(self, X: Any, y: Any, sample_weight: Any) -> _Timed:
        if time.monotonic() > self._deadline:
            raise NothingError("time limit", f"fairlearn asked for one more classifier after {self._seconds:.0f} s")
        self._classifier.fit(X, y, sample_weight=sample_weight)
        return self

    def predict(self, X: Any) -> Any:
        return self._classifier.predict(X)


def _shares(fitted: Any, X: Any) -> Any:
    """How likely each person is to be served 1 (n,), by the lottery's published weights."""
    chosen = [(w, h) for w, h in zip(fitted.weights_, fitted.predictors_[fitted.weights_.index], strict=True) if w > 0]
    return sum(weight * classifier.predict(X) for weight, classifier in chosen)


METHODS = (ExponentiatedGradient(),)
