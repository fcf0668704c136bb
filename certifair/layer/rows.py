"""A metric's rows on one batch: |A y − b| ≤ ε, with A the same for everybody of one joint cell.

A joint cell is what people share whom no row can tell apart: one value of each feature and of the condition.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.exact.sums import exact_sums
from certifair.layer.encoding import Encoded
from certifair.spec.groups import Cell, cells_of, partitions_of
from certifair.spec.metrics.base import CellSum, Metric, Row

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class Pattern:
    """The part that depends only on which joint cells somebody is in.

    `factors` (K, C): of each row, on the means of the cells; `incidence` (C, J): which joint cells make up a cell;
    `blocks` (K,): rows of one partition and condition share a number; `absent`: rows that speak of an empty cell.
    """

    cells: tuple[Cell, ...]
    rows: tuple[Row, ...]
    absent: tuple[str, ...]
    blocks: NDArray[np.int64]
    factors: Floats
    incidence: Floats

    def matrix(self, people: NDArray[np.int64]) -> Floats:
        """A (K, J) for these numbers of people (J,), at least one in each cell."""
        found: Floats = (self.factors / (self.incidence @ people)) @ self.incidence
        return found

    @functools.cached_property
    def members(self) -> list[list[int]]:
        """The joint cells of each cell."""
        return [np.flatnonzero(line).tolist() for line in self.incidence]

    @functools.cached_property
    def terms(self) -> list[list[tuple[int, Fraction | int]]]:
        """Each row as (index of a cell, factor of its mean)."""
        index = {cell: c for c, cell in enumerate(self.cells)}
        return [[(index[cell], f) for cell, f in zip(row.cells, row.factors, strict=False)] for row in self.rows]

    @functools.cached_property
    def norms(self) -> Floats:
        """‖a_k‖₁ of each row: how far it moves if each of its people moves by one, all against it."""
        norms: Floats = np.abs(self.factors).sum(axis=1)
        return norms


@final
@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one batch, each with at least one person in each of its cells.

    `matrix` (K, J): A[k, i] of a person i of joint cell j; `people` (J,); `offsets` b and `epsilon` (K,), exact.
    """

    pattern: Pattern
    people: NDArray[np.int64]
    matrix: Floats
    offsets: tuple[Fraction, ...]
    epsilon: tuple[Fraction, ...]

    def __len__(self) -> int:
        return len(self.pattern.rows)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.pattern.rows)

    @functools.cached_property
    def offset_floats(self) -> Floats:
        return np.array([float(value) for value in self.offsets])

    @functools.cached_property
    def limits(self) -> Floats:
        """ε in floats."""
        return np.array([float(value) for value in self.epsilon])

    @functools.cached_property
    def cell_people(self) -> list[int]:
        """How many people are in each cell, (C,)."""
        return [sum(self.people.item(j) for j in members) for members in self.pattern.members]

    def holds(self, sums: Sequence[int], step: Fraction) -> bool:
        """Whether |A y − b| ≤ ε in every row, exactly; `sums` (J,) are those of y by joint cell, in grid steps."""
        totals = [sum(sums[j] for j in members) for members in self.pattern.members]
        people = self.cell_people
        for terms, offset, limit in zip(self.pattern.terms, self.offsets, self.epsilon, strict=True):
            common = math.lcm(*(people[c] for c, _ in terms))
            value: Fraction | int = sum(factor * totals[c] * (common // people[c]) for c, factor in terms)
            if offset:
                value -= offset * common / step
            if max(value, -value) * step.numerator * limit.denominator > limit.numerator * common * step.denominator:
                return False
        return True

    def replaced(self, epsilon: tuple[Fraction, ...] | None, offsets: tuple[Fraction, ...] | None) -> Rows:
        """The same rows with other right-hand sides."""
        if epsilon is None and offsets is None:
            return self
        return replace(self, epsilon=epsilon or self.epsilon, offsets=offsets or self.offsets)

    def subsample(self, people: NDArray[np.int64]) -> Rows | None:
        """The same rows on fewer people; None if a cell would be empty. For a first guess only."""
        if not (self.pattern.incidence @ people).all():
            return None
        return Rows(self.pattern, people, self.pattern.matrix(people), self.offsets, self.epsilon)


def rows_of(
    metric: Metric,
    encoded: Encoded,
    *,
    intersectional: bool,
    labels: NDArray[np.float64] | None,
    tolerances: Mapping[str, Fraction],
    epsilon: Fraction,
) -> Rows:
    """The rows of a batch. `labels` (n,) are needed by residual rows; `tolerances` override ε by a row's name."""
    pattern, matrix = _matrix(metric, _shape(encoded), encoded.people.tobytes(), intersectional)
    limits = (
        tuple(tolerances.get(row.name, epsilon) for row in pattern.rows) if tolerances else (epsilon,) * len(matrix)
    )
    return Rows(pattern, encoded.people, matrix, _offsets(pattern, encoded, labels), limits)


Shape = tuple[tuple[tuple[str, tuple[str, ...]], ...], bytes]


def _shape(encoded: Encoded) -> Shape:
    axes = tuple((column.name, column.values) for column in encoded.axes)
    dense = encoded.members.shape[1] == math.prod(len(values) for _, values in axes)
    return axes, b"" if dense else encoded.members.tobytes()


@functools.lru_cache(maxsize=256)
def _matrix(metric: Metric, shape: Shape, people: bytes, intersectional: bool) -> tuple[Pattern, Floats]:
    """Pattern and matrix for these numbers of people (J,): stratified batches of one size mostly have the same."""
    counts = np.frombuffer(people, dtype=np.int64)
    pattern = _pattern(metric, shape, counts.astype(bool).tobytes(), intersectional)
    matrix = pattern.matrix(counts)
    matrix.flags.writeable = False
    return pattern, matrix


@functools.lru_cache(maxsize=256)
def _pattern(metric: Metric, shape: Shape, present: bytes, intersectional: bool) -> Pattern:
    axes, listed = shape
    if listed:
        members = np.frombuffer(listed, dtype=np.int64).reshape(len(axes), -1)
    else:
        members = np.indices([len(values) for _, values in axes]).reshape(len(axes), -1)
    conditioned = metric.needs_condition or bool(metric.label_conditions)
    features = axes[:-1] if conditioned else axes
    condition_on, conditions = (axes[-1][0], metric.label_conditions or axes[-1][1]) if conditioned else (None, ())
    values = dict(features)
    partitions = partitions_of([name for name, _ in features], values, intersectional=intersectional)
    cells = cells_of(partitions, conditions)
    incidence = np.zeros((len(cells), members.shape[1]))
    for c, cell in enumerate(cells):
        inside = np.ones(members.shape[1], dtype=bool)
        for feature, value in zip(partitions[cell.partition].features, partitions[cell.partition].groups[cell.group],
                                  strict=True):  # fmt: skip
            axis = next(k for k, (name, _) in enumerate(features) if name == feature)
            inside &= members[axis] == values[feature].index(value)
        if cell.condition is not None:
            inside &= members[-1] == axes[-1][1].index(conditions[cell.condition])
        incidence[c] = inside
    return _present(metric.rows(partitions, conditions, condition_on), cells, incidence, np.frombuffer(present, bool))


def _present(all_rows: Sequence[Row], cells: tuple[Cell, ...], incidence: Floats, people: NDArray[np.bool_]) -> Pattern:
    """Only the rows and cells that somebody is in."""
    inhabited = (incidence @ people) > 0
    kept = [c for c in range(len(cells)) if inhabited[c]]
    index = {cells[c]: k for k, c in enumerate(kept)}
    rows = tuple(row for row in all_rows if all(cell in index for cell in row.cells))
    factors = np.zeros((len(rows), len(kept)))
    for k, row in enumerate(rows):
        for cell, factor in zip(row.cells, row.factors, strict=False):
            factors[k, index[cell]] = float(factor)
    names: dict[tuple[int, int | None], int] = {}
    blocks = [names.setdefault((row.cells[0].partition, row.cells[0].condition), len(names)) for row in rows]
    return Pattern(
        cells=tuple(cells[c] for c in kept),
        rows=rows,
        absent=tuple(row.name for row in all_rows if not all(cell in index for cell in row.cells)),
        blocks=np.array(blocks, dtype=np.int64),
        factors=factors,
        incidence=incidence[kept],
    )


def _offsets(pattern: Pattern, encoded: Encoded, labels: NDArray[np.float64] | None) -> tuple[Fraction, ...]:
    """b, exactly: mean labels where a row is about residuals, else 0."""
    if not any(row.residual for row in pattern.rows):
        return (Fraction(0),) * len(pattern.rows)
    if labels is None:
        raise InputError("this metric compares predictions with labels", advice="pass labels=")
    by_joint = exact_sums(labels, encoded.joint.astype(np.int64), len(encoded.people))
    exact = np.array([by_joint.exact(j) for j in range(len(encoded.people))], dtype=object)
    sums = {
        cell: CellSum(int(n), Fraction(0), Fraction(exact[inside.astype(bool)].sum()))
        for cell, n, inside in zip(pattern.cells, pattern.incidence @ encoded.people, pattern.incidence, strict=True)
    }
    return tuple(row.offset(sums) for row in pattern.rows)
