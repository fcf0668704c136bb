"""A network that serves people one by one, as evidence: everybody's inputs, scores and predictions."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from certifair.certificate.derive import derive
from certifair.errors import CertifairError
from certifair.evidence.bundle import Evidence, load, read_contents
from certifair.evidence.network_bundle import bundle_network, inputs_of
from certifair.evidence.onnx_writer import write_network
from certifair.evidence.rows_file import rows_of
from certifair.spec.domain import Domain, Feature
from certifair.spec.network import Activation, Affine, Network, Step
from certifair.spec.values import values

DOMAIN = Domain(
    "small",
    (
        Feature("income", "integer", 0, 20),
        Feature("purpose", "one_hot", values=("car", "home", "boat")),
        Feature("debt", "continuous", 0.0, 1.0),
        Feature("sex", "integer", 0, 1, sensitive=True),
    ),
)
POLICY = """
[data]
label = "good"
sensitive_features = ["sex"]
[data.values]
sex = ["0", "1"]
[domain]
income = { kind = "integer", low = 0, high = 20 }
debt = { kind = "continuous", low = 0, high = 1 }
sex = { kind = "integer", low = 0, high = 1 }
[[property]]
id = "rows"
kind = "individual"
sensitive_features = ["sex"]
share = 1
"""
SPLIT = POLICY.replace("[data]", '[data]\nsplit = "part"')


def network(end: str | None = None, inputs: int = 6, outputs: int = 1, size: float = 0.25) -> Network:
    weight = np.zeros((outputs, inputs))
    weight[0, :2], weight[0, -1] = (size, -3), 0.5
    steps: list[Step] = [Affine(0, weight, np.full(outputs, -1.0))]
    if end is not None:
        steps.append(Activation(1, end))  # type: ignore[arg-type]
    return Network(inputs, tuple(steps), len(steps))


def table(n: int = 12) -> pa.Table:
    return pa.table(
        {
            "income": np.arange(n) % 21,
            "purpose": [["car", "home", "boat"][i % 3] for i in range(n)],
            "debt": np.linspace(0, 1, n),
            "sex": np.arange(n) % 2,
            "good": (np.arange(n) > n / 2).astype(int),
            "part": [["train", "test", "test", "other"][i % 4] for i in range(n)],
            "note": ["nobody reads this"] * n,
        }
    )


class Bundled:
    """Writes bundles, and reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "run"

    def __call__(self, source: Any, policy: str, net: Network, kept: Any = None) -> tuple[int, Evidence]:
        (self.folder / "policy.toml").write_text(policy)
        n = bundle_network(source, self.folder / "policy.toml", self.out, write_network(net), DOMAIN, kept)
        return n, load(read_contents(self.out), "run")


@pytest.fixture
def bundled(tmp_path: Path) -> Bundled:
    return Bundled(tmp_path)


@pytest.mark.parametrize("end", [None, "sigmoid", "tanh"])
def test_scores_are_the_networks_and_are_served_within_the_box(bundled: Bundled, end: str | None) -> None:
    net = network(end)
    n, evidence = bundled(table(), POLICY, net)
    assert n == evidence.n == 12
    assert evidence.inputs is not None
    assert evidence.scores is not None
    np.testing.assert_array_equal(evidence.inputs, rows_of(table(), DOMAIN).values)
    np.testing.assert_array_equal(evidence.scores, values(net, evidence.inputs)[:, 0])
    np.testing.assert_array_equal(evidence.predictions, np.clip(evidence.scores, 0, 1))
    assert evidence.labels is not None
    assert evidence.labels.tolist() == table()["good"].to_pylist()
    assert "input.note" not in evidence.people.column_names
    claims = {claim["id"]: claim for claim in derive(evidence)["claims"]}
    assert claims["replay"]["verdict"] == "PASS"


def test_the_box_is_that_of_the_policy(bundled: Bundled) -> None:
    """0.1 is no float64: the served numbers lie inside, not just beyond."""
    _, evidence = bundled(table(), POLICY + "[layer]\nlower = 0.1\nupper = 0.7\n", network("sigmoid"))
    assert evidence.scores is not None
    assert evidence.scores.min() < 0.1 < 0.7 < evidence.scores.max()
    assert evidence.predictions.min() == pytest.approx(0.1)
    assert evidence.predictions.max() == pytest.approx(0.7)
    assert Fraction(1, 10) <= Fraction(float(evidence.predictions.min()))
    assert Fraction(float(evidence.predictions.max())) <= Fraction(7, 10)


def test_people_are_served_in_the_policys_batches(bundled: Bundled) -> None:
    _, evidence = bundled(table(), POLICY + "[serve]\nbatch = 5\n", network("sigmoid"))
    assert evidence.batch.tolist() == [0] * 5 + [1] * 5 + [2] * 2


def test_others_are_counted_by_their_part(bundled: Bundled) -> None:
    n, evidence = bundled(table(), SPLIT, network("sigmoid"))
    assert n == 6
    assert evidence.exclusions == [{"reason": "part = other", "count": 3}, {"reason": "part = train", "count": 3}]


