"""Networks that read nothing that flips are fair over the reals, everywhere; and not by this rule in float32."""

from __future__ import annotations

import json
from array import array
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from certifair.checks._individual.independence import independent
from certifair.checks._individual.integer_independence import independent as independent_too
from certifair.evidence.witness import (
    ALL,
    COUNTEREXAMPLE,
    ENUMERATED,
    OPEN,
    PAIR,
    UNDECIDED,
    Rows,
    Tree,
    Witness,
    layers_to_json,
    plain_layers,
    write_witness,
)
from certifair.individual import prove
from certifair.individual.engines.base import Engine
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers, layers_of
from certifair.spec.network import Activation, Affine, BatchNorm, Network, Step, Sum
from tests.checks.witness_cases import check, in_integers, leaf
from tests.oracles import individual_brute as brute
from tests.oracles.second_verifier import is_independent

SENSITIVE = {
    "sensitive": (Feature("s", "integer", 0, 2, sensitive=True),),
    "one-hot": (Feature("s", "one_hot", values=("x", "y", "z"), sensitive=True),),
    "relaxed": (Feature("r", "integer", -2, 2, eps=1),),
    "both": (Feature("r", "integer", -1, 1, eps=1), Feature("s", "one_hot", values=("x", "y"), sensitive=True)),
    "continuous": (Feature("s", "continuous", 0.0, 0.3, sensitive=True), Feature("r", "continuous", 0, 1, eps=0.1)),
}
OTHERS = (Feature("a", "integer", -2, 3), Feature("b", "integer", 0, 2))
SHAPES = ("chain", "residual", "sum", "normed")


def domain_of(kind: str) -> Domain:
    return Domain("d", (OTHERS[0], *SENSITIVE[kind], OTHERS[1]))


def weights(rng: np.random.Generator, m: int, n: int, zero: list[int]) -> Any:
    found = np.float32(rng.normal(size=(m, n))).astype(np.float64)
    found[:, zero] = 0.0
    return found


def network_of(rng: np.random.Generator, domain: Domain, shape: str, kind: str = "relu") -> Network:
    """Weights 0 wherever the free inputs are read: once, twice, after a copy, or behind a BatchNorm."""
    n, zero = domain.inputs, brute.flipped(domain)

    def affine(source: int, m: int, width: int, columns: list[int]) -> Affine:
        return Affine(source, weights(rng, m, width, columns), np.float32(rng.normal(size=m)).astype(np.float64))

    steps: tuple[Step, ...]
    if shape == "normed":
        one, four = np.ones(n), np.full(n, 4.0)
        steps = (
            BatchNorm(0, one, four, 0.0, one, one),
            affine(1, 4, n, zero),
            Activation(2, kind),
            affine(3, 1, 4, []),
        )
    elif shape == "chain":
        steps = (
            affine(0, 4, n, zero),
            Activation(1, kind),
            affine(2, 3, 4, []),
            Activation(3, kind),
            affine(4, 1, 3, []),
        )
    elif shape == "residual":
        steps = (affine(0, 4, n, zero), Activation(1, kind), affine(2, 2, 4, []), affine(0, 2, n, zero), Sum((3, 4)))
        steps += (Activation(5, kind), affine(6, 1, 2, []))
    else:
        steps = (affine(0, 4, n, zero), Activation(1, kind), affine(2, 1, 4, []), affine(0, 1, n, zero), Sum((3, 4)))
    return Network(n, steps, len(steps))


def answers(layers: Layers, domain: Domain) -> list[bool]:
    """What the two checkers and the second verifier say."""
    plain = layers_to_json(layers)
    document = json.loads(write_witness(Witness(plain, domain, leaf(OPEN), "test")))
    return [independent(layers, domain), independent_too(plain_layers(plain), domain), is_independent(document)]


def people(rng: np.random.Generator, domain: Domain, n: int) -> Any:
    """Rows of the domain."""
    found = [
        [
            rng.uniform(f.low, f.high) if f.levels is None else float(rng.choice(brute.places(f)))
            for f in domain.features
        ]
        for _ in range(n)
    ]
    return np.array([brute.encode(domain, values) for values in found])


