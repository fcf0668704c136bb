"""The value of a network over the real numbers, enclosed: each step in ball arithmetic, block by block of rows."""

from __future__ import annotations

import functools
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from certifair.exact import ball, elementary
from certifair.exact.ball import Ball
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Step, Sum, reads

Array = NDArray[np.float64]
# As many numbers as a processor's cache holds, in the widest step. The balls do not depend on it, but for rounding.
_CACHED = 1 << 15


def evaluate(network: Network, x: Array) -> Ball:
    """Balls (n, outputs) that contain the network's real value at the exact inputs x (n, inputs).

    Radii are infinite where numbers leave the range of float64, and for inputs that are not finite.
    Errors: ValueError for another dtype or shape, or a processor in flush-to-zero mode.
    """
    if x.dtype != np.float64 or x.ndim != 2 or x.shape[1] != network.inputs:
        raise ValueError(f"inputs of {x.dtype} {x.shape}; the network takes float64 (n, {network.inputs})")
    mid, rad = np.empty((2, len(x), network.outputs))
    block = rows_at_once(network)
    last_use = {slot: number for number, step in enumerate(network.steps) for slot in reads(step)}
    for start in range(0, len(x), block):
        rows = slice(start, start + block)
        found = _evaluate_block(network, ball.exact(x[rows]), last_use)
        mid[rows], rad[rows] = found.mid, found.rad
    return Ball(mid, rad)


def rows_at_once(network: Network) -> int:
    """How many rows make a block."""
    return max(16, _CACHED // max(network.widths))


def _evaluate_block(network: Network, inputs: Ball, last_use: dict[int, int]) -> Ball:
    """One block; a slot is forgotten after the last step that reads it."""
    slots = {0: inputs}
    for number, step in enumerate(network.steps):
        slots[number + 1] = _apply(step, slots)
        for slot in set(reads(step)) - {network.output}:
            if last_use[slot] == number:
                del slots[slot]
    return slots[network.output]


def _apply(step: Step, slots: dict[int, Ball]) -> Ball:
    match step:
        case Affine(source=source, weight=weight, bias=bias):
            return ball.matmul(slots[source], weight.T, bias)
        case Activation(source=source):
            return _activate(step, slots[source])
        case Scale(source=source):
            return _scale(step, slots[source])
        case Sum(sources=sources):
            return functools.reduce(ball.add, (slots[source] for source in sources))
        case Concat(sources=sources):
            return ball.concatenate([slots[source] for source in sources])
        case BatchNorm(source=source):
            deviation = ball.sqrt(ball.add(ball.exact(step.variance), ball.exact(step.epsilon)))
            centred = ball.subtract(slots[source], ball.exact(step.mean))
            scaled = ball.multiply(centred, ball.divide(ball.exact(step.scale), deviation))
            return ball.add(scaled, ball.exact(step.shift))
        case LayerNorm(source=source, epsilon=epsilon, scale=scale, shift=shift):
            return ball.layer_norm(slots[source], epsilon, scale, shift)
        case _:
            assert_never(step)


def _activate(step: Activation, x: Ball) -> Ball:
    match step.kind:
        case "relu":
            return ball.relu(x)
        case "leaky_relu":
            return ball.leaky_relu(x, step.slope)
        case "sigmoid":
            return elementary.sigmoid(x)
        case "tanh":
            return elementary.tanh(x)
        case "softplus":
            return elementary.softplus(x, step.threshold)
        case _:
            assert_never(step.kind)


def _scale(step: Scale, x: Ball) -> Ball:
    """Without the roundings of what does nothing."""
    if (step.factor != 1).any():
        x = ball.multiply(x, ball.exact(step.factor))
    if (step.divisor != 1).any():
        x = ball.divide(x, ball.exact(step.divisor))
    return ball.add(x, ball.exact(step.shift)) if step.shift.any() else x
