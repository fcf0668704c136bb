"""From a network to a proposed Lipschitz bound, cheap to tight; a checker says what is proven."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, final, get_args

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.spec.chain import Chain, chain_of
from certifair.spec.domain import Domain
from certifair.spec.lipschitz import Witness
from certifair.spec.network import Network
from certifair.spec.reach import ranges_of
from certifair.stability._cvx import by_cvxpy
from certifair.stability._groups import grouped
from certifair.stability._interior import optimum
from certifair.stability._problem import problem_of, proven
from certifair.stability._sequential import sequential

Array = NDArray[np.float64]
Box = tuple[Array, Array]
Engine = Literal["interior", "groups", "sequential", "cvxpy"]
SECONDS: Final = 60.0
WHOLE: Final = 1500
"""Variables of a chain that is optimised whole; of larger ones groups of curves are, one after the other."""


@final
@dataclass(frozen=True)
class Rung:
    """What one engine found, with its seconds."""

    engine: Engine
    witness: Witness
    seconds: float


@final
@dataclass(frozen=True)
class Proposal:
    """The best witness, None if there is none, and why; all rungs, in the order in which they were tried."""

    witness: Witness | None
    rungs: tuple[Rung, ...]
    reason: str | None


def propose(
    network: Network,
    box: Box | None = None,
    units: Array | None = None,
    *,
    seconds: float = SECONDS,
    engine: Engine | None = None,
) -> Proposal:
    """A witness of a bound over all inputs, or over a box (low, high), in units (inputs,) of each input.

    engine: "sequential" takes one pass, "interior" the optimum of the whole network, "groups" that of its parts,
    "cvxpy" the optimum by Clarabel or SCS; None: the first, then the second or the third by the network's size.
    Errors: InputError for an unknown engine, or cvxpy that is not installed.
    """
    started = time.monotonic()
    if engine is not None and engine not in get_args(Engine):
        raise InputError(f"{engine!r} is no engine", where="lipschitz", advice=f"use {', '.join(get_args(Engine))}")
    try:
        chain = chain_of(network, units, None if box is None else ranges_of(network, *box), excess=True)
    except ValueError as error:
        return Proposal(None, (), str(error))
    rungs = _climb(chain, engine, started, started + seconds)
    best = min((rung.witness for rung in rungs), key=lambda witness: witness.bound, default=None)
    return Proposal(best, rungs, None if best else "no multipliers were found that prove a bound")


def _climb(chain: Chain, engine: Engine | None, started: float, end: float) -> tuple[Rung, ...]:
    problem = problem_of(chain)
    start = sequential(problem)
    names: list[Engine] = ["sequential"]
    if engine not in (None, "sequential"):
        names = [engine]
    elif engine is None:
        names.append("interior" if chain.variables <= WHOLE else "groups")
    found: list[Rung] = []
    for name in names:
        before = started if not found else time.monotonic()
        if name == "cvxpy":
            t = by_cvxpy(problem, max(end - time.monotonic(), 1.0))
        elif start is None or name == "sequential":
            t = start
        else:
            improve: Callable[..., Array] = optimum if name == "interior" else grouped
            t = improve(problem, start, end)
        witness = None if t is None else proven(chain, problem, t)
        if witness is not None:
            found.append(Rung(name, witness, time.monotonic() - before))
    return tuple(found)


def box_of(domain: Domain) -> Box:
    """The least and the largest value of every input of a domain."""
    pairs = [(feature.low, feature.high) for feature in domain.features for _ in range(feature.width)]
    low, high = np.array(pairs, dtype=np.float64).T
    return low.copy(), high.copy()


def units_of(domain: Domain) -> Array:
    """The length of every input's range, rounded to a float; 1 where there is but one value."""
    low, high = box_of(domain)
    return np.where(high > low, high - low, 1.0)
