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

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks.base import AS_IT_STANDS, Check, Context, Judgement, Measured, require
from certifair.errors import InputError
from certifair.exact.decimals import format_decimal, parse_decimal, round_down, round_up
from certifair.spec import Json
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence
    from certifair.spec.network import Network

Array = NDArray[np.float64]
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
        scores, inputs = evidence.scores, evidence.inputs
        if evidence.model is None or inputs is None:
            advice = "a replay needs model.onnx and preprocessing.json in the bundle; training writes both"
            raise InputError(f"claim {terms.id!r} speaks of a network that the bundle does not hold", advice=advice)
        if scores is None:
            raise InputError("has no column 'score', which a replay needs", where="predictions.parquet")
        from certifair.checks._forward import evaluate

        ball = evaluate(_network(evidence.model, inputs.shape[1]), inputs)
        margin = MARGIN if context.published else 1.0
        return Measured(_witness(evidence, *distances(scores, ball.mid[:, 0], ball.rad[:, 0], margin)), {})

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

    def contains(self, claimed: Json, measured: Json) -> bool:
        """The same network and people; bounds as wide as the measured ones, or wider, for as many or fewer."""
        if any(claimed[key] != measured[key] for key in ("model", "preprocessing")):
            return False
        if claimed["counted"] == 0 or measured["counted"] < claimed["counted"]:
            return bool(claimed["counted"] == 0)
        ours, theirs = claimed["worst"], measured["worst"]
        lower = parse_decimal(claimed["certain"]) <= parse_decimal(measured["certain"])
        return lower and (ours == theirs or parse_decimal(ours["upper"]) > parse_decimal(theirs["upper"]))


def distances(scores: Array, mid: Array, rad: Array, margin: float = 1.0) -> tuple[Array, Array]:
    """lo ≤ |s − m| − r and hi ≥ |s − m| + r, elementwise, lo ≥ 0; hi is no finite number where there is no bound.

    `margin` ≥ 1 is a power of two, times which r is taken: a product without rounding, unless it overflows.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite end is an end, nan is none
        rad = margin * rad
        gap = np.abs(scores - mid)  # 0 only if s = m: float64 has subnormal numbers
        least = np.where(gap == 0, 0.0, np.nextafter(gap, 0.0))
        most = np.where(gap == 0, 0.0, np.nextafter(gap, np.inf))
        low = np.maximum(np.nextafter(least - rad, -np.inf), 0.0)
        high = np.where(rad == 0, most, np.where(most == 0, rad, np.nextafter(most + rad, np.inf)))
        return low, high


def _network(content: bytes, width: int) -> Network:
    from certifair.evidence.onnx_reader import read_network

    network = read_network(content, "model.onnx")
    if network.inputs != width:
        what = f"has {network.inputs} inputs, but preprocessing.json gives {width}"
        raise InputError(what, where="model.onnx", advice="both must come from the same training")
    if network.outputs != 1:
        raise InputError(f"has {network.outputs} outputs: a score is one number", where="model.onnx")
    return network


def _witness(evidence: Evidence, low: Array, high: Array) -> Json:
    bounded = np.isfinite(high)
    counted = int(bounded.sum())
    certain, worst = None, None
    if counted:
        at = int(np.argmax(np.where(bounded, high, -1.0)))
        certain = round_down(Fraction(float(low[bounded].max())), BOUND_PLACES)
        worst = {"row": evidence.row_id(at), "upper": round_up(Fraction(float(high[at])), BOUND_PLACES)}
    digests = {item["role"]: item["sha256"] for item in evidence.materials}
    return {
        "model": digests["model"],
        "preprocessing": digests["preprocessing"],
        "counted": counted,
        "undecided": evidence.n - counted,
        "certain": certain,
        "worst": worst,
    }


def _reason(terms: Terms, verdict: Verdict, witness: Json, unbounded: str) -> str:
    if verdict is Verdict.PASS:
        return ""
    if verdict is Verdict.UNDECIDED and witness["undecided"]:
        return unbounded
    certain, upper = (_short(parse_decimal(text)) for text in (witness["certain"], witness["worst"]["upper"]))
    least = f"a score is at least {certain} off, " if verdict is Verdict.FAIL else ""
    demand = format_decimal(terms.threshold)
    return f"{least}that of row {witness['worst']['row']} may be {upper} off, demanded at most {demand}"


def _short(value: Fraction) -> str:
    """Three digits, for reading only."""
    return f"{Decimal(value.numerator) / Decimal(value.denominator):.3g}"
