from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import inf, nan

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from certifair.exact import ball, elementary, sums
from certifair.exact.ball import Ball, exact

Array = NDArray[np.float64]
FINITE = st.floats(allow_nan=False, allow_infinity=False)
RADII = st.sampled_from([0.0, 5e-324, 1e-300, 1e-17, 1e-9, 0.1, 0.9, 1.0, 1.1, 3.0, 50.0, 1e10, 1e308])
MP = mpmath.mp.clone()
MP.prec = 1500  # 1 − e^-745 fits
SPECIAL = np.array(
    [
        0.0,
        5e-324,
        1e-310,
        2.3e-308,
        1e-300,
        1e-17,
        1e-9,
        0.34657359,
        0.5,
        1.0,
        18.7,
        20.0,
        36.7,
        37.5,
        709.7,
        709.8,
        743.0,
        745.2,
        746.0,
        750.0,
        1e4,
        1e300,
        1e308,
        1.7976931348623157e308,
    ]
)
SPECIAL = np.concatenate([SPECIAL, -SPECIAL])


def true_exp(x: Fraction) -> mpmath.mpf:
    if x > 5000:
        return MP.inf
    return MP.mpf(0) if x < -5000 else MP.exp(real(x))  # below any float and any sum of underflows


def true_sigmoid(x: Fraction) -> mpmath.mpf:
    return 1 - true_sigmoid(-x) if x > 0 else true_exp(x) / (1 + true_exp(x))


def true_tanh(x: Fraction) -> mpmath.mpf:
    return MP.tanh(real(x)) if abs(x) < 5000 else MP.mpf(1 if x > 0 else -1)


def true_softplus(x: Fraction) -> mpmath.mpf:
    return real(max(x, Fraction(0))) + MP.log1p(true_exp(-abs(x)))


def real(x: Fraction) -> mpmath.mpf:
    return MP.mpf(x.numerator) / x.denominator


ELEMENTARY: dict[str, tuple[Callable[[Ball], Ball], Callable[[Fraction], mpmath.mpf]]] = {
    "exp": (elementary.exp, true_exp),
    "sigmoid": (elementary.sigmoid, true_sigmoid),
    "tanh": (elementary.tanh, true_tanh),
    "softplus": (elementary.softplus, true_softplus),
}
BINARY: dict[str, tuple[Callable[[Ball, Ball], Ball], Callable[[Fraction, Fraction], Fraction]]] = {
    "add": (ball.add, lambda a, b: a + b),
    "subtract": (ball.subtract, lambda a, b: a - b),
    "multiply": (ball.multiply, lambda a, b: a * b),
    "divide": (ball.divide, lambda a, b: a / b),
}


def one(mid: float, rad: float = 0.0) -> Ball:
    return Ball(np.array([mid]), np.array([rad]))


def points(mid: float, rad: float) -> list[Fraction]:
    m, r = Fraction(mid), Fraction(rad)
    return [m, m - r, m + r, m + r / 3]


def contains(found: Ball, true: object, index: int = 0) -> bool:
    """Whether a true number, rational or an mpf of high precision, is in a ball."""
    mid, rad = float(found.mid[index]), float(found.rad[index])
    assert np.isfinite(mid)
    assert rad >= 0
    if rad == inf:
        return True
    if isinstance(true, Fraction):
        return abs(true - Fraction(mid)) <= Fraction(rad)
    slack = MP.mpf(2) ** -1200  # of the oracle, below any float64
    return bool(abs(true - MP.mpf(mid)) <= MP.mpf(rad) + slack)


@pytest.mark.parametrize("name", BINARY)
@given(a=FINITE, ra=RADII, b=FINITE, rb=RADII)
@settings(max_examples=150)
def test_arithmetic_contains_the_true_result(name: str, a: float, ra: float, b: float, rb: float) -> None:
    compute, true = BINARY[name]
    found = compute(one(a, ra), one(b, rb))
    for x in points(a, ra):
        for y in points(b, rb):
            if name == "divide" and y == 0:
                assert found.rad[0] == inf
            else:
                assert contains(found, true(x, y))


@pytest.mark.parametrize("name", BINARY)
def test_arithmetic_is_tight(name: str) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 1000))
    found = BINARY[name][0](exact(a), exact(b))
    assert (found.rad <= 1.2e-16 * np.abs(found.mid) + 1e-300).all()


def test_division_near_the_smallest_numbers() -> None:
    rows = (
        (5e-324, 0.0, 3e-308, 2.9e-308),
        (5e-324, 0.0, 2**-20, 0.4 * 2**-20),
        (1.0, 5e-324, 1e-310, 9e-311),
        (4e-324, 5e-324, 1e300, 9e299),
    )
    for a, ra, b, rb in rows:
        found = ball.divide(one(a, ra), one(b, rb))
        for x in points(a, ra):
            for y in points(b, rb):
                assert contains(found, x / y), (a, ra, b, rb)


