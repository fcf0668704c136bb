from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from certifair.errors import InputError
from certifair.individual.engines import _program
from certifair.individual.engines.milp import Milp
from certifair.individual.query import Query, query_of_domain
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers
from certifair.spec.verdict import Verdict
from tests.individual import comparison_cases as cases
from tests.oracles.individual_brute import named_layer

pytest.importorskip("pulp")
pytest.importorskip("highspy")

Solver = Literal["highs", "cbc"]
SOLVERS: tuple[Solver, ...] = ("highs", "cbc")


def _one(weight: list[float], bias: float) -> Layers:
    return Layers((named_layer(np.array([weight]), np.array([bias]), "identity"),), float32=False)


def _bits(*flips: bool) -> Query:
    n = len(flips)
    return Query(np.zeros(n), np.ones(n), np.full(n, fill_value=True), np.array(flips))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", cases.LINEAR)
def test_agrees_with_what_was_counted(kind: str, solver: Solver) -> None:
    verdicts = []
    for seed in range(14):
        layers, query = cases.network(seed, kind), cases.box(seed, width=1.0 + seed % 3)
        answer = Milp(solver).decide(layers, query, 20.0)
        truth = cases.unfair(layers, query)
        cases.check(layers, query, answer, truth)
        assert truth is None or answer.verdict is not Verdict.UNDECIDED
        verdicts.append(answer.verdict)
    assert set(verdicts) >= {Verdict.PASS, Verdict.FAIL}


@pytest.mark.parametrize("seed", [12, 150])
def test_cbc_finds_what_it_missed_with_a_tolerance_of_1e_9(seed: int) -> None:
    layers, query = cases.network(seed, "identity"), cases.box(seed, width=1.0 + seed % 3)
    assert cases.unfair(layers, query)
    assert Milp("cbc").decide(layers, query, 20.0).verdict is Verdict.FAIL


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_solver_decides_what_bounds_do_not(solver: Solver) -> None:
    """|x − 2| − 1/2 is −1/2 at 2 and positive elsewhere; of 0 and 4 only, which one-hot inputs say, it is 3/2."""
    first = named_layer(np.array([[0.0, 4.0], [0.0, -4.0]]), np.array([-2.0, 2.0]), "relu", "relu")
    layers = Layers((first, named_layer(np.ones((1, 2)), np.array([-0.5]), "identity")), float32=True)
    answer = Milp(solver).decide(layers, _bits(True, True), 10.0)
    assert answer.verdict is Verdict.PASS
    assert "Infeasible" in answer.reason
    assert answer.reason.startswith(("HiGHS", "CBC"))
    assert ("tolerance 1e-09" if solver == "highs" else "tolerance 1e-07") in answer.reason
    relaxed = Milp(solver, relaxed=True).decide(layers, _bits(True, True), 10.0)
    assert relaxed.verdict is Verdict.UNDECIDED
    assert "relaxed" in relaxed.reason
    halves = dataclasses.replace(_bits(True, True), integer=np.array([True, False]))
    answer = Milp(solver).decide(layers, halves, 10.0)
    cases.check(layers, halves, answer, truth=True)
    assert answer.verdict is Verdict.FAIL


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_relaxation_passes_or_says_nothing(solver: Solver) -> None:
    verdicts = set()
    for seed in range(12):
        layers, query = cases.network(seed, "leaky"), cases.box(seed, width=1.0)
        answer = Milp(solver, relaxed=True).decide(layers, query, 10.0)
        cases.check(layers, query, answer, cases.unfair(layers, query))
        verdicts.add(answer.verdict)
    assert verdicts == {Verdict.PASS, Verdict.UNDECIDED}


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_hot_groups_and_relaxed_inputs(solver: Solver) -> None:
    """f = 2·[a] + 2·[b] + hours − 9: with both a and b it would be positive at 6 hours, but nobody is both."""
    features = (
        Feature("group", "one_hot", values=("a", "b", "c"), sensitive=True),
        Feature("hours", "integer", 0.0, 6.0),
    )
    layers = _one([2.0, 2.0, 0.0, 1.0], -8.5)
    query = query_of_domain(Domain("people", features))
    assert Milp(solver).decide(layers, query, 10.0).verdict is Verdict.PASS
    loose = dataclasses.replace(query, one_hot=())
    assert Milp(solver).decide(layers, loose, 10.0).verdict is Verdict.FAIL
    moved = (dataclasses.replace(features[0], sensitive=False), dataclasses.replace(features[1], eps=1.0))
    query = query_of_domain(Domain("people", moved))
    near = Milp(solver).decide(_one([0.0, 0.0, 0.0, 1.0], -2.5), query, 10.0)
    cases.check(_one([0.0, 0.0, 0.0, 1.0], -2.5), query, near, truth=True)
    assert near.verdict is Verdict.FAIL
    step = named_layer(np.array([[0.0, 0, 0, 1], [0.0, 0, 0, 1]]), np.array([-1.0, -4.0]), "relu", "relu")
    far = Layers((step, named_layer(np.array([[-1.0, 4.0]]), np.array([0.5]), "identity")), float32=True)
    wide = dataclasses.replace(query, reach=None)
    assert Milp(solver).decide(far, wide, 10.0).verdict is Verdict.FAIL
    reach = np.where(query.flips, 0.0, np.inf)
    assert Milp(solver).decide(far, dataclasses.replace(query, reach=reach), 10.0).verdict is Verdict.PASS


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_pair_within_the_tolerance_is_no_answer(solver: Solver) -> None:
    """f = 1e-11·a − 5e-12 really differs, below what a solver sees; f = a − 1 is never positive, but comes to 0."""
    layers = _one([1e-11], -5e-12)
    cases.check(layers, _bits(True), Milp(solver).decide(layers, _bits(True), 10.0), truth=True)
    tie = Milp(solver).decide(_one([1.0], -1.0), _bits(True), 10.0)
    assert tie.verdict is Verdict.UNDECIDED
    assert "do not surely differ" in tie.reason


