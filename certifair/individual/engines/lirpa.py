"""auto_LiRPA's bounds, to compare with: IBP, CROWN-IBP, CROWN, α-CROWN.

Xu et al., Automatic Perturbation Analysis for Scalable Certified Robustness and Beyond, 2002.12920.
"""

from __future__ import annotations

import importlib
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from certifair.errors import InputError
from certifair.individual.bounds import box_rounding
from certifair.individual.engines._comparison import domain_by, rows_by
from certifair.individual.engines.base import Engine, Proposal, Task
from certifair.individual.engines.interval import by_bound
from certifair.individual.query import Answer, Array, Query
from certifair.spec.layers import Layers
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.witness import Rows, Tree
    from certifair.individual._lirpa_adapter import Method

SLACK: Final = 16
"""Times what rounding does to f itself. Not proved: the package sums other things than f. A proposal needs no proof."""


@final
@dataclass(frozen=True)
class Lirpa(Engine):
    """f over the whole box by one of the package's methods, run in float64.

    α-CROWN's bounds lie within CROWN's; CROWN's need not lie within IBP's. Lines have slopes of at most 1 in a ReLU, so
    what the package adds up is of the size of what f adds up; the margin is SLACK times the rounding errors of that, by
    `rounding` with 2^-53 (in float32 it would be 5·10^8 times as wide).
    """

    method: Method = "CROWN"
    name: ClassVar[str] = "lirpa"

    def decide(self, layers: Layers, query: Query, seconds: float) -> Answer:
        end = time.perf_counter() + seconds
        try:
            adapter = importlib.import_module("certifair.individual._lirpa_adapter")
        except ModuleNotFoundError as error:
            raise InputError(
                f"the engine 'lirpa' needs {error.name}", advice="pip install 'certifair[torch]'"
            ) from None
        said = f"auto_LiRPA {self.method}"
        try:
            low, high = adapter.bounds(layers, query.low, query.high, self.method, end)
        except InputError:
            raise
        except Exception as error:  # somebody else's code: its failure is a reason, not ours
            return Answer(Verdict.UNDECIDED, f"{said} failed: {type(error).__name__}: {error}")
        with np.errstate(over="ignore", invalid="ignore"):
            margin = SLACK * box_rounding(layers, query.low, query.high)
        bound = (low - margin, high + margin)
        if not (math.isfinite(bound[0]) and math.isfinite(bound[1]) and bound[0] <= bound[1]):
            return Answer(Verdict.UNDECIDED, f"{said} gave no bounds", bound=bound)
        return by_bound(layers, query, bound, said, end)

    def rows(self, task: Task, rows: Array) -> Proposal[Rows]:
        return rows_by(self, task, rows)

    def domain(self, task: Task) -> Proposal[Tree]:
        return domain_by(self, task)
