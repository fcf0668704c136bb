"""Flip sets with one or two continuous inputs: the network is piecewise linear in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from certifair.evidence.witness import SWEPT, Rows, Tree
from certifair.individual.engines._search import Part, search, spans
from certifair.individual.engines._sweep_kernels import sweep
from certifair.individual.engines.base import Array, Engine, NotForThisError, Proposal, Task
from certifair.individual.points import (
    Flips,
    Indices,
    affine,
    bases,
    clear,
    flips_of,
    inside,
    values_and_errors,
)
from certifair.spec.layers import Layers

SEGMENTS: Final = 256
"""How many a thread walks along before it looks at the clock."""
LINES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where a rectangle is crossed first."""
ROUNDS: Final = 3
"""Walks through the best point so far, along one side and the other."""


@final
class Sweep(Engine):
    """One continuous input: all breakpoints. Two: lines through the best points so far. The checker decides exactly."""

    name: ClassVar[str] = "sweep"

    def rows(self, task: Task, rows: Array) -> Proposal[Rows]:
        return sweep_rows(task, rows)

    def domain(self, task: Task) -> Proposal[Tree]:
        raise NotForThisError("sweep answers about rows", advice="use the method branch for a whole domain")


def sweep_rows(task: Task, rows: Array) -> Proposal[Rows]:
    """PAIR for rows with two points of their flip set that clearly decide differently, else SWEPT.

    rows: (n, inputs). Rows that were not reached in time are UNDECIDED. Errors: NotForThisError for none, or more than
    two continuous inputs that flip, for layers with curves, and for too many combinations.
    """
    flips = flips_of(task.domain)
    _check(task.layers, flips)
    rows = np.ascontiguousarray(rows, dtype=np.float64)
    known = inside(task.domain, rows)
    table = rows[known]
    found = _Search(task, _network(task.layers), flips, table, bases(flips, table))
    return search(flips, rows, known, found.part, found.width, SWEPT, task.processes, task.progress)


def _check(layers: Layers, flips: Flips) -> None:
    if not layers.piecewise_linear:
        raise NotForThisError("sweep needs a piecewise linear network", advice="use the method interval")
    count = len(flips.continuous)
    if count == 0:
        raise NotForThisError("nothing that flips is continuous", advice="use the method enumerate")
    if count > 2:
        what = f"{count} inputs that flip are continuous, and sweep takes two"
        raise NotForThisError(what, advice="use the method branch")


class _Network(NamedTuple):
    """The first layer's weights (inputs, m) and bias, and the rest as the kernel reads it."""

    first: Array
    bias: Array
    rest: tuple[NDArray[np.int64], Array]


def _network(layers: Layers) -> _Network:
    first, *others = layers.layers
    numbers = [first.slope, *(part for x in others for part in (x.weight.T.reshape(-1), x.bias, x.slope))]
    shape = np.array([layer.width for layer in layers.layers])
    return _Network(np.ascontiguousarray(first.weight.T), first.bias, (shape, np.concatenate(numbers)))


class _Best(NamedTuple):
    """The largest and the smallest value so far of each row, (2, R), and where, (2, R, inputs)."""

    value: Array
    point: Array

    def take(self, rows: Indices, other: _Best) -> None:
        """Whatever is better in `other`, which is about these rows."""
        for side, better in enumerate((other.value[0] > self.value[0, rows], other.value[1] < self.value[1, rows])):
            self.value[side, rows[better]] = other.value[side, better]
            self.point[side, rows[better]] = other.point[side, better]


