"""What enumerated and counted leaves prove, in the integers of the standard library alone: theorems of `counting`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, prod
from typing import Final, final

from certifair.checks._individual.integer_points import (
    ZERO,
    Box,
    Network,
    Range,
    enclosed,
    flip_sets,
    hull,
    inputs_of,
    judged,
    relaxed,
    unit_ranges,
    units,
)
from certifair.checks._individual.integers import Bounds
from certifair.spec.domain import Domain, Feature

Counts = tuple[Fraction, Fraction, Fraction, Fraction]
"""Units proven positive, negative, fair without a side, unfair."""
BINS: Final = 1024
CELLS: Final = 64


def enumerated(network: Network, domain: Domain, box: Box) -> list[Counts]:
    """Every point of every unit."""
    found = [[ZERO] * 4, [ZERO] * 4]
    for points in flip_sets(domain, box):
        for counts, code in zip(found, judged(network, points), strict=True):
            if code:
                counts[{1: 0, -1: 1, 2: 3}[code]] += 1
    share = units(domain, box) / prod((len(inputs_of(f, ends)) for f, ends in unit_ranges(domain, box)), start=1)
    a, b = ((c[0] * share, c[1] * share, c[2] * share, c[3] * share) for c in found)
    return [a, b]


def counted(network: Network, domain: Domain, box: Box, along: int | None) -> list[Counts]:
    """`counting`, (1) to (5)."""
    bounds, errors = enclosed(network, domain, *hull(domain, relaxed(domain, box)))
    parts = _Parts.of(domain, box, bounds)
    return [(ZERO,) * 4 if e is None else _leaf(domain, box, bounds, parts, e, along) for e in errors]


@final
@dataclass(frozen=True)
class _Parts:
    """F's sensitive part: extremes over A, D and G; relax. cells: what each unit feature adds to F, least and greatest
    for each of its values (a cell of a continuous feature)."""

    least: Fraction
    most: Fraction
    apart: Fraction
    gain: Fraction
    relax: Fraction
    cells: dict[int, list[Range]]

    @staticmethod
    def of(domain: Domain, box: Box, bounds: Bounds) -> _Parts:
        least = most = apart = gain = relax = ZERO
        cells = {}
        for i, (f, ends, columns) in enumerate(zip(domain.features, box, domain.columns, strict=True)):
            adds, spread = _adds(f, ends, [(bounds.slope[c], bounds.middle[c]) for c in columns]), bounds.spread
            if not f.sensitive:
                cells[i] = adds
                eps = Fraction(f.eps)
                relax += abs(bounds.slope[columns[0]]) * eps
                apart += (abs(bounds.slope[columns[0]]) + spread[columns[0]]) * 2 * eps
                continue
            values = [v for pair in adds for v in pair]
            difference = max(values) - min(values)
            least, most = least + min(values), most + max(values)
            if f.kind != "one_hot":
                unsure = spread[columns[0]] * (ends[1] - ends[0])
            else:
                inside = [spread[c] for j, c in enumerate(columns) if ends[0] <= j <= ends[1]]
                unsure = sum(sorted(inside)[-2:], ZERO) if len(inside) > 1 else ZERO
            apart += difference + unsure
            gain += max(ZERO, difference - unsure)
        apart = min(apart, most - least + 2 * relax + 2 * bounds.error)
        return _Parts(least, most, apart, max(gain, most - least - 2 * bounds.error), relax, cells)


def _adds(f: Feature, ends: Range, terms: list[tuple[Fraction, Fraction]]) -> list[Range]:
    """What each value in the range adds to F. Of a sensitive continuous feature, the ends."""
    a, b = ends
    if f.kind == "one_hot":
        other = sum((g * m for g, m in terms), ZERO)
        return [(terms[j][0] - other,) * 2 for j in range(ceil(a), floor(b) + 1)]
    ((g, middle),) = terms
    if f.levels is None:
        n = 1 if f.sensitive or a == b else CELLS
        edges = [g * (a + (b - a) * j / n - middle) for j in range(n + 1)]
        return [(min(p, q), max(p, q)) for p, q in itertools.pairwise(edges)]
    return [(g * (a + j - middle),) * 2 for j in range(int(b - a) + 1)]


@final
class _Sums:
    """How many combinations of cells (one of each list) surely have a sum > t, or ≤ t.

    A sum is at least Σ floor(least/w)·w and at most Σ ceil(greatest/w)·w, from each list's least. The number of
    combinations with each sum of floors are the digits of Π_lists Σ_cells 2^(B·floor), in base 2^B > all of them; and
    digits add up to the number modulo 2^B − 1.
    """

    def __init__(self, base: Fraction, lists: list[list[Range]]) -> None:
        self.number = prod(len(cells) for cells in lists)
        starts = [min(a for a, _ in cells) for cells in lists]
        self._base = base + sum(starts, ZERO)
        span = sum((max(b for _, b in cells) - start for cells, start in zip(lists, starts, strict=True)), ZERO)
        self._width = span / BINS or Fraction(1)
        self._most = BINS + len(lists) + 1
        self._bits = self.number.bit_length() + 1
        self._floors = self._ceils = 1
        for cells, start in zip(lists, starts, strict=True):
            self._floors *= sum(1 << self._bits * floor((a - start) / self._width) for a, _ in cells)
            self._ceils *= sum(1 << self._bits * ceil((b - start) / self._width) for _, b in cells)

    def above(self, t: Fraction) -> int:
        """Surely > t: at least this many."""
        return self._digits(self._floors >> self._bits * self._first_over(t))

    def up_to(self, t: Fraction) -> int:
        """Surely ≤ t: at least this many."""
        return self._digits(self._ceils & ((1 << self._bits * self._first_over(t)) - 1))

    def _first_over(self, t: Fraction) -> int:
        """The first sum of bins whose value is > t, if that is one."""
        return min(max(0, floor((t - self._base) / self._width) + 1), self._most)

    def between(self, above: Fraction, up_to: Fraction) -> int:
        """Surely > above and ≤ up_to."""
        return max(0, self.above(above) + self.up_to(up_to) - self.number)

    def _digits(self, number: int) -> int:
        return number % ((1 << self._bits) - 1)


def _leaf(domain: Domain, box: Box, bounds: Bounds, parts: _Parts, err: Fraction, along: int | None) -> Counts:
    """The counts of a box at one level."""
    e = bounds.error + err
    sums = _Sums(bounds.centre, list(parts.cells.values()))
    positive, negative = sums.above(e - parts.least + parts.relax), sums.up_to(-e - parts.most - parts.relax)
    mixed, falsified = ZERO, Fraction(sums.between(e - parts.most, -e - parts.least))
    if along is not None:
        cells = parts.cells[along]
        c = domain.columns[along][0]
        unit = (box[along][1] - box[along][0]) / len(cells) if domain.features[along].levels is None else Fraction(1)
        rise = (abs(bounds.slope[c]) - bounds.spread[c]) * unit, (abs(bounds.slope[c]) + bounds.spread[c]) * unit
        rest = _Sums(bounds.centre, [v for i, v in parts.cells.items() if i != along])
        if rise[0] > 0:
            bottom, top = min(a for a, _ in cells), max(b for _, b in cells)
            sure = rest.above(e - parts.least + parts.relax - bottom) + rest.up_to(-e - parts.most - parts.relax - top)
            r = min(ceil((parts.apart + 2 * err) / rise[0]), len(cells))
            mixed = Fraction(max(0, sums.number - r * (rest.number - sure) - positive - negative))
            q = min(max(0, floor((parts.gain - 2 * err) / rise[1])), len(cells) - 1)
            if q:
                late = sorted(b for _, b in cells)[q - 1]
                reached = bounds.error - err - parts.least - top
                falsified = max(falsified, Fraction(q * rest.between(reached, -e - parts.least - late)))
    share = units(domain, box) / sums.number
    return positive * share, negative * share, mixed * share, falsified * share
