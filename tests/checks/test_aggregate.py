"""Pooled, moments and windows: every number by the oracle, and one lie for each rule of certificates/README.md 9.10."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certifair.certificate.claims import measure_claim, rederive
from certifair.errors import InputError
from certifair.evidence.bundle import Evidence
from certifair.spec import Json
from certifair.spec.groups import MISSING
from tests.checks.bundles import (
    Sample,
    context_in,
    demand_of,
    evidence_of,
    lied,
    predicate_in,
    put,
    refusal,
    stream_demand,
    stream_people,
    terms_in,
)
from tests.oracles import metric_oracle, stream_oracle
from tests.oracles.metric_oracle import Question, decimal_text, rational_text

Lie = Callable[[Json], Any]
TINIEST = 5e-324
FORMS = ("pooled", "moment", "window")
KINDS = ("ties", "unit", "denormal", "huge", "mixed", "constant")


# ------------------------------------------------------------------------------------------------- random streams
def numbers(rng: np.random.Generator, n: int, kind: str) -> list[float]:
    """Predictions or scores of one kind; `huge` ones may be so large that a batch of them outgrows float64."""
    if kind == "ties":
        return (rng.integers(0, 5, n) / 4).tolist()
    if kind == "unit":
        return rng.random(n).tolist()
    if kind == "denormal":
        return (rng.integers(-40, 40, n) * TINIEST).tolist()
    if kind == "huge":
        return (rng.choice([-1.0, 1.0], n) * rng.random(n) * 10.0 ** rng.integers(290, 309, n)).tolist()
    if kind == "mixed":
        return (rng.normal(size=n) * 10.0 ** rng.integers(-18, 19, n)).tolist()
    return [0.5] * n


@st.composite
def streams(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS) -> tuple[Sample, Question]:
    """People in batches of 1 to 20, some without some group, and a question about them."""
    features = draw(st.integers(1, 2))
    sizes = draw(st.lists(st.integers(1, 20), min_size=1, max_size=9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    declared = {f"f{k}": [f"v{i}" for i in range(draw(st.integers(2, 4)))] for k in range(features)}
    declared["town"] = ["big", "small"]
    missing, conditional = draw(st.booleans()), draw(st.booleans())
    values = {name: [*known, *([MISSING] if missing else [])] for name, known in declared.items()}
    n = sum(sizes)
    categories = {name: _people(rng, sizes, found) for name, found in values.items()}
    names = rng.permutation([f"{k:0{draw(st.integers(1, 3))}}" for k in range(len(sizes))]).tolist()
    sample = Sample(
        declared=declared,
        categories=categories,
        predictions=numbers(rng, n, draw(st.sampled_from(kinds))),
        scores=numbers(rng, n, draw(st.sampled_from(kinds))),
        batches=np.repeat(names, sizes).tolist(),
        layer=draw(st.sampled_from(("", "[layer]\nlower = 0\nupper = 1"))),
        missing=missing,
    )
    question = Question(
        metric="conditional_parity" if conditional else "demographic_parity",
        features=tuple(name for name in declared if name != "town"),
        declared=values,
        threshold=Fraction(draw(st.integers(0, 1000)), 1000),
        map=draw(st.sampled_from(("served", "scores", "decisions"))),
        intersectional=draw(st.booleans()),
        condition="town" if conditional else None,
        tau=Fraction(draw(st.sampled_from((0, 0, 1, 50))), 1000),
        decision_threshold=Fraction(draw(st.sampled_from(("1/2", "1/4", "0", "-1/4", "3/10")))),
        min_group_size=draw(st.sampled_from((0, 1, 2, 5))),
    )
    return sample, question


def _people(rng: np.random.Generator, sizes: list[int], values: list[str]) -> list[str]:
    """In every third batch only one value occurs."""
    found: list[str] = []
    for size in sizes:
        shares = np.ones(len(values)) if rng.random() < 2 / 3 else np.eye(len(values))[rng.integers(len(values))]
        found += rng.choice(values, size, p=shares / shares.sum()).tolist()
    return found


def evidence_for(sample: Sample, question: Question, form: str, span: int | None = None) -> Evidence:
    return evidence_of(dataclasses.replace(sample, properties=[demand_of(question, form, span)]))


def claim_of(evidence: Evidence) -> Json:
    """The claim, which a verifier derives again from itself."""
    context = context_in(evidence)
    claim = measure_claim(terms_in(evidence), evidence, context)
    assert rederive(claim, context) == claim
    return claim


def assert_agrees(sample: Sample, question: Question, form: str, span: int | None = None) -> Json:
    """Every number is the oracle's."""
    claim = claim_of(evidence_for(sample, question, form, span))
    expected = stream_oracle.answer(question, form, sample.people(), span)
    total = len(stream_oracle.collections(form, sample.people(), span))
    assert claim["witness"]["rows"] == metric_oracle.witness_rows(expected)
    assert (claim["verdict"], claim["span"], claim["sampleSize"]) == (expected.verdict, span, sample.n)
    assert claim["estimate"] == claim["upper"] == decimal_text(expected.estimate, 12, up=True)
    assert claim["lower"] == decimal_text(expected.estimate, 12, up=False)
    assert claim["decisionGap"] == decimal_text(expected.decision_gap, 12, up=True)
    assert claim["witness"]["bounds"] is None
    batches = claim["witness"]["batches"]
    assert batches["total"] == total
    assert [entry["batch"] for entry in batches["listed"]] == list(expected.listed)
    for entry in batches["listed"]:
        figures = [(cell["n"], cell["sum"], cell["positives"]) for cell in entry["cells"]]
        found = expected.listed[entry["batch"]]
        assert figures == [(cell.n, rational_text(cell.total), cell.positives) for cell in found]
    return claim


