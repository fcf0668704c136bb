"""Training a network on, with the columns of some inputs kept at 0: what did not depend on them does not afterwards.

The weights that read the inputs are trained as those of standardised inputs, (W·s)((x − m)/s) + (b + W·m), so that one
rate of learning suits years and amounts of money alike; then they are taken back, and all are rounded to float32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, final

import numpy as np

from certifair.repair._flips import Mask, logits
from certifair.repair._gradients import Adam, Weights, backward, forward, logit, sigmoid
from certifair.repair._numbers import changed, single
from certifair.repair.base import Array
from certifair.spec.layers import layers_of
from certifair.spec.network import Activation, Affine, Network, Step, reads

EPOCHS: Final = 30
STEPS: Final = 150
"""About how many an epoch has, of at least SMALLEST and at most LARGEST rows."""
SMALLEST: Final = 16
LARGEST: Final = 1024
RATE: Final = 2e-2
"""Of Adam at first; it falls to 0 as a cosine does."""
FOLDS: Final = 5
SURE: Final = 2.0


@final
@dataclass(frozen=True, eq=False)
class Examples:
    """Rows (n, inputs) and what the decisions about them should be, 0 or 1, (n,)."""

    rows: Array
    targets: Array

    def part(self, which: Any) -> Examples:
        return Examples(self.rows[which], self.targets[which])

    def right(self, network: Network) -> Mask:
        """About which of them a network decides as it should."""
        return np.asarray((logits(layers_of(network), self.rows) > 0) == (self.targets > 0))


def tuned(network: Network, columns: list[int], fit: Examples, held: Examples, seed: int, deadline: float) -> Network:
    """The network trained on `fit` by cross-entropy, as it was after the epoch with the least loss on `held`.

    The columns of these inputs become 0 in every affine step that reads the inputs. deadline: of time.monotonic; with
    less time than EPOCHS take, the rate falls sooner. The network itself counts as an epoch, if it ignores them.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # then weights are no numbers, and an epoch's network is none
        best, least = network, _loss_of(network, held)
        for found in _trained(network, columns, fit, seed, deadline):
            if (now := _loss_of(found, held)) < least:
                best, least = found, now
    return best


def wins(network: Network, columns: list[int], known: Examples, seed: int, deadline: float) -> bool:
    """Whether tuning makes this network's decisions about other rows better, beyond chance (`surpasses`).

    Of FOLDS parts each is left out once: neither trained on nor used to choose the epoch, for which the next part is.
    There are fewer rounds where only those leave time, before the deadline, to tune once more, and none after one by
    which nothing is gained.
    """
    parts = _parts(len(known.rows), seed)
    gained = lost = 0
    for number, out in enumerate(parts):
        held = parts[(number + 1) % FOLDS]
        fit = np.concatenate([part for part in parts if part is not out and part is not held])
        began = time.monotonic()
        found = tuned(network, columns, known.part(fit), known.part(held), seed, (began + deadline) / 2)
        judged = known.part(out)
        more = _compared(judged.right(found), judged.right(network))
        gained, lost = gained + more[0], lost + more[1]
        now = time.monotonic()
        if gained <= lost or now + 2 * (now - began) > deadline:
            break
    return _beyond_chance(gained, lost)


def surpasses(now: Mask, then: Mask) -> bool:
    """Whether a network decides better than another, beyond chance, about rows that it was not fitted to.

    now, then (n,): about which of them it is right, and about which the other one was. If of the rows on which one of
    them only is right each were as likely right for either, the a gained less the b lost would have the variance a + b
    (McNemar): it must be more than SURE times the root of that.
    """
    return _beyond_chance(*_compared(now, then))


def _compared(now: Mask, then: Mask) -> tuple[int, int]:
    """Gained and lost."""
    return int((now & ~then).sum()), int((then & ~now).sum())


def _beyond_chance(gained: int, lost: int) -> bool:
    return gained - lost > SURE * math.sqrt(gained + lost)


