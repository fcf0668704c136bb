"""A network's values and directional derivatives at many points at once, in plain floats: what a search reads."""

from __future__ import annotations

import functools
from typing import assert_never, final

import numpy as np
from numpy.typing import NDArray

from certifair.exact.ball import quiet
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Step, Sum, reads

Array = NDArray[np.float64]


@final
class Trace:
    """Every slot up to one, all if none is named, at points x (n, inputs), and how they change to first order there.

    At a kink the slope is that of the right side.
    """

    @quiet
    def __init__(self, network: Network, x: Array, slot: int | None = None) -> None:
        self._network = network
        self.slots: list[Array] = [x]
        for step in network.steps[:slot]:
            self.slots.append(self._value(step))

    @property
    def output(self) -> Array:
        """The network's values (n, outputs)."""
        return self.slots[self._network.output]

    @quiet
    def forward(self, direction: Array) -> Array:
        """The output's derivative (n, outputs) along each point's direction (n, inputs)."""
        moved: list[Array] = [direction]
        for number, step in enumerate(self._network.steps):
            sources = [moved[slot] for slot in reads(step)]
            if isinstance(step, Sum):
                moved.append(functools.reduce(np.add, sources))
            elif isinstance(step, Concat):
                moved.append(np.concatenate(sources, axis=1))
            else:
                moved.append(self._through(number, step, sources[0], transposed=False))
        return moved[self._network.output]

    @quiet
    def backward(self, weights: Array, slot: int | None = None) -> Array:
        """The gradient (n, inputs) of Σ weights·slot, weights (n, its width); of the output if no slot is named."""
        end = self._network.output if slot is None else slot
        back: dict[int, Array] = {end: weights}
        for number in range(end - 1, -1, -1):
            if number + 1 not in back:
                continue
            step, given = self._network.steps[number], back.pop(number + 1)
            first = 0
            for source in reads(step):
                part = given
                if isinstance(step, Concat):
                    part = given[:, first : first + self.slots[source].shape[1]]
                    first += self.slots[source].shape[1]
                elif not isinstance(step, Sum):
                    part = self._through(number, step, given, transposed=True)
                back[source] = back[source] + part if source in back else part
        return back.get(0, np.zeros_like(self.slots[0]))

    def _value(self, step: Step) -> Array:
        x = self.slots[reads(step)[0]]
        match step:
            case Affine(weight=weight, bias=bias):
                found: Array = x @ weight.T + bias
                return found
            case Scale(factor=factor, divisor=divisor, shift=shift):
                return x * factor / divisor + shift
            case BatchNorm(mean=mean, shift=shift):
                return (x - mean) * _slope_of(step) + shift
            case LayerNorm(scale=scale, shift=shift):
                centred, deviation = _centred(step, x)
                return centred / deviation * scale + shift
            case Activation():
                return _activated(step, x)[0]
            case Sum(sources=sources):
                return functools.reduce(np.add, (self.slots[slot] for slot in sources))
            case Concat(sources=sources):
                return np.concatenate([self.slots[slot] for slot in sources], axis=1)
            case _:
                assert_never(step)

    def _through(
        self, number: int, step: Affine | Scale | BatchNorm | LayerNorm | Activation, v: Array, *, transposed: bool
    ) -> Array:
        """The step's derivative, or its transpose, times v."""
        match step:
            case Affine(weight=weight):
                found: Array = v @ (weight if transposed else weight.T)
                return found
            case Scale() | BatchNorm():
                return v * _slope_of(step)
            case Activation(source=source):
                return v * _activated(step, self.slots[source])[1]
            case LayerNorm(source=source, scale=scale):
                centred, deviation = _centred(step, self.slots[source])
                v = v * scale if transposed else v - v.mean(axis=1, keepdims=True)
                along = (v * centred).mean(axis=1, keepdims=True) / deviation**2
                v = (v - centred * along) / deviation
                return v - v.mean(axis=1, keepdims=True) if transposed else v * scale
            case _:
                assert_never(step)


def _slope_of(step: Scale | BatchNorm) -> Array:
    if isinstance(step, Scale):
        return step.factor / step.divisor
    found: Array = step.scale / np.sqrt(step.variance + step.epsilon)
    return found


def _centred(step: LayerNorm, x: Array) -> tuple[Array, Array]:
    """(x less its mean, the root of its variance and epsilon)."""
    centred = x - x.mean(axis=1, keepdims=True)
    return centred, np.sqrt((centred * centred).mean(axis=1, keepdims=True) + step.epsilon)


def _activated(step: Activation, x: Array) -> tuple[Array, Array]:
    """(the function, its derivative)."""
    match step.kind:
        case "relu" | "leaky_relu":
            right = (x >= 0).astype(np.float64)
            slope = right + step.slope * (1 - right) if step.slope else right
            return x * slope, slope
        case "tanh":
            value = np.tanh(x)
            return value, 1 / np.cosh(np.clip(x, -350, 350)) ** 2
        case "sigmoid" | "softplus":
            small = np.exp(-np.abs(x))
            rise = np.where(x >= 0, 1.0, small) / (1 + small)
            if step.kind == "sigmoid":
                return rise, small / (1 + small) ** 2
            above = x > step.threshold
            return np.where(above, x, np.maximum(x, 0) + np.log1p(small)), np.where(above, 1.0, rise)
        case _:
            assert_never(step.kind)
