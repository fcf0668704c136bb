from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import nextafter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from certifair.exact import sums
from certifair.exact.duality import bregman_upper, enclose, sum_up
from tests.oracles.exact_oracle import bregman, parity_projection

FIXED = settings(derandomize=True, deadline=None)
TINY = 5e-324
Vector = NDArray[np.float64]


def shift_samples(low: float, high: float) -> list[Fraction]:
    a, b = Fraction(low), Fraction(high)
    return [a, b, (a + b) / 2, a + (b - a) / 7]


def assert_bounds(y: Vector, z: Vector, low: Vector, high: Vector, lower: Fraction, upper: Fraction) -> Vector:
    bounds = bregman_upper(y, z, low, high, enclose(lower), enclose(upper))
    assert (bounds >= 0).all()
    for i, bound in enumerate(bounds):
        if np.isinf(bound):
            continue
        for s in shift_samples(float(low[i]), float(high[i])):
            exact = bregman(Fraction(float(y[i])), Fraction(float(z[i])), s, lower, upper)
            assert exact <= Fraction(float(bound)), (y[i], z[i], low[i], high[i])
    return bounds


@pytest.mark.parametrize("box", [(Fraction(0), Fraction(1)), (Fraction(1, 10), Fraction(2, 3)), (Fraction(1, 3),) * 2])
def test_bounds_hold_on_random_rows(box: tuple[Fraction, Fraction]) -> None:
    rng = np.random.default_rng(1)
    n = 3000
    z, s = rng.normal(0.5, 0.5, n), rng.normal(0, 0.3, n) * 10.0 ** rng.integers(-18, 1, n)
    width = np.abs(s) * 10.0 ** rng.integers(-17, 0, n)
    y = np.where(rng.random(n) < 0.5, z - s, z - s + rng.normal(size=n) * 10.0 ** rng.integers(-18, 0, n))
    y = np.clip(y, float(box[0]), float(box[1]))
    assert_bounds(y, z, s - width, s + width, *box)


def test_bounds_hold_for_every_box_in_wide_enclosures() -> None:
    rng = np.random.default_rng(4)
    for _ in range(60):
        ends = np.sort(rng.integers(0, 9, 4)) / 8.0
        lower, upper = (float(ends[0]), float(ends[1])), (float(ends[2]), float(ends[3]))
        y, z, s = rng.integers(-1, 10, 50) / 8.0, rng.integers(-4, 13, 50) / 8.0, rng.integers(-4, 5, 50) / 8.0
        bounds = bregman_upper(y, z, s, s, lower, upper)
        for low, high in product(shift_samples(*lower), shift_samples(*upper)):
            for i, bound in enumerate(bounds):
                exact = bregman(Fraction(float(y[i])), Fraction(float(z[i])), Fraction(float(s[i])), low, high)
                assert exact <= Fraction(float(bound))


def test_the_box_limits_what_a_wide_shift_can_do() -> None:
    # z - s in [-10, 1e-9] and y = L = 0: clipped at L the difference is 0, and inside it is at most 1e-18/2.
    zero = np.zeros(1)
    bound = bregman_upper(zero, zero, np.array([-1e-9]), np.array([10.0]), (0.0, 0.0), (1.0, 1.0))[0]
    assert 5e-19 <= bound < 6e-19
    bound = bregman_upper(zero + 1, zero, np.array([-10.0]), np.array([1e-9 - 1]), (0.0, 0.0), (1.0, 1.0))[0]
    assert 4e-19 <= bound < 6e-19


def test_bounds_hold_on_adversarial_rows() -> None:
    near = [x for c in (0.0, 1.0, 0.1, 0.5) for x in (c, nextafter(c, -9), nextafter(c, 9))] + [TINY, -1e-320, 3.0]
    shifts = [0.0, TINY, -TINY, 1e-17, -1e-17, 0.1, -0.5, 1.0]
    rows = np.array(list(product(near, near, shifts, (0.0, 2**-54, 1e-300))))
    y, z, low = rows[:, 0].copy(), rows[:, 1].copy(), rows[:, 2].copy()
    high = low + rows[:, 3]
    for box in ((Fraction(0), Fraction(1)), (Fraction(1, 10), Fraction(1))):
        assert_bounds(y, z, low, high, *box)


