"""Exact sums of float64 per cell, whatever the order of the rows.

A float64 is an integer times a power of two. Each pass cuts the leading 30 bits off every row, as an integer
|h| <= 2^30 in a unit that all rows share, and adds these integers per cell. Integers add exactly, so the result does
not depend on the order of rows, on block sizes, on threads, or on the version of numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import frexp, isfinite, ldexp
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

_BITS: Final = 30
# Each bincount adds at most 2^22 integers of at most 2^30 in float64: partial sums stay <= 2^52, hence exact.
_MAX_BLOCK: Final = 1 << 22
# Small blocks stay in the processor's cache, and their arrays (96 kB) below the 128 kB from which malloc asks the
# kernel for fresh pages each time, which more than doubles the run time. The result does not depend on this.
_CACHE_BLOCK: Final = 12_000
# With n < 2^33 rows a cell of a level is at most n·2^30 < 2^63 in magnitude: int64 cannot overflow.
_MAX_ROWS: Final = 1 << 33
_SMALLEST_NORMAL: Final = np.array([ldexp(1.0, -1022)])


@final
@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class ExactSums:
    """Exact sums of `size` cells: cell k is the sum over levels (exponent, integers) of integers[k]·2^exponent.

    Every array is int64 of shape (size,) with |integers| < 2^63. Equal sums may have different levels: compare
    `exact(k)`, not the levels.
    """

    size: int
    levels: tuple[tuple[int, NDArray[np.int64]], ...]

    def exact(self, k: int) -> Fraction:
        """The exact sum of cell k. Errors: ValueError if k is not in [0, size)."""
        if not 0 <= k < self.size:
            raise ValueError(f"cell {k} is not in [0, {self.size})")
        return _from_units([(exponent, int(integers[k])) for exponent, integers in self.levels])

    def total(self) -> Fraction:
        """The exact sum of all cells."""
        # int64 suffices: the magnitudes of all cells of a level together are at most n·2^30 < 2^63.
        return _from_units([(exponent, int(integers.sum())) for exponent, integers in self.levels])

    def regroup(self, codes: NDArray[np.integer[Any]], size: int) -> ExactSums:
        """The sums of coarser cells: `codes` (size of this,) in [0, size), or -1 for a cell that is left out.

        Integers are added in int64, which holds all cells of a level together (see `total`).
        """
        counted = codes >= 0
        levels = []
        for exponent, integers in self.levels:
            merged = np.zeros(size, dtype=np.int64)
            np.add.at(merged, codes[counted], integers[counted])
            levels.append((exponent, merged))
        return ExactSums(size, tuple(levels))

    def runs(self, width: int, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> ExactSums:
        """The sums over runs of lines, where the cells are lines of `width`: cell (k, c) adds up lines starts[k] to
        stops[k] (excluded) of column c.

        Differences of running totals, in int64, which holds all cells of a level together (see `total`).
        """
        levels = tuple(
            (e, line_runs(integers.reshape(-1, width), starts, stops).ravel()) for e, integers in self.levels
        )
        return ExactSums(len(starts) * width, levels)

    def approximate(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Float64 sums and error bounds, both of shape (size,), with |values - exact| <= error for every cell.

        Proof, with u = 2^-53 and L levels (L < 80). Converting an integer to float64 errs by at most u times the
        result; scaling by a power of two errs only in the subnormal range, by at most 2^-1075; adding errs by at most
        u times the result. So the error is at most u·a + L·2^-1074, a = sum of the magnitudes of all terms and all
        partial sums. The computed a is at least a·(1-u)^(2L) > 0.9·a, so 2u·a has a slack of 1.8, which also covers
        the roundings of the last product and sum; one subnormal rounding of the product is covered by the two extra
        units 2^-1074. Where float64 overflows, the value is 0 and the error is infinite. Cells whose levels are
        all 0 have error 0.
        """
        values, magnitude = np.zeros(self.size), np.zeros(self.size)
        touched = np.zeros(self.size, dtype=np.bool_)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for exponent, integers in self.levels:
                term = np.ldexp(integers.astype(np.float64), exponent)
                values += term
                magnitude += np.abs(term) + np.abs(values)
                touched |= integers != 0
            error = magnitude * ldexp(1.0, -52) + (len(self.levels) + 2) * ldexp(1.0, -1074)
        finite = np.isfinite(values) & np.isfinite(error)
        error = np.where(touched, np.where(finite, error, np.inf), 0.0)
        return np.where(finite, values, 0.0), error


