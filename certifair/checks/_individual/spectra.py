"""What share of the units of a box has s ≤ t, to within one part in K of s's range, however many features there are.

s is a sum of independent terms, so the Fourier coefficients of its distribution are products: of a number with L even
steps c, sin(Lx)/(L sin x) with x = πkc/P; of a continuous one, sin(x)/x with x = πkc/P and c the whole width. Let a
circle of length P contain the range [−R, R] of s. Vaaler's polynomial V and Fejér's kernel F, of degree K, satisfy
|V(x) − ψ(x)| ≤ F(x)/(2K + 2) for the sawtooth ψ(x) = x − ⌊x⌋ − 1/2 (J. D. Vaaler, Some extremal functions in Fourier
analysis, Bulletin of the AMS 12, 1985). The indicator of an arc from α to β is β − α + ψ(x − β) + ψ(α − x), but for the
ends, where it is between. With φ_k = E e(ks/P), e(x) = exp(2πix), the share of s in the arc, with or without its ends,
is within `gap` of `middle`:
    middle = β − α + E V(s/P − β) + E V(α − s/P),  gap = (E F(s/P − β) + E F(α − s/P))/(2K + 2),
V(x) = Σ_{k ≤ K} v_k sin 2πkx, v_k = −((1 − u) cot πu + 1/π)/(K + 1) with u = k/(K + 1), and F(x) = Σ_{|k| ≤ K}
(1 − |k|/(K + 1)) e(kx). Here α = −1/2, which s/P does not reach. Beyond ± R shares are 0 and 1.

Rounding. sin and cos up to 16 are taken to err by less than 2^-49 (libraries: 2^-52). Powers z^k, k ≤ K ≤ 1024, of
z = e^{ix} are products of two lower ones: they err by less than k·2^-47 ≤ 2^-37; while kx < π/2 nothing cancels in the
sine, which errs by less than 2^-40 of itself. Where L|sin kx| < 1/16, the quotient, up to its sign, is the beginning of
sin(Lη)/(L sin η) = 1 − (L² − 1)/3! sin²η + (L² − 1)(L² − 9)/5! sin⁴η − …, η = kx less a multiple of π, within 2^-33;
its sign is cos(kx)'s where L is even. Else it errs by less than 16·(1 + L)·2^-37 if kx > π/2 for some k, which needs
L ≤ 2K + 1 as c(L − 1) ≤ P, and by less than 2^-38 otherwise. (Its derivative is at most L, so the rounding of x, by
2^-51 of it, counts less: kLx ≤ 2πK.) |φ| ≤ 1, so these add up over the features; Σ(2|v_k| + 2(1 − u)/(K + 1)) < 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual.floats import Array, quiet

Complex = NDArray[np.complex128]
AT_ONCE: Final = 1 << 15


@final
@dataclass(frozen=True, eq=False)
class Sums:
    """Sums s of independent terms, one of each column, symmetric about 0: (items, features).

    step ≥ 0: of `levels` even steps; whole width of what is continuous (levels 0). choices: of each one-hot feature the
    values (items, width), and which are there.
    """

    step: Array
    levels: Array
    choices: list[tuple[Array, NDArray[np.bool_]]]

    def only(self, which: Any) -> Sums:
        """Of these items."""
        choices = [(value[which], there[which]) for value, there in self.choices]
        return Sums(self.step[which], self.levels[which], choices)

    @property
    def moves(self) -> NDArray[np.bool_]:
        """(items, features) Which terms are not 0."""
        found: NDArray[np.bool_] = self.step * (self.levels != 1) > 0
        return found

    def packed(self) -> tuple[Sums, NDArray[np.intp]]:
        """The same sums, those of most terms first, and terms that are 0 last; and which item each was."""
        moves = self.moves
        order = np.argsort(-moves.sum(axis=1), kind="stable")
        terms = np.argsort(~moves[order], axis=1, kind="stable")
        step, levels = (np.take_along_axis(v[order], terms, axis=1) for v in (self.step, self.levels))
        return Sums(step, levels, self.only(order).choices), order

    @property
    def reach(self) -> Array:
        """(items,) The largest |s|, not rounded down."""
        found = self.step * np.where(self.levels > 0, self.levels - 1, 1.0) / 2
        whole = found.sum(axis=1) + sum((np.abs(v).max(axis=1) for v, _ in self.choices), np.zeros(len(found)))
        done: Array = whole * (1 + 2.0**-32)
        return done


@quiet
def shares(sums: Sums, t: Array, degree: int) -> tuple[Array, Array]:
    """(items, thresholds) At least and at most this share of s is ≤ t, and at most and at least the rest is > t."""
    low, high = np.empty_like(t), np.empty_like(t)
    sums, order = sums.packed()
    width = max((value.shape[1] for value, _ in sums.choices), default=0)
    each = max(1, AT_ONCE // (degree * max(1, width // 2)))
    for start in range(0, len(t), each):
        part = order[start : start + each]
        low[part], high[part] = _shares(sums.only(slice(start, start + each)), t[part], degree)
    return low, high


def _shares(sums: Sums, t: Array, degree: int) -> tuple[Array, Array]:
    reach = sums.reach
    period = np.where(reach > 0, 2 * reach * (1 + 4 / degree), 1.0)
    phi = _coefficients(sums, period, degree)
    v, w = _kernels(degree)
    signs = (-1.0) ** np.arange(1, degree + 1)
    place = np.clip(t / period[:, None], -0.5, 0.5)
    both = _powers(2 * np.pi * place.T, degree).conj() * phi[:, None]
    middle = place + 0.5 + np.tensordot(both.imag, v, axes=(0, 0)).T
    around = np.tensordot(both.real, w, axes=(0, 0)).T + ((signs * w) @ phi.real)[:, None]
    gap = 1 / (degree + 1) + around + _rounding(sums, degree)[:, None]
    if sums.choices:
        middle = middle - ((signs * v) @ phi.imag)[:, None]
    low, high = np.clip(middle - gap, 0.0, 1.0), np.clip(middle + gap, 0.0, 1.0)
    beyond, before = t >= reach[:, None], t < -reach[:, None]
    known = ~np.isnan(middle + gap) & (np.isfinite(reach) & (reach > 2.0**-900))[:, None]
    low, high = np.where(known, low, 0.0), np.where(known, high, 1.0)
    return np.where(beyond, 1.0, np.where(before, 0.0, low)), np.where(before, 0.0, np.where(beyond, 1.0, high))


@cache
def _kernels(degree: int) -> tuple[Array, Array]:
    """v_k, and 2(1 − u)/(2K + 2)."""
    u = np.arange(1, degree + 1) / (degree + 1)
    return -((1 - u) / np.tan(np.pi * u) + 1 / np.pi) / (degree + 1), (1 - u) / (degree + 1)


def _coefficients(sums: Sums, period: Array, degree: int) -> Any:
    """φ_k (degree, items), of packed sums: items with a j-th term come before those without."""
    found: Any = np.ones((degree, len(period)), dtype=np.complex128 if sums.choices else np.float64)
    for j, n in enumerate(sums.moves.sum(axis=0).tolist()):
        if n:
            found[:, :n] *= _quotients(np.pi * sums.step[:n, j] / period[:n], sums.levels[:n, j], degree)
    for value, there in sums.choices:
        turns = _powers(2 * np.pi * (value / period[:, None]).T, degree) * there.T
        found *= turns.sum(axis=1) / there.sum(axis=1)
    return found


def _quotients(x: Array, levels: Array, degree: int) -> Array:
    """sin(Lkx)/(L sin kx), k = 1 … degree, (degree, terms); sin(kx)/(kx) where L = 0."""
    whole = levels == 0
    turns = _powers(np.stack([np.where(whole, 0.0, x), np.where(whole, x, levels * x)]), degree)
    bottom = turns.imag[:, 0] * levels
    bottom[:, whole] = np.arange(1, degree + 1)[:, None] * x[whole]
    found: Array = turns.imag[:, 1] / bottom
    k, i = np.divmod(np.flatnonzero(np.abs(bottom) < 1 / 16), len(x))
    n, y = levels[i], bottom[k, i] ** 2
    sign = np.where((n % 2 == 0) & (n > 0), np.sign(turns.real[k, 0, i]), 1.0)
    found[k, i] = sign * _near(y, np.where(n == 0, 0.0, 1 / np.maximum(n, 1) ** 2))
    return found


def _near(y: Array, m: Array) -> Array:
    """sin(Lη)/(L sin η), y = (L sin η)², m = 1/L²: 1 − (1 − m)y/6·(1 − (1 − 9m)y/20·(…))."""
    found: Array = 1 - (1 - m) * y / 6 * (1 - (1 - 9 * m) * y / 20)
    return found


def _powers(angle: Array, degree: int) -> Complex:
    """e^{i·k·angle}, k = 1 … degree, in a first axis."""
    found = np.empty((degree, *angle.shape), dtype=np.complex128)
    found.real[0], found.imag[0] = np.cos(angle), np.sin(angle)
    done = 1
    while done < degree:
        more = min(done, degree - done)
        np.multiply(found[:more], found[done - 1], out=found[done : done + more])
        done += more
    return found


def _rounding(sums: Sums, degree: int) -> Array:
    """(items,) What all rounding may do to a share."""
    terms = np.minimum(sums.levels, 2.0 * degree) + 4
    widths = sum(value.shape[1] for value, _ in sums.choices)
    found: Array = 6 * (terms.sum(axis=1) + widths + 4) * 2.0**-33
    return found
