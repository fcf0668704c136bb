"""The pooled algorithm's state: exact sums, what it has seen of the scores, and what it plans."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence.canonical import MAX_INTEGER
from certifair.layer.grid import Grid
from certifair.online._pooled_cells import LIMB, width_of
from certifair.online.people import People
from certifair.spec import Json

_FEWEST, _MOST, _ALL = 8, 64, 4096
_PEOPLE = 1 << 40
"""More than are served in a lifetime; no sum overflows below that."""


@final
@dataclass(frozen=True, eq=False)
class PooledState:
    """A value; its arrays are read-only. J joint cells, C cells.

    `sums` (J, 3): people served and the exact sum of their predictions, as in `_pooled_cells`. `scores` (J, bins): how
    many scores have been seen in each bin, of those three boxes wide around the box; the warm-up counts here. `lifts`
    (C,) and `pace` (C,): the plan, and the mean prediction that it expects of each cell; `spread` and `due`, by
    condition: how far scores spread, and at how many people to plan again. `moved`: how many people were served
    something else than was planned, to keep the rows.
    """

    sums: NDArray[np.int64]
    scores: NDArray[np.int64]
    lifts: NDArray[np.float64]
    pace: NDArray[np.float64]
    spread: NDArray[np.float64]
    due: NDArray[np.int64]
    moved: int

    @property
    def arrays(self) -> tuple[Any, Any, Any, Any, Any, Any]:
        """All arrays, in order."""
        return self.sums, self.scores, self.lifts, self.pace, self.spread, self.due

    @property
    def people(self) -> int:
        """How many have been served."""
        return int(self.sums[:, 0].sum())

    def fits(self, people: People) -> bool:
        """Whether it has the shapes for these groups."""
        return [array.shape for array in self.arrays] == _wanted(people)

    def copies(self) -> PooledState:
        """One whose arrays may be written."""
        sums, scores, lifts, pace, spread, due = (array.copy() for array in self.arrays)
        return PooledState(sums, scores, lifts, pace, spread, due, self.moved)

    def frozen(self, moved: int = 0) -> PooledState:
        """The same arrays, read-only, with `moved` people more."""
        for array in self.arrays:
            array.flags.writeable = False
        return PooledState(*self.arrays, self.moved + moved)


def _wanted(people: People) -> list[tuple[int, ...]]:
    joint = people.joint_cells
    conditions = 1 if people.condition is None else len(people.values[people.condition])
    bins = 3 * max(_FEWEST, min(_MOST, _ALL // joint))
    cells = (len(people.cells),)
    return [(joint, 3), (joint, bins), cells, cells, (conditions,), (conditions,)]


def empty(people: People) -> PooledState:
    """Nobody served, nothing seen."""
    kinds = (np.int64, np.int64, np.float64, np.float64, np.float64, np.int64)
    sums, scores, lifts, pace, spread, due = (np.zeros(*kind) for kind in zip(_wanted(people), kinds, strict=True))
    return PooledState(sums, scores, lifts, pace, spread, due, 0).frozen()


def to_json(state: PooledState, first: int) -> Json:
    """Sums in grid steps, `first` being the lowest; of scores the bins that hold somebody, as [bin, how many]."""
    sums = [(n, (high << LIMB) + low + n * first) for n, high, low in state.sums.tolist()]
    return {
        "people": [n for n, _ in sums],
        "sums": [str(total) for _, total in sums],
        "scores": [[[q, n] for q, n in enumerate(bins) if n] for bins in state.scores.tolist()],
        "lifts": [value.hex() for value in state.lifts.tolist()],
        "pace": [value.hex() for value in state.pace.tolist()],
        "spread": [value.hex() for value in state.spread.tolist()],
        "due": state.due.tolist(),
        "moved": state.moved,
    }


def from_json(value: Any, people: People, grid: Grid) -> PooledState:
    """What `to_json` wrote, to the letter. Raises InputError for anything else."""
    refused = InputError("this is no state of this algorithm", where="online")
    try:
        found = _read(value, empty(people).copies(), grid.first).frozen(value["moved"])
        same = to_json(found, grid.first) == value
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError):
        raise refused from None
    if not same:
        raise refused
    return found


def _read(value: Any, state: PooledState, first: int) -> PooledState:
    for j, (n, text) in enumerate(zip(value["people"], value["sums"], strict=True)):
        total = int(text) - n * first
        state.sums[j] = n, total >> LIMB, total & ((1 << LIMB) - 1)
    for j, bins in enumerate(value["scores"]):
        for q, n in bins:
            state.scores[j, q] = n
    state.lifts[:] = [float.fromhex(text) for text in value["lifts"]]
    state.pace[:] = [float.fromhex(text) for text in value["pace"]]
    state.spread[:] = [float.fromhex(text) for text in value["spread"]]
    state.due[:] = value["due"]
    return state


def check(state: PooledState, layout: Any, widest: int, grid: Grid) -> None:
    """Raises InputError for a state that no stream leads to, in anything that the guarantee rests on."""
    width = grid.last - grid.first
    sums = [(n, (high << LIMB) + low) for n, high, low in state.sums.tolist()]
    numbers = [*state.scores.reshape(-1).tolist(), *state.due.tolist(), state.moved, *(n for n, _ in sums)]
    possible = all(0 <= total <= n * width for n, total in sums) and all(0 <= n <= MAX_INTEGER for n in numbers)
    floats = [*state.lifts.tolist(), *state.pace.tolist(), *state.spread.tolist()]
    if not possible or sum(n for n, _ in sums) > _PEOPLE or not all(map(math.isfinite, floats)):
        raise InputError("the state's counts or sums are impossible", where="online")
    if any(width_of(b, layout, state.sums) > widest for b in range(len(layout[3]) - 1)):
        raise InputError("the state breaks a row already", where="online", advice="it was not made by this algorithm")
