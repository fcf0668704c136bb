from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch

from certifair.checks._stability.differentiable import Differentiable, differentiable
from certifair.checks._stability.linear import independent, inverse, maximise
from certifair.checks._stability.normal_cone import root
from certifair.checks._stability.problem import LayerRow, Member, batches_of, problem_of
from certifair.checks._stability.radius import Radius, radius
from certifair.checks._stability.sensitivity import (
    OTHERS_PER_SCORE,
    to_a_score,
    to_the_tolerance,
    tolerance_bound,
)
from certifair.checks._stability.solution import Solution, Undecided, solve
from certifair.checks._stability.treatment import treatment
from certifair.layer.fairness_layer import FairnessLayer
from tests.checks.bundles import Sample, evidence_of, property_of, terms_in
from tests.checks.stability_cases import BOX, Case, random_case, served, solved
from tests.oracles.metric_oracle import Question
from tests.oracles.stability_layer_oracle import is_differentiable, neighbours, project, tight

SIZES = ((2,), (3,), (2, 2), (4,))


def cases(seed: int, count: int, least: int = 3, most: int = 9) -> list[Case]:
    rng = np.random.default_rng(seed)
    found = []
    for k in range(count):
        sizes = SIZES[k % len(SIZES)]
        n = max(int(rng.integers(least, most)), *sizes)
        epsilon = Fraction(int(rng.integers(0, 3)), 8)
        coarse = 4 if rng.random() < 0.5 else None
        found.append(random_case(rng, n, sizes, epsilon, coarse=coarse, residual=bool(rng.random() < 0.3)))
    return found


def known(solution: Solution) -> Differentiable:
    found = differentiable(solution)
    assert isinstance(found, Differentiable)
    return found


def mean_rows(groups: int, epsilon: Fraction) -> list[LayerRow]:
    one = (Fraction(1), Fraction(-1))
    pairs = itertools.combinations(range(groups), 2)
    return [LayerRow(f"g: {a} - {b}", ((a,), (b,)), one, False, epsilon) for a, b in pairs]


def plain(scores: list[float], cells: list[int], epsilon: Fraction) -> Case:
    groups = max(cells) + 1
    members = [Member((str(g),)) for g in range(groups)]
    return Case(np.array(scores), np.array(cells), members, mean_rows(groups, epsilon), None)


def test_solutions_are_those_of_all_active_sets() -> None:
    for case in cases(1, 12, most=5):
        assert served(case, solved(case)) == project(case.tiny)


def test_solutions_are_the_projection_and_lie_in_the_enclosures() -> None:
    for case in cases(2, 120):
        y, solution = case.projected(), solve(case.problem)
        assert y is not None
        assert isinstance(solution, Solution)
        assert served(case, solution) == y
        low, high = solution.predictions()
        assert all(Fraction(float(a)) <= v <= Fraction(float(b)) for a, v, b in zip(low, y, high, strict=True))
        assert (high - low).max() < 1e-14 * (1 + max(map(abs, solution.shifts)))
        nearest = np.array([float(v) for v in y])
        off = max(abs(Fraction(float(a)) - v) for a, v in zip(nearest + 0.25, y, strict=True))
        assert off <= solution.farthest(nearest + 0.25) <= off + Fraction(1, 10**12)


def test_rows_that_nothing_satisfies_are_proven_to_be_so() -> None:
    rows = [LayerRow("g: 0", ((0,),), (Fraction(1),), True, Fraction(1, 8))]
    for label, possible in ((1.125, True), (1.25, False)):
        case = Case(np.array([0.5, 0.25]), np.zeros(2, dtype=int), [Member(("0",))], rows, np.full(2, label))
        found = solve(case.problem)
        assert bool(found) is possible
        assert isinstance(found, Solution if possible else Undecided)
        if isinstance(found, Undecided):
            assert found.conflict == (Fraction(-1),)


def test_hints_do_not_change_the_answer() -> None:
    rng = np.random.default_rng(3)
    for case in cases(3, 24):
        first = solved(case)
        for hint in ([float(x) for x in first.multipliers], rng.normal(size=len(first.multipliers)).tolist()):
            again = solve(case.problem, hint)
            assert isinstance(again, Solution)
            assert served(case, again) == served(case, first)


