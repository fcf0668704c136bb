"""Counts and exact sums of every cell in every collection of people, and from them the witness of a feasibility claim.

A collection is a batch or, for a claim about a stream, a run of batches that end with one. Its row value is first
bounded in float64 with a proven error; only those that could be the worst, or that lie so near the threshold that
rounding could matter, are decided in rationals.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import numpy as np
from numpy.typing import NDArray

from certifair.checks.base import Measured, cell_json
from certifair.checks.feasibility import COLLECTED, has_decision_gap
from certifair.errors import InputError
from certifair.evidence.bundle import Evidence
from certifair.evidence.cube import Coded, Codes
from certifair.evidence.groups import group_codes
from certifair.exact.decimals import PLACES, format_decimal, format_rational, largest_float_at_most, round_up
from certifair.exact.sums import ExactSums, exact_counts, line_runs
from certifair.spec import Json
from certifair.spec.groups import Cell
from certifair.spec.metrics.base import CellSum, Row
from certifair.spec.policy import Policy
from certifair.spec.terms import Terms

Array = NDArray[np.float64]
UNIT = 2.0**-53
"""Relative error of one float64 operation."""


@final
@dataclass(frozen=True)
class _Block:
    """One partition: arrays of shape (batches, its cells); sums over batch·cells + cell."""

    counts: NDArray[np.int64]
    positives: NDArray[np.int64]
    sums: ExactSums
    labels: ExactSums | None

    def over(self, starts: Codes, stops: Codes) -> _Block:
        """The same of runs of batches."""
        assert self.labels is None
        width = self.counts.shape[1]
        counts, positives = (line_runs(part, starts, stops) for part in (self.counts, self.positives))
        return _Block(counts, positives, self.sums.runs(width, starts, stops), None)

    @functools.cached_property
    def approximations(self) -> tuple[tuple[float, Array, Array], ...]:
        """(sign, float64 sums, error bounds) of the values, and of the labels that are taken from them."""
        signed = ((1.0, self.sums), *(((-1.0, self.labels),) if self.labels is not None else ()))
        return tuple((sign, *(part.reshape(self.counts.shape) for part in sums.approximate())) for sign, sums in signed)


@final
class Tally:
    """All cells of a claim, in all collections: `batches` is their number, `names` those of their last batches."""

    def __init__(self, terms: Terms, evidence: Evidence) -> None:
        self.terms = terms
        self._runs = runs_of(terms, evidence)
        self._all = len(evidence.batch_names)
        self.batches = self._all if self._runs is None else len(self._runs[1])
        last = range(self._all) if self._runs is None else (self._runs[1] - 1).tolist()
        self.names = [evidence.batch_names[k] for k in last]
        self._cube, self._source = evidence.cube, source_of(terms, evidence)
        self._blocks = [self._block(p) for p in range(len(terms.partitions))]
        first: dict[int, int] = {}
        for k, cell in enumerate(terms.cells):
            first.setdefault(cell.partition, k)
        self._local = {cell: k - first[cell.partition] for k, cell in enumerate(terms.cells)}

    def _block(self, partition: int) -> _Block:
        cube = self._cube
        local, width = cell_codes(self.terms, partition, cube)
        codes = np.where(local >= 0, cube.batch * width + local, -1)
        size = self._all * width
        positives = cube.positives(self._source, self.terms.decision_threshold)
        sums = counts_as_sums(positives) if self.terms.map == "decisions" else cube.sums(self._source)
        block = _Block(
            counts=exact_counts(cube.counts, codes, size).reshape(self._all, width),
            positives=exact_counts(positives, codes, size).reshape(self._all, width),
            sums=sums.regroup(codes, size),
            labels=None if self.terms.metric.has_ratio else cube.sums("labels").regroup(codes, size),
        )
        return block if self._runs is None else block.over(*self._runs)

    def counts(self, cell: Cell) -> NDArray[np.int64]:
        """People of the cell in each batch, shape (batches,)."""
        return self._blocks[cell.partition].counts[:, self._local[cell]]

    def positives(self, cell: Cell) -> NDArray[np.int64]:
        return self._blocks[cell.partition].positives[:, self._local[cell]]

    def cell_sum(self, batch: int, cell: Cell) -> CellSum:
        """The cell's exact sums in one batch."""
        block, k = self._blocks[cell.partition], self._local[cell]
        at = batch * block.counts.shape[1] + k
        label = Fraction(0) if block.labels is None else block.labels.exact(at)
        return CellSum(int(block.counts[batch, k]), block.sums.exact(at), label)

    def means(self, cell: Cell) -> tuple[Array, Array]:
        """(float64 means minus label means where the metric has them, error bounds), shape (batches,); n ≥ 1 assumed.

        Each of the two quotients and the subtraction adds a relative error of at most UNIT to what the sums' own
        error bound leaves; 4 UNIT of the absolute values covers them, with the rounding of this bound itself.
        """
        block, k = self._blocks[cell.partition], self._local[cell]
        n = np.maximum(block.counts[:, k], 1).astype(np.float64)
        mean, error = np.zeros(self.batches), np.zeros(self.batches)
        for sign, values, bounds in block.approximations:
            value, bound = values[:, k], bounds[:, k]
            error += (bound + 4 * UNIT * np.abs(value)) / n
            mean += sign * value / n
        return mean, error * (1 + 8 * UNIT) + 4 * UNIT * np.abs(mean) + 1e-300

    def exact_value(self, row: Row, batch: int) -> Fraction | None:
        sums = {cell: self.cell_sum(batch, cell) for cell in row.cells}
        return row.ratio(sums) if self.terms.form == "ratio" else row.difference(sums)


