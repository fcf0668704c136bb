"""The verb `individual`: a network and a domain from files, proofs, interrupts, bundles."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper

from certifair.cli import lending
from certifair.evidence.witness import Tree, read_witness
from tests.cli.conftest import Run

DOMAIN = """
name = "small"
sensitive = ["sex"]
[[feature]]
name = "sex"
kind = "integer"
low = 0
high = 1
[[feature]]
name = "income"
kind = "integer"
low = 0
high = 20
[[feature]]
name = "purpose"
kind = "one_hot"
values = ["car", "home"]
"""
LARGE = DOMAIN + "".join(f'[[feature]]\nname = "x{i}"\nkind = "integer"\nlow = 0\nhigh = 1000\n' for i in range(8))


def network(path: Path, weights: list[np.ndarray], biases: list[np.ndarray]) -> Path:
    """A ReLU network that ends in a sigmoid."""
    nodes, initializers, name = [], [], "x"
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        initializers += [
            numpy_helper.from_array(weight.astype(np.float32), f"w{k}"),
            numpy_helper.from_array(bias.astype(np.float32), f"b{k}"),
        ]
        last = k == len(weights) - 1
        nodes.append(helper.make_node("Gemm", [name, f"w{k}", f"b{k}"], [f"z{k}"], transB=1))
        nodes.append(helper.make_node("Sigmoid" if last else "Relu", [f"z{k}"], ["y" if last else f"h{k}"]))
        name = f"h{k}"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", weights[0].shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        initializers,
    )
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    onnx.checker.check_model(str(path))
    return path


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    """f = income + 2·sex − 3·[home] − 10: unfair for incomes 9, 10 (car) and 12, 13 (home): 4 of 42 units."""
    weight = np.array([[2.0, 1.0, 0.0, -3.0]])
    model = network(tmp_path / "model.onnx", [weight, np.array([[1.0]])], [np.array([0.0]), np.array([-10.0])])
    (tmp_path / "domain.toml").write_text(DOMAIN)
    return model, tmp_path / "domain.toml"


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(3)
    sizes = [(12, 12), (12, 12), (1, 12)]
    weights = [rng.normal(size=size) / 3 for size in sizes]
    weights[0][:, 4:] /= 500
    biases = [rng.normal(size=size[0]) for size in sizes]
    (tmp_path / "domain.toml").write_text(LARGE)
    return network(tmp_path / "model.onnx", weights, biases), tmp_path / "domain.toml"


def test_everybody_exactly(certifair: Run, small: tuple[Path, Path], tmp_path: Path) -> None:
    model, domain = small
    out, table, witness = tmp_path / "o.json", tmp_path / "c.csv", tmp_path / "w.json"
    done = certifair(
        "individual", model, "--domain", domain, "--json", out, "--counterexamples", table, "--witness", witness
    )
    assert done.code == 0, done.err
    found = json.loads(out.read_text())
    assert found["levels"]["real"]["exact"] == {"certified": "19/21", "falsified": "2/21", "undecided": "0"}
    assert found["certified"] == pytest.approx(38 / 42)
    assert found["falsified"] + found["certified"] + found["undecided"] == pytest.approx(1)
    rows = pyarrow.csv.read_csv(table).to_pylist()
    assert len(rows) == 4
    for row in rows:
        f = [
            row[f"{s}.income"] + 2 * row[f"{s}.sex"] - 3 * (row[f"{s}.purpose"] == "home")
            for s in ("positive", "negative")
        ]
        assert f[0] > 10 >= f[1]
    for more in ([], ["--integers"]):
        again = certifair("individual", model, "--domain", domain, "--check", witness, *more)
        assert again.code == 0, again.err
        assert "90.476190%" in again.out


@pytest.mark.parametrize(("threshold", "code", "word"), [("0.9", 0, "PASS"), ("0.95", 1, "FAIL")])
def test_verdicts(certifair: Run, small: tuple[Path, Path], threshold: str, code: int, word: str) -> None:
    done = certifair("individual", small[0], "--domain", small[1], "--threshold", threshold)
    assert (done.code, f"verdict: {word}" in done.out) == (code, True)


def test_rows(certifair: Run, small: tuple[Path, Path], tmp_path: Path) -> None:
    rows, out, table = tmp_path / "rows.csv", tmp_path / "o.json", tmp_path / "c.parquet"
    rows.write_text("sex,income,purpose\n0,8,car\n1,9,car\n0,12,home\n1,21,home\n")
    done = certifair(
        "individual", small[0], "--domain", small[1], "--rows", rows, "--json", out, "--counterexamples", table
    )
    assert done.code == 0, done.err
    found = json.loads(out.read_text())
    assert found["verdicts"] == {"real": "+--?", "float32": "+--?"}
    assert found["reasons"] == [{"count": 1, "reason": "the row is outside the domain"}]
    assert pq.read_table(table)["row"].to_pylist() == [2, 3]
    undecided = certifair("individual", small[0], "--domain", small[1], "--rows", rows, "--threshold", "0.4")
    assert undecided.code == 3


@pytest.mark.parametrize("method", ["enumerate", "interval", "milp", "branch"])
def test_methods_do_not_contradict_each_other(
    certifair: Run, small: tuple[Path, Path], tmp_path: Path, method: str
) -> None:
    rows, out = tmp_path / "rows.csv", tmp_path / "o.json"
    rows.write_text("sex,income,purpose\n" + "".join(f"{i % 2},{i % 21},{['car', 'home'][i % 2]}\n" for i in range(42)))
    options = ["--domain", small[1], "--rows", rows, "--processes", "1", "--json", out]
    assert certifair("individual", small[0], *options, "--method", method).code == 0
    proposed = json.loads(out.read_text())["verdicts"]["real"]
    assert certifair("individual", small[0], *options).code == 0
    truth = json.loads(out.read_text())["verdicts"]["real"]
    assert "?" not in truth
    assert all(a in ("?", b) for a, b in zip(proposed, truth, strict=True))
    if method in ("enumerate", "branch"):
        assert proposed == truth


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--domain", "nowhere.toml"], "nowhere.toml: cannot be read"),
        ([], "--domain: is missing"),
        (["--domain", "D", "--sensitive", "sexx"], "did you mean 'sex'?"),
        (["--domain", "D", "--relax", "income"], "is not NAME=EPS"),
        (["--domain", "D", "--relax", "sex=1"], "sex"),
        (["--domain", "D", "--threshold", "1.5"], "from 0 to 1"),
        (["--domain", "D", "--time", "0"], "--time"),
        (["--domain", "D", "--check", "D"], "is no witness"),
        (["--domain", "D", "--method", "sweep", "--rows", "R"], "use the method enumerate"),
        (["--domain", "D", "--counterexamples", "table.xyz"], "use .csv, .parquet or .jsonl"),
    ],
)
def test_wrong_input(certifair: Run, small: tuple[Path, Path], tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "rows.csv").write_text("sex,income,purpose\n0,8,car\n")
    names = {"D": str(small[1]), "R": str(tmp_path / "rows.csv"), "table.xyz": str(tmp_path / "table.xyz")}
    done = certifair("individual", small[0], *(names.get(option, option) for option in options))
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_witness_of_another_network_is_refused(certifair: Run, small: tuple[Path, Path], tmp_path: Path) -> None:
    other = network(tmp_path / "other.onnx", [np.array([[1.0, 1.0, 0.0, 0.0]])], [np.array([-10.0])])
    witness = tmp_path / "w.json"
    assert certifair("individual", other, "--domain", small[1], "--witness", witness).code == 0
    done = certifair("individual", small[0], "--domain", small[1], "--check", witness)
    assert (done.code, "another network" in done.err) == (2, True)


@pytest.mark.usefixtures("compiled")
def test_a_small_memory_gives_a_small_proof(certifair: Run, large: tuple[Path, Path], tmp_path: Path) -> None:
    witness = tmp_path / "w.json"
    options = ["--domain", large[1], "--witness", witness, "--time", "6"]
    done = certifair("individual", large[0], *options, "--memory", "1")
    assert done.code == 0, done.err
    about = read_witness(witness.read_bytes(), "w").about
    assert isinstance(about, Tree)
    assert len(about.kind) < (1 << 20) / 192


def test_a_flip_set_of_too_many_points_is_refused(certifair: Run, large: tuple[Path, Path]) -> None:
    names = [f"x{i}" for i in range(3)]
    done = certifair("individual", large[0], "--domain", large[1], "--sensitive", *names, "--method", "enumerate")
    assert (done.code, "use the method branch" in done.err) == (2, True)


@pytest.mark.usefixtures("compiled")
def test_an_interrupt_leaves_a_partial_answer_to_go_on_from(
    certifair: Run, large: tuple[Path, Path], tmp_path: Path
) -> None:
    model, domain = large
    witness, out = tmp_path / "w.json", tmp_path / "o.json"
    options = ["--domain", domain, "--witness", witness, "--json", out]
    assert certifair("individual", model, *options, "--time", "4").code == 0
    first = json.loads(out.read_text())["undecided"]
    command = [sys.executable, "-m", "certifair", "individual", model, *options, "--resume", witness, "--time", "60"]
    running = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True, env={**os.environ})
    time.sleep(8)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 0, said
    second = json.loads(out.read_text())
    assert 0 < second["undecided"] <= first
    assert isinstance(read_witness(witness.read_bytes(), "w").about, Tree)


@pytest.mark.usefixtures("compiled")
def test_proofs_of_a_bundle_are_certified(certifair: Run, tmp_path: Path) -> None:
    policy, data, run = tmp_path / "p.toml", tmp_path / "d.csv", tmp_path / "run"
    policy.write_bytes(lending.POLICY)
    data.write_bytes(lending.table())
    assert certifair("train", "--policy", policy, "--data", data, "--out", run).code == 0
    assert certifair("keygen", "--out", tmp_path / "key.pem").code == 0
    certificate, key = tmp_path / "c.json", tmp_path / "key.pub.pem"
    certify = ["certify", run, "--key", tmp_path / "key.pem", "--out", certificate]
    assert certifair(*certify).code == 3  # no proof about everybody yet
    done = certifair("individual", run, "--time", "12")
    assert done.code == 0, done.err
    assert "no-sex-no-age: none of these is an input" in done.out
    done = certifair(*certify)
    assert done.code == 0, done.out
    assert "career-of-anybody" in done.out
    assert certifair("verify", certificate, "--public-key", key, "--evidence", run).code == 0
    assert certifair("gate", certificate, "--policy", policy, "--public-key", key).code == 0
    narrower = lending.POLICY.replace(b"high = 300", b"high = 30")
    policy.write_bytes(narrower)  # the relying party means other people: the claim does not answer
    assert certifair("gate", certificate, "--policy", policy, "--public-key", key).code == 3
    damaged = run / "witness" / "proofs.json"
    damaged.write_bytes(damaged.read_bytes().replace(b"branch", b"BRANCH", 1))
    assert certifair("verify", certificate, "--public-key", key, "--evidence", run).code == 4
