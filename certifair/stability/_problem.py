"""The semidefinite programme of a chain, as plain floats: what an optimiser reads; proofs do not."""

from __future__ import annotations

import math
import time
from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.exact.ball import quiet
from certifair.exact.semidefinite import semidefinite
from certifair.spec.chain import Chain, form, sides
from certifair.spec.lipschitz import Witness

Array = NDArray[np.float64]
ENLARGED: Final = tuple(10 ** (k / 2) for k in range(-22, -5))
"""By which share a bound is made larger until it can be proven."""
LEAST: Final = 1e-200
"""ρ of a constant: 0 would be lost in roundings."""


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """Minimise ρ such that ρ|u|² − |output v|² − Σ 2 t_own (left v)(right v) ≥ 0 for all v, t ≥ 0.

    left, right (neurons, n); output (outputs, n); u is the first `inputs` of v; own: each neuron's multiplier.
    blocks: for each curve, its neurons' first variable and how many.
    """

    inputs: int
    left: Array
    right: Array
    output: Array
    own: NDArray[np.intp]
    blocks: tuple[tuple[int, int, bool], ...]

    @property
    def multipliers(self) -> int:
        return int(self.own.max()) + 1 if len(self.own) else 0

    def rest(self, t: Array) -> Array:
        """The form's matrix (n, n) without ρ."""
        weighted = self.right * t[self.own][:, None]
        both = self.left.T @ weighted
        found: Array = -(self.output.T @ self.output) - both - both.T
        return found


def problem_of(chain: Chain) -> Problem:
    """The midpoints of a chain's numbers."""
    left, right = sides(chain)
    owners: list[NDArray[np.intp]] = [np.empty(0, dtype=np.intp)]
    count = 0
    for curve in chain.curves:
        own = np.zeros(curve.width, dtype=np.intp) if curve.tied else np.arange(curve.width)
        owners.append(own + count)
        count += curve.multipliers
    blocks = tuple((curve.first, curve.width, curve.tied) for curve in chain.curves)
    return Problem(chain.inputs, left.mid, right.mid, chain.output.mid, np.concatenate(owners), blocks)


def least_rho(problem: Problem, t: Array) -> float:
    """The smallest ρ for these multipliers: the largest eigenvalue of a Schur complement; inf if there is none."""
    rest, n = problem.rest(t), problem.inputs
    try:
        factor = np.linalg.cholesky(rest[n:, n:])
        half = np.linalg.solve(factor, rest[n:, :n])
        found = float(np.linalg.eigvalsh(half.T @ half - rest[:n, :n])[-1])
    except np.linalg.LinAlgError:
        return math.inf
    return max(found, 0.0) if math.isfinite(found) else math.inf


@quiet
def proven(chain: Chain, problem: Problem, t: Array, end: float = math.inf) -> Witness | None:
    """A witness that the checker will accept: the bound of these multipliers, hardly enlarged.

    None if that fails; no attempt but the first starts after `end` (of time.monotonic).
    """
    rho = least_rho(problem, t)
    if not math.isfinite(rho):
        return None
    ends = np.cumsum([0, *(curve.multipliers for curve in chain.curves)])
    parts = [t[first:end] for first, end in pairwise(ends)]
    least = 1e-15 * chain.variables**2  # what the proof itself takes
    rho = max(rho, LEAST)
    for number, more in enumerate(more for more in ENLARGED if more >= least):
        if number and time.monotonic() > end:
            break
        bound = math.sqrt(rho) * (1 + more)
        if semidefinite(form(chain, math.nextafter(bound * bound, 0.0), parts)):
            return Witness(bound, tuple(array("d", part.tolist()) for part in parts))
    return None
