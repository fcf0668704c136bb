"""Lipschitz bounds of networks: no pair beats them, and no witness proves what is not so."""

from __future__ import annotations

import base64
import math
from array import array
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from certifair.checks._stability.networks import Lipschitz, lipschitz, why_not
from certifair.evidence.domain import box_of, units_of
from certifair.individual.networks import network_of
from certifair.spec.chain import chain_of
from certifair.spec.domain_file import load_domain
from certifair.spec.lipschitz import Witness, witness_from_json, witness_to_json
from certifair.spec.network import Activation, Affine, LayerNorm, Network, Sum
from certifair.stability import propose
from tests.oracles.lipschitz_oracle import attack, ratio
from tests.spec.lipschitz_cases import layered, random_network

ROUNDED = 1 + 1e-9
"""An attack is evaluated in floats."""


def relu_net(first: Any, second: Any) -> Network:
    first, second = np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)
    steps = (Affine(0, first, np.zeros(len(first))), Activation(1, "relu"), Affine(2, second, np.zeros(len(second))))
    return Network(first.shape[1], steps, 3)


def best(found: Lipschitz) -> float:
    assert found.bound is not None, found.reason
    return float(found.bound)


def test_no_pair_beats_a_bound_on_random_networks() -> None:
    tightest = 0.0
    for seed in range(15):
        network = random_network(seed)
        rng = np.random.default_rng(seed)
        d, units = network.inputs, rng.uniform(0.2, 3, network.inputs)
        for box in (None, (-rng.uniform(0, 1, d), rng.uniform(0, 1, d)), (np.full(d, 0.3), np.full(d, 0.35))):
            found = lipschitz(network, propose(network, box, units).witness, box, units)
            low, high = box or (np.full(d, -3.0), np.full(d, 3.0))
            reached = attack(network, low, high, units, seed=seed, pairs=300, sought=10, steps=15)
            assert reached <= best(found) * ROUNDED, (seed, box)
            assert (found.of("lipsdp") or 0) <= (found.of("norms") or 0) * Fraction(1 + 1e-6) + Fraction(1e-99)
            tightest = max(tightest, reached / max(best(found), 1e-99))
    assert tightest > 0.999


def test_no_pair_beats_the_other_norms() -> None:
    for seed in range(40):
        network = random_network(seed)
        found = lipschitz(network)
        x, y = (torch.as_tensor(v) for v in np.random.default_rng(seed).normal(size=(2, 500, network.inputs)))
        for p, bound in ((1, found.l1), (math.inf, found.linf)):
            assert bound is not None
            assert float(ratio(network, x, y, torch.ones(network.inputs), p).max()) <= float(bound) * ROUNDED


@pytest.mark.parametrize("model", ["adult/AC-1", "adult/AC-9", "bank/BM-6", "compas/compas-1", "german/GC-4"])
def test_no_pair_beats_a_bound_on_a_trained_network(shared: Path, model: str) -> None:
    network = network_of(shared / "models" / f"{model}.onnx")
    domain = load_domain(shared / "models" / "domains" / f"{model.partition('/')[0]}.toml").domain
    units, box = units_of(domain.features), box_of(domain.features)
    reached = attack(network, *box, units, pairs=10_000, sought=100, steps=40)
    for where in (None, box):
        found = lipschitz(network, propose(network, where, units).witness, where, units)
        norms, tight = found.of("norms"), found.of("lipsdp")
        assert norms is not None
        assert tight is not None
        assert reached <= float(tight) * ROUNDED
        assert tight < norms
    print(f"{model}: attack {reached:.4g}, bound {best(found):.4g}, ratio {reached / best(found):.3f}")


def test_known_constants() -> None:
    assert best(lipschitz(relu_net([[3, 4]], [[2]]))) == pytest.approx(10, rel=1e-9)
    parted = relu_net([[1, 0], [-1, 0]], [[1, 1]])  # |x|: the norms say 2, and it is 1
    found = lipschitz(parted, propose(parted).witness)
    assert float(found.of("norms") or 0) == pytest.approx(2, rel=1e-9)
    assert best(found) == pytest.approx(1, rel=1e-6)
    steps = (
        Affine(0, np.eye(2), np.zeros(2)),
        Sum((1, 0)),
        Activation(2, "tanh"),
        Affine(3, np.ones((1, 2)), np.zeros(1)),
    )
    residual = Network(2, steps, 4)
    assert best(lipschitz(residual, propose(residual).witness)) == pytest.approx(2 * math.sqrt(2), rel=1e-6)
    normal = Network(2, (LayerNorm(0, 0.25, np.array([3.0, 1.0]), np.zeros(2)),), 1)
    found = lipschitz(normal, propose(normal).witness)
    assert best(found) == pytest.approx(2 * math.sqrt(5), rel=1e-6)  # |(3, −1)/√2| times |c| = |x_1 − x_2|/√2, over √ε


