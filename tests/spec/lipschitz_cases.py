"""Random networks of every step that has a Lipschitz bound."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from certifair.spec.network import KINDS, Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Step, Sum

Rng = np.random.Generator


def affine(rng: Rng, source: int, width: int, outputs: int) -> Affine:
    return Affine(source, rng.normal(size=(outputs, width)), rng.normal(size=outputs))


def activation(rng: Rng, source: int, kind: Any = None) -> Activation:
    kind = kind or KINDS[rng.integers(len(KINDS))]
    return Activation(source, kind, float(rng.choice([-0.5, 0.1, 1.0, 2.0])) if kind == "leaky_relu" else 0.0)


def batch_norm(rng: Rng, source: int, width: int) -> BatchNorm:
    mean, scale, shift = rng.normal(size=(3, width))
    return BatchNorm(source, mean, rng.uniform(0.1, 2, width), 1e-3, scale, shift)


def layer_norm(rng: Rng, source: int, width: int) -> LayerNorm:
    return LayerNorm(source, float(rng.choice([0.1, 1.0])), *rng.normal(size=(2, width)))


def scale(rng: Rng, source: int, width: int) -> Scale:
    factor, shift = rng.normal(size=(2, width))
    return Scale(source, factor, rng.uniform(0.5, 2, width), shift)


def random_network(seed: int) -> Network:
    """A graph with residual sums and concatenations, every second slot a function, one to three outputs."""
    rng = np.random.default_rng(seed)
    inputs = int(rng.integers(1, 5))
    steps: list[Step] = [affine(rng, 0, inputs, int(rng.integers(2, 6)))]
    widths = [inputs, len(steps[0].bias)]
    for _ in range(int(rng.integers(2, 9))):
        slot = int(rng.integers(1, len(widths))) if rng.random() < 0.3 else len(steps)
        width = widths[slot]
        match int(rng.integers(9)):
            case 0 | 1 | 2:
                step: Step = activation(rng, slot)
            case 3:
                step = affine(rng, slot, width, int(rng.integers(2, 6)))
            case 4:
                alike = [k for k, other in enumerate(widths) if other == width]
                step = Sum(tuple(int(k) for k in rng.choice(alike, size=2)))
            case 5:
                step = Concat((slot, int(rng.integers(len(widths)))))
            case 6:
                step = batch_norm(rng, slot, width)
            case 7:
                step = layer_norm(rng, slot, width)
            case _:
                step = scale(rng, slot, width)
        steps.append(step)
        widths[:] = Network(inputs, tuple(steps), len(steps)).widths
    steps.append(affine(rng, len(steps), widths[-1], int(rng.integers(1, 4))))
    return Network(inputs, tuple(steps), len(steps))


def layered(seed: int, *widths: int, kind: Any = "relu") -> Network:
    """Affine steps with a function between, as of a trained network in size."""
    rng = np.random.default_rng(seed)
    steps: list[Step] = []
    for before, after in itertools.pairwise(widths):
        if steps:
            steps.append(activation(rng, len(steps), kind))
        weight = rng.normal(size=(after, before)) / np.sqrt(before)
        steps.append(Affine(len(steps), weight, rng.normal(size=after) / 4))
    return Network(widths[0], tuple(steps), len(steps))
