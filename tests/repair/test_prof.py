from __future__ import annotations

import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from certifair.checks._individual.check import check_witness
from certifair.errors import InputError
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.rows_file import rows_of
from certifair.individual import prove
from certifair.repair import _solvers, get, prof
from certifair.repair._bands import Bands, FlipSets, bands_of
from certifair.repair._milp import Head, solve
from certifair.repair._solvers import Solver, solvers
from certifair.repair._widths import Tuning, _Bounds, _values, fine_tuned
from certifair.repair.base import Array, Task
from certifair.repair.prof import Prof, chosen_rows, decisions, head_of
from certifair.repair.zeroing import is_single
from certifair.spec.domain import Domain, Feature
from certifair.spec.domain_file import load_domain, with_sensitive
from certifair.spec.layers import layers_of
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, Network, Scale, Sum

PEOPLE = Domain(
    "people",
    (
        Feature("amount", "integer", 0, 20_000),
        Feature("years", "integer", 0, 40, eps=1),
        Feature("sex", "integer", 0, 1, sensitive=True),
        Feature("race", "one_hot", values=("a", "b", "c"), sensitive=True),
        Feature("age", "continuous", 18.0, 80.0, sensitive=True),
    ),
)
FLIPPED = Domain("flipped", (Feature("x", "integer", -9, 9), Feature("sex", "integer", 0, 1, sensitive=True)))


def single(array: Any) -> Array:
    return np.asarray(array).astype(np.float32).astype(np.float64)


def network(rng: np.random.Generator, widths: list[int], scales: Array, kind: str = "relu") -> Network:
    """scales: the size of each input."""
    steps: list[Any] = []
    for depth, (n, m) in enumerate(itertools.pairwise(widths)):
        weight = rng.normal(size=(m, n)) / (scales * np.sqrt(n) if depth == 0 else np.sqrt(n))
        steps.append(Affine(len(steps), single(weight), single(rng.normal(size=m) / 4)))
        if depth < len(widths) - 2:
            slope = {"leaky_relu": 0.125}.get(kind, 0.0)
            steps.append(Activation(len(steps), kind, slope))  # type: ignore[arg-type]
    return Network(widths[0], tuple(steps), len(steps))


def people(rng: np.random.Generator, n: int) -> Array:
    hot = np.eye(3)[rng.integers(0, 3, n)]
    first = [rng.integers(0, 20_001, n), rng.integers(0, 41, n), rng.integers(0, 2, n)]
    return np.column_stack([*first, hot, rng.uniform(18, 80, n)])


SCALES = np.array([20_000.0, 40.0, 1.0, 1.0, 1.0, 1.0, 80.0])


def bands_and_head(net: Network, domain: Domain, rows: Array) -> tuple[Bands, Head]:
    step = net.steps[head_of(net)]
    assert isinstance(step, Affine)
    return bands_of(layers_of(net), FlipSets.of(domain, rows)), Head(step.weight[0], float(step.bias[0]))


def with_head(net: Network, head: Head) -> Network:
    last = Affine(len(net.steps) - 1, head.weight[None], np.array([head.bias]))
    return Network(net.inputs, (*net.steps[:-1], last), net.output)


def fair(net: Network, domain: Domain, rows: Array, level: str = "real") -> Any:
    """(n,) 1 fair, 2 unfair, 0 undecided: the checker's word."""
    return prove(net, domain, rows, check=check_witness).checked.verdicts[level]


