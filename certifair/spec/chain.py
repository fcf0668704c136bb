"""How differences run through a network: linear maps between functions of bounded slope, for Lipschitz bounds.

Take two persons, and write Δ for the difference of a number between them. v = (u, Δφ_1 … Δφ_k) are the differences of
the inputs, each divided by its unit, and of the values of the functions inside, in the order of the steps. All steps
but those functions are affine, so the difference of every slot is a matrix times v. Of a function only this is used:

* neuron by neuron, Δφ = s·Δz for some s in [low, high], so (Δφ − low·Δz)(high·Δz − Δφ) ≥ 0;
* of a LayerNorm, Δφ = S·Δz for z less its mean, with S symmetric, its eigenvalues in [0, high] (the mean of the
  derivative along the way from one to the other, see `_slopes.layer_norm_slope`), so Δφ·(high·Δz − Δφ) ≥ 0. Only the
  sum over its neurons has a sign: they are tied.

Where low = high the neuron is linear and takes no place in v. In a chain of *excesses* v has Δψ in place of Δφ, with
Δφ = low·Δz + (high − low)·Δψ: then all slopes are in [0, 1], and numbers stay of one size where slopes hardly differ.

So for all multipliers t ≥ 0 (one for tied neurons), if ρ|u|² − |Δf|² − Σ 2t(Δφ − low·Δz)(high·Δz − Δφ) ≥ 0 for all v,
then |Δf|² ≤ ρ|u|² (LipSDP: Fazlyab et al., NeurIPS 2019, arXiv 1906.04893, with one multiplier for each neuron). Any
bound that is a product of such bounds of parts, √ρ_1·√ρ_2, is of this form too: multiply the first inequality, with its
multipliers, by ρ_2 and add the second.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never, final

from certifair.spec._slopes import layer_norm_slope, slopes
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Step, Sum, reads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from certifair.exact.ball import Ball

    Array = NDArray[np.float64]
    Ends = tuple[Array, Array]

MOST_NUMBERS: Final = 1 << 26
"""Of one matrix, and of the matrices of all curves."""


@final
@dataclass(frozen=True, eq=False)
class Curve:
    """Functions side by side: Δz = z @ v, z (m, variables); slopes (m,); their Δφ are v[first : first + m]."""

    step: int
    z: Ball
    low: Array
    high: Array
    first: int
    tied: bool

    @property
    def width(self) -> int:
        return len(self.low)

    @property
    def multipliers(self) -> int:
        """How many multipliers it has."""
        return 1 if self.tied else self.width


@final
@dataclass(frozen=True, eq=False)
class Chain:
    """The difference of the output is output @ v, output (outputs, variables); v starts with the inputs."""

    inputs: int
    curves: tuple[Curve, ...]
    output: Ball

    @property
    def variables(self) -> int:
        """The length of v."""
        return int(self.output.shape[1])

    def spread(self, multipliers: Sequence[Array]) -> Array:
        """One multiplier for each neuron, from those of each curve."""
        import numpy as np

        parts = [np.broadcast_to(t, curve.width) for t, curve in zip(multipliers, self.curves, strict=True)]
        return np.concatenate([*parts, np.empty(0)])


def chain_of(
    network: Network,
    units: Array | None = None,
    ranges: Mapping[int, Ends] | None = None,
    *,
    excess: bool = False,
) -> Chain:
    """The chain of a network, of values or of excesses.

    units (inputs,) are positive; ranges: of what the steps of these numbers read, ends included.

    Errors: ValueError naming the step that has no bounded slope, for units that are not positive numbers, or matrices
    that are too large.
    """
    build = _Builder(network, units, ranges or {}, excess)
    for number in range(len(network.steps)):
        build.add(number)
    return build.finished()


@final
class _Builder:
    """Slots so far, as matrices that v is multiplied by."""

    def __init__(self, network: Network, units: Array | None, ranges: Mapping[int, Ends], excess: bool) -> None:
        import numpy as np

        from certifair.exact import ball

        diagonal = np.ones(network.inputs) if units is None else units
        if diagonal.shape != (network.inputs,) or not (np.isfinite(diagonal) & (diagonal > 0)).all():
            raise ValueError(f"units of shape {diagonal.shape}; {network.inputs} positive numbers belong there")
        self._network, self._ranges, self._excess = network, ranges, excess
        self._needed = _needed(network)
        self._last_use = {slot: number for number in self._needed for slot in reads(network.steps[number])}
        self._width = network.inputs
        self._slots: dict[int, Ball] = {0: ball.exact(np.diag(diagonal))}
        self._curves: list[Curve] = []

    def add(self, number: int) -> None:
        """Step `number`, if the output depends on it."""
        if number not in self._needed:
            return
        step = self._network.steps[number]
        width = self._network.widths[number + 1]
        try:
            if width * (self._width + width) > MOST_NUMBERS:
                raise ValueError(f"{width} numbers that depend on {self._width}; at most {MOST_NUMBERS} are followed")
            self._slots[number + 1] = self._through(number, step)
        except ValueError as error:
            name = step.kind if isinstance(step, Activation) else type(step).__name__
            raise ValueError(f"step {number}, {name}: {error}") from None
        for slot in set(reads(step)) - {self._network.output}:
            if self._last_use[slot] == number:
                del self._slots[slot]

    def finished(self) -> Chain:
        """Every matrix with a column for each variable."""
        import dataclasses

        from certifair.exact.quadratic import widened

        size = self._width * sum(curve.width for curve in self._curves)
        if size > MOST_NUMBERS:
            raise ValueError(
                f"has functions that depend on each other by {size} numbers; at most {MOST_NUMBERS} are followed"
            )
        curves = [dataclasses.replace(curve, z=widened(curve.z, self._width)) for curve in self._curves]
        return Chain(self._network.inputs, tuple(curves), widened(self._slots[self._network.output], self._width))

    def _through(self, number: int, step: Step) -> Ball:
        from certifair.exact import ball
        from certifair.exact.quadratic import product, stacked, transposed, widened

        sources = [self._slots[slot] for slot in reads(step)]
        match step:
            case Affine(weight=weight):
                return product(ball.exact(weight), sources[0])
            case Scale() | BatchNorm():
                return _scaled(sources[0], _factor(step))
            case Sum():
                width = max(source.shape[1] for source in sources)
                return functools.reduce(ball.add, (widened(source, width) for source in sources))
            case Concat():
                return stacked(*sources)
            case Activation():
                return self._activate(number, step, sources[0])
            case LayerNorm(scale=scale):
                row = transposed(sources[0])
                return _scaled(
                    self._normalise(number, step, transposed(ball.subtract(row, ball.mean(row)))), ball.exact(scale)
                )
            case _:
                assert_never(step)

    def _activate(self, number: int, step: Activation, z: Ball) -> Ball:
        """Linear neurons in terms of what they read, the others as new variables."""
        import numpy as np

        from certifair.exact import ball
        from certifair.exact.ball import Ball
        from certifair.exact.quadratic import widened

        low, high = slopes(step, *self._range(number, len(z.mid)))
        bent = np.flatnonzero(low != high)
        found = widened(_scaled(z, ball.exact(low)), self._width + len(bent))
        mid, rad = found.mid.copy(), found.rad.copy()
        low, high = low[bent], high[bent]
        if not self._excess:
            mid[bent], rad[bent] = 0.0, 0.0
        mid[bent, self._width + np.arange(len(bent))] = np.nextafter(high - low, np.inf) if self._excess else 1.0
        if len(bent):
            self._append(number, Ball(z.mid[bent], z.rad[bent]), low, high, tied=False)
        return Ball(mid, rad)

    def _normalise(self, number: int, step: LayerNorm, z: Ball) -> Ball:
        """New variables for all neurons, which are tied."""
        import numpy as np

        from certifair.exact import ball
        from certifair.exact.ball import Ball
        from certifair.exact.quadratic import widened

        width = len(z.mid)
        steep = layer_norm_slope(step, *self._range(number, width))
        own = ball.exact(np.eye(width) * (steep if self._excess else 1.0))
        if self._excess:  # S maps centred rows to centred rows, so their mean may be taken off once more
            own = ball.subtract(own, ball.mean(own))
        found = widened(own, self._width + width)
        mid, rad = (np.roll(part, self._width, axis=1) for part in (found.mid, found.rad))
        self._append(number, z, np.zeros(width), np.full(width, steep), tied=True)
        return Ball(mid, rad)

    def _append(self, number: int, z: Ball, low: Array, high: Array, *, tied: bool) -> None:
        if self._excess:
            low, high = low * 0, high * 0 + 1
        self._curves.append(Curve(number, z, low, high, self._width, tied))
        self._width += len(low)

    def _range(self, number: int, width: int) -> tuple[Array, Array]:
        import numpy as np

        return self._ranges.get(number, (np.full(width, -np.inf), np.full(width, np.inf)))


def _needed(network: Network) -> list[int]:
    """The steps that the output depends on, in order."""
    slots = {network.output}
    for slot in range(len(network.steps), 0, -1):
        if slot in slots:
            slots.update(reads(network.steps[slot - 1]))
    return sorted(slot - 1 for slot in slots if slot)


def _factor(step: Scale | BatchNorm) -> Ball:
    from certifair.exact import ball

    if isinstance(step, Scale):
        return ball.divide(ball.exact(step.factor), ball.exact(step.divisor))
    spread = ball.sqrt(ball.add(ball.exact(step.variance), ball.exact(step.epsilon)))
    return ball.divide(ball.exact(step.scale), spread)


def _scaled(rows: Ball, factor: Ball) -> Ball:
    """Each row times its factor; what is 0 stays so, and a factor of 1 rounds nothing."""
    import numpy as np

    from certifair.exact import ball
    from certifair.exact.ball import Ball

    found = ball.multiply(rows, Ball(factor.mid[:, None], factor.rad[:, None]))
    same = (factor.mid[:, None] == 1) & (factor.rad[:, None] == 0)
    nothing = (rows.mid == 0) & (rows.rad == 0) & np.isfinite(factor.rad[:, None])
    mid = np.where(same, rows.mid, found.mid)
    return Ball(mid, np.where(same, rows.rad, np.where(nothing, 0.0, found.rad)))


def sides(chain: Chain) -> tuple[Ball, Ball]:
    """Δφ − low·Δz and high·Δz − Δφ as matrices that v is multiplied by, a row for each neuron of all curves."""
    import numpy as np

    from certifair.exact import ball

    n = chain.variables
    lefts, rights = [ball.exact(np.empty((0, n)))], [ball.exact(np.empty((0, n)))]
    for curve in chain.curves:
        own = np.zeros((curve.width, n))
        own[np.arange(curve.width), curve.first + np.arange(curve.width)] = 1.0
        lefts.append(ball.subtract(ball.exact(own), _scaled(curve.z, ball.exact(curve.low))))
        rights.append(ball.subtract(_scaled(curve.z, ball.exact(curve.high)), ball.exact(own)))
    return ball.concatenate(lefts, axis=0), ball.concatenate(rights, axis=0)


def form(chain: Chain, rho: float, multipliers: Sequence[Array]) -> Ball:
    """The matrix of ρ|u|² − |Δf|² − Σ 2t(Δφ − low·Δz)(high·Δz − Δφ) in v; its midpoints are symmetric."""
    import numpy as np

    from certifair.exact import ball
    from certifair.exact.quadratic import both_ways

    left, right = sides(chain)
    weights = np.concatenate([np.full(len(chain.output.mid), 0.5), chain.spread(multipliers)])
    first = ball.concatenate([chain.output, left], axis=0)
    second = _scaled(ball.concatenate([chain.output, right], axis=0), ball.exact(weights))
    size = np.zeros(chain.variables)
    size[: chain.inputs] = rho
    return ball.subtract(ball.exact(np.diag(size)), both_ways(first, second))
