"""How far anybody else's prediction moves when one person joins, leaves, or changes group: over *all* such persons.

Somebody of cell c leaves. The rows then have weights A' and offsets b' for the new numbers of people; the others solve
their own projection, with multipliers ν, s' = A'ᵀν. Add the person back at w = clip(z − s'_c, L, U) and take the same
off every row: ν satisfies the optimality conditions of everybody's projection onto

    |A' y − b' − A'_c u| ≤ ε,   u = w (w less the person's label, for rows about residuals).

So *every* person of the cell, whatever the score, gives one point u of one interval, and everybody else's predictions
are those of this one-parameter family. Likewise joining cell d, with + A'_d u, any score; and changing from c to d
with the same score, with two parameters u1 = clip(z − s'_c), u2 = clip(z − s'_d), where u2 − u1 lies between 0 and
s'_c − s'_d.

A parametric projection is piecewise affine in u: while people stay on their sides of the bounds, the active rows keep
their signs and the other rows hold (all affine inequalities in u), ν and s' are affine. So one solution tells a convex
piece exactly. It is cut off the parameters, which leaves polygons, and so on until nothing is left (exactly: ends in
rationals). A person's move |P'_k − P_k| is convex on a piece, hence largest at a corner. `largest` over all of the
parameters bounds what any leaving, joining or changing person does. Of those who leave or join it is attained by
whoever has `corner` for parameters (clip is onto; but the batch may hold nobody with that score, and who leaves counts
among those who see it). Where changing, corners with u1 ≠ u2 strictly inside the box may be nobody's: only a bound.
Parameters for which nothing satisfies the rows are nobody's; they are cut off where `exact.farkas` proves it.

No small bound for all batches is proven here. Where all but one person of each group are clipped, these two make up for
anybody who comes or goes: test_stability_moves has a batch of 20 where a newcomer moves somebody by a third of U − L.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple, final

from certifair.checks._stability.linear import dot
from certifair.checks._stability.pieces import Family, Piece, piece_of
from certifair.checks._stability.polygons import Point, Polygon, cut, flat, scaled, within
from certifair.checks._stability.problem import People, Problem, Vector
from certifair.checks._stability.solution import Solution, Undecided, solve_system
from certifair.exact.farkas import contradiction

MOST_PIECES: Final = 500
MOST_WORK: Final = 16_000
"""Pieces of one batch, times rows: about 15 s."""
MOST_CELLS: Final = 12
"""Joint cells of a batch, of which there are J(J − 1) ways to change and 2J to come or go."""
_WEIGHTS: Final = (1, 3, 2, 7, 5)


@final
class Event(NamedTuple):
    """Somebody leaves joint cell `source` for `target`; None: from, or to, outside."""

    source: int | None
    target: int | None


@final
@dataclass(frozen=True)
class Moved:
    """The largest move of anybody else, in whose joint cell, at which parameters; how many pieces were looked at."""

    largest: Fraction
    cell: int | None
    corner: Point | None
    pieces: int


@final
class Largest(NamedTuple):
    """An event, and the largest move that it can make."""

    event: Event
    moved: Moved


@final
@dataclass(frozen=True)
class Moves:
    """The worst of each kind, the first of equals; None where there is no such event (changing, with one cell).

    work: pieces that were looked at, times rows.
    """

    leaving: Largest | None
    joining: Largest | None
    changing: Largest | None
    work: int

    @property
    def largest(self) -> Largest | None:
        """The worst of all."""
        return _worst_of([each for each in (self.leaving, self.joining, self.changing) if each])


def all_moves(problem: Problem, before: Solution, most: int = MOST_WORK) -> Moves | Undecided:
    """The largest moves over every event of the problem's joint cells: who leaves is in one, who joins is of one.

    Nobody joins a joint cell that the problem does not name. Undecided if a single event is, which the reason names,
    for more than MOST_CELLS joint cells, or more work than `most`: pieces, times rows.
    """
    counts = problem.people.counts
    if len(counts) > MOST_CELLS:
        return Undecided(f"{len(counts)} joint cells, too many to follow who changes; at most {MOST_CELLS} are")
    held, cells = [c for c, count in enumerate(counts) if count], range(len(counts))
    kinds = (
        [Event(c, None) for c in held],
        [Event(None, d) for d in cells],
        [Event(c, d) for c in held for d in cells if c != d],
    )
    worst: list[Largest | None] = []
    left = most // max(1, len(problem.rows))
    for events in kinds:
        found = []
        for event in events:
            moved = moved_by(problem, before, event, min(left, MOST_PIECES))
            if isinstance(moved, Undecided):
                return Undecided(f"{_described(event, problem)}: {moved.reason}")
            left -= moved.pieces
            found.append(Largest(event, moved))
        worst.append(_worst_of(found))
    leaving, joining, changing = worst
    return Moves(leaving, joining, changing, most - left * max(1, len(problem.rows)))


def _worst_of(found: Sequence[Largest]) -> Largest | None:
    return max(found, key=lambda each: each.moved.largest, default=None)


def _described(event: Event, problem: Problem) -> str:
    """The event in words; a joint cell by its groups."""
    named = [None if j is None else problem.members[j] for j in event]
    names = [None if member is None else " ".join(filter(None, (*member.groups, member.condition))) for member in named]
    match names:
        case [source, None]:
            return f"somebody of {source} leaves"
        case [None, target]:
            return f"somebody of {target} joins"
        case _:
            return f"somebody of {names[0]} becomes {names[1]}"


def moved_by(problem: Problem, before: Solution, event: Event, most: int = MOST_PIECES) -> Moved | Undecided:
    """The largest |P'_k − P_k| over all persons that the event can be about, and everybody k else."""
    family = _family(problem, event)
    if isinstance(family, Undecided):
        return family
    todo, best, pieces = [family.parameters], Moved(Fraction(0), None, None, 0), 0
    start: Vector = ()
    while todo:
        polygon = todo.pop()
        pieces += 1
        if pieces > most:
            return Undecided(f"the predictions have more than {most} pieces")
        found = _piece_in(polygon, family, problem, start)
        if isinstance(found, Undecided):
            left = _possible_at_all(polygon, family, problem, found.conflict)
            if left is None:
                return found
            todo += left
            continue
        inside, outside, piece = found
        start = piece.multipliers
        todo += outside
        for part in _possible(inside, piece, event):
            for corner in part:
                cell, largest = _worst(problem.people, problem.box, before.shifts, piece.at(corner), event)
                if largest > best.largest:
                    best = Moved(largest, cell, corner, 0)
    return Moved(best.largest, best.cell, best.corner, pieces)


