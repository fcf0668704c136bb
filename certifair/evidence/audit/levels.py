"""How an engine adds up float64 exactly: as integers, in levels, whatever the order of the rows and threads.

**The plain way** (`add_plain`, `plain_is_exact`) serves nearly all logs and costs little: no casts, no cases. For
levels of b bits, v0 = x·2^b and i0 = (v0 + MAGIC) − MAGIC, MAGIC = 3·2^51, and so on with v = (v0 − i0)·2^b, so that
x = i0·2^−b + i1·2^−2b + … + what is left. What is added up are the i, which are float64 numbers that are integers.
Whether that was exact is decided afterwards, cell by cell, from the cell's n, its largest |x| and its largest leftover:

1. If |x| < 2^(50−b) then |v| <= 2^50 on every level, and i is the integer nearest to v: v + MAGIC lies in
   [2^52, 2^53), where float64 numbers are just the integers, so the addition rounds to one (ties to even) and the
   subtraction is exact.
2. v − i is exact, |v − i| <= 1/2. Let u be the unit in the last place of v. If |v| >= 1, then u <= 1/2 divides 1, so
   v − i is a multiple of u, and 1/2 < 2^53·u. If |v| < 1 and i = 0, v − i = v. If |v| < 1 and i = ±1, then
   1/2 <= |v|, u = 2^−53 and |v − i| <= 1/2 = 2^52·u. Multiplying by 2^b is exact: what could be subnormal only grows.
3. So |i0| <= |x|·2^b + 1/2, all later |i| <= 2^(b−1), and if nothing is left (the largest |v − i| of the last level
   is 0) the levels are x.
4. A sum of at most n integers of magnitude at most m, n·m <= 2^53, is exact in float64 in any order: so is every part
   of it.
5. Not a number and infinities cannot pass: engines sort them above all numbers. Missing values are counted (n).

Where predictions are at most 1: two levels of 20 bits hold the grid 2^−40, of up to nearly 2^33 people a cell; three of
26 bits any float64 from 2^−26 on, nearly 2^27 people; five of 20 bits any from 2^−47 on, of 2^33.

**The careful way** (`add_levels`) takes everything else. Let x be a finite float64 with 2^LOW <= |x| < 2^HIGH (LOW =
−57, HIGH = 22), or 0. Then x is a multiple of 2^(LOW−52), hence of 2^−110. With v0 = x·2^30 the levels are

    i0 = an integer with |v0 − i0| < 1,  v1 = (v0 − i0)·2^40,  i1 likewise,  v2 = (v1 − i1)·2^40,  i2 likewise,

and x = i0·2^−30 + i1·2^−70 + i2·2^−110 exactly:

1. Multiplying by a power of two is exact: |v0| < 2^52, |v1|, |v2| <= 2^40, and nothing is subnormal, since what is
   not 0 is at least 2^−110 · 2^30.
2. The engine's cast to a 64-bit integer gives i with |v − i| < 1, in range by 1: DuckDB rounds to nearest (|v − i| <=
   1/2), Spark truncates (i has the sign of v, or is 0). Which one does not matter. Casting i back is exact: |i| <=
   2^52.
3. v − i is exact: as above in 2; for truncation |v − i| < 1 < 2^53·u where |v| >= 1, and i = 0 where |v| < 1.
4. v2 is an integer, since x·2^110 is one: i2 = v2, and nothing is left.
5. Sums of the levels over up to 10^12 < 2^40 rows are at most 2^92: DuckDB adds 64-bit integers in 128 bits, Spark
   adds decimals of 20 digits in 30 (2^92 < 10^28). Integers add exactly in any order.

What is larger or smaller is counted in that pass, and added up in another that only runs if there is any. There x is
first scaled by 2^(−STRIDE·w) for a whole w such that it comes to lie in the range above; the sums are kept for each
w. The scaling is exact: it is done in two steps, each by a power of two between 2^−514 and 2^514; on the way up
nothing overflows (the result is below 2^HIGH), on the way down nothing is subnormal (the result is at least 2^LOW). w
runs from −13 to 13, which covers 2^(LOW − 13·STRIDE) = 2^−1084 to 2^(HIGH + 13·STRIDE) = 2^1049: every float64.

Not a number, infinite and missing values never come to the careful way: `count` replaces them by 0 and counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple, final

import narwhals as nw

LOW: Final = -57
HIGH: Final = 22
STRIDE: Final = HIGH - LOW
WINDOWS: Final = 13
FIRST: Final = 30
NEXT: Final = 40
UNIT: Final = Fraction(1, 2 ** (FIRST + 2 * NEXT))
MAGIC: Final = 3.0 * 2.0**51


@final
class Way(NamedTuple):
    """So many levels of so many bits."""

    bits: int
    depth: int


WAYS: Final = (Way(20, 2), Way(26, 3), Way(20, 5))


def add_plain(frame: nw.LazyFrame[Any], name: str, way: Way) -> nw.LazyFrame[Any]:
    """Columns `name`_0, …: integers in float64; magnitudes `name`_left of what they leave, `name`_size of x."""
    v = left = nw.col(name) * 2.0**way.bits
    for level in range(way.depth):
        integer = (v + nw.lit(MAGIC)) - nw.lit(MAGIC)
        frame = frame.with_columns(v.alias(f"{name}_v{level}"), integer.alias(f"{name}_{level}"))
        left = nw.col(f"{name}_v{level}") - nw.col(f"{name}_{level}")
        v = left * 2.0**way.bits
    return frame.with_columns(left.abs().alias(f"{name}_left"), nw.col(name).abs().alias(f"{name}_size"))


def plain_is_exact(way: Way, n: int, largest: float, left: float) -> bool:
    """Whether a cell's sums of plain levels are exact, from its n and the largest |x| and leftover: points 1, 3, 4."""
    if not (largest < 2.0 ** (50 - way.bits) and left == 0.0):  # so written, what is not a number fails
        return False
    return n * (int(max(largest, 0.5) * 2**way.bits) + 2) <= 2**53  # 0.5: later levels are at most 2^(bits−1)


