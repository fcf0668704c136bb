"""The projection against definitions: feasible exactly, nearest, the same for the same people.

Tolerances are in grid steps U. Where scores are far outside the box (1e6 and more times its width) or ε is about U,
the objective is not compared with a solver's: theirs is not accurate there, and ours is defined by the grid.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certifair.layer import FairnessLayer, ProjectionError, Status
from tests.layer.cases import FAR, MODERATE, Case, Floats, cases, draw_scores, step_of
from tests.oracles import layer_oracle as oracle
from tests.oracles.projection_oracle import Infeasible

FULL = settings(max_examples=100)
FEW = settings(max_examples=60)
F64 = (torch.float64,)
D = torch.float64
PLAIN = ("0 1", "-3.5 3.5", "0.1 0.9", "-5 -2")


def two(scores: list[float], epsilon: str, dtype: torch.dtype = D, box: tuple[int, int] = (0, 1)) -> Case:
    """Two groups in turn."""
    batch = oracle.Batch({"f0": ["ab"[i % 2] for i in range(len(scores))]})
    ends = Fraction(box[0]), Fraction(box[1])
    return Case("demographic_parity", batch, torch.tensor(scores, dtype=dtype), Fraction(epsilon), ends)


# --------------------------------------------------------------------------------------------- feasible, or proven not
@settings(max_examples=150)
@given(cases(most=60, groups=6))
def test_what_is_solved_holds_exactly_and_what_is_infeasible_is_proven(case: Case) -> None:
    found = case.project()
    problem, y = found.problems[0], found.predictions.double().tolist()
    assert set(problem.multipliers) == {row.name for row in case.rows}
    if problem.status is Status.SOLVED:
        assert np.isfinite(y).all()
        assert oracle.violations(y, case.rows, case.limits, case.box) == []
        assert all((Fraction(value) / case.step).denominator == 1 for value in y)
    else:
        assert np.isnan(y).all()
    if problem.status is Status.INFEASIBLE:
        witness = problem.answer.witness
        assert witness is not None
        assert oracle.contradiction(witness, case.rows, case.limits, case.box, len(y)) > 0


@settings(max_examples=200)
@given(cases(metrics=oracle.PAIRS, least_epsilon=1, kinds=MODERATE))
def test_differences_of_means_can_always_be_met(case: Case) -> None:
    assert case.project().problems[0].status is Status.SOLVED  # equal predictions meet them all


@settings(max_examples=100)
@given(cases(metrics=oracle.PAIRS, least_epsilon=1, kinds=FAR, most=40, groups=5))
@example(two([1e300, -1e300, 0.5], "0.05"))
@example(two([1e19, -1e19, 0.5], "0.05"))
@example(two([3e38, -3e38, 0.5], "0.05", torch.float32))
def test_differences_of_means_can_always_be_met_however_far_the_scores(case: Case) -> None:
    assert case.project().problems[0].status is Status.SOLVED


@settings(max_examples=100)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.integers(0, 10**6), st.sampled_from(MODERATE))
def test_one_attribute_needs_no_tolerance(groups: list[str], seed: int, kind: str) -> None:
    # DESIGN.md, Arithmetic: "Tolerances too small for that get a constructive answer for one attribute".
    codes = np.array(["abc".index(group) for group in groups])
    z = torch.from_numpy(draw_scores(np.random.default_rng(seed), kind, codes, 0.0, 1.0))
    case = Case("demographic_parity", oracle.Batch({"f0": groups}), z, Fraction(0), (Fraction(0), Fraction(1)))
    found = case.project()
    assert found.problems[0].status is Status.SOLVED
    assert oracle.violations(found.predictions.tolist(), case.rows, case.limits, case.box) == []


@pytest.mark.parametrize("n", [10, 101, 6000])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_large_batch_of_two_groups_needs_no_tolerance(n: int, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(n)
    z, groups = torch.from_numpy(rng.random(n)).to(dtype), rng.integers(0, 2, n)
    y = FairnessLayer("demographic_parity", 0.0)(z, groups).double().numpy()
    sums = [sum((Fraction(v) for v in y[groups == g].tolist()), Fraction(0)) / int((groups == g).sum()) for g in (0, 1)]
    assert sums[0] == sums[1]


@settings(max_examples=150)
@given(cases(metrics=("equalized_residuals",), most=5, groups=2, boxes=("0 1", "-3.5 3.5", "0.1 0.9"), kinds=MODERATE))
def test_a_few_people_are_solved_if_and_only_if_they_can_be(case: Case) -> None:
    status = case.project().problems[0].status
    try:
        oracle.solve_exactly(case.scores.tolist(), case.rows, case.limits, case.box)
    except Infeasible:
        assert status in (Status.INFEASIBLE, Status.NO_GRID_POINT)
    else:
        assert status in (Status.SOLVED, Status.NO_GRID_POINT)
        assert status is Status.SOLVED or min(case.limits) < 4 * case.step


@pytest.mark.parametrize("beyond", [0, 2.0**-20, 2.0**-30, 2.0**-38, 2.0**-45, 2.0**-51])
@pytest.mark.parametrize("people", [1, 2, 7])
def test_residuals_that_the_box_barely_meets(beyond: float, people: int) -> None:
    # Every label is ε + beyond above the box, ε = 1/4: only y = 1 would do, and with beyond > 0 nothing does.
    layer = FairnessLayer("equalized_residuals", 0.25)
    found = layer.project(torch.full((people,), 0.3, dtype=D), [0] * people, labels=[1.25 + beyond] * people)
    if beyond == 0:
        assert found.problems[0].status is Status.SOLVED
        assert (found.predictions == 1).all()
    else:
        assert found.problems[0].status is Status.INFEASIBLE
        witness = found.problems[0].answer.witness
        assert witness is not None
        rows = oracle.rows_of("equalized_residuals", oracle.Batch({"group": ["0"] * people}, [1.25 + beyond] * people))
        assert oracle.contradiction(witness, rows, [Fraction(1, 4)], (Fraction(0), Fraction(1)), people) > 0


# ----------------------------------------------------------------------------------------------------- nearest
@settings(max_examples=120)
@given(cases(kinds=MODERATE, most=7, groups=4, least_epsilon=2, boxes=PLAIN))
def test_a_few_people_are_moved_as_in_rationals(case: Case) -> None:
    found = case.project()
    if found:
        exact = oracle.solve_exactly(case.scores.tolist(), case.rows, case.limits, case.box)
        off = [abs(Fraction(v) - e) for v, e in zip(found.predictions.double().tolist(), exact, strict=True)]
        assert max(off) <= 8 * case.step


@settings(max_examples=100)
@given(cases(kinds=MODERATE, most=60, groups=5, least_epsilon=2, boxes=PLAIN))
def test_as_near_as_what_clarabel_finds(case: Case) -> None:
    found = case.project()
    if not found:
        return
    y = oracle.solve_by_clarabel(case.scores, case.rows, case.limits, case.floats)
    theirs = float(np.square(y - case.scores).sum())
    ours = float(np.square(found.predictions.double().numpy() - case.scores).sum())
    size = max(abs(end) for end in case.floats)
    exact = case.z.dtype is torch.float64
    assert ours - theirs <= (1e-9 if exact else 1e-5) * theirs + (1e-9 if exact else 1e-6) * size**2
    assert theirs - ours <= 1e-8 * theirs + 1e-8 * size**2  # their y is feasible to about 1e-11 only


@FULL
@given(cases(least_epsilon=1, kinds=(*MODERATE, "1e6", "1e18"), most=60, groups=5))
def test_the_multipliers_prove_that_nothing_is_much_nearer(case: Case) -> None:
    found = case.project()
    if not found:
        return
    y, nu, step = found.predictions.double().numpy(), case.multipliers(found), float(case.step)
    gap = oracle.duality_gap(case.scores, y, case.rows, case.limits, nu, case.floats)
    # ε tightened by up to 2 steps, people rounded by half of one, off the box's ends by up to one: each at its price.
    price = 4 * np.abs(nu).sum() + 4 * np.abs(case.scores - y).sum()
    objective = 0.5 * float(np.square(y - case.scores).sum())
    assert gap <= step * price + len(y) * (4 * step) ** 2 + 1e-13 * objective
    for row, limit, value in zip(case.rows, case.limits, nu, strict=True):
        at = float(row.value([Fraction(v) for v in y.tolist()]))
        assert value == 0 or abs(at - np.sign(value) * float(limit)) <= 4 * step  # complementary


# ---------------------------------------------------------------------------------------------------- the same for all
@FULL
@given(cases(kinds=(*MODERATE, "mixture")), st.integers(0, 10**6))
def test_identical_people_are_served_the_same(case: Case, seed: int) -> None:
    # everybody twice, in any order
    n = len(case.z)
    order = np.random.default_rng(seed).permutation(np.concatenate([np.arange(n), np.arange(n)]))
    doubled = case.permuted(order)
    found = doubled.project()
    if found:
        y = found.predictions
        assert all(len(set(y[torch.from_numpy(order == i)].tolist())) == 1 for i in range(n))


@FEW
@given(cases(most=40, groups=5), st.integers(0, 10**6))
def test_the_order_of_people_does_not_matter(case: Case, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(case.z))
    ours, theirs = case.project(), case.permuted(order).project()
    assert ours.problems[0].status is theirs.problems[0].status
    assert torch.equal(ours.predictions[torch.from_numpy(order)].nan_to_num(-9), theirs.predictions.nan_to_num(-9))


def test_the_order_of_a_large_batch_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    for groups in (2, 5):
        z, codes = torch.from_numpy(rng.random(5001)), rng.integers(0, groups, 5001)
        z += 0.1 * torch.from_numpy(codes)
        layer = FairnessLayer("demographic_parity", 0.01)
        for _ in range(20):
            order = rng.permutation(5001)
            moved = torch.from_numpy(order)
            assert torch.equal(layer(z, codes)[moved], layer(z[moved], codes[order]))


@FEW
@given(cases(kinds=MODERATE, most=40), st.integers(1, 3), st.integers(1, 3))
def test_columns_and_batches_are_what_they_are_alone(case: Case, batches: int, columns: int) -> None:
    rng = np.random.default_rng(batches * 10 + columns)
    n = len(case.z)
    z = case.z[None, :, None] + torch.from_numpy(rng.normal(0, 0.1, (batches, n, columns))).to(case.z.dtype)
    whole = case.project(z)
    assert whole.predictions.shape == z.shape
    assert len(whole.problems) == batches * columns
    for b in range(batches):
        for c in range(columns):
            alone, problem = case.project(z[b, :, c]), whole.problems[b * columns + c]
            assert problem.status is alone.problems[0].status
            assert torch.equal(whole.predictions[b, :, c].nan_to_num(-9), alone.predictions.nan_to_num(-9))
            assert problem.multipliers == alone.problems[0].multipliers


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_batch_has_its_own_people(count: int) -> None:
    rng = np.random.default_rng(count)
    z, groups = torch.from_numpy(rng.random((count, 8, 2))), rng.integers(0, 3, (count, 8))
    labels = rng.integers(0, 2, (count, 8))
    layer = FairnessLayer("equalized_odds", 0.01)
    y = layer(z, groups, labels)
    for b in range(count):
        assert torch.equal(y[b], layer(z[b], groups[b], labels[b]))
    assert torch.equal(y, layer(z, groups[:, :, None], labels))


def test_an_infeasible_problem_leaves_the_others_alone() -> None:
    z = torch.tensor([[0.1, 0.9], [0.4, 0.2], [0.5, 0.6]], dtype=D).expand(3, 3, 2).contiguous()
    labels = np.array([[0, 1, 1], [5, 5, 5], [0.5, 0.5, 0.5]])
    layer = FairnessLayer("equalized_residuals", 0.1)
    found = layer.project(z, np.zeros((3, 3), dtype=int), labels=labels)
    assert not found
    assert [item.status for item in found.problems[2:4]] == [Status.INFEASIBLE] * 2
    assert found.predictions[1].isnan().all()
    for b in (0, 2):
        assert torch.equal(found.predictions[b], layer(z[b], [0, 0, 0], labels=labels[b]))
    with pytest.raises(ProjectionError, match="problem 2 of 6") as caught:
        layer(z, np.zeros((3, 3), dtype=int), labels=labels)
    assert caught.value.projection.problems[0].status is Status.SOLVED


# ------------------------------------------------------------------------------------------------------- as a map
def norm(a: Floats) -> float:
    return float(np.linalg.norm(a))


@FULL
@given(
    cases(kinds=(*MODERATE, "1e6"), least_epsilon=1, most=60, groups=5),
    st.integers(0, 10**6),
    st.sampled_from([1e-9, 1e-4, 0.1, 1.0]),
)
def test_nonexpansive_up_to_the_grid(case: Case, seed: int, reach: float) -> None:
    move = np.random.default_rng(seed).normal(0, reach * float(case.box[1] - case.box[0]), len(case.z))
    other = case.z + torch.from_numpy(move).to(case.z.dtype)
    ours, theirs = case.project(), case.project(other)
    if ours and theirs:
        apart = norm(ours.predictions.double().numpy() - theirs.predictions.double().numpy())
        before = norm(case.scores - other.double().numpy())
        rho = 4 * float(case.step) * np.sqrt(len(move)) + 1e-15 * float(np.abs(case.scores).max())
        assert apart <= before + 2 * rho


@FULL
@given(cases(least_epsilon=1, most=60, groups=5))
def test_idempotent_up_to_the_grid(case: Case) -> None:
    once = case.project()
    if once:
        twice = case.project(once.predictions)
        assert twice
        assert float((once.predictions - twice.predictions).abs().max()) <= 4 * case.step


@FULL
@given(cases(kinds=MODERATE, least_epsilon=1, most=60), st.integers(0, 10**6), st.sampled_from([1e-12, 1.0, 1e6]))
def test_where_the_search_starts_does_not_matter(case: Case, seed: int, size: float) -> None:
    cold = case.project()
    start = np.random.default_rng(seed).normal(0, size * float(case.box[1] - case.box[0]), len(case.rows))
    for guess in (start, cold.problems[0].answer.multipliers.copy()):
        kept = guess.copy()
        warm = case.project(start=guess)
        assert (guess == kept).all()
        assert warm.problems[0].status is cold.problems[0].status
        if cold:
            assert float((warm.predictions - cold.predictions).abs().max()) <= 8 * case.step


# ------------------------------------------------------------------------------------------------------- other things
def test_epsilon_is_the_decimal_that_was_written() -> None:
    # ε = float(0.05) is above 1/20; a difference of exactly that float must not pass as 0.05.
    layer = FairnessLayer("demographic_parity", 0.05)
    y = layer(torch.tensor([0.05, 0.0], dtype=D), [0, 1])
    assert Fraction(0.05) > Fraction(1, 20)
    assert Fraction(float(y[0])) - Fraction(float(y[1])) <= Fraction(1, 20)
    for written in (0.05, "0.05", "1/20", np.float64(0.05), Fraction(1, 20)):
        assert FairnessLayer("demographic_parity", written).epsilon == Fraction(1, 20)


def test_what_is_fair_already_is_only_clipped_and_rounded() -> None:
    z = torch.tensor([0.25, 0.5, 0.25, 0.5, -1.0, -2.0], dtype=D)
    y = FairnessLayer("demographic_parity", 0.0)(z, [0, 0, 1, 1, 0, 1])
    assert torch.equal(y, z.clamp(0, 1))


def test_a_forty_row_problem_with_copies_of_features() -> None:
    rng = np.random.default_rng(7)
    column = rng.integers(0, 5, 400)
    near = column.copy()
    near[:3] = 0
    features = np.stack([column, column, near, near], axis=1)
    z = torch.from_numpy(rng.random(400) + 0.1 * column)
    for epsilon in ("0.05", "1e-9"):
        found = FairnessLayer("demographic_parity", epsilon).project(z, features)
        assert found
        assert len(found.problems[0].multipliers) == 40
        batch = oracle.Batch({f"feature {k}": [str(v) for v in features[:, k]] for k in range(4)})
        rows = oracle.rows_of("demographic_parity", batch)
        limits = [Fraction(epsilon)] * 40
        assert oracle.violations(found.predictions.tolist(), rows, limits, (Fraction(0), Fraction(1))) == []


@pytest.mark.parametrize("box", [("1000000", "1000000.01"), ("-0.5", "-0.4999")])
def test_a_narrow_box_needs_only_its_own_dtype(box: tuple[str, str]) -> None:
    # too narrow for float32 is no reason to refuse float64
    z = torch.tensor([float(box[0]), float(box[1])], dtype=D)
    y = FairnessLayer("demographic_parity", "0.00001", *box)(z, [0, 1])
    ends = Fraction(box[0]), Fraction(box[1])
    assert all(ends[0] <= Fraction(v) <= ends[1] for v in y.tolist())


def test_the_grid_is_as_promised() -> None:
    assert step_of((Fraction(0), Fraction(1)), torch.float64) == Fraction(1, 2**40)
    assert step_of((Fraction(0), Fraction(1)), torch.float32) == Fraction(1, 2**24)
