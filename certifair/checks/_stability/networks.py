"""Bounds of a network's Lipschitz constant in ℓ2, proven here: above by norms, or a witness of LipSDP; below by a pair.

L bounds |f(x) − f(x')|/|u| with u_i = (x_i − x'_i)/unit_i, for all x and x', or for all in a box. Take two persons.
Along the way of `spec.chain`, Δf = J·u for a product and sum J of the weights and of matrices S, one for each curve:
diagonal with slopes in [low, high], or symmetric with eigenvalues in [0, high] (a LayerNorm's). J depends on the two.

1. |J|_p ≤ products and sums of the parts' norms, p = 1, 2, ∞, for a diagonal S max|slope|; and high·√m for p = 1 and
   ∞ of a LayerNorm of m numbers, as |Sx|_2 ≤ high·|x|_2. The same J has |J|_2² ≤ |J|_1·|J|_∞.
2. |J| ≤ P, element by element, where every weight and slope is replaced by its magnitude (all elements of a LayerNorm's
   S are at most high in magnitude); so |J|_2 ≤ |P|_2.
3. A witness: bound² ≥ ρ, and the form of `spec.chain`, of excesses, is positive semidefinite at ρ.

From below, L is at least the ratio of any one pair (in the box): |Δf| by balls, all else in rationals.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._forward import evaluate
from certifair.exact import ball
from certifair.exact.ball import Ball, quiet
from certifair.exact.semidefinite import norm_up, semidefinite
from certifair.spec.chain import Chain, Curve, chain_of, form
from certifair.spec.lipschitz import Pair, Witness
from certifair.spec.network import Network
from certifair.spec.reach import ranges_of

Array = NDArray[np.float64]
Box = tuple[Array, Array]
MOST_ROWS: Final = 4096
"""Of a matrix that is proven semidefinite: about 20 s."""
Method = Literal["norms", "l1_linf", "absolute", "lipsdp"]


@final
@dataclass(frozen=True)
class Rung:
    """One bound that is proven."""

    method: Method
    bound: Fraction


@final
@dataclass(frozen=True)
class Lipschitz:
    """Every bound that is proven, the smallest of them, and why the witness proved nothing, if it did not.

    l1, linf: of |Δf|_1/|u|_1 and |Δf|_∞/|u|_∞; None where nothing is proven. bound None: nothing is.
    lower: what the witness' pair proves that no bound is below, so lower ≤ bound; None: nothing, no_lower says why.
    """

    rungs: tuple[Rung, ...]
    l1: Fraction | None
    linf: Fraction | None
    reason: str | None
    lower: Fraction | None
    no_lower: str | None

    @property
    def bound(self) -> Fraction | None:
        return min((rung.bound for rung in self.rungs), default=None)

    def of(self, method: Method) -> Fraction | None:
        """What one method proved."""
        return next((rung.bound for rung in self.rungs if rung.method == method), None)


def lipschitz(
    network: Network, witness: Witness | None = None, box: Box | None = None, units: Array | None = None
) -> Lipschitz:
    """Bounds over all inputs, or over a box (low, high), in units (inputs,) of each input, 1 if not given.

    reason: what a network without any bound has, naming the step; or what is wrong with a witness.
    Errors: ValueError for a box or units of other shapes, or a processor in flush-to-zero mode.
    """
    _check_shapes(network, box, units)
    found = _lower(network, None if witness is None else witness.pair, box, units)
    lower, no_lower = (None, found) if isinstance(found, str) else (found, None)
    try:
        ranges = None if box is None else ranges_of(network, *box)
        chain = chain_of(network, units, ranges)
    except ValueError as error:
        return Lipschitz((), None, None, str(error), lower, no_lower)
    chains = [chain] if box is None else [chain, *_anywhere(network, units)]
    l1, l2, linf = (min(_norms(item, p) for item in chains) for p in (1, 2, math.inf))
    proven = {"norms": l2, "l1_linf": _root_up(_times(l1, linf)), "absolute": min(map(_absolute, chains))}
    reason = None if witness is None else why_not(chain_of(network, units, ranges, excess=True), witness)
    if witness is not None and reason is None:
        proven["lipsdp"] = witness.bound
    names: tuple[Method, ...] = ("norms", "l1_linf", "absolute", "lipsdp")
    rungs = [Rung(name, Fraction(proven[name])) for name in names if math.isfinite(proven.get(name, math.inf))]
    reason = reason or (None if rungs else "has no bound that a float64 number holds")
    return Lipschitz(tuple(rungs), _finite(l1), _finite(linf), reason, lower, no_lower)


def _anywhere(network: Network, units: Array | None) -> list[Chain]:
    """The chain over all inputs, if there is one. In a box more neurons are linear, and sums of norms may be larger."""
    try:
        return [chain_of(network, units)]
    except ValueError:
        return []


def _lower(network: Network, pair: Pair | None, box: Box | None, units: Array | None) -> Fraction | str:
    """At most |f(x) − f(x')|/|u| of a pair (x, x'), or why it says nothing.

    Each output's difference is at least |m − m'| − r − r' for the balls m ± r and m' ± r'.
    """
    if pair is None:
        return "there is no pair"
    if {len(point) for point in pair} != {network.inputs}:
        return f"its points have {len(pair[0])} numbers; the network takes {network.inputs}"
    if box is not None and not all(_inside(point, box) for point in pair):
        return "a point lies outside the box"
    steps = np.ones(network.inputs) if units is None else units
    sides = zip(*pair, steps.tolist(), strict=True)
    apart = sum((((Fraction(a) - Fraction(b)) / Fraction(unit)) ** 2 for a, b, unit in sides), Fraction(0))
    if not apart:
        return "both points are the same"
    values = evaluate(network, np.array(pair, dtype=np.float64))
    if not np.isfinite(values.rad).all():
        return "the outputs are too large for float64"
    outputs = zip(*values.mid.tolist(), *values.rad.tolist(), strict=True)
    parts = [abs(Fraction(m) - Fraction(n)) - Fraction(r) - Fraction(s) for m, n, r, s in outputs]
    return _root_down(sum((max(part, Fraction(0)) ** 2 for part in parts), Fraction(0)) / apart)


def _inside(point: array[float], box: Box) -> bool:
    numbers = np.array(point, dtype=np.float64)
    return bool(((box[0] <= numbers) & (numbers <= box[1])).all())


def _root_down(value: Fraction) -> Fraction:
    """At most the root, by less than 2^-60 of it: that of value·4^k rounded downwards, which has 64 bits, over 2^k."""
    scale = Fraction(2) ** (64 - (value.numerator.bit_length() - value.denominator.bit_length()) // 2)
    return math.isqrt(math.floor(value * scale * scale)) / scale


def why_not(chain: Chain, witness: Witness) -> str | None:
    """Why a witness does not prove its bound; None if it does.

    ρ is bound² rounded downwards, so that |Δf|² ≤ ρ|u|² says no less than |Δf| ≤ bound·|u|.
    """
    sizes = [len(part) for part in witness.multipliers]
    if sizes != [curve.multipliers for curve in chain.curves]:
        return f"it has multipliers for {sizes} neurons, not {[curve.multipliers for curve in chain.curves]}"
    if chain.variables > MOST_ROWS:
        return f"its matrix has {chain.variables} rows; at most {MOST_ROWS} are checked"
    rho = math.nextafter(witness.bound * witness.bound, 0.0)
    multipliers = [np.array(part, dtype=np.float64) for part in witness.multipliers]
    if not semidefinite(form(chain, rho, multipliers)):
        return f"its matrix of {chain.variables} rows is not proven positive semidefinite"
    return None


def _check_shapes(network: Network, box: Box | None, units: Array | None) -> None:
    shape = (network.inputs,)
    if units is not None and (units.shape != shape or not (np.isfinite(units) & (units > 0)).all()):
        raise ValueError(f"units of shape {units.shape}; {network.inputs} positive numbers belong there")
    if box is not None and not all(end.shape == shape and np.isfinite(end).all() for end in box):
        raise ValueError(f"the ends of a box are {network.inputs} finite numbers each")
    if box is not None and (box[0] > box[1]).any():
        raise ValueError("the box is empty")


def _finite(value: float) -> Fraction | None:
    return Fraction(value) if math.isfinite(value) else None


def _up(value: float) -> float:
    """At least the sum that this was rounded to nearest from; 0 is exact."""
    return math.nextafter(value, math.inf) if value else 0.0


def _times(*factors: float) -> float:
    """At least the product: 0 only if a factor is, not by underflow."""
    if not all(factors):
        return 0.0
    found = 1.0
    for factor in factors:
        found = math.nextafter(found * factor, math.inf)
    return found


def _root_up(value: float) -> float:
    return _up(math.sqrt(value)) if math.isfinite(value) else math.inf


def _steepest(curve: Curve) -> float:
    return float(np.maximum(np.abs(curve.low), np.abs(curve.high)).max())


def _norms(chain: Chain, p: float) -> float:
    """At least the sum over all ways from the inputs to the output of the products of norms along them."""
    sizes = [(0, chain.inputs, 1.0)]
    for curve in chain.curves:
        spread = _up(math.sqrt(curve.width)) if curve.tied and p != 2 else 1.0
        size = _times(_through(curve.z, sizes, p), _steepest(curve), spread)
        sizes.append((curve.first, curve.first + curve.width, size))
    return _through(chain.output, sizes, p)


def _through(rows: Ball, sizes: list[tuple[int, int, float]], p: float) -> float:
    total = 0.0
    for first, end, size in sizes:
        part = Ball(rows.mid[:, first:end], rows.rad[:, first:end])
        if size and (part.mid.any() or part.rad.any()):
            total = _up(total + _times(_norm(part, p), size))
    return total


@quiet
def _norm(a: Ball, p: float) -> float:
    """An operator norm from above: the largest sum of a column (1) or of a row (∞), or the largest singular value.

    That is at most Frobenius' norm, and the root of the product of the other two.
    """
    size = ball.outward(np.abs(a.mid) + a.rad)
    if p != 2:
        return float(ball.outward(size.sum(axis=0 if p == 1 else 1)).max())
    plain = min(_frobenius(size), _root_up(_times(_norm(a, 1), _norm(a, math.inf))))
    return min(norm_up(a), plain) if sum(a.shape) <= MOST_ROWS else plain


def _frobenius(size: Array) -> float:
    """At least the root of the sum of the squares of numbers ≥ 0.

    Scaled by a power of 2 until the largest is in [1/2, 1): what underflows then is far below the sum's own slack.
    """
    peak = float(size.max(initial=0.0))
    if not peak or not math.isfinite(peak):
        return peak
    exponent = math.frexp(peak)[1]
    scaled = np.ldexp(size, -exponent)
    root = float(ball.outward(np.sqrt(ball.outward((scaled * scaled).sum(keepdims=True)))).max())
    return float(np.nextafter(np.ldexp(root, exponent), np.inf))


@quiet
def _absolute(chain: Chain) -> float:
    """|P|_2, with P built up curve by curve as the rows that belong to the variables, upwards."""
    rows = np.zeros((chain.variables, chain.inputs))
    rows[: chain.inputs] = np.eye(chain.inputs)
    for curve in chain.curves:
        size = ball.outward(_magnitudes(curve.z, rows) * np.maximum(np.abs(curve.low), np.abs(curve.high))[:, None])
        own = slice(curve.first, curve.first + curve.width)
        rows[own] = ball.outward(size.sum(axis=0)) if curve.tied else size
    whole = _magnitudes(chain.output, rows)
    return _norm(ball.exact(whole), 2) if np.isfinite(whole).all() else math.inf


def _magnitudes(a: Ball, rows: Array) -> Array:
    """At least |a| @ rows."""
    if not np.isfinite(rows).all():
        return np.full((a.shape[0], rows.shape[1]), np.inf)
    found = ball.matmul(ball.exact(ball.outward(np.abs(a.mid) + a.rad)), rows)
    return ball.outward(found.mid + found.rad)
