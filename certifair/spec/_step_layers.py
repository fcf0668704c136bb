"""What one step of a network is as a layer of a decision, and what is known of its numbers and of its roundings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, final

from certifair.spec.network import Activation, Affine, BatchNorm, LayerNorm, Network, Scale, Step, Sum

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Counts = NDArray[np.int64]

MOST_WEIGHTS: Final = 1 << 27
"""Of one layer: steps that are no matrices, such as sums of wide rows, become matrices here."""


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """weight (m, n), and (m,) of bias, slope, curve (a code), rounds, size, relative.

    What is known of the true layer: its weights and bias differ from these by at most relative·|weight| and
    relative·size, size ≥ |bias| (relative 0: these are exact). A float32 evaluation of a neuron's z at h, in any order,
    is the real value that these numbers give up to γ_rounds·(|weight|·|h| + size) + rounds·2^-150 (0: it only copies)
    if |weight|·|h| + size, so enlarged, is below 2^128 for all neurons of the layer; relative is contained.
    """

    weight: Array
    bias: Array
    slope: Array
    curve: NDArray[np.int8]
    rounds: Counts
    size: Array
    relative: Array

    @property
    def width(self) -> int:
        return len(self.weight)


def checked_size(m: int, n: int) -> tuple[int, int]:
    """The shape (m, n) of a layer's weight. Errors: ValueError if it is too large."""
    if m * n > MOST_WEIGHTS:
        raise ValueError(f"needs a layer of {m} neurons that read {n} numbers; at most {MOST_WEIGHTS} weights are used")
    return m, n


def plain_layer(weight: Array, bias: Array, rounds: Counts) -> Layer:
    """weight @ h + bias, exactly; identity neurons."""
    import numpy as np

    m = len(weight)
    curve = np.zeros(m, dtype=np.int8)
    return Layer(weight, bias, np.ones(m), curve, rounds, np.abs(bias), np.zeros(m))


def copy_layer(width: int) -> Layer:
    """The numbers as they are."""
    import numpy as np

    checked_size(width, width)
    return plain_layer(np.eye(width), np.zeros(width), np.zeros(width, dtype=np.int64))


