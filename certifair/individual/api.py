"""From a network and a domain to a proof: pick an engine, let it search, hand its witness to a checker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from certifair.errors import InputError
from certifair.evidence.rows_file import rows_of
from certifair.evidence.witness import (
    MOST_FLIPS,
    SWEPT_INPUTS,
    Rows,
    Tree,
    Witness,
    layers_to_json,
)
from certifair.individual import engines, plan
from certifair.individual.engines.base import MOST_POINTS, Array, Engine, Progress, Proposal, Task
from certifair.individual.networks import network_of
from certifair.spec.domain import Domain, Feature
from certifair.spec.domain_file import load_domain
from certifair.spec.layers import Layers, layers_of
from certifair.spec.network import Activation, Affine, Network

Check = Callable[..., Any]
"""`certifair.checks.individual.check_witness`, or one like it: producers do not import what judges them."""
ENUMERABLE: Final = 2_000_000
"""Points of a domain that are evaluated without looking for anything cleverer,"""
WEIGHTS: Final = 5e9
"""and more of them, where the time is enough at so many points times weights a second, in each process."""
SEARCH: Final = 0.6
"""The part of the time that a search may take which is not planned, where the check has to fit in as well."""


@final
@dataclass(frozen=True, eq=False)
class Proof:
    """A witness, what a checker says of it (None: nobody has checked it, so nothing is claimed), and what it took.

    reasons: why parts are undecided, in the engine's words, with how often.
    """

    witness: Witness
    checked: Any
    reasons: tuple[tuple[int, str], ...]
    search_seconds: float
    check_seconds: float


def prove(  # noqa: PLR0913 — each is one thing that a user may want to say
    model: Any,
    domain: Domain | Path | str,
    rows: Array | Path | str | None = None,
    *,
    method: str | Engine = "auto",
    threshold: Fraction | None = None,
    seconds: float | None = None,
    memory: int = 2 << 30,
    processes: int | None = None,
    check: Check | None = None,
    progress: Progress | None = None,
    resume: Witness | None = None,
    level: str | None = None,
) -> Proof:
    """A proof about each of the rows, or about all units of the domain.

    model: an ONNX file, a torch module, a scikit-learn classifier, or a Network. rows: a table's file, or an array
    (n, inputs). threshold: of the decision, see `spec.layers.layers_of`. seconds: for search and check together.
    memory: bytes, a cap on the tree. processes: by default all processors. check: see `Check`. resume: an earlier
    witness about the same domain, to go on from. level: the only one that is asked about, `real` or `float32`: there
    may be nothing to look for, see `plan.settled`.
    Errors: InputError for a model, domain or rows that cannot be used, or an engine that cannot answer such a question.
    """
    started = time.monotonic()
    deadline = None if seconds is None else started + seconds
    layers, domain = (
        decision_of(model, threshold),
        domain if isinstance(domain, Domain) else load_domain(Path(domain)).domain,
    )
    _check_widths(layers, domain)
    table = None if rows is None else table_of(rows, domain)
    seed = None if resume is None else _seed(resume, layers, domain)
    cores = processes or os.cpu_count() or 1
    affordable = WEIGHTS * cores * (seconds or 0.0) / sum(layer.weight.size for layer in layers.layers)
    picked = _picked(domain, table, max(ENUMERABLE, affordable)) if method == "auto" else method
    named = engines.get(picked) if isinstance(picked, str) else picked
    task = Task(layers, domain, deadline, memory, cores, progress, seed)
    plain = layers_to_json(layers)

    def witness_of(about: Rows | Tree) -> Witness:
        return Witness(plain, domain, about, named.name)

    def checked(about: Rows | Tree, until: float | None) -> Any:
        return None if check is None else check(witness_of(about), layers, domain, table, deadline=until, memory=memory)

    found: Proposal[Rows] | Proposal[Tree]
    if plan.settled(layers, domain, level):
        found = plan.nothing(table)
    elif table is not None:
        found = named.rows(replace(task, deadline=_part(started, deadline, SEARCH)), table)
    elif check is None or deadline is None:
        found = named.domain(task)
    elif not named.anytime:
        found = named.domain(replace(task, deadline=_part(started, deadline, SEARCH)))
    else:
        found = plan.within(named, task, deadline, checked)
    searched = time.monotonic()
    answer = checked(found.about, deadline)
    return Proof(witness_of(found.about), answer, found.reasons, searched - started, time.monotonic() - searched)


def _part(started: float, deadline: float | None, part: float) -> float | None:
    return None if deadline is None else started + part * (deadline - started)


def prepare() -> None:
    """Compile the search, which happens once, takes up to half a minute, and otherwise counts as search."""
    numbers = [np.array([[1.0, -1.0]]), np.array([[1.0]])]
    network = Network(
        2,
        (
            Affine(0, numbers[0], np.array([-1.5])),
            Activation(1, "relu"),
            Affine(2, numbers[1], np.array([-0.5])),
        ),
        3,
    )
    counted, line = Feature("a", "integer", 0, 4000), Feature("s", "continuous", 0, 1, sensitive=True)
    finite = Domain("finite", (counted, Feature("s", "integer", 0, 1, sensitive=True)))
    prove(network, finite, method="branch")
    for domain in (finite, Domain("line", (counted, line))):
        prove(network, domain, np.array([[1.0, 0.0]]))


def decision_of(model: Any, threshold: Fraction | None = None) -> Layers:
    """The layers of a model's decision. Errors: InputError."""
    network = network_of(model)
    try:
        return layers_of(network, threshold)
    except ValueError as error:
        what, _, advice = str(error).partition("; ")
        where = str(model) if isinstance(model, str | Path) else type(model).__name__
        raise InputError(what, where=where, advice=advice) from None


def _check_widths(layers: Layers, domain: Domain) -> None:
    if layers.inputs != domain.inputs:
        what = f"the network has {layers.inputs} inputs, the domain {domain.inputs}"
        raise InputError(what, where=domain.name, advice="list the features in the order of the network's inputs")


def table_of(rows: Array | Path | str, domain: Domain) -> Array:
    """Rows (n, inputs), from a file or as they are. Errors: InputError."""
    if isinstance(rows, str | Path):
        return rows_of(Path(rows), domain).values
    table = np.asarray(rows, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != domain.inputs or not np.isfinite(table).all():
        raise InputError(f"rows of shape {table.shape}; finite numbers (n, {domain.inputs}) belong there")
    return table


def _seed(resume: Witness, layers: Layers, domain: Domain) -> Tree:
    if not isinstance(resume.about, Tree) or resume.domain != domain or resume.layers != layers_to_json(layers):
        raise InputError("the witness to go on from is about another network, domain or table", where="--resume")
    return resume.about


def _picked(domain: Domain, rows: Array | None, affordable: float) -> str:
    """The engine that decides such a question completely, if there is one; affordable: points of a domain."""
    if rows is None:
        points = None if domain.flips is None else domain.units * domain.flips
        finite = all(feature.levels is not None for feature in domain.features)
        return "enumerate" if finite and points is not None and points <= min(affordable, MOST_POINTS) else "branch"
    combinations, continuous = domain.freedom
    if combinations > MOST_FLIPS or continuous > SWEPT_INPUTS:
        return "branch"
    return "sweep" if continuous else "enumerate"
