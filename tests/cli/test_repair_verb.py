"""The verb `repair`: repaired networks, what is proven of them, evidence and certificates, by real files and keys."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import certifair as package
from certifair.cli.repair_bundles import threshold_of
from certifair.evidence.bundle import load, read_contents
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.onnx_writer import write_network
from certifair.repair.base import Repaired
from certifair.repair.prof import Prof
from certifair.spec.domain_file import load_domain
from certifair.spec.network import Activation, Affine, Network
from certifair.spec.policy import Policy
from tests.cli.conftest import NOW, Run
from tests.cli.repair_cases import DOMAIN, ROWS, ROWS_WITHOUT_SEX, STEEPER, Small, network, proposing


@pytest.fixture
def small(tmp_path: Path, certifair: Run) -> Small:
    return Small(tmp_path, certifair)


def claims(path: Path) -> dict[str, Any]:
    """The predicate of a certificate."""
    envelope = json.loads(path.read_bytes())["dsseEnvelope"]
    found: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    return found


@pytest.mark.parametrize("end", [None, "sigmoid", "tanh"])
def test_from_a_network_to_certificates_that_others_verify(
    certifair: Run, tmp_path: Path, key: Path, end: str | None
) -> None:
    small = Small(tmp_path, certifair, end)
    done = small("--domain-time", "5", "--bundles", small.bundles, "--key", key, "--now", NOW)
    assert done.code == 0, done.err
    public, trust = key.with_name("key.pub.pem"), ["--now", NOW]
    for name, code in (("before", 1), ("after", 0)):
        certificate, run = small.bundles / f"{name}.certificate.json", small.bundles / name
        verified = certifair("verify", certificate, "--public-key", public, "--evidence", run, *trust)
        assert verified.code == code, verified.out + verified.err
        gated = certifair("gate", certificate, "--public-key", public, "--policy", run / "policy.toml", *trust)
        assert gated.code == code, gated.out
    before, after = (claims(small.bundles / f"{name}.certificate.json") for name in ("before", "after"))
    assert (before["supersedes"], after["supersedes"]) == (None, before["serial"])
    shares = {claim["id"]: (claim["lower"], claim["verdict"]) for claim in before["claims"]}
    assert shares["domain"] == ("0.904761904761", "FAIL")
    assert shares["rows"] == ("0.904761904761", "FAIL")
    assert [claim["verdict"] for claim in after["claims"]] == ["PASS"] * 3
    assert {claim["decisionThreshold"] for claim in after["claims"][:2]} == {"0.5" if end == "sigmoid" else "0"}
    assert after["system"]["model"]["sha256"] == small.figures["repaired"]
    scores = small.evidence("before").scores
    assert scores is not None
    decided = scores > float(before["system"]["threshold"])
    assert int((decided == [i % 21 > 9 for i in range(42)]).sum()) == round(42 * small.figures["before"]["accuracy"])


def test_what_is_told(small: Small) -> None:
    """Without sex: income − 3·[home] > 10."""
    done = small("--domain-time", "5")
    assert done.code == 0, done.err
    told = small.figures
    assert told["status"] == "done"
    assert told["before"]["rows"] == {"fair": 38, "unfair": 4, "undecided": 0, "outside": 0, "late": 0}
    assert told["after"]["rows"] == {"fair": 42, "unfair": 0, "undecided": 0, "outside": 0, "late": 0}
    assert told["before"]["domain"]["falsified"] == pytest.approx(4 / 42)
    assert told["after"]["domain"] == {"certified": 1.0, "falsified": 0.0, "undecided": 0.0}
    decided = [[i % 21 + 2 * (i % 2) * kept - 3 * (i % 2) > 10 for i in range(42)] for kept in (1, 0)]
    right = [sum(a == (i % 21 > 9) for i, a in enumerate(each)) / 42 for each in decided]
    assert [told[name]["accuracy"] for name in ("before", "after")] == pytest.approx(right, abs=1e-6)
    assert told["changed"] == sum(a != b for a, b in zip(*decided, strict=True)) > 0
    assert f"decisions changed: {told['changed']} " in done.out
    repaired = read_network(small.out.read_bytes(), "repaired")
    assert isinstance(repaired.steps[0], Affine)
    assert repaired.steps[0].weight[0].tolist() == [0.0, 1.0, 0.0, -3.0]


def test_rows_that_are_not_decided_in_time_are_undecided(small: Small) -> None:
    """Those of the repaired network need no search: it reads nothing that flips."""
    done = small("--rows-time", "0.000001")
    assert done.code == 0, done.err
    none = {"fair": 0, "unfair": 0, "undecided": 42, "outside": 0, "late": 42}
    assert small.figures["before"]["rows"] == none
    assert small.figures["after"]["rows"] == {**none, "fair": 42, "undecided": 0, "late": 0}
    assert f"{'  of which for lack of time':<28}{42:>12}{0:>12}\n" in done.out


def test_decisions_of_a_network_with_curves_inside(small: Small) -> None:
    """f = tanh(4·sex − 2) + income/8 − 1 > 0: as if tanh were nothing, income would decide otherwise."""
    first = Affine(0, np.array([[4.0, 0, 0, 0], [0, 0.125, 0, 0]]), np.array([-2.0, 0.0]))
    cut = Affine(1, np.array([[1.0, 0.0]]), np.zeros(1))
    rest = Affine(1, np.array([[0.0, 1.0]]), np.array([-1.0]))
    from certifair.spec.network import Sum

    net = Network(4, (first, cut, Activation(2, "tanh"), rest, Sum((3, 4))), 5)
    small.model.write_bytes(write_network(net))
    done = small()
    assert done.code == 0, done.err
    decided = [np.tanh(4 * (i % 2) - 2) + (i % 21) / 8 - 1 > 0 for i in range(42)]
    right = sum(a == (i % 21 > 9) for i, a in enumerate(decided)) / 42
    assert small.figures["before"]["accuracy"] == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize("method", ["finite", "prof"])
def test_methods_that_search(small: Small, method: str) -> None:
    pytest.importorskip("torch", reason="PyTorch is absent: it trains")
    pytest.importorskip("highspy", reason="HiGHS is absent: it solves the program")
    done = small("--method", method, "--choose", "5", "--time", "20")
    assert done.code == 0, done.err + done.out
    assert small.figures["rows"] == small.figures["after"]["rows"]["fair"] == 5
    assert "HiGHS" in done.out


@pytest.mark.parametrize(("options", "rows"), [([], 100), (["--choose", "7"], 7), (["--choose", "42"], 42)])
def test_prof_repairs_for_the_rows_that_were_chosen(
    small: Small, monkeypatch: pytest.MonkeyPatch, options: list[str], rows: int
) -> None:
    asked = []
    monkeypatch.setattr(Prof, "repair", lambda self, task: asked.append(self.rows) or Repaired(None, "", ""))
    assert small("--method", "prof", *options).code == 3
    assert asked == [rows]


def test_rows_outside_the_domain_are_reported_and_never_pass(small: Small, certifair: Run, key: Path) -> None:
    small.rows.write_text(ROWS + "0,21,car,1\n")
    done = small("--bundles", small.bundles, "--key", key)
    assert done.code == 3
    assert small.figures["after"]["rows"] == {"fair": 42, "unfair": 0, "undecided": 1, "outside": 1, "late": 0}
    assert "outside the domain" in done.out
    public = key.with_name("key.pub.pem")
    verified = certifair(
        "verify",
        small.bundles / "after.certificate.json",
        "--public-key",
        public,
        "--evidence",
        small.bundles / "after",
    )
    assert verified.code == 3
    assert "1 people are outside the domain" in verified.out


def test_without_labels_nothing_is_said_about_them(small: Small) -> None:
    small.rows.write_text("\n".join(line.rpartition(",")[0] for line in ROWS.splitlines()) + "\n")
    done = small("--bundles", small.bundles)
    assert done.code == 0, done.err
    assert small.figures["after"]["accuracy"] is None
    assert "right" not in done.out
    assert small.evidence("after").labels is None


def test_a_label_may_be_named(small: Small) -> None:
    small.rows.write_text(ROWS.replace("good", "deserving"))
    assert small().code == 0
    assert small.figures["after"]["accuracy"] is None
    assert small("--label", "deserving").code == 0
    assert small.figures["after"]["accuracy"] > 0.5


def test_categories_as_zeros_and_ones_and_ids_of_rows(small: Small) -> None:
    table = [
        {"row_id": f"p{i}", "sex": i % 2, "income": i, "purpose=car": 1 - i % 2, "purpose=home": i % 2, "good": i % 2}
        for i in range(21)
    ]
    small.rows = small.folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(table), small.rows)
    done = small("--sensitive", "sex", "purpose", "--bundles", small.bundles)
    assert done.code == 0, done.err
    evidence = small.evidence("after")
    assert evidence.row_id(3) == "p3"
    assert evidence.values == {"sex": ("0", "1"), "purpose": ("car", "home")}


def test_chosen_rows_are_the_evidence_and_the_others_are_counted(small: Small) -> None:
    assert small("--choose", "10", "--seed", "1", "--bundles", small.bundles).code == 0
    first = small.evidence("after")
    assert [item.id for item in first.policy.properties] == ["rows"]  # nothing is looked for in the domain
    assert first.n == small.figures["rows"] == 10
    assert first.exclusions == [{"reason": "not among the people chosen", "count": 32}]
    assert first.inputs is not None
    sums = first.inputs[:, 1] - 3 * first.inputs[:, 3]
    assert small.figures["before"]["rows"]["unfair"] == ((sums > 8) & (sums <= 10)).sum() > 0
    ids = [first.row_id(row) for row in range(10)]
    assert small("--choose", "10", "--seed", "2", "--bundles", small.folder / "other").code == 0
    other = load(read_contents(small.folder / "other" / "after"), "other")
    assert [other.row_id(row) for row in range(10)] != ids


def test_the_policy_says_the_domain_as_it_was_written(small: Small) -> None:
    """0.1 is rounded outwards for the domain, and 0.1 again for whoever reads the policy."""
    more = '[[feature]]\nname = "debt \\"now\\""\nkind = "continuous"\nlow = 0.1\nhigh = 0.7\n'
    small.domain.write_text(DOMAIN.replace("[[feature]]", "[relaxed]\nincome = 2\n[[feature]]", 1) + more)
    header, *lines = ROWS.splitlines()
    quoted = 'sex,income,purpose,good,"debt ""now"""\n'
    assert header in quoted
    small.rows.write_text(quoted + "".join(f"{line},0.5\n" for line in lines))
    small.model.write_bytes(write_network(network("sigmoid", [*STEEPER, 0.5])))
    done = small("--bundles", small.bundles, "--demand", "0.25", "--domain-time", "0.5")
    assert done.code == 1, done.err  # income may move, and decides
    policy = Policy.load(small.bundles / "after" / "policy.toml")
    found = {item.column: (str(item.low), str(item.high)) for item in policy.domain}
    assert found == {"sex": ("0", "1"), "income": ("0", "20"), 'debt "now"': ("1/10", "7/10")}
    assert [(item.id, str(item.threshold)) for item in policy.properties] == [("rows", "1"), ("domain", "1/4")]
    assert all(dict(item.relaxed) == {"income": 2} for item in policy.properties)
    assert load_domain(small.domain).domain.features[-1].low < 0.1


