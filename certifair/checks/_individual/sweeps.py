"""Flip sets with one or two continuous inputs: pieces bounded and halved together, what is left swept in rationals."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual import enclosures, floats
from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.floats import Array, quiet
from certifair.checks._individual.leaves import allowed, combinations
from certifair.checks._individual.points import Judge, Signs, level_errors, sure
from certifair.evidence.witness import SWEPT_INPUTS
from certifair.exact import piecewise

Ints = NDArray[np.int64]

HALVINGS: Final = 10


@final
@dataclass(eq=False)
class Swept:
    """Per row and level (rows, 2): whether points with f > 0 and with f ≤ 0 were found, and whether some part of the
    flip set is not known. points (2, rows, n0): one with f > 0 and one with f ≤ 0, where known (nan elsewhere)."""

    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    points: Array

    def verdict(self) -> Signs:
        """0 undecided, 1 fair, 2 unfair."""
        both = self.positive & self.negative
        return np.where(both, 2, np.where(self.unknown, 0, 1)).astype(np.int8)

    def seen(self, row: Ints, sign: Signs, point: Array) -> None:
        """Points (n, n0) of the flip sets of these rows, with their signs (n, 2)."""
        for side, found in enumerate((self.positive, self.negative)):
            for level in range(2):
                new = sign[:, level] == 1 - 2 * side
                found[row[new], level] = True
            new = sign[:, 0] == 1 - 2 * side
            self.points[side, row[new]] = point[new]

    def settled(self) -> NDArray[np.bool_]:
        """(rows,) Proven unfair at both levels: nothing more is to be found out."""
        done: NDArray[np.bool_] = self.positive[:, 0] & self.negative[:, 0] & self.positive[:, 1] & self.negative[:, 1]
        return done


@quiet
def sweep(judge: Judge, frame: Frame, rows: Array, values: Array) -> Swept:
    """The flip sets of rows (rows, n0), with their values (rows, features). Errors: ValueError for too many inputs.

    Every piece is a box of the continuous inputs, for one combination of the others. A piece on which f has one sign
    surely is done: if it meets the flip set (it may stick out of it by a rounding), it does so at the point nearest to
    the row. Others are halved, and their middles are looked at; at last the exact range of f decides.
    """
    low, high, row = _pieces(frame, values)
    none = np.zeros((len(rows), 2), dtype=bool)
    found = Swept(none, none.copy(), none.copy(), np.full((2, *rows.shape), np.nan))
    depth = 0
    while True:
        box = enclosures.enclose(judge.net, low, high)
        reach = (np.abs(box.slope) * box.radius).sum(axis=1) * floats.SLACK + box.error
        reach = reach + np.abs(box.centre) * 2.0**-50
        errors = level_errors(judge.net, box.ranges, frame.rounds)
        sign = np.stack([sure(box.centre - reach, box.centre + reach, errors[:, i]) for i in range(2)], axis=1)
        for point, which in ((_nearest(frame, rows[row], box.middle, low, high), sign != 0), (box.middle, sign == 0)):
            known = np.flatnonzero(which.any(axis=1) & ~found.settled()[row])
            known = known[frame.in_flip_set(rows[row[known]], point[known])]
            seen = sign[known] if point is not box.middle else judge.signs(point[known])
            found.seen(row[known], seen, point[known])
        unsure = np.flatnonzero(((sign == 0) & np.isfinite(errors)).any(axis=1))
        hopeless = np.isinf(errors) & (sign == 0)
        for level in range(2):
            found.unknown[row[hopeless[:, level]], level] = True
        left = unsure[~found.settled()[row[unsure]]]
        if not len(left) or depth == HALVINGS:
            break
        low, high, row = _halved(low[left], high[left], row[left], box.slope[left])
        depth += 1
    for piece in left:
        if not found.settled()[row[piece]]:
            _exactly(judge, frame, rows[row[piece]], low[piece], high[piece], errors[piece], found, int(row[piece]))
    return found


def _pieces(frame: Frame, values: Array) -> tuple[Array, Array, Ints]:
    """The first pieces, as boxes (pieces, n0) of the network's inputs, and whose they are."""
    wide_low, wide_high = frame.relaxed(values, values)
    long = frame.is_range & (frame.is_sensitive | (frame.eps > 0))
    if (long & ((frame.root[0] < frame.root[1])[0])).sum() > SWEPT_INPUTS:
        raise ValueError(f"more than {SWEPT_INPUTS} continuous inputs in a flip set that is swept")
    flips, moved = combinations(frame, frame.root[0][0], frame.root[1][0], swept=True)
    there = allowed(frame, values, moved)
    there = np.ones((len(flips), len(values)), dtype=bool) if there is None else there
    flip, row = np.nonzero(there)
    inputs = frame.inputs(values, np.arange(values.shape[1]))
    finite = [c for i in np.flatnonzero(frame.is_sensitive & ~long) for c in frame.domain.columns[i]]
    inputs[:, finite] = 0
    low = inputs[row] + flips[flip]
    high = low.copy()
    for i in np.flatnonzero(long):
        ends = (
            (frame.root[0][0, i], frame.root[1][0, i])
            if frame.is_sensitive[i]
            else (wide_low[row, i], wide_high[row, i])
        )
        low[:, frame.first[i]], high[:, frame.first[i]] = ends
    return low, high, row


