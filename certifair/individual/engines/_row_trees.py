"""Rows with large flip sets: three or more continuous inputs, or more combinations than anybody evaluates.

The flip set of each row is halved into boxes until an enclosure of f keeps one sign on each, or two points decide
differently.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from functools import partial
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.evidence.witness import COUNTED, ENUMERATED, PAIR, SPLIT, TREE, UNDECIDED, Rows, Tree
from certifair.individual.bounds import activate, evaluate
from certifair.individual.engines._jobs import NO_TIME, joined, listed, over_chunks
from certifair.individual.engines._row_boxes import Effects, FlipSets
from certifair.individual.engines._row_enclosure import Enclosure, enclose
from certifair.individual.engines._search import OUTSIDE
from certifair.individual.engines.base import Array, NotForThisError, Proposal, Task
from certifair.individual.points import Indices, Mask, clear, inside
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers

CHUNK: Final = 16
"""Rows of which one process is asked at a time."""
MOST_NODES: Final = 1 << 15
"""Of one row's tree."""
SMALL: Final = 1024
"""Points of a box that are evaluated instead of bounded."""
PATIENCE: Final = 3
"""Rounds in which a pair that float32 arithmetic might not tell apart may still be replaced by a clearer one."""
NUMBERS: Final = 1 << 21
"""In the largest array."""
LIMIT: Final = "the flip set was divided into the most boxes that one row may have"
TIE: Final = "a point of the flip set is too near to the decision's boundary"
SEARCHING, FOUND, GIVEN_UP = range(3)


def tree_rows(task: Task, rows: Array) -> Proposal[Rows]:
    """PAIR, TREE or UNDECIDED for each of the rows (n, inputs).

    Errors: NotForThisError for sigmoids and the like inside.
    """
    if not task.layers.piecewise_linear:
        raise NotForThisError("the network has a sigmoid or tanh inside", advice="use the method enumerate or interval")
    table = np.ascontiguousarray(rows, dtype=np.float64)
    return over_chunks(partial(_chunk, task.layers, task.domain), table, CHUNK, task)


