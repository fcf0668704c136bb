"""Slow and obvious pooled gaps, from a log's header and what was served; shares no code with the package.

Everything is a rational number: a prediction is the exact value of its float, ε the decimal that was written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.oracles.online_oracle import Person, rows_of

Block = tuple[tuple[str, ...], str | None]
"""One partition, by its columns, within one condition."""


@dataclass
class Pool:
    """Everybody served so far, by an algorithm whose grid has this step; `widths` are those of the last check."""

    algorithm: Mapping[str, Any]
    step: Fraction
    grace: int = 0
    people: list[Person] = field(default_factory=list)
    predictions: list[Fraction] = field(default_factory=list)
    widths: dict[Block, int] = field(default_factory=dict)

    def serve(self, people: Sequence[Person], predictions: Sequence[float]) -> None:
        assert len(people) == len(predictions)
        self.people += people
        self.predictions += map(Fraction, predictions)

    def means(self) -> dict[str, tuple[Block, list[Fraction | None]]]:
        """Of every row, in order: its block, and both cells' means, None where a cell is empty."""
        found = {}
        for row in rows_of(self.algorithm):
            means: list[Fraction | None] = []
            for cell in row.members(self.people):
                values = [self.predictions[i] for i in cell]
                means.append(sum(values, Fraction(0)) / len(values) if values else None)
            found[row.name] = ((tuple(row.first), row.first.get(self.algorithm["condition"])), means)
        return found

    def gaps(self) -> dict[str, Fraction | None]:
        """Of every row, in order; None where a cell is empty."""
        found: dict[str, Fraction | None] = {}
        for name, (_, (first, second)) in self.means().items():
            found[name] = None if first is None or second is None else abs(first - second)
        return found

    def check(self) -> None:
        """Every row holds, everybody is in the box, and no block is wider than the claim allows; once after each batch.

        The claim is that of `PooledPrimalDual`: max(L(n), the width before).
        """
        epsilon, lower, upper = (Fraction(self.algorithm[name]) for name in ("epsilon", "lower", "upper"))
        assert all(lower <= y <= upper for y in self.predictions)
        if not self.grace:
            for name, gap in self.gaps().items():
                assert gap is None or gap <= epsilon, (name, float(gap - epsilon))
        for block, width in self.present_widths().items():
            n = sum(block[1] in (None, person.get(self.algorithm["condition"])) for person in self.people)
            most = math.floor(epsilon / self.step)
            allowed = most if n >= self.grace else most * self.grace // max(n, 1)
            assert width <= max(allowed, self.widths.get(block, 0)), (block, width, allowed, n)
            self.widths[block] = width

    def present_widths(self) -> dict[Block, int]:
        """Of every block: how far apart the closest two grid points are that all its means lie between."""
        ends: dict[Block, tuple[int, int]] = {}
        for block, means in self.means().values():
            for mean in means:
                if mean is not None:
                    low, high = math.floor(mean / self.step), math.ceil(mean / self.step)
                    least, largest = ends.get(block, (low, high))
                    ends[block] = min(least, low), max(largest, high)
        return {block: high - low for block, (low, high) in ends.items()}
