from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import cross_val_score

from certifair.errors import InputError
from certifair.training import FairClassifier, FairRegressor
from tests.training.people import NAMES, people

QUICK: dict[str, Any] = {"epochs": 5, "batch": 80, "learning_rate": 0.02, "hidden": (8,)}


def tables(n: int = 200, *, regression: bool = False) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    data = people(n, regression=regression)
    assert data.labels is not None
    return (
        pd.DataFrame(data.inputs.numpy(), columns=list(NAMES)),
        pd.Series(data.labels.numpy(), name="y"),
        pd.DataFrame(data.sensitive),
    )


def means(values: np.ndarray, groups: pd.Series) -> dict[str, Fraction]:
    found = {}
    for group in sorted(set(groups)):
        own = [Fraction(value) for value in values[(groups == group).to_numpy()].tolist()]
        found[group] = sum(own, Fraction(0)) / len(own)
    return found


@pytest.fixture(scope="module")
def fitted() -> FairClassifier:
    X, y, s = tables()
    return FairClassifier(epsilon=0.02, **QUICK).fit(X, y, sensitive_features=s[["sex"]])


def test_probabilities_are_fair_exactly(fitted: FairClassifier) -> None:
    X, y, s = tables()
    found = fitted.predict_proba(X, sensitive_features=s[["sex"]])
    assert found.shape == (200, 2)
    assert (found.sum(axis=1) == 1).all()
    f, m = means(found[:, 1], s["sex"]).values()
    assert abs(f - m) <= Fraction(2, 100)
    decisions = fitted.predict(X, sensitive_features=s[["sex"]])
    assert (decisions == (found[:, 1] >= 0.5)).all()
    assert fitted.score(X, y, sensitive_features=s[["sex"]]) == float(np.mean(decisions == y))
    assert fitted.classes_.tolist() == [0.0, 1.0]
    assert fitted.n_features_in_ == 5
    assert fitted.feature_names_in_ == NAMES
    assert fitted.sensitive_values_ == {"sex": ("f", "m")}
    assert set(fitted.serve(X, s[["sex"]]).batches[0].multipliers[0]) == {"sex: f - m"}


def test_the_form_of_the_data_does_not_matter(fitted: FairClassifier) -> None:
    X, _, s = tables()
    expected = fitted.predict_proba(X, s[["sex"]])
    for inputs, features in (
        (X.to_numpy(), {"sex": s["sex"].tolist()}),
        (X.to_numpy().tolist(), s["sex"]),
        (torch.from_numpy(X.to_numpy().copy()), {"sex": s["sex"].to_numpy()}),
        (pl.DataFrame(X.to_numpy(), schema=list(NAMES)), pl.DataFrame({"sex": s["sex"].tolist()})),
    ):
        assert (fitted.predict_proba(inputs, features) == expected).all()


def test_serving_in_batches(fitted: FairClassifier) -> None:
    X, _, s = tables()
    served = clone(fitted).set_params(serve_batch=50).fit(X, tables()[1], s[["sex"]]).serve(X, s[["sex"]])
    assert [batch.stop for batch in served.batches] == [50, 100, 150, 200]


def test_text_classes_and_determinism() -> None:
    X, y, s = tables()
    named = np.where(y == 1, "yes", "no")
    first = FairClassifier(**QUICK).fit(X, named, s["sex"])
    again = FairClassifier(**QUICK).fit(X, named.tolist(), s["sex"])
    assert set(first.predict(X, s["sex"])) <= {"yes", "no"}
    assert (first.predict_proba(X, s["sex"]) == again.predict_proba(X, s["sex"])).all()


def test_labels_in_one_column() -> None:
    X, y, s = tables()
    column = torch.tensor(y.to_numpy()[:, None])
    model = FairClassifier(method="plain", **QUICK).fit(X, column, s["sex"])
    assert model.score(X, column) == model.score(X, y)


def test_scikit_learn_conventions() -> None:
    original = FairClassifier(epsilon=0.1, hidden=(4, 3), seed=7)
    copied = clone(original)
    assert copied is not original
    assert copied.get_params() == original.get_params()
    assert copied.get_params()["hidden"] == (4, 3)
    assert copied.set_params(seed=8).seed == 8
    assert "epsilon=0.1" in repr(original)
    assert is_classifier(original)
    assert is_regressor(FairRegressor())
    fitted = FairClassifier(**QUICK).fit(*tables()[:2], tables()[2]["sex"])
    assert not hasattr(clone(fitted), "model_")
    X, y, s = tables()
    scores = cross_val_score(FairClassifier(method="penalty", **QUICK), X, y, cv=3, params={"sensitive_features": s})
    assert (scores > 0.4).all()


def test_hidden_columns() -> None:
    X, y, s = tables()
    model = FairClassifier(hide_sensitive=True, **QUICK).fit(X, y, s[["sex"]])
    assert model.history_.hidden == ("sex=f", "sex=m")
    assert model.model_.backbone[0].mean.shape == (3,)  # type: ignore[index,union-attr]
    changed = X.assign(**{"sex=f": 0.0, "sex=m": 0.0})
    assert (model.predict_proba(X, s[["sex"]]) == model.predict_proba(changed, s[["sex"]])).all()
    with pytest.raises(InputError, match="no input is called like a sensitive feature"):
        FairClassifier(hide_sensitive=True, **QUICK).fit(X, y, s["sex"].to_numpy())


