"""Exponential, sigmoid, tanh and softplus of balls. No accuracy of a mathematical library is trusted.

Notation as in `certifair.exact.ball`: u = 2^-53, η = 2^-1074, a ball of midpoint m and radius r, x its true number.
All start from `_split`, the exponential of an exact float by range reduction and Taylor's polynomial. Its error is
bounded once, for all floats; the tests compare with mpmath, the proofs do not need them.

For the incoming radius each function f has a derivative f' > 0 with |(ln f')'| ≤ c, so f'(ξ) ≤ f'(m)·e^(c·r) for all
|ξ − m| ≤ r, and |f(x) − f(m)| ≤ r·f'(m)·e^(c·r); moreover e^y ≤ 1 + 2y for 0 ≤ y ≤ 1 (convexity; e ≤ 3).
"""

from __future__ import annotations

from fractions import Fraction
from math import factorial, inf, ldexp
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from certifair.exact.ball import Array, Ball, U, ball, exact, outward, quiet

_LOG2_E: Final = 1.4426950408889634
# ln 2 = hi + lo: hi is a multiple of 2^-42 below 1, so k·hi is exact for |k| < 2^11; |lo| < 2^-42; lo is off by 2^-96.
_LN2_HI: Final = 3048493539143 * ldexp(1.0, -42)
_LN2_LO: Final = 5.497923018708371e-14
# 1/1!, 1/2!, … 1/13!, each the nearest float64 (division of integers is correctly rounded).
_TAYLOR: Final = tuple(float(Fraction(1, factorial(j))) for j in range(1, 14))
# 1/1, 1/3, 1/5, … 1/35: the series of artanh(s)/s in s².
_ARTANH: Final = tuple(1.0 / j for j in range(1, 37, 2))
_LEAST: Final = -750.0  # e^-750 < 2^-1081
_MOST: Final = 720.0  # e^720 > 2^1038
_GRID: Final = ldexp(1.0, 53)


class _Split(NamedTuple):
    """e^y = up·down·(1 + q), powers of two apart, `up`·`down` = 2^k."""

    q: Array
    up: Array
    down: Array


def _split(y: Array) -> _Split:
    """k and q̂ with e^y ≈ 2^k·(1 + q̂) for −750 ≤ y ≤ 720.

    1. k = rint(fl(y·log₂e)), |k| < 1083. The product errs by less than 2^-40, so the rest t = y − k·ln 2 has
       |t| ≤ ln 2·(1/2 + 2^-40) < 0.347.
    2. t̂ = fl(fl(y − k·hi) − fl(k·lo)). k·hi is exact and |k·lo| < 2^-31, so the three roundings and the 2^-96 that lo
       is off make |t̂ − t| ≤ 0.347u + 2^-31·u + 0.347u + 2^-85 < 0.7u. For k = 0, t̂ = t = y exactly.
    3. (e^t − 1)/t is Σ t^j/(j+1)! over j ≥ 0. Terms from j = 13 on are at most 0.347^13/14!·1.03 < 0.12u.
    4. Horner's ŝ_j = fl(c_j + fl(t̂·ŝ_{j+1})), c_j = fl(1/(j+1)!), errs by e_j ≤ 0.347·(e_{j+1} + u·|ŝ_{j+1}|) + u·|ŝ_j|
       + u·c_j, without the last term for j = 0 and 1, where c_j is exact. With |ŝ_j| ≤ 1.1·c_j for j ≥ 2, 0.57 for
       j = 1 and 1.21 for j = 0: e_12 ≤ u·c_12, and backwards e_3 < 0.11u, e_2 < 0.42u, e_1 < 0.79u, e_0 < 1.69u.
       (Underflows of t̂·ŝ_{j+1} are below 2^-1074, against c_j ≥ 2^-33.)
    5. The sum is at least (1 − e^-0.347)/0.347 > 0.84: with 3., ŝ_0 errs relatively by less than 2.2u, and
       q̂ = fl(t̂·ŝ_0) by less than 3.3u relative to e^t̂ − 1, and by η/2 where it underflows.
    6. For k ≠ 0, |e^t̂ − e^t| ≤ 0.7u·e^0.35 < u, so |q̂ − (e^t − 1)| ≤ 3.3u·0.415 + u < 2.4u. For k = 0 the relative
       error 3.3u stands, which is less than 1.4u absolutely.
    2^k is split in two halves that are normal float64 numbers, made from their bits.
    """
    k = np.rint(y * _LOG2_E)
    t = (y - k * _LN2_HI) - k * _LN2_LO
    q = np.full(t.shape, _TAYLOR[-1])
    for coefficient in _TAYLOR[-2::-1]:
        q *= t
        q += coefficient
    q *= t
    power = k.astype(np.int64)
    half = power >> 1
    return _Split(q, _power(half), _power(power - half))


