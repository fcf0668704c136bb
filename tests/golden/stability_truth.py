"""What is true of stability, from raw people: the exact projection of each batch, its derivative, and networks' slopes.

A search in floats proposes who is clipped and which rows are active; rationals decide. Where these people cannot be
solved here (rows that depend on one another, nobody free), nothing is said of their batch.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from tests.golden.network import Small
from tests.oracles.stability_layer_oracle import dot, solve

Json = dict[str, Any]
Person = dict[str, Any]
Floats = NDArray[np.float64]
Blocks = list[list[list[int]]]
SLACK = Fraction(1, 10**11)
"""What published figures are rounded by, and more; figures here are as exact as floats are."""
EVENTS = 24
PAIRS = 200


@final
@dataclass(frozen=True)
class About:
    """Of a claim: the people of each group in each condition, by index; and who is compared with whom."""

    blocks: Callable[[Sequence[Person]], Blocks]
    joint: Callable[[Person], tuple[tuple[str, ...], str | None]]


@final
class Rows(NamedTuple):
    """|A y − b| ≤ ε; people by index and weight."""

    weights: list[list[Fraction]]
    offsets: list[Fraction]


@final
class Solved(NamedTuple):
    """y = clip(z − shifts), the rows' values less offsets, and their multipliers."""

    y: list[Fraction]
    shifts: list[Fraction]
    values: list[Fraction]
    multipliers: list[Fraction]


@final
class Layer(NamedTuple):
    epsilon: Fraction
    lower: Fraction
    upper: Fraction

    def clip(self, value: Fraction) -> Fraction:
        return min(max(value, self.lower), self.upper)


def layer_of(found: Json) -> Layer:
    return Layer(*(Fraction(found[name]) for name in ("epsilon", "lower", "upper")))


def rows_of(claim: Json, about: About, people: Sequence[Person]) -> Rows:
    """The metric's rows with somebody in every cell."""
    rows = Rows([], [])
    for groups in about.blocks(people):
        cells = [group for group in groups if group]
        if claim["metric"] == "equalized_residuals":
            terms: list[list[tuple[int, list[int]]]] = [[(1, cell)] for cell in cells]
        else:
            terms = [[(1, a), (-1, b)] for a, b in itertools.combinations(cells, 2)]
        for term in terms:
            weights = [Fraction(0)] * len(people)
            for sign, cell in term:
                for i in cell:
                    weights[i] += Fraction(sign, len(cell))
            rows.weights.append(weights)
            (_, own), *_ = term
            labels = sum((Fraction(people[i]["label"]) for i in own), Fraction(0)) / len(own)
            rows.offsets.append(labels if claim["metric"] == "equalized_residuals" else Fraction(0))
    return rows


# ------------------------------------------------------------------------------------------------------ the projection
def project(z: Sequence[Fraction], rows: Rows, layer: Layer) -> Solved | None:
    """The exact projection, proven by the optimality conditions; None where it was not found."""
    start = _descent(z, rows, layer)
    for _ in range(8):
        found = _from(z, rows, layer, start)
        if found is None or _optimal(found, layer.epsilon):
            return found
        start = found.multipliers
    return None


def _descent(z: Sequence[Fraction], rows: Rows, layer: Layer) -> list[Fraction]:
    """Multipliers in floats, one after the other."""
    lower, upper, epsilon = (float(value) for value in (layer.lower, layer.upper, layer.epsilon))
    width = upper - lower
    scores = np.clip([float(value) for value in z], lower - 1e4 * width, upper + 1e4 * width)
    matrix = np.array([[float(w) for w in row] for row in rows.weights]).reshape(len(rows.weights), len(z))
    offsets, nu = np.array([float(b) for b in rows.offsets]), np.zeros(len(rows.weights))
    for _ in range(60):
        before = nu.copy()
        for k, (row, offset) in enumerate(zip(matrix, offsets, strict=True)):
            others = scores - nu @ matrix + nu[k] * row
            value = row @ np.clip(others, lower, upper) - offset
            side = 0 if abs(value) <= epsilon else int(np.sign(value))
            nu[k] = side * _root(others, side * row, side * offset + epsilon, (lower, upper)) if side else 0.0
        if np.abs(nu - before).max(initial=0.0) < 1e-13:
            break
    return [Fraction(float(value)) for value in nu]


def _root(others: Floats, row: Floats, target: float, box: tuple[float, float]) -> float:
    """The t ≥ 0 with row·clip(others − t row) = target."""
    high = 1.0
    while row @ np.clip(others - high * row, *box) > target and high < 1e9:
        high *= 2
    low = 0.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if row @ np.clip(others - middle * row, *box) > target else (low, middle)
    return high


