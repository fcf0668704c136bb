"""LipSDP by Clarabel or SCS, through cvxpy: the reference that the other rungs are compared with.

What is solved is scaled by a feasible point (ρ₀, t₀): multipliers are parts of t₀, and a congruence makes the diagonal
of its matrix 1. Left as it is, the programme of an Adult network is one that neither solver can solve. The answer may
be infeasible by roundings; a small part of a feasible one repays that, as feasible multipliers are a convex set.

In a process of its own, `python -m certifair.stability._cvx`, which reads a problem's arrays and writes multipliers:
neither the writing of the programme nor the solving can be told to stop.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import subprocess
import sys
from typing import Any, Final

import numpy as np

from certifair.errors import InputError
from certifair.stability._problem import Array, Problem, least_rho
from certifair.stability._sequential import central

PARTS: Final = (0.0, *(10.0**k for k in range(-9, 0)))
"""Of the feasible multipliers in the answer."""


def require_cvxpy() -> None:
    """Errors: InputError if cvxpy is not installed."""
    if importlib.util.find_spec("cvxpy") is None:
        what = "cvxpy is not installed"
        raise InputError(what, where="lipsdp", advice="pip install 'certifair[torch]'")


def by_cvxpy(problem: Problem, start: Array, seconds: float) -> Array | None:
    """Multipliers from feasible ones to start with, or None where no solver answers in time."""
    if not problem.multipliers:
        return start
    file = io.BytesIO()
    meta = np.array([problem.inputs, seconds])
    np.savez(file, problem.left, problem.right, problem.output, problem.own, central(problem, start), meta)
    command = [sys.executable, "-m", __name__]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603
            command, input=file.getvalue(), capture_output=True, timeout=seconds, check=True, env=environment
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return None
    found = np.frombuffer(done.stdout, dtype=np.float64)
    if len(found) != problem.multipliers or not np.isfinite(found).all():
        return None
    mixed = [(1 - part) * found + part * start for part in PARTS]
    return min(mixed, key=lambda t: least_rho(problem, t))


def main() -> None:
    """The process: .npz on standard input, float64 on standard output, nothing if no solver succeeds."""
    left, right, output, own, inner, (inputs, seconds) = np.load(io.BytesIO(sys.stdin.buffer.read())).values()
    found = _solved(Problem(int(inputs), left, right, output, own, ()), inner, float(seconds))
    sys.stdout.buffer.write(b"" if found is None else found.tobytes())


def _solved(problem: Problem, inner: Array, seconds: float) -> Array | None:
    cp: Any = importlib.import_module("cvxpy")
    sparse: Any = importlib.import_module("scipy.sparse")
    n, rho = problem.left.shape[1], least_rho(problem, inner)
    size = np.zeros((n, n))
    size[np.diag_indices(problem.inputs)] = rho
    scale = 1 / np.sqrt(np.diagonal(problem.rest(inner) + 2 * size))
    left, right, output = (part * scale for part in (problem.left, problem.right, problem.output))
    columns = [sparse.csc_array((size * scale[:, None] * scale).reshape(-1, 1))]
    for k, t in enumerate(inner):
        both = left[problem.own == k].T @ right[problem.own == k] * t
        columns.append(sparse.csc_array(-(both + both.T).reshape(-1, 1)))
    y = cp.Variable(1 + len(inner), nonneg=True)
    matrix = cp.reshape(sparse.hstack(columns).tocsr() @ y, (n, n), order="C") - output.T @ output
    programme = cp.Problem(cp.Minimize(y[0]), [matrix >> 0])
    for name, options in (("CLARABEL", {"time_limit": seconds / 2}), ("SCS", {"time_limit_secs": seconds / 4})):
        try:
            programme.solve(solver=name, **options)
        except cp.SolverError:
            continue
        if y.value is not None:
            found: Array = np.maximum(y.value[1:], 0.0) * inner
            return found
    return None


if __name__ == "__main__":
    main()
