"""Whom the paper's algorithm serves what: the penalised problem against somebody else's solver, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from certifair.online import PrimalDual, PrimalDualState
from tests.oracles import online_oracle as oracle

BOXES = (("0", "1"), ("-3.5", "3.5"), ("0.1", "0.9"), ("-1", "0"), ("1000", "3000"))
STYLES = ("normal", "ties", "clipped", "corners", "equal", "wide")
KINDS = ("one", "marginal", "product", "condition", "twins")


def scores_of(rng: np.random.Generator, style: str, n: int) -> NDArray[np.float64]:
    """For a box [0, 1]."""
    z = rng.normal(0.5, 0.3, n)
    return {
        "normal": z,
        "ties": np.round(z * 4) / 4,
        "clipped": np.clip(z, 0, 1),
        "corners": np.round(np.clip(z, 0, 1)),
        "equal": np.full(n, 0.3),
        "wide": 3 * z - 1,
    }[style]


def instance(rng: np.random.Generator, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Options of the algorithm and columns of people. Twins: two features that hardly differ."""
    count = 1 if kind == "one" else int(rng.integers(1, 4)) if kind == "condition" else 2
    values = {
        f"f{k}": [str(v) for v in range(int(rng.integers(2, 4 if kind == "product" else 7)))] for k in range(count)
    }
    features = list(values)
    if kind == "twins":
        values["f1"] = values["f0"]
    if kind == "condition":
        values["c"] = ["x", "y", "z"][: int(rng.integers(1, 4))]
    n = int(rng.choice([1, 2, 3, 4, 7, 16, 40, 100]))
    columns = {name: rng.choice(declared, n) for name, declared in values.items()}
    if kind == "twins":
        columns["f1"] = columns["f0"].copy()
        columns["f1"][0] = "1"
    return {
        "metric": "conditional_parity" if kind == "condition" else "demographic_parity",
        "epsilon": "0.02",
        "features": features,
        "values": values,
        "intersectional": kind == "product",
        "condition": "c" if kind == "condition" else None,
    }, columns


def multipliers_of(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Some 0, some far too large, sometimes all equal."""
    if rng.random() < 0.3:
        return np.full(rows, float(rng.choice([0.01, 0.1, 0.3])))
    size = float(rng.choice([1e-3, 0.01, 0.1, 0.5, 3.0]))
    found: NDArray[np.float64] = size * rng.random(rows) * (rng.random(rows) < 0.8)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", STYLES)
def test_against_clarabel(kind: str, style: str) -> None:
    rng = np.random.default_rng([KINDS.index(kind), STYLES.index(style)])
    for lower, upper in BOXES:
        options, columns = instance(rng, kind)
        width, low = float(upper) - float(lower), float(lower)
        n = len(columns["f0"])
        z = low + width * scores_of(rng, style, n)
        online = PrimalDual(lower=lower, upper=upper, **options)
        multipliers = (width * multipliers_of(rng, len(online.row_names))).tolist()
        y = online.step(PrimalDualState(5, tuple(multipliers)), z, columns, columns.get("c"))[1]
        people = [{name: str(column[i]) for name, column in columns.items()} for i in range(n)]
        problem = oracle.Penalised.of(online.description, people, z.tolist(), multipliers)
        served, expected = (y - low) / width, problem.solution()
        assert problem.objective(served) <= problem.objective(expected) + 1e-9
        assert np.abs(served - expected).max() < 1e-9


@pytest.mark.parametrize("seed", range(2))
def test_features_that_hardly_differ(seed: int) -> None:
    """Their rows nearly depend on each other: one row at a time would take thousands of rounds."""
    rng, n = np.random.default_rng(seed), 300
    first = rng.integers(0, 2, n)
    columns = {f"f{k}": np.where(np.arange(n) == k, 1 - first, first) for k in range(4)}
    online = PrimalDual("demographic_parity", "0.02", features=list(columns), values={key: [0, 1] for key in columns})
    z = rng.normal(0.5, 0.2, n) + 0.3 * first
    y = online.step(PrimalDualState(0, (1.0,) * 4), z, columns)[1]
    people = [{name: str(column[i]) for name, column in columns.items()} for i in range(n)]
    problem = oracle.Penalised.of(online.description, people, z.tolist(), [1.0] * 4)
    assert np.abs(y - problem.solution()).max() < 1e-9


@pytest.mark.parametrize(
    ("multiplier", "expected"), [(0.125, [0.375, 0.875]), (0.25, [0.5, 0.75]), (4.0, [0.625, 0.625])]
)
def test_two_people_by_hand(multiplier: float, expected: list[float]) -> None:
    """z = (1/4, 1): minimise (y₀ − 1/4)² + (y₁ − 1)² + 2 λ |y₀ − y₁|; each moves by λ, until they meet at 3/8."""
    online = PrimalDual("demographic_parity", "0.02", features=["g"], values={"g": ["a", "b"]})
    for order in ([0, 1], [1, 0]):
        z, groups = np.array([0.25, 1.0])[order], np.array(["a", "b"])[order]
        y = online.step(PrimalDualState(0, (multiplier,)), z, groups)[1]
        assert y.tolist() == np.array(expected)[order].tolist()


def test_who_is_clipped_does_not_move() -> None:
    """z = (2, 2) and 1/4, ν = 3/8: those of a would be moved to 2 − 3/16, which is still clipped; b is moved by ν."""
    online = PrimalDual("demographic_parity", "0.02", features=["g"], values={"g": ["a", "b"]})
    y = online.step(PrimalDualState(0, (0.25,)), [2.0, 2.0, 0.25], ["a", "a", "b"])[1]
    assert y.tolist() == [1.0, 1.0, 0.625]


def test_rows_without_people_do_not_matter() -> None:
    wide, narrow = (
        PrimalDual("demographic_parity", "0.02", features=["g"], values={"g": values})
        for values in (["a", "b", "c", "d"], ["a", "b"])
    )
    z, groups = [0.1, 0.9, 0.4], ["a", "b", "a"]
    y = wide.step(PrimalDualState(0, (0.1, 9.0, 9.0, 9.0, 9.0, 9.0)), z, groups)[1]
    assert y.tolist() == narrow.step(PrimalDualState(0, (0.1,)), z, groups)[1].tolist()
    assert wide.row_names[0] == narrow.row_names[0]


@pytest.mark.parametrize("size", [1e3, 1e200, 1.7e308])
def test_the_largest_multipliers(size: float) -> None:
    """Rows that press without limit: all at the same number, also from where nobody who is moved a little moves."""
    online = PrimalDual("demographic_parity", "0.02", features=["g"], values={"g": [0, 1, 2]})
    state = PrimalDualState(0, (size,) * 3)
    assert online.step(state, [0.0, 0.5, 1.0], [0, 1, 2])[1].tolist() == [0.5, 0.5, 0.5]
    assert online.step(state, [5.0, -5.0], [0, 1])[1].tolist() == [0.0, 0.0]
    y = online.step(state, [-1e308, 0.25, 1e308], [0, 1, 2])[1]
    assert 0 <= y.min() <= y.max() <= 1
