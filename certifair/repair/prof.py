"""ProF: fine-tune, then change the last layer by a mixed-integer program, until bounds prove chosen rows fair.

ProF: Provable Fairness Repair for Deep Neural Networks, ASE 2025, 2605.19549. What differs from it: the bounds and the
solvers are open ones, and a margin covers what is rounded (`_bands.Bands`): the new weights to float32, an evaluation
in float32, and the bounds. As published, the program chooses the sides of S(x) for the sake of a small change of
weights alone: labels matter to the fine-tuning only. With several sensitive features the smallest change may be one
that puts nearly everybody on one side; `price` (ours) makes that dear.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import ClassVar, Final, final, get_args

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.individual.bounds import evaluate
from certifair.repair._bands import Bands, FlipSets, bands_of
from certifair.repair._fine_tuning import Tuning, fine_tuned
from certifair.repair._milp import MARGIN, Head, Outcome, solve
from certifair.repair._numbers import changed
from certifair.repair._solvers import INSTALL, Name, Solver, solvers
from certifair.repair.base import Array, Failure, Method, OutOfTimeError, Repaired, Task
from certifair.spec.layers import Layers, layers_of
from certifair.spec.network import Activation, Affine, Network, reads

ADVICE: Final = "give a network whose one output is an affine step's, with or without a sigmoid behind it"
SECONDS: Final = 120.0
"""For the solvers, where the task has no deadline."""
TUNING, SEARCHING = 0.4, 0.8
"""The part of a task's time that fine-tuning may take, and of what is left then that the program may take."""
ATTEMPTS: Final = 5
"""To solve with a margin 10 times as wide, where the solver's answer misses the one before."""


@final
@dataclass(frozen=True)
class Prof(Method):
    """Both steps. rows: how many of the task's rows are made fair, see `chosen_rows`; step 1 sees the labels of all.

    price: what a chosen row on another side than its label's (or its decision's) costs, beside |Δ| of a weight.
    Errors: InputError for options that mean nothing.
    """

    name: ClassVar[str] = "prof"
    solver: Name = "auto"
    epochs: int = 200
    rows: int = 100
    price: float = 0.0

    def __post_init__(self) -> None:
        said = (
            (self.solver in get_args(Name), f"solver {self.solver!r} is none of {', '.join(get_args(Name))}"),
            (self.rows >= 1, f"rows {self.rows}: at least one row is to be made fair"),
            (self.epochs >= 0, f"epochs {self.epochs} is below 0"),
            (0 <= self.price < math.inf, f"price {self.price} is not 0 or more, and finite"),
        )
        for fine, what in said:
            if not fine:
                raise InputError(what, where="the method 'prof'")

    def repair(self, task: Task) -> Repaired:
        candidates = solvers(self.solver)
        titles = ", ".join(solver.title for solver in candidates)
        head = head_of(task.network)
        labels = targets(task)
        chosen = chosen_rows(len(task.rows), self.rows, task.seed)
        sets = FlipSets.of(task.domain, task.rows[chosen])
        try:
            tuned = self._tuned(task, head, labels, sets)
            bands = bands_of(layers_of(tuned), sets, task.deadline)
        except OverflowError as error:
            return Repaired(None, f"fine-tuned to float32 numbers, {error}", titles, "failed")
        except OutOfTimeError:
            return Repaired(None, "no time was left for the bounds", titles, "time limit")
        prices = -self.price * np.where(labels[chosen] > 0, 1.0, -1.0)
        end = time.monotonic() + min(SECONDS if task.deadline is None else np.inf, task.seconds)
        said: list[str] = []
        failures: set[Failure] = set()
        for solver in candidates:
            found = _solved(bands, _affine(tuned, head), prices, solver, end)
            said.append(f"{solver.title}: {found.status}")
            if found.head is not None:
                repaired = _with_head(tuned, head, found.head)
                if not np.array_equal(layers_of(repaired).layers[-1].weight[0], found.head.weight):
                    raise InputError("its last layer reads something twice", where="the network", advice=ADVICE)
                return Repaired(repaired, "; ".join(said), solver.title)
            failures.add(found.failure)
            if found.failure == "infeasible":
                break
        failure = next(each for each in get_args(Failure) if each in failures)
        return Repaired(None, "; ".join(said), titles, failure)

    def _tuned(self, task: Task, head: int, labels: Array, sets: FlipSets) -> Network:
        """Step 1. Errors: InputError without torch; OverflowError."""
        end = np.inf if task.deadline is None else time.monotonic() + TUNING * task.seconds
        tuning = Tuning(task.rows, labels, sets.ends(), self.epochs, float(end))
        try:
            return fine_tuned(task.network, head, tuning)
        except ModuleNotFoundError as error:
            raise InputError(f"the method 'prof' needs {error.name}", advice=INSTALL) from None


