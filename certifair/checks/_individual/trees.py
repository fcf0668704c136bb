"""The proof tree of a domain: boxes level by level, what each leaf proves, put together from below."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from time import monotonic
from typing import Any, Final, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual import counting, floats
from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.counting import FALSIFIED, NEGATIVE, POSITIVE
from certifair.checks._individual.floats import Array, quiet
from certifair.checks._individual.points import Decided, Flips, Judge, level_errors
from certifair.evidence.witness import COUNTED, COUNTEREXAMPLE, ENUMERATED, FIBRES, OPEN, SPLIT, Tree

Ints = NDArray[np.int64]
Pair = tuple[tuple[float, ...], tuple[float, ...]]
T = TypeVar("T")
R = TypeVar("R")

WORKERS: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MOST_FLIPS: Final = 1 << 24
"""Combinations of one flip set that are enumerated."""
MOST_PAIRS: Final = 100
"""Pairs of points that are kept of enumerations, to be shown."""
POINTS: Final = 1 << 18
"""Points that are evaluated at once."""


@final
@dataclass
class Clock:
    """When to stop, and whom to tell how much is done."""

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
                yield item, future.result()
                if self.progress:
                    self.progress(share)

    def late(self) -> bool:
        """Whether the deadline has passed; then something is left undone."""
        if self.deadline is not None and monotonic() > self.deadline:
            self.cut_off = True
        return self.cut_off


@final
@dataclass
class TreeResult:
    """units: of the domain. counts (2 levels, 4): units proven positive, negative, fair without a side, unfair."""

    units: Fraction
    counts: tuple[tuple[Fraction, ...], ...]
    visited: dict[int, int] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)


def check_tree(
    judge: Judge, frame: Frame, tree: Tree, clock: Clock, root: tuple[Array, Array] | None = None
) -> TreeResult:
    """What the tree proves about all units of a box (1, features), or of the domain.

    Errors: ValueError for a tree that does not fit.
    """
    checker = _Checker(judge, frame, tree, clock, frame.root if root is None else root)
    levels = list(checker.levels())
    for low, high, start in levels:
        checker.leaves(low, high, start)
    for low, high, start in reversed(levels):
        checker.join(low, high, start)
    total = checker.result[0]
    counts = tuple(tuple(Fraction(v) for v in row) for row in total.tolist())
    return TreeResult(Fraction(frame.domain.units), counts, checker.visited, checker.pairs)


@final
class _Checker:
    """result (nodes, 2, 4): the counts of each node, int64 or exact objects (`Frame.measure`)."""

    def __init__(self, judge: Judge, frame: Frame, tree: Tree, clock: Clock, root: tuple[Array, Array]) -> None:
        self._judge, self._frame, self._tree, self._clock, self._root = judge, frame, tree, clock, root
        self._kind = np.frombuffer(tree.kind, dtype=np.uint8)
        self._feature = np.asarray(tree.feature, dtype=np.int64)
        self._cut = np.asarray(tree.cut, dtype=np.float64)
        self._splits = np.cumsum(self._kind == SPLIT)
        self._pair_of = np.cumsum(self._kind == COUNTEREXAMPLE) - 1
        self.result = np.zeros((len(tree.kind), 2, 4), dtype=np.int64 if frame.counts_in_floats else object)
        self.visited = dict.fromkeys(range(6), 0)
        self.pairs: list[Pair] = []

    def levels(self) -> Iterator[tuple[Array, Array, int]]:
        """Boxes (nodes, features) of each level of the tree, and the first node. Errors: ValueError."""
        small = np.float32 if not self._frame.is_range.any() else np.float64
        low, high = (ends.astype(small) for ends in self._root)
        start, nodes = 0, len(self._kind)
        while len(low):
            yield low, high, start
            place = np.flatnonzero(self._kind[start : start + len(low)] == SPLIT)
            low, high, start = *self._children(low[place], high[place], start + place), start + len(low)
        if start != nodes:
            raise ValueError("a tree has nodes that no split leads to")

    def _children(self, low: Array, high: Array, node: Ints) -> tuple[Array, Array]:
        """Both halves of each box, side by side."""
        rows, feature, cut = np.arange(len(node)), self._feature[node], self._cut[node]
        if (feature >= len(self._frame.domain.features)).any():
            raise ValueError("a split of a feature that the domain has not")
        long, a, b = self._frame.is_range[feature], low[rows, feature], high[rows, feature]
        inside = np.where(long, (a < cut) & (cut < b), (a < cut) & (cut <= b) & (np.rint(cut) == cut))
        if not inside.all():
            raise ValueError("a split at a cut that is not inside its box")
        lows, highs = np.repeat(low, 2, axis=0), np.repeat(high, 2, axis=0)
        highs[2 * rows, feature] = np.where(long, cut, cut - 1)
        lows[2 * rows + 1, feature] = cut
        return lows, highs

    def leaves(self, low: Array, high: Array, start: int) -> None:
        """The results of the leaves of one level."""
        kind = self._kind[start : start + len(low)]
        places = {k: np.flatnonzero(kind == k) for k in range(1, 6)}
        bounded = np.flatnonzero((kind == COUNTED) | (kind == FIBRES))
        size = len(self._kind)
        step = leaves_at_once(self._judge)
        parts = [bounded[i : i + step] for i in range(0, len(bounded), step)]

        def bound(part: Ints) -> NDArray[Any]:
            along = np.where(kind[part] == FIBRES, self._feature[start + part], -1)
            return self._bounded(low[part].astype(np.float64), high[part].astype(np.float64), along)

        self._check_along(self._feature[start + places[FIBRES]])
        for part, found in self._clock.run(bound, ((len(p) / size, p) for p in parts)):
            self.result[start + part] = found
            for k in (COUNTED, FIBRES):
                self.visited[k] += int((kind[part] == k).sum())
        self._enumerate(low, high, start, places[ENUMERATED])
        for i in places[COUNTEREXAMPLE].tolist():
            pair = self._tree.pairs[self._pair_of[start + i]]
            self.visited[COUNTEREXAMPLE] += 1
            self.result[start + i, :, FALSIFIED] = self._counterexample(low[i], high[i], pair)
        self.visited[OPEN] += len(places[OPEN])
        self.visited[SPLIT] += int((kind == SPLIT).sum())

    def _check_along(self, feature: Ints) -> None:
        features = self._frame.domain.features
        good = [not (f.sensitive or f.eps or f.kind == "one_hot") for f in features]
        if not all(i < len(good) and good[i] for i in np.unique(feature).tolist()):
            raise ValueError("fibres along a feature that is sensitive, relaxed, one-hot or none of the domain")

    @quiet
    def _bounded(self, low: Array, high: Array, along: Ints) -> NDArray[Any]:
        """(boxes, 2, 4), from enclosures."""
        found, cells = bounded(self._judge, self._frame, low, high, along)
        return _exactly(self._frame, low, high, found, cells)

    def _enumerate(self, low: Array, high: Array, start: int, places: Ints) -> None:
        """Leaves with the same part of A together; those of many units in parts."""
        if not len(places):
            return
        sensitive = self._frame.sensitive
        key = np.hstack([low[places][:, sensitive], high[places][:, sensitive]])
        _, group = np.unique(key, axis=0, return_inverse=True)
        for g in range(int(group.max()) + 1):
            some = places[group.reshape(-1) == g]
            lows, highs = low[some].astype(np.float64), high[some].astype(np.float64)
            counts, done = enumerated(self._judge, self._frame, lows, highs, self._clock, self.pairs)
            self.result[start + some] = counts
            self.visited[ENUMERATED] += int(done.sum())

    def _counterexample(self, low: Array, high: Array, pair: Pair) -> NDArray[Any]:
        """(2,) How many units it proves unfair: one, or a length of 0. Errors: ValueError if it is no pair of the box.

        One unit must have both points in its flip set: within eps of both, in the box.
        """
        points = np.array(pair, dtype=np.float64)
        if points.shape != (2, self._frame.domain.inputs) or not pair_in_box(self._frame, low, high, pair):
            raise ValueError("a counterexample that is no pair of points of one flip set of its box")
        signs = self._judge.signs(points)
        unfair = (signs[0] * signs[1] < 0).astype(np.int64)
        if unfair[0]:
            self.pairs.append(pair)
        return unfair * (0 if self._frame.continuous[self._frame.unit].any() else 1)

    def join(self, low: Array, high: Array, start: int) -> None:
        """The results of the splits of one level from those of their children.

        Units are divided: sums. A is divided: a unit is positive if it is in both parts, so at least p1 + p2 − N are;
        unfair if it is in either part, or if it is positive in one and negative in the other.
        """
        node = start + np.flatnonzero(self._kind[start : start + len(low)] == SPLIT)
        if not len(node):
            return
        left = 2 * self._splits[node] - 1
        one, two = self.result[left], self.result[left + 1]
        self.result[node] = one + two
        apart = np.flatnonzero(self._frame.is_sensitive[self._feature[node]])
        if not len(apart):
            return
        at = node[apart] - start
        units = self._frame.measure(low[at].astype(np.float64), high[at].astype(np.float64))[:, None]
        a, b, zero = one[apart], two[apart], one[apart][:, :, 0] * 0
        joint = np.zeros_like(a)
        for side in (POSITIVE, NEGATIVE):
            joint[..., side] = np.maximum(zero, a[..., side] + b[..., side] - units)
        crossed = np.maximum(zero, a[..., POSITIVE] + b[..., NEGATIVE] - units) + np.maximum(
            zero, a[..., NEGATIVE] + b[..., POSITIVE] - units
        )
        joint[..., FALSIFIED] = np.maximum(np.maximum(a[..., FALSIFIED], b[..., FALSIFIED]), crossed)
        self.result[node[apart]] = joint


def leaves_at_once(judge: Judge) -> int:
    """As many boxes as keep their arrays in the processor's cache."""
    net = judge.net
    widest = max(weight.shape[1] for weight in net.weight)
    columns = sum(weight.shape[0] for weight in net.weight[:-1]) if len(net.weight) > 3 else len(net.weight[0])
    return max(16, min(1024, (1 << 20) // (widest * columns)))


@quiet
def bounded(judge: Judge, frame: Frame, low: Array, high: Array, along: Ints) -> tuple[Array, Array]:
    """`counting.count` of boxes of units."""
    wide = frame.relaxed(low, high)
    box = floats.enclose(judge.net, *frame.hull(*wide))
    errors = level_errors(judge.net, box.ranges, frame.rounds)
    return counting.count(frame, low, high, box, errors, along)


def _exactly(frame: Frame, low: Array, high: Array, counts: Array, cells: Array) -> NDArray[Any]:
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
    wide_low, wide_high = frame.hull(*frame.relaxed(low.min(axis=0)[None], high.max(axis=0)[None]))
    fast = Flips.within(judge, flips, wide_low[0], wide_high[0], frame.rounds)
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
    for first, (counted, found_pairs, leaf) in clock.run(part, ((min(step, total - f) / total, f) for f in range(0, total, step))):
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


def pair_in_box(frame: Frame, low: Array, high: Array, pair: Pair) -> bool:
    """Whether some unit of the box has both points in its flip set."""
    for i, (feature, columns) in enumerate(zip(frame.domain.features, frame.domain.columns, strict=True)):
        one, two = (tuple(point[c] for c in columns) for point in pair)
        if not (feature.contains(one) and feature.contains(two)):
            return False
        if feature.kind == "one_hot":
            places = one.index(1.0), two.index(1.0)
        else:
            places = one[0], two[0]
        a, b = Fraction(float(low[i])), Fraction(float(high[i]))
        if feature.sensitive:
            if not all(a <= Fraction(p) <= b for p in places):
                return False
            continue
        eps = Fraction(feature.eps)
        if max(a, *(Fraction(p) - eps for p in places)) > min(b, *(Fraction(p) + eps for p in places)):
            return False
    return True
