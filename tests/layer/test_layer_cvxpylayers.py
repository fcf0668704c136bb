from __future__ import annotations

import copy
import importlib
import sys
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch

from certifair.errors import InputError
from certifair.layer import FairnessLayer, ProjectionError, Status, solvers
from certifair.layer.solvers import cvxpylayers as module
from certifair.layer.solvers.cvxpylayers import CvxpyLayers

CASES = [
    ("demographic_parity", 0.05),
    ("demographic_parity", 0.0),
    ("demographic_parity", 1e-9),
    ("demographic_parity", 0.9),
    ("conditional_parity", 0.02),
    ("equalized_odds", 0.02),
    ("equal_opportunity", 0.02),
    ("equalized_residuals", 0.05),
]


def people(seed: int, n: int = 40, spread: float = 0.4) -> tuple[torch.Tensor, dict[str, Any]]:
    """Scores of 3 groups, a third of them outside the box, the groups far apart."""
    draw = np.random.default_rng(seed)
    groups = draw.permutation(np.arange(n) % 3)
    scores = torch.from_numpy(draw.normal(0.3 + 0.25 * groups, spread))
    labels = draw.permutation(np.arange(n) % 2)
    return scores, {"sensitive_features": groups, "labels": labels, "conditions": draw.permutation(np.arange(n) % 2)}


def given(metric: str, batch: dict[str, Any]) -> dict[str, Any]:
    batch = dict(batch)
    if metric == "equalized_residuals":
        batch["labels"] = 0.3 + 0.4 * batch["labels"]
    return batch


def gradients(layer: FairnessLayer, scores: torch.Tensor, batch: dict[str, Any], epsilon: float) -> list[torch.Tensor]:
    """Predictions, and derivatives of a weighted sum by scores, ε and offsets."""
    rows = layer.project(scores, **batch).problems[0].problem.rows
    leaves = [scores.clone(), torch.full((len(rows),), epsilon).double(), torch.from_numpy(rows.offset_floats.copy())]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    y = layer(leaves[0], **batch, epsilon=leaves[1], offsets=leaves[2])
    (y * torch.linspace(-1, 2, len(scores)).double()).sum().backward()
    assert all(leaf.grad is not None for leaf in leaves)
    return [y.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


# ------------------------------------------------------------------------------------------------ against the exact one
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("metric", "epsilon"), CASES)
def test_agrees_with_the_exact_solver(metric: str, epsilon: float, seed: int) -> None:
    scores, batch = people(seed, n=48)  # groups of 16: ε = 0 has grid points
    batch = given(metric, batch)
    ours = FairnessLayer(metric, epsilon, solver="exact")
    theirs = FairnessLayer(metric, epsilon, solver="cvxpylayers")
    found = [layer.project(scores, **batch) for layer in (ours, theirs)]
    first, second = (item.problems[0] for item in found)
    assert first.status
    assert second.status
    a, y = found[0].predictions, found[1].predictions.numpy()
    sums = np.bincount(second.problem.joint, y * second.problem.grid.scale, minlength=len(second.problem.rows.people))
    assert second.problem.rows.holds([int(total) for total in sums], second.problem.grid.step)
    np.testing.assert_allclose(y, a.numpy(), rtol=0, atol=1e-6)
    # of dependent rows (pairs of three groups) only the net force is unique
    net = [item.answer.multipliers @ item.problem.rows.matrix for item in (first, second)]
    np.testing.assert_allclose(net[0], net[1], rtol=0, atol=1e-6)
    if epsilon > 1e-6:  # else rows count as equations, and dependent ones share the force in another way
        np.testing.assert_array_equal(second.answer.multipliers != 0, first.answer.multipliers != 0)
        for expected, found in zip(
            gradients(ours, scores, batch, epsilon), gradients(theirs, scores, batch, epsilon), strict=True
        ):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_a_tolerance_of_nothing_has_its_derivatives_too() -> None:
    scores, batch = people(3, n=48)
    batch["sensitive_features"] = batch["sensitive_features"] > 0
    found = [
        gradients(FairnessLayer("demographic_parity", 1e-9, solver=solver), scores, batch, 1e-9)
        for solver in ("exact", "cvxpylayers")
    ]
    for expected, other in zip(*found, strict=True):
        torch.testing.assert_close(other, expected, rtol=0, atol=1e-4)


