"""The proof tree of a domain: boxes level by level, what each leaf proves, put together from below."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.counting import FALSIFIED, NEGATIVE, POSITIVE
from certifair.checks._individual.floats import Array, quiet
from certifair.checks._individual.leaves import Clock, Ints, Pair, bounded, enumerated, exactly, leaves_at_once
from certifair.checks._individual.points import Judge
from certifair.evidence.witness import BOUNDED, COUNTEREXAMPLE, ENUMERATED, FIBRES, OPEN, SPLIT, Tree


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
    ends = []
    for low, high, start in checker.levels():
        checker.leaves(low, high, start)
        checker.divided(low, high, start)
        ends.append((start, start + len(low)))
    for first, last in reversed(ends):
        checker.join(first, last)
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
        if (self._feature[self._kind == SPLIT] >= len(frame.domain.features)).any():
            raise ValueError("a split of a feature that the domain has not")
        self._splits = np.cumsum(self._kind == SPLIT)
        self._pair_of = np.cumsum(self._kind == COUNTEREXAMPLE) - 1
        self.result = np.zeros((len(tree.kind), 2, 4), dtype=np.int64 if frame.counts_in_floats else object)
        self.visited = dict.fromkeys(range(7), 0)
        self._units: dict[int, tuple[Ints, NDArray[Any]]] = {}
        self.pairs: list[Pair] = []

    def levels(self) -> Iterator[tuple[Any, Any, int]]:
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

    def _children(self, low: Any, high: Any, node: Ints) -> tuple[Any, Any]:
        """Both halves of each box, side by side."""
        rows, feature, cut = np.arange(len(node)), self._feature[node], self._cut[node]
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
        places = {k: np.flatnonzero(kind == k) for k in range(1, 7)}
        size = len(self._kind)
        bounded = [places[k] for k in BOUNDED]
        step = leaves_at_once(self._judge) if any(map(len, bounded)) else 1
        parts = [some[i : i + step] for some in bounded for i in range(0, len(some), step)]

        def bound(part: Ints) -> NDArray[Any]:
            low_, high_ = low[part].astype(np.float64), high[part].astype(np.float64)
            return self._bounded(low_, high_, int(kind[part[0]]), self._feature[start + part])

        self._check_along(self._feature[start + places[FIBRES]])
        for part, found in self._clock.run(bound, ((len(p) / size, p) for p in parts)):
            self.result[start + part] = found
            self.visited[int(kind[part[0]])] += len(part)
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
    def _bounded(self, low: Array, high: Array, kind: int, along: Ints) -> NDArray[Any]:
        """(boxes, 2, 4), from enclosures."""
        found, cells = bounded(self._judge, self._frame, low, high, kind, along)
        return exactly(self._frame, low, high, found, cells)

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
            self.pairs.append(pair if signs[0, 0] > 0 else pair[::-1])
        found: NDArray[Any] = unfair * (0 if self._frame.continuous[self._frame.unit].any() else 1)
        return found

    def divided(self, low: Array, high: Array, start: int) -> None:
        """Keeps the number of units of the splits of A of one level."""
        kind, feature = (column[start : start + len(low)] for column in (self._kind, self._feature))
        at = np.flatnonzero(kind == SPLIT)
        at = at[self._frame.is_sensitive[feature[at]]]
        if len(at):
            units = self._frame.measure(low[at].astype(np.float64), high[at].astype(np.float64))
            self._units[start] = start + at, units[:, None]

    def join(self, first: int, last: int) -> None:
        """The results of the splits of one level from those of their children.

        Units are divided: sums. A is divided: a unit is positive if it is in both parts, so at least p1 + p2 − N are;
        unfair if it is in either part, or if it is positive in one and negative in the other (two cases that exclude
        each other).
        """
        node = first + np.flatnonzero(self._kind[first:last] == SPLIT)
        left = 2 * self._splits[node] - 1
        self.result[node] = self.result[left] + self.result[left + 1]
        if first not in self._units:
            return
        node, units = self._units[first]
        left = 2 * self._splits[node] - 1
        a, b = self.result[left], self.result[left + 1]
        zero, joint = a[:, :, 0] * 0, np.zeros_like(a)
        for side in (POSITIVE, NEGATIVE):
            joint[..., side] = np.maximum(zero, a[..., side] + b[..., side] - units)
        crossed = np.maximum(zero, a[..., POSITIVE] + b[..., NEGATIVE] - units)
        crossed = crossed + np.maximum(zero, a[..., NEGATIVE] + b[..., POSITIVE] - units)
        joint[..., FALSIFIED] = np.maximum(np.maximum(a[..., FALSIFIED], b[..., FALSIFIED]), crossed)
        self.result[node] = joint


def pair_in_box(frame: Frame, low: Array, high: Array, pair: Pair) -> bool:
    """Whether some unit of the box has both points in its flip set."""
    for i, (feature, columns) in enumerate(zip(frame.domain.features, frame.domain.columns, strict=True)):
        one, two = (tuple(point[c] for c in columns) for point in pair)
        if not (feature.contains(one) and feature.contains(two)):
            return False
        places = [part.index(1.0) if feature.kind == "one_hot" else part[0] for part in (one, two)]
        a, b = Fraction(float(low[i])), Fraction(float(high[i]))
        if feature.sensitive:
            if not all(a <= Fraction(p) <= b for p in places):
                return False
            continue
        eps = Fraction(feature.eps)
        if max(a, *(Fraction(p) - eps for p in places)) > min(b, *(Fraction(p) + eps for p in places)):
            return False
    return True
