"""fairlearn's two methods, against the package called by hand."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fairlearn", reason="fairlearn is absent")
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import DemographicParity, EqualizedOdds, TruePositiveRateParity
from fairlearn.reductions import ExponentiatedGradient as ReductionsGradient
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

from certifair.compare import methods
from certifair.compare.base import Case, DataSet, NothingError
from certifair.compare.bundles import people
from certifair.compare.methods import exponentiated_gradient
from certifair.spec.values import values
from tests.compare.method_cases import base_network, case_of, people_set, served

BOTH = ("threshold_optimizer", "exponentiated_gradient")


def make(data: DataSet, name: str, out: Path, **said: Any) -> tuple[Any, Any, Any]:
    """Predictions, scores, and what the method says."""
    made = methods.get(name).make(case_of(data, name, **said), out)
    return *served(out), made


def gap(data: DataSet, name: str, predictions: Any) -> float:
    crowd = people(case_of(data, name))
    groups = crowd.groups["sex"][crowd.test]
    return float(abs(predictions[groups == "0"].mean() - predictions[groups == "1"].mean()))


@pytest.mark.parametrize(
    ("metric", "constraint", "tolerance"),
    [
        ("demographic_parity", "demographic_parity", 0.1),
        ("equal_opportunity", "true_positive_rate_parity", 0.1),
        ("equalized_odds", "equalized_odds", None),
    ],
)
def test_thresholds_are_those_of_the_package_itself(
    tmp_path: Path, metric: str, constraint: str, tolerance: float | None
) -> None:
    data = people_set(tmp_path, groups=("sex", "side"), metric=metric)
    found, scores, made = make(data, "threshold_optimizer", tmp_path / "run", seed=3)
    crowd = people(case_of(data, "threshold_optimizer"))
    z = values(base_network(), crowd.X)[:, :1]
    joint = np.array([f"{a}/{b}" for a, b in zip(crowd.groups["sex"], crowd.groups["side"], strict=True)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = ThresholdOptimizer(
            estimator=LinearRegression(fit_intercept=False).fit([[1.0], [2.0]], [1.0, 2.0]),  # the score itself
            constraints=constraint,
            tol=tolerance,
            prefit=True,
            predict_method="predict",
        )
        optimizer.fit(z[crowd.train], crowd.y[crowd.train].astype(int), sensitive_features=joint[crowd.train])
        expected = optimizer.predict(z[crowd.test], sensitive_features=joint[crowd.test], random_state=3)
    assert np.mean(found == expected) > 0.99  # a score may round to the other side of a threshold
    assert np.allclose(scores, z[crowd.test, 0], rtol=0, atol=1e-11)
    assert set(found) == {0.0, 1.0}
    assert made.note == f"groups may differ by {tolerance or 0:g}"
    assert made.solver.startswith("fairlearn ")


@pytest.mark.parametrize(
    ("metric", "constraint"),
    [
        ("demographic_parity", DemographicParity),
        ("equalized_odds", EqualizedOdds),
        ("equal_opportunity", TruePositiveRateParity),
    ],
)
def test_the_lottery_is_that_of_the_package_itself(
    tmp_path: Path, metric: str, constraint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exponentiated_gradient, "ITERATIONS", 3)  # of 50, as time is short
    data = people_set(tmp_path, metric=metric)
    found, shares, made = make(data, "exponentiated_gradient", tmp_path / "run", seed=2)
    crowd = people(case_of(data, "exponentiated_gradient"))
    trees = HistGradientBoostingClassifier(
        max_iter=20, max_leaf_nodes=15, learning_rate=0.2, early_stopping=False, random_state=2
    )
    groups = crowd.groups["sex"]
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        fitted = ReductionsGradient(trees, constraint(difference_bound=0.05), max_iter=3)
        fitted.fit(crowd.X[crowd.train], crowd.y[crowd.train].astype(int), sensitive_features=groups[crowd.train])
        expected = fitted._pmf_predict(crowd.X[crowd.test])[:, 1]
        assert np.array_equal(found, fitted.predict(crowd.X[crowd.test], random_state=2))
    assert np.allclose(shares, expected, rtol=0, atol=1e-11)
    assert set(found) == {0.0, 1.0}
    assert f"a lottery over {(fitted.weights_ > 0).sum()} classifiers" in made.note


@pytest.mark.parametrize("name", BOTH)
def test_groups_come_closer(tmp_path: Path, name: str) -> None:
    """ε = 0.1 is kept on the training part; the test part has 200 people."""
    data = people_set(tmp_path)
    crowd = people(case_of(data, name))
    before = values(base_network(), crowd.X)[crowd.test, 0] > 0.5
    assert gap(data, name, before) > 0.4
    assert gap(data, name, make(data, name, tmp_path / "run")[0]) < 0.25


def test_a_seed_says_it_all(tmp_path: Path) -> None:
    data = people_set(tmp_path)
    name = "threshold_optimizer"
    first, again, other = (make(data, name, tmp_path / str(k), seed=seed)[0] for k, seed in enumerate((0, 0, 1)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", BOTH)
def test_a_metric_without_a_constraint_does_not_apply(tmp_path: Path, name: str) -> None:
    data = people_set(tmp_path, metric="equalized_residuals")
    with pytest.raises(NothingError, match="like equalized_residuals") as error:
        make(data, name, tmp_path / "run")
    assert error.value.status == "does not apply"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "module"), list(zip(BOTH, ("postprocessing", "reductions"), strict=True)))
def test_without_the_package_they_do_not_apply(
    tmp_path: Path, name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"fairlearn.{module}", None)
    with pytest.raises(NothingError, match=r"fairlearn is not installed \(pip install fairlearn\)") as error:
        make(people_set(tmp_path), name, tmp_path / "run")
    assert error.value.status == "does not apply"


def all_good(row: dict[str, Any]) -> None:
    row["good"] = 1 if row["sex"] == 1 else row["good"]


def test_a_group_with_one_label_fails_in_the_packages_words(tmp_path: Path) -> None:
    with pytest.raises(NothingError, match="Degenerate labels") as error:
        make(people_set(tmp_path, change=all_good), "threshold_optimizer", tmp_path / "run")
    assert error.value.status == "failed"


def only_later(row: dict[str, Any]) -> None:
    row["region"] = "t" if row["split"] == "test" and row["a"] == 4 else row["region"]


def test_people_of_groups_that_nobody_trained_on_are_counted(tmp_path: Path) -> None:
    data = people_set(tmp_path, groups=("region",), change=only_later)
    found, _, made = make(data, "threshold_optimizer", tmp_path / "run")
    crowd = people(case_of(data, "threshold_optimizer"))
    new = crowd.groups["region"][crowd.test] == "t"
    assert new.sum() > 10
    assert not found[new].any()
    assert f"; {new.sum()} people of groups that nobody" in made.note


def test_thresholds_need_a_network(tmp_path: Path) -> None:
    with pytest.raises(NothingError, match="no network to start from"):
        make(people_set(tmp_path), "threshold_optimizer", tmp_path / "run", base=False)


def test_the_reduction_stops_when_its_time_is_over(tmp_path: Path) -> None:
    case = case_of(people_set(tmp_path), "exponentiated_gradient", seconds=0.0)
    assert isinstance(case, Case)
    with pytest.raises(NothingError, match="one more classifier after 0 s") as error:
        methods.get("exponentiated_gradient").make(case, tmp_path / "run")
    assert error.value.status == "time limit"
