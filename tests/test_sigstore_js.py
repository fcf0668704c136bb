"""The foreign client itself: it must accept a good signature and refuse one flipped bit, else it proves nothing."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TYPE = b"application/vnd.in-toto+json"
Verify = Callable[[Path, Path], subprocess.CompletedProcess[str]]


def bundle(payload: bytes, signature: bytes) -> str:
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "0" * 64}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": TYPE.decode(),
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
            },
        }
    )


@pytest.mark.parametrize("flipped", [False, True])
def test_accepts_a_good_signature_and_refuses_a_flipped_bit(sigstore_js: Verify, tmp_path: Path, flipped: bool) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    payload = bytearray(b'{"_type": "https://in-toto.io/Statement/v1", "subject": []}')
    signed = b"DSSEv1 %d %b %d %b" % (len(TYPE), TYPE, len(payload), payload)
    signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    payload[10] ^= flipped
    (tmp_path / "b.json").write_text(bundle(bytes(payload), signature))
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "k.pub.pem").write_bytes(pem)
    result = sigstore_js(tmp_path / "b.json", tmp_path / "k.pub.pem")
    expected = (1, "refused: SIGNATURE_ERROR: signature verification failed\n") if flipped else (0, "accepted\n")
    assert (result.returncode, result.stdout) == expected, result.stderr
