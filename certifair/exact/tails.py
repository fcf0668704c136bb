"""Certified one-sided statements about a binomial count: True means proven, False means nothing.

Up to 400 trials everything is decided in exact integers. Above, logarithms are taken with `decimal` at 50 digits and
compared with a slack of 1e-30 that exceeds the sum of all errors:
- The operators +, -, *, / and the functions ln of `decimal` are correctly rounded (libmpdec documents it for ln and
  exp too), so each errs by at most 10^-49 relative. With n <= 10^9 and denominators of p up to 10^30, every number
  here is below 10^12 in magnitude and fewer than 1000 operations are made: in sum less than 10^-34, with the error of
  ln p multiplied by n included.
- Stirling's series for ln n! is cut with an error below 2·10^-37 (see `_log_factorial`), at most six times.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from fractions import Fraction
from functools import lru_cache
from math import factorial, floor, isfinite, lgamma, log, log1p, pi
from typing import Final

Proposer = Callable[[int, int, float], tuple[float, float]]
"""(n, successes, tail) -> float proposals (lower, upper). They need not be right: they are confirmed."""

_EXACT_UP_TO: Final = 400
_MAX_TRIALS: Final = 10**9
_MAX_DENOMINATOR: Final = 10**30
_MAX_LEVEL_BITS: Final = 20_000
_CONTEXT: Final = Context(
    prec=50, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999, capitals=1, clamp=0,
    flags=[], traps=[InvalidOperation, DivisionByZero, Overflow],
)  # fmt: skip
_SLACK: Final = Decimal("1e-30")
# ln(2·pi)/2 to 60 decimals, and B_2k/(2k(2k-1)) for k = 1 .. 10.
_HALF_LOG_TWO_PI: Final = Decimal("0.918938533204672741780329736405617639861397473637783412817152")
_STIRLING: Final = (
    (1, 12), (-1, 360), (1, 1260), (-1, 1680), (1, 1188),
    (-691, 360360), (1, 156), (-3617, 122400), (43867, 244188), (-174611, 125400),
)  # fmt: skip
_STIRLING_FROM: Final = 65
# The ratio sum stops when what is left is below this share; the rest is bounded by a geometric series.
_NEGLIGIBLE: Final = 1e-13


def binomial_upper_tail_at_most(n: int, successes: int, p: Fraction, level: Fraction) -> bool:
    """True only if it is proven that P(Bin(n, p) >= successes) <= level.

    n <= 400: exact integers. Otherwise the tail is t·(1 + r_S + r_S·r_{S+1} + ...), where t = P(X = S) and
    r_j = ((n-j)/(j+1))·(p/(1-p)); t is bounded through logarithms and the sum by `_ratio_sum`. True whenever the tail
    is below level·(1 - 1e-9), except if successes <= n·p with n > 400: then the tail is at least about 1/2 and the
    answer is False for every level < 1.
    Errors: ValueError unless 0 <= successes <= n <= 10^9 and 0 < p < 1 with a denominator up to 10^30.
    """
    _check_counts(n, successes)
    _check_probability(p)
    if level <= 0 or level >= 1:
        return level >= 1
    if n <= _EXACT_UP_TO:
        return _exact_upper_tail_at_most(n, successes, p, level)
    if successes <= n * p:
        return False
    ratio_sum = _ratio_sum(n, successes, p)
    with localcontext(_CONTEXT):
        log_choose = _log_factorial(n) - _log_factorial(successes) - _log_factorial(n - successes)
        log_tail = log_choose + _log_power(n, successes, p) + Decimal(ratio_sum).ln()
        return log_tail + _SLACK <= _log(level)


def binomial_lower_tail_at_most(n: int, successes: int, p: Fraction, level: Fraction) -> bool:
    """True only if it is proven that P(Bin(n, p) <= successes) <= level.

    The failures are Bin(n, 1-p), and X <= S means at least n - S failures. Errors as in the upper tail.
    """
    return binomial_upper_tail_at_most(n, n - successes, 1 - p, level)


def beta_mixture_excludes(n: int, successes: int, p: Fraction, inverse_level: Fraction) -> bool:
    """True only if it is proven that M = (2S)!(2F)!/(4^n S! F! n!) / (p^S (1-p)^F) >= inverse_level, F = n - S.

    M is the likelihood ratio of the Beta(1/2, 1/2) mixture against p, B(S+1/2, F+1/2)/B(1/2, 1/2) over the likelihood,
    with Gamma(k+1/2) = (2k)!·sqrt(pi)/(4^k k!). Under p it is a non-negative martingale with mean 1, so by Ville's
    inequality it ever reaches inverse_level with probability at most 1/inverse_level: excluding p is valid at all
    times at once. 0^0 = 1, and M is infinite if the counts are impossible under p.
    Errors: ValueError unless 0 <= successes <= n <= 10^9, 0 <= p <= 1 (denominator up to 10^30), inverse_level > 0.
    """
    _check_counts(n, successes)
    if inverse_level <= 0:
        raise ValueError("inverse_level must be positive")
    failures = n - successes
    if p in (0, 1):
        if successes if p == 0 else failures:
            return True  # the likelihood is 0
    else:
        _check_probability(p)
    if n <= _EXACT_UP_TO:
        a, d = p.numerator, p.denominator
        mixture: int = factorial(2 * successes) * factorial(2 * failures) * d**n
        scale: int = 4**n * factorial(successes) * factorial(failures) * factorial(n)
        likelihood: int = a**successes * (d - a) ** failures
        return mixture * inverse_level.denominator >= inverse_level.numerator * scale * likelihood
    with localcontext(_CONTEXT):
        log_mixture = _log_factorial(2 * successes) + _log_factorial(2 * failures) - n * Decimal(4).ln()
        log_mixture -= _log_factorial(successes) + _log_factorial(failures) + _log_factorial(n)
        return log_mixture - _log_power(n, successes, p) >= _log(inverse_level) + _SLACK


def clopper_pearson(
    n: int, successes: int, tail: Fraction, propose: Proposer, places: int = 9
) -> tuple[Fraction, Fraction]:
    """Confidence bounds (lower, upper), multiples of 10^-places: each fails with probability at most `tail`.

    Clopper and Pearson (1934): P_p(X >= S) grows with p, so once it is at most `tail` at p = lower, it is so at every
    p <= lower; upper alike. `propose` only saves time: each bound is confirmed by the tails above, and widened by
    1, 2, 4, ... units until it is; 0 and 1 need no confirmation.
    Errors: ValueError unless 0 <= successes <= n <= 10^9, 0 < tail <= 1/2 and 1 <= places <= 15.
    """

    def excluded_below(p: Fraction) -> bool:
        return binomial_upper_tail_at_most(n, successes, p, tail)

    def excluded_above(p: Fraction) -> bool:
        return binomial_lower_tail_at_most(n, successes, p, tail)

    return _confirmed_bounds(n, successes, tail, propose, places, excluded_below, excluded_above)


def propose_beta_mixture(n: int, successes: int, tail: float) -> tuple[float, float]:
    """Float proposals for `beta_mixture`: bisection of ln M(p), which decreases up to S/n and increases from there."""
    failures = n - successes
    mixture = lgamma(successes + 0.5) + lgamma(failures + 0.5) - lgamma(n + 1.0) - log(pi)
    target = mixture + log(2 * tail)

    def excluded(p: float) -> bool:
        if not 0 < p < 1:  # the middle of 1 - 2^-53 and 1 rounds to 1
            return True
        likelihood = (successes * log(p) if successes else 0.0) + (failures * log1p(-p) if failures else 0.0)
        return likelihood <= target

    def edge(far: float, near: float) -> float:
        for _ in range(60):
            middle = (far + near) / 2
            if excluded(middle):
                far = middle
            else:
                near = middle
        return far

    rate = successes / n if n else 0.5
    return (edge(0.0, rate) if successes else 0.0), (edge(1.0, rate) if failures else 1.0)


def beta_mixture(
    n: int, successes: int, tail: Fraction, propose: Proposer = propose_beta_mixture, places: int = 9
) -> tuple[Fraction, Fraction]:
    """Bounds (lower, upper), multiples of 10^-places, that enclose p at all times with probability >= 1 - 2·tail.

    The set not excluded by `beta_mixture_excludes` at inverse_level 1/(2·tail). ln M(p) is convex with its minimum at
    S/n, so if lower <= S/n is excluded, all p <= lower are; upper alike. Hence the bounds must enclose S/n.
    Confirmation, widening and errors as in `clopper_pearson`.
    """

    def excluded(p: Fraction) -> bool:
        return beta_mixture_excludes(n, successes, p, 1 / (2 * tail))

    def excluded_below(p: Fraction) -> bool:
        return p * n <= successes and excluded(p)

    def excluded_above(p: Fraction) -> bool:
        return p * n >= successes and excluded(p)

    return _confirmed_bounds(n, successes, tail, propose, places, excluded_below, excluded_above)


def _confirmed_bounds(
    n: int,
    successes: int,
    tail: Fraction,
    propose: Proposer,
    places: int,
    excluded_below: Callable[[Fraction], bool],
    excluded_above: Callable[[Fraction], bool],
) -> tuple[Fraction, Fraction]:
    """Round the proposals outward and widen each until it is confirmed; the ends 0 and 1 always hold."""
    _check_counts(n, successes)
    if not 0 < tail <= Fraction(1, 2):
        raise ValueError("tail must be in (0, 1/2]")
    if not 1 <= places <= 15:
        raise ValueError("places must be in [1, 15]")
    unit = 10**places
    low, high = propose(n, successes, float(tail))
    lower = floor(Fraction(low) * unit) if isfinite(low) else 0
    upper = -floor(-Fraction(high) * unit) if isfinite(high) else unit
    lower = _widen(min(lower, unit - 1), -1, unit, excluded_below)
    upper = _widen(max(upper, 1), +1, unit, excluded_above)
    return Fraction(lower, unit), Fraction(upper, unit)


def _widen(start: int, outward: int, unit: int, excluded: Callable[[Fraction], bool]) -> int:
    """The first of start, start ± 1, ± 2, ± 4, ... (in units) that is excluded, or the end 0 or `unit`."""
    candidate, step = start, 1
    while 0 < candidate < unit:
        if excluded(Fraction(candidate, unit)):
            return candidate
        candidate, step = start + outward * step, 2 * step
    return 0 if outward < 0 else unit


def _exact_upper_tail_at_most(n: int, successes: int, p: Fraction, level: Fraction) -> bool:
    """sum over j >= S of C(n,j) a^j b^(n-j) <= level·d^n for p = a/d, b = d - a, in integers (Horner's scheme)."""
    a, d = p.numerator, p.denominator
    b = d - a
    choose, power, total = 1, 1, 1  # C(n, j), b^(n-j), and the sum divided by a^j; now at j = n
    for j in range(n - 1, successes - 1, -1):
        choose = choose * (j + 1) // (n - j)
        power *= b
        total = total * a + choose * power
    tail: int = total * a**successes
    whole: int = d**n
    return tail * level.denominator <= level.numerator * whole


def _ratio_sum(n: int, successes: int, p: Fraction) -> float:
    """An upper bound of 1 + r_S + r_S·r_{S+1} + ..., r_j = ((n-j)/(j+1))·odds, for S > n·p, relatively 1e-9 or better.

    With u = 2^-53 (division of Python integers is correctly rounded): the odds are off by (1-u) and inflated by a
    product with 1 + 8u, which loses another (1-u); a computed ratio loses two more factors (1-u) and its product with
    the term one, in sum (1-u)^5·(1+8u) > 1. So by induction every computed term is an upper bound, and so is every
    ratio. Ratios decrease in j, so what follows a term is at most term·r/(1-r). Adding k positive terms loses at most
    a factor (1-u)^k, which the last factor repays. No number underflows: a term is kept only if it exceeds
    1e-13·(1-r) >= 1e-13·u, and the odds are above 1e-30.
    """
    odds = p.numerator / (p.denominator - p.numerator) * (1 + 2.0**-50)
    total = term = 1.0
    j = successes
    while True:
        ratio = (n - j) / (j + 1) * odds
        if term * ratio <= _NEGLIGIBLE * total * (1 - ratio):  # never true at ratio >= 1: the left side is positive
            break
        term *= ratio
        total += term
        j += 1
    remainder = term * ratio / (1 - ratio) * (1 + 2.0**-40)
    return (total + remainder) * (1 + (j - successes + 8) * 2.0**-52)


def _log_power(n: int, successes: int, p: Fraction) -> Decimal:
    """ln(p^S (1-p)^F) with 0^0 = 1; the caller holds the context and has excluded the power 0."""
    log_power = Decimal(0)
    if successes:
        log_power += successes * _log(p)
    if n - successes:
        log_power += (n - successes) * _log(1 - p)
    return log_power


def _log(value: Fraction) -> Decimal:
    """ln of a positive rational, in the caller's context; absolute error below 10^-48·(1 + |ln value|)."""
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_LEVEL_BITS:
        raise ValueError("a level with more than 20000 bits")
    return (Decimal(value.numerator) / Decimal(value.denominator)).ln()


@lru_cache(maxsize=64)
def _log_factorial(n: int) -> Decimal:
    """ln n! with an error below 2·10^-37 plus roundings.

    Stirling's series envelops (Whittaker and Watson, section 12.33): cut after k terms, the error is smaller than
    the first term left out. Here that is 77683/5796 / n^21 <= 13.41/65^21 < 1.2·10^-37. Below 65, n! is an integer.
    """
    with localcontext(_CONTEXT):
        if n < _STIRLING_FROM:
            return (+Decimal(factorial(n))).ln()
        x = Decimal(n)
        series, square = Decimal(0), x * x
        for numerator, denominator in reversed(_STIRLING):
            series = series / square + Decimal(numerator) / denominator
        return x * x.ln() - x + x.ln() / 2 + _HALF_LOG_TWO_PI + series / x


def _check_counts(n: int, successes: int) -> None:
    """Refuse counts outside the range for which the error analysis at the top holds."""
    if not 0 <= successes <= n <= _MAX_TRIALS:
        raise ValueError(f"need 0 <= successes <= n <= 10^9, got {successes} of {n}")


def _check_probability(p: Fraction) -> None:
    """Refuse a p outside the range for which the error analysis at the top holds."""
    if not 0 < p < 1 or p.denominator > _MAX_DENOMINATOR:
        raise ValueError("p must lie strictly between 0 and 1, with a denominator of at most 10^30")
