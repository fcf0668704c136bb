"""A network's decision as a plain list of layers: what every engine and the checker of proofs read.

z = weight @ h + bias, then h' = z where z ≥ 0, slope·z elsewhere, neuron by neuron: slope 0 is a ReLU, 1 the identity.
Skipped connections are carried along by identity neurons of weight 1. The decision is f > 0 for the single number f
that the last layer gives. A last sigmoid is left out (f is its logit), and so is what keeps the sign before it (tanh,
ReLU). Of two outputs f is the second minus the first, and what keeps their order is left out: sigmoids, tanh, softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Final, final

from certifair.spec._step_layers import Layer, all_float32, checked_size, copy_layer, plain_layer, step_layers
from certifair.spec.network import Activation, Affine, Concat, Network, Step, reads

__all__ = ["CURVES", "Layer", "Layers", "layers_of"]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Columns = NDArray[np.intp]

CURVES: Final = ("", "sigmoid", "tanh")
"""What a neuron does, by its code; code 0 is the kink at 0 that `slope` describes."""


@final
@dataclass(frozen=True, eq=False)
class Layers:
    """At least one layer; the last is one identity neuron.

    float32: all numbers of the network are float32, no slope is beyond ±1 and no BatchNorm leaves 2^±20 on its way, so
    that what the layers say of float32 evaluations holds.
    """

    layers: tuple[Layer, ...]
    float32: bool

    @property
    def inputs(self) -> int:
        return int(self.layers[0].weight.shape[1])

    @cached_property
    def exact(self) -> bool:
        """Whether f is exactly what these numbers say: all weights are exact and all neurons have a kink at most."""
        return all(not layer.relative.any() and not layer.curve.any() for layer in self.layers)

    @cached_property
    def piecewise_linear(self) -> bool:
        return not any(layer.curve.any() for layer in self.layers)


def layers_of(network: Network, threshold: Fraction | None = None) -> Layers:
    """The decision of a network: its output against a threshold; None: 1/2 after a sigmoid, else 0.

    Errors: ValueError for a step without a plain layer, more than two outputs, or a threshold that f = 0 is not the
    same as: after a sigmoid only 1/2, after a tanh and for two outputs only 0.
    """
    if network.outputs > 2:
        raise ValueError(f"has {network.outputs} outputs; a decision is made of one, or of two that are compared")
    shift = _shift(network, threshold)
    network = network.without_unused() if shift else _folded(network)
    build = _Builder(network)
    for slot in range(1, len(network.steps) + 1):
        build.add(slot, network.steps[slot - 1])
    return _shifted(build.finished(network), shift)


def _shift(network: Network, threshold: Fraction | None) -> Fraction:
    """What is subtracted from the output; 0 where the sign of what goes into its last function says the same."""
    last = network.steps[network.output - 1] if network.output else None
    if network.outputs == 2:
        natural, why = Fraction(0), "compares two outputs with each other"
    elif isinstance(last, Activation) and last.kind in ("sigmoid", "tanh"):
        natural, why = Fraction(int(last.kind == "sigmoid"), 2), f"ends in a {last.kind}"
    else:
        return threshold or Fraction(0)
    if threshold not in (None, natural):
        raise ValueError(f"{why}: its threshold is {natural}, not {threshold}; use that, or leave the end out")
    return Fraction(0)


def _shifted(layers: Layers, shift: Fraction) -> Layers:
    """f − p/q > 0 as q·f − p > 0, in a layer of its own: no weight is rounded by it, nor a float32 f."""
    import numpy as np

    if not shift:
        return layers
    p, q = float(shift.numerator), float(shift.denominator)
    if Fraction(p) / Fraction(q) != shift:
        raise ValueError(f"cannot be compared with the threshold {shift} exactly; use a shorter one")
    last = plain_layer(np.array([[q]]), np.array([-p]), np.zeros(1, dtype=np.int64))
    return Layers((*layers.layers, last), layers.float32)


def _folded(network: Network) -> Network:
    """Without last steps that keep the sign of one output, or the order of two.

    A sigmoid has no sign to keep: only the very last one stands for its logit, as 1/2 is its threshold.
    """
    last = True
    while network.output:
        step = network.steps[network.output - 1]
        if not (_keeps_order(step) if network.outputs == 2 else _keeps_sign(step, last)):
            break
        network, last = Network(network.inputs, network.steps, reads(step)[0]), False
    return network.without_unused()


def _keeps_order(step: Step) -> bool:
    if isinstance(step, Affine):  # the differences that a softmax is a sigmoid of
        return step.weight.tolist() == [[1, -1], [-1, 1]] and not step.bias.any()
    return isinstance(step, Activation) and step.kind in ("sigmoid", "tanh")


def _keeps_sign(step: Step, last: bool) -> bool:
    return isinstance(step, Activation) and (step.kind in ("tanh", "relu") or (step.kind == "sigmoid" and last))


@final
class _Builder:
    """Layers so far; `columns` says which numbers of the current vector each slot that is still needed is."""

    def __init__(self, network: Network) -> None:
        import numpy as np

        self._layers: list[Layer] = []
        self._columns: dict[int, Columns] = {0: np.arange(network.inputs)}
        self._width = network.inputs
        self._widths = network.widths
        self._float32 = all_float32(network)
        self._last_use = {network.output: len(network.steps) + 1}
        for number, step in enumerate(network.steps, 1):
            for slot in reads(step):
                self._last_use[slot] = max(self._last_use.get(slot, 0), number)

    def add(self, slot: int, step: Step) -> None:
        import numpy as np

        sources = [self._columns[source] for source in reads(step)]
        for source in set(reads(step)):
            if self._last_use[source] <= slot:
                del self._columns[source]
        if isinstance(step, Concat):
            self._columns[slot] = np.concatenate(sources)
        elif isinstance(step, Activation):
            self._activate(slot, step, sources[0])
        else:
            self._compute(slot, step, sources)

    def _compute(self, slot: int, step: Step, sources: list[Columns]) -> None:
        import numpy as np

        columns = np.concatenate(sources)
        layers = step_layers(step, len(sources), len(columns), self._float32)
        if isinstance(step, Affine) and len(np.unique(columns)) < len(columns):  # the sum of two weights might round
            layers.insert(0, copy_layer(len(columns)))
        for rows in layers:
            self._emit(slot, rows, columns)
            columns = self._columns.pop(slot)
        self._columns[slot] = columns[: self._widths[slot]]

    def _emit(self, slot: int, rows: Layer, columns: Columns) -> None:
        """A layer of these new rows, and of what later steps still need, copied."""
        import numpy as np

        kept = self._needed()
        weight = np.zeros(checked_size(len(kept) + rows.width, self._width))
        weight[np.arange(len(kept)), kept] = 1
        np.add.at(weight, (np.arange(len(kept), len(weight))[:, None], columns), rows.weight)
        none, one = np.zeros(len(kept)), np.ones(len(kept))
        self._layers.append(
            Layer(
                weight,
                np.concatenate([none, rows.bias]),
                np.concatenate([one, rows.slope]),
                np.concatenate([none.astype(np.int8), rows.curve]),
                np.concatenate([none.astype(np.int64), rows.rounds]),
                np.concatenate([none, rows.size]),
                np.concatenate([none, rows.relative]),
            )
        )
        self._columns = {name: np.searchsorted(kept, found) for name, found in self._columns.items()}
        self._columns[slot] = np.arange(len(kept), len(kept) + rows.width)
        self._width = len(weight)

    def _needed(self) -> Columns:
        """The numbers of the current vector that later steps read."""
        import numpy as np

        return np.unique(np.concatenate([*self._columns.values(), np.empty(0, dtype=np.intp)]))

    def _activate(self, slot: int, step: Activation, columns: Columns) -> None:
        """In the last layer, if nobody else needs its numbers as they are and it has no function yet."""
        import numpy as np

        last = self._layers[-1] if self._layers else None
        shared = np.isin(columns, self._needed()).any()
        if last is None or shared or (last.slope[columns] != 1).any() or last.curve[columns].any():
            self._emit(slot, copy_layer(len(columns)), columns)
            last, columns = self._layers[-1], self._columns[slot]
        slope, curve = last.slope.copy(), last.curve.copy()
        match step.kind:
            case "relu":
                slope[columns] = 0
            case "leaky_relu":
                slope[columns] = step.slope
            case "sigmoid" | "tanh":
                curve[columns] = CURVES.index(step.kind)
            case _:
                raise ValueError(f"has {step.kind} inside; use relu, leaky_relu, sigmoid or tanh")
        self._layers[-1] = Layer(last.weight, last.bias, slope, curve, last.rounds, last.size, last.relative)
        self._columns[slot] = columns

    def finished(self, network: Network) -> Layers:
        import numpy as np

        columns = self._columns.pop(network.output)
        last = self._layers[-1] if self._layers else None
        plain = last is not None and (last.slope == 1).all() and not last.curve.any()
        if len(columns) == 2:
            self._emit(-1, plain_layer(np.array([[-1.0, 1.0]]), np.zeros(1), np.ones(1, dtype=np.int64)), columns)
        elif not plain or self._width != 1:
            self._emit(-1, copy_layer(1), columns)
        return Layers(tuple(self._layers), self._float32)