def _from(z: Sequence[Fraction], rows: Rows, layer: Layer, start: Sequence[Fraction]) -> Solved | None:
    """Multipliers that put the rows they push on their ends, by Newton's method, which ends exactly; None if not."""
    sides = [int(value > 0) - int(value < 0) for value in start]
    active, nu = [k for k, side in enumerate(sides) if side], list(start)
    for _ in range(40):
        shifts = _shifts(nu, rows, len(z))
        y = [layer.clip(a - s) for a, s in zip(z, shifts, strict=True)]
        values = [dot(row, y) - offset for row, offset in zip(rows.weights, rows.offsets, strict=True)]
        excess = [values[k] - sides[k] * layer.epsilon for k in active]
        if not any(excess):
            return Solved(y, shifts, values, nu)
        free = [layer.lower < a - s < layer.upper for a, s in zip(z, shifts, strict=True)]
        step = _newton([rows.weights[k] for k in active], free, excess)
        if step is None:
            return None
        for k, change in zip(active, step, strict=True):
            nu[k] += change
    return None


def _newton(weights: list[list[Fraction]], free: list[bool], excess: list[Fraction]) -> list[Fraction] | None:
    bare = [[w for w, f in zip(row, free, strict=True) if f] for row in weights]
    return solve([[dot(a, b) for b in bare] for a in bare], excess)


def _shifts(nu: Sequence[Fraction], rows: Rows, n: int) -> list[Fraction]:
    pushed = [(value, row) for value, row in zip(nu, rows.weights, strict=True) if value]
    return [sum((value * row[i] for value, row in pushed), Fraction(0)) for i in range(n)]


def _optimal(found: Solved, epsilon: Fraction) -> bool:
    """Rows hold, and only those at an end push, away from it. y is the clipped value by construction."""
    pairs = zip(found.values, found.multipliers, strict=True)
    return all(abs(v) <= epsilon and (nu == 0 or (nu * v >= 0 and abs(v) == epsilon)) for v, nu in pairs)


# ------------------------------------------------------------------------------------------------------ the derivative
def _tight(solved: Solved, rows: Rows, z: Sequence[Fraction], layer: Layer) -> tuple[list[int], list[int]] | None:
    """(rows at an end, free people), None where the rows depend on one another: multipliers are not unique then."""
    tight = [k for k, value in enumerate(solved.values) if abs(value) == layer.epsilon]
    free = [i for i, y in enumerate(solved.y) if layer.lower < y < layer.upper]
    bare = [[rows.weights[k][i] for i in free] for k in tight]
    return None if tight and solve(_gram(bare), [Fraction(0)] * len(tight)) is None else (tight, free)


def _gram(rows: list[list[Fraction]]) -> list[list[Fraction]]:
    return [[dot(a, b) for b in rows] for a in rows]


def radius(z: Sequence[Fraction], rows: Rows, layer: Layer, solved: Solved) -> float | None:
    """How far z is from where the derivative changes, to about 1e-9 of it; 0 where there is none; inf, or not known.

    Each condition that says on which piece of P a point lies is affine there; its distance is value/slope.
    """
    found = _tight(solved, rows, z, layer)
    if found is None:
        return None
    tight, free = found
    matrix = np.array([[float(w) for w in rows.weights[k]] for k in range(len(rows.weights))])
    matrix = matrix.reshape(len(rows.weights), len(z))
    inside = np.zeros(len(z))
    inside[free] = 1.0
    bare = matrix[tight] * inside
    inverse = np.linalg.inv(bare @ bare.T) if tight else np.zeros((0, 0))
    jacobian = np.diag(inside) - bare.T @ inverse @ bare
    ends: list[tuple[Fraction, float]] = []
    for i, (a, s, y) in enumerate(zip(z, solved.shifts, solved.y, strict=True)):
        if inside[i]:
            ends += [(end, math.sqrt(max(jacobian[i, i], 0.0))) for end in (layer.upper - y, y - layer.lower)]
        else:
            push = matrix[tight][:, i]
            ends.append((abs(a - s - y), math.sqrt(1 + push @ inverse @ push)))
    for k, value in enumerate(solved.values):
        if k in tight:
            slope = math.sqrt(inverse[tight.index(k), tight.index(k)])
            ends += [(abs(solved.multipliers[k]), slope)] if layer.epsilon else []
        else:
            ends.append((layer.epsilon - abs(value), float(np.linalg.norm(jacobian @ matrix[k]))))
    return min((float(end) / slope for end, slope in ends if slope > 1e-12), default=math.inf)


# ----------------------------------------------------------------------------------------------------------- the claims
def batches(people: Sequence[Person]) -> list[list[Person]]:
    found: dict[str, list[Person]] = {}
    for person in people:
        found.setdefault(str(person["batch"]), []).append(person)
    return list(found.values())


def served_stably(claim: Json, people: Sequence[Person], about: About) -> bool:
    """Whether a claim about the layer that passes may."""
    layer, threshold = layer_of(claim["witness"]["layer"]), Fraction(claim["threshold"])
    if claim["form"] == "differentiable":
        known = [_radius(claim, members, about, layer) for members in batches(people)]
        return Fraction(sum(found is None or found > 0 for found in known), len(known)) >= threshold
    for members in batches(people):
        if any(not layer.lower <= Fraction(person["served"]) <= layer.upper for person in members):
            return False
        if claim["form"] == "treatment":
            most = max(_inversion(members, about), _difference(claim, members, about, layer))
        elif claim["form"] == "radius":
            found = _radius(claim, members, about, layer)
            if found is not None and found < float(threshold) * (1 - 1e-9):
                return False
            continue
        else:
            most = _changes(claim, members, about, layer)
        if most > threshold + SLACK:
            return False
    return True


