from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from math import nextafter
from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from certifair import checks
from certifair.certificate.claims import measure_claim, rederive
from certifair.checks.base import Context, Judgement, figures
from certifair.errors import InputError
from certifair.evidence.bundle import Evidence
from certifair.exact.decimals import parse_rational
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict
from tests.checks.bundles import Sample, context_in, evidence_of, property_of, terms_in
from tests.oracles import metric_oracle as oracle
from tests.oracles.metric_oracle import Question, decimal_text

METRICS = ("demographic_parity", "conditional_parity", "equalized_odds", "equal_opportunity", "equalized_residuals")
LOWER, UPPER = Fraction(1, 10), Fraction(9, 10)
BOX = f"[layer]\nlower = {float(LOWER)}\nupper = {float(UPPER)}"
TINIEST = 5e-324


# ------------------------------------------------------------------------------------------------ random evidence
def numbers(rng: np.random.Generator, n: int, kind: str) -> list[float]:
    """Predictions or scores of one kind: ties, the unit interval, denormals, enormous or of either sign."""
    if kind == "ties":
        return (rng.integers(0, 9, n) / 8).tolist()
    if kind == "unit":
        return rng.random(n).tolist()
    if kind == "inside":
        return (0.1 + 0.8 * rng.random(n)).tolist()
    if kind == "denormal":
        return (rng.integers(-40, 40, n) * TINIEST).tolist()
    if kind == "huge":
        return (rng.normal(size=n) * 10.0 ** rng.integers(200, 280, n)).tolist()
    if kind == "mixed":
        return (rng.normal(size=n) * 10.0 ** rng.integers(-18, 19, n)).tolist()
    return [0.5 * rng.integers(0, 2)] * n


KINDS = ("ties", "unit", "inside", "denormal", "huge", "mixed", "constant")


@st.composite
def cases(draw: st.DrawFn) -> tuple[Sample, Question]:
    """A sample and a question about it; the seed fills in the people."""
    metric = draw(st.sampled_from(METRICS))
    form = draw(st.sampled_from(("difference", "ratio"))) if metric != "equalized_residuals" else "difference"
    mapped = draw(st.sampled_from(("served", "scores", "decisions")))
    widths = draw(
        st.lists(st.integers(2, 4), min_size=1, max_size=2) | st.lists(st.integers(2, 12), max_size=1, min_size=1)
    )
    n = draw(st.integers(1, 60) | st.integers(60, 500))
    kind = draw(st.sampled_from(KINDS))
    batches = draw(st.integers(1, 6) | st.just(n))
    shares = draw(st.sampled_from(("even", "skewed", "one")))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    declared = {f"f{k}": [f"v{i}" for i in range(width)] for k, width in enumerate(widths)}
    declared["town"] = ["big", "small"]
    categories = {name: people_of(rng, n, values, shares) for name, values in declared.items()}
    binary = metric != "equalized_residuals" or bool(rng.integers(0, 2))
    sample = Sample(
        declared=declared,
        categories=categories,
        predictions=numbers(rng, n, kind),
        scores=numbers(rng, n, draw(st.sampled_from(KINDS))),
        labels=rng.integers(0, 2, n).astype(float).tolist() if binary else numbers(rng, n, kind),
        batches=[f"b{i}" for i in rng.integers(0, batches, n)],
        layer=draw(st.sampled_from(("", BOX))),
    )
    question = Question(
        metric=metric,
        features=tuple(name for name in declared if name != "town"),
        declared=declared,
        threshold=Fraction(draw(st.integers(0, 1000)), 1000),
        form=form,
        map=mapped,
        intersectional=draw(st.booleans()),
        condition="town" if metric == "conditional_parity" else None,
        tau=Fraction(draw(st.sampled_from((0, 0, 1, 50))), 1000),
        decision_threshold=Fraction(draw(st.sampled_from(("1/2", "1/8", "0", "-1/4", "3/10")))),
        min_group_size=draw(st.sampled_from((0, 1, 2, 5, 10))),
    )
    return sample, question


def people_of(rng: np.random.Generator, n: int, values: list[str], shares: str) -> list[str]:
    if shares == "one":
        return [values[0]] * n
    weights = np.ones(len(values)) if shares == "even" else 0.4 ** np.arange(len(values))
    return [str(value) for value in rng.choice(values, n, p=weights / weights.sum())]


