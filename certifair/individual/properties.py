"""Proofs for the individual properties of a bundle's policy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, final

from certifair.evidence.bundle import PATHS, Evidence
from certifair.evidence.domain import domain_of, ranges_of
from certifair.evidence.onnx_reader import read_network
from certifair.individual.api import Check, Proof, prove
from certifair.spec.policy import Property


@final
@dataclass(frozen=True)
class Search:
    """What a search may take: seconds in all, bytes, processes; and its method."""

    seconds: float | None = None
    method: str = "auto"
    memory: int = 2 << 30
    processes: int | None = None


def wanted(evidence: Evidence) -> list[Property]:
    """The properties that a proof can answer."""
    if evidence.model is None:
        return []
    return [item for item in evidence.policy.properties if item.kind == "individual" and item.map == "decisions"]


def prove_properties(
    evidence: Evidence,
    where: str,
    search: Search,
    check: Check,
    progress: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Iterator[tuple[Property, Proof | None]]:
    """Each of them with its proof, None where none of the sensitive features is an input: then nothing is to be proven.

    Each takes its part of the time that is left. progress: entered for each search, gives what `prove` tells of it.
    Errors: PolicyError for a range that is not declared.
    """
    if not (items := wanted(evidence)):
        return
    assert evidence.model is not None
    network = read_network(evidence.model, PATHS["model"])
    started = time.monotonic()
    for number, item in enumerate(items):
        rows = evidence.inputs if item.form == "rows" else None
        domain = domain_of(
            ranges_of(item, evidence.policy, evidence.preprocessing, where), item.sensitive_features, rows
        )
        if domain is None:
            yield item, None
            continue
        left = None if search.seconds is None else started + search.seconds - time.monotonic()
        with progress() as told:
            proof = prove(
                network,
                domain,
                rows,
                method=search.method,
                threshold=item.decision_threshold,
                seconds=None if left is None else left / (len(items) - number),
                memory=search.memory,
                processes=search.processes,
                check=check,
                progress=told,
                level=item.method,
            )
        yield item, proof
