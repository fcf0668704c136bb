"""Convex polygons in rationals, cut by lines; two corners are an interval. And affine forms of two parameters."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Point = tuple[Fraction, Fraction]
Polygon = list[Point]
"""Corners in order; two for an interval."""
Form = tuple[Fraction, Fraction, Fraction]
"""(a, b, c): a + b·u1 + c·u2."""


def value(form: Form, u: Point) -> Fraction:
    """a + b·u1 + c·u2."""
    return form[0] + form[1] * u[0] + form[2] * u[1]


def combined(weights: Sequence[Fraction], forms: Sequence[Form]) -> Form:
    """Σ weight · form."""
    a, b, c = (sum((w * form[i] for w, form in zip(weights, forms, strict=True) if w), Fraction(0)) for i in range(3))
    return a, b, c


def scaled(form: Form, by: Fraction) -> Form:
    """The form times a number."""
    return by * form[0], by * form[1], by * form[2]


def within(polygon: Polygon, weight: int) -> Point:
    """A point inside, with short numbers where that can be."""
    shares = [weight if i == 0 else 1 for i in range(len(polygon))]
    x, y = (sum((s * p[k] for s, p in zip(shares, polygon, strict=True)), Fraction(0)) / sum(shares) for k in (0, 1))
    short = Fraction(float(x)), Fraction(float(y))
    return short if _surrounds(polygon, short) else (x, y)


def _surrounds(polygon: Polygon, point: Point) -> bool:
    """Strictly inside a polygon of counterclockwise corners, or an interval along an axis."""
    if len(polygon) == 2:
        (a, b), (c, d) = polygon
        return min(a, c) <= point[0] <= max(a, c) and min(b, d) <= point[1] <= max(b, d)
    return all(_cross(p, q, point) > 0 for p, q in zip(polygon, [*polygon[1:], polygon[0]], strict=True))


def _cross(p: Point, q: Point, r: Point) -> Fraction:
    return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])


def flat(inside: Polygon, polygon: Polygon) -> bool:
    """Whether a part of a polygon has no area, of an interval no length."""
    if len(polygon) == 2:
        return len(inside) < 2
    return all(_cross(inside[0], inside[1], r) == 0 for r in inside[2:])


def cut(polygon: Polygon, form: Form) -> tuple[Polygon, Polygon]:
    """(where the form is ≥ 0, where it is ≤ 0, empty if it is < 0 nowhere)."""
    values = [value(form, corner) for corner in polygon]
    if min(values, default=Fraction(0)) >= 0:
        return polygon, []
    inside, outside = [], []
    for k, (p, a) in enumerate(zip(polygon, values, strict=True)):
        q, b = polygon[(k + 1) % len(polygon)], values[(k + 1) % len(polygon)]
        inside += [p] if a >= 0 else []
        outside += [p] if a <= 0 else []
        if a * b < 0:
            t = a / (a - b)
            crossing = (p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1]))
            inside.append(crossing)
            outside.append(crossing)
    return list(dict.fromkeys(inside)), list(dict.fromkeys(outside))
