"""A network's values and directional derivatives at many points at once, in plain floats: what a search reads."""

from __future__ import annotations

import functools
from typing import assert_never, final

import numpy as np
from numpy.typing import NDArray

from certifair.exact.ball import quiet
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Sum, reads
from certifair.spec.values import activated, centred, slope_of, slots

Array = NDArray[np.float64]


@final
class Trace:
    """Every slot up to one, all if none is named, at points x (n, inputs), and how they change to first order there.

    At a kink the slope is that of the right side.
    """

    def __init__(self, network: Network, x: Array, slot: int | None = None) -> None:
        self._network = network
        self.slots = slots(network, x, slot)

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

    def _through(
        self, number: int, step: Affine | Scale | BatchNorm | LayerNorm | Activation, v: Array, *, transposed: bool
    ) -> Array:
        """The step's derivative, or its transpose, times v."""
        match step:
            case Affine(weight=weight):
                found: Array = v @ (weight if transposed else weight.T)
                return found
            case Scale() | BatchNorm():
                return v * slope_of(step)
            case Activation(source=source):
                return v * activated(step, self.slots[source])[1]
            case LayerNorm(source=source, scale=scale):
                less, deviation = centred(step, self.slots[source])
                v = v * scale if transposed else v - v.mean(axis=1, keepdims=True)
                along = (v * less).mean(axis=1, keepdims=True) / deviation**2
                v = (v - less * along) / deviation
                return v - v.mean(axis=1, keepdims=True) if transposed else v * scale
            case _:
                assert_never(step)
