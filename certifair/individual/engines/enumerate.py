"""Every point of a flip set, evaluated."""

from __future__ import annotations

import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from certifair.evidence.witness import ALL, ENUMERATED, Rows, Tree
from certifair.individual.engines import _enumerate_kernels as kernels
from certifair.individual.engines._points import (
    Indices,
    bases,
    clear,
    flips_of,
    groups,
    inside,
    rows_found,
    spans,
)
from certifair.individual.engines.base import Array, Engine, NotForThisError, Progress, Proposal, Task
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers

Floats = NDArray[np.float32]
MOST_POINTS: Final = 2_000_000_000
"""Of a domain."""
STEPS: Final = 256
"""Combinations at a time."""
PEOPLE: Final = 1 << 14
"""Rows at a time, at most."""
PRODUCTS: Final = 1 << 30
"""About how many a thread adds up before it looks at the clock."""


@final
class Enumerate(Engine):
    """Finite flip sets: every point is evaluated in float32, the checker decides about those near 0."""

    name: ClassVar[str] = "enumerate"

    def rows(self, task: Task, rows: Array) -> Proposal[Rows]:
        return enumerate_rows(task.layers, task.domain, rows, task.deadline, task.progress, task.processes)

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
        what = f"the domain has {points:.3g} points; up to {MOST_POINTS:.0e} are evaluated"
        raise NotForThisError(what, advice="use the method branch")
    return Tree(bytes([ENUMERATED]), array("H", [0]), array("d", [0.0]))


def enumerate_rows(
    layers: Layers,
    domain: Domain,
    rows: Array,
    deadline: float | None = None,
    progress: Progress | None = None,
    processes: int = 2,
) -> Proposal[Rows]:
    """ALL for rows of the domain, or PAIR if two points of the flip set clearly decide differently.

    rows: (n, inputs). A row whose flip set was not done by `deadline` is UNDECIDED unless it has a pair.
    Errors: NotForThisError for flip sets that are not finite, or too large.
    """
    _check_finite(domain)
    flips, known = flips_of(domain), inside(domain, rows)
    chosen = np.flatnonzero(known)
    search = _Search(layers, _network(layers), bases(flips, rows[chosen]), deadline)
    found: list[_Part] = []
    for members, steps in groups(flips, rows[chosen]):
        spans_of_members = spans(len(members), search.width(len(steps)))
        with ThreadPoolExecutor(processes) as pool:
            for part in pool.map(lambda span: search.part(members[slice(*span)], steps), spans_of_members):  # noqa: B023
                found.append(part)
                if progress is not None:
                    progress(*_shares(found, len(rows)))
    late = np.zeros(len(rows), dtype=np.bool_)
    for part in found:
        late[chosen[part.rows]] = not part.done
    pairs = [np.concatenate(parts) for parts in zip(*(part[:3] for part in found), strict=True)]
    return Proposal(*rows_found(known, late, flips, (chosen[pairs[0]], pairs[1], pairs[2]), ALL))


def _check_finite(domain: Domain) -> None:
    for feature in domain.features:
        if (feature.sensitive or feature.eps) and feature.levels is None:
            what = f"{feature.name} is continuous, so a flip set has no end of points"
            raise NotForThisError(what, advice="use the method sweep or branch")


class _Network(NamedTuple):
    """The layers as the kernel reads them, and the first one's weights, in float32."""

    first: Floats
    bias: Floats
    shape: NDArray[np.int64]
    numbers: Floats
    curves: NDArray[np.int8]


def _network(layers: Layers) -> _Network:
    first, *others = layers.layers
    with np.errstate(over="ignore"):  # such rows have no clear pair
        numbers = [first.slope, *(part for x in others for part in (x.weight.reshape(-1), x.bias, x.slope))]
        return _Network(
            first.weight.astype(np.float32),
            first.bias.astype(np.float32),
            np.array([layer.width for layer in layers.layers]),
            np.concatenate(numbers).astype(np.float32),
            np.concatenate([layer.curve for layer in layers.layers]),
        )


class _Part(NamedTuple):
    """Who has a clear pair, the two points of each; who was looked at, and whether at all points."""

    at: Indices
    above: Array
    below: Array
    rows: Indices
    done: bool


def _shares(found: list[_Part], rows: int) -> tuple[float, float, float]:
    unfair = sum(len(part.at) for part in found) / rows
    fair = sum(len(part.rows) - len(part.at) for part in found if part.done) / rows
    return fair, unfair, 1 - fair - unfair


@final
@dataclass(frozen=True, eq=False)
class _Search:
    layers: Layers
    network: _Network
    base: Array
    deadline: float | None

    def width(self, steps: int) -> int:
        """How many rows at a time."""
        products = len(self.network.numbers) * min(steps, STEPS)
        return max(kernels.LANES, min(PEOPLE, PRODUCTS // products))

    def part(self, rows: Indices, steps: Array) -> _Part:
        """Whoever of these rows has a clear pair."""
        best, where, done = self._extremes(self.base[rows], steps)
        mixed = np.flatnonzero((best[0] > 0) & (best[1] <= 0))
        above, below = (self.base[rows[mixed]] + steps[at[mixed]] for at in where)
        sure = clear(self.layers, above, below)
        return _Part(rows[mixed[sure]], above[sure], below[sure], rows, done)

    def _extremes(self, base: Array, steps: Array) -> tuple[Floats, NDArray[np.int32], bool]:
        """Largest and smallest value of every row, and at which step, (2, n) each; whether all steps were taken."""
        count, network = len(base), self.network
        people = -(-count // kernels.LANES) * kernels.LANES
        shared = np.zeros((len(network.first), people), dtype=np.float32)
        best = np.empty((2, people), dtype=np.float32)
        best[0], best[1] = -np.inf, np.inf
        where = np.zeros((2, people), dtype=np.int32)
        with np.errstate(over="ignore", invalid="ignore"):
            np.matmul(network.first, base.astype(np.float32).T, out=shared[:, :count])
            shared += network.bias[:, None]
            for start, end in spans(len(steps), STEPS):
                if self.deadline is not None and time.monotonic() >= self.deadline:
                    return best[:, :count], where[:, :count], False
                moves = steps[start:end].astype(np.float32) @ network.first.T
                kernels.extremes(shared, moves, network.shape, network.numbers, network.curves, start, best, where)
        return best[:, :count], where[:, :count], True
