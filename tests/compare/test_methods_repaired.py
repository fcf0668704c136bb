"""The repairs as methods of a comparison: what is served, and what becomes of repairs that propose nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is absent: it trains")
pytest.importorskip("pulp", reason="PuLP is absent: it writes the program")
pytest.importorskip("highspy", reason="HiGHS is absent: it solves the program")
from certifair.checks._individual.check import check_witness
from certifair.compare import methods
from certifair.compare.base import NothingError
from certifair.compare.bundles import people
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.onnx_writer import write_network
from certifair.individual import prove
from certifair.repair.base import Repaired
from certifair.repair.prof import Prof, chosen_rows
from certifair.spec.network import Activation, Affine, Network, Sum
from certifair.spec.values import values
from tests.compare.method_cases import case_of, people_set, served


@pytest.mark.parametrize(("name", "seconds"), [("zeroing", 5), ("finite", 4), ("prof", 20), ("prof_priced", 20)])
def test_what_is_served_is_the_repaired_network(tmp_path: Path, name: str, seconds: float) -> None:
    data = people_set(tmp_path)
    case = case_of(data, name, seconds=seconds)
    made = methods.get(name).make(case, tmp_path / "run")
    network = read_network((tmp_path / "run" / "model.onnx").read_bytes(), "the model")
    crowd = people(case)
    predictions, scores = served(tmp_path / "run")
    assert np.allclose(predictions, values(network, crowd.X[crowd.test])[:, 0], rtol=0, atol=1e-11)
    assert np.allclose(predictions, scores, rtol=0, atol=1e-11)
    rows = crowd.X[crowd.train]
    sampled = name.startswith("prof")
    chosen = rows[chosen_rows(len(rows), 100, case.seed)] if sampled else rows
    assert len(chosen) == (100 if sampled else 400)
    proof = prove(network, crowd.domain, chosen, check=check_witness)
    assert (proof.checked.verdicts["real"] == 1).all()
    right = int(((values(network, rows)[:, 0] > 0.5) == crowd.y[crowd.train]).sum())
    assert (f"{right} of 400 rows as they should be" in made.note) == (name == "finite")
    assert made.train < 20
    assert ("HiGHS" in made.solver) == (name != "zeroing")
    assert "\n" not in made.note


def test_a_repair_without_time_says_so(tmp_path: Path) -> None:
    case = case_of(people_set(tmp_path), "prof", seconds=0.0)
    with pytest.raises(NothingError, match="time") as error:
        methods.get("prof").make(case, tmp_path / "run")
    assert error.value.status == "time limit"
    assert not (tmp_path / "run").exists()


def test_a_network_that_cannot_be_repaired_does_not_apply(tmp_path: Path) -> None:
    one = Affine(0, np.ones((1, 3)), np.zeros(1))
    two_headed = Network(3, (one, one, Sum((1, 2))), 3)
    case = dataclasses.replace(case_of(people_set(tmp_path), "prof"), base=write_network(two_headed))
    with pytest.raises(NothingError, match="affine") as error:
        methods.get("prof").make(case, tmp_path / "run")
    assert error.value.status == "does not apply"


@pytest.mark.parametrize("status", ["infeasible", "time limit", "failed"])
def test_why_there_is_no_repair_is_the_repairs_own_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Any
) -> None:
    monkeypatch.setattr(Prof, "repair", lambda self, task: Repaired(None, "no time\nto look", "a solver", status))
    with pytest.raises(NothingError, match="no time to look") as error:
        methods.get("prof").make(case_of(people_set(tmp_path), "prof"), tmp_path / "run")
    assert error.value.status == status


def test_a_last_layer_that_cannot_be_fair_is_infeasible(tmp_path: Path) -> None:
    """With |Δ| ≤ 3 of its weights and bias, f is positive for all with sex = 1, and negative for all without."""
    head = Affine(0, np.array([[0.0, 0.0, 20.0]]), np.array([-10.0]))
    steep = Network(3, (head, Activation(1, "sigmoid")), 2)
    case = dataclasses.replace(case_of(people_set(tmp_path), "prof"), base=write_network(steep))
    with pytest.raises(NothingError, match="Infeasible") as error:
        methods.get("prof").make(case, tmp_path / "run")
    assert error.value.status == "infeasible"


def test_a_price_is_what_keeps_prof_from_deciding_everybody_alike(tmp_path: Path) -> None:
    """f = (a + b/8)/8 + sex/2 + 1/8: to put everybody on the positive side, only the bias has to grow, by 3/8."""
    head = Affine(0, np.array([[0.125, 0.015625, 0.5]]), np.array([0.125]))
    base = write_network(Network(3, (head, Activation(1, "sigmoid")), 2))
    data, notes = people_set(tmp_path), {}
    for name in ("prof", "prof_priced"):
        case = dataclasses.replace(case_of(data, name), base=base)
        notes[name] = methods.get(name).make(case, tmp_path / name).note
        positive = served(tmp_path / name)[0] > 0.5
        assert (positive.all() or not positive.any()) == (name == "prof")
    assert notes["prof"].startswith("everybody is decided alike; HiGHS")
    assert "alike" not in notes["prof_priced"]


def test_only_zeroing_of_a_given_network_is_the_same_for_all_seeds(tmp_path: Path) -> None:
    data = people_set(tmp_path)
    given = dataclasses.replace(data, model=tmp_path / "model.onnx")
    assert methods.get("zeroing").fixed(given)
    assert not methods.get("zeroing").fixed(data)
    assert not methods.get("zeroing").fixed(dataclasses.replace(given, split=None))
    assert not methods.get("finite").fixed(given)
    assert not methods.get("prof").fixed(given)
