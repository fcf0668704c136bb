"""From a network and a domain to a proof: pick an engine, let it search, hand its witness to a checker."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, final

import narwhals as nw
import numpy as np
from narwhals.exceptions import NarwhalsError

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
from certifair.individual.arguments import array_of, number_of, whole_of
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
MOST_RELAXED: Final = 1 << 13
"""Combinations of a row's flip set that are evaluated one by one where relaxed inputs make them others for other rows:
they are listed for each kind of row, with no look at the clock. For more `branch` is faster, and decides as much."""
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
    rows: Any = None,
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

    model: an ONNX file, a torch module, a scikit-learn classifier, or a Network. rows: a table's file, a data frame, or
    an array (n, inputs), see `table_of`. threshold: of the decision, see `spec.layers.layers_of`. seconds: for search
    and check together; where none are left, nothing is looked for. memory: bytes, a cap on the tree. processes: by
    default all processors. check: see `Check`. resume: an earlier witness about the same domain, to go on from. level:
    the only one that is asked about, `real` or `float32`: there may be nothing to look for, see `plan.settled`.
    Errors: InputError for a model, domain or rows that cannot be used, or an engine that cannot answer such a question.
    """
    started = time.monotonic()
    deadline = None if seconds is None else started + number_of(seconds, "seconds")
    cores = (os.cpu_count() or 1) if processes is None else whole_of(processes, "processes", least=1)
    layers, domain = decision_of(model, threshold), as_domain(domain)
    _check_widths(layers, domain)
    table = None if rows is None else table_of(rows, domain)
    seed = None if resume is None else _seed(resume, layers, domain)
    affordable = WEIGHTS * cores * (seconds or 0.0) / sum(layer.weight.size for layer in layers.layers)
    named = _named(_picked(layers, domain, table, max(ENUMERABLE, affordable)) if method == "auto" else method)
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


def decision_of(model: Any, threshold: Fraction | None = None, *, where: str | None = None) -> Layers:
    """The layers of a model's decision. where: what errors call the model. Errors: InputError."""
    network = network_of(model)
    try:
        return layers_of(network, threshold)
    except ValueError as error:
        what, _, advice = str(error).partition("; ")
        raise InputError(what, where=where or name_of(model), advice=advice) from None


def name_of(model: Any) -> str:
    """What errors call a model: its file, or its type."""
    return str(model) if isinstance(model, str | Path) else type(model).__name__


def _check_widths(layers: Layers, domain: Domain) -> None:
    if layers.inputs != domain.inputs:
        what = f"the network has {layers.inputs} inputs, the domain {domain.inputs}"
        raise InputError(what, where=domain.name, advice="list the features in the order of the network's inputs")


def as_domain(domain: Domain | Path | str) -> Domain:
    """From a TOML file, or as it is. Errors: InputError."""
    if isinstance(domain, Domain):
        return domain
    if not isinstance(domain, str | Path):
        raise InputError("is no domain", where=type(domain).__name__, advice="give a TOML file or a Domain")
    return load_domain(Path(domain)).domain


def table_of(rows: Any, domain: Domain) -> Array:
    """At least one row (n, inputs). An array has the columns of the domain's inputs, in their order.

    Of a file or a data frame the columns are found by their names, whatever their order, as `rows_of` does; so what has
    names that are no texts, as pandas makes them, is refused. Errors: InputError.
    """
    if isinstance(rows, str | Path):
        return rows_of(Path(rows), domain).values
    if _has_columns(rows):
        return rows_of(rows, domain).values
    table = array_of(rows, "rows")
    if table.ndim != 2 or table.shape[1] != domain.inputs or not np.isfinite(table).all():
        raise InputError(f"rows of shape {table.shape}; finite numbers (n, {domain.inputs}) belong there")
    if not len(table):
        raise InputError("there is none", where="rows", advice="give at least one")
    return table


def _has_columns(rows: Any) -> bool:
    """Whether these are a data frame. Errors: InputError for one whose columns are not told apart by texts."""
    with contextlib.suppress(NarwhalsError):
        frame = nw.from_native(rows, pass_through=True)
        if not isinstance(frame, nw.DataFrame) or all(isinstance(name, str) for name in frame.columns):
            return isinstance(frame, nw.DataFrame | nw.LazyFrame) or hasattr(rows, "__dataframe__")
    advice = "name its columns as the domain does, or give its numbers as an array"
    raise InputError("has columns without names of their own", where=type(rows).__name__, advice=advice)


def _seed(resume: Witness, layers: Layers, domain: Domain) -> Tree:
    if not isinstance(resume.about, Tree) or resume.domain != domain or resume.layers != layers_to_json(layers):
        raise InputError("the witness to go on from is about another network, domain or table", where="--resume")
    return resume.about


def _named(method: str | Engine) -> Engine:
    """Errors: InputError for what is neither a name nor an engine."""
    if isinstance(method, Engine):
        return method
    if not isinstance(method, str):
        raise InputError(f"= {method!r} is no method", where="method", advice="give a name, or an engine like Branch()")
    return engines.get(method)


def _picked(layers: Layers, domain: Domain, rows: Array | None, affordable: float) -> str:
    """The engine that decides such a question completely, if there is one; affordable: points of a domain.

    Where there are curves inside, nothing but points is proven. Those of a finite set are evaluated, whatever their
    number, as long as the time lasts; of any other set `interval` tries some, for two that are decided differently.
    """
    linear, (combinations, continuous) = layers.piecewise_linear, domain.freedom
    few = combinations <= MOST_FLIPS
    if rows is not None and linear and not continuous and combinations > MOST_RELAXED and _relaxed(domain):
        return "branch"
    if few and not continuous and (rows is not None or _countable(domain, affordable if linear else MOST_POINTS)):
        return "enumerate"
    if few and linear and 0 < continuous <= SWEPT_INPUTS and rows is not None:
        return "sweep"
    return "branch" if linear else "interval"


def _relaxed(domain: Domain) -> bool:
    return any(feature.eps for feature in domain.features)


def _countable(domain: Domain, most: float) -> bool:
    """Whether a domain has at most so many points, and few enough where relaxed inputs move."""
    if any(feature.levels is None for feature in domain.features):
        return False
    return domain.units * (domain.flips or 1) <= most and domain.units * domain.freedom[0] <= MOST_POINTS