def asked(sample: Sample, question: Question) -> tuple[Evidence, Terms, Context]:
    evidence = evidence_of(dataclasses.replace(sample, properties=[property_of(question)]))
    return evidence, terms_in(evidence), context_in(evidence)


def judged(evidence: Evidence, terms: Terms, context: Context) -> tuple[Mapping[str, Any], Judgement]:
    """(witness, judgement), the witness found consistent."""
    check = checks.get(terms.kind, terms.form)
    assert check is not None
    measured = check.measure(terms, evidence, context)
    check.consistent(terms, measured.witness, context)
    return measured.witness, check.judge(terms, measured.witness, context)


def assert_agrees(sample: Sample, question: Question) -> dict[str, Any]:
    """The product's claim is the oracle's, number for number."""
    evidence, terms, context = asked(sample, question)
    claim = measure_claim(terms, evidence, context)
    assert rederive(claim, context) == claim
    box = (LOWER, UPPER) if sample.layer else None
    expected = oracle.answer(question, sample.people(), box)
    worse_up = question.form == "difference"
    assert claim["verdict"] == expected.verdict
    assert claim["estimate"] == decimal_text(expected.estimate, 12, up=worse_up)
    assert claim["lower"] == decimal_text(expected.estimate, 12, up=False)
    assert claim["upper"] == decimal_text(expected.estimate, 12, up=True)
    assert claim["decisionGap"] == decimal_text(expected.decision_gap, 12, up=True)
    assert claim["witness"]["rows"] == oracle.witness_rows(expected)
    assert [row.name for row in terms.rows] == [row.name for row in oracle.rows(question)]
    assert claim["sampleSize"] == sample.n
    assert_bounds(claim, expected, sample, question)
    assert_listed(claim, expected, question)
    return claim


def assert_bounds(claim: Mapping[str, Any], expected: oracle.Answer, sample: Sample, question: Question) -> None:
    bounds = claim["witness"]["bounds"]
    if question.map != "served" or not sample.layer:
        assert bounds is None
        return
    exact = [Fraction(float(value)) for value in sample.predictions]
    assert (bounds["below"], bounds["above"]) == (expected.below, expected.above)
    assert (parse_rational(bounds["minimum"]), parse_rational(bounds["maximum"])) == (min(exact), max(exact))
    assert (bounds["lower"], bounds["upper"]) == ("0.1", "0.9")


def assert_listed(claim: Mapping[str, Any], expected: oracle.Answer, question: Question) -> None:
    listed = claim["witness"]["batches"]["listed"]
    assert [batch["batch"] for batch in listed] == list(expected.listed)
    for batch in listed:
        pairs = zip(batch["cells"], expected.listed[batch["batch"]], oracle.cells(question), strict=True)
        for entry, found, cell in pairs:
            names = (entry["partition"], tuple(entry["group"]), entry["condition"])
            assert names == (cell.partition, cell.group, cell.condition)
            assert (entry["n"], entry["positives"]) == (found.n, found.positives)
            assert entry["sum"] == oracle.rational_text(found.total)
            expected_labels = {"labelSum": oracle.rational_text(found.label_total)}
            given = {key: value for key, value in entry.items() if key == "labelSum"}
            assert given == (expected_labels if question.metric == "equalized_residuals" else {})


@settings(max_examples=350)
@given(cases())
def test_claims_are_the_oracles(case: tuple[Sample, Question]) -> None:
    assert_agrees(*case)


@settings(max_examples=80)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_people_changes_nothing(case: tuple[Sample, Question], random: Any) -> None:
    sample, question = case
    order = list(range(sample.n))
    random.shuffle(order)
    ours = measure_claim(*(asked(sample, question)[i] for i in (1, 0, 2)))
    moved = sample.permuted(order)
    theirs = measure_claim(*(asked(moved, question)[i] for i in (1, 0, 2)))
    for key in ("verdict", "estimate", "lower", "upper", "decisionGap", "sampleSize"):
        assert ours[key] == theirs[key]
    # batches appear in another order, so among equally bad ones another may be named first
    for a, b in zip(ours["witness"]["rows"], theirs["witness"]["rows"], strict=True):
        assert {**a, "worstBatch": None} == {**b, "worstBatch": None}
    if ours["witness"]["batches"]["total"] == 1:
        assert ours["witness"] == theirs["witness"]


