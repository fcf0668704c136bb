"""The dual steps of a log, computed again: certificates/README.md 12.4, operation by operation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._tally import Tally
from certifair.errors import InputError
from certifair.evidence.bundle import Evidence
from certifair.evidence.stream import Duals, Stream
from certifair.exact.decimals import parse_decimal
from certifair.spec import Json
from certifair.spec.metrics.base import Row
from certifair.spec.policy import stream_property
from certifair.spec.terms import Terms, terms_of

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class Steps:
    """What follows from a log's predictions. T batches, K rows.

    `counts` (K, T): whether the row counts in the batch; `values`: for each row its exact value there, None where it
    does not count; `people` (T,); `eta` (T,) as logged; `multipliers` (K, T + 1): computed, each from the logged one
    before. `faults`: by batch, what differs from the log.
    """

    rows: tuple[Row, ...]
    counts: NDArray[np.bool_]
    values: tuple[tuple[Fraction | None, ...], ...]
    people: NDArray[np.int64]
    eta: Floats
    multipliers: Floats
    faults: dict[int, str]


def stream_of(terms: Terms, evidence: Evidence) -> Stream:
    """The bundle's log. Raises InputError where there is none."""
    if evidence.stream is None:
        what = f"claim {terms.id!r} speaks of a log, but the bundle has none"
        raise InputError(what, advice="serve through a log, and ingest its folder")
    return evidence.stream


def measure(terms: Terms, evidence: Evidence) -> Json:
    """The witness of a claim of form `chain` or `steps`."""
    stream = stream_of(terms, evidence)
    if terms.form == "chain":
        return {
            "log": stream.id,
            "segments": stream.segments,
            "records": stream.records,
            "head": stream.head,
        }
    steps = replayed(terms, evidence)
    first = min(steps.faults, default=None)
    return {
        "batches": len(steps.people),
        "faults": len(steps.faults),
        "first": None if first is None else {"batch": evidence.batch_names[first], "what": steps.faults[first]},
    }


def check_rows(terms: Terms, evidence: Evidence) -> None:
    """The claim's rows are those that the algorithm keeps. Raises InputError."""
    layer = evidence.policy.layer
    kept = None if layer is None or layer.metric is None else terms_of(stream_property(layer), evidence.values)
    same = ("metric_name", "sensitive_features", "intersectional", "condition_on", "conditions")
    if kept is None or any(getattr(terms, name) != getattr(kept, name) for name in same):
        what = f"claim {terms.id!r} is about other groups than those that the layer's multipliers keep"
        raise InputError(what, advice="give it the metric, features, intersectional and condition of [layer]")


def replayed(terms: Terms, evidence: Evidence) -> Steps:
    """Every dual step of the log again. Raises InputError where no log of the paper's algorithm is there."""
    stream = stream_of(terms, evidence)
    if stream.duals is None or stream.algorithm is None or evidence.policy.layer is None:
        what = f"claim {terms.id!r} speaks of dual variables, but the log holds none"
        raise InputError(what, advice="they belong to [serve] online = 'paper'")
    tally = Tally(terms_of(stream_property(evidence.policy.layer), evidence.values), evidence)
    firsts = np.flatnonzero(np.diff(evidence.batch, prepend=-1))
    people = np.diff(np.append(firsts, evidence.n))
    rows = tally.terms.rows
    counts = np.array([np.minimum.reduce([tally.counts(cell) for cell in row.cells]) > 0 for row in rows])
    values = tuple(tuple(_values(tally, row, counts[k])) for k, row in enumerate(rows))
    gaps = np.array([[0.0 if value is None else _nearest(value) for value in line] for line in values])
    faults = _varying(stream.duals, firsts, people)
    algorithm = stream.algorithm
    logged = np.array([stream.duals.multipliers[row.name][firsts] for row in rows])
    step, eta = stream.duals.step[firsts], stream.duals.eta[firsts]
    after = _dual_step(logged, eta, people, gaps, float(parse_decimal(algorithm["epsilon"])), counts)
    start = np.array([[float.fromhex(text)] for text in algorithm["start"]["multipliers"]])
    computed = np.concatenate([start, after], axis=1)
    expected = np.concatenate([[algorithm["start"]["step"] + 1], (step + counts.any(axis=0))[:-1]])
    _compare(faults, "step", step, expected)
    _compare(faults, "eta", eta, float(parse_decimal(algorithm["eta0"])) / np.sqrt(np.maximum(step, 1)))
    for k, row in enumerate(rows):
        _compare(faults, f"multiplier of {row.name}", logged[k], computed[k, :-1])
    return Steps(rows, counts, values, people, eta, computed, faults)


def _values(tally: Tally, row: Row, counts: NDArray[np.bool_]) -> Iterator[Fraction | None]:
    """The row's exact value, batch by batch."""
    for batch, counted in enumerate(counts.tolist()):
        yield tally.exact_value(row, batch) if counted else None


def _nearest(value: Fraction) -> float:
    """Python divides integers with one rounding, to the nearest float64, ties to even; infinite beyond its range."""
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return math.inf


def _dual_step(
    multipliers: Floats, eta: Floats, people: NDArray[np.int64], gaps: Floats, epsilon: float, counts: NDArray[np.bool_]
) -> Floats:
    """max(0, multiplier + eta · (people · (gap − epsilon))) where a row counts, (K, T)."""
    with np.errstate(over="ignore", invalid="ignore"):  # infinite where IEEE 754 says so
        moved = np.maximum(0.0, multipliers + eta * (people.astype(np.float64) * (gaps - epsilon)))
    found: Floats = np.where(counts, moved, multipliers)
    return found


def _varying(duals: Duals, firsts: NDArray[np.int64], people: NDArray[np.int64]) -> dict[int, str]:
    """Batches whose records do not all say the same."""
    faults: dict[int, str] = {}
    columns = {"step": duals.step, "eta": duals.eta, **{f"multiplier of {k}": v for k, v in duals.multipliers.items()}}
    for name, column in columns.items():
        differ = column != np.repeat(column[firsts], people)
        for batch in np.unique(np.searchsorted(firsts, np.flatnonzero(differ), side="right") - 1).tolist():
            faults.setdefault(batch, f"{name} is not the same for everybody")
    return faults


def _compare(faults: dict[int, str], name: str, logged: NDArray[np.generic], computed: NDArray[np.generic]) -> None:
    for batch in np.flatnonzero(logged != computed).tolist():
        faults.setdefault(batch, f"{name} is {logged[batch]!s}, computed {computed[batch]!s}")
