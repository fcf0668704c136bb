"""Truth about small networks by brute force in integers and rationals, and float32 executions in any order (oracle).

Written from the definitions of unit, flip set and decision alone; shares nothing with the checker but the classes that
hold networks and domains.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import CURVES, Layer, Layers

Floats = NDArray[np.float64]


def layer(weight: Any, bias: Any, slope: Any = 0.0, *, relative: float = 0.0, curve: Any = 0) -> Layer:
    """rounds: one for each product, one for the bias. curve: positions in CURVES."""
    w, b = np.array(weight, dtype=np.float64), np.array(bias, dtype=np.float64)
    m = len(b)
    rounds = (np.count_nonzero(w, axis=1) + 1).astype(np.int64)
    return Layer(
        w, b, np.zeros(m) + slope, np.zeros(m, np.int8) + np.int8(curve), rounds, np.abs(b), np.zeros(m) + relative
    )


def named_layer(weight: Any, bias: Any, *neurons: str) -> Layer:
    """A layer of neurons that are called relu, leaky, negative, identity, sigmoid or tanh."""
    assert len(neurons) == len(weight)
    slope = [{"relu": 0.0, "leaky": 0.25, "negative": -0.5}.get(name, 1.0) for name in neurons]
    return layer(weight, bias, slope, curve=[CURVES.index(name) if name in CURVES else 0 for name in neurons])


def net(*layers: Layer, float32: bool = True) -> Layers:
    return Layers(layers, float32)


def exact_values(network: Layers, points: Floats) -> list[Fraction]:
    """f at points (n, inputs): h is kept as integers over one power of two."""
    h, bits = _integers(points)
    for one in network.layers:
        both, more = _integers(np.hstack([one.weight, one.bias[:, None]]))
        z = h @ both[:, :-1].T + both[:, -1] * (1 << bits)
        slope, shift = _integers(one.slope)
        h, bits = np.where(z >= 0, z * (1 << shift), z * slope), bits + more + shift
    return [Fraction(v, 1 << bits) for v in h[:, 0]]


def exact(network: Layers, point: Any) -> Fraction:
    """f at one point, for layers without curves."""
    return exact_values(network, np.array([point], dtype=np.float64))[0]


def _integers(numbers: Floats) -> tuple[NDArray[Any], int]:
    ratios = [float(v).as_integer_ratio() for v in numbers.reshape(-1)]
    bits = max(q.bit_length() - 1 for _, q in ratios)
    found = np.empty(len(ratios), dtype=object)
    found[:] = [p * ((1 << bits) // q) for p, q in ratios]
    return found.reshape(numbers.shape), bits


@final
@dataclass(frozen=True)
class Units:
    """All units (features), and the points of their flip sets: `points` (all, inputs), `owner` the unit of each."""

    values: list[tuple[float, ...]]
    points: Floats
    owner: NDArray[np.int64]


def places(feature: Feature) -> list[float]:
    """All values; positions of one-hot ones; the ends and some inner ones of a range, which is no proof."""
    if feature.kind == "one_hot":
        return [float(i) for i in range(len(feature.values))]
    if feature.kind == "integer":
        return [float(v) for v in range(int(feature.low), int(feature.high) + 1)]
    return sorted({feature.low, feature.high, (feature.low + feature.high) / 2})


def encode(domain: Domain, values: Any) -> list[float]:
    found: list[float] = []
    for f, v in zip(domain.features, values, strict=True):
        found += [float(v == i) for i in range(len(f.values))] if f.kind == "one_hot" else [float(v)]
    return found


def decode(domain: Domain, point: Floats) -> list[float]:
    """The inverse of `encode`."""
    both = zip(domain.features, domain.columns, strict=True)
    return [float(point[list(cs)].argmax() if f.kind == "one_hot" else point[cs[0]]) for f, cs in both]


def flipped(domain: Domain) -> list[int]:
    """The inputs that flips may change."""
    return [c for f, cs in zip(domain.features, domain.columns, strict=True) if f.sensitive or f.eps for c in cs]


def flip_values(domain: Domain, unit: Any) -> list[tuple[float, ...]]:
    """Every combination of the sensitive values and of the displacements, as values of features."""
    options = []
    for f, v in zip(domain.features, unit, strict=True):
        near = [p for p in places(f) if abs(Fraction(p) - Fraction(v)) <= Fraction(f.eps)] if f.eps else [v]
        options.append(places(f) if f.sensitive else [*near, v] if f.kind == "continuous" else near)
    return list(itertools.product(*options))


def units(domain: Domain) -> Units:
    own = [places(f)[:1] if f.sensitive else places(f) for f in domain.features]
    values = list(itertools.product(*own))
    points, owner = [], []
    for i, unit in enumerate(values):
        some = flip_values(domain, unit)
        points += [encode(domain, v) for v in some]
        owner += [i] * len(some)
    return Units(values, np.array(points), np.array(owner))


def decisions(positive: NDArray[np.bool_], owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each unit 1: positive on its flip set, −1: not positive on it, 2: both occur."""
    n = int(owner.max()) + 1
    some, all_ = np.bincount(owner, weights=positive, minlength=n), np.bincount(owner, minlength=n)
    return np.where(some == all_, 1, np.where(some == 0, -1, 2))


