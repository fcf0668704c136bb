"""Exact shares, in rationals: of sums of independent terms up to a number, and of units with one continuous feature."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import factorial, prod

Number = float | Fraction
Parts = list[tuple[Fraction, Fraction]]
"""Intervals that do not overlap."""


def share_up_to(
    steps: Sequence[tuple[Number, int]], lengths: Sequence[Number], choices: Iterable[Sequence[Number]], t: Number
) -> Fraction:
    """The share of sums that are at most t: of one of n numbers c apart, for each (c, n) of `steps`, one number within
    ± half of each of `lengths`, both symmetric about 0, and one of each of `choices`."""
    finite = sorted(((Fraction(c), n) for c, n in steps), key=lambda term: term[1])
    last = [finite.pop()] if finite and not any(lengths) else []
    terms = [[c * (2 * j - n + 1) / 2 for j in range(n)] for c, n in finite]
    atoms = Counter([Fraction(0)])
    for values in [*terms, *([Fraction(v) for v in some] for some in choices)]:
        added: Counter[Fraction] = Counter()
        for (a, count), b in itertools.product(atoms.items(), values):
            added[a + b] += count
        atoms = added
    wide, found = [Fraction(c) for c in lengths if c], Fraction(0)
    for a, count in atoms.items():
        room = Fraction(t) - a
        found += count * (_steps_up_to(room, *last[0]) if last else _volume_up_to(room, wide))
    return found / atoms.total()


def _steps_up_to(room: Fraction, c: Fraction, n: int) -> Fraction:
    """The share of c·(j − (n − 1)/2) ≤ room, j = 0 … n − 1."""
    if not c:
        return Fraction(room >= 0)
    return Fraction(min(max((room / c + Fraction(n - 1, 2)) // 1 + 1, 0), n), n)


def _volume_up_to(room: Fraction, lengths: Sequence[Fraction]) -> Fraction:
    """The share of a box about 0 in which the coordinates add up to at most `room`: a sum over its corners."""
    if not lengths:
        return Fraction(room >= 0)
    n, found = len(lengths), Fraction(0)
    for corner in itertools.product((0, 1), repeat=n):
        reach = room + sum(lengths) / 2 - sum(c for c, there in zip(lengths, corner, strict=True) if there)
        found += (-1) ** sum(corner) * max(reach, Fraction(0)) ** n
    return found / (factorial(n) * prod(lengths))


def moved_volumes(lines: Iterable[Parts], eps: Fraction) -> tuple[Fraction, Fraction, Fraction]:
    """The parts of [0, 1] from where one reaches, by moves of at most eps, only points > 0, only points ≤ 0, and both.

    lines: (t, f) at the breakpoints of f along [0, 1], for each combination of what flips.
    """
    positive: Parts = []
    negative: Parts = []
    for line in lines:
        for (t, f), (u, g) in itertools.pairwise(line):
            cut = t + f / (f - g) * (u - t) if f * g < 0 else u
            (positive if f > 0 or (f == 0 and g > 0) else negative).append((t, cut))
            (positive if g > 0 else negative).append((cut, u))
    up, down = _widened(positive, eps), _widened(negative, eps)
    both = sum((max(Fraction(0), min(b, d) - max(a, c)) for a, b in up for c, d in down), Fraction(0))
    sizes = [sum((b - a for a, b in parts), Fraction(0)) for parts in (up, down)]
    return 1 - sizes[1], 1 - sizes[0], both


def _widened(parts: Parts, eps: Fraction) -> Parts:
    """By eps on both sides, within [0, 1], put together; those of length 0 left out."""
    found: Parts = []
    for a, b in sorted((max(a - eps, Fraction(0)), min(b + eps, Fraction(1))) for a, b in parts if a < b):
        if found and a <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], b)
        else:
            found.append((a, b))
    return found
