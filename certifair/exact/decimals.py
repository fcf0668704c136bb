"""Exact rationals to and from text, and roundings with a known direction. Standard library only, no floats.

Everything is integer arithmetic on `Fraction`, so there is no rounding but the one a function is named after.
Texts are limited in length (400 and 2400 characters) far below the 4300 digits at which Python refuses to convert.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache
from math import isqrt
from typing import Final

_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_RATIONAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:/[1-9][0-9]*)?")
_MAX_DECIMAL_CHARS: Final = 400
_MAX_RATIONAL_CHARS: Final = 2400
# 4000 decimal digits are below 13 300 bits: what is larger is refused before an expensive conversion starts.
_MAX_BITS: Final = 13_300
PLACES: Final = 12
"""Digits after the point of every published figure."""
_MAX_PLACES: Final = 4000


@lru_cache(maxsize=1 << 14)
def parse_decimal(text: str) -> Fraction:
    """The exact value of a plain decimal such as `-12.50`: ASCII digits, no exponent, no `+`, no spaces.

    Trailing zeros and `-0` are accepted (the value is what counts); leading zeros are not.
    Errors: ValueError if the text has another form or more than 400 characters.

    >>> parse_decimal("0.250")
    Fraction(1, 4)
    """
    if len(text) > _MAX_DECIMAL_CHARS or not _DECIMAL.fullmatch(text):
        raise ValueError(f"not a plain decimal: {text[:40]!r}")
    whole, _, fraction = text.partition(".")
    return Fraction(int(whole + fraction), 10 ** len(fraction))


def format_decimal(value: Fraction) -> str:
    """The canonical finite decimal that equals `value`: no superfluous zero, `0` for zero, never `-0`.

    Errors: ValueError if the expansion is infinite (the denominator has a prime factor other than 2 and 5)
    or longer than about 4000 digits.

    >>> format_decimal(Fraction(-5, 4)), format_decimal(Fraction(0))
    ('-1.25', '0')
    """
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise ValueError("the number is too long for a decimal text")
    places = _decimal_places(value.denominator)
    # Exact: the denominator divides 10**places. The fraction is in lowest terms, so the last digit is not 0.
    scaled = value.numerator * 10**places // value.denominator
    digits = str(abs(scaled)).zfill(places + 1)
    sign = "-" if scaled < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def round_down(value: Fraction, places: int) -> str:
    """The largest decimal <= `value` with at most `places` decimals, in canonical form.

    Errors: ValueError if places is not in [0, 4000].

    >>> round_down(Fraction(-1, 3), 2), round_down(Fraction(1, 2), 4)
    ('-0.34', '0.5')
    """
    unit = _unit(places)
    return format_decimal(Fraction(value.numerator * unit // value.denominator, unit))


def round_up(value: Fraction, places: int) -> str:
    """The smallest decimal >= `value` with at most `places` decimals, in canonical form.

    Errors: ValueError if places is not in [0, 4000].

    >>> round_up(Fraction(-1, 3), 2), round_up(Fraction(1, 3), 2)
    ('-0.33', '0.34')
    """
    unit = _unit(places)
    return format_decimal(Fraction(-(-value.numerator * unit // value.denominator), unit))


def parse_rational(text: str) -> Fraction:
    """The value of a canonical `p` or `p/q`: lowest terms, q > 1, sign on p only, no leading zero, no `-0`.

    Only one text stands for a value, so a signed document cannot be rewritten without changing its bytes.
    Errors: ValueError if the text is not canonical or has more than 2400 characters.

    >>> parse_rational("-7/3")
    Fraction(-7, 3)
    """
    if len(text) > _MAX_RATIONAL_CHARS or not _RATIONAL.fullmatch(text):
        raise ValueError(f"not a canonical rational: {text[:40]!r}")
    numerator, _, denominator = text.partition("/")
    value = Fraction(int(numerator), int(denominator or "1"))
    if format_rational(value) != text:
        raise ValueError(f"not in lowest terms or not canonical: {text[:40]!r}")
    return value


@lru_cache(maxsize=1 << 14)
def parse_dyadic(text: str) -> Fraction:
    """A canonical rational that sums of float64 can be: its denominator is a power of two, at most 2^1074.

    So sums of many are as cheap as sums of integers, whoever wrote them. Errors: ValueError.
    """
    value = parse_rational(text)
    q = value.denominator
    if q & (q - 1) or q.bit_length() > 1075:
        raise ValueError(f"{text[:40]} is no sum of float64 numbers")
    return value


def format_rational(value: Fraction) -> str:
    """The canonical `p` or `p/q` of a rational; `parse_rational` reads it back.

    Errors: ValueError if the text would have more than 2400 characters.

    >>> format_rational(Fraction(6, -4)), format_rational(Fraction(4, 2))
    ('-3/2', '2')
    """
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise ValueError("the rational is too long")
    text = str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"
    if len(text) > _MAX_RATIONAL_CHARS:
        raise ValueError("the rational is too long")
    return text


def sqrt_up(value: Fraction, places: int) -> Fraction:
    """The smallest multiple k·10^-places, k >= 0, whose square is >= `value`: an upper bound of the square root.

    Exact: with m = ceil(value·10^(2·places)), an integer k has k² >= value·10^(2·places) if and only if k² >= m,
    and the smallest such k for m >= 1 is isqrt(m - 1) + 1.
    Errors: ValueError if value < 0 or places is not in [0, 4000].

    >>> sqrt_up(Fraction(2), 3), sqrt_up(Fraction(9, 4), 3)
    (Fraction(283, 200), Fraction(3, 2))
    """
    if value < 0:
        raise ValueError("the square root of a negative number")
    unit = _unit(places)
    m = -(-value.numerator * unit * unit // value.denominator)
    return Fraction(isqrt(m - 1) + 1 if m else 0, unit)


def _unit(places: int) -> int:
    """10**places, the number of roundoff units in 1."""
    if not 0 <= places <= _MAX_PLACES:
        raise ValueError(f"places must be in [0, {_MAX_PLACES}], got {places}")
    return int(10**places)


def _decimal_places(denominator: int) -> int:
    """The number of decimals of a fraction in lowest terms: max(a, b) for the denominator 2^a·5^b."""
    twos = (denominator & -denominator).bit_length() - 1
    rest = denominator >> twos
    fives = 0
    while rest > 1:
        rest, remainder = divmod(rest, 5)
        if remainder:
            raise ValueError("the number has no finite decimal expansion")
        fives += 1
    places = max(twos, fives)
    if places > _MAX_PLACES:
        raise ValueError("the number is too long for a decimal text")
    return places


def outward(value: Fraction, direction: int) -> float:
    """The nearest float64 that is at most (direction −1) or at least (1) the value.

    >>> outward(Fraction(1, 10), -1) < Fraction(1, 10) < outward(Fraction(1, 10), 1)
    True
    """
    near = float(value)
    return math.nextafter(near, direction * math.inf) if (Fraction(near) - value) * direction < 0 else near


def largest_float_at_most(value: Fraction) -> float:
    """For every float64 x: x > value exactly if x > this. So a threshold is compared as it was written."""
    return outward(value, -1)
