"""Networks and lists of layers in exact rationals, and networks as float32 hardware runs them; slow and obvious."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

from certifair.spec.layers import CURVES, Layers
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, Network, Scale, Step, Sum, reads

MP = mpmath.mp.clone()
MP.dps = 80
ZERO = Fraction(0)
Vector = list[Fraction]
Single = Any
"""A float32 of NumPy."""


def fractions(numbers: Any) -> Vector:
    return [Fraction(float(number)) for number in numbers]


def _curve(kind: str) -> Callable[[Fraction], Fraction]:
    """To 80 digits."""

    def value(z: Fraction) -> Fraction:
        x = MP.mpf(z.numerator) / z.denominator
        return _rational(MP.tanh(x) if kind == "tanh" else 1 / (1 + MP.exp(-x)))

    return value


def root(value: Fraction) -> Fraction:
    """Exact for squares of rationals, else to 80 digits."""
    return _rational(MP.sqrt(MP.mpf(value.numerator) / value.denominator))


def _rational(number: Any) -> Fraction:
    p, q = mpmath.libmp.to_rational(number._mpf_)
    return Fraction(int(p), int(q))


def activated(step: Activation, z: Fraction) -> Fraction:
    if step.kind in ("sigmoid", "tanh"):
        return _curve(step.kind)(z)
    return z if z >= 0 else Fraction(step.slope) * z


def outputs(network: Network, x: Sequence[Fraction]) -> Vector:
    """What a network gives for one person."""
    slots = [list(x)]
    for step in network.steps:
        slots.append(_step(step, [slots[source] for source in reads(step)]))
    return slots[network.output]


def _step(step: Step, given: list[Vector]) -> Vector:
    first = given[0]
    match step:
        case Affine(weight=weight, bias=bias):
            return [
                sum((w * v for w, v in zip(fractions(row), first, strict=True)), Fraction(float(b)))
                for row, b in zip(weight, bias, strict=True)
            ]
        case Scale(factor=factor, divisor=divisor, shift=shift):
            parts = zip(first, *map(fractions, (factor, divisor, shift)), strict=True)
            return [v * f / d + s for v, f, d, s in parts]
        case Activation():
            return [activated(step, v) for v in first]
        case Sum():
            return [sum(parts, ZERO) for parts in zip(*given, strict=True)]
        case Concat():
            return [v for part in given for v in part]
        case BatchNorm():
            epsilon = Fraction(step.epsilon)
            parts = zip(first, *map(fractions, (step.mean, step.variance, step.scale, step.shift)), strict=True)
            return [(x - mean) / root(v + epsilon) * scale + shift for x, mean, v, scale, shift in parts]
    raise AssertionError(type(step).__name__)


def positive(network: Network, x: Sequence[Fraction]) -> bool | None:
    """The decision as the network's own output says it; None where two curves differ too little to be told apart."""
    found = outputs(network, x)
    last = network.steps[network.output - 1] if network.output else None
    if len(found) == 2:
        curved = isinstance(last, Activation) and last.kind in ("sigmoid", "tanh")
        return None if curved and abs(found[1] - found[0]) < Fraction(1, 10**60) else found[1] > found[0]
    return found[0] > (Fraction(1, 2) if isinstance(last, Activation) and last.kind == "sigmoid" else 0)


def numbers(layers: Layers, x: Sequence[Fraction]) -> list[tuple[Vector, Vector]]:
    """z and h of every layer, for these numbers as they are."""
    found: list[tuple[Vector, Vector]] = []
    h = list(x)
    for layer in layers.layers:
        z = [
            sum((w * v for w, v in zip(fractions(row), h, strict=True) if w), Fraction(float(b)))
            for row, b in zip(layer.weight, layer.bias, strict=True)
        ]
        curves = [CURVES[code] for code in layer.curve]
        h = [
            _curve(curve)(v) if curve else v if v >= 0 else Fraction(float(slope)) * v
            for v, slope, curve in zip(z, layer.slope, curves, strict=True)
        ]
        found.append((z, h))
    return found


def decision(layers: Layers, x: Sequence[Fraction]) -> Fraction:
    return numbers(layers, x)[-1][1][0]


def _gamma(n: int) -> Fraction:
    return Fraction(n, 2**24 - n)