def targets(task: Task) -> Array:
    """The decisions that the rows should have (n,): their labels, or for the objective "change" their own."""
    if task.labels is not None and task.objective == "accuracy":
        return task.labels.astype(np.float64)
    return decisions(layers_of(task.network), task.rows).astype(np.float64)


def chosen_rows(count: int, most: int, seed: int) -> NDArray[np.intp]:
    """Which of so many rows are made fair: all, or a sample of `most`, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def decisions(layers: Layers, rows: Array) -> NDArray[np.bool_]:
    """f > 0 (n,), in float64."""
    return evaluate(layers, rows)[0] > 0


def head_of(network: Network) -> int:
    """The position of the affine step that gives f, of which only functions that keep its sign follow.

    Errors: InputError where there is no such step, or a step that has no bounds here.
    """
    try:
        last = layers_of(network).layers[-1]
    except ValueError as error:
        raise InputError(str(error), where="the network", advice=ADVICE) from None
    slot = network.output
    while slot and isinstance(network.steps[slot - 1], Activation):
        slot = reads(network.steps[slot - 1])[0]
    step = network.steps[slot - 1] if slot else None
    if not isinstance(step, Affine) or not np.array_equal(step.weight, last.weight):
        raise InputError("its decision is not an affine step's output", where="the network", advice=ADVICE)
    return slot - 1


def _step(network: Network, head: int) -> Affine:
    step = network.steps[head]
    assert isinstance(step, Affine)
    return step


def _affine(network: Network, head: int) -> Head:
    step = _step(network, head)
    return Head(step.weight[0], float(step.bias[0]))


def _with_head(network: Network, head: int, found: Head) -> Network:
    steps = list(network.steps)
    steps[head] = Affine(_step(network, head).source, found.weight[None], np.array([found.bias]))
    return changed(network, tuple(steps))


def _solved(bands: Bands, head: Head, prices: Array, solver: Solver, end: float) -> Outcome:
    """Step 2: float32 numbers that `bands` prove to have one side in every row, or none and why.

    The side where the middle of each band is, or else one side for all, is tried first, which needs no integers: its
    cost is an upper bound of the search's, and its answer is what is left if the search finds none in its time.
    Infeasible is what a search finds so that had no bound on its cost: no sides and no last layer will do.
    """
    middle: Array = np.where((bands.low.at + bands.high.at) @ head.weight / 2 + head.bias > 0, 1.0, -1.0)
    first = solve(bands, head, solver.make, end, prices=prices, sides=middle)
    if first.head is None:
        same = [
            solve(bands, head, solver.make, end, prices=prices, sides=sign * np.abs(middle)) for sign in (1.0, -1.0)
        ]
        first = min(same, key=lambda outcome: outcome.cost)
    until = time.monotonic() + SEARCHING * (end - time.monotonic())
    most = first.cost + MARGIN * (1 + abs(first.cost))
    searched = solve(bands, head, solver.make, until, prices=prices, most=most)
    status = searched.status
    best = min(searched, first, key=lambda outcome: outcome.cost)
    if best.sides is None:
        return searched
    if best is first and searched.head is None:
        status += "; so the sides are those that were tried before the search"
    for attempt in range(ATTEMPTS):
        found = solve(bands, head, solver.make, end, prices=prices, sides=best.sides, margin=MARGIN * 10**attempt)
        if found.head is None:
            failure: Failure = "time limit" if found.failure == "time limit" else "failed"
            return Outcome(f"{status}; with the sides fixed: {found.status}", failure=failure)
        rounded = found.head.rounded()
        if np.array_equal(bands.sides(rounded.weight, rounded.bias), best.sides):
            return Outcome(status, rounded, best.sides, found.cost)
    return Outcome(f"{status}; no margin up to {MARGIN * 10 ** (ATTEMPTS - 1):g} covers the solver's own error")
