"""Simulated streams of people: groups, shares and score distributions that online algorithms find hard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("stationary", "drifting", "one group first")


@dataclass(frozen=True)
class Mix:
    """Groups with their shares, and the mean and standard deviation of their scores; the box is [0, 1].

    `shape`: "normal", which leaves the box, or "beta", which does not.
    """

    name: str
    shares: tuple[float, ...]
    means: tuple[float, ...]
    spread: tuple[float, ...]
    shape: str = "normal"

    @property
    def values(self) -> list[str]:
        return [f"group {k}" for k in range(len(self.shares))]


MIXES = (
    Mix("two groups, 20%, 0.24 apart", (0.8, 0.2), (0.6, 0.36), (0.15, 0.15)),
    Mix("two groups, 2%, 0.24 apart", (0.98, 0.02), (0.6, 0.36), (0.15, 0.15)),
    Mix("two groups, 2%, 0.4 apart, wide", (0.98, 0.02), (0.7, 0.3), (0.25, 0.25)),
    Mix("two groups, 50%, 0.4 apart, wide", (0.5, 0.5), (0.7, 0.3), (0.25, 0.25)),
    Mix("two groups, 10%, 0.1 apart", (0.9, 0.1), (0.5, 0.4), (0.1, 0.1), "beta"),
    Mix("two groups, 20%, alike", (0.8, 0.2), (0.5, 0.5), (0.2, 0.2)),
    Mix("two groups, 20%, 0.03 apart", (0.8, 0.2), (0.5, 0.47), (0.2, 0.2), "beta"),
    Mix("two groups, 5%, 0.02 apart, wide", (0.95, 0.05), (0.5, 0.48), (0.25, 0.25), "beta"),
    Mix("two groups, half of one above the box", (0.8, 0.2), (0.95, 0.7), (0.25, 0.2)),
    Mix("three groups", (0.7, 0.2, 0.1), (0.6, 0.5, 0.3), (0.1, 0.2, 0.15), "beta"),
    Mix("six groups, 2% to 50%", (0.5, 0.2, 0.14, 0.1, 0.04, 0.02), (0.6, 0.5, 0.45, 0.3, 0.7, 0.3),
        (0.2, 0.15, 0.2, 0.1, 0.25, 0.2)),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Stream:
    """`scores` and `groups` (n,), the latter indices into the mix's values, in order of arrival."""

    mix: Mix
    kind: str
    scores: NDArray[np.float64]
    groups: NDArray[np.int64]


def draw(mix: Mix, kind: str, people: int, seed: int) -> Stream:
    """A stream. Drifting: the shares move evenly from those of the mix to the same in reverse."""
    random = np.random.default_rng([seed, MIXES.index(mix), KINDS.index(kind)])
    shares = np.tile(mix.shares, (people, 1))
    if kind == "drifting":
        way = np.linspace(0, 1, people)[:, None]
        shares = (1 - way) * shares + way * shares[:, ::-1]
    groups = (random.random(people)[:, None] > np.cumsum(shares, axis=1)[:, :-1]).sum(axis=1)
    if kind == "one group first":
        groups = groups[np.argsort(groups != 0, kind="stable")]
    mean, spread = np.array(mix.means)[groups], np.array(mix.spread)[groups]
    if mix.shape == "normal":
        return Stream(mix, kind, random.normal(mean, spread), groups)
    size = mean * (1 - mean) / spread**2 - 1
    return Stream(mix, kind, random.beta(mean * size, (1 - mean) * size), groups)
