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
from certifair.repair.base import Method as Repair
from certifair.repair.base import Task

PART: Final = 0.7
"""Of the case's time, for the repair."""
ZEROING: Final = "zeroing"
PRICED: Final = "prof_priced"
PRICE: Final = 1.0
"""What a row on another side than its label's costs, beside |Δ| of a weight: as under examples/prof."""
CUT: Final = 0.5
"""A larger prediction is a positive decision, as by the policy of a run's bundle."""
ALIKE: Final = "everybody is decided alike"


@final
class RepairedNetwork(Method):
    """The repair of this name. `prof` is as published: all rows tune, a sample of 100 is made fair, and which decisions
    these people get is not asked, so it may be one for nearly everybody. `prof_priced` is the same with a price.
    """

    needs_base = True

    def __init__(self, name: str) -> None:
        self.name = name

    def fixed(self, data: DataSet) -> bool:
        return self.name == ZEROING and data.model is not None and data.split is not None

    def make(self, case: Case, out: Path) -> Made:
        network, crowd = base_of(case), people(case)
        rows, labels = crowd.X[crowd.train], crowd.y[crowd.train]
        started = time.monotonic()
        task = Task(network, crowd.domain, rows, labels, deadline=started + PART * case.seconds, seed=case.seed)
        try:
            found = _repair(self.name).repair(task)
            content = None if found.network is None else write_network(found.network)
        except InputError as error:  # a network that it cannot change
            raise NothingError("does not apply", one_line(str(error))) from None
        took = time.monotonic() - started
        if content is None:
            raise NothingError(found.failure, one_line(found.reason))
        serving = served_by_network(case, content, out, crowd=crowd)
        positive = serving.predictions > CUT
        notes = [ALIKE] if positive.all() or not positive.any() else []
        notes += [found.reason] if found.reason else []
        return Made(found.solver, took, serving.seconds, one_line("; ".join(notes)))


def _repair(name: str) -> Repair:
    """Imported when it is needed: what a repair needs may not be installed."""
    if name != PRICED:
        return repair.get(name)
    from certifair.repair.prof import Prof

    return Prof(price=PRICE)


METHODS = tuple(RepairedNetwork(name) for name in (ZEROING, "finite", "prof", PRICED))
