"""What a comparison is made of: data sets, cases, and methods that answer a case with an evidence bundle."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal, final

from certifair.spec.domain import Domain

Nothing = Literal["infeasible", "time limit", "failed", "does not apply"]
BASE: Final = "plain"
"""The method whose network others start from."""


@final
@dataclass(frozen=True, eq=False)
class DataSet:
    """A SET.toml: the domain of the network's inputs, the table of people, and what fairness is asked of groups.

    rows: the table's file. label: its column of 0 and 1. split: its column that says `train` or `test`; None: 30% are
    drawn as `test` by the seed. groups: columns whose values are the groups; values: what these can be. model: a
    network that is there already, None: one is trained, with these `hidden` layers. held_out: its owner says that
    nobody of the test part was used for it. digest: of all files together.
    """

    name: str
    where: Path
    domain: Domain
    rows: Path
    label: str
    split: str | None
    groups: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    metric: str
    epsilon: Fraction
    batch: int
    hidden: tuple[int, ...]
    epochs: int
    model: Path | None
    held_out: bool
    digest: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that a network reads, in its order."""
        return tuple(feature.name for feature in self.domain.features)


@final
@dataclass(frozen=True, eq=False)
class Case:
    """One data set and one seed, for the method of this name. base: the ONNX file of the network to start from, for
    methods that need one. deadline: a moment of `time.monotonic`.
    """

    data: DataSet
    method: str
    seed: int
    deadline: float
    base: bytes | None = None

    @property
    def seconds(self) -> float:
        """What is left of the time."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def held_out(self) -> bool:
        """Whether nobody who is served was fitted to: of a network that the set brings its owner alone can say so."""
        given = self.data.model is not None and (self.method == BASE or self.base is not None)
        return self.data.held_out or not given


@final
@dataclass(frozen=True, eq=False)
class Made:
    """What became of a case; the bundle is where it was asked for. solver: what was used, with versions.

    train, serve: seconds. note: one line for whoever wants to know more. caution: one for everybody who
    compares, as this is half done, or the answer to another question.
    """

    solver: str
    train: float
    serve: float
    note: str = ""
    caution: str = ""


@final
class NothingError(Exception):
    """No answer; the text says why. `failed`: a solver, or another package, without saying either of the others."""

    def __init__(self, status: Nothing, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Method(ABC):
    """A final subclass in a file of its own under methods/.

    needs_base: whether it starts from the network of BASE. per_person: whether what one person is served depends on
    that person alone, by a network that is in the bundle.
    """

    name: str
    needs_base: bool = False
    per_person: bool = True

    def serves_alone(self, data: DataSet) -> bool:
        """Whether it is per_person on this data set."""
        del data  # for most it is the same on all
        return self.per_person

    @abstractmethod
    def make(self, case: Case, out: Path) -> Made:
        """Write the bundle `out` of what is served to the people of the test part. Raises NothingError."""

    def prepare(self, seconds: float) -> None:
        """Get what is needed once, before all runs: a first run shall not pay for it. Raises NothingError.

        Whatever fails here will fail again in a run, which tells of it.
        """
        del seconds  # most need nothing

    def fixed(self, data: DataSet) -> bool:
        """Whether all seeds give the same."""
        return False
