"""The exact range of a network on a segment or a rectangle: every linear piece of it, by rational vertices.

On x = p + s·u + t·v, 0 ≤ s, t ≤ 1, each neuron of the first layer is affine in (s, t), so the line where it is 0 cuts
the square (of a segment: the unit interval) into two convex cells, on each of which its output is affine too. On a cell
on which all neurons of a layer are affine the next layer's are as well before their kinks: by induction every cell of
the last layer has f affine on it, and an affine function on a convex cell is smallest and largest at vertices.

All coefficients are integers over one denominator for each layer (floats are dyadic). Cells are cut at 0 exactly, so
their vertices are rational; they are kept as integers (d, x, y), meaning (x/d, y/d), d > 0, without a common factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from typing import Protocol, final

Vector = list[int]
Vertex = tuple[int, ...]
Cell = list[Vertex]
"""The ends of a segment, or the corners of a convex polygon in order."""
Number = int | float | Fraction


class PlainLayer(Protocol):
    """z = weight·h + bias; h' = z where z ≥ 0, else slope·z."""

    @property
    def weight(self) -> Sequence[Sequence[float]]: ...
    @property
    def bias(self) -> Sequence[float]: ...
    @property
    def slope(self) -> Sequence[float]: ...
    @property
    def curve(self) -> Sequence[int]: ...


@final
@dataclass(frozen=True)
class ScaledLayer:
    """weight·scale by columns, bias·scale, slope·unit: all integers."""

    columns: tuple[tuple[int, ...], ...]
    bias: tuple[int, ...]
    scale: int
    slope: tuple[int, ...]
    unit: int


@final
@dataclass(frozen=True)
class Extremes:
    """The least and the greatest value, and a point where each is attained. complete: of all points, not some."""

    least: Fraction
    greatest: Fraction
    least_at: tuple[Fraction, ...]
    greatest_at: tuple[Fraction, ...]
    complete: bool


def scaled(layers: Sequence[PlainLayer]) -> tuple[ScaledLayer, ...]:
    """The layers as integers: worth keeping if many segments follow. Errors: ValueError for a curve."""
    return tuple(_scaled(layer) for layer in layers)


def sweep_line(
    layers: Sequence[PlainLayer] | Sequence[ScaledLayer], low_point: Sequence[Number], high_point: Sequence[Number]
) -> Extremes:
    """The range of f on the segment between two points (which may be one point).

    >>> from types import SimpleNamespace as Plain
    >>> relu = Plain(weight=[[1.0], [-1.0]], bias=[0.0, 0.0], slope=[0.0, 0.0], curve=[0, 0])
    >>> minus = Plain(weight=[[1.0, 1.0]], bias=[-1.0], slope=[1.0], curve=[0])  # f = |x| − 1
    >>> found = sweep_line([relu, minus], [-2], [3])
    >>> found.least, found.least_at, found.greatest, found.greatest_at
    (Fraction(-1, 1), (Fraction(0, 1),), Fraction(2, 1), (Fraction(3, 1),))
    """
    return _extremes(layers, [low_point, high_point], None)


def decide_line(
    layers: Sequence[PlainLayer] | Sequence[ScaledLayer],
    low_point: Sequence[Number],
    high_point: Sequence[Number],
    margin: Number = 0,
) -> Extremes:
    """As `sweep_line`, but over (and not complete) once least ≤ −margin and greatest > margin."""
    return _extremes(layers, [low_point, high_point], Fraction(margin))


def sweep_rectangle(
    layers: Sequence[PlainLayer] | Sequence[ScaledLayer],
    corner: Sequence[Number],
    right: Sequence[Number],
    top: Sequence[Number],
) -> Extremes:
    """The range of f on the parallelogram of corner, right and top, and the fourth point right + top − corner."""
    return _extremes(layers, [corner, right, top], None)


def decide_rectangle(
    layers: Sequence[PlainLayer] | Sequence[ScaledLayer],
    corner: Sequence[Number],
    right: Sequence[Number],
    top: Sequence[Number],
    margin: Number = 0,
) -> Extremes:
    """As `sweep_rectangle`, but over (and not complete) once least ≤ −margin and greatest > margin."""
    return _extremes(layers, [corner, right, top], Fraction(margin))


def _scaled(layer: PlainLayer) -> ScaledLayer:
    if any(layer.curve):
        raise ValueError("a layer with sigmoid or tanh is not piecewise linear")
    numbers = [*layer.bias, *(value for row in layer.weight for value in row)]
    scale = math.lcm(*{value.as_integer_ratio()[1] for value in numbers})
    unit = math.lcm(*{value.as_integer_ratio()[1] for value in layer.slope})
    return ScaledLayer(
        tuple(_integers(column, scale) for column in zip(*layer.weight, strict=True)),
        _integers(layer.bias, scale),
        scale,
        _integers(layer.slope, unit),
        unit,
    )


