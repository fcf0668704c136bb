from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from certifair.checks._stability.moves import Event, Moved, largest_move, moved_by
from certifair.checks._stability.problem import LayerRow, Member, problem_of
from certifair.checks._stability.solution import Solution, Undecided, solve
from tests.checks.stability_cases import BOX, Case, random_case, served, solved

EVENTS = ["leaves", "joins", "changes"]
SCORES = (-9.0, 0.0, 0.125, 0.3, 0.5, 0.7, 0.9, 1.0, 9.0)


def events(case: Case, kind: str) -> list[Event]:
    cells = range(len(case.members))
    held = sorted(set(case.cells.tolist()))
    if kind == "leaves":
        return [Event(c, None) for c in held]
    if kind == "joins":
        return [Event(None, d) for d in cells]
    return [Event(c, d) for c in held for d in cells if c != d]


def others(case: Case, before: list[Fraction], after: Case, kept: list[int]) -> Fraction:
    """The largest move of those who stay, in the order of `kept`, who come first in the other case."""
    found = after.projected()
    if found is None:
        return Fraction(0)
    return max((abs(found[k] - before[i]) for k, i in enumerate(kept)), default=Fraction(0))


def happening(case: Case, event: Event) -> list[tuple[Case, list[int]]]:
    """What the event can be, with persons of the batch or, of those who join, some scores; and who stays."""
    everybody = list(range(len(case.scores)))
    if event.source is None:
        assert event.target is not None
        return [(case.plus(z, event.target, 0.5), everybody) for z in SCORES]
    found = []
    for i in np.flatnonzero(case.cells == event.source).tolist():
        left = case.without(i)
        if event.target is not None:
            label = 0.0 if case.labels is None else float(case.labels[i])
            left = left.plus(float(case.scores[i]), event.target, label)
        if len(left.scores):
            found.append((left, [k for k in everybody if k != i]))
    return found


@pytest.mark.parametrize("kind", EVENTS)
def test_nobody_moves_further_than_the_bound(kind: str) -> None:
    rng = np.random.default_rng(EVENTS.index(kind))
    ratios, undecided = [], 0
    for k in range(12):
        sizes = ((2,), (3,), (2, 2), (4,))[k % 4]
        epsilon = Fraction(int(rng.integers(0, 3)), 8)
        case = random_case(rng, int(rng.integers(5, 11)), sizes, epsilon, coarse=4 if k % 3 else None, residual=k == 5)
        problem, solution = case.problem, solved(case)
        before = served(case, solution)
        for event in events(case, kind):
            found = moved_by(problem, solution, event)
            if isinstance(found, Undecided):
                undecided += 1
                continue
            worst = max((others(case, before, *item) for item in happening(case, event)), default=Fraction(0))
            assert worst <= found.largest
            if found.largest:
                ratios.append(float(worst / found.largest))
    assert undecided < len(ratios) / 3
    assert max(ratios) == 1
    assert np.median(ratios) > 0.5


def test_the_bound_is_attained_by_whoever_is_farthest_out() -> None:
    """100 people of each of two groups, scores from far below to far above: those at the ends are the worst."""
    rng = np.random.default_rng(4)
    scores = np.concatenate([rng.uniform(-0.5, 1.2, 99), [-9.0], rng.uniform(0, 1.7, 99), [9.0]])
    case = Case(scores, np.repeat([0, 1], 100), [Member(("a",)), Member(("b",))], [], None)
    one = (Fraction(1), Fraction(-1))
    rows = [LayerRow("g: a - b", ((0,), (1,)), one, False, Fraction(1, 50))]
    case = Case(case.scores, case.cells, case.members, rows, None)
    problem, solution = case.problem, solved(case)
    before = served(case, solution)
    for event in (Event(0, None), Event(1, None), Event(None, 0), Event(None, 1)):
        found = moved_by(problem, solution, event)
        assert isinstance(found, Moved)
        worst = Fraction(0)
        for after, kept in happening(case, event):
            moved = served(after, solved(after))
            worst = max(worst, *(abs(moved[k] - before[i]) for k, i in enumerate(kept)))
        assert worst == found.largest > 0


def test_nothing_better_than_the_box_holds_for_all_batches() -> None:
    """Of each group only one person is free: both must make up for whoever joins."""
    scores = np.array([-9.0] * 9 + [0.875] + [-9.0] * 9 + [0.125])
    rows = [LayerRow("g: a - b", ((0,), (1,)), (Fraction(1), Fraction(-1)), False, Fraction(3, 40))]
    case = Case(scores, np.repeat([0, 1], 10), [Member(("a",)), Member(("b",))], rows, None)
    found = moved_by(case.problem, solved(case), Event(None, 0))
    assert isinstance(found, Moved)
    assert found.largest >= Fraction(1, 3)


def test_a_group_may_vanish_or_appear() -> None:
    case = Case(
        np.array([0.9, 0.2, 0.3]),
        np.array([0, 1, 1]),
        [Member((g,)) for g in "abc"],
        [
            LayerRow(f"g: {a} - {b}", ((a,), (b,)), (Fraction(1), Fraction(-1)), False, Fraction(0))
            for a, b in ((0, 1), (0, 2), (1, 2))
        ],
        None,
    )
    problem, solution = case.problem, solved(case)
    gone = moved_by(problem, solution, Event(0, None))
    assert isinstance(gone, Moved)
    assert gone.largest == abs(Fraction(0.2) - served(case, solution)[1])
    appeared = moved_by(problem, solution, Event(None, 2))
    assert isinstance(appeared, Moved)
    assert appeared.largest == max(max(y, 1 - y) for y in served(case, solution))


def test_nobody_leaves_an_empty_cell() -> None:
    case = random_case(np.random.default_rng(0), 6, (2,), Fraction(0))
    problem = problem_of(case.scores, case.cells, [*case.members, Member(("2",))], case.rows, BOX)
    solution = solve(problem)
    assert isinstance(solution, Solution)
    for event in (Event(2, None), Event(0, 0)):
        with pytest.raises(ValueError, match="leave"):
            moved_by(problem, solution, event)


def test_largest_moves_are_those_of_everybody() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        people = random_case(rng, int(rng.integers(1, 8)), (1,), Fraction(0)).problem.people
        old, new = (Fraction(float(x)) for x in rng.normal(0, 0.7, 2))

        def clip(z: Fraction) -> Fraction:
            return min(max(z, BOX[0]), BOX[1])

        moves = [abs(clip(people.score(i) - old) - clip(people.score(i) - new)) for i in range(len(people.scores))]
        assert largest_move(people, 0, BOX, old, new) == max(moves)
