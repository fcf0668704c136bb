"""Rows are independent questions: chunks of them go to whatever joblib's active backend is, and come back in order.

No backend is named here, so `joblib.parallel_config` around a proof decides: processes of this machine (joblib's
default), or the workers of a Dask or Ray cluster. Workers have clocks of their own: they are told seconds, no moment.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from certifair.evidence.witness import PAIR, UNDECIDED, Rows, Tree
from certifair.individual.engines.base import Array, Proposal, Task

Work = Callable[[Array, float], Proposal[Rows]]
"""About a chunk of rows, within so many seconds. It is pickled, and so is what it returns."""
TURNS: Final = 4
"""Chunks for each worker between two looks at the clock."""
NO_TIME: Final = "no time was left"
INTERRUPTED: Final = "interrupted"


def over_chunks(work: Work, rows: Array, size: int, task: Task) -> Proposal[Rows]:
    """What `work` says of rows (n, inputs), `size` at a time. An interrupt (Ctrl-C) leaves the others undecided."""
    parts: list[Proposal[Rows]] = []
    rest = 0
    try:
        for part in _parts(work, rows, size, task):
            parts.append(part)
            rest += len(part.about.code)
            if task.progress is not None:
                task.progress(*_shares(parts, len(rows)))
    except KeyboardInterrupt:
        parts.append(_nothing(len(rows) - rest, INTERRUPTED))
    return joined(parts)


def _parts(work: Work, rows: Array, size: int, task: Task) -> Iterator[Proposal[Rows]]:
    """In waves, each with a part of the time that is left as large as its part of the rows that are left.

    A wave of n·k chunks of at most b seconds each takes n workers at most k·b: were a chunk started later than
    (k − 1)·b, every worker would have been busy so long, with k chunks or more, and that makes n·k before this one.
    """
    from joblib import Parallel, delayed, effective_n_jobs

    chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
    jobs = max(1, min(task.processes, len(chunks)))
    workers = max(1, effective_n_jobs(jobs))
    with Parallel(n_jobs=jobs, batch_size=1, pre_dispatch="all") as parallel:
        while chunks:
            if task.seconds <= 0:
                yield _nothing(_rows(chunks), NO_TIME)
                return
            turns = 1 if workers == 1 else max(1, min(TURNS, len(chunks) // workers // 2))
            wave, chunks = chunks[: turns * workers], chunks[turns * workers :]
            seconds = task.seconds * _rows(wave) / _rows([*wave, *chunks]) / turns
            yield from parallel(delayed(work)(chunk, seconds) for chunk in wave)


def _rows(chunks: list[Array]) -> int:
    return sum(map(len, chunks))


def joined(parts: Iterable[Proposal[Rows]]) -> Proposal[Rows]:
    """One proposal about all rows, in order."""
    code, pairs, trees, reasons = bytearray(), array("d"), list[Tree](), Counter[str]()
    for about, why, _ in parts:
        code += about.code
        pairs.extend(about.pairs)
        trees.extend(about.trees)
        for count, reason in why:
            reasons[reason] += count
    return Proposal(Rows(bytes(code), pairs, tuple(trees)), listed(reasons))


def listed(reasons: Counter[str]) -> tuple[tuple[int, str], ...]:
    """The most frequent first."""
    return tuple((count, reason) for reason, count in reasons.most_common())


def _nothing(count: int, reason: str) -> Proposal[Rows]:
    return Proposal(Rows(bytes([UNDECIDED]) * count), ((count, reason),) if count else ())


def _shares(parts: list[Proposal[Rows]], rows: int) -> tuple[float, float, float]:
    code = b"".join(part.about.code for part in parts)
    unfair, unknown = code.count(PAIR), code.count(UNDECIDED) + rows - len(code)
    return (rows - unfair - unknown) / rows, unfair / rows, unknown / rows
