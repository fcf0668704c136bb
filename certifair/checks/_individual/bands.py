"""Which shares of units a band proves, (1) to (3) of `counting`, by `spectra`: better where there are many features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from certifair.checks._individual import counting
from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.counting import FALSIFIED, NEGATIVE, POSITIVE
from certifair.checks._individual.enclosures import Enclosure
from certifair.checks._individual.floats import Array
from certifair.checks._individual.spectra import Sums, shares


@final
@dataclass(frozen=True, eq=False)
class Band:
    """An enclosure over the units of boxes: s = base + a sum, as in `counting`; all but `sums` are (boxes,)."""

    sums: Sums
    base: Array
    least: Array
    most: Array
    relax: Array
    error: Array

    @staticmethod
    def of(frame: Frame, low: Array, high: Array, box: Enclosure) -> Band:
        features = frame.domain.features
        numbers = np.array([i for i in frame.unit if features[i].kind != "one_hot"], dtype=np.intp)
        slope, a, b = box.slope[:, frame.first[numbers]], low[:, numbers], high[:, numbers]
        base = box.centre + (slope * (a / 2 + b / 2 - box.middle[:, frame.first[numbers]])).sum(axis=1)
        long = frame.continuous[numbers]
        steep = np.abs(slope)
        choices = []
        for i in frame.unit.tolist():
            if features[i].kind == "one_hot":
                value, there = counting.choices_of(frame, box, i, low, high)
                middle = value.max(axis=1) / 2 + value.min(axis=1) / 2
                base = base + middle
                choices.append((value - middle[:, None], there))
        least, most, _, _ = counting.sensitive_part(frame, low, high, box)
        relax = (steep * frame.eps[numbers]).sum(axis=1)
        sums = Sums(np.where(long, steep * (b - a), steep), np.where(long, 0.0, b - a + 1), choices)
        return Band(sums, base, least, most, relax, counting.error_of(box) * (1 + 2.0**-40))

    def not_above(self, t: Array | float) -> Array:
        """The sum of a unit that has some x in S(z) with f ≤ t is at most this."""
        return t - self.base - self.least + self.relax + self.error

    def surely_up_to(self, t: Array | float) -> Array:
        """A unit whose sum is at most this has f ≤ t on all of S(z)."""
        return t - self.base - self.most - self.relax - self.error


def proven(band: Band, errors: Array, degree: int) -> tuple[Array, Array]:
    """Shares (boxes, levels, 4) proven by the band, and at most which share (boxes, levels) it can prove to be fair."""
    e = band.error[:, None] + errors
    base = band.base[:, None]
    t = np.concatenate(
        [
            e - (band.least - band.relax)[:, None] - base,
            -e - (band.most + band.relax)[:, None] - base,
            e - band.most[:, None] - base,
            -e - band.least[:, None] - base,
        ],
        axis=1,
    )
    low, high = (v.reshape(len(t), 4, -1) for v in shares(band.sums, t, degree))
    found = np.zeros((*errors.shape, 4))
    found[..., POSITIVE] = 1 - high[:, 0]
    found[..., NEGATIVE] = low[:, 1]
    found[..., FALSIFIED] = np.maximum(0.0, low[:, 3] - high[:, 2])
    known = np.isfinite(e)
    return np.where(known[..., None], found, 0.0), np.where(known, 1 - low[:, 0] + high[:, 1], 0.0)