def test_units_are_those_of_the_inputs() -> None:
    network = relu_net([[3, 4]], [[1]])
    assert best(lipschitz(network, None, None, np.array([10.0, 0.5]))) == pytest.approx(math.hypot(30, 2), rel=1e-9)
    with pytest.raises(ValueError, match="2 positive numbers"):
        lipschitz(network, None, None, np.array([1.0, 0.0]))


def test_a_box_fixes_neurons() -> None:
    network = relu_net([[1, 0], [-1, 0]], [[1, 1]])
    box = np.array([0.1, -1.0]), np.array([5.0, 1.0])
    assert best(lipschitz(network, propose(network, box).witness, box)) == pytest.approx(1, rel=1e-6)
    for wrong in ((box[0][:1], box[1]), (box[0], np.full(2, np.inf))):
        with pytest.raises(ValueError, match="2 finite numbers"):
            lipschitz(network, None, wrong)
    with pytest.raises(ValueError, match="empty"):
        lipschitz(network, None, (box[1], box[0]))


def changed(rng: np.random.Generator, witness: Witness) -> Witness:
    """One entry, or all, moved by one ulp to 10 %."""
    parts = [np.array(part) for part in witness.multipliers]
    size = rng.choice([2.0**-52, 1e-12, 1e-8, 1e-4, 1e-2, 0.1]) * rng.choice([-1, 1])
    k = int(rng.integers(len(parts)))
    i = int(rng.integers(len(parts[k]))) if rng.random() < 0.8 else slice(None)
    parts[k][i] *= 1 + size
    return replace(witness, multipliers=tuple(array("d", part.tolist()) for part in parts))


def test_a_changed_witness_never_proves_too_small_a_bound() -> None:
    """Whatever the multipliers are, no bound below an attack is accepted; and some changed ones still prove theirs."""
    rng = np.random.default_rng(7)
    accepted = 0
    for seed in range(12):
        network = layered(seed, 3, 6, 5, 1) if seed % 2 else random_network(seed)
        d = network.inputs
        chain, witness = chain_of(network, excess=True), propose(network).witness
        if witness is None or not chain.curves:
            continue
        reached = attack(network, np.full(d, -3.0), np.full(d, 3.0), np.ones(d), pairs=500, sought=20, steps=20)
        for _ in range(60):
            bent = changed(rng, witness)
            assert why_not(chain, replace(bent, bound=reached * (1 - 1e-9))) is not None
            accepted += why_not(chain, bent) is None
            accepted += why_not(chain, replace(bent, bound=witness.bound * 1.2)) is None
    assert accepted > 50


def test_a_smaller_bound_than_the_optimum_is_never_proven() -> None:
    network = relu_net([[1, 0], [-1, 0]], [[1, 1]])
    chain, rng = chain_of(network, excess=True), np.random.default_rng(8)
    for _ in range(500):
        t = array("d", (10.0 ** rng.uniform(-3, 3, 2)).tolist())
        assert why_not(chain, Witness(1 - 1e-12, (t,))) is not None


def test_a_witness_that_does_not_fit_says_why() -> None:
    network = layered(0, 2, 3, 1)
    found = lipschitz(network, Witness(1e9, (array("d", [1.0, 1.0]),)))
    assert found.reason == "it has multipliers for [2] neurons, not [3]"
    assert found.of("lipsdp") is None
    found = lipschitz(network, Witness(0.0, (array("d", [1.0, 1.0, 1.0]),)))
    assert found.reason == "its matrix of 5 rows is not proven positive semidefinite"
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="negative or not finite"):
            Witness(1.0, (array("d", [wrong]),))
        with pytest.raises(ValueError, match="negative or not finite"):
            Witness(wrong, ())


def test_what_has_no_bound_is_named() -> None:
    linear = Affine(0, np.eye(2), np.zeros(2))
    jump = lipschitz(Network(2, (linear, Activation(1, "softplus", threshold=20.0)), 2))
    assert jump.bound is None
    assert (jump.reason or "").startswith("step 1, softplus")
    flat = lipschitz(Network(2, (linear, LayerNorm(1, 0.0, np.ones(2), np.zeros(2))), 2))
    assert flat.bound is None
    assert (flat.reason or "").startswith("step 1, LayerNorm: divides by a deviation that may be 0")