def test_criterion_is_that_of_the_directional_derivative() -> None:
    verdicts = []
    for case in cases(4, 100):
        solution = solve(case.problem)
        if not isinstance(solution, Solution):
            continue
        found = known(solution)
        assert bool(found) == is_differentiable(case.tiny, served(case, solution)), found.reasons
        assert found.face.structure_holds()
        verdicts.append(bool(found))
    assert 12 < sum(verdicts) < len(verdicts) - 12


def test_a_person_at_a_bound_without_force_is_named() -> None:
    found = known(solved(plain([0.25, 0.5, 0.0, 0.75], [0, 0, 1, 1], Fraction(1, 2))))
    assert not found
    assert found.reasons == ("the force on person 2 at the lower bound is 0",)
    assert radius(found).lower == 0


def test_a_group_without_force_is_named() -> None:
    """Means 1/2 and 1/4, 1/4 apart: the row is at its end, and nobody pushes."""
    found = known(solved(plain([0.5, 0.25], [0, 1], Fraction(1, 4))))
    assert found.reasons == ("the multiplier of row 'g: 0 - 1' is 0",)


def test_redundant_rows_cause_no_false_alarm() -> None:
    """Four groups, two above and two below: four active rows of rank three, and all forces are positive."""
    case = plain([0.9, 0.875, 0.3, 0.25, 0.4, 0.35], [0, 1, 2, 3, 2, 3], Fraction(1, 10))
    found = known(solved(case))
    assert (len(found.face.active), len(found.face.basis)) == (4, 3)
    assert min(abs(m) for m in solved(case).multipliers) == 0
    assert found
    check_radius(case, np.random.default_rng(0))


def check_radius(case: Case, rng: np.random.Generator) -> Radius:
    """Inside the same constraints are active (so the affine map is the same), beyond the nearest facet others."""
    found = known(solved(case))
    limit = radius(found)
    before = tight(case.tiny, served(case, found.face.solution))

    def same(scores: np.ndarray) -> bool:
        moved = case.at(scores)
        return tight(moved.tiny, served(moved, solved(moved))) == before

    assert limit.lower is not None
    for scores in neighbours(rng, case.scores, 0.999 * float(limit.lower), 4):
        assert same(scores)
    if limit.nearest is not None:
        normal = np.array([float(x) for x in limit.nearest.normal(found.face)])
        assert normal @ normal == pytest.approx(float(limit.nearest.norm2))
        step = normal * float(limit.lower) / np.linalg.norm(normal)
        assert same(case.scores + 0.999 * step)
        assert not same(case.scores + 1.001 * step), limit.nearest
    return limit


def test_the_active_set_is_constant_within_the_radius_and_no_further() -> None:
    rng = np.random.default_rng(6)
    kinds, exact = set(), []
    for case in cases(6, 80, least=4, most=11):
        solution = solve(case.problem)
        if isinstance(solution, Solution) and known(solution) and radius(known(solution)).lower:
            limit = check_radius(case, rng)
            exact.append(limit.exact)
            kinds |= {limit.nearest.about.split(" ")[0] for _ in "1" if limit.nearest is not None}
    assert len(exact) > 40
    assert sum(exact) > 0.8 * len(exact)
    assert kinds >= {"person", "row", "the"}


def test_bounds_of_dependent_rows_hold() -> None:
    """Two attributes whose rows depend on each other on free people: the linear program's bound is a bound."""
    rng, bounded = np.random.default_rng(7), 0
    for _ in range(30):
        case = random_case(rng, 8, (2, 2, 2), Fraction(0), spread=0.3)
        case = Case(
            case.scores,
            np.where(rng.random(8) < 0.8, case.cells % 2 * 7, case.cells),
            *list(case.__dict__.values())[2:],
        )
        solution = solve(case.problem)
        if isinstance(solution, Solution) and known(solution):
            limit = check_radius(case, rng)
            bounded += len(known(solution).face.active) > len(known(solution).face.basis)
            assert limit.lower is not None
    assert bounded > 3


