"""One or two continuous inputs, against exact ranges on segments and rectangles."""

from __future__ import annotations

import dataclasses
import itertools
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from certifair.evidence.witness import ALL, PAIR, SWEPT, UNDECIDED
from certifair.exact.piecewise import scaled, sweep_line, sweep_rectangle
from certifair.individual.engines import _search, _sweep_kernels
from certifair.individual.engines.base import NotForThisError, Task
from certifair.individual.engines.enumerate import enumerate_rows
from certifair.individual.engines.sweep import Sweep, _ends, _float32, sweep_rows
from certifair.individual.points import flips_of
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers
from tests.individual.comparison_cases import LINEAR, network
from tests.individual.row_cases import MIXED, centred, flip_set, moved, pairs, people, shipped
from tests.oracles.individual_brute import exact, named_layer

SIZES = ((9, 1), (9, 7, 1), (9, 20, 3, 1), (9, 6, 5, 4, 1))
SENSITIVE = moved(MIXED, "c", "g", "e")
RELAXED = moved(MIXED, "g", c=0.3, r=1.0)
BOTH = moved(MIXED, "c", continuous=("r",), r=0.7)
NUMBER = (0, 1, 5, 8)  # inputs that are numbers


def codes(found):
    return np.frombuffer(found.about.code, dtype=np.uint8)


def ranges(layers, domain, row):
    """The exact range of f over every part of the flip set, one after the other."""
    network = scaled([Plain(item) for item in layers.layers])
    points = flip_set(domain, row)
    columns = [
        c[0]
        for f, c in zip(domain.features, domain.columns, strict=True)
        if (f.sensitive or f.eps) and f.levels is None
    ]
    rest = np.delete(points, columns, axis=1)
    for _, part in itertools.groupby(
        sorted(zip(rest.tolist(), points.tolist(), strict=True)), key=lambda both: both[0]
    ):
        corners = np.array([point for _, point in part])
        low, high = corners.min(axis=0), corners.max(axis=0)
        if len(columns) == 1:
            yield sweep_line(network, low.tolist(), high.tolist())
        else:
            right, top = low.copy(), low.copy()
            right[columns[0]], top[columns[1]] = high[columns[0]], high[columns[1]]
            yield sweep_rectangle(network, low.tolist(), right.tolist(), top.tolist())


class Plain:
    def __init__(self, item):
        self.weight, self.bias = item.weight.tolist(), item.bias.tolist()
        self.slope, self.curve = item.slope.tolist(), item.curve.tolist()


def margin(layers, domain, row):
    """How far both signs reach: positive if the row is unfair."""
    found = list(ranges(layers, domain, row))
    return float(min(max(one.greatest for one in found), -min(one.least for one in found)))


