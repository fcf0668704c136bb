"""The base network, repaired for everybody in the training part; what it then gives is served, one by one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, final

from certifair import repair
from certifair.compare.base import Case, DataSet, Made, Method, NothingError
from certifair.compare.bundles import people, served_by_network
from certifair.compare.methods._common import base_of, one_line
from certifair.errors import InputError
from certifair.evidence.onnx_writer import write_network
from certifair.repair.base import Task

PART: Final = 0.7
"""Of the case's time, for the repair."""


def _make(name: str, case: Case, out: Path) -> Made:
    """By the repair of that name. Raises NothingError with the reason of a repair that proposes nothing."""
    network, crowd = base_of(case), people(case)
    rows, labels = crowd.X[crowd.train], crowd.y[crowd.train]
    started = time.monotonic()
    task = Task(network, crowd.domain, rows, labels, deadline=started + PART * case.seconds, seed=case.seed)
    try:
        found = repair.get(name).repair(task)
        content = None if found.network is None else write_network(found.network)
    except InputError as error:  # a network that it cannot change
        raise NothingError("does not apply", one_line(str(error))) from None
    took = time.monotonic() - started
    if content is None:
        raise NothingError(_status(found.reason), one_line(found.reason))
    serving = served_by_network(case, content, out, crowd=crowd)
    return Made(found.solver, took, serving, one_line(found.reason))


def _status(reason: str) -> str:
    """What a reason in a solver's words amounts to; what is said of time explains the rest."""
    words = reason.lower()
    return "time limit" if "time" in words else "infeasible" if "infeasible" in words else "failed"


@final
class Zeroing(Method):
    """Drop the attribute."""

    name = "zeroing"
    needs_base = True

    def make(self, case: Case, out: Path) -> Made:
        return _make(self.name, case, out)

    def fixed(self, data: DataSet) -> bool:
        return data.model is not None and data.split is not None


@final
class Finite(Method):
    """Over the exact finite flip sets."""

    name = "finite"
    needs_base = True

    def make(self, case: Case, out: Path) -> Made:
        return _make(self.name, case, out)


@final
class Prof(Method):
    """As published: all rows tune, a sample of 100 is made fair."""

    name = "prof"
    needs_base = True

    def make(self, case: Case, out: Path) -> Made:
        return _make(self.name, case, out)


METHODS = (Zeroing(), Finite(), Prof())
