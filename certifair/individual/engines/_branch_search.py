"""Compiled: what a box's leaf can claim, and splitting boxes as long as too much of them is undecided.

Boxes live in slots; the tree's nodes are numbered, two children side by side. Several threads share both, each with a
range of free slots and nodes of its own, so none waits for another. Nothing is allocated here, so numba's counted
references are switched off (_nrt): they cost more than the short loops of a small network.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from certifair.evidence.witness import OPEN, SPLIT
from certifair.individual.engines._branch_count import CONTINUOUS, Axes
from certifair.individual.engines._branch_enclosure import Net
from certifair.individual.engines._branch_leaf import Room, Rules, evaluate
from certifair.individual.engines._branch_vectors import compiled


class Nodes(NamedTuple):
    """The first child (of a split), kind, feature and cut of each node."""

    child: NDArray[np.int32]
    kind: NDArray[np.int8]
    feature: NDArray[np.int16]
    cut: NDArray[np.float64]


class Slots(NamedTuple):
    """Boxes [low, high] (slots, features): node, shares of the domain decided and not, what to split (−1: nothing)."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    node: NDArray[np.int32]
    certified: NDArray[np.float64]
    falsified: NDArray[np.float64]
    undecided: NDArray[np.float64]
    split: NDArray[np.int16]


@compiled
def _cut(axes: Axes, low: float, high: float, a: int) -> float:
    middle = 0.5 * (low + high)
    return middle if axes.kind[a] == CONTINUOUS else math.floor(middle) + 1


@compiled
def _part(axes: Axes, a: int, low: float, high: float) -> float:
    return high - low if axes.kind[a] == CONTINUOUS else high - low + 1


@compiled
def settle(net: Net, axes: Axes, room: Room, rules: Rules, nodes: Nodes, slots: Slots, s: int, share: float) -> None:
    """Slot s, a share of the domain, becomes the best leaf."""
    fair, unfair, kind, feature, split = evaluate(net, axes, room, rules, slots.low[s], slots.high[s])
    node = slots.node[s]
    nodes.kind[node], nodes.feature[node], nodes.cut[node] = kind, feature, 0.0
    slots.certified[s], slots.falsified[s], slots.split[s] = fair * share, unfair * share, split
    slots.undecided[s] = max(0.0, 1 - fair - unfair) * share
    room.total[0] += slots.certified[s]
    room.total[1] += slots.falsified[s]
    room.total[2] += slots.undecided[s]
    room.used[4] += 1


@compiled
def grow(net: Net, axes: Axes, room: Room, rules: Rules, nodes: Nodes, slots: Slots, work: Any) -> None:
    """Splits the boxes of work = (slots, their shares of the domain, threshold, stop).

    Until none has more than the threshold undecided; a negative threshold: only finds their best leaves.
    """
    items, shares, threshold, stop = work
    stack, used = room.stack, room.used
    for i in range(len(items)):
        stack[0], top = items[i], 1
        while top > 0:
            top -= 1
            s = t = stack[top]
            part = 1.0
            if threshold >= 0:
                a = slots.split[s]
                if slots.undecided[s] <= threshold or a < 0 or top + 2 > len(stack):
                    continue
                if stop[0] != 0 or used[0] + 2 > used[1] or used[2] + 1 > used[3]:
                    return
                t = _halve(axes, used, nodes, slots, s, a)
                part = _forget(axes, room, slots, s, t, a)
                stack[top], stack[top + 1] = t, s
                top += 2
            elif stop[0] != 0:
                return
            whole = slots.undecided[s] if threshold >= 0 else shares[i]
            for turn in range(1 if s == t else 2):
                share = whole * (part if turn == 0 else 1 - part)
                settle(net, axes, room, rules, nodes, slots, s if turn == 0 else t, share)


@compiled
def _forget(axes: Axes, room: Room, slots: Slots, s: int, t: int, a: int) -> float:
    """Takes back what slot s said, and puts its share of the domain in undecided; which part of it is left in s."""
    room.total[0] -= slots.certified[s]
    room.total[1] -= slots.falsified[s]
    room.total[2] -= slots.undecided[s]
    slots.undecided[s] += slots.certified[s] + slots.falsified[s]
    left = _part(axes, a, slots.low[s, a], slots.high[s, a])
    return left / (left + _part(axes, a, slots.low[t, a], slots.high[t, a]))


@compiled
def _halve(axes: Axes, used: Any, nodes: Nodes, slots: Slots, s: int, a: int) -> int:
    """The box in slot s becomes its left half; the slot of the right one."""
    t, first, node = used[2], used[0], slots.node[s]
    used[2] += 1
    used[0] += 2
    cut = _cut(axes, slots.low[s, a], slots.high[s, a], a)
    for child in (first, first + 1):
        nodes.kind[child], nodes.feature[child], nodes.cut[child] = OPEN, 0, 0.0
    nodes.child[node], nodes.feature[node], nodes.cut[node] = first, a, cut
    nodes.kind[node] = SPLIT  # last: whoever reads the nodes now finds a tree
    for f in range(slots.low.shape[1]):
        slots.low[t, f], slots.high[t, f] = slots.low[s, f], slots.high[s, f]
    slots.low[t, a] = cut
    slots.high[s, a] = cut if axes.kind[a] == CONTINUOUS else cut - 1
    slots.node[s], slots.node[t] = first, first + 1
    return int(t)
