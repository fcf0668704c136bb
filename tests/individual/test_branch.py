from __future__ import annotations

import dataclasses
import itertools
import math
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from certifair.evidence.witness import COUNTED, FIBRES, OPEN, SPLIT
from certifair.individual.engines import branch
from certifair.individual.engines._branch_count import count, fibre, reach_of
from certifair.individual.engines._branch_enclosure import downwards, upwards
from certifair.individual.engines._branch_leaf import Room, Rules, _fill, evaluate
from certifair.individual.engines._branch_setup import arrays_of, axes_of, net_of, plant, room_of
from certifair.individual.engines.base import NotForThisError, Task
from certifair.individual.engines.branch import Branch, Search, search
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers
from tests.individual import comparison_cases as cases

Array = NDArray[np.float64]
PLAIN = (
    Feature("a", "integer", 0, 6),
    Feature("b", "integer", -3, 4),
    Feature("c", "integer", 0, 1),
    Feature("s", "integer", 0, 2, sensitive=True),
)
MIXED = (
    Feature("a", "integer", 0, 9),
    Feature("b", "one_hot", values=("x", "y", "z")),
    Feature("s", "one_hot", values=("f", "m"), sensitive=True),
)
RELAXED = (
    Feature("a", "integer", 0, 20),
    Feature("b", "integer", 0, 9, eps=1),
    Feature("s", "integer", 0, 1, sensitive=True),
)
LINE = (
    Feature("a", "continuous", -2, 3),
    Feature("b", "integer", 0, 9),
    Feature("s", "continuous", 0, 1, sensitive=True),
)
DOMAINS = {"plain": PLAIN, "mixed": MIXED, "relaxed": RELAXED, "line": LINE}


def task_of(name: str, seed: int, kind: str = "relu", hidden: tuple[int, ...] = (7, 5)) -> Task:
    domain = Domain(name, DOMAINS[name])
    layers = cases.network(seed, kind, (domain.inputs, *hidden, 1))
    first = layers.layers[0]
    scaled = dataclasses.replace(first, weight=first.weight / 4)  # so that decisions are mixed
    return Task(Layers((scaled, *layers.layers[1:]), float32=True), domain)


def units_of(domain: Domain, parts: int = 40) -> Array:
    """Units of a domain or, of its continuous features, evenly spread ones: the sensitive inputs are at their first."""
    return np.array(
        [sum(point, ()) for point in itertools.product(*(_points(f, parts, f.sensitive) for f in domain.features))]
    )


def _points(feature: Feature, parts: int, first: bool) -> list[tuple[float, ...]]:
    if feature.kind == "continuous":
        places = [0.0] if first else [(i + 0.5) / parts for i in range(parts)]
        return [(feature.low + (feature.high - feature.low) * place,) for place in places]
    points = [tuple(map(float, point)) for point in feature.points()]
    return points[:1] if first else points


def flips_of(domain: Domain, units: Array, parts: int = 9) -> list[Array]:
    """The units with every combination of sensitive and relaxed inputs."""
    found = [units]
    for feature, columns in zip(domain.features, domain.columns, strict=True):
        if feature.sensitive:
            values = [(feature.low + (feature.high - feature.low) * i / (parts - 1),) for i in range(parts)]
            points = values if feature.kind == "continuous" else _points(feature, parts, False)
            found = [_with(x, columns, np.array(point)) for x in found for point in points]
        elif feature.eps:
            moves = (-feature.eps, 0.0, feature.eps)
            found = [
                _with(x, columns, np.clip(x[:, list(columns)] + move, feature.low, feature.high))
                for x in found
                for move in moves
            ]
    return found


def _with(x: Array, columns: tuple[int, ...], values: Array) -> Array:
    found = x.copy()
    found[:, list(columns)] = values
    return found


def unfair_units(task: Task, units: Array) -> NDArray[np.bool_]:
    signs = np.array([cases.plain(task.layers, x) > 0 for x in flips_of(task.domain, units)])
    return np.asarray(signs.any(axis=0) & ~signs.all(axis=0))


def leaves_of(task: Task, found: Search) -> list[tuple[int, int, Array, Array]]:
    """(kind, feature, low, high) of the leaves of a tree."""
    nodes, slots = arrays_of(len(found.tree.kind), len(task.domain.features))
    leaves = plant(found.tree, axes_of(task.domain), nodes, slots)
    at = slots.node[:leaves]
    kinds, features = np.frombuffer(found.tree.kind, dtype=np.uint8)[at], np.array(found.tree.feature)[at]
    return list(zip(kinds.tolist(), features.tolist(), slots.low[:leaves], slots.high[:leaves], strict=True))


