"""`certifair.repaired` and `certifair.prove` from Python: what they take and refuse, and how long they may take."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import certifair
from certifair.errors import InputError
from certifair.individual import api
from certifair.individual.arguments import array_of
from certifair.individual.engines.base import Engine
from certifair.individual.networks import network_of
from certifair.repair.base import Method, Repaired, Task
from certifair.repair.zeroing import Zeroing
from certifair.spec.domain import Domain, Feature
from certifair.spec.network import Activation, Affine, Network

DOMAIN = Domain("small", (Feature("income", "integer", 0, 20), Feature("sex", "integer", 0, 1, sensitive=True)))
NETWORK = Network(2, (Affine(0, np.array([[1.0, 2.0]]), np.array([-10.0])),), 1)
"""income + 2·sex > 10: unfair for incomes 9 and 10."""
ROWS = np.array([[i, i % 2] for i in range(20)], dtype=np.float64)
LABELS = (ROWS[:, 0] > 10).astype(np.float64)
FAIR = [2 if i in (9, 10) else 1 for i in range(20)]


class Asked(Exception):  # noqa: N818 — no error: it carries what a method was asked
    def __init__(self, task: Task) -> None:
        self.task = task
        super().__init__()


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: Any, **options: Any) -> Task:
    """What a method is asked to do."""

    def repair(self: Method, task: Task) -> Repaired:
        raise Asked(task)

    monkeypatch.setattr(Zeroing, "repair", repair)
    with pytest.raises(Asked) as caught:
        certifair.repaired(*arguments, method="zeroing", **options)
    return caught.value.task


def columns(names: list[str]) -> dict[str, Any]:
    return {name: ROWS[:, ["income", "sex"].index(name)] for name in names}


@pytest.mark.parametrize("names", [["income", "sex"], ["sex", "income"], ["sex", "note", "income"]])
@pytest.mark.parametrize("make", [pd.DataFrame, pa.table])
def test_columns_of_a_frame_are_found_by_name(names: list[str], make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = make({name: columns([name])[name] if name != "note" else ["x"] * 20 for name in names})
    assert certifair.prove(NETWORK, DOMAIN, frame).checked.verdicts["real"].tolist() == FAIR
    np.testing.assert_array_equal(asked(monkeypatch, NETWORK, DOMAIN, frame, LABELS).rows, ROWS)


def test_frames_of_any_make() -> None:
    polars = pytest.importorskip("polars", reason="polars is absent")
    for frame in (polars.DataFrame(columns(["sex", "income"])), polars.LazyFrame(columns(["sex", "income"]))):
        assert certifair.prove(NETWORK, DOMAIN, frame).checked.verdicts["real"].tolist() == FAIR


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (pd.DataFrame(ROWS), "DataFrame: has columns without names of their own"),
        (pd.DataFrame(ROWS, columns=["sex", "sex"]), "DataFrame: has columns without names of their own"),
        (pd.DataFrame(ROWS, columns=["income", "age"]), "DataFrame: has no column 'sex'"),
        (pa.RecordBatch.from_pydict(columns(["sex", "income"])), "RecordBatch: is neither a path nor a data frame"),
        ([["a", "b"]], "rows: are no numbers"),
        (ROWS.astype(str), "rows: are no numbers"),
        (np.array([["1", 2]], dtype=object), "there are texts among them"),
        (ROWS + 1j, "they are complex128"),
        ([[1], [1, 2]], "rows: are no numbers"),
        ([[10**400, 1]], "rows: are no numbers"),
        ({"income": [1], "sex": [0]}, "rows: are no numbers"),
        (ROWS[0], r"rows of shape \(2,\)"),
        (ROWS * np.nan, "finite numbers"),
        (ROWS[:0], "rows: there is none"),
        ("nowhere.csv", "nowhere.csv: cannot be read"),
    ],
)
def test_rows_that_cannot_be_read(rows: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        certifair.prove(NETWORK, DOMAIN, rows)
    with pytest.raises(InputError, match=said):
        certifair.repaired(NETWORK, DOMAIN, rows, method="zeroing")


def test_a_tensor_with_a_gradient_is_refused_in_its_own_words() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is absent: it makes the tensor")
    with pytest.raises(InputError, match="requires grad"):
        array_of(torch.zeros(2, requires_grad=True), "rows")
    assert array_of(torch.ones(2), "rows").tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.tolist(),
        LABELS > 0,
        LABELS.astype(int),
        LABELS.astype(object),
        pd.Series(LABELS),
        pd.Series(LABELS, index=np.arange(20)[::-1]),
        pd.Series(LABELS, index=np.arange(20) + 100),
        pd.Series(LABELS).astype("Int64"),
    ],
)
def test_labels_are_taken_in_their_order(labels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, NETWORK, DOMAIN, ROWS, labels).labels
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, LABELS)


@pytest.mark.parametrize(
    "labels",
    [1.0, LABELS[:3], LABELS[:, None], LABELS * np.nan, LABELS + 1, LABELS.astype(str), "10" * 10, [None] * 20],
)
def test_labels_that_are_none(labels: Any) -> None:
    with pytest.raises(InputError, match=r"^labels: are no"):
        certifair.repaired(NETWORK, DOMAIN, ROWS, labels, method="zeroing")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objective": "acuracy"}, "did you mean 'accuracy'"),
        ({"method": "zero"}, "did you mean 'zeroing'"),
        ({"method": None}, "method: = None is no method"),
        ({"method": 3}, "method: = 3 is no method"),
        ({"method": Zeroing}, "method: .* is no method; give a name, or a method like"),
        *[
            ({name: value}, f"^{name}: = ")
            for name in ("seconds", "rows_seconds", "domain_seconds")
            for value in (None, "3", -1, float("nan"), float("inf"), True)
        ],
        *[({name: 0}, f"^{name}: = 0") for name in ("seconds", "rows_seconds")],
        *[({"seed": value}, "^seed: = ") for value in (None, -1, 1.5, "1", 1 << 32, True)],
    ],
)
def test_other_arguments_of_a_repair(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        certifair.repaired(NETWORK, DOMAIN, ROWS, LABELS, **{"method": "zeroing", **options})


@pytest.mark.parametrize("domain", [None, {}, 3])
def test_what_is_no_domain(domain: Any) -> None:
    with pytest.raises(InputError, match="is no domain; give a TOML file or a Domain"):
        certifair.prove(NETWORK, domain, ROWS)
    with pytest.raises(InputError, match="is no domain; give a TOML file or a Domain"):
        certifair.repaired(NETWORK, domain, ROWS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seconds": "3"}, "^seconds: = '3' is no number"),
        ({"seconds": float("nan")}, "^seconds: = nan is no number"),
        ({"processes": -1}, "^processes: = -1 is no whole number from 1"),
        ({"processes": 1.5}, "^processes: "),
        ({"method": None}, "^method: = None is no method"),
        ({"method": Engine}, "is no method; give a name, or an engine like Branch"),
    ],
)
def test_other_arguments_of_a_proof(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        certifair.prove(NETWORK, DOMAIN, ROWS, **options)


def test_a_proof_without_time_left_decides_nothing() -> None:
    assert (certifair.prove(NETWORK, DOMAIN, ROWS, seconds=-0.5).checked.verdicts["real"] == 0).all()


def test_numbers_of_numpy_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    task = asked(monkeypatch, NETWORK, DOMAIN, ROWS, seed=np.int64(7), seconds=np.float32(5))
    assert task.seed == 7
    assert 0 < task.seconds <= 5


def test_proofs_about_rows_have_an_end() -> None:
    """132 651 flips of each of 6000 rows take minutes: who is not decided by then is undecided, and nobody is lost."""
    features = tuple(Feature(f"a{i}", "integer", 0, 50, sensitive=i < 3) for i in range(5))
    network = Network(5, (Affine(0, np.array([[0.3, 0.2, -0.4, 1.0, -1.0]]), np.zeros(1)),), 1)
    rows = np.random.default_rng(0).integers(0, 51, (6000, 5)).astype(np.float64)
    started = time.monotonic()
    found = certifair.repaired(network, Domain("large", features), rows, method="zeroing", rows_seconds=0.5)
    assert time.monotonic() - started < 15
    before = found.before.rows.checked.verdicts["real"]
    assert len(before) == 6000
    assert (before == 0).any()
    assert found.after is not None
    assert (found.after.rows.checked.verdicts["real"] == 1).all()  # it reads nothing that flips


def test_the_time_ends_where_flip_sets_differ_from_row_to_row() -> None:
    """Relaxed inputs end at the ends of their ranges: of 6000 rows hardly two have the same 118 098 steps."""
    features = tuple(Feature(f"a{i}", "integer", 0, 10, eps=4 * (i < 5), sensitive=i == 5) for i in range(6))
    network = Network(6, (Affine(0, np.array([[0.3, 0.2, -0.4, 1.0, -1.0, 0.1]]), np.zeros(1)),), 1)
    rows = np.random.default_rng(0).integers(0, 11, (6000, 6)).astype(np.float64)
    started = time.monotonic()
    proof = certifair.prove(network, Domain("relaxed", features), rows, seconds=1.0)
    assert time.monotonic() - started < 8
    assert (proof.witness.engine, len(proof.checked.verdicts["real"])) == ("branch", 6000)


def curved(*features: Feature) -> tuple[Network, Domain]:
    """tanh(income − 4·age + 1/20) > 1/10."""
    weight = np.zeros((1, len(features)))
    weight[0, :2] = 1.0, -4.0
    steps = Affine(0, weight, np.array([0.05])), Activation(1, "tanh"), Affine(2, np.ones((1, 1)), np.array([-0.1]))
    return Network(len(features), steps, 3), Domain("curved", features)


@pytest.mark.parametrize("eps", [0.0, 0.25])
@pytest.mark.parametrize("age", ["continuous", "integer"])
def test_curves_with_something_continuous_that_flips(eps: float, age: Any) -> None:
    """Nobody can be proven fair, but those who meet their other self are unfair; and dropping the attribute helps."""
    income = Feature("income", "continuous", 0, 1, eps=eps)
    network, domain = curved(income, Feature("age", age, 0, 1, sensitive=True))
    rows = np.random.default_rng(0).uniform(0, 1, (60, 2)).round()
    found = certifair.repaired(network, domain, rows, method="zeroing", domain_seconds=1, rows_seconds=5)
    before = found.before.rows.checked.verdicts["real"]
    reaches = rows[:, 0] + 0.05 > np.arctanh(0.1)  # aged 0; of age 1 nobody is decided positively
    assert (before[reaches] == 2).all()
    assert before.tolist().count(2) >= reaches.sum() > 0
    assert found.after is not None
    assert found.after.domain is not None
    if not eps:
        assert (found.after.rows.checked.verdicts["real"] == 1).all()
        assert found.after.domain.checked.shares["real"].certified == 1


@pytest.mark.parametrize(
    ("more", "domain_by", "rows_by"),
    [
        (Feature("b", "integer", 0, 1000), "enumerate", "enumerate"),
        (Feature("b", "integer", 0, 1 << 23), "enumerate", "enumerate"),
        (Feature("b", "integer", 0, 1 << 24), "interval", "enumerate"),
        (Feature("b", "integer", 0, 1 << 24, eps=3.0), "interval", "enumerate"),
        (Feature("b", "integer", 0, 1 << 22, sensitive=True), "interval", "interval"),
        (Feature("b", "continuous", 0, 1), "interval", "enumerate"),
        (Feature("b", "continuous", 0, 1, sensitive=True), "interval", "interval"),
    ],
)
def test_who_is_asked_about_curves(more: Feature, domain_by: str, rows_by: str) -> None:
    features = Feature("income", "integer", 0, 60), Feature("age", "integer", 0, 2, sensitive=True), more
    network, domain = curved(*features)
    rows = np.array([[1.0, 0.0, 0.0], [60.0, 1.0, 1.0]])
    proof = certifair.prove(network, domain, rows, seconds=5)
    assert proof.witness.engine == rows_by
    assert proof.checked.verdicts["real"].tolist()[0] == 2
    everybody = certifair.prove(network, domain, seconds=0.3)
    assert everybody.witness.engine == domain_by
    shares = everybody.checked.shares["real"]
    assert shares.certified + shares.falsified_share + shares.undecided == 1


def test_a_model_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the network that is repaired is the one that was proven something of."""
    from certifair.evidence.onnx_writer import write_network

    path = tmp_path / "model.onnx"
    path.write_bytes(write_network(NETWORK))
    reads: list[Any] = []

    def counted(model: Any, inputs: int | None = None) -> Network:
        reads.extend([model] if isinstance(model, Path) else [])
        return network_of(model, inputs)

    for place in (api, __import__("certifair.repair.api", fromlist=["api"])):
        monkeypatch.setattr(place, "network_of", counted)
    certifair.repaired(path, DOMAIN, ROWS, method="zeroing")
    assert reads == [path]


def test_an_error_names_the_model(tmp_path: Path) -> None:
    from certifair.evidence.onnx_writer import write_network

    path = tmp_path / "model.onnx"
    path.write_bytes(write_network(Network(2, (*NETWORK.steps, Activation(1, "softplus")), 2)))
    with pytest.raises(InputError, match=r"model\.onnx"):
        certifair.repaired(path, DOMAIN, ROWS)