def test_a_person_proven_unfair_after_all_is_a_violation(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the network is there to be looked at."""
    proposing(monkeypatch, network("sigmoid", [1.0, 1.0, 0.0, -3.0]))
    done = small()
    assert done.code == 1
    assert 0 < small.figures["after"]["rows"]["unfair"] < 4
    assert small.out.exists()


def test_no_solution_of_a_program_is_the_solvers_word(small: Small) -> None:
    """|Δ| ≤ 3 for each weight: a last weight of 40 cannot become small enough for both sexes."""
    pytest.importorskip("highspy", reason="HiGHS is absent: it solves the program")
    small.model.write_bytes(
        write_network(Network(4, (Affine(0, np.array([[40.0, 1.0, 0, 0]]), np.array([-20.0])),), 1))
    )
    done = small("--method", "prof", "--time", "20")
    assert done.code == 3, done.out
    assert "Infeasible" in done.out
    assert not small.out.exists()


@pytest.mark.parametrize("family", ["adult", "bank", "compas", "german", "prof"])
def test_public_networks_end_in_a_sigmoid(shared: Path, family: str) -> None:
    for path in (shared / "models" / family).glob("*.onnx"):
        assert threshold_of(read_network(path.read_bytes(), str(path))) == "0.5"


def test_from_python(small: Small) -> None:
    found = package.repaired(small.model, small.domain, small.rows, method="zeroing", domain_seconds=5)
    assert (found.before.rows.checked.verdicts["real"] == 2).sum() == 4
    assert found.after is not None
    assert (found.after.rows.checked.verdicts["real"] == 1).all()
    assert found.after.domain is not None
    assert found.after.domain.checked.shares["real"].certified == 1
    assert found.content is not None
    np.testing.assert_array_equal(found.after.decisions, ROWS_WITHOUT_SEX)
    assert found.before.decisions.sum() > found.after.decisions.sum()


def test_a_public_network(certifair: Run, shared: Path, tmp_path: Path, key: Path) -> None:
    out, run = tmp_path / "repaired.onnx", tmp_path / "evidence"
    where = ["--domain", shared / "models" / "domains" / "compas.toml", "--rows", shared / "data/encoded/compas.csv"]
    made = ["--method", "zeroing", "--out", out, "--bundles", run, "--key", key]
    done = certifair("repair", shared / "models" / "compas" / "compas-1.onnx", *where, *made)
    assert done.code == 0, done.err
    certificate, public = run / "after.certificate.json", key.with_name("key.pub.pem")
    verified = certifair("verify", certificate, "--public-key", public, "--evidence", run / "after")
    assert verified.code == 0, verified.out
    again = certifair("individual", out, *where, "--threshold", "1")
    assert again.code == 0, again.out
