"""Each rule of certificates/README.md 9.11, broken; lies about decisions that contradict nothing but the evidence."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from certifair.exact.decimals import format_rational, parse_rational
from tests.golden.forge import Json, put, rederived
from tests.golden.stream_lies import NOBODY, Edit, Lies, claim_of, member, passed, role

ROWS, SINGLE, FINITE, VOLUME = "individual", "individual-single", "individual-finite", "individual-domain"


def figures(name: str, certified: str, falsified: str, outside: int | None = None) -> Edit:
    """What the witness says of people, with as many of its examples as belong to it."""

    def edit(predicate: Json) -> None:
        claim = claim_of(predicate, name)
        witness = claim["witness"]
        count = max(0, min(3, int(parse_rational(falsified))))
        witness.update(certified=certified, falsified=falsified, examples=witness["examples"][:count])
        if outside is not None:
            witness["outside"] = outside

    return edit


def ranged(name: str, which: str, **changes: Any) -> Edit:
    """Members of the range of a column become these values."""

    def edit(predicate: Json) -> None:
        next(item for item in claim_of(predicate, name)["domain"] if item["column"] == which).update(changes)

    return edit


def shown(name: str, column: str, k: int = 0, **changes: str) -> Edit:
    """An example's value of a column."""

    def edit(predicate: Json) -> None:
        entries = claim_of(predicate, name)["witness"]["examples"][k]["inputs"]
        next(entry for entry in entries if entry["column"] == column).update(changes)

    return edit


def turned(name: str) -> Edit:
    """The two points of every example change places."""

    def edit(predicate: Json) -> None:
        for example in claim_of(predicate, name)["witness"]["examples"]:
            for entry in example["inputs"]:
                entry["positive"], entry["negative"] = entry["negative"], entry["positive"]

    return edit


def inputs(name: str, change: Callable[[list[Json]], Any]) -> Edit:
    """The inputs of the first example, changed in place."""
    return lambda p: change(claim_of(p, name)["witness"]["examples"][0]["inputs"])


def more(step: Fraction) -> Callable[[str], str]:
    return lambda text: format_rational(parse_rational(text) + step)


def _terms() -> Lies:
    made: dict[str, list[Any]] = {
        "comparator": [member("sex", "comparator", "<=")],
        "threshold-negative": [member("sex", "threshold", "-0.1"), rederived],
        "threshold-above-1": [member("sex", "threshold", "1.01"), rederived],
        "tau": [member("sex", "tau", "0.1"), rederived],
        "least-group": [member("sex", "minGroupSize", 0), rederived],
        "intersectional": [member("sex", "intersectional", True), rederived],
        "sample-size": [member("sex", "sampleSize", 29)],
        "features-twice": [member("sex", "sensitiveFeatures", ["sex", "sex"]), rederived],
        "statement": [member("sex", "statement", "the model is fair")],
        "estimate": [member("sex", "estimate", "0.74")],
        "lower": [member("sex", "lower", "0.733333333334")],
        "upper": [member("sex", "upper", None)],
        "passes-undecided": [member("sex", "threshold", "0.75"), rederived, *passed("sex")],
        "fails-undecided": [
            member("sex", "threshold", "0.75"), rederived, member("sex", "verdict", "FAIL"), put("verdict", "FAIL"),
        ],
    }  # fmt: skip
    found: Lies = {f"individual-{name}": (ROWS, edits) for name, edits in made.items()}
    found["individual-passes-over-fail"] = ("individual-fail", [member("sex", "verdict", "PASS")])
    found["individual-served-passes"] = (
        "individual-served", [member("sex", "threshold", "0"), rederived, *passed("sex")],
    )  # fmt: skip
    found["individual-nothing-passes"] = (
        "individual-no-network", [member("sex", "threshold", "0"), rederived, *passed("sex")],
    )  # fmt: skip
    return found


