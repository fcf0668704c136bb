"""The theorem attacked: after every batch no block is wider than claimed, recomputed in rationals by an oracle."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certifair.online._pooled_cells import floor_mean, middle, width_of, within
from certifair.online._pooled_step import _pulled
from certifair.online.pooled import PooledPrimalDual
from tests.online.pooled_cases import SHAPES, People, counted, everybody, online, serve
from tests.oracles.pooled_oracle import Pool

BOXES = ((0, 1), ("0.1", "0.9"), ("-3.5", "3.5"), ("-5", "-2"), ("1e-6", "3e-6"), ("-1e6", "3e6"), ("-0.3", "1e-9"))
STEPS = (0, 1, 2, 3, 5, 9, 1000)
SHARES_OF_BOX = ("1e-6", "0.004", "0.02", "0.3", "2")
GRACES = (0, 0, 1, 4, 25, 300, 10**6)
STYLES = ("ends", "by group", "alternating", "equal", "far", "beyond all", "ties", "drift", "normal")


def demanded(shape: str, box: tuple[Any, Any], tolerance: tuple[str, Any], grace: int = 0) -> PooledPrimalDual:
    """ε as a number of grid steps, or as a share of the box."""
    loose = online(shape, 1, *box)
    kind, size = tolerance
    unit = loose.demand.grid.step if kind == "steps" else loose.demand.upper - loose.demand.lower
    return online(shape, Fraction(size) * unit, *box, grace=grace)


def scores_of(
    algorithm: PooledPrimalDual, style: str, codes: np.ndarray[Any, Any], rng: np.random.Generator, before: int
) -> np.ndarray[Any, Any]:
    """What an adversary would send, for a box of [0, 1], then moved to the one at hand."""
    n, lower, upper = len(codes), float(algorithm.demand.lower), float(algorithm.demand.upper)
    groups = algorithm.demand.people.joint_cells
    found = {
        "ends": rng.integers(0, 2, n).astype(float),
        "by group": codes / max(1, groups - 1),
        "alternating": ((np.arange(n) + before) % 2).astype(float),
        "equal": np.full(n, 0.37),
        "far": rng.normal(0, 1e6, n),
        "beyond all": rng.choice([-1e300, 1e300, 0.5], n),
        "ties": rng.integers(0, 5, n) / 4,
        "drift": (codes % 2 == (before // 40) % 2) + rng.normal(0, 0.01, n),
        "normal": rng.normal(0.3 + 0.4 * codes / groups, 0.2),
    }[style]
    return lower + found * (1.0 if style == "beyond all" else upper - lower)


def codes_of(groups: int, order: str, n: int, rng: np.random.Generator, before: int) -> np.ndarray[Any, Any]:
    """Who comes: at random, rarely anybody but the first, one group after the other, or only few cells at a time."""
    if order == "random":
        return rng.integers(0, groups, n)
    if order == "rare":
        return np.where(rng.random(n) < 0.05, rng.integers(0, groups, n), 0)
    if order == "sorted":
        return np.minimum((before + np.arange(n)) // 30, groups - 1)
    return np.full(n, rng.integers(0, groups))


@settings(max_examples=150)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    box=st.sampled_from(BOXES),
    tolerance=st.one_of(
        st.tuples(st.just("steps"), st.sampled_from(STEPS)), st.tuples(st.just("box"), st.sampled_from(SHARES_OF_BOX))
    ),
    plan=st.lists(
        st.tuples(
            st.sampled_from(STYLES),
            st.sampled_from(("random", "rare", "sorted", "one cell")),
            st.sampled_from((1, 1, 1, 2, 3, 7, 40)),
            st.integers(1, 8),
        ),
        min_size=1,
        max_size=6,
    ),
    grace=st.sampled_from(GRACES),
    seed=st.integers(0, 2**32),
)
@example("two groups", (0, 1), ("steps", 0), [("ends", "random", 3, 8), ("normal", "random", 1, 8)], 0, 1)
@example("two features", (0, 1), ("box", "0.004"), [("ends", "random", 1, 60), ("by group", "rare", 7, 8)], 0, 2)
@example(
    "two features, conditions", (0, 1), ("box", "0.02"), [("ends", "random", 1, 60), ("far", "rare", 3, 20)], 25, 3
)
def test_every_row_holds_after_every_batch(
    shape: str, box: Any, tolerance: Any, plan: list[tuple[str, str, int, int]], grace: int, seed: int
) -> None:
    algorithm = demanded(shape, box, tolerance, grace)
    grid, rng = algorithm.demand.grid, np.random.default_rng(seed)
    pool, state = Pool(algorithm.description, grid.step, grace), algorithm.init()
    for style, order, size, times in plan:
        for _ in range(times):
            codes = codes_of(algorithm.demand.people.joint_cells, order, size, rng, len(pool.people))
            scores = scores_of(algorithm, style, codes, rng, len(pool.people))
            people: People = everybody(algorithm, codes)
            state, predictions, record = serve(algorithm, state, scores.tolist(), people)
            pool.serve(people, predictions)
            pool.check()
            assert all((Fraction(y) / grid.step).denominator == 1 for y in predictions)
            alike = {}
            for z, who, y in zip(scores.tolist(), codes.tolist(), predictions, strict=True):
                assert alike.setdefault((z, who), y) == y  # one score, one cell, one batch: one prediction
            gaps = pool.gaps()
            assert record.absent == tuple(name for name, gap in gaps.items() if gap is None)
            assert algorithm.gaps(state) == {name: gap for name, gap in gaps.items() if gap is not None}
    assert state.people == len(pool.people)
    assert algorithm.dump(algorithm.load(algorithm.dump(state))) == algorithm.dump(state)


@given(
    st.integers(1, 1 << 40), st.integers(0, 1 << 41), st.integers(0, (1 << 20) - 1), st.booleans()
)  # people, their mean, and a rest
@example(1, 0, 0, True)
@example(1 << 40, 1 << 41, 0, True)
def test_means_are_floored_exactly(people: int, mean: int, rest: int, least: bool) -> None:
    total = people * mean + (rest % people) * (not least)
    expected = Fraction(total, people)
    for function in (floor_mean, floor_mean.py_func):
        floor, more = function(total >> 20, total & 0xFFFFF, people)
        assert (floor, bool(more)) == (total // people, expected.denominator != 1)


def test_within_counts_grid_points_around_the_means() -> None:
    """Means of 1/2 and 5/2 steps lie in [0, 3] but in nothing shorter, although they differ by 2."""
    layout = online("two groups")._settings.layout
    for people, sums, width in ((2, (1, 5), 3), (1, (1, 3), 2)):
        served = counted([(people, total) for total in sums])
        assert width_of(0, layout, served) == width
        assert within(0, layout, served, np.array([width]))
        assert not within(0, layout, served, np.array([width - 1]))
    assert width_of(0, layout, counted([(0, 0), (3, 10)])) == 1
    assert width_of(0, layout, counted([(0, 0), (0, 0)])) == 0


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=6, max_size=6),
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
)
def test_the_last_resort_widens_nothing(before: list[tuple[int, int]], batch: list[int]) -> None:
    """Step 4 of the proof, for sums that need not come from any stream: the interval of grid points stays."""
    layout = online("two features")._settings.layout
    sums = counted([(n, min(total, 8 * n)) for n, total in before])
    widths = np.array([width_of(b, layout, sums) for b in range(2)])
    starts = np.searchsorted(np.sort(batch), np.arange(7)).astype(np.int64)
    for wanted in (0, 8):
        steps, after = np.full(len(batch), wanted), np.zeros_like(sums)
        _pulled(0, layout, sums, starts, steps, widths, after)
        assert within(0, layout, after, widths)
        assert after[:, 0].tolist() == [sums[j, 0] + batch.count(j) for j in range(6)]
    assert 0 <= middle(0, layout, sums, sums) <= 8


@pytest.mark.parametrize("shape", ["two groups", "two features", "two features, conditions"])
def test_nothing_is_left_of_the_box_to_use(shape: str) -> None:
    """A thousand people one by one, always the score that hurts most, with a tolerance of a step or none."""
    for steps in (0, 1, 4, 6):
        algorithm = demanded(shape, ("-5", "-2"), ("steps", steps))
        pool, rng = Pool(algorithm.description, algorithm.demand.grid.step), np.random.default_rng(steps)
        state = algorithm.init()
        for _ in range(60):
            codes = rng.integers(0, algorithm.demand.people.joint_cells, 1)
            state, predictions, _ = serve(
                algorithm, state, [-5.0 if codes[0] % 2 else -2.0], everybody(algorithm, codes)
            )
            pool.serve(everybody(algorithm, codes), predictions)
            pool.check()