HUGE = st.floats(allow_nan=False, allow_infinity=False)


@FIXED
@given(HUGE, HUGE, HUGE, HUGE, HUGE, HUGE)
def test_bounds_hold_for_all_finite_floats(y: float, z: float, s: float, t: float, a: float, b: float) -> None:
    rows = [np.array([x]) for x in (y, z, min(s, t), max(s, t))]
    assert_bounds(rows[0], rows[1], rows[2], rows[3], Fraction(min(a, b)), Fraction(max(a, b)))


def test_bounds_are_as_small_as_roundings_allow() -> None:
    rng = np.random.default_rng(2)
    z, s = rng.random(5000), rng.normal(size=5000) * 0.3
    y = np.clip(z - s, 0.0, 1.0)
    bounds = assert_bounds(y, z, s, s, Fraction(0), Fraction(1))
    inactive = (z - s > 1e-9) & (z - s < 1 - 1e-9)
    assert inactive.sum() > 1000
    assert bounds[inactive].max() < 2e-31
    assert (bounds[~inactive] == 0).all()


def test_bounds_grow_like_the_square_of_the_distance() -> None:
    y, zero = np.array([0.5 + 1e-6, 0.5 + 1e-10]), np.zeros(2)
    bounds = bregman_upper(y, np.full(2, 0.5), zero, zero, (0.0, 0.0), (1.0, 1.0))
    assert np.allclose(bounds, [5e-13, 5e-21], rtol=1e-5, atol=0)
    # Clipped at 1 with slope 1: the distance counts once.
    bounds = bregman_upper(1 - np.array([1e-6, 1e-10]), np.full(2, 2.0), zero, zero, (0.0, 0.0), (1.0, 1.0))
    assert np.allclose(bounds, [1e-6, 1e-10], rtol=1e-5, atol=0)


def test_a_straddling_enclosure_takes_the_larger_case() -> None:
    # s in [0, 1] around z - s = 0.5: w is anything in [0, 0.5], and y = 0.5 may be 0.5 away.
    row = np.array([0.5])
    bound = bregman_upper(row, row, np.array([0.0]), np.array([1.0]), (0.0, 0.0), (1.0, 1.0))[0]
    worst = max(bregman(Fraction(1, 2), Fraction(1, 2), Fraction(k, 100), Fraction(0), Fraction(1)) for k in range(101))
    assert worst <= Fraction(bound) <= 3 * worst


ROW = np.array([0.5])


@pytest.mark.parametrize(
    ("rows", "lower", "upper"),
    [
        ((ROW, ROW, ROW, np.array([np.nan])), (0.0, 0.0), (1.0, 1.0)),
        ((np.array([np.inf]), ROW, ROW, ROW), (0.0, 0.0), (1.0, 1.0)),
        ((ROW, ROW, ROW, np.array([0.4])), (0.0, 0.0), (1.0, 1.0)),
        ((ROW, ROW, ROW, np.array([0.5, 0.5])), (0.0, 0.0), (1.0, 1.0)),
        ((ROW.astype(np.float32), ROW, ROW, ROW), (0.0, 0.0), (1.0, 1.0)),
        ((ROW, ROW, ROW, ROW), (0.1, 0.0), (1.0, 1.0)),
        ((ROW, ROW, ROW, ROW), (0.0, 0.0), (1.0, 0.9)),
        ((ROW, ROW, ROW, ROW), (0.6, 0.6), (0.5, 0.5)),
        ((ROW, ROW, ROW, ROW), (0.0, 0.0), (1.0, np.inf)),
        ((ROW, ROW, ROW, ROW), (np.nan, 0.0), (1.0, 1.0)),
    ],
)
def test_misuse_is_refused(
    rows: tuple[Vector, Vector, Vector, Vector], lower: tuple[float, float], upper: tuple[float, float]
) -> None:
    with pytest.raises(ValueError, match=r"must|exceeds"):
        bregman_upper(*rows, lower, upper)


def test_a_processor_that_flushes_subnormals_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_SMALLEST_NORMAL", np.array([TINY]))
    with pytest.raises(ValueError, match="subnormal"):
        bregman_upper(ROW, ROW, ROW, ROW, (0.0, 0.0), (1.0, 1.0))


