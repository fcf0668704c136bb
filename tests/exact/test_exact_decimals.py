from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certifair.exact.decimals import (
    format_decimal,
    format_rational,
    parse_decimal,
    parse_rational,
    round_down,
    round_up,
    sqrt_up,
)

FIXED = settings(derandomize=True, deadline=None)
RATIONALS = st.fractions(max_denominator=10**12) | st.builds(
    Fraction, st.integers(-(10**60), 10**60), st.integers(1, 10**60)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("-0", 0), ("-0.0", 0), ("0.50", Fraction(1, 2)), ("-0.5", Fraction(-1, 2)),
     ("120.25", Fraction(481, 4)), ("-10", -10), ("1." + "0" * 397 + "1", 1 + Fraction(1, 10**398))],
)  # fmt: skip
def test_plain_decimals_are_read_exactly(text: str, value: Fraction) -> None:
    assert parse_decimal(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "-", "+1", " 1", "1 ", "1\n", "1e3", "1E3", "01", "-01", "00", ".5", "5.", "1.2.3", "1,5", "1_0", "0x1", "inf",
     "nan", "--1", "1/2", "\u0661", "1.\u0665", "\uff11", "\u2212" + "1", "1" * 401, "0." + "0" * 399],
)  # fmt: skip
def test_other_decimal_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plain decimal"):
        parse_decimal(text)


@FIXED
@given(st.integers(-(10**50), 10**50), st.integers(0, 60))
def test_decimals_survive_a_round_trip_in_canonical_form(digits: int, places: int) -> None:
    value = Fraction(digits, 10**places)
    text = format_decimal(value)
    assert parse_decimal(text) == value
    assert text == "0" or not text.startswith("-0") or text.startswith("-0.")
    assert "." not in text or text[-1] != "0"
    assert not text.lstrip("-").startswith("0") or text.lstrip("-")[1:2] in ("", ".")


@pytest.mark.parametrize(
    ("value", "text"),
    [(Fraction(0), "0"), (Fraction(-1, 8), "-0.125"), (Fraction(1, 5**3), "0.008"), (Fraction(300), "300"),
     (Fraction(-12345, 100), "-123.45"), (Fraction(1, 2**4 * 5), "0.0125")],
)  # fmt: skip
def test_format_decimal_examples(value: Fraction, text: str) -> None:
    assert format_decimal(value) == text


@pytest.mark.parametrize(
    "value", [Fraction(1, 3), Fraction(7, 30), Fraction(10**5000), Fraction(1, 10**4500), Fraction(1, 5**5000)]
)
def test_format_decimal_refuses_what_has_no_short_finite_expansion(value: Fraction) -> None:
    with pytest.raises(ValueError, match="decimal"):
        format_decimal(value)


@FIXED
@given(RATIONALS, st.integers(0, 30))
def test_rounding_brackets_the_value_within_one_unit(value: Fraction, places: int) -> None:
    down, up = parse_decimal(round_down(value, places)), parse_decimal(round_up(value, places))
    unit = Fraction(1, 10**places)
    assert down <= value <= up
    assert value - down < unit
    assert up - value < unit
    assert (down / unit).denominator == (up / unit).denominator == 1
    assert format_decimal(down) == round_down(value, places)


@FIXED
@given(RATIONALS)
def test_rationals_survive_a_round_trip(value: Fraction) -> None:
    assert parse_rational(format_rational(value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "2/4", "4/2", "1/1", "0/1", "0/5", "-0", "-0/3", "1/-2", "+1", "1/+2", "01", "1/02", "1/0", "1/", "/2", " 1",
     "1\n", "1 /2", "1.5", "1e2", "1/2/3", "\u0663/7", "1" * 2401],
)  # fmt: skip
def test_non_canonical_rationals_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="canonical"):
        parse_rational(text)


def test_rationals_that_could_not_be_read_back_are_not_written() -> None:
    longest = 10**2399
    assert parse_rational(format_rational(Fraction(longest))) == longest
    for value in (Fraction(10**2400), Fraction(-longest), Fraction(1, longest), Fraction(10**5000)):
        with pytest.raises(ValueError, match="too long"):
            format_rational(value)


@FIXED
@given(st.fractions(min_value=0), st.integers(0, 25))
def test_sqrt_up_is_the_smallest_multiple_above_the_root(value: Fraction, places: int) -> None:
    root, unit = sqrt_up(value, places), Fraction(1, 10**places)
    assert (root / unit).denominator == 1
    assert root >= 0
    assert root**2 >= value
    assert root == 0 or (root - unit) ** 2 < value


def test_sqrt_up_hits_exact_roots_and_refuses_negative_numbers() -> None:
    assert sqrt_up(Fraction(0), 5) == 0
    assert sqrt_up(Fraction(1, 10**40), 20) == Fraction(1, 10**20)
    assert sqrt_up(Fraction(1, 10**40) + Fraction(1, 10**400), 20) == Fraction(2, 10**20)
    with pytest.raises(ValueError, match="negative"):
        sqrt_up(Fraction(-1, 10**9), 3)


@pytest.mark.parametrize("places", [-1, 4001])
def test_places_out_of_range_are_refused(places: int) -> None:
    for function in (round_down, round_up, sqrt_up):
        with pytest.raises(ValueError, match="places"):
            function(Fraction(1, 3), places)


@pytest.mark.parametrize("module", ["decimals", "tails"])
def test_the_command_line_path_does_not_import_numpy(module: str) -> None:
    program = f"import sys, certifair.exact.{module}; sys.exit('numpy' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
