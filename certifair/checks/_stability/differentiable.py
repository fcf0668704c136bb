"""Whether P is differentiable at the scores of a batch, decided exactly, and if not, for whose sake.

C = {L ≤ y ≤ U, |A y − b| ≤ ε} is a polyhedron, so P is affine on each set F + N_F (F a face of C, N_F its normal cone;
these sets fill the space and meet in their boundaries only), with the derivative that `face` gives. So P is
differentiable at z exactly if z lies in the interior of one of them, that is if z − P(z) lies in the relative interior
of the normal cone at P(z): P(z) is in the relative interior of the smallest face that it is on, and F and N_F span
complementary orthogonal spaces. On a boundary two pieces meet whose derivatives are projections of different rank. The
criterion is decided in `normal_cone`; redundant rows and rows with a multiplier of 0 cause no false alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from certifair.checks._stability.face import Face, face_of
from certifair.checks._stability.normal_cone import Depth, depth_of
from certifair.checks._stability.solution import Solution, Undecided


@final
@dataclass(frozen=True, eq=False)
class Differentiable:
    """P is differentiable at z with the derivative of `face`, or `reasons` tell why it is not (persons are rows of the
    batch, counted from 0). Truthy only if it is.
    """

    face: Face
    depth: Depth

    @property
    def reasons(self) -> tuple[str, ...]:
        return self.depth.flat

    def __bool__(self) -> bool:
        return not self.depth.flat


def differentiable(solution: Solution) -> Differentiable | Undecided:
    """The exact answer; Undecided only where rows that depend on each other are too many for a linear program."""
    face = face_of(solution)
    depth = depth_of(face)
    return Differentiable(face, depth) if isinstance(depth, Depth) else depth