def test_witnesses_are_read_as_they_were_written() -> None:
    witness = Witness(1.1, (array("d", [0.1, 1e-300]), array("d", [])), (array("d", [-1.5]), array("d", [2.0**-1074])))
    document = witness_to_json(witness)
    assert witness_from_json(document) == witness
    alone = replace(witness, pair=None)
    assert witness_to_json(alone)["pair"] is None
    assert witness_from_json(witness_to_json(alone)) == alone
    point, no_number = document["pair"][0], base64.b64encode(np.array([np.nan]).tobytes()).decode()
    for key, value in (
        ("pair", [point]),
        ("pair", [point, point, point]),
        ("pair", [point, None]),
        ("pair", [point, point[:4]]),
        ("pair", [point, ""]),
        ("pair", [point, no_number]),
        ("pair", point),
        ("pair", {}),
        ("format", "other"),
        ("bound", 1.0),
        ("bound", "-0x1p0"),
        ("bound", "nan"),
        ("multipliers", "AAAA"),
        ("multipliers", ["AAAA"]),
        ("multipliers", ["?"]),
        ("multipliers", [3]),
        ("more", 1),
    ):
        with pytest.raises(ValueError, match=r"."):
            witness_from_json({**document, key: value})
    with pytest.raises(ValueError, match="fields"):
        witness_from_json({key: value for key, value in document.items() if key != "pair"})


def test_a_layer_norm_mixes_what_it_reads() -> None:
    """1/√ε = 2 bounds its derivative S in ℓ2; in ℓ∞ that is 2·√4, each element at most 2; centring is 1.5 in ℓ∞."""
    found = lipschitz(Network(4, (LayerNorm(0, 0.25, np.ones(4), np.zeros(4)),), 1))
    assert float(found.linf or 0) == pytest.approx(2 * 2 * 1.5, rel=1e-4)
    assert float(found.l1 or 0) == pytest.approx(2 * 2 * 1.5, rel=1e-4)
    assert float(found.of("absolute") or 0) == pytest.approx(4 * 2 * 1.5, rel=1e-4)


def test_a_bound_is_proven_to_the_last_digits() -> None:
    chain = chain_of(Network(1, (Affine(0, np.ones((1, 1)), np.zeros(1)),), 1), excess=True)
    assert why_not(chain, Witness(1 + 1e-10, ())) is None
    assert why_not(chain, Witness(1 - 1e-10, ())) is not None


def test_bounds_do_not_vanish_by_underflow():
    """f = 1e-200·relu(1e-200·x) has no float64 as its constant, which is not 0 all the same."""
    small = np.array([[1e-200]])
    nothing = np.zeros(1)
    steps = (Affine(0, small, nothing), Activation(1, "relu"), Affine(2, small, nothing))
    found = lipschitz(Network(1, steps, 3))
    assert all(rung.bound >= Fraction(1e-200) ** 2 for rung in found.rungs)


def pair_of(x: Any, y: Any) -> Witness:
    return Witness(0.0, (), (array("d", x), array("d", y)))


def test_a_pair_bounds_from_below() -> None:
    parted = relu_net([[1, 0], [-1, 0]], [[1, 1]])  # |x|
    for x, y, units, expected in (
        ([0.0, 7.0], [3.0, 7.0], None, Fraction(1)),
        ([-1.0, 0.0], [3.0, 0.0], None, Fraction(1, 2)),
        ([0.0, 0.0], [3.0, 4.0], None, Fraction(3, 5)),
        ([0.0, 1.0], [0.0, 2.0], None, Fraction(0)),
        ([0.0, 0.0], [1.0, 0.0], np.array([0.5, 3.0]), Fraction(1, 2)),
        ([0.0, 0.0], [1e-150, 0.0], None, Fraction(1)),
    ):
        found = lipschitz(parted, pair_of(x, y), None, units)
        assert found.no_lower is None
        assert found.lower is not None
        assert expected * (1 - Fraction(1, 10**12)) <= found.lower <= expected
    both = Network(2, (Affine(0, np.array([[3.0, 0.0], [4.0, 0.0]]), np.zeros(2)),), 1)
    uneven = lipschitz(both, pair_of([0.1, 0.0], [0.4, 0.1])).lower
    exact = Fraction(25) * (Fraction(0.4) - Fraction(0.1)) ** 2
    exact /= (Fraction(0.4) - Fraction(0.1)) ** 2 + Fraction(0.1) ** 2
    assert uneven is not None
    assert exact * (1 - Fraction(1, 10**12)) < uneven**2 <= exact


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        ([0.5, 0.5], [0.5, 0.5], "both points are the same"),
        ([0.0, -0.0], [-0.0, 0.0], "both points are the same"),
        ([0.5], [0.7], "1 numbers; the network takes 2"),
        ([], [], "0 numbers"),
        ([0.0, 0.0], [0.0, 1.0000000000000002], "outside the box"),
        ([-5e-324, 0.0], [1.0, 1.0], "outside the box"),
    ],
)
def test_a_pair_that_says_nothing(x: list[float], y: list[float], why: str) -> None:
    network, box = relu_net([[1, 0], [-1, 0]], [[1, 1]]), (np.zeros(2), np.ones(2))
    found = lipschitz(network, pair_of(x, y), box)
    assert found.lower is None
    assert why in (found.no_lower or "")
    assert found.bound is not None


