"""Who is compared with whom: partitions of people into groups, and the cells that a metric averages over."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

MISSING = "(missing)"
"""The group of people whose value is not known, where the policy says `missing = "group"`."""


class Cell(NamedTuple):
    """The people of one group of one partition, within one condition (None: everybody)."""

    partition: int
    group: int
    condition: int | None


@final
@dataclass(frozen=True)
class Partition:
    """Everybody, split by one sensitive feature or by the product of several.

    `groups` holds a tuple of values, one a feature, for each group: all that were *declared*, present or not, so that
    an absent group is seen to be absent.
    """

    features: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]

    @property
    def name(self) -> str:
        return " × ".join(self.features)

    def group_name(self, index: int) -> str:
        values = self.groups[index]
        return values[0] if len(values) == 1 else f"({', '.join(values)})"


def partition_of(features: Sequence[str], values: Mapping[str, Sequence[str]]) -> Partition:
    """The product of the declared values of some features, the last feature running fastest.

    >>> partition_of(["sex", "race"], {"sex": ["f", "m"], "race": ["a", "b"]}).groups[1]
    ('f', 'b')
    """
    return Partition(tuple(features), tuple(itertools.product(*(values[feature] for feature in features))))


def partitions_of(
    features: Sequence[str], values: Mapping[str, Sequence[str]], *, intersectional: bool
) -> tuple[Partition, ...]:
    """One partition for each feature, or the one of their intersection."""
    if intersectional:
        return (partition_of(features, values),)
    return tuple(partition_of([feature], values) for feature in features)


def cells_of(partitions: Sequence[Partition], conditions: Sequence[str]) -> tuple[Cell, ...]:
    """All cells, in the order of certificates/README.md 9.2: partition, condition, group."""
    condition_indices: Sequence[int | None] = range(len(conditions)) if conditions else (None,)
    return tuple(
        Cell(p, g, c)
        for p, partition in enumerate(partitions)
        for c in condition_indices
        for g in range(len(partition.groups))
    )