def runs_of(terms: Terms, evidence: Evidence) -> tuple[Codes, Codes] | None:
    """(first batches, batches after the last) of each collection (certificates/README.md 9.10); None: every batch.

    Raises InputError where a claim about a stream meets batches that are interleaved.
    """
    if terms.kind != "aggregate":
        return None
    if (np.diff(evidence.batch) < 0).any():
        row = int(np.argmax(np.diff(evidence.batch) < 0)) + 2
        what = f"claim {terms.id!r} speaks of a stream, but an earlier batch goes on in row {row}"
        raise InputError(what, advice="put the rows in the order in which they were served")
    if terms.form not in COLLECTED:
        return None
    people = np.concatenate([[0], np.cumsum(np.bincount(evidence.batch))])
    everybody = np.array([0]), np.array([len(people) - 1])
    if terms.span is None or people[-1] < terms.span:
        return everybody
    stops = np.flatnonzero(people >= terms.span)
    if terms.form == "moment":
        return np.zeros_like(stops), stops
    return np.searchsorted(people, people[stops] - terms.span, side="right") - 1, stops


def counts_as_sums(counts: NDArray[np.int64]) -> ExactSums:
    """Counts, as the sums of ones that they are."""
    return ExactSums(len(counts), ((0, counts),))


def source_of(terms: Terms, evidence: Evidence) -> str:
    """The column that the claim's values come from: what was served, or the scores."""
    if terms.map == "served":
        return "served"
    if evidence.scores is None:
        raise InputError(f"claim {terms.id!r} speaks of {terms.map}, but the bundle has no scores")
    return "scores"


def cell_codes(terms: Terms, partition: int, coded: Coded) -> tuple[Codes, int]:
    """(the claim's cell of each row or joint cell of a partition, condition by condition, −1 for none; the width)."""
    groups, width = group_codes(terms.partitions[partition].features, coded)
    if terms.condition_on is None:
        return groups, width
    if terms.metric.label_conditions:
        assert coded.labels is not None
        condition = np.full(len(groups), -1, dtype=np.int64)
        for k, label in enumerate(terms.conditions):
            condition[coded.labels == float(label)] = k
    else:
        condition = coded.codes[terms.condition_on]
    return np.where(condition >= 0, condition * width + groups, -1), width * len(terms.conditions)


def measure(terms: Terms, evidence: Evidence) -> Measured:
    """The witness of a feasibility claim (certificates/README.md 9.3) and its decision gap."""
    tally = Tally(terms, evidence)
    found = [_measure_row(tally, row) for row in terms.rows]
    worst = sorted({batch for _, batch in found if batch is not None} or ({0} if tally.batches == 1 else set()))
    names = tally.names
    rows = [{**entry, "worstBatch": None if batch is None else names[batch]} for entry, batch in found]
    witness = {
        "batches": {
            "total": tally.batches,
            "listed": [{"batch": names[b], "cells": _cells(tally, b)} for b in worst],
        },
        "rows": rows,
        "bounds": _bounds(terms, evidence.policy, evidence.predictions) if terms.kind == "feasibility" else None,
    }
    gap = _decision_gap(tally) if has_decision_gap(terms) else None
    return Measured(witness, {"decisionGap": None if gap is None else round_up(gap, PLACES)})


