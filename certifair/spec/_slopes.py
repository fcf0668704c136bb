"""Between which slopes the functions inside a network lie: everywhere, or where their arguments are known to be.

The slope of a function between two points of an interval, (g(z) − g(z'))/(z − z'), is a mean of its derivative there
(all these functions are absolutely continuous), so it lies between the ends of the derivative's range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from certifair.spec.network import Activation, LayerNorm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from certifair.exact.ball import Ball

    Array = NDArray[np.float64]


def slopes(step: Activation, low: Array, high: Array) -> tuple[Array, Array]:
    """(least, largest) slope of each neuron between arguments in [low, high], which may be infinite; rounded outwards.

    Errors: ValueError for a softplus whose jump is in there: no multiple of the distance bounds a jump.
    """
    import numpy as np

    match step.kind:
        case "relu" | "leaky_relu":
            left = np.where(low >= 0, 1.0, step.slope)
            right = np.where(high <= 0, step.slope, 1.0)
            return np.minimum(left, right), np.maximum(left, right)
        case "sigmoid" | "tanh":
            near = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
            far = np.maximum(np.abs(low), np.abs(high))
            return _steepness(step.kind, far)[0], _steepness(step.kind, near)[1]
        case "softplus":
            return _softplus(step, low, high)
        case _:
            assert_never(step.kind)


def _softplus(step: Activation, low: Array, high: Array) -> tuple[Array, Array]:
    """The derivative is the sigmoid, which grows; above the threshold it is 1."""
    import numpy as np

    above = low > step.threshold
    if not (above | (high <= step.threshold)).all():
        raise ValueError(
            f"is a softplus that jumps at its threshold {step.threshold:g}, so no Lipschitz bound holds; "
            "use one without a threshold, or a domain that stays on one side of it"
        )
    return np.where(above, 1.0, _sigmoid(low)[0]), np.where(above, 1.0, _sigmoid(high)[1])


def _sigmoid(z: Array) -> tuple[Array, Array]:
    """Lower and upper bounds of 1/(1 + e^-z); z may be infinite."""
    import numpy as np

    from certifair.exact import ball, elementary

    known = np.isfinite(z)
    low, high = ends(elementary.sigmoid(ball.exact(np.where(known, z, 0.0))))
    certain = np.where(z > 0, 1.0, 0.0)
    return np.where(known, np.maximum(low, 0.0), certain), np.where(known, np.minimum(high, 1.0), certain)


def _steepness(kind: str, size: Array) -> tuple[Array, Array]:
    """Bounds of the derivative at ±size, size ≥ 0: 1 − tanh² or σ − σ², both even, at most 1 and 1/4."""
    import numpy as np

    from certifair.exact import ball, elementary

    known = np.isfinite(size)
    point = ball.exact(np.where(known, size, 0.0))
    value = elementary.tanh(point) if kind == "tanh" else elementary.sigmoid(point)
    whole = ball.exact(np.ones(size.shape)) if kind == "tanh" else value
    low, high = ends(ball.subtract(whole, ball.multiply(value, value)))
    most = 1.0 if kind == "tanh" else 0.25
    return np.where(known, np.clip(low, 0.0, most), 0.0), np.where(known, np.clip(high, 0.0, most), 0.0)


def ends(a: Ball) -> tuple[Array, Array]:
    """(low, high) of the balls: the sum of midpoint and radius is rounded once, so one step outwards contains it."""
    import numpy as np

    return np.nextafter(a.mid - a.rad, -np.inf), np.nextafter(a.mid + a.rad, np.inf)


def layer_norm_slope(step: LayerNorm, low: Array, high: Array) -> float:
    """At least every eigenvalue of the derivative of c/√(|c|²/d + ε) by c, c being z less its mean, z in [low, high].

    With s² = |c|²/d + ε the derivative is (I − ccᵀ/(d·s²))/s: symmetric, its eigenvalues are 1/s, and ε/s³ along c.
    So all are in [0, 1/s], and s² ≥ ε + v for any lower bound v of the variance. |c|/√d is a seminorm of z that is at
    most |z|/√d, so √v may be that of the middle of the box less |its half widths|/√d.
    Errors: ValueError if s may be 0.
    """
    import numpy as np

    from certifair.exact import ball

    square = ball.exact(np.array([step.epsilon]))
    if np.isfinite(low).all() and np.isfinite(high).all():
        middle = low / 2 + high / 2
        reach = np.nextafter(np.maximum(high - middle, middle - low), np.inf)
        row = ball.exact(middle)
        deviation = _root_mean_square(ball.subtract(row, ball.mean(row)))
        rest = ends(ball.subtract(deviation, _root_mean_square(ball.exact(reach))))[0]
        known = ball.exact(np.where(rest > 0, rest, 0.0))
        square = ball.at_least(ball.add(square, ball.multiply(known, known)), step.epsilon)
    found = float(ends(ball.reciprocal_sqrt(square))[1][0])
    if not np.isfinite(found):
        raise ValueError("divides by a deviation that may be 0, so no Lipschitz bound holds; give it a larger epsilon")
    return found


def _root_mean_square(a: Ball) -> Ball:
    """Of one row, as an array of one number; what is known to be ≥ 0 is kept so."""
    from certifair.exact import ball

    return ball.sqrt(ball.at_least(ball.mean(ball.multiply(a, a)), 0.0))
