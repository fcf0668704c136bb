"""Compiled passes over a batch: clip, add up by joint cell, round.

A person i of joint cell j is moved by the shift s_j and clipped: y_i = clip(z_i − s_j, lower, upper). With at most two
cells the shift is computed (start + code·step), which compiles to vector instructions; with more it is looked up.
Sums over a joint cell are exact sums of y rounded to 2⁻⁵⁰ of the box, so that the order of people does not matter; in
large batches, where that would cost, plain sums in blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.floating[Any]]
Box = tuple[float, float]
BLOCK = 4096
_FAST = {"reassoc", "nsz", "contract", "nnan"}  # sums may be reordered; nothing here is NaN
_MAGIC = 1.5 * 2.0**52
"""v + MAGIC − MAGIC is v rounded to the nearest integer, ties to even, for |v| ≤ 2⁵¹."""


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def survey(z: Numbers, low: float, high: float) -> tuple[bool, bool]:
    """(whether all values are finite, whether one is below low or above high)."""
    nothing = beyond = 0.0
    for i in range(len(z)):
        nothing += z[i] * 0.0
        beyond += 1.0 if z[i] < low or z[i] > high else 0.0
    return nothing == 0.0, beyond > 0.0


@njit(cache=True, nogil=True, fastmath=_FAST)
def code_range(codes: NDArray[np.integer[Any]], small: NDArray[np.uint8]) -> tuple[int, int, int]:
    """(smallest, largest, sum) of the codes, which are copied into bytes along the way."""
    # written out: min() and max() would not compile to vector instructions
    low, high, total = codes[0], codes[0], 0
    for i in range(len(codes)):
        code = codes[i]
        low = code if code < low else low
        high = code if code > high else high
        total += code
        small[i] = code
    return low, high, total


@njit(cache=True, nogil=True)
def _add(out: Any, code: int, amount: Any) -> None:
    """out[0]·2²⁰ + out[1] += amount: neither overflows below 2⁴³ people."""
    out[0, code] += amount >> 20
    out[1, code] += amount & 0xFFFFF


@njit(cache=True, nogil=True)
def _two(shift: Floats) -> tuple[float, float]:
    """The shift of code 0, and what code 1 adds to it."""
    return shift[0], shift[-1] - shift[0]


@njit(cache=True, nogil=True, fastmath=_FAST)
def _tally_two(z: Numbers, codes: Any, shift: Floats, box: Box) -> Any:
    """(sum of everybody, sum of code 1, people strictly inside, of these code 1)."""
    start, step = _two(shift)
    lower, upper = box
    total = second = inside = inside_second = 0.0
    for i in range(len(z)):
        code = float(codes[i])
        v = z[i] - (start + code * step)
        w = max(v, lower)
        w = min(w, upper)
        free = 1.0 if w == v else 0.0
        total += w
        second += w * code
        inside += free
        inside_second += free * code
    return total, second, inside, inside_second


@njit(cache=True, nogil=True)
def _tally_few(z: Numbers, codes: Any, shift: Floats, box: Box, out: Floats) -> None:
    """out[0] and out[1]: sums and people inside, by code. Block by block: a long plain sum would drift."""
    for begin in range(0, len(z), BLOCK):
        end = min(begin + BLOCK, len(z))
        total, second, inside, inside_second = _tally_two(z[begin:end], codes[begin:end], shift, box)
        out[0, 0] += total - second
        out[1, 0] += inside - inside_second
        if out.shape[1] > 1:
            out[0, 1] += second
            out[1, 1] += inside_second


@njit(cache=True, nogil=True)
def _tally_exact(
    z: Numbers, codes: Any, shift: Floats, rest: Floats, box: Box, unit: float, sums: Any, inside: Floats
) -> None:
    """sums[0]·2²⁰ + sums[1]: y in `unit`s, |y·unit| ≤ 2⁵⁰, rounded person by person and added as integers."""
    lower, upper = box
    for i in range(len(z)):
        code = codes[i]
        v = (z[i] - shift[code]) - rest[code]
        w = min(max(v, lower), upper)
        _add(sums, code, np.int64((w * unit + _MAGIC) - _MAGIC))
        inside[code] += w == v


@njit(cache=True, nogil=True)
def _tally_many(z: Numbers, codes: Any, shift: Floats, rest: Floats, box: Box, out: Floats) -> None:
    """out[0] and out[1]: sums and people inside, by code. The shift is shift + rest (see `exact._Shift`)."""
    lower, upper = box
    width = len(shift)
    block = max(BLOCK, 8 * width)
    for begin in range(0, len(z), block):
        partial = np.zeros((2, width))
        for i in range(begin, min(begin + block, len(z))):
            code = codes[i]
            v = (z[i] - shift[code]) - rest[code]
            w = min(max(v, lower), upper)
            partial[0, code] += w
            partial[1, code] += w == v
        out += partial


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _round_two(z: Numbers, codes: Any, shift: Floats, box: Box, scale: float, y: Numbers) -> None:
    """Clip and scale to integers, kept as floats."""
    start, step = _two(shift)
    lower, upper = box
    for i in range(len(z)):
        v = z[i] - (start + float(codes[i]) * step)
        v = max(v, lower)
        v = min(v, upper)
        y[i] = (v * scale + _MAGIC) - _MAGIC


@njit(cache=True, nogil=True, fastmath=_FAST)
def _sum_two(y: Numbers, codes: Any) -> tuple[float, float]:
    total = second = 0.0
    for i in range(len(y)):
        total += y[i]
        second += y[i] * float(codes[i])
    return total, second


@njit(cache=True, nogil=True)
def _scale(y: Numbers, factor: float) -> None:
    for i in range(len(y)):
        y[i] *= factor


@njit(cache=True, nogil=True)
def _round_few(z: Numbers, codes: Any, shift: Floats, box: Box, scale: float, y: Numbers, out: Any) -> None:
    """Sums of integers |v| ≤ 2⁴⁰: those of a block are at most 2⁵², so exact in float64 in any order."""
    for begin in range(0, len(z), BLOCK):
        end = min(begin + BLOCK, len(z))
        part, code = y[begin:end], codes[begin:end]
        _round_two(z[begin:end], code, shift, box, scale, part)
        total, second = _sum_two(part, code)
        _scale(part, 1.0 / scale)
        _add(out, 0, np.int64(total - second))
        if out.shape[1] > 1:
            _add(out, 1, np.int64(second))


@njit(cache=True, nogil=True)
def _round_many(
    z: Numbers, codes: Any, shift: Floats, rest: Floats, box: Box, scale: float, y: Numbers, out: Any
) -> None:
    lower, upper = box
    for i in range(len(z)):
        code = codes[i]
        v = (z[i] - shift[code]) - rest[code]
        v = (min(max(v, lower), upper) * scale + _MAGIC) - _MAGIC
        y[i] = v / scale
        _add(out, code, np.int64(v))


@njit(cache=True, nogil=True, fastmath=_FAST)
def _gather_two(g: Numbers, z: Numbers, codes: Any, shift: Floats, box: Box) -> Any:
    """(people strictly inside, of these code 1, their sum of g, that of code 1)."""
    start, step = _two(shift)
    lower, upper = box
    inside = inside_second = total = second = 0.0
    for i in range(len(z)):
        code = float(codes[i])
        v = z[i] - (start + code * step)
        free = 1.0 if lower < v < upper else 0.0
        inside += free
        inside_second += free * code
        total += free * g[i]
        second += free * g[i] * code
    return inside, inside_second, total, second


@njit(cache=True, nogil=True)
def _gather_many(g: Numbers, z: Numbers, codes: Any, shift: Floats, rest: Floats, box: Box, out: Floats) -> None:
    """out[0] and out[1]: people strictly inside and their sum of g, by code."""
    lower, upper = box
    for i in range(len(z)):
        v = (z[i] - shift[codes[i]]) - rest[codes[i]]
        if lower < v < upper:
            out[0, codes[i]] += 1.0
            out[1, codes[i]] += g[i]


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _spread_two(
    g: Numbers,
    z: Numbers,
    codes: Any,
    shift: Floats,
    box: Box,
    move: Floats,
    out: Numbers,
) -> None:
    start, step = _two(shift)
    first, more = _two(move)
    lower, upper = box
    for i in range(len(z)):
        code = float(codes[i])
        v = z[i] - (start + code * step)
        t = g[i] - (first + code * more)
        t = t if v > lower else 0.0
        out[i] = t if v < upper else 0.0


@njit(cache=True, nogil=True)
def _spread_many(
    g: Numbers, z: Numbers, codes: Any, shift: Floats, rest: Floats, box: Box, move: Floats, out: Numbers
) -> None:
    lower, upper = box
    for i in range(len(z)):
        v = (z[i] - shift[codes[i]]) - rest[codes[i]]
        out[i] = g[i] - move[codes[i]] if lower < v < upper else 0.0


def _few(shift: Floats, rest: Floats) -> bool:
    return len(shift) <= 2 and not rest.any()


def tally(z: Numbers, codes: Any, shift: Floats, rest: Floats, box: Box, unit: float) -> Floats:
    """(2, J): by joint cell the sum of y, and how many people lie in the box unclipped.

    `unit`: a power of two, 2⁵⁰ for a box of about 1; 0 for plain sums.
    """
    out = np.zeros((2, len(shift)))
    if unit:
        sums = np.zeros((2, len(shift)), dtype=np.int64)
        _tally_exact(z, codes, shift, rest, box, unit, sums, out[1])
        out[0] = [((high << 20) + low) / unit for high, low in sums.T.tolist()]
    elif _few(shift, rest):
        _tally_few(z, codes, shift, box, out)
    else:
        _tally_many(z, codes, shift, rest, box, out)
    return out


def round_all(
    z: Numbers, codes: Any, shift: Floats, rest: Floats, box: tuple[float, float], scale: float, y: Numbers
) -> list[int]:
    """Write y, clipped and rounded to multiples of 1/scale, and return its exact sums by joint cell, as multiples."""
    sums = np.zeros((2, len(shift)), dtype=np.int64)
    if _few(shift, rest):
        _round_few(z, codes, shift, box, scale, y, sums)
    else:
        _round_many(z, codes, shift, rest, box, scale, y, sums)
    return [(high << 20) + low for high, low in sums.T.tolist()]


def gather(g: Numbers, z: Numbers, codes: Any, shift: Floats, rest: Floats, box: tuple[float, float]) -> Floats:
    """(2, J): by joint cell, how many people are strictly inside the box, and their sum of g."""
    if _few(shift, rest):
        inside, inside_second, total, second = _gather_two(g, z, codes, shift, box)
        if len(shift) == 1:
            return np.array([[inside], [total]])
        return np.array([[inside - inside_second, inside_second], [total - second, second]])
    out = np.zeros((2, len(shift)))
    _gather_many(g, z, codes, shift, rest, box, out)
    return out


def spread_all(
    g: Numbers,
    z: Numbers,
    codes: Any,
    shift: Floats,
    rest: Floats,
    box: tuple[float, float],
    move: Floats,
    out: Numbers,
) -> None:
    """out_i = g_i − move[code] for who is strictly inside the box, 0 for the others."""
    if _few(shift, rest):
        _spread_two(g, z, codes, shift, box, move, out)
    else:
        _spread_many(g, z, codes, shift, rest, box, move, out)