def _nearest(frame: Frame, rows: Array, middle: Array, low: Array, high: Array) -> Array:
    """The point of each piece that is nearest to its row in relaxed inputs; elsewhere the middle."""
    point, near = middle.copy(), frame.first[frame.is_range & (frame.eps > 0)]
    point[:, near] = np.clip(rows[:, near], low[:, near], high[:, near])
    return point


def _halved(low: Array, high: Array, row: Ints, slope: Array) -> tuple[Array, Array, Ints]:
    """Both halves of each piece, along the input that moves f most."""
    width = (high - low) * (np.abs(slope) + np.abs(slope).max(axis=1, keepdims=True) * 2.0**-10 + floats.OMEGA)
    place, axis = np.arange(len(low)), width.argmax(axis=1)
    middle = low[place, axis] / 2 + high[place, axis] / 2
    lows, highs = np.repeat(low, 2, axis=0), np.repeat(high, 2, axis=0)
    highs[2 * place, axis], lows[2 * place + 1, axis] = middle, middle
    return lows, highs, np.repeat(row, 2)


def _exactly(
    judge: Judge, frame: Frame, row: Array, low: Array, high: Array, errors: Array, found: Swept, at: int
) -> None:
    """One piece: the exact range of f on its part of the flip set, against how far each level's number may be off."""
    ends = [(Fraction(a), Fraction(b)) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    for i, feature in enumerate(frame.domain.features):
        if feature.eps and feature.kind == "continuous":
            c = frame.first[i]
            own, eps = Fraction(row[c]), Fraction(feature.eps)
            ends[c] = max(ends[c][0], own - eps), min(ends[c][1], own + eps)
            if ends[c][0] > ends[c][1]:
                return
    corner = [a for a, _ in ends]
    free = [c for c, (a, b) in enumerate(ends) if a < b]
    others = [[b if c == j else a for j, (a, b) in enumerate(ends)] for c in free]
    if len(free) <= 1:
        range_ = piecewise.sweep_line(judge.pieces, corner, others[0] if others else corner)
    else:
        range_ = piecewise.sweep_rectangle(judge.pieces, corner, *others)
    for level in range(2):
        if not np.isfinite(errors[level]):
            found.unknown[at, level] = True
            continue
        error = Fraction(float(errors[level]))
        positive, negative = range_.greatest > error, range_.least <= -error
        found.positive[at, level] |= positive
        found.negative[at, level] |= negative
        found.unknown[at, level] |= not (range_.least > error or range_.greatest <= -error)
