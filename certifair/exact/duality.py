"""Outward-rounded duality gap of the projection onto the fair predictions of a batch.

The projection P(z) of predictions z (n,) minimises ½‖y - z‖² over L <= y_i <= U and |(Ay)_k - b_k| <= ε for all k.
For any signed multipliers ν let s = Aᵀν, h_i(t) = ½(t - z_i)² + s_i·t, and w_i = clip(z_i - s_i, L, U), the minimiser
of h_i over the box. Weak duality: for every feasible y'

    ½‖y' - z‖² >= ½‖y' - z‖² + Σ_k [ν_k((Ay')_k - b_k) - ε|ν_k|] >= Σ_i h_i(w_i) - Σ_k [ν_k·b_k + ε|ν_k|] = d(ν),

because |ν_k((Ay')_k - b_k)| <= ε|ν_k|. For a feasible y, with Σ_k ν_k(Ay)_k = Σ_i s_i·y_i,

    gap = ½‖y - z‖² - d(ν) = Σ_i [h_i(y_i) - h_i(w_i)] + Σ_k [ε|ν_k| - ν_k((Ay)_k - b_k)],

both sums of terms >= 0. The objective is 1-strongly convex and P(z) minimises it over a convex set that contains y, so
½‖y - z‖² >= ½‖P(z) - z‖² + ½‖y - P(z)‖²; with ½‖P(z) - z‖² >= d(ν) this gives ½‖y - P(z)‖² <= gap. Nothing is
assumed about ν or how y was found; only that y is feasible, which must be checked exactly and elsewhere.
"""

from __future__ import annotations

from fractions import Fraction
from math import inf, isinf, ldexp, nextafter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from certifair.exact.sums import exact_sums, require_subnormals

# 16 units of 2^-53 repay the relative roundings of `_half_square_plus_product`, 2^-1000 its underflows.
_INFLATION: Final = 1 + ldexp(1.0, -49)
_UNDERFLOW: Final = ldexp(1.0, -1000)


def bregman_upper(
    y: NDArray[np.float64],
    z: NDArray[np.float64],
    shift_low: NDArray[np.float64],
    shift_high: NDArray[np.float64],
    lower: tuple[float, float],
    upper: tuple[float, float],
) -> NDArray[np.float64]:
    """Upper bounds (n,), >= 0, of h_i(y_i) - h_i(w_i) for every shift s_i in [shift_low_i, shift_high_i].

    All arrays are float64 of shape (n,); `lower` and `upper` enclose the exact box ends L <= U (see `enclose`). The
    bound holds for every L, U, s in the enclosures, and whether or not y_i lies in the box. It is infinite after an
    overflow.

    Proof. With g = z - s and w = clip(g, L, U), expanding squares gives
    h(y) - h(w) = ½(y - w)² + (w - g)(y - w). Let [gl, gh] contain g (one rounding, then one step outward).
    1. Not clipped (w = g): the second term is exactly 0. Possible only if gh >= Ll and gl <= Uh; then g lies in
       [max(gl, Ll), min(gh, Uh)], and ½(y - g)² is largest at one of these ends.
    2. Clipped at L (g < L = w): possible only if gl < Lh. 0 <= L - g <= Lh - gl and y - L <= max(0, y - Ll), so the
       second term is at most their product.
    3. Clipped at U (g > U = w): possible only if gh > Ul. (U - g)(y - U) = (g - U)(U - y), as in 2.
    One of the cases is the true one; the largest of all that are possible is returned. When all are inactive but the
    first, the bound is the square of a distance of a few units in the last place: it does not lose accuracy.
    Errors: ValueError for non-finite input, other dtypes or shapes, an empty enclosure, or flush-to-zero mode.
    """
    require_subnormals()
    _check_rows(y, z, shift_low, shift_high)
    _check_box(lower, upper)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        g_low = np.nextafter(z - shift_high, -inf)
        g_high = np.nextafter(z - shift_low, inf)
        # 1. Not clipped. The larger of the two distances is >= 0 when the interval of g is not empty.
        distance = np.maximum(np.minimum(g_high, upper[1]) - y, y - np.maximum(g_low, lower[0]))
        inside = _half_square_plus_product(distance, np.zeros_like(y), np.zeros_like(y))
        bound = np.where((g_high >= lower[0]) & (g_low <= upper[1]), inside, 0.0)
        # 2. Clipped at L.
        distance = np.maximum(np.abs(y - lower[0]), np.abs(y - lower[1]))
        clipped = _half_square_plus_product(distance, lower[1] - g_low, y - lower[0])
        bound = np.where(g_low < lower[1], np.maximum(bound, clipped), bound)
        # 3. Clipped at U.
        distance = np.maximum(np.abs(y - upper[0]), np.abs(y - upper[1]))
        clipped = _half_square_plus_product(distance, g_high - upper[0], upper[1] - y)
        return np.where(g_high > upper[0], np.maximum(bound, clipped), bound)


