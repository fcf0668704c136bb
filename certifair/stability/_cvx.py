"""LipSDP as cvxpy writes it, for Clarabel or SCS: the reference that the other rungs are compared with."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from certifair.errors import InputError
from certifair.stability._problem import Array, Problem


def by_cvxpy(problem: Problem, seconds: float) -> Array | None:
    """Multipliers, or None where no solver answers in time. Errors: InputError if cvxpy is not installed."""
    try:
        cp: Any = importlib.import_module("cvxpy")
    except ImportError:
        what = "cvxpy is not installed"
        raise InputError(what, where="lipsdp", advice="pip install 'certifair[torch]'") from None
    if not problem.multipliers:
        return np.empty(0)
    rho, t = cp.Variable(nonneg=True), cp.Variable(problem.multipliers, nonneg=True)
    n = problem.left.shape[1]
    gather = np.eye(problem.multipliers)[problem.own]
    both = problem.left.T @ cp.diag(gather @ t) @ problem.right
    first = np.zeros((n, n))
    first[np.diag_indices(problem.inputs)] = 1.0
    matrix = rho * first - problem.output.T @ problem.output - both - both.T
    programme = cp.Problem(cp.Minimize(rho), [(matrix + matrix.T) / 2 >> 0])
    for name, options in (("CLARABEL", {"time_limit": seconds}), ("SCS", {"time_limit_secs": seconds})):
        try:
            programme.solve(solver=name, **options)
        except cp.SolverError:
            continue
        if t.value is not None:
            found: Array = np.maximum(t.value, 0.0)
            return found
    return None
