"""How far all scores together may move before the derivative of P changes: the radius around z, in ℓ2.

The derivative is constant on the interior of F + N_F and no further (`differentiable`), F the face of y = P(z). F lies
in y + T, and span N_F is the orthogonal complement of T. So z' is in the interior exactly if its part along T leaves y
in the relative interior of F, and its other part keeps z − y in that of N_F; the distance of z to the boundary is the
smaller of the two:

- *along T*, F is what the inactive constraints leave: each is a half-space, at slack/‖its normal along T‖. These are
  both bounds of each free person (‖·‖² = J_ii = 1 − q_jj) and both ends of each inactive row (A_k J A_kᵀ); those whose
  normal has no part along T cannot be reached. The smallest is the exact distance, however rows depend on each other;
- *along N_F*, the facets or the bound of `normal_cone`: clipped people (1 + q_jj) and multipliers or net forces.

Within a joint cell the people nearest to a bound are nearest to the facet: the norm is the same for all. The radius is
about P; what is served lies on a grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import final

from certifair.checks._stability.differentiable import Differentiable
from certifair.checks._stability.face import Face
from certifair.checks._stability.normal_cone import Facet, person, root


@final
@dataclass(frozen=True)
class Radius:
    """`lower`: a rational lower bound; None if nothing limits it. `exact`: √square is the radius itself; then lower is
    below it by 2⁻⁶⁴ of it at most. `nearest`: the facet that limits it, None if none or if `exact` is false because a
    linear program gave the bound.
    """

    lower: Fraction | None
    square: Fraction | None
    nearest: Facet | None
    exact: bool


def radius(at: Differentiable) -> Radius:
    """The radius; 0 where P is not differentiable."""
    if not at:
        return Radius(Fraction(0), Fraction(0), None, exact=True)
    facets = [*face_facets(at.face), *at.depth.facets]
    nearest = min(facets, key=lambda facet: facet.square, default=None)
    bound = at.depth.bound
    if bound is not None and (nearest is None or bound**2 < nearest.square):
        return Radius(bound, bound**2, None, exact=False)
    if nearest is None:
        return Radius(None, None, None, exact=True)
    return Radius(root(nearest.square, up=False), nearest.square, nearest, exact=True)


def face_facets(face: Face) -> Iterator[Facet]:
    """Bounds of free people and ends of inactive rows."""
    people, at, (lower, upper) = face.solution.people, face.solution.place, face.solution.box
    for j, free in enumerate(face.free):
        norm2, x = 1 - face.reactions[j][j], face.column(j)
        if free and norm2:
            first, last = at.low[j], at.high[j] - 1
            low, high = (people.score(i) - at.shifts[j] for i in (first, last))
            yield Facet(f"{person(face, first)} above the lower bound", low - lower, norm2, -1, x, first)
            yield Facet(f"{person(face, last)} below the upper bound", upper - high, norm2, 1, x, last)
    system, active = face.solution.system, set(face.active)
    for k, (value, limit) in enumerate(zip(face.solution.values, system.epsilon, strict=True)):
        norm2 = Fraction(0) if k in active else face.norm2(k)
        if norm2:
            sign, x = 1 if value > 0 else -1, face.along(k)
            yield Facet(f"row {system.rows[k].name!r} within epsilon", limit - abs(value), norm2, sign, x, row=k)
