"""Do the intervals hold as often as they say? Simulated, seeded; a rate may exceed its limit by 3 standard errors.

With R repetitions and a limit α the standard error of a rate is √(α(1−α)/R): 0.0036 for α = 0.05 and R = 4000. Where
all outcomes can be enumerated, probabilities are computed instead, and the limit is α itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from certifair.checks import _sample
from certifair.checks.base import Context
from certifair.checks.population import Population, tails
from certifair.exact.decimals import parse_decimal
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict
from tests.checks.bundles import FROZEN, parity

ALPHA = Fraction(1, 20)
Array = NDArray[np.float64]


def allowed(alpha: float, repetitions: int) -> float:
    """A limit that a true rate of alpha exceeds about once in 700 times; the seed is fixed, so never or always."""
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / repetitions)


@functools.lru_cache(maxsize=200_000)
def published(terms: Terms, n: int, successes: int) -> dict[str, tuple[str, str]]:
    """Both intervals of a cell, as the product publishes them."""
    found = _sample._bounds(terms, {"n": n, "sum": str(successes)}, None, FROZEN)
    return {key: tuple(value) for key, value in found.items()}


@functools.lru_cache(maxsize=200_000)
def ends(terms: Terms, n: int, successes: int, key: str) -> tuple[float, float]:
    low, high = published(terms, n, successes)[key]
    return float(low), float(high)


def cells(terms: Terms, counts: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    return [
        {"partition": 0, "group": [f"v{k}"], "condition": None, "n": n, "sum": str(s), **published(terms, n, s)}
        for k, (n, s) in enumerate(counts)
    ]


@functools.lru_cache(maxsize=200_000)
def verdict(terms: Terms, counts: tuple[tuple[int, int], ...]) -> Verdict:
    return Population().judge(terms, {"cells": cells(terms, counts)}, FROZEN).verdict


def table(terms: Terms, sizes: Sequence[int], key: str) -> list[Array]:
    """For each group the two ends of every possible count, shape (n + 1, 2)."""
    return [np.array([ends(terms, n, s, key) for s in range(n + 1)]) for n in sizes]


def true_gap(p: Sequence[float]) -> float:
    return max(p) - min(p)


def true_ratio(p: Sequence[float]) -> float:
    return min(p) / max(p)


# ------------------------------------------------------------------------------------------ one look, fixed sample
RATES = [
    ((60, 60), (0.5, 0.5)),
    ((40, 90), (0.45, 0.55)),
    ((30, 30), (0.02, 0.97)),
    ((25, 50, 80), (0.3, 0.4, 0.5)),
    ((20, 20, 20, 20, 20), (0.5, 0.5, 0.5, 0.5, 0.5)),
]


@pytest.mark.parametrize(("sizes", "p"), RATES)
def test_clopper_pearson_holds_for_all_cells_at_once(sizes: tuple[int, ...], p: tuple[float, ...]) -> None:
    """Means, every difference and every ratio lie within what the published intervals allow."""
    terms = parity(len(sizes), "difference", Fraction(1, 10), "clopper_pearson")
    rng = np.random.default_rng(1)
    repetitions = 20_000
    drawn = [rng.binomial(n, q, repetitions) for n, q in zip(sizes, p, strict=True)]
    found = [bounds[s] for bounds, s in zip(table(terms, sizes, "interval"), drawn, strict=True)]
    missed = np.zeros(repetitions, dtype=bool)
    for a in range(len(p)):
        missed |= (found[a][:, 0] > p[a]) | (found[a][:, 1] < p[a])
        for b in range(len(p)):
            missed |= p[a] - p[b] > found[a][:, 1] - found[b][:, 0] + 1e-12
            missed |= p[a] * found[b][:, 1] < p[b] * found[a][:, 0] - 1e-12
    assert missed.mean() <= allowed(0.05, repetitions)
    assert missed.mean() > 0.001  # else the intervals are wider than they need be, or nothing was tested


def test_clopper_pearson_misses_exactly_as_often_as_computed() -> None:
    """Every outcome of two groups enumerated: no simulation, and the limit is α itself."""
    for p in ((0.3, 0.3), (0.1, 0.5), (0.9, 0.95)):
        sizes = (30, 45)
        terms = parity(2, "difference", Fraction(1, 10), "clopper_pearson")
        weights = [binomial_weights(n, q) for n, q in zip(sizes, p, strict=True)]
        inside = [
            (bounds[:, 0] <= q) & (q <= bounds[:, 1])
            for bounds, q in zip(table(terms, sizes, "interval"), p, strict=True)
        ]
        joint = 1 - math.prod(float(w[ok].sum()) for w, ok in zip(weights, inside, strict=True))
        assert joint <= 0.05
        for w, bounds, q in zip(weights, table(terms, sizes, "oneSided"), p, strict=True):
            assert w[bounds[:, 0] > q].sum() <= 0.025 + 1e-12
            assert w[bounds[:, 1] < q].sum() <= 0.025 + 1e-12


def binomial_weights(n: int, p: float) -> Array:
    weights: Array = binom.pmf(np.arange(n + 1), n, p)
    return weights


EDGES = [
    ("difference", "0.1", (0.02, 0.1201), (120, 90)),
    ("difference", "0.3", (0.69, 0.9901), (120, 90)),
    ("difference", "0.3", (0.3, 0.6001), (1500, 60)),
    ("ratio", "0.8", (0.9, 0.7199), (120, 90)),
    ("ratio", "0.5", (0.8, 0.3999), (1500, 60)),
]
"""Form, threshold, rates just beyond it, people. Where one group is much larger, a wrong PASS comes near to α/2."""


@pytest.mark.parametrize("method", ["clopper_pearson", "beta_mixture"])
@pytest.mark.parametrize(("form", "threshold", "p", "sizes"), EDGES)
def test_a_false_claim_seldom_passes_and_a_true_one_seldom_fails(
    form: str, threshold: str, p: tuple[float, float], sizes: tuple[int, int], method: str
) -> None:
    """All outcomes of two groups: just beyond the threshold for a wrong PASS, just within it for a wrong FAIL."""
    limit = Fraction(threshold)
    for true in (p, within(form, p)):
        violated = true_gap(true) > limit if form == "difference" else true_ratio(true) < limit
        assert violated is (true is p)
        wrong = wrong_rate(parity(2, form, limit, method), sizes, true, violated=violated)
        assert wrong <= float(ALPHA)
        if max(sizes) > 1000 and method == "clopper_pearson":
            assert wrong > 0.002  # so that a miss would be seen


def within(form: str, p: tuple[float, float]) -> tuple[float, float]:
    """The same pair on the good side of its threshold, as near."""
    return p[0], p[1] + (0.0002 if form == "ratio" else -0.0002)


def wrong_rate(terms: Terms, sizes: tuple[int, int], p: tuple[float, float], *, violated: bool) -> float:
    weights = np.outer(*(binomial_weights(n, q) for n, q in zip(sizes, p, strict=True)))
    wrong = Verdict.PASS if violated else Verdict.FAIL
    likely = np.argwhere(weights > 1e-7)  # all but less than a hundredth
    rate = 0.0
    for a, b in likely.tolist():
        if verdict(terms, ((sizes[0], a), (sizes[1], b))) is wrong:
            rate += weights[a, b]
    return rate + float(weights[weights <= 1e-7].sum())  # what was not looked at counts as wrong


def test_wrong_passes_among_many_groups() -> None:
    """Six groups, one pair too far apart: the bounds of a PASS speak of that pair only, and that suffices."""
    terms = parity(6, "difference", Fraction(1, 10), "clopper_pearson")
    rng = np.random.default_rng(2)
    p = np.array([0.45, 0.5, 0.5, 0.5, 0.5, 0.5501])
    sizes = (1500,) * 6
    repetitions = 2000
    drawn = rng.binomial(sizes[0], p, (repetitions, 6))
    outcomes = [verdict(terms, tuple(zip(sizes, row, strict=True))) for row in drawn.tolist()]
    assert outcomes.count(Verdict.PASS) / repetitions <= allowed(0.05, repetitions)
    true = rng.binomial(sizes[0], np.minimum(p, 0.5499), (repetitions, 6))
    outcomes = [verdict(terms, tuple(zip(sizes, row, strict=True))) for row in true.tolist()]
    assert outcomes.count(Verdict.FAIL) / repetitions <= allowed(0.05, repetitions)


def test_verdicts_are_not_all_undecided() -> None:
    """The rates above would also be small if nothing was ever decided."""
    rng = np.random.default_rng(3)
    for form, threshold, good, bad in (
        ("difference", "0.1", (0.5, 0.5), (0.4, 0.7)),
        ("ratio", "0.8", (0.5, 0.5), (0.3, 0.6)),
    ):
        terms = parity(2, form, Fraction(threshold), "clopper_pearson")
        for p, expected in ((good, Verdict.PASS), (bad, Verdict.FAIL)):
            drawn = rng.binomial(3000, p, (50, 2)).tolist()
            outcomes = [verdict(terms, ((3000, a), (3000, b))) for a, b in drawn]
            assert outcomes.count(expected) >= 45


# ------------------------------------------------------------------------------------------------------ many looks
LOOKS = np.unique(np.round(np.geomspace(10, 1000, 60)).astype(int))


@pytest.mark.parametrize("p", [(0.5, 0.5), (0.1, 0.15), (0.02, 0.9)])
def test_the_beta_mixture_holds_at_every_look(p: tuple[float, float]) -> None:
    terms = parity(2, "difference", Fraction(1, 10), "beta_mixture")
    rng = np.random.default_rng(4)
    repetitions = 4000
    missed = np.zeros(repetitions, dtype=bool)
    for q in p:
        missed |= ever_missed(terms, (rng.random((repetitions, LOOKS[-1])) < q), q)
    assert missed.mean() <= allowed(0.05, repetitions)
    assert missed.mean() > 0.002


def ever_missed(terms: Terms, draws: NDArray[np.bool_], p: float) -> NDArray[np.bool_]:
    """Which repetitions have p outside the published interval at one of the looks."""
    successes = np.cumsum(draws, axis=1)[:, LOOKS - 1]
    missed = np.zeros(len(draws), dtype=bool)
    for k, n in enumerate(LOOKS.tolist()):
        seen, inverse = np.unique(successes[:, k], return_inverse=True)
        bounds = np.array([ends(terms, n, s, "interval") for s in seen.tolist()])
        outside = (bounds[:, 0] > p) | (bounds[:, 1] < p)
        missed |= outside[inverse]
    return missed


def test_peeking_at_clopper_pearson_would_be_noticed() -> None:
    """The same simulation finds what is wrong with looking repeatedly at an interval made for one look."""
    terms = parity(2, "difference", Fraction(1, 10), "clopper_pearson")
    rng = np.random.default_rng(5)
    repetitions = 1000
    missed = ever_missed(terms, rng.random((repetitions, LOOKS[-1])) < 0.5, 0.5)
    assert missed.mean() > allowed(0.025, repetitions)


@pytest.mark.parametrize("p", ["0.5", "0.1", "0.0249", "0.02", "0.9751"])
def test_each_one_sided_bound_of_the_mixture_misses_at_most_half(p: str) -> None:
    """P(the bound ever misses p) up to time 60, over all paths, exactly: a PASS rests on two such events, α/2 each."""
    terms = parity(2, "difference", Fraction(1, 10), "beta_mixture")
    rate = Fraction(p)
    alive = {0: Fraction(1)}
    missed = [Fraction(0), Fraction(0)]
    for n in range(1, 61):
        following: dict[int, Fraction] = {}
        for successes, weight in alive.items():
            following[successes] = following.get(successes, Fraction(0)) + weight * (1 - rate)
            following[successes + 1] = following.get(successes + 1, Fraction(0)) + weight * rate
        alive = {}
        for successes, weight in following.items():
            low, high = (parse_decimal(text) for text in published(terms, n, successes)["oneSided"])
            if low > rate:
                missed[0] += weight
            elif high < rate:
                missed[1] += weight
            else:
                alive[successes] = weight
    assert 0 < float(max(missed)) <= float(ALPHA / 2)


@pytest.mark.parametrize(
    ("p", "threshold", "order"),
    [
        ((0.5, 0.6001), "0.1", "together"),
        ((0.02, 0.9951), "0.975", "together"),
        ((0.02, 0.9951), "0.975", "first a"),
        ((0.0249, 1.0), "0.975", "first b"),
    ],
)
def test_a_false_claim_seldom_passes_at_any_look(p: tuple[float, float], threshold: str, order: str) -> None:
    terms = parity(2, "difference", Fraction(threshold), "beta_mixture")
    assert p[1] - p[0] > float(threshold)
    rng = np.random.default_rng(6)
    repetitions = 1000
    looks = np.unique(np.round(np.geomspace(1, 1200, 60)).astype(int))
    first, second = (np.cumsum(rng.random((repetitions, 5000)) < q, axis=1) for q in p)
    sizes = {"together": (looks, looks), "first a": (np.full(60, 5000), looks), "first b": (looks, np.full(60, 5000))}
    passed = np.zeros(repetitions, dtype=bool)
    for n, m in zip(*sizes[order], strict=False):
        bounds = [
            np.array([ends(terms, int(size), int(s), "oneSided") for s in counts[:, size - 1]])
            for size, counts in ((n, first), (m, second))
        ]
        high = np.maximum(bounds[1][:, 1] - bounds[0][:, 0], bounds[0][:, 1] - bounds[1][:, 0])
        passed |= high <= float(threshold)
    assert passed.mean() <= allowed(0.05, repetitions)


# ------------------------------------------------------------------------------------------------ scores in [0, 1]
def prefix_ends(x: Array, level: float) -> tuple[Array, Array]:
    """The two ends after every prefix, by cumulative sums: only to find out where the product is worth asking."""
    t = np.arange(1, x.shape[1] + 1)
    mean = (0.5 + np.cumsum(x, axis=1)) / (t + 1)
    before = np.hstack([np.full((len(x), 1), 0.5), mean[:, :-1]])
    variance = (0.25 + np.cumsum((x - mean) ** 2, axis=1)) / (t + 1)
    spread = np.hstack([np.full((len(x), 1), 0.25), variance[:, :-1]])
    rate = np.minimum(np.sqrt(2 * level / (spread * t * np.log1p(t))), 0.5)
    loss = np.cumsum((x - before) ** 2 * (-np.log1p(-rate) - rate), axis=1)
    weight = np.cumsum(rate, axis=1)
    center = np.cumsum(rate * x, axis=1) / weight
    radius = (level + loss) / weight
    return center - radius, center + radius


SCORES: dict[str, tuple[Any, float]] = {
    "uniform": (lambda rng, shape: rng.random(shape), 0.5),
    "skewed": (lambda rng, shape: rng.beta(1, 9, shape), 0.1),
    "rare": (lambda rng, shape: (rng.random(shape) < 0.03).astype(float), 0.03),
    "narrow": (lambda rng, shape: 0.7 + 0.02 * rng.random(shape), 0.71),
}


@pytest.mark.parametrize("shape", SCORES)
def test_empirical_bernstein_holds_at_every_look(shape: str) -> None:
    """Two groups, 60 looks. The product is asked wherever the prefix sums are within 1e-6 of a miss, and elsewhere."""
    terms = scores_terms()
    tail = tails(terms, FROZEN)["interval"]
    draw, mean = SCORES[shape]
    rng = np.random.default_rng(7)
    repetitions = 2000
    missed = np.zeros(repetitions, dtype=bool)
    for _ in range(2):
        x = draw(rng, (repetitions, int(LOOKS[-1])))
        low, high = prefix_ends(x, -math.log(tail))
        low, high = low[:, LOOKS - 1], high[:, LOOKS - 1]
        doubtful = (low > mean - 1e-6) | (high < mean + 1e-6)
        for row in np.flatnonzero(doubtful.any(axis=1)).tolist():
            for k in np.flatnonzero(doubtful[row]).tolist():
                ours = _sample.empirical_bernstein(x[row, : LOOKS[k]], tail)
                missed[row] |= ours[0] > mean or ours[1] < mean
        for row in range(0, repetitions, 40):
            ours = _sample.empirical_bernstein(x[row], tail)
            assert float(ours[0]) == pytest.approx(low[row, -1], abs=1e-9)
            assert float(ours[1]) == pytest.approx(high[row, -1], abs=1e-9)
    assert missed.mean() <= allowed(0.05, repetitions)


@functools.cache
def scores_terms(threshold: str = "0.1", form: str = "difference") -> Terms:
    return parity(2, form, Fraction(threshold), "empirical_bernstein")


def score_cells(terms: Terms, sequences: Sequence[Array], context: Context) -> list[dict[str, Any]]:
    found = []
    for k, x in enumerate(sequences):
        total = sum((Fraction(float(value)) for value in x), Fraction(0))
        entry = {"partition": 0, "group": [f"v{k}"], "condition": None, "n": len(x), "sum": str(total)}
        found.append({**entry, **_sample._bounds(terms, entry, x, context)})
    return found


@pytest.mark.parametrize("form", ["difference", "ratio"])
def test_score_claims_are_seldom_wrong(form: str) -> None:
    """Binary scores, the widest there are: just beyond the threshold, just within it, and far on either side."""
    rng = np.random.default_rng(8)
    difference = form == "difference"
    threshold = "0.3" if difference else "0.5"
    terms = scores_terms(threshold, form)
    edges = ((0.3, 0.6001), (0.3, 0.5999)) if difference else ((0.8, 0.3999), (0.8, 0.4001))
    far = ((0.2, 0.9), (0.5, 0.5))
    for (p, repetitions), verdict in zip(
        [(edges[0], 300), (edges[1], 300), (far[0], 10), (far[1], 10)], [Verdict.PASS, Verdict.FAIL] * 2, strict=True
    ):
        found = []
        for _ in range(repetitions):
            sequences = [(rng.random(n) < q).astype(float) for n, q in zip((1500, 400), p, strict=True)]
            witness = {"cells": score_cells(terms, sequences, FROZEN)}
            found.append(Population().judge(terms, witness, FROZEN).verdict)
        if p in edges:
            assert found.count(verdict) / repetitions <= allowed(0.05, repetitions)
        else:  # and it does decide
            assert set(found) == {Verdict.FAIL if verdict is Verdict.PASS else Verdict.PASS}


def test_drift_breaks_what_the_assumption_says_it_breaks() -> None:
    """Scores whose mean moves: the interval need not hold the overall mean, which is why the assumption is stated."""
    rng = np.random.default_rng(10)
    n = 4000
    tail = tails(scores_terms(), FROZEN)["interval"]
    x = np.concatenate([0.2 * rng.random(n // 2), 0.8 + 0.2 * rng.random(n // 2)])
    low, high = _sample.empirical_bernstein(x, tail)
    assert not low <= Fraction(1, 2) <= high
    assert any("constant mean" in text for text in Population().assumptions(scores_terms()))
