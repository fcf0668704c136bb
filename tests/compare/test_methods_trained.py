"""Networks that certifair trains for a comparison: what they read, what is claimed of them, what is declared."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is absent: it trains")
from certifair.compare import methods
from certifair.compare.base import Case, DataSet, Made, NothingError
from certifair.compare.bundles import people
from certifair.compare.measure import Measured, measure
from certifair.compare.methods import trained
from certifair.compare.policy import PART
from certifair.compare.sets import load_set
from certifair.evidence.onnx_reader import read_network
from certifair.spec.values import values
from tests.compare.method_cases import case_of, people_set, served
from tests.compare.test_compare_sets import HAND, changed, renamed
from tests.compare.watching import given_set


def made(data: DataSet, name: str, out: Path, *, base: bytes | None = None) -> Made:
    case = dataclasses.replace(case_of(data, name, base=False), base=base)
    return methods.get(name).make(case, out)


def measured(data: DataSet, name: str, out: Path) -> Measured:
    return measure(out, made(data, name, out), per_person=methods.get(name).serves_alone(data), seconds=2.0)


def figure(found: Measured, name: str) -> Any:
    return next(item for item in found.figures if item.property == name)


def declared(out: Path) -> bool:
    found: bool = json.loads((out / "system.json").read_bytes())["heldOut"]
    return found


# --- a network that the set brings


@pytest.mark.parametrize("said", [False, True])
def test_only_its_owner_can_say_that_a_given_network_has_not_seen_the_test_part(tmp_path: Path, said: bool) -> None:
    data = dataclasses.replace(given_set(tmp_path), held_out=said)
    assert data.model is not None
    content = data.model.read_bytes()
    for name, base, right in (
        ("plain", None, said),
        ("zeroing", content, said),
        ("threshold_optimizer", content, said),
        ("unaware", None, True),
        ("flayer", None, True),
    ):
        if name == "threshold_optimizer":
            pytest.importorskip("fairlearn", reason="fairlearn is absent: it serves here")
        made(data, name, tmp_path / name, base=base)
        assert declared(tmp_path / name) == right, name


def test_without_that_nothing_is_claimed_of_people_who_are_not_there(tmp_path: Path) -> None:
    data = given_set(tmp_path)
    unknown = figure(measured(data, "plain", tmp_path / "unknown"), "population_gap")
    assert (unknown.value, unknown.lower, unknown.upper, unknown.verdict) == (None, None, None, "UNDECIDED")
    assert "held_out" in unknown.reason
    data = dataclasses.replace(data, held_out=True)
    assert figure(measured(data, "plain", tmp_path / "known"), "population_gap").upper is not None


def test_a_trained_network_starts_others_that_are_held_out(tmp_path: Path) -> None:
    case = case_of(people_set(tmp_path), "zeroing")
    methods.get("zeroing").make(case, tmp_path / "out")
    assert declared(tmp_path / "out")


def test_a_given_network_is_the_same_with_every_seed_only_on_the_same_people(tmp_path: Path) -> None:
    data = given_set(tmp_path)
    assert methods.get("plain").fixed(data)
    assert not methods.get("plain").fixed(dataclasses.replace(data, split=None))
    assert not methods.get("plain").fixed(dataclasses.replace(data, model=None))
    assert not methods.get("unaware").fixed(data)


# --- what a trained network reads


@pytest.mark.parametrize("name", ["plain", "unaware", "flayer"])
def test_a_value_that_no_row_has_is_an_input_and_is_tried(tmp_path: Path, name: str) -> None:
    edits = (("[[feature]]", HAND + "[[feature]]"), ('sensitive = ["sex"]', 'sensitive = ["sex", "hand"]'))
    data = load_set(changed(tmp_path, *edits))
    found = measured(data, name, tmp_path / "out")
    inputs = json.loads((tmp_path / "out" / "preprocessing.json").read_bytes())["inputs"]
    assert [item["values"] for item in inputs] == [["x", "y", "z"], [], [], []]
    network = read_network((tmp_path / "out" / "model.onnx").read_bytes(), "model")
    assert network.inputs == data.domain.inputs == 6
    crowd = people(case_of(data, name))
    assert np.allclose(values(network, crowd.X[crowd.test])[:, 0], served(tmp_path / "out")[1], rtol=0, atol=1e-6)
    (claim,) = (item for item in found.claims if item["id"] == "flip_domain")
    assert '"z"' in json.dumps(claim)
    assert figure(found, "flip_domain").upper is not None


# --- unaware


@pytest.mark.parametrize("groups", [("sex",), ("region",)])
def test_who_is_unaware_flips_for_nobody_and_claims_it(tmp_path: Path, groups: tuple[str, ...]) -> None:
    data = people_set(tmp_path, groups=groups)
    found = measured(data, "unaware", tmp_path / "out")
    for name in ("flip_rows", "flip_domain"):
        flips = figure(found, name)
        assert (flips.value, flips.lower, flips.upper, flips.verdict) == (0.0, "0", "0", "PASS")
    network = read_network((tmp_path / "out" / "model.onnx").read_bytes(), "model")
    rows = people(case_of(data, "unaware")).X
    turned = rows * [1, 1, 0] + (1 - rows) * [0, 0, 1]
    assert np.array_equal(values(network, rows), values(network, turned))
    assert len(np.unique(values(network, rows))) > 100


def test_who_is_unaware_has_not_seen_them_in_training_either(tmp_path: Path) -> None:
    def turn(row: dict[str, Any]) -> None:
        row["sex"] = 1 - row["sex"]

    found = []
    for name, change in (("as", None), ("turned", turn)):
        (tmp_path / name).mkdir()
        data = people_set(tmp_path / name, groups=("region",), change=change)
        made(data, "unaware", tmp_path / name / "out")
        found.append(served(tmp_path / name / "out")[0])
    assert np.array_equal(*found)


# --- metrics that need labels


@pytest.mark.parametrize("name", ["flayer", "projection"])
@pytest.mark.parametrize("metric", ["equalized_odds", "demographic_parity"])
def test_where_labels_are_not_known_the_network_alone_serves(tmp_path: Path, name: str, metric: str) -> None:
    data, out = people_set(tmp_path, metric=metric), tmp_path / "out"
    alone = metric == "equalized_odds"
    assert methods.get(name).serves_alone(data) == alone
    note = made(data, name, out).note
    assert ("the network alone serves, as labels are not known then" in note) == alone
    predictions, scores = served(out)
    assert np.array_equal(predictions, scores) == alone
    found = measure(out, Made("none", 0.0, 0.0), per_person=alone, seconds=1.0)
    assert (figure(found, "population_gap").upper is not None) == alone
    assert ("couples" in figure(found, "flip_rows").reason) != alone


# --- what goes wrong


def test_an_error_of_our_own_policy_is_a_failure_and_tells_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained, "training_policy", lambda *_, **__: b"[data]\nlable = 1\n")
    with pytest.raises(NothingError) as error:
        made(people_set(tmp_path), "unaware", tmp_path / "out")
    assert error.value.status == "failed"
    assert str(error.value).startswith("the run's policy[data]: ")


@pytest.mark.parametrize("name", ["plain", "threshold_optimizer"])
@pytest.mark.parametrize("column", [PART, "prediction", "score"])
def test_a_column_of_the_rows_that_is_called_like_ours_is_left_out(tmp_path: Path, name: str, column: str) -> None:
    if name == "threshold_optimizer":
        pytest.importorskip("fairlearn", reason="fairlearn is absent: it serves here")
    data = load_set(changed(tmp_path, rows=renamed("side", column)))
    case: Case = case_of(data, name)
    methods.get(name).make(case, tmp_path / "out")
    assert len(served(tmp_path / "out")[0]) == 200