def inside(domain: Domain, units: Array, low: Array, high: Array) -> NDArray[np.bool_]:
    found = np.ones(len(units), dtype=np.bool_)
    for i, (feature, columns) in enumerate(zip(domain.features, domain.columns, strict=True)):
        if not feature.sensitive:
            x = units[:, list(columns)]
            value = x.argmax(axis=1) if feature.kind == "one_hot" else x[:, 0]
            found &= (low[i] <= value) & (value <= high[i])
    return found


def boxes_of(domain: Domain, seed: int, many: int) -> list[tuple[Array, Array]]:
    rng, axes, found = np.random.default_rng(seed), axes_of(domain), []
    for _ in range(many):
        ends = np.sort(axes.low + (axes.high - axes.low) * rng.random((2, len(axes.low))), axis=0)
        ends = np.where(axes.kind == 1, ends, np.rint(ends))
        found.append((np.where(axes.sensitive, axes.low, ends[0]), np.where(axes.sensitive, axes.high, ends[1])))
    return found


def made(task: Task) -> tuple[object, object, Room]:
    net, axes = net_of(task.layers), axes_of(task.domain)
    return net, axes, room_of(net, axes)


def points_in(task: Task, low: Array, high: Array, seed: int) -> Array:
    """Points of the box and its flip sets."""
    units = units_of(task.domain, 25)
    units = units[inside(task.domain, units, low, high)]
    if len(units) > 200:
        units = units[np.random.default_rng(seed).choice(len(units), 200, replace=False)]
    return np.concatenate(flips_of(task.domain, units))


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("kind", cases.LINEAR)
@pytest.mark.parametrize("hidden", [(6,), (7, 5), (6, 5, 6, 4)])
def test_enclosure_and_gradient_hold_in_the_box(name: str, kind: str, hidden: tuple[int, ...]) -> None:
    task = task_of(name, 3, kind, hidden)
    net, axes, room = made(task)
    for i, (low, high) in enumerate(boxes_of(task.domain, 5, 12)):
        free = _fill(axes, room.box, low, high)
        assert upwards(net, room.lines, room.box, free, False) == 0
        c, e = downwards(net, room.lines, free, room.form)
        columns = room.box.free[:free]
        x = points_in(task, low, high, i)
        t = (x[:, columns] - room.box.mid[columns]) / room.box.half[columns]
        f = cases.plain(task.layers, x)
        slack = 1e-4 * (1 + np.abs(f).max(initial=0.0))
        assert (np.abs(f - c - t @ room.form.g[:free]) <= e + slack).all()
        for r, column in enumerate(columns.tolist()):
            step = np.zeros(x.shape[1])
            step[column] = 1e-6
            ahead = cases.plain(task.layers, np.clip(x + step, x.min(axis=0), x.max(axis=0)))
            behind = cases.plain(task.layers, np.clip(x - step, x.min(axis=0), x.max(axis=0)))
            moved = np.clip(x + step, x.min(axis=0), x.max(axis=0)) - np.clip(x - step, x.min(axis=0), x.max(axis=0))
            rise = (ahead - behind) / np.maximum(moved[:, column], 1e-12) * room.box.half[column]
            near = moved[:, column] > 1e-7
            assert (np.abs(rise[near] - room.form.g[r]) <= room.form.rho[r] + 1e-2 * (1 + np.abs(rise[near]))).all()


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("seed", range(4))
def test_no_leaf_claims_more_than_is_true(name: str, seed: int) -> None:
    """Shares are counted on a grid: of boxes with few units they are coarse, but mostly not too large."""
    task = task_of(name, seed, "leaky" if seed == 1 else "relu", (6,) if seed == 2 else (7, 5))
    net, axes, room = made(task)
    units = units_of(task.domain)
    unfair, over, boxes = unfair_units(task, units), [], boxes_of(task.domain, seed, 300)
    for low, high in boxes:
        here = inside(task.domain, units, low, high)
        fair, bad, kind, _, _ = evaluate(net, axes, room, Rules(0.0, 0.0, False), low, high)
        if here.sum() >= 8:
            assert kind in (OPEN, COUNTED, FIBRES)
            over.append(max(fair - (1 - unfair[here].mean()), bad - unfair[here].mean()))
    assert len(over) > 20
    assert np.mean(over) <= 0
    assert np.quantile(over, 0.95) <= 0.02
    assert max(over) <= 0.15


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("seed", range(3))
def test_leaves_are_those_of_the_tree(name: str, seed: int) -> None:
    task = task_of(name, seed)
    found = search(task, most_leaves=60)
    net, axes, room = made(task)
    units = units_of(task.domain)
    unfair, covered = unfair_units(task, units), np.zeros(len(units))
    for kind, feature, low, high in leaves_of(task, found):
        _, _, again, k, _ = evaluate(net, axes, room, Rules(0.0, branch._points(task.layers), False), low, high)
        assert (kind, feature) == (again, k)
        covered += inside(task.domain, units, low, high)
    assert (covered >= 1).all()  # units on a continuous cut lie in both closed boxes
    assert (covered == 1).all() or name == "line"
    assert found.certified <= 1 - unfair.mean() + 0.02
    assert found.falsified <= unfair.mean() + 0.02
    assert found.certified + found.falsified + found.undecided == pytest.approx(1)


