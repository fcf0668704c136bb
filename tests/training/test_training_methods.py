from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import pytest
import torch

from certifair.errors import InputError
from certifair.layer import FairnessLayer
from certifair.spec import metrics
from certifair.spec.training import METHODS, SERVED_WITH_LAYER
from certifair.training import Dataset, methods
from certifair.training.losses import base_loss, bce, mse
from certifair.training.rows import rows_for
from tests.training.people import model_of, parity, people

LAYERS = {
    "parity": {"metric": "demographic_parity", "features": ["sex", "race"]},
    "cells": {"metric": "demographic_parity", "features": ["sex", "race"], "intersectional": True},
    "odds": {"metric": "equalized_odds"},
    "conditional": {"metric": "conditional_parity"},
    "residuals": {"metric": "equalized_residuals", "features": ["race"]},
}


def test_the_folder_and_the_policy_know_the_same_methods() -> None:
    assert methods.names() == tuple(sorted(METHODS))
    assert {name for name in METHODS if methods.get(name).serves_with_layer} == set(SERVED_WITH_LAYER)
    assert type(methods.get("flayer")).__name__ == "FLayer"


@pytest.mark.parametrize("name", METHODS)
def test_serving(name: str) -> None:
    data = people(20)
    method = methods.get(name)
    model = model_of(data, parity())
    assert (method.serving(model).layer is model.layer) == method.serves_with_layer
    assert method.serving(model).backbone is model.backbone
    labelled = model_of(data, parity(metric="equalized_odds"))
    assert method.serving(labelled).layer is None
    assert (method.serving(labelled, labels_known=True).layer is None) != method.serves_with_layer


@pytest.mark.parametrize("name", METHODS)
def test_every_loss_is_a_number_with_a_gradient(name: str) -> None:
    data = people(60).to("cpu", torch.float32)
    model = model_of(data, parity(0.01))
    loss = methods.get(name).loss(model, data, base_loss("bce"))
    assert loss.ndim == 0
    loss.backward()
    assert all(item.grad is not None and bool(item.grad.isfinite().all()) for item in model.parameters())


@pytest.mark.parametrize("name", ["projection", "plain"])
def test_plain_training_ignores_fairness(name: str) -> None:
    data = people(60).to("cpu", torch.float32)
    model = model_of(data, parity(0.01))
    assert methods.get(name).loss(model, data, base_loss("bce")) == base_loss("bce")(
        model.scores(data.inputs), data.labels
    )


@pytest.mark.parametrize("epsilon", ["0.05", "0.001", "0.0001"])
@pytest.mark.parametrize("metric", ["demographic_parity", "equalized_odds", "equal_opportunity", "conditional_parity"])
def test_flayer_is_within_epsilon_exactly(metric: str, epsilon: str) -> None:
    """Every row of a float32 batch, in rational arithmetic."""
    data = people(120).to("cpu", torch.float32)
    layer = parity(epsilon, metric, features=["sex", "race"])
    model = model_of(data, layer)
    with torch.no_grad():
        model.backbone[3].weight.mul_(20)  # type: ignore[index,union-attr,operator]  # far from fair
    fair, scores = model(data.inputs, data.sensitive, data.labels, data.conditions), model(data.inputs)
    assert fair.dtype == torch.float32
    served, raw = ([Fraction(value) for value in y.reshape(-1).tolist()] for y in (fair, scores))
    assert max(_differences(layer, data, served)) <= Fraction(epsilon) < max(_differences(layer, data, raw))


