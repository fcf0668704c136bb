"""Equalized odds of mean predictions: parity among people with the same label."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import final

from certifair.spec.groups import Partition
from certifair.spec.metrics.base import Example, Metric, Row, pair_rows


@final
class EqualizedOdds(Metric):
    """|mean(y | a, label) − mean(y | b, label)| for every two groups a, b and both labels (Hardt et al. 2016)."""

    name = "equalized_odds"
    needs_label = True
    label_conditions = ("0", "1")

    def rows(
        self, partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
    ) -> tuple[Row, ...]:
        return pair_rows(partitions, conditions, condition_on)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Label 1: f 3/4, m (1 + 1/2)/2 = 3/4, difference 0. Label 0: f (1/2 + 0)/2 = 1/4, m 1, difference 3/4."""
        half, three_quarters = Fraction(1, 2), Fraction(3, 4)
        return (
            Example(
                groups=("f", "m", "m", "f", "f", "m"),
                values=("f", "m"),
                labels=(1, 1, 1, 0, 0, 0),
                predictions=(three_quarters, Fraction(1), half, half, Fraction(0), Fraction(1)),
                gap=three_quarters,
            ),
        )