def _power(k: NDArray[np.int64]) -> Array:
    """2^k for −1022 ≤ k ≤ 1023, as IEEE 754 stores it."""
    return ((k + 1023) << 52).view(np.float64)


def _exp(y: Array) -> Array:
    """e^y with a relative error of at most 8u and an absolute error of η/2 (underflow); overflows to inf.

    From `_split`, fl(1 + q̂) errs by 2.4u and one rounding of at most 1.42u: 3.9u, and e^t > 0.706, so 5.6u
    relatively. The product with the first power of two is exact, the second rounds only below 2^-1022. Below −750 the
    exponential is less than η/2, and so is what is computed, 0; above 720 both are beyond the range.
    """
    q, up, down = _split(np.minimum(np.maximum(y, _LEAST), _MOST))
    q += 1.0
    q *= up
    q *= down
    return q


@quiet
def exp(a: Ball) -> Ball:
    """e^a. For r ≤ 1, |e^x − e^m| ≤ e^m·(e^r − 1) ≤ e^m·r·(1 + r); for others at most e^(m+r) (both are positive)."""
    mid = _exp(a.mid)
    spread = np.where(a.rad <= 1, mid * (a.rad * (1.0 + a.rad)), 0.0)
    rad = outward(spread + 8 * U * mid)
    wide = a.rad > 1
    if wide.any():  # fl(m + r) and one step; |e^x − m̂| ≤ max(e^(m+r), m̂), both within 8u
        rad = np.where(wide, outward(_exp(np.nextafter(a.mid + a.rad, inf))), rad)
    return ball(mid, rad)


@quiet
def sigmoid(a: Ball) -> Ball:
    """1/(1 + e^-a); the ball lies within [0, 1].

    With t = e^-|m| ∈ (0, 1] (also as computed, for q̂ ≤ 0 or k < 0), the smaller of σ(m) and 1 − σ(m) = σ(−m) is
    b = t/(1 + t) ≤ 1/2, also as computed (fl(1 + t) ≥ 2t). Its relative error is that of t (8u; moving t by a share
    moves b by less) and two roundings: 10u, within 16u; underflows are η each.
    σ' = σ(1 − σ) = b/(1 + t) at m, at most 1/4, and |(ln σ')'| = |1 − 2σ| ≤ 1.
    1. The ball b ± ρ, cut to [0, ∞): where ρ > b, the true number is in (0, b + ρ], so within half of that of the half,
       and 1/2 ± 1/2 is always true.
    2. For m ≥ 0, σ = 1 − (true b). Let c ≥ b be a positive multiple of 2^-53, c ≤ 1/2: 1 − c is exact, it errs by at
       most (c − b) + ρ, and at most by c, since the true b is in [0, 2b] ⊆ [0, 2c]; so it stays below 1.
    """
    t = _exp(-np.abs(a.mid))
    whole = 1.0 + t
    b = t / whole
    near = a.rad <= 1
    slope = np.where(near, np.minimum(b / whole * (1.0 + 2.0 * a.rad), 0.25), 0.25)
    rho = outward(slope * a.rad + 16 * U * b)
    half = np.minimum(outward((b + rho) * 0.5), 0.5)
    b, rho = np.where(rho > b, half, b), np.where(rho > b, half, rho)
    c = np.maximum(np.ceil(b * _GRID), 1.0) / _GRID
    above = np.minimum(outward((c - b) + rho), c)
    return ball(np.where(a.mid >= 0, 1.0 - c, b), np.where(a.mid >= 0, above, rho))


