"""The sign of f at single points, at both levels of claim, and at all points of many flip sets at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual import close, floats, integers
from certifair.checks._individual.floats import Array, Prepared, Values, quiet
from certifair.evidence.witness import layers_to_json, plain_layers
from certifair.exact import piecewise

Signs = NDArray[np.int8]
LEVELS: Final = ("real", "float32")
POINTS_AT_ONCE: Final = 1 << 13


@final
@dataclass(frozen=True, eq=False)
class Judge:
    """Decides points of a network; `exact` is the same network in integers, `pieces` too, for sweeps."""

    net: Prepared
    exact: tuple[integers.ExactLayer, ...]
    pieces: tuple[piecewise.ScaledLayer, ...]

    @staticmethod
    def of(net: Prepared) -> Judge:
        plain = plain_layers(layers_to_json(net.layers))
        return Judge(net, integers.exact_layers(plain), piecewise.scaled(plain))

    def flips(self, combinations: Array, low: Array, high: Array, rounding: Array) -> Flips:
        """Many flip sets that share these combinations, between the given corners."""
        return Flips.within(self, combinations, low, high, rounding)

    def signs(self, x: Array) -> Signs:
        """(rows, 2): +1 where f > 0, −1 where f ≤ 0, at either level, and 0 where that is not known; x (rows, n0).

        Inputs that are no float32 numbers are taken to be rounded to the nearest one first at the float32 level.
        """
        found = np.zeros((len(x), 2), dtype=np.int8)
        for start in range(0, len(x), POINTS_AT_ONCE):
            rows = slice(start, start + POINTS_AT_ONCE)
            found[rows] = self._signs(x[rows])
        return found

    @quiet
    def _signs(self, x: Array) -> Signs:
        net, ranges = self.net, floats.evaluate(self.net, x)
        low, high = ranges.low[-1][:, 0], ranges.high[-1][:, 0]
        found = np.zeros((len(x), 2), dtype=np.int8)
        wrong = 0.0 if net.inexact is None else floats.drift(net, net.inexact, ranges)
        found[:, 0] = sure(low, high, wrong)
        if net.claimed32 is not None:
            found[:, 1] = sure(low, high, floats.drift(net, net.claimed32, ranges, rounded_inputs(x)))
        for row in np.flatnonzero(found[:, 0] == 0).tolist() if net.inexact is None else ():
            found[row, 0] = 1 if integers.value(self.exact, x[row].tolist()) > 0 else -1
        for row in np.flatnonzero(found[:, 1] == 0).tolist() if net.sums_only else ():
            found[row, 1] = sure(low[row], high[row], close.drift32(net, ranges.of(row), x[row]))
            if found[row, 1] == 0 and close.exact32(net, x[row]):
                found[row, 1] = found[row, 0]
        return found


@quiet
def rounded_inputs(x: Array) -> Array:
    """How far x is from the nearest float32; inf where that is infinite."""
    return np.abs(x - x.astype(np.float32)) * floats.SLACK


def sure(low: Values, high: Values, error: Values | float) -> Signs:
    """+1 or −1 where every number within `error` of [low, high] is > 0, or ≤ 0; 0 where one of them is not finite."""
    known = np.isfinite(low) & np.isfinite(high) & np.isfinite(error)
    return ((low > error) & known).astype(np.int8) - ((high <= -error) & known).astype(np.int8)


@final
@dataclass(frozen=True, eq=False)
class Decided:
    """Per unit and level (units, 2): 1 if f > 0 on its whole flip set, −1 if f ≤ 0 on it, 2 if both occur, else 0.

    high, low (units,): combinations with f > 0 and f ≤ 0 where both occur at the real level, and if possible at both.
    """

    code: Signs
    high: NDArray[np.intp]
    low: NDArray[np.intp]


@final
@dataclass(frozen=True, eq=False)
class Flips:
    """Many flip sets that share their combinations: the first layer is computed for units and for combinations.

    combinations (flips, n0) are 0 in the inputs of units, and units 0 in those of combinations. delta: their first
    layer. bound (2,): a value of `floats.values` that exceeds it decides at that level, rounding included, for all
    points between the given corners.
    """

    judge: Judge
    combinations: Array
    delta: Values
    bound: Values

    @staticmethod
    @quiet
    def within(judge: Judge, combinations: Array, low: Array, high: Array, rounding: Array) -> Flips:
        """low, high (n0,): the corners. rounding (n0,): how far inputs may be from float32 numbers."""
        net = judge.net
        how, weights, _, _ = net.filter32
        ranges = floats.interval(net, low[None], high[None])
        own = floats.drift(net, how, ranges, rounding[None])
        bound = own + level_errors(net, ranges, rounding[None])[0]
        kind = weights[0].dtype
        up = np.nextafter(bound.astype(kind), np.array(np.inf, dtype=kind))
        return Flips(judge, combinations, combinations.astype(kind) @ weights[0], up)

    @quiet
    def decide(self, units: Array, there: NDArray[np.bool_] | None = None) -> Decided:
        """units (rows, n0); there (flips, rows): which combinations are in each unit's flip set, of each at least one.

        What the filter does not decide is looked at point by point. A combination that is not there is replaced by one
        that is, throughout.
        """
        value = self._values(units)
        every = np.arange(len(units))
        stand_in = None
        if there is not None:
            stand_in = np.where(there, np.arange(len(value))[:, None], there.argmax(axis=0))
            value = value[stand_in, every]
        high, low = value.max(axis=0), value.min(axis=0)
        code = np.empty((len(units), 2), dtype=np.int8)
        for level, bound in enumerate(self.bound):
            code[:, level] = code_of(sure(high, high, bound), sure(low, low, bound))
        unsure = np.flatnonzero((code == 0).any(axis=1))
        both = np.flatnonzero(code[:, 0] == 2)
        at = np.zeros((2, len(units)), dtype=np.intp)
        at[0, both], at[1, both] = value[:, both].argmax(axis=0), value[:, both].argmin(axis=0)
        step = max(1, POINTS_AT_ONCE // len(self.combinations))
        for start in range(0, len(unsure), step):
            some = unsure[start : start + step]
            instead = None if stand_in is None else stand_in[:, some]
            code[some], at[0, some], at[1, some] = self._closely(units[some], value[:, some], instead)
        if stand_in is not None:
            at = stand_in[at, every]
        return Decided(code, at[0], at[1])

    def _values(self, units: Array) -> Values:
        """(flips, units) In blocks that a processor's cache holds."""
        _, weights, biases, _ = self.judge.net.filter32
        found = np.empty((len(self.delta), len(units)), dtype=weights[0].dtype)
        step = max(1, floats.NUMBERS_AT_ONCE // max(weight.shape[1] for weight in weights))
        for start in range(0, len(units), step):
            block = units[start : start + step].astype(weights[0].dtype)
            base = floats.product(block, weights[0]) + biases[0]
            found[:, start : start + step] = floats.values(self.judge.net, base, self.delta)
        return found

    def _closely(
        self, units: Array, value: Values, stand_in: NDArray[np.intp] | None
    ) -> tuple[Signs, NDArray[np.intp], NDArray[np.intp]]:
        """`decide` for units that the filter left open; value (flips, units) is the filter's. stand_in (flips, units):
        another combination that stands in for each that is not there."""
        sign = np.stack([sure(value, value, bound) for bound in self.bound])
        open_ = (sign == 0).any(axis=0)
        flip, unit = np.nonzero(open_)
        real = flip if stand_in is None else stand_in[flip, unit]
        sign[:, flip, unit] = self.judge.signs(units[unit] + self.combinations[real]).T
        most, least = sign.max(axis=1), sign.min(axis=1)
        code = code_of(most, least).T
        worth = sign.astype(np.int16) * 2 * (1 + np.abs(sign[1]))
        return code, worth[0].argmax(axis=0), worth[0].argmin(axis=0)


def code_of(most: Signs, least: Signs) -> Signs:
    """What the largest and the smallest of the signs of a flip set say of it (`Decided.code`)."""
    return np.where((most > 0) & (least < 0), 2, np.where(least > 0, 1, np.where(most < 0, -1, 0))).astype(np.int8)


def level_errors(net: Prepared, ranges: floats.Ranges, rounding: Array | float) -> Array:
    """(rows, 2) How far the number that decides may be from f, for each of LEVELS; inf where nothing is known."""
    none = np.zeros(len(ranges.inputs))
    real = none if net.inexact is None else floats.drift(net, net.inexact, ranges)
    if net.claimed32 is None:
        return np.stack([real, none + np.inf], axis=1)
    return np.stack([real, floats.drift(net, net.claimed32, ranges, rounding)], axis=1)