@pytest.mark.parametrize("name", ELEMENTARY)
@given(mid=FINITE | st.floats(-800, 800) | st.floats(-2, 2), rad=RADII)
@settings(max_examples=60)
def test_functions_contain_the_true_value(name: str, mid: float, rad: float) -> None:
    compute, true = ELEMENTARY[name]
    found = compute(one(mid, rad))
    for x in points(mid, rad):
        if abs(x) <= Fraction(np.finfo(float).max):
            assert contains(found, true(x))


@pytest.mark.parametrize("name", ELEMENTARY)
def test_functions_contain_the_true_value_at_the_ends_of_wide_balls(name: str) -> None:
    compute, true = ELEMENTARY[name]
    for rad in (1e-3, 0.1, 0.45, 0.5, 0.55, 0.99, 1.0, 1.01, 4.0):
        mids = np.linspace(-5, 5, 23)
        found = compute(Ball(mids, np.full(23, rad)))
        for i, mid in enumerate(mids):
            for x in points(float(mid), rad):
                assert contains(found, true(x), i), (mid, rad)


@pytest.mark.parametrize("name", ELEMENTARY)
def test_functions_are_tight_everywhere(name: str) -> None:
    compute, true = ELEMENTARY[name]
    rng = np.random.default_rng(1)
    spread = rng.normal(size=150) * 10.0 ** rng.integers(-20, 3, 150)
    steps = np.arange(-40, 40) * np.log(2) / 2  # where the range reduction changes
    x = np.concatenate([SPECIAL, spread, steps, np.nextafter(steps, inf)])
    found = compute(exact(x))
    for i in range(len(x)):
        value = true(Fraction(float(x[i])))
        assert contains(found, value, i), x[i]
        if abs(value) < MP.mpf(2) ** 1024:
            assert found.rad[i] <= 1e-14 * float(abs(value)) + 1e-320, x[i]
        else:
            assert found.rad[i] == inf


@given(mid=FINITE | st.floats(-60, 60), rad=RADII | st.just(inf))
@settings(max_examples=300)
def test_sigmoid_stays_within_0_and_1(mid: float, rad: float) -> None:
    found = elementary.sigmoid(one(mid, rad))
    low, high = (Fraction(float(found.mid[0])) + sign * Fraction(float(found.rad[0])) for sign in (-1, 1))
    assert 0 <= low <= high <= 1


def test_saturation_and_jumps() -> None:
    assert elementary.tanh(one(3.0, inf)).rad[0] == 2
    assert elementary.sigmoid(one(1e308)).rad[0] <= 2**-53
    for mid, rad, tight in ((20.0, 0.0, False), (20.0, 1e-3, False), (19.0, 0.5, True), (21.0, 0.5, True)):
        found = elementary.softplus(one(mid, rad), 20.0)
        for x in (p for p in points(mid, rad)):
            assert contains(found, real(x) if x > 20 else true_softplus(x))
        assert (found.rad[0] <= rad * 1.000001) == tight
    assert elementary.softplus(one(25.0, 0.0), 20.0).rad[0] == 0
    assert elementary.softplus(one(-1.0, 0.0), 20.0).rad[0] < 1e-14


@given(mid=FINITE, rad=RADII, slope=st.sampled_from([0.0, 0.01, -0.5, 1.0, 3.0]))
def test_relu_and_leaky_relu(mid: float, rad: float, slope: float) -> None:
    plain, leaky = ball.relu(one(mid, rad)), ball.leaky_relu(one(mid, rad), slope)
    for x in points(mid, rad):
        assert contains(plain, max(x, Fraction(0)))
        assert contains(leaky, x if x >= 0 else Fraction(slope) * x)
    assert ball.relu(one(-1.0, 1.0)).rad[0] == 0


@given(mid=FINITE.map(abs), rad=RADII)
def test_roots(mid: float, rad: float) -> None:
    root, inverse = ball.sqrt(one(mid, rad)), ball.reciprocal_sqrt(one(mid, rad))
    if mid < rad:
        assert root.rad[0] == inf
    if mid <= rad:
        assert inverse.rad[0] == inf
    for x in points(mid, rad):
        if x >= 0:
            assert contains(root, MP.sqrt(real(x)))
        if x > 0:
            assert contains(inverse, 1 / MP.sqrt(real(x)))


@pytest.mark.parametrize("power", [0, 8, 154, -160])
def test_matrix_products(power: int) -> None:
    rng = np.random.default_rng(7)
    for d in (1, 2, 33):
        mid, rad = rng.normal(size=(2, 4, d)) * 10.0 ** rng.integers(-power - 5, 5 - power, (2, 4, d))
        weight, bias = rng.normal(size=(d, 3)) * 10.0**power, rng.normal(size=3)
        x = Ball(mid, np.abs(rad) * rng.choice([0, 1e-16, 1e-3], (4, d)))
        found = ball.matmul(x, weight, bias)
        sign = rng.choice([-1, 0, 1], (4, d))
        for i, j in np.ndindex(4, 3):
            terms = (
                (Fraction(float(x.mid[i, k])) + int(sign[i, k]) * Fraction(float(x.rad[i, k])))
                * Fraction(float(weight[k, j]))
                for k in range(d)
            )
            true = sum(terms, Fraction(float(bias[j])))
            single = Ball(found.mid[i], found.rad[i])
            assert contains(single, true, j)


