"""Proof that rows and box contradict each other: weights that no point of the box can satisfy."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def contradiction(
    weights: Sequence[Fraction],
    matrix: Sequence[Sequence[Fraction]],
    people: Sequence[int],
    offsets: Sequence[Fraction],
    epsilon: Sequence[Fraction],
    box: tuple[Fraction, Fraction],
) -> Fraction:
    """How far the weighted rows stay above what they may be, for every point of the box; a proof if positive.

    Rows are |Σ_j matrix[k][j]·S_j − offsets[k]| ≤ epsilon[k], where S_j is the sum of `people[j]` numbers of the box.
    Any y that satisfies them has Σ_k w_k ((A y)_k − b_k) ≤ Σ_k |w_k| ε_k. But over the box, with c_j = Σ_k w_k A_kj,
    the left side is at least Σ_j people_j min(c_j·lower, c_j·upper) − Σ_k w_k b_k. The difference is returned.

    >>> one = Fraction(1)  # the mean of one person of [0, 1] cannot be 2
    >>> contradiction([-one], [[one]], [1], [2 * one], [Fraction(1, 2)], (Fraction(0), one))
    Fraction(1, 2)
    """
    lower, upper = box
    least = -sum((w * b for w, b in zip(weights, offsets, strict=True)), Fraction(0))
    for j, n in enumerate(people):
        c = sum((w * row[j] for w, row in zip(weights, matrix, strict=True)), Fraction(0))
        least += n * min(c * lower, c * upper)
    return least - sum((abs(w) * e for w, e in zip(weights, epsilon, strict=True)), Fraction(0))
