"""f of a network and its derivative by the weights of its affine steps, in NumPy.

The networks are small and their batches too: calling a framework for each product would take longer than the products,
and importing one longer than many a repair may.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never, final

import numpy as np

from certifair.errors import InputError
from certifair.repair.base import Array
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Step, Sum, reads

Pair = tuple[Array, Array]
"""Weight (m, k) and bias (m,)."""
FIRST, SECOND = 0.9, 0.999
TINY: Final = 1e-8


@final
@dataclass(frozen=True, eq=False)
class Weights:
    """Those of the affine steps, by their numbers: views of one vector."""

    flat: Array
    pairs: dict[int, Pair]

    @staticmethod
    def of(pairs: dict[int, Pair]) -> Weights:
        """A copy of these."""
        flat = np.concatenate([part.ravel() for pair in pairs.values() for part in pair] or [np.zeros(0)])
        found, start = {}, 0
        for number, (weight, bias) in pairs.items():
            middle = start + weight.size
            end = middle + len(bias)
            found[number] = (flat[start:middle].reshape(weight.shape), flat[middle:end])
            start = end
        return Weights(flat, found)


def forward(network: Network, weights: Weights, points: Array) -> list[Array]:
    """Every slot for points (n, inputs)."""
    slots = [points]
    for number, step in enumerate(network.steps):
        read = [slots[source] for source in reads(step)]
        if isinstance(step, Affine):
            weight, bias = weights.pairs[number]
            slots.append(read[0] @ weight.T + bias)
        else:
            slots.append(_moved(step, read))
    return slots


def logit(network: Network, slots: Sequence[Array]) -> Array:
    """f (n,): of two outputs the second minus the first."""
    found = slots[network.output]
    return found[:, 0] if network.outputs == 1 else found[:, 1] - found[:, 0]


def backward(network: Network, weights: Weights, slots: Sequence[Array], by: Array) -> Weights:
    """The derivative of something by the weights, whose derivative by f is `by` (n,)."""
    found = Weights.of({number: (np.zeros_like(w), np.zeros_like(b)) for number, (w, b) in weights.pairs.items()})
    known: list[Array | None] = [None] * len(slots)
    known[network.output] = by[:, None] if network.outputs == 1 else by[:, None] * np.array([-1.0, 1.0])
    for number in reversed(range(network.output)):
        out, step = known[number + 1], network.steps[number]
        if out is None:
            continue
        if isinstance(step, Affine):
            np.matmul(out.T, slots[step.source], out=found.pairs[number][0])
            np.sum(out, axis=0, out=found.pairs[number][1])
            if step.source:
                known[step.source] = _added(known[step.source], out @ weights.pairs[number][0])
            continue
        for source, part in zip(reads(step), _moved_back(step, slots, number + 1, out), strict=True):
            known[source] = _added(known[source], part)
    return found


def _added(before: Array | None, more: Array) -> Array:
    return more if before is None else before + more


def _moved(step: Step, read: list[Array]) -> Array:
    match step:
        case Activation():
            return _activated(step, read[0])
        case Sum():
            return np.sum(read, axis=0)  # type: ignore[no-any-return]
        case Concat():
            return np.concatenate(read, axis=1)
        case Scale() | BatchNorm():
            factor, shift = _line(step)
            return read[0] * factor + shift
        case Affine() | LayerNorm():
            raise InputError(f"{type(step).__name__} is not trained here", where="the network")
        case _:
            assert_never(step)


def _moved_back(step: Step, slots: Sequence[Array], number: int, out: Array) -> list[Array]:
    """The derivative by each slot that the step reads, `out` being that by slot `number`, which it gives."""
    match step:
        case Activation():
            return [out * _steepness(step, slots[reads(step)[0]], slots[number])]
        case Sum():
            return [out] * len(reads(step))
        case Concat():
            ends = np.cumsum([slots[source].shape[1] for source in reads(step)])
            return np.split(out, ends[:-1], axis=1)
        case Scale() | BatchNorm():
            return [out * _line(step)[0]]
        case Affine() | LayerNorm():
            raise InputError(f"{type(step).__name__} is not trained here", where="the network")
        case _:
            assert_never(step)


def _line(step: Scale | BatchNorm) -> Pair:
    """Factor and shift."""
    if isinstance(step, Scale):
        return step.factor / step.divisor, step.shift
    factor = step.scale / np.sqrt(step.variance + step.epsilon)
    return factor, step.shift - step.mean * factor


def _activated(step: Activation, z: Array) -> Array:
    match step.kind:
        case "relu":
            return np.maximum(z, 0.0)
        case "leaky_relu":
            return np.where(z < 0, step.slope * z, z)
        case "tanh":
            return np.tanh(z)
        case "sigmoid":
            return sigmoid(z)
        case _:
            raise InputError(f"{step.kind} is not trained here", where="the network")


def sigmoid(z: Array) -> Array:
    """1/(1 + e^−z), which does not overflow."""
    return 0.5 * np.tanh(0.5 * z) + 0.5


def _steepness(step: Activation, z: Array, h: Array) -> Array:
    match step.kind:
        case "relu":
            return (z > 0).astype(np.float64)
        case "leaky_relu":
            return np.where(z < 0, step.slope, 1.0)
        case "tanh":
            return 1.0 - h * h
        case _:
            return h * (1.0 - h)


@final
class Adam:
    """Kingma, Ba, Adam: A Method for Stochastic Optimization, 1412.6980, algorithm 1."""

    def __init__(self, size: int) -> None:
        self._mean, self._square, self._done = np.zeros(size), np.zeros(size), 0

    def step(self, flat: Array, slope: Array, rate: float) -> None:
        """Changes `flat`."""
        self._done += 1
        self._mean += (1 - FIRST) * (slope - self._mean)
        self._square += (1 - SECOND) * (slope * slope - self._square)
        size = rate / (1 - FIRST**self._done)
        flat -= size * self._mean / (np.sqrt(self._square / (1 - SECOND**self._done)) + TINY)
