"""Step 1: fine-tuning until the last hidden layer says less about the sensitive inputs.

The loss is binary cross-entropy over the labelled rows plus, over the rows to be made fair, the mean relative width:
how wide the bounds of the last hidden layer are over S(x), all its neurons together, as a part of what that was before
(`_widths`). All of it is done in parts between which the clock is looked at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from certifair.repair._numbers import changed, single
from certifair.repair._widths import Bounds, values
from certifair.repair.base import Array, OutOfTimeError, look_at_clock
from certifair.spec.network import Activation, Affine, Network, reads

if TYPE_CHECKING:
    import torch

    from certifair.repair._widths import Parameters

RATE: Final = 1e-3
"""Adam's."""
WORK: Final = 1 << 29
"""Multiplications that are done before the clock is looked at again, about."""


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
    wait for each other in networks this small. Errors: OverflowError for weights that are no float32 numbers.
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
    source = reads(network.steps[head])[0]
    ends = [torch.split(torch.from_numpy(part), _boxes_at_once(network, source)) for part in tuning.ends]
    rows = [torch.split(torch.from_numpy(part), _rows_at_once(network)) for part in (tuning.rows, tuning.labels)]
    bounds = [Bounds(network, parameters, low, high, tuning.end) for low, high in zip(*ends, strict=True)]
    epoch = _Epoch(head + 1, source, list(zip(*rows, strict=True)), bounds)
    optimiser = torch.optim.Adam([leaf for pair in parameters.values() for leaf in pair], lr=RATE)
    with contextlib.suppress(OutOfTimeError):
        before = epoch.widths()
        for _ in range(tuning.epochs):
            optimiser.zero_grad()
            epoch.backward(before)
            optimiser.step()
    return _with(network, parameters)


def _rows_at_once(network: Network) -> int:
    return max(1, WORK // (3 * sum(step.weight.size for step in network.steps if isinstance(step, Affine))))


def _boxes_at_once(network: Network, source: int) -> int:
    """Bounds go back from every function to the inputs, twice; their derivatives take about twice as long."""
    slots = [step.source for step in network.steps[:source] if isinstance(step, Activation)]
    behind = np.cumsum([0, *(step.weight.size if isinstance(step, Affine) else 0 for step in network.steps)])
    return max(1, WORK // (6 * sum(network.widths[slot] * int(behind[slot]) for slot in (*slots, source)) + 1))


@final
@dataclasses.dataclass(frozen=True, eq=False)
class _Epoch:
    """What the loss is made of, in parts: rows and labels, and bounds of boxes. logit, source: slots, of f and of what
    the last layer reads.
    """

    logit: int
    source: int
    rows: list[tuple[torch.Tensor, torch.Tensor]]
    bounds: list[Bounds]

    def widths(self) -> list[torch.Tensor]:
        """As they are now, a part after the other. Errors: OutOfTimeError."""
        import torch

        with torch.no_grad():
            return [part.width(self.source) for part in self.bounds]

    def backward(self, before: list[torch.Tensor]) -> None:
        """Adds the loss's derivative to the leaves. Errors: OutOfTimeError, where it would not be done in time."""
        import torch

        everybody = sum(len(labels) for _, labels in self.rows)
        counted = [int((part > 0).sum()) for part in before]
        boxes = [part for part in zip(self.bounds, before, counted, strict=True) if part[-1]]
        for rows, box in itertools.zip_longest(self.rows, boxes):
            began = time.monotonic()
            losses = [] if rows is None else [self._entropy(*rows) * (len(rows[1]) / everybody)]
            losses += [] if box is None else [self._width(*box[:2]) * (box[-1] / sum(counted))]
            now = time.monotonic()
            look_at_clock(self.bounds[0].end - 2 * (now - began))
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]

    def _entropy(self, rows: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        import torch

        logit = values(self.bounds[0].network, self.bounds[0].parameters, self.logit, rows)[:, 0]
        return torch.nn.functional.binary_cross_entropy_with_logits(logit, labels)

    def _width(self, bounds: Bounds, before: torch.Tensor) -> torch.Tensor:
        """The mean over the boxes that had one."""
        counted = before > 0
        return (bounds.width(self.source)[counted] / before[counted]).mean()


def _leaf(torch: Any, values: Array) -> Any:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def _with(network: Network, parameters: Parameters) -> Network:
    """Errors: OverflowError for weights that are no float32 numbers."""
    steps = tuple(
        dataclasses.replace(step, weight=_rounded(parameters[number][0]), bias=_rounded(parameters[number][1]))
        if isinstance(step, Affine)
        else step
        for number, step in enumerate(network.steps)
    )
    return changed(network, steps)


def _rounded(leaf: torch.Tensor) -> Array:
    return single(leaf.detach().numpy())
