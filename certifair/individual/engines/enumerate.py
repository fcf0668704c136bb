"""Every point of a flip set, evaluated."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from certifair.evidence.witness import ALL, ENUMERATED, MOST_FLIPS, Rows, Tree
from certifair.individual.engines import _enumerate_kernels as kernels
from certifair.individual.engines._search import Part, search, spans
from certifair.individual.engines.base import MOST_POINTS, Array, Engine, NotForThisError, Proposal, Task
from certifair.individual.points import Indices, Mask, affine, bases, clear, flips_of, inside, worst_error
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers

Floats = NDArray[np.float32]
STEPS: Final = 256
"""Combinations at a time."""
PRODUCTS: Final = 1 << 27
"""About how many a thread adds up at a time: milliseconds."""
FEWEST: Final = 1 << 26
"""For fewer it is not worth waking another thread."""
MANY: Final = 128
"""Pairs for which it pays to bound float32's errors once for the whole domain, and not at each point."""


@final
class Enumerate(Engine):
    """Finite flip sets: every point is evaluated in float32, the checker decides about those near 0."""

    name: ClassVar[str] = "enumerate"

    def rows(self, task: Task, rows: Array) -> Proposal[Rows]:
        return enumerate_rows(task, rows)

    def domain(self, task: Task) -> Proposal[Tree]:
        return Proposal(enumerate_domain(task.domain))


def enumerate_domain(domain: Domain) -> Tree:
    """One node, of which the checker evaluates every point. Errors: NotForThisError for more than MOST_POINTS."""
    _check_finite(domain)
    unmoved = [feature for feature in domain.features if feature.levels is None]
    if unmoved:
        what = f"{unmoved[0].name} is continuous, so the domain has no end of points"
        raise NotForThisError(what, advice="use the method branch")
    points = int(domain.units) * int(domain.flips or 1)
    for feature in domain.features:
        points *= min(int(feature.levels or 1), 2 * int(feature.eps) + 1) if feature.eps else 1
    if points > MOST_POINTS:
        what = f"the domain has more than {MOST_POINTS} points, too many to evaluate them all"
        raise NotForThisError(what, advice="use the method branch")
    if domain.freedom[0] > MOST_FLIPS:
        what = f"a flip set has more than {MOST_FLIPS} points, too many to evaluate them all"
        raise NotForThisError(what, advice="use the method branch")
    return Tree(bytes([ENUMERATED]), array("H", [0]), array("d", [0.0]))


def enumerate_rows(task: Task, rows: Array) -> Proposal[Rows]:
    """ALL for rows of the domain, or PAIR if two points of the flip set clearly decide differently.

    rows: (n, inputs). A row whose flip set was not done in time is UNDECIDED unless it has a pair.
    Errors: NotForThisError for flip sets that are not finite, or too large.
    """
    _check_finite(task.domain)
    rows = np.ascontiguousarray(rows, dtype=np.float64)
    flips, known = flips_of(task.domain), inside(task.domain, rows)
    base = bases(flips, rows if known.all() else rows[known])
    found = _Search(task, _network(task.layers), base)
    return search(flips, rows, known, found.part, found.width, ALL, task.processes, task.progress)


def _check_finite(domain: Domain) -> None:
    for feature in domain.features:
        if (feature.sensitive or feature.eps) and feature.levels is None:
            what = f"{feature.name} is continuous, so a flip set has no end of points"
            raise NotForThisError(what, advice="use the method sweep or branch")


class _Network(NamedTuple):
    """The layers as the kernel reads them, in float32, and the first one's weights (inputs, m)."""

    first: Floats
    net: tuple[NDArray[np.int64], Floats, NDArray[np.int8]]


def _network(layers: Layers) -> _Network:
    numbers = [part for x in layers.layers for part in (x.weight.reshape(-1), x.bias, x.slope)]
    shape = np.array([layers.inputs, *(layer.width for layer in layers.layers)])
    curves = np.concatenate([layer.curve for layer in layers.layers])
    with np.errstate(over="ignore"):  # such rows have no clear pair
        first = np.ascontiguousarray(layers.layers[0].weight.T.astype(np.float32))
        return _Network(first, (shape, np.concatenate(numbers).astype(np.float32), curves))


@final
@dataclass(frozen=True, eq=False)
class _Search:
    task: Task
    network: _Network
    base: Array

    @cached_property
    def worst(self) -> float:
        """How far float32 may be from f, anywhere: a value beyond 4 times that has the same sign in all arithmetics."""
        return worst_error(self.task.layers, self.task.domain)

    def width(self, steps: int) -> int:
        """How many rows at a time."""
        products = len(self.network.net[1]) * min(steps, STEPS)
        equal = max(FEWEST // products, -(-len(self.base) // self.task.processes))
        return max(kernels.LANES, min(PRODUCTS // products, equal))

    def part(self, rows: Indices, steps: Array) -> Part:
        """Whoever of these rows has a clear pair."""
        best, where, done = self._extremes(self.base if len(rows) == len(self.base) else self.base[rows], steps)
        mixed = np.flatnonzero((best[0] > 0) & (best[1] <= 0))
        base = self.base[rows[mixed]]
        above, below = base + steps[where[0, mixed]], base + steps[where[1, mixed]]
        sure: Mask = np.zeros(len(mixed), dtype=np.bool_)
        if len(mixed) >= MANY:
            sure = np.abs(best[:, mixed].astype(np.float64)).min(axis=0) > 4 * self.worst
        near = np.flatnonzero(~sure)
        sure[near] = clear(self.task.layers, above[near], below[near])
        fair = len(rows) - len(mixed) if done else 0
        return Part(rows[mixed[sure]], above[sure], below[sure], rows, done, fair)

    def _extremes(self, base: Array, steps: Array) -> tuple[Floats, NDArray[np.int32], bool]:
        """Largest and smallest value of every row, and at which step, (2, n) each; whether all steps were taken."""
        count, first, net = len(base), *self.network
        lanes = -(-count // kernels.LANES) * kernels.LANES
        best: Floats = np.repeat(np.array([[-np.inf], [np.inf]], dtype=np.float32), lanes, axis=1)
        where = np.zeros(best.shape, dtype=np.int32)
        for start, end in spans(len(steps), STEPS):
            if self.task.seconds <= 0:
                return best[:, :count], where[:, :count], False
            with np.errstate(over="ignore"):
                moves = affine(steps[start:end].astype(np.float32), first, np.zeros(first.shape[1], dtype=np.float32))
            kernels.extremes(base, moves, net, start, best, where)
        return best[:, :count], where[:, :count], True
