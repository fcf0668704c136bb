"""How many units of a box are proven fair or unfair, from a first-order enclosure of f over the box.

Let F be the enclosure's line, |f − F| ≤ e in the box (which contains every flip set of its units), and let `err` bound
how far a computed decision's number may be from f (0 for the real numbers). For a unit z, s(z) = F at z without the
sensitive part, whose extremes over A are `least` and `most` (both attained); relaxed inputs move F by at most ±relax.

Band. (1) s + least − relax − e − err > 0: all of S(z) is > 0. (2) s + most + relax + e + err ≤ 0: none is. (3) s + most
− e − err > 0 and s + least + e + err ≤ 0: two points of S(z) decide differently.

Fibres. Along k, neither sensitive nor relaxed, in the direction in which f rises by at least m > 0 a step. Let D bound
f(p) − f(p') for p, p' in one S(z). (4) If z is the first unit of a fibre that is not proven fair, some p in S(z) has
f(p) > −err. t steps on, each q has q − t·k in S(z), so f(q) ≥ f(q − tk) + tm > −err − D + tm ≥ err once tm ≥ D + 2err.
So at most r = ⌈(D + 2err)/m⌉ units of a fibre are not fair, and none where (1) holds at its low end or (2) at its top.
(5) Let f(z, a+) − f(z, a−) ≥ G for all z, and f rise by at most M a step. Let t* be the first position where f(·, a−)
> −err. Before it f(·, a−) ≤ −err; and f(t* − j, a+) ≥ f(t*, a−) − jM + G > err while j ≤ q = ⌊(G − 2err)/M⌋. So q units
are unfair, if t* exists (f(·, a−) > −err at the top) and is q or later (f(·, a−) ≤ −err at position q − 1, as f rises).
With continuous k: lengths for numbers.

Counting. s is a sum of independent steps; all features but one (`along`, or the one that moves s most) are convolved
on a grid of bins, with the exact least and greatest error of the bins; the last is solved for. A continuous feature is
cut into equal cells, each known to ± half a cell. Counts are sums and products of integers: exact below 2^53, and above
it with a relative error below 2^-35, which is taken off. All other float64 work errs by less than `slop` (a few hundred
roundings for each feature, of numbers below `scale`), which is added to e.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual.boxes import EXACT, Frame
from certifair.checks._individual.enclosures import Enclosure
from certifair.checks._individual.floats import SLACK, Array, quiet
from certifair.checks._individual.parts import DOWN, choices_of, error_of, sensitive_part

Ints = NDArray[np.int64]

POSITIVE, NEGATIVE, MIXED, FALSIFIED = range(4)
"""What is counted: proven on this side; proven fair, without a side; proven unfair."""
BINS: Final = 256
AT_ONCE: Final = 128
CELLS: Final = 64
CELLS_ALONG: Final = 1 << 20


@final
@dataclass(frozen=True, eq=False)
class _Form:
    """Per box (boxes,): s = base + Σ step·j (j from 0 to levels − 1) + one of each of `choices`, within ± half.

    Of the feature `along`: d, n, half_along; it is measured from its middle, and no longer in step, levels, half.
    """

    base: Array
    step: Array
    levels: Array
    half: Array
    choices: list[tuple[Array, NDArray[np.bool_]]]
    d: Array
    n: Array
    half_along: Array
    rise: tuple[Array, Array]
    least: Array
    most: Array
    relax: Array
    unlike: tuple[Array, Array]
    error: Array

    def only(self, which: Ints) -> _Form:
        """Of these boxes."""

        def cut(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                return value[which]
            return type(value)(cut(item) for item in value)

        return _Form(**{name: cut(value) for name, value in self.__dict__.items()})

    @property
    def rest(self) -> Array:
        """How many fibres along the feature."""
        found: Array = self.levels.prod(axis=1)
        for _, there in self.choices:
            found = found * there.sum(axis=1)
        return found


@quiet
def count(frame: Frame, low: Array, high: Array, box: Enclosure, errors: Array, along: Ints) -> tuple[Array, Array]:
    """Counts (boxes, levels, 4) of cells, and how many cells each box has (boxes,).

    errors (boxes, levels): `err` of each level of claims; where they hardly differ the largest serves all, as what is
    proven for it is true for any smaller one. along: the feature of fibres, or −1.
    """
    form = _form(frame, low, high, box, along)
    cells, found = form.rest * form.n, np.zeros((*errors.shape, 4))
    width = ((form.levels - 1) * form.step).sum(axis=1) + form.half
    width = width + sum((extra.max(axis=1) for extra, _ in form.choices), np.zeros(len(low)))
    ends = form.d * (form.n - 1) / 2 + form.half_along
    known = np.isfinite(form.error)
    e = form.error[:, None] + errors
    lowest = (form.base - form.half - ends + form.least - form.relax)[:, None] - e
    highest = (form.base + width + ends + form.most + form.relax)[:, None] + e
    found[..., POSITIVE] = np.where((lowest > 0) & known[:, None], cells[:, None], 0)
    found[..., NEGATIVE] = np.where((highest <= 0) & known[:, None], cells[:, None], 0)
    whole = (found > 0).any(axis=2) | ~np.isfinite(e)
    left = np.flatnonzero(~whole.all(axis=1) & (cells < 2.0**900))
    alike = np.ptp(errors[left], axis=1) <= form.error[left] * 2.0**-8
    for group, used in ((left[alike], errors.max(axis=1, keepdims=True)), (left[~alike], errors)):
        for start in range(0, len(group), AT_ONCE):
            which = group[start : start + AT_ONCE]
            counted = _counted(form.only(which), used[which], along[which] >= 0)
            counted = np.where((counted >= 0) & (counted <= cells[which][:, None, None]), counted, 0.0)  # nan is none
            found[which] = np.where(whole[which][:, :, None], found[which], counted)
    return found, cells


def _form(frame: Frame, low: Array, high: Array, box: Enclosure, along: Ints) -> _Form:
    rows, features = np.arange(len(low)), frame.domain.features
    numbers = np.array([i for i in frame.unit if features[i].kind != "one_hot"], dtype=np.intp)
    slope, spread = box.slope[:, frame.first[numbers]], box.spread[:, frame.first[numbers]]
    a, b, long = low[:, numbers], high[:, numbers], frame.continuous[numbers]
    base = box.centre + (slope * (a / 2 + b / 2 - box.middle[:, frame.first[numbers]])).sum(axis=1)
    none = np.zeros((len(low), 1))
    size = np.hstack([np.abs(slope) * (b - a), none])
    chosen = np.argmax(size, axis=1)
    if len(numbers):
        chosen = np.where(along >= 0, np.searchsorted(numbers, along), chosen)
    pieces = np.broadcast_to(np.where(long, CELLS, 0.0), a.shape).copy()
    there = np.hstack([np.broadcast_to(long, a.shape), none > 0])[rows, chosen]
    pieces = np.hstack([pieces, none])
    pieces[rows, chosen] = np.where(there, CELLS_ALONG, 0)
    is_long = pieces > 0
    levels = np.where(is_long, pieces, np.hstack([b - a, none]) + 1)
    unit = np.where(is_long, np.hstack([b - a, none]) / np.maximum(pieces, 1), 1.0)
    step = np.hstack([np.abs(slope), none]) * unit
    half = np.where(is_long, step / 2, 0.0)
    steep = np.hstack([np.abs(slope), none])[rows, chosen], np.hstack([spread, none])[rows, chosen]
    d, n, half_along, unit_along = (v[rows, chosen] for v in (step, levels, half, unit))
    rise = (steep[0] - steep[1]) * unit_along * DOWN, (steep[0] + steep[1]) * unit_along * SLACK
    step[rows, chosen], levels[rows, chosen], half[rows, chosen] = 0, 1, 0
    choices = [choices_of(frame, box, i, low, high) for i in frame.unit if features[i].kind == "one_hot"]
    base = base - (step * (levels - 1)).sum(axis=1) / 2 + sum((v.min(axis=1) for v, _ in choices), np.zeros(len(low)))
    choices = [(np.where(there, v - v.min(axis=1, keepdims=True), 0.0), there) for v, there in choices]
    least, most, apart, gain = sensitive_part(frame, low, high, box)
    eps = frame.eps[numbers]
    relax = (np.abs(slope) * eps).sum(axis=1)
    error = error_of(box)
    apart = apart + ((np.abs(slope) + spread) * 2 * eps).sum(axis=1) * SLACK
    unlike = (
        np.minimum(apart, (most - least + 2 * relax + 2 * error) * SLACK),
        np.maximum(gain, (most - least - 2 * error) * DOWN),
    )
    return _Form(
        base, step, levels, half.sum(axis=1), choices, d, n, half_along, rise, least, most, relax, unlike, error
    )


def _counted(form: _Form, errors: Array, fibred: NDArray[np.bool_]) -> Array:
    """(boxes, levels, 4), by (1) to (5)."""
    counts, width, bottom, top = _distribution(form)
    grid = form.base[:, None] + width[:, None] * np.arange(counts.shape[1])
    at_least, at_most = grid + (bottom - form.half)[:, None], grid + (top + form.half)[:, None]
    found = np.zeros((*errors.shape, 4))
    rest = form.rest
    exact = (rest * form.n < EXACT)[:, None]
    for level in range(errors.shape[1]):
        e = form.error + errors[:, level]
        t = {
            POSITIVE: e - form.least + form.relax,
            NEGATIVE: -e - form.most - form.relax,
            "above": e - form.most,
            "below": -e - form.least,
        }
        not_above = {key: _solved(form, t[key], at_least, -1.0) for key in (POSITIVE, "above")}
        up_to = {key: _solved(form, t[key], at_most, 1.0) for key in (NEGATIVE, "below")}
        counted = found[:, level]
        counted[:, POSITIVE] = (counts * (form.n[:, None] - 1 - not_above[POSITIVE])).sum(axis=1)
        counted[:, NEGATIVE] = (counts * (up_to[NEGATIVE] + 1)).sum(axis=1)
        counted[:, FALSIFIED] = (counts * np.maximum(0.0, up_to["below"] - not_above["above"])).sum(axis=1)
        end = (form.d * (form.n - 1) / 2)[:, None]
        sure = (at_least - end - form.half_along[:, None] > t[POSITIVE][:, None]) | (
            at_most + end + form.half_along[:, None] <= t[NEGATIVE][:, None]
        )
        rises = fibred & (form.rise[0] > 0)
        unsure = rest - (counts * sure).sum(axis=1)
        unsure, missing = np.where(
            exact[:, 0], [unsure, rest * 0], [unsure + rest * 2.0**-35, rest * form.n * 2.0**-30]
        )
        r = np.minimum(np.ceil((form.unlike[0] + 2 * errors[:, level]) / form.rise[0] * SLACK), form.n)
        proven = form.n * rest - r * unsure - counted[:, POSITIVE] - counted[:, NEGATIVE] - missing
        counted[:, MIXED] = np.where(rises, np.maximum(proven, 0.0), 0.0)
        q = np.floor((form.unlike[1] - 2 * errors[:, level]) / form.rise[1] * DOWN)
        q = np.clip(np.where(rises, q, 0.0), 0.0, form.n - 1)
        late = at_most + (form.d * (q - 1 - (form.n - 1) / 2) + form.half_along)[:, None] <= t["below"][:, None]
        reached = at_least + end - form.half_along[:, None] > (form.error - errors[:, level] - form.least)[:, None]
        crossed = q * (counts * (late & reached)).sum(axis=1)
        counted[:, FALSIFIED] = np.maximum(counted[:, FALSIFIED], crossed)
    found = np.where(np.isfinite(errors)[:, :, None], found, 0.0)
    return np.where(exact[:, :, None], found, np.floor(found * (1 - 2.0**-30)))


def _solved(form: _Form, threshold: Array, sums: Array, side: float) -> Array:
    """(boxes, bins) The last position along the feature, from −1 to n − 1, where the whole sum may be ≤ the threshold
    (side −1: `sums` are least values) or surely is (side 1: greatest values)."""
    d, n = form.d[:, None], form.n[:, None]
    room = threshold[:, None] - sums - side * form.half_along[:, None]
    at = np.where(d > 0, np.floor(room / np.where(d > 0, d, 1.0) + (n - 1) / 2), np.where(room >= 0, n, -1.0))
    found: Array = np.clip(at, -1.0, n - 1)
    return found


def _distribution(form: _Form) -> tuple[Array, Array, Array, Array]:
    """Counts (boxes, bins) of Σ step·j + choices, the bins' width (boxes,); sum − bin·width is in [bottom, top].

    What falls past the last bin is lost, so that counts are only ever too small.
    """
    order = np.argsort(-form.levels, axis=1)
    step, levels = np.take_along_axis(form.step, order, axis=1), np.take_along_axis(form.levels, order, axis=1)
    levels = levels.astype(np.int64)
    total = (step * (levels - 1)).sum(axis=1) + sum((v.max(axis=1) for v, _ in form.choices), np.zeros(len(step)))
    shifts = sum(int(most).bit_length() for most in levels.max(axis=0) if most > 1) + len(form.choices)
    bins = BINS + shifts
    width = np.where(total > 2.0**-900, total / (BINS - 2), 1.0)  # a subnormal width would divide by 0
    counts = np.zeros((len(step), bins))
    counts[:, 0] = 1
    bottom, top = np.zeros((2, len(step)))
    for d, n in zip(step.T, levels.T, strict=True):
        which = np.flatnonzero(n > 1)
        if len(which):
            counts[which], low, high = _ladder(counts[which], d[which], n[which], width[which])
            bottom[which] += low
            top[which] += high
    for extra, there in form.choices:
        shift, error = _to_bins(extra, width[:, None])
        counts = sum((_moved(counts, shift[:, j]) * there[:, j, None] for j in range(there.shape[1])), 0 * counts)
        bottom += np.where(there, error, np.inf).min(axis=1)
        top += np.where(there, error, -np.inf).max(axis=1)
    return counts, width, bottom, top


def _ladder(counts: Array, d: Array, n: Ints, width: Array) -> tuple[Array, Array, Array]:
    """The counts after adding d·j, j = 0 … n − 1, by doubling: {0 … 2k−1} is {0 … k−1} and that moved by k; and
    {0 … k} is {0 … k−1} and k. With the least and greatest error of the bins."""
    found, done = np.zeros_like(counts), np.zeros_like(n)
    bottom, top = np.zeros((2, len(n)))
    for bit in reversed(range(int(n.max()).bit_length())):
        shift, error = _to_bins(done * d, width)
        if done.any():
            found = found + _moved(found, shift)
            bottom, top = np.minimum(bottom, bottom + error), np.maximum(top, top + error)
            done = 2 * done
        odd = np.flatnonzero((n >> bit) & 1)
        shift, error = _to_bins(done * d, width)
        found[odd] += _moved(counts[odd], shift[odd])
        bottom[odd], top[odd] = np.minimum(bottom, error)[odd], np.maximum(top, error)[odd]
        done = done + ((n >> bit) & 1)
    return found, bottom, top


def _to_bins(value: Array, width: Array) -> tuple[Ints, Array]:
    """The nearest bin, and how much is lost by it."""
    nearest = np.rint(value / width)
    return nearest.astype(np.int64), value - nearest * width


def _moved(counts: Array, by: Ints) -> Array:
    """counts (boxes, bins), each box moved up by its number of bins."""
    rows, bins = counts.shape
    padded = np.zeros((rows, 2 * bins))
    padded[:, bins:] = counts
    index = np.arange(rows)[:, None] * (2 * bins) + bins + np.arange(bins) - np.minimum(by, bins)[:, None]
    found: Array = np.take(padded.reshape(-1), index, mode="clip")
    return found