def _family(problem: Problem, event: Event) -> Family | Undecided:
    counts = list(problem.people.counts)
    for cell, change in ((event.source, -1), (event.target, 1)):
        if cell is not None:
            counts[cell] += change
    if min(counts) < 0 or event.source == event.target:
        raise ValueError("nobody can leave an empty cell, nor change to the same")
    system = problem.system_of(counts)
    residual = {row.residual for row in system.rows}
    if len(residual) > 1:
        return Undecided("some rows are about residuals and some are not")
    (low, high), (least, most) = problem.box, problem.label_range or (Fraction(0), Fraction(0))
    ends = (low - most, high - least) if residual == {True} else (low, high)
    zero = (Fraction(0),) * len(system.rows)
    source, target = event.source, event.target
    drift = (
        zero if source is None else tuple(row[source] for row in system.weights),
        zero if target is None else tuple(-row[target] for row in system.weights),
    )
    a, b = ends
    if source is None:
        parameters = [(Fraction(0), a), (Fraction(0), b)]
    elif target is None:
        parameters = [(a, Fraction(0)), (b, Fraction(0))]
    else:
        parameters = [(a, a), (b, a), (b, b), (a, b)]
    return Family(system, drift, parameters)


def _piece_in(
    polygon: Polygon, family: Family, problem: Problem, start: Vector
) -> tuple[Polygon, list[Polygon], Piece] | Undecided:
    """(the part of the polygon that one piece covers, the rest, the piece); another point where the part is flat."""
    for weight in _WEIGHTS:
        point = within(polygon, weight)
        solution = solve_system(problem.people, family.at(point), problem.box, start)
        if isinstance(solution, Undecided):
            return Undecided(f"the batch with one person moved: {solution.reason}", solution.conflict)
        piece = piece_of(solution, family)
        if piece is None:
            continue
        inside, outside = polygon, []
        for form in piece.conditions:
            inside, out = cut(inside, form)
            outside += [out] if out else []
        if len(inside) >= min(len(polygon), 3) and not flat(inside, polygon):
            return inside, outside, piece
    return Undecided("the pieces of the predictions are too thin to be told apart")


def _possible_at_all(polygon: Polygon, family: Family, problem: Problem, conflict: Vector) -> list[Polygon] | None:
    """What is left of a polygon without the half-plane in which these weights prove that nothing satisfies the rows.

    The proof's excess is affine in u, as the offsets are. None without a proof.
    """
    if not conflict:
        return None
    system, counts = family.system, problem.people.counts
    excess = contradiction(conflict, system.weights, counts, system.offsets, system.epsilon, problem.box)
    left = cut(polygon, (-excess, dot(conflict, family.drift[0]), dot(conflict, family.drift[1])))[0]
    return [] if flat(left, polygon) else [left]


def _possible(inside: Polygon, piece: Piece, event: Event) -> Iterator[Polygon]:
    """The part where u1 and u2 can be one person's: u2 − u1 lies between 0 and s'_c − s'_d."""
    if event.source is None or event.target is None:
        yield inside
        return
    c, d = piece.shifts[event.source], piece.shifts[event.target]
    gap = (c[0] - d[0], c[1] - d[1], c[2] - d[2])
    for sign in (1, -1):
        part = inside
        step = (Fraction(0), Fraction(-sign), Fraction(sign))
        for form in (scaled(gap, Fraction(sign)), step, tuple(sign * g - s for g, s in zip(gap, step, strict=True))):
            part = cut(part, (form[0], form[1], form[2]))[0]
        yield part


def _worst(
    people: People, box: tuple[Fraction, Fraction], before: Vector, after: Vector, event: Event
) -> tuple[int | None, Fraction]:
    """(the joint cell, the largest move of somebody in it); a cell whose only person leaves has nobody else."""
    found = [
        (largest_move(people, j, box, before[j], after[j]), j)
        for j, count in enumerate(people.counts)
        if count > (j == event.source)
    ]
    largest, cell = max(found, default=(Fraction(0), None), key=lambda item: item[0])
    return cell, largest


def largest_move(people: People, j: int, box: tuple[Fraction, Fraction], old: Fraction, new: Fraction) -> Fraction:
    """The largest |clip(z − old) − clip(z − new)| over the people of cell j.

    As a function of z it is 0, rises, is flat from a = min(L + larger, U + smaller) to b, the max of them, falls, is 0:
    so the best are somebody between a and b, or the last before and the first after.
    """
    (lower, upper), small, large = box, min(old, new), max(old, new)
    turns = sorted((lower + large, upper + small))
    first = people.place(j, turns[0], after=False)
    candidates = {first - 1, first, people.place(j, turns[1], after=True)}
    best = Fraction(0)
    for i in candidates:
        if people.starts[j] <= i < people.starts[j + 1]:
            z = people.score(i)
            best = max(best, abs(min(max(z - small, lower), upper) - min(max(z - large, lower), upper)))
    return best