def test_the_derivative_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(8)
    for case in cases(8, 40, least=4):
        solution = solve(case.problem)
        if not isinstance(solution, Solution) or not known(solution):
            continue
        face = known(solution).face
        limit = radius(known(solution)).lower
        assert limit is not None
        step = float(min(limit, Fraction(1, 8))) / 2
        i = int(rng.integers(len(case.scores)))
        moved = case.at(case.scores + step * (np.arange(len(case.scores)) == i))
        exact = Fraction(float(moved.scores[i])) - Fraction(float(case.scores[i]))
        change = [(a - b) / exact for a, b in zip(served(moved, solved(moved)), served(case, solution), strict=True)]
        y = served(case, solution)
        free = [BOX[0] < v < BOX[1] for v in y]
        q = face.reactions
        for k, value in enumerate(change):
            want = int(i == k) - q[case.cells[i]][case.cells[k]] if free[i] and free[k] else 0
            assert value == want
        largest = to_a_score(face)
        others = [abs(value) for k, value in enumerate(change) if k != i]
        assert change[i] <= largest.own
        assert max(others, default=Fraction(0)) <= largest.other
        assert sum(value**2 for value in others) <= largest.others_square <= OTHERS_PER_SCORE**2


def test_the_derivative_by_the_tolerance_is_that_of_a_small_step() -> None:
    count = 0
    for case in cases(9, 60, least=4):
        solution = solve(case.problem)
        if not isinstance(solution, Solution) or not known(solution):
            continue
        found = to_the_tolerance(known(solution).face)
        if found is None:
            continue
        step = Fraction(1, 2**60)
        rows = [LayerRow(r.name, r.parts, r.factors, r.residual, r.epsilon + step) for r in case.rows]
        moved = Case(case.scores, case.cells, case.members, rows, case.labels)
        pairs = list(zip(served(moved, solved(moved)), served(case, solution), strict=True))
        assert sum((a - b) ** 2 for a, b in pairs) == found.square * step**2
        assert max(abs(a - b) for a, b in pairs) == found.largest * step
        count += found.square > 0
    assert count > 10


def test_the_bound_for_any_change_of_the_tolerance_holds() -> None:
    rng = np.random.default_rng(10)
    for _ in range(30):
        case = random_case(rng, 6, (3,), Fraction(1, 8))
        new = Fraction(1, 8) + Fraction(int(rng.integers(0, 40)), 100)
        rows = [LayerRow(r.name, r.parts, r.factors, r.residual, new) for r in case.rows]
        y = served(case, solved(case))
        other = Case(case.scores, case.cells, case.members, rows, None)
        found = served(other, solved(other))
        distance = root(sum(((a - b) ** 2 for a, b in zip(found, case.tiny.z, strict=True)), Fraction(0)), up=True)
        bound = tolerance_bound(Fraction(1, 8), new, distance, root(Fraction(6), up=True))
        assert sum((a - b) ** 2 for a, b in zip(y, found, strict=True)) <= bound**2


def test_the_bound_for_any_change_of_the_tolerance_needs_both_terms() -> None:
    """From (1, 3/4) to (1, 7/8), further than θ times the distance from (7/8, 7/8)."""
    y = [served(case, solved(case)) for case in (plain([9.0, 0.5], [0, 1], Fraction(1, k)) for k in (8, 4))]
    assert y == [[1, Fraction(7, 8)], [1, Fraction(3, 4)]]
    bound = tolerance_bound(Fraction(1, 8), Fraction(1, 4), Fraction(9), root(Fraction(1, 32), up=True))
    assert bound >= Fraction(1, 8)


def test_treatment_is_the_largest_difference_of_equal_scores() -> None:
    for case in cases(11, 40):
        solution = solve(case.problem)
        found = None if not isinstance(solution, Solution) else treatment(solution, case.problem.members)
        if found is None or not isinstance(solution, Solution):
            continue
        grid = [Fraction(k, 64) for k in range(-256, 320)] + [found.score]
        present = sorted(set(case.cells.tolist()))
        values = [[min(max(z - solution.shifts[j], BOX[0]), BOX[1]) for j in present] for z in grid]
        assert max(max(line) - min(line) for line in values) == max(values[-1]) - min(values[-1]) == found.difference


