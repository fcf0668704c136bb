"""Projection: what was served is the fairness layer's projection of the scores, so nobody was moved more than needed.

Why a PASS is true: for any multipliers ν the Lagrangian dual value d(ν) bounds the projection's optimum from below. The
layer's problem is 1-strongly convex, so a feasible y lies within ‖y − P(z)‖² ≤ 2 (½‖y − z‖² − d(ν)). `exact.duality`
bounds the bracket from above in outward-rounded arithmetic. Good multipliers make it small; bad ones cannot make it
wrong.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, final

from certifair.checks.base import AS_IT_STANDS, Check, Context, Judgement, Measured, require
from certifair.exact.decimals import PLACES, parse_decimal, sqrt_up
from certifair.spec import Json
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence


@final
class Projection(Check):
    """Claims that served predictions are the exact projection, up to a distance (root mean square a person)."""

    kind = "feasibility"
    forms = ("projection",)

    def assumptions(self, terms: Terms) -> tuple[str, ...]:
        return (AS_IT_STANDS,)

    def measure(self, terms: Terms, evidence: Evidence, context: Context) -> Measured:
        from certifair.checks import _duality

        return Measured(_duality.measure(terms, evidence), {})

    def consistent(self, terms: Terms, witness: Json, context: Context) -> None:
        """Steps of certificates/README.md 9.4."""
        layer, counted = witness["layer"], witness["counted"]
        require(parse_decimal(layer["lower"]) < parse_decimal(layer["upper"]), "bounds are reversed")
        require(parse_decimal(layer["epsilon"]) >= 0, "epsilon is negative")
        require(counted + witness["undecided"] == witness["batches"] <= context.n, "batches do not add up")
        require((witness["worst"] is not None) == (counted > 0), "no worst batch")
        require(witness["batches"] >= 1, "there is no batch")
        require(terms.tau == 0 and terms.min_group_size == 1, "a projection has no solver tolerance or least group")
        if witness["worst"] is not None:
            require(parse_decimal(witness["worst"]["gap"]) >= 0, "a duality gap is negative")
            require(witness["worst"]["n"] <= context.n, "a batch has more people than there are")

    def judge(self, terms: Terms, witness: Json, context: Context) -> Judgement:
        counted, undecided = witness["counted"], witness["undecided"]
        square = mean_square(witness["worst"])
        distance = None if square is None else sqrt_up(square, PLACES)
        passed = square is not None and undecided == 0 and square <= terms.threshold**2
        reason = "" if passed else f"{undecided} of {counted + undecided} batches could not be bounded"
        if not passed and distance is not None and undecided == 0:
            reason = f"the multipliers prove a distance of {float(distance):.3g} at best"
        return Judgement(
            verdict=Verdict.PASS if passed else Verdict.UNDECIDED,
            reason=reason,
            estimate=distance,
            lower=None if distance is None else Fraction(0),
            upper=distance,
            sample_size=context.n,
        )

    def needed(self, terms: Terms, witness: Json, context: Context) -> int | None:
        return None

    def gap_needs_evidence(self, terms: Terms, witness: Json) -> bool:
        return False

    def contains(self, terms: Terms, claimed: Json, measured: Json, evidence: Evidence) -> bool:
        return claimed == measured


def mean_square(worst: Json | None) -> Fraction | None:
    """2·gap/n: at least the mean square distance of the worst batch."""
    return None if worst is None else 2 * parse_decimal(worst["gap"]) / worst["n"]
