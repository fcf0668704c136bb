"""A network's values in plain floats: what is served, and what a search reads. They prove nothing.

Every step is done once in float64, so a value is off by what rounding adds up to; `exact.ball` bounds that.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, assert_never

from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Step, Sum, reads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def values(network: Network, points: Array) -> Array:
    """What the network gives (n, outputs) for points (n, inputs); infinite, or no number, where float64 ends."""
    return slots(network, points, network.output)[-1]


def slots(network: Network, points: Array, end: int | None = None) -> list[Array]:
    """Every slot up to one, all if none is named, each (n, its width)."""
    import numpy as np

    found = [points]
    with np.errstate(all="ignore"):
        for step in network.steps[:end]:
            found.append(_value(step, [found[slot] for slot in reads(step)]))
    return found


def slope_of(step: Scale | BatchNorm) -> Array:
    """What a step multiplies each number by (width,)."""
    import numpy as np

    if isinstance(step, Scale):
        return step.factor / step.divisor
    found: Array = step.scale / np.sqrt(step.variance + step.epsilon)
    return found


def centred(step: LayerNorm, x: Array) -> tuple[Array, Array]:
    """(x less the mean of its row, the root of the row's variance and epsilon)."""
    import numpy as np

    less = x - x.mean(axis=1, keepdims=True)
    return less, np.sqrt((less * less).mean(axis=1, keepdims=True) + step.epsilon)


def activated(step: Activation, x: Array) -> tuple[Array, Array]:
    """(the function, its derivative; at a kink that of the right side)."""
    import numpy as np

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
            rise: Any = np.where(x >= 0, 1.0, small) / (1 + small)
            if step.kind == "sigmoid":
                return rise, small / (1 + small) ** 2
            above = x > step.threshold
            return np.where(above, x, np.maximum(x, 0) + np.log1p(small)), np.where(above, 1.0, rise)
        case _:
            assert_never(step.kind)


def _value(step: Step, read: list[Array]) -> Array:
    """What a step makes of the slots that it reads."""
    import numpy as np

    x = read[0]
    match step:
        case Affine(weight=weight, bias=bias):
            found: Array = x @ weight.T + bias
            return found
        case Scale(factor=factor, divisor=divisor, shift=shift):
            return x * factor / divisor + shift
        case BatchNorm(mean=mean, shift=shift):
            return (x - mean) * slope_of(step) + shift
        case LayerNorm(scale=scale, shift=shift):
            less, deviation = centred(step, x)
            return less / deviation * scale + shift
        case Activation():
            return activated(step, x)[0]
        case Sum():
            return functools.reduce(np.add, read)
        case Concat():
            return np.concatenate(read, axis=1)
        case _:
            assert_never(step)
