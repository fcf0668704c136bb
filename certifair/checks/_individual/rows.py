"""Rows: whether the decision of single people could change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.floats import Array
from certifair.checks._individual.leaves import POINTS, Clock, Pair, allowed, combinations
from certifair.checks._individual.points import Judge
from certifair.checks._individual.sweeps import Swept, sweep
from certifair.checks._individual.trees import check_tree
from certifair.evidence.witness import ALL, PAIR, SWEPT, TREE, UNDECIDED, Rows

Ints = NDArray[np.int64]
FAIR: Final = 1
UNFAIR: Final = 2
SWEPT_AT_ONCE: Final = 256
NOTHING, OUTSIDE, NOT_CLAIMED, NEAR_TIE, LATE, CURVED = range(6)
REASONS: Final = (
    "",
    "the row is outside the domain",
    "the engine found no proof",
    "a point of its flip set is too near to the decision's boundary",
    "the time was over before this row was checked",
    "the network has sigmoid or tanh neurons inside",
)


@final
@dataclass
class RowsResult:
    """verdict (rows, 2 levels): 0, FAIR, UNFAIR; reason (rows,); of unfair rows (the first `found`) both points."""

    verdict: NDArray[np.int8]
    reason: NDArray[np.int8]
    rows: list[Ints] = field(default_factory=list)
    points: list[Array] = field(default_factory=list)
    visited: dict[int, int] = field(default_factory=dict)

    def pairs(self) -> Iterator[tuple[int, Pair]]:
        """Each unfair row, with two points of its flip set that decide differently."""
        for some, points in zip(self.rows, self.points, strict=True):
            for row, (one, two) in zip(some.tolist(), points.tolist(), strict=True):
                yield row, (tuple(one), tuple(two))


def check_rows(judge: Judge, frame: Frame, about: Rows, rows: Array, clock: Clock) -> RowsResult:
    """The verdict of each row (rows, n0). Errors: ValueError for a witness that does not fit."""
    code = np.frombuffer(about.code, dtype=np.uint8)
    if (code > TREE).any():
        raise ValueError("a row of an unknown code")
    inside, values = frame.values(rows)
    result = RowsResult(np.zeros((len(rows), 2), dtype=np.int8), np.full(len(rows), LATE, dtype=np.int8))
    result.reason[code == UNDECIDED] = NOT_CLAIMED
    result.reason[~inside] = OUTSIDE
    result.visited = {k: int((code == k).sum()) for k in range(5)}
    _all(judge, frame, rows, values, np.flatnonzero((code == ALL) & inside), clock, result)
    _pairs(judge, frame, about, rows, code == PAIR, inside, result)
    _swept(judge, frame, rows, values, np.flatnonzero((code == SWEPT) & inside), clock, result)
    _trees(judge, frame, about, rows, inside, clock, result)
    result.reason[(result.verdict[:, 0] == 0) & (result.reason == NOTHING)] = NEAR_TIE
    return result


def _all(judge: Judge, frame: Frame, rows: Array, values: Array, which: Ints, clock: Clock, result: RowsResult) -> None:
    """Every point of the flip set is evaluated; the row's own is one of them, as it is in the domain."""
    if not len(which):
        return
    flips, moved = combinations(frame, frame.root[0][0], frame.root[1][0])
    units = rows[which].copy()
    units[:, frame.sensitive_inputs] = 0
    low, high = (np.add(units[..., :], 0) for _ in range(2))
    corners = np.stack([low.min(axis=0) + flips.min(axis=0), high.max(axis=0) + flips.max(axis=0)])
    fast = judge.flips(flips, corners[0], corners[1], frame.rounds)
    step = max(1, POINTS // len(flips))

    def part(first: int) -> tuple[NDArray[np.int8], Ints, Array]:
        some = slice(first, first + step)
        found = fast.decide(units[some], allowed(frame, values[which[some]], moved))
        unfair = np.flatnonzero(found.code[:, 0] == 2)
        points = units[some][unfair][:, None] + np.stack([flips[found.high[unfair]], flips[found.low[unfair]]], axis=1)
        return np.abs(found.code), which[some][unfair], points

    total = len(which)
    for first, (verdict, unfair, points) in clock.run(part, ((step / total, f) for f in range(0, total, step))):
        some = which[first : first + step]
        result.verdict[some], result.reason[some] = verdict, NOTHING
        result.rows.append(unfair)
        result.points.append(points)


def _pairs(
    judge: Judge,
    frame: Frame,
    about: Rows,
    rows: Array,
    chosen: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    result: RowsResult,
) -> None:
    """Two points that are in the flip set and decide differently."""
    flipped = frame.flipped_inputs
    which = np.flatnonzero(chosen)
    given = np.array(about.pairs, dtype=np.float64)
    if len(given) != 2 * len(which) * len(flipped):
        raise ValueError("the points of a witness of rows have the wrong length")
    points = np.repeat(rows[which][:, None], 2, axis=1)
    points[:, :, flipped] = given.reshape(len(which), 2, len(flipped))
    member = inside[which] & frame.in_flip_set(rows[which], points[:, 0]) & frame.in_flip_set(rows[which], points[:, 1])
    if (inside[which] & ~member).any():
        raise ValueError("a counterexample that is not in the flip set of its row")
    which, points = which[member], points[member]
    signs = judge.signs(points.reshape(-1, rows.shape[1])).reshape(-1, 2, 2)
    unfair = signs[:, 0] * signs[:, 1] < 0
    result.verdict[which] = np.where(unfair, UNFAIR, 0)
    result.reason[which] = NOTHING
    points[signs[:, 0, 0] < 0] = points[signs[:, 0, 0] < 0][:, ::-1]  # the positive one first
    result.rows.append(which[unfair[:, 0]])
    result.points.append(points[unfair[:, 0]])


def _swept(
    judge: Judge, frame: Frame, rows: Array, values: Array, which: Ints, clock: Clock, result: RowsResult
) -> None:
    """Flip sets with one or two continuous inputs."""

    def part(some: Ints) -> Swept:
        return sweep(judge, frame, rows[some], values[some])

    parts = [which[i : i + SWEPT_AT_ONCE] for i in range(0, len(which), SWEPT_AT_ONCE)]
    for some, found in clock.run(part, ((len(p) / len(which), p) for p in parts)):
        verdict = found.verdict()
        result.verdict[some], result.reason[some] = verdict, NOTHING
        known = (verdict[:, 0] == UNFAIR) & np.isfinite(found.points).all(axis=(0, 2))
        result.rows.append(some[known])
        result.points.append(found.points[:, known].swapaxes(0, 1))


def _trees(
    judge: Judge, frame: Frame, about: Rows, rows: Array, inside: NDArray[np.bool_], clock: Clock, result: RowsResult
) -> None:
    """Each tree is about one flip set, as if everything were sensitive: its boxes contain one unit, fair or unfair.

    Ends of continuous ranges are rounded outwards, so that only a pair proves that the flip set itself is unfair.
    """
    exactly = not (frame.is_range & (frame.eps > 0)).any()
    which = np.flatnonzero(np.frombuffer(about.code, dtype=np.uint8) == TREE)
    values = frame.values(rows)[1]
    if len(about.trees) != len(which):
        raise ValueError("not a tree for every row that should have one")
    low, high = frame.relaxed(values, values)
    low = np.where(frame.is_sensitive, frame.root[0], low)
    high = np.where(frame.is_sensitive, frame.root[1], high)
    for row, tree in zip(which.tolist(), about.trees, strict=True):
        if not inside[row] or clock.late():
            continue
        found = check_tree(judge, frame.flip_sets, tree, clock, (low[row : row + 1], high[row : row + 1]))
        points = np.array(found.pairs[:1]).reshape(-1, 2, rows.shape[1])
        if not frame.in_flip_set(
            np.repeat(rows[[row]], 2 * len(points), axis=0), points.reshape(-1, rows.shape[1])
        ).all():
            raise ValueError("a counterexample that is not in the flip set of its row")
        signs = judge.signs(points.reshape(-1, rows.shape[1])).reshape(-1, 2, 2)
        apart = np.any(signs[:, 0] * signs[:, 1] < 0, axis=0).reshape(2)
        for level, (positive, negative, mixed, unfair) in enumerate(found.counts):
            proven = unfair and (exactly or apart[level])
            result.verdict[row, level] = UNFAIR if proven else int(positive + negative + mixed > 0)
        result.reason[row] = NOTHING
        result.rows.append(np.full(len(points), row))
        result.points.append(points)
