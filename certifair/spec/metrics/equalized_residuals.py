"""Equalized residuals: no group is over- or underrated on average."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import final

from certifair.spec.groups import Partition
from certifair.spec.metrics.base import Example, Metric, Row, single_rows


@final
class EqualizedResiduals(Metric):
    """|mean(label − y | a)| for every group a."""

    name = "equalized_residuals"
    needs_label = True
    has_ratio = False
    quantity = "the largest absolute mean of (label - {what}) of a group"

    def rows(
        self, partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
    ) -> tuple[Row, ...]:
        return single_rows(partitions, conditions, condition_on)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """f: ((1 − 1/2) + (0 − 1/4))/2 = 1/8. m: (1/2 − 1)/1 = −1/2, in absolute value 1/2."""
        half = Fraction(1, 2)
        return (
            Example(
                groups=("f", "f", "m"),
                values=("f", "m"),
                labels=(1, 0, half),
                predictions=(half, Fraction(1, 4), Fraction(1)),
                gap=half,
            ),
        )