@pytest.mark.parametrize("domain", [SENSITIVE, RELAXED], ids=["sensitive", "relaxed"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", LINEAR)
def test_finds_what_exact_sweeps_find(kind, sizes, domain):
    rows = people(domain, 40)
    layers = centred(network(len(sizes), kind, sizes), rows)
    found = sweep_rows(Task(layers, domain, processes=2), rows)
    both = pairs(domain, rows, found.about)
    for number, row in enumerate(rows):
        reach = margin(layers, domain, row)
        if abs(reach) > 1e-4:
            assert codes(found)[number] == (PAIR if reach > 0 else SWEPT)
    for above, below in both.values():
        assert exact(layers, above) > 0 > exact(layers, below)
        points = np.stack([above, below])
        assert (points == points.astype(np.float32)).all()
    assert len(both) > 0
    assert found.reasons == ()


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", LINEAR)
def test_two_continuous_inputs(kind, sizes):
    rows = people(BOTH, 30)
    layers = centred(network(len(sizes), kind, sizes), rows)
    found = sweep_rows(Task(layers, BOTH), rows)
    both = pairs(BOTH, rows, found.about)
    for above, below in both.values():
        assert exact(layers, above) > 0 > exact(layers, below)
    unfair = {i for i, row in enumerate(rows) if margin(layers, BOTH, row) > 1e-4}
    assert both.keys() <= unfair | {i for i, row in enumerate(rows) if 0 < margin(layers, BOTH, row) <= 1e-4}
    assert len(unfair & both.keys()) >= 0.9 * len(unfair) > 0
    assert set(found.about.code) <= {PAIR, SWEPT}


def spike(height, width, at):
    """height·(1 − |x − at|/width)⁺ − 1"""
    slope = height / width
    return Layers(
        (
            named_layer(
                np.array([[slope], [slope], [slope]]), slope * np.array([width - at, -at, -width - at]), *3 * ["relu"]
            ),
            named_layer(np.array([[1.0, -2.0, 1.0]]), np.array([-1.0]), "identity"),
        ),
        float32=False,
    )


LINE = Domain("line", (Feature("x", "continuous", 0.0, 4.0, sensitive=True),))


@pytest.mark.parametrize("width", [1.0, 1e-3, 1e-5])
def test_a_spike_is_found_however_narrow(width):
    found = sweep_rows(Task(spike(2.0, width, 2.7182818284), LINE), np.zeros((1, 1)))
    ((above, below),) = pairs(LINE, np.zeros((1, 1)), found.about).values()
    assert abs(above[0] - 2.7182818284) < width < abs(below[0] - 2.7182818284) + 1e-9


def test_a_spike_narrower_than_rounding_is_left_to_the_checker():
    """Between two neighbouring float32 numbers: nothing is claimed in float64, and exactly it is there."""
    layers = spike(2.0, 2.0**-30, 1 + 2.0**-25)
    assert sweep_rows(Task(layers, LINE), np.zeros((1, 1))).about.code == bytes([SWEPT])
    assert margin(layers, LINE, np.zeros(1)) > 0


def test_ends_stay_inside_of_eps():
    """0.1 + 0.2 is rounded up, 0.7 + 0.2 down; of both, and of the low ends, the last number inside is taken."""
    domain = Domain("d", (Feature("y", "integer", 0, 1), Feature("x", "continuous", -9.0, 9.0, eps=0.2)))
    rows = np.array([[0, x] for x in (0.1, 0.7, -0.3, 8.9, -8.95, 1e-17)])
    low, high = _ends(flips_of(domain), rows, 0)
    for x, a, b in zip(rows[:, 1], low, high, strict=True):
        for end, limit, outwards in ((a, Fraction(x) - Fraction(0.2), -10), (b, Fraction(x) + Fraction(0.2), 10)):
            assert abs(Fraction(end) - Fraction(x)) <= Fraction(0.2)
            assert abs(end) == 9.0 or abs(Fraction(np.nextafter(end, outwards)) - Fraction(x)) > Fraction(0.2)
            assert (limit > Fraction(end)) is (outwards > 0) or limit == Fraction(end)


def test_float32_numbers_stay_inside():
    third = np.float32(1 / 3)
    above, below = float(np.nextafter(third, np.float32(1))), float(np.nextafter(third, np.float32(0)))
    middle, third = float(third) + 1e-12, float(third)
    x, low = np.array([middle, middle, middle, third - 1e-12]), np.array([0, middle, middle, third - 1e-12])
    high = np.array([1, 1, middle, third - 1e-13])
    assert _float32(x, low, high).tolist() == [third, above, middle, third - 1e-12]
    assert _float32(-x, -high, -low).tolist() == [-third, -above, -middle, 1e-12 - third]
    assert _float32(np.array([third + 1e-12]), np.zeros(1), np.array([third - 1e-9])).tolist() == [below]


def test_a_peak_between_the_first_lines():
    """0.1 − 4·|x − 0.61| − 4·|y − 0.62|: the best point of a line shows where to go on."""
    peak = Layers(
        (
            named_layer(
                4 * np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]),
                4 * np.array([-0.61, 0.61, -0.62, 0.62]),
                *4 * ["relu"],
            ),
            named_layer(-np.ones((1, 4)), np.array([0.1]), "identity"),
        ),
        float32=False,
    )
    square = Domain("square", tuple(Feature(name, "continuous", sensitive=True) for name in "xy"))
    rows = np.zeros((1, 2))
    found = sweep_rows(Task(peak, square), rows)
    ((above, _),) = pairs(square, rows, found.about).values()
    assert np.abs(above - (0.61, 0.62)).max() < 1e-6