def exact_sums(values: NDArray[np.float64], codes: NDArray[np.integer[Any]], size: int) -> ExactSums:
    """The exact sum of `values` (n,) per cell, `codes` (n,) in [0, size), or -1 for a row that is not counted.

    Method. With e such that |r| < 2^e for all residuals r (at first r = values), h = trunc(r·2^(30-e)) is an integer
    with |h| <= 2^30; the integers h are added per cell and r becomes r - h·2^(e-30), until all r are zero. Only the
    grid e = e0 - 30·j is used, e0 from the largest value, so that the levels of different blocks coincide.

    Every step is exact:
    1. r·2^(30-e) has no overflow (< 2^30). It rounds only if it is subnormal, and then it truncates to 0, as the
       exact product does.
    2. h·2^(e-30) has the leading bits of r, so it is a float64 of magnitude <= |r|: at e - 30 >= -1074 because
       truncating a float64 at a bit leaves a float64, below because r is a multiple of 2^-1074 and so h·2^(e-30) = r.
    3. r - h·2^(e-30) keeps the trailing bits of r, again a float64, so the subtraction does not round; it is below
       2^(e-30) in magnitude, so the next level lies strictly lower and a row adds at most once to each level.
    4. bincount adds at most 2^22 integers <= 2^30 (partial sums <= 2^52, exact in float64); int64 adds the blocks.

    Errors: ValueError for a non-finite value (even in a row that is not counted), another dtype than float64, codes
    that are not integers or out of range, shapes that differ, 2^33 rows or more, or a processor in flush-to-zero mode.
    """
    require_subnormals()
    _check_rows(values, codes, size)
    if values.dtype != np.float64:
        raise ValueError(f"values must be float64, not {values.dtype}")
    top = _largest(values)
    if not isfinite(top):
        raise ValueError("values must be finite")
    first = frexp(top)[1]
    levels: dict[int, NDArray[np.int64]] = {}
    skip = bool(codes.size) and int(codes.min()) < 0
    block = min(_MAX_BLOCK, max(_CACHE_BLOCK, 4 * size))
    for start in range(0, values.size, block):
        rows, cells = values[start : start + block], codes[start : start + block]
        if skip:
            counted = cells >= 0
            rows, cells = rows[counted], cells[counted]
        _add_block(levels, rows, cells.astype(np.intp, copy=False), size, first)
    return ExactSums(size, tuple(sorted(levels.items(), key=lambda level: -level[0])))


def exact_counts(amounts: NDArray[Any], codes: NDArray[np.integer[Any]], size: int) -> NDArray[np.int64]:
    """The number of true rows, or the sum of integers, per cell: `amounts` (n,) boolean or integer, int64 (size,).

    Codes as in `exact_sums`. Exact: booleans are counted in integers; integers of at most 2^30 in magnitude are added
    in blocks as in step 4 there.
    Errors: ValueError for another dtype, integers above 2^30 in magnitude, codes out of range, shapes that differ.
    """
    _check_rows(amounts, codes, size)
    counted = codes >= 0
    if amounts.dtype == np.bool_:
        return np.bincount(codes[amounts & counted].astype(np.intp), minlength=size).astype(np.int64)
    if not np.issubdtype(amounts.dtype, np.integer):
        raise ValueError(f"amounts must be boolean or integers, not {amounts.dtype}")
    if amounts.size and max(int(amounts.max()), -int(amounts.min())) > 1 << _BITS:
        raise ValueError("amounts above 2^30 in magnitude")
    sums = np.zeros(size, dtype=np.int64)
    for start in range(0, amounts.size, _MAX_BLOCK):
        rows = slice(start, start + _MAX_BLOCK)
        cells = codes[rows][counted[rows]].astype(np.intp)
        sums += _bincount(cells, amounts[rows][counted[rows]].astype(np.float64), size)
    return sums


