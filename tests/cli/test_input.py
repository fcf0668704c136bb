"""Wrong input: exit 2, one line that names the place and what to do, and nothing left behind."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from certifair.cli import VERBS
from tests.cli.conftest import Run

CSV = "id,sex,score,label\n" + "".join(f"{k},{'fm'[k % 2]},0.{k % 10}5,{k % 2}\n" for k in range(60))
POLICY = """
[data]
id = "id"
sensitive_features = ["sex"]
[data.values]
sex = ["f", "m"]
[predictions]
score = "score"
[[property]]
id = "parity"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.5
"""


def replaced(old: str, new: str) -> tuple[str, str]:
    assert old in CSV
    return CSV.replace(old, new, 1), POLICY


def policy(old: str, new: str) -> tuple[str, str]:
    assert old in POLICY
    return CSV, POLICY.replace(old, new, 1)


WRONG = {
    "missing column": (*replaced("score", "sore"), "data.csv", "no column 'score'", "sore"),
    "NaN": (*replaced("0.35", "NaN"), "data.csv", "row 4", "not a finite number"),
    "infinite": (*replaced("0.35", "-inf"), "data.csv", "row 4", "not a finite number"),
    "text for a number": (*replaced("0.35", "high"), "data.csv", "row 4", "'high'"),
    "missing number": (*replaced("0.35", ""), "data.csv", "row 4", "missing"),
    "byte-order mark": ("\ufeff" + CSV, POLICY, "data.csv", "byte-order mark", "UTF-8"),
    "empty file": ("", POLICY, "data.csv", "empty", "header"),
    "header only": ("id,sex,score\n", POLICY, "data.csv", "no row", ""),
    "duplicate id": (*replaced("\n3,", "\n2,"), "data.csv", "row 4", "again"),
    "undeclared group": (*replaced("3,m", "3,x"), "data.csv", "row 4", "'x'"),
    "missing group": (*replaced("3,m", "3,"), "data.csv", "row 4", 'missing = "group"'),
    "two columns of one name": (*replaced("label", "sex"), "data.csv", "two columns 'sex'", "rename"),
    "unknown metric": (
        *policy("demographic_parity", "demografic_parity"),
        "policy.toml",
        "metric",
        "demographic_parity",
    ),
    "unknown key": (*policy("epsilon", "epsilom"), "policy.toml", "'epsilom'", "epsilon"),
    "unknown table": (*policy("[predictions]", "[prediction]"), "policy.toml", "prediction", "predictions"),
    "no TOML": (*policy("[data]", "[data"), "policy.toml", "TOML", ""),
    "values undeclared": (*policy('sex = ["f", "m"]', ""), "policy.toml", "'sex'", "declare"),
    "policy with a byte-order mark": (CSV, "\ufeff" + POLICY, "policy.toml", "byte-order mark", ""),
    "label that the metric needs": (*policy("demographic_parity", "equalized_odds"), "policy.toml", "label", ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_tables_and_policies(certifair: Run, tmp_path: Path, name: str) -> None:
    csv, toml, *words = WRONG[name]
    (tmp_path / "data.csv").write_text(csv)
    (tmp_path / "policy.toml").write_text(toml)
    before = sorted(tmp_path.iterdir())
    done = certifair("ingest", tmp_path / "data.csv", "--policy", tmp_path / "policy.toml", "--out", tmp_path / "run")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert all(word in done.err for word in words), done.err
    assert sorted(tmp_path.iterdir()) == before


def good(certifair: Run, folder: Path) -> Path:
    (folder / "data.csv").write_text(CSV)
    (folder / "policy.toml").write_text(POLICY)
    ingest = ("ingest", folder / "data.csv", "--policy", folder / "policy.toml", "--out", folder / "run")
    assert certifair(*ingest).code == 0
    assert certifair(*ingest).code == 2  # it is there already
    assert certifair("keygen", "--out", folder / "key.pem").code == 0
    return folder / "run"


def test_wrong_calls(certifair: Run, tmp_path: Path) -> None:
    run, key, out = good(certifair, tmp_path), tmp_path / "key.pem", tmp_path / "c.certificate.json"
    certify = ("certify", run, "--key", key, "--out", out)
    wrong: dict[str, tuple[object, ...]] = {
        "no verb": (),
        "unknown verb": ("certifi",),
        "a key that is there": ("keygen", "--out", key),
        "a key that is not": ("certify", run, "--key", tmp_path / "no.pem", "--out", out),
        "a public key to sign with": ("certify", run, "--key", tmp_path / "key.pub.pem", "--out", out),
        "no bundle": ("certify", tmp_path / "no", "--key", key, "--out", out),
        "no folder for the certificate": ("certify", run, "--key", key, "--out", tmp_path / "no" / "c.json"),
        "a time that is none": (*certify, "--now", "yesterday"),
        "a day that is none": (*certify, "--now", "2026-02-30T00:00:00Z"),
        "a serial that is none": (*certify, "--serial", "a b"),
        "no validity": (*certify, "--valid-for", "0"),
        "beyond the calendar": (*certify, "--now", "9999-12-31T00:00:00Z", "--valid-for", "36500"),
        "a certificate that is not there": ("verify", out, "--public-key", tmp_path / "key.pub.pem"),
        "no public key": ("verify", tmp_path / "policy.toml"),
        "a subject that is none": ("verify", out, "--public-key", tmp_path / "key.pub.pem", "--subject", "abc"),
        "a policy that is there": ("init", "--out", tmp_path / "policy.toml"),
        "a demo elsewhere": ("demo", "--out", tmp_path),
    }
    for name, arguments in wrong.items():
        done = certifair(*arguments)
        assert done.code == 2, (name, done.err)
        assert done.err, name
        assert not out.exists(), name
    (tmp_path / "kind.toml").write_text(
        POLICY.replace('"feasibility"', '"stability"').replace("epsilon = 0.5", "min_radius = 0")
    )
    assert (
        certifair("ingest", tmp_path / "data.csv", "--policy", tmp_path / "kind.toml", "--out", tmp_path / "k").code
        == 0
    )
    done = certifair("certify", tmp_path / "k", "--key", key, "--out", out)
    assert (done.code, "none served these predictions" in done.err) == (2, True)
    assert certifair(*certify).code == 0
    gate = ("gate", out, "--public-key", tmp_path / "key.pub.pem", "--policy")
    assert certifair(*gate, tmp_path / "policy.toml", "--output", "tekst").code == 2
    (tmp_path / "nothing.toml").write_text("[gate]\nmax_age_days = 3\n")
    done = certifair(*gate, tmp_path / "nothing.toml")
    assert done.code == 2
    assert "demands nothing" in done.err


def test_keys_are_locked_private_and_of_allowed_kinds(
    certifair: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = good(certifair, tmp_path)
    monkeypatch.setenv("CERTIFAIR_PASSPHRASE", "correct horse")
    assert certifair("keygen", "--out", tmp_path / "locked.pem", "--algorithm", "ed25519").code == 0
    assert stat.S_IMODE((tmp_path / "locked.pem").stat().st_mode) == 0o600
    certify = ("certify", run, "--key", tmp_path / "locked.pem", "--out", tmp_path / "c.json")
    monkeypatch.setenv("CERTIFAIR_PASSPHRASE", "wrong")
    assert certifair(*certify).code == 2
    monkeypatch.delenv("CERTIFAIR_PASSPHRASE")
    assert "CERTIFAIR_PASSPHRASE" in certifair(*certify).err
    monkeypatch.setenv("CERTIFAIR_PASSPHRASE", "correct horse")
    assert certifair(*certify).code == 0
    assert certifair("verify", tmp_path / "c.json", "--public-key", tmp_path / "locked.pub.pem").code == 0
    for algorithm in ("rsa:2048", "ec:secp256k1", "ec:P-521"):
        kind, _, curve = algorithm.partition(":")
        options = (
            ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}"]
        )
        private, public = tmp_path / f"{curve}.pem", tmp_path / f"{curve}.pub.pem"
        new = ["openssl", "req", "-x509", *options, "-nodes", "-keyout", private, "-subj", "/CN=x", "-out", os.devnull]
        subprocess.run(new, check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
        assert certifair("certify", run, "--key", private, "--out", tmp_path / "d.json").code == 2
        assert certifair("verify", tmp_path / "c.json", "--public-key", public).code == 2


def test_a_pipe_is_not_waited_for(certifair: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.csv")
    (tmp_path / "policy.toml").write_text(POLICY)
    ingest = ("ingest", tmp_path / "data.csv", "--policy", tmp_path / "policy.toml", "--out", tmp_path / "run")
    assert certifair(*ingest).code == 2


def test_a_crash_is_never_a_verdict(certifair: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("planted")

    run = good(certifair, tmp_path)
    monkeypatch.setattr("certifair.certificate.certify.certify_bundle", crash)
    done = certifair("certify", run, "--key", tmp_path / "key.pem", "--out", tmp_path / "c.json")
    assert done.code == 70
    assert "internal error" in done.err
    assert not (tmp_path / "c.json").exists()


def test_init_with_data_makes_a_policy_that_ingests(certifair: Run, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(CSV)
    out = tmp_path / "certifair.toml"
    init = (
        "init",
        "--out",
        out,
        "--data",
        tmp_path / "data.csv",
        "--sensitive",
        "sex",
        "--id",
        "id",
        "--label",
        "label",
    )
    assert certifair(*init).code == 0
    assert certifair("ingest", tmp_path / "data.csv", "--policy", out, "--out", tmp_path / "run").code == 0
    assert certifair("init", "--out", tmp_path / "empty.toml").code == 0


def test_doctor_and_help(certifair: Run) -> None:
    done = certifair("doctor")
    assert done.code == 0
    assert "auto_LiRPA" in done.out
    assert "all that is needed is there" in done.out
    for verb in VERBS:
        assert verb in certifair("--help").out
        assert certifair(verb, "--help").code == 0


def test_every_output_of_the_gate(certifair: Run, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(demo / "summary.md"))
    outputs = [f"--output={name}={demo / name}" for name in ("text", "json", "junit")]
    gate = ("gate", demo / "lending.certificate.json", "--policy", demo / "strict.toml", "--public-key")
    done = certifair(*gate, demo / "key.pub.pem", *outputs, "--output", "github")
    assert done.code == 1
    assert "::error file=" in done.out
    assert "| parity |" in (demo / "summary.md").read_text()
    assert all((demo / name).stat().st_size > 100 for name in ("text", "json", "junit"))


@pytest.mark.parametrize("call", ["script", "module"])
def test_the_console_script_passes_the_exit_code_on(demo: Path, call: str) -> None:
    script = Path(sys.executable).parent / "certifair"
    command = [script] if call == "script" else [sys.executable, "-m", "certifair"]
    for key, code in (("key.pub.pem", 0), ("key.pem", 2)):
        verify = [*command, "verify", demo / "lending.certificate.json", "--public-key", demo / key]
        assert subprocess.run(verify, capture_output=True, check=False).returncode == code


def test_what_the_system_refuses_is_an_input_error(certifair: Run, tmp_path: Path) -> None:
    run, key, out = good(certifair, tmp_path), tmp_path / "key.pem", tmp_path / "c.json"
    assert certifair("certify", run, "--key", key, "--out", out).code == 0
    public, long = tmp_path / "key.pub.pem", "n" * 300
    ingest = ("ingest", tmp_path / "data.csv", "--policy", tmp_path / "policy.toml", "--out")
    wrong: list[tuple[object, ...]] = [
        ("verify", tmp_path, "--public-key", public),  # a folder
        ("verify", out, "--public-key", tmp_path),
        ("verify", long, "--public-key", public),
        ("verify", out, "--public-key", public, "--revoked", tmp_path),
        ("verify", out, "--public-key", public, "--subject", long),
        ("gate", out, "--policy", tmp_path, "--public-key", public),
        ("ingest", tmp_path, "--policy", tmp_path / "policy.toml", "--out", tmp_path / "x"),
        (*ingest, long),
        (*ingest, ""),
        (*ingest, tmp_path / "data.csv"),
        ("keygen", "--out", long),
        ("keygen", "--out", ""),
        ("init", "--out", long),
        ("demo", "--out", long),
        ("certify", run, "--key", key, "--out", "."),
        ("certify", run, "--key", key, "--out", key),  # would destroy the key
        ("register", "--policy", tmp_path / "policy.toml", "--key", key, "--out", tmp_path / "policy.toml"),
        ("revoke", "s", "--reason", "caf\udce9", "--key", key, "--out", tmp_path / "r.json"),
        ("certify", run, "--key", key, "--out", out, "--now", "9999-12-31T23:59:59Z"),
    ]
    kept = key.read_bytes()
    for arguments in wrong:
        done = certifair(*arguments)
        told = [line for line in done.err.splitlines() if not line.startswith("checking ")]
        assert (done.code, len(told)) == (2, 1), (arguments, done.err)
    assert certifair("verify", out, "--public-key", public, "--evidence", long).code == 2
    assert certifair("verify", out, "--public-key", public, "--now", "9999-12-31T23:59:59Z").code == 4
    assert key.read_bytes() == kept


def test_usage_errors_are_one_line(certifair: Run) -> None:
    for arguments in (("verify",), ("no-such-verb",), ("certify", "--no-such-option")):
        done = certifair(*arguments)
        assert (done.code, done.err.count("\n")) == (2, 1)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "a\u202eb", "a\u200bb"])
def test_names_that_act_are_refused(certifair: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "data.csv").write_text(CSV)
    escaped = json.dumps(name)  # TOML's basic strings escape like JSON
    (tmp_path / "policy.toml").write_text(f"{POLICY}[system]\nname = {escaped}\n")
    done = certifair("ingest", tmp_path / "data.csv", "--policy", tmp_path / "policy.toml", "--out", tmp_path / "run")
    assert (done.code, done.err.count("\n")) == (2, 1)


def test_output_that_cannot_be_written(demo: Path) -> None:
    script = str(Path(sys.executable).parent / "certifair")
    verify = [script, "verify", str(demo / "lending.certificate.json"), "--public-key", str(demo / "key.pub.pem")]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert subprocess.run(verify, env=ascii_only, capture_output=True, check=False).returncode == 0
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(verify, stdout=full, stderr=subprocess.PIPE, check=False).returncode == 2
    closed = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *verify], capture_output=True, check=False)
    assert closed.returncode == 0