def test_the_ends_are_tried():
    domain = Domain("d", (Feature("x", "continuous", -9.0, 9.0, eps=0.25),))
    layers = Layers((named_layer(np.array([[1.0]]), np.array([-1.2]), "identity"),), float32=False)
    found = sweep_rows(Task(layers, domain), np.array([[1.0], [0.9], [1.4], [1.5]]))
    assert found.about.code == bytes([PAIR, SWEPT, PAIR, SWEPT])


def test_rows_outside_of_the_domain_and_nobody():
    layers, rows = network(1, "relu", SIZES[1]), people(SENSITIVE, 5)
    rows[1, 1] = 1.5
    found = sweep_rows(Task(layers, SENSITIVE), rows)
    assert codes(found)[1] == UNDECIDED
    assert (np.delete(codes(found), 1) != UNDECIDED).all()
    assert found.reasons == ((1, _search.OUTSIDE),)
    assert sweep_rows(Task(layers, SENSITIVE), rows[:0]).about.code == b""


def test_no_time():
    found = sweep_rows(Task(network(1, "relu", SIZES[1]), SENSITIVE, time.monotonic()), people(SENSITIVE, 5))
    assert (found.about.code, found.reasons) == (bytes(5), ((5, _search.LATE),))


def test_no_room_for_more_breakpoints(monkeypatch):
    """Fewer places are looked at, and nothing else changes. (In Python: compiled code has the number inside.)"""
    monkeypatch.setattr(_sweep_kernels, "MOST_NUMBERS", 1)
    places, _ = _sweep_kernels._walk.py_func(
        np.array([0.0, 1.0]), np.array([[-1.0], [1.0]]), np.array([1]), np.zeros(1)
    )
    assert len(places) == 2


def test_what_is_refused():
    three = Domain("three", tuple(Feature(name, "continuous", sensitive=True) for name in "abc"))
    with pytest.raises(NotForThisError, match=r"3 inputs.*branch"):
        sweep_rows(Task(network(1, "relu", (3, 1)), three), np.zeros((1, 3)))
    with pytest.raises(NotForThisError, match=r"continuous.*enumerate"):
        sweep_rows(Task(network(1, "relu", (9, 1)), MIXED), people(MIXED, 1))
    with pytest.raises(NotForThisError, match=r"piecewise linear.*interval"):
        sweep_rows(Task(network(1, "sigmoid", (9, 2, 1)), SENSITIVE), people(MIXED, 1))
    with pytest.raises(NotForThisError, match="branch"):
        Sweep().domain(Task(network(1, "relu", (9, 1)), SENSITIVE))


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_weights_of_any_size(scale):
    layers, rows = network(2, "relu", (9, 6, 1)), people(SENSITIVE, 20)
    sized = [dataclasses.replace(item, weight=item.weight * scale, bias=item.bias * scale) for item in layers.layers]
    found = sweep_rows(Task(Layers(tuple(sized), float32=False), SENSITIVE), rows)
    for points in pairs(SENSITIVE, rows, found.about).values():
        above, below = (exact(Layers(tuple(sized), float32=False), point) for point in points)
        assert above > 0 > below


def test_continuous_age_within_a_millisecond(shared: Path):
    """Whoever is unfair at whole years is unfair, a few more are; 1 ms a person at most (measured: 0.015 ms)."""
    layers, domain, rows = shipped(shared, "adult/AC-4", "adult")
    age, rows = moved(domain, "age", continuous=("age",)), rows[:1000]
    sweep_rows(Task(layers, age), rows[:1])
    start = time.perf_counter()
    found = sweep_rows(Task(layers, age), rows)
    assert time.perf_counter() - start < 1e-3 * len(rows)
    pairs(age, rows, found.about)
    whole = codes(enumerate_rows(Task(layers, moved(domain, "age")), rows))
    assert set(whole.tolist()) == {ALL, PAIR}
    assert not ((whole == PAIR) & (codes(found) != PAIR)).any()
    network = scaled([Plain(item) for item in layers.layers])
    for row, code in list(zip(rows, codes(found), strict=True))[::100]:
        low, high = row.copy(), row.copy()
        low[0], high[0] = 10.0, 100.0
        reach = sweep_line(network, low.tolist(), high.tolist())
        assert (code == PAIR) == (reach.greatest > 0 >= reach.least)