@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "tanh"])
def test_the_last_hidden_layer_is_within_its_bounds_over_the_flip_set(kind: str) -> None:
    rng = np.random.default_rng(1)
    net = network(rng, [7, 9, 6, 1], SCALES, kind)
    rows = people(rng, 12)
    bands, head = bands_and_head(net, PEOPLE, rows)
    hidden = Network(7, net.steps[:-1], len(net.steps) - 1)
    bias = head.bias + 4.0
    sides = bands.sides(head.weight, bias)
    for row, x in enumerate(rows):
        points = np.repeat(x[None], 200, axis=0)
        points[:, 1] = np.clip(x[1] + rng.integers(-1, 2, 200), 0, 40)
        points[:, 2] = rng.integers(0, 2, 200)
        points[:, 3:6] = np.eye(3)[rng.integers(0, 3, 200)]
        points[:, 6] = rng.choice([18.0, 80.0, 50.0], 200)
        half = bands.sets.half[row]
        t = np.where(half > 0, (points[:, [1, 2, 6]] - bands.sets.middle[row, [1, 2, 6]]) / np.where(half, half, 1), 0)
        free = np.concatenate([t, points[:, 3:6]], axis=1)
        h = _evaluated(hidden, points)
        assert (h >= bands.low.at[row] + free @ bands.low.slope[row].T - 1e-9).all()
        assert (h <= bands.high.at[row] + free @ bands.high.slope[row].T + 1e-9).all()
        f = h @ head.weight + bias
        assert sides[row] == 0 or ((f > 0) == (sides[row] > 0)).all()
    assert (sides != 0).any()


def _evaluated(net: Network, points: Array) -> Array:
    h = points
    for step in net.steps:
        if isinstance(step, Affine):
            h = h @ step.weight.T + step.bias
        else:
            assert isinstance(step, Activation)
            h = np.tanh(h) if step.kind == "tanh" else np.where(h >= 0, h, step.slope * h)
    return h


def test_a_neuron_that_does_not_bend_has_no_gap() -> None:
    rng = np.random.default_rng(2)
    net = Network(
        2, (Affine(0, np.eye(2), np.full(2, 20.0)), Activation(1, "relu"), Affine(2, np.ones((1, 2)), np.zeros(1))), 3
    )
    rows = np.column_stack([rng.integers(-9, 10, 5), np.zeros(5)]).astype(float)
    bands, _ = bands_and_head(net, FLIPPED, rows)
    np.testing.assert_array_equal(bands.low.at, bands.high.at)
    np.testing.assert_array_equal(bands.low.slope, bands.high.slope)
    assert bands.sides(np.array([0.0, 1.0]), -20.0 - 1e-2).tolist() == [0.0] * 5
    assert bands.sides(np.array([0.0, 1.0]), -20.0 + 1e-2).tolist() == [1.0] * 5


def test_fine_tuning_narrows_the_bounds_and_keeps_the_decisions() -> None:
    rng = np.random.default_rng(3)
    net = network(rng, [2, 12, 8, 1], np.ones(2))
    rows = np.column_stack([rng.normal(size=300), rng.integers(0, 2, 300)])
    labels = (rows[:, 0] > 0).astype(np.float64)
    sets = FlipSets.of(FLIPPED, rows[:60])
    tuning = Tuning(rows, labels, sets.ends(), 200, time.monotonic() + 60)
    tuned = fine_tuned(net, head_of(net), tuning)

    def width(some: Network) -> Array:
        bands = bands_of(layers_of(some), sets)
        return (-sets.least(bands.high.negative()) - sets.least(bands.low)).sum(axis=1)

    assert (width(tuned) / width(net)).mean() < 0.5
    assert (decisions(layers_of(tuned), rows) == labels).mean() > 0.9
    assert all(is_single(step.weight) and is_single(step.bias) for step in tuned.steps if isinstance(step, Affine))
    assert np.array_equal(_evaluated(fine_tuned(net, head_of(net), tuning), rows), _evaluated(tuned, rows))
    late = fine_tuned(net, head_of(net), dataclasses.replace(tuning, end=time.monotonic()))
    assert np.array_equal(_evaluated(late, rows), _evaluated(net, rows))


def test_the_bounds_that_fine_tuning_narrows_are_those_of_the_program() -> None:
    rng = np.random.default_rng(5)
    net = network(rng, [2, 9, 1], np.ones(2), "leaky_relu")
    sets = FlipSets.of(FLIPPED, np.column_stack([rng.integers(-9, 10, 30), np.zeros(30)]).astype(float))
    bounds = tuning_bounds(net, sets.ends())
    bands = bands_of(layers_of(net), sets)
    widths = (-sets.least(bands.high.negative()) - sets.least(bands.low)).sum(axis=1)
    assert widths.min() > 0.1
    np.testing.assert_allclose(bounds.width(2).numpy(), widths, rtol=1e-12)


