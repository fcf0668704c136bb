"""What float64 arithmetic proves about f at points and in boxes, and what float32 may add to it.

Rounding, once for all. u = 2^-53. Every quantity below is a sum of products of given floats, computed by sums and
products only. Multiply it out: each term passes at most p roundings, so the computed value errs by at most γ_p times
the sum of the terms' magnitudes (Higham, Accuracy and Stability, §3.1), whatever the order of sums, fused or not. That
sum is a forward pass with absolute values everywhere (`total` below, or `Prepared.most`). What is computed of it is too
small by a factor of at most 1 + 2^-30, which SLACK exceeds; and OMEGA, which it contains at each neuron, times u
exceeds every underflow (2^20 products of at most 2^-1074). So `theta` times it bounds the error, with
theta ≥ γ_p·SLACK. Anything that overflows makes a bound infinite or not a number, which proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.exact.sums import require_subnormals
from certifair.spec.layers import Layer, Layers

Array = NDArray[np.float64]
Values = NDArray[Any]
"""float32 or float64."""

U: Final = 2.0**-53
SLACK: Final = 1 + 2.0**-20
OMEGA: Final = 2.0**-960
NUMBERS_AT_ONCE: Final = 1 << 17
ALONE: Final = 1 << 18
"""Products of so many terms are computed by the thread that asks for them; of more, BLAS starts threads of its own."""
quiet: Final = np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")


@final
@dataclass(frozen=True, eq=False)
class Arithmetic:
    """How a neuron's computed value may differ from the exact value of what it was computed from.

    By rate·Σ|w·h| + tiny, if Σ|w·h| < largest; a product with a slope that is neither 0 nor 1, by unit·|z| + least.
    spare: how much less the rate is for each term that is surely 0, as adding it rounds nothing.
    """

    rate: tuple[Array, ...]
    tiny: tuple[Array, ...]
    unit: float = 0.0
    least: float = 0.0
    largest: float = np.inf
    spare: float = 0.0


@final
@dataclass(frozen=True, eq=False)
class Prepared:
    """A piecewise linear network, its weights transposed (n, m), with what depends on nothing else.

    Errors: ValueError for curves, numbers that are not finite, sums of 2^20 terms, or a processor that flushes to zero.
    """

    layers: Layers

    def __post_init__(self) -> None:
        require_subnormals()
        if not self.layers.piecewise_linear:
            raise ValueError("the network has sigmoid or tanh neurons inside")
        if any(max(layer.weight.shape) >= 1 << 20 for layer in self.layers.layers):
            raise ValueError("a layer has more than 2^20 inputs or neurons")
        if not all(np.isfinite(v).all() for x in self.layers.layers for v in (x.weight, x.bias, x.slope, x.size)):
            raise ValueError("the network has numbers that are not finite")

    @cached_property
    def weight(self) -> list[Array]:
        return [np.ascontiguousarray(layer.weight.T) for layer in self.layers.layers]

    @cached_property
    def magnitude(self) -> list[Array]:
        return [np.abs(weight) for weight in self.weight]

    @cached_property
    def connected(self) -> list[Array]:
        """1 where a weight is not 0."""
        return [(weight != 0).astype(np.float64) for weight in self.weight]

    @cached_property
    def bias(self) -> list[Array]:
        return [layer.bias for layer in self.layers.layers]

    @cached_property
    def size(self) -> list[Array]:
        return [np.maximum(layer.size, np.abs(layer.bias)) for layer in self.layers.layers]

    @cached_property
    def slope(self) -> list[Array]:
        return [layer.slope for layer in self.layers.layers]

    @cached_property
    def steepest(self) -> list[Array]:
        """The largest |derivative| of each neuron's function."""
        return [np.maximum(1.0, np.abs(slope)) for slope in self.slope]

    @cached_property
    def sums_only(self) -> bool:
        """Whether `close.drift32` knows these layers: float32 numbers, weighted sums with a bias, ReLUs, identities."""
        return self.layers.float32 and all(map(_is_sums, self.layers.layers))

    @cached_property
    def theta(self) -> float:
        """γ_p·SLACK for every path through the network: per layer its sum, then 32 for all that is done to a sum."""
        p = sum(2 * sum(weight.shape) + 32 for weight in self.weight)
        return p * U * (1 + 2.0**-10)

    @cached_property
    def most(self) -> tuple[list[Array], list[Array]]:
        """|W_k|·s·…·s·|W_1|, (n0, m) for each layer, and the same from the output down to each hidden layer, (m,)."""
        up, down = [self.magnitude[0] + OMEGA], [self.magnitude[-1][:, 0] + OMEGA]
        for steepest, weight in zip(self.steepest, self.magnitude[1:], strict=False):
            up.append((up[-1] * steepest) @ weight + OMEGA)
        for steepest, weight in zip(self.steepest[-2:0:-1], self.magnitude[-2:0:-1], strict=True):
            down.append(weight @ (down[-1] * steepest) + OMEGA)
        return up, down[::-1]

    @cached_property
    def claimed32(self) -> Arithmetic | None:
        """IEEE float32 in any order of sums, fused or not; None if the network's numbers are not float32."""
        if not self.layers.float32:
            return None
        rates = [_gamma(layer.rounds, 2.0**-24) for layer in self.layers.layers]
        rate = tuple((g + (1 + g) * x.relative) * SLACK for g, x in zip(rates, self.layers.layers, strict=True))
        tiny = tuple(layer.rounds.astype(np.float64) * 2.0**-149 for layer in self.layers.layers)
        return Arithmetic(rate, tiny, 2.0**-24, 2.0**-149, 2.0**127, spare=2.0**-24)

    @cached_property
    def inexact(self) -> Arithmetic | None:
        """How far the true network is from the one that is stored; None if they are the same."""
        if self.layers.exact:
            return None
        rate = tuple(layer.relative * SLACK for layer in self.layers.layers)
        return Arithmetic(rate, tuple(np.zeros(len(r)) for r in rate))

    @cached_property
    def filter32(self) -> tuple[Arithmetic, list[Values], list[Values], list[Values]]:
        """Arithmetic, weights, biases and slopes for many values at once: float32 where that is exact, else float64.

        A sum of n terms is taken in three parts with a bias: at most n + 4 roundings.
        """
        numbers = [*self.weight, *self.bias, *self.slope]
        single = all((value.astype(np.float32) == value).all() for value in numbers)
        kind, u, low = (np.float32, 2.0**-24, 2.0**-126) if single else (np.float64, U, 2.0**-1022)
        terms = [np.full(weight.shape[1], len(weight) + 4) for weight in self.weight]
        rate = tuple(_gamma(n, u) * SLACK for n in terms)
        how = Arithmetic(
            rate, tuple(n.astype(np.float64) * low for n in terms), u, low, 2.0**127 if single else 2.0**1000
        )
        cast = [[value.astype(kind) for value in values] for values in (self.weight, self.bias, self.slope)]
        return how, cast[0], cast[1], cast[2]