@pytest.mark.parametrize("name", LAYERS)
def test_violation_and_gap_by_hand(name: str) -> None:
    """The rows' differences again, from people and not from cells."""
    data = people(80)
    layer = FairnessLayer(epsilon="0.03", **({"features": ["sex"]} | LAYERS[name]))
    y = torch.rand(80, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = rows_for(layer, 80, data.sensitive, data.labels, data.conditions)
    differences = _differences(layer, data, y.tolist())
    assert len(rows.rows) == len(differences)
    assert rows.gap(y) == pytest.approx(max(differences), rel=1e-12)
    assert float(rows.violation(y)) == pytest.approx(sum(max(0, d - 0.03) for d in differences), rel=1e-12)
    assert rows.values(torch.stack([y, y], dim=1)).shape == (len(differences), 2)


def _differences(layer: FairnessLayer, data: Dataset, y: Sequence[Any]) -> list[Any]:
    """|A y − b| of every row, in the numbers that y is made of."""
    assert layer.features is not None
    assert data.labels is not None
    assert data.conditions is not None
    columns = [data.sensitive[name].tolist() for name in layer.features]
    if layer.intersectional:
        columns = [[a + b for a, b in zip(*columns, strict=True)]]
    labels = data.labels.tolist()
    if layer.metric.name == "equalized_residuals":
        return [
            abs(_mean(t - value for t, value, other in zip(labels, y, column, strict=True) if other == group))
            for column in columns
            for group in sorted(set(column))
        ]
    conditions = {"conditional_parity": data.conditions.tolist(), "equalized_odds": labels, "equal_opportunity": labels}
    split = conditions.get(layer.metric.name, [0.0] * len(y))
    found = []
    for column in columns:
        for condition in {1.0} if layer.metric.name == "equal_opportunity" else set(split):
            cells = [
                _mean(v for v, g, c in zip(y, column, split, strict=True) if g == group and c == condition)
                for group in sorted(set(column))
            ]
            found += [abs(a - b) for a, b in itertools.combinations(cells, 2)]
    return found


def _mean(values: Iterable[Any]) -> Any:
    listed = list(values)
    return sum(listed, 0 * listed[0]) / len(listed)


@pytest.mark.parametrize("name", LAYERS)
def test_the_penalty_has_the_right_gradient(name: str) -> None:
    data = people(40)
    layer = FairnessLayer(epsilon="0.03", **({"features": ["sex"]} | LAYERS[name]))
    rows = rows_for(layer, 40, data.sensitive, data.labels, data.conditions)
    y = torch.rand(40, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert float(rows.violation(y.detach())) > 0
    assert torch.autograd.gradcheck(rows.violation, (y,))


def test_the_penalty_is_the_weight_times_the_violation() -> None:
    data = people(60)
    model = model_of(data, parity(0.01)).double()
    plain = methods.get("plain").loss(model, data, base_loss("bce"))
    rows = rows_for(parity(0.01), 60, data.sensitive)
    for name, weight in (("penalty", None), ("strict_penalty", None), ("penalty", 3.0), ("penalty", 0.0)):
        method = methods.get(name, weight)
        expected = plain + method.weight * rows.violation(model.scores(data.inputs))
        torch.testing.assert_close(method.loss(model, data, base_loss("bce")), expected, rtol=1e-12, atol=0)
    assert methods.get("strict_penalty").weight > 5 * methods.get("penalty").weight  # type: ignore[operator]


def test_a_batch_in_which_nobody_can_be_compared_has_no_gap() -> None:
    rows = rows_for(parity(0), 3, {"sex": ["f", "f", "f"]})
    assert rows.gap(torch.tensor([0.0, 1.0, 0.0])) is None
    assert float(rows.violation(torch.tensor([0.0, 1.0, 0.0]))) == 0


def test_every_metric_has_a_penalty() -> None:
    data = people(80)
    for name in metrics.names():
        rows = rows_for(parity(0, name), 80, data.sensitive, data.labels, data.conditions)
        assert len(rows.rows) > 0


def test_bce_stays_finite_at_the_ends() -> None:
    y = torch.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    labels = torch.tensor([0.0, 1.0, 1.0, 0.0])
    loss = bce(y, labels)
    loss.backward()
    assert 0 < loss < 14
    assert y.grad is not None
    assert float(y.grad.abs().max()) <= 1e6
    middle = torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = (middle > 0.3).double()
    expected = torch.nn.functional.binary_cross_entropy(middle, target)
    assert float(bce(middle, target)) == pytest.approx(float(expected), abs=1e-4)
    with pytest.raises(InputError, match="end the network in a sigmoid"):
        bce(torch.tensor([1.5]), torch.tensor([1.0]))


def test_losses() -> None:
    labels = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert float(base_loss("mse")(torch.tensor([[1.0], [1.0]]), labels)) == 0.5
    assert float(mse(labels, labels)) == 0
    assert float(base_loss(lambda y, t: (y - t).abs().sum())(torch.tensor([[1.0], [3.0]]), labels)) == 3
    with pytest.raises(InputError, match="known: bce, mse"):
        base_loss("hinge")
    with pytest.raises(InputError, match="labels of the shape"):
        base_loss("mse")(torch.zeros(2, 2), labels)


@pytest.mark.parametrize(
    ("name", "weight", "text"),
    [("unknown", None, "known: flayer"), ("flayer", 1.0, "no penalty"), ("penalty", -1.0, "0 or a positive number"),
     ("penalty", float("nan"), "0 or a positive number")],
)  # fmt: skip
def test_methods_refuse(name: str, weight: float | None, text: str) -> None:
    with pytest.raises(InputError, match=text):
        methods.get(name, weight)
