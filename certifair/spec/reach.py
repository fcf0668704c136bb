"""What the functions inside a network may read while its inputs are in a box: for Lipschitz bounds over that box.

Every slot is an affine function of numbers e in [-1, 1]: a matrix (width, 1 + generators), applied to (1, e), in balls.
The first generators are the inputs'. Affine steps keep that form. A function g of arguments in [l, h] becomes
λz + μ ± δ, the error a generator of its own (DeepZ: Singh et al., NeurIPS 2018). A LayerNorm becomes its range.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, assert_never, final

from certifair.spec._slopes import ends, slopes
from certifair.spec.chain import MOST_NUMBERS, _factor, _needed, _scaled
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Step, Sum, reads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from certifair.exact.ball import Ball

    Array = NDArray[np.float64]


def ranges_of(network: Network, low: Array, high: Array) -> dict[int, tuple[Array, Array]]:
    """For the number of each Activation and LayerNorm that counts: ends (m,) of what it reads, for inputs in the box.

    Errors: ValueError for a box that is no box, for a function with a jump inside, or matrices that are too large.
    """
    import numpy as np

    if low.shape != (network.inputs,) or high.shape != low.shape or not (np.isfinite(low) & np.isfinite(high)).all():
        raise ValueError(f"a box of shapes {low.shape} and {high.shape}; {network.inputs} finite numbers belong there")
    if (low > high).any():
        raise ValueError("the box is empty")
    build = _Reach(network, low, high)
    for number in _needed(network):
        build.add(number)
    return build.found


@final
class _Reach:
    def __init__(self, network: Network, low: Array, high: Array) -> None:
        import numpy as np

        from certifair.exact import ball
        from certifair.exact.quadratic import stacked, transposed

        middle, half = _halves(low, high)
        first = transposed(stacked(ball.exact(middle[None]), ball.exact(np.diag(half))))
        self._network = network
        self._slots: dict[int, tuple[Ball, Array, Array]] = {0: (first, low, high)}
        self._width = 1 + len(low)
        self.found: dict[int, tuple[Array, Array]] = {}

    def add(self, number: int) -> None:
        """Step `number`."""
        step = self._network.steps[number]
        width = self._network.widths[number + 1]
        if width * (self._width + width) > MOST_NUMBERS:
            raise ValueError(f"step {number}: {width} numbers that depend on {self._width} are too many to follow")
        if isinstance(step, Activation | LayerNorm):
            _, low, high = self._slots[step.source]
            self.found[number] = low, high
        try:
            self._slots[number + 1] = self._through(step)
        except ValueError as error:
            raise ValueError(f"step {number}, {type(step).__name__}: {error}") from None

    def _through(self, step: Step) -> tuple[Ball, Array, Array]:
        import numpy as np

        from certifair.exact import ball
        from certifair.exact.ball import Ball
        from certifair.exact.quadratic import product, stacked, widened

        rows, low, high = self._slots[reads(step)[0]]
        match step:
            case Affine(weight=weight, bias=bias):
                middle, half = _halves(low, high)
                plain = ends(product(ball.exact(weight), Ball(middle[:, None], half[:, None])))
                one = ball.exact(bias)
                known = ends(ball.add(_from_ends(plain[0][:, 0], plain[1][:, 0]), one))
                return _within(_shifted(product(ball.exact(weight), rows), one), *known)
            case Scale(shift=shift):
                return _within(_shifted(_scaled(rows, _factor(step)), ball.exact(shift)))
            case BatchNorm(shift=shift, mean=mean):
                moved = _shifted(rows, ball.exact(-mean))
                return _within(_shifted(_scaled(moved, _factor(step)), ball.exact(shift)))
            case Sum(sources=sources):
                parts = [widened(self._slots[slot][0], self._width) for slot in sources]
                return _within(functools.reduce(ball.add, parts))
            case Concat(sources=sources):
                return _within(stacked(*(self._slots[slot][0] for slot in sources)))
            case Activation():
                return self._activate(step, rows, low, high)
            case LayerNorm(epsilon=epsilon, scale=scale, shift=shift):
                whole = _from_ends(low, high)
                known = ends(ball.layer_norm(Ball(whole.mid[None], whole.rad[None]), epsilon, scale, shift))
                always = ends(ball.add(_standardised(scale), ball.exact(shift)))
                return self._fresh(np.maximum(known[0][0], always[0]), np.minimum(known[1][0], always[1]))
            case _:
                assert_never(step)

    def _activate(self, step: Activation, rows: Ball, low: Array, high: Array) -> tuple[Ball, Array, Array]:
        """g(z) − λz has its ends at those of [l, h], or at the kink: λ is the least slope, or the chord's of a kink."""
        import numpy as np

        from certifair.exact import ball

        least, most = slopes(step, low, high)
        kinked = step.kind in ("relu", "leaky_relu")
        at = [value_of(step, ball.exact(end)) for end in (low, high)]
        chord = np.clip((at[1].mid - at[0].mid) / np.where(high > low, high - low, 1.0), least, most)
        line = np.where(least == most, least, chord if kinked else least)
        rest = [
            ball.subtract(value, ball.multiply(ball.exact(line), ball.exact(end)))
            for value, end in zip(at, (low, high), strict=True)
        ]
        bounds = [ends(item) for item in rest]
        bottom, top = np.minimum(bounds[0][0], bounds[1][0]), np.maximum(bounds[0][1], bounds[1][1])
        if kinked:
            inside = (low < 0) & (high > 0)
            straight = least == most
            bottom = np.where(straight, 0.0, np.where(inside, np.minimum(bottom, 0.0), bottom))
            top = np.where(straight, 0.0, np.where(inside, np.maximum(top, 0.0), top))
        middle, half = _halves(bottom, top)
        found = self._noised(_shifted(_scaled(rows, ball.exact(line)), ball.exact(middle)), half)
        if step.kind == "leaky_relu" and step.slope < 0:
            return _within(found)
        return _within(found, ends(at[0])[0], ends(at[1])[1])

    def _fresh(self, low: Array, high: Array) -> tuple[Ball, Array, Array]:
        import numpy as np

        from certifair.exact import ball

        middle, half = _halves(low, high)
        rows = np.zeros((len(low), self._width))
        rows[:, 0] = middle
        return _within(self._noised(ball.exact(rows), half), low, high)

    def _noised(self, rows: Ball, half: Array) -> Ball:
        """Each row ± half, by generators of their own."""
        import numpy as np

        from certifair.exact import ball
        from certifair.exact.quadratic import widened

        own = np.flatnonzero(half != 0)
        more = np.zeros((len(half), self._width + len(own)))
        more[own, self._width + np.arange(len(own))] = half[own]
        self._width += len(own)
        return ball.add(widened(rows, self._width), ball.exact(more))


