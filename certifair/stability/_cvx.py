"""LipSDP as cvxpy writes it, for Clarabel or SCS: the reference that the other rungs are compared with.

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
from typing import Any

import numpy as np

from certifair.errors import InputError
from certifair.stability._problem import Array, Problem


def require_cvxpy() -> None:
    """Errors: InputError if cvxpy is not installed."""
    if importlib.util.find_spec("cvxpy") is None:
        what = "cvxpy is not installed"
        raise InputError(what, where="lipsdp", advice="pip install 'certifair[torch]'")


def by_cvxpy(problem: Problem, seconds: float) -> Array | None:
    """Multipliers, or None where no solver answers in time."""
    if not problem.multipliers:
        return np.empty(0)
    file = io.BytesIO()
    arrays = (problem.left, problem.right, problem.output, problem.own, np.array([problem.inputs, seconds]))
    np.savez(file, *arrays)
    command = [sys.executable, "-m", __name__]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603
            command, input=file.getvalue(), capture_output=True, timeout=seconds, check=True, env=environment
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return None
    found = np.frombuffer(done.stdout, dtype=np.float64)
    return found.copy() if len(found) == problem.multipliers and np.isfinite(found).all() else None


def main() -> None:
    """The process: .npz on standard input, float64 on standard output, nothing if no solver succeeds."""
    left, right, output, own, (inputs, seconds) = np.load(io.BytesIO(sys.stdin.buffer.read())).values()
    found = _solved(Problem(int(inputs), left, right, output, own, ()), float(seconds))
    sys.stdout.buffer.write(b"" if found is None else found.tobytes())


def _solved(problem: Problem, seconds: float) -> Array | None:
    cp: Any = importlib.import_module("cvxpy")
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


if __name__ == "__main__":
    main()
