"""A metric is one affine map of the predictions: rational rows A and an offset b; its gap is the largest |A y − b|.

Within a cell (group × condition) every person has the same weight, so a row is a short list of cells with a sign:
A[k, i] = sign(c) / n(c) for each person i of cell c, and b[k] = Σ sign(c) · labelSum(c) / n(c) where the row is about
residuals, else 0. The layer's constraint, the gap, the penalty and the verifier's recomputation all derive from these
rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, NamedTuple, final

from certifair.spec.groups import Cell, Partition

LABEL = "label"
"""The `condition_on` of metrics that compare people with the same label."""


@final
class CellSum(NamedTuple):
    """What a row needs of one cell: how many people, the sum of their values and of their labels."""

    n: int
    total: Fraction
    label_total: Fraction = Fraction(0)

    @property
    def mean(self) -> Fraction:
        return self.total / self.n


@final
@dataclass(frozen=True)
class Row:
    """One row of A y − b: a linear combination of the means of `cells`, by default their difference (or one mean).

    `factors` are for a user's own metric; those of this folder need none.
    """

    name: str
    cells: tuple[Cell, ...]
    residual: bool = False
    factors: tuple[Fraction | int, ...] = (1, -1)

    def __post_init__(self) -> None:
        if not 1 <= len(self.cells) <= len(self.factors):
            raise ValueError(f"row {self.name!r} has {len(self.cells)} cells and {len(self.factors)} factors")

    def weights(self, sums: Mapping[Cell, CellSum]) -> dict[Cell, Fraction]:
        """A[k, ·]: the weight of one person of each cell. Raises ZeroDivisionError for an empty cell."""
        return {cell: Fraction(factor) / sums[cell].n for cell, factor in zip(self.cells, self.factors, strict=False)}

    def offset(self, sums: Mapping[Cell, CellSum]) -> Fraction:
        """b[k]."""
        if not self.residual:
            return Fraction(0)
        return sum((w * sums[c].label_total for c, w in self.weights(sums).items()), Fraction(0))

    def difference(self, sums: Mapping[Cell, CellSum]) -> Fraction:
        """|A[k] y − b[k]|, exactly. Every cell must hold someone."""
        weighted = sum((w * sums[c].total for c, w in self.weights(sums).items()), Fraction(0))
        return abs(weighted - self.offset(sums))

    def ratio(self, sums: Mapping[Cell, CellSum]) -> Fraction | None:
        """The smaller mean over the larger; None where that is not defined (largest not positive, one negative)."""
        low, high = sorted(sums[cell].mean for cell in self.cells)
        return low / high if low >= 0 and high > 0 else None


@final
class Example(NamedTuple):
    """A hand-worked case: one sensitive feature, its values in order of first appearance; `gap` worked out on paper."""

    groups: tuple[str, ...]
    values: tuple[str, ...]
    predictions: tuple[Fraction, ...]
    gap: Fraction
    labels: tuple[int | Fraction, ...] = ()
    conditions: tuple[str, ...] = ()


class Metric(ABC):
    """A final subclass in a file of its own in this folder is a metric: `metrics.names()` finds it."""

    name: ClassVar[str]
    needs_label: ClassVar[bool] = False
    has_ratio: ClassVar[bool] = True
    label_conditions: ClassVar[tuple[str, ...]] = ()
    needs_condition: ClassVar[bool] = False
    covers_everybody: ClassVar[bool] = True
    quantity: ClassVar[str] = "the largest difference between two groups' mean {what}"

    @abstractmethod
    def rows(
        self, partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
    ) -> tuple[Row, ...]:
        """All rows, in the order of certificates/README.md 9.2."""

    @classmethod
    @abstractmethod
    def examples(cls) -> tuple[Example, ...]:
        """Hand-worked cases; the tests compute each gap again, here and in an independent oracle."""

    def condition_on(self, column: str | None) -> str | None:
        """The column whose values split people further, given the policy's `condition`."""
        return LABEL if self.label_conditions else column


def _prefix(partition: Partition, condition_on: str | None, condition: str | None) -> str:
    return partition.name if condition is None else f"{partition.name} | {condition_on}={condition}"


def _blocks(
    partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
) -> list[tuple[str, int, Partition, int | None]]:
    """Partition × condition, in order, each with the first half of its rows' names."""
    options: list[tuple[int | None, str | None]] = [*enumerate(conditions)] or [(None, None)]
    return [
        (_prefix(partition, condition_on, value), p, partition, c)
        for p, partition in enumerate(partitions)
        for c, value in options
    ]


def pair_rows(partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None) -> tuple[Row, ...]:
    """Every pair of groups, within each partition and condition."""
    return tuple(
        Row(f"{prefix}: {partition.group_name(a)} - {partition.group_name(b)}", (Cell(p, a, c), Cell(p, b, c)))
        for prefix, p, partition, c in _blocks(partitions, conditions, condition_on)
        for a in range(len(partition.groups))
        for b in range(a + 1, len(partition.groups))
    )


def single_rows(
    partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
) -> tuple[Row, ...]:
    """Every group by itself, its residuals against 0."""
    return tuple(
        Row(f"{prefix}: {partition.group_name(g)}", (Cell(p, g, c),), residual=True)
        for prefix, p, partition, c in _blocks(partitions, conditions, condition_on)
        for g in range(len(partition.groups))
    )
