"""Lipschitz: how far a network's score, or what is served, can move when the inputs do.

Why a PASS is true. `_stability.networks` proves every bound that stands in the witness, from the network alone: by
products of norms that are bounded from above in outward-rounded arithmetic, or by a semidefinite matrix that is proven
to be one, whatever solver proposed it. A FAIL rests on two points whose scores are proven to differ by more. Of what is
served: the exact projection is nonexpansive (`_stability.network_claim`), and how far each batch is from it is known.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, final

from certifair.checks.base import AS_IT_STANDS, Check, Context, Judgement, Measured, brief, figure, require
from certifair.checks.individual import check_domain
from certifair.exact.decimals import format_decimal, parse_decimal
from certifair.spec import Json
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

METHODS: Final = ("norms", "l1_linf", "absolute", "lipsdp")
"""From cheap to tight: a product of norms, the same in ℓ1 and ℓ∞, of magnitudes, by a semidefinite program."""
NO_NETWORK: Final = "no bound of the network is proven"
FAR: Final = "what was served could not be compared with the exact projection"


@final
class Lipschitz(Check):
    """Claims about the network, and about a layer behind it."""

    kind = "stability"
    forms = ("lipschitz",)
    weaker = ("verdict", "reason", "estimate", "lower", "upper")

    def assumptions(self, terms: Terms) -> tuple[str, ...]:
        network = "the network is meant over the real numbers, with its weights as they are stored"
        domain = () if terms.domain is None else ("everybody's inputs lie in the declared ranges",)
        served = ("what was served in a batch lies within the distance of the exact projection",)
        return (AS_IT_STANDS, network, *domain, *(served if terms.map == "served" else ()))

    def measure(self, terms: Terms, evidence: Evidence, context: Context) -> Measured:
        from certifair.checks._stability import network_claim

        return network_claim.measure(terms, evidence, published=context.published)

    def consistent(self, terms: Terms, witness: Json, context: Context) -> None:
        """Steps of certificates/README.md 9.12."""
        require(terms.tau == 0 and terms.min_group_size == 1, "a Lipschitz claim has no tolerance or least group")
        require(terms.decision_threshold == 0 and not terms.intersectional, "a Lipschitz claim decides nothing")
        require((terms.domain is None) == (terms.method == "everywhere"), "ranges of everything, or none of a domain")
        check_domain(terms)
        require(not any(item.eps for item in terms.domain or ()), "a range that moves")
        bounds, least = witness["bounds"], witness["least"]
        names = [entry["method"] for entry in bounds]
        require(names == [name for name in METHODS if name in names], "bounds are out of order, or stand twice")
        values = [figure(entry["bound"]) for entry in bounds]
        require(all(value >= 0 for value in values), "a bound is negative")
        require(not bounds or witness["model"] is not None, "bounds of no network")
        require(least is None or bool(bounds), "a least value without a bound")
        require(least is None or 0 <= figure(least) <= min(values), "bounds are reversed")
        proven = "lipsdp" in names or least is not None
        require((witness["proof"] is not None) == proven, "a proof of nothing, or none")
        require((witness["served"] is None) == (terms.map == "scores"), "a layer behind scores, or none")
        if witness["served"] is not None:
            layer, distance = witness["served"]["layer"], witness["served"]["distance"]
            require(parse_decimal(layer["lower"]) < parse_decimal(layer["upper"]), "bounds are reversed")
            require(parse_decimal(layer["epsilon"]) >= 0, "epsilon is negative")
            require(distance is None or figure(distance) >= 0, "a distance is negative")

    def judge(self, terms: Terms, witness: Json, context: Context) -> Judgement:
        if not witness["bounds"]:
            return Judgement(Verdict.UNDECIDED, NO_NETWORK, sample_size=context.n)
        upper = min(parse_decimal(entry["bound"]) for entry in witness["bounds"])
        own = terms.map == "scores" and witness["least"] is not None
        lower = parse_decimal(witness["least"]) if own else Fraction(0)
        far = witness["served"] is not None and witness["served"]["distance"] is None
        if lower > terms.threshold:
            verdict = Verdict.FAIL
        else:
            verdict = Verdict.PASS if upper <= terms.threshold and not far else Verdict.UNDECIDED
        reason = FAR if far else f"it is proven to lie between {brief(lower, 6)} and {brief(upper, 6)}"
        demanded = f"{reason}, demanded at most {format_decimal(terms.threshold)}"
        text = "" if verdict is Verdict.PASS else reason if far else demanded
        return Judgement(verdict, text, estimate=upper, lower=lower, upper=upper, sample_size=context.n)

    def needed(self, terms: Terms, witness: Json, context: Context) -> int | None:
        return None

    def gap_needs_evidence(self, terms: Terms, witness: Json) -> bool:
        return False

    def contains(self, terms: Terms, claimed: Json, measured: Json, evidence: Evidence) -> bool:
        """The same network, proof and layer; no bound is tighter than one of its method that was proven again."""
        if any(claimed[key] != measured[key] for key in ("model", "preprocessing", "served")):
            return False
        if claimed["proof"] not in (None, measured["proof"]):
            return False
        found = {entry["method"]: parse_decimal(entry["bound"]) for entry in measured["bounds"]}
        claims = [(found.get(entry["method"]), parse_decimal(entry["bound"])) for entry in claimed["bounds"]]
        if any(own is None or bound < own for own, bound in claims):
            return False
        least = claimed["least"], measured["least"]
        return least[0] is None or (least[1] is not None and parse_decimal(least[0]) <= parse_decimal(least[1]))
