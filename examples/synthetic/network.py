"""The network of every method and set, also as factories that a policy's `[model]` can name.

A fresh network's scores lie around 0, and may all be negative. Where the box is [0, 3.5] the layer then clips everybody
to 0, where its derivative is 0: `flayer` learns nothing, and nothing says so. So the network starts inside the
box: there its last bias is 1/2, for all four methods.
"""

from __future__ import annotations

import torch

from certifair.training import mlp

HIDDEN = (64, 32)


def build(inputs: int, lower: float, seed: int) -> torch.nn.Module:
    found = mlp(inputs, HIDDEN, final=None, seed=seed)
    last = found[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias.fill_(0.5 if lower == 0 else 0.0)
    return found


def symmetric(inputs: int) -> torch.nn.Module:
    """For the box [−3.5, 3.5]; the seed is the policy's."""
    return build(inputs, -3.5, torch.initial_seed())


def nonnegative(inputs: int) -> torch.nn.Module:
    """For the box [0, 3.5]."""
    return build(inputs, 0.0, torch.initial_seed())
