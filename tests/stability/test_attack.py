"""Pairs that are sought: as far apart as can be, inside the box, and never beyond what is proven."""

from __future__ import annotations

import itertools
import math
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from certifair.checks._forward import evaluate
from certifair.checks._stability.networks import lipschitz
from certifair.evidence.domain import box_of, units_of
from certifair.individual.networks import network_of
from certifair.spec.domain_file import load_domain
from certifair.spec.lipschitz import Witness
from certifair.spec.network import Activation, Affine, LayerNorm, Network, Sum
from certifair.stability import propose
from certifair.stability._derivative import Trace
from certifair.stability.attack import Attack, attack
from tests.spec.lipschitz_cases import layered, random_network


def proven(network: Network, found: Attack, box: Any = None, units: Any = None) -> float:
    """The ratio of the pair, by the checker."""
    assert found.pair is not None
    pair = array("d", found.pair[0].tolist()), array("d", found.pair[1].tolist())
    checked = lipschitz(network, Witness(0.0, (), pair), box, units)
    assert checked.lower is not None, checked.no_lower
    return float(checked.lower)


@pytest.mark.parametrize("seed", range(0, 40, 4))
def test_values_and_derivatives(seed: int) -> None:
    network = random_network(seed)
    rng = np.random.default_rng(seed)
    x, direction = rng.normal(size=(2, 20, network.inputs))
    weights = rng.normal(size=(20, network.outputs))
    trace = Trace(network, x)
    assert np.allclose(trace.output, evaluate(network, x).mid, rtol=1e-9, atol=1e-9)
    step = 1e-6
    difference = (Trace(network, x + step * direction).output - Trace(network, x - step * direction).output) / (
        2 * step
    )
    along = trace.forward(direction)
    near = np.isclose(along, difference, rtol=1e-4, atol=1e-4).all(axis=1)
    assert near.mean() > 0.9  # not where a kink lies between
    back = trace.backward(weights)
    assert np.allclose((back * direction).sum(axis=1), (along * weights).sum(axis=1), rtol=1e-9, atol=1e-9)
    slot = max(k for k, width in enumerate(network.widths) if k <= 2)
    part = Trace(network, x, slot).backward(np.ones((20, network.widths[slot])), slot)
    assert np.allclose(part, trace.backward(np.ones((20, network.widths[slot])), slot))


def affine(weight: Any) -> Affine:
    weight = np.array(weight, dtype=np.float64)
    return Affine(0, weight, np.zeros(len(weight)))


def test_known_constants_are_reached() -> None:
    hidden = Network(2, (affine([[3, 4], [3, 4]]), Activation(1, "relu"), replace(affine([[2, -1]]), source=2)), 3)
    residual = Network(
        2, (affine(np.eye(2)), Sum((1, 0)), Activation(2, "tanh"), replace(affine([[1, 1]]), source=3)), 4
    )
    normal = Network(2, (LayerNorm(0, 0.25, np.array([3.0, 1.0]), np.zeros(2)),), 1)
    plane = Network(3, (affine([[1, 0, 0], [0, 2, 0], [0, 0, 3]]),), 1)
    for network, constant in ((hidden, 5.0), (residual, 2 * math.sqrt(2)), (normal, 2 * math.sqrt(5)), (plane, 3.0)):
        found = attack(network, random=300, climbs=50)
        assert constant * 0.99 <= found.ratio <= constant * (1 + 1e-9)
        assert constant * 0.99 <= proven(network, found) <= constant


def test_a_steep_place_that_random_pairs_miss_is_found() -> None:
    """A sigmoid of 10 000·(x − 0.3): nearly all of the box is flat, and every far pair's ratio is about 1."""
    steps = (replace(affine([[1e4, 1.0]]), bias=np.array([-3e3])), Activation(1, "sigmoid"))
    network, box = Network(2, steps, 2), (np.zeros(2), np.ones(2))
    found = attack(network, box, random=200, climbs=50)
    assert found.random_ratio < 1000
    assert 2400 < found.ratio <= 2500 * 1.0001
    assert found.pair is not None
    assert all((point >= 0).all() and (point <= 1).all() for point in found.pair)


def test_a_thin_strip_is_found_by_its_kinks() -> None:
    """min(max(K·(w·x − a), 0), 1) is steep where w·x is between a and a + 1/K, a millionth of the box."""
    slope, w = 1e6, np.arange(1.0, 7.0) / 10
    steps = (
        Affine(0, slope * np.stack([w, w]), np.array([-1.0371 * slope, -1.0371 * slope - 1])),
        Activation(1, "relu"),
        Affine(2, np.array([[1.0, -1.0]]), np.zeros(1)),
    )
    constant = slope * float(np.linalg.norm(w))
    found = attack(Network(6, steps, 3), (np.zeros(6), np.ones(6)), random=500, climbs=100)
    assert found.random_ratio < constant / 100
    assert constant * 0.99 < found.ratio <= constant * (1 + 1e-9)


def test_inputs_that_cannot_move_and_units() -> None:
    network, units = Network(3, (affine([[1, 5, 100]]),), 1), np.array([2.0, 10.0, 1.0])
    box = np.array([0.0, -1.0, 7.0]), np.array([1.0, 1.0, 7.0])
    found = attack(network, box, units, random=100, climbs=20)
    assert found.pair is not None
    assert found.pair[0][2] == found.pair[1][2] == 7
    assert found.ratio == pytest.approx(math.hypot(2, 50), rel=1e-6)
    for wrong in ((None, np.ones(2)), (None, -units), ((box[0][:2], box[1]), units)):
        with pytest.raises(ValueError, match="3 numbers each"):
            attack(network, *wrong)
    for box in ((units, -units), (units, np.full(3, np.inf))):
        with pytest.raises(ValueError, match="empty, or not finite"):
            attack(network, box)
        assert propose(network, box).reason == "the box is empty, or not finite"