def beside(value: Fraction, places: int) -> tuple[list[Fraction], list[Fraction]]:
    """Decimals of so many places next to the value: (not below it, below it). The value itself if it is a decimal."""
    scaled = value * 10**places
    floor = scaled.numerator // scaled.denominator
    below = Fraction(floor if scaled.denominator > 1 else floor - 1, 10**places)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return [below + Fraction(2 if scaled.denominator == 1 else 1, 10**places), *([value] if rest == 1 else [])], [below]


@settings(max_examples=120)
@given(cases(), st.integers(20, 400))
def test_thresholds_at_the_value_and_beside_it(case: tuple[Sample, Question], places: int) -> None:
    """A row keeps a threshold that equals its value, and loses by less than one part in 10^20 … 10^400."""
    sample, question = case
    sample, question = dataclasses.replace(sample, layer=""), dataclasses.replace(question, tau=Fraction(0))
    evidence, terms, context = asked(sample, question)
    for row in oracle.answer(question, sample.people()).rows:
        if row.worst is None:
            continue
        above, below = beside(row.worst, places)
        if question.form == "ratio":
            at = [value for value in above if value == row.worst]
            above, below = below + at, [value for value in above if value != row.worst]
        for threshold, good in [(value, True) for value in above] + [(value, False) for value in below]:
            replaced = dataclasses.replace(terms, threshold=threshold)
            witness, judgement = judged(evidence, replaced, context)
            entry = next(item for item in witness["rows"] if item["row"] == row.name)
            verdict = next(item.verdict for item in judgement.rows if item.row.name == row.name)
            assert (entry["failed"] == 0) is good
            assert (verdict is Verdict.FAIL) is not good
            if not good:
                assert judgement.verdict is Verdict.FAIL
                exact = oracle.answer(dataclasses.replace(question, threshold=threshold), sample.people())
                assert witness["rows"] == oracle.witness_rows(exact)


def test_tau_is_added_once() -> None:
    sample = Sample({"g": ["a", "b"]}, {"g": ["a", "b"]}, [0.75, 0.25])
    at = Question("demographic_parity", ("g",), sample.declared, threshold=Fraction(45, 100), tau=Fraction(5, 100))
    assert assert_agrees(sample, at)["verdict"] == "PASS"
    below = dataclasses.replace(at, tau=Fraction(5, 100) - Fraction(1, 10**30))
    assert assert_agrees(sample, below)["verdict"] == "FAIL"
    sample = dataclasses.replace(sample, predictions=[0.75, 0.5625])
    ratio = Question("demographic_parity", ("g",), sample.declared, form="ratio", threshold=Fraction(3, 4))
    assert assert_agrees(sample, ratio)["verdict"] == "PASS"
    over = dataclasses.replace(ratio, threshold=Fraction(3, 4) + Fraction(1, 10**40))
    assert assert_agrees(sample, over)["verdict"] == "FAIL"
    assert assert_agrees(sample, dataclasses.replace(over, tau=Fraction(1, 10**40)))["verdict"] == "PASS"


@pytest.mark.parametrize("tau", ["0", "1/1000"])
@pytest.mark.parametrize("ends", ["0.1 0.9", "0.3 0.7", "-0.3 -0.1", "-0.9 0.3", "0.25 0.5", "0 1"])
@pytest.mark.parametrize("side", ["below", "above"])
def test_the_box_is_kept_as_written(ends: str, tau: str, side: str) -> None:
    """Decimals lie above or below their nearest float64: the two floats around each end are told apart."""
    lower, upper = ends.split()
    end = Fraction(lower) - Fraction(tau) if side == "below" else Fraction(upper) + Fraction(tau)
    inward = 9.0 if side == "below" else -9.0
    inside = float(end)
    while (Fraction(inside) < end) if side == "below" else (Fraction(inside) > end):
        inside = nextafter(inside, inward)
    outside = nextafter(inside, -inward)
    for value, verdict in ((inside, "PASS"), (outside, "FAIL")):
        layer = f"[layer]\nlower = {lower}\nupper = {upper}"
        sample = Sample({"g": ["a", "b"]}, {"g": ["a", "b", "a"]}, [value, value, value], layer=layer)
        question = Question("demographic_parity", ("g",), sample.declared, Fraction(1, 100), tau=Fraction(tau))
        evidence, terms, context = asked(sample, question)
        witness, judgement = judged(evidence, terms, context)
        assert judgement.verdict.value == verdict
        assert witness["bounds"][side] == (3 if verdict == "FAIL" else 0)