def _domains() -> Lies:
    bare = figures("sex", "22", "0")
    made: dict[str, list[Any]] = {
        "column-twice": [lambda p: claim_of(p, "sex")["domain"].append(claim_of(p, "sex")["domain"][1])],
        "category-without-values": [bare, ranged("sex", "sex", values=[])],
        "category-value-twice": [ranged("sex", "sex", values=["f", "m", "f"])],
        "category-with-low": [ranged("sex", "sex", low="0")],
        "category-with-high": [ranged("sex", "sex", high="1")],
        "integer-without-low": [ranged("sex", "hours", low=None)],
        "integer-without-high": [ranged("sex", "hours", high=None)],
        "integer-with-values": [ranged("sex", "hours", values=["1"])],
        "integer-from-a-fraction": [ranged("sex", "hours", low="-0.5")],
        "integer-to-a-fraction": [ranged("sex", "hours", high="6.5")],
        "integer-too-large": [ranged("sex", "hours", high="16777217")],
        "integer-too-small": [ranged("sex", "hours", low="-16777217")],
        "range-reversed": [ranged("sex", "hours", low="7")],
        "range-of-a-number": [ranged("sex", "income", low="0", high="3")],
        "half-a-range": [ranged("sex", "income", low="0")],
        "values-of-a-number": [ranged("sex", "income", values=["1"])],
        "eps-of-a-number": [ranged("sex", "income", eps="0.1"), bare],
        "eps-half": [ranged("moved", "hours", eps="0.5"), figures("moved", "12", "0")],
        "eps-of-the-sensitive": [member("moved", "sensitiveFeatures", ["sex", "hours"])],
        "number-is-sensitive": [member("sex", "sensitiveFeatures", ["sex", "income"]), bare],
    }
    found: Lies = {f"individual-{name}": (ROWS, [*edits, rederived]) for name, edits in made.items()}
    found["individual-eps-negative"] = (SINGLE, [ranged("age", "hours", eps="-1"), rederived])
    found["individual-eps-of-a-category"] = (SINGLE, [ranged("age", "sex", eps="1"), rederived])
    wide = str(10**15 + 1)
    found["individual-range-beyond"] = ("individual-fail", [ranged("sex", "income", high=wide), rederived])
    found["individual-range-without-end"] = ("individual-fail", [ranged("sex", "income", high=None), rederived])
    number = ranged("unproven", "income", kind="number", low=None, high=None)
    found["individual-domain-of-a-number"] = (VOLUME, [number, member("unproven", "witness/units", "7"), rederived])
    found["individual-domain-with-an-eps-of-the-sensitive"] = (FINITE, [ranged("moved", "sex", eps="1"), rederived])
    return found


def _figures() -> Lies:
    made: dict[str, list[Any]] = {
        "certified-too-large": [figures("sex", "24", "7")],
        "certified-of-those-outside": [figures("sex", "23", "7")],
        "outside-too-many": [member("sex", "witness/outside", 2)],
        "certified-negative": [figures("sex", "-1", "7")],
        "falsified-negative": [figures("sex", "22", "-1")],
        "certified-half": [figures("sex", "43/2", "7")],
        "falsified-half": [figures("sex", "22", "13/2")],
        "units": [member("sex", "witness/units", "31")],
        "units-fewer": [member("sex", "witness/units", "29"), figures("sex", "21", "7")],
        "model": [member("sex", "witness/model", NOBODY)],
        "preprocessing": [member("sex", "witness/preprocessing", NOBODY)],
        "proof-of-nothing": [member("sex", "witness/proof", NOBODY)],
        "of-another-model": [put("system/model/sha256", NOBODY)],
        "of-another-preprocessing": [put("system/preprocessing", NOBODY)],
        "of-no-model": [put("system/model", None)],
    }  # fmt: skip
    found: Lies = {f"individual-{name}": (ROWS, [*edits, rederived]) for name, edits in made.items()}
    others: dict[str, tuple[str, list[Any]]] = {
        "what-is-no-input-matters": (SINGLE, [figures("age", "29", "0")]),
        "model-null": (
            SINGLE,
            [
                member("age", "witness/model", None),
                member("age", "witness/preprocessing", None),
                figures("age", "0", "0"),
            ],
        ),
        "served-certified": ("individual-served", [figures("sex", "1", "0")]),
        "served-falsified": ("individual-served", [figures("sex", "0", "1")]),
        "served-outside": ("individual-served", [figures("sex", "0", "0", 1)]),
        "nothing-certified": ("individual-no-network", [figures("sex", "30", "0")]),
        "nothing-outside": ("individual-no-network", [figures("sex", "0", "0", 1)]),
        "model-of-nothing": ("individual-no-network", [member("sex", "witness/model", NOBODY)]),
        "preprocessing-of-nothing": ("individual-no-network", [member("sex", "witness/preprocessing", NOBODY)]),
        "another-proof": (FINITE, [member("sex", "witness/proof", NOBODY)]),
        "proof-of-another-file": (FINITE, [role("witness", sha256=NOBODY)]),
        "proof-missing": (FINITE, [_without_witness]),
        "units-of-a-domain": (FINITE, [member("sex", "witness/units", "29")]),
        "units-with-the-sensitive": (FINITE, [member("sex", "witness/units", "56")]),
        "units-of-people": (VOLUME, [member("unproven", "witness/units", "30")]),
        "units-inside": (VOLUME, [member("sex", "witness/units", "203/10")]),
        "units-rounded": (VOLUME, [member("sex", "witness/units", "20")]),
        "volume-of-a-third": (VOLUME, [figures("sex", "1/3", "0")]),
        "a-third-of-a-unit": (FINITE, [figures("sex", "2/3", "0")]),
        "volume-too-large": (VOLUME, [figures("sex", "20", "1")]),
        "outside-of-a-domain": (FINITE, [member("sex", "witness/outside", 1)]),
        "range-of-other-units": (VOLUME, [ranged("unproven", "hours", high="7")]),
    }
    return found | {f"individual-{name}": (base, [*edits, rederived]) for name, (base, edits) in others.items()}


