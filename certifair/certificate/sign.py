"""Signing, with securesystemslib: any of its signers will do, a key file is only the nearest one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from certifair.certificate.envelope import PAYLOAD_TYPE, STATEMENT_TYPE, pack
from certifair.certificate.keys import pin
from certifair.errors import InputError
from certifair.evidence.canonical import canonical
from certifair.evidence.files import read_input, write_atomic
from certifair.spec import Json


def sign_statement(signer: CryptoSigner, predicate_type: str, subject: tuple[str, str], predicate: Json) -> bytes:
    """A certificate's bytes: an in-toto statement about subject (name, sha256), signed. Only the signature varies."""
    name, digest = subject
    payload = canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": digest}}],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )
    signature = Envelope(payload, PAYLOAD_TYPE, {}).sign(signer)
    return pack(payload, bytes.fromhex(signature.signature), signature.keyid)


def load_signer(path: Path, passphrase: str | None) -> CryptoSigner:
    """The signer of a PEM private key. Raises InputError: unreadable, wrong passphrase, kind of key not allowed."""
    content = read_input(path, limit=1 << 16)
    advice = "set CERTIFAIR_PASSPHRASE to its passphrase" if b"ENCRYPTED" in content else "make one with keygen"
    secret = os.fsencode(passphrase) if passphrase and b"ENCRYPTED" in content else None
    try:
        key = load_pem_private_key(content, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError("is not a private key that opens", where=str(path), advice=advice) from None
    return signer_of(key, str(path))


def signer_of(key: Any, where: str = "key") -> CryptoSigner:
    """A signer whose key id is the one that certificates name: SHA-256 of the DER SubjectPublicKeyInfo."""
    if not isinstance(key, (ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)):
        raise InputError("is not an allowed kind of key", where=where, advice="make one with keygen")
    public = key.public_key()
    return CryptoSigner(key, SSlibKey.from_crypto(public, keyid=pin(public, where).id))


def generate(path: Path, passphrase: str | None, *, algorithm: str = "p256") -> Path:
    """Write a new private key (0600) and beside it its public key; returns the latter's path. Overwrites nothing."""
    if not path.name:
        raise InputError("names no file to write", where=str(path))
    public_path = path.with_name(path.name.removesuffix(".pem") + ".pub.pem")
    for existing in (path, public_path):
        if existing.exists() or existing.is_symlink():
            raise InputError("exists already", where=str(existing), advice="choose another name: keys are not replaced")
    key = ed25519.Ed25519PrivateKey.generate() if algorithm == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    locked = BestAvailableEncryption(os.fsencode(passphrase)) if passphrase else NoEncryption()
    try:
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)
    except ValueError as error:
        raise InputError(f"cannot be locked ({error})", where=str(path), advice="use a shorter passphrase") from None
    write_atomic(path, private, mode=0o600)
    write_atomic(public_path, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public_path
