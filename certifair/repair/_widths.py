"""Bounds of a network's slots over boxes, with derivatives in its weights: what step 1 makes narrower.

They are those of backward substitution (CROWN, see `_bands`).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, assert_never, final

import numpy as np

from certifair.repair.base import look_at_clock
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Step, Sum, reads

if TYPE_CHECKING:
    import torch

    Pair = tuple[torch.Tensor, torch.Tensor]
    Parameters = dict[int, Pair]
    Relaxed = dict[int, tuple[torch.Tensor, ...]]


def values(network: Network, parameters: Parameters, slot: int, rows: torch.Tensor) -> torch.Tensor:
    """What a slot is at the rows (n, d)."""
    import torch

    slots = [rows]
    for number, step in enumerate(network.steps[:slot]):
        given = [slots[source] for source in reads(step)]
        match step:
            case Affine():
                weight, bias = parameters[number]
                slots.append(given[0] @ weight.T + bias)
            case Activation():
                slots.append(_activated(step, given[0]))
            case Sum():
                slots.append(torch.stack(given).sum(dim=0))
            case Concat():
                slots.append(torch.cat(given, dim=1))
            case Scale() | BatchNorm():
                factor, shift = _line(step)
                slots.append(given[0] * factor + shift)
            case LayerNorm():
                raise ValueError("has a LayerNormalization, which is not read here")
            case _:
                assert_never(step)
    return slots[slot]


def _line(step: Scale | BatchNorm) -> Pair:
    """Its factor and what it adds."""
    import torch

    if isinstance(step, Scale):
        return torch.from_numpy(step.factor / step.divisor), torch.from_numpy(step.shift)
    factor = step.scale / np.sqrt(step.variance + step.epsilon)
    return torch.from_numpy(factor), torch.from_numpy(step.shift - step.mean * factor)


def _activated(step: Activation, values: torch.Tensor) -> torch.Tensor:
    import torch

    if step.kind == "softplus":
        return torch.nn.functional.softplus(values)
    if step.kind in ("sigmoid", "tanh"):
        return torch.sigmoid(values) if step.kind == "sigmoid" else torch.tanh(values)
    return torch.where(values >= 0, values, values * step.slope)


@final
@dataclasses.dataclass(frozen=True, eq=False)
class Bounds:
    """Over the boxes between low and high (k, d), with the parameters as they are when it is asked.

    All its methods raise OutOfTimeError at `end`, of time.monotonic.
    """

    network: Network
    parameters: Parameters
    low: torch.Tensor
    high: torch.Tensor
    end: float

    def width(self, slot: int) -> torch.Tensor:
        """The widths of a slot's bounds, all its numbers together (k,)."""
        low, high = self.ends(slot, self.relaxed(slot))
        return (high - low).sum(dim=1)

    def relaxed(self, slot: int) -> Relaxed:
        """The relaxations of all activations before a slot, by the position of the step."""
        found: Relaxed = {}
        for number, step in enumerate(self.network.steps[:slot]):
            if isinstance(step, Activation):
                found[number] = _relaxation(step, *self.ends(step.source, found))
        return found

    def ends(self, slot: int, relaxed: Relaxed) -> Pair:
        """(k, width) twice."""
        import torch

        every = torch.eye(self.network.widths[slot], dtype=torch.float64)[None]
        return self._least(slot, every, relaxed), -self._least(slot, -every, relaxed)

    def _least(self, slot: int, weight: torch.Tensor, relaxed: Relaxed) -> torch.Tensor:
        """Of weight (1, m, width) @ the slot, (k, m): of a lower line in the inputs that is found from step to step."""
        import torch

        found, least = {slot: weight}, torch.zeros(1, dtype=torch.float64)
        for number in range(slot - 1, -1, -1):
            if number + 1 not in found:
                continue
            look_at_clock(self.end)
            step = self.network.steps[number]
            parts, constant = self._before(step, number, found.pop(number + 1), relaxed)
            least = least + constant
            for source, part in zip(reads(step), parts, strict=True):
                found[source] = found[source] + part if source in found else part
        weight = found.get(0, torch.zeros(1, 1, self.network.inputs, dtype=torch.float64))
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return least + (weight * middle[:, None]).sum(-1) - (weight.abs() * half[:, None]).sum(-1)

    def _before(
        self, step: Step, number: int, weight: torch.Tensor, relaxed: Relaxed
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """weight @ what the step gives ≥ the sum of parts @ what it reads, and a constant."""
        import torch

        none = torch.zeros(1, dtype=torch.float64)
        match step:
            case Affine():
                matrix, bias = self.parameters[number]
                return [weight @ matrix], weight @ bias
            case Activation():
                low, low_at, high, high_at = (part[:, None] for part in relaxed[number])
                up, down = weight.clamp(min=0), weight.clamp(max=0)
                return [up * low + down * high], (up * low_at + down * high_at).sum(-1)
            case Sum():
                return [weight] * len(step.sources), none
            case Concat():
                return list(torch.split(weight, [self.network.widths[source] for source in step.sources], dim=-1)), none
            case Scale() | BatchNorm():
                factor, shift = _line(step)
                return [weight * factor], (weight * shift).sum(-1)
            case LayerNorm():
                raise ValueError("has a LayerNormalization, which is not read here")
            case _:
                assert_never(step)


def _relaxation(step: Activation, low: torch.Tensor, high: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """As `_bands` relaxes a neuron's function over [low, high]: (slope, constant) of a line below, and of one above."""
    import torch

    none = torch.zeros_like(low)
    if step.kind in ("softplus", "sigmoid", "tanh"):
        return none, _activated(step, low), none, _activated(step, high)
    s = torch.full_like(low, step.slope)
    crossing = (low < 0) & (high > 0)
    width = torch.where(crossing, high - low, 1.0)
    flat = torch.where(low >= 0, 1.0, s)
    chord = torch.where(crossing, (high - s * low) / width, flat)
    chord_at = torch.where(crossing, high - chord * high, 0.0)
    branch = torch.where(crossing, torch.where(high >= -low, 1.0, s), flat)
    return (branch, none, chord, chord_at) if step.slope <= 1 else (chord, chord_at, branch, none)
