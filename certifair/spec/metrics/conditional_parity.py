"""Conditional parity: demographic parity among people with the same value of another column."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import final

from certifair.spec.groups import Partition
from certifair.spec.metrics.base import Example, Metric, Row, pair_rows


@final
class ConditionalParity(Metric):
    """|mean(y | a, c) − mean(y | b, c)| for every two groups a, b and every condition c."""

    name = "conditional_parity"
    needs_condition = True

    def rows(
        self, partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
    ) -> tuple[Row, ...]:
        return pair_rows(partitions, conditions, condition_on)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """In town: f 1, m 1/2, difference 1/2. On land: f (0 + 1/2)/2 = 1/4, m 1/3, difference 1/12."""
        half = Fraction(1, 2)
        return (
            Example(
                groups=("f", "m", "f", "f", "m"),
                values=("f", "m"),
                conditions=("town", "town", "land", "land", "land"),
                predictions=(Fraction(1), half, Fraction(0), half, Fraction(1, 3)),
                gap=half,
            ),
        )
