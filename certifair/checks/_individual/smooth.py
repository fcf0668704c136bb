"""Networks with sigmoids or tanhs inside: points only, over the reals, in ball arithmetic (`exact.ball`).

A ball of f that is surely > 0, or surely ≤ 0, decides a point; one that reaches across 0 decides nothing. Functions of
float32 hardware have errors that no standard bounds, so nothing is claimed of float32.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final, cast, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual.floats import Array, Prepared
from certifair.checks._individual.points import Decided, Judge, Signs, code_of, sure
from certifair.evidence.witness import ALL, BOUNDED, OPEN, PAIR, UNDECIDED, Rows, Tree
from certifair.exact import ball, elementary
from certifair.exact.ball import Ball
from certifair.spec.layers import CURVES, Layer, Layers

NUMBERS: Final = 1 << 18
"""In the widest layer, of the points that are evaluated at once."""


@final
@dataclass(frozen=True, eq=False)
class SmoothJudge:
    """What `points.Judge` does for piecewise linear networks. Errors: ValueError if weights are not exact."""

    layers: Layers

    def __post_init__(self) -> None:
        if any(layer.relative.any() for layer in self.layers.layers):
            raise ValueError("the network has weights that are no floats")

    def signs(self, x: Array) -> Signs:
        """(rows, 2): +1 where f > 0, −1 where f ≤ 0, 0 where that is not known (float32: never); x (rows, n0)."""
        found = np.zeros((len(x), 2), dtype=np.int8)
        step = max(1, NUMBERS // max(max(layer.weight.shape) for layer in self.layers.layers))
        for start in range(0, len(x), step):
            value = functools.reduce(_through, self.layers.layers, ball.exact(x[start : start + step]))
            low = np.nextafter(value.mid - value.rad, -np.inf)[:, 0]
            high = np.nextafter(value.mid + value.rad, np.inf)[:, 0]
            found[start : start + step, 0] = sure(low, high, 0.0)
        return found

    def flips(self, combinations: Array, low: Array, high: Array, rounding: Array) -> SmoothFlips:
        """Many flip sets that share their combinations; the bounds are of no use here."""
        return SmoothFlips(self, combinations)


@final
@dataclass(frozen=True, eq=False)
class SmoothFlips:
    """As `points.Flips`, each point by itself."""

    judge: SmoothJudge
    combinations: Array

    def decide(self, units: Array, there: NDArray[np.bool_] | None = None) -> Decided:
        flips = len(self.combinations)
        points = (self.combinations[:, None] + units[None]).reshape(-1, units.shape[1])
        which = np.ones(len(points), dtype=bool) if there is None else there.reshape(-1)
        known = np.zeros((len(points), 2), dtype=np.int8)
        known[which] = self.judge.signs(points[which])
        sign = known.reshape(flips, len(units), 2)
        absent = ~which.reshape(flips, len(units), 1)
        most, least = (np.where(absent, end, sign) for end in (-1, 1))
        code = code_of(most.max(axis=0), least.min(axis=0))
        return Decided(code, most[..., 0].argmax(axis=0), least[..., 0].argmin(axis=0))


def judge_of(layers: Layers) -> Judge:
    """What decides points of a network. Errors: ValueError where nothing does.

    Of a `SmoothJudge` nothing may be asked but points: see `points_only`.
    """
    return Judge.of(Prepared(layers)) if layers.piecewise_linear else cast(Judge, SmoothJudge(layers))


def points_only(about: Tree | Rows) -> Tree | Rows:
    """The same witness without what speaks of boxes."""
    if isinstance(about, Tree):
        kept = bytes(OPEN if kind in BOUNDED else kind for kind in range(256))
        return Tree(about.kind.translate(kept), about.feature, about.cut, about.pairs)
    return Rows(bytes(code if code in (ALL, PAIR) else UNDECIDED for code in about.code), about.pairs)


def _through(h: Ball, layer: Layer) -> Ball:
    """One layer, neuron by neuron what each is."""
    z = ball.matmul(h, np.ascontiguousarray(layer.weight.T), layer.bias)
    mid, rad = z.mid.copy(), z.rad.copy()
    for curve, slope in sorted({(int(c), float(s)) for c, s in zip(layer.curve, layer.slope, strict=True)}):
        some = (layer.curve == curve) & (layer.slope == slope)
        part = Ball(np.ascontiguousarray(z.mid[:, some]), np.ascontiguousarray(z.rad[:, some]))
        if CURVES[curve] == "sigmoid":
            part = elementary.sigmoid(part)
        elif CURVES[curve] == "tanh":
            part = elementary.tanh(part)
        elif slope != 1:
            part = ball.relu(part) if slope == 0 else ball.leaky_relu(part, slope)
        mid[:, some], rad[:, some] = part.mid, part.rad
    return Ball(mid, rad)