def test_a_box_that_fails_outranks_what_is_undecided() -> None:
    sample = Sample({"g": ["a", "b"]}, {"g": ["a", "a"]}, [0.5, 0.95], layer=BOX)
    claim = assert_agrees(sample, Question("demographic_parity", ("g",), sample.declared, Fraction(1)))
    assert claim["verdict"] == "FAIL"
    assert claim["estimate"] is None


@pytest.mark.parametrize("threshold", ["1/2", "3/10", "1/10", "-7/10"])
def test_decisions_compare_with_the_threshold_as_written(threshold: str) -> None:
    limit = Fraction(threshold)
    at = float(limit)
    scores = [nextafter(at, -9), at, nextafter(at, 9), nextafter(nextafter(at, 9), 9)]
    sample = Sample({"g": ["a", "b"]}, {"g": ["a", "a", "b", "b"]}, scores, scores=scores)
    for mapped in ("decisions", "scores", "served"):
        question = Question("demographic_parity", ("g",), sample.declared, map=mapped, decision_threshold=limit)
        claim = assert_agrees(sample, question)
        above = sum(Fraction(score) > limit for score in scores)
        assert sum(entry["positives"] for entry in claim["witness"]["batches"]["listed"][0]["cells"]) == above


@pytest.mark.parametrize("metric", METRICS)
def test_more_joint_groups_than_are_kept_in_one_table(metric: str) -> None:
    """414 720 combinations of values, labels and batches, of which 3 000 people fill a few."""
    rng = np.random.default_rng(4)
    n = 3000
    declared = {name: [f"v{k}" for k in range(12)] for name in ("f", "g", "h")} | {"town": ["big", "small"]}
    sample = Sample(
        declared=declared,
        categories={name: people_of(rng, n, values, "skewed") for name, values in declared.items()},
        predictions=numbers(rng, n, "unit"),
        scores=numbers(rng, n, "mixed"),
        labels=rng.integers(0, 2, n).astype(float).tolist(),
        batches=[f"b{k}" for k in rng.integers(0, 60, n)],
    )
    condition = "town" if metric == "conditional_parity" else None
    question = Question(metric, ("f", "h"), declared, Fraction(2, 5), condition=condition, min_group_size=3)
    for mapped in ("served", "decisions"):
        assert_agrees(sample, dataclasses.replace(question, map=mapped))


def test_more_features_than_their_product_can_be_numbered() -> None:
    """Thirty features of eight values have 2^90 combinations; a claim speaks of one of them."""
    rng = np.random.default_rng(5)
    declared = {f"f{k}": [f"v{i}" for i in range(8)] for k in range(30)}
    categories = {name: people_of(rng, 400, values, "even") for name, values in declared.items()}
    sample = Sample(declared, categories, numbers(rng, 400, "unit"), batches=["a", "b"] * 200)
    assert_agrees(sample, Question("demographic_parity", ("f3", "f29"), declared, Fraction(1, 2)))


# ------------------------------------------------------------------------------------- absent, small and undefined
def test_an_absent_group_is_undecided_and_never_passes() -> None:
    sample = Sample({"g": ["a", "b", "c"]}, {"g": ["a", "b"] * 20}, [0.5] * 40)
    claim = assert_agrees(sample, Question("demographic_parity", ("g",), sample.declared, Fraction(1)))
    assert claim["verdict"] == "UNDECIDED"
    assert "absent" in claim["reason"]


def test_one_small_batch_of_many_makes_the_claim_undecided() -> None:
    batches = [f"b{i // 20}" for i in range(200)] + ["late"] * 2
    sample = Sample({"g": ["a", "b"]}, {"g": ["a", "b"] * 101}, [0.5] * 202, batches=batches)
    claim = assert_agrees(
        sample, Question("demographic_parity", ("g",), sample.declared, Fraction(1), min_group_size=10)
    )
    assert claim["verdict"] == "UNDECIDED"
    assert claim["witness"]["rows"][0]["smallestGroup"] == 1


