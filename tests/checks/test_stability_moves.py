from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from certifair.checks._stability.moves import MOST_CELLS, Event, Moved, Moves, all_moves, largest_move, moved_by
from certifair.checks._stability.polygons import Form, Polygon, combined, cut, flat, scaled, value, within
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


def test_one_newcomer_may_move_somebody_by_a_third_of_the_box() -> None:
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
    found = all_moves(problem, solution)
    assert isinstance(found, Moves)
    assert found.leaving is not None
    assert found.leaving.event.source in (0, 1)
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


def test_all_moves_are_the_largest_of_each_kind() -> None:
    rng = np.random.default_rng(6)
    for k in range(6):
        case = random_case(rng, 8, ((2,), (3,), (2, 2))[k % 3], Fraction(1, 8), coarse=4)
        problem, solution = case.problem, solved(case)
        found = all_moves(problem, solution)
        singles = [[moved_by(problem, solution, event) for event in events(case, kind)] for kind in EVENTS]
        if any(isinstance(one, Undecided) for kind in singles for one in kind):
            assert isinstance(found, Undecided)
            assert found.reason.startswith("somebody of ")
            continue
        assert isinstance(found, Moves)
        for worst, kind, kinds in zip((found.leaving, found.joining, found.changing), EVENTS, singles, strict=True):
            assert worst is not None
            assert worst.event in events(case, kind)
            assert worst.moved.largest == max(one.largest for one in kinds if isinstance(one, Moved))
            assert moved_by(problem, solution, worst.event) == worst.moved
        assert found.largest is not None
        assert found.largest.moved.largest == max(one.largest for kind in singles for one in kind)  # type: ignore[union-attr]


def test_with_one_joint_cell_nobody_changes() -> None:
    case = random_case(np.random.default_rng(1), 5, (1,), Fraction(0))
    found = all_moves(case.problem, solved(case))
    assert isinstance(found, Moves)
    assert found.changing is None
    assert found.leaving is not None
    assert found.joining is not None
    alone = Case(np.array([0.4]), np.array([0]), [Member(("a",))], [], None)
    found = all_moves(alone.problem, solved(alone))
    assert isinstance(found, Moves)
    assert found.largest is not None
    assert found.largest.moved.largest == 0


def test_too_many_joint_cells_are_undecided_with_their_number() -> None:
    n = MOST_CELLS + 1
    members = [Member((str(k),)) for k in range(n)]
    case = Case(np.linspace(0.1, 0.9, n), np.arange(n), members, [], None)
    found = all_moves(case.problem, solved(case))
    assert isinstance(found, Undecided)
    assert found.reason == f"{n} joint cells, too many to follow who changes; at most {MOST_CELLS} are"
    fewer = Case(case.scores[1:], case.cells[:-1], members[:-1], [], None)
    assert isinstance(all_moves(fewer.problem, solved(fewer)), Moves)


def test_an_undecided_event_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from certifair.checks._stability import moves

    case = random_case(np.random.default_rng(2), 6, (2,), Fraction(0))
    members = [Member(("x",), "good"), Member(("y",))]
    problem = problem_of(case.scores, case.cells, members, case.rows, BOX)
    solution = solve(problem)
    assert isinstance(solution, Solution)
    fine = Moved(Fraction(0), None, None, 1)
    for wrong, words in (
        (Event(0, None), "somebody of x good leaves"),
        (Event(None, 1), "somebody of y joins"),
        (Event(1, 0), "somebody of y becomes x good"),
    ):
        answers = {wrong: Undecided("so it is")}

        monkeypatch.setattr(moves, "moved_by", lambda p, s, event, most, answers=answers: answers.get(event, fine))
        found = all_moves(problem, solution)
        assert isinstance(found, Undecided)
        assert found.reason == f"{words}: so it is"


def area(polygon: Polygon) -> Fraction:
    """Twice the area, counterclockwise positive."""
    pairs = zip(polygon, [*polygon[1:], *polygon[:1]], strict=True)
    return sum((p[0] * q[1] - p[1] * q[0] for p, q in pairs), Fraction(0))


def fraction(rng: np.random.Generator) -> Fraction:
    return Fraction(int(rng.integers(-12, 13)), int(rng.integers(1, 7)))


SQUARE: Polygon = [(Fraction(a), Fraction(b)) for a, b in ((0, 0), (2, 0), (2, 2), (0, 2))]
INTERVAL: Polygon = [(Fraction(-1), Fraction(0)), (Fraction(3), Fraction(0))]


def of(a: int, b: int, c: int) -> Form:
    return Fraction(a), Fraction(b), Fraction(c)


