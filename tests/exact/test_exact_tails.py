from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import comb, inf, nan

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta as beta_distribution

from certifair.exact import tails
from certifair.exact.tails import (
    beta_mixture,
    beta_mixture_excludes,
    binomial_lower_tail_at_most,
    binomial_upper_tail_at_most,
    clopper_pearson,
    propose_beta_mixture,
)
from tests.oracles.exact_oracle import log_mixture, to_fraction, upper_tail, upper_tail_mp

FIXED = settings(derandomize=True, deadline=None)
UNIT = Fraction(1, 10**9)
PROBABILITIES = st.integers(1, 10**9 - 1).map(lambda k: Fraction(k, 10**9)) | st.sampled_from(
    [Fraction(1, 2), Fraction(1, 3), UNIT, 1 - UNIT, Fraction(1, 100), Fraction(9, 10)]
)


def propose_scipy(n: int, successes: int, tail: float) -> tuple[float, float]:
    failures = n - successes
    lower = float(beta_distribution.ppf(tail, successes, failures + 1)) if successes else 0.0
    return lower, float(beta_distribution.isf(tail, successes + 1, failures)) if failures else 1.0


@FIXED
@given(st.data(), st.integers(0, 60), PROBABILITIES)
def test_small_tails_are_decided_exactly(data: st.DataObject, n: int, p: Fraction) -> None:
    successes = data.draw(st.integers(0, n))
    upper = upper_tail(n, successes, p)
    lower = 1 - upper_tail(n, successes + 1, p)
    for tail, function in ((upper, binomial_upper_tail_at_most), (lower, binomial_lower_tail_at_most)):
        assert function(n, successes, p, tail)
        assert function(n, successes, p, tail - Fraction(1, 10**1000)) is (tail - Fraction(1, 10**1000) >= 1)


def large_cases() -> list[tuple[int, int, Fraction]]:
    """(n, successes, p) with successes > n·p, at 0 to 12 standard deviations and in the corners."""
    rng = np.random.default_rng(11)
    cases = [
        (401, 401, Fraction(1, 2)), (401, 400, 1 - UNIT), (401, 1, UNIT), (10**6, 1, UNIT), (10**6, 10**6, 1 - UNIT),
        (10**6, 500_001, Fraction(1, 2)), (10**9, 5, UNIT), (10**9, 10**9, 1 - UNIT),
        (500, 100, Fraction(1, 10**30)),
    ]  # fmt: skip
    for n in (401, 450, 1000, 5000, 60_000, 10**6):
        for sigmas in (0, 0.5, 2, 4, 12):
            p = Fraction(int(rng.integers(1, 10**9)), 10**9)
            successes = int(n * p + sigmas * float(n * p * (1 - p)) ** 0.5) + 1
            if successes <= n:
                cases.append((n, successes, p))
    return cases


@pytest.mark.parametrize(("n", "successes", "p"), large_cases())
def test_large_tails_are_decided_soundly_and_within_1e_9(n: int, successes: int, p: Fraction) -> None:
    tail = to_fraction(upper_tail_mp(n, successes, p))
    below, above = tail * (1 - Fraction(1, 10**25)), tail * (1 + UNIT)
    assert not binomial_upper_tail_at_most(n, successes, p, below)
    assert binomial_upper_tail_at_most(n, successes, p, above)
    assert not binomial_lower_tail_at_most(n, n - successes, 1 - p, below)
    assert binomial_lower_tail_at_most(n, n - successes, 1 - p, above)


@pytest.mark.parametrize(
    ("n", "successes", "p"),
    [(10**5, 99_999, Fraction(1, 2)), (10**9, 10**9 - 1, UNIT), (10**9, 10**9, UNIT), (500, 499, Fraction(1, 10**30))],
)
def test_tails_far_below_any_level(n: int, successes: int, p: Fraction) -> None:
    assert binomial_upper_tail_at_most(n, successes, p, Fraction(1, 10**5000))
    assert not binomial_lower_tail_at_most(n, successes, p, 1 - UNIT)


