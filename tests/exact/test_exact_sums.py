from __future__ import annotations

from fractions import Fraction
from math import ldexp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certifair.exact import sums
from certifair.exact.sums import ExactSums, exact_counts, exact_sums, line_runs
from tests.oracles.exact_oracle import cell_sums

FIXED = settings(derandomize=True, deadline=None)
TINY, HUGE = 5e-324, 1.7976931348623157e308
SPECIAL = [
    *[0.0, -0.0, TINY, -TINY, 3 * TINY, 2.2250738585072014e-308, 2.225073858507201e-308, HUGE, -HUGE, 1e308, 1.0, -1.0],
    *[1 + 2**-52, 1 - 2**-53, 2.0**30, 2.0**30 + 2**-22, 2.0**1023, 0.1, 1e-300, 2.0**-1000 + 2.0**-1052],
]
FLOATS = st.sampled_from(SPECIAL) | st.floats(allow_nan=False, allow_infinity=False) | st.floats(0, 1)
ROWS = st.lists(st.tuples(FLOATS, st.integers(-1, 3)), max_size=40)


def compute(rows: list[tuple[float, int]]) -> tuple[ExactSums, list[Fraction]]:
    values, codes = [value for value, _ in rows], [code for _, code in rows]
    result = exact_sums(np.array(values, dtype=np.float64), np.array(codes, dtype=np.int32), 4)
    return result, cell_sums(values, codes, 4)


@FIXED
@given(ROWS)
def test_sums_equal_rational_addition(rows: list[tuple[float, int]]) -> None:
    result, expected = compute(rows)
    assert [result.exact(k) for k in range(4)] == expected
    assert result.total() == sum(expected)


@FIXED
@given(ROWS)
def test_approximate_encloses_the_exact_sums(rows: list[tuple[float, int]]) -> None:
    result, expected = compute(rows)
    values, errors = result.approximate()
    assert not np.isnan(values).any()
    assert not np.isinf(values).any()
    for value, error, exact in zip(values, errors, expected, strict=True):
        assert np.isinf(error) or abs(Fraction(float(value)) - exact) <= Fraction(float(error))


def test_approximate_is_accurate_and_knows_zero_and_overflow() -> None:
    rng = np.random.default_rng(5)
    values, codes = rng.random(3000), rng.integers(0, 3, 3000)
    approximate, errors = exact_sums(values, codes, 4).approximate()
    assert (errors[:3] <= 1e-15 * approximate[:3]).all()
    assert errors[3] == approximate[3] == 0
    values, errors = exact_sums(np.array([HUGE, HUGE, 1.0, -1.0]), np.array([0, 0, 1, 1]), 2).approximate()
    assert list(values) == [0, 0]
    assert list(errors) == [np.inf, 0]


def test_approximate_holds_for_every_int64_and_for_subnormal_results() -> None:
    integers = np.array([2**63 - 1, -(2**63) + 1, 2**53 + 1, -(2**54) + 1, 3, 1], dtype=np.int64)
    for exponents in ([0, -30], [30, -1074], [-1074, -1104], [-1136], [-1100, -1130]):
        result = ExactSums(6, tuple((exponent, integers) for exponent in exponents))
        for k, (value, error) in enumerate(zip(*result.approximate(), strict=True)):
            assert abs(Fraction(float(value)) - result.exact(k)) <= Fraction(float(error))