def test_no_pair_is_no_lower_bound() -> None:
    found = lipschitz(relu_net([[3, 4]], [[2]]))
    assert (found.lower, found.no_lower) == (None, "there is no pair")
    huge = Network(1, (Affine(0, np.full((1, 1), 1e300), np.zeros(1)),), 1)
    found = lipschitz(huge, pair_of([0.0], [1e300]))
    assert (found.lower, found.no_lower) == (None, "the outputs are too large for float64")
    for wrong in ([math.nan], [math.inf], [0.0, 1.0]):
        with pytest.raises(ValueError, match="of the pair are of unequal lengths or not finite"):
            pair_of([0.0], wrong)


def test_what_has_no_bound_is_refuted_all_the_same() -> None:
    """PyTorch's softplus jumps at 20, so no bound is proven; that it rises by 9 for each unit is."""
    steps = (Affine(0, np.full((1, 1), 9.0), np.zeros(1)), Activation(1, "softplus", threshold=20.0))
    found = lipschitz(Network(1, steps, 2), pair_of([1.0], [2.0]))
    assert found.bound is None
    assert found.lower is not None
    assert 8.99 < found.lower < 9


def test_no_changed_pair_proves_more_than_the_bound() -> None:
    """A pair along the steepest direction of a linear piece is as good as can be; moved anywhere, it stays below L."""
    rng, close = np.random.default_rng(11), 0
    for seed in range(12):
        network = layered(seed, 3, 6, 5, 2) if seed % 2 else random_network(seed)
        proposal = propose(network)
        assert proposal.witness is not None
        assert proposal.pair is not None
        tight = lipschitz(network, proposal.witness)
        assert tight.bound is not None
        points = np.array(proposal.pair)
        for _ in range(30):
            size = rng.choice([2.0**-52, 1e-12, 1e-8, 1e-4, 1e-2, 0.1]) * rng.choice([-1, 1])
            bent = points.copy()
            at = (int(rng.integers(2)), int(rng.integers(network.inputs))) if rng.random() < 0.8 else slice(None)
            bent[at] *= 1 + size
            lower = lipschitz(network, pair_of(*bent.tolist())).lower
            assert lower is None or lower <= tight.bound
            close += lower is not None and lower > tight.bound * Fraction(0.9)
    assert close > 25


def test_what_a_pair_proves_is_below_a_known_constant() -> None:
    """|f'| = 3 everywhere but at the kink, so that no rounding may carry the ratio above."""
    network, rng = relu_net([[3.0], [-3.0]], [[1, -1]]), np.random.default_rng(12)
    for _ in range(300):
        x = float(rng.normal()) * 10.0 ** rng.uniform(-9, 9)
        y = x * (1 + float(rng.choice([-1, 1])) * 10.0 ** rng.uniform(-16, 1))
        lower = lipschitz(network, pair_of([x], [y])).lower
        assert lower is None or lower <= 3
    tenth = Network(1, (Affine(0, np.array([[0.1]]), np.zeros(1)),), 1)
    for k in range(1, 200):  # the product of one point is rounded, often upwards; that of 0 is not
        for x, y in ((0.0, k / 7), (k / 7, 0.0)):
            lower = lipschitz(tenth, pair_of([x], [y])).lower
            assert lower is not None
            assert lower <= Fraction(0.1)
