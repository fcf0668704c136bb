"""A network's decision as a plain list of layers: what every engine and the checker of proofs read.

z = weight @ h + bias, then h' = z where z ≥ 0, slope·z elsewhere, neuron by neuron: slope 0 is a ReLU, 1 the identity.
Skipped connections are carried along by identity neurons of weight 1. The decision is f > 0 for the single number f
that the last layer gives. A last function that keeps the sign (sigmoid, tanh, ReLU) is left out; of two outputs f is
the second minus the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, final

from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Step, Sum, reads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Columns = NDArray[np.intp]

CURVES: Final = ("", "sigmoid", "tanh")
"""What a neuron does, by its code; code 0 is the kink at 0 that `slope` describes."""


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """weight (m, n), and (m,) of bias, slope, curve (a code), rounds, size, relative.

    What is known of the true layer: its weights and bias differ from these by at most relative·|weight| and
    relative·size (0: these are exact); a float32 evaluation of a neuron takes at most `rounds` roundings on each term
    (0: it only copies), of numbers whose magnitudes are those of weight·h and, for everything constant, size ≥ |bias|.
    """

    weight: Array
    bias: Array
    slope: Array
    curve: NDArray[np.int8]
    rounds: NDArray[np.int64]
    size: Array
    relative: Array

    @property
    def width(self) -> int:
        return len(self.weight)


@final
@dataclass(frozen=True, eq=False)
class Layers:
    """At least one layer; the last is one identity neuron. float32: all numbers of the network are float32."""

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


def layers_of(network: Network) -> Layers:
    """The decision of a network. Errors: ValueError for a step without a plain layer, or more than two outputs."""
    if network.outputs > 2:
        raise ValueError(f"has {network.outputs} outputs; a decision is made of one, or of two that are compared")
    network = _folded(network)
    build = _Builder(network)
    for slot in range(1, len(network.steps) + 1):
        build.add(slot, network.steps[slot - 1])
    return build.finished(network)


def _folded(network: Network) -> Network:
    """Without a last step that keeps signs, or for two outputs their order."""
    while network.output:
        step = network.steps[network.output - 1]
        if not isinstance(step, Activation) or not _keeps_decision(step, network.outputs):
            break
        network = Network(network.inputs, network.steps, reads(step)[0])
    return network.without_unused()


def _keeps_decision(step: Activation, outputs: int) -> bool:
    """Two outputs are compared, so their order counts. One decides by its sign (a sigmoid's by that of its logit)."""
    return step.kind in ("sigmoid", "tanh") or (step.kind == "relu" and outputs == 1)


@final
class _Builder:
    """Layers so far; `columns` says which numbers of the current vector each slot that is still needed is."""

    def __init__(self, network: Network) -> None:
        import numpy as np

        self._layers: list[Layer] = []
        self._columns: dict[int, Columns] = {0: np.arange(network.inputs)}
        self._width = network.inputs
        self._last_use = {slot: len(network.steps) + 1 for slot in (network.output,)}
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
            self._emit(slot, _rows(step, [len(source) for source in sources]), np.concatenate(sources))

    def _emit(self, slot: int, rows: Layer, columns: Columns) -> None:
        """A layer of these new rows, and of what later steps still need, copied."""
        import numpy as np

        if len(np.unique(columns)) < len(columns):  # adding two weights of one number might round
            self._emit(slot, _copy(len(columns)), columns)
            columns = self._columns.pop(slot)
        kept = self._needed()
        weight = np.zeros((len(kept) + rows.width, self._width))
        weight[np.arange(len(kept)), kept] = 1
        weight[len(kept) :, columns] = rows.weight
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
            self._emit(slot, _copy(len(columns)), columns)
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
            self._emit(-1, _plain(np.array([[-1.0, 1.0]]), np.zeros(1), 1), columns)
        elif not plain or self._width != 1:
            self._emit(-1, _copy(1), columns)
        return Layers(tuple(self._layers), _all_float32(network))


def _plain(weight: Array, bias: Array, rounds: int) -> Layer:
    import numpy as np

    m = len(weight)
    return Layer(
        weight,
        bias,
        np.ones(m),
        np.zeros(m, dtype=np.int8),
        np.full(m, rounds, dtype=np.int64),
        np.abs(bias),
        np.zeros(m),
    )


def _copy(width: int) -> Layer:
    import numpy as np

    return _plain(np.eye(width), np.zeros(width), 0)


def _rows(step: Step, widths: list[int]) -> Layer:
    """The step over the numbers of its sources side by side."""
    import numpy as np

    match step:
        case Affine(weight=weight, bias=bias):
            return _plain(weight, bias, weight.shape[1] + 1)
        case Sum():
            return _plain(np.tile(np.eye(widths[0]), len(widths)), np.zeros(widths[0]), len(widths) - 1)
        case Scale():
            return _scale(step)
        case BatchNorm():
            return _batch_norm(step)
        case LayerNorm():
            raise ValueError("has a LayerNormalization, which is no layer of one person's numbers with fixed weights")
        case _:
            raise ValueError(f"has a {type(step).__name__}, which is not read here")


def _scale(step: Scale) -> Layer:
    """x·factor/divisor + shift: exact where the quotient is a float."""
    import numpy as np

    weight = step.factor / step.divisor
    quotients = [Fraction(a) / Fraction(b) for a, b in zip(step.factor.tolist(), step.divisor.tolist(), strict=True)]
    exact = np.array([Fraction(w) == q for w, q in zip(weight.tolist(), quotients, strict=True)])
    _check_normal(weight[~exact])
    found = _plain(np.diag(weight), step.shift, 3)
    return Layer(**{**found.__dict__, "relative": np.where(exact, 0.0, 2.0**-52)})


def _batch_norm(step: BatchNorm) -> Layer:
    """(x − mean)/√(variance + ε)·scale + shift.

    In float64 the factor takes four roundings (sum, root, quotient; its product with mean is a fourth, the sum with
    shift a fifth): all relative errors together are below 2^-49 of |weight| and of |mean·factor| + |shift|. A float32
    evaluation takes at most six on each term: x − mean, variance + ε, its root, the quotient, the product, the sum.
    """
    import numpy as np

    factor = step.scale / np.sqrt(step.variance + step.epsilon)
    _check_normal(factor[step.scale != 0])
    moved = step.mean * factor
    found = _plain(np.diag(factor), step.shift - moved, 8)
    size = (np.abs(moved) + np.abs(step.shift)) * (1 + 2.0**-40)
    return Layer(**{**found.__dict__, "size": size, "relative": np.full(len(factor), 2.0**-49)})


def _check_normal(weights: Array) -> None:
    """Relative errors mean nothing where numbers underflow."""
    import numpy as np

    if not (np.isfinite(weights) & (np.abs(weights) > 1e-290) & (np.abs(weights) < 1e290)).all():
        raise ValueError("has a quotient of weights that leaves the range of floats")


def _all_float32(network: Network) -> bool:
    import numpy as np

    def numbers(value: Any) -> bool:
        if isinstance(value, np.ndarray):
            with np.errstate(over="ignore"):
                return bool((value.astype(np.float32) == value).all())
        return True

    return all(numbers(value) for step in network.steps for value in step.__dict__.values())