def _without_witness(predicate: Json) -> None:
    predicate["materials"] = [item for item in predicate["materials"] if item["role"] != "witness"]


def _examples() -> Lies:
    made: dict[str, list[Any]] = {
        "of-nobody-falsified": [member("sex", "witness/falsified", "0")],
        "more-than-falsified": [member("sex", "witness/falsified", "2")],
        "row-null": [member("sex", "witness/examples/0/row", None)],
        "column-missing": [inputs("moved", lambda entries: entries.pop())],
        "columns-swapped": [inputs("moved", list.reverse)],
        "column-unknown": [member("sex", "witness/examples/0/inputs/0/column", "age")],
        "column-that-may-not-change": [
            inputs("sex", lambda e: e.append({"column": "hours", "positive": "1", "negative": "2"}))
        ],
        "column-twice": [inputs("sex", lambda entries: entries.append(entries[0]))],
        "value-unknown": [shown("sex", "sex", positive="x")],
        "points-equal": [shown("sex", "sex", positive="f", negative="f")],
        "above-its-range": [shown("moved", "hours", positive="7", negative="6")],
        "below-its-range": [shown("moved", "hours", positive="0", negative="-1")],
        "not-whole": [shown("moved", "hours", positive="2.5", negative="2.5")],
        "no-number": [shown("moved", "hours", positive="two")],
        "number-spelled": [shown("moved", "hours", positive="2.0", negative="2")],
        "number-with-an-exponent": [shown("moved", "hours", positive="1e0", negative="1")],
        "moves-too-far": [shown("moved", "hours", positive="1", negative="4")],
    }
    found: Lies = {f"individual-example-{name}": (ROWS, edits) for name, edits in made.items()}
    found |= {
        "individual-example-of-a-person": (FINITE, [member("sex", "witness/examples/0/row", "1")]),
        "individual-example-of-part": (FINITE, [inputs("sex", lambda entries: entries.pop())]),
        "individual-example-changes-hours": (FINITE, [shown("sex", "hours", positive="3", negative="4")]),
        "individual-example-equal": (FINITE, [shown("sex", "sex", positive="m", negative="m")]),
        "individual-example-moves-too-far": (FINITE, [shown("moved", "hours", positive="1", negative="4")]),
        "individual-example-unfalsified": (FINITE, [member("sex", "witness/falsified", "0"), rederived]),
    }
    return found


def individual_contradictions() -> Lies:
    return {**_terms(), **_domains(), **_figures(), **_examples()}


