"""Ball arithmetic: float64 arrays `mid` with error bounds `rad`, rounded outwards, for computing with real numbers.

Notation. u = 2^-53, and η = 2^-1074, the smallest positive float64. IEEE 754 rounds a sum, difference, product,
quotient or square root z to the nearest float fl(z), so

    |fl(z) − z| ≤ u·|fl(z)| + η/2, and also ≤ u·|z| + η/2; without η/2 for sums, differences and square roots,

unless it overflows. m and r are the midpoint and the radius of a ball, and x is the true real number: |x − m| ≤ r.

Outward rounding. The true bounds R ≥ 0 below are sums, products and quotients of non-negative numbers. They are
computed in float64 too, with a relative error of at most 2^-22 (at most 2^24 roundings of u each, and approximations
that are stated) and an absolute error of at most 32η (underflow), as R̂ ≥ R·(1 − 2^-22) − 32η. `outward` returns

    fl(fl(R̂·(1 + 2^-20)) + 64η) ≥ (1 − u)·(R̂·(1 + 2^-20)·(1 − u) − η/2 + 64η) ≥ R,

for (1 − u)²(1 + 2^-20)(1 − 2^-22) > 1, and 63.5η·(1 − u) exceeds the 32η·(1 + 2^-20) that are missing.

Infinite radii. A midpoint is always finite. Where a midpoint overflows or is not a number, or a radius is not a
number, `_ball` returns midpoint 0 and radius inf, which says nothing, and so is true. An overflow of a radius is inf.

What is trusted: that numpy's +, −, ×, / and sqrt on float64 are those of IEEE 754 with rounding to nearest, that the
exact functions (abs, maximum, rint, …) are exact, and that `@` adds products in any order, fused or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, ldexp
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.exact.sums import require_subnormals

Array = NDArray[np.float64]

U: Final = ldexp(1.0, -53)
_SLACK: Final = 1 + ldexp(1.0, -20)
_ETA: Final = ldexp(1.0, -1074)
_UNDERFLOW: Final = 64 * _ETA
MAX_TERMS: Final = 1 << 24
"""The longest sum."""
_MANY_UNDERFLOWS: Final = (2 * MAX_TERMS) * _ETA
quiet: Final = np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")
"""For functions whose infinities and nans become infinite radii."""


@final
@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class Ball:
    """Real numbers x with |x − mid| ≤ rad, elementwise: float64 arrays of one shape, mid finite, 0 ≤ rad ≤ inf.

    Errors: ValueError for another dtype or shapes that differ, or a processor in flush-to-zero mode.
    """

    mid: Array
    rad: Array

    def __post_init__(self) -> None:
        require_subnormals()
        if self.mid.dtype != np.float64 or self.rad.dtype != np.float64 or self.mid.shape != self.rad.shape:
            raise ValueError("a ball needs float64 midpoints and radii of one shape")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mid.shape


@quiet
def exact(values: Any) -> Ball:
    """Floats as they are, radius 0; what is not finite gets an infinite radius. Errors: ValueError if not float64."""
    array = np.asarray(values)
    return ball(array, np.zeros(array.shape))


def outward(bound: Array) -> Array:
    """At least the true bound that `bound` approximates: see the head of this file."""
    grown = np.multiply(bound, _SLACK, out=bound if bound.ndim else None)
    return np.add(grown, _UNDERFLOW, out=grown if bound.ndim else None)


def ball(mid: Array, rad: Array) -> Ball:
    """The ball, with midpoint 0 and radius inf where the midpoint is not finite or the radius not a number.

    If any element is infinite or not a number, so is the sum of all; then each is looked at.
    """
    if isfinite(mid.sum()) and isfinite(rad.sum()):
        return Ball(mid, rad)
    good = np.isfinite(mid) & (rad >= 0)
    return Ball(np.where(good, mid, 0.0), np.where(good, rad, inf))


@quiet
def add(a: Ball, b: Ball) -> Ball:
    """a + b. The radii add up, and the midpoint is rounded once: r = ra + rb + u·|m|."""
    mid = a.mid + b.mid
    return ball(mid, outward(a.rad + b.rad + U * np.abs(mid)))


@quiet
def subtract(a: Ball, b: Ball) -> Ball:
    """a − b, as `add`."""
    mid = a.mid - b.mid
    return ball(mid, outward(a.rad + b.rad + U * np.abs(mid)))


@quiet
def multiply(a: Ball, b: Ball) -> Ball:
    """a·b. With x = ma + α, y = mb + β: xy − ma·mb = ma·β + mb·α + αβ, and the midpoint is rounded once (η/2)."""
    mid = a.mid * b.mid
    spread = np.abs(a.mid) * b.rad + np.abs(b.mid) * a.rad + a.rad * b.rad
    return ball(mid, outward(spread + U * np.abs(mid)))


@quiet
def matmul(x: Ball, weight: Array, bias: Array | None = None) -> Ball:
    """x @ weight + bias for x (n, d), and weight (d, m) and bias (m,) that are known exactly.

    Proof. Let M = mid @ weight, over the reals. Each of its d terms goes through at most d roundings, in whatever
    order they are added, with fused operations or not, so (Higham, Accuracy and Stability, §3.1; plus underflows)

        |fl(M) − M| ≤ γ·|mid| @ |weight| + d·η/2·(1 + γ), γ = d·u/(1 − d·u) ≤ (d + 1)·u since d ≤ 2^24,

    and |x @ weight − M| ≤ rad @ |weight|. So both together are at most (rad + γ|mid|) @ |weight|. The computed
    γ|mid| + η is not below γ|mid|, whatever underflows: its product errs by at most u relatively or by η/2. The
    computed product with |weight| errs by at most γ ≤ 2^-28 relatively and d·η absolutely. The bias adds one rounding.
    All underflows together, at most 2·2^24·η, are added at the end.
    Errors: ValueError for a weight or bias that is not finite, or has another dtype or shape; if d > 2^24.
    """
    _check_weight(x, weight, bias)
    d = len(weight)
    size = np.abs(x.mid)
    size *= (d + 1) * U
    size += _ETA
    size += x.rad
    mid, rad = x.mid @ weight, size @ np.abs(weight)
    if bias is not None:
        mid += bias
    rad += U * np.abs(mid)
    rad = outward(rad)
    rad += _MANY_UNDERFLOWS
    return ball(mid, rad)


@quiet
def divide(a: Ball, b: Ball) -> Ball:
    """a/b; the radius is infinite where b may be 0.

    With x = ma + α, y = mb + β and q = ma/mb: x/y − q = (α − qβ)/y, at most (ra + |q|·rb)/(|mb| − rb) in magnitude.
    |q| ≤ |q̂|·(1 + 2u) + η, which `outward` exceeds. An underflow of |q|·rb is repaid by the η that is added to it,
    before the division magnifies it. The computed difference D of |mb| and rb errs by u relatively and is exact if
    subnormal, so fl(D·(1 − 2^-30)) ≤ |mb| − rb: for a subnormal D by monotonicity, for others because the product
    rounds up by at most max(u·D, η/2) ≤ 2^-53·D.
    """
    mid = a.mid / b.mid
    least = (np.abs(b.mid) - b.rad) * (1 - ldexp(1.0, -30))
    spread = (a.rad + np.where(b.rad > 0, outward(np.abs(mid)) * b.rad + _ETA, 0.0)) / least
    rad = outward(spread + U * np.abs(mid))
    return ball(mid, np.where(least > 0, rad, inf))


@quiet
def sqrt(a: Ball) -> Ball:
    """√a; the radius is infinite where a may be negative.

    For x ≥ 0 and m > 0: |√x − √m| = |x − m|/(√x + √m) ≤ r/√m; and √m is rounded once. Where m = r = 0 the root is 0.
    """
    mid = np.sqrt(a.mid)
    spread = np.where(a.rad > 0, a.rad / mid, 0.0)
    return ball(mid, np.where(a.mid >= a.rad, outward(spread + U * mid), inf))


def reciprocal_sqrt(a: Ball) -> Ball:
    """1/√a; the radius is infinite where a may be 0 or negative."""
    return divide(exact(np.ones(a.shape)), sqrt(a))


def relu(a: Ball) -> Ball:
    """max(a, 0): it moves no more than a does, and is 0 if a is surely not positive. Nothing is rounded."""
    return Ball(np.maximum(a.mid, 0.0), np.where(a.mid <= -a.rad, 0.0, a.rad))


@quiet
def leaky_relu(a: Ball, slope: float) -> Ball:
    """a where a ≥ 0, slope·a elsewhere, for a finite slope.

    It moves by at most r if surely a ≥ 0, |slope|·r if surely a ≤ 0, and by the larger of both otherwise, as it is
    continuous. Where m < 0 the midpoint is rounded once.
    """
    steep = np.where(a.mid >= a.rad, 1.0, np.where(a.mid <= -a.rad, abs(slope), max(1.0, abs(slope))))
    mid = np.where(a.mid >= 0, a.mid, slope * a.mid)
    rounding = np.where(a.mid >= 0, 0.0, U * np.abs(mid))
    return ball(mid, outward(np.where(a.rad > 0, steep * a.rad, 0.0) + rounding))


@quiet
def mean(a: Ball, axis: int = -1) -> Ball:
    """The mean over an axis, which stays, of length 1.

    Adding k numbers in any order errs by at most γ·Σ|m|, γ ≤ k·u as in `matmul`; the radii average; the quotient is
    rounded once. Errors: ValueError if the axis has length 0, or more than 2^24.
    """
    k = a.shape[axis]
    if not 0 < k <= MAX_TERMS:
        raise ValueError(f"a mean of {k} numbers")
    mid = a.mid.sum(axis=axis, keepdims=True) / k
    size = a.rad.sum(axis=axis, keepdims=True) + (k * U) * np.abs(a.mid).sum(axis=axis, keepdims=True)
    return ball(mid, outward(size / k + U * np.abs(mid)))


@quiet
def layer_norm(a: Ball, epsilon: float, scale: Array, shift: Array) -> Ball:
    """(a − μ)/√(v + ε)·scale + shift, with the mean μ and the variance v = mean of (a − μ)² over the last axis.

    By the operations above. As v ≥ 0, the ball of v + ε may be cut to [ε, ∞).
    """
    centred = subtract(a, mean(a))
    variance = at_least(add(mean(multiply(centred, centred)), exact(epsilon)), epsilon)
    return add(multiply(divide(centred, sqrt(variance)), exact(scale)), exact(shift))


@quiet
def at_least(a: Ball, floor: float) -> Ball:
    """The same true numbers, if all are known to be ≥ floor ≥ 0: balls that reach below are made smaller.

    x lies in [floor, h] for h = `outward`(m + r), so within max(h − c, c − floor) of any number c.
    """
    below = a.mid - a.rad < floor
    if not below.any():
        return a
    high = outward(np.maximum(a.mid + a.rad, floor))
    mid = floor + (high - floor) * 0.5
    rad = outward(np.maximum(high - mid, mid - floor))
    smaller = below & (rad < a.rad)
    return ball(np.where(smaller, mid, a.mid), np.where(smaller, rad, a.rad))


def concatenate(balls: Sequence[Ball], axis: int = 1) -> Ball:
    """Several balls side by side."""
    mids, rads = [item.mid for item in balls], [item.rad for item in balls]
    return Ball(np.concatenate(mids, axis=axis), np.concatenate(rads, axis=axis))


def _check_weight(x: Ball, weight: Array, bias: Array | None) -> None:
    if len(x.shape) != 2 or weight.ndim != 2 or weight.shape[0] != x.shape[1] or weight.dtype != np.float64:
        raise ValueError(f"cannot multiply {x.shape} by {weight.dtype} {weight.shape}")
    if bias is not None and (bias.shape != weight.shape[1:] or bias.dtype != np.float64):
        raise ValueError(f"a bias {bias.dtype} {bias.shape} for {weight.shape[1]} outputs")
    if not np.isfinite(weight).all() or not (bias is None or np.isfinite(bias).all()):
        raise ValueError("a weight or bias is not finite")
    if len(weight) > MAX_TERMS:
        raise ValueError(f"sums of {len(weight)} terms; at most {MAX_TERMS} are proven")
