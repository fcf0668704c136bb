"""Replay: the logged scores are the network's values, computed again from the logged inputs.

Why a PASS is true. Let f(x) be the network's value over the real numbers at a person's encoded inputs. `evaluate` gives
float64 numbers m and r with |f(x) − m| ≤ r (an enclosure with outward rounding; r may be infinite). By the triangle
inequality, for a score s,

    |s − m| − r  ≤  |s − f(x)|  ≤  |s − m| + r,

and `distances` computes lo ≤ the left and hi ≥ the right side: the float64 number nearest to a real number has that
number between its two neighbours, so a result moved on by one neighbour bounds it; where an operation is exact (a
difference that is 0, or a term 0 added) nothing is moved. A result beyond the range of float64 is infinite, which is
no bound by a number: such people are undecided. The largest lo and hi are then rounded outwards to decimals, exactly,
as fractions. So all scores lie within `upper` of the network if nobody is undecided; one lies at least `certain` away.

On another machine m and r are others, for sums of products may be added in any order; both m lie within r of f(x). So
what is published has MARGIN·r for r, which is a bound as well, and contains what others compute without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from certifair.checks.base import AS_IT_STANDS, Check, Context, Judgement, Measured, brief, require
from certifair.exact.decimals import format_decimal, parse_decimal
from certifair.spec import Json
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

BOUND_PLACES = 40
"""Digits of a published distance: a score that is the nearest float64 is often off by 10⁻¹⁷."""
MARGIN = 4.0
"""|s − m'| + r' ≤ |s − m| + (r + r') + r' ≤ |s − m| + 4r for radii that differ by less than half."""


@final
class Replay(Check):
    """Claims that everybody's score is the network's value, up to a distance."""

    kind = "replay"
    forms = ("network",)
    weaker = ("verdict", "reason", "estimate", "lower", "upper")

    def assumptions(self, terms: Terms) -> tuple[str, ...]:
        return (
            AS_IT_STANDS,
            "the network is meant over the real numbers, with its weights as they are stored",
            "the inputs in the evidence are those of the people (declared by the owner)",
        )

    def measure(self, terms: Terms, evidence: Evidence, context: Context) -> Measured:
        from certifair.checks import _distances

        return Measured(_distances.measure(terms, evidence, MARGIN if context.published else 1.0), {})

    def consistent(self, terms: Terms, witness: Json, context: Context) -> None:
        """Steps of certificates/README.md 9.9."""
        require(terms.condition_on is None and not terms.conditions, "a replay has no condition")
        require(not terms.intersectional, "a replay has no groups")
        require(terms.tau == 0 and terms.min_group_size == 1, "a replay has no solver tolerance or least group")
        require(terms.decision_threshold == 0, "a replay decides nothing")
        require(witness["counted"] + witness["undecided"] == context.n, "people do not add up")
        nobody = witness["counted"] == 0
        require((witness["certain"] is None) == nobody == (witness["worst"] is None), "bounds of nobody, or none")
        if not nobody:
            texts = (witness["certain"], witness["worst"]["upper"])
            places = all(len(text.partition(".")[2]) <= BOUND_PLACES for text in texts)
            require(places, f"a bound has more than {BOUND_PLACES} places")
            require(0 <= parse_decimal(texts[0]) <= parse_decimal(texts[1]), "bounds are reversed")

    def judge(self, terms: Terms, witness: Json, context: Context) -> Judgement:
        if witness["worst"] is None:
            reason = "nobody's distance from the network could be bounded"
            return Judgement(Verdict.UNDECIDED, reason, sample_size=context.n)
        certain, upper = parse_decimal(witness["certain"]), parse_decimal(witness["worst"]["upper"])
        undecided = witness["undecided"]
        if certain > terms.threshold:
            verdict = Verdict.FAIL
        else:
            verdict = Verdict.PASS if undecided == 0 and upper <= terms.threshold else Verdict.UNDECIDED
        reason = _reason(terms, verdict, witness, f"{undecided} of {context.n} people could not be bounded")
        return Judgement(verdict, reason, estimate=upper, lower=certain, upper=upper, sample_size=context.n)

    def needed(self, terms: Terms, witness: Json, context: Context) -> int | None:
        return None

    def gap_needs_evidence(self, terms: Terms, witness: Json) -> bool:
        return False

    def contains(self, terms: Terms, claimed: Json, measured: Json, evidence: Evidence) -> bool:
        """The same network and people; bounds as wide as the measured ones, or wider, for as many or fewer."""
        if any(claimed[key] != measured[key] for key in ("model", "preprocessing")):
            return False
        if claimed["counted"] == 0 or measured["counted"] < claimed["counted"]:
            return bool(claimed["counted"] == 0)
        ours, theirs = claimed["worst"], measured["worst"]
        lower = parse_decimal(claimed["certain"]) <= parse_decimal(measured["certain"])
        return lower and (ours == theirs or parse_decimal(ours["upper"]) > parse_decimal(theirs["upper"]))


def _reason(terms: Terms, verdict: Verdict, witness: Json, unbounded: str) -> str:
    if verdict is Verdict.PASS:
        return ""
    if verdict is Verdict.UNDECIDED and witness["undecided"]:
        return unbounded
    certain, upper = (brief(parse_decimal(text)) for text in (witness["certain"], witness["worst"]["upper"]))
    least = f"a score is at least {certain} off, " if verdict is Verdict.FAIL else ""
    demand = format_decimal(terms.threshold)
    return f"{least}that of row {witness['worst']['row']} may be {upper} off, demanded at most {demand}"