def value_of(step: Activation, z: Ball) -> Ball:
    """The function of a ball."""
    from certifair.exact import ball, elementary

    match step.kind:
        case "relu":
            return ball.relu(z)
        case "leaky_relu":
            return ball.leaky_relu(z, step.slope)
        case "sigmoid":
            return elementary.sigmoid(z)
        case "tanh":
            return elementary.tanh(z)
        case "softplus":
            return elementary.softplus(z, step.threshold)
        case _:
            assert_never(step.kind)


def _standardised(scale: Array) -> Ball:
    """scale times what a LayerNorm makes of d numbers: with their mean 0 and Σc² = d, |c_i| ≤ √(d − 1)."""
    import numpy as np

    from certifair.exact import ball
    from certifair.exact.ball import Ball

    most = np.nextafter(np.sqrt(len(scale) - 1.0), np.inf)
    return Ball(np.zeros(len(scale)), ball.outward(np.abs(scale) * most))


def _halves(low: Array, high: Array) -> tuple[Array, Array]:
    """Midpoint m and h with [low, high] in m ± h; 0 and inf where an end is infinite."""
    import numpy as np

    known = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(known, low, 0.0), np.where(known, high, 0.0)
    middle = low / 2 + high / 2
    half = np.maximum(high - middle, middle - low)
    return middle, np.where(known, np.where(low == high, 0.0, np.nextafter(half, np.inf)), np.inf)


def _from_ends(low: Array, high: Array) -> Ball:
    from certifair.exact.ball import Ball

    return Ball(*_halves(low, high))


def _shifted(rows: Ball, by: Ball) -> Ball:
    """The constants, column 0, moved."""
    from certifair.exact import ball
    from certifair.exact.ball import Ball

    moved = ball.add(Ball(rows.mid[:, 0], rows.rad[:, 0]), by)
    mid, rad = rows.mid.copy(), rows.rad.copy()
    mid[:, 0], rad[:, 0] = moved.mid, moved.rad
    return Ball(mid, rad)


def _within(rows: Ball, low: Array | None = None, high: Array | None = None) -> tuple[Ball, Array, Array]:
    """The rows and their ranges, which other bounds may narrow: the constant ± the sum of all other magnitudes."""
    import numpy as np

    from certifair.exact import ball

    reach = ball.outward(np.abs(rows.mid[:, 1:]).sum(axis=1) + rows.rad.sum(axis=1))
    least, most = ends(ball.ball(rows.mid[:, 0].copy(), reach))
    if low is not None and high is not None:
        least, most = np.maximum(least, low), np.minimum(most, high)
    return rows, least, most
