"""What a projection gives beside the predictions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, final

from certifair.errors import CertifairError
from certifair.layer.solvers.base import Answer, Problem, Status

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True, eq=False)
class Solved:
    """One independent problem: a column of a batch."""

    problem: Problem
    answer: Answer

    @property
    def status(self) -> Status:
        return self.answer.status

    @property
    def multipliers(self) -> dict[str, float]:
        """The layer's dual solution by the rows' names: what `multipliers.parquet` holds."""
        return dict(zip(self.problem.rows.names, self.answer.multipliers.tolist(), strict=True))

    @property
    def absent(self) -> tuple[str, ...]:
        """Rows that nothing was demanded of, because a group they speak of is absent."""
        return self.problem.rows.pattern.absent

    @property
    def tolerances(self) -> dict[str, Fraction]:
        """ε of each row, exactly."""
        return dict(zip(self.problem.rows.names, self.problem.rows.epsilon, strict=True))


@final
@dataclass(frozen=True, eq=False)
class Projection:
    """The layer's answer: `predictions` of the scores' shape (NaN where a problem was not solved), and each problem's.

    Truthy only if every problem was solved.
    """

    predictions: torch.Tensor
    problems: tuple[Solved, ...]

    def __bool__(self) -> bool:
        return all(item.status for item in self.problems)


class ProjectionError(CertifairError):
    """No predictions can be served: the rows contradict each other or the box, or the grid is too coarse for them.

    `projection` holds everything that was found, the solved problems too; `projection.problems[k].answer.witness` the
    proof that the k-th cannot be solved.
    """

    exit_code = 2

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        failed = [(k, item) for k, item in enumerate(projection.problems) if not item.status]
        index, first = failed[0]
        which = f"problem {index} of {len(projection.problems)}: " if len(projection.problems) > 1 else ""
        super().__init__(
            f"{which}{first.status.value}: {first.answer.reason}",
            where="fairness layer",
            advice="raise epsilon, widen the box, or use larger batches",
        )
