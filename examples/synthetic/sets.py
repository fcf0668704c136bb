"""The paper's synthetic sets, by name: 2 group shares × 2 group effects × 2 noises × 2 boxes × 2 targets.

The paper's own generator is not public; this one draws what its text says. People have features in correlated blocks
and one binary group. The target is a signal of the features (standard deviation 2), plus or minus the group's effect,
plus noise, then standardised: a constant answer of 0 costs a mean squared error of 1, and no published loss exceeds it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SIGNAL, BLOCK, CORRELATION, UPPER = 2.0, 10, 0.5, 3.5
TRAINED = 0.6


@dataclass(frozen=True)
class SyntheticSet:
    """One of the 32. `share`: of the smaller group, in percent; the box is [lower, 3.5]."""

    share: int
    effect: int
    noise: float
    lower: float
    nonlinear: bool

    @property
    def name(self) -> str:
        box = "nonnegative" if self.lower == 0 else "symmetric"
        target = "nonlinear" if self.nonlinear else "linear"
        return f"share{self.share}-effect{self.effect}-noise{self.noise}-{box}-{target}"


ALL = {
    found.name: found
    for found in itertools.starmap(
        SyntheticSet, itertools.product((20, 50), (3, 6), (0.125, 0.6), (-UPPER, 0.0), (False, True))
    )
}
EIGHT = tuple(
    one.name
    for one in ALL.values()
    if ((one.share == 50) ^ (one.effect == 6)) == (one.noise == 0.6)
    and ((one.lower == 0) ^ (one.share == 50)) == one.nonlinear
)
"""A quarter of the design: every level of each of the five stands in four of these eight."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """The people of a set: `features` (n, d), `group` (n,) of 0 and 1, `target` (n,), `train` (n,)."""

    features: NDArray[np.float64]
    group: NDArray[np.int64]
    target: NDArray[np.float64]
    train: NDArray[np.bool_]

    def table(self) -> pa.Table:
        """As `certifair train` takes it."""
        columns = {f"x{k}": pa.array(column) for k, column in enumerate(self.features.T, 1)}
        columns["group"] = pa.array(self.group.astype(str))
        columns["target"] = pa.array(self.target)
        columns["part"] = pa.array(np.where(self.train, "train", "test"))
        return pa.table(columns)


def draw(chosen: SyntheticSet, people: int, features: int, seed: int) -> Drawn:
    """The set's people, from the seed and the set's place among the 32 alone."""
    rng = np.random.default_rng([seed, list(ALL).index(chosen.name)])
    blocks = np.arange(features) // BLOCK
    common = rng.standard_normal((people, blocks[-1] + 1))[:, blocks]
    x = np.sqrt(CORRELATION) * common + np.sqrt(1 - CORRELATION) * rng.standard_normal((people, features))
    group = rng.permutation((np.arange(people) < round(people * chosen.share / 100)).astype(np.int64))
    signal = x @ rng.standard_normal(features)
    if chosen.nonlinear:
        signal /= signal.std()
        bent = np.tanh(x @ rng.standard_normal((features, 8)) / np.sqrt(features)) @ rng.standard_normal(8)
        signal = signal + 0.5 * signal**2 + np.sin(2 * signal) + bent / bent.std()
    signal = (signal - signal.mean()) / signal.std()
    target = SIGNAL * signal + chosen.effect * (2 * group - 1) + chosen.noise * rng.standard_normal(people)
    target = (target - target.mean()) / target.std()
    return Drawn(x, group, target, np.arange(people) < round(TRAINED * people))
