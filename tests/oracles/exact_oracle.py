"""Slow and obvious re-computations for `certifair.exact`, which they do not import."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb
from typing import Any

import mpmath

DIGITS = 70


def cell_sums(values: Sequence[float], codes: Sequence[int], size: int) -> list[Fraction]:
    """One rational addition per row."""
    sums = [Fraction(0)] * size
    for value, code in zip(values, codes, strict=True):
        if code >= 0:
            sums[code] += Fraction(value)
    return sums


def upper_tail(n: int, successes: int, p: Fraction) -> Fraction:
    """P(Bin(n, p) >= successes), term by term."""
    return sum((comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(successes, n + 1)), Fraction(0))


def upper_tail_mp(n: int, successes: int, p: Fraction) -> Any:
    """The same to about 50 digits for n up to 10^9 and successes > n·p: log-gamma and a sum at high precision."""
    with mpmath.workdps(DIGITS):
        q = mpmath.mpf(p.numerator) / p.denominator
        term = mpmath.exp(
            mpmath.loggamma(n + 1)
            - mpmath.loggamma(successes + 1)
            - mpmath.loggamma(n - successes + 1)
            + successes * mpmath.log(q)
            + (n - successes) * mpmath.log(1 - q)
        )
        odds = q / (1 - q)
        total, j = term, successes
        while j < n and term > total * mpmath.mpf(10) ** -50:
            term *= odds * (n - j) / (j + 1)
            total += term
            j += 1
        return total


def log_mixture(n: int, successes: int, p: Fraction) -> Any:
    """ln of B(S+1/2, F+1/2)/B(1/2, 1/2)/(p^S (1-p)^F) for 0 < p < 1, from the beta functions."""
    with mpmath.workdps(DIGITS):
        q = mpmath.mpf(p.numerator) / p.denominator
        half = mpmath.mpf(1) / 2
        failures = n - successes
        beta = mpmath.loggamma(successes + half) + mpmath.loggamma(failures + half) - mpmath.loggamma(n + 1)
        return beta - mpmath.log(mpmath.pi) - successes * mpmath.log(q) - failures * mpmath.log(1 - q)


def to_fraction(value: Any) -> Fraction:
    """An mpmath number as the exact rational it is."""
    sign, mantissa, exponent, _ = value._mpf_
    return Fraction(-int(mantissa) if sign else int(mantissa)) * Fraction(2) ** int(exponent)


def bregman(y: Fraction, z: Fraction, s: Fraction, lower: Fraction, upper: Fraction) -> Fraction:
    """h(y) - h(w) from its definition, h(t) = (t - z)²/2 + s·t and w = clip(z - s, lower, upper)."""
    w = min(max(z - s, lower), upper)
    return ((y - z) ** 2 - (w - z) ** 2) / 2 + s * (y - w)


def parity_projection(
    z: Sequence[Fraction], groups: Sequence[int], epsilon: Fraction, steps: int = 200
) -> tuple[list[Fraction], Fraction]:
    """The projection onto [0, 1]^n with |mean of group 1 - mean of group 0| <= epsilon, and its multiplier.

    Rational bisection of the multiplier (2^-steps): the difference of means falls as the multiplier grows.
    """
    sizes = [groups.count(0), groups.count(1)]
    weights = [Fraction(1, sizes[1]) if g else -Fraction(1, sizes[0]) for g in groups]

    def clipped(nu: Fraction) -> list[Fraction]:
        return [min(max(value - nu * a, Fraction(0)), Fraction(1)) for value, a in zip(z, weights, strict=True)]

    def difference(nu: Fraction) -> Fraction:
        return sum((a * value for a, value in zip(weights, clipped(nu), strict=True)), Fraction(0))

    start = difference(Fraction(0))
    if abs(start) <= epsilon:
        return clipped(Fraction(0)), Fraction(0)
    target = epsilon if start > 0 else -epsilon
    low, high = sorted([Fraction(0), Fraction(2 * max(sizes) * (1 if start > 0 else -1))])
    for _ in range(steps):
        middle = (low + high) / 2
        if difference(middle) > target:
            low = middle
        else:
            high = middle
    multiplier = high if start > 0 else low
    return clipped(multiplier), multiplier
