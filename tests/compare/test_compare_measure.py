"""What a run's bundle says: measurements against other people's code and brute force, claims against the bundle."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from certifair.compare import methods
from certifair.compare.base import Made
from certifair.compare.bundles import people, served_as
from certifair.compare.measure import COUPLED, Measured, auc, measure, shown
from certifair.compare.properties import PROPERTIES
from certifair.compare.table import Figure
from tests.compare.method_cases import case_of, people_set, served

FEW = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


@given(st.lists(st.tuples(FEW, st.sampled_from([0.0, 1.0])), min_size=1, max_size=30))
def test_auc_is_scikit_learns_ties_included(people: list[tuple[float, float]]) -> None:
    scores, labels = np.array(people).T
    found = auc(scores, labels)
    if len(set(labels)) < 2:
        assert found is None
    else:
        assert found == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@settings(max_examples=300)
@given(st.lists(st.tuples(FEW, FEW, st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=12))
def test_the_treatment_shown_is_the_worst_of_all_pairs(people: list[tuple[float, float, int, int]]) -> None:
    scores, served, first, second = (np.array(column) for column in zip(*people, strict=True))
    worst = max(
        (
            served[i] - served[j]
            for i in range(len(people))
            for j in range(len(people))
            if (first[i], second[i]) != (first[j], second[j]) and scores[j] >= scores[i]
        ),
        default=0.0,
    )
    assert shown(scores, served, [first, second]) == max(worst, 0.0)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Measured]]:
    """The base network zeroed, as it is, and one that serves with a layer."""
    folder = tmp_path_factory.mktemp("measured")
    data = people_set(folder, epochs=1)
    found = {}
    for name in ("zeroing", "flayer", "threshold_optimizer"):
        out = folder / name
        made = methods.get(name).make(case_of(data, name), out)
        found[name] = (out, measure(out, made, per_person=methods.get(name).per_person, seconds=2.0))
    return found


def figure(measured: Measured, name: str) -> Figure:
    (found,) = (figure for figure in measured.figures if figure.property == name)
    return found


def test_every_property_has_a_figure_in_its_order(measured: dict[str, tuple[Path, Measured]]) -> None:
    for _, found in measured.values():
        assert [figure.property for figure in found.figures] == [item.name for item in PROPERTIES]
        assert all(figure.value is not None or figure.reason for figure in found.figures)


def test_figures_with_a_claim_are_the_claims(measured: dict[str, tuple[Path, Measured]]) -> None:
    for _, found in measured.values():
        claims: dict[str, Any] = {claim["id"]: claim for claim in found.claims}
        for item in ("batch_gap", "pooled_gap", "lipschitz"):
            told = figure(found, item)
            if told.claim is None:
                continue
            claim = claims[told.claim]
            assert (told.verdict, told.lower, told.upper) == (claim["verdict"], claim["lower"], claim["upper"])
            assert told.value == float(Fraction(claim["estimate"]))
        for item in ("flip_rows", "flip_domain"):
            told = figure(found, item)
            if told.claim is None:
                continue
            claim = claims[told.claim]
            assert told.lower is not None
            assert told.upper is not None
            assert Fraction(told.lower) == 1 - Fraction(claim["upper"])
            assert Fraction(told.upper) == 1 - Fraction(claim["lower"])
            assert told.value == float(Fraction(told.lower))


def test_a_network_without_the_attribute_is_fair_to_everybody(measured: dict[str, tuple[Path, Measured]]) -> None:
    _, found = measured["zeroing"]
    for item in ("flip_rows", "flip_domain"):
        assert (figure(found, item).lower, figure(found, item).upper) == ("0", "0")
    assert figure(found, "treatment").value == 0
    assert figure(found, "population_gap").lower is not None
    assert figure(found, "lipschitz").upper is not None


def test_a_layer_couples_people(measured: dict[str, tuple[Path, Measured]]) -> None:
    _, found = measured["flayer"]
    assert COUPLED in figure(found, "flip_rows").reason
    assert figure(found, "population_gap").value is None
    assert "independent" in figure(found, "population_gap").reason
    treatment = figure(found, "treatment")
    assert treatment.claim == "treatment"
    assert treatment.upper is not None


def test_predictions_without_a_network_claim_nothing_of_one(measured: dict[str, tuple[Path, Measured]]) -> None:
    _, found = measured["threshold_optimizer"]
    for item in ("flip_rows", "flip_domain", "lipschitz"):
        assert figure(found, item).value is None
        assert "no network" in figure(found, item).reason


def test_accuracy_and_auc_are_of_what_is_served_to_the_test_part(
    measured: dict[str, tuple[Path, Measured]], tmp_path: Path
) -> None:
    data = people_set(tmp_path, epochs=1)
    crowd = people(case_of(data, "zeroing"))
    labels = crowd.y[crowd.test]
    out, found = measured["zeroing"]
    predictions, _ = served(out)
    assert figure(found, "accuracy").value == pytest.approx(np.mean((predictions > 0.5) == (labels == 1)), abs=1e-12)
    assert figure(found, "auc").value == pytest.approx(roc_auc_score(labels, predictions), abs=1e-12)


def test_labels_that_are_all_the_same_give_no_auc(tmp_path: Path) -> None:
    def all_good(row: dict[str, Any]) -> None:
        row["good"] = 1 if row["split"] == "test" else row["good"]

    data = people_set(tmp_path, change=all_good)
    case = case_of(data, "somebody")
    served_as(case, np.full(200, 0.75), tmp_path / "out")
    found = measure(tmp_path / "out", Made("none", 0.0, 0.0), per_person=False, seconds=1.0)
    assert figure(found, "auc").value is None
    assert figure(found, "auc").reason == "all labels are the same"
    assert figure(found, "treatment").value is None
    assert figure(found, "accuracy").value == 1.0
    assert "everybody is decided alike" in found.caution


def test_treatment_is_measured_within_batches(tmp_path: Path) -> None:
    """The worst pair of all people is in two batches, as the data set serves 50 at a time."""
    data = people_set(tmp_path)
    case = case_of(data, "somebody")
    crowd = people(case)
    sex, first = crowd.groups["sex"][crowd.test], np.arange(200) < 50
    scores = np.where(first, 0.5, 0.25)
    predictions = np.where(first & (sex == "1"), 0.75, np.where(first, 0.625, 0.125))
    served_as(case, predictions, tmp_path / "out", scores)
    found = measure(tmp_path / "out", Made("none", 0.0, 0.0, caution="half done"), per_person=False, seconds=1.0)
    assert (figure(found, "treatment").value, figure(found, "treatment").lower) == (0.125, "0.125")
    assert found.caution == "half done"
