"""All of the checker again, in the integers of the standard library alone: slow, and nothing is rounded unproven.

Every float is an integer times a power of two. Values are integers in units of 2^-bits, bits growing layer by layer,
so sums and products are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from typing import final

from certifair.evidence.witness import PlainLayer


@final
@dataclass(frozen=True)
class ExactLayer:
    """weight·2^bits (rows), bias·2^bits, slope·2^slope_bits: integers. ReLU: all slopes are 0."""

    weight: tuple[tuple[int, ...], ...]
    bias: tuple[int, ...]
    bits: int
    slope: tuple[int, ...]
    slope_bits: int


def exact_layers(layers: Sequence[PlainLayer]) -> tuple[ExactLayer, ...]:
    """Errors: ValueError or OverflowError for numbers that are not finite."""
    found = []
    for layer in layers:
        flat, bits = _integers([v for row in layer.weight for v in row] + list(layer.bias))
        n = len(layer.weight[0])
        rows = tuple(tuple(flat[i : i + n]) for i in range(0, n * len(layer.weight), n))
        slope, slope_bits = _integers(layer.slope)
        found.append(ExactLayer(rows, tuple(flat[n * len(rows) :]), bits, tuple(slope), slope_bits))
    return tuple(found)


def value(layers: Sequence[ExactLayer], x: Sequence[float]) -> Fraction:
    """f at the point x, exactly."""
    h, bits = _integers(x)
    for layer in layers:
        z = [sum(map(mul, row, h)) + (b << bits) for row, b in zip(layer.weight, layer.bias, strict=True)]
        h = [v << layer.slope_bits if v >= 0 else s * v for v, s in zip(z, layer.slope, strict=True)]
        bits += layer.bits + layer.slope_bits
    return Fraction(h[0], 1 << bits)


def _integers(numbers: Sequence[float]) -> tuple[list[int], int]:
    """The numbers times 2^bits, and bits."""
    ratios = [number.as_integer_ratio() for number in numbers]
    bits = max(bottom.bit_length() - 1 for _, bottom in ratios)
    return [top << (bits - bottom.bit_length() + 1) for top, bottom in ratios], bits
