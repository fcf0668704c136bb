"""What a comparison engine is asked, and what it proposes.

The question: do two points of the box, equal on every input that does not flip, get different decisions (f > 0)? An
answer is a proposal, never a claim: PASS is an engine's word that there is no such pair, FAIL comes with a pair that
anybody can evaluate, UNDECIDED with the reason. What decides is an independent checker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray

from certifair.spec.domain import Domain
from certifair.spec.layers import Layers
from certifair.spec.verdict import Verdict

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Pair = tuple[Array, Array]


@final
@dataclass(frozen=True, eq=False)
class Query:
    """A box of inputs, low ≤ high, (d,) each, of which those in `integer` are whole numbers.

    The two points of a pair differ at most in `flips` (sensitive and relaxed inputs), by at most `reach` in each (None:
    by as much as the box allows; 2·eps for an input relaxed by ±eps). Of each group in `one_hot` exactly one input is
    1, the others 0. Errors: ValueError for arrays that do not fit together.
    """

    low: Array
    high: Array
    integer: Mask
    flips: Mask
    one_hot: tuple[tuple[int, ...], ...] = ()
    reach: Array | None = None

    def __post_init__(self) -> None:
        shape = (self.inputs,)
        if not shape == self.high.shape == self.integer.shape == self.flips.shape:
            raise ValueError("low, high, integer and flips of a query have different shapes")
        ends = np.stack([self.low, self.high])
        if not (np.isfinite(ends).all() and (self.low <= self.high).all()):
            raise ValueError("a query's box is empty or not finite")
        if (ends[:, self.integer] % 1 != 0).any():
            raise ValueError("a query's integer input has an end that is no whole number")
        if self.reach is not None and (self.reach.shape != shape or not (self.reach >= 0).all()):
            raise ValueError("a query's reach is not one number ≥ 0 for each input")
        for group in self.one_hot:
            if len({bool(self.flips[i]) for i in group}) != 1 or self.low[list(group)].sum() > 1:
                raise ValueError("a query's one-hot group flips in part, or has two inputs that must be 1")

    @property
    def inputs(self) -> int:
        return len(self.low)

    @property
    def distance(self) -> Array:
        """How far the two points may lie apart in each input, (d,)."""
        width = np.where(self.flips, self.high - self.low, 0.0)
        return width if self.reach is None else np.minimum(width, self.reach)

    def allows(self, pair: Pair) -> bool:
        """Whether the pair is one of those that are asked about."""
        points = np.stack(pair)
        inside = ((self.low <= points) & (points <= self.high)).all() and (points[:, self.integer] % 1 == 0).all()
        near = (np.abs(points[0] - points[1]) <= self.distance).all()
        hot = all((np.sort(points[:, list(group)])[:, :-1] == 0).all() for group in self.one_hot)
        return bool(inside and near and hot and all((points[:, list(g)].sum(axis=1) == 1).all() for g in self.one_hot))


@final
@dataclass(frozen=True, eq=False)
class Answer:
    """PASS: no pair, the engine says. FAIL: `pair`, the positive point first. UNDECIDED: `reason` says why.

    `bound`: the engine's bounds on f over the whole box, if it has any. The reason has no figures of this question, so
    that equal ones can be counted; `str` has both.
    """

    verdict: Verdict
    reason: str
    pair: Pair | None = None
    bound: tuple[float, float] | None = None

    def __str__(self) -> str:
        figures = "" if self.bound is None else f"; {self.bound[0]:.9g} ≤ f ≤ {self.bound[1]:.9g} over the box"
        return f"{self.verdict.name}: {self.reason}{figures}"


class Decider(Protocol):
    """What all comparison engines do."""

    def decide(self, layers: Layers, query: Query, seconds: float) -> Answer:
        """A proposal within `seconds`. Errors: InputError if the engine's packages are not installed."""
        ...


def query_of_domain(domain: Domain) -> Query:
    """Is anybody of the domain treated differently?"""
    features = [feature for feature in domain.features for _ in range(feature.width)]
    groups = zip(domain.features, domain.columns, strict=True)
    return Query(
        low=np.array([feature.low for feature in features]),
        high=np.array([feature.high for feature in features]),
        integer=np.array([feature.kind != "continuous" for feature in features]),
        flips=np.array([feature.sensitive or feature.eps > 0 for feature in features]),
        one_hot=tuple(columns for feature, columns in groups if feature.kind == "one_hot"),
        reach=np.array([2 * feature.eps if feature.eps else np.inf for feature in features]),
    )


def query_of_row(domain: Domain, row: Array) -> Query:
    """Is this person, (d,), treated differently? Errors: ValueError if the row is not in the domain."""
    whole = query_of_domain(domain)
    if not whole.allows((row, row)):
        raise ValueError("the row is not in the domain")
    reach = np.full(whole.inputs, np.inf) if whole.reach is None else whole.reach
    eps = np.where(whole.flips, reach / 2, 0.0)
    low, high = np.maximum(whole.low, row - eps), np.minimum(whole.high, row + eps)
    return Query(low, high, whole.integer, whole.flips, whole.one_hot)
