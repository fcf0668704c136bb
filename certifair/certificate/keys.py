"""Keys: which ones are allowed, how they are read and made. The algorithm is the key's, never the file's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from certifair.errors import InputError
from certifair.evidence.files import read_input

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
_HASHES: dict[str, hashes.HashAlgorithm] = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384()}


@final
@dataclass(frozen=True)
class PinnedKey:
    """A public key that the verifier trusts. `id` is the SHA-256 of its DER SubjectPublicKeyInfo."""

    id: str
    key: PublicKey

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            if isinstance(self.key, ed25519.Ed25519PublicKey):
                self.key.verify(signature, message)
            else:
                self.key.verify(signature, message, ec.ECDSA(_HASHES[self.key.curve.name]))
        except InvalidSignature:
            return False
        return True


def pin(key: object, where: str) -> PinnedKey:
    """Raises InputError for any kind of key but ECDSA P-256, P-384 and Ed25519."""
    allowed = isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _HASHES
    )
    if not allowed:
        advice = "use ECDSA P-256, P-384 or Ed25519: `certifair keygen` makes one"
        raise InputError("is not an allowed kind of key", where=where, advice=advice)
    assert isinstance(key, PublicKey)
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PinnedKey(hashlib.sha256(encoded).hexdigest(), key)


def load_public_key(path: Path) -> PinnedKey:
    """A PEM public key from a file. Raises InputError."""
    return parse_public_key(read_input(path, limit=1 << 16), str(path))


def parse_public_key(content: bytes, where: str) -> PinnedKey:
    """A PEM public key. Raises InputError."""
    try:
        return pin(load_pem_public_key(content), where)
    except (ValueError, UnsupportedAlgorithm):
        raise InputError("is not a PEM public key", where=where, advice="give the .pub.pem of keygen") from None


def load_public_keys(paths: Sequence[Path]) -> tuple[PinnedKey, ...]:
    """All pinned keys, each once."""
    return tuple({key.id: key for key in map(load_public_key, paths)}.values())
