"""What an engine is: it proposes witnesses about the decision of a network. A checker decides what they prove."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Generic, NamedTuple, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers

if TYPE_CHECKING:
    from certifair.evidence.witness import Rows, Tree

MOST_POINTS: Final = 2_000_000_000
"""Of a domain that are evaluated one by one."""
Array = NDArray[np.float64]
Progress = Callable[[float, float, float], None]
"""Called now and then with the shares so far: certified, falsified, undecided. They are the engine's own."""


@final
class NotForThisError(InputError):
    """An engine that cannot answer such a question; the message says which one can."""


@final
@dataclass(frozen=True, eq=False)
class Task:
    """A network's decision, the domain, and what the answer may cost: a moment of `time.monotonic`, bytes, processes.

    seed: a tree to go on from.
    """

    layers: Layers
    domain: Domain
    deadline: float | None = None
    memory: int = 2 << 30
    processes: int = 1
    progress: Progress | None = None
    seed: Tree | None = None

    @property
    def seconds(self) -> float:
        """What is left of the time."""
        return float("inf") if self.deadline is None else max(0.0, self.deadline - time.monotonic())


Found = TypeVar("Found")


@final
class Proposal(NamedTuple, Generic[Found]):
    """A witness's body, and why parts of it are undecided, as the engine puts it: (how often, reason).

    more: goes on with the search, until a moment of `time.monotonic`; None where it is over.
    """

    about: Found
    reasons: tuple[tuple[int, str], ...] = ()
    more: Callable[[float], Proposal[Found]] | None = None


class Engine(ABC):
    """A final subclass in a file of its own in this folder."""

    name: ClassVar[str]
    anytime: ClassVar[bool] = False
    """Whether proposals about domains get better with time: `Proposal.more`."""

    @abstractmethod
    def rows(self, task: Task, rows: Array) -> Proposal[Rows]:
        """About each of these rows (n, inputs). Errors: NotForThisError."""

    @abstractmethod
    def domain(self, task: Task) -> Proposal[Tree]:
        """About all units of the domain. Errors: NotForThisError."""