@settings(max_examples=100)
@given(streams(), st.data())
def test_claims_are_the_oracles(case: tuple[Sample, Question], data: st.DataObject) -> None:
    sample, question = case
    form = data.draw(st.sampled_from(FORMS))
    span = None if form == "pooled" else data.draw(st.integers(1, sample.n + 3))
    assert_agrees(sample, question, form, span)


@settings(max_examples=15)
@given(streams(), st.data())
def test_a_certificate_of_all_three_contradicts_itself_nowhere(
    case: tuple[Sample, Question], data: st.DataObject
) -> None:
    sample, question = case
    properties = [
        demand_of(question, form, None if form == "pooled" else data.draw(st.integers(1, sample.n + 1))).replace(
            '"claim"', f'"{form}"'
        )
        for form in FORMS
    ]
    predicate_in(evidence_of(dataclasses.replace(sample, properties=properties)))


# --------------------------------------------------------------------------------------------------- single cases
def two_groups(predictions: list[float], groups: str, batches: str, **more: Any) -> tuple[Sample, Question]:
    """One person a letter."""
    sample = Sample({"g": ["a", "b"]}, {"g": list(groups)}, predictions, predictions, batches=list(batches))
    return sample, Question("demographic_parity", ("g",), sample.declared, **{"threshold": Fraction(1, 10), **more})


def test_the_pooled_gap_is_not_the_average_of_the_batches() -> None:
    """Simpson's paradox: no gap in any batch, 1/4 over everybody."""
    sample, question = two_groups([0.25] * 4 + [0.75] * 4, "aaabbbba", "00001111")
    assert claim_of(evidence_for(sample, question, "weighted"))["verdict"] == "PASS"
    claim = assert_agrees(sample, question, "pooled")
    assert (claim["verdict"], claim["estimate"]) == ("FAIL", "0.25")


def test_one_bad_moment_fails_and_is_named() -> None:
    sample, question = two_groups([0.5, 0.5, 1.0, 0.5, 0.0, 0.5], "abababab"[:6], "xxyyzz")
    assert assert_agrees(sample, question, "pooled")["verdict"] == "PASS"
    claim = assert_agrees(sample, question, "moment", 2)
    assert (claim["verdict"], claim["estimate"]) == ("FAIL", "0.25")
    assert [entry["batch"] for entry in claim["witness"]["batches"]["listed"]] == ["y"]
    assert assert_agrees(sample, question, "moment", 5)["verdict"] == "PASS"  # the bad moment is before five people
    assert assert_agrees(sample, question, "window", 3)["witness"]["rows"][0]["failed"] == 2 - 1


def test_a_span_that_is_never_reached_passes_nothing_but_fails() -> None:
    sample, question = two_groups([0.5] * 4, "abab", "xxyy")
    for form in ("moment", "window"):
        assert assert_agrees(sample, question, form, 4)["verdict"] == "PASS"
        claim = assert_agrees(sample, question, form, 5)
        assert (claim["verdict"], claim["reason"]) == ("UNDECIDED", "there are 4 people, and never 5")
        far = dataclasses.replace(sample, predictions=[0.0, 1.0] * 2)
        assert assert_agrees(far, question, form, 5)["verdict"] == "FAIL"
        assert assert_agrees(far, question, form, 10**15)["verdict"] == "FAIL"


def test_batches_of_one_person() -> None:
    sample, question = two_groups([0.5, 0.75, 0.5, 0.5], "abab", "0123")
    for form, span in (("pooled", None), ("moment", 1), ("moment", 2), ("window", 1), ("window", 2), ("window", 3)):
        assert_agrees(sample, question, form, span)
    alone = claim_of(evidence_for(sample, question, "window", 1))  # one person at a time: nobody is compared
    assert (alone["verdict"], alone["estimate"]) == ("UNDECIDED", None)
    assert claim_of(evidence_for(sample, question, "weighted"))["verdict"] == "UNDECIDED"


