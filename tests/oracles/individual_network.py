"""The decision of a small network at a point and along a line, with exact rationals and in float32 (test oracle).

Written from certificates/README.md 9.11 alone; nothing of certifair is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, final

import numpy as np

Layer = tuple[tuple[tuple[Fraction, ...], ...], tuple[Fraction, ...]]  # weight, bias


class NotRecomputed(Exception):  # noqa: N818 (no error)
    """The oracle cannot try every point."""


@final
@dataclass(frozen=True)
class Network:
    """Layers of weights with an activation after each: ("relu",), ("leaky", slope) or ("linear",); `end` is the name
    of a last Sigmoid or Tanh, or empty. `single`: every number is one of float32.
    """

    layers: tuple[Layer, ...]
    slopes: tuple[Fraction, ...]
    end: str

    @property
    def single(self) -> bool:
        numbers = [value for weight, bias in self.layers for row in (*weight, bias) for value in row]
        return all(is_single(value) for value in (*numbers, *self.slopes))

    @property
    def products(self) -> int:
        return sum(len(weight) * len(weight[0]) for weight, _ in self.layers)


def is_single(value: Fraction) -> bool:
    with np.errstate(over="ignore"):
        return abs(value) < 2**128 and Fraction(float(np.float32(float(value)))) == value


def read_network(model: bytes) -> Network:
    """A chain of Gemm (or MatMul and Add), Relu, LeakyRelu, and a last Sigmoid or Tanh; else NotRecomputed."""
    import onnx
    from onnx import helper, numpy_helper

    graph = onnx.load_from_string(model).graph
    known = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    at = next(item.name for item in graph.input if item.name not in known)
    layers: list[Layer] = []
    slopes: list[Fraction] = []
    end = ""
    for node in graph.node:
        given = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        if node.input[0] != at or end or len(node.output) != 1:
            raise NotRecomputed(f"{node.op_type} off the chain")
        at, others = node.output[0], [known.get(name) for name in node.input[1:]]
        if node.op_type in ("Gemm", "MatMul") and others[0] is not None:
            if given.get("transA", 0) or (given.get("alpha", 1.0), given.get("beta", 1.0)) != (1.0, 1.0):
                raise NotRecomputed("a Gemm with factors")
            weight = others[0] if given.get("transB", 0) else others[0].T
            bias = others[1] if len(others) > 1 and others[1] is not None else np.zeros(len(weight))
            layers.append((_rationals(weight), _rationals(bias.reshape(1, -1))[0]))
            slopes.append(Fraction(1))
        elif node.op_type == "Add" and others[0] is not None and layers and slopes[-1] == 1:
            weight_, _ = layers[-1]
            layers[-1] = (weight_, _rationals(np.broadcast_to(others[0].reshape(1, -1), (1, len(weight_))))[0])
        elif node.op_type in ("Relu", "LeakyRelu") and layers and slopes[-1] == 1:
            leak = given.get("alpha", float(np.float32(0.01)))
            slopes[-1] = Fraction(float(leak)) if node.op_type == "LeakyRelu" else Fraction(0)
        elif node.op_type in ("Sigmoid", "Tanh"):
            end = node.op_type
        elif node.op_type not in ("Identity", "Dropout", "Flatten"):
            raise NotRecomputed(node.op_type)
    if at != graph.output[0].name or not layers or len(layers[-1][0]) != 1:
        raise NotRecomputed("more than one output")
    return Network(tuple(layers), tuple(slopes), end)


def _rationals(array: Any) -> tuple[tuple[Fraction, ...], ...]:
    return tuple(tuple(Fraction(float(value)) for value in row) for row in np.asarray(array))


# The decision of a point, as each way of computing it comes out.
Outcomes = frozenset[bool]


@final
class Decision:
    """`outcomes(point)`: the decisions f > 0 at a point: the exact one (`real`), or those of several float32 orders."""

    def __init__(self, network: Network, method: str, threshold: Fraction) -> None:
        if network.end:
            assert threshold == (Fraction(1, 2) if network.end == "Sigmoid" else 0)
            threshold = Fraction(0)
        self.network, self.real, self.threshold = network, method == "real", threshold
        self.outcomes = lru_cache(maxsize=100_000)(self._outcomes)

    def _outcomes(self, point: tuple[Fraction, ...]) -> Outcomes:
        if self.real:
            return frozenset([self._exact(point) > self.threshold])
        orders: tuple[Callable[[list[Any], Any], Any], ...] = (_forward, _backward, _bias_last, _by_size)
        return frozenset(Fraction(float(self._single(point, order))) > self.threshold for order in orders)

    def _exact(self, point: Sequence[Fraction]) -> Fraction:
        values = list(point)
        for (weight, bias), slope in zip(self.network.layers, self.network.slopes, strict=True):
            sums = [
                sum((w * x for w, x in zip(row, values, strict=True)), b) for row, b in zip(weight, bias, strict=True)
            ]
            values = [z if z >= 0 else slope * z for z in sums]
        return values[0]

    def _single(self, point: Sequence[Fraction], order: Callable[[list[Any], Any], Any]) -> Any:
        values = [np.float32(float(x)) for x in point]
        for (weight, bias), slope in zip(self.network.layers, self.network.slopes, strict=True):
            sums = [
                order([np.float32(float(w)) * x for w, x in zip(row, values, strict=True)], np.float32(float(b)))
                for row, b in zip(weight, bias, strict=True)
            ]
            values = [z if z >= 0 else np.float32(float(slope)) * z for z in sums]
        return values[0]


def _forward(products: list[Any], bias: Any) -> Any:
    for product in products:
        bias = bias + product
    return bias


def _backward(products: list[Any], bias: Any) -> Any:
    return _forward(products[::-1], bias)


def _bias_last(products: list[Any], bias: Any) -> Any:
    return _forward(products[1:], products[0]) + bias


def _by_size(products: list[Any], bias: Any) -> Any:
    first, *others = sorted([*products, bias], key=abs)
    return _forward(others, first)


def turns(network: Network, start: Sequence[Fraction], end: Sequence[Fraction]) -> list[tuple[Fraction, Fraction]]:
    """Along the segment from start to end: all t in [0, 1] between which the value is linear, and the value there."""
    pieces = [(Fraction(0), Fraction(1), [(a, b - a) for a, b in zip(start, end, strict=True)])]
    for (weight, bias), slope in zip(network.layers, network.slopes, strict=True):
        coming = []
        for low, high, lines in pieces:
            sums = [_combined(row, lines, shift) for row, shift in zip(weight, bias, strict=True)]
            roots = {-a / b for a, b in sums if b and slope != 1}
            cuts = [low, *sorted(root for root in roots if low < root < high), high]
            for left, right in itertools.pairwise(cuts):
                middle = (left + right) / 2
                bent = [(a, b) if a + b * middle >= 0 else (slope * a, slope * b) for a, b in sums]
                coming.append((left, right, bent))
        pieces = coming
    found = {t: line[0][0] + line[0][1] * t for left, right, line in pieces for t in (left, right)}
    return sorted(found.items())


def _combined(
    row: Sequence[Fraction], lines: Sequence[tuple[Fraction, Fraction]], shift: Fraction
) -> tuple[Fraction, Fraction]:
    pairs = list(zip(row, lines, strict=True))
    return sum((w * a for w, (a, _) in pairs), shift), sum((w * b for w, (_, b) in pairs), Fraction(0))
