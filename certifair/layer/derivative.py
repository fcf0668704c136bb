"""The derivative of the projection, from its dual solution.

At z let F be the people strictly inside the box and S the rows with a multiplier (at σ_k ε_k, σ = sign ν), or with
ε = 0. Where P is differentiable the active rows stay active: y_F = z_F − A_SFᵀ ν_S and A_S y = b_S + σ ε_S.
Differentiating both,

    dν_S = H⁺ (A_S D dz − db_S − σ dε_S),   dy = D dz − D A_Sᵀ dν_S,   H = A_S D A_Sᵀ,   D = diag(i in F).

So for an incoming gradient g, with λ = H⁺ A_S D g: ∂z = D(g − A_Sᵀ λ), ∂b_S = λ, ∂ε_S = σ λ. Everything of A is the
same within a joint cell, so only sums by joint cell are needed. Rows that depend on each other make H singular; the
pseudo-inverse then takes the shortest λ: ∂z does not depend on that choice, ∂b and ∂ε are one element.
"""

from __future__ import annotations

from typing import NamedTuple, final

import numpy as np

from certifair.layer.result import Solved
from certifair.layer.solvers import _kernels
from certifair.layer.solvers._kernels import Numbers
from certifair.layer.solvers.base import Floats


@final
class Gradient(NamedTuple):
    """Derivatives by scores (n,), ε (K,) and offsets (K,)."""

    scores: Numbers
    epsilon: Floats
    offsets: Floats


def pull_back(solved: Solved, g: Numbers) -> Gradient:
    """Vector–Jacobian products of one problem for the gradient g (n,)."""
    problem, answer = solved.problem, solved.answer
    g = np.ascontiguousarray(g)
    if answer.pull_back is not None:
        return Gradient(*answer.pull_back(g.astype(np.float64)))
    place = (problem.scores, problem.joint, answer.shift.value, answer.shift.rest)
    if len(answer.multipliers) == 1:
        force = _one_force(solved, *_kernels.gather(g, *place, problem.box))
    else:
        force = _forces(solved, *_kernels.gather(g, *place, problem.box))
    out = np.empty_like(g)
    _kernels.spread_all(g, *place, problem.box, force @ problem.rows.matrix, out)
    return Gradient(out, force * np.sign(answer.multipliers), force)


def _one_force(solved: Solved, inside: Floats, arriving: Floats) -> Floats:
    """λ of the only row."""
    row, multiplier = solved.problem.rows.matrix[0], solved.answer.multipliers.item()
    hessian = float(row * row @ inside)
    active = hessian > 0 and (multiplier != 0 or not solved.problem.rows.epsilon[0])
    return np.array([float(row @ arriving) / hessian if active else 0.0])


def _forces(solved: Solved, inside: Floats, arriving: Floats) -> Floats:
    """λ = H⁺ A_S D g, (K,), 0 where a row is not active; from sums by joint cell: of D (J,) and of D g (J,)."""
    multipliers = solved.answer.multipliers
    force = np.zeros(len(multipliers))
    active = np.flatnonzero((multipliers != 0) | (solved.problem.rows.limits == 0))
    if len(active):
        rows = solved.problem.rows.matrix[active]
        force[active] = np.linalg.pinv((rows * inside) @ rows.T, rcond=1e-11, hermitian=True) @ (rows @ arriving)
    return force
