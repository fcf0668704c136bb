"""Random networks of all steps that have layers, and small ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from certifair.spec.network import (
    Activation,
    Affine,
    BatchNorm,
    Concat,
    Kind,
    Network,
    Scale,
    Step,
    Sum,
)

NONE = np.zeros(1)
Rng = np.random.Generator


def single(rng: Rng, *shape: int, spread: float = 1.0) -> Any:
    """Float32 numbers, some of them 0, ±1, or (spread > 1) far apart in magnitude."""
    found = rng.normal(size=shape) * spread ** rng.uniform(-1, 1, size=shape)
    found = np.where(rng.random(shape) < 0.2, rng.integers(-1, 2, size=shape), found)
    return found.astype(np.float32).astype(np.float64)


def not_zero(numbers: Any) -> Any:
    return np.where(numbers == 0, 0.75, numbers)


def affine(rng: Rng, source: int, width: int, outputs: int, spread: float = 1.0) -> Affine:
    return Affine(source, single(rng, outputs, width, spread=spread), single(rng, outputs, spread=spread))


def scale(rng: Rng, source: int, width: int, spread: float = 1.0) -> Scale:
    factor, divisor, shift = (single(rng, width, spread=spread) for _ in range(3))
    return Scale(source, factor, not_zero(divisor), shift)


def batch_norm(rng: Rng, source: int, width: int) -> BatchNorm:
    mean, scaled, shift = (single(rng, width) for _ in range(3))
    scaled = np.where(np.abs(scaled) < 1e-5, 0.0, scaled)
    variance = rng.uniform(0, 2, width).astype(np.float32).astype(np.float64)
    return BatchNorm(source, mean, variance, float(np.float32(1e-3)), scaled, shift)


def activation(rng: Rng, source: int, kinds: tuple[Kind, ...]) -> Activation:
    kind = kinds[rng.integers(len(kinds))]
    slope = float(np.float32(rng.choice([-0.5, 0.0, 0.01, 0.25, 1.0]))) if kind == "leaky_relu" else 0.0
    return Activation(source, kind, slope)


PIECEWISE: tuple[Kind, ...] = ("relu", "leaky_relu")


def random_network(
    rng: Rng, *, kinds: tuple[Kind, ...] = PIECEWISE, norms: bool = True, spread: float = 1.0, ends: int = 5
) -> Network:
    """A random directed graph of steps over two to four inputs, with one or two outputs."""
    inputs = int(rng.integers(1, 5))
    steps: list[Step] = []
    widths = [inputs]

    def add(step: Step) -> None:
        steps.append(step)
        widths[:] = Network(inputs, tuple(steps), len(steps)).widths

    for _ in range(rng.integers(1, 8)):
        slot = int(rng.integers(len(widths))) if rng.random() < 0.4 else len(steps)
        alike = [k for k, width in enumerate(widths) if width == widths[slot]]
        match int(rng.integers(7)):
            case 0 | 1:
                add(affine(rng, slot, widths[slot], int(rng.integers(1, 5)), spread))
            case 2 | 3:
                add(activation(rng, slot, kinds))
            case 4:
                add(Sum(tuple(int(k) for k in rng.choice(alike, size=rng.integers(1, 4)))))
            case 5 if sum(widths) < 30:
                add(Concat(tuple(int(k) for k in rng.integers(len(widths), size=rng.integers(1, 4)))))
            case _:
                add(batch_norm(rng, slot, widths[slot]) if norms else scale(rng, slot, widths[slot], spread))
    if widths[-1] > 2 or rng.random() < 0.5 or (ends == 1 and isinstance(steps[-1], Activation)):
        add(affine(rng, len(steps), widths[-1], int(rng.integers(1, 3)), spread))
    finish(add, len(steps), widths[-1], int(rng.integers(ends)))
    return Network(inputs, tuple(steps), len(steps))


def finish(add: Any, slot: int, width: int, end: int) -> None:
    """One of the last functions of classifiers, or none."""
    match end:
        case 1:
            add(Activation(slot, "sigmoid"))
        case 2:
            add(Activation(slot, "tanh"))
        case 3:
            add(Activation(slot, "relu"))
        case 4 if width == 2:
            add(Affine(slot, np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros(2)))
            add(Activation(slot + 1, "sigmoid"))


def points(rng: Rng, network: Network, n: int = 6, spread: float = 1.0) -> Any:
    found = single(rng, n, network.inputs, spread=spread) * 3
    return found.astype(np.float32).astype(np.float64)


def one(*steps: Step, inputs: int = 1) -> Network:
    return Network(inputs, steps, len(steps))


def scaled(factor: float = 1.0, divisor: float = 1.0, shift: float = 0.0, source: int = 0) -> Scale:
    return Scale(source, *(np.array([np.float32(v)], np.float64) for v in (factor, divisor, shift)))


def chain(*kinds: Kind) -> Network:
    return one(scaled(1.0, 1.0, -0.25), *(Activation(slot, kind) for slot, kind in enumerate(kinds, 1)))
