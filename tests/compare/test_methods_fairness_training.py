"""The layer paper's own package as a method: run for real, in its own process."""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is absent: it trains")
pytest.importorskip("cvxpylayers", reason="cvxpylayers is absent: fairness_training solves with it")
import torch

from certifair.compare import _peer_fairness_training as peer
from certifair.compare import methods, peers
from certifair.compare.base import DataSet, Made, NothingError
from certifair.compare.bundles import people
from certifair.compare.methods.fairness_training import REQUIREMENTS, _notes
from certifair.evidence.onnx_reader import read_network
from certifair.spec.values import values
from tests.compare.method_cases import case_of, people_set, served

NAME = "fairness_training"


@pytest.fixture(scope="module")
def installed() -> None:
    if peers._installed(NAME) != "0.1.0":
        pytest.skip("fairness_training is not installed (pip install --no-deps fairness_training==0.1.0)")


@pytest.fixture(scope="module")
def made(installed: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, Path, Made]:
    """One run: groups of two values by three columns, and one of three values."""
    folder = tmp_path_factory.mktemp("published")
    data = people_set(folder, groups=("sex", "region", "side", "hand"), epochs=25)
    found = methods.get(NAME).make(case_of(data, NAME, base=False), folder / "run")
    return data, folder / "run", found


def test_every_batch_is_fair_to_its_solvers_tolerance(made: tuple[DataSet, Path, Made]) -> None:
    data, out, _ = made
    predictions, scores = served(out)
    crowd = people(case_of(data, NAME))
    gaps: dict[str, list[float]] = {"sex": [], "side": [], "after": []}
    for start in range(0, 200, data.batch):
        batch = slice(start, start + data.batch)
        for name in ("sex", "side"):
            group = crowd.groups[name][crowd.test][batch] == data.values[name][0]
            for key, y in ((name, scores[batch]), ("after", predictions[batch])):
                gaps[key].append(abs(y[group].mean() - y[~group].mean()))
    assert min(max(gaps["sex"]), max(gaps["side"])) > 0.11
    assert max(gaps["after"]) < 0.1 + 1e-4
    assert predictions.min() >= 0
    assert predictions.max() <= 1


def test_its_network_is_in_the_bundle_and_has_learned(made: tuple[DataSet, Path, Made]) -> None:
    data, out, _ = made
    _, scores = served(out)
    crowd = people(case_of(data, NAME))
    network = read_network((out / "model.onnx").read_bytes(), "the model")
    assert np.allclose(values(network, crowd.X[crowd.test])[:, 0], scores, rtol=0, atol=1e-9)
    assert np.corrcoef(scores, crowd.y[crowd.test])[0, 1] > 0.5


def test_it_says_what_it_did(made: tuple[DataSet, Path, Made]) -> None:
    _, _, found = made
    assert re.match(r"\d+ of 25 epochs; batches drawn from everybody", found.note)
    assert found.caution == "knows nothing of region, hand: it takes 2 columns of two values at most"
    assert found.solver.startswith("fairness_training 0.1.0, cvxpylayers ")
    assert 0 < found.serve < found.train


@pytest.mark.parametrize(
    ("said", "words"),
    [({"groups": ("region",)}, "groups of two values"), ({"metric": "equal_opportunity"}, "like equal_opportunity")],
)
def test_what_it_does_not_know_does_not_apply(tmp_path: Path, said: dict[str, Any], words: str) -> None:
    with pytest.raises(NothingError, match=words) as error:
        methods.get(NAME).make(case_of(people_set(tmp_path, **said), NAME), tmp_path / "run")
    assert error.value.status == "does not apply"


def test_a_package_that_cannot_be_had_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_installed", lambda _: None)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))  # of which pip warns first
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(NothingError, match=f"cannot install {REQUIREMENTS[0]}: ERROR") as error:
        methods.get(NAME).make(case_of(people_set(tmp_path), NAME), tmp_path / "run")
    assert error.value.status == "failed"


def job(**changed: Any) -> peer.Job:
    about = {"metric": "demographic_parity", "epsilon": 0.1, "hidden": [4], "epochs": 5, "batch": 50}
    rates = {"learning_rate": 0.01, "weight_decay": 0.0, "patience": 5, "validation": "1/10"}
    return peer.Job(**{**about, **rates, "seed": 0, "serve_batch": 20, "seconds": 60.0, **changed})