def test_ratios_of_nothing_are_undecided() -> None:
    for predictions in ([0.0] * 4, [-0.5, -0.5, 0.5, 0.5], [-0.5] * 4):
        sample = Sample({"g": ["a", "b"]}, {"g": ["a", "a", "b", "b"]}, predictions)
        claim = assert_agrees(
            sample, Question("demographic_parity", ("g",), sample.declared, Fraction(0), form="ratio")
        )
        assert claim["verdict"] == "UNDECIDED"
    sample = Sample({"g": ["a", "b"]}, {"g": ["a", "a", "b", "b"]}, [0.0, 0.0, 0.5, 0.5])
    question = Question("demographic_parity", ("g",), sample.declared, Fraction(0), form="ratio")
    claim = assert_agrees(sample, question)
    assert (claim["verdict"], claim["estimate"]) == ("PASS", "0")


def test_labels_that_nobody_has_are_undecided() -> None:
    sample = Sample({"g": ["a", "b"]}, {"g": ["a", "b"] * 10}, [0.5] * 20, labels=[0.0] * 20)
    for metric in ("equal_opportunity", "equalized_odds"):
        assert assert_agrees(sample, Question(metric, ("g",), sample.declared, Fraction(1)))["verdict"] == "UNDECIDED"


def test_claims_on_scores_need_scores() -> None:
    sample = Sample({"g": ["a", "b"]}, {"g": ["a", "b"]}, [0.5, 0.5])
    evidence, terms, context = asked(sample, Question("demographic_parity", ("g",), sample.declared, map="scores"))
    with pytest.raises(InputError, match="no scores"):
        judged(evidence, terms, context)


