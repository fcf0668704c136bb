"""Interval bound propagation (IBP): what the simplest bounds say, to compare with.

Gowal et al., On the Effectiveness of Interval Bound Propagation, 1810.12715.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from certifair.individual.bounds import box_rounding, interval_bounds
from certifair.individual.engines._candidates import find_pair
from certifair.individual.engines._comparison import domain_by, rows_by
from certifair.individual.engines.base import Engine, Proposal, Task
from certifair.individual.query import Answer, Array, Query
from certifair.spec.layers import Layers
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.witness import Rows, Tree


@final
@dataclass(frozen=True)
class Interval(Engine):
    """f over the whole box by intervals in float64, less what rounding may have added."""

    name: ClassVar[str] = "interval"

    def decide(self, layers: Layers, query: Query, seconds: float) -> Answer:
        start = time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore"):  # then a bound is no number, and decides nothing
            low, high = interval_bounds(layers, query.low, query.high)[-1]
            margin = box_rounding(layers, query.low, query.high)
        bound = (float(low[0]) - margin, float(high[0]) + margin)
        return by_bound(layers, query, bound, "IBP", start + seconds)

    def rows(self, task: Task, rows: Array) -> Proposal[Rows]:
        return rows_by(self, task, rows)

    def domain(self, task: Task) -> Proposal[Tree]:
        return domain_by(self, task)


def by_bound(layers: Layers, query: Query, bound: tuple[float, float], method: str, end: float) -> Answer:
    """PASS if f keeps one sign over the box, FAIL if a pair is met before `end` (of perf_counter), else UNDECIDED."""
    if bound[0] > 0 or bound[1] <= 0:
        return Answer(Verdict.PASS, f"{method}: f keeps its sign", bound=bound)
    pair = find_pair(layers, query, end - time.perf_counter())
    if pair is not None:
        return Answer(Verdict.FAIL, f"{method}: a pair was met among the points that were tried", pair, bound)
    return Answer(Verdict.UNDECIDED, f"{method}: the bounds have both signs, and no pair was met", bound=bound)