def tuning_bounds(net: Network, ends: tuple[Array, Array]) -> Any:
    leaves = {
        k: (torch.from_numpy(step.weight), torch.from_numpy(step.bias))
        for k, step in enumerate(net.steps)
        if isinstance(step, Affine)
    }
    return _Bounds(net, leaves, *map(torch.from_numpy, ends))


def test_the_bounds_that_fine_tuning_narrows_hold_through_every_step() -> None:
    rng = np.random.default_rng(6)
    affine = [Affine(k, single(rng.normal(size=(4, n))), single(rng.normal(size=4))) for k, n in ((0, 3), (2, 4))]
    factors = [single(rng.normal(size=4)) for _ in range(5)]
    last = Affine(10, np.ones((1, 12)), np.zeros(1))
    steps = (
        affine[0],
        Activation(1, "leaky_relu", -0.25),
        affine[1],
        Sum((1, 3, 3)),
        Activation(4, "leaky_relu", 1.5),
        Scale(5, factors[0], np.full(4, 2.0), factors[1]),
        Activation(6, "tanh"),
        BatchNorm(7, factors[2], factors[3] ** 2, 1e-5, factors[4], factors[0]),
        Activation(8, "relu"),
        Concat((9, 2, 6)),
        last,
    )
    net = Network(3, steps, 11)
    low = rng.normal(size=(20, 3))
    high = low + rng.uniform(0, 1, (20, 3)) * [1.0, 0.0, 0.5]
    bounds = tuning_bounds(net, (low, high))
    relaxed = bounds.relaxed(10)
    for slot in range(11):
        least, most = (end.detach().numpy() for end in bounds.ends(slot, relaxed))
        for _ in range(50):
            points = torch.from_numpy(low + rng.uniform(0, 1, low.shape) * (high - low))
            values = _values(net, bounds.parameters, slot, points).detach().numpy()
            assert (least - 1e-9 <= values).all()
            assert (values <= most + 1e-9).all()


@pytest.mark.parametrize("slope", [-0.25, 0.0, 0.5, 1.5])
def test_one_neurons_bounds_are_its_values(slope: float) -> None:
    low, high = np.array([[-1.0], [-2.0], [1.0], [-3.0]]), np.array([[2.0], [1.0], [2.0], [-1.0]])
    bounds = tuning_bounds(Network(1, (Activation(0, "leaky_relu", slope),), 1), (low, high))
    least, most = (end.numpy() for end in bounds.ends(1, bounds.relaxed(1)))
    z = np.linspace(low, high, 31)
    values = np.where(z >= 0, z, slope * z)
    assert (least <= values + 1e-12).all()
    assert (most >= values - 1e-12).all()
    assert (np.minimum(most - values.max(axis=0), values.min(axis=0) - least) < 1e-12).all()


@pytest.mark.parametrize("name", ["highs", "cbc"])
def test_the_program_finds_the_smallest_change_of_all_choices_of_sides(name: Any) -> None:
    rng = np.random.default_rng(4)
    net = network(rng, [7, 6, 1], SCALES)
    rows = people(rng, 5)
    bands, head = bands_and_head(net, PEOPLE, rows)
    make, end, prices = solvers(name)[0].make, time.monotonic() + 60, rng.normal(size=5) / 10
    found = solve(bands, head, make, end, prices=prices)
    assert found.head is not None
    assert found.sides is not None
    every = [
        solve(bands, head, make, end, prices=prices, sides=np.array(sides)).cost
        for sides in itertools.product([1.0, -1.0], repeat=5)
    ]
    assert found.cost == pytest.approx(min(every), abs=1e-5)
    assert bands.sides(found.head.weight, found.head.bias).tolist() == found.sides.tolist()