def individual_shapes() -> dict[str, tuple[str, Edit]]:
    """What the schema refuses."""
    made: dict[str, Edit] = {
        "domain-of-a-replay": member("replay", "domain", []),
        "domain-null": member("sex", "domain", None),
        "domain-missing": lambda p: claim_of(p, "sex").pop("domain"),
        "domain-of-1001": member("sex", "domain", lambda items: items * 334),
        "individual-scores": member("sex", "map", "scores"),
        "individual-exact": member("sex", "method", "exact"),
        "replay-real": member("replay", "method", "real"),
        "rows-of-a-domain": member("sex", "scope", "domain"),
        "rows-of-a-stream": member("sex", "scope", "log"),
        "domain-in-a-batch": member("sex", "form", "domain"),
        "individual-difference": member("sex", "form", "difference"),
        "replay-of-rows": member("replay", "form", "rows"),
        "individual-metric": member("sex", "metric", "demographic_parity"),
        "individual-condition": member("sex", "conditionOn", "age"),
        "individual-conditions": member("sex", "conditions", ["old"]),
        "individual-partitions": member("sex", "partitions", [{"features": ["sex"], "groups": [["f"], ["m"]]}]),
        "individual-confidence": member("sex", "confidence", "0.95"),
        "individual-span": member("sex", "span", 1),
        "individual-bound": member("sex", "bound", "0"),
        "individual-decision-gap": member("sex", "decisionGap", "0"),
        "individual-advice": member("sex", "neededSampleSize", 40),
        "individual-estimate-missing": lambda p: claim_of(p, "sex").pop("estimate"),
        "individual-of-nothing": member("sex", "sensitiveFeatures", []),
        "individual-of-an-empty-name": member("sex", "sensitiveFeatures", [""]),
        "range-of-another-kind": ranged("sex", "hours", kind="ordinal"),
        "range-without-eps": lambda p: claim_of(p, "sex")["domain"][0].pop("eps"),
        "range-with-a-step": ranged("sex", "hours", step="1"),
        "range-of-an-empty-name": ranged("sex", "hours", column=""),
        "range-with-an-empty-value": ranged("sex", "sex", values=["f", ""]),
        "range-from-a-fraction": ranged("sex", "hours", low="1/2"),
        "examples-4": member("sex", "witness/examples", lambda found: [*found, found[0]]),
        "example-of-nothing": member("sex", "witness/examples/0/inputs", []),
        "example-without-row": lambda p: claim_of(p, "sex")["witness"]["examples"][0].pop("row"),
        "example-without-negative": inputs("sex", lambda entries: entries[0].pop("negative")),
        "example-number": shown("sex", "sex", positive=1),  # type: ignore[arg-type]
        "outside-negative": member("sex", "witness/outside", -1),
        "certified-decimal": member("sex", "witness/certified", "22.5"),
        "individual-without-proof": lambda p: claim_of(p, "sex")["witness"].pop("proof"),
        "individual-with-a-share": member("sex", "witness/share", "1"),
        "witness-of-a-replay": lambda p: claim_of(p, "sex").update(witness=claim_of(p, "replay")["witness"]),
    }
    return {name: (ROWS, edit) for name, edit in made.items()}


def individual_lies() -> Lies:
    """Certificates without a contradiction that the evidence does not support."""
    made: dict[str, list[Any]] = {
        "certified": [figures("sex", "23", "6")],
        "certified-of-those-outside": [figures("sex", "23", "7", 0)],
        "falsified": [figures("sex", "21", "8")],
        "outside-denied": [member("sex", "witness/outside", 0)],
        "outside-invented": [figures("sex", "21", "7", 2)],
        "example-swapped": [turned("sex")],
        "example-of-another": [member("sex", "witness/examples/0/row", "29")],
        "example-of-somebody": [member("sex", "witness/examples/0/row", "nobody")],
        "threshold-loosened": [member("sex", "threshold", "0.1")],
        "range-narrowed": [ranged("sex", "hours", high="5")],
        "range-widened": [ranged("sex", "hours", high="8")],
        "number-ranged": [ranged("sex", "income", kind="continuous", low="0", high="3")],
        "value-added": [ranged("sex", "sex", values=["f", "m", "x"])],
        "eps": [ranged("moved", "hours", eps="2")],
        "left-out": [lambda p: p["claims"].pop(0)],
    }
    found: Lies = {f"individual-{name}": (ROWS, edits) for name, edits in made.items()}
    little = Fraction(1, 2**60)
    others: dict[str, tuple[str, list[Any]]] = {
        "float32-certified": (SINGLE, [figures("single", "23", "6")]),
        "method": (SINGLE, [member("single", "method", "real")]),
        "feature-left-out": (SINGLE, [member("single", "sensitiveFeatures", ["sex"])]),
        "another-feature": (SINGLE, [member("age", "sensitiveFeatures", ["region"])]),
        "columns-swapped": (SINGLE, [member("age", "domain", lambda items: items[::-1])]),
        "domain-certified": (FINITE, [figures("sex", "24", "4")]),
        "domain-falsified-doubled": (FINITE, [figures("sex", "18", "10")]),
        "domain-unproven": (VOLUME, [figures("unproven", "15", "0")]),
        "domain-proof-denied": (FINITE, [member("sex", "witness/proof", None)]),
        "domain-proof-lent": (
            VOLUME, [lambda p: claim_of(p, "unproven")["witness"].update(proof=claim_of(p, "sex")["witness"]["proof"])],
        ),
        "domain-example": (FINITE, [turned("sex")]),
        "domain-of-another-proof": (FINITE, [role("witness", sha256=NOBODY), *(
            member(name, "witness/proof", NOBODY) for name in ("sex", "moved"))]),
        "volume-certified": (VOLUME, [member("sex", "witness/certified", more(little))]),
        "volume-falsified": (VOLUME, [member("along", "witness/falsified", more(little))]),
        "served-otherwise": ("individual-served", [member("sex", "threshold", "0.2")]),
    }  # fmt: skip
    return found | {f"individual-{name}": lie for name, lie in others.items()}
