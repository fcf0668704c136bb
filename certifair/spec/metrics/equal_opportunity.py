"""Equal opportunity: parity among the people whose label is positive."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import final

from certifair.spec.groups import Partition
from certifair.spec.metrics.base import Example, Metric, Row, pair_rows


@final
class EqualOpportunity(Metric):
    """|mean(y | a, label 1) − mean(y | b, label 1)| for every two groups a, b (Hardt et al. 2016)."""

    name = "equal_opportunity"
    needs_label = True
    label_conditions = ("1",)
    covers_everybody = False

    def rows(
        self, partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
    ) -> tuple[Row, ...]:
        return pair_rows(partitions, conditions, condition_on)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Label 1: f (1 + 1/2)/2 = 3/4, m 1/4. The person of label 0 does not count."""
        half = Fraction(1, 2)
        return (
            Example(
                groups=("f", "f", "m", "m"),
                values=("f", "m"),
                labels=(1, 1, 1, 0),
                predictions=(Fraction(1), half, Fraction(1, 4), Fraction(1)),
                gap=half,
            ),
        )