@pytest.mark.parametrize("price", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_trimmed_ranges_miss_about_the_share_they_say(seed: int, price: float) -> None:
    """One layer: the ranges are read off the lines (slope h/(h − l), error −slope·l/2), and all units counted."""
    domain = Domain("wide", (*(Feature(f"x{i}", "integer", 0, 4 + i) for i in range(4)), PLAIN[-1]))
    layers = cases.network(seed, sizes=(5, 8, 1))
    first = layers.layers[0]
    first = dataclasses.replace(first, bias=-first.weight.sum(axis=1) * 2)
    task = Task(Layers((first, layers.layers[1]), float32=True), domain)
    net, axes, room = made(task)
    free = _fill(axes, room.box, axes.low, axes.high)
    upwards(net, room.lines, room.box, free, False)
    _, whole = downwards(net, room.lines, free, room.form)
    room.lines.price[:] = price * room.lines.size
    radius, centre = room.lines.radius.copy(), room.lines.centre.copy()
    missed = upwards(net, room.lines, room.box, free, True)
    c, e = downwards(net, room.lines, free, room.form)
    slope, error = room.lines.slope.astype(float), room.lines.error.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(
            error > 0, -2 * error / slope, np.where(slope == 1, np.maximum(centre - radius, 0), centre - radius)
        )
        high = np.where(
            error > 0, 2 * error / (1 - slope), np.where(slope == 0, np.minimum(centre + radius, 0), centre + radius)
        )
    units = units_of(domain)
    flips = flips_of(domain, units)
    z = np.array([x @ first.weight.T + first.bias for x in flips])
    bad = ((z < low - 1e-3) | (z > high + 1e-3)).any(axis=0)
    assert bad.mean(axis=0).sum() == pytest.approx(missed, rel=0.25, abs=0.02)
    columns = room.box.free[:free]
    t = [(x[:, columns] - room.box.mid[columns]) / room.box.half[columns] for x in flips]
    f = np.array([cases.plain(task.layers, x) - part @ room.form.g[:free] for x, part in zip(flips, t, strict=True)])
    assert (np.abs(f - c) <= e + 1e-3)[:, ~bad.any(axis=1)].all()
    assert e < whole or missed == 0


@pytest.mark.parametrize("seed", range(8))
def test_shares_of_a_band_and_of_fibres(seed: int) -> None:
    """f = g·x + c + noise of up to e, monotone by construction: the shares are those that can be counted."""
    rng = np.random.default_rng(seed)
    domain = Domain(
        "plain",
        (Feature("a", "integer", 0, 19), Feature("b", "integer", 0, 11), Feature("c", "integer", 0, 5), PLAIN[-1]),
    )
    axes = axes_of(domain)
    room = room_of(net_of(cases.network(0)), axes)
    half = ((axes.high - axes.low) / 2).astype(np.float32)
    slope = rng.normal(size=4) * [1.0, 0.7, 2.0, 0.6]
    g = (slope * half).astype(np.float32)
    rho, e, c = np.abs(g) * np.float32(0.1), 0.3, float(rng.normal())
    t = (np.array(list(itertools.product(*(range(int(n) + 1) for n in axes.high[:3])))) - half[:3]) / half[:3]
    reach = reach_of(axes, axes.low, axes.high, half, g, rho)
    assert (reach.low, reach.high) == pytest.approx((-abs(g[3]), abs(g[3])))
    s = t @ g[:3] + c
    fair = (s - e + reach.low > 0) | (s + e + reach.high <= 0)
    unfair = (s - e + reach.high > 0) & (s + e + reach.low <= 0)
    k, share = fibre(axes, axes.low, axes.high, g, rho, reach.most)
    most = 2 * (abs(g[3]) + rho[3])
    rises = [(2 * (abs(g[i]) - rho[i]) / axes.high[i], axes.high[i] + 1) for i in range(3)]
    assert share == pytest.approx(min(math.ceil(most / rise) / points for rise, points in rises) if share < 1 else 1.0)
    certified, falsified, fibres, _ = count(axes, axes.low, axes.high, g, rho, (c, e, reach, k, 1.0), room.grid)
    assert not fibres
    assert certified == pytest.approx(fair.mean(), abs=0.04)
    assert falsified == pytest.approx(unfair.mean(), abs=0.04)
    certified, falsified, fibres, _ = count(axes, axes.low, axes.high, g, rho, (c, 5.0, reach, k, share), room.grid)
    rest = s - t[:, k] * g[k]
    cross = (rest - abs(g[k]) - 5 + reach.low <= 0) & (rest + abs(g[k]) + 5 + reach.high > 0)
    assert certified == pytest.approx(max(1 - share * cross.mean(), 0), abs=0.04) or not fibres


def test_a_small_domain_is_decided() -> None:
    task = task_of("plain", 0)
    found = search(dataclasses.replace(task, processes=2))
    assert found.undecided == pytest.approx(0, abs=1e-9)
    assert found.falsified == pytest.approx(unfair_units(task, units_of(task.domain)).mean(), abs=1e-9)


def large(seed: int = 0) -> Task:
    domain = Domain("large", (*(Feature(f"x{i}", "integer", 0, 30) for i in range(7)), PLAIN[-1]))
    layers = cases.network(seed, sizes=(8, 24, 16, 1))
    first = layers.layers[0]
    return Task(
        Layers((dataclasses.replace(first, bias=-first.weight.sum(axis=1) * 15), *layers.layers[1:]), True), domain
    )


def test_limits_are_kept_and_the_shares_are_those_of_the_units() -> None:
    task = large()
    search(task, most_leaves=10)  # compiled
    started = time.monotonic()
    heard: list[tuple[float, float, float]] = []
    found = search(dataclasses.replace(task, deadline=started + 2.5, processes=2, progress=lambda *x: heard.append(x)))
    assert time.monotonic() - started < 2.5 * 1.05 + branch.GRACE
    assert len(heard) >= 1
    assert heard[-1][2] >= found.undecided - 1e-3
    rng = np.random.default_rng(1)
    units = np.concatenate([rng.integers(0, 31, size=(20_000, 7)), np.zeros((20_000, 1))], axis=1).astype(np.float64)
    unfair = unfair_units(task, units).mean()
    assert found.certified + unfair <= 1.005
    assert found.falsified <= unfair + 0.005
    assert found.undecided < 0.9
    small = search(dataclasses.replace(task, memory=100_000, processes=2))
    assert len(small.tree.kind) * 40 < 100_000


def test_a_search_goes_on_from_a_tree() -> None:
    task = large()
    first = search(task, most_leaves=100)
    again = search(dataclasses.replace(task, seed=first.tree, processes=2), most_leaves=1000)
    assert again.undecided < first.undecided
    splits = [i for i, kind in enumerate(first.tree.kind[:50]) if kind == SPLIT]
    assert all(again.tree.kind[i] == SPLIT and again.tree.cut[i] == first.tree.cut[i] for i in splits)
    same = search(dataclasses.replace(task, seed=first.tree), most_leaves=len(first.tree.kind) // 2 + 1)
    assert same.undecided == pytest.approx(first.undecided, rel=1e-6)
    nothing = search(dataclasses.replace(task, seed=first.tree, deadline=time.monotonic() - 1))
    assert nothing.certified + nothing.falsified + nothing.undecided == pytest.approx(1)
    assert (nothing.tree.kind, nothing.tree.feature) == (first.tree.kind, first.tree.feature)


def test_an_interrupt_leaves_a_tree() -> None:
    def interrupt(*_: float) -> None:
        raise KeyboardInterrupt

    task = dataclasses.replace(large(), progress=interrupt, processes=2, deadline=time.monotonic() + 20)
    found = search(task)
    assert found.interrupted
    assert found.seconds < 5
    assert len(found.tree.kind) > 100
    assert found.certified + found.falsified + found.undecided == pytest.approx(1, abs=1e-3)


def test_what_is_not_for_it_is_refused() -> None:
    with pytest.raises(NotForThisError, match="sigmoid"):
        search(task_of("plain", 0, "sigmoid"))
    with pytest.raises(NotForThisError, match="sigmoid"):
        Branch().rows(task_of("plain", 0, "sigmoid"), np.zeros((1, 4)))
    tree = search(large(), most_leaves=20).tree
    other = dataclasses.replace(tree, feature=type(tree.feature)("H", [7] * len(tree.kind)))
    with pytest.raises(ValueError, match="sensitive"):
        search(dataclasses.replace(large(), seed=other))


def test_a_linear_network_is_decided() -> None:
    task = task_of("plain", 1, hidden=())
    found = search(task)
    assert found.falsified == pytest.approx(unfair_units(task, units_of(task.domain)).mean(), abs=0.01)
    assert found.undecided < 0.01