@quiet
def tanh(a: Ball) -> Ball:
    """The hyperbolic tangent; the radius is at most 2.

    With y = −2|m| and w = 1 − e^y ∈ [0, 1): tanh|m| = w/(2 − w). By `_split`, w is −q̂ for k = 0, with a relative error
    of 3.3u. For k < 0, ŵ = fl(fl(1 − 2^k) − 2^k·q̂) errs by 2^k·2.4u ≤ 1.2u, by η, by u/2 for 1 − 2^k and by u for the
    difference; and w ≥ 1 − e^-0.346 > 0.29: less than 10u relatively. Moving w by a share moves w/(2 − w) by at most
    twice that share: 20u, and two roundings, within 32u. An underflow adds η. (2m overflows to inf, which gives 1.)
    tanh' = 4t/(1 + t)² ≤ 1 at m, with t = e^y; |(ln tanh')'| = 2|tanh| ≤ 2. Any two values differ by less than 2.
    """
    q, up, down = _split(np.maximum(-2.0 * np.abs(a.mid), _LEAST))
    scale = up * down
    w = (1.0 - scale) - scale * q
    t = scale * (1.0 + q)
    mid = w / (2.0 - w)
    steep = np.where(a.rad <= 0.5, np.minimum(4.0 * t / ((1.0 + t) * (1.0 + t)) * (1.0 + 4.0 * a.rad), 1.0), 1.0)
    rad = np.minimum(outward(steep * a.rad + 32 * U * mid), 2.0)
    return ball(np.copysign(mid, a.mid), rad)


@quiet
def softplus(a: Ball, threshold: float = inf) -> Ball:
    """ln(1 + e^a) for a ≤ threshold, and a itself above, as networks have it.

    With t = e^-|m|, softplus(m) = max(m, 0) + ln(1 + t). ln(1 + t) = 2·artanh(s), s = t/(2 + t) ∈ [0, 1/3], and
    artanh(s)/s = Σ s^2j/(2j + 1), cut after j = 17: the rest is at most 9^-18/37·9/8 < 2^-61. Horner's scheme in
    fl(s²) ≤ 1/9 errs by less than 3u (its steps shrink to a ninth), the two roundings of ŝ are magnified by at most
    1.1, and the product rounds once: with the 8u of t, less than 16u; underflows are η each. The last sum rounds once.
    softplus' = σ = 1/(1 + t) or t/(1 + t), at most 1, and |(ln σ)'| = 1 − σ ≤ 1.
    The two branches differ by ln(1 + e^-x), at most its value at the threshold for an x above it: where the ball does
    not tell which branch is right, that is added to the radius (1 at most for a threshold ≥ 0).
    """
    t = _exp(-np.abs(a.mid))
    whole = 1.0 + t
    s = t / (2.0 + t)
    square = s * s
    series = np.full(s.shape, _ARTANH[-1])
    for coefficient in _ARTANH[-2::-1]:
        series *= square
        series += coefficient
    mid = np.maximum(a.mid, 0.0) + 2.0 * s * series
    slope = np.where(a.mid >= 0, 1.0, t) / whole * np.where(a.rad <= 1, 1.0 + 2.0 * a.rad, inf)
    slope = np.where(slope <= 1, slope, 1.0)  # also for 0·inf
    rad = outward(slope * a.rad + 32 * U * mid)
    if threshold == inf:
        return ball(mid, rad)
    gap = softplus(exact(np.array([-threshold])))
    rad = np.where(np.nextafter(a.mid + a.rad, inf) <= threshold, rad, outward(rad + (gap.mid[0] + gap.rad[0])))
    above = np.nextafter(a.mid - a.rad, -inf) > threshold
    return ball(np.where(above, a.mid, mid), np.where(above, a.rad, rad))