def test_an_absent_group_never_passes() -> None:
    sample, question = two_groups([0.5] * 6, "aaaaaa", "001122", threshold=Fraction(1))
    for form in (*FORMS, "weighted"):
        span = 1 if form in ("moment", "window") else None
        assert claim_of(evidence_for(sample, question, form, span))["verdict"] == "UNDECIDED"


def test_small_groups_are_undecided_in_early_moments() -> None:
    sample, question = two_groups([0.5] * 40, "ab" * 20, "0" * 8 + "1" * 32, threshold=Fraction(1), min_group_size=10)
    assert assert_agrees(sample, question, "pooled")["verdict"] == "PASS"
    assert assert_agrees(sample, question, "moment", 1)["verdict"] == "UNDECIDED"
    assert assert_agrees(sample, question, "moment", 9)["verdict"] == "PASS"


@pytest.mark.parametrize("batches", ["0101", "0010", "0120"])
def test_interleaved_batches_are_no_stream(batches: str) -> None:
    sample, question = two_groups([0.5] * 4, "abab", batches)
    for form in (*FORMS, "weighted", "skipped"):
        asked = question if form != "skipped" else dataclasses.replace(question, map="served")
        evidence = evidence_for(sample, asked, form, 1 if form in ("moment", "window") else None)
        with pytest.raises(InputError, match=r"an earlier batch goes on in row [34]"):
            claim_of(evidence)


def test_batches_are_told_apart_by_their_texts_and_stand_in_the_order_of_the_rows() -> None:
    sample, question = two_groups([0.0, 0.0, 0.5, 0.0], "abab", "xxyy")
    for names in (["1", "1", "01", "01"], ["10", "10", "9", "9"], ["1", "1", "1.0", "1.0"]):
        renamed = dataclasses.replace(sample, batches=names)
        claim = assert_agrees(renamed, question, "moment", 2)
        assert claim["witness"]["rows"][0]["worstBatch"] == names[-1]


def test_missing_values_are_a_group_of_their_own() -> None:
    sample, question = two_groups([0.5, 0.5, 1.0, 0.5], "abab", "0011")
    sample = dataclasses.replace(sample, categories={"g": ["a", "b", MISSING, "b"]}, missing=True)
    claim = assert_agrees(sample, dataclasses.replace(question, declared={"g": ["a", "b", MISSING]}), "pooled")
    assert [row["row"] for row in claim["witness"]["rows"]] == ["g: a - b", f"g: a - {MISSING}", f"g: b - {MISSING}"]
    assert (claim["verdict"], claim["estimate"]) == ("FAIL", "0.5")


# ----------------------------------------------------------------------------------------------------------- lies
BOTH = '["sex", "age"]'
DEMANDS = [
    stream_demand("pooled", "pooled", "2", BOTH),
    stream_demand("moment", "moment", "2", more="after = 40"),
    stream_demand("moments", "moment", "2", BOTH, "after = 40"),
    stream_demand("window", "window", "2", more="window = 20\nmin_group_size = 1"),
    stream_demand("last", "moment", "2", BOTH, "after = 120"),
    stream_demand("never", "window", "2", BOTH, "window = 121"),
    stream_demand("scores", "pooled", "0.9", more='map = "scores"'),
    stream_demand("scores again", "pooled", "0.8", more='map = "scores"'),
    stream_demand("weighted", "weighted"),
]