def enclose(value: Fraction) -> tuple[float, float]:
    """The tightest float64 pair (below, above) around a rational; below == above if it is a float64.

    Sound without trust in the conversion's rounding: the nearest float is compared with the rational exactly, and
    one step outward suffices because division of integers is correctly rounded.
    Errors: ValueError beyond the largest float64.

    >>> enclose(Fraction(1, 2))
    (0.5, 0.5)
    """
    try:
        nearest = float(value) + 0.0  # + 0.0 turns -0.0 into 0.0
    except OverflowError:
        raise ValueError("the number is beyond the range of float64") from None
    exact = Fraction(nearest)
    below = nearest if exact <= value else nextafter(nearest, -inf)
    above = nearest if exact >= value else nextafter(nearest, inf)
    if isinf(below) or isinf(above):
        raise ValueError("the number is beyond the range of float64")
    return below, above


def sum_up(values: NDArray[np.float64]) -> Fraction:
    """The exact sum of values (n,). Errors: ValueError for a non-finite value or another dtype than float64."""
    return exact_sums(values, np.zeros(values.shape, dtype=np.intp), 1).total()


def _half_square_plus_product(
    distance: NDArray[np.float64], slope: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Upper bounds of ½d² + max(0, c)·max(0, e), where d >= 0, c and e are given as differences rounded once.

    Proof, u = 2^-53. A rounded difference of floats has a relative error of at most u and no underflow error. So the
    exact value R and the computed one F satisfy R·(1-u)^4 <= F + 2^-1073: two factors for the differences, one for
    a product, one for the sum, and 2^-1075 (at most) for each of the three products. Hence R <= (F + 2^-1073)(1 + 5u),
    and the returned fl(fl(F(1 + 16u)) + 2^-1000) is at least (1-u)((1-u)(1+16u)F - 2^-1075 + 2^-1000) >= R.
    If d = 0 and c·e has a factor <= 0, then R = 0 and 0 is returned. A negative d belongs to an impossible case, which
    the caller discards. Overflow, or a product of 0 and infinity, becomes infinity.
    """
    slope, step = np.maximum(slope, 0.0), np.maximum(step, 0.0)
    value = 0.5 * distance * distance + slope * step
    bound = np.where((distance != 0) | ((slope > 0) & (step > 0)), value * _INFLATION + _UNDERFLOW, 0.0)
    return np.where(np.isnan(value), inf, bound)


def _check_rows(*rows: NDArray[np.float64]) -> None:
    """Refuse rows for which the error analysis does not hold."""
    y, _, shift_low, shift_high = rows
    for row in rows:
        if row.ndim != 1 or row.shape != y.shape or row.dtype != np.float64 or not np.isfinite(row).all():
            raise ValueError("y, z and the shifts must be finite float64 vectors of one length")
    if not (shift_low <= shift_high).all():
        raise ValueError("shift_low exceeds shift_high")


def _check_box(lower: tuple[float, float], upper: tuple[float, float]) -> None:
    """Refuse enclosures that are inverted, not finite, or of a box that is surely empty."""
    if not -inf < lower[0] <= lower[1] < inf or not -inf < upper[0] <= upper[1] < inf or lower[0] > upper[1]:
        raise ValueError("the box must be given by finite enclosures (below <= above) of lower <= upper")
