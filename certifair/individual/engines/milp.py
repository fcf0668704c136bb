"""A mixed-integer program for the pair, to compare with: PuLP with HiGHS or CBC, and its linear relaxation.

Tjeng, Xiao, Tedrake, Evaluating Robustness of Neural Networks with Mixed Integer Programming, 1711.07356.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np

from certifair.individual.bounds import Ends, box_rounding, linear_bounds
from certifair.individual.engines._candidates import differing
from certifair.individual.engines._comparison import domain_by, rows_by
from certifair.individual.engines.base import Engine, Proposal, Task
from certifair.individual.query import Answer, Array, Pair, Query
from certifair.spec.layers import Layers
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.witness import Rows, Tree


@final
@dataclass(frozen=True)
class Milp(Engine):
    """Two copies of the network, one for each point, on shared inputs: maximise t with f(x) ≥ t and f(x') ≤ −t.

    Integer inputs are integer variables, and each neuron whose sign is open has a binary one; bounds by backward
    substitution are the big-M. t ends a little above 0, so a solver may stop at the first pair that is clear of its
    tolerance, and begins below 0 by what that tolerance may make of f. `relaxed`: no variable is integer, so the
    program also has points that are no pair, and answers PASS or UNDECIDED.
    """

    solver: Literal["highs", "cbc"] = "highs"
    relaxed: bool = False
    name: ClassVar[str] = "milp"

    def decide(self, layers: Layers, query: Query, seconds: float) -> Answer:
        from certifair.individual.engines import _program

        end = time.perf_counter() + seconds
        runner = _program.runner(self.solver)
        said = f"{runner.title}, tolerance {runner.tolerance:g}{', relaxed' if self.relaxed else ''}"
        if not layers.piecewise_linear or any((layer.slope > 1).any() for layer in layers.layers):
            return Answer(Verdict.UNDECIDED, "a mixed-integer program has no sigmoid, no tanh, and no slope above 1")
        with np.errstate(over="ignore", invalid="ignore"):
            found = linear_bounds(layers, query.low, query.high)
            margin = box_rounding(layers, query.low, query.high)
        first = _by_bounds(found, margin)
        if first is not None:
            return first
        program = _program.build(layers, query, found, margin, runner.tolerance, end)
        if program is None:
            return Answer(Verdict.UNDECIDED, "no time was left when the program was built")
        outcome = _program.solve(program, runner, relaxed=self.relaxed, end=end)
        if outcome.infeasible:
            return Answer(Verdict.PASS, f"{said}: {outcome.status}")
        if self.relaxed or outcome.points is None:
            return Answer(Verdict.UNDECIDED, f"{said}: {outcome.status}")
        return _re_evaluated(layers, query, outcome.points, f"{said}: {outcome.status}")

    def rows(self, task: Task, rows: Array) -> Proposal[Rows]:
        return rows_by(self, task, rows)

    def domain(self, task: Task) -> Proposal[Tree]:
        return domain_by(self, task)


def _by_bounds(found: list[Ends], margin: float) -> Answer | None:
    """What needs no solver."""
    bound = (float(found[-1][0][0]) - margin, float(found[-1][1][0]) + margin)
    if not all(np.isfinite(ends).all() for ends in found) or not np.isfinite(bound).all():
        return Answer(Verdict.UNDECIDED, "the bounds of the neurons are not finite, so there is no big-M")
    if bound[0] > 0 or bound[1] <= 0:
        return Answer(Verdict.PASS, "by the bounds that are the big-M; no solver was called", bound=bound)
    return None


def _re_evaluated(layers: Layers, query: Query, points: Pair, said: str) -> Answer:
    """The solver's pair, moved onto the lattice, if it really differs."""
    moved = np.clip(np.where(query.integer, np.round(points), points), query.low, query.high)
    pair = differing(layers, moved)
    if pair is None or not query.allows(pair):
        return Answer(Verdict.UNDECIDED, f"{said}, but in float64 the two points do not surely differ")
    return Answer(Verdict.FAIL, said, pair)