def _chunk(layers: Layers, domain: Domain, rows: Array, seconds: float) -> Proposal[Rows]:
    """As many rows together as fill a batch; time that one search leaves over is for those that had too little."""
    end, together = time.monotonic() + seconds, min(CHUNK, -(-_batch(layers) // 64))
    with np.errstate(all="ignore"):  # what is no number decides nothing
        parts = [rows[start : start + together] for start in range(0, len(rows), together)]
        searches = [_Search(layers, FlipSets(domain), part) for part in parts]
        waiting = searches
        while waiting and time.monotonic() < end:
            for number, search in enumerate(waiting):
                now = time.monotonic()
                search.run(now + (end - now) / (len(waiting) - number))
            waiting = [search for search in waiting if not search.done]
        return joined(search.proposal() for search in searches)


def _batch(layers: Layers) -> int:
    """How many boxes are bounded at once."""
    widest = max(max(layer.weight.shape) for layer in layers.layers)
    return int(np.clip(NUMBERS // widest**2, 16, 1024))


@final
class _Search:
    """The open boxes of some rows, all of one depth, in the order of their nodes; the nodes so far; the best points.

    owner (boxes,): which row. best, where (2, rows) and (2, rows, inputs): the largest and the smallest value of f so
    far. uncertain (rows,): some point is too near to 0 for float32 arithmetic, so that the real level is all there is
    to prove.
    """

    def __init__(self, layers: Layers, sets: FlipSets, table: Array) -> None:
        self._known = inside(sets.domain, table)
        self._layers, self._sets, self._rows = layers, sets, table[self._known]
        rows = self._rows
        self._ends = self._low, self._high = sets.roots(rows)
        self._owner: Indices = np.arange(len(rows))
        self._nodes: list[tuple[NDArray[np.uint8], Indices, Array, Indices]] = []
        self._best = np.repeat(_value(layers, rows)[None], 2, axis=0)
        self._where = np.repeat(rows[None], 2, axis=0)
        self._uncertain = np.zeros(len(rows), dtype=np.bool_)
        self._mixed = np.zeros(len(rows), dtype=np.intp)
        self._state = np.zeros(len(rows), dtype=np.intp)
        self._why = [""] * len(rows)
        self._count = np.ones(len(rows), dtype=np.intp)
        self._batch = _batch(layers)

    @property
    def done(self) -> bool:
        """Whether no box is open."""
        return not len(self._owner)

    def run(self, end: float) -> None:
        """Round by round, each one level deeper, until the moment `end`; from there it can go on."""
        while not self.done:
            kind = np.zeros(len(self._owner), dtype=np.uint8)
            feature, cut = np.zeros(len(kind), dtype=np.intp), np.zeros(len(kind))
            for start in range(0, len(kind), self._batch):
                if time.monotonic() >= end:
                    return
                some = slice(start, start + self._batch)
                kind[some], feature[some], cut[some] = self._looked_at(some)
            self._settle()
            self._nodes.append((kind, feature, cut, self._owner))
            self._descend(kind, feature, cut)

    def _looked_at(self, some: slice) -> tuple[NDArray[np.uint8], Indices, Array]:
        """Kind, feature (of those that move) and cut of nodes."""
        low, high, owner = self._low[some], self._high[some], self._owner[some]
        hull = self._sets.hull(self._rows[owner], low, high)
        box = enclose(self._layers, *hull, self._sets.inputs, self._sets.off)
        effects = self._sets.effects(box, low, high)
        self._try(box, effects, some)
        proven = self._proven(box, effects, owner)
        small = ~proven & (self._sets.sizes(low, high) <= SMALL)
        self._enumerate(np.flatnonzero(small) + some.start)
        feature, cut, possible = self._sets.cuts(low, high, effects.reach)
        self._give_up(np.unique(owner[~proven & ~small & ~possible]), TIE)
        leaf = proven | small | ~possible
        kind = np.where(proven, COUNTED, np.where(small, ENUMERATED, SPLIT)).astype(np.uint8)
        return kind, np.where(leaf, 0, feature), np.where(leaf, 0.0, cut)

    def _proven(self, box: Enclosure, effects: Effects, owner: Indices) -> Mask:
        """Whether f keeps its sign over boxes by enough for float32, or by enough where no more can be had."""
        least, most = box.centre + effects.least - box.error, box.centre + effects.most + box.error
        enough = np.where(self._uncertain[owner] | np.isinf(box.computed), box.exactly, box.computed)
        found: Mask = (least > enough) | (most < -enough)
        return found

    def _try(self, box: Enclosure, effects: Effects, some: slice) -> None:
        """The middle of each box, and where its line is least and greatest."""
        low, high, owner = self._low[some], self._high[some], self._owner[some]
        ends = self._ends[0][owner], self._ends[1][owner]
        for values in (effects.bottom, effects.top, self._sets.middles(low, high)):
            points = self._sets.points(self._rows[owner], self._sets.rounded(values, *ends))
            value = self._take(points, owner)
            self._uncertain[owner[np.abs(value) <= box.computed]] = True

    def _take(self, points: Array, owner: Indices) -> Array:
        """f at points (n, inputs) of these rows; keeps the best."""
        value = _value(self._layers, points)
        for side, sign in enumerate((1, -1)):
            order = np.lexsort((sign * value, owner))
            last = order[np.flatnonzero(np.append(np.diff(owner[order]), 1))]
            better = last[sign * value[last] > sign * self._best[side, owner[last]]]
            self._best[side, owner[better]] = value[better]
            self._where[side, owner[better]] = points[better]
        return value

    def _enumerate(self, boxes: Indices) -> None:
        for box in boxes.tolist():
            values = self._sets.every(self._low[box], self._high[box])
            owner = np.full(len(values), self._owner[box])
            self._take(self._sets.points(self._rows[owner], values), owner)

    def _give_up(self, rows: Indices, why: str) -> None:
        for row in rows.tolist():
            if self._state[row] == SEARCHING:
                self._state[row], self._why[row] = GIVEN_UP, why

    def _settle(self) -> None:
        """Rows with a pair are done, at once if float32 arithmetic tells the two points apart."""
        mixed = np.flatnonzero((self._best[0] > 0) & (self._best[1] <= 0) & (self._state == SEARCHING))
        if not len(mixed):
            return
        self._mixed[mixed] += self._sure(mixed)
        known = clear(self._layers, *self._where[:, mixed]) | (self._mixed[mixed] > PATIENCE)
        self._state[mixed[known]] = FOUND

    def _sure(self, rows: Indices) -> Mask:
        """Whether f is > 0 and ≤ 0 at the best points of these rows, rounding considered."""
        (high, wide), (low, thick) = (evaluate(self._layers, points) for points in self._where[:, rows])
        found: Mask = (high > wide) & (low <= -thick)
        return found

    def _descend(self, kind: NDArray[np.uint8], feature: Indices, cut: Array) -> None:
        """To both halves of what is split, of rows that are still searched."""
        split = kind == SPLIT
        self._count += 2 * np.bincount(self._owner[split], minlength=len(self._rows))
        self._give_up(np.flatnonzero(self._count > MOST_NODES), LIMIT)
        chosen = np.flatnonzero(split & (self._state[self._owner] == SEARCHING))
        self._low, self._high = self._sets.halves(self._low[chosen], self._high[chosen], feature[chosen], cut[chosen])
        self._owner = np.repeat(self._owner[chosen], 2)

    def proposal(self) -> Proposal[Rows]:
        """Of all rows, also those that are not in the domain."""
        self._give_up(np.unique(self._owner), NO_TIME)
        sure = (self._best[0] > 0) & (self._best[1] <= 0)
        sure[sure] = self._sure(np.flatnonzero(sure))
        paired = sure | (self._state == FOUND)
        code = np.where(paired, PAIR, np.where(self._state == GIVEN_UP, UNDECIDED, TREE))
        codes = np.full(len(self._known), UNDECIDED, dtype=np.uint8)
        codes[self._known] = code
        pairs = array("d", self._where[:, paired][:, :, self._sets.inputs].swapaxes(0, 1).ravel().tolist())
        reasons = Counter(self._why[row] for row in np.flatnonzero(code == UNDECIDED).tolist())
        reasons.update([OUTSIDE] * int((~self._known).sum()))
        trees = tuple(self._trees(np.flatnonzero(code == TREE)))
        return Proposal(Rows(codes.tobytes(), pairs, trees), listed(reasons))

    def _trees(self, rows: Indices) -> list[Tree]:
        """Nodes were made round by round, and in each in the order of their parents: breadth first."""
        if not len(rows):
            return []
        kind, feature, cut, owner = (np.concatenate(column) for column in zip(*self._nodes, strict=True))
        free = np.array(self._sets.free)
        feature = np.where(kind == SPLIT, free[feature], 0)
        found = []
        for row in rows.tolist():
            mine = owner == row
            columns = array("H", feature[mine].tolist()), array("d", cut[mine].tolist())
            found.append(Tree(kind[mine].tobytes(), *columns))
        return found


def _value(layers: Layers, points: Array) -> Array:
    """f at points (n, inputs), (n,)."""
    for layer in layers.layers:
        points = activate(layer, points @ layer.weight.T + layer.bias)
    return points[:, 0]
