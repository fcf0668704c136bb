"""Replay claims against networks that the ONNX package made and fractions evaluate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import nextafter
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certifair.certificate.claims import measure_claim
from certifair.certificate.derive import NOT_OBSERVED, NOT_REPLAYED, all_terms, derive
from certifair.checks._distances import distances
from certifair.checks.base import Context
from certifair.checks.replay import Replay
from certifair.errors import InputError
from certifair.evidence.inputs import Input, Inputs
from certifair.exact.decimals import parse_decimal
from certifair.spec import Json
from tests.checks.bundles import Sample, context_in, evidence_of, terms_in
from tests.golden.network import INPUTS, encoded, made, network_value

NUMBERS = Inputs((Input("a", "number"), Input("b", "number")))
# f(a, b) = max(0, a − b) + 1/4, in numbers that are all small multiples of powers of two
EXACT = ([[[1.0, -1.0]], [[1.0]]], [[0.0], [0.25]])
finite = st.floats(allow_nan=False, allow_infinity=False)
NOTE = "0.000001"


def demand(epsilon: str = NOTE) -> str:
    return f'[[property]]\nid = "scores"\nkind = "replay"\nepsilon = "{epsilon}"\n'


def sample_of(scores: Sequence[float], inputs: dict[str, Sequence[Any]], model: bytes | None, **more: Any) -> Sample:
    n = len(scores)
    groups = ["a", "b"] * n
    found = Sample({"g": ("a", "b")}, {"g": groups[:n]}, list(scores), list(scores), model=model, inputs=inputs)
    return dataclasses.replace(found, **{"preprocessing": NUMBERS, "properties": [demand()], **more})


def claim_of(sample: Sample) -> Json:
    evidence = evidence_of(sample)
    terms = terms_in(evidence)
    context = context_in(evidence)
    claim = measure_claim(terms, evidence, context)
    Replay().consistent(terms, claim["witness"], context)
    return claim


def exact_sample(scores: Sequence[float], epsilon: str = NOTE) -> Sample:
    """People with a = 1, 2, 3, … and b = 1: the network gives 1/4, 5/4, 9/4, …"""
    inputs = {"a": [float(k + 1) for k in range(len(scores))], "b": [1.0] * len(scores)}
    return sample_of(scores, inputs, made(*EXACT), properties=[demand(epsilon)])


GOOD = [0.25, 1.25, 2.25, 3.25]


# ---------------------------------------------------------------------------------------------------- verdicts
def test_the_networks_own_values_pass() -> None:
    claim = claim_of(exact_sample(GOOD))
    assert (claim["verdict"], claim["reason"], claim["sampleSize"]) == ("PASS", "", 4)
    assert (claim["metric"], claim["partitions"], claim["decisionGap"]) == (None, [], None)
    assert claim["witness"]["counted"] == 4
    assert claim["witness"]["certain"] == "0"


def test_a_changed_score_fails_and_is_named() -> None:
    claim = claim_of(exact_sample([0.25, 1.25, 2.25 + 2e-6, 3.25]))
    assert claim["verdict"] == "FAIL"
    assert claim["witness"]["worst"]["row"] == "3"
    assert "row 3 may be 0.00000200 off, demanded at most 0.000001" in claim["reason"]
    assert "at least 0.00000200 off" in claim["reason"]
    assert parse_decimal(claim["lower"]) <= Fraction(2.25 + 2e-6) - Fraction(9, 4) <= parse_decimal(claim["upper"])


@pytest.mark.parametrize("side", [1, -1])
def test_the_borderline(side: int) -> None:
    """2⁻²⁰ is a decimal and a float64 number; a hair below passes, a hair above fails, itself is no violation."""
    step = 2.0**-20
    epsilon = f"{step:.20f}"
    assert Fraction(epsilon) == Fraction(step)
    verdicts = {}
    for name, off in (("in", step * 0.999), ("at", step), ("out", step * 1.001)):
        verdicts[name] = claim_of(exact_sample([0.25, 1.25 + side * off], epsilon))["verdict"]
    assert (verdicts["in"], verdicts["out"]) == ("PASS", "FAIL")
    assert verdicts["at"] in ("PASS", "UNDECIDED")


def test_a_changed_input_fails() -> None:
    sample = exact_sample(GOOD)
    moved = {**sample.inputs, "a": [1.0, 2.0, 3.0 + 2e-6, 4.0]}
    claim = claim_of(dataclasses.replace(sample, inputs=moved))
    assert (claim["verdict"], claim["witness"]["worst"]["row"]) == ("FAIL", "3")


def test_a_changed_weight_fails() -> None:
    sample = dataclasses.replace(exact_sample(GOOD), model=made(EXACT[0], [[0.0], [0.5]]))
    claim = claim_of(sample)
    assert claim["verdict"] == "FAIL"
    assert Fraction(claim["witness"]["certain"]) > Fraction(24, 100)


def test_who_cannot_be_bounded_is_undecided_beside_a_violation_it_fails() -> None:
    sample = sample_of([0.25, 1.0], {"a": [1.0, 1.7e308], "b": [1.0, -1.7e308]}, made(*EXACT))
    claim = claim_of(sample)
    assert claim["verdict"] == "UNDECIDED"
    assert (claim["witness"]["counted"], claim["witness"]["undecided"]) == (1, 1)
    assert claim["reason"] == "1 of 2 people could not be bounded"
    worse = dataclasses.replace(sample, scores=[0.5, 1.0], predictions=[0.5, 1.0])
    assert claim_of(worse)["verdict"] == "FAIL"
    alone = sample_of([1.0], {"a": [1.7e308], "b": [-1.7e308]}, made(*EXACT))
    claim = claim_of(alone)
    assert (claim["verdict"], claim["estimate"], claim["witness"]["worst"]) == ("UNDECIDED", None, None)


def test_categories() -> None:
    people = [{"income": k / 8, "region": region} for k, region in enumerate(["north", "south", "west"])]
    scores = [float(network_value(encoded(person))) for person in people]
    columns = {name: [person[name] for person in people] for name in ("income", "region")}
    sample = sample_of(scores, columns, made(), preprocessing=INPUTS)
    assert claim_of(sample)["verdict"] == "PASS"  # a value that is not listed gives zeros
    moved = dataclasses.replace(sample, inputs={**columns, "region": ["north", "south", "south"]})
    assert claim_of(moved)["witness"]["worst"]["row"] == "3"
    assert claim_of(moved)["verdict"] == "FAIL"


# ------------------------------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preprocessing": Inputs((Input("a", "number"),))}, "has 2 inputs, but preprocessing.json gives 1"),
        ({"preprocessing": INPUTS, "inputs": {"income": [1.0], "region": ["north"]}}, "has 2 inputs, but"),
        ({"inputs": {"a": [math.nan], "b": [1.0]}}, "'input.a' is nan in row 1"),
        ({"inputs": {"a": [1.0]}}, "no column 'input.b'"),
        ({"scores": None}, "no column 'score'"),
        ({"model": made([EXACT[0][0], [[1.0], [1.0]]], [[0.0], [0.25, 0.5]])}, "has 2 outputs: a score is one number"),
        ({"model": None, "preprocessing": None}, "a network that the bundle does not hold"),
        ({"model": b"weights"}, "model.onnx"),
    ],
    ids=["few", "many", "nan", "column", "score", "outputs", "none", "bytes"],
)
def test_what_cannot_be_replayed(changes: dict[str, Any], words: str) -> None:
    sample = dataclasses.replace(exact_sample([0.25]), **changes)
    with pytest.raises(InputError) as caught:
        claim_of(sample)
    assert words in str(caught.value)


# ------------------------------------------------------------------------------------------------ what is claimed
def test_a_model_in_the_bundle_is_replayed_unasked() -> None:
    sample = dataclasses.replace(exact_sample(GOOD), properties=[])
    evidence = evidence_of(sample)
    (terms,) = all_terms(evidence)
    assert (terms.id, terms.threshold) == ("replay", Fraction(1, 10**6))
    assert derive(evidence)["nonClaims"][0] == NOT_OBSERVED
    taken = 'kind = "feasibility"\nmetric = "demographic_parity"\nsensitive_features = "g"\nepsilon = 9\n'
    sample = dataclasses.replace(sample, properties=[f'[[property]]\nid = "replay"\n{taken}'])
    assert [terms.id for terms in all_terms(evidence_of(sample))] == ["replay", "certifair-replay"]
    asked = all_terms(evidence_of(exact_sample(GOOD, "0.5")))
    assert [(terms.id, terms.threshold) for terms in asked] == [("scores", Fraction(1, 2))]


def test_without_a_model_there_is_no_replay() -> None:
    sample = dataclasses.replace(exact_sample(GOOD), properties=[], model=None, preprocessing=None)
    evidence = evidence_of(sample)
    assert all_terms(evidence) == []
    assert derive(evidence)["nonClaims"][0] == NOT_REPLAYED


def test_another_epsilon_judges_the_same_witness() -> None:
    evidence = evidence_of(exact_sample([0.25, 1.5]))
    terms, context = terms_in(evidence), context_in(evidence)
    witness = Replay().measure(terms, evidence, context).witness
    for epsilon, verdict in (("0.2", "FAIL"), ("0.3", "PASS")):
        judged = Replay().judge(dataclasses.replace(terms, threshold=Fraction(epsilon)), witness, context)
        assert judged.verdict.value == verdict
    assert Replay().needed(terms, witness, context) is None


WITNESS = {"model": "m", "preprocessing": "p", "counted": 9, "undecided": 1, "certain": "0.1"}
WITNESS["worst"] = {"row": "3", "upper": "0.3"}


def says_less(claimed: Any, measured: Any) -> bool:
    """What a check says of a witness that claims less: terms and evidence play no part in replays."""
    return Replay().contains(cast(Any, None), claimed, measured, cast(Any, None))


@pytest.mark.parametrize(
    ("changes", "contained"),
    [
        ({}, True),
        ({"certain": "0"}, True),
        ({"certain": "0.11"}, False),
        ({"worst": {"row": "3", "upper": "0.4"}}, True),
        ({"worst": {"row": "4", "upper": "0.4"}}, True),
        ({"worst": {"row": "4", "upper": "0.3"}}, False),
        ({"worst": {"row": "3", "upper": "0.2"}}, False),
        ({"counted": 8, "undecided": 2}, True),
        ({"counted": 10, "undecided": 0}, False),
        ({"counted": 0, "undecided": 10, "certain": None, "worst": None}, True),
        ({"model": "other"}, False),
        ({"preprocessing": "other"}, False),
    ],
)
def test_wider_bounds_say_less(changes: Json, contained: bool) -> None:
    assert says_less({**WITNESS, **changes}, WITNESS) is contained
    nobody = {**WITNESS, "counted": 0, "undecided": 10, "certain": None, "worst": None}
    assert says_less({**WITNESS, **changes}, nobody) is (changes.get("counted") == 0)


def test_prose_about_enormous_bounds_is_short() -> None:
    terms = terms_in(evidence_of(exact_sample(GOOD)))
    huge = {**WITNESS, "undecided": 0, "counted": 10, "certain": "9" * 400, "worst": {"row": "1", "upper": "9" * 400}}
    assert len(Replay().judge(terms, huge, Context(10, 0, frozen_holdout=False)).reason) < 200


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0, 1e-16, 3e-7, 2e-6]))
def test_what_is_published_contains_what_another_machine_computes(seed: int, off: float) -> None:
    """The other machine adds in another order: here the hidden units stand in another one, with the digests of ours."""
    draw = np.random.default_rng(seed)
    weights = [draw.normal(size=(30, 2)).astype(np.float32), draw.normal(size=(1, 30)).astype(np.float32)]
    biases = [draw.normal(size=30).astype(np.float32), draw.normal(size=1).astype(np.float32)]
    people = draw.normal(size=(6, 2))
    truth = [network_value([Fraction(x) for x in row], _plain(weights), _plain(biases)) for row in people.tolist()]
    scores = [float(value) + off for value in truth]
    inputs = {"a": people[:, 0].tolist(), "b": people[:, 1].tolist()}
    witnesses = []
    for order in (np.arange(30), draw.permutation(30)):
        moved = [weights[0][order], weights[1][:, order]], [biases[0][order], biases[1]]
        evidence = evidence_of(sample_of(scores, inputs, made(*map(_plain, moved))))
        for published in (True, False):
            context = context_in(evidence)._replace(published=published)
            witness = Replay().measure(terms_in(evidence), evidence, context).witness
            witnesses.append({**witness, "model": "ours"})
    assert parse_decimal(witnesses[0]["worst"]["upper"]) > parse_decimal(witnesses[1]["worst"]["upper"])
    for public in witnesses[::2]:
        for theirs in witnesses[1::2]:
            assert says_less(public, theirs)


def _plain(arrays: Sequence[Any]) -> list[Any]:
    return [array.tolist() for array in arrays]


# ------------------------------------------------------------------------------------------------------ the proof
@given(finite, finite, finite.map(abs) | st.just(math.inf))
def test_distances_enclose(score: float, mid: float, rad: float) -> None:
    low, high = (float(end[0]) for end in distances(np.array([score]), np.array([mid]), np.array([rad])))
    gap = abs(Fraction(score) - Fraction(mid))
    assert low >= 0
    if math.isfinite(rad):
        assert low == 0 or Fraction(low) <= gap - Fraction(rad)
        assert not math.isfinite(high) or Fraction(high) >= gap + Fraction(rad)
        assert math.isfinite(high) or gap + Fraction(rad) > Fraction(nextafter(math.inf, 0)) * Fraction(999, 1000)
    else:
        assert (low, high) == (0, math.inf)


@given(finite.map(lambda x: x / 4), st.floats(0, 1e-3), st.floats(0, 1e-3))
def test_distances_are_tight(mid: float, off: float, rad: float) -> None:
    score = mid + off
    low, high = (float(end[0]) for end in distances(np.array([score]), np.array([mid]), np.array([rad])))
    gap = abs(Fraction(score) - Fraction(mid))
    slack = Fraction(1e-15) * (gap + Fraction(rad)) + Fraction(1e-320)
    assert Fraction(high) <= gap + Fraction(rad) + slack
    assert Fraction(low) >= gap - Fraction(rad) - slack
    if score == mid and rad == 0:
        assert (low, high) == (0, 0)


@pytest.mark.parametrize("radius", [0.0, 1e-17, 0.4, 3.0])
def test_distances_enclose_what_rounding_hides(radius: float) -> None:
    """Numbers of like size, whose difference or sum with the radius is not a float64 number."""
    draw = np.random.default_rng(1)
    scores, mid = draw.uniform(-1, 1, 4000), draw.uniform(-1, 1, 4000) * 2.0 ** draw.integers(-60, 1, 4000)
    rad = radius * draw.uniform(0, 1, 4000)
    low, high = distances(scores, mid, rad)
    for s, m, r, lo, hi in zip(*(map(Fraction, part.tolist()) for part in (scores, mid, rad, low, high)), strict=True):
        assert lo <= max(abs(s - m) - r, 0)
        assert hi >= abs(s - m) + r


def test_no_number_is_no_bound() -> None:
    score = np.zeros(3)
    mid, rad = np.array([math.nan, math.inf, 1.0]), np.array([0.0, math.inf, math.nan])
    assert not np.isfinite(distances(score, mid, rad)[1]).any()


@st.composite
def networks(draw: st.DrawFn) -> tuple[Any, Any]:
    """Layers 2 → up to 3 → … → 1 of float32 numbers."""
    weight = st.floats(-2, 2, width=32)
    widths = [2, *draw(st.lists(st.integers(1, 3), max_size=2)), 1]
    pairs = list(pairwise(widths))
    weights = [[[draw(weight) for _ in range(before)] for _ in range(after)] for before, after in pairs]
    return weights, [[draw(weight) for _ in range(after)] for _, after in pairs]


@settings(max_examples=60, deadline=None)
@given(
    networks(),
    st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8), st.sampled_from([0, 0, 1e-9, -5e-7, 2e-6])), min_size=1,
             max_size=5),
    st.sampled_from(["0", "0.000000000000001", "0.0000004", NOTE]),
)  # fmt: skip
def test_claims_are_true(network: tuple[Any, Any], people: list[tuple[float, float, float]], epsilon: str) -> None:
    truth = [network_value([Fraction(a), Fraction(b)], *network) for a, b, _ in people]
    scores = [float(value) + off for value, (_, _, off) in zip(truth, people, strict=True)]
    inputs = {"a": [a for a, _, _ in people], "b": [b for _, b, _ in people]}
    claim = claim_of(sample_of(scores, inputs, made(*network), properties=[demand(epsilon)]))
    gaps = [abs(Fraction(score) - value) for score, value in zip(scores, truth, strict=True)]
    witness, threshold = claim["witness"], Fraction(epsilon)
    assert witness["counted"] == len(people)
    assert parse_decimal(witness["certain"]) <= max(gaps) <= parse_decimal(witness["worst"]["upper"])
    assert parse_decimal(witness["worst"]["upper"]) - max(gaps) < Fraction(1, 10**12)
    assert gaps[int(witness["worst"]["row"]) - 1] > max(gaps) - Fraction(1, 10**12)
    if claim["verdict"] == "PASS":
        assert max(gaps) <= threshold
    if claim["verdict"] == "FAIL":
        assert max(gaps) > threshold
    if epsilon == NOTE and max(gaps) < Fraction(9, 10**7):
        assert claim["verdict"] == "PASS"
    if max(gaps) > threshold + Fraction(1, 10**12):
        assert claim["verdict"] == "FAIL"
