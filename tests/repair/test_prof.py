"""ProF's program and the method as a whole: the smallest change, proofs, solvers that have nothing to say."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is absent: it tunes")
pytest.importorskip("pulp", reason="PuLP is absent: it writes the program")
pytest.importorskip("highspy", reason="HiGHS is absent: it solves the program")

from certifair.errors import InputError
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.rows_file import rows_of
from certifair.repair import _solvers, get, prof
from certifair.repair._milp import Head, Outcome, solve
from certifair.repair._numbers import is_single
from certifair.repair._solvers import Solver, answer, solvers
from certifair.repair.base import Task
from certifair.repair.prof import Prof, chosen_rows, decisions
from certifair.spec.domain_file import load_domain, with_sensitive
from certifair.spec.layers import layers_of
from certifair.spec.network import Activation, Affine, Network
from tests.repair.prof_cases import (
    FLIPPED,
    PEOPLE,
    SCALES,
    bands_and_head,
    evaluated,
    fair,
    network,
    people,
    single,
    with_head,
)


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
    middle = np.median(evaluated(net, rows))  # so that no change of the bias puts everybody on one side
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


@pytest.mark.parametrize("name", ["highs", "cbc"])
def test_no_solution_is_the_solvers_word(name: Any) -> None:
    """With |Δ| ≤ 3, f(0, 0) is at most −2 and f(0, 1) at least 1."""
    found = Prof(epochs=0, solver=name).repair(_task(STEEP))
    assert found.network is None
    assert "Infeasible" in found.reason
    assert found.status == "infeasible"


@pytest.mark.parametrize("name", ["highs", "cbc"])
def test_a_solver_whose_time_is_over_has_not_said_infeasible(name: Any) -> None:
    """Market split (Cornuéjols and Dawande 1998): whether 40 binaries fit 5 equations is not known so soon."""
    import pulp

    rng = np.random.default_rng(1)
    program = pulp.LpProblem("market_split", pulp.LpMinimize)
    chosen = [program.add_variable(f"x{k}", 0, 1, cat=pulp.LpInteger) for k in range(40)]
    program.setObjective(pulp.lpSum(chosen))
    for sizes in rng.integers(0, 100, (5, 40)).tolist():
        program += pulp.LpAffineExpression(list(zip(chosen, sizes, strict=True))) == sum(sizes) // 2
    said = answer(program, solvers(name)[0].make, 0.3)
    assert not said.found
    assert said.failure == "time limit"
    assert "when the time was over" in said.status


def test_an_executable_that_only_fails_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    import pulp

    def make(relaxed: bool, seconds: float) -> Any:
        return pulp.COIN_CMD(mip=not relaxed, msg=False, timeLimit=seconds, path=shutil.which("false"))

    monkeypatch.setattr(_solvers, "_cbc", lambda pulp: Solver("CBC", make))
    found = Prof(epochs=0, solver="cbc").repair(_task(MILD))
    assert (found.network, found.status) == (None, "failed")
    assert "PulpSolverError" in found.reason


def _fails(relaxed: bool, seconds: float) -> Any:
    import pulp

    raise pulp.PulpError("no licence for HiGHS")


@pytest.mark.parametrize(("net", "late", "status"), [(STEEP, False, "infeasible"), (MILD, True, "time limit")])
def test_of_several_solvers_the_one_that_says_most_counts(
    monkeypatch: pytest.MonkeyPatch, net: Network, late: bool, status: str
) -> None:
    def slow(relaxed: bool, seconds: float) -> Any:
        time.sleep(seconds)
        return _fails(relaxed, seconds)

    cbc = Solver("CBC", slow) if late else solvers("cbc")[0]
    monkeypatch.setattr(_solvers, "_highs", lambda pulp: Solver("HiGHS", _fails))
    monkeypatch.setattr(_solvers, "_cbc", lambda pulp: cbc)
    found = Prof(epochs=0).repair(_task(net, 0.5 if late else 60.0))
    assert found.status == status
    assert "no licence for HiGHS" in found.reason


def test_that_no_margin_fits_the_sides_is_not_infeasible(monkeypatch: pytest.MonkeyPatch) -> None:
    """With other sides it might."""

    def without(*args: Any, margin: float | None = None, **options: Any) -> Outcome:
        if margin is None:
            return solve(*args, **options)
        return Outcome("Infeasible", failure="infeasible")

    monkeypatch.setattr(prof, "solve", without)
    found = Prof(epochs=0).repair(_task(MILD))
    assert (found.network, found.status) == (None, "failed")
    assert "with the sides fixed: Infeasible" in found.reason


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
    monkeypatch.setattr(_solvers, "_highs", lambda pulp: Solver("HiGHS", _fails))
    found = Prof(epochs=0).repair(_task(MILD))
    assert found.network is not None
    assert found.status == "done"
    assert found.solver.startswith("CBC")
    assert "no licence for HiGHS" in found.reason


def test_without_time_there_is_a_reason() -> None:
    found = Prof().repair(_task(MILD, 0.0))
    assert (found.network, found.status) == (None, "time limit")
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


@pytest.mark.parametrize(
    "options",
    [
        {"rows": 0},
        {"rows": -1},
        {"epochs": -1},
        {"solver": "glpk"},
        {"price": -1.0},
        {"price": np.nan},
        {"price": np.inf},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        Prof(**options)


def test_the_sides_that_were_tried_first_are_kept_where_the_search_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prof, "SEARCHING", 0.0)
    found = Prof(epochs=0).repair(_task(MILD))
    assert found.network is not None
    assert "tried before the search" in found.reason