@final
@dataclass(frozen=True)
class Truth:
    """How many units are positive, negative, unfair."""

    positive: Fraction
    negative: Fraction
    unfair: Fraction

    def faults(self, shares: Any) -> list[str]:
        """What is claimed beyond it."""
        p, n, m, f = shares.positive, shares.negative, shares.mixed, shares.falsified
        beyond = {
            "positive": p > self.positive,
            "negative": n > self.negative,
            "fair": p + n + m > self.positive + self.negative,
            "unfair": f > self.unfair,
            "below 0": min(p, n, m, f) < 0,
        }
        return [name for name, wrong in beyond.items() if wrong]


def truth_of(codes: NDArray[np.int64]) -> Truth:
    return Truth(*(Fraction(int((codes == k).sum())) for k in (1, -1, 2)))


def true_of(network: Layers, domain: Domain) -> Truth:
    found = units(domain)
    positive = np.array([v > 0 for v in exact_values(network, found.points)])
    return truth_of(decisions(positive, found.owner))


# Along a line: f is piecewise linear, with breakpoints where a neuron is 0.
Line = list[tuple[Fraction, list[Fraction]]]


def along(network: Layers, low: Any, high: Any) -> list[tuple[Fraction, Fraction]]:
    """(t, f) at all breakpoints of f on low + t·(high − low), its zeros among them."""
    line: Line = [(Fraction(t), [Fraction(v) for v in p]) for t, p in ((0, low), (1, high))]
    for one in network.layers:
        weight = [[Fraction(v) for v in row] for row in one.weight.tolist()]
        bias = [Fraction(v) for v in one.bias.tolist()]
        line = [
            (t, [sum((w * v for w, v in zip(row, h, strict=True)), b) for row, b in zip(weight, bias, strict=True)])
            for t, h in line
        ]
        line = _with_zeros(line)
        slope = [Fraction(s) for s in one.slope.tolist()]
        line = [(t, [v if v >= 0 else s * v for v, s in zip(z, slope, strict=True)]) for t, z in line]
    return [(t, z[0]) for t, z in line]


def _with_zeros(line: Line) -> Line:
    found = [line[0]]
    for (t, one), (u, two) in itertools.pairwise(line):
        cuts = {a / (a - b) for a, b in zip(one, two, strict=True) if a * b < 0}
        found += [(t + c * (u - t), [a + c * (b - a) for a, b in zip(one, two, strict=True)]) for c in sorted(cuts)]
        found.append((u, two))
    return found


def measured(lines: list[list[tuple[Fraction, Fraction]]]) -> tuple[Fraction, Fraction, Fraction]:
    """The parts of [0, 1] on which all lines are > 0, all are ≤ 0, and both occur."""
    cuts = sorted({t for line in lines for t, _ in line})
    found = [Fraction(0)] * 3
    for t, u in itertools.pairwise(cuts):
        signs = {_at(line, (t + u) / 2) > 0 for line in lines}
        found[2 if len(signs) == 2 else 0 if True in signs else 1] += u - t
    return found[0], found[1], found[2]


def _at(line: list[tuple[Fraction, Fraction]], t: Fraction) -> Fraction:
    (a, f), (b, g) = next(pair for pair in itertools.pairwise(line) if pair[0][0] <= t <= pair[1][0])
    return f + (g - f) * (t - a) / (b - a)


# Float32, in random orders of sums, with or without fused multiply-adds.
@final
@dataclass
class Float32:
    rng: np.random.Generator
    fused: bool = field(default=False)

    def values(self, network: Layers, points: Floats) -> NDArray[np.float32]:
        with np.errstate(all="ignore"):
            h = points.astype(np.float32)
            for one in network.layers:
                z = np.stack([self._neuron(h, w, b) for w, b in zip(one.weight, one.bias, strict=True)], axis=1)
                slope = one.slope.astype(np.float32)
                h = np.where(z >= 0, z, np.where(slope == 0, np.float32(0), slope * z))
            return h[:, 0]

    def _neuron(self, h: NDArray[np.float32], weight: Floats, bias: float) -> NDArray[np.float32]:
        """A random tree of sums over the products and the bias; fused: one by one."""
        w = weight.astype(np.float32)
        order = self.rng.permutation(len(w))
        if self.fused:
            first = bool(self.rng.random() < 0.5)
            total = np.full(len(h), bias if first else 0.0, dtype=np.float32)
            for i in order:
                total = fma(h[:, i], w[i], total)
            return total if first else total + np.float32(bias)
        terms = [h[:, i] * w[i] for i in order]
        terms.insert(int(self.rng.integers(0, len(terms) + 1)), np.full(len(h), bias, dtype=np.float32))
        while len(terms) > 1:
            k = int(self.rng.integers(0, len(terms) - 1))
            terms[k : k + 2] = [terms[k] + terms[k + 1]]
        found: NDArray[np.float32] = terms[0]
        return found


def fma(a: NDArray[np.float32], b: np.float32, c: NDArray[np.float32]) -> NDArray[np.float32]:
    """a·b + c, rounded once: exact product in float64, sum rounded to odd there (Boldo, Melquiond 2008)."""
    x, y = a.astype(np.float64) * np.float64(b), c.astype(np.float64)
    s = x + y
    t = s - x
    rest = (x - (s - t)) + (y - t)
    even = (s.view(np.int64) & 1) == 0
    away = np.nextafter(s, np.where(rest > 0, np.inf, -np.inf))
    rounded: NDArray[np.float32] = np.where((rest != 0) & even & np.isfinite(s), away, s).astype(np.float32, copy=False)
    return rounded
