"""One method on one case: what it promised, what a checker proves of it, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cases import LABELLED, Array, Case

from certifair.checks._individual.check import check_witness
from certifair.errors import CertifairError
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.onnx_writer import write_network
from certifair.individual import prove
from certifair.repair import get
from certifair.repair.base import Method, Repaired, Task
from certifair.repair.prof import Prof, chosen_rows, decisions
from certifair.spec.layers import layers_of
from certifair.spec.network import Network

METHODS: dict[str, Method] = {
    "prof": Prof(),
    "prof-priced": Prof(price=1.0),
    "finite": get("finite"),
    "zeroing": get("zeroing"),
}
TITLES = {
    "prof": "ProF, as published",
    "prof-priced": "ProF, labels priced",
    "finite": "finite, ours",
    "zeroing": "zeroing",
}
NONE, FEW = "as it is", 100
"""Rows that ProF repairs."""
PROVED_ROWS = 100_000
"""Of the bank's test individuals, where not everybody is enumerated."""


@dataclass(frozen=True)
class Line:
    """method: its title, or NONE. promised: rows that it makes fair; real, float32: how many of them are proved so.

    accuracy: on the test rows, None without labels. changed: decisions about them. unfair: the proved share of those
    whose decision some flip changes, or of the whole domain; undecided: the share of which neither is proved. All but
    the first and the last two are None where there is no repaired network; `status` says why.
    """

    method: str
    promised: int
    real: int | None
    float32: int | None
    accuracy: float | None
    changed: float | None
    unfair: float | None
    undecided: float | None
    seconds: float
    status: str

    @property
    def kept(self) -> bool:
        """Whether all that it promised is proved."""
        return self.real == self.float32 == self.promised


def lines(case: Case, names: list[str], seconds: float, everybody: bool, out: Path | None) -> Iterator[Line]:
    """The network as it is, then these methods. everybody: of the bank, all its individuals, not a sample.

    out: a folder for the repaired networks.
    """
    yield before(case, everybody)
    for name in names:
        file = None if out is None else out / f"{case.name}-{'-'.join(case.sensitive)}-{name}.onnx"
        yield repaired(case, name, seconds, everybody, file)


def given(case: Case, name: str) -> tuple[Task, Array]:
    """What a method works on, without a deadline, and the rows that it makes fair."""
    count = LABELLED[case.name] if isinstance(METHODS.get(name, Prof()), Prof) else len(case.rows)
    rows = case.rows[:count]
    labels = None if case.labels is None else case.labels[:count]
    task = Task(case.network, case.domain, rows, labels, "change" if labels is None else "accuracy", seed=case.seed)
    return task, rows if count == len(case.rows) else rows[chosen_rows(count, FEW, case.seed)]


def before(case: Case, everybody: bool) -> Line:
    promised = given(case, NONE)[1]
    return _line(case, NONE, case.network, promised, everybody, 0.0, "")


def repaired(case: Case, name: str, seconds: float, everybody: bool, file: Path | None) -> Line:
    """What is judged is the network that is read back from the bytes of its ONNX file."""
    task, promised = given(case, name)
    started = time.monotonic()
    task = Task(task.network, task.domain, task.rows, task.labels, task.objective, started + seconds, task.seed)
    try:
        found = METHODS[name].repair(task)
    except CertifairError as error:
        found = Repaired(None, str(error), "none")
    took = time.monotonic() - started
    if found.network is None:
        return Line(TITLES[name], len(promised), None, None, None, None, None, None, took, found.reason)
    content = write_network(found.network)
    if file is not None:
        file.write_bytes(content)
    network = read_network(content, name)
    return _line(case, TITLES[name], network, promised, everybody, took, _status(found))


def _status(found: Repaired) -> str:
    """ProF's reasons name the solver already; of `finite`, what it chose."""
    if found.reason.startswith(found.solver) or found.solver == "none":
        return found.reason
    return f"{found.reason.split(':')[0]} ({found.solver})"


def _line(
    case: Case, name: str, network: Network, promised: Array, everybody: bool, seconds: float, status: str
) -> Line:
    verdicts = prove(network, case.domain, promised, check=check_witness).checked.verdicts
    real, single = (int((verdicts[level] == 1).sum()) for level in ("real", "float32"))
    decided = decisions(layers_of(network), case.fresh)
    right = None if case.fresh_labels is None else float((decided == (case.fresh_labels == 1)).mean())
    changed = float((decided != case.decided).mean())
    unfair, undecided = shares(case, network, everybody)
    return Line(name, len(promised), real, single, right, changed, unfair, undecided, seconds, status)


def shares(case: Case, network: Network, everybody: bool) -> tuple[float, float]:
    """Proved unfair, and undecided: of the test rows; of the bank's domain where that is asked for."""
    if everybody and case.labels is None:
        found = prove(network, case.domain, method="enumerate", check=check_witness).checked.shares["real"]
        return float(found.falsified_share), float(found.undecided)
    rows = case.fresh[:PROVED_ROWS]
    verdicts: np.ndarray = prove(network, case.domain, rows, check=check_witness).checked.verdicts["real"]
    return float((verdicts == 2).mean()), float((verdicts == 0).mean())
