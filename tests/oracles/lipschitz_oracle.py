"""A network in torch, from its steps alone, and pairs of persons sought to be far apart in its output (test oracle)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Sum

Array = Any


def slots(network: Network, x: torch.Tensor) -> list[torch.Tensor]:
    """Every slot at inputs (n, d), in float64."""
    found = [x]
    for step in network.steps:
        if isinstance(step, Sum):
            found.append(torch.stack([found[k] for k in step.sources]).sum(dim=0))
        elif isinstance(step, Concat):
            found.append(torch.cat([found[k] for k in step.sources], dim=1))
        else:
            found.append(_apply(step, found[step.source]))
    return found


def _apply(step: Any, x: torch.Tensor) -> torch.Tensor:
    t = torch.as_tensor
    if isinstance(step, Affine):
        linear: torch.Tensor = x @ t(step.weight).T + t(step.bias)
        return linear
    if isinstance(step, Scale):
        return x * t(step.factor) / t(step.divisor) + t(step.shift)
    if isinstance(step, BatchNorm):
        return (x - t(step.mean)) / torch.sqrt(t(step.variance) + step.epsilon) * t(step.scale) + t(step.shift)
    if isinstance(step, LayerNorm):
        return torch.nn.functional.layer_norm(x, x.shape[1:], t(step.scale), t(step.shift), step.epsilon)
    assert isinstance(step, Activation)
    if step.kind == "leaky_relu":
        return torch.where(x >= 0, x, step.slope * x)
    if step.kind == "softplus":
        return torch.where(x > step.threshold, x, torch.logaddexp(x, torch.zeros_like(x)))
    found: torch.Tensor = getattr(torch, step.kind)(x)
    return found


def value(network: Network, x: torch.Tensor) -> torch.Tensor:
    return slots(network, x)[network.output]


def ratio(network: Network, x: torch.Tensor, y: torch.Tensor, units: torch.Tensor, p: float = 2) -> torch.Tensor:
    """|f(x) − f(y)|_p / |(x − y)/units|_p of each pair."""
    out: torch.Tensor = torch.linalg.vector_norm(value(network, x) - value(network, y), ord=p, dim=1)
    found: torch.Tensor = out / torch.linalg.vector_norm((x - y) / units, ord=p, dim=1)
    return found


def attack(
    network: Network,
    low: Array,
    high: Array,
    units: Array,
    *,
    seed: int = 0,
    pairs: int = 2000,
    sought: int = 100,
    steps: int = 60,
) -> float:
    """The largest ratio found among random pairs of the box, far and near, and pairs that gradients move apart.

    No pair is so near that rounding counts; what nearer ones would have is the norm of the derivative at a point.
    """
    torch.manual_seed(seed)
    a, b, unit = (torch.as_tensor(np.asarray(v, dtype=np.float64)) for v in (low, high, units))
    x = a + (b - a) * torch.rand(pairs, len(a), dtype=torch.float64)
    far = a + (b - a) * torch.rand(pairs, len(a), dtype=torch.float64)
    share = 10.0 ** (-2 * torch.rand(pairs, 1, dtype=torch.float64))
    y = x + share * (far - x)
    with torch.no_grad():
        rated = torch.where(_apart(x, y, (a, b, unit)), ratio(network, x, y, unit), 0.0)
    best = float(rated.max())
    top = torch.argsort(rated, descending=True)[:sought]
    return max(best, steepest(network, x[top], unit), _climb(network, x[top], y[top], (a, b, unit), steps))


def _apart(x: torch.Tensor, y: torch.Tensor, box: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Whether each pair is at least a hundredth of the box apart."""
    low, high, unit = box
    size = torch.linalg.vector_norm((high - low) / unit)
    found: torch.Tensor = torch.linalg.vector_norm((x - y) / unit, dim=1) > 0.01 * size
    return found


def steepest(network: Network, x: torch.Tensor, units: torch.Tensor) -> float:
    """The largest singular value of the derivative, in units of the inputs, at these points."""
    jacobian: torch.Tensor = torch.func.vmap(torch.func.jacrev(lambda row: value(network, row[None])[0]))(x)
    return float(torch.linalg.matrix_norm(jacobian * units, ord=2).max())


def _climb(network: Network, x: torch.Tensor, y: torch.Tensor, box: tuple[torch.Tensor, ...], steps: int) -> float:
    low, high, unit = box
    ends = [((v - low) / (high - low).clamp(min=1e-300)).requires_grad_() for v in (x, y)]
    optimiser, best = torch.optim.Adam(ends, lr=0.02), 0.0
    for _ in range(steps):
        optimiser.zero_grad()
        first, second = (low + (high - low) * end.clamp(0, 1) for end in ends)
        found = ratio(network, first, second, unit)[_apart(first, second, box)]
        if not len(found):
            break
        best = max(best, float(found.detach().max()))
        torch.autograd.backward(-torch.log(found + 1e-30).sum())
        optimiser.step()
    return best
