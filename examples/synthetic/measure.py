"""What was served to the test part, judged exactly, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

EPSILON = Fraction(1, 20)


@dataclass(frozen=True)
class Judged:
    """`loss`: mean squared error; `over`: batches whose gap is above ε, in rationals; `worst`: the largest batch gap.

    `pooled`: the gap over everybody; `alone`: the share of people in batches without one of the groups.
    """

    loss: float
    batches: int
    over: int
    worst: Fraction
    pooled: Fraction
    alone: float


def judge(served: NDArray[np.float64], target: NDArray[np.float64], group: NDArray[np.int64], batch: int) -> Judged:
    exact = [Fraction(value) for value in served.tolist()]
    gaps, alone = [], 0
    for start in range(0, len(exact), batch):
        stop = min(start + batch, len(exact))
        gap = _gap(exact[start:stop], group[start:stop])
        if gap is None:
            alone += stop - start
        else:
            gaps.append(gap)
    pooled = _gap(exact, group)
    assert pooled is not None
    return Judged(
        loss=float(((served - target) ** 2).mean()),
        batches=len(gaps),
        over=sum(gap > EPSILON for gap in gaps),
        worst=max(gaps),
        pooled=pooled,
        alone=alone / len(exact),
    )


def _gap(values: list[Fraction], group: NDArray[np.int64]) -> Fraction | None:
    """|difference of the two groups' mean|; None if one is absent."""
    parts: tuple[list[Fraction], list[Fraction]] = ([], [])
    for value, code in zip(values, group.tolist(), strict=True):
        parts[code].append(value)
    if not parts[0] or not parts[1]:
        return None
    first, second = (sum(part, Fraction(0)) / len(part) for part in parts)
    return abs(first - second)
