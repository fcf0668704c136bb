"""Sums of float64 are exact, whatever the numbers and the engine."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certifair.evidence.audit import levels
from certifair.evidence.audit.count import Counter
from certifair.evidence.audit.plan import Asked
from certifair.evidence.audit.run import audit
from tests.evidence.audit_cases import NASTY, expected, found, people, write

ASKED = Asked(prediction="prediction", groups=("group",))
FLOATS = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)
ORDINARY = st.floats(min_value=-1, max_value=1, allow_subnormal=False)
GRID = st.integers(min_value=-(2**41), max_value=2**41).map(lambda k: k / 2**40)


def check(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float]], engine: str = "duckdb") -> None:
    table = {"group": [group for group, _ in rows], "prediction": [x for _, x in rows]}
    path = write(table, tmp_path_factory.mktemp("log") / "log.parquet")
    assert found(audit([str(path)], ASKED, engine=engine).evidence) == expected(table, ["group"])


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.one_of(FLOATS, st.sampled_from(NASTY))), min_size=1, max_size=60))
def test_any_float64(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float]]) -> None:
    check(tmp_path_factory, rows)


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from("ab"), ORDINARY), min_size=1, max_size=60))
def test_ordinary_predictions(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float]]) -> None:
    check(tmp_path_factory, rows)


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from("ab"), GRID), min_size=1, max_size=60))
def test_predictions_on_the_grid_need_one_pass(tmp_path_factory: pytest.TempPathFactory, rows: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Counter, "_carefully", None)
        check(tmp_path_factory, rows)


@pytest.mark.parametrize("late", [0.1, -(2.0**-60), 1e300, 5e-324])
def test_what_the_sample_did_not_show_is_noticed(late: float, tmp_path: Path) -> None:
    """Three thousand rows on the grid, then one that two levels cannot hold."""
    values = [k / 2**40 for k in range(3000)]
    table = {"group": ["a"] * 3001, "prediction": [*values, late]}
    path = write(table, tmp_path / "log.parquet")
    assert found(audit([str(path)], ASKED).evidence) == expected(table, ["group"])


def test_sums_beyond_64_bits(tmp_path: Path) -> None:
    """Level 0 of one row is near 2^52, and there are 2^13 of them."""
    table = {"group": ["a"] * 2**13, "prediction": [2.0**22 - 2.0**-30] * 2**13}
    path = write(table, tmp_path / "log.parquet")
    assert found(audit([str(path)], ASKED).evidence) == expected(table, ["group"])


def test_many_row_groups_and_threads_give_the_same_bytes(tmp_path: Path) -> None:
    table = people(20_000)
    asked = Asked(prediction="prediction", groups=("sex", "race"))
    whole = write(table, tmp_path / "log.parquet")
    first = audit([str(whole)], asked)
    assert found(first.evidence) == expected(table, ["sex", "race"])
    order = sorted(range(20_000), key=lambda k: table["score"][k])
    write({name: [column[k] for k in order] for name, column in table.items()}, whole, row_group_size=137)
    second = audit([str(whole)], asked)
    assert second.tally.cells == first.tally.cells
    assert audit([str(whole)], asked).evidence == second.evidence


@pytest.mark.parametrize("way", levels.WAYS)
@given(x=st.one_of(ORDINARY, GRID, st.floats(min_value=-(2.0**23), max_value=2.0**23)))
def test_plain_levels_follow_their_proof(way: levels.Way, x: float) -> None:
    v, integers = x * 2.0**way.bits, []
    left = v
    for _ in range(way.depth):
        integer = (v + levels.MAGIC) - levels.MAGIC
        assert integer == round(v)
        assert abs(integer) <= max(abs(x) * 2**way.bits + 0.5, 2 ** (way.bits - 1))
        left = v - integer
        assert Fraction(left) == Fraction(v) - Fraction(integer)
        integers.append(integer)
        v = left * 2.0**way.bits
    rest = Fraction(left) / 2 ** (way.bits * way.depth)
    assert levels.assembled_plain(way, integers) + rest == Fraction(x)
    if levels.plain_way([x]) == way:
        assert left == 0


def test_plain_sums_are_believed_only_within_the_proof() -> None:
    narrow, wide, deep = levels.WAYS
    assert levels.plain_is_exact(narrow, 2**32, 1.0, 0.0)
    assert not levels.plain_is_exact(narrow, 2**33, 1.0, 0.0)
    assert levels.plain_is_exact(wide, 2**26, 1.0, 0.0)
    assert not levels.plain_is_exact(wide, 2**27, 1.0, 0.0)
    assert not levels.plain_is_exact(wide, 1, 2.0**24, 0.0)
    for way in levels.WAYS:
        assert not levels.plain_is_exact(way, 1, 1.0, 2.0**-60)
        assert not levels.plain_is_exact(way, 1, 2.0**30, 0.0)
        assert not levels.plain_is_exact(way, 1, math.nan, 0.0)
        assert not levels.plain_is_exact(way, 1, math.inf, 0.0)
        assert not levels.plain_is_exact(way, 1, 1.0, math.nan)
    assert [levels.plain_way([x]) for x in (0.5, 1 / 3, 2.0**-90, math.nan)] == [narrow, wide, deep, None]
