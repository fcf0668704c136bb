"""From the answers of an engine to compare with to a witness: what it says is checked like everything else.

PASS for a person becomes "evaluate the flip set" where that is small, else "bound the whole flip set"; FAIL becomes the
pair; UNDECIDED stays, with its reason.
"""

from __future__ import annotations

import math
import time
from array import array
from collections import Counter
from functools import partial
from typing import Final

import numpy as np

from certifair.evidence.witness import ALL, COUNTED, COUNTEREXAMPLE, OPEN, PAIR, TREE, UNDECIDED, Rows, Tree
from certifair.individual.engines._jobs import NO_TIME, listed, over_chunks
from certifair.individual.engines.base import Proposal, Task
from certifair.individual.query import Answer, Array, Decider, Query, query_of_domain, query_of_row
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers
from certifair.spec.verdict import Verdict

SMALL: Final = 4096
"""Points of a flip set that a checker may as well evaluate."""
CHUNK: Final = 8
"""Rows of which one process is asked at a time."""


def rows_by(decider: Decider, task: Task, rows: Array) -> Proposal[Rows]:
    """One question for each row; each may take an equal part of the time that is left."""
    return over_chunks(partial(_chunk, decider, task.layers, task.domain), rows, CHUNK, task)


def _chunk(decider: Decider, layers: Layers, domain: Domain, rows: Array, seconds: float) -> Proposal[Rows]:
    task = Task(layers, domain, None if math.isinf(seconds) else time.monotonic() + seconds)
    codes, pairs, trees = bytearray(), array("d"), list[Tree]()
    reasons = Counter[str]()
    flips = query_of_domain(domain).flips
    for number, row in enumerate(rows):
        query, answer = _answer(decider, task, row, len(rows) - number)
        code = _code(query, answer)
        codes.append(code)
        if code == PAIR and answer.pair is not None:
            pairs.extend(np.concatenate([point[flips] for point in answer.pair]).tolist())
        elif code == TREE:
            trees.append(_leaf(COUNTED))
        elif code == UNDECIDED:
            reasons[answer.reason] += 1
    return Proposal(Rows(bytes(codes), pairs, tuple(trees)), listed(reasons))


def domain_by(decider: Decider, task: Task) -> Proposal[Tree]:
    """One question about everybody."""
    answer = decider.decide(task.layers, query_of_domain(task.domain), task.seconds)
    if answer.pair is not None:
        pair = (tuple(answer.pair[0].tolist()), tuple(answer.pair[1].tolist()))
        return Proposal(_leaf(COUNTEREXAMPLE, (pair,)), ((1, f"of all others nothing is known; {answer}"),))
    if answer.verdict:
        return Proposal(_leaf(COUNTED))
    return Proposal(_leaf(OPEN), ((1, str(answer)),))


def _answer(decider: Decider, task: Task, row: Array, left: int) -> tuple[Query | None, Answer]:
    try:
        query = query_of_row(task.domain, row)
    except ValueError as error:
        return None, Answer(Verdict.UNDECIDED, str(error))
    seconds = task.seconds / left
    if seconds <= 0:
        return query, Answer(Verdict.UNDECIDED, NO_TIME)
    return query, decider.decide(task.layers, query, seconds)


def _code(query: Query | None, answer: Answer) -> int:
    if query is None or answer.verdict is Verdict.UNDECIDED:
        return UNDECIDED
    if not answer.verdict:
        return PAIR
    free = query.flips & (query.low < query.high)
    finite = bool(query.integer[free].all())
    return ALL if finite and np.prod(query.high[free] - query.low[free] + 1) <= SMALL else TREE


def _leaf(kind: int, pairs: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()) -> Tree:
    return Tree(bytes([kind]), array("H", [0]), array("d", [0.0]), pairs)
