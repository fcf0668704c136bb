"""Slow and obvious pooled gaps, from a log's header and what was served; shares no code with the package.

Everything is a rational number: a prediction is the exact value of its float, ε the decimal that was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.oracles.online_oracle import Person, rows_of


@dataclass
class Pool:
    """Everybody served so far."""

    algorithm: Mapping[str, Any]
    people: list[Person] = field(default_factory=list)
    predictions: list[Fraction] = field(default_factory=list)

    def serve(self, people: Sequence[Person], predictions: Sequence[float]) -> None:
        assert len(people) == len(predictions)
        self.people += people
        self.predictions += map(Fraction, predictions)

    def gaps(self) -> dict[str, Fraction | None]:
        """Of every row, in order; None where a cell is empty."""
        found: dict[str, Fraction | None] = {}
        for row in rows_of(self.algorithm):
            means = []
            for cell in row.members(self.people):
                values = [self.predictions[i] for i in cell]
                means.append(sum(values, Fraction(0)) / len(values) if values else None)
            first, second = means
            found[row.name] = None if first is None or second is None else abs(first - second)
        return found

    def check(self) -> None:
        """Every row holds, and everybody is in the box."""
        epsilon, lower, upper = (Fraction(self.algorithm[name]) for name in ("epsilon", "lower", "upper"))
        for name, gap in self.gaps().items():
            assert gap is None or gap <= epsilon, (name, float(gap - epsilon))
        assert all(lower <= y <= upper for y in self.predictions)