class Given(torch.nn.Module):
    """A network whose scores are given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1]


@pytest.mark.usefixtures("installed")
def test_a_batch_that_its_solver_fails_on_is_told() -> None:
    from fairness_training import FairModel

    random = np.random.default_rng(1)
    X, protected = random.random((60, 1)), random.integers(0, 2, (60, 1)).astype(float)
    X[25] = np.nan  # in the second batch
    model = FairModel(
        2, protected_attr_idx=[1], fairness_tolerance=0.1, b_tau=1, fairness_metric="mean_pred", custom_network=Given()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = peer._served(job(), model, {"X_test": X, "protected_test": protected})
    assert (found["batches"], found["failed"]) == (3, 1)
    assert found["reason"]
    assert np.flatnonzero(np.isnan(found["predictions"])).tolist() == list(range(20, 40))


def said(**changed: Any) -> peer.Said:
    whole = peer.Said(
        epochs=2, late=False, plain=False, batches=4, failed=0, reason="", train=1.0, serve=1.0, versions={"p": "1"}
    )
    return dataclasses.replace(whole, **changed)


def test_a_run_with_a_batch_that_was_not_served_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: Any, module: str, folder: Path, deadline: float) -> None:
        assert module == peer.__name__
        found = dataclasses.asdict(said(failed=3, reason="no solution"))
        (folder / "said.json").write_text(json.dumps(found), encoding="utf-8")

    monkeypatch.setattr(peers, "_installed", lambda _: "0.1.0")
    monkeypatch.setattr(peers.Environment, "run", run)
    with pytest.raises(NothingError, match="its solver failed on 3 of 4 batches: no solution") as error:
        methods.get(NAME).make(case_of(people_set(tmp_path), NAME), tmp_path / "run")
    assert error.value.status == "failed"
    assert not (tmp_path / "run").exists()


def test_the_note_says_what_was_done_otherwise(tmp_path: Path) -> None:
    case = case_of(people_set(tmp_path, metric="equalized_odds"), NAME)
    note, caution = _notes(case, [], job(epochs=9), said(late=True, plain=True))
    assert caution.split("; ") == [
        "stopped after 2 of 9 epochs, when 60% of the time was over",
        "knows nothing of sex: it takes 2 columns of two values at most",
    ]
    assert note.split("; ") == [
        "2 of 9 epochs",
        "the network alone serves, as labels are not known then",
        "batches drawn from everybody, as its stratified ones leave out too many",
    ]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("metric", ["equalized_odds", "equalized_residuals"])
def test_what_needs_labels_is_served_by_the_network_alone(metric: str) -> None:
    from fairness_training import FairModel

    random = np.random.default_rng(1)
    X, protected = random.random((60, 1)), random.integers(0, 2, (60, 1)).astype(float)
    model = FairModel(2, protected_attr_idx=[1], fairness_metric=peer.METRICS[metric], custom_network=Given())
    found = peer._served(job(metric=metric), model, {"X_test": X, "protected_test": protected})
    assert found["failed"] == 0
    assert np.array_equal(found["predictions"], X[:, 0].astype(np.float32))


class Slow:
    """A trainer like theirs that only counts; a second an epoch by the clock of the test."""

    patience = 3
    patience_counter = 0
    now = 0.0

    def __init__(self, better: int) -> None:
        self.better = better

    def fit(self, *_: Any, epochs: int, verbose: int) -> None:
        assert (epochs, verbose) == (1, 0)
        self.now += 1.0
        self.patience_counter += self.now > self.better


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    trainer = Slow(100)
    monkeypatch.setattr(peer.time, "monotonic", lambda: trainer.now)
    return iter([trainer])


@pytest.mark.parametrize(
    ("epochs", "better", "end", "expected"),
    [
        (5, 100, 60.0, (5, False)),
        (5, 100, 5.5, (5, False)),
        (9, 2, 60.0, (5, False)),
        (9, 100, 4.5, (4, True)),
        (9, 100, 0.0, (1, True)),
    ],
)
def test_epochs_end_by_number_patience_or_time(
    clock: Iterator[Slow], epochs: int, better: int, end: float, expected: tuple[int, bool]
) -> None:
    trainer = next(clock)
    trainer.better = better
    assert peer._epochs(job(epochs=epochs), trainer, (), end) == expected
