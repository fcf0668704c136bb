"""Pairs of inputs whose outputs are as far apart as can be found: what no Lipschitz bound may be below.

1. Random pairs, far and near.
2. Pairs whose ends climb the gradient of log(|Δf|/|u|).
3. Where the derivative J is steepest: the ratio of a pair is at most the largest |J| on the way between its ends, so
   the search looks along the pairs of 2, and goes on from there: small steps, and steps to where some functions inside
   have their kink or are steepest (their argument is 0), as |J| of a piecewise linear network changes there only.
   There a pair lies along the top singular direction, at several lengths.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.exact.ball import quiet
from certifair.spec.network import Activation, Affine, Network
from certifair.stability._derivative import Trace

Array = NDArray[np.float64]
Box = tuple[Array, Array]
Points = tuple[Array, Array]
"""x (n, inputs), and the size (n, 1), in units, of what is around each."""

SECONDS: Final = 20.0
NOISE: Final = 2.0**-46
"""Of the largest number inside: by so much every difference of outputs is taken to be rounded."""
LENGTHS: Final = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5)
ASCENT: Final = 40
NEWTON: Final = 2
ROUNDS: Final = 500
AT_ONCE: Final = 1 << 25
"""Products of a step, by which the points that go together are limited, and time is kept."""
TURNS: Final = 6
"""Steps of a power iteration, for several outputs."""


@final
@dataclass(frozen=True, eq=False)
class Attack:
    """The best pair, None if all outputs were the same, with its |Δf|/|u| in floats; and how good random pairs were."""

    pair: tuple[Array, Array] | None
    ratio: float
    random_ratio: float
    seconds: float


@quiet
def attack(
    network: Network,
    box: Box | None = None,
    units: Array | None = None,
    *,
    random: int = 10_000,
    climbs: int = 1_000,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    seed: int = 0,
) -> Attack:
    """So many random pairs, then so many that are sought, in so many rounds.

    All are in the box (low, high), without one of many magnitudes around 0. The same seed gives the same pair, unless
    time is up.
    Errors: ValueError for a box or units that do not fit the network.
    """
    started = time.monotonic()
    network = network.without_unused()
    search = _Search(network, box, units, seed, started + seconds)
    ends = search.scatter(random)
    scattered = search.ratio
    if climbs and random:
        search.seek(ends, climbs, rounds)
    return Attack(search.pair, search.ratio, scattered, time.monotonic() - started)


@final
class _Search:
    """The best pair so far, and where to look."""

    def __init__(self, network: Network, box: Box | None, units: Array | None, seed: int, end: float) -> None:
        shape = (network.inputs,)
        self._units = np.ones(shape) if units is None else units
        self._low: Array = np.full(shape, -np.inf) if box is None else box[0]
        self._high: Array = np.full(shape, np.inf) if box is None else box[1]
        if not self._units.shape == self._low.shape == self._high.shape == shape or not (self._units > 0).all():
            raise ValueError(f"a box and units are {shape[0]} numbers each, units positive")
        if box is not None and not (np.isfinite(box).all() and (box[0] <= box[1]).all()):
            raise ValueError("the box is empty, or not finite")
        self._network, self._end = network, end
        self._draw = np.random.default_rng(seed)
        self._boxed = box is not None
        self._bends = [step.source for step in network.steps if isinstance(step, Activation)]
        products = sum(step.weight.size for step in network.steps if isinstance(step, Affine)) + sum(network.widths)
        self._rows = max(16, AT_ONCE // products)
        self.pair: tuple[Array, Array] | None = None
        self.ratio = 0.0

    @property
    def _late(self) -> bool:
        return time.monotonic() > self._end

    def scatter(self, pairs: int) -> tuple[Points, Array]:
        """Random pairs: the best of them, as (first points, second points)."""
        found: list[tuple[Array, Array, Array, Array]] = []
        while pairs > 0 and not (found and self._late):
            n = min(pairs, self._rows)
            pairs -= n
            x, size = self._anywhere(n)
            far = self._anywhere(n)[0] if self._boxed else size * self._units * self._normal(n)
            near = x + size * self._units * self._normal(n) * 10 ** self._draw.uniform(-5, 0, (n, 1))
            y = self._inside(np.where(self._draw.random((n, 1)) < 0.5, near, far))
            found.append((x, size, y, self._rate(x, y)))
        if not found:
            return (np.empty((0, 0)), np.empty((0, 1))), np.empty((0, 0))
        x, size, y, rated = (np.concatenate(part) for part in zip(*found, strict=True))
        order = np.argsort(-rated, kind="stable")
        return (x[order], size[order]), y[order]

    def seek(self, ends: tuple[Points, Array], climbs: int, rounds: int) -> None:
        """From the better half of these pairs, and as many others, group by group until time is up."""
        (x, size), y = ends
        best = np.arange(len(x))
        chosen = np.concatenate([best[: climbs // 2], self._draw.permutation(best[climbs // 2 :])])[:climbs]
        for first in range(0, len(chosen), self._rows):
            rows = chosen[first : first + self._rows]
            if self._late:
                return
            self._group((x[rows], size[rows]), y[rows], rounds)

    def _group(self, points: Points, y: Array, rounds: int) -> None:
        x, y, size = *self._ascend(points, y), points[1]
        share = self._draw.random((len(x), 1))
        x = self._steepest_between(x, y, share)
        x, size = self._with_fresh(x, size)
        x, steep, towards = self._wander(x, size, rounds)
        best = np.argsort(-steep, kind="stable")[: max(16, len(x) // 10)]
        for length in LENGTHS:
            if self._late and self.pair is not None:
                return
            self._lay(x[best], size[best], towards[best], length)

    def _ascend(self, points: Points, y: Array) -> tuple[Array, Array]:
        """Both ends along the gradient of log(|Δf|/|u|), in steps that become smaller."""
        (x, size), reach = points, 0.2
        for _ in range(ASCENT):
            if self._late:
                break
            at, to = Trace(self._network, x), Trace(self._network, y)
            apart, u = at.output - to.output, (x - y) / self._units
            self._keep(x, y, self._ratios(at, to, u))
            pull = apart / np.maximum((apart * apart).sum(axis=1, keepdims=True), 1e-300)
            back = u / np.maximum((u * u).sum(axis=1, keepdims=True), 1e-300)
            moves = (at.backward(pull) * self._units - back, back - to.backward(pull) * self._units)
            x, y = (
                self._inside(end + reach * size * self._units * _unit(move))
                for end, move in zip((x, y), moves, strict=True)
            )
            reach *= 0.9
        return x, y

    def _steepest_between(self, x: Array, y: Array, share: Array) -> Array:
        """Of a few points on each way, the one with the largest derivative."""
        found, best = x, np.full(len(x), -1.0)
        for part in (share, *(np.full_like(share, k / 8) for k in range(9))):
            if self._late:
                break
            at = x + part * (y - x)
            steep = self._steep(at)[0]
            found, best = np.where((steep > best)[:, None], at, found), np.maximum(steep, best)
        return found

    def _with_fresh(self, x: Array, size: Array) -> Points:
        """As many points, half of them at most the steepest of ten times as many new ones."""
        for _ in range(10):
            if self._late:
                break
            fresh, its = self._anywhere(len(x))
            old, new, half = self._steep(x)[0], self._steep(fresh)[0], len(x) // 2
            worst, best = np.argsort(old, kind="stable")[:half], np.argsort(-new, kind="stable")[:half]
            better = new[best] > old[worst]
            x[worst[better]], size[worst[better]] = fresh[best[better]], its[best[better]]
        return x, size

    def _wander(self, x: Array, size: Array, rounds: int) -> tuple[Array, Array, Array]:
        """(points with a larger derivative, its norm, its direction), by steps of their own length."""
        steep, towards = self._steep(x)
        reach = np.full((len(x), 1), 0.1)
        for number in range(rounds):
            if self._late:
                break
            step = reach * size * self._units * self._normal(len(x))
            tried = self._inside(self._elsewhere(x, steep, step, number))
            rated, direction = self._steep(tried)
            better = (rated > steep)[:, None]
            x, towards = np.where(better, tried, x), np.where(better, direction, towards)
            steep = np.maximum(steep, rated)
            reach = np.clip(reach * np.where(better, 1.5, 0.93), 1e-4, 1.0)
        return x, steep, towards

    def _elsewhere(self, x: Array, steep: Array, step: Array, number: int) -> Array:
        """Where to look next: a step of all or of some coordinates, bends, ends of the box, parts of a better point."""
        some = self._draw.random(x.shape) < self._draw.choice([0.1, 0.3])
        match number % 8:
            case 1 if self._bends:
                return self._to_the_bends(x) + 0.1 * step
            case 2 | 6 if self._boxed:
                end = np.where(self._draw.random(x.shape) < 0.5, self._low, self._high)
                return np.where(some, end, x)
            case 3:
                rank = np.argsort(-steep, kind="stable")[: max(1, len(x) // 5)]
                return np.where(some, x[self._draw.choice(rank, len(x))], x)
            case 4 | 7:
                step = step * some
        return x + step

    def _to_the_bends(self, x: Array) -> Array:
        """A few Newton steps to where some random neurons of one function read 0, by some of the coordinates each."""
        slot = int(self._draw.choice(self._bends))
        n, width = len(x), self._network.widths[slot]
        count = int(self._draw.integers(1, 1 + min(width, len(self._units), 4)))
        chosen = [np.arange(width) == self._draw.integers(0, width, (n, 1)) for _ in range(count)]
        for _ in range(NEWTON):
            trace = Trace(self._network, x, slot)
            free = self._draw.random(x.shape) < self._draw.choice([0.5, 1.0], (n, 1))
            rows = [trace.backward(mask * 1.0, slot) * self._units * free for mask in chosen]
            slopes, values = np.stack(rows, axis=1), np.stack([trace.slots[slot][mask] for mask in chosen], axis=1)
            square = slopes @ slopes.transpose(0, 2, 1)
            square += np.eye(count) * (1e-9 * np.trace(square, axis1=1, axis2=2)[:, None, None] + 1e-200)
            step = -slopes.transpose(0, 2, 1) @ np.linalg.solve(square, values[:, :, None])
            x = self._inside(x + np.nan_to_num(step[:, :, 0]) * self._units)
        return x

    def _lay(self, x: Array, size: Array, towards: Array, length: float) -> None:
        """Pairs of this length along the derivative's direction, moved into the box if they stick out."""
        step = length / 2 * size * self._units * towards
        if self._boxed:
            middle, half = self._low / 2 + self._high / 2, np.abs(step)
            x = np.clip(x, np.minimum(self._low + half, middle), np.maximum(self._high - half, middle))
        self._rate(self._inside(x - step), self._inside(x + step))

    @quiet
    def _steep(self, x: Array) -> tuple[Array, Array]:
        """(|J| in units at each point, its right singular vector), by power iteration; exact for one output."""
        trace = Trace(self._network, x)
        outputs = self._network.outputs
        weights = self._draw.normal(size=(len(x), outputs)) if outputs > 1 else np.ones((len(x), 1))
        scale = self._units * (self._high > self._low)
        slope = trace.backward(weights) * scale
        for _ in range(TURNS if outputs > 1 else 0):
            slope = trace.backward(_unit(trace.forward(_unit(slope) * scale))) * scale
        length = np.linalg.norm(slope, axis=1)
        return np.where(np.isfinite(length), length, 0.0), _unit(slope)

    def _rate(self, x: Array, y: Array) -> Array:
        rated = self._ratios(Trace(self._network, x), Trace(self._network, y), (x - y) / self._units)
        self._keep(x, y, rated)
        return rated

    @quiet
    def _ratios(self, at: Trace, to: Trace, u: Array) -> Array:
        """|Δf|/|u|, less what may be rounded; 0 for equal points or what is not finite."""
        rounded = NOISE * np.max([np.abs(slot).max(axis=1) for trace in (at, to) for slot in trace.slots], axis=0)
        apart = np.linalg.norm(at.output - to.output, axis=1) - rounded
        found = np.maximum(apart, 0.0) / np.linalg.norm(u, axis=1)
        return np.where(np.isfinite(found), found, 0.0)

    def _keep(self, x: Array, y: Array, rated: Array) -> None:
        best = int(np.argmax(rated))
        if rated[best] > self.ratio:
            self.ratio, self.pair = float(rated[best]), (x[best].copy(), y[best].copy())

    def _anywhere(self, n: int) -> Points:
        if self._boxed:
            size = float(np.linalg.norm((self._high - self._low) / self._units))
            share = self._draw.random((n, len(self._units)))
            at_an_end = self._draw.random(share.shape) < self._draw.choice([0.0, 0.2, 0.8, 1.0], (n, 1))
            x = self._low + (self._high - self._low) * np.where(at_an_end, np.round(share), share)
            return self._inside(x), np.full((n, 1), size)
        sizes: Array = 10 ** self._draw.uniform(-2, 3, (n, 1))
        return sizes * self._units * self._normal(n), sizes

    def _normal(self, n: int) -> Array:
        """Of length about 1."""
        found: Array = self._draw.normal(size=(n, len(self._units))) / np.sqrt(len(self._units))
        return found

    def _inside(self, x: Array) -> Array:
        return np.clip(x, self._low, self._high)


@quiet
def _unit(rows: Array) -> Array:
    """Each row over its length; zeros for rows without direction."""
    found = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(np.isfinite(found), found, 0.0)