def test_matrix_products_that_cancel_or_underflow() -> None:
    x = np.array([[1e16, 1.0, -1e16, 1.0]])
    found = ball.matmul(exact(x), np.ones((4, 1)))
    assert contains(Ball(found.mid[0], found.rad[0]), Fraction(2))
    tiny = np.full((1, 1000), 5e-324)
    found = ball.matmul(exact(tiny), np.full((1000, 1), 0.5))
    assert contains(Ball(found.mid[0], found.rad[0]), 500 * Fraction(5e-324))
    for x, weight in ((np.array([[3e-160, -5e-324]]), 1e308), (np.array([[1e-300, 1e-320]]), 1e308)):
        found = ball.matmul(exact(x), np.full((2, 1), weight))
        assert contains(Ball(found.mid[0], found.rad[0]), sum(Fraction(float(v)) for v in x[0]) * Fraction(weight))


def test_mean_and_layer_norm() -> None:
    rng = np.random.default_rng(3)
    for size in (1.0, 1e-9, 1e5, 1e150):
        x = rng.normal(size=(20, 7)) * size
        rad = np.abs(x) * rng.choice([0.0, 1e-15], x.shape)
        scale, shift = rng.normal(size=(2, 7))
        average, normal = ball.mean(Ball(x, rad)), ball.layer_norm(Ball(x, rad), 1e-5, scale, shift)
        for i in range(len(x)):
            row = [Fraction(float(x[i, k])) + Fraction(float(rad[i, k])) * (-1) ** k for k in range(7)]
            true = sum(row) / 7
            assert contains(Ball(average.mid[i], average.rad[i]), true)
            deviation = MP.sqrt(real(sum((v - true) ** 2 for v in row) / 7 + Fraction(1e-5)))
            for k in range(7):
                expected = real(row[k] - true) / deviation * MP.mpf(float(scale[k])) + MP.mpf(float(shift[k]))
                assert contains(Ball(normal.mid[i], normal.rad[i]), expected, k)
        assert size > 1e100 or (normal.rad < 1e-13).all()
    constant = ball.layer_norm(exact(np.full((1, 4), 1e9 / 3)), 1e-5, np.ones(4), np.zeros(4))
    assert contains(Ball(constant.mid[0], constant.rad[0]), Fraction(0))
    assert constant.rad.max() < 1e-3
    wide = ball.layer_norm(Ball(np.zeros((1, 4)), np.full((1, 4), 0.5)), 1.0, np.ones(4), np.zeros(4))
    assert wide.rad.max() < 10


def test_nothing_is_said_of_what_is_not_finite() -> None:
    bad = exact(np.array([nan, inf, -inf]))
    assert (bad.rad == inf).all()
    assert (bad.mid == 0).all()
    big = exact(np.full(3, 1.7e308))
    results = [ball.add(big, big), ball.multiply(big, big), ball.divide(big, exact(np.zeros(3))), elementary.exp(big)]
    results += [ball.add(bad, big), ball.multiply(bad, exact(np.zeros(3))), ball.divide(big, bad), ball.sqrt(bad)]
    results += [
        elementary.exp(bad),
        elementary.softplus(bad),
        ball.relu(bad),
        ball.leaky_relu(bad, 0.0),
        ball.mean(bad),
    ]
    results += [ball.sqrt(exact(-big.mid)), ball.matmul(Ball(bad.mid[None], bad.rad[None]), np.zeros((3, 2)))]
    results += [ball.matmul(exact(np.full((1, 2), 1.7e308)), np.ones((2, 1)))]
    for result in results:
        assert np.isfinite(result.mid).all()
        assert (result.rad == inf).all()


def test_wrong_arguments() -> None:
    x = exact(np.zeros((2, 3)))
    for weight, bias in (
        (np.zeros((2, 3)), None),
        (np.zeros((3, 1), np.float32), None),
        (np.full((3, 1), nan), None),
        (np.zeros((3, 1)), np.zeros(2)),
        (np.zeros((3, 1)), np.array([inf])),
    ):
        with pytest.raises(ValueError, match=r"multiply|bias|finite"):
            ball.matmul(x, weight, bias)
    with pytest.raises(ValueError, match="mean"):
        ball.mean(exact(np.zeros((2, 0))))
    for mid, rad in (
        (np.zeros(2), np.zeros(3)),
        (np.zeros(2, np.float32), np.zeros(2)),
        (np.zeros(2), np.zeros(2, int)),
    ):
        with pytest.raises(ValueError, match="ball"):
            Ball(mid, rad)


def test_flush_to_zero_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_SMALLEST_NORMAL", np.zeros(1))  # as such a processor would see its half
    with pytest.raises(ValueError, match="flushes"):
        exact(np.ones(1))