@final
@dataclass(frozen=True, eq=False)
class _Search:
    task: Task
    network: _Network
    flips: Flips
    table: Array
    base: Array

    def width(self, steps: int) -> int:
        """How many rows at a time."""
        return max(16, SEGMENTS // steps)

    def part(self, rows: Indices, steps: Array) -> Part:
        """Whoever of these rows has a clear pair."""
        if self.task.seconds <= 0:
            none = np.empty((0, self.table.shape[1]))
            return Part(rows[:0], none, none, rows, False, 0)
        table, base = self.table[rows], self.base[rows]
        best = _Best(np.repeat([[-np.inf], [np.inf]], len(rows), axis=1), np.zeros((2, *table.shape)))
        ends = [_ends(self.flips, table, axis) for axis in range(len(self.flips.continuous))]
        enough = 4 * float(values_and_errors(self.task.layers, table)[1].max())
        if len(ends) == 1:
            best.take(np.arange(len(rows)), self._line(base, steps, 0, ends[0], enough))
        else:
            self._rectangle(best, base, steps, ends, enough)
        mixed = np.flatnonzero((best.value[0] > 0) & (best.value[1] <= 0))
        sure, above, below = self._clear(mixed, best, ends)
        done = self.task.seconds > 0
        return Part(rows[sure], above, below, rows, done, len(rows) - len(mixed) if done and len(ends) == 1 else 0)

    def _line(self, base: Array, steps: Array, axis: int, ends: Array, enough: float) -> _Best:
        """Along one continuous input, for base whose other one is fixed."""
        best = np.zeros((2, 2, len(base)))
        best[0, 0], best[1, 0] = -np.inf, np.inf
        where = np.zeros((2, len(base)), dtype=np.int64)
        column, first = self.flips.continuous[axis], self.network.first
        with np.errstate(over="ignore", invalid="ignore"):
            shared = affine(base, first, self.network.bias)
            for start, end in spans(len(steps), SEGMENTS):
                if self.task.seconds <= 0:
                    break
                moves = affine(steps[start:end], first, np.zeros_like(self.network.bias))
                sweep(shared, moves, first[column], ends, self.network.rest, (best, where), start, enough)
        points = base + steps[where]
        points[..., column] = best[:, 1]
        return _Best(best[:, 0], points)

    def _rectangle(self, best: _Best, base: Array, steps: Array, ends: list[Array], enough: float) -> None:
        """Along lines across, then again and again through the best points, this way or the other."""
        first, second = self.flips.continuous
        everybody = np.arange(len(base))
        for share in LINES:
            lines = base.copy()
            lines[:, second] = ends[1][0] + share * (ends[1][1] - ends[1][0])
            lines[:, second] = np.clip(lines[:, second], *ends[1])
            best.take(everybody, self._line(lines, steps, 0, ends[0], enough))
        for number in range(ROUNDS):
            axis, fixed = (1, first) if number % 2 == 0 else (0, second)
            for side in range(2):
                open_ones = np.flatnonzero(~((best.value[0] > enough) & (best.value[1] < -enough)))
                lines = base[open_ones]
                lines[:, fixed] = best.point[side, open_ones, fixed]
                best.take(open_ones, self._line(lines, steps, axis, ends[axis][:, open_ones], enough))

    def _clear(self, mixed: Indices, best: _Best, ends: list[Array]) -> tuple[Indices, Array, Array]:
        """Pairs that stay clear as float32 numbers, or else as they are."""
        points = best.point[:, mixed]
        rounded = points.copy()
        for column, (low, high) in zip(self.flips.continuous, ends, strict=True):
            rounded[..., column] = _float32(points[..., column], low[mixed], high[mixed])
        sure = clear(self.task.layers, *rounded)
        again = np.flatnonzero(~sure)
        rounded[:, again] = points[:, again]
        sure[again] = clear(self.task.layers, *points[:, again])
        return mixed[sure], rounded[0, sure], rounded[1, sure]


def _ends(flips: Flips, rows: Array, axis: int) -> Array:
    """From where to where each row's continuous input may move, (2, R), rounded inwards.

    s + e is z ± eps exactly, for s the rounded sum and e of Knuth's TwoSum.
    """
    column = flips.continuous[axis]
    (feature,) = (f for f, c in zip(flips.domain.features, flips.domain.columns, strict=True) if column in c)
    low, high = np.full(len(rows), feature.low), np.full(len(rows), feature.high)
    if feature.sensitive:
        return np.stack([low, high])
    z, found = rows[:, column], []
    for eps, inwards in ((-feature.eps, np.inf), (feature.eps, -np.inf)):
        with np.errstate(over="ignore", invalid="ignore"):  # an infinite end is beyond the domain's
            s = z + eps
            back = s - z
            e = (z - (s - back)) + (eps - back)
        found.append(np.where(e * np.sign(inwards) > 0, np.nextafter(s, inwards), s))
    return np.stack([np.maximum(low, found[0]), np.minimum(high, found[1])])


def _float32(x: Array, low: Array, high: Array) -> Array:
    """The nearest float32 numbers, or the next ones inside, or what was given if there are none."""
    with np.errstate(over="ignore", invalid="ignore"):
        near = x.astype(np.float32)
    near = np.where(near < low, np.nextafter(near, np.float32(np.inf)), near)
    near = np.where(near > high, np.nextafter(near, np.float32(-np.inf)), near)
    wide = near.astype(np.float64)
    return np.where((low <= wide) & (wide <= high), wide, x)