def test_the_published_margin_leaves_people_unfair_where_ours_does_not() -> None:
    """Sums of thousands move by more than 10^-6 when the new weights become float32 numbers."""
    rng = np.random.default_rng(9)
    features = tuple(dataclasses.replace(feature, eps=0.0) for feature in PEOPLE.features[:4])
    domain = dataclasses.replace(PEOPLE, features=features)
    net = network(rng, [6, 8, 1], np.array([3.0, 1.0, 0.02, 0.02, 0.02, 0.02]))
    rows = people(rng, 40)[:, :6]
    _, head = bands_and_head(net, domain, rows)
    middle = np.median(_evaluated(net, rows))  # so that no change of the bias puts everybody on one side
    net = with_head(net, Head(head.weight, float(single(head.bias - middle))))
    bands, head = bands_and_head(net, domain, rows)
    make, prices = solvers("highs")[0].make, np.zeros(40)
    published = solve(
        dataclasses.replace(bands, rate=0.0), head, make, time.monotonic() + 60, prices=prices, margin=1e-6
    )
    assert published.head is not None
    assert (dataclasses.replace(bands, rate=0.0).sides(published.head.weight, published.head.bias) != 0).all()
    assert (fair(with_head(net, published.head.rounded()), domain, rows) == 2).any()
    ours = solve(bands, head, make, time.monotonic() + 60, prices=prices)
    assert ours.head is not None
    repaired = with_head(net, ours.head.rounded())
    assert (fair(repaired, domain, rows) == 1).all()
    assert (fair(repaired, domain, rows, "float32") == 1).all()


@pytest.mark.parametrize(("name", "label"), [("compas", "score_factor"), ("german", "good_credit")])
def test_every_row_of_a_published_network_is_proved_fair(shared: Path, name: str, label: str) -> None:
    import pandas as pd

    model = {"compas": "compas/compas-1", "german": "german/GC-1"}[name]
    net = read_network((shared / "models" / f"{model}.onnx").read_bytes(), model)
    domain = load_domain(shared / "models" / "domains" / f"{name}.toml").domain
    table = shared / "data" / "encoded" / f"{name}.csv"
    some = np.random.default_rng(0).choice(len(pd.read_csv(table)), 100, replace=False)
    rows, labels = rows_of(table, domain).values[some], pd.read_csv(table)[label].to_numpy(dtype=float)[some]
    task = Task(net, domain, rows, labels, deadline=time.monotonic() + 100)
    found = dataclasses.replace(get("prof"), epochs=20).repair(task)  # type: ignore[type-var]
    assert found.network is not None, found.reason
    assert "Optimal" in found.reason
    assert (fair(net, domain, rows) == 2).any()
    for level in ("real", "float32"):
        assert (fair(found.network, domain, rows, level) == 1).all()
    assert all(
        is_single(step.weight) and is_single(step.bias) for step in found.network.steps if isinstance(step, Affine)
    )


def test_the_published_objective_tells_people_apart(shared: Path) -> None:
    """The paper repairs for one attribute at a time; with widths of another kind in step 1, all were one side here."""
    import pandas as pd

    content = (shared / "models" / "prof" / "compas-compas1.onnx").read_bytes()
    table = pd.read_csv(shared / "data" / "encoded" / "compas.csv")
    domain = with_sensitive(load_domain(shared / "models" / "domains" / "compas.toml").domain, ["Age"])
    values = table.iloc[:, :6].to_numpy(dtype=float)
    labels = table["score_factor"].to_numpy(dtype=float)
    train, test = (np.flatnonzero(table["split"] == part) for part in ("train", "test"))
    some = np.random.default_rng(0).choice(train, 500, replace=False)
    task = Task(read_network(content, "compas1"), domain, values[some], labels[some])
    found = Prof().repair(task)
    assert found.network is not None
    right = decisions(layers_of(found.network), values[test]) == (labels[test] > 0)
    assert right.mean() > 0.68
    assert (fair(found.network, domain, values[test]) == 1).mean() > 0.95


