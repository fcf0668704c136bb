from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt, nextafter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from certifair import checks
from certifair.certificate.claims import measure_claim, rederive
from certifair.certificate.derive import all_terms
from certifair.checks.base import Judgement
from certifair.errors import InputError
from certifair.exact.decimals import parse_decimal
from certifair.spec.verdict import Verdict
from tests.checks.bundles import Sample, context_in, evidence_of, property_of, terms_in
from tests.oracles import metric_oracle
from tests.oracles.metric_oracle import Person, Question
from tests.oracles.projection_oracle import Infeasible, Projected, duality_gap, mean_square, project

METRICS = ("demographic_parity", "conditional_parity", "equalized_odds", "equal_opportunity", "equalized_residuals")
GRID = 2**50
"""Predictions are rounded to multiples of 1/GRID, the tolerance tightened by twice that for each row."""
Rows = list[tuple[list[Fraction], Fraction]]


@dataclass(frozen=True)
class Problem:
    """A layer's problem; `sample` has scores as its predictions until they are replaced."""

    sample: Sample
    question: Question
    epsilon: Fraction
    lower: Fraction
    upper: Fraction

    def batches(self) -> dict[str, list[Person]]:
        found: dict[str, list[Person]] = {}
        for person in self.sample.people():
            found.setdefault(person.batch, []).append(person)
        return found

    def solve(self, people: list[Person], *, slack: Fraction = Fraction(0)) -> tuple[list[str], Projected]:
        """(names of the rows, the projection) of one batch, epsilon less some slack."""
        rows = metric_oracle.matrix(self.question, people)
        scores = [person.score or Fraction(0) for person in people]
        pairs = [(weights, offset) for _, weights, offset in rows]
        return [name for name, _, _ in rows], project(scores, pairs, self.epsilon - slack, self.lower, self.upper)


def layer_text(problem: Problem) -> str:
    question = problem.question
    condition = f'condition = "{question.condition}"\n' if question.condition else ""
    return (
        f'[layer]\nmetric = "{question.metric}"\n{condition}'
        f"sensitive_features = [{', '.join(repr(name) for name in question.features)}]\n"
        f"intersectional = {str(question.intersectional).lower()}\n"
        f"epsilon = {float(problem.epsilon)}\nlower = {float(problem.lower)}\nupper = {float(problem.upper)}\n"
    )


def judged(
    problem: Problem, multipliers: Sequence[tuple[str, str, float]] | None, threshold: Fraction
) -> tuple[Any, Judgement]:
    """(witness, judgement), the claim found consistent."""
    asked = dataclasses.replace(problem.question, threshold=threshold)
    sample = dataclasses.replace(
        problem.sample, layer=layer_text(problem), multipliers=multipliers, properties=[property_of(asked)]
    )
    evidence = evidence_of(sample)
    terms, context = terms_in(evidence), context_in(evidence)
    claim = measure_claim(terms, evidence, context)
    assert rederive(claim, context) == claim
    check = checks.get("feasibility", "projection")
    assert check is not None
    return claim["witness"], check.judge(terms, claim["witness"], context)


def served(problem: Problem) -> tuple[Problem, list[tuple[str, str, float]], list[list[Fraction]]]:
    """(the problem with its scores projected and rounded, multipliers, the exact projections): batch by batch."""
    predictions: dict[str, list[float]] = {}
    multipliers: list[tuple[str, str, float]] = []
    exact: list[list[Fraction]] = []
    for batch, people in problem.batches().items():
        names, projected = problem.solve(people)
        exact.append(projected.y)
        tightened = problem.solve(people, slack=Fraction(2, GRID))[1]
        predictions[batch] = [float(Fraction(round(value * GRID), GRID)) for value in tightened.y]
        multipliers += [(batch, name, float(nu)) for name, nu in zip(names, projected.multipliers, strict=True)]
    order = [predictions[person.batch].pop(0) for person in problem.sample.people()]
    return with_predictions(problem, order), multipliers, exact


def with_predictions(problem: Problem, predictions: Sequence[float]) -> Problem:
    return dataclasses.replace(problem, sample=dataclasses.replace(problem.sample, predictions=list(predictions)))


