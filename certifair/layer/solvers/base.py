"""What a solver is given and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from certifair.layer.grid import Grid
from certifair.layer.rows import Rows

Floats = NDArray[np.float64]
Numbers = NDArray[np.floating[Any]]
NEAR, FAR = 2.0**7, 2.0**60
"""In box widths: farther outside than NEAR one float is too coarse to place a score in the box; FAR is the end."""


class Status(Enum):
    """How a projection ended. Truthy only if it was solved."""

    SOLVED = "solved"
    INFEASIBLE = "infeasible"
    NO_GRID_POINT = "no grid point found"
    FAILED = "the solver failed"

    def __bool__(self) -> bool:
        return self is Status.SOLVED


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """One column of one batch: project `scores` (n,), float32 or float64, onto box and rows.

    `joint` (n,): each person's joint cell. `far`: a score lies more than NEAR box widths outside the box; none lies
    more than FAR outside.
    """

    scores: Numbers
    joint: NDArray[Any]
    rows: Rows
    grid: Grid
    far: bool

    @property
    def box(self) -> tuple[float, float]:
        return self.grid.box


@final
@dataclass(frozen=True, eq=False)
class Shift:
    """By how much each joint cell is moved: value + rest, (J,) each, `rest` far below the last digit of `value`.

    The second part matters only where scores lie so far outside the box that one float cannot place them in it.
    """

    value: Floats
    rest: Floats

    @staticmethod
    def zero(width: int) -> Shift:
        return Shift(np.zeros(width), np.zeros(width))


@final
@dataclass(frozen=True, eq=False)
class Answer:
    """What a solver found. Unless `status` is SOLVED, `predictions` are NaN; in a `Projection` they are left out.

    `predictions` (n,) lie on the grid and satisfy every row exactly; `multipliers` (K,), signed: positive where a row
    is at +ε; `shift` as of the real solution, from which the derivative is taken. `reason` says why it is not solved,
    `witness` are weights of conflicting rows by name that prove infeasibility (`exact.farkas`).
    """

    status: Status
    predictions: Numbers
    multipliers: Floats
    shift: Shift
    reason: str = ""
    witness: Mapping[str, Fraction] | None = None
    pull_back: Callable[[Floats], tuple[Floats, Floats, Floats]] | None = None
    """The solver's own derivative, (n,) → by scores (n,), ε (K,), offsets (K,); None: that of `layer.derivative`."""

    @staticmethod
    def none(problem: Problem, status: Status, reason: str, witness: Mapping[str, Fraction] | None = None) -> Answer:
        """No answer, and why."""
        width = problem.rows.matrix.shape[1]
        nothing = np.full(len(problem.scores), np.nan)
        return Answer(status, nothing, np.zeros(len(problem.rows)), Shift.zero(width), reason, witness)

    def without_predictions(self) -> Answer:
        """All but the predictions."""
        return replace(self, predictions=np.empty(0))


class Solver(ABC):
    """A final subclass in a file of its own in this folder is a solver: `solvers.names()` finds it."""

    name: ClassVar[str]

    @abstractmethod
    def solve(self, problem: Problem, start: Floats | None = None) -> Answer:
        """Project. `start` (K,): multipliers to begin with; they can make it faster, not different beyond rounding."""