def test_columns_batches_and_float32() -> None:
    scores, batch = people(4, n=30)
    many = torch.stack([scores, scores.flip(0)], dim=1).expand(3, -1, -1).float().contiguous().requires_grad_()
    found = [FairnessLayer("demographic_parity", 0.03, solver=s)(many, batch["sensitive_features"])
             for s in ("exact", "cvxpylayers")]  # fmt: skip
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-6)
    weights = torch.linspace(0, 1, many.numel()).reshape(many.shape)
    slopes = [torch.autograd.grad((y * weights).sum(), many)[0] for y in found]
    torch.testing.assert_close(slopes[1], slopes[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("spread", [3.0, 30.0])
def test_scores_far_outside_the_box(spread: float) -> None:
    scores, batch = people(5, n=60, spread=spread)
    found = [FairnessLayer("demographic_parity", 0.02, solver=s)(scores, batch["sensitive_features"])
             for s in ("exact", "cvxpylayers")]  # fmt: skip
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-6)


def test_equal_people_are_served_equally() -> None:
    scores, batch = people(6, n=60)
    scores = (scores * 8).round() / 8
    y = FairnessLayer("demographic_parity", 0.02, solver="cvxpylayers")(scores, batch["sensitive_features"])
    served: dict[tuple[float, int], set[float]] = {}
    for score, group, value in zip(scores.tolist(), batch["sensitive_features"].tolist(), y.tolist(), strict=True):
        served.setdefault((score, group), set()).add(value)
    assert len(served) < 60
    assert all(len(values) == 1 for values in served.values())


def test_one_group_needs_no_rows() -> None:
    y = FairnessLayer("demographic_parity", 0.02, solver="cvxpylayers")(torch.tensor([-1.0, 0.25, 3.0]), [0, 0, 0])
    assert y.tolist() == [0.0, 0.25, 1.0]


def test_without_gradients_and_in_inference_mode() -> None:
    scores, batch = people(7)
    layer = FairnessLayer("demographic_parity", 0.02, solver="cvxpylayers")
    expected = layer(scores, batch["sensitive_features"])
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert torch.equal(layer(scores, batch["sensitive_features"]), expected)


# ------------------------------------------------------------------------------------------------------ own constraints
def holds(layer: FairnessLayer, scores: torch.Tensor, groups: Any) -> np.ndarray[Any, Any]:
    found = layer.project(scores, groups)
    item = found.problems[0]
    assert item.status, item.answer.reason
    y = found.predictions.numpy()
    sums = np.bincount(item.problem.joint, y * item.problem.grid.scale, minlength=len(item.problem.rows.people))
    assert item.problem.rows.holds([int(total) for total in sums], item.problem.grid.step)
    return y


def test_a_budget() -> None:
    scores, batch = people(8)
    free = FairnessLayer("demographic_parity", 0.02)(scores, batch["sensitive_features"])
    budget = float(free.sum()) - 5
    layer = FairnessLayer("demographic_parity", 0.02, solver=CvxpyLayers(lambda y: [cp.sum(y) <= budget]))
    y = holds(layer, scores, batch["sensitive_features"])
    assert y.sum() == pytest.approx(budget, abs=1e-6)
    # every person's derivative against differences: the solver's own, because the closed form knows no budget
    weights, step = torch.linspace(-1, 2, len(y)).double(), 1e-5
    leaf = scores.clone().requires_grad_()
    (layer(leaf, batch["sensitive_features"]) * weights).sum().backward()
    assert leaf.grad is not None
    for i in range(0, len(y), 7):
        moved = torch.zeros(len(y)).double()
        moved[i] = step
        ends = [(layer(scores + s * moved, batch["sensitive_features"]) * weights).sum() for s in (1, -1)]
        assert float(leaf.grad[i]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), abs=1e-3)


def test_an_order_and_a_cone() -> None:
    scores, batch = people(9)
    order = CvxpyLayers(lambda y: [y[:-1] <= y[1:]])
    y = holds(FairnessLayer("demographic_parity", 0.02, solver=order), scores, batch["sensitive_features"])
    assert (np.diff(y) >= -1e-7).all()
    assert np.ptp(y) > 0.01
    near = CvxpyLayers(lambda y: [cp.norm(y - 0.5, 1) <= 4, cp.sum_squares(y) <= 12], tolerance=1e-6)
    y = holds(FairnessLayer("demographic_parity", 0.02, solver=near), scores, batch["sensitive_features"])
    assert np.abs(y - 0.5).sum() <= 4 + 1e-6
    assert np.square(y).sum() <= 12 + 1e-6


def test_a_parameter_is_read_at_each_solve() -> None:
    scores, batch = people(10)
    budget = cp.Parameter(value=12.0)
    layer = FairnessLayer("demographic_parity", 0.05, solver=CvxpyLayers(lambda y: [cp.sum(y) <= budget]))
    for value in (12.0, 9.0):
        budget.value = value
        assert holds(layer, scores, batch["sensitive_features"]).sum() == pytest.approx(value, abs=1e-6)


def test_constraints_may_not_tell_equal_people_apart() -> None:
    scores = torch.tensor([1.0, 0.2, 1.0, 0.4], dtype=torch.float64)
    layer = FairnessLayer("demographic_parity", 1, solver=CvxpyLayers(lambda y: [y[:-1] <= y[1:]]))
    y = holds(layer, scores, [0, 0, 0, 0])
    assert y[0] == y[2] == pytest.approx(0.65, abs=1e-6)  # all four are pooled; in order alone 0.6, 0.6, 0.7, 0.7
    apart = FairnessLayer("demographic_parity", 1, solver=CvxpyLayers(lambda y: [y[0] + 0.1 <= y[2]]))
    assert apart.project(scores, [0, 0, 0, 0]).problems[0].status is Status.FAILED