def _measure_row(tally: Tally, row: Row) -> tuple[Json, int | None]:
    counts = np.minimum.reduce([tally.counts(cell) for cell in row.cells])
    decided = counts >= tally.terms.least
    if tally.terms.form == "ratio":
        decided, failed, worst = _exact_ratios(tally, row, decided)
    else:
        failed, worst = _filtered_differences(tally, row, decided)
    counted = int(decided.sum())
    entry = {
        "row": row.name,
        "counted": counted,
        "undecided": tally.batches - counted,
        "failed": failed,
        "smallestGroup": int(counts.min()),
    }
    return entry, worst


def _exact_ratios(tally: Tally, row: Row, decided: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int, int | None]:
    decided = decided.copy()
    failed, worst, worst_value = 0, None, None
    for batch in np.flatnonzero(decided).tolist():
        value = tally.exact_value(row, batch)
        if value is None:
            decided[batch] = False
            continue
        failed += not tally.terms.holds(value)
        if worst_value is None or value < worst_value:
            worst, worst_value = batch, value
    return decided, failed, worst


def _filtered_differences(tally: Tally, row: Row, decided: NDArray[np.bool_]) -> tuple[int, int | None]:
    """(batches that fail, the first worst batch)."""
    if not decided.any():
        return 0, None
    means = [tally.means(cell) for cell in row.cells]
    signed = means[0][0] if len(means) == 1 else means[0][0] - means[1][0]
    value = np.abs(signed)
    error = sum((error for _, error in means), np.zeros(tally.batches)) * (1 + 8 * UNIT) + 4 * UNIT * value
    # Outward once more: the two lines below add one rounding each.
    low, high = np.nextafter(value - error, -np.inf), np.nextafter(value + error, np.inf)
    low[~decided] = high[~decided] = -np.inf
    limit = tally.terms.threshold + tally.terms.tau
    at_most = largest_float_at_most(limit)
    surely_failed, maybe_failed = low > at_most, high > at_most
    candidates = (high >= low.max()) | (maybe_failed & ~surely_failed)
    exact = {int(b): tally.exact_value(row, int(b)) for b in np.flatnonzero(candidates & decided)}
    failed = int(surely_failed.sum())
    failed += sum(1 for b, v in exact.items() if v is not None and v > limit and not surely_failed[b])
    return failed, max(exact, key=lambda b: (exact[b] or Fraction(0), -b))


def _cells(tally: Tally, batch: int) -> list[Json]:
    return [_cell(tally, batch, cell) for cell in tally.terms.cells]


def _cell(tally: Tally, batch: int, cell: Cell) -> Json:
    sums = tally.cell_sum(batch, cell)
    found = {
        **cell_json(tally.terms, cell),
        "n": sums.n,
        "sum": format_rational(sums.total),
        "positives": int(tally.positives(cell)[batch]),
    }
    return found if tally.terms.metric.has_ratio else {**found, "labelSum": format_rational(sums.label_total)}


def _bounds(terms: Terms, policy: Policy, predictions: Array) -> Json | None:
    """How the served predictions lie in the policy's box, the solver tolerance granted."""
    if terms.map != "served" or policy.layer is None:
        return None
    lower, upper = policy.layer.lower, policy.layer.upper
    # x < t exactly if −x > −t
    below = int((-predictions > largest_float_at_most(terms.tau - lower)).sum())
    above = int((predictions > largest_float_at_most(upper + terms.tau)).sum())
    return {
        "lower": format_decimal(lower),
        "upper": format_decimal(upper),
        "minimum": format_rational(Fraction(float(predictions.min()))),
        "maximum": format_rational(Fraction(float(predictions.max()))),
        "below": below,
        "above": above,
    }


def _decision_gap(tally: Tally) -> Fraction | None:
    """The largest difference of the shares of positives, over decided rows and batches."""
    best: Fraction | None = None
    for row in tally.terms.rows:
        a, b = row.cells
        n, m, p, q = tally.counts(a), tally.counts(b), tally.positives(a), tally.positives(b)
        decided = np.flatnonzero(np.minimum(n, m) >= tally.terms.least)
        if not len(decided):
            continue
        gaps = np.abs(p[decided] / n[decided] - q[decided] / m[decided])
        # three roundings of numbers at most 1: what is further than 1e-14 below the largest is not the largest
        for k in decided[gaps >= gaps.max() - 1e-14].tolist():
            gap = abs(Fraction(int(p[k]), int(n[k])) - Fraction(int(q[k]), int(m[k])))
            best = gap if best is None or gap > best else best
    return best