def _solved(claim: Json, members: Sequence[Person], about: About, layer: Layer) -> tuple[list[Fraction], Rows, Any]:
    z, rows = [Fraction(person["score"]) for person in members], rows_of(claim, about, members)
    return z, rows, project(z, rows, layer)


def _radius(claim: Json, members: Sequence[Person], about: About, layer: Layer) -> float | None:
    z, rows, solved = _solved(claim, members, about, layer)
    return None if solved is None else radius(z, rows, layer, solved)


def _compared(members: Sequence[Person], about: About) -> Iterator[tuple[int, int]]:
    cells = [about.joint(person) for person in members]
    for i, j in itertools.permutations(range(len(members)), 2):
        if cells[i][0] != cells[j][0] and cells[i][1] == cells[j][1]:
            yield i, j


def _inversion(members: Sequence[Person], about: About) -> Fraction:
    """The largest difference in favour of somebody whose score is not higher."""
    gains = (
        Fraction(members[i]["served"]) - Fraction(members[j]["served"])
        for i, j in _compared(members, about)
        if members[i]["score"] <= members[j]["score"]
    )
    return max(gains, default=Fraction(0))


def _difference(claim: Json, members: Sequence[Person], about: About, layer: Layer) -> Fraction:
    """That of the shifts of two people whom no bound holds, and who so have one."""
    _, _, solved = _solved(claim, members, about, layer)
    if solved is None:
        return Fraction(0)
    free = [layer.lower < y < layer.upper for y in solved.y]
    gaps = (abs(solved.shifts[i] - solved.shifts[j]) for i, j in _compared(members, about) if free[i] and free[j])
    return min(max(gaps, default=Fraction(0)), layer.upper - layer.lower)


def _changes(claim: Json, members: Sequence[Person], about: About, layer: Layer) -> Fraction:
    """The largest move of anybody else in some of the events: leaving, joining with some score, changing group."""
    _, _, before = _solved(claim, members, about, layer)
    if before is None:
        return Fraction(0)
    most, draw = Fraction(0), random.Random(len(members))
    scores = [layer.lower - 1, layer.lower, layer.upper, layer.upper + 1]
    for _ in range(EVENTS):
        i, like = draw.randrange(len(members)), draw.choice(members)
        action = draw.choice(["leave", "join", "join", "change"])
        kept = [k for k in range(len(members)) if action == "join" or k != i]
        score = draw.choice(scores) if action == "join" else members[i]["score"]
        after = [members[k] for k in kept] + ([] if action == "leave" else [{**like, "score": score}])
        _, _, solved = _solved(claim, after, about, layer)
        if solved is not None:
            most = max([most, *(abs(solved.y[at] - before.y[k]) for at, k in enumerate(kept))])
    return most


# --------------------------------------------------------------------------------------------------------- the network
def steepest(network: Small, domain: Sequence[Json] | None, method: str, box: tuple[float, float]) -> float:
    """A slope that the network has: the largest of many points of its domain or of all inputs, values in a box."""
    (first, (second,)), (biases, (bias,)) = network.weights, network.biases
    weights, out, shift = np.array(first), np.array(second), np.array(biases)
    ends = [(-1e3, 1e3)] * weights.shape[1]
    if domain is not None:
        ends = [end for item in domain for end in _ends(item)]
    low, high = np.array(ends).T
    units = np.where((high > low) & (method == "ranges"), high - low, 1.0)
    draws = np.random.default_rng(7).random((4000, len(ends)))
    draws[:1000] = np.round(draws[:1000])
    hidden = (low + (high - low) * draws) @ weights.T + shift
    values = np.maximum(hidden, 0) @ out + bias
    slopes = np.unique(hidden[(box[0] < values) & (values < box[1])] > 0, axis=0)
    return max((float(np.linalg.norm((out * slope) @ weights * units)) for slope in slopes), default=0.0)


def _ends(item: Json) -> list[tuple[float, float]]:
    return [(0.0, 1.0)] * len(item["values"]) if item["values"] else [(float(item["low"]), float(item["high"]))]


def lipschitz(claim: Json, network: Small, layer: Json | None) -> bool:
    """Whether a claim about a network that passes may: no slope is larger. Behind a layer: where all inputs of a batch
    are the same and the score inside the box, rows about differences hold with room, so nobody is moved.
    """
    box = (-math.inf, math.inf)
    if claim["map"] == "served":
        found = layer_of(claim["witness"]["served"]["layer"])
        if layer is None or layer["metric"] == "equalized_residuals" or not found.epsilon:
            return True
        box = float(found.lower), float(found.upper)
    slope = steepest(network, claim["domain"], claim["method"], box)
    return slope * (1 - 1e-6) <= float(Fraction(claim["threshold"]))
