"""What float32 may add to f at one point, sharply: for the few points that `floats.drift` leaves open.

Let every hidden neuron be a ReLU or the identity, on the same side of 0 in each float32 evaluation as over the reals.
Then ẑ_k − z_k = W_k D_{k−1}(ẑ_{k−1} − z_{k−1}) + δ_k, with D the neurons' slopes there and δ_k what rounding adds in
layer k, so that ẑ − z of the output is Σ B_k δ_k, B_k the row of ∂f/∂z_k at this point.

|δ| of a neuron with K terms that are not 0, its bias included. A product t is rounded by at most u·⌊t⌋, where ⌊t⌋ is
the largest power of two up to |t| and u = 2^-24, or not at all (fused; exact). The terms are added by K − 1 additions
in some binary tree, each rounded by at most u·⌊s⌋, s being the sum before it is rounded. A node over j terms has |s| at
most A_j, the larger of the sums of the j largest positive and of the j largest negative terms, times 1 + γ_K for the
roundings below it. At most K − j + 1 nodes of a tree are over j terms or more, j ≥ 2 (by induction over the two parts
of the root, of a and b terms: 1 + (a − j + 1)⁺ + (b − j + 1)⁺ ≤ a + b − j + 1), and A_j grows with j, so all additions
together err by at most Σ_{j=2..K} u·⌊A_j⌋; and that of the root by at most u·⌊z⌋. Terms that are 0 are added exactly,
as are subnormal sums; a product may underflow by 2^-150.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual.floats import SLACK, Array, Prepared, Ranges, quiet
from certifair.spec.layers import Layer

U32: Final = 2.0**-24
TINY: Final = 2.0**-149
LARGEST: Final = 2.0**126


@quiet
def drift32(net: Prepared, ranges: Ranges, x: Array) -> float:
    """How far a float32 evaluation may be from f at the point x (n0,), of which `ranges` are (1 row); inf if unknown.

    For networks with `sums_only`.
    """
    if (x.astype(np.float32) != x).any():
        return float("inf")
    low, high, error = x, x, np.zeros_like(x)
    local: list[Array] = []
    sides: list[NDArray[np.bool_]] = []
    for k, layer in enumerate(net.layers.layers):
        exact = k == 0
        spread = _sums(layer, low, high, error, np.maximum(-ranges.low[k][0], ranges.high[k][0]), exact=exact)
        local.append(spread)
        moved = (net.magnitude[k].T @ error + spread) * SLACK
        z_low, z_high = ranges.low[k][0], ranges.high[k][0]
        if k + 1 == len(net.layers.layers):
            break
        active = (layer.slope == 1) | (z_low - moved >= 0)
        if not (active | (z_high + moved <= 0)).all():
            return float("inf")
        sides.append(active)
        low, high, error = np.where(active, z_low, 0.0), np.where(active, z_high, 0.0), np.where(active, moved, 0.0)
    row, total = net.weight[-1][:, 0], local[-1][0]
    for k in reversed(range(len(sides))):
        row = np.where(sides[k], row, 0.0)
        total = total + ((np.abs(row) + net.theta * net.most[1][k]) * local[k]).sum() * SLACK
        row = net.weight[k] @ row
    return float(total * SLACK) if total >= 0 else float("inf")


def exact32(net: Prepared, x: Array) -> bool:
    """Whether no float32 evaluation rounds anything at the point x (n0,), so that all of them give f itself.

    If every term of a neuron is a multiple of 2^q, q ≥ −149, and their magnitudes add up to less than 2^(q + 24), then
    products and partial sums are such multiples too, whatever the order, hence float32 numbers. As small integers are.
    """
    h = [Fraction(value) for value in x.tolist()]
    for layer in net.layers.layers:
        z = []
        for row, bias in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True):
            terms = [Fraction(w) * v for w, v in zip(row, h, strict=True) if w and v] + [Fraction(bias)]
            if not _fits(terms):
                return False
            z.append(sum(terms, Fraction(0)))
        h = [max(value, Fraction(0)) if slope == 0 else value for value, slope in zip(z, layer.slope, strict=True)]
    return True


def _fits(terms: list[Fraction]) -> bool:
    scale = max(term.denominator for term in terms)
    numbers = [abs(term.numerator) * (scale // term.denominator) for term in terms]
    common = math.gcd(*numbers)
    unit = common & -common  # the largest power of two in all of them
    return unit == 0 or (sum(numbers) < unit << 24 and unit << 149 >= scale and sum(numbers) < scale << 126)


def _sums(layer: Layer, low: Array, high: Array, error: Array, size: Array, *, exact: bool) -> Array:
    """(m,) At least |δ| of each neuron, for inputs in [low, high] ± error and results of at most `size`."""
    ends = np.stack([layer.weight * (low - error), layer.weight * (high + error)])
    top = np.column_stack([ends.max(axis=0), layer.bias]) * SLACK
    bottom = np.column_stack([ends.min(axis=0), layer.bias]) * SLACK
    terms = ((top != 0) | (bottom != 0)).sum(axis=1)
    products = np.maximum(np.abs(top), np.abs(bottom))[:, :-1]
    if exact:
        found = np.abs(ends[0].astype(np.float32) - ends[0])
        rounded = np.where(products < LARGEST, found * SLACK + TINY * (found > 0), np.inf).sum(axis=1)
    else:
        rounded = (U32 * _power(products) + TINY * (products > 0)).sum(axis=1)
    growth = (1 + 2 * terms * U32) * SLACK
    parts = [np.cumsum(-np.sort(-np.maximum(side, 0.0), axis=1), axis=1) for side in (top, -bottom)]
    largest = np.maximum(*parts) * growth[:, None] + TINY
    nodes = np.arange(1, largest.shape[1] + 1)
    counted = (nodes >= 2) & (nodes < terms[:, None])
    added = (U32 * _power(largest) * counted).sum(axis=1)
    whole = np.minimum(largest[:, -1], size + (np.abs(layer.weight) @ error) * SLACK + rounded + added) * (1 + 2.0**-10)
    root = np.where(terms >= 2, U32 * _power(np.minimum(whole * growth, largest[:, -1] * growth)), 0.0)
    spread = np.where(largest[:, -1] < LARGEST, rounded + added + root, np.inf)
    return np.where(layer.rounds == 0, 0.0, spread * SLACK)


def _power(values: Array) -> Array:
    """The largest power of two up to each of these numbers ≥ 0; 0 of 0."""
    mantissa, exponent = np.frexp(values)
    return np.where(mantissa > 0, np.ldexp(1.0, exponent - 1), 0.0)