@functools.cache
def honest() -> Json:
    """The predicate about a table of 120 people in batches of 6, served as they were scored."""
    scores, features = stream_people()
    sample = Sample(
        declared={"sex": ["f", "m"], "age": ["young", "old"]},
        categories=features,
        predictions=scores,
        scores=scores,
        batches=[str(k // 6) for k in range(120)],
        properties=DEMANDS,
    )
    return predicate_in(evidence_of(sample))


def cell(name: str, member: str, value: Any, k: int = 0) -> Lie:
    """The k-th cell of the first listed collection."""
    return put(name, f"witness/batches/listed/0/cells/{k}/{member}", value)


def rows(name: str, **members: Any) -> Lie:
    """The same members in every row."""

    def change(found: list[Json]) -> list[Json]:
        return [{**row, **members} for row in found]

    return put(name, "witness/rows", change)


def more(by: int) -> Callable[[int], int]:
    return lambda n: n + by


def _few(name: str, women: int, men: int) -> list[Lie]:
    """A collection of so many, none of them positive."""
    counts = [cell(name, "n", women), cell(name, "n", men, 1)]
    return [*counts, cell(name, "positives", 0), cell(name, "positives", 0, 1)]


BOX = {"lower": "0", "upper": "1", "minimum": "0", "maximum": "1", "below": 0, "above": 0}
UNDECIDED = {"counted": 0, "undecided": 15, "failed": 0, "smallestGroup": 0, "worstBatch": None}
NOBODY = [
    rows("moment", **UNDECIDED),
    put("moment", "witness/batches", {"total": 15, "listed": []}),
    put("moment", "decisionGap", None),
]
LIES: dict[str, tuple[list[Lie], str]] = {
    "a span of everybody": ([put("pooled", "span", 7)], "schema: claims/0/span"),
    "a moment without span": ([put("moment", "span", None)], "schema: claims/1/span"),
    "a span of nobody": ([put("moment", "span", 0)], "schema: claims/1/span"),
    "a metric of labels": ([put("pooled", "metric", "equalized_odds")], "schema: claims/0/metric"),
    "a scope of batches": ([put("pooled", "method", "duality")], "schema: claims/0/method"),
    "two of everybody": (
        [rows("pooled", counted=2), put("pooled", "witness/batches/total", 2), put("pooled", "decisionGap", "1")],
        "everybody is one collection",
    ),
    "a box": ([put("moment", "witness/bounds", BOX)], "has no box"),
    "several of a span that never was": ([put("moment", "span", 121)], "too few people for two"),
    "a group larger than it is": (
        [cell("moment", "n", more(7)), cell("moment", "n", more(-7), 1), put("moment", "decisionGap", "1")],
        "other people than the groups'",
    ),
    "an age that nobody has": ([cell("moments", "n", more(1), 2)], "partitions split different people"),
    "people left out of a moment": (_few("moment", 12, 20), "a collection of too few people"),
    "people left out of a window": (_few("window", 2, 10), "a collection of too few people"),
    "the last moment hidden": (NOBODY, "the last moment does not count"),
    "a worst moment better than the last": (
        [cell("moment", "sum", "0"), cell("moment", "sum", "0", 1)],
        "the last moment is worse than the worst",
    ),
    "another pooled sum": ([cell("pooled", "sum", "1")], "another sum than the group's"),
    "another pooled count": (
        [cell("scores", "n", more(1)), cell("scores", "n", more(-1), 1), rows("scores", smallestGroup=33)],
        "other people than",
    ),
    "other pooled positives": ([cell("pooled", "positives", more(1))], "other positives than the group's"),
    "another sum of the last moment alone": ([cell("last", "sum", "1")], "another sum than the group's"),
    "another sum of a window of everybody": ([cell("never", "sum", "1")], "another sum than the group's"),
    "scores that do not agree": ([cell("scores", "sum", "1")], "contradicts another claim's cells"),
    "a smaller decision gap": ([put("moment", "decisionGap", "0")], "the decision gap is too small"),
    "no decision gap": ([put("window", "decisionGap", None)], "the decision gap is there without rows, or missing"),
    "failures denied": ([put("moment", "threshold", "0.01")], "listed batches contradict the numbers"),
    "more moments than batches": (
        [
            put("moment", "witness/batches/total", 21),
            put("moment", "witness/rows", lambda found: [{**row, "counted": 21 - row["undecided"]} for row in found]),
        ],
        "than batches",
    ),
    "moments left out": ([put("moment", "span", 6)], "moments or windows are left out"),
    "more moments than people": (
        [put("moment", "witness/batches/total", 121), rows("moment", counted=121, undecided=0)],
        "too many batches",
    ),
    "a negative tolerance": ([put("pooled", "tau", "-0.1")], "a negative threshold"),
}


def test_the_honest_predicate_is_accepted() -> None:
    assert refusal(honest()) == refusal(lied(honest())) == ""
    assert {claim["id"]: claim["verdict"] for claim in honest()["claims"]} == {
        **dict.fromkeys((text.split('"')[1] for text in DEMANDS), "PASS"),
        "never": "UNDECIDED",
    }


@pytest.mark.parametrize("name", LIES)
def test_lies_that_all_else_follows_from_are_refused(name: str) -> None:
    lies, why = LIES[name]
    assert why in refusal(lied(honest(), *lies))


@pytest.mark.parametrize(
    ("name", "member", "value"),
    [
        ("never", "verdict", "PASS"),
        ("moment", "verdict", "UNDECIDED"),
        ("moment", "estimate", "0.01"),
        ("moment", "lower", "0.01"),
        ("moment", "upper", "0.01"),
        ("pooled", "decisionGap", "0.01"),
        ("pooled", "sampleSize", 119),
        ("pooled", "comparator", ">="),
        ("pooled", "statement", "everybody is treated alike"),
    ],
)
def test_a_member_that_does_not_follow_is_refused(name: str, member: str, value: Any) -> None:
    predicate = copy.deepcopy(honest())
    put(name, member, value)(predicate)
    assert f"claim {name!r}: its {member} does not follow from its witness" in refusal(predicate)