@pytest.mark.parametrize("metric", ["equalized_odds", "equal_opportunity"])
def test_metrics_with_labels_serve_without_the_layer(metric: str) -> None:
    X, y, s = tables()
    model = FairClassifier(metric=metric, **QUICK).fit(X, y, s["sex"])
    assert model.predict(X).shape == (200,)
    assert not model.history_.served_with_layer


def test_conditions_and_intersections() -> None:
    X, y, s = tables()
    conditions = people(200).conditions
    model = FairClassifier(metric="conditional_parity", **QUICK).fit(X, y, s["sex"], conditions)
    found = model.predict_proba(X, s["sex"], conditions)[:, 1]
    for place in ("land", "town"):
        inside = conditions == place
        f, m = means(found[inside], s["sex"][inside]).values()
        assert abs(f - m) <= Fraction(5, 100)
    both = FairClassifier(intersectional=True, **QUICK).fit(X, y, s)
    values = means(both.predict_proba(X, s)[:, 1], s["sex"] + s["race"]).values()
    assert len(values) == 6
    assert max(values) - min(values) <= Fraction(5, 100)


def test_a_group_that_is_not_there_is_seen_as_absent(fitted: FairClassifier) -> None:
    X, _, s = tables()
    men = (s["sex"] == "m").to_numpy()
    served = fitted.serve(X[men], s[["sex"]][men])
    assert served.batches[0].absent == ("sex: f - m",)
    with pytest.raises(InputError, match="undeclared value 'x'; declared: f, m"):
        fitted.serve(X[:2], {"sex": ["f", "x"]})


@pytest.mark.parametrize("method", ["plain", "flayer"])
def test_regression(method: str) -> None:
    X, y, s = tables(300, regression=True)
    options = QUICK | {"epochs": 30}
    model = FairRegressor(method=method, epsilon=0.5, validation=0.2, **options).fit(X, y, s["sex"])
    given = s["sex"] if method == "flayer" else None
    found = model.predict(X, given)
    assert model.score(X, y, given) > 0.5
    f, m = means(found, s["sex"]).values()
    assert (abs(f - m) <= Fraction(1, 2)) == (method == "flayer")
    if method == "flayer":
        assert y.min() <= found.min()
        assert found.max() <= y.max()


def test_regression_in_a_box_of_ones_own() -> None:
    X, y, s = tables(100, regression=True)
    model = FairRegressor(lower=25, upper=40, **QUICK).fit(X, y, s["sex"])
    found = model.predict(X, s["sex"])
    assert found.min() >= 25
    assert found.max() <= 40


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"sensitive_features": None}, "flayer needs sensitive features; pass sensitive_features="),
        ({"X": [1, 2, 3]}, r"X has the shape \(3,\), not \(people, columns\)"),
        ({"X": pd.DataFrame({"job": ["cook"] * 200})}, "column 'job' does not hold numbers only; encode categories"),
        ({"X": np.full((200, 2), np.nan)}, "inputs of row 1 are missing"),
        ({"X": np.zeros((199, 2))}, "has 200 values for 199 people"),
        ({"y": [1] * 200}, "y has 1 classes, not two"),
        ({"y": [0, 1, 2, 3] * 50}, "y has 4 classes, not two"),
        ({"y": [0, 1] * 99 + [1, None]}, "y holds missing values"),
        ({"y": np.zeros((200, 2))}, "y has the shape"),
        ({"sensitive_features": ["f", None] * 100}, "missing in row 2"),
        ({"conditions": [1]}, "'conditions' has 1 values for 200 people"),
    ],
)
def test_fit_refuses(change: dict[str, Any], text: str) -> None:
    X, y, s = tables()
    with pytest.raises(InputError, match=text):
        FairClassifier(**QUICK).fit(**({"X": X, "y": y, "sensitive_features": s["sex"]} | change))


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"metric": "parity"}, "no metric 'parity'"),
        ({"method": "magic"}, "no method 'magic'"),
        ({"epsilon": -1}, "negative"),
        ({"validation": 1.0}, "validation = 1.0"),
        ({"validation": "x"}, "validation = 'x'"),
        ({"activation": "gelu"}, "no activation"),
        ({"epochs": 0}, "epochs = 0"),
        ({"penalty": 1.0}, "no penalty to weigh"),
    ],
)
def test_parameters_are_checked_by_fit(parameters: dict[str, Any], text: str) -> None:
    X, y, s = tables(40)
    with pytest.raises(InputError, match=text):
        FairClassifier(**(QUICK | parameters)).fit(X, y, s["sex"])


def test_predict_refuses(fitted: FairClassifier) -> None:
    X, y, s = tables()
    with pytest.raises(InputError, match="not fitted; call fit first"):
        FairClassifier().predict(X, s["sex"])
    with pytest.raises(InputError, match="pass sensitive_features="):
        fitted.predict(X)
    with pytest.raises(InputError, match="X has 4 columns, not 5"):
        fitted.predict(X.to_numpy()[:, :4], s["sex"])
    with pytest.raises(InputError, match="the columns are"):
        fitted.predict(X[[*NAMES[::-1]]], s["sex"])
    with pytest.raises(InputError, match="y has the shape"):
        fitted.score(X, y[:5], s[["sex"]])
    with pytest.raises(InputError, match="no parameter 'epsilom'; did you mean"):
        fitted.set_params(epsilom=1)
    with pytest.raises(TypeError):
        FairClassifier(0.1)  # type: ignore[call-arg,misc]