@pytest.mark.parametrize("scale", [1.0, 2.0**-1074, 2.0**-1060, 2.0**-900, 2.0**900])
def test_order_and_blocks_do_not_matter(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    values = np.concatenate([rng.normal(size=500), rng.normal(size=500) * 2.0**60, SPECIAL[:-4]]) * min(scale, 1.0)
    values = np.append(values, rng.random(100) * scale)
    codes = rng.integers(-1, 3, values.size)
    expected = cell_sums(values.tolist(), codes.tolist(), 3)
    order = rng.permutation(values.size)
    for block in (1, 7, 100, 10**6):
        monkeypatch.setattr(sums, "_CACHE_BLOCK", block)
        for rows in (slice(None), order):
            result = exact_sums(values[rows], codes[rows], 3)
            assert [result.exact(k) for k in range(3)] == expected


def test_a_sum_that_float64_would_lose() -> None:
    values = np.array([1e308, 1e308, 1.0, TINY, -1e308, -1e308])
    assert exact_sums(values, np.zeros(6, dtype=np.int8), 1).exact(0) == 1 + Fraction(TINY)


def test_integers_in_one_cell_stay_exact_beyond_two_to_the_52() -> None:
    # 2^23 rows of the largest 30-bit integer: the sum of one bincount without blocks would need 53 bits, plus one.
    value = ldexp(2**30 - 1, -30)
    values = np.full(2**23 + 1, value)
    assert exact_sums(values, np.zeros(values.size, dtype=np.intp), 2**22).exact(0) == (2**23 + 1) * Fraction(value)
    assert sums._MAX_BLOCK * 2**30 <= 2**53


def test_no_rows_and_no_cells() -> None:
    empty = exact_sums(np.zeros(0), np.zeros(0, dtype=np.intp), 0)
    assert empty.total() == 0
    assert not empty.levels
    assert exact_sums(np.ones(2), np.array([-1, -1]), 2).total() == 0


@pytest.mark.parametrize(
    ("values", "codes", "size"),
    [
        (np.array([np.nan]), np.array([0]), 1),
        (np.array([np.inf]), np.array([0]), 1),
        (np.array([1.0, -np.inf]), np.array([0, -1]), 1),
        (np.array([1.0]), np.array([1]), 1),
        (np.array([1.0]), np.array([-2]), 1),
        (np.array([1.0]), np.array([0.0]), 1),
        (np.array([1.0]), np.array([True]), 2),
        (np.array([1.0, 2.0]), np.array([0]), 1),
        (np.array([[1.0]]), np.array([[0]]), 1),
        (np.array([1.0], dtype=np.float32), np.array([0]), 1),
        (np.array([2**53 + 1]), np.array([0]), 1),
        (np.zeros(0), np.zeros(0, dtype=np.intp), -1),
        (np.array([1.0]), np.array([2**64 - 1], dtype=np.uint64), 1),
    ],
)
def test_misuse_is_refused(values: np.ndarray, codes: np.ndarray, size: int) -> None:
    with pytest.raises(ValueError, match=r"must|negative"):
        exact_sums(values, codes, size)


def test_cells_out_of_range_are_refused() -> None:
    result = exact_sums(np.ones(1), np.zeros(1, dtype=np.intp), 1)
    for k in (-1, 1):
        with pytest.raises(ValueError, match="cell"):
            result.exact(k)


def test_a_processor_that_flushes_subnormals_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_SMALLEST_NORMAL", np.array([TINY]))  # its half rounds to 0, as if flushed
    with pytest.raises(ValueError, match="subnormal"):
        exact_sums(np.ones(1), np.zeros(1, dtype=np.intp), 1)


@FIXED
@given(st.lists(st.tuples(st.integers(-(2**30), 2**30), st.integers(-1, 3)), max_size=50))
def test_counts_equal_integer_addition(rows: list[tuple[int, int]]) -> None:
    amounts, codes = [amount for amount, _ in rows], [code for _, code in rows]
    expected = [sum(a for a, c in rows if c == k) for k in range(4)]
    code_array = np.array(codes, dtype=np.int16)
    assert exact_counts(np.array(amounts, dtype=np.int64), code_array, 4).tolist() == expected
    mask = np.array(amounts, dtype=np.int64) > 0
    positives = exact_counts(mask, code_array, 4)
    assert positives.tolist() == [sum(a > 0 for a, c in rows if c == k) for k in range(4)]
    assert positives.dtype == np.int64


def test_counts_of_many_large_integers() -> None:
    amounts, codes = np.full(2**23 + 3, 2**30 - 1), np.zeros(2**23 + 3, dtype=np.int8)
    assert exact_counts(amounts, codes, 1)[0] == (2**23 + 3) * (2**30 - 1)


def test_counts_refuse_floats_and_large_integers() -> None:
    for amounts in (np.array([1.0]), np.array([2**30 + 1]), np.array([-(2**63)])):
        with pytest.raises(ValueError, match="amounts"):
            exact_counts(amounts, np.array([0]), 1)


@FIXED
@given(
    st.lists(st.lists(st.floats(-1e300, 1e300), min_size=3, max_size=3), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=8),
)
def test_runs_of_lines_are_the_sums_of_their_parts(lines: list[list[float]], ends: list[tuple[int, int]]) -> None:
    runs = [(min(a, b, len(lines)), min(max(a, b), len(lines))) for a, b in ends]
    starts, stops = (np.array(part, dtype=np.int64) for part in zip(*runs, strict=True))
    size = 3 * len(lines)
    whole = exact_sums(np.array(lines).ravel(), np.arange(size), size)
    found = whole.runs(3, starts, stops)
    for k, (start, stop) in enumerate(runs):
        for c in range(3):
            assert found.exact(3 * k + c) == sum((Fraction(line[c]) for line in lines[start:stop]), Fraction(0))
    counts = np.arange(size, dtype=np.int64).reshape(-1, 3)
    assert line_runs(counts, starts, stops).tolist() == [counts[a:b].sum(axis=0).tolist() for a, b in runs]