def step_layers(step: Step, sources: int, width: int, float32: bool) -> list[Layer]:
    """The step over the numbers of its sources side by side, `width` of them, as one layer after the other."""
    import numpy as np

    match step:
        case Affine(weight=weight, bias=bias):
            return [plain_layer(weight, bias, _roundings(np.count_nonzero(weight, axis=1)))]
        case Sum():
            checked_size(width // sources, width)
            whole = np.tile(np.eye(width // sources), sources)
            return [plain_layer(whole, np.zeros(len(whole)), np.full(len(whole), sources - 1))]
        case Scale():
            checked_size(width, width)
            return _scale(step)
        case BatchNorm():
            checked_size(width + 1, width)
            return [_batch_norm(step, float32)]
        case LayerNorm():
            raise ValueError("has a LayerNormalization, which divides by what depends on the person; use BatchNorm")
        case _:
            raise ValueError(f"has a {type(step).__name__}, which is not read here")


def _roundings(terms: Counts) -> Counts:
    """Of sums of k products and a bias: k + 1. One product may underflow by 2^-150; added up, k·(1 + γ_k)·2^-150.

    k + 1 covers that up to k = 4095, and the last term what is beyond: k·γ_k ≤ k²·2^-24·4/3 for all k ≤ 2^22.
    """
    return terms + 1 + (terms * terms >> 23)


def _scale(step: Scale) -> list[Layer]:
    """x·factor/divisor + shift: exact where the quotients are floats.

    Where neither factor nor divisor is ±1 a float32 evaluation has x·factor on its way, which may leave its range even
    if the quotient does not: then that is a layer of its own.
    """
    import numpy as np

    factor, none = step.factor, np.zeros(len(step.factor))
    multiplies, divides = np.abs(factor) != 1, np.abs(step.divisor) != 1
    before: list[Layer] = []
    if (multiplies & divides).any():
        before = [plain_layer(np.diag(factor), none, multiplies.astype(np.int64))]
        factor, multiplies = np.ones_like(factor), np.zeros_like(multiplies)
    with np.errstate(over="ignore", under="ignore"):
        weight = factor / step.divisor
    _check_finite(weight)
    quotients = [Fraction(a) / Fraction(b) for a, b in zip(factor.tolist(), step.divisor.tolist(), strict=True)]
    exact = np.array([Fraction(w) == q for w, q in zip(weight.tolist(), quotients, strict=True)])
    _check_normal(weight[~exact])
    rounds: Counts = np.stack([multiplies, divides, step.shift != 0, ~exact]).sum(axis=0, dtype=np.int64)
    found = plain_layer(np.diag(weight), step.shift, rounds)
    return [*before, replace(found, relative=np.where(exact, 0.0, 2.0**-52))]


def _batch_norm(step: BatchNorm, float32: bool) -> Layer:
    """(x − mean)/√(variance + ε)·scale + shift.

    Here, in float64: variance + ε, root, quotient, its product with mean, the sum with shift: together below 2^-49 of
    |weight|, and of |mean·factor| + |shift|. A float32 evaluation takes at most seven roundings on each term, as in
    x·a + (shift − mean·a) with a = 1/√(variance + ε)·scale; the eighth contains `relative`. Between 2^±20 a product
    that underflows on its way adds less than 2^-128, which γ_8·2^-100 exceeds. One more neuron, which nobody reads,
    sums what there is on the way besides weight·h: x − mean, also times 1/√(variance + ε) or scale. None overflows
    unless it does.
    """
    import numpy as np

    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        spread = np.sqrt(step.variance + step.epsilon)
        factor = step.scale / spread
        moved = step.mean * factor
        size = (np.abs(moved) + np.abs(step.shift)) * (1 + 2.0**-40) + 2.0**-100
    _check_normal(factor[step.scale != 0])
    _check_normal(size)
    weight, bias = np.diag(factor), step.shift - moved
    if float32:
        way = (1 + 1 / spread + np.abs(step.scale)) * (1 + 2.0**-40)
        weight, bias = np.vstack([weight, way]), np.append(bias, 0.0)
        size = np.append(size, way @ np.abs(step.mean))
    found = plain_layer(weight, bias, np.full(len(bias), 8))
    return replace(found, size=size, relative=np.full(len(bias), 2.0**-49))


def _check_normal(weights: Array) -> None:
    """Relative errors mean nothing where numbers underflow."""
    import numpy as np

    _check_finite(weights)
    if (np.abs(weights) < 1e-290).any():
        raise ValueError("has a quotient of weights that is too small for a float")


def _check_finite(weights: Array) -> None:
    import numpy as np

    if not np.isfinite(weights).all():
        raise ValueError("has a quotient of weights that is too large for a float")


def all_float32(network: Network) -> bool:
    """As `Layers.float32` says it."""
    return all(
        _single(value) for step in network.steps for value in step.__dict__.values() if not isinstance(value, int | str)
    ) and all(_moderate(step) for step in network.steps)


def _single(value: Any) -> bool:
    import numpy as np

    wide = np.asarray(value, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore"):
        return bool((wide.astype(np.float32) == wide).all())


def _moderate(step: Step) -> bool:
    """Beyond ±1 a slope might overflow without the layer after it."""
    import numpy as np

    if not isinstance(step, BatchNorm):
        return not isinstance(step, Activation) or abs(step.slope) <= 1
    with np.errstate(over="ignore"):
        spread = np.sqrt(step.variance + step.epsilon)
    numbers = np.concatenate([spread, np.abs(step.scale[step.scale != 0])])
    return bool(((numbers >= 2.0**-20) & (numbers <= 2.0**20)).all())