@pytest.mark.parametrize(("model", "domain"), cases.SHIPPED)
def test_rows_of_shipped_networks(shared: Path, model: str, domain: str) -> None:
    decided = 0
    questions = cases.row_questions(shared, model, domain)
    for number, (layers, query, truth) in enumerate(questions):
        answer = Milp(SOLVERS[number % 2]).decide(layers, query, 10.0)
        cases.check(layers, query, answer, truth)
        decided += answer.verdict is not Verdict.UNDECIDED
    assert decided == len(questions)


def test_a_whole_domain_is_unfair(shared: Path) -> None:
    layers, domain, _ = cases.shipped(shared, "compas/compas-1", "compas")
    query = query_of_domain(domain)
    answer = Milp().decide(layers, query, 20.0)
    cases.check(layers, query, answer, cases.unfair(layers, query))
    assert answer.verdict is Verdict.FAIL


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_time_limit_ends_the_search(shared: Path, solver: Solver) -> None:
    layers, domain, _ = cases.shipped(shared, "adult/AC-4", "adult")
    start = time.perf_counter()
    answer = Milp(solver).decide(layers, query_of_domain(domain), 1.0)
    assert time.perf_counter() - start < 5
    assert answer.verdict is Verdict.UNDECIDED
    assert answer.reason.startswith(("HiGHS", "CBC"))


def test_no_time_for_the_program() -> None:
    answer = Milp().decide(cases.network(2, sizes=(4, 30, 30, 1)), cases.box(2, width=6.0), 0.0)
    assert answer.verdict is Verdict.UNDECIDED
    assert answer.reason == "no time was left when the program was built"


def test_what_no_program_can_say() -> None:
    for kind in ("sigmoid", "tanh"):
        answer = Milp().decide(cases.network(0, kind), cases.box(0), 1.0)
        assert answer.verdict is Verdict.UNDECIDED
        assert "no sigmoid" in answer.reason
    steep = cases.network(0).layers
    steep = (dataclasses.replace(steep[0], slope=steep[0].slope + 2), *steep[1:])
    assert Milp().decide(Layers(steep, float32=True), cases.box(0), 1.0).verdict is Verdict.UNDECIDED
    huge = tuple(dataclasses.replace(item, weight=item.weight * 1e200) for item in cases.network(0).layers)
    assert "not finite" in Milp().decide(Layers(huge, float32=False), cases.box(0), 1.0).reason


def test_absent_solvers_are_one_command_away(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, query = cases.network(0), cases.box(0)
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(InputError, match=r"needs highspy for HiGHS; pip install 'certifair\[torch\]'"):
        Milp().decide(layers, query, 1.0)
    monkeypatch.setattr("pulp.COIN_CMD.available", lambda _: False)
    with pytest.raises(InputError, match=r"no CBC for this machine; pip install 'pulp\[cbc\]'"):
        Milp("cbc").decide(layers, query, 1.0)
    monkeypatch.setitem(sys.modules, "pulp", None)
    with pytest.raises(InputError, match="needs pulp"):
        Milp().decide(layers, query, 1.0)


def test_a_solver_that_fails_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    import pulp

    def fail(*_: object) -> None:
        raise pulp.PulpSolverError("killed")

    monkeypatch.setattr("pulp.LpProblem.solve", fail)
    layers, query = cases.network(2, sizes=(4, 30, 30, 1)), cases.box(2, width=6.0)
    answer = Milp().decide(layers, query, 5.0)
    assert answer.verdict is Verdict.UNDECIDED
    assert answer.reason.endswith("PulpSolverError: killed")


def test_an_incumbent_that_is_no_pair_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, query = cases.network(2, sizes=(4, 30, 30, 1)), cases.box(2, width=6.0)
    same = query.low.copy()
    outcome = _program.Outcome("Optimal", infeasible=False, points=(same, same))
    monkeypatch.setattr(_program, "solve", lambda *_, **__: outcome)
    answer = Milp().decide(layers, query, 5.0)
    assert answer.verdict is Verdict.UNDECIDED
    assert "do not surely differ" in answer.reason
