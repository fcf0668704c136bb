"""Who could be asked about: the inputs of a network, what each may be, and which of them must not matter.

A *unit* is everything about a person that is not sensitive. Its flip set holds every combination of the sensitive
inputs; relaxed inputs may move by ±eps in it, within the domain.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Final, Literal, final

Kind = Literal["integer", "continuous", "one_hot"]
KINDS: Final[tuple[Kind, ...]] = ("integer", "continuous", "one_hot")
LARGEST: Final = 1 << 24
"""Every integer up to it is a float32."""
MOST_FEATURES: Final = 1000


@final
@dataclass(frozen=True)
class Feature:
    """One feature of a domain.

    kind integer: every whole number from low to high. continuous: every number from low to high, both floats.
    one_hot: one network input for each of `values`, of which exactly one is 1 and the others 0.
    eps > 0: relaxed. Errors: ValueError for what is none of these.
    """

    name: str
    kind: Kind
    low: float = 0.0
    high: float = 1.0
    values: tuple[str, ...] = ()
    sensitive: bool = False
    eps: float = 0.0

    def __post_init__(self) -> None:
        for number in ("low", "high", "eps"):  # an int is taken for a float
            object.__setattr__(self, number, float(getattr(self, number)))
        if self.kind not in KINDS:
            raise ValueError(f"the kind {self.kind!r} is none of {', '.join(KINDS)}")
        if not (math.isfinite(self.low) and math.isfinite(self.high)) or self.low > self.high:
            raise ValueError(f"the range [{self.low}, {self.high}] is empty or not finite")
        if self.kind == "integer" and not all(x.is_integer() and abs(x) <= LARGEST for x in (self.low, self.high)):
            raise ValueError(f"integers from {self.low} to {self.high}, of which the largest may be 2^24")
        if self.kind == "one_hot":
            if not self.values or len(set(self.values)) != len(self.values) or (self.low, self.high) != (0.0, 1.0):
                raise ValueError("a one-hot feature has one or more different values, and no range")
        elif self.values:
            raise ValueError(f"values belong to one_hot, not to {self.kind}")
        if not 0 <= self.eps < math.inf or (self.eps and (self.sensitive or self.kind == "one_hot")):
            raise ValueError("±eps is finite, and belongs to numbers that are not sensitive")
        if self.kind == "integer" and not self.eps.is_integer():
            raise ValueError("±eps of an integer is a whole number")

    @property
    def width(self) -> int:
        """How many inputs of the network it takes."""
        return len(self.values) if self.kind == "one_hot" else 1

    @property
    def levels(self) -> int | None:
        """How many values it has; None for a continuous one."""
        if self.kind == "continuous":
            return 1 if self.low == self.high else None
        return len(self.values) if self.kind == "one_hot" else int(self.high) - int(self.low) + 1

    @property
    def size(self) -> Fraction:
        """Its share of the measure: the number of values, or the length of a continuous range."""
        return Fraction(self.levels) if self.levels is not None else Fraction(self.high) - Fraction(self.low)

    def points(self) -> Iterator[tuple[float, ...]]:
        """The inputs of every value, in order. Errors: ValueError if there is no end of them."""
        if self.levels is None:
            raise ValueError(f"{self.name} has no finite number of values")
        if self.kind == "continuous":
            return iter([(self.low,)])
        if self.kind == "one_hot":
            return (tuple(int(i == j) for j in range(self.width)) for i in range(self.width))
        return ((value,) for value in range(int(self.low), int(self.high) + 1))

    def contains(self, inputs: tuple[float, ...]) -> bool:
        """Whether these inputs of the network are a value of it."""
        if self.kind == "one_hot":
            return sorted(inputs) == [0.0] * (self.width - 1) + [1.0]
        (value,) = inputs
        return self.low <= value <= self.high and (self.kind == "continuous" or float(value).is_integer())


@final
@dataclass(frozen=True)
class Domain:
    """Features in the order of the network's inputs. Errors: ValueError, naming the feature."""

    name: str
    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if not 0 < len(names) <= MOST_FEATURES:
            raise ValueError(f"{len(names)} features; a domain has 1 to {MOST_FEATURES}")
        for name in (name for name in set(names) if names.count(name) > 1):
            raise ValueError(f"two features have the name {name!r}")
        if not any(feature.sensitive or feature.eps for feature in self.features):
            raise ValueError("no feature is sensitive or relaxed, so nothing could be unfair")

    @property
    def inputs(self) -> int:
        """How many inputs a network for it has."""
        return sum(feature.width for feature in self.features)

    @cached_property
    def columns(self) -> tuple[tuple[int, ...], ...]:
        """The inputs of each feature."""
        starts = [0]
        for feature in self.features:
            starts.append(starts[-1] + feature.width)
        return tuple(tuple(range(a, b)) for a, b in itertools.pairwise(starts))

    @property
    def sensitive(self) -> tuple[int, ...]:
        """The sensitive features' positions."""
        return tuple(i for i, feature in enumerate(self.features) if feature.sensitive)

    @property
    def units(self) -> Fraction:
        """How many units there are, or their volume where some features are continuous."""
        return math.prod((f.size for f in self.features if not f.sensitive), start=Fraction(1))

    @property
    def freedom(self) -> tuple[int, int]:
        """At most how many combinations the finite inputs of a flip set have, and how many continuous inputs it has."""
        free = [feature for feature in self.features if feature.sensitive or feature.eps]
        finite = [
            min(feature.levels, 2 * int(feature.eps) + 1) if feature.eps else feature.levels
            for feature in free
            if feature.levels is not None
        ]
        return math.prod(finite), len(free) - len(finite)

    @property
    def flips(self) -> int | None:
        """How many combinations the sensitive features have; None if one of them is continuous."""
        levels = [f.levels for f in self.features if f.sensitive]
        return None if None in levels else math.prod(level for level in levels if level is not None)
