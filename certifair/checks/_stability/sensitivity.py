"""How far predictions move with the tolerance and with one person's score: locally exact, and bounded in general.

*One score.* Where P is differentiable, a change dz_i moves person k by J_ki dz_i: for a free person i of cell j, the
person's own prediction by J_ii = 1 − q_jj, anybody else of cell l by −q_jl, everybody together by ‖J e_i‖ = √J_ii
(J² = J); a clipped person's score moves nobody. In general, for any two scores of person i, everybody else's fixed: P
is firmly nonexpansive, ‖ΔP‖² ≤ ΔP·Δz = ΔP_i Δz_i. So 0 ≤ ΔP_i/Δz_i ≤ 1, and

    Σ_{k≠i} ΔP_k² ≤ ΔP_i (Δz_i − ΔP_i) ≤ Δz_i²/4:   all others together move by at most *half* as far as one score.

*The tolerance.* Raise every ε by dε. Where P is differentiable active rows stay active, v_S = b + σ_S (ε + dε), so
dν = −H⁻¹σ dε on the basis and dy = D A_Rᵀ H⁻¹ σ dε, of squared length σᵀH⁻¹σ. Rows outside the basis must agree: with
A_k = Σ c_r A_r on free people, σ_k = Σ c_r σ_r. If they do not, or if there is an equation (ε = 0 cannot fall), there
is no such derivative. In general let y0 satisfy all rows with ε = 0 (for parity rows: anything constant), y = P_ε(z),
y' = P_ε'(z), ε < ε' and θ = 1 − ε/ε'. Then (1 − θ) y' + θ y0 is feasible for ε, so ‖z − y‖ ≤ ‖z − y'‖ + θ‖y' − y0‖, and
‖z − y‖² ≥ ‖z − y'‖² + ‖y − y'‖² as y is feasible for ε' (obtuse angle at the projection y'). With ‖y' − y0‖ ≤ W,

    ‖y − y'‖² ≤ 2θW‖z − y'‖ + θ²W²     (W = (U − L)√n always does).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import final

from certifair.checks._stability.face import Face
from certifair.checks._stability.linear import dot
from certifair.checks._stability.normal_cone import root

OTHERS_PER_SCORE = Fraction(1, 2)
"""ℓ2 bound of how far all others move if one score moves by 1, for every batch and layer."""


@final
@dataclass(frozen=True)
class ScoreSensitivity:
    """Per unit of one person's score: largest J_ii (`own`), largest |J_ik| (`other`, 0 if nobody else is moved), and
    largest J_ii − J_ii², the squared ℓ2 change of all others.
    """

    own: Fraction
    other: Fraction
    others_square: Fraction


def to_a_score(face: Face) -> ScoreSensitivity:
    """The largest over the free people of the batch."""
    q, free = face.reactions, face.free
    inside = [j for j, f in enumerate(free) if f]
    own = [1 - q[j][j] for j in inside]
    other = [abs(q[j][m]) for j in inside for m in inside if j != m or free[j] > 1]
    return ScoreSensitivity(
        max(own, default=Fraction(0)),
        max(other, default=Fraction(0)),
        max((value - value**2 for value in own), default=Fraction(0)),
    )


@final
@dataclass(frozen=True)
class ToleranceSensitivity:
    """Per unit of ε: the squared ℓ2 change of all predictions, and the largest change of one."""

    square: Fraction
    largest: Fraction


def to_the_tolerance(face: Face) -> ToleranceSensitivity | None:
    """The derivative by ε; None where the rows have none (docstring of this module)."""
    sides = [Fraction(face.sides[k]) for k in face.basis]
    for k in face.active:
        if not face.sides[k] or dot(face.coordinates(k), sides) != face.sides[k]:
            return None
    force = [dot(line, sides) for line in face.inverse]
    moves = [abs(dot(face.column(j), force)) for j, f in enumerate(face.free) if f]
    return ToleranceSensitivity(dot(sides, force), max(moves, default=Fraction(0)))


def tolerance_bound(old: Fraction, new: Fraction, distance: Fraction, reach: Fraction) -> Fraction:
    """An upper bound of ‖P_old(z) − P_new(z)‖ for 0 ≤ old ≤ new, both from the same scores.

    distance ≥ ‖z − P_new(z)‖; reach ≥ ‖P_new(z) − y0‖ for some y0 that every row holds for with ε = 0.
    """
    if not 0 <= old <= new:
        raise ValueError("tolerances must be in order and not negative")
    theta = 1 - old / new if new else Fraction(0)
    return root(2 * theta * reach * distance + (theta * reach) ** 2, up=True)