def split(examples: Examples, seed: int) -> tuple[Examples, Examples]:
    """To train on, and a part to choose the epoch by."""
    held, *others = _parts(len(examples.rows), seed)
    return examples.part(np.concatenate(others)), examples.part(held)


def _parts(rows: int, seed: int) -> list[Any]:
    return np.array_split(np.random.default_rng(seed).permutation(rows), FOLDS)


def _trained(network: Network, columns: list[int], fit: Examples, seed: int, deadline: float) -> Iterator[Network]:
    """The network after each epoch, where its weights are numbers."""
    mean, spread = scales = _scales(fit.rows)
    weights, cut = _weights(network, columns, scales), logit_of(network)
    points = (fit.rows - mean) / spread
    points[:, columns] = 0.0
    adam, began = Adam(len(weights.flat)), time.monotonic()
    size = min(max(len(points) // STEPS, SMALLEST), LARGEST)
    shuffled = np.random.default_rng(seed)
    for epoch in range(EPOCHS):
        order = shuffled.permutation(len(points))
        for start in range(0, len(order), size):
            now = time.monotonic()
            if now >= deadline:
                return
            done = max((epoch + start / len(order)) / EPOCHS, (now - began) / (deadline - began))
            batch = order[start : start + size]
            slope = _slope(cut, weights, points[batch], fit.targets[batch])
            adam.step(weights.flat, slope.flat, RATE * (1 + math.cos(math.pi * done)) / 2)
        found = _taken_back(network, weights, scales)
        if found is not None:
            yield found


def _slope(network: Network, weights: Weights, points: Array, targets: Array) -> Weights:
    """The derivative of the mean cross-entropy, which by f is (1/(1 + e^−f) − t)/n."""
    slots = forward(network, weights, points)
    return backward(network, weights, slots, (sigmoid(logit(network, slots)) - targets) / len(points))


def _loss_of(network: Network, held: Examples) -> float:
    """Mean cross-entropy, ln(1 + e^f) − t·f."""
    value = logits(layers_of(network), held.rows)
    return float(np.mean(np.logaddexp(0.0, value) - held.targets * value))


def _scales(rows: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each input; 1 for what never varies."""
    spread = rows.std(axis=0)
    return rows.mean(axis=0), np.where(spread > 1e-9 * np.abs(rows).max(axis=0), spread, 1.0)


def _weights(network: Network, columns: list[int], scales: tuple[Array, Array]) -> Weights:
    """Those of each affine step, by its number; of standardised inputs where it reads them."""
    found = {}
    mean, spread = scales
    for number, step in enumerate(network.steps):
        if isinstance(step, Affine):
            weight, bias = step.weight, step.bias
            if step.source == 0:
                weight = weight.copy()
                weight[:, columns] = 0.0
                weight, bias = weight * spread, bias + weight @ mean
            found[number] = (weight, bias)
    return Weights.of(found)


def _taken_back(network: Network, weights: Weights, scales: tuple[Array, Array]) -> Network | None:
    """The network with these weights, as float32 numbers; None if one is no such number."""
    steps: list[Step] = list(network.steps)
    mean, spread = scales
    for number, (weight, bias) in weights.pairs.items():
        step = steps[number]
        assert isinstance(step, Affine)
        if step.source == 0:
            weight = weight / spread  # noqa: PLW2901
            bias = bias - weight @ mean  # noqa: PLW2901
        steps[number] = replace(step, weight=single(weight), bias=single(bias))
    try:
        return changed(network, tuple(steps))
    except OverflowError:
        return None


def logit_of(network: Network) -> Network:
    """Without last functions that keep the decision, as `spec.layers` leaves them out."""
    kinds: tuple[str, ...] = ("sigmoid", "tanh") if network.outputs == 2 else ("sigmoid", "tanh", "relu")
    while network.output:
        last = network.steps[network.output - 1]
        if not isinstance(last, Activation) or last.kind not in kinds:
            break
        network = Network(network.inputs, network.steps, reads(last)[0])
        kinds = tuple(kind for kind in kinds if kind != "sigmoid" or network.outputs == 2)
    return network
