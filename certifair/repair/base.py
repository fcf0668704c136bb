"""What a repair is: it proposes another network. Whether that one is fair, a checker decides afterwards."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from certifair.spec.domain import Domain
from certifair.spec.network import Network

Array = NDArray[np.float64]
Objective = Literal["accuracy", "change"]
Failure = Literal["infeasible", "time limit", "failed"]
"""Why there is no answer, the word that says most first. infeasible: a solver says that what was asked has none; time
limit: the time was over; failed: a solver stopped for any other reason, or gave what could not be used."""
Status = Literal["done"] | Failure


@final
class OutOfTimeError(Exception):
    """The deadline came first."""


def look_at_clock(until: float | None) -> None:
    """until: of time.monotonic; None: there is none. Errors: OutOfTimeError then, and after it."""
    if until is not None and time.monotonic() >= until:
        raise OutOfTimeError


@final
@dataclass(frozen=True, eq=False)
class Task:
    """A network whose decision f > 0 shall not depend on the sensitive inputs of these rows (n, inputs).

    labels (n,): 0 or 1, what the decision should be; None: the network's own decisions. objective: to be right about as
    many rows as possible, or to change as few decisions as possible. deadline: a moment of `time.monotonic`.
    """

    network: Network
    domain: Domain
    rows: Array
    labels: Array | None = None
    objective: Objective = "accuracy"
    deadline: float | None = None
    seed: int = 0

    @property
    def seconds(self) -> float:
        """What is left of the time."""
        return float("inf") if self.deadline is None else max(0.0, self.deadline - time.monotonic())


@final
@dataclass(frozen=True, eq=False)
class Repaired:
    """The network that a method proposes, or None and the reason, in the solver's words. solver: what was used.

    failure: why there is none, for programs; it says nothing where there is one.
    """

    network: Network | None
    reason: str
    solver: str
    failure: Failure = "failed"

    @property
    def status(self) -> Status:
        """Whether there is a network, and if not, why."""
        return self.failure if self.network is None else "done"


class Method(ABC):
    """A final subclass in a file of its own in this folder."""

    name: ClassVar[str]

    @abstractmethod
    def repair(self, task: Task) -> Repaired:
        """A network that ought to be fair on the task's rows. Errors: InputError for one that it cannot change."""
