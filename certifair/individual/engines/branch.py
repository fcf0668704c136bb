"""Branch and bound over all units of a domain: boxes, each with the share of its units that an enclosure decides."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.evidence.witness import COUNTEREXAMPLE, OPEN, Rows, Tree, bytes_to_check
from certifair.individual.engines._branch_count import CONTINUOUS
from certifair.individual.engines._branch_leaf import Room, Rules
from certifair.individual.engines._branch_search import Nodes, Slots, grow
from certifair.individual.engines._branch_setup import (
    arrays_of,
    axes_of,
    bytes_per_leaf,
    net_of,
    plant,
    room_of,
    tree_of,
)
from certifair.individual.engines._row_trees import tree_rows
from certifair.individual.engines.base import Array, Engine, NotForThisError, Progress, Proposal, Task
from certifair.spec.layers import Layers

ROUND: Final = 1.5
"""Each round splits boxes with more than the largest undecided share, divided by this."""
CHUNKS: Final = 16
"""Of a round, for each thread."""
GRACE: Final = 0.2
"""Seconds in which every thread notices that it should stop."""
MOST: Final = 1 << 26
"""Leaves."""
ENDED: Final = 1e-15
"""An undecided share that is nothing but rounding."""

UNCOMPILED: Final = "the time was over before the search was compiled; that is done once, in half a minute, and kept"


@final
@dataclass(frozen=True, eq=False)
class Search:
    """A tree whose leaves' kinds propose what a checker may find, and shares as the search estimates them.

    more: goes on until a moment of `time.monotonic`; None if that is of no use, or the user has had enough.
    """

    tree: Tree
    certified: float
    falsified: float
    undecided: float
    boxes: int
    seconds: float
    interrupted: bool
    more: Callable[[float], Search] | None


@final
class Branch(Engine):
    """Whole domains of any size."""

    name: ClassVar[str] = "branch"
    anytime: ClassVar[bool] = True

    def rows(self, task: Task, rows: Array) -> Proposal[Rows]:
        return tree_rows(task, rows)

    def domain(self, task: Task) -> Proposal[Tree]:
        return _proposal(search(task))


def _proposal(found: Search) -> Proposal[Tree]:
    more = found.more
    further = None if more is None else lambda until: _proposal(more(until))
    return Proposal(found.tree, () if found.boxes else ((1, UNCOMPILED),), further)


def search(task: Task, *, level_margin: float = 0.0, most_leaves: int | None = None, trimmed: bool = True) -> Search:
    """Splits boxes by undecided share until the time, the memory or the leaves are used up, or nothing is undecided.

    level_margin: what a float32 evaluation may differ by. most_leaves: what a checker can take. trimmed: leaves of kind
    6 too. An interrupt (Ctrl-C) ends the search like the time does.
    Errors: NotForThisError for sigmoids and the like inside; ValueError for a tree that is not of this search.
    """
    if not task.layers.piecewise_linear:
        what = "the network has a sigmoid or tanh inside"
        raise NotForThisError(what, advice="use the method interval, or enumerate")
    features = len(task.domain.features)
    each = max(bytes_per_leaf(features), bytes_to_check(2, features))
    leaves = min(task.memory // each, most_leaves or MOST, MOST)
    return _go_on(_Hunt(task, Rules(level_margin, _points(task.layers), trimmed), leaves), task)


def _go_on(hunt: _Hunt, task: Task) -> Search:
    started = time.monotonic()
    interrupted, left = False, True
    pool = ThreadPoolExecutor(task.processes)
    hunt.stop[0] = 0
    run = _Run(pool, hunt.stop, started + task.seconds, lambda: hunt.shares, task.progress, started)
    try:
        hunt.measure(run, task.seed)
        while not run.over and (left := hunt.round(run)):
            pass
    except KeyboardInterrupt:
        interrupted = True
    finally:
        hunt.stop[0] = 1
        pool.shutdown(wait=False, cancel_futures=True)
    boxes, spent = sum(int(room.used[4]) for room in hunt.rooms), time.monotonic() - started
    useful = left and hunt.measured and not interrupted and not run.abandoned
    more = (lambda until: _go_on(hunt, replace(task, deadline=until))) if useful else None
    return Search(tree_of(hunt.nodes), *hunt.shares, boxes, spent, interrupted, more)


def _points(layers: Layers) -> float:
    """Boxes of so few points are evaluated: about what splitting them further would cost."""
    return max(16.0, min(4096.0, 1e6 / sum(layer.weight.size for layer in layers.layers)))


@final
@dataclass(eq=False)
class _Run:
    """Threads, the flag that stops them, and when; told: when progress was last reported.

    abandoned: a job was left alone, and may still write to what is its own.
    """

    pool: ThreadPoolExecutor
    stop: NDArray[np.int64]
    deadline: float
    shares: Callable[[], tuple[float, float, float]]
    progress: Progress | None
    told: float
    abandoned: bool = False

    @property
    def over(self) -> bool:
        return bool(self.stop[0]) or time.monotonic() >= self.deadline

    def all(self, jobs: list[Callable[[], None]]) -> None:
        """Runs them, at most until the deadline. Errors: those of the jobs.

        A job ends within a box's time after the stop, unless it is still being compiled: then it is left alone, and
        will find the stop set.
        """
        running: set[Future[None]] = {self.pool.submit(job) for job in jobs}
        try:
            while running:
                left = self.deadline - time.monotonic()
                if left <= 0:
                    return
                done, running = wait(running, timeout=min(left, 1.0))
                for job in done:
                    job.result()
                self._tell()
        finally:
            if running:
                self.stop[0] = 1
                self.abandoned = bool(wait(running, timeout=GRACE).not_done)

    def _tell(self) -> None:
        """About once a second."""
        now = time.monotonic()
        if self.progress is not None and now - self.told >= 1:
            self.told = now
            self.progress(*self.shares())


@final
class _Hunt:
    """The tree so far, and each thread's room: nodes and slots of its own."""

    def __init__(self, task: Task, rules: Rules, leaves: int) -> None:
        self._net, self._axes, self._rules = net_of(task.layers), axes_of(task.domain), rules
        self._leaves = max(leaves, 4 * task.processes)
        self.nodes: Nodes
        self._slots: Slots
        self.nodes, self._slots = arrays_of(self._leaves, len(task.domain.features))
        self.rooms: list[Room] = [room_of(self._net, self._axes) for _ in range(task.processes)]
        self.stop = np.zeros(1, dtype=np.int64)
        self._planted = 0
        self.measured = False

    @property
    def shares(self) -> tuple[float, float, float]:
        certified, falsified, undecided = np.sum([room.total for room in self.rooms], axis=0).tolist()
        return certified, falsified, max(undecided, 0.0)

    def measure(self, run: _Run, tree: Tree | None) -> None:
        """Starts from a tree, or from the whole domain as one box, unless that is done."""
        if self.measured:
            return
        self._planted = count = plant(tree, self._axes, self.nodes, self._slots)
        self._share_out(2 * count - 1, count)
        shares = self._sizes(count)
        self._slots.undecided[:count] = shares
        here = self._slots.node[:count]
        self.nodes.kind[here], self.nodes.feature[here], self.nodes.cut[here] = OPEN, 0, 0.0
        if tree is not None:  # what there is no time to measure again stays as it was proposed
            kind = np.frombuffer(tree.kind, dtype=np.uint8)[here]
            self.nodes.kind[here] = np.where(kind == COUNTEREXAMPLE, OPEN, kind)
            self.nodes.feature[here] = np.array(tree.feature)[here]
        items = np.arange(count)
        self._work(run, items, shares, -1.0)
        if run.over:  # what was not measured is open
            self.rooms[0].total[2] += 1.0 - sum(self.shares)
        self.measured = not run.over

    def _share_out(self, nodes: int, slots: int) -> None:
        """Free nodes and slots, to each thread its part."""
        threads = len(self.rooms)
        part = (self._leaves - slots) // threads
        for i, room in enumerate(self.rooms):
            start = nodes + i * 2 * part
            room.used[:4] = start, min(start + 2 * part, 2 * self._leaves), slots + i * part, slots + (i + 1) * part

    def _sizes(self, count: int) -> Array:
        """The share of the domain that each of the first boxes is."""
        axes = self._axes
        free = (~axes.sensitive) & (axes.high > axes.low)
        more = np.where(axes.kind == CONTINUOUS, 0.0, 1.0)
        part = (self._slots.high[:count] - self._slots.low[:count] + more)[:, free] / (axes.high - axes.low + more)[
            free
        ]
        found: Array = part.prod(axis=1)
        return found

    def round(self, run: _Run) -> bool:
        """Splits what has most undecided; False if there is nothing left to split."""
        slots = np.concatenate(
            [np.arange(self._planted), *(np.arange(*self._taken(i)) for i in range(len(self.rooms)))]
        )
        undecided = np.where(self._slots.split[slots] >= 0, self._slots.undecided[slots], 0.0)
        most = float(undecided.max(initial=0.0))
        if most <= ENDED:
            return False
        before = sum(int(room.used[4]) for room in self.rooms)
        chosen = undecided > most / ROUND
        self._work(run, slots[chosen], np.empty(0), most / ROUND)
        return run.over or sum(int(room.used[4]) for room in self.rooms) > before

    def _taken(self, i: int) -> tuple[int, int]:
        part = (self._leaves - self._planted) // len(self.rooms)
        return self._planted + i * part, int(self.rooms[i].used[2])

    def _work(self, run: _Run, items: NDArray[np.int64], shares: Array, threshold: float) -> None:
        """All items, in chunks that idle threads take."""
        pieces = max(1, min(len(items), CHUNKS * len(self.rooms)))
        waiting: deque[Any] = deque()
        for i in range(pieces):
            waiting.append((items[i::pieces].copy(), shares[i::pieces].copy(), threshold, self.stop))

        def job(room: Room) -> Callable[[], None]:
            def run_all() -> None:
                while waiting and (threshold < 0 or room.used[0] + 2 <= room.used[1]):
                    with suppress(IndexError):  # another thread was faster
                        grow(self._net, self._axes, room, self._rules, self.nodes, self._slots, waiting.popleft())

            return run_all

        run.all([job(room) for room in self.rooms])
