"""The duality gap of each batch, from scores, predictions and a layer's multipliers."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._tally import Tally, cell_codes
from certifair.errors import InputError
from certifair.evidence.bundle import Evidence
from certifair.exact.decimals import format_decimal, parse_decimal, round_up
from certifair.exact.duality import bregman_upper, enclose, sum_up
from certifair.spec import Json
from certifair.spec.groups import Cell
from certifair.spec.metrics.base import CellSum, Row
from certifair.spec.policy import LayerSpec
from certifair.spec.terms import Terms

Array = NDArray[np.float64]
GAP_PLACES = 40
"""Digits of a published duality gap: gaps of exact solvers are around 10⁻²⁵."""


def measure(terms: Terms, evidence: Evidence) -> Json:
    """The witness of a projection claim (certificates/README.md 9.4)."""
    layer = evidence.policy.layer
    if layer is None or layer.epsilon is None or evidence.scores is None:
        advice = "a projection claim needs [layer] metric and epsilon, and [predictions] score"
        raise InputError(f"claim {terms.id!r} speaks of a layer that the bundle does not describe", advice=advice)
    own = (layer.metric, layer.sensitive_features, layer.intersectional, layer.condition)
    if own != (terms.metric_name, terms.sensitive_features, terms.intersectional, _condition(terms)):
        advice = "give the property the metric, features and condition of [layer]"
        raise InputError(f"claim {terms.id!r} is about another constraint than the layer's", advice=advice)
    gaps = _Gaps(terms, evidence, layer)
    worst: Json | None = None
    counted = 0
    order = np.argsort(evidence.batch, kind="stable")
    starts = np.searchsorted(evidence.batch[order], np.arange(len(evidence.batch_names) + 1))
    for batch, name in enumerate(evidence.batch_names):
        rows = order[starts[batch] : starts[batch + 1]]
        gap = gaps.of(batch, name, rows)
        if gap is None:
            continue
        counted += 1
        text = round_up(gap, GAP_PLACES)
        if worst is None or parse_decimal(text) * worst["n"] > parse_decimal(worst["gap"]) * len(rows):
            worst = {"batch": name, "n": len(rows), "gap": text}
    box = {"lower": format_decimal(layer.lower), "upper": format_decimal(layer.upper)}
    return {
        "layer": {"epsilon": format_decimal(layer.epsilon), **box},
        "batches": len(evidence.batch_names),
        "counted": counted,
        "undecided": len(evidence.batch_names) - counted,
        "worst": worst,
    }


def _condition(terms: Terms) -> str | None:
    """The column that the policy conditions on; None where the metric itself conditions on the label."""
    return None if terms.metric.label_conditions else terms.condition_on


@final
class _Gaps:
    """Duality gaps batch by batch, the cells tallied once."""

    def __init__(self, terms: Terms, evidence: Evidence, layer: LayerSpec) -> None:
        assert layer.epsilon is not None
        assert evidence.scores is not None
        self.terms, self.epsilon, self.layer = terms, layer.epsilon, layer
        self.served, self.scores = evidence.predictions, evidence.scores
        self.tally = Tally(terms, evidence)
        self.codes = [cell_codes(terms, p, evidence)[0] for p in range(len(terms.partitions))]
        self.multipliers = evidence.multipliers or {}
        names = {row.name for row in terms.rows}
        for batch in self.multipliers.values():
            for name in batch:
                if name not in names:
                    raise InputError(f"multipliers name the unknown row {name!r}", advice="rows are named as in claims")

    def of(self, batch: int, name: str, rows: NDArray[np.int64]) -> Fraction | None:
        """An upper bound of the gap; None where the served predictions are not feasible, so the theorem is silent."""
        y, z = self.served[rows], self.scores[rows]
        low, high = enclose(self.layer.lower), enclose(self.layer.upper)
        if Fraction(float(y.min())) < self.layer.lower or Fraction(float(y.max())) > self.layer.upper:
            return None
        sums = {cell: self.tally.cell_sum(batch, cell) for cell in self.terms.cells}
        present = [row for row in self.terms.rows if all(sums[cell].n for cell in row.cells)]
        if any(row.difference(sums) > self.epsilon for row in present):
            return None
        multipliers = self.multipliers.get(name, {})
        nu = {row: Fraction(multipliers.get(row.name, 0.0)) for row in present}
        try:
            shift_low, shift_high = self._shifts(rows, _cell_shifts(nu, sums))
            people = sum_up(bregman_upper(y, z, shift_low, shift_high, low, high))
        except ValueError:  # beyond the range of float64: no bound, so no claim
            return None
        return people + sum((self._slack(row, value, sums) for row, value in nu.items()), Fraction(0))

    def _slack(self, row: Row, nu: Fraction, sums: Mapping[Cell, CellSum]) -> Fraction:
        """ε|ν| − ν (A y − b) of one row, exactly."""
        value = sum((w * sums[c].total for c, w in row.weights(sums).items()), Fraction(0)) - row.offset(sums)
        return self.epsilon * abs(nu) - nu * value

    def _shifts(self, rows: NDArray[np.int64], shifts: Mapping[Cell, Fraction]) -> tuple[Array, Array]:
        """An enclosure of (Aᵀν)_i for each person: the sum of the shifts of their cells, one a partition."""
        low, high = np.zeros(len(rows)), np.zeros(len(rows))
        for p, codes in enumerate(self.codes):
            # the last entry is for code −1, people of no cell
            ends = [enclose(shifts.get(cell, Fraction(0))) for cell in self.terms.cells if cell.partition == p]
            table = np.array([*ends, (0.0, 0.0)])[codes[rows]]
            low, high = (table[:, 0], table[:, 1]) if p == 0 else _outward_sum(low, high, table)
        return low, high


def _outward_sum(low: Array, high: Array, table: Array) -> tuple[Array, Array]:
    with np.errstate(over="ignore"):  # an infinite end is an end
        return np.nextafter(low + table[:, 0], -np.inf), np.nextafter(high + table[:, 1], np.inf)


def _cell_shifts(nu: Mapping[Row, Fraction], sums: Mapping[Cell, CellSum]) -> dict[Cell, Fraction]:
    """Σ_k ν_k A[k, i] for a person i of each cell."""
    shifts: dict[Cell, Fraction] = {}
    for row, value in nu.items():
        for cell, weight in row.weights(sums).items():
            shifts[cell] = shifts.get(cell, Fraction(0)) + value * weight
    return shifts