def true_mean_square(problem: Problem, exact: list[list[Fraction]]) -> Fraction:
    """The largest mean square distance of a batch to its exact projection."""
    batches = problem.batches().values()
    return max(mean_square([p.prediction for p in people], y) for people, y in zip(batches, exact, strict=True))


@st.composite
def problems(draw: st.DrawFn, *, largest: int = 9) -> Problem:
    metric = draw(st.sampled_from(METRICS))
    seed = draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    n = draw(st.integers(4, largest) | st.integers(1, largest))
    batches = draw(st.sampled_from((1, 1, 2)))
    declared = {"g": ("a", "b", "c")[: draw(st.integers(2, 3))], "h": ("x", "y"), "town": ("big", "small")}
    features = ("g", "h") if draw(st.booleans()) else ("g",)
    spread = draw(st.sampled_from((0.1, 0.5, 3.0)))
    scores = rng.normal(0.5, spread, n) if draw(st.booleans()) else np.round(rng.normal(0.5, spread, n) * 4) / 4
    labels = rng.integers(0, 2, n).astype(float) if metric != "equalized_residuals" else np.round(rng.random(n) * 8) / 8
    return Problem(
        Sample(
            declared=declared,
            categories={name: [str(v) for v in rng.choice(values, n)] for name, values in declared.items()},
            predictions=scores.tolist(),
            scores=scores.tolist(),
            labels=labels.tolist(),
            batches=[f"b{i}" for i in rng.integers(0, batches, n)],
        ),
        Question(
            metric,
            features,
            declared,
            form="projection",
            intersectional=draw(st.booleans()),
            condition="town" if metric == "conditional_parity" else None,
        ),
        epsilon=Fraction(draw(st.sampled_from(("0.015625", "0.125", "0.5")))),
        lower=Fraction(draw(st.sampled_from(("0", "-2", "0.25")))),
        upper=Fraction(draw(st.sampled_from(("1", "0.75", "4")))),
    )


def projected_or_skip(problem: Problem) -> tuple[Problem, list[tuple[str, str, float]], list[list[Fraction]]]:
    """Equalized residuals in a box can be infeasible, even before the tolerance is tightened."""
    try:
        return served(problem)
    except Infeasible:
        assume(False)
        raise


# ------------------------------------------------------------------------------------------------ what must pass
@settings(max_examples=120)
@given(problems())
def test_exact_projections_pass_with_their_multipliers(problem: Problem) -> None:
    problem, multipliers, exact = projected_or_skip(problem)
    witness, judgement = judged(problem, multipliers, Fraction(1, 10**6))
    assert judgement.verdict is Verdict.PASS
    assert witness["undecided"] == 0
    assert witness["counted"] == witness["batches"] == len(exact)
    assert judgement.upper is not None
    assert judgement.upper**2 >= true_mean_square(problem, exact)


@settings(max_examples=120)
@given(problems(), st.sampled_from((1.0, -1.0, 0.5, 3.0)), st.booleans())
def test_the_witness_bounds_the_exact_duality_gap(problem: Problem, factor: float, noisy: bool) -> None:
    """The published gap is at least the exact one of the worst batch, and no more than rounding above it."""
    problem, multipliers, _ = projected_or_skip(problem)
    multipliers = [(b, r, v * factor + noisy * (0.25 if k % 2 else -0.5)) for k, (b, r, v) in enumerate(multipliers)]
    witness, judgement = judged(problem, multipliers, Fraction(1))
    gaps: dict[str, tuple[Fraction, int]] = {}
    for batch, people in problem.batches().items():
        rows = metric_oracle.matrix(problem.question, people)
        nu = {name: Fraction(value) for b, name, value in multipliers if b == batch}
        gap = duality_gap(
            [person.score or Fraction(0) for person in people],
            [person.prediction for person in people],
            [(weights, offset) for _, weights, offset in rows],
            [nu[name] for name, _, _ in rows],
            (problem.epsilon, problem.lower, problem.upper),
        )
        gaps[batch] = (gap, len(people))
    worst = max(gap / n for gap, n in gaps.values())
    stated = parse_decimal(witness["worst"]["gap"])
    gap, n = gaps[witness["worst"]["batch"]]
    assert witness["worst"]["n"] == n
    assert gap <= stated <= gap * (1 + Fraction(1, 10**6)) + Fraction(1, 10**13)
    assert worst <= stated / n
    assert judgement.estimate == judgement.upper
    assert judgement.upper is not None
    assert judgement.upper**2 >= 2 * stated / n > (judgement.upper - Fraction(1, 10**12)) ** 2 or stated == 0


