"""Proposed bounds: as tight as the best known programme says, in a fraction of its time, and all of them proven."""

from __future__ import annotations

import csv
import itertools
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certifair.checks._stability.networks import lipschitz
from certifair.errors import InputError
from certifair.evidence.domain import box_of, units_of
from certifair.individual.networks import network_of
from certifair.spec.chain import chain_of
from certifair.spec.domain import Domain, Feature
from certifair.spec.network import Activation, Affine, Network
from certifair.stability import propose
from certifair.stability._problem import least_rho, problem_of
from certifair.stability._sequential import sequential
from certifair.stability.api import Engine
from tests.spec.lipschitz_cases import layered, random_network

RATIOS = {"AC-1": 3.78, "AC-9": 3.52, "AC-10": 7.31, "AC-2": 2.98}
"""Product of norms by LipSDP's optimum, inputs in units of their ranges in the table."""


def proven(network: Network, engine: Engine | None = None, **options: Any) -> float:
    found = propose(network, engine=engine, **options)
    assert found.witness is not None, found.reason
    checked = lipschitz(network, found.witness, options.get("box"), options.get("units"))
    assert checked.reason is None
    assert checked.of("lipsdp") == found.witness.bound
    return found.witness.bound


@pytest.fixture(scope="module")
def ranges(shared: Path) -> np.ndarray:
    with (shared / "data" / "encoded" / "adult.csv").open(encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    table = np.array([row[:13] for row in rows], dtype=np.float64)
    return np.ptp(table, axis=0)


@pytest.mark.parametrize("model", RATIOS)
def test_adult_in_units_of_the_ranges(shared: Path, ranges: np.ndarray, model: str) -> None:
    network = network_of(shared / "models" / "adult" / f"{model}.onnx")
    started = time.monotonic()
    bound = proven(network, units=ranges)
    assert time.monotonic() - started < 10
    norms = lipschitz(network, None, None, ranges).of("norms")
    assert norms is not None
    assert float(norms) / bound >= RATIOS[model]


@pytest.mark.parametrize("seed", range(4))
def test_the_optimum_is_that_of_cvxpy(seed: int) -> None:
    network = layered(seed, 4, 8, 6, 2) if seed < 2 else random_network(seed + 30)
    rng = np.random.default_rng(seed)
    for box in (None, (-rng.uniform(0, 1, network.inputs), rng.uniform(0, 1, network.inputs))):
        ours, theirs = (proven(network, engine, box=box) for engine in ("interior", "cvxpy"))
        assert theirs * (1 - 1e-4) <= ours <= theirs * (1 + 1e-6)


def test_every_engine_is_between_the_optimum_and_the_norms() -> None:
    for seed, kind in enumerate(("relu", "tanh", "softplus", "leaky_relu")):
        network = layered(seed, 5, 12, 12, 12, 12, 1, kind=kind)
        norms = lipschitz(network).of("norms")
        assert norms is not None
        best = proven(network, "interior")
        for engine in ("sequential", "groups"):
            assert best * (1 - 1e-6) <= proven(network, engine) <= float(norms) * (1 + 1e-6)


def test_groups_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    from certifair.stability import _groups

    network = layered(1, 5, 16, 16, 16, 16, 1)
    whole, simple = proven(network, "interior"), proven(network, "sequential")
    monkeypatch.setattr(_groups, "LARGEST", 40)
    parts = proven(network, "groups")
    assert whole < parts < simple


def test_a_short_time_gives_a_bound_that_more_time_improves() -> None:
    network = layered(2, 10, 60, 60, 60, 1)
    assert proven(network) < proven(network, "sequential")


LIMIT = 2.0
"""Seconds that 0.2 s may become on a machine that does other things too; without a limit these take 5 to 500."""


@pytest.mark.parametrize(
    ("widths", "engine"),
    [
        ((100, 512, 512, 1), None),
        ((100, 256, 256, 256, 256, 1), None),
        ((100, 256, 256, 256, 256, 1), "groups"),
        ((13, 50, 50, 50, 50, 50, 50, 1), "interior"),
        ((13, 50, 50, 50, 50, 50, 50, 1), "cvxpy"),
    ],
)
def test_whatever_the_network_time_is_kept(widths: tuple[int, ...], engine: Engine | None) -> None:
    network, box = layered(4, *widths), (np.full(widths[0], -1.0), np.full(widths[0], 1.0))
    for where in (None, box):
        started = time.monotonic()
        found = propose(network, where, seconds=0.2, engine=engine)
        assert time.monotonic() - started < LIMIT
        assert found.witness is not None or found.reason == "no multipliers were found that prove a bound, in 0.2 s"
        assert found.witness is None or lipschitz(network, found.witness, where).reason is None


def test_what_was_found_before_time_was_up_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second rung hangs: the first is returned, with the pair."""
    from certifair.stability import api

    hang = threading.Event()
    monkeypatch.setattr(api, "optimum", lambda *_: hang.wait(60))
    monkeypatch.setattr(api, "GRACE", 0.0)
    network = layered(5, 3, 8, 1)
    started = time.monotonic()
    found = propose(network, seconds=1.0)
    assert time.monotonic() - started < 1 + LIMIT
    hang.set()
    assert [rung.engine for rung in found.rungs] == ["sequential"]
    assert found.witness is not None
    assert found.witness.pair == found.pair is not None
    lower = lipschitz(network, found.witness).lower
    assert lower is not None
    assert 0 < lower <= found.witness.bound


def test_nothing_in_time_is_nothing_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from certifair.stability import api

    hang = threading.Event()
    monkeypatch.setattr(api, "chain_of", lambda *_, **__: hang.wait(60))
    found = propose(layered(5, 3, 8, 1), seconds=0.3)
    hang.set()
    assert (found.witness, found.rungs) == (None, ())
    assert found.reason == "no multipliers were found that prove a bound, in 0.3 s"
    assert found.pair is not None


def test_an_error_of_the_thread_is_raised_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    from certifair.stability import api

    def fails(*_: object) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr(api, "problem_of", fails)
    with pytest.raises(MemoryError, match="too large"):
        propose(layered(5, 3, 8, 1))


def test_no_step_starts_that_would_end_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that says that each look at it took a second."""
    from certifair.stability import _interior

    ticks = itertools.count()
    monkeypatch.setattr(_interior.time, "monotonic", lambda: float(next(ticks)))
    problem = problem_of(chain_of(layered(6, 4, 12, 12, 1), excess=True))
    start = sequential(problem)
    assert start is not None
    rated = [least_rho(problem, _interior.optimum(problem, start, next(ticks) + later)) for later in (0.5, 6.5, 60)]
    assert rated[0] == least_rho(problem, start)
    assert rated[0] > rated[1] > rated[2]


def test_a_box_narrows_the_bound() -> None:
    network = layered(3, 3, 16, 16, 1, kind="tanh")
    bounds = [proven(network, box=(np.full(3, 0.5 - r), np.full(3, 0.5 + r))) for r in (0.01, 0.1, 1.0)]
    assert bounds == sorted(bounds)
    assert bounds[-1] < proven(network)


def test_what_has_no_bound_is_named() -> None:
    network = Network(1, (Affine(0, np.ones((1, 1)), np.zeros(1)), Activation(1, "softplus", threshold=20.0)), 2)
    found = propose(network)
    assert found.witness is None
    assert found.reason is not None
    assert found.reason.startswith("step 1, softplus: is a softplus that jumps at its threshold 20")
    with pytest.raises(InputError, match="'magic' is no engine"):
        propose(network, engine="magic")  # type: ignore[arg-type]


def test_constants_and_linear_networks() -> None:
    for weight in (np.zeros((1, 2)), np.array([[3.0, 4.0]])):
        network = Network(2, (Affine(0, weight, np.zeros(1)),), 1)
        assert proven(network) <= np.linalg.norm(weight) * (1 + 1e-9) + 2e-100
        flat = Network(2, (*network.steps, Activation(1, "relu"), Affine(2, np.zeros((1, 1)), np.zeros(1))), 3)
        assert float(lipschitz(flat, propose(flat).witness).bound or 0) <= 2e-100


def test_units_and_box_of_a_domain() -> None:
    features = (
        Feature("a", "integer", 10, 100, sensitive=True),
        Feature("b", "one_hot", values=("x", "y")),
        Feature("c", "continuous", 2.5, 2.5),
    )
    domain = Domain("d", features)
    assert units_of(domain.features).tolist() == [90, 1, 1, 1]
    assert [end.tolist() for end in box_of(domain.features)] == [[10, 0, 0, 2.5], [100, 1, 1, 2.5]]
