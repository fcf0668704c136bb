"""From a network, a domain and rows to a repaired network, with proofs of what it was before and is now."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final, get_args

import numpy as np
from numpy.typing import NDArray

from certifair import repair as methods
from certifair.errors import InputError
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.onnx_writer import write_network
from certifair.individual import Proof, decision_of, prove
from certifair.individual.api import Check, as_domain, name_of, table_of
from certifair.individual.arguments import array_of, seconds_of, whole_of
from certifair.individual.networks import network_of
from certifair.repair._flips import logits
from certifair.repair.base import Array, Method, Objective, Repaired, Task
from certifair.spec.domain import Domain
from certifair.spec.network import Network
from certifair.spec.toml_reader import nearest

SECONDS: Final = 300.0
ROWS_SECONDS: Final = 60.0


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
    rows: Any,
    labels: Any = None,
    *,
    method: str | Method = "finite",
    objective: Objective = "accuracy",
    seconds: float = SECONDS,
    rows_seconds: float = ROWS_SECONDS,
    domain_seconds: float = 0.0,
    seed: int = 0,
    check: Check | None = None,
) -> Outcome:
    """Repair a model so that its decisions about these rows do not depend on the sensitive features.

    model, domain, rows, check: as of `certifair.individual.prove`. labels (n,): 0 or 1, one for each row, in their
    order. method: a name, or a method like `Prof(rows=200)`. seconds: of the repair. rows_seconds: of each of the two
    proofs about the rows, before and after; a row that is not decided by then is undecided. domain_seconds: of each of
    the two proofs about everybody; 0: none is looked for. What is proven is the network that is read back from the
    file's bytes, not the one in memory. Errors: InputError for what cannot be used.
    """
    named = _named(method)
    seconds, rows_seconds = seconds_of(seconds, "seconds"), seconds_of(rows_seconds, "rows_seconds")
    domain_seconds = seconds_of(domain_seconds, "domain_seconds", none=True)
    seed = whole_of(seed, "seed")
    if objective not in (known := get_args(Objective)):
        raise InputError(f"= {objective!r}", where="objective", advice=nearest(str(objective), known))
    domain, network = as_domain(domain), network_of(model)
    table = table_of(rows, domain)
    wanted = None if labels is None else _labels(labels, len(table))
    _check_widths(network, domain)
    decision_of(network, where=name_of(model))

    def proven(some: Network) -> Proven:
        about = prove(some, domain, table, seconds=rows_seconds, check=check)
        everybody = None
        if domain_seconds > 0:
            everybody = prove(some, domain, seconds=domain_seconds, check=check, level="real")
        return Proven(about, everybody, logits(decision_of(some), table) > 0)

    before = proven(network)
    started = time.monotonic()
    found = named.repair(Task(network, domain, table, wanted, objective, started + seconds, seed))
    took = time.monotonic() - started
    if found.network is None:
        return Outcome(named.name, found, None, before, None, took)
    content = _written(found.network)
    after = proven(read_network(content, "the repaired network"))
    return Outcome(named.name, found, content, before, after, took)


def _named(method: str | Method) -> Method:
    """Errors: InputError for what is neither a name nor a method."""
    if isinstance(method, Method):
        return method
    if not isinstance(method, str):
        raise InputError(f"= {method!r} is no method", where="method", advice="give a name, or a method like Prof()")
    return methods.get(method)


def _written(network: Network) -> bytes:
    """As an ONNX file. Errors: InputError for a network that none can hold."""
    try:
        return write_network(network)
    except ValueError as error:
        raise InputError(f"cannot be written: {error}", where="the repaired network") from None


def _check_widths(network: Network, domain: Domain) -> None:
    if network.inputs != domain.inputs or network.outputs != 1:
        what = f"the network takes {network.inputs} inputs and gives {network.outputs} outputs"
        raise InputError(what, where=domain.name, advice=f"it must take the domain's {domain.inputs} and give one")


def _labels(labels: Any, count: int) -> Array:
    """0 or 1 (count,), by position: what index a pandas Series has says nothing. Errors: InputError."""
    found = array_of(labels, "labels")
    if found.shape != (count,) or not np.isin(found, (0, 1)).all():
        raise InputError("are not one 0 or 1 for each row", where="labels")
    return found
