"""What must not be believed exits 4: any changed byte, another key, time, subject, list; and foreign clients agree."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run

FILES = ("data.parquet", "predictions.parquet", "multipliers.parquet", "model.onnx", "preprocessing.json")
FILES += ("system.json", "policy.toml", "manifest.json")
Verify = Callable[[Path, Path], subprocess.CompletedProcess[str]]


def trust(demo: Path) -> tuple[object, ...]:
    return ("--public-key", demo / "key.pub.pem")


def verify(certifair: Run, demo: Path, *options: object) -> int:
    return certifair("verify", demo / "lending.certificate.json", *trust(demo), *options).code


def test_demo_verifies_with_and_without_evidence_and_gates(certifair: Run, demo: Path) -> None:
    assert verify(certifair, demo) == 0
    assert verify(certifair, demo, "--evidence", demo / "run") == 0
    gate = ("gate", demo / "lending.certificate.json", *trust(demo), "--policy")
    assert certifair(*gate, demo / "certifair.toml").code == 0
    strict = certifair(*gate, demo / "strict.toml")
    assert strict.code == 1
    assert "FAIL      │ parity " in strict.out.replace("│ FAIL", "FAIL")


def flips(content: bytes, count: int) -> list[bytes]:
    """One bit changed at evenly spread places, the first and the last byte among them."""
    places = {0, len(content) - 1, *range(0, len(content), max(1, len(content) // count))}
    if content.startswith(b'{"dsseEnvelope"'):  # everything that is not base64, closely
        places |= {*range(40), *range(len(content) - 420, len(content))}
    return [content[:k] + bytes([content[k] ^ 1]) + content[k + 1 :] for k in sorted(places)]


def test_any_byte_of_the_certificate(certifair: Run, demo: Path) -> None:
    path = demo / "lending.certificate.json"
    for changed in flips(path.read_bytes(), 800):
        path.write_bytes(changed)
        assert verify(certifair, demo) == 4


@pytest.mark.parametrize("name", FILES)
def test_any_byte_of_the_evidence(certifair: Run, demo: Path, name: str) -> None:
    path = demo / "run" / name
    for changed in flips(path.read_bytes(), 60):
        path.write_bytes(changed)
        assert verify(certifair, demo, "--evidence", demo / "run") == 4


@pytest.mark.parametrize("name", FILES)
def test_missing_linked_and_swapped_evidence(certifair: Run, demo: Path, name: str) -> None:
    path = demo / "run" / name
    path.rename(demo / "aside")
    assert verify(certifair, demo, "--evidence", demo / "run") == 4
    path.symlink_to(demo / "aside")
    assert verify(certifair, demo, "--evidence", demo / "run") == 4
    path.unlink()
    shutil.copy(demo / "run" / next(other for other in FILES if other != name), path)
    assert verify(certifair, demo, "--evidence", demo / "run") == 4


def test_wrong_key(certifair: Run, demo: Path) -> None:
    certifair("keygen", "--out", demo / "other.pem")
    assert certifair("verify", demo / "lending.certificate.json", "--public-key", demo / "other.pub.pem").code == 4
    both = ("--public-key", demo / "other.pub.pem", *trust(demo))
    assert certifair("verify", demo / "lending.certificate.json", *both).code == 0


def test_time(certifair: Run, demo: Path) -> None:
    assert verify(certifair, demo, "--now", "2026-01-01T00:00:00Z") == 4  # before it was issued
    assert verify(certifair, demo, "--now", "2036-01-01T00:00:00Z") == 4  # long expired


def test_revocation(certifair: Run, demo: Path) -> None:
    certificate = demo / "lending.certificate.json"
    payload = json.loads(base64.b64decode(json.loads(certificate.read_bytes())["dsseEnvelope"]["payload"]))
    sign = ("--key", demo / "key.pem", "--reason", "model withdrawn")
    certifair("revoke", "another", *sign, "--out", demo / "one.json")
    assert verify(certifair, demo, "--revoked", demo / "one.json") == 0
    serial = payload["predicate"]["serial"]
    certifair("revoke", serial, *sign, "--list", demo / "one.json", "--out", demo / "two.json")
    assert verify(certifair, demo, "--revoked", demo / "two.json") == 4
    forged = (demo / "two.json").read_bytes().replace(b'"payload":"', b'"payload":"A', 1)
    (demo / "forged.json").write_bytes(forged)
    assert verify(certifair, demo, "--revoked", demo / "forged.json") == 4  # a list that nobody signed


def test_subject_and_model(certifair: Run, demo: Path) -> None:
    digest = hashlib.sha256((demo / "run" / "system.json").read_bytes()).hexdigest()
    assert verify(certifair, demo, "--subject", digest) == 0
    assert verify(certifair, demo, "--subject", f"sha256:{digest}") == 0
    assert verify(certifair, demo, "--subject", demo / "run" / "system.json") == 0
    assert verify(certifair, demo, "--subject", "0" * 64) == 4
    assert verify(certifair, demo, "--model", demo / "run" / "model.onnx") == 0
    assert verify(certifair, demo, "--model", demo / "applications.csv") == 4


def test_registered_policy(certifair: Run, demo: Path) -> None:
    policy, registration, out = demo / "run" / "policy.toml", demo / "p.registration.json", demo / "c.certificate.json"
    certifair("keygen", "--out", demo / "registrar.pem")
    sign = ("--key", demo / "registrar.pem", "--out", registration, "--now", "2026-01-01T00:00:00Z")
    assert certifair("register", "--policy", policy, *sign).code == 0
    certify = ("certify", demo / "run", "--key", demo / "key.pem", "--out", out, "--registration", registration)
    assert certifair(*certify).code == 2  # not signed by the owner's own key, and no registrar's given
    registrar = ("--registrar-key", demo / "registrar.pub.pem")
    assert certifair(*certify, *registrar).code == 0
    assert certifair("verify", out, *trust(demo)).code == 4  # the registrar is not trusted
    assert certifair("verify", out, *trust(demo), *registrar).code == 0
    demands = demo / "demands.toml"
    demands.write_text("[gate]\nrequire_registration = true\n" + (demo / "certifair.toml").read_text())
    gate = ("--policy", demands, *trust(demo))
    assert certifair("gate", out, *gate, *registrar).code == 0
    assert certifair("gate", demo / "lending.certificate.json", *gate).code == 3  # carries no registration


def test_an_old_certificate_before_a_gate_that_wants_fresh_ones(certifair: Run, demo: Path) -> None:
    demands = demo / "demands.toml"
    demands.write_text("[gate]\nmax_age_days = 30\n" + (demo / "certifair.toml").read_text())
    gate = ("gate", demo / "lending.certificate.json", "--policy", demands, *trust(demo))
    assert certifair(*gate).code == 0
    payload = base64.b64decode(json.loads((demo / "lending.certificate.json").read_bytes())["dsseEnvelope"]["payload"])
    issued = json.loads(payload)["predicate"]["issuedAt"]
    month = f"{int(issued[:4]) + (issued[5:7] > '10')}-{(int(issued[5:7]) + 1) % 12 + 1:02d}{issued[7:]}"
    assert certifair(*gate, "--now", month).code == 4


def test_sigstores_own_client_agrees(sigstore_js: Verify, demo: Path) -> None:
    certificate, key = demo / "lending.certificate.json", demo / "key.pub.pem"
    accepted = sigstore_js(certificate, key)
    assert (accepted.returncode, accepted.stdout) == (0, "accepted\n"), accepted.stderr
    bundle = json.loads(certificate.read_bytes())
    payload = bytearray(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    payload[len(payload) // 2] ^= 1
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    certificate.write_text(json.dumps(bundle))
    assert sigstore_js(certificate, key).returncode == 1


def test_openssl_agrees(demo: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is absent")
    envelope = json.loads((demo / "lending.certificate.json").read_bytes())["dsseEnvelope"]
    payload, signature = base64.b64decode(envelope["payload"]), base64.b64decode(envelope["signatures"][0]["sig"])
    (tmp_path / "sig").write_bytes(signature)
    for body, code in ((payload, 0), (payload[:-1] + b"]", 1)):
        kind = envelope["payloadType"].encode()
        (tmp_path / "pae").write_bytes(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body))
        command = ["openssl", "dgst", "-sha256", "-verify", demo / "key.pub.pem", "-signature", tmp_path / "sig"]
        done = subprocess.run([*command, tmp_path / "pae"], capture_output=True, check=False)
        assert done.returncode == code, done.stdout


def test_in_totos_own_library_reads_the_statement(demo: Path) -> None:
    from google.protobuf import json_format
    from in_toto_attestation.v1.statement_pb2 import Statement

    envelope = json.loads((demo / "lending.certificate.json").read_bytes())["dsseEnvelope"]
    statement = json_format.Parse(base64.b64decode(envelope["payload"]), Statement())
    assert statement.predicate_type == "urn:certifair:certificate:v0"
    system = (demo / "run" / "system.json").read_bytes()
    assert statement.subject[0].digest["sha256"] == hashlib.sha256(system).hexdigest()


def test_verifying_without_evidence_loads_no_numbers_library(demo: Path) -> None:
    script = (
        "import sys; from certifair.cli import main; code = main(sys.argv[1:]);"
        "print([name for name in ('numpy', 'pyarrow', 'onnx', 'scipy', 'torch', 'numba') if name in sys.modules], code)"
    )
    arguments = ["verify", str(demo / "lending.certificate.json"), "--public-key", str(demo / "key.pub.pem")]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[] 0\n")
