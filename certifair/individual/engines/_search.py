"""A search through rows, part by part on some threads, and what is said about all of them in the end."""

from __future__ import annotations

import functools
import itertools
import os
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np

from certifair.evidence.witness import PAIR, UNDECIDED, Rows
from certifair.individual.engines.base import Array, Progress, Proposal
from certifair.individual.points import Flips, Indices, Mask, groups

OUTSIDE: Final = "the row is not in the domain"
LATE: Final = "no time was left"
INTERRUPTED: Final = "interrupted"


class Part(NamedTuple):
    """Who has a clear pair, (k,), the points above and below 0, (k, inputs); who was looked at; whether at everything;
    and how many of them seem fair.
    """

    at: Indices
    above: Array
    below: Array
    rows: Indices
    done: bool
    fair: int


Look = Callable[[Indices, Array], Part]
"""At some of the rows of the domain, by their positions among these, and the steps that they all have."""


def search(
    flips: Flips,
    rows: Array,
    known: Mask,
    look: Look,
    width: Callable[[int], int],
    otherwise: int,
    processes: int,
    progress: Progress | None,
) -> Proposal[Rows]:
    """PAIR for who has one, the code `otherwise` for others that were looked at, UNDECIDED for all other rows.

    known: who is in the domain. width: how many rows to look at together, for so many steps.
    """
    chosen, table = np.flatnonzero(known), rows if known.all() else rows[known]
    nobody, none = chosen[:0], np.empty((0, rows.shape[1]))
    found = [Part(nobody, none, none, nobody, True, 0)]
    late = LATE
    waiting: list[Future[Part]] = []
    try:
        for members, steps in groups(flips, table):
            some = [members[a:b] for a, b in spans(len(members), width(len(steps)))]
            for part in _looks(look, some, steps, processes, waiting):
                found.append(part)
                if progress is not None:
                    progress(*_shares(found, len(rows)))
    except KeyboardInterrupt:
        late = INTERRUPTED
    finally:
        for future in waiting:
            future.cancel()
    return _proposal(flips, known, found, otherwise, late)


def _looks(
    look: Look, parts: list[Indices], steps: Array, processes: int, waiting: list[Future[Part]]
) -> Iterator[Part]:
    """One after the other, by threads if there are several; `waiting` keeps what may have to be cancelled."""
    if len(parts) == 1:  # waking a thread may take longer
        yield look(parts[0], steps)
        return
    pool = _pool(os.getpid(), processes)
    waiting[:] = [pool.submit(look, part, steps) for part in parts]
    for future in waiting:
        yield future.result()


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Kept, as starting threads takes time. One for each process: a fork has none of its parent's threads."""
    return ThreadPoolExecutor(threads)


def _shares(found: list[Part], rows: int) -> tuple[float, float, float]:
    unfair, fair = sum(len(part.at) for part in found) / rows, sum(part.fair for part in found) / rows
    return fair, unfair, 1 - fair - unfair


def _proposal(flips: Flips, known: Mask, found: list[Part], otherwise: int, late: str) -> Proposal[Rows]:
    chosen = np.flatnonzero(known)
    codes = np.full(len(known), UNDECIDED, dtype=np.uint8)
    for part in found:
        if part.done:
            codes[chosen[part.rows]] = otherwise
    at, above, below = (np.concatenate(parts) for parts in zip(*(part[:3] for part in found), strict=True))
    codes[chosen[at]] = PAIR
    order = np.argsort(at)
    pairs = array("d")
    pairs.frombytes(np.stack([above[order], below[order]], axis=1)[:, :, flips.columns].astype(np.float64).tobytes())
    counts = ((~known).sum(), OUTSIDE), ((codes[known] == UNDECIDED).sum(), late)
    reasons = tuple((int(count), reason) for count, reason in counts if count)
    return Proposal(Rows(codes.tobytes(), pairs), reasons)


def spans(count: int, width: int) -> Iterator[tuple[int, int]]:
    """0 to count in pieces of at most `width`."""
    return itertools.pairwise([*range(0, count, width), count])