def test_forms() -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        u = fraction(rng), fraction(rng)
        forms = [(fraction(rng), fraction(rng), fraction(rng)) for _ in range(3)]
        weights = [fraction(rng) if k else Fraction(0) for k in range(3)]
        assert value(forms[0], u) == forms[0][0] + forms[0][1] * u[0] + forms[0][2] * u[1]
        assert value(combined(weights, forms), u) == sum(w * value(f, u) for w, f in zip(weights, forms, strict=True))
        assert value(scaled(forms[0], weights[1]), u) == weights[1] * value(forms[0], u)
    with pytest.raises(ValueError, match="zip"):
        combined(weights, forms[:2])


def test_cuts_of_a_polygon_are_its_two_sides() -> None:
    """Again and again: areas add up, signs are right, corners go counterclockwise, and none is there twice."""
    rng = np.random.default_rng(8)
    cuts = 0
    for _ in range(60):
        polygon = SQUARE
        for _ in range(6):
            # Through corners, along edges, and anywhere.
            form = (fraction(rng), fraction(rng), fraction(rng))
            if rng.random() < 0.5:
                p = polygon[int(rng.integers(len(polygon)))]
                form = (-form[1] * p[0] - form[2] * p[1], form[1], form[2])
            inside, outside = cut(polygon, form)
            assert all(value(form, p) >= 0 for p in inside)
            assert all(value(form, p) <= 0 for p in outside)
            assert bool(outside) == any(value(form, p) < 0 for p in polygon)
            assert len(set(inside)) == len(inside)
            assert len(set(outside)) == len(outside)
            assert area(inside) >= 0
            assert area(outside) >= 0
            assert area(inside) + area(outside) == area(polygon)
            for part in (inside, outside):
                assert set(part) >= {p for p in polygon if p in part}
                assert flat(part, polygon) == (area(part) == 0)
            kept = [p for p in polygon if value(form, p) >= 0]
            assert [p for p in inside if p in kept] == kept
            cuts += bool(inside) and bool(outside)
            if not flat(inside, polygon):
                polygon = inside
    assert cuts > 50


def test_cuts_of_an_interval() -> None:
    low, high = INTERVAL
    zero = Fraction(0)
    assert cut(INTERVAL, of(0, 1, 0)) == ([(zero, zero), high], [low, (zero, zero)])
    assert cut(INTERVAL, of(0, -1, 5)) == ([low, (zero, zero)], [(zero, zero), high])
    assert cut(INTERVAL, of(1, 1, 0)) == (INTERVAL, [])
    assert cut(INTERVAL, of(-3, 1, 0)) == ([high], INTERVAL)
    assert cut(INTERVAL, of(-4, 1, 0)) == ([], INTERVAL)
    assert cut(INTERVAL, of(0, 0, 1)) == (INTERVAL, [])
    assert cut([], of(-1, 0, 0)) == ([], [])
    assert not flat(INTERVAL, INTERVAL)
    assert flat([high], INTERVAL)
    assert flat([], INTERVAL)
    assert flat([], SQUARE)
    assert flat(SQUARE[:2], SQUARE)
    assert flat([SQUARE[0], (Fraction(1), Fraction(1)), SQUARE[2]], SQUARE)
    assert not flat(SQUARE[:3], SQUARE)


def test_a_point_within_is_inside_and_another_for_another_weight() -> None:
    third = Fraction(1, 3)
    thin: Polygon = [(zero := Fraction(0), zero), (Fraction(1), zero), (third, Fraction(1, 10**30))]
    for polygon in (SQUARE, SQUARE[:3], thin, [(third * p[0], third * p[1] + 7) for p in SQUARE]):
        points = {within(polygon, weight) for weight in (1, 3, 2)}
        assert len(points) == 3
        for x, y in points:
            edges = zip(polygon, [*polygon[1:], polygon[0]], strict=True)
            assert all((q[0] - p[0]) * (y - p[1]) > (q[1] - p[1]) * (x - p[0]) for p, q in edges)
    assert within(SQUARE, 1) == (1, 1)
    assert within(SQUARE, 3) == (Fraction(float(Fraction(2, 3))),) * 2
    assert within([p for p in thin if p != (1, 0)] + [(Fraction(1), third)], 1) != (0, 0)
    for interval in (INTERVAL, [(p[1], p[0]) for p in INTERVAL]):
        for weight in (1, 3):
            x, y = within(interval, weight)
            along = x + y
            assert -1 < along < 3
            assert 0 in (x, y)
    end = third + Fraction(1, 10**40)
    for first, last in ((third, end), (end, third)):
        for k, narrow in enumerate(([(first, zero), (last, zero)], [(zero, first), (zero, last)])):
            assert third < within(narrow, 1)[k] < end
    assert within([(Fraction(1), zero), (third, zero)], 3)[0] == Fraction(float(Fraction(5, 6)))
    one, next_to_it = Fraction(1), 1 + Fraction(1, 2**80)
    sliver: Polygon = [(one, zero), (next_to_it, zero), (next_to_it, one), (one, one)]
    assert one < within(sliver, 1)[0] < next_to_it  # the nearest float is on an edge
    assert within(SQUARE, 3)[0].denominator.bit_length() < 60  # short numbers: a float, not sums of fractions
