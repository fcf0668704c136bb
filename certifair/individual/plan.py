"""How long to search so that what is found can still be checked in time; and whether to search at all."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import numpy as np

from certifair.evidence.witness import BOUNDED, ENUMERATED, OPEN, Rows, Tree
from certifair.individual.engines.base import Array, Engine, Proposal, Task
from certifair.individual.points import flips_of
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers

FIRST: Final = 0.05
"""The part of the time that a first tree may take; again and again as long as the search is still being loaded,"""
AGAIN: Final = 0.3
"""or this part, if there is a tree to go on from, which is measured again;"""
GLANCE: Final = 0.04
"""and about that of the check of some of its leaves, which tells how fast checking is."""
STEPS: Final = (0.4, 0.7, 1.0)
"""After each glance so much of the search that seems possible is done: boxes get smaller, and their check faster."""
SAFETY: Final = 0.93
SLOW: Final = 3000.0
"""Leaves checked in a second, as long as nothing is known."""
RUN: Final = 4096
"""Leaves that follow each other, so that a checker can take as many at once as it would."""
SLOWEST: Final = (ENUMERATED, *BOUNDED)
"""Leaves that take the checker's time."""


def settled(layers: Layers, domain: Domain, level: str | None) -> bool:
    """Whether a checker knows without a witness what it may be asked: f reads nothing that flips (level None: both).

    Then everybody is fair over the reals. Of float32 that says nothing; but of networks with curves, or with numbers
    that are no float32, nothing is proven at that level anyway.
    """
    read = np.array([0])
    for layer in reversed(layers.layers):
        read = np.flatnonzero(layer.weight[read].any(axis=0))
    asked = level == "float32" or (level is None and layers.float32 and layers.piecewise_linear)
    return not asked and not np.isin(flips_of(domain).columns, read).any()


def nothing(table: Array | None) -> Proposal[Rows] | Proposal[Tree]:
    """The smallest witness: an open root, or no code of any row."""
    if table is None:
        return Proposal(Tree(bytes([OPEN]), array("H", [0]), array("d", [0.0])))
    return Proposal(Rows(bytes(len(table))))


def within(engine: Engine, task: Task, deadline: float, check: Callable[[Tree, float], Any]) -> Proposal[Tree]:
    """A tree of as many leaves as can still be checked by the deadline.

    With n leaves, p more found and c checked a second, m more seconds of search and the check of all take
    m + (n + m·p)/c, which shall be a little less than what is left.
    """
    began, found = _first(engine, task, deadline)
    leaves, rate = 0, SLOW
    with suppress(KeyboardInterrupt):  # then what was found is checked
        for step in STEPS:
            before, leaves = leaves, _leaves(found.about)
            pace = (leaves - before) / max(time.monotonic() - began, 1e-3)
            if found.more is None or pace <= 0:
                break
            rate = _rate(found.about, rate, GLANCE * (deadline - time.monotonic()), check)
            left = SAFETY * (deadline - time.monotonic())
            more = step * (left * rate - leaves) / (pace + rate)
            if more <= 0:
                break
            began = time.monotonic()
            found = found.more(began + more)
    return found


def _first(engine: Engine, task: Task, deadline: float) -> tuple[float, Proposal[Tree]]:
    """A first tree, and when its search began."""
    part = (FIRST if task.seed is None else AGAIN) * (deadline - time.monotonic())
    while True:
        began = time.monotonic()
        found = engine.domain(replace(task, deadline=began + part))
        useful = found.more is not None or _leaves(found.about) > 0
        if useful or not began + part <= time.monotonic() <= deadline - part:  # it ended by itself, or time runs out
            return began, found


def _rate(tree: Tree, expected: float, seconds: float, check: Callable[[Tree, float], Any]) -> float:
    """Leaves checked in a second, by about so many seconds of it; as expected, if there is no telling.

    Raises KeyboardInterrupt if it was cut off before its time was over.
    """
    end = time.monotonic() + 2 * seconds
    glance = check(_sampled(tree, expected * seconds), end)
    if not glance.complete and time.monotonic() < end:
        raise KeyboardInterrupt
    looked = sum(glance.nodes.get(kind, 0) for kind in SLOWEST)
    return looked / glance.seconds if looked and glance.seconds > 0 else expected


def _sampled(tree: Tree, leaves: float) -> Tree:
    """With about so many of its leaves, in runs from everywhere; the others are open, and cost nothing."""
    kind = np.frombuffer(tree.kind, dtype=np.uint8).copy()
    some = np.flatnonzero(np.isin(kind, SLOWEST))
    runs = len(some) // RUN + 1
    kept = np.random.default_rng(0).permutation(runs) < max(1.0, leaves / RUN)
    kind[some[~kept[np.arange(len(some)) // RUN]]] = OPEN
    return replace(tree, kind=kind.tobytes())


def _leaves(tree: Tree) -> int:
    return sum(tree.kind.count(kind) for kind in SLOWEST)
