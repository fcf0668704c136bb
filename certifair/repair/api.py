"""From a network, a domain and rows to a repaired network, with proofs of what it was before and is now."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair import repair as methods
from certifair.errors import InputError
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.onnx_writer import write_network
from certifair.individual import Proof, decision_of, prove
from certifair.individual.api import Check, table_of
from certifair.individual.networks import network_of
from certifair.repair._flips import logits
from certifair.repair.base import Array, Method, Objective, Repaired, Task
from certifair.spec.domain import Domain
from certifair.spec.domain_file import load_domain
from certifair.spec.network import Network

SECONDS: Final = 300.0


@final
@dataclass(frozen=True, eq=False)
class Proven:
    """What is known of one network: proofs about the rows and about everybody in the domain (None: not asked for).

    decisions (n,): f > 0 for each row, in floats: for figures beside a proof, never in place of one.
    """

    rows: Proof
    domain: Proof | None
    decisions: NDArray[np.bool_]


@final
@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method proposed, as the bytes of an ONNX file too, and what was proven before and after.

    content, after: None where nothing was proposed. seconds: of the repair, without the proofs.
    """

    method: str
    repaired: Repaired
    content: bytes | None
    before: Proven
    after: Proven | None
    seconds: float


def repair(  # noqa: PLR0913 — each is one thing that a user may want to say
    model: Any,
    domain: Domain | Path | str,
    rows: Array | Path | str,
    labels: Array | None = None,
    *,
    method: str | Method = "finite",
    objective: Objective = "accuracy",
    seconds: float = SECONDS,
    domain_seconds: float = 0.0,
    seed: int = 0,
    check: Check | None = None,
) -> Outcome:
    """Repair a model so that its decisions about these rows do not depend on the sensitive features.

    model, domain, rows, check: as of `certifair.individual.prove`. labels (n,): 0 or 1, one for each row. seconds: of
    the repair. domain_seconds: of each of the two proofs about everybody; 0: none is looked for. What is proven is the
    network that is read back from the file's bytes, not the one in memory.
    Errors: InputError for what cannot be used.
    """
    domain = domain if isinstance(domain, Domain) else load_domain(Path(domain)).domain
    network, table = network_of(model), table_of(rows, domain)
    _check(network, domain, table, labels)
    decision_of(model)  # an error names the model
    named = methods.get(method) if isinstance(method, str) else method

    def proven(some: Network) -> Proven:
        about = prove(some, domain, table, check=check)
        everybody = None
        if domain_seconds > 0:
            everybody = prove(some, domain, seconds=domain_seconds, check=check, level="real")
        return Proven(about, everybody, logits(decision_of(some), table) > 0)

    before = proven(network)
    started = time.monotonic()
    found = named.repair(Task(network, domain, table, labels, objective, started + seconds, seed))
    took = time.monotonic() - started
    if found.network is None:
        return Outcome(named.name, found, None, before, None, took)
    content = _written(found.network)
    after = proven(read_network(content, "the repaired network"))
    return Outcome(named.name, found, content, before, after, took)


def _written(network: Network) -> bytes:
    """As an ONNX file. Errors: InputError for a network that none can hold."""
    try:
        return write_network(network)
    except ValueError as error:
        raise InputError(f"cannot be written: {error}", where="the repaired network") from None


def _check(network: Network, domain: Domain, table: Array, labels: Array | None) -> None:
    if network.inputs != domain.inputs or network.outputs != 1:
        what = f"the network takes {network.inputs} inputs and gives {network.outputs} outputs"
        raise InputError(what, where=domain.name, advice=f"it must take the domain's {domain.inputs} and give one")
    if not len(table):
        raise InputError("there is no row to repair for", where="rows")
    if labels is not None and (labels.shape != (len(table),) or not np.isin(labels, (0, 1)).all()):
        raise InputError("labels are 0 or 1, one for each row", where="labels")
