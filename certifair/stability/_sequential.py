"""Multipliers curve by curve, from the output back, each by a formula: the first rung, which always succeeds.

Let R be the form's matrix of what is known so far, without ρ. The last curve adds 2T to the diagonal block of its
variables φ, apart from that only terms with variables before, for z depends on nothing else. With X = −R_φφ, T ⪰ X
makes 2T − X ⪰ T positive definite, and φ is eliminated: R ← R_rest − R_rφ (2T − X)⁻¹ R_φr. At last ρ is the largest
eigenvalue of −R. (ECLipsE solves a small programme for each T: Xu and Sivaranjani, NeurIPS 2024, arXiv 2404.04375.)

T ⪰ X for T_i = Σ_j |X_ij|·d_j/d_i with any d > 0, by Gershgorin; and for T = λ_max(X)·I, which is the product of norms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from certifair.exact.ball import quiet
from certifair.stability._problem import LEAST, Array, Problem, least_rho

Way = Callable[[Array], Array]
"""Of X (m, m): T (m,)."""
TINY: Final = 1e-9


@quiet
def sequential(problem: Problem) -> Array | None:
    """The best of several ways to choose T; None if all fail."""
    found = [_backwards(problem, way) for way in (_flat, _rows, _balanced)]
    rated = [(least_rho(problem, t), number) for number, t in enumerate(found)]
    rho, number = min(rated)
    return found[number] if np.isfinite(rho) else None


@quiet
def central(problem: Problem, start: Array) -> Array:
    """Feasible multipliers where each neuron has its share of ρ: a place from which an interior point method is quick.

    t·|Δz|² is about its part of ρ; it is made at least the m-th part, with the product of norms for |Δz|/|u|.
    """
    rho = least_rho(problem, start)
    sizes = np.concatenate([np.ones(problem.inputs), np.zeros(len(problem.own))])
    floor = np.zeros(problem.multipliers)
    neuron = 0
    for first, width, _ in problem.blocks:
        rows = slice(neuron, neuron + width)
        z = problem.left[rows, :first] + problem.right[rows, :first]  # (high − low)·Δz
        reach = np.sqrt(((z * sizes[:first]) ** 2).sum(axis=1))
        sizes[first : first + width] = np.linalg.norm(z * sizes[:first], 2) + np.zeros(width)
        if reach.any():
            share = rho / len(problem.own) / np.maximum(reach, 1e-6 * reach.max()) ** 2
            np.maximum.at(floor, problem.own[rows], share)
        neuron += width
    found = [_backwards(problem, way, floor) for way in (_flat, _rows, _balanced)]
    best = min(found, key=lambda t: least_rho(problem, t))
    return best if np.isfinite(least_rho(problem, best)) else start


def _backwards(problem: Problem, way: Way, floor: Array | None = None) -> Array:
    t = np.zeros(problem.multipliers)
    rest = problem.rest(t)
    end, neurons = len(rest), len(problem.own)
    for first, width, tied in reversed(problem.blocks):
        rows = slice(neurons - width, neurons)
        own = problem.own[rows]
        demand = -rest[first:end, first:end]
        scale = max(float(np.abs(demand).max()), LEAST)
        chosen = _flat(demand) if tied else way(demand)
        chosen = np.maximum(chosen, TINY * scale) * (1 + TINY)
        if floor is not None:
            chosen = chosen + (floor[own].max() if tied else floor[own])
        t[own] = chosen
        both = problem.left[rows, :end].T @ (problem.right[rows, :end] * chosen[:, None])
        rest = rest - both - both.T
        try:
            inverse = np.linalg.solve(rest[first:, first:], rest[first:, :first])
        except np.linalg.LinAlgError:
            return np.full_like(t, np.nan)
        rest = rest[:first, :first] - rest[:first, first:] @ inverse
        end, neurons = first, neurons - width
    return t


def _flat(demand: Array) -> Array:
    return np.full(len(demand), max(float(np.linalg.eigvalsh(demand)[-1]), 0.0))


def _rows(demand: Array) -> Array:
    found: Array = np.abs(demand).sum(axis=1)
    return found


def _balanced(demand: Array) -> Array:
    """d the square roots of the diagonal: for X of rank 1 that is x_i·Σ|x_j|, the best there is."""
    size = np.abs(demand)
    d = np.sqrt(np.maximum(np.diagonal(size), 1e-12 * max(float(size.max()), 1e-300)))
    found: Array = (size @ d) / d
    return found
