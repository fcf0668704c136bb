"""Leaves that bound f with ranges of neurons that most units of a box respect, not all: fewer errors, for a few units.

Theorem. Up the layers, give neuron j of layer k a range [l, u] of any kind. Let C(x − middle) + c ± e enclose its z at
every x of the box at which all neurons below are in their ranges (`enclosures.enclose`). Bad_kj: the units z that have
some x in S(z) with C(x − middle) + c − e < l or C(x − middle) + c + e > u. Then, by induction over the layers, for a
unit outside all Bad_kj every neuron is in its range at every x of S(z): for the neurons of layer k this holds as those
below are in theirs, so z is in C(x − middle) + c ± e, and this in [l, u]. So the lines, which are sound in these
ranges, enclose f on S(z), and (1), (2) and (3) of `counting` say of z what is true. They need no other points than
those of S(z); fibres and ∂f/∂x do, so nothing is claimed by these (`spread` is infinite).

Counts. With P, N, F the units of (1), (2), (3), and B ≥ |∪ Bad|: |P| − B are positive, |N| − B negative, |P| + |N| − B
fair, |F| − B unfair; as P, N and F less the bad units are sets of units for which it is true, all of these hold at
once. |∪ Bad| ≤ Σ |Bad_kj|, and Bad_kj = ∅ where [l, u] is what `enclose` finds. Else C(x − middle) + c ± e is an
enclosure of one function like any other, and with it (1) says for how many units z − l > 0 on all of S(z), (2) for how
many z − u ≤ 0: the others may be bad. These counts are less than the truth, so their complements are more than it.
Sensitive, relaxed and one-hot inputs and cells of continuous features are what they are in `counting`.

Float32. What it may add to f is bounded from the ranges that hold for all units, hence for these.

Which ranges are taken is free. The rule is that of the engine: what a shorter range costs in units against what its
error costs, by how f depends on the neuron in the untrimmed enclosure.
"""

from __future__ import annotations

from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual import bands, spectra, trimming
from certifair.checks._individual.bands import Band, better
from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.counting import MIXED, NEGATIVE, POSITIVE
from certifair.checks._individual.enclosures import Enclosure, enclose
from certifair.checks._individual.floats import Array, Prepared, quiet

Ints = NDArray[np.int64]

DEGREE: Final = 64
"""For neurons' ranges."""


@quiet
def count(net: Prepared, frame: Frame, low: Array, high: Array, box: Enclosure, errors: Array) -> tuple[Array, Array]:
    """Counts (boxes, levels, 4), of how many (boxes,); box: untrimmed. At least what `bands.count` finds for it."""
    trim = _Trim(frame, low, high, box)
    inner = enclose(net, *frame.hull(*frame.relaxed(low, high)), trim)
    found, _ = bands.proven(Band.of(frame, low, high, inner), errors, bands.sizes(frame, low, high), trim.bad)
    found = _less(found, trim.bad[:, None])
    cells = bands.cells_of(frame, low, high)
    counts = np.floor(found * cells[:, None, None])
    some = np.flatnonzero(bands.promising(Band.of(frame, low, high, box), errors, found))
    if len(some):
        plain, _ = bands.count(frame, low[some], high[some], box.only(some), errors[some])
        counts[some] = better(counts[some], plain)
    return counts, cells


def _less(found: Array, bad: Array) -> Array:
    """(boxes, levels, 4) What is true whichever the bad units are."""
    fair = found[..., POSITIVE] + found[..., NEGATIVE] + found[..., MIXED] - bad
    less = np.maximum(found - bad[..., None], 0.0)
    less[..., MIXED] = np.maximum(fair - less[..., POSITIVE] - less[..., NEGATIVE], 0.0)
    return less


@final
class _Trim:
    """Shorter ranges for neurons of boxes, layer by layer; bad (boxes,): at most this share of units leaves them."""

    def __init__(self, frame: Frame, low: Array, high: Array, box: Enclosure) -> None:
        self._frame, self._low, self._high, self._box = frame, low, high, box
        self._rule = trimming.Rule.of(frame, low, high, box)
        self.bad = np.zeros(len(low))

    def __call__(self, k: int, slant: Array, centre: Array, reach: Array, error: Array) -> tuple[Array, Array]:
        """Ranges of layer k, whose z is slant·(x − middle) + centre ± error, and in centre ± reach."""
        low, high = centre - reach, centre + reach
        row, j = np.nonzero((low < 0) & (high > 0) & (self._rule.price[k] > 0))
        slope = slant[row if len(slant) > 1 else 0 * row, :, j]
        ends = self._rule.choose(row, (low[row, j], centre[row, j], high[row, j]), slope, self._rule.price[k][row, j])
        some = np.flatnonzero((ends[0] > low[row, j]) | (ends[1] < high[row, j]))
        if not len(some):
            return low, high
        row, j, slope = row[some], j[some], slope[some]
        before = low[row, j], high[row, j]
        low[row, j], high[row, j] = after = ends[0][some], ends[1][some]
        self._leave(row, slope, centre[row, j], error[row, j], before, after)
        return low, high

    def _leave(self, row: Ints, slope: Array, centre: Array, error: Array, before: Ends, after: Ends) -> None:
        """Adds which share of the units may be below or above these ranges of neurons: slope·(x − middle) + centre."""
        given = self._box
        of = Enclosure(given.middle[row], given.radius[row], centre, slope, error, slope + np.inf, given.ranges, [])
        band = Band.of(self._frame, self._low[row], self._high[row], of)
        t = np.stack([band.not_above(after[0]), band.surely_up_to(after[1])], axis=1)
        least, most = spectra.shares(band.sums, t, DEGREE)
        bad = np.where(after[0] > before[0], most[:, 0], 0.0) + np.where(after[1] < before[1], 1 - least[:, 1], 0.0)
        np.add.at(self.bad, row, bad)


Ends = tuple[Array, Array]