# --------------------------------------------------------------------------------------- the filter in _tally.py
def near_batches(
    rng: np.random.Generator, count: int, style: str
) -> tuple[list[float], list[str], list[str], Fraction]:
    """Batches whose gaps lie within some 10⁻¹⁷ of each other; the exact gap of the middle one."""
    predictions: list[float] = []
    groups: list[str] = []
    batches: list[str] = []
    gaps = []
    for k in range(count):
        a, b = near_people(rng, k - count // 2, style)
        predictions += [*a, *b]
        groups += ["a"] * len(a) + ["b"] * len(b)
        batches += [f"b{k}"] * (len(a) + len(b))
        gaps.append(abs(mean(a) - mean(b)))
    return predictions, groups, batches, sorted(gaps)[count // 2]


def mean(values: list[float]) -> Fraction:
    return sum((Fraction(value) for value in values), Fraction(0)) / len(values)


def near_people(rng: np.random.Generator, k: int, style: str) -> tuple[list[float], list[float]]:
    if style == "steps":  # the gap is 1/20 and k units in the last place
        return [0.05 + k * 2.0**-57], [0.0]
    if style == "thirds":  # means that no float holds
        a = rng.random(3) / 4 + 0.25
        target = float(a.sum() / 3 - 0.05)
        b = [target + float(x) for x in (0.125, -0.0625, -0.0625)]
        b[0] += int(rng.integers(-3, 4)) * 2.0**-54
        return [float(x) for x in a], b
    if style == "cancel":  # large parts that cancel
        return [1e15 + 0.125, -1e15, 0.0, float(k % 7) * 2.0**-50 + 0.075], [0.0]
    if style == "sizes":  # many people, gap of a rational near the threshold
        n, m = int(rng.integers(1, 30)), int(rng.integers(1, 30))
        return [0.3 + 2.0**-54 * float(rng.integers(-2, 3))] * n, [0.25 + 2.0**-54 * float(rng.integers(-2, 3))] * m
    return [TINIEST * (k % 5)], [TINIEST * (k % 3)]  # denormals


STYLES = {"steps": 4000, "thirds": 4000, "cancel": 1500, "sizes": 1500, "denormals": 300}


@pytest.mark.parametrize("style", STYLES)
def test_the_float_filter_never_decides_what_rounding_could(style: str) -> None:
    rng = np.random.default_rng(7)
    predictions, groups, batches, middle = near_batches(rng, STYLES[style], style)
    sample = Sample({"g": ["a", "b"]}, {"g": groups}, predictions, batches=batches)
    question = Question("demographic_parity", ("g",), sample.declared, Fraction(1, 20))
    evidence, terms, context = asked(sample, question)
    tables: dict[str, list[list[float]]] = {}
    for value, group, batch in zip(predictions, groups, batches, strict=True):
        tables.setdefault(batch, [[], []])[group == "b"].append(value)
    gaps = {name: abs(mean(a) - mean(b)) for name, (a, b) in tables.items()}
    worst = max(gaps.values())
    near = [side for places in (17, 18, 60) for sides in beside(middle, places) for side in sides]
    for threshold in (Fraction(1, 20), *near, *beside(worst, 40)[0]):
        witness, judgement = judged(evidence, dataclasses.replace(terms, threshold=threshold), context)
        (row,) = witness["rows"]
        assert row["failed"] == sum(gap > threshold for gap in gaps.values())
        assert row["worstBatch"] == next(name for name, gap in gaps.items() if gap == worst)
        assert judgement.estimate == worst
        assert judgement.verdict is (Verdict.FAIL if worst > threshold else Verdict.PASS)


def test_the_float_filter_with_labels_and_overflow() -> None:
    """Residuals whose two sums cancel; and sums near the end of float64, where the filter has nothing to say."""
    rng = np.random.default_rng(8)
    for scale in (1.0, 1e15, 1e307):
        predictions = (rng.random(600) * scale).tolist()
        labels = [p + float(rng.integers(-3, 4)) * 2.0**-52 * scale for p in predictions]
        batches = [f"b{i // 3}" for i in range(600)]
        sample = Sample({"g": ["a", "b"]}, {"g": ["a", "a", "b"] * 200}, predictions, labels=labels, batches=batches)
        question = Question("equalized_residuals", ("g",), sample.declared, Fraction(1, 10**15))
        assert_agrees(sample, question)


def test_differences_beyond_float64_are_decided() -> None:
    sample = Sample(
        {"g": ["a", "b"]}, {"g": ["a", "b"] * 3}, [1.5e308, -1.5e308, 1e308, -1e308, 0.5, 0.5], batches=list("aabbcc")
    )
    claim = assert_agrees(sample, Question("demographic_parity", ("g",), sample.declared, Fraction(1)))
    assert (claim["verdict"], claim["witness"]["rows"][0]["worstBatch"]) == ("FAIL", "a")


# ------------------------------------------------------------------------------------------------------ fairlearn
@pytest.mark.parametrize("mapped", ["scores", "decisions"])
@pytest.mark.parametrize("metric", ["demographic_parity", "equal_opportunity", "equalized_odds", "conditional_parity"])
def test_fairlearn_finds_the_same_figures(metric: str, mapped: str) -> None:
    rng = np.random.default_rng(3)
    n = 3000
    groups = [str(value) for value in rng.choice(["x", "y", "z"], n, p=[0.6, 0.3, 0.1])]
    towns = [str(value) for value in rng.choice(["big", "small"], n)]
    labels = rng.integers(0, 2, n).astype(float)
    scores = np.clip(rng.random(n) + 0.1 * labels, 0, 1)
    declared = {"g": ["x", "y", "z"], "town": ["big", "small"]}
    sample = Sample(declared, {"g": groups, "town": towns}, scores.tolist(), scores.tolist(), labels.tolist())
    condition = "town" if metric == "conditional_parity" else None
    question = Question(metric, ("g",), declared, Fraction(1, 2), map=mapped, condition=condition)
    for form in ("difference", "ratio"):
        claim = assert_agrees(sample, dataclasses.replace(question, form=form))
        values = scores if mapped == "scores" else (scores > 0.5).astype(float)
        control = {"town": towns} if condition else None
        if metric in ("equal_opportunity", "equalized_odds"):
            control = {"label": labels}
        frame = MetricFrame(
            metrics=lambda _, predicted: float(np.mean(predicted)),
            y_true=labels,
            y_pred=values,
            sensitive_features={"g": groups},
            control_features=control,
        )
        found = frame.difference() if form == "difference" else frame.ratio()
        if control is not None:
            found = found[found.index == 1] if metric == "equal_opportunity" else found
            found = found.max() if form == "difference" else found.min()
        assert float(claim["estimate"]) == pytest.approx(float(found), abs=2e-12)


def test_figures_are_rounded_to_the_unfavourable_side() -> None:
    sample = Sample({"g": ["a", "b"]}, {"g": ["a", "a", "a", "b"]}, [1.0, 0.0, 0.0, 0.0])
    evidence, terms, context = asked(sample, Question("demographic_parity", ("g",), sample.declared, Fraction(1)))
    _, judgement = judged(evidence, terms, context)
    assert figures(terms, judgement) == {
        "estimate": "0.333333333334",
        "lower": "0.333333333333",
        "upper": "0.333333333334",
        "bound": None,
    }
