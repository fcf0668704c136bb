"""Treatment difference: how differently the layer serves two people with equal scores because their groups differ.

P serves clip(z − s_j, L, U) to a person of joint cell j (`solution`). For two people with the same score z, in cells c
and d, the difference is at most

    sup_z |clip(z − s_c, L, U) − clip(z − s_d, L, U)| = min(|s_c − s_d|, U − L):

≤, since clipping is nonexpansive and both values lie in the box; =, at z = U + min(s_c, s_d), where one is at U and
the other at max(L, U − |s_c − s_d|). So it is what *any* two people of the batch with equal scores may see, and what
such people would see under these shifts if there were any. Shifts of a cell that nobody is strictly inside the box in
need not be unique; the bound holds for every choice.

Who is compared: people of unequal groups (in at least one sensitive feature) and the *same* condition, if the metric
has one: that condition is what the rows say may make a difference (conditional parity: the column; equalized odds: the
label, which nobody knows when serving with these rows in mind). `across_conditions` compares all people of unequal
groups, whatever their conditions; it is never smaller. People whom no row speaks of are in no condition and are not
moved. What is *served* differs from P(z) by at most ρ for each person: add 2ρ (`Solution.farthest`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import final

from certifair.checks._stability.problem import Member
from certifair.checks._stability.solution import Solution


@final
@dataclass(frozen=True)
class Treatment:
    """The largest difference by P, the score at which it shows, and the two joint cells: the favoured one first."""

    difference: Fraction
    score: Fraction
    favoured: Member
    other: Member


def treatment(solution: Solution, members: tuple[Member, ...], *, across_conditions: bool = False) -> Treatment | None:
    """The largest difference over pairs of joint cells that somebody is in; None if there is no such pair."""
    lower, upper = solution.box
    people = solution.people.counts
    best: Treatment | None = None
    for c, a in enumerate(members):
        for d, b in enumerate(members[:c]):
            same = a.condition == b.condition
            if a.groups == b.groups or not (same or across_conditions) or not (people[c] and people[d]):
                continue
            low, high = sorted((c, d), key=lambda j: solution.shifts[j])
            difference = min(solution.shifts[high] - solution.shifts[low], upper - lower)
            if best is None or difference > best.difference:
                best = Treatment(difference, upper + solution.shifts[low], members[low], members[high])
    return best