def test_whom_to_certify_can_be_said(bundled: Bundled) -> None:
    kept = np.arange(12) % 4 == 1
    n, evidence = bundled(table(), SPLIT, network("sigmoid"), kept)
    assert n == 3
    assert sum(item["count"] for item in evidence.exclusions) == 9
    np.testing.assert_array_equal(evidence.inputs, rows_of(table(), DOMAIN).values[kept])
    np.testing.assert_array_equal(
        evidence.scores, values(network("sigmoid"), rows_of(table(), DOMAIN).values[kept])[:, 0]
    )


@pytest.mark.parametrize("fractions", ["", "split = { train = 0.7, test = 0.3 }"])
def test_whom_to_certify_can_be_said_without_a_column(bundled: Bundled, fractions: str) -> None:
    policy = POLICY.replace("[data]", f"[data]\n{fractions}")
    n, evidence = bundled(table(), policy, network("sigmoid"), np.arange(12) < 4)
    assert n == 4
    assert evidence.exclusions == [{"reason": "not among the people chosen", "count": 8}]


def test_categories_may_be_zeros_and_ones(bundled: Bundled) -> None:
    """They become a column of values, which a policy can speak of as well."""
    hot = table().drop_columns(["purpose"])
    for value in ("car", "home", "boat"):
        hot = hot.append_column(f"purpose={value}", [[int(x == value) for x in table()["purpose"].to_pylist()]])
    policy = POLICY.replace(
        '["sex"]\n[data.values]', '["sex", "purpose"]\n[data.values]\npurpose = ["car", "home", "boat"]'
    )
    _, evidence = bundled(hot, policy, network("sigmoid"))
    np.testing.assert_array_equal(evidence.inputs, rows_of(table(), DOMAIN).values)
    assert evidence.preprocessing == inputs_of(DOMAIN)
    assert evidence.codes["purpose"].tolist() == [0, 1, 2] * 4


def spoiled(name: str, row: int, value: Any) -> pa.Table:
    found = table().to_pylist()
    found[row][name] = value
    return pa.Table.from_pylist(found)


@pytest.mark.parametrize(
    ("source", "policy", "net", "said"),
    [
        (table(), POLICY, network(inputs=5), "takes 5 inputs and gives 1 outputs; small has 6 inputs"),
        (table(), POLICY, network(outputs=2), "gives 2 outputs"),
        (table().drop_columns(["good"]), POLICY, network(), "has no column 'good'"),
        (table().drop_columns(["sex"]), POLICY, network(), "has no column 'sex'"),
        (spoiled("purpose", 4, "yacht"), POLICY, network(), "'purpose' is 'yacht' in row 5"),
        (spoiled("income", 4, None), POLICY, network(), "'income' is missing in row 5"),
        (spoiled("part", 4, None), SPLIT, network(), "'part' is missing in row 5"),
        (table(), SPLIT.replace("[data]", '[data]\ncertify = ["later"]'), network(), "nobody is left"),
        (table(), POLICY.replace("[data]", "[data]\nsplit = {a = 0.5, test = 0.5}"), network(), "draws a split"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    bundled: Bundled, source: pa.Table, policy: str, net: Network, said: str
) -> None:
    with pytest.raises(CertifairError) as raised:
        bundled(source, policy, net)
    assert said in str(raised.value)
    assert not bundled.out.exists()


def test_values_that_are_no_numbers_are_refused(bundled: Bundled) -> None:
    steps = (Affine(0, np.full((1, 6), 1e308), np.zeros(1)), Affine(1, np.full((1, 1), 1e308), np.zeros(1)))
    with pytest.raises(CertifairError, match="no finite number to the person 1 "):
        bundled(table(), POLICY, Network(6, steps, 2))


def test_errors_name_the_file(bundled: Bundled) -> None:
    path = bundled.folder / "people.parquet"
    pq.write_table(table(), path)
    with pytest.raises(CertifairError, match=r"people\.parquet: has no column 'goood'; did you mean 'good'"):
        bundled(path, POLICY.replace('"good"', '"goood"'), network())


def test_two_ones_are_no_category(bundled: Bundled) -> None:
    hot = table().drop_columns(["purpose"])
    for value in ("car", "home", "boat"):
        hot = hot.append_column(f"purpose={value}", [[int(value != "car")] * 12])
    with pytest.raises(CertifairError, match="'purpose' are not one 1 and zeros in row 1"):
        bundled(hot, POLICY, network())


def test_errors_call_a_table_that_was_read_already_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    named: list[Any] = [tmp_path / "policy.toml", tmp_path / "run", write_network(network()), DOMAIN, None]
    for column in ("income", "good"):
        with pytest.raises(CertifairError, match=f"^people.csv: has no column '{column}'"):
            bundle_network(table().drop_columns([column]), *named, "people.csv")
        with pytest.raises(CertifairError, match=f"^Table: has no column '{column}'"):
            bundle_network(table().drop_columns([column]), *named)
