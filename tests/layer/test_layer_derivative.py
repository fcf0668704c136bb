"""The derivative against finite differences and the dense formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from certifair.layer import FairnessLayer
from tests.oracles import layer_oracle as oracle
from tests.oracles.layer_oracle import Floats

D = torch.float64
REACH = 1e-5  # of differences: a grid step over it is 1e-7


def people(seed: int, n: int = 24, groups: int = 3) -> tuple[torch.Tensor, dict[str, Any]]:
    """Scores that differ by group, some outside the box, and everything that a metric may ask for."""
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(groups), rng.integers(0, groups, n - groups)])
    z = torch.from_numpy(rng.normal(0.35 + 0.2 * codes, 0.4)).requires_grad_(True)
    labels, conditions = (np.arange(n) // groups) % 2, np.array(["town", "land"])[(np.arange(n) // groups) % 2]
    return z, {"sensitive_features": codes, "labels": labels, "conditions": conditions}


def jacobian_of(layer: FairnessLayer, z: torch.Tensor, given: dict[str, Any], **more: Any) -> Floats:
    """(n, n), row by row."""
    z = z.detach().clone().requires_grad_(True)
    y = layer(z, **given, **more)
    rows = [torch.autograd.grad(y[i], z, retain_graph=True)[0] for i in range(len(z))]
    return torch.stack(rows).double().numpy()


def differences_of(layer: FairnessLayer, z: torch.Tensor, given: dict[str, Any], reach: float = REACH) -> Floats:
    def function(x: Floats) -> Floats:
        found: Floats = layer(torch.from_numpy(x).to(z.dtype), **given).double().numpy()
        return found

    return oracle.differences(function, z.detach().double().numpy(), reach)


def batch_of(metric: str, given: dict[str, Any]) -> oracle.Batch:
    labels = given["labels"].tolist()
    conditions = given["conditions"].tolist() if metric == "conditional_parity" else None
    return oracle.Batch({"group": [str(code) for code in given["sensitive_features"]]}, labels, conditions)


@pytest.mark.parametrize("metric", oracle.METRICS)
@pytest.mark.parametrize("seed", range(4))
def test_by_scores(metric: str, seed: int) -> None:
    z, given = people(seed)
    layer = FairnessLayer(metric, 0.05)
    y = layer(z, **given)
    assert ((y == 0) | (y == 1)).any()  # bounds are active
    assert torch.autograd.gradcheck(lambda x: layer(x, **given), (z,), eps=REACH, atol=3e-6, rtol=1e-6)


@pytest.mark.parametrize("metric", oracle.METRICS)
@pytest.mark.parametrize("single", [True, False])
def test_by_epsilon_and_offsets(metric: str, single: bool) -> None:
    z, given = people(11)
    layer = FairnessLayer(metric, 0.5)
    count = len(layer.project(z, **given).problems[0].multipliers)
    epsilon = torch.tensor(0.05, dtype=D) if single else torch.linspace(0.03, 0.06, count, dtype=D)
    offsets = torch.linspace(-0.01, 0.02, count, dtype=D)
    if metric == "equalized_residuals":
        offsets = offsets + 0.5
    epsilon, offsets = epsilon.requires_grad_(True), offsets.requires_grad_(True)

    def function(x: torch.Tensor, e: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return layer(x, **given, epsilon=e, offsets=b)

    nu = layer.project(z, **given, epsilon=epsilon, offsets=offsets).problems[0].multipliers
    assert any(nu.values())
    assert torch.autograd.gradcheck(function, (z, epsilon, offsets), eps=REACH, atol=3e-6, rtol=1e-6)


@pytest.mark.parametrize("metric", ["demographic_parity", "equalized_odds"])
def test_many_columns_and_batches(metric: str) -> None:
    z, given = people(3, n=12, groups=2)
    generator = torch.Generator().manual_seed(1)
    layer = FairnessLayer(metric, 0.05)
    epsilon = torch.tensor(0.03, dtype=D, requires_grad=True)
    for shape in ((12, 3), (12, 1), (2, 12, 2), (1, 12, 1)):
        many = z.detach()[:, None] + 0.2 * torch.randn(shape, generator=generator, dtype=D)
        assert torch.autograd.gradcheck(
            lambda x, e: layer(x, **given, epsilon=e), (many.requires_grad_(True), epsilon), eps=REACH, atol=1e-5
        )


def test_batches_with_different_rows_share_one_epsilon() -> None:
    # the second batch lacks a group: it has one row, the first has three
    layer = FairnessLayer("demographic_parity", 0.5)
    groups = np.array([[0, 1, 2], [0, 1, 1]])
    epsilon = torch.tensor(0.03, dtype=D, requires_grad=True)
    z = torch.tensor([[0.2, 0.9, 0.5], [0.1, 0.7, 0.8]], dtype=D)[:, :, None].requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x, e: layer(x, groups, epsilon=e), (z, epsilon), eps=REACH, atol=1e-5)


@pytest.mark.parametrize("metric", oracle.METRICS)
@pytest.mark.parametrize("groups", [2, 4])
def test_the_dense_formula(metric: str, groups: int) -> None:
    for seed in range(5):
        z, given = people(seed, n=30, groups=groups)
        layer = FairnessLayer(metric, 0.05)
        found = layer.project(z, **given)
        y = found.predictions.detach().numpy()
        rows = oracle.rows_of(metric, batch_of(metric, given))
        matrix, _ = oracle.matrix_of(rows, len(y))
        nu = np.array([found.problems[0].multipliers[row.name] for row in rows])
        free = (y > 0) & (y < 1)
        ours = jacobian_of(layer, z, given)
        assert np.abs(ours - oracle.jacobian(matrix, free, np.abs(nu) > 1e-9)).max() < 1e-9
        assert np.abs(ours - ours.T).max() < 1e-12
        assert np.abs(ours @ ours - ours).max() < 1e-10
        assert np.abs(ours @ matrix[np.abs(nu) > 1e-9].T).max(initial=0) < 1e-10


def test_rows_that_repeat_each_other() -> None:
    # three copies of one feature, and one that is nearly a copy
    z, given = people(2, n=30)
    codes = given["sensitive_features"]
    near = codes.copy()
    near[5] = (near[5] + 1) % 3
    given["sensitive_features"] = np.stack([codes, codes, near, 2 - codes], axis=1)
    layer = FairnessLayer("demographic_parity", 0.05)
    assert np.abs(jacobian_of(layer, z, given) - differences_of(layer, z, given)).max() < 3e-6


@pytest.mark.parametrize("epsilon", [0.0, 0.05])
def test_four_groups_in_two_equal_pairs(epsilon: float) -> None:
    # Four rows are tight and their rank is 3 (reference/layer.md): the map is differentiable here, whichever rows carry
    # the multipliers, and at ε = 0 every row stays an equation, with or without a multiplier.
    scores = [0.7, 0.7, 0.3, 0.3] * 2 if epsilon else [0.6, 0.4, 0.7, 0.3] * 2
    z, groups = torch.tensor(scores, dtype=D), np.array([0, 1, 2, 3] * 2)
    layer = FairnessLayer("demographic_parity", epsilon)
    given = {"sensitive_features": groups}
    assert np.abs(jacobian_of(layer, z, given) - differences_of(layer, z, given)).max() < 3e-6


@pytest.mark.parametrize("scores", [[0.5] * 4, [0.25, 0.75, 0.75, 0.25]])
def test_no_tolerance_where_it_is_fair_already(scores: list[float]) -> None:
    # On the subspace of equal means, inside the box, P is linear: its derivative is the subspace's projector, not 1.
    z, given = torch.tensor(scores, dtype=D), {"sensitive_features": [0, 0, 1, 1]}
    layer = FairnessLayer("demographic_parity", 0.0)
    matrix = np.array([[0.5, 0.5, -0.5, -0.5]])
    expected = oracle.jacobian(matrix, np.ones(4, dtype=bool), np.ones(1, dtype=bool))
    assert np.abs(jacobian_of(layer, z, given) - expected).max() < 1e-9
    assert np.abs(differences_of(layer, z, given) - expected).max() < 3e-6


@pytest.mark.parametrize("n", [40, 70_000])
def test_two_groups_fast_or_looked_up(n: int) -> None:
    """Two groups compile to other code than three; a large batch starts from a sample."""
    rng = np.random.default_rng(n)
    codes = rng.integers(0, 2, n)
    z = torch.from_numpy(rng.normal(0.4 + 0.2 * codes, 0.4))
    weights = torch.from_numpy(rng.normal(size=n))
    found = []
    for shown in (codes, codes * 7 + 3, np.stack([codes, codes], axis=1)):  # the last has four joint cells
        x = z.clone().requires_grad_(True)
        y = FairnessLayer("demographic_parity", 0.05)(x, shown)
        (y * weights).sum().backward()
        assert x.grad is not None
        found.append((y.detach().numpy(), x.grad.numpy()))
    for y, gradient in found[1:]:
        assert np.abs(y - found[0][0]).max() <= 4 * 2.0**-40
        assert np.abs(gradient - found[0][1]).max() < 1e-9
    # J g in closed form: what is free, less its part along the row
    y, gradient = found[0]
    free = (y > 0) & (y < 1)
    row = np.where(codes == 1, 1 / codes.sum(), -1 / (1 - codes).sum()) * free
    g = weights.numpy() * free
    assert np.abs(gradient - (g - row * (row @ g) / (row @ row))).max() < 1e-9


def test_float32() -> None:
    z, given = people(6)
    layer = FairnessLayer("equalized_odds", 0.05)
    narrow = z.detach().float().requires_grad_(True)
    y = layer(narrow, **given)
    assert y.dtype is torch.float32
    weights = torch.arange(len(z), dtype=D)
    (y * weights.float()).sum().backward()
    assert narrow.grad is not None
    assert narrow.grad.dtype is torch.float32
    expected = weights.numpy() @ jacobian_of(layer, narrow.detach().double(), given)
    assert np.abs(narrow.grad.double().numpy() - expected).max() < 1e-4


def test_twice_is_an_error() -> None:
    z, given = people(1)
    y = FairnessLayer("demographic_parity", 0.05)(z, **given)
    first = torch.autograd.grad(y.square().sum(), z, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("columns", [1, 2])
def test_scores_that_change_before_backward(columns: int) -> None:
    z, given = people(4)
    layer = FairnessLayer("demographic_parity", 0.05)
    weights = torch.arange(len(z), dtype=D)

    def gradient(spoil: bool) -> torch.Tensor:
        x = z.detach().clone().requires_grad_(True)
        hidden = (x[:, None] * torch.ones(columns, dtype=D)).squeeze(1) if columns == 1 else x[:, None].repeat(1, 2)
        y = layer(hidden, **given)
        if spoil:
            hidden.mul_(-100)
        (y.reshape(len(z), -1) * weights[:, None]).sum().backward()
        assert x.grad is not None
        return x.grad

    expected = gradient(spoil=False)
    try:
        found = gradient(spoil=True)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)  # noqa: PT017
    else:
        assert torch.equal(found, expected)


def test_predictions_stand_in_one_place_only() -> None:
    z, given = people(4)
    found = FairnessLayer("demographic_parity", 0.05).project(z.detach(), **given)
    assert found.problems[0].answer.predictions.size == 0  # else changing the tensor would change the answer


def test_no_gradient_is_asked_of_what_needs_none() -> None:
    z, given = people(5)
    epsilon = torch.tensor(0.05, dtype=D, requires_grad=True)
    y = FairnessLayer("demographic_parity", 0.5)(z.detach(), **given, epsilon=epsilon)
    y.square().sum().backward()
    assert epsilon.grad is not None
    assert z.grad is None
    assert not FairnessLayer("demographic_parity", 0.5)(z.detach(), **given).requires_grad