# ------------------------------------------------------------------------------------- what must never pass wrongly
@settings(max_examples=300)
@given(problems(largest=7), st.data())
def test_certified_distances_are_never_below_the_true_ones(problem: Problem, data: st.DataObject) -> None:
    """Whatever is served and whatever multipliers are given."""
    problem, multipliers, exact = projected_or_skip(problem)
    kind = data.draw(st.sampled_from(("noise", "other", "none", "scaled", "swapped", "huge")))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    if kind == "noise":
        multipliers = [(b, r, v + float(rng.normal()) * 10.0 ** rng.integers(-12, 1)) for b, r, v in multipliers]
    elif kind == "other":
        multipliers = [(b, r, float(rng.normal())) for b, r, _ in multipliers]
    elif kind == "scaled":
        multipliers = [(b, r, v * float(rng.choice([-1, 0.5, 2]))) for b, r, v in multipliers]
    elif kind == "swapped":
        multipliers = [(b, r, multipliers[-1 - k][2]) for k, (b, r, _) in enumerate(multipliers)]
    elif kind == "huge":
        multipliers = [(b, r, v * 1e200 + 1e150) for b, r, v in multipliers]
    problem = moved(problem, rng, data.draw(st.sampled_from((0.0, 1e-9, 1e-6, 1e-3, 0.3))))
    true = true_mean_square(problem, exact)
    root = Fraction(isqrt(true.numerator * 10**40 // true.denominator), 10**20)
    for limit in (Fraction(1, 10**6), root, root * 2, Fraction(1)):
        threshold = Fraction(int(limit * 10**30), 10**30)
        witness, judgement = judged(problem, None if kind == "none" else multipliers, threshold)
        if judgement.verdict is Verdict.PASS:
            assert true <= threshold**2
        if witness["undecided"] == 0:
            assert judgement.upper is not None
            assert judgement.upper**2 >= true
        else:
            assert judgement.verdict is Verdict.UNDECIDED
        assert judgement.verdict is not Verdict.FAIL


def moved(problem: Problem, rng: np.random.Generator, size: float) -> Problem:
    """Served predictions some way off, often still feasible: towards their mean, or anywhere."""
    if not size:
        return problem
    y = np.array(problem.sample.predictions)
    noise = rng.normal(size=len(y)) * size
    target = np.full(len(y), float(y.mean())) if rng.random() < 0.7 else y + noise
    moved_y = np.clip(y + (target - y) * min(1.0, size * 3), float(problem.lower), float(problem.upper))
    return with_predictions(problem, moved_y.tolist())


@settings(max_examples=60)
@given(problems(largest=7), st.integers(0, 2**32))
def test_infeasible_predictions_are_undecided(problem: Problem, seed: int) -> None:
    """One row above epsilon, or one prediction out of the box, by as little as can be."""
    problem, multipliers, _ = projected_or_skip(problem)
    rng = np.random.default_rng(seed)
    predictions = list(problem.sample.predictions)
    victim = int(rng.integers(len(predictions)))
    predictions[victim] = nextafter(float(problem.upper), 9.0) if rng.random() < 0.5 else float(problem.lower) - 1e-300
    if predictions[victim] == float(problem.lower):
        predictions[victim] = nextafter(float(problem.lower), -9.0)
    problem = with_predictions(problem, predictions)
    witness, judgement = judged(problem, multipliers, Fraction(10**6))
    assert judgement.verdict is Verdict.UNDECIDED
    assert witness["undecided"] >= 1
    assert "could not be bounded" in judgement.reason


@pytest.mark.parametrize(("second", "verdict"), [(0.375, "PASS"), (nextafter(0.375, 0), "UNDECIDED")])
def test_a_row_at_epsilon_and_one_step_beyond(second: float, verdict: str) -> None:
    declared = {"g": ("a", "b")}
    sample = Sample(declared, {"g": ["a", "b"]}, [0.5, second], [0.5, second])
    problem = Problem(
        sample,
        Question("demographic_parity", ("g",), declared, form="projection"),
        Fraction(1, 8),
        Fraction(0),
        Fraction(1),
    )
    witness, judgement = judged(problem, [], Fraction(1, 10**12))
    assert judgement.verdict.value == verdict
    assert witness["undecided"] == (verdict == "UNDECIDED")


def test_the_box_is_the_decimal_that_was_written() -> None:
    """0.1 lies below its nearest float64: the float just below it is outside."""
    declared = {"g": ("a", "b")}
    for value, undecided in ((0.1, 0), (nextafter(0.1, 0), 1)):
        problem = Problem(
            Sample(declared, {"g": ["a", "b"]}, [value, value], [value, value]),
            Question("demographic_parity", ("g",), declared, form="projection"),
            Fraction(1, 8),
            Fraction(1, 10),
            Fraction(1),
        )
        assert judged(problem, [], Fraction(1))[0]["undecided"] == undecided


# ---------------------------------------------------------------------------------------------------- the oracle
@settings(max_examples=25)
@given(problems())
def test_the_oracle_agrees_with_scipy(problem: Problem) -> None:
    for people in problem.batches().values():
        rows = metric_oracle.matrix(problem.question, people)
        z = np.array([float(person.score or 0) for person in people])
        A = np.array([[float(w) for w in weights] for _, weights, _ in rows]).reshape(len(rows), len(z))
        b = np.array([float(offset) for _, _, offset in rows])
        epsilon = float(problem.epsilon)
        try:
            exact = problem.solve(people)[1]
        except Infeasible:
            continue
        found = minimize(
            lambda y, z=z: 0.5 * np.sum((y - z) ** 2),
            np.clip(z, float(problem.lower), float(problem.upper)),
            jac=lambda y, z=z: y - z,
            bounds=[(float(problem.lower), float(problem.upper))] * len(z),
            constraints=[
                {"type": "ineq", "fun": lambda y, A=A, b=b, e=epsilon: e - (A @ y - b), "jac": lambda _, A=A: -A},
                {"type": "ineq", "fun": lambda y, A=A, b=b, e=epsilon: e + (A @ y - b), "jac": lambda _, A=A: A},
            ]
            if len(rows)
            else [],
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 300},
        )
        if found.success:
            assert np.allclose(found.x, [float(value) for value in exact.y], atol=1e-5)


def test_the_oracle_finds_infeasible_rows() -> None:
    half = [([Fraction(1)], Fraction(2))]
    with pytest.raises(Infeasible):
        project([Fraction(0)], half, Fraction(1, 2), Fraction(0), Fraction(1))


# ------------------------------------------------------------------------------------------ errors and odd evidence
PLAIN = Problem(
    Sample({"g": ("a", "b")}, {"g": ["a", "b", "a", "b"]}, [0.5, 0.5, 0.25, 0.25], [0.5, 0.5, 0.25, 0.25]),
    Question("demographic_parity", ("g",), {"g": ("a", "b")}, form="projection"),
    Fraction(1, 8),
    Fraction(0),
    Fraction(1),
)


def test_batches_are_judged_one_by_one() -> None:
    """The worst batch is the one with the largest gap a person; a batch without a group is bounded too."""
    sample = Sample(
        {"g": ("a", "b")},
        {"g": ["a", "b", "a", "b", "a", "a"]},
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
        [0.5, 0.5, 0.5, 0.75, 0.5, 0.25],
        batches=["p", "p", "q", "q", "r", "r"],
    )
    witness, judgement = judged(dataclasses.replace(PLAIN, sample=sample), None, Fraction(1))
    assert (witness["batches"], witness["counted"], witness["undecided"]) == (3, 3, 0)
    assert (witness["worst"]["batch"], witness["worst"]["n"]) == ("q", 2)
    assert judgement.verdict is Verdict.PASS
    strict = judged(dataclasses.replace(PLAIN, sample=sample), None, Fraction(1, 100))[1]
    assert strict.verdict is Verdict.UNDECIDED
    assert "prove a distance of" in strict.reason


def test_one_infeasible_batch_leaves_the_claim_undecided() -> None:
    sample = dataclasses.replace(PLAIN.sample, predictions=[0.5, 0.5, 0.25, 1.5], batches=["p", "p", "q", "q"])
    witness, judgement = judged(dataclasses.replace(PLAIN, sample=sample), None, Fraction(1))
    assert (witness["counted"], witness["undecided"], witness["worst"]["batch"]) == (1, 1, "p")
    assert judgement.verdict is Verdict.UNDECIDED


def test_nothing_bounded_means_no_figures() -> None:
    sample = dataclasses.replace(PLAIN.sample, predictions=[2.0] * 4)
    witness, judgement = judged(dataclasses.replace(PLAIN, sample=sample), None, Fraction(1))
    assert witness["worst"] is None
    assert (judgement.estimate, judgement.lower, judgement.upper) == (None, None, None)
    assert judgement.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize("scores", [[1e300, -1e300, 1e300, 0.5], [1.7e308, -1.7e308, 0.0, 0.0]])
def test_scores_beyond_what_products_can_hold_are_undecided(scores: list[float]) -> None:
    """The bound overflows to infinity: nothing is certified, and nothing crashes."""
    sample = dataclasses.replace(PLAIN.sample, scores=scores, predictions=[0.0] * 4)
    wide = dataclasses.replace(PLAIN, sample=sample, upper=Fraction(10**15), lower=Fraction(-(10**15)))
    witness, judgement = judged(wide, None, Fraction(1))
    assert judgement.verdict is Verdict.UNDECIDED
    assert witness["undecided"] == 1


@pytest.mark.parametrize("value", [1.7e308, -1.7e308, 1e200])
def test_multipliers_beyond_float64_are_undecided(value: float) -> None:
    """The sum of two shifts overflows, or the shift of a group of one person beside it."""
    declared = {"g": ("a", "b", "c"), "h": ("x", "y")}
    sample = Sample(declared, {"g": ["a", "b", "c"], "h": ["x", "y", "y"]}, [0.5] * 3, [0.5] * 3)
    question = Question("demographic_parity", ("g", "h"), declared, form="projection")
    problem = dataclasses.replace(PLAIN, sample=sample, question=question)
    multipliers = [("0", "g: a - b", value), ("0", "h: x - y", value)]
    for several in (multipliers, [*multipliers, ("0", "g: a - c", value)]):
        assert judged(problem, several, Fraction(1))[1].verdict is Verdict.UNDECIDED


def test_multipliers_must_name_rows_and_batches() -> None:
    with pytest.raises(InputError, match="unknown row 'g: b - a'"):
        judged(PLAIN, [("0", "g: b - a", 0.0)], Fraction(1))
    with pytest.raises(InputError, match="unknown batch"):
        judged(PLAIN, [("1", "g: a - b", 0.0)], Fraction(1))
    with pytest.raises(InputError, match="constraint twice"):
        judged(PLAIN, [("0", "g: a - b", 0.0), ("0", "g: a - b", 1.0)], Fraction(1))


def test_a_projection_needs_a_layer_and_scores() -> None:
    asked = [property_of(dataclasses.replace(PLAIN.question, threshold=Fraction(1)))]
    bare = evidence_of(dataclasses.replace(PLAIN.sample, properties=asked))
    with pytest.raises(InputError, match="layer"):
        measure_claim(terms_in(bare), bare, context_in(bare))
    unscored = evidence_of(dataclasses.replace(PLAIN.sample, scores=None, layer=layer_text(PLAIN), properties=asked))
    with pytest.raises(InputError, match="layer"):
        measure_claim(terms_in(unscored), unscored, context_in(unscored))


def test_multipliers_bring_their_own_claim() -> None:
    sample = dataclasses.replace(PLAIN.sample, layer=layer_text(PLAIN), multipliers=[])
    evidence = evidence_of(sample)
    terms, _ = all_terms(evidence)  # the other is the treatment difference, which comes with scores
    assert evidence.policy.layer is not None
    width = evidence.policy.layer.upper - evidence.policy.layer.lower
    assert (terms.id, terms.form, terms.threshold) == ("projection", "projection", width / 10**5)
    without = all_terms(evidence_of(dataclasses.replace(sample, multipliers=None)))
    assert [terms.form for terms in without] == ["treatment"]