def test_no_pair_where_all_is_the_same() -> None:
    nothing = attack(Network(2, (affine(np.zeros((1, 2))),), 1), random=50, climbs=10)
    assert (nothing.pair, nothing.ratio) == (None, 0.0)
    network = layered(0, 2, 4, 1)
    assert attack(network, (np.ones(2), np.ones(2)), random=50, climbs=10).pair is None
    assert attack(network, random=0).pair is None


def test_numbers_may_leave_the_range_of_floats() -> None:
    for size in (1e300, 1e-300):
        steps = [
            affine([[size]]),
            Activation(1, "tanh"),
            replace(affine([[size]]), source=2),
            Activation(3, "softplus"),
        ]
        found = attack(Network(1, tuple(steps), 4), random=100, climbs=20)
        assert math.isfinite(found.ratio)


def test_the_same_seed_gives_the_same_pair() -> None:
    network = layered(1, 3, 8, 8, 2)
    first, second, other = (attack(network, random=200, climbs=30, seed=seed) for seed in (5, 5, 6))
    assert first.pair is not None
    assert second.pair is not None
    assert np.array_equal(first.pair, second.pair)
    assert first.ratio != other.ratio


def test_time_is_kept() -> None:
    """Of a large network, and the pair of the little that was done is a pair."""
    network = layered(2, 200, 400, 400, 1)
    hurried = attack(network, random=500_000, seconds=0.0)
    assert hurried.seconds < 5
    assert proven(network, hurried) == pytest.approx(hurried.ratio, rel=1e-6)


def test_seeking_is_better_than_chance() -> None:
    for seed in range(3):
        found = attack(layered(seed, 8, 30, 30, 1), random=2_000, climbs=100)
        assert found.ratio > 1.5 * found.random_ratio > 0


class Residual(torch.nn.Module):
    """softplus(x + a(softplus(b(x))))."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.a, self.b, self.last = (torch.nn.Linear(*size) for size in ((4, 8), (8, 8), (8, 8), (8, 1)))

    def forward(self, x: Any) -> Any:
        h = self.first(x)
        soft = torch.nn.functional.softplus
        return self.last(soft(h + self.a(soft(self.b(h)))))


def trained(model: torch.nn.Module) -> Network:
    """On a product of two inputs, for a few steps."""
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(256, 4, generator=draw)
    y = x[:, :1] * x[:, 1:2] + torch.sin(2 * x[:, 2:3])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network_of(model.eval(), 4)


@pytest.mark.parametrize("kind", ["tanh, LayerNorm", "sigmoid, BatchNorm", "softplus, residual"])
def test_no_pair_beats_a_bound_of_a_freshly_trained_network(kind: str) -> None:
    torch.manual_seed(4)
    nn = torch.nn
    models: dict[str, list[Any]] = {
        "tanh, LayerNorm": [
            nn.Linear(4, 12),
            nn.LayerNorm(12),
            nn.Tanh(),
            nn.Linear(12, 8),
            nn.Tanh(),
            nn.Linear(8, 1),
        ],
        "sigmoid, BatchNorm": [nn.Linear(4, 12), nn.BatchNorm1d(12), nn.Sigmoid(), nn.Linear(12, 1), nn.Sigmoid()],
        "softplus, residual": [Residual()],
    }
    network = trained(nn.Sequential(*models[kind]))
    box = np.full(4, -0.5), np.full(4, 0.5)
    for where in (None, box):
        proposal = propose(network, where)
        if kind.startswith("softplus") and where is None:  # PyTorch's jumps at 20
            assert "softplus that jumps" in (proposal.reason or "")
            continue
        assert proposal.witness is not None, proposal.reason
        checked = lipschitz(network, proposal.witness, where)
        assert checked.bound is not None
        assert checked.lower is not None
        found = attack(network, where, random=2_000, climbs=100)
        assert max(proven(network, found, where), float(checked.lower)) <= checked.bound
        assert found.ratio <= float(checked.bound) * (1 + 1e-9)
        print(f"{kind}: {found.ratio / float(checked.bound):.3f}")


@pytest.mark.parametrize("model", ["adult/AC-8", "adult/AC-10", "bank/BM-5", "compas/compas-2", "german/GC-3"])
def test_no_pair_beats_a_bound_of_a_published_network(shared: Path, model: str) -> None:
    network = network_of(shared / "models" / f"{model}.onnx")
    domain = load_domain(shared / "models" / "domains" / f"{model.partition('/')[0]}.toml").domain
    units = units_of(domain.features)
    for where in (None, box_of(domain.features)):
        proposal = propose(network, where, units)
        bound = lipschitz(network, proposal.witness, where, units).bound
        assert bound is not None
        found = attack(network, where, units, random=2_000, climbs=100)
        assert proven(network, found, where, units) <= bound
        assert found.ratio <= float(bound) * (1 + 1e-9)
        assert found.ratio > 2 * found.random_ratio


def test_the_small_boxes_of_a_grid_are_below_the_whole() -> None:
    """A pair of a part is a pair of the whole, and the attack on the whole is no worse than the best of the parts."""
    network = layered(7, 2, 12, 12, 1)
    whole = attack(network, (np.zeros(2), np.ones(2)), random=1_000, climbs=100)
    best = 0.0
    for i, j in itertools.product(range(4), repeat=2):
        low = np.array([i, j]) / 4
        best = max(best, attack(network, (low, low + 0.25), random=100, climbs=50).ratio)
    assert whole.ratio >= best * 0.999
