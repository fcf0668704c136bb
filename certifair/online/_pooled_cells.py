"""Compiled: who is in which cell, exact sums by joint cell, and whether every pooled row holds, in integers.

Predictions are whole numbers here: grid steps above the first grid point of the box, at most 2⁴¹. A *layout* is
(cell_of, starts, members, blocks, conditions): the cell of each joint cell in each partition (P, J); the joint cells of
cell c are members[starts[c]:starts[c + 1]]; a **block** b is one partition within one condition, its cells are
blocks[b] … blocks[b + 1] − 1. The condition is the last axis of the joint cells, and cells are in the order partition,
condition, group: so condition k has the joint cells k, k + conditions, …, and the blocks likewise.

*Sums* (J, 3): of each joint cell the people served so far, and the sum of their predictions as high·2²⁰ + low with
0 ≤ low < 2²⁰: nothing overflows below 2⁴⁰ people.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LIMB = 20
_LOW = (1 << LIMB) - 1


@njit(cache=True, nogil=True)
def sort_by_cell(joint: Any, width: int) -> tuple[Any, Any]:  # pragma: no cover — compiled
    """(order, starts): people by joint cell, and where each begins, (J + 1,)."""
    starts = np.zeros(width + 1, dtype=np.int64)
    for i in range(len(joint)):
        starts[joint[i] + 1] += 1
    for j in range(width):
        starts[j + 1] += starts[j]
    following, order = starts.copy(), np.empty(len(joint), dtype=np.int64)
    for i in range(len(joint)):
        order[following[joint[i]]] = i
        following[joint[i]] += 1
    return order, starts


@njit(cache=True, nogil=True)
def count(condition: int, layout: Any, sums: Any, starts: Any, width: float) -> Any:  # pragma: no cover — compiled
    """(served, batch, totals), (C,) each: people by cell, and the sum of predictions so far, in boxes."""
    cell_of, cell_starts, _, _, conditions = layout
    cells = len(cell_starts) - 1
    served, batch, totals = np.zeros(cells), np.zeros(cells), np.zeros(cells)
    for j in range(condition, cell_of.shape[1], conditions):
        for p in range(len(cell_of)):
            c = cell_of[p, j]
            served[c] += sums[j, 0]
            batch[c] += starts[j + 1] - starts[j]
            totals[c] += (sums[j, 1] * 1048576.0 + sums[j, 2]) / width
    return served, batch, totals


@njit(cache=True, nogil=True)
def add_batch(
    condition: int, layout: Any, sums: Any, starts: Any, steps: Any, after: Any
) -> None:  # pragma: no cover — compiled
    """`after` (J, 3): `sums` with the batch, whose predictions by joint cell are `steps` (n,)."""
    for j in range(condition, len(sums), layout[4]):
        high, low = sums[j, 1], sums[j, 2]
        for i in range(starts[j], starts[j + 1]):
            high += steps[i] >> LIMB
            low += steps[i] & _LOW
        after[j, 0] = sums[j, 0] + starts[j + 1] - starts[j]
        after[j, 1] = high + (low >> LIMB)
        after[j, 2] = low & _LOW


@njit(cache=True, nogil=True)
def floor_mean(high: int, low: int, people: int) -> tuple[int, bool]:  # pragma: no cover — compiled
    """(⌊mean⌋, whether that is less than the mean) of the sum high·2²⁰ + low, in long division by limbs."""
    high += low >> LIMB
    first = high // people
    rest = ((high - first * people) << LIMB) + (low & _LOW)
    second = rest // people
    return (first << LIMB) + second, rest > second * people


@njit(cache=True, nogil=True)
def width_of(b: int, layout: Any, sums: Any) -> int:  # pragma: no cover — compiled
    """The width of block b: how many steps apart the closest two grid points are that all its means lie between."""
    _, starts, members, blocks, _ = layout
    least, largest = 1 << 60, -1
    for c in range(blocks[b], blocks[b + 1]):
        people = high = low = 0
        for a in range(starts[c], starts[c + 1]):
            people += sums[members[a], 0]
            high += sums[members[a], 1]
            low += sums[members[a], 2]
        if people:
            mean, more = floor_mean(high, low, people)
            least, largest = min(least, mean), max(largest, mean + more)
    return max(0, largest - least)


@njit(cache=True, nogil=True)
def within(condition: int, layout: Any, sums: Any, limits: Any) -> bool:  # pragma: no cover — compiled
    """Whether no block is wider than its limit, of `limits` (B,)."""
    wider = False
    for b in range(condition, len(limits), layout[4]):
        wider |= width_of(b, layout, sums) > limits[b]
    return not wider


@njit(cache=True, nogil=True)
def limits_of(condition: int, layout: Any, sums: Any, people: int, tolerance: Any) -> Any:  # pragma: no cover
    """(B,): how wide the condition's blocks may be after a batch, served from `sums`, with which `people` are served.

    `tolerance` is (E, grace): E steps, or ⌊E · grace / people⌋ if that is more; or as wide as the block is already.
    """
    most, grace = tolerance
    limits = np.full(len(layout[3]) - 1, most if people >= grace else most * grace // people)  # at most 2⁴² · 10⁶
    for b in range(condition, len(limits), layout[4]):
        limits[b] = max(limits[b], width_of(b, layout, sums))
    return limits


@njit(cache=True, nogil=True)
def middle(condition: int, layout: Any, sums: Any, after: Any) -> int:  # pragma: no cover — compiled
    """⌊mean⌋ of everybody served in this condition before the batch, or of the batch, if nobody was."""
    for source in (sums, after):
        people = high = low = 0
        for j in range(condition, len(source), layout[4]):
            people += source[j, 0]
            high += source[j, 1]
            low += source[j, 2]
        if people:
            return floor_mean(high, low, people)[0]
    return 0
