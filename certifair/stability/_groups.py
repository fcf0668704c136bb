"""Large networks in groups of consecutive curves: each group's optimum, put together into multipliers of the whole.

A chain may be cut behind a curve if nothing after it reads anything before its variables. Before the cut these are the
output, after it the inputs; ρ_1 and ρ_2 of both parts make ρ_1·ρ_2 for the whole, with multipliers ρ_2·t_1 and t_2
(see `certifair.spec.chain`).
"""

from __future__ import annotations

import dataclasses
import time
from itertools import pairwise
from typing import Final

import numpy as np

from certifair.stability._interior import optimum
from certifair.stability._problem import Array, Problem, least_rho
from certifair.stability._sequential import sequential

LARGEST: Final = 700
"""Variables of a group, if it may be cut into such."""


def grouped(problem: Problem, start: Array, end: float) -> Array:
    """Multipliers at least as good as `start`, before `end` (of time.monotonic)."""
    parts = _parts(problem)
    found: list[Array] = []
    later = 1.0
    for number, part in enumerate(reversed(parts)):
        first = sequential(part)
        if first is None:
            return start
        now = time.monotonic()
        t = optimum(part, first, now + (end - now) / (len(parts) - number))
        found.append(t * later)
        later *= least_rho(part, t)
    whole = np.concatenate(found[::-1])
    return whole if least_rho(problem, whole) < least_rho(problem, start) else start


def _parts(problem: Problem) -> list[Problem]:
    """Groups of consecutive blocks, as large as LARGEST allows."""
    cuts = [k for k in range(len(problem.blocks) - 1) if _may_cut(problem, k)]
    parts, first, chosen = [], 0, []
    for k, after in pairwise([*cuts, len(problem.blocks) - 1]):
        if _size(problem, first, after) > LARGEST:
            chosen.append(k)
            first = k + 1
    starts = [0, *(k + 1 for k in chosen)]
    for begin, end in zip(starts, [*starts[1:], len(problem.blocks)], strict=True):
        parts.append(_part(problem, begin, end))
    return parts


def _ends(problem: Problem, k: int) -> tuple[int, int]:
    first, width, _ = problem.blocks[k]
    return first, first + width


def _size(problem: Problem, first: int, last: int) -> int:
    return _ends(problem, last)[1] - (_ends(problem, first - 1)[0] if first else 0)


def _may_cut(problem: Problem, k: int) -> bool:
    """Whether all after block k reads its variables only, not those before."""
    first, _ = _ends(problem, k)
    rows = sum(width for _, width, _ in problem.blocks[: k + 1])
    later = (problem.left[rows:, :first], problem.right[rows:, :first], problem.output[:, :first])
    return not any(part.any() for part in later)


def _part(problem: Problem, begin: int, end: int) -> Problem:
    """Blocks begin to end (exclusive)."""
    low = _ends(problem, begin - 1)[0] if begin else 0
    inputs = _ends(problem, begin - 1)[1] - low if begin else problem.inputs
    first, high = _ends(problem, end - 1)
    before = sum(width for _, width, _ in problem.blocks[:begin])
    rows = slice(before, before + sum(width for _, width, _ in problem.blocks[begin:end]))
    last = end == len(problem.blocks)
    output = problem.output[:, low:] if last else np.eye(high - low)[first - low :]
    own = problem.own[rows] - problem.own[rows][0]
    blocks = tuple((at - low, width, tied) for at, width, tied in problem.blocks[begin:end])
    return dataclasses.replace(
        problem,
        inputs=inputs,
        left=problem.left[rows, low:high],
        right=problem.right[rows, low:high],
        output=output[:, : high - low],
        own=own,
        blocks=blocks,
    )