def test_treatment_compares_unequal_groups_of_one_condition() -> None:
    members = [Member(("f",), "0"), Member(("m",), "0"), Member(("f",), "1"), Member(("m",), "1")]
    one = (Fraction(1), Fraction(-1))
    rows = [LayerRow(str(c), ((2 * c,), (2 * c + 1,)), one, False, Fraction(0)) for c in (0, 1)]
    cells = np.array([0, 1, 1, 1, 2, 2, 2, 3])
    scores = np.where(cells % 2 == 0, 0.25, 0.75)
    problem = problem_of(scores, cells, members, rows, BOX)
    solution = solve(problem)
    assert isinstance(solution, Solution)
    found = treatment(solution, problem.members)
    assert found is not None
    assert found.difference == Fraction(1, 2)
    assert found.favoured.condition == found.other.condition
    wider = treatment(solution, problem.members, across_conditions=True)
    assert wider is not None
    assert (wider.difference, wider.favoured, wider.other) == (Fraction(3, 4), members[0], members[3])
    assert treatment(solution, (members[0],) * 4) is None


@pytest.mark.parametrize(
    "metric", ["demographic_parity", "conditional_parity", "equalized_odds", "equalized_residuals"]
)
def test_batches_of_a_bundle_are_what_the_layer_projects(metric: str) -> None:
    rng = np.random.default_rng(12)
    n, batches = 60, ["x"] * 30 + ["y"] * 30
    declared = {"g": ("a", "b", "c"), "h": ("u", "v"), "town": ("big", "small")}
    columns = {name: [str(v) for v in rng.choice(values, n)] for name, values in declared.items()}
    scores, labels = rng.normal(0.5, 0.4, n), rng.integers(0, 2, n).astype(float)
    condition = "town" if metric == "conditional_parity" else None
    question = Question(
        metric=metric,
        features=("g", "h"),
        declared=declared,
        condition=condition,
        form="projection",
        threshold=Fraction(1),
    )
    text = f'[layer]\nmetric = "{metric}"\nsensitive_features = ["g", "h"]\nepsilon = 0.1\nlower = 0\nupper = 1\n'
    text += f'condition = "{condition}"\n' if condition else ""
    sample = Sample(
        declared, columns, np.clip(scores, 0, 1), scores, labels, batches, text, properties=[property_of(question)]
    )
    evidence = evidence_of(sample)
    layer = FairnessLayer(metric, "0.1", values={"g": declared["g"], "h": declared["h"]})
    for batch in batches_of(terms_in(evidence), evidence):
        part = {name: [columns[name][i] for i in batch.at] for name in ("g", "h")}
        towns = np.array([columns["town"][i] for i in batch.at])
        given = torch.tensor(scores[batch.at])
        answer = layer(given, part, torch.tensor(labels[batch.at]), towns if condition else None)
        solution = solve(batch.problem, batch.hints)
        assert isinstance(solution, Solution)
        assert solution.farthest(answer.numpy()) < 1e-10


def test_linear_algebra() -> None:
    rng = np.random.default_rng(13)
    matrix = [[Fraction(int(x)) for x in row] for row in rng.integers(-3, 4, (4, 4)) + 8 * np.eye(4, dtype=int)]
    product = [
        [sum(a * b for a, b in zip(row, col, strict=True)) for col in zip(*inverse(matrix), strict=True)]
        for row in matrix
    ]
    assert product == [[int(i == j) for j in range(4)] for i in range(4)]
    assert independent([*matrix[:2], [a + b for a, b in zip(*matrix[:2], strict=True)], matrix[2]]) == [0, 1, 3]


def test_linear_programs_are_those_of_scipy() -> None:
    from scipy.optimize import linprog

    rng, ends = np.random.default_rng(14), []
    for _ in range(80):
        a, b, c = rng.integers(-3, 4, (3, 6)), rng.integers(-2, 5, 3), rng.integers(-3, 3, 6)
        want = linprog(-c, A_eq=a, b_eq=b, bounds=[(0, None)] * 6)
        fractions = [[Fraction(int(x)) for x in row] for row in a], [Fraction(int(x)) for x in b]
        ends.append(want.status)
        if want.status == 2:
            with pytest.raises(ValueError, match="contradict"):
                maximise([Fraction(int(x)) for x in c], *fractions)
            continue
        found = maximise([Fraction(int(x)) for x in c], *fractions)
        assert (found is None) == (want.status == 3)
        if found is not None:
            assert float(found[0]) == pytest.approx(-want.fun)
    assert set(ends) == {0, 2, 3}