def test_a_billion_trials() -> None:
    n, p = 10**9, Fraction(1, 2)
    successes = 500_050_000  # sqrt(10) standard deviations
    tail = to_fraction(upper_tail_mp(n, successes, p))
    assert binomial_upper_tail_at_most(n, successes, p, tail * (1 + UNIT))
    assert not binomial_upper_tail_at_most(n, successes, p, tail * (1 - Fraction(1, 10**25)))


def test_the_oracle_agrees_with_rational_addition() -> None:
    for n, successes, p in ((90, 50, Fraction(1, 3)), (90, 90, Fraction(1, 3)), (70, 1, UNIT)):
        exact = upper_tail(n, successes, p)
        assert abs(to_fraction(upper_tail_mp(n, successes, p)) / exact - 1) < Fraction(1, 10**45)


def test_at_most_n_p_successes_are_never_improbable() -> None:
    for successes in (0, 1, 5000):
        assert not binomial_upper_tail_at_most(10_000, successes, Fraction(1, 2), 1 - UNIT)
        assert binomial_upper_tail_at_most(10_000, successes, Fraction(1, 2), Fraction(1))
    assert not binomial_upper_tail_at_most(10_000, 9_000, Fraction(1, 2), Fraction(0))
    assert not binomial_upper_tail_at_most(10, 9, Fraction(1, 2), Fraction(-1))