def line_runs(lines: NDArray[np.int64], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sums of lines starts[k] to stops[k] (excluded) of (lines, width): (runs, width)."""
    totals = np.zeros((len(lines) + 1, lines.shape[1]), dtype=np.int64)
    np.cumsum(lines, axis=0, out=totals[1:])
    found: NDArray[np.int64] = totals[stops] - totals[starts]
    return found


def require_subnormals() -> None:
    """Refuse a processor in flush-to-zero mode (`torch.set_flush_denormal(True)`, libraries built with -ffast-math).

    The proofs in this folder rely on gradual underflow: x - y = 0 only if x = y.
    Errors: ValueError if half of the smallest normal number is flushed to 0 or read as 0.
    """
    if not (_SMALLEST_NORMAL * 0.5).view(np.uint64)[0] or not (_SMALLEST_NORMAL * 0.5 * 2.0)[0]:
        raise ValueError("this process flushes subnormal numbers to zero; exact sums need IEEE 754 arithmetic")


def _add_block(
    levels: dict[int, NDArray[np.int64]], rows: NDArray[np.float64], cells: NDArray[np.intp], size: int, first: int
) -> None:
    """Add the rows of one block to the levels, which are keyed by the exponent of their unit."""
    residual = rows
    while top := _largest(residual):
        exponent = first - _BITS * ((first - frexp(top)[1]) // _BITS)  # on the grid, and top < 2^exponent
        integers = np.trunc(_scale(residual, _BITS - exponent))
        unit = exponent - _BITS
        if unit not in levels:
            levels[unit] = np.zeros(size, dtype=np.int64)
        levels[unit] += _bincount(cells, integers, size)
        residual = residual - _scale(integers, unit)
        if 2 * np.count_nonzero(residual) < residual.size:  # few rows have trailing bits left: drop the others
            left = np.flatnonzero(residual)
            residual, cells = residual[left], cells[left]


def _bincount(cells: NDArray[np.intp], integers: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Sums per cell of at most 2^22 integers of at most 2^30 in magnitude: exact in float64."""
    return np.bincount(cells, weights=integers, minlength=size).astype(np.int64)


def _scale(values: NDArray[np.float64], exponent: int) -> NDArray[np.float64]:
    """values·2^exponent for |exponent| <= 1103, like C ldexp but much faster; same results for what is used here.

    A factor that float64 cannot hold as a normal number is split in two. Up: both products are exact, for the final
    result is below 2^30. Down: `values` are integers, so the first product is normal, hence exact; the second is
    representable (step 2 of `exact_sums`), hence exact.
    """
    if -1022 <= exponent <= 1023:
        return values * ldexp(1.0, exponent)
    half = exponent // 2
    return values * ldexp(1.0, half) * ldexp(1.0, exponent - half)


def _largest(values: NDArray[np.float64]) -> float:
    """The largest magnitude, 0 for no rows; nan if there is a nan."""
    return max(float(values.max()), -float(values.min())) if values.size else 0.0


def _from_units(units: list[tuple[int, int]]) -> Fraction:
    """The sum of integer·2^exponent: shifted to the smallest exponent, so that only one fraction is reduced."""
    lowest = min((exponent for exponent, _ in units), default=0)
    return Fraction(sum(integer << (exponent - lowest) for exponent, integer in units)) * Fraction(2) ** lowest


def _check_rows(values: NDArray[Any], codes: NDArray[Any], size: int) -> None:
    """Refuse shapes, dtypes and codes that do not describe rows of `size` cells."""
    if values.ndim != 1 or values.shape != codes.shape:
        raise ValueError(f"values {values.shape} and codes {codes.shape} must be vectors of one length")
    if not np.issubdtype(codes.dtype, np.integer):
        raise ValueError(f"codes must be integers, not {codes.dtype}")
    if size < 0 or values.size >= _MAX_ROWS:
        raise ValueError("a negative number of cells, or 2^33 rows or more")
    if codes.size and not (int(codes.min()) >= -1 and int(codes.max()) < size):
        raise ValueError(f"codes must be in [-1, {size})")
