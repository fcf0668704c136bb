"""Demographic parity of mean predictions: every two groups have nearly the same mean."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import final

from certifair.spec.groups import Partition
from certifair.spec.metrics.base import Example, Metric, Row, pair_rows


@final
class DemographicParity(Metric):
    """|mean(y | a) − mean(y | b)| for every two groups a, b."""

    name = "demographic_parity"

    def rows(
        self, partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
    ) -> tuple[Row, ...]:
        return pair_rows(partitions, conditions, condition_on)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Means of f: (1 + 0)/2 = 1/2; of m: 3/4; of x: (1/4 + 1/2 + 0)/3 = 1/4. Largest difference: 3/4 − 1/4."""
        half, quarter = Fraction(1, 2), Fraction(1, 4)
        return (
            Example(
                groups=("f", "f", "m", "x", "x", "x"),
                values=("f", "m", "x"),
                predictions=(Fraction(1), Fraction(0), Fraction(3, 4), quarter, half, Fraction(0)),
                gap=half,
            ),
        )