@pytest.mark.parametrize("curve", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", SENSITIVE)
def test_everybody_is_fair_over_the_reals_with_no_proof_at_all(kind, shape, curve):
    rng = np.random.default_rng(len(kind) * 10 + len(shape))
    domain = domain_of(kind)
    layers = layers_of(network_of(rng, domain, shape, curve))
    assert answers(layers, domain) == [True] * 3
    found = check(layers, domain, leaf(OPEN))
    real, single = found.shares["real"], found.shares["float32"]
    assert (real.certified, real.mixed, real.falsified, single.certified) == (1, domain.units, 0, 0)
    assert [c.mixed for c in in_integers(layers, domain, leaf(OPEN))] == [domain.units, 0]
    rows = people(rng, domain, 4)
    rows[3, 0] = 99.0
    for code in (UNDECIDED, ALL) if kind != "continuous" else (UNDECIDED,):
        about = Rows(bytes([code] * 4))
        verdicts = check(layers, domain, about, rows)
        assert verdicts.verdicts["real"].tolist() == [1, 1, 1, 0]
        assert verdicts.reasons is not None
        assert verdicts.reasons.tolist() == [0, 0, 0, 1 + (curve != "relu" and shape == "normed") * 4]
        assert [pair[0] for pair in in_integers(layers, domain, about, rows.tolist())] == [1, 1, 1, 0]


@pytest.mark.parametrize("seed", range(32))
def test_whoever_is_called_fair_is_so_by_brute_force(seed):
    """Half of the networks have one weight that is not 0, somewhere; the rule never speaks of these."""
    rng = np.random.default_rng(seed)
    domain = domain_of(["sensitive", "one-hot", "relaxed", "both"][seed % 4])
    layers = layers_of(network_of(rng, domain, SHAPES[seed % 3]))
    if broken := seed % 8 >= 4:
        first = layers.layers[0]
        weight = first.weight.copy()
        weight[-1, rng.choice(brute.flipped(domain))] = 3.0
        layers = Layers((replace(first, weight=weight), *layers.layers[1:]), layers.float32)
    assert answers(layers, domain) == [not broken] * 3
    truth = brute.true_of(layers, domain)
    assert broken or truth.unfair == 0
    for about in (leaf(OPEN), leaf(ENUMERATED)):
        both = [*check(layers, domain, about).shares.values(), *in_integers(layers, domain, about)]
        assert not any(truth.faults(counts) for counts in both)
        assert (both[0].mixed + both[0].positive + both[0].negative == domain.units) or broken
        assert (both[0].positive, both[0].mixed) == (both[2].positive, both[2].mixed)


@pytest.mark.parametrize("tiny", [1e-300, 5e-324, -5e-324, 1e-45])
@pytest.mark.parametrize("place", [0, 1])
def test_one_tiny_weight_is_enough_not_to_be_covered(tiny, place):
    """In the first branch that reads the input, or in the second only."""
    domain = domain_of("both")
    network = network_of(np.random.default_rng(5), domain, "sum")
    step = [step for step in network.steps if isinstance(step, Affine) and step.source == 0][place]
    step.weight[0, brute.flipped(domain)[-1]] = tiny
    layers = layers_of(network)
    assert answers(layers, domain) == [False] * 3
    assert check(layers, domain, leaf(OPEN)).shares["real"].certified == 0
    assert in_integers(layers, domain, leaf(OPEN))[0] == (0, 0, 0, 0)
    step.weight[0, brute.flipped(domain)[-1]] = -0.0
    assert answers(layers_of(network), domain) == [True] * 3


def test_weights_that_cancel_are_not_covered():
    domain = domain_of("sensitive")
    first = brute.layer([[1.0, 2.0, 0.0], [0.0, -2.0, 1.0]], [0.0, 0.0], 1.0)
    layers = brute.net(first, brute.layer([[1.0, 1.0]], [0.0], 1.0))
    assert answers(layers, domain) == [False] * 3


def test_only_what_flips_matters():
    """Another feature of the same network is sensitive in one domain, and none of this one's business in another."""
    domain = domain_of("sensitive")
    layers = layers_of(network_of(np.random.default_rng(1), domain, "residual"))
    assert answers(layers, domain) == [True] * 3
    a, s, b = domain.features
    assert answers(layers, Domain("d", (replace(a, sensitive=True), s, b))) == [False] * 3
    assert answers(layers, Domain("d", (replace(a, eps=1.0), replace(s, sensitive=False), b))) == [False] * 3


def test_what_a_witness_lists_against_it_proves_nothing():
    domain = domain_of("sensitive")
    layers = layers_of(network_of(np.random.default_rng(2), domain, "chain"))
    pair = ((0.0, 0.0, 1.0), (0.0, 2.0, 1.0))
    found = check(layers, domain, leaf(COUNTEREXAMPLE, 0, pair))
    assert (found.shares["real"].certified, found.pairs) == (1, ())
    rows = np.array([pair[0], [0.5, 0.0, 1.0]])
    about = Rows(bytes([PAIR, UNDECIDED]), array("d", [0.0, 2.0]))
    assert check(layers, domain, about, rows).verdicts["real"].tolist() == [1, 0]
    assert in_integers(layers, domain, about, rows.tolist())[0][0] == 1
    for wrong in (Tree(bytes([0, 1, 1]), array("H", [9, 0, 0]), array("d", [1.0, 0, 0])), leaf(4, 1)):
        with pytest.raises(ValueError, match=r"that the domain has not|along a feature"):
            check(layers, domain, wrong)


# Float32.
@pytest.mark.parametrize("high", [1e39, 1e308, 1.0])
def test_float32_is_not_covered_and_at_infinite_inputs_not_true(high):
    domain = Domain("d", (Feature("s", "continuous", 0.0, high, sensitive=True), OTHERS[0]))
    layers = brute.net(brute.layer([[0.0, 1.0]], [0.5], 1.0))
    found = check(layers, domain, leaf(OPEN)).shares
    assert (found["real"].certified, found["float32"].certified) == (1, 0)
    value = brute.Float32(np.random.default_rng(0)).values(layers, np.array([[high, 0.0]]))[0]
    assert np.isnan(value) == (high > 1.0)


def skipping(x: Any, weight: Any, bias: Any) -> Any:
    """A dot product of a sparse row: only what is not 0 is stored, and summed in two lanes."""
    products = (x * weight)[x != 0]
    return (products[::2].sum(dtype=np.float32) + products[1::2].sum(dtype=np.float32)) + bias


def test_an_order_that_depends_on_the_zeros_sees_an_input_of_weight_0():
    """Why the rule is not about float32: a repeatable evaluation, each sum in some order, that prefers s = 1."""
    weight, rng = np.float32([0.1, 0.7, 0.0, 0.3, -0.9]), np.random.default_rng(0)
    for _ in range(1000):
        without = np.float32([*rng.integers(1, 9, 2), 0, *rng.integers(1, 9, 2)])
        with_s = without + np.float32([0, 0, 1, 0, 0])
        one, two = (skipping(x, weight, np.float32(0)) for x in (without, with_s))
        if one < two:
            break
    bias = -one
    assert skipping(without, weight, bias) <= 0 < skipping(with_s, weight, bias)
    features = [Feature(f"a{i}", "integer", 1, 8) for i in range(4)]
    domain = Domain("d", (*features[:2], Feature("s", "integer", 0, 1, sensitive=True), *features[2:]))
    layers = brute.net(brute.layer([weight], [bias], 1.0))
    assert answers(layers, domain) == [True] * 3
    rows = without[None].astype(np.float64)
    for code in (UNDECIDED, ALL):
        verdicts = check(layers, domain, Rows(bytes([code])), rows).verdicts
        assert (verdicts["real"].tolist(), verdicts["float32"].tolist()) == ([1], [0])
        assert in_integers(layers, domain, Rows(bytes([code])), rows.tolist()) == [[1, 0]]


@pytest.mark.parametrize("shape", SHAPES)
def test_dense_evaluations_in_one_order_see_nothing(shape):
    """Of 200 pairs, in 40 orders: the same bits, but for the sign of 0."""
    rng = np.random.default_rng(7)
    domain = domain_of("both")
    layers = layers_of(network_of(rng, domain, shape))
    one = people(rng, domain, 200)
    two, free = one.copy(), brute.flipped(domain)
    two[:, free] = people(rng, domain, 200)[:, free]
    for seed in range(40):
        runs = [brute.Float32(np.random.default_rng(seed), seed % 2 == 0).values(layers, x) for x in (one, two)]
        assert (runs[0] == runs[1]).all()


# The producer.
class NoSearch(Engine):
    name = "no search"

    def rows(self, task: Any, rows: Any) -> Any:
        raise AssertionError

    def domain(self, task: Any) -> Any:
        raise AssertionError


@pytest.mark.parametrize("method", ["auto", "enumerate", "branch", "sweep", "interval", NoSearch()])
@pytest.mark.parametrize(("curve", "level"), [("relu", "real"), ("tanh", "real"), ("tanh", None)])
def test_nothing_is_searched_for(method, curve, level):
    domain = domain_of("continuous")
    rng = np.random.default_rng(3)
    network = network_of(rng, domain, "residual", curve)
    proof = prove(network, domain, method=method, check=check_of, seconds=5, level=level)
    assert (bytes(proof.witness.about.kind), proof.checked.shares["real"].certified) == (bytes([OPEN]), 1)
    rows = people(rng, domain, 3)
    proof = prove(network, domain, rows, method=method, check=check_of, level=level)
    assert (proof.witness.about.code, proof.checked.verdicts["real"].tolist()) == (bytes(3), [1, 1, 1])


@pytest.mark.parametrize("level", [None, "float32"])
def test_float32_is_searched_for(level):
    domain = domain_of("both")
    network = network_of(np.random.default_rng(3), domain, "chain")
    proof = prove(network, domain, method="enumerate", check=check_of, level=level)
    assert [share.certified for share in proof.checked.shares.values()] == [1, 1]
    with pytest.raises(AssertionError):
        prove(network, domain, method=NoSearch(), level=level)


def check_of(witness: Witness, layers: Layers, domain: Domain, rows: Any = None, **_: Any) -> Any:
    return check(layers, domain, witness.about, rows)


def test_units_are_counted_exactly():
    """A length that no float64 holds exactly."""
    domain = Domain("d", (Feature("s", "integer", 0, 1, sensitive=True), Feature("z", "continuous", 2.0**-60, 1.0)))
    layers = brute.net(brute.layer([[0.0, 1.0]], [-0.5], 1.0))
    assert check(layers, domain, leaf(OPEN)).shares["real"].mixed == 1 - Fraction(1, 1 << 60)
    assert in_integers(layers, domain, leaf(OPEN))[0].mixed == 1 - Fraction(1, 1 << 60)