@pytest.mark.parametrize(
    ("n", "successes", "p"),
    [(500, 260, Fraction(1, 2)), (700, 701 * 3 // 10, Fraction(3, 10)), (900, 10, Fraction(1, 100)),
     (600, 599, 1 - UNIT * 3 * 10**6), (1500, 1, Fraction(1, 2000)), (2000, 1001, Fraction(1, 2)),
     (450, 450, Fraction(1, 2))],
)  # fmt: skip
def test_the_ratio_sum_is_a_tight_upper_bound(n: int, successes: int, p: Fraction) -> None:
    a, b = p.numerator, p.denominator - p.numerator
    terms = [comb(n, j) * a ** (j - successes) * b ** (n - j) for j in range(successes, n + 1)]
    exact = Fraction(sum(terms), terms[0])
    assert exact <= Fraction(tails._ratio_sum(n, successes, p)) <= exact * (1 + Fraction(1, 10**11))


def test_the_ratio_sum_is_an_upper_bound_on_random_instances() -> None:
    # The true sums are within the inflation of a few 1e-16 per term, so a bound rounded to nearest would fail here.
    rng = np.random.default_rng(3)
    for _ in range(300):
        n = int(rng.integers(401, 900))
        p = Fraction(int(rng.integers(1, 10**9)), 10**9)
        successes = min(n, int(n * p) + 1 + int(rng.integers(0, 40)))
        odds, term, exact = p / (1 - p), Fraction(1), Fraction(1)
        for j in range(successes, min(n, successes + 60)):
            term *= Fraction(n - j, j + 1) * odds
            term = Fraction(int(term * 2**200), 2**200)  # truncated: still a lower bound, and short
            exact += term
        assert exact <= Fraction(tails._ratio_sum(n, successes, p))


@pytest.mark.parametrize("n", [0, 1, 2, 30, 40, 50, 60, 64, 65, 66, 100, 1000, 12345, 10**6, 10**9, 2 * 10**9])
def test_log_factorials_are_within_the_stated_error(n: int) -> None:
    with mpmath.workdps(90):
        exact = to_fraction(mpmath.loggamma(n + 1))
    # 2e-37 for the series and 1e-48 per unit of magnitude for the roundings; a term left out would exceed it at 65.
    assert abs(Fraction(tails._log_factorial(n)) - exact) < Fraction(2, 10**37) + abs(exact) / 10**47


def test_the_series_has_the_bernoulli_coefficients() -> None:
    for k, (numerator, denominator) in enumerate(tails._STIRLING, start=1):
        p, q = mpmath.bernfrac(2 * k)
        assert Fraction(numerator, denominator) == Fraction(int(p), int(q)) / (2 * k * (2 * k - 1))
    p, q = mpmath.bernfrac(22)
    assert Fraction(int(p), int(q)) / (22 * 21) / 65**21 < Fraction(12, 10**38)


@FIXED
@given(st.data(), st.integers(0, 40), PROBABILITIES)
def test_small_mixtures_are_decided_exactly(data: st.DataObject, n: int, p: Fraction) -> None:
    successes = data.draw(st.integers(0, n))
    mixture = Fraction(1)  # the sequential form: predict success with (S + 1/2)/(n + 1)
    for i in range(successes):
        mixture *= (i + Fraction(1, 2)) / (i + 1) / p
    for i in range(n - successes):
        mixture *= (i + Fraction(1, 2)) / (successes + i + 1) / (1 - p)
    assert beta_mixture_excludes(n, successes, p, mixture)
    assert not beta_mixture_excludes(n, successes, p, mixture * (1 + Fraction(1, 10**300)))


@pytest.mark.parametrize(
    ("n", "successes"), [(401, 0), (401, 401), (401, 7), (1000, 500), (10**6, 3), (10**6, 400_000), (10**9, 10**8)]
)
@pytest.mark.parametrize("p", [Fraction(1, 2), Fraction(1, 3), UNIT, 1 - UNIT, Fraction(40_123, 10**5)])
def test_large_mixtures_are_decided_soundly_and_tightly(n: int, successes: int, p: Fraction) -> None:
    exact = log_mixture(n, successes, p)
    if abs(exact) > 10_000:  # such an inverse level cannot be written down
        assert beta_mixture_excludes(n, successes, p, Fraction(10**4000)) is bool(exact > 0)
        return
    with mpmath.workdps(70):
        inverse_level = to_fraction(mpmath.exp(exact))
    assert beta_mixture_excludes(n, successes, p, inverse_level * (1 - Fraction(1, 10**25)))
    assert not beta_mixture_excludes(n, successes, p, inverse_level * (1 + Fraction(1, 10**35)))


@pytest.mark.parametrize("n", [3, 1000])
def test_impossible_counts_are_excluded_and_certain_ones_are_not(n: int) -> None:
    assert beta_mixture_excludes(n, 1, Fraction(0), Fraction(10**100))
    assert beta_mixture_excludes(n, n - 1, Fraction(1), Fraction(10**100))
    for successes, p in ((0, Fraction(0)), (n, Fraction(1))):
        assert not beta_mixture_excludes(n, successes, p, Fraction(1))
        # With no surprise M = (2n)!/(4^n n!^2), about 1/sqrt(pi·n).
        assert beta_mixture_excludes(n, successes, p, Fraction(99, 100) * Fraction(1 / (3.1416 * n + 1) ** 0.5))


CASES = [(0, 0), (1, 0), (1, 1), (20, 3), (400, 400), (401, 0), (401, 401), (1000, 1), (1000, 999), (5000, 1234),
         (10**6, 500_000), (10**6, 2), (10**9, 123_456_789)]  # fmt: skip
TAILS = [Fraction(1, 40), Fraction(5, 10**4), Fraction(1, 10**12)]


@pytest.mark.parametrize(("n", "successes"), CASES)
@pytest.mark.parametrize("tail", TAILS)
def test_clopper_pearson_agrees_with_scipy_outward(n: int, successes: int, tail: Fraction) -> None:
    lower, upper = clopper_pearson(n, successes, tail, propose_scipy)
    low, high = propose_scipy(n, successes, float(tail))
    assert 0 <= lower <= Fraction(low) + Fraction(1, 10**11)
    assert 1 >= upper >= Fraction(high) - Fraction(1, 10**11)
    assert low - lower < 4e-9
    assert upper - high < 4e-9
    assert lower % UNIT == upper % UNIT == 0


@pytest.mark.parametrize(("n", "successes"), CASES)
@pytest.mark.parametrize("tail", TAILS)
def test_beta_mixture_bounds_are_excluded_and_next_to_bounds_that_are_not(
    n: int, successes: int, tail: Fraction
) -> None:
    lower, upper = beta_mixture(n, successes, tail)
    assert lower * n <= successes <= upper * n
    target = mpmath.log(1 / (2 * mpmath.mpf(tail.numerator) / tail.denominator))
    for bound, inward in ((lower, UNIT), (upper, -UNIT)):
        if 0 < bound < 1:
            assert log_mixture(n, successes, bound) >= target - 1e-12
            assert log_mixture(n, successes, bound + 3 * inward) < target
        else:
            assert bound in (0, 1)
    assert (lower == 0) >= (successes == 0)
    assert (upper == 1) >= (successes == n)


BAD_PROPOSALS: list[Callable[[int, int, float], tuple[float, float]]] = [
    lambda n, s, t: (nan, nan),
    lambda n, s, t: (inf, -inf),
    lambda n, s, t: (0.999, 0.001),
    lambda n, s, t: (s / n, s / n),
    lambda n, s, t: (-3.0, 7.0),
    lambda n, s, t: (1.0, 0.0),
    lambda n, s, t: (1e300, -1e300),
]


@pytest.mark.parametrize("propose", BAD_PROPOSALS)
@pytest.mark.parametrize(("n", "successes"), [(30, 10), (900, 300), (10**5, 3)])
def test_bounds_do_not_depend_on_honest_proposals(
    propose: Callable[[int, int, float], tuple[float, float]], n: int, successes: int
) -> None:
    tail = Fraction(1, 40)
    low, high = propose_scipy(n, successes, float(tail))
    lower, upper = clopper_pearson(n, successes, tail, propose, places=6)
    assert 0 <= lower <= low
    assert 1 >= upper >= high
    low, high = propose_beta_mixture(n, successes, float(tail))
    lower, upper = beta_mixture(n, successes, tail, propose, places=6)
    assert 0 <= lower <= low + 1e-12
    assert 1 >= upper >= high - 1e-12


def test_a_proposal_one_unit_too_tight_is_widened_by_little() -> None:
    def tight(n: int, successes: int, tail: float) -> tuple[float, float]:
        low, high = propose_scipy(n, successes, tail)
        return low + 1.5e-9, high - 1.5e-9

    lower, upper = clopper_pearson(5000, 1234, Fraction(1, 40), tight)
    low, high = propose_scipy(5000, 1234, 0.025)
    assert low - 6e-9 < lower <= low
    assert high <= upper < high + 6e-9


@pytest.mark.parametrize(
    ("n", "successes", "p"),
    [(10, 11, Fraction(1, 2)), (10, -1, Fraction(1, 2)), (10**9 + 1, 5, Fraction(1, 2)), (10, 5, Fraction(0)),
     (10, 5, Fraction(1)), (10, 5, Fraction(-1, 2)), (10, 5, Fraction(3, 2)), (10, 5, Fraction(1, 10**31))],
)  # fmt: skip
def test_misuse_is_refused(n: int, successes: int, p: Fraction) -> None:
    for function in (binomial_upper_tail_at_most, binomial_lower_tail_at_most):
        with pytest.raises(ValueError, match=r"need|p must"):
            function(n, successes, p, Fraction(1, 20))
    if p not in (0, 1):
        with pytest.raises(ValueError, match=r"need|p must"):
            beta_mixture_excludes(n, successes, p, Fraction(20))


def test_misuse_of_levels_and_places_is_refused() -> None:
    with pytest.raises(ValueError, match="inverse_level"):
        beta_mixture_excludes(10, 5, Fraction(1, 2), Fraction(0))
    with pytest.raises(ValueError, match="bits"):
        binomial_upper_tail_at_most(1000, 900, Fraction(1, 2), Fraction(1, 10**7000))
    for tail, places in ((Fraction(0), 9), (Fraction(51, 100), 9), (Fraction(1, 40), 0), (Fraction(1, 40), 16)):
        with pytest.raises(ValueError, match=r"tail|places"):
            clopper_pearson(10, 5, tail, propose_scipy, places)
