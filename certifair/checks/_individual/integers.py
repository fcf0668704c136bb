"""f at points and in boxes, in the integers of the standard library alone: nothing is rounded but upwards, on purpose.

Every float is an integer times a power of two. Values are integers in units of 2^-bits, bits growing layer by layer,
so sums and products are exact. The mathematics is that of `floats`, where it is proven; the slopes of lines are
rounded to 1/256, as any are sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from operator import mul
from typing import Final, final

from certifair.evidence.witness import PlainLayer

LAMBDA_BITS: Final = 8
KEPT_BITS: Final = 64
U32: Final = Fraction(1, 1 << 24)


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


@final
@dataclass(frozen=True)
class Bounds:
    """In a box with this middle: |f(x) − (centre + slope·(x − middle))| ≤ error, |∂f/∂x_i − slope_i| ≤ spread_i.

    ranges: of each neuron, layer by layer.
    """

    middle: list[Fraction]
    centre: Fraction
    slope: list[Fraction]
    error: Fraction
    spread: list[Fraction]
    ranges: list[list[tuple[Fraction, Fraction]]]


@final
@dataclass(frozen=True)
class _Line:
    """A neuron's λ, μ, ε, τ."""

    slope: Fraction
    shift: Fraction
    error: Fraction
    bend: Fraction


def enclose(layers: Sequence[ExactLayer], low: Sequence[Fraction], high: Sequence[Fraction]) -> Bounds:
    """`floats.enclose` of one box, whose ends are dyadic. The forms of a layer are rows [constant, a coefficient for
    each input, one for each neuron below that bends], times 2^bits; `widths` are those of inputs and of these neurons.
    """
    n0 = len(low)
    middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    widths = [(b - a) / 2 for a, b in zip(low, high, strict=True)]
    start, bits = _dyadic(middle)
    forms = [[v, *((1 << bits) * (i == j) for j in range(n0))] for i, v in enumerate(start)]
    slants: list[list[list[Fraction]]] = []
    lines: list[list[_Line]] = []
    ranges = []
    for depth, layer in enumerate(layers):
        columns = list(zip(*forms, strict=True))
        forms = [[sum(map(mul, row, column)) for column in columns] for row in layer.weight]
        for form, b in zip(forms, layer.bias, strict=True):
            form[0] += b << bits
        bits += layer.bits
        tops, width_bits = _dyadic(widths)
        reach = [
            Fraction(sum(abs(c) * w for c, w in zip(form[1:], tops, strict=True)), 1 << bits + width_bits)
            for form in forms
        ]
        ranges.append(
            [(Fraction(f[0], 1 << bits) - r, Fraction(f[0], 1 << bits) + r) for f, r in zip(forms, reach, strict=True)]
        )
        if depth + 1 == len(layers):
            break
        slants.append([[Fraction(c, 1 << bits) for c in form[1 : n0 + 1]] for form in forms])
        slopes = [Fraction(s, 1 << layer.slope_bits) for s in layer.slope]
        lines.append([_line(*ends, slope) for ends, slope in zip(ranges[-1], slopes, strict=True)])
        forms, bits = _through(lines[-1], forms, bits)
        widths += [line.error for line in lines[-1] if line.bend]
    (form,) = forms
    unit = 1 << bits
    error = sum((abs(Fraction(c, unit)) * w for c, w in zip(form[n0 + 1 :], widths[n0:], strict=True)), Fraction(0))
    rows = iter([Fraction(c, unit) for c in form[n0 + 1 :]])
    bent = [[next(rows) if line.bend else Fraction(0) for line in layer] for layer in lines]
    spread = _spread(layers, lines, bent, slants, n0)
    return Bounds(middle, Fraction(form[0], unit), [Fraction(c, unit) for c in form[1 : n0 + 1]], error, spread, ranges)