def float32_error(layers: Layers, x: Sequence[Fraction]) -> Fraction | None:
    """How far a float32 evaluation may be from `decision`; None if it may overflow."""
    h, error, tiny = list(x), [ZERO] * len(x), Fraction(1, 2**150)
    for layer, (z, after) in zip(layers.layers, numbers(layers, x), strict=True):
        errors = []
        for j, row in enumerate(layer.weight):
            n, slope = int(layer.rounds[j]), abs(Fraction(float(layer.slope[j])))
            parts = [(abs(w), abs(v), e) for w, v, e in zip(fractions(row), h, error, strict=True) if w]
            size = sum((w * (v + e) for w, v, e in parts), Fraction(float(layer.size[j])))
            if size * (1 + _gamma(n)) >= 2**128:
                return None
            own = sum((w * e for w, _, e in parts), ZERO) + _gamma(n) * size + (n * tiny)
            kink = ZERO if slope in (0, 1) else slope * (abs(z[j]) + own) / 2**24 + tiny
            errors.append(max(Fraction(1), slope) * own + kink)
        h, error = after, errors
    return error[0]


def real_error(layers: Layers, x: Sequence[Fraction]) -> Fraction:
    """How far the true network may be from `decision`."""
    h, error = list(x), [ZERO] * len(x)
    for layer, (_, after) in zip(layers.layers, numbers(layers, x), strict=True):
        errors = []
        for j, row in enumerate(layer.weight):
            parts = [(abs(w), abs(v), e) for w, v, e in zip(fractions(row), h, error, strict=True) if w]
            size = sum((w * (v + e) for w, v, e in parts), Fraction(float(layer.size[j])))
            own = sum((w * e for w, _, e in parts), ZERO) + Fraction(float(layer.relative[j])) * size
            errors.append(max(Fraction(1), abs(Fraction(float(layer.slope[j])))) * own)
        h, error = after, errors
    return error[0]


def run_float32(network: Network, x: Any, rng: np.random.Generator) -> Any:
    """The output as float32 hardware may compute it: sums in a random order, BatchNorm in one of three ways."""
    slots = [np.asarray(x, dtype=np.float32)]
    with np.errstate(all="ignore"):
        for step in network.steps:
            slots.append(_run(step, [slots[source] for source in reads(step)], rng))
    return slots[network.output]


def _run(step: Step, given: list[Any], rng: np.random.Generator) -> Any:
    first = given[0]
    match step:
        case Affine(weight=weight, bias=bias):
            terms = weight.astype(np.float32) * first
            return np.array(
                [_total([*row, b], rng) for row, b in zip(terms, bias.astype(np.float32), strict=True)], np.float32
            )
        case Scale(factor=factor, divisor=divisor, shift=shift):
            return first * factor.astype(np.float32) / divisor.astype(np.float32) + shift.astype(np.float32)
        case Activation(kind="relu" | "leaky_relu", slope=slope):
            return np.where(first >= 0, first, np.float32(slope) * first)
        case Sum():
            return np.array([_total(list(parts), rng) for parts in zip(*given, strict=True)], np.float32)
        case Concat():
            return np.concatenate(given)
        case BatchNorm():
            return _run_batch_norm(step, first, int(rng.integers(4)))
    raise AssertionError(type(step).__name__)


def _run_batch_norm(step: BatchNorm, x: Any, way: int) -> Any:
    mean, variance, scale, shift = (v.astype(np.float32) for v in (step.mean, step.variance, step.scale, step.shift))
    spread = np.sqrt(variance + np.float32(step.epsilon))
    inverse = np.float32(1) / spread
    match way:
        case 0:
            return (x - mean) / spread * scale + shift
        case 1:
            return x * (inverse * scale) + (shift - mean * (inverse * scale))
        case 2:
            return (x - mean) * (inverse * scale) + shift
    return (x - mean) * scale / spread + shift


def _total(terms: list[Single], rng: np.random.Generator) -> Single:
    """A sum along a random tree."""
    terms = list(terms)
    while len(terms) > 1:
        a = terms.pop(int(rng.integers(len(terms))))
        b = terms.pop(int(rng.integers(len(terms))))
        terms.append(np.float32(a + b))
    return terms[0]