def _task(net: Network, seconds: float = 60.0) -> Task:
    rows = np.column_stack([np.arange(-9, 10), np.arange(-9, 10) % 2]).astype(np.float64)
    return Task(net, FLIPPED, rows, deadline=time.monotonic() + seconds)


STEEP = Network(2, (Affine(0, np.array([[1.0, 12.0]]), np.array([-5.0])),), 1)
MILD = Network(2, (Affine(0, np.array([[1.0, 2.0]]), np.array([0.0])),), 1)


def test_no_solution_is_the_solvers_word() -> None:
    """With |Δ| ≤ 3, f(0, 0) is at most −2 and f(0, 1) at least 1."""
    found = Prof(epochs=0).repair(_task(STEEP))
    assert found.network is None
    assert "Infeasible" in found.reason


def test_rows_are_a_seeded_sample_of_those_of_the_task() -> None:
    task = _task(MILD)
    chosen = chosen_rows(len(task.rows), 4, task.seed)
    found = Prof(epochs=0, rows=4).repair(task)
    assert found.network is not None
    assert len(set(chosen.tolist())) == 4
    assert chosen_rows(1000, 9, 3).tolist() == chosen_rows(1000, 9, 3).tolist() != chosen_rows(1000, 9, 4).tolist()
    assert (fair(found.network, FLIPPED, task.rows[chosen]) == 1).all()


def test_a_price_keeps_decisions_that_the_smallest_change_gives_up() -> None:
    """A bias of 1/4 makes everybody positive; a weight of sex that is 3/8 smaller is fair and right about everybody."""
    net = Network(2, (Affine(0, np.array([[0.125, 0.5]]), np.array([0.0])),), 1)
    rows = np.array([[-2.0, 0.0], [-1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [-1.0, 1.0]])
    labels = np.array([0.0, 0.0, 1.0, 1.0, 0.0])
    task = Task(net, FLIPPED, rows, labels, deadline=time.monotonic() + 60)
    cheap, dear = Prof(epochs=0).repair(task).network, Prof(epochs=0, price=1.0).repair(task).network
    assert cheap is not None
    assert dear is not None
    assert decisions(layers_of(cheap), rows).tolist() != [False, False, True, True, False]
    assert decisions(layers_of(dear), rows).tolist() == [False, False, True, True, False]


def test_cbc_goes_on_where_highs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    import pulp

    def fails(relaxed: bool, seconds: float) -> Any:
        raise pulp.PulpError("no licence for HiGHS")

    monkeypatch.setattr(_solvers, "_highs", lambda pulp: Solver("HiGHS", fails))
    found = Prof(epochs=0).repair(_task(MILD))
    assert found.network is not None
    assert found.solver.startswith("CBC")
    assert "no licence for HiGHS" in found.reason


def test_without_time_there_is_a_reason() -> None:
    found = Prof().repair(_task(MILD, 0.0))
    assert found.network is None
    assert "no time" in found.reason


def test_refuses_what_it_cannot_change(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Network(2, (Affine(0, np.eye(2), np.zeros(2)),), 1)
    with pytest.raises(InputError, match="not an affine step's output"):
        Prof().repair(_task(two))
    curved = Network(
        2, (Affine(0, np.eye(2), np.zeros(2)), Activation(1, "softplus"), Affine(2, np.ones((1, 2)), np.zeros(1))), 3
    )
    with pytest.raises(InputError, match="softplus"):
        Prof().repair(_task(curved))
    monkeypatch.setattr(_solvers, "_gurobi", lambda pulp: None)
    with pytest.raises(InputError, match="no solver gurobi"):
        Prof(solver="gurobi").repair(_task(MILD))


def test_the_sides_that_were_tried_first_are_kept_where_the_search_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prof, "SEARCHING", 0.0)
    found = Prof(epochs=0).repair(_task(MILD))
    assert found.network is not None
    assert "tried before the search" in found.reason
