"""From a network to a proposed Lipschitz bound, cheap to tight; a checker says what is proven."""

from __future__ import annotations

import threading
import time
from array import array
from dataclasses import dataclass, replace
from typing import Final, Literal, assert_never, final, get_args

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.spec.chain import Chain, chain_of
from certifair.spec.lipschitz import Pair, Witness
from certifair.spec.network import Network
from certifair.spec.reach import ranges_of
from certifair.stability._cvx import by_cvxpy, require_cvxpy
from certifair.stability._groups import grouped
from certifair.stability._interior import optimum
from certifair.stability._problem import Problem, problem_of, proven
from certifair.stability._sequential import sequential
from certifair.stability.attack import attack

Array = NDArray[np.float64]
Box = tuple[Array, Array]
Engine = Literal["interior", "groups", "sequential", "cvxpy"]
SECONDS: Final = 60.0
GRACE: Final = 0.4
"""Seconds that it waits for what is about to end."""
ATTACK: Final = 0.1
MOST_ATTACK: Final = 2.0
"""The share of the time that goes into a pair, and at most how many seconds."""
PAIRS: Final = 1_000
CLIMBS: Final = 100
ROUNDS: Final = 150
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
    """The best witness, None if there is none, and why; all rungs, in the order in which they were tried.

    pair: the inputs whose outputs were found farthest apart, also in the witness; alone it is `Witness(0.0, (), pair)`.
    """

    witness: Witness | None
    rungs: tuple[Rung, ...]
    reason: str | None
    pair: Pair | None


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
    It returns when time is up, with what there is; a step of linear algebra that has begun ends in the background.
    Errors: InputError for an unknown engine, or cvxpy that is not installed.
    """
    if engine is not None and engine not in get_args(Engine):
        raise InputError(f"{engine!r} is no engine", where="lipschitz", advice=f"use {', '.join(get_args(Engine))}")
    if engine == "cvxpy":
        require_cvxpy()
    run = _Run(network, box, units, seconds, engine)
    thread = threading.Thread(target=run.work, daemon=True)
    thread.start()
    thread.join(seconds + GRACE)
    return run.proposal()


@final
class _Run:
    """What is found so far; the thread that works only adds to it."""

    def __init__(
        self, network: Network, box: Box | None, units: Array | None, seconds: float, engine: Engine | None
    ) -> None:
        self._network, self._box, self._units, self._engine = network, box, units, engine
        self._seconds, self._started = seconds, time.monotonic()
        self._end = self._started + seconds
        self._pair: Pair | None = None
        self._rungs: tuple[Rung, ...] = ()
        self._reason = f"no multipliers were found that prove a bound, in {seconds:g} s"
        self._error: Exception | None = None

    def work(self) -> None:
        """A pair, then rung after rung."""
        try:
            self._attack()
            self._climb()
        except ValueError as error:
            self._reason = str(error)
        except Exception as error:  # raised again by the thread that waits
            self._error = error

    def proposal(self) -> Proposal:
        """What is known now. Errors: what `work` met and did not expect."""
        if self._error is not None:
            raise self._error
        rungs, pair = self._rungs, self._pair
        best = min((rung.witness for rung in rungs), key=lambda witness: witness.bound, default=None)
        if best is None:
            return Proposal(None, (), self._reason, pair)
        return Proposal(replace(best, pair=pair), rungs, None, pair)

    def _attack(self) -> None:
        seconds = min(ATTACK * self._seconds, MOST_ATTACK)
        effort = {"random": PAIRS, "climbs": CLIMBS, "rounds": ROUNDS}
        found = attack(self._network, self._box, self._units, **effort, seconds=seconds).pair
        if found is not None:
            self._pair = array("d", found[0].tolist()), array("d", found[1].tolist())

    def _climb(self) -> None:
        """Time for the proof is kept: as long as the last one took, and half as much again."""
        ranges = None if self._box is None else ranges_of(self._network, *self._box)
        chain = chain_of(self._network, self._units, ranges, excess=True)
        problem = problem_of(chain)
        start = sequential(problem)
        if start is None:
            return
        names: list[Engine] = [self._engine or "sequential"]
        if self._engine is None:
            names.append("interior" if chain.variables <= WHOLE else "groups")
        taken = 0.0
        for name in names:
            end = self._end - 1.5 * taken
            if self._rungs and time.monotonic() > end:
                break
            t = _improved(name, problem, start, end)
            before = time.monotonic()
            self._prove(name, chain, problem, t)
            taken = time.monotonic() - before

    def _prove(self, name: Engine, chain: Chain, problem: Problem, t: Array | None) -> None:
        witness = None if t is None else proven(chain, problem, t, self._end)
        if witness is not None:
            now = time.monotonic()
            self._rungs += (Rung(name, witness, now - self._started - sum(rung.seconds for rung in self._rungs)),)


def _improved(engine: Engine, problem: Problem, start: Array, end: float) -> Array | None:
    """Multipliers by one engine, from feasible ones."""
    match engine:
        case "sequential":
            return start
        case "interior":
            return optimum(problem, start, end)
        case "groups":
            return grouped(problem, start, end)
        case "cvxpy":
            return by_cvxpy(problem, start, max(end - time.monotonic(), 0.0))
        case _:
            assert_never(engine)
