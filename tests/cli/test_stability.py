"""The verb `stability`: a network from a file, proofs, a bundle with a layer, pictures, wrong inputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from certifair.cli import lending
from tests.cli.conftest import Run
from tests.cli.test_individual import DOMAIN, network


@pytest.fixture
def model(tmp_path: Path) -> Path:
    draw = np.random.default_rng(7)
    weights = [draw.normal(size=(8, 4)), draw.normal(size=(8, 8)) / 3, draw.normal(size=(1, 8))]
    return network(tmp_path / "m.onnx", weights, [draw.normal(size=len(weight)) for weight in weights])


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    path = tmp_path / "domain.toml"
    path.write_text(DOMAIN)
    return path


def test_bounds_from_cheap_to_tight_in_the_units_asked_for(
    certifair: Run, model: Path, domain: Path, tmp_path: Path
) -> None:
    proof, report = tmp_path / "proof.json", tmp_path / "report.json"
    done = certifair("stability", model, "--time", "2", "--witness", proof, "--json", report, "--plots", tmp_path / "p")
    assert done.code == 0, done.err
    assert "anywhere, in the inputs' units" in done.out
    found = json.loads(report.read_text())
    assert 0 < float(found["lower"]) <= float(found["upper"]) == float(found["bounds"]["lipsdp"])
    assert float(found["upper"]) < float(found["bounds"]["norms"])
    assert (tmp_path / "p" / "bounds.png").read_bytes().startswith(b"\x89PNG")
    done = certifair("stability", model, "--domain", domain, "--units", "ranges", "--time", "2", "--json", report)
    assert done.code == 0, done.err
    ranged = json.loads(report.read_text())
    assert (ranged["within"], ranged["units"]) == ("domain", "ranges")
    assert float(ranged["upper"]) > 5 * float(found["upper"])  # an income of 0 to 20


def test_a_threshold_decides_the_exit_code(certifair: Run, model: Path, tmp_path: Path) -> None:
    proof, report = tmp_path / "proof.json", tmp_path / "report.json"
    certifair("stability", model, "--time", "2", "--witness", proof, "--json", report)
    found = json.loads(report.read_text())
    lower, upper = float(found["lower"]), float(found["upper"])
    for limit, code in ((upper * 1.01, 0), (lower * 0.99, 1)):
        done = certifair("stability", model, "--check", proof, "--threshold", f"{limit:.6f}")
        assert done.code == code, done.out
    bare = json.loads(proof.read_text()) | {"pair": None}
    proof.write_text(json.dumps(bare))
    assert certifair("stability", model, "--check", proof, "--threshold", f"{lower * 0.99:.6f}").code == 3


def test_what_is_wrong_is_said_in_one_line(certifair: Run, model: Path, domain: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"format": "certifair-lipschitz/0"}')
    wide = tmp_path / "wide.toml"
    wide.write_text(DOMAIN + '[[feature]]\nname = "more"\nkind = "integer"\nlow = 0\nhigh = 1\n')
    for arguments, what in (
        ([model, "--check", broken], "is no proof"),
        ([model, "--units", "ranges"], "--domain"),
        ([model, "--domain", wide], "has 5 inputs, the network 4"),
        ([model, "--time", "0"], "--time"),
        ([model, "--threshold", "much"], "plain decimal"),
        ([tmp_path / "none.onnx"], "cannot be read"),
        ([domain], "domain.toml"),
        ([model, "--witness", model], "would be overwritten"),
    ):
        done = certifair("stability", *arguments)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert what in done.err


def test_a_network_with_an_unknown_layer_is_refused_by_name(certifair: Run, tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Erf", ["x"], ["y"])], "g", ends[:1], ends[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "erf.onnx")
    done = certifair("stability", tmp_path / "erf.onnx", "--threshold", "1")
    assert (done.code, done.out) == (2, "")
    assert "Erf" in done.err


def test_the_demo_states_the_treatment_difference_and_draws(demo: Path, certifair: Run, tmp_path: Path) -> None:
    for name in ("radii.png", "bounds-slope.png"):
        assert (demo / "report" / name).read_bytes().startswith(b"\x89PNG")
    done = certifair("verify", demo / "lending.certificate.json", "--public-key", demo / "key.pub.pem")
    assert "two people of unequal groups" in done.out
    done = certifair("stability", demo / "run", "--time", "1", "--plots", tmp_path / "p")
    assert done.code == 0, done.err
    for part in (
        "PASS      unlike",
        "favours female under 30 over male 30 to 59",
        "semidefinite",
        "PASS      one-person",
    ):
        assert part in done.out
    done = certifair("stability", demo / "run", "--threshold", "1")
    assert done.code == 2
    assert "--threshold" in done.err


def test_a_bundle_that_asks_nothing_says_so(certifair: Run, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"sex,label,score\nf,1,0.5\nm,0,0.5\n")
    certifair(
        "init",
        "--data",
        tmp_path / "p.csv",
        "--sensitive",
        "sex",
        "--score",
        "score",
        "--label",
        "label",
        "--out",
        tmp_path / "p.toml",
    )
    done = certifair("ingest", tmp_path / "p.csv", "--policy", tmp_path / "p.toml", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    done = certifair("stability", tmp_path / "run")
    assert done.code == 2
    assert "asks nothing about stability" in done.err
    assert lending.POLICY.count(b'kind = "stability"') == 5