def plain_way(values: Sequence[float]) -> Way | None:
    """The first way that leaves nothing of these values; None where the careful way is needed."""
    for way in WAYS:
        unit, limit = 2.0 ** (way.bits * way.depth), 2.0 ** (50 - way.bits)
        if all(abs(x) < limit and (x * unit).is_integer() for x in values):
            return way
    return None


def assembled_plain(way: Way, levels: Sequence[float]) -> Fraction:
    """The sum whose plain levels have these sums."""
    total = 0
    for level in levels:
        total = (total << way.bits) + int(level)
    return Fraction(total, 2 ** (way.bits * way.depth))


def in_range(magnitude: nw.Expr) -> nw.Expr:
    """Whether the levels hold it; false for 0, and for what is not a number (engines sort that above all numbers)."""
    return (magnitude >= nw.lit(2.0**LOW)) & (magnitude < nw.lit(2.0**HIGH))


def add_levels(frame: nw.LazyFrame[Any], name: str) -> nw.LazyFrame[Any]:
    """Columns `name`_0 to `name`_2: the levels of column `name`, whose values are 0 or in range."""
    v = nw.col(name) * 2.0**FIRST
    frame = frame.with_columns(v.alias(f"{name}_v0")).with_columns(_integer(f"{name}_v0").alias(f"{name}_0"))
    for level in (1, 2):
        rest = nw.col(f"{name}_v{level - 1}") - nw.col(f"{name}_{level - 1}").cast(nw.Float64)
        frame = frame.with_columns((rest * 2.0**NEXT).alias(f"{name}_v{level}"))
        frame = frame.with_columns(_integer(f"{name}_v{level}").alias(f"{name}_{level}"))
    return frame


def _integer(name: str) -> nw.Expr:
    return nw.col(name).cast(nw.Int64)


def level_names(name: str) -> list[str]:
    """The columns of `add_levels`."""
    return [f"{name}_{level}" for level in range(3)]


def assembled(levels: Sequence[int]) -> Fraction:
    """The sum whose levels have these sums."""
    total = 0
    for level in levels:
        total = (total << NEXT) + int(level)
    return total * UNIT


def window(magnitude: nw.Expr) -> nw.Expr:
    """w for a finite magnitude that is not 0."""
    return _by_window(magnitude, int)


def half_scales(magnitude: nw.Expr) -> tuple[nw.Expr, nw.Expr]:
    """Two powers of two whose product is 2^(−STRIDE·w)."""
    return (
        _by_window(magnitude, lambda w: 2.0 ** (-STRIDE * w // 2)),
        _by_window(magnitude, lambda w: 2.0 ** (-STRIDE * w - (-STRIDE * w // 2))),
    )


def _by_window(magnitude: nw.Expr, value: Callable[[int], float]) -> nw.Expr:
    """value(w), each time by the magnitude itself: engines would write out w in full wherever it is used."""
    found = nw.lit(value(0))
    for w in range(1, WINDOWS + 1):
        large, small = HIGH + STRIDE * (w - 1), LOW - STRIDE * (w - 1)
        found = nw.when(magnitude >= nw.lit(2.0**large)).then(nw.lit(value(w))).otherwise(found)
        found = nw.when(magnitude < nw.lit(2.0**small)).then(nw.lit(value(-w))).otherwise(found)
    return found


def unscaled(w: int, levels: Sequence[int]) -> Fraction:
    """The sum of what was scaled by 2^(−STRIDE·w)."""
    return assembled(levels) * Fraction(2) ** (STRIDE * w)