def _integers(values: Sequence[Number], scale: int) -> tuple[int, ...]:
    """values·scale, where scale is a multiple of every denominator."""
    return tuple(p * (scale // q) for p, q in (value.as_integer_ratio() for value in values))


def _extremes(
    layers: Sequence[PlainLayer] | Sequence[ScaledLayer], points: list[Sequence[Number]], margin: Fraction | None
) -> Extremes:
    """Over all cells, or until both signs were seen beyond the margin (if not None)."""
    network = [layer if isinstance(layer, ScaledLayer) else _scaled(layer) for layer in layers]
    corner, *others = [[Fraction(value) for value in point] for point in points]
    axes = [corner, *([b - a for a, b in zip(corner, other, strict=True)] for other in others)]
    scale = math.lcm(*(value.denominator for axis in axes for value in axis))
    inputs = [list(_integers(axis, scale)) for axis in axes]
    levels, unit = _levels(network, scale, len(axes))
    least = greatest = (Fraction(0), _UNIT_CELL[len(axes)][0])
    seen: set[Vertex] = set()
    for cell, plane in _pieces(levels, 0, _UNIT_CELL[len(axes)], inputs):
        for vertex in cell:
            if vertex in seen:
                continue
            value = (Fraction(sum(map(mul, plane, vertex)), vertex[0] * unit), vertex)
            least = min(least, value, key=_first) if seen else value
            greatest = max(greatest, value, key=_first) if seen else value
            seen.add(vertex)
        if margin is not None and least[0] <= -margin and greatest[0] > margin:
            return Extremes(least[0], greatest[0], _point(least[1], axes), _point(greatest[1], axes), complete=False)
    return Extremes(least[0], greatest[0], _point(least[1], axes), _point(greatest[1], axes), complete=True)


_UNIT_CELL: dict[int, Cell] = {2: [(1, 0), (1, 1)], 3: [(1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1)]}


def _first(pair: tuple[Fraction, Vertex]) -> Fraction:
    return pair[0]


def _point(vertex: Vertex, axes: list[list[Fraction]]) -> tuple[Fraction, ...]:
    """corner + Σ axis·coordinate."""
    steps = [Fraction(x, vertex[0]) for x in vertex]
    return tuple(sum(map(mul, column, steps), Fraction(0)) for column in zip(*axes, strict=True))


@final
class _Level:
    """A layer, and what it was last fed: z is moved on by the columns of the inputs that changed since.

    Vectors come one for each coefficient: the constants, then the factors of s (and of t), all times the same
    denominator.
    """

    def __init__(self, layer: ScaledLayer, scale: int, terms: int) -> None:
        self.layer = layer
        self._fed = [[0] * len(layer.columns) for _ in range(terms)]
        self._z = [[value * scale for value in layer.bias], *([0] * len(layer.bias) for _ in range(terms - 1))]

    def feed(self, h: list[Vector]) -> list[Vector]:
        """weight·h + bias."""
        for term, (new, old) in enumerate(zip(h, self._fed, strict=True)):
            z = self._z[term]
            for column, to, was in zip(self.layer.columns, new, old, strict=True):
                if to != was:
                    by = to - was
                    z = [value + by * weight for value, weight in zip(z, column, strict=True)]
            self._z[term] = z
        self._fed = h
        return list(self._z)


def _levels(network: Sequence[ScaledLayer], scale: int, terms: int) -> tuple[list[_Level], int]:
    """And the denominator of f. h comes over a denominator, z is over it times scale, h' over this times unit."""
    found = []
    for layer in network:
        found.append(_Level(layer, scale, terms))
        scale *= layer.scale * layer.unit
    return found, scale


def _pieces(levels: list[_Level], depth: int, cell: Cell, h: list[Vector]) -> Iterator[tuple[Cell, Vertex]]:
    """Every piece of the cell on which f is affine, with f's coefficients. h: affine on the cell."""
    if depth == len(levels):
        yield cell, tuple(values[0] for values in h)
        return
    layer = levels[depth].layer
    z = levels[depth].feed(h)
    for piece, factors in _cut(cell, list(zip(*z, strict=True)), layer):
        after = [[value * factor for value, factor in zip(values, factors, strict=True)] for values in z]
        yield from _pieces(levels, depth + 1, piece, after)


def _cut(cell: Cell, planes: list[Vertex], layer: ScaledLayer) -> list[tuple[Cell, Vector]]:
    """The pieces of a cell on which no neuron changes its sign, and what each neuron there multiplies z with."""
    pieces: list[tuple[Cell, Vector]] = [(cell, [layer.unit] * len(planes))]
    for neuron, (plane, slope) in enumerate(zip(planes, layer.slope, strict=True)):
        if slope == layer.unit:
            continue
        found: list[tuple[Cell, Vector]] = []
        for piece, factors in pieces:
            values = [sum(map(mul, plane, vertex)) for vertex in piece]
            if min(values) >= 0:
                found.append((piece, factors))
                continue
            if max(values) > 0:
                above, piece = _halves(piece, values)  # noqa: PLW2901 - what is left of it
                found.append((above, factors.copy()))
            factors[neuron] = slope
            found.append((piece, factors))
        pieces = found
    return pieces


def _halves(cell: Cell, values: Vector) -> tuple[Cell, Cell]:
    """The parts of a convex cell where a function is ≥ 0 and ≤ 0, given its sign (times d) at the vertices.

    On the edge from P to Q, where it is p > 0 > q (or the reverse), it is 0 at |q|·P + |p|·Q in these coordinates, as
    it is linear in them. A segment is a polygon that goes there and back: what is found twice is kept once.
    """
    above: Cell = []
    below: Cell = []
    for i, (vertex, value) in enumerate(zip(cell, values, strict=True)):
        if value >= 0:
            above.append(vertex)
        if value <= 0:
            below.append(vertex)
        after = values[i - len(cell) + 1]
        if (value > 0 > after) or (value < 0 < after):
            p, q = abs(value), abs(after)
            crossing = [q * x + p * y for x, y in zip(vertex, cell[i - len(cell) + 1], strict=True)]
            shared = math.gcd(*crossing)
            point = tuple(x // shared for x in crossing)
            above.append(point)
            below.append(point)
    return list(dict.fromkeys(above)), list(dict.fromkeys(below))
