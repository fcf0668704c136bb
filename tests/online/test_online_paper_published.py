"""The paper's own package, on streams: the same multiplier and the same predictions, to its solver's tolerance."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch

from certifair.online import PrimalDual

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("fairness_training") is None,
        reason="fairness_training is not installed (pip install --no-deps fairness_training==0.1.0)",
    ),
    pytest.mark.filterwarnings("ignore"),  # of cvxpylayers, on every call
]
ACCURATE = {"solve_method": "Clarabel", "tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}


class FirstColumn(torch.nn.Module):
    """A network whose scores are given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1]


def published() -> Any:
    from fairness_training import FairModel

    return FairModel(
        2,
        protected_attr_idx=1,
        prediction_bounds=(0.0, 1.0),
        fairness_tolerance=0.02,
        b_tau=64,
        custom_network=FirstColumn(),
    )


@pytest.fixture
def accurate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same package and rule, its solver asked for more digits."""
    from cvxpylayers.torch import CvxpyLayer
    from fairness_training import fair_model

    class Accurate(CvxpyLayer):  # type: ignore[misc]
        def forward(self, *parameters: torch.Tensor) -> Any:
            return super().forward(*parameters, solver_args=ACCURATE)

    monkeypatch.setattr(fair_model, "CvxpyLayer", Accurate)


def distances(n: int, absent: str, *, both: bool, batches: int = 40) -> tuple[float, float, int]:
    """Largest distance of multipliers, of predictions, and how many batches lacked a group."""
    rng = np.random.default_rng(n)
    theirs = published()
    ours = PrimalDual("demographic_parity", "0.02", features=["g"], values={"g": [0, 1]}, absent=absent)  # type: ignore[arg-type]
    state, far, apart, lacking = ours.init(), 0.0, 0.0, 0
    for _ in range(batches):
        groups = (rng.random(n) < 0.3).astype(np.int64)
        if both:
            groups[:2] = 0, 1
        lacking += groups.min() == groups.max()
        scores = rng.normal(0.4, 0.25, n) + 0.3 * groups
        served = theirs(torch.tensor(np.stack([scores, groups], axis=1)), inference=True)
        assert served.dtype == torch.float64
        state, y, _ = ours.step(state, scores, groups)
        far = max(far, float(np.abs(served.detach().numpy()[:, 0] - y).max()))
        apart = max(apart, abs(theirs.lambda_dual - state.multipliers[0]))
    assert state.multipliers[0] > 0.1
    return apart, far, lacking


@pytest.mark.parametrize("n", [4, 16])
@pytest.mark.parametrize(("absent", "both"), [("skip", True), ("zero", True), ("zero", False)])
@pytest.mark.usefixtures("accurate")
def test_the_same_rule(n: int, absent: str, both: bool) -> None:
    apart, far, lacking = distances(n, absent, both=both)
    assert apart < 5e-5
    assert far < 1e-4
    assert (lacking > 5) == (n == 4 and not both)


@pytest.mark.parametrize("n", [4, 16])
def test_as_it_is_installed(n: int) -> None:
    apart, far, _ = distances(n, "zero", both=False)
    assert apart < 2e-3
    assert far < 5e-3


@pytest.mark.usefixtures("accurate")
def test_skipping_is_another_rule_where_groups_are_absent() -> None:
    apart, _, lacking = distances(4, "skip", both=False)
    assert lacking > 5
    assert apart > 0.01