def _is_sums(layer: Layer) -> bool:
    terms = (layer.weight != 0).sum(axis=1) + 1
    copies = (layer.rounds == 0) & (terms == 2) & (layer.bias == 0) & (layer.weight.max(axis=1) == 1)
    sums = (layer.rounds == terms) & (layer.size == np.abs(layer.bias)) & (layer.relative == 0)
    return bool((copies | sums).all() and np.isin(layer.slope, (0, 1)).all())


def _gamma(n: NDArray[np.int64], u: float) -> Array:
    return np.where(n * u < 0.5, n * u / (1 - np.minimum(n * u, 0.5)), np.inf)


def product(rows: Any, weight: Any) -> Any:
    """rows @ weight, in blocks: here each thread has its own rows."""
    n, m = weight.shape
    block = max(1, ALONE // (n * m))
    if len(rows) <= block:
        return rows @ weight
    whole = len(rows) // block * block
    found = np.empty((len(rows), m), dtype=rows.dtype)
    np.matmul(rows[:whole].reshape(-1, block, n), weight, out=found[:whole].reshape(-1, block, m))
    np.matmul(rows[whole:], weight, out=found[whole:])
    return found


@final
@dataclass(frozen=True, eq=False)
class Ranges:
    """For each layer (rows, m): low ≤ z ≤ high for the exact z; and the magnitude of the inputs (rows, n0)."""

    low: list[Array]
    high: list[Array]
    inputs: Array

    def of(self, row: int) -> Ranges:
        """Of one row."""
        some = slice(row, row + 1)
        return Ranges([v[some] for v in self.low], [v[some] for v in self.high], self.inputs[some])


@quiet
def drift(net: Prepared, how: Arithmetic, ranges: Ranges, start: Array | float = 0.0) -> Array:
    """(rows,) How far f may be from f computed in another arithmetic, for inputs that differ by at most `start`.

    Induction over layers, E ≥ |h − ĥ|, H ≥ |h|: Σ|w·ĥ| ≤ |W|(H + E) + size, so E_z = |W|E + rate·(that) + tiny. If z
    and ẑ are both surely ≥ 0, the function adds nothing to it; if both ≤ 0, it multiplies by |slope|; else by at most
    the larger of 1 and |slope|; and the product with the slope is rounded. A neuron with `rounds` roundings on a term
    has γ_rounds, or γ_(rounds − zeros) ≤ γ_rounds − zeros·u if some of its terms are surely 0 in both.
    """
    error: Array = np.zeros_like(ranges.inputs) + start
    most, z = ranges.inputs, error
    for k, (low, high) in enumerate(zip(ranges.low, ranges.high, strict=True)):
        slope = np.abs(net.slope[k])
        total = product(most + error, net.magnitude[k]) + net.size[k]
        rate: Array = how.rate[k]
        if how.spare:
            rate = np.maximum(rate - how.spare * product((most + error == 0).astype(np.float64), net.connected[k]), 0.0)
        z = (product(error, net.magnitude[k]) + rate * total + how.tiny[k]) * SLACK
        z = np.where(total * (1 + how.rate[k]) * SLACK < how.largest, z, np.inf)
        steep = np.where(low - z >= 0, 1.0, np.where(high + z <= 0, slope, net.steepest[k]))
        rounding = how.unit * slope * (np.maximum(-low, high) + z) + how.least
        error = (steep * z + np.where((slope == 0) | (net.slope[k] == 1), 0.0, rounding)) * SLACK
        most = np.maximum(np.maximum(high, 0.0), slope * np.maximum(-low, 0.0))
    return np.where(z[:, 0] >= 0, z[:, 0], np.inf)


@quiet
def evaluate(net: Prepared, x: Array) -> Ranges:
    """Ranges at points x (rows, n0), given exactly: z in float64, ± its error.

    E_z = |W|E + γ(|W||ĥ| + size) from the computed ĥ, as in `drift`; the ends are rounded once more, which the
    number of roundings includes.
    """
    low, high, h, error = [], [], x, np.zeros_like(x)
    for k, weight in enumerate(net.weight):
        gamma = (len(weight) + 8) * U * SLACK
        z = product(h, weight) + net.bias[k]
        bound = (product(error + gamma * np.abs(h), net.magnitude[k]) + gamma * net.size[k] + OMEGA) * SLACK
        z, bound = np.where(np.isfinite(z), z, 0.0), np.where(np.isfinite(z), bound, np.inf)
        low.append(z - bound)
        high.append(z + bound)
        slope = net.slope[k]
        h = np.where(z >= 0, z, slope * z)
        steep = np.where(low[-1] >= 0, 1.0, np.where(high[-1] <= 0, np.abs(slope), net.steepest[k]))
        error = (steep * bound + np.where((slope == 0) | (slope == 1), 0.0, 2 * U * np.abs(h) + OMEGA)) * SLACK
    return Ranges(low, high, np.abs(x))


@quiet
def interval(net: Prepared, low: Array, high: Array) -> Ranges:
    """Ranges in boxes (rows, n0), by interval arithmetic."""
    lows, highs, inputs = [], [], np.maximum(np.abs(low), np.abs(high))
    for k, weight in enumerate(net.weight):
        up, down = np.maximum(weight, 0.0), np.minimum(weight, 0.0)
        gamma = (2 * len(weight) + 8) * U * SLACK
        bound = gamma * (np.maximum(np.abs(low), np.abs(high)) @ net.magnitude[k] + net.size[k]) * SLACK + OMEGA
        lows.append(low @ up + high @ down + net.bias[k] - bound)
        highs.append(high @ up + low @ down + net.bias[k] + bound)
        slope, wide = net.slope[k], 1 + 8 * U
        ends = [np.where(z >= 0, z, slope * z) for z in (lows[-1], highs[-1])]
        ends += [np.where((lows[-1] < 0) & (highs[-1] > 0), 0.0, ends[0])]  # a negative slope turns at 0
        low, high = np.minimum.reduce(ends), np.maximum.reduce(ends)
        low, high = np.minimum(low * wide, low / wide) - OMEGA, np.maximum(high * wide, high / wide) + OMEGA
    return Ranges(lows, highs, inputs)


@quiet
def values(net: Prepared, base: Values, delta: Values) -> Values:
    """f (flips, units), unproven, where the first layer is base (units, m), bias included, + delta (flips, m).

    In the arithmetic of `filter32`, whose `drift` says how far these may be from the exact ones.
    """
    found = np.empty((len(delta), len(base)), dtype=base.dtype)
    step = max(1, NUMBERS_AT_ONCE // max(1, base.size))
    for start in range(0, len(delta), step):
        found[start : start + step] = _values(net, base, delta[start : start + step])
    return found


def _values(net: Prepared, base: Values, delta: Values) -> Values:
    _, weights, biases, slopes = net.filter32
    z = np.add(base[None], delta[:, None]).reshape(-1, base.shape[1])
    for slope, weight, bias in zip(slopes, weights[1:], biases[1:], strict=False):
        if not slope.any():
            np.maximum(z, 0, out=z)
        elif (slope != 1).any():
            z = np.where(z >= 0, z, slope * z)
        z = product(z, weight)
        z += bias
    found: Values = z.reshape(len(delta), len(base))
    return found
