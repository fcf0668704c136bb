"""Step 1: fine-tuning until the last hidden layer says less about the sensitive inputs.

The loss is binary cross-entropy over the labelled rows plus, over the rows to be made fair, the mean relative width:
how wide the bounds of the last hidden layer are over S(x), all its neurons together, as a part of what that was before.
The bounds are those of backward substitution (CROWN, see `_bands`), here with derivatives in the weights.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any, Final, assert_never, final

import numpy as np

from certifair.repair.base import Array
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Step, Sum, reads

if TYPE_CHECKING:
    import torch

    Pair = tuple[torch.Tensor, torch.Tensor]
    Parameters = dict[int, Pair]
    Relaxed = dict[int, tuple[torch.Tensor, ...]]

RATE: Final = 1e-3
"""Adam's."""


@final
@dataclasses.dataclass(frozen=True, eq=False)
class Tuning:
    """What is fine-tuned on: rows (n, d) and decisions they should have (n,); the ends of S(x) (k, d) of others, or of
    some of them; how long. `end`: of time.monotonic.
    """

    rows: Array
    labels: Array
    ends: tuple[Array, Array]
    epochs: int
    end: float


def fine_tuned(network: Network, head: int, tuning: Tuning) -> Network:
    """The network with other float32 weights in its affine steps; `head` is the last one's position.

    As it is after the last epoch, or the last before `end`; an epoch is one step, on all rows. On one thread: more only
    wait for each other in networks this small.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _tuned(network, head, tuning)
    finally:
        torch.set_num_threads(threads)


def _tuned(network: Network, head: int, tuning: Tuning) -> Network:
    import torch

    parameters: Parameters = {
        number: (_leaf(torch, step.weight), _leaf(torch, step.bias))
        for number, step in enumerate(network.steps)
        if isinstance(step, Affine)
    }
    rows, labels, low, high = (torch.from_numpy(part) for part in (tuning.rows, tuning.labels, *tuning.ends))
    bounds = _Bounds(network, parameters, low, high)
    source = reads(network.steps[head])[0]
    before = bounds.width(source).detach()
    counted = before > 0
    optimiser = torch.optim.Adam([leaf for pair in parameters.values() for leaf in pair], lr=RATE)
    for _ in range(tuning.epochs):
        if time.monotonic() >= tuning.end:
            break
        optimiser.zero_grad()
        logit = _values(network, parameters, head + 1, rows)[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, labels)
        if counted.any():
            loss = loss + (bounds.width(source)[counted] / before[counted]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return _with(network, parameters)


def _leaf(torch: Any, values: Array) -> Any:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def _with(network: Network, parameters: Parameters) -> Network:
    steps = tuple(
        dataclasses.replace(step, weight=_rounded(parameters[number][0]), bias=_rounded(parameters[number][1]))
        if isinstance(step, Affine)
        else step
        for number, step in enumerate(network.steps)
    )
    return Network(network.inputs, steps, network.output)


def _rounded(leaf: torch.Tensor) -> Array:
    return leaf.detach().numpy().astype(np.float32).astype(np.float64)


def _values(network: Network, parameters: Parameters, slot: int, rows: torch.Tensor) -> torch.Tensor:
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
class _Bounds:
    """Over the boxes between low and high (k, d), with the parameters as they are when it is asked."""

    network: Network
    parameters: Parameters
    low: torch.Tensor
    high: torch.Tensor

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