# ---------------------------------------------------------------------------------------------------------- the program
def test_a_structure_is_built_once() -> None:
    scores, batch = people(11, n=36)
    layer = FairnessLayer("demographic_parity", 0.02, solver="cvxpylayers")
    module._program.cache_clear()
    layer(scores, batch["sensitive_features"])
    layer(scores * 0.9, np.roll(batch["sensitive_features"], 5))  # other scores, other people in the groups
    layer(scores * 0.8, np.arange(36) % 5 % 3, epsilon=torch.tensor(0.1))  # other sizes, another ε
    found = module._program.cache_info()
    assert (found.misses, found.hits) == (1, 2)
    assert found.maxsize is not None


def test_the_layer_can_be_copied() -> None:
    layer = copy.deepcopy(FairnessLayer("demographic_parity", 0.02, solver=CvxpyLayers(eps=1e-9)))
    assert isinstance(layer.solver, CvxpyLayers)
    assert layer.solver.solver_args["eps"] == 1e-9


# ----------------------------------------------------------------------------------------------------------- what fails
def test_infeasible_rows_are_named_with_a_proof() -> None:
    layer = FairnessLayer("equalized_residuals", 0.1, solver="cvxpylayers")
    found = layer.project(torch.tensor([0.5, 0.5, 0.5]).double(), ["a", "a", "b"], labels=[3.0, 3.0, 0.5])
    item = found.problems[0]
    assert item.status is Status.INFEASIBLE
    assert item.answer.witness is not None
    assert [name for name in item.answer.witness if "a" in name.rsplit(":")[-1]]
    assert torch.isnan(found.predictions).all()
    with pytest.raises(ProjectionError, match="no prediction in the box"):
        layer(torch.tensor([0.5, 0.5, 0.5]).double(), ["a", "a", "b"], labels=[3.0, 3.0, 0.5])


def test_infeasible_constraints_fail_with_the_solvers_word() -> None:
    scores, batch = people(12)
    layer = FairnessLayer("demographic_parity", 0.02, solver=CvxpyLayers(lambda y: [cp.sum(y) >= 100]))
    found = layer.project(scores, batch["sensitive_features"])
    item = found.problems[0]
    assert item.status is Status.FAILED
    assert "SCS" in item.answer.reason
    assert "infeasible" in item.answer.reason


@pytest.mark.parametrize(
    ("args", "constraints"),
    [
        ({"max_iters": 2}, None),
        ({"max_iters": 2}, lambda y: [cp.sum(y) <= 15]),
        ({"solve_method": "Clarabel", "max_iter": 2}, None),
    ],
)
def test_a_solver_that_did_not_arrive_serves_nothing(args: dict[str, Any], constraints: Any) -> None:
    scores, batch = people(13)
    layer = FairnessLayer("demographic_parity", 0.02, solver=CvxpyLayers(constraints, **args))
    found = layer.project(scores, batch["sensitive_features"])
    item = found.problems[0]
    assert item.status is Status.FAILED
    assert item.answer.reason
    assert torch.isnan(found.predictions).all()


def test_clarabel() -> None:
    scores, batch = people(14)
    clarabel = CvxpyLayers(solve_method="Clarabel", tol_gap_abs=1e-13, tol_gap_rel=1e-13, tol_feas=1e-13)
    y = holds(FairnessLayer("demographic_parity", 0.02, solver=clarabel), scores, batch["sensitive_features"])
    expected = FairnessLayer("demographic_parity", 0.02)(scores, batch["sensitive_features"]).numpy()
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
    with pytest.raises(InputError, match="Clarabel"):  # with other constraints nobody would notice that it failed
        CvxpyLayers(lambda y: [y[0] <= 1], solve_method="Clarabel")


@pytest.mark.parametrize(
    "constraints",
    [
        lambda y: [cp.square(y[0]) >= 0.1],  # not convex
        lambda y: [cp.Parameter(value=2.0) * cp.Parameter(value=2.0) * y[0] <= 1],  # not DPP
        lambda y: [3],  # nothing
    ],
)
def test_constraints_that_are_none(constraints: Any) -> None:
    scores, batch = people(15)
    layer = FairnessLayer("demographic_parity", 0.02, solver=CvxpyLayers(constraints))
    with pytest.raises(InputError, match="the convex program cannot be built"):
        layer(scores, batch["sensitive_features"])


@pytest.mark.parametrize("missing", ["cvxpy", "cvxpylayers", "diffcp"])
def test_a_missing_package_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, module.__name__)
    solvers.get.cache_clear()
    try:
        with pytest.raises(InputError, match=f"solver 'cvxpylayers' needs {missing}"):
            solvers.get("cvxpylayers")
    finally:
        monkeypatch.undo()
        solvers.get.cache_clear()
        importlib.import_module(module.__name__)
