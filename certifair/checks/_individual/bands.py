"""Which shares of units a band proves, (1) to (3) of `counting`, by `spectra`: better where there are many features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual import counting, parts
from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.counting import FALSIFIED, NEGATIVE, POSITIVE
from certifair.checks._individual.enclosures import Enclosure
from certifair.checks._individual.floats import Array
from certifair.checks._individual.spectra import Sums, shares

DEGREES: Final = (64, 256, 1024)
WHOLE: Final = 2.0**40
"""Parts of the volume, where units are not counted."""
FEW: Final = 1 << 13
"""Units of which bins may tell more."""
FAINT: Final = 3e-9
"""A part of the domain that is not worth a higher degree."""


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
                value, there = parts.choices_of(frame, box, i, low, high)
                middle = value.max(axis=1) / 2 + value.min(axis=1) / 2
                base = base + middle
                choices.append((value - middle[:, None], there))
        least, most, _, _ = parts.sensitive_part(frame, low, high, box)
        relax = (steep * frame.eps[numbers]).sum(axis=1)
        sums = Sums(np.where(long, steep * (b - a), steep), np.where(long, 0.0, b - a + 1), choices)
        return Band(sums, base, least, most, relax, parts.error_of(box) * (1 + 2.0**-40))

    def only(self, which: NDArray[np.intp]) -> Band:
        """Of these boxes."""
        rest = (self.base, self.least, self.most, self.relax, self.error)
        return Band(self.sums.only(which), *(v[which] for v in rest))

    def not_above(self, t: Array | float) -> Array:
        """The sum of a unit that has some x in S(z) with f ≤ t is at most this."""
        return t - self.base - self.least + self.relax + self.error

    def surely_up_to(self, t: Array | float) -> Array:
        """A unit whose sum is at most this has f ≤ t on all of S(z)."""
        return t - self.base - self.most - self.relax - self.error


def count(frame: Frame, low: Array, high: Array, box: Enclosure, errors: Array) -> tuple[Array, Array]:
    """`counting.count` without fibres: by bins where there are few units, by `spectra` else; counts, of how many."""
    found, more = proven(Band.of(frame, low, high, box), errors, sizes(frame, low, high))
    cells = cells_of(frame, low, high)
    counts = np.floor(found * cells[:, None, None])
    few = np.flatnonzero((more > 0) & ((cells <= FEW) | (cells == WHOLE)))
    if len(few):
        binned, of_all = counting.count(frame, low[few], high[few], box.only(few), errors[few], np.full(len(few), -1))
        if not frame.counts_in_floats:
            binned = np.floor(binned / of_all[:, None, None] * (WHOLE * (1 - 2.0**-50)))
        counts[few] = better(counts[few], binned)
    return counts, cells


def cells_of(frame: Frame, low: Array, high: Array) -> Array:
    """(boxes,) Of how many parts counts are: of the units, or of WHOLE."""
    if not frame.counts_in_floats:
        return np.full(len(low), WHOLE)
    found: Array = (high - low + 1)[:, frame.unit].prod(axis=1)
    return found


def promising(band: Band, errors: Array, found: Array) -> NDArray[np.bool_]:
    """Whether a band may prove more than is found (boxes, levels, 4) already."""
    ours, more = _proven(band, errors.min(axis=1, keepdims=True), DEGREES[0])
    fair, unfair = ours[:, 0, :FALSIFIED].sum(axis=1) + more, ours[:, 0, FALSIFIED] + more
    known = found.min(axis=1)
    found_: NDArray[np.bool_] = (fair > known[:, :FALSIFIED].sum(axis=1)) | (unfair > known[:, FALSIFIED] + 2.0**-10)
    return found_


def sizes(frame: Frame, low: Array, high: Array) -> Array:
    """(boxes,) About which share of the domain they are."""
    unit, more = frame.unit, np.where(frame.continuous, 0, 1)[frame.unit]
    whole = (frame.root[1] - frame.root[0])[:, unit] + more
    found: Array = (
        np.where(whole > 0, (high - low)[:, unit] + more, 1).prod(axis=1) / np.where(whole > 0, whole, 1).prod()
    )
    return found


def better(one: Array, two: Array) -> Array:
    """Of each box and level the counts with more fair units, and with more unfair ones."""
    more = two[..., :FALSIFIED].sum(axis=-1) > one[..., :FALSIFIED].sum(axis=-1)
    found = np.where(more[..., None], two, one)
    found[..., FALSIFIED] = np.maximum(one[..., FALSIFIED], two[..., FALSIFIED])
    return found


def proven(band: Band, errors: Array, size: Array, missed: Array | float = 0.0) -> tuple[Array, Array]:
    """Shares (boxes, levels, 4) that the band proves, of degrees as high as is worth it; what more it might prove.

    size (boxes,): the share of the domain. missed (boxes,): what is undecided anyway. Where levels hardly differ, the
    largest error serves all: what it proves is true for any smaller one.
    """
    found, open_ = np.zeros((*errors.shape, 4)), np.zeros(len(errors))
    bin_ = band.sums.reach / DEGREES[-1]
    alike = np.ptp(errors, axis=1) <= np.maximum(band.error, bin_) * 2.0**-6
    for group, used in ((alike, errors.max(axis=1, keepdims=True)), (~alike, errors)):
        some = np.flatnonzero(group)
        for degree in DEGREES:
            if len(some):
                found[some], open_[some] = _proven(band.only(some), used[some], degree)
            left = np.maximum(1 - found[some].sum(axis=2).max(axis=1) + np.broadcast_to(missed, open_.shape)[some], 0.0)
            some = some[(open_[some] > left / 4) & (open_[some] * size[some] > FAINT)]
    return found, open_


def _proven(band: Band, errors: Array, degree: int) -> tuple[Array, Array]:
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
    gaps = np.where(known, high[:, 0] - low[:, 0] + high[:, 1] - low[:, 1], 0.0)
    crossed = np.where(known, np.maximum(high[:, 3] - low[:, 2], 0.0) - found[..., FALSIFIED], 0.0)
    return np.where(known[..., None], found, 0.0), (gaps + crossed).max(axis=1)
