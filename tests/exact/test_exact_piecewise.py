"""Exact ranges on segments and rectangles, against all candidate vertices and against dense sampling."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from certifair.exact.piecewise import decide_line, decide_rectangle, scaled, sweep_line, sweep_rectangle


def layer(weight, bias, slope=0.0):
    rows = len(bias)
    slopes = [slope] * rows if isinstance(slope, float) else slope
    return SimpleNamespace(weight=weight, bias=bias, slope=slopes, curve=[0] * rows)


def net(seed, widths, slopes=(0.0, 0.25, 1.0), grid=8):
    """Weights are small multiples of 1/grid, so that kinks meet each other and corners."""
    draw = random.Random(seed)

    def number():
        return draw.randint(-2 * grid, 2 * grid) / grid

    layers = []
    for n, m in itertools.pairwise(widths):
        weight, bias = [[number() for _ in range(n)] for _ in range(m)], [number() for _ in range(m)]
        layers.append(layer(weight, bias, [draw.choice(slopes) for _ in range(m)]))
    return [*layers[:-1], layer(layers[-1].weight, layers[-1].bias, 1.0)]


def value(layers, point):
    h = [Fraction(x) for x in point]
    for item in layers:
        z = [
            sum((Fraction(w) * x for w, x in zip(row, h, strict=True)), Fraction(b))
            for row, b in zip(item.weight, item.bias, strict=True)
        ]
        h = [x if x >= 0 else Fraction(s) * x for x, s in zip(z, item.slope, strict=True)]
    return h[0]


def planes(layers, axes):
    """Every line on which a neuron can be 0 under some pattern of the signs of all neurons before it."""
    flows, found = [list(zip(*[[Fraction(x) for x in axis] for axis in axes], strict=True))], set()
    for item in layers[:-1]:
        after = []
        for h in flows:
            z = []
            for row, b in zip(item.weight, item.bias, strict=True):
                plane = [
                    sum((Fraction(w) * x[k] for w, x in zip(row, h, strict=True)), Fraction(0))
                    for k in range(len(axes))
                ]
                z.append((plane[0] + Fraction(b), *plane[1:]))
            found.update(z)
            for signs in itertools.product((Fraction(1), None), repeat=len(z)):
                after.append(
                    [
                        tuple((sign or Fraction(s)) * c for c in p)
                        for p, sign, s in zip(z, signs, item.slope, strict=True)
                    ]
                )
        flows = list({tuple(h): h for h in after}.values())
    return found


def brute(layers, points):
    """(least, greatest) over all points where kinks, or kinks and edges, can meet: linear pieces end nowhere else."""
    corner, *others = [[Fraction(x) for x in point] for point in points]
    axes = [corner, *([b - a for a, b in zip(corner, other, strict=True)] for other in others)]
    lines = planes(layers, axes)
    if len(others) == 1:
        places = [(Fraction(0),), (Fraction(1),), *((-a / b,) for a, b in lines if b)]
    else:
        lines |= {
            (Fraction(0), Fraction(1), Fraction(0)),
            (Fraction(0), Fraction(0), Fraction(1)),
            (Fraction(-1), Fraction(1), Fraction(0)),
            (Fraction(-1), Fraction(0), Fraction(1)),
        }
        places = []
        for (a, b, c), (d, e, f) in itertools.combinations(lines, 2):
            if det := b * f - c * e:
                places.append(((c * d - a * f) / det, (a * e - b * d) / det))
    inside = {place for place in places if all(0 <= x <= 1 for x in place)}
    values = [
        value(
            layers,
            [sum(map(Fraction.__mul__, col, (Fraction(1), *at)), Fraction(0)) for col in zip(*axes, strict=True)],
        )
        for at in inside
    ]
    return min(values), max(values)


def segment(seed, inputs, points=2):
    draw = random.Random(1000 + seed)
    return [[draw.randint(-6, 6) / 2 for _ in range(inputs)] for _ in range(points)]


ABSOLUTE = [layer([[1.0], [-1.0]], [0.0, 0.0]), layer([[1.0, 1.0]], [-1.0], 1.0)]  # |x| − 1
HAT = [layer([[1.0, 0.0], [0.0, 1.0]], [-1.0, -1.0]), layer([[-1.0, -1.0]], [0.5], 1.0)]  # ½ − (x−1)⁺ − (y−1)⁺


def test_line_by_hand():
    found = sweep_line(ABSOLUTE, [-2], [Fraction(1, 3)])
    assert (found.least, found.least_at) == (-1, (0,))
    assert (found.greatest, found.greatest_at) == (1, (-2,))
    assert found.complete


def test_line_whose_extreme_is_no_float():
    third = [layer([[3.0], [-3.0]], [-1.0, 1.0]), layer([[1.0, 1.0]], [0.0], 1.0)]  # |3x − 1|
    found = sweep_line(third, [0.0], [1.0])
    assert (found.least, found.least_at, found.greatest) == (0, (Fraction(1, 3),), 2)


def test_one_point():
    found = sweep_line(ABSOLUTE, [0.25], [0.25])
    assert found.least == found.greatest == Fraction(-3, 4)
    assert found.least_at == found.greatest_at == (Fraction(1, 4),)


def test_rectangle_by_hand():
    found = sweep_rectangle(HAT, [0, 0], [3, 0], [0, 2])
    assert (found.greatest, found.least, found.least_at) == (Fraction(1, 2), Fraction(-5, 2), (3, 2))
    assert all(x <= 1 for x in found.greatest_at)


def test_rectangle_that_is_a_line_or_a_point():
    assert sweep_rectangle(ABSOLUTE, [-2], [1], [-2]).least == -1
    assert sweep_rectangle(ABSOLUTE, [2], [2], [2]).least == 1


def test_identity_and_leaky():
    leaky = [layer([[1.0], [1.0]], [0.0, 0.0], [0.25, 1.0]), layer([[1.0, -0.5]], [0.0], 1.0)]
    found = sweep_line(leaky, [-4], [4])
    assert (found.least, found.greatest) == (0, 2)  # at −4: −1 + 2 = 1; at 0: 0; at 4: 2
    assert found.least_at == (0,)


def test_a_slope_above_one_and_one_below_zero():
    odd = [layer([[1.0], [1.0]], [0.0, 0.0], [3.0, -1.0]), layer([[1.0, 1.0]], [0.0], 1.0)]
    found = sweep_line(odd, [-1], [1])  # x < 0: 3x − x = 2x; x ≥ 0: 2x
    assert (found.least, found.greatest) == (-2, 2)


@pytest.mark.parametrize("seed", range(40))
def test_line_is_what_all_candidates_say(seed):
    layers, points = net(seed, (3, 3, 3, 1)), segment(seed, 3)
    found = sweep_line(layers, *points)
    assert (found.least, found.greatest) == brute(layers, points)
    assert value(layers, found.least_at) == found.least
    assert value(layers, found.greatest_at) == found.greatest


@pytest.mark.parametrize("seed", range(12))
def test_rectangle_is_what_all_candidates_say(seed):
    layers, points = net(seed, (3, 3, 2, 1)), segment(seed, 3, 3)
    found = sweep_rectangle(layers, *points)
    assert (found.least, found.greatest) == brute(layers, points)
    assert value(layers, found.least_at) == found.least
    assert value(layers, found.greatest_at) == found.greatest


def forward(layers, x):
    for item in layers:
        z = x @ np.array(item.weight).T + np.array(item.bias)
        x = np.where(z >= 0, z, z * np.array(item.slope))
    return x[:, 0]


@pytest.mark.parametrize("seed", range(6))
def test_samples_stay_within_and_come_near(seed):
    draw = np.random.default_rng(seed)
    widths = (5, 20, 20, 10, 1)
    layers = []
    for n, m in itertools.pairwise(widths):
        layers.append(layer((draw.normal(size=(m, n)) / np.sqrt(n)).tolist(), draw.normal(size=m).tolist()))
    layers[-1] = layer(layers[-1].weight, layers[-1].bias, 1.0)
    corner, right, top = draw.normal(size=(3, 5)) * 3
    s, t = (grid.reshape(-1, 1) for grid in np.meshgrid(np.linspace(0, 1, 401), np.linspace(0, 1, 401)))
    for found, x in (
        (sweep_line(layers, corner, right), corner + s * (right - corner)),
        (sweep_rectangle(layers, corner, right, top), corner + s * (right - corner) + t * (top - corner)),
    ):
        values = forward(layers, x)
        least, greatest = float(found.least), float(found.greatest)
        assert least - 1e-9 <= values.min() <= least + 0.05
        assert greatest - 0.05 <= values.max() <= greatest + 1e-9


def test_numbers_of_any_size():
    """1e30·(x − 1e-30) is 0 at the float nearest 1e-30 only up to its rounding, and that is what is found."""
    tiny = [layer([[1e30]], [-1.0]), layer([[1e-30]], [0.0], 1.0)]
    found = sweep_line(tiny, [0.0], [1e-30])
    exact = max(Fraction(1e30) * Fraction(1e-30) - 1, Fraction(0)) * Fraction(1e-30)
    assert (found.least, found.greatest) == (0, exact)


def test_decisions_stop_early_and_only_then():
    deep = net(3, (2, 12, 12, 1), slopes=(0.0,))
    corner, right, top = [-3.0, -3.0], [3.0, -3.0], [-3.0, 3.0]
    whole = sweep_rectangle(deep, corner, right, top)
    assert whole.least < 0 < whole.greatest
    early = decide_rectangle(deep, corner, right, top)
    assert not early.complete
    assert early.least <= 0 < early.greatest
    assert value(deep, early.least_at) == early.least
    assert value(deep, early.greatest_at) == early.greatest
    assert decide_rectangle(deep, corner, right, top, margin=whole.greatest) == whole


def test_zero_counts_as_not_positive():
    assert not decide_line(ABSOLUTE, [1], [2]).complete  # 0 at 1
    assert decide_line(ABSOLUTE, [Fraction(9, 8)], [2]).complete
    assert decide_line(ABSOLUTE, [0], [1]).complete  # −1 to 0: nothing is positive


def test_prepared_once():
    layers = net(5, (3, 4, 1))
    points = segment(5, 3)
    assert sweep_line(scaled(layers), *points) == sweep_line(layers, *points)


def test_curves_are_refused():
    curved = SimpleNamespace(weight=[[1.0]], bias=[0.0], slope=[1.0], curve=[1])
    with pytest.raises(ValueError, match="not piecewise linear"):
        scaled([curved])