def _through(lines: list[_Line], forms: list[list[int]], bits: int) -> tuple[list[list[int]], int]:
    """The forms after the lines, with a new coefficient for each neuron that bends."""
    slopes, slope_bits = _dyadic([line.slope for line in lines])
    shifts, shift_bits = _dyadic([line.shift for line in lines])
    total = max(bits + slope_bits, shift_bits)
    moved = total - bits - slope_bits
    new = sum(1 for line in lines if line.bend)
    found, at = [], 0
    for line, slope, shift, form in zip(lines, slopes, shifts, forms, strict=True):
        row = [(slope * c) << moved for c in form] + [0] * new
        row[0] += shift << (total - shift_bits)
        if line.bend:
            row[len(form) + at] = 1 << total
            at += 1
        found.append(row)
    return found, total


def _spread(
    layers: Sequence[ExactLayer],
    lines: list[list[_Line]],
    bent: list[list[Fraction]],
    slants: list[list[list[Fraction]]],
    n0: int,
) -> list[Fraction]:
    """Σ_k (|B_k| + y_k) τ_k |C_k|; `bent` is B where τ is not 0, as the output's coefficient of each ε."""
    found = [Fraction(0)] * n0
    y = [Fraction(0)] * (len(lines[-1]) if lines else 0)
    for k in reversed(range(len(lines))):
        weights = [(abs(b) + v) * line.bend for b, v, line in zip(bent[k], y, lines[k], strict=True)]
        for weight, slant in zip(weights, slants[k], strict=True):
            if weight:
                found = [v + weight * abs(c) for v, c in zip(found, slant, strict=True)]
        if k:
            out = [abs(b) * x.bend + v * (abs(x.slope) + x.bend) for b, v, x in zip(bent[k], y, lines[k], strict=True)]
            unit = 1 << layers[k].bits
            y = [
                _up(sum(map(mul, out, map(abs, column)), Fraction(0)) / unit)
                for column in zip(*layers[k].weight, strict=True)
            ]
    return found


def _line(low: Fraction, high: Fraction, slope: Fraction) -> _Line:
    """As `floats._line`: the function minus λz is in the hull of (slope − λ)·low, 0 and (1 − λ)·high."""
    if low >= 0 or high <= 0 or slope == 1:
        return _Line(Fraction(1) if low >= 0 else slope, Fraction(0), Fraction(0), Fraction(0))
    joined = (high - slope * low) / (high - low)
    lam = Fraction(round(joined * (1 << LAMBDA_BITS)), 1 << LAMBDA_BITS)
    ends = [(slope - lam) * low, Fraction(0), (1 - lam) * high]
    return _Line(lam, (max(ends) + min(ends)) / 2, (max(ends) - min(ends)) / 2, max(abs(1 - lam), abs(lam - slope)))


def drift(
    layers: Sequence[PlainLayer],
    ranges: Sequence[Sequence[tuple[Fraction, Fraction]]],
    inputs: Sequence[Fraction],
    start: Sequence[Fraction],
    single: bool,
) -> Fraction | None:
    """`floats.drift` for the float32 claim (single), or for weights that are not exact; None if nothing is known.

    inputs: the largest magnitudes; start: how far inputs may be from float32 numbers. Rounded upwards to 64 bits.
    """
    most, error = list(inputs), list(start)
    for layer, spans in zip(layers, ranges, strict=True):
        after_most, after_error = [], []
        for j, (low, high) in enumerate(spans):
            weight = [abs(Fraction(w)) for w in layer.weight[j]]
            total = sum((w * (h + e) for w, h, e in zip(weight, most, error, strict=True)), _size(layer, j))
            zeros = sum(1 for w, h, e in zip(weight, most, error, strict=True) if w and not h + e)
            rate = _rate(layer, j, zeros, single)
            if rate is None or (single and total * (1 + rate) >= 1 << 127):
                return None
            z = (
                sum(map(mul, weight, error), Fraction(0))
                + rate * total
                + (layer.rounds[j] * Fraction(1, 1 << 149)) * single
            )
            slope = abs(Fraction(layer.slope[j]))
            steep = Fraction(1) if low - z >= 0 else slope if high + z <= 0 else max(Fraction(1), slope)
            rounds = single and layer.slope[j] not in (0, 1)
            rounding = U32 * slope * (max(-low, high) + z) + Fraction(1, 1 << 149) if rounds else Fraction(0)
            after_error.append(_up(steep * z + rounding))
            after_most.append(max(high, slope * -low, Fraction(0)))
        most, error = after_most, after_error
    return error[0]


