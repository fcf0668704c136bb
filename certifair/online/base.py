"""What every online algorithm is: a pure step from a state and a batch to a state, predictions, and what the log keeps.

People come in batches of any size, one person included. A batch too small to satisfy every row by itself is served so
that the rows hold over time; how much of that is guaranteed, each algorithm says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, final

import numpy as np
import torch
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence.canonical import canonical, strict_json
from certifair.evidence.files import read_input, write_atomic
from certifair.exact.decimals import format_decimal
from certifair.layer.fairness_layer import Number, exact_number
from certifair.layer.grid import Grid
from certifair.online.people import People
from certifair.spec import Json

State = TypeVar("State")
Floats = NDArray[np.float64]
_LARGEST_STATE = 1 << 26


@final
@dataclass(frozen=True)
class Record:
    """What the log keeps of a batch beside its people (certificates/README.md 12.1).

    `people`: how many; `absent`: the rows that do not count in it, because one of their cells is empty; `columns`:
    by name, what all records of the batch have in the columns of the algorithm, in the order of the log.
    """

    people: int
    absent: tuple[str, ...]
    columns: Mapping[str, int | float]


@final
@dataclass(frozen=True, eq=False)
class Demand:
    """What is asked of the predictions: every row of `people` within `epsilon`, everybody within [lower, upper].

    Predictions lie on `grid`, the layer's: its ends are at most a step inside the box.
    """

    people: People
    epsilon: Fraction
    lower: Fraction
    upper: Fraction
    grid: Grid

    @staticmethod
    def of(people: People, epsilon: Number, lower: Number, upper: Number) -> Demand:
        """Numbers are the decimals that were written: 0.05 is 1/20. Raises InputError for what is none."""
        limit, low, high = (
            decimal_number(value, name) for value, name in ((epsilon, "epsilon"), (lower, "lower"), (upper, "upper"))
        )
        if limit < 0:
            raise InputError(f"epsilon = {epsilon!r} is negative", where="online")
        if low >= high:
            raise InputError("lower must be below upper", where="online")
        return Demand(people, limit, low, high, Grid.of(low, high, "float64"))

    @property
    def description(self) -> Json:
        """These members of `algorithm` in certificates/README.md 12.4."""
        numbers = {"epsilon": self.epsilon, "lower": self.lower, "upper": self.upper}
        return {**self.people.description, **{name: format_decimal(value) for name, value in numbers.items()}}


class Online(ABC, Generic[State]):
    """An online algorithm. A final subclass holds what never changes; all that does is in its states.

    A state is a frozen value, `step` changes nothing that it is given, and nothing is global: the same state and the
    same batch always give the same answer, in whatever process.
    """

    name: ClassVar[str]
    demand: Demand

    @abstractmethod
    def init(self) -> State:
        """The state before the first batch."""

    @abstractmethod
    def step(
        self, state: State, scores: Any, sensitive_features: Any, conditions: Any = None
    ) -> tuple[State, Any, Record]:
        """Serve one batch: the state after it, the predictions, what the log keeps.

        `scores` (n,), n ≥ 1: an array, a list of numbers, or a float64 or float32 tensor; `sensitive_features` and
        `conditions` as `People.encode` takes them. The predictions (n,) are float64, on `demand.grid`: a tensor on the
        scores' device if these are one, else an array. Raises InputError before anything has happened.
        """

    @abstractmethod
    def description_from(self, state: State) -> Json:
        """`algorithm` of a log (certificates/README.md 12.4) whose first batch is served from this state."""

    @abstractmethod
    def dump(self, state: State) -> Json:
        """The state as JSON without floats, and all settings of the algorithm that it belongs to."""

    @abstractmethod
    def load(self, dumped: Json) -> State:
        """The very state that was dumped. Raises InputError for anything that `dump` does not give here."""

    @final
    @property
    def description(self) -> Json:
        """`algorithm` of a log (certificates/README.md 12.4) that starts with `init()`."""
        return self.description_from(self.init())

    @final
    @property
    def row_names(self) -> tuple[str, ...]:
        """The rows, in the order of certificates/README.md 9.2."""
        return self.demand.people.row_names

    @final
    def save(self, path: Path, state: State) -> None:
        """Write a state, whole or not at all."""
        write_atomic(path, canonical(self.dump(state)))

    @final
    def restore(self, path: Path) -> State:
        """The state that was saved. Raises InputError for another file, or the state of another algorithm."""
        try:
            dumped = strict_json(read_input(path, limit=_LARGEST_STATE))
        except ValueError as error:
            raise InputError(f"is no saved state ({error})", where=str(path)) from None
        return self.load(dumped)


def decimal_number(value: Number, name: str) -> Fraction:
    """The decimal that was written. Raises InputError for what is none, or does not end (1/3)."""
    try:
        found = exact_number(value, name)
    except InputError as error:
        raise InputError(error.what, where="online") from None
    try:
        format_decimal(found)
    except ValueError:
        raise InputError(f"{name} = {value!r} is no finite decimal", where="online") from None
    return found


def read_scores(scores: Any) -> Floats:
    """A copy of the scores as float64 (n,), n ≥ 1. Raises InputError."""
    if isinstance(scores, torch.Tensor):
        if scores.dtype not in (torch.float64, torch.float32):
            what = f"scores are a tensor of {scores.dtype}, not of float32 or float64"
            raise InputError(what, where="online", advice="cast them")
        scores = scores.detach().cpu().numpy()
    array = scores if isinstance(scores, np.ndarray) else _listed(scores)
    if array.ndim != 1 or not len(array):
        raise InputError(f"scores have the shape {array.shape}, not (n,) with somebody in it", where="online")
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise InputError(f"scores are {array.dtype}, not numbers of at most 64 bits", where="online")
    found: Floats = np.array(array, dtype=np.float64, order="C")
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found))) + 1
        raise InputError(f"the score of row {row} is not a finite number", where="online")
    return found


def _listed(scores: Any) -> NDArray[Any]:
    if not isinstance(scores, Sequence) and not hasattr(scores, "to_numpy"):
        raise InputError(f"scores are a {type(scores).__name__}, not (n,) numbers", where="online")
    try:
        return np.asarray(scores)
    except (ValueError, TypeError):
        raise InputError("scores are not (n,) numbers", where="online") from None


def as_given(predictions: Floats, scores: Any) -> Any:
    """The predictions as a tensor where the scores are one, on its device; else as they are."""
    if isinstance(scores, torch.Tensor):
        return torch.from_numpy(predictions).to(scores.device)
    return predictions
