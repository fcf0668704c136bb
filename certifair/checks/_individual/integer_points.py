"""The decision at points, and the points of boxes, in the integers of the standard library alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, prod
from typing import Any, Final, final

from certifair.checks._individual import integers
from certifair.checks._individual.integers import Bounds, ExactLayer
from certifair.evidence.witness import PlainLayer, Witness, plain_layers
from certifair.spec.domain import Domain, Feature

Range = tuple[Fraction, Fraction]
Box = tuple[Range, ...]
ZERO: Final = Fraction(0)


@final
@dataclass(frozen=True)
class Network:
    """A network in the forms that are needed; levels: whether weights may be inexact, and the claim for float32."""

    plain: list[PlainLayer]
    exact: tuple[ExactLayer, ...]
    single: bool

    @staticmethod
    def of(witness: Witness) -> Network:
        plain = plain_layers(witness.layers)
        return Network(plain, integers.exact_layers(plain), all(item["float32"] is True for item in witness.layers))

    def errors(
        self, ranges: Any, inputs: Sequence[Fraction], rounds: Sequence[Fraction | None]
    ) -> list[Fraction | None]:
        """How far the number that decides may be from f: over the reals, and as float32; None if not known."""
        curved = any(any(layer.curve) for layer in self.plain)
        inexact = any(any(layer.relative) for layer in self.plain)
        none = [ZERO] * len(inputs)
        real = integers.drift(self.plain, ranges, inputs, none, single=False) if inexact else ZERO
        known = [value for value in rounds if value is not None]
        single = None
        if self.single and len(known) == len(rounds):
            single = integers.drift(self.plain, ranges, inputs, known, single=True)
        return [None, None] if curved else [real, single]

    def signs(self, x: Sequence[Fraction]) -> list[int]:
        """At both levels 1, −1 or 0 (not known), at a dyadic point."""
        found = integers.enclose(self.exact, x, x)
        rounds = [ZERO if _is_single(v) else _rounding(v) for v in x]
        errors = self.errors(found.ranges, [abs(v) for v in x], rounds)
        real, single = (sign_of(found.centre, found.centre, error) for error in errors)
        if single == 0 and self.single and not any(rounds) and integers.sums_only(self.plain):
            single = real if integers.exact32(self.plain, x) else 0
        return [real, single]


def sign_of(low: Fraction, high: Fraction, error: Fraction | None) -> int:
    """1 or −1 if what is within `error` of [low, high] is > 0 or ≤ 0, else 0."""
    if error is None:
        return 0
    return 1 if low > error else -1 if high <= -error else 0


def _is_single(value: Fraction) -> bool:
    """Whether a dyadic number is a float32 (or 0), not a subnormal one."""
    odd = value.numerator // (value.numerator & -value.numerator or 1)
    return odd.bit_length() <= 24 and (not value or Fraction(1, 1 << 126) <= abs(value) < 1 << 127)


def _rounding(value: Fraction) -> Fraction | None:
    """How far a number may be from a float32; None where that may be infinite."""
    return abs(value) / (1 << 24) + Fraction(1, 1 << 149) if abs(value) < 1 << 127 else None


def enclosed(
    network: Network, domain: Domain, low: Sequence[Fraction], high: Sequence[Fraction]
) -> tuple[Bounds, list[Fraction | None]]:
    """Bounds of f over these ranges of its inputs, and there `Network.errors`."""
    bounds = integers.enclose(network.exact, low, high)
    most = [max(abs(a), abs(b)) for a, b in zip(low, high, strict=True)]
    return bounds, network.errors(bounds.ranges, most, _rounds(domain, most))


def _rounds(domain: Domain, most: Sequence[Fraction]) -> list[Fraction | None]:
    """`_rounding` of inputs of at most these magnitudes; integers are float32 numbers."""
    return [
        _rounding(most[i]) if feature.kind == "continuous" else ZERO
        for feature, columns in zip(domain.features, domain.columns, strict=True)
        for i in columns
    ]


def root(domain: Domain) -> Box:
    """The whole domain: ranges of values, or of one-hot positions."""
    return tuple(
        (ZERO, Fraction(f.width - 1)) if f.kind == "one_hot" else (Fraction(f.low), Fraction(f.high))
        for f in domain.features
    )


def relaxed(domain: Domain, box: Box) -> Box:
    """Widened by ±eps, within the domain."""
    ends = zip(domain.features, box, root(domain), strict=True)
    return tuple((max(a - Fraction(f.eps), c), min(b + Fraction(f.eps), d)) for f, (a, b), (c, d) in ends)


def hull(domain: Domain, box: Box) -> tuple[list[Fraction], list[Fraction]]:
    """The ranges of the network's inputs."""
    low: list[Fraction] = []
    high: list[Fraction] = []
    for f, (a, b) in zip(domain.features, box, strict=True):
        if f.kind == "one_hot":
            low += [Fraction(a == b == j) for j in range(f.width)]
            high += [Fraction(a <= j <= b) for j in range(f.width)]
        else:
            low.append(a)
            high.append(b)
    return low, high


def units(domain: Domain, box: Box) -> Fraction:
    """How many units a box has, or their volume."""
    sizes = [(b - a if f.levels is None else b - a + 1) for f, (a, b) in unit_ranges(domain, box)]
    return prod(sizes, start=Fraction(1))


def unit_ranges(domain: Domain, box: Box) -> list[tuple[Feature, Range]]:
    """Of the features that tell units apart."""
    return [(f, ends) for f, ends in zip(domain.features, box, strict=True) if not f.sensitive]


def inputs_of(f: Feature, ends: Range) -> list[tuple[Fraction, ...]]:
    """The inputs of every value in a range. Errors: ValueError if there is no end of them."""
    a, b = ends
    if f.kind == "continuous":
        if a != b:
            raise ValueError("an enumeration of something continuous")
        return [(a,)]
    places = range(ceil(a), floor(b) + 1)
    if f.kind == "one_hot":
        return [tuple(Fraction(i == j) for j in range(f.width)) for i in places]
    return [(Fraction(v),) for v in places]


def flip_sets(domain: Domain, box: Box) -> Iterator[Iterator[list[Fraction]]]:
    """For each unit of the box all points of its flip set."""
    features = domain.features
    moving: list[Any] = [
        range(ceil(a), floor(b) + 1) if f.eps else inputs_of(f, (a, b)) for f, (a, b) in zip(features, box, strict=True)
    ]
    if any(f.eps and f.kind == "continuous" for f in features):
        raise ValueError("an enumeration of something continuous")
    for unit in itertools.product(
        *(values if not f.sensitive else [None] for f, values in zip(features, moving, strict=True))
    ):
        spans: list[Any] = []
        for f, value, values, ends in zip(features, unit, moving, root(domain), strict=True):
            near = (Fraction(value) - int(f.eps), Fraction(value) + int(f.eps)) if f.eps else (ZERO, ZERO)
            span = inputs_of(replace(f, eps=0.0), (max(near[0], ends[0]), min(near[1], ends[1]))) if f.eps else [value]
            spans.append(values if f.sensitive else span)
        yield ([v for part in parts for v in part] for parts in itertools.product(*spans))


def judged(network: Network, points: Iterator[list[Fraction]]) -> list[int]:
    """Per level 1 or −1 if f > 0 or f ≤ 0 at all points, 2 if both occur, else 0."""
    seen: list[set[int]] = [set(), set()]
    for x in points:
        for found, sign in zip(seen, network.signs(x), strict=True):
            found.add(sign)
    return [2 if {1, -1} <= s else s.pop() if len(s) == 1 else 0 for s in seen]
