"""A network's differences: the chain says of two persons what evaluating both says, and slopes and ranges hold."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from certifair.spec._slopes import layer_norm_slope, slopes
from certifair.spec.chain import Chain, chain_of, form
from certifair.spec.network import KINDS, Activation, Affine, Concat, LayerNorm, Network, Sum
from certifair.spec.reach import ranges_of, value_of
from tests.oracles.lipschitz_oracle import slots
from tests.spec.lipschitz_cases import activation, layered, random_network

CLOSE = 1e-9


def pairs(network: Network, seed: int, low: Any = None, high: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(2, 40, network.inputs, generator=generator, dtype=torch.float64)
    x = 4 * x - 2 if low is None else torch.as_tensor(low) + x * torch.as_tensor(high - low)
    return x[0], x[1]


def differences(network: Network, chain: Chain, x: torch.Tensor, y: torch.Tensor, units: Any, excess: bool) -> Any:
    """v of each pair, curve by curve, from both evaluations; checks that each Δz is what the chain says."""
    first, second = slots(network, x), slots(network, y)
    delta = [(a - b).numpy() for a, b in zip(first, second, strict=True)]
    v = np.zeros((len(x), chain.variables))
    v[:, : chain.inputs] = delta[0] / units
    for curve in chain.curves:
        step = network.steps[curve.step]
        z, out = v @ curve.z.mid.T, delta[curve.step + 1]
        read = delta[step.source]  # type: ignore[union-attr]
        if isinstance(step, LayerNorm):
            assert np.allclose(z, read - read.mean(axis=1, keepdims=True), rtol=CLOSE, atol=CLOSE)
            out = out / step.scale
            own = out / layer_norm_slope(step, *[np.full(len(out.T), s * np.inf) for s in (-1, 1)]) if excess else out
        else:
            bent = [k for k in range(read.shape[1]) if any(np.allclose(read[:, k], row, atol=1e-9) for row in z.T)]
            assert len(bent) >= curve.width
            columns = [next(k for k in bent if np.allclose(read[:, k], row, atol=1e-9)) for row in z.T]
            out = out[:, columns]
            own = out
            if excess:
                low, high = (end[columns] for end in slopes(step, *ends_of(network, curve.step)))  # type: ignore[arg-type]
                own = (out - low * z) / (high - low)
        v[:, curve.first : curve.first + curve.width] = own
    return v, delta[network.output]


def ends_of(network: Network, step: int) -> tuple[Any, Any]:
    width = network.widths[network.steps[step].source]  # type: ignore[union-attr]
    return np.full(width, -np.inf), np.full(width, np.inf)


@pytest.mark.parametrize("excess", [False, True])
def test_differences_run_as_the_chain_says(excess: bool) -> None:
    seen = set()
    for seed in range(60):
        network = random_network(seed)
        units = np.random.default_rng(seed).uniform(0.3, 3, network.inputs)
        chain = chain_of(network, units, excess=excess)
        v, out = differences(network, chain, *pairs(network, seed), units, excess)
        size = 1 + np.abs(v).max()
        assert np.abs(v @ chain.output.mid.T - out).max() <= CLOSE * size * (1 + np.abs(chain.output.mid).sum())
        for curve in chain.curves:
            own, z = v[:, curve.first : curve.first + curve.width], v @ curve.z.mid.T
            rest = (own - curve.low * z) * (curve.high * z - own)
            rest = rest.sum(axis=1) if curve.tied else rest
            assert rest.min() >= -CLOSE * size**2
            seen.add((type(network.steps[curve.step]).__name__, curve.tied))
    assert seen == {("Activation", False), ("LayerNorm", True)}


def test_ranges_hold_what_is_read() -> None:
    narrow = wide = 0.0
    for seed in range(80):
        network = random_network(seed)
        rng = np.random.default_rng(seed)
        low = rng.normal(size=network.inputs)
        high = low + rng.uniform(0, 1, network.inputs)
        found = ranges_of(network, low, high)
        x, y = pairs(network, seed, low, high)
        corners = torch.as_tensor(np.where(rng.random((20, network.inputs)) < 0.5, low, high))
        values = slots(network, torch.cat([x, y, corners]))
        for number, (least, most) in found.items():
            read = values[network.steps[number].source].numpy()  # type: ignore[union-attr]
            slack = 1e-12 * (1 + np.abs(read).max())
            assert (read >= least - slack).all()
            assert (read <= most + slack).all()
            narrow, wide = narrow + np.ptp(read, axis=0).sum(), wide + (most - least).sum()
    assert wide < 8 * narrow


@pytest.mark.parametrize("slope", [2.0, -0.5, 0.0])
def test_a_kink_lies_within(slope: float) -> None:
    """In [-2, 1], leaky_relu less its chord has one of its ends at the kink, and so has leaky_relu of slope < 0."""
    chord = (1 + 2 * slope) / 3
    less = Affine(2, np.array([[-chord, 1.0]]), np.zeros(1))
    steps = (Activation(0, "leaky_relu", slope), Concat((0, 1)), less, Activation(3, "tanh"), Activation(1, "tanh"))
    network = Network(1, (*steps, Sum((4, 5))), 6)
    found = ranges_of(network, np.full(1, -2.0), np.full(1, 1.0))
    x = torch.linspace(-2, 1, 301, dtype=torch.float64)[:, None]
    values = slots(network, x)
    for step, slot in ((3, 3), (4, 1)):
        least, most = found[step]
        assert least[0] <= values[slot].min() + 1e-12
        assert most[0] >= values[slot].max() - 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_hold_between_all_points(kind: str) -> None:
    rng = np.random.default_rng(6)
    for _ in range(100):
        step = activation(rng, 0, kind)
        low = rng.normal(size=20) * 4
        high = low + rng.exponential(size=20)
        least, most = slopes(step, low, high)
        from certifair.exact.ball import exact

        x, y = (low + (high - low) * rng.random((50, 20)) for _ in range(2))
        near = np.abs(x - y) > 1e-3
        found = (value_of(step, exact(x)).mid - value_of(step, exact(y)).mid)[near] / (x - y)[near]
        assert (found >= np.broadcast_to(least, x.shape)[near] - 1e-11).all()
        assert (found <= np.broadcast_to(most, x.shape)[near] + 1e-11).all()
        everywhere = slopes(step, np.full(20, -np.inf), np.full(20, np.inf))
        assert (everywhere[0] <= least).all()
        assert (most <= everywhere[1]).all()
        if kind in ("sigmoid", "tanh", "softplus"):  # not wider than the derivative's range by more than a rounding
            z = torch.as_tensor(np.linspace(low, high, 400)).requires_grad_()
            getattr(torch, kind, torch.nn.functional.softplus)(z).sum().backward()
            steep = z.grad.numpy()
            if kind == "softplus":
                assert np.allclose([least, most], [steep.min(axis=0), steep.max(axis=0)], atol=1e-8)
            assert (most - steep.max(axis=0) < 1e-4).all()
            assert (steep.min(axis=0) - least < 1e-12).all()


def test_a_layer_norm_is_steep_where_its_deviation_is_small() -> None:
    step = LayerNorm(0, 0.25, np.ones(3), np.zeros(3))
    free = np.full(3, np.inf)
    assert 2 <= layer_norm_slope(step, -free, free) < 2 + 1e-9
    middle = np.array([-3.0, 0.0, 3.0])  # deviation √6
    assert layer_norm_slope(step, middle - 0.1, middle + 0.1) == pytest.approx(
        1 / np.sqrt(0.25 + (np.sqrt(6) - 0.1) ** 2)
    )
    assert layer_norm_slope(step, middle - 9, middle + 9) == pytest.approx(2)
    with pytest.raises(ValueError, match="may be 0"):
        layer_norm_slope(LayerNorm(0, 0.0, np.ones(3), np.zeros(3)), -free, free)


def test_a_jump_has_no_slope() -> None:
    steps = (Affine(0, np.eye(2), np.zeros(2)), Activation(1, "softplus", threshold=20.0))
    network = Network(2, steps, 2)
    with pytest.raises(ValueError, match=r"step 1, softplus: .*jumps at its threshold 20"):
        chain_of(network)
    for low, high in ((-30.0, 19.9), (20.1, 30.0)):
        box = np.full(2, low), np.full(2, high)
        assert len(chain_of(network, None, ranges_of(network, *box)).curves) == (low < 0)
    with pytest.raises(ValueError, match="jumps"):
        ranges_of(network, np.full(2, 19.0), np.full(2, 21.0))


def test_linear_neurons_take_no_place() -> None:
    network = layered(0, 3, 8, 8, 1)
    assert chain_of(network).variables == 3 + 8 + 8
    ranges = ranges_of(network, np.zeros(3), np.full(3, 1e-6))
    assert chain_of(network, None, ranges).variables == 3
    unused = Network(3, (*network.steps, Activation(1, "softplus", threshold=1.0)), len(network.steps))
    assert chain_of(unused).variables == 3 + 8 + 8


def test_the_form_is_what_it_says() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        network = random_network(seed)
        chain = chain_of(network)
        t = [rng.uniform(0, 2, curve.multipliers) for curve in chain.curves]
        v = rng.integers(-3, 4, chain.variables).astype(float)
        value = 2.5 * (v[: chain.inputs] ** 2).sum() - ((chain.output.mid @ v) ** 2).sum()
        for curve, part in zip(chain.curves, t, strict=True):
            z, own = curve.z.mid @ v, v[curve.first : curve.first + curve.width]
            value -= (2 * part * (own - curve.low * z) * (curve.high * z - own)).sum()
        found = form(chain, 2.5, t)
        assert np.array_equal(found.mid, found.mid.T)
        assert found.rad.max() <= 1e-12 * (1 + np.abs(found.mid).max())
        exactly = sum(
            Fraction(float(m)) * Fraction(a * b)
            for m, (a, b) in zip(found.mid.ravel(), [(a, b) for a in v for b in v], strict=True)
        )
        assert float(exactly) == pytest.approx(value, rel=1e-9, abs=1e-9 * (1 + np.abs(found.mid).max()))


@pytest.mark.parametrize("units", [np.ones(2), np.zeros(3), np.full(3, np.inf), -np.ones(3)])
def test_units_are_positive_numbers(units: Any) -> None:
    with pytest.raises(ValueError, match="3 positive numbers"):
        chain_of(layered(0, 3, 1), units)
