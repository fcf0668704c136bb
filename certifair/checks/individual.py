"""Individual: the share of people whose decision does not depend on some inputs of the network.

Why a PASS is true. The logit f that `spec.layers` reads from the network has the sign of the decision (a sigmoid and
tanh are increasing). `_individual` counts people of whom it proves that f > 0, or f ≤ 0, holds on their whole flip set:
by evaluating every point, by sweeping a line or a rectangle exactly, or by bounds on f and its slopes over boxes of
people (its modules say why each is true). What an engine proposed only says where to look. Undecided people count as
not fair.

Of the served map nothing is claimed: the fairness layer couples the people of a batch, so that what one of them is
served depends on who the others are.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, final

from certifair.checks.base import AS_IT_STANDS, Check, Context, InconsistentError, Judgement, Measured, require
from certifair.exact.decimals import format_decimal, outward, parse_decimal, parse_rational
from certifair.spec import Json
from certifair.spec.ranges import Range
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

EXAMPLES = 3
"""Counterexamples that a claim shows."""
COUPLED = "the layer couples the people of a batch: what one of them is served depends on who the others are"
NO_NETWORK = "there is no network in the evidence"
LARGEST_INTEGER, LARGEST = 1 << 24, 10**15


@final
class Individual(Check):
    """Claims about decisions of one person at a time."""

    kind = "individual"
    forms = ("rows", "domain")
    weaker = ("verdict", "reason", "estimate", "lower", "upper")

    def assumptions(self, terms: Terms) -> tuple[str, ...]:
        if terms.map == "served":
            return (AS_IT_STANDS,)
        arithmetic = {
            "real": "the network is meant over the real numbers, with its weights as they are stored",
            "float32": (
                "the network is evaluated in IEEE 754 float32, sums in any order, fused or not; no other formats, no "
                "transforms, no folded weights, no flushing of subnormals"
            ),
        }
        people = "the inputs in the evidence are those of the people (declared by the owner)"
        domain = "everybody's inputs lie in the declared ranges"
        return (AS_IT_STANDS, arithmetic[terms.method], people if terms.form == "rows" else domain)

    def measure(self, terms: Terms, evidence: Evidence, context: Context) -> Measured:
        from certifair.checks import _shares

        return _shares.measure(terms, evidence)

    def consistent(self, terms: Terms, witness: Json, context: Context) -> None:
        """Steps of certificates/README.md 9.11."""
        require(not terms.intersectional, "an individual claim has no groups")
        require(terms.tau == 0 and terms.min_group_size == 1, "an individual claim has no tolerance or least group")
        require(terms.threshold <= 1, "a share is at most 1")
        check_domain(terms)
        units, certified, falsified = (parse_rational(witness[key]) for key in ("units", "certified", "falsified"))
        powers = all(value.denominator & (value.denominator - 1) == 0 for value in (units, certified, falsified))
        require(powers, "a share of which the denominator is no power of two")
        expected = context.n if terms.form == "rows" else share_units(terms)
        require(units == expected, "units are not those of the domain")
        require(min(certified, falsified) >= 0 and certified + falsified <= units, "shares do not add up")
        if terms.form == "rows":
            require(certified.denominator == falsified.denominator == 1, "a fraction of a person")
            require(certified + falsified + witness["outside"] <= context.n, "people do not add up")
        else:
            require(witness["outside"] == 0, "somebody is outside the domain and in it")
        if terms.map == "served" or witness["model"] is None:
            require(certified == falsified == witness["outside"] == 0, "figures of what was not looked at")
            require(witness["proof"] is None, "a proof of what was not looked at")
        elif _independent(terms):
            require(certified == units, "inputs that are none matter")
            require(witness["proof"] is None, "a proof of what needs none")
        _check_examples(terms, witness["examples"], falsified)

    def judge(self, terms: Terms, witness: Json, context: Context) -> Judgement:
        units, certified, falsified = (parse_rational(witness[key]) for key in ("units", "certified", "falsified"))
        low, high = certified / units, 1 - falsified / units
        if terms.map == "served" or witness["model"] is None:
            verdict, reason = Verdict.UNDECIDED, COUPLED if terms.map == "served" else NO_NETWORK
        else:
            verdict = Verdict.PASS if low >= terms.threshold else Verdict.UNDECIDED
            verdict = Verdict.FAIL if high < terms.threshold else verdict
            reason = _reason(terms, verdict, low, high, witness["outside"])
        return Judgement(verdict, reason, estimate=low, lower=low, upper=high, sample_size=context.n)

    def needed(self, terms: Terms, witness: Json, context: Context) -> int | None:
        return None

    def gap_needs_evidence(self, terms: Terms, witness: Json) -> bool:
        return False

    def contains(self, terms: Terms, claimed: Json, measured: Json, evidence: Evidence) -> bool:
        """The same network, domain and proof; no more certified or falsified than were found again; examples are true.

        Other examples than the measured ones may stand there: which are met first depends on rounding.
        """
        from certifair.checks import _shares

        if any(claimed[key] != measured[key] for key in ("model", "preprocessing", "proof", "units", "outside")):
            return False
        least = all(parse_rational(claimed[key]) <= parse_rational(measured[key]) for key in ("certified", "falsified"))
        return least and _shares.examples_hold(terms, claimed["examples"], evidence)


def _reason(terms: Terms, verdict: Verdict, low: Fraction, high: Fraction, outside: int) -> str:
    if verdict is Verdict.PASS:
        return ""
    beyond = f"; {outside} people are outside the domain" if outside else ""
    demand = format_decimal(terms.threshold)
    if verdict is Verdict.FAIL:
        return f"at most {float(high):.4f} are fair, demanded at least {demand}{beyond}"
    undecided = high - low
    return f"{float(low):.4f} are proven fair and {float(undecided):.4f} undecided, demanded at least {demand}{beyond}"


def _independent(terms: Terms) -> bool:
    """Whether nothing that may change is an input."""
    columns = {item.column for item in terms.domain or ()}
    return not columns & set(terms.sensitive_features) and not any(item.eps for item in terms.domain or ())


def share_units(terms: Terms) -> Fraction:
    """The units of a domain: everything about a person that is not sensitive."""
    sizes = [_size(item) for item in terms.domain or () if item.column not in terms.sensitive_features]
    return math.prod(sizes, start=Fraction(1))


def _size(item: Range) -> Fraction:
    """How many values, or how long."""
    if item.kind == "category":
        return Fraction(len(item.values))
    assert item.low is not None
    assert item.high is not None
    if item.kind == "integer":
        return item.high - item.low + 1
    low, high = outward(item.low, -1), outward(item.high, 1)
    return Fraction(high) - Fraction(low) if low < high else Fraction(1)


def check_domain(terms: Terms) -> None:
    """Ranges make sense, and are there where they are needed."""
    items = terms.domain or ()
    columns = [item.column for item in items]
    require(len(set(columns)) == len(columns), "a column stands twice in the domain")
    require(len(set(terms.sensitive_features)) == len(terms.sensitive_features), "a feature stands twice")
    for item in items:
        free = item.column in terms.sensitive_features
        require(item.kind != "number" or not (free or terms.form != "rows"), "a range is missing")
        require((item.kind == "category") == bool(item.values), "values of what is no category, or none")
        require(len(set(item.values)) == len(item.values), "a value stands twice")
        ranged = item.kind in ("integer", "continuous")
        require((item.low is not None) == (item.high is not None) == ranged, "a range of what has none, or none")
        require(item.eps >= 0 and (item.eps == 0 or (ranged and not free)), "a tolerance of what has none")
        if item.low is None or item.high is None:
            continue
        require(item.low <= item.high, "a range is reversed")
        if item.kind == "integer":
            whole = all(number.denominator == 1 for number in (item.low, item.high, item.eps))
            require(whole and max(abs(item.low), abs(item.high)) <= LARGEST_INTEGER, "a range of integers is none")
        require(max(abs(item.low), abs(item.high), item.eps) <= LARGEST, "a range that no policy can write")


def _check_examples(terms: Terms, examples: list[Json], falsified: Fraction) -> None:
    most = min(EXAMPLES, math.floor(falsified)) if terms.form == "rows" else EXAMPLES * (falsified > 0)
    require(len(examples) <= most, "too many examples")
    free = [item for item in terms.domain or () if item.column in terms.sensitive_features or item.eps]
    shown = free if terms.form == "rows" else list(terms.domain or ())
    for example in examples:
        require((example["row"] is None) == (terms.form == "domain"), "an example of nobody")
        require([entry["column"] for entry in example["inputs"]] == [item.column for item in shown], "other inputs")
        pairs = [
            (item, entry["positive"], entry["negative"]) for item, entry in zip(shown, example["inputs"], strict=True)
        ]
        require(all(_in_range(item, text) for item, *texts in pairs for text in texts), "an example out of range")
        require(any(a != b for _, a, b in pairs), "the two points of an example are one")
        for item, a, b in pairs:
            require(a == b or item in free, "an example changes what may not change")
            if item.eps:
                reach = 2 * Fraction(outward(item.eps, 1))
                require(abs(_number(a) - _number(b)) <= reach, "an example moves too far")


def _in_range(item: Range, text: str) -> bool:
    if item.kind == "category":
        return text in item.values
    value = _number(text)
    if item.low is None or item.high is None:
        return True
    if item.kind == "integer":
        return value.denominator == 1 and item.low <= value <= item.high
    return outward(item.low, -1) <= value <= outward(item.high, 1)


def _number(text: str) -> Fraction:
    try:
        value = parse_decimal(text)
    except ValueError:
        raise InconsistentError("an example's number is no decimal") from None
    require(format_decimal(value) == text, "an example's number is not in its shortest form")
    return value
