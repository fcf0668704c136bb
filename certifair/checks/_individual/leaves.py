"""What single leaves prove: of boxes from their enclosures, of units by evaluating every point of them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from time import monotonic
from typing import Any, Final, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual import bands, counting, enclosures, trimmed
from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.counting import FALSIFIED, NEGATIVE, POSITIVE
from certifair.checks._individual.floats import Array, quiet
from certifair.checks._individual.points import Decided, Judge, level_errors
from certifair.evidence.witness import COUNTED, MOST_FLIPS, TRIMMED

Ints = NDArray[np.int64]
Pair = tuple[tuple[float, ...], tuple[float, ...]]
T = TypeVar("T")
R = TypeVar("R")

WORKERS: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MOST_PAIRS: Final = 100
"""Pairs of points that are kept of enumerations, to be shown."""
POINTS: Final = 1 << 18
"""Points that are evaluated at once."""


@final
@dataclass
class Clock:
    """When to stop, and whom to tell how much is done. An interrupt (Ctrl-C) ends the work like the deadline does."""

    deadline: float | None = None
    progress: Callable[[float], None] | None = None
    cut_off: bool = False

    def run(self, work: Callable[[T], R], items: Iterable[tuple[float, T]]) -> Iterator[tuple[T, R]]:
        """work(item) of each, in order, on all processors, until the deadline; items come with their share of all."""
        with ThreadPoolExecutor(WORKERS) as pool:
            waiting: list[tuple[float, T, Any]] = []
            source = iter(items)
            while True:
                while len(waiting) < 2 * WORKERS and not self.late() and (entry := next(source, None)):
                    waiting.append((*entry, pool.submit(work, entry[1])))
                if not waiting:
                    return
                share, item, future = waiting.pop(0)
                if self.late() and future.cancel():  # then none of those behind it has begun
                    for *_, other in waiting:
                        other.cancel()
                    return
                try:
                    result = future.result()
                except KeyboardInterrupt:
                    self.cut_off = True
                    return
                yield item, result
                if self.progress:
                    self.progress(share)

    def late(self) -> bool:
        """Whether the deadline has passed; then something is left undone."""
        if self.deadline is not None and monotonic() > self.deadline:
            self.cut_off = True
        return self.cut_off


def leaves_at_once(judge: Judge) -> int:
    """As many boxes as keep their arrays in the processor's cache."""
    net = judge.net
    widest = max(len(bias) for bias in net.bias)
    columns = sum(len(weight) for weight in net.weight[:-1]) if len(net.weight) > 3 else len(net.weight[0])
    return max(16, min(1024, (1 << 20) // (widest * columns)))


@quiet
def bounded(judge: Judge, frame: Frame, low: Array, high: Array, kind: int, along: Ints) -> tuple[Array, Array]:
    """What leaves of one kind prove: counts (boxes, levels, 4), of how many (boxes,)."""
    wide = frame.relaxed(low, high)
    box = enclosures.enclose(judge.net, *frame.hull(*wide))
    errors = level_errors(judge.net, box.ranges, frame.rounds)
    if kind == TRIMMED:
        return trimmed.count(judge.net, frame, low, high, box, errors)
    if kind == COUNTED:
        return bands.count(frame, low, high, box, errors)
    return counting.count(frame, low, high, box, errors, along)


def exactly(frame: Frame, low: Array, high: Array, counts: Array, cells: Array) -> NDArray[Any]:
    """Counts of cells as counts of units: the same where nothing is continuous, else the same share of the volume.

    From 2^53 on `cells` has a relative error below 2^-42, less than was taken off such counts.
    """
    if frame.counts_in_floats:
        return counts.astype(np.int64)
    units = frame.measure(low, high)
    found = np.zeros(counts.shape, dtype=object)
    for i, j, k in zip(*np.nonzero(counts), strict=True):
        whole = counts[i, j, k] == cells[i]
        found[i, j, k] = units[i] if whole else units[i] * Fraction(int(counts[i, j, k]), int(cells[i]))
    return found


def combinations(frame: Frame, low: Array, high: Array, swept: bool = False) -> tuple[Array, Array]:
    """All combinations of A and of displacements in a box, (flips, n0), and the displacements (flips, features).

    swept: but for those of continuous features, which are 0. Errors: ValueError if there is no end of them, or more
    than MOST_FLIPS.
    """
    ranges, features = [], np.flatnonzero((frame.is_sensitive | (frame.eps > 0)) & ~(frame.is_range & swept))
    for i in features:
        if frame.is_range[i] and (frame.eps[i] or low[i] < high[i]):
            raise ValueError("an enumeration of flip sets in which something continuous moves")
        a, b = (-frame.eps[i], frame.eps[i]) if frame.eps[i] else (low[i], high[i])
        ranges.append(np.arange(b - a + 1) + a)
    count = prod(len(r) for r in ranges)
    if count > MOST_FLIPS:
        raise ValueError(f"an enumeration of flip sets of more than {MOST_FLIPS} points")
    grid = np.stack([*(g.reshape(-1) for g in np.meshgrid(*ranges, indexing="ij")), np.zeros(count)], axis=1)[:, :-1]
    moved = np.zeros((count, len(frame.domain.features)))
    moved[:, features] = grid * (frame.eps[features] > 0)
    return frame.inputs(grid, features), moved


def allowed(frame: Frame, values: Array, moved: Array) -> NDArray[np.bool_] | None:
    """(flips, units) Which displacements keep the values (units, features) in the domain; None if nothing moves."""
    relaxed = np.flatnonzero(frame.eps > 0)
    if not len(relaxed):
        return None
    found = np.ones((len(moved), len(values)), dtype=bool)
    for i in relaxed:
        at = values[None, :, i] + moved[:, i, None]
        found &= (at >= frame.root[0][0, i]) & (at <= frame.root[1][0, i])
    return found


def enumerated(
    judge: Judge, frame: Frame, low: Array, high: Array, clock: Clock, pairs: list[Pair]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Counts (boxes, 2, 4) by evaluating every point of boxes with the same part of A; and which were finished.

    What is counted of a box before the deadline counts. Errors: ValueError for boxes without a finite number of units.
    """
    unit = frame.unit
    if (frame.is_range[unit] & (low[:, unit] < high[:, unit])).any():
        raise ValueError("an enumeration of a feature that is continuous")
    flips, moved = combinations(frame, low[0], high[0])
    corners = np.concatenate(frame.hull(low.min(axis=0)[None], high.max(axis=0)[None]))
    corners[:, frame.sensitive_inputs] = 0
    corners += np.stack([flips.min(axis=0), flips.max(axis=0)])  # not cut at the domain's ends: |z| + |δ| is rounded
    fast = judge.flips(flips, corners[0], corners[1], frame.rounds)
    levels = (high - low).astype(np.int64)[:, unit] + 1
    sizes = [prod(row) for row in levels.tolist()]
    ends = list(itertools.accumulate(sizes))
    counts = np.zeros((len(low), 2, 4), dtype=np.int64)
    if ends[-1] >= 1 << 62:
        raise ValueError("an enumeration of more than 2^62 units")
    step = max(1, POINTS // len(flips))

    def part(first: int) -> tuple[NDArray[Any], list[Pair], Ints]:
        leaf, values = _units(low, levels, ends, first, min(first + step, ends[-1]), frame)
        inputs = frame.inputs(values[:, unit], unit)
        found = fast.decide(inputs, allowed(frame, values, moved))
        some = np.flatnonzero(found.code[:, 0] == 2)[:MOST_PAIRS]
        points = [(inputs[some] + flips[which[some]]).tolist() for which in (found.high, found.low)]
        return _by_leaf(found, leaf), list(zip(*(map(tuple, p) for p in points), strict=True)), np.unique(leaf)

    total = len(sizes) and ends[-1]
    done = 0
    for first, (counted, found_pairs, leaf) in clock.run(
        part, ((min(step, total - f) / total, f) for f in range(0, total, step))
    ):
        counts[leaf] += counted
        done = first + step
        pairs.extend(found_pairs[: max(0, MOST_PAIRS - len(pairs))])
    return counts.astype(object) if not frame.counts_in_floats else counts, np.array(ends) <= done


def _by_leaf(found: Decided, leaf: Ints) -> Ints:
    """(leaves, 2, 4) Counts for each different leaf (units,), in order."""
    _, index = np.unique(leaf, return_inverse=True)
    counts = np.zeros((int(index.max()) + 1, 2, 4), dtype=np.int64)
    for level in range(2):
        for code, kind in ((1, POSITIVE), (-1, NEGATIVE), (2, FALSIFIED)):
            counts[:, level, kind] = np.bincount(index[found.code[:, level] == code], minlength=len(counts))
    return counts


def _units(low: Array, levels: Ints, ends: list[int], first: int, last: int, frame: Frame) -> tuple[Ints, Array]:
    """The boxes (units,) and values (units, features) of units number first to last − 1 of all boxes, one by one."""
    number = np.arange(first, last)
    leaf = np.searchsorted(np.array(ends), number, side="right")
    place = number - (np.array([0, *ends[:-1]])[leaf])
    values = np.zeros((len(number), low.shape[1]))
    one = leaf[0] == leaf[-1]
    for j in reversed(range(len(frame.unit))):
        size = levels[leaf[0], j] if one else levels[leaf, j]
        rest = place // size
        values[:, frame.unit[j]] = low[leaf, frame.unit[j]] + (place - rest * size)
        place = rest
    return leaf, values
