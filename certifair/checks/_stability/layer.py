"""The witnesses of claims about the layer (certificates/README.md 9.12), from the evidence.

Batches are solved exactly (`solved`). ρ, the distance of a batch, is the largest
|served − P(z)| of a person: two vectors of scores z, z' that were served so lie ‖z − z'‖ + ρ√n + ρ'√n' apart at most,
as P is nonexpansive (a projection onto a convex set; here its derivative J = Jᵀ = J² is checked in rationals besides).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final, TypeVar, final

from certifair.checks._stability.differentiable import Differentiable
from certifair.checks._stability.moves import MOST_WORK, Moves, all_moves
from certifair.checks._stability.normal_cone import root
from certifair.checks._stability.problem import Member
from certifair.checks._stability.radius import radius
from certifair.checks._stability.sensitivity import to_a_score, to_the_tolerance
from certifair.checks._stability.shown import Shown, inversion
from certifair.checks._stability.solution import Solution, Undecided
from certifair.checks._stability.solved import Solved, described, layer_of, solved
from certifair.checks._stability.treatment import treatment
from certifair.checks.base import Measured
from certifair.exact.decimals import (
    PLACES,
    format_decimal,
    format_rational,
    parse_decimal,
    round_down,
    round_up,
    sqrt_up,
)
from certifair.spec import Json
from certifair.spec.terms import Terms

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

T = TypeVar("T")
MOST_WORK_IN_ALL: Final = 1_000_000
"""Pieces of all batches, times rows: about a quarter of an hour."""
LISTED: Final = 100
"""Batches at which the projection is not differentiable that a claim names."""


def measure(terms: Terms, evidence: Evidence) -> Measured:
    """The witness of a claim of these terms, and why batches are undecided."""
    layer, batches = layer_of(terms, evidence), solved(terms, evidence)
    tally = _Tally(batches)
    own = _MEASURES[terms.form](tally, evidence)
    distances = [one.distance for one in batches if one.batch.name not in tally.reasons]
    witness = {
        "layer": described(layer),
        "batches": len(batches),
        "counted": len(distances),
        "undecided": len(tally.reasons),
        "distance": round_up(max(distances, default=Fraction(0)), PLACES),
        **own,
    }
    return Measured(witness, {"reason": tally.why} if tally.reasons else {})


@final
class _Tally:
    """Batches, and for those that stay undecided, why."""

    def __init__(self, batches: Sequence[Solved]) -> None:
        self._batches = batches
        self.reasons: dict[str, str] = {}

    def each(self) -> Iterator[tuple[Solved, Solution]]:
        for one in self._batches:
            if isinstance(one.solution, Solution):
                yield one, one.solution
            else:
                self.reasons[one.batch.name] = one.solution.reason

    def decided(self, answer: Callable[[Solved, Solution], T | Undecided]) -> Iterator[tuple[Solved, T]]:
        """The answers for the batches that have one."""
        for one, solution in self.each():
            found = answer(one, solution)
            if isinstance(found, Undecided):
                self.reasons[one.batch.name] = found.reason
            else:
                yield one, found

    @property
    def why(self) -> str:
        """Of the undecided batches, the first."""
        name, reason = next(iter(self.reasons.items()))
        return f"{len(self.reasons)} of {len(self._batches)} batches are undecided; {name!r}: {reason}"


def member_json(member: Member) -> Json:
    return {"group": list(member.groups), "condition": member.condition}


def _up(value: Fraction) -> str:
    return round_up(value, PLACES)


def _treatment(tally: _Tally, evidence: Evidence) -> Json:
    """`worst`: the batch with the largest difference + 2ρ; `shown`: the two people with the largest inversion."""
    worst, most, shown, most_shown = None, Fraction(-1), None, Fraction(0)
    for one, solution in tally.each():
        problem, ids = one.batch.problem, one.batch.at
        found = treatment(solution, problem.members)
        if found is not None and found.difference + 2 * one.distance > most:
            most = found.difference + 2 * one.distance
            worst = {
                "batch": one.batch.name,
                "difference": _up(found.difference),
                "distance": _up(one.distance),
                "favoured": member_json(found.favoured),
                "other": member_json(found.other),
            }
        pair: Shown | None = inversion(problem.people, problem.members, evidence.predictions[ids])
        if pair is not None and pair.difference > most_shown:
            most_shown = pair.difference
            shown = {
                "batch": one.batch.name,
                "difference": format_rational(pair.difference),
                "favoured": evidence.row_id(int(ids[pair.favoured])),
                "other": evidence.row_id(int(ids[pair.other])),
            }
    return {"worst": worst, "shown": shown}


def _differentiable(tally: _Tally, evidence: Evidence) -> Json:
    """`failing` names batches; `ranks` are the least and the largest rank of J, whose structure was checked."""
    count = 0
    failing: list[Json] = []
    ranks: list[int] = []
    for one, found in tally.decided(lambda one, _: _checked(one)):
        count += bool(found)
        ranks.append(found.face.rank)
        if not found and len(failing) < LISTED:
            failing.append({"batch": one.batch.name, "reason": "; ".join(found.reasons[:3])})
    return {"differentiable": count, "failing": failing, "ranks": [min(ranks), max(ranks)] if ranks else None}


def _checked(one: Solved) -> Differentiable | Undecided:
    found = one.derivative
    if isinstance(found, Differentiable) and not found.face.structure_holds():
        return Undecided("its derivative is no orthogonal projection")  # excluded by theory: a fault of this program
    return found


def _radius(tally: _Tally, evidence: Evidence) -> Json:
    """`worst`: the batch with the smallest lower bound; `atMost`: the smallest radius is not larger, if known."""
    worst, least, at_most = None, None, None
    decades: Counter[int] = Counter()
    zero = unlimited = 0
    for one, found in tally.decided(lambda one, _: one.derivative):
        limit = radius(found)
        if limit.lower is None:
            unlimited += 1
            continue
        lower = parse_decimal(round_down(limit.lower, PLACES))
        if lower:
            decades[_decade(lower)] += 1
        else:
            zero += 1
        if limit.exact:
            assert limit.square is not None
            upper = root(limit.square, up=True)
            at_most = upper if at_most is None else min(at_most, upper)
        if least is None or limit.lower < least:
            least = limit.lower
            nearest = None if limit.nearest is None else limit.nearest.about
            nearest = nearest if found else "; ".join(found.reasons[:3])
            worst = {"batch": one.batch.name, "radius": format_decimal(lower), "nearest": nearest}
    return {
        "worst": worst,
        "atMost": None if at_most is None else _up(at_most),
        "decades": [{"exponent": e, "batches": decades[e]} for e in sorted(decades)],
        "zero": zero,
        "unlimited": unlimited,
    }


def _decade(value: Fraction) -> int:
    """The whole e with 10^e ≤ value < 10^(e + 1)."""
    exponent = 0
    while Fraction(10) ** exponent > value:
        exponent -= 1
    while Fraction(10) ** (exponent + 1) <= value:
        exponent += 1
    return exponent


@final
class _Budget:
    """What may be spent on who moves whom, in all batches together; the same on every machine."""

    def __init__(self) -> None:
        self._left = MOST_WORK_IN_ALL

    def moves(self, one: Solved, solution: Solution) -> Moves | Undecided:
        """A batch without an answer has cost what it might."""
        most = min(MOST_WORK, self._left)
        found = all_moves(one.batch.problem, solution, most)
        self._left -= found.work if isinstance(found, Moves) else most
        return found


def _sensitivity(tally: _Tally, evidence: Evidence) -> Json:
    """`joining` is attained, as anybody may join; `score` and `tolerance` are derivatives, where there are any."""
    worst, most, joining = None, Fraction(-1), None
    scores, tolerances = [], []
    budget = _Budget()
    for one, found in tally.decided(budget.moves):
        members = one.batch.problem.members
        if found.joining is not None:
            joining = max(joining or Fraction(0), found.joining.moved.largest)
        largest = found.largest
        if largest is not None and largest.moved.largest > most:
            most = largest.moved.largest
            ends = {"from": largest.event.source, "to": largest.event.target, "whose": largest.moved.cell}
            named = {name: None if j is None else member_json(members[j]) for name, j in ends.items()}
            worst = {"batch": one.batch.name, "change": _up(most), **named}
        derivative = one.derivative
        if isinstance(derivative, Differentiable) and derivative:
            scores.append(to_a_score(derivative.face))
            tolerance = to_the_tolerance(derivative.face)
            tolerances += [] if tolerance is None else [tolerance]
    return {
        "worst": worst,
        "joining": None if joining is None else round_down(joining, PLACES),
        "score": {
            "batches": len(scores),
            "own": _largest(item.own for item in scores),
            "other": _largest(item.other for item in scores),
            "others": _largest(sqrt_up(item.others_square, PLACES) for item in scores),
        },
        "tolerance": {
            "batches": len(tolerances),
            "one": _largest(item.largest for item in tolerances),
            "all": _largest(sqrt_up(item.square, PLACES) for item in tolerances),
        },
    }


def _largest(values: Iterator[Fraction]) -> str:
    return _up(max(values, default=Fraction(0)))


_MEASURES: Final = {
    "treatment": _treatment,
    "differentiable": _differentiable,
    "radius": _radius,
    "sensitivity": _sensitivity,
}