def _size(layer: PlainLayer, j: int) -> Fraction:
    return max(Fraction(layer.size[j]), abs(Fraction(layer.bias[j])))


def _rate(layer: PlainLayer, j: int, zeros: int, single: bool) -> Fraction | None:
    relative = Fraction(layer.relative[j])
    if not single:
        return relative
    n = max(0, layer.rounds[j] - zeros)
    if n >= 1 << 23:
        return None
    gamma = n * U32 / (1 - n * U32)
    return gamma + (1 + gamma) * relative


def _up(number: Fraction) -> Fraction:
    """At least the number (≥ 0), in 64 bits: else denominators grow without end."""
    drop = number.numerator.bit_length() - number.denominator.bit_length() - KEPT_BITS
    scaled = number / (Fraction(2) ** drop)
    return -(-scaled.numerator // scaled.denominator) * Fraction(2) ** drop


def _dyadic(numbers: Sequence[Fraction]) -> tuple[list[int], int]:
    """The numbers times 2^bits, and bits. Errors: ValueError for a denominator that is no power of two."""
    bits = max((number.denominator.bit_length() - 1 for number in numbers), default=0)
    found = [number.numerator * ((1 << bits) // number.denominator) for number in numbers]
    if any(number.denominator & (number.denominator - 1) for number in numbers):
        raise ValueError("a number that is no dyadic fraction")
    return found, bits


def sums_only(layers: Sequence[PlainLayer]) -> bool:
    """Whether a float32 evaluation only multiplies by weights, adds, and takes ReLUs or identities."""
    for layer in layers:
        for row, bias, size, rounds in zip(layer.weight, layer.bias, layer.size, layer.rounds, strict=True):
            terms = sum(w != 0 for w in row) + 1
            copies = rounds == 0 and terms == 2 and bias == 0 and max(row) == 1
            if not copies and (rounds != terms or size != abs(bias)):
                return False
        if any(layer.relative) or any(layer.curve) or any(slope not in (0, 1) for slope in layer.slope):
            return False
    return True


def exact32(layers: Sequence[PlainLayer], x: Sequence[Fraction]) -> bool:
    """Whether no float32 evaluation rounds anything at the point x, so that all of them give f itself (`sums_only`).

    If every term of a neuron is a multiple of 2^q, q ≥ −149, and their magnitudes add up to less than 2^(q + 24), then
    products and partial sums are such multiples too, whatever the order, hence float32 numbers. As small integers are.
    """
    h = list(x)
    for layer in layers:
        z = []
        for row, bias in zip(layer.weight, layer.bias, strict=True):
            terms = [Fraction(w) * v for w, v in zip(row, h, strict=True) if w and v] + [Fraction(bias)]
            if not _fits(terms):
                return False
            z.append(sum(terms, Fraction(0)))
        h = [max(value, Fraction(0)) if slope == 0 else value for value, slope in zip(z, layer.slope, strict=True)]
    return True


def _fits(terms: list[Fraction]) -> bool:
    scale = max(term.denominator for term in terms)
    numbers = [abs(term.numerator) * (scale // term.denominator) for term in terms]
    common = gcd(*numbers)
    unit = common & -common  # the largest power of two in all of them
    return unit == 0 or (sum(numbers) < unit << 24 and unit << 149 >= scale and sum(numbers) < scale << 126)