@FIXED
@given(
    st.fractions()
    | HUGE.map(Fraction)
    | st.builds(lambda f, k: f * Fraction(2) ** k, st.fractions(), st.integers(-1200, 900))
)
def test_enclosures_are_the_tightest(value: Fraction) -> None:
    try:
        below, above = enclose(value)
    except ValueError:
        assert abs(value) > Fraction(1.7976931348623157e308)
        return
    assert Fraction(below) <= value <= Fraction(above)
    assert above == (below if Fraction(below) == value else nextafter(below, np.inf))


@pytest.mark.parametrize("value", [Fraction(2) ** 1024, Fraction(1.7976931348623157e308) + 1, -(Fraction(10) ** 400)])
def test_enclosures_beyond_the_range_are_refused(value: Fraction) -> None:
    with pytest.raises(ValueError, match="range"):
        enclose(value)


@FIXED
@given(st.lists(HUGE, max_size=20))
def test_sum_up_is_exact(values: list[float]) -> None:
    assert sum_up(np.array(values, dtype=np.float64)) == sum((Fraction(value) for value in values), Fraction(0))


def float_solution(z: Vector, groups: NDArray[np.int64], epsilon: float) -> tuple[Vector, float]:
    """A feasible y and a multiplier of demographic parity by float bisection, feasible in exact arithmetic."""
    weights = np.where(groups == 1, 1 / (groups == 1).sum(), -1 / (groups == 0).sum())
    aim = epsilon * (1 - 1e-14)  # inside the constraint, for y is rounded
    low, high = 0.0, 2.0 * z.size
    for _ in range(100):
        middle = (low + high) / 2
        if weights @ np.clip(z - middle * weights, 0.0, 1.0) > aim:
            low = middle
        else:
            high = middle
    return np.clip(z - high * weights, 0.0, 1.0), high


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("perturbation", [0.0, 1e-6])
def test_the_gap_bounds_the_distance_to_the_true_projection(seed: int, perturbation: float) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 2, 41)
    z = np.clip(rng.normal(0.3 + 0.5 * groups, 0.4), -0.2, 1.2)
    sizes = [int((groups == k).sum()) for k in (0, 1)]
    epsilon = Fraction(1, 20)
    y, nu = float_solution(z, groups, float(epsilon))
    nu *= 1 + perturbation  # the bound must hold for any multiplier
    weights = [Fraction(1, sizes[1]) if g else -Fraction(1, sizes[0]) for g in groups]
    mean_difference = sum((a * Fraction(float(v)) for a, v in zip(weights, y, strict=True)), Fraction(0))
    assert abs(mean_difference) <= epsilon  # feasible, exactly
    # The gap: exact sums of outward-rounded terms, and the constraint's term in rationals.
    enclosures = [enclose(Fraction(nu) * a) for a in weights]
    low, high = np.array([pair[0] for pair in enclosures]), np.array([pair[1] for pair in enclosures])
    terms = bregman_upper(y, z, low, high, (0.0, 0.0), (1.0, 1.0))
    slackness = epsilon * abs(Fraction(nu)) - Fraction(nu) * mean_difference
    gap = sum_up(terms) + slackness
    assert slackness >= 0
    # Independent: the projection in rationals, its multiplier to 2^-190.
    projection, multiplier = parity_projection([Fraction(float(v)) for v in z], groups.tolist(), epsilon)
    distance = sum(((Fraction(float(v)) - t) ** 2 for v, t in zip(y, projection, strict=True)), Fraction(0))
    assert multiplier > 0
    assert 0 < distance <= 2 * gap
    assert gap < (Fraction(1, 10**13) if not perturbation else Fraction(1, 10**6))
    # Every term is at least what the definition gives, and the same duality gap follows from the objective.
    shifts = [Fraction(nu) * a for a in weights]
    exact = [
        bregman(Fraction(float(v)), Fraction(float(t)), s, Fraction(0), Fraction(1))
        for v, t, s in zip(y, z, shifts, strict=True)
    ]
    assert all(e <= Fraction(float(b)) for e, b in zip(exact, terms, strict=True))
    assert sum(exact) <= sum_up(terms) <= sum(exact) + Fraction(1, 10**15)
