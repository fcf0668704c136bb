"""The envelope: strict reading and verification of a DSSE envelope in a Sigstore bundle.

Steps 1 to 3 of certificates/README.md. Written on `cryptography` alone, because the signing library checks neither
the payload type nor the number of signatures.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, final

from certifair.certificate.keys import PinnedKey
from certifair.errors import UntrustedError
from certifair.evidence.canonical import canonical, strict_json
from certifair.spec import Json

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MAX_SIZE = 16 * 2**20
_SHA256 = re.compile("[0-9a-f]{64}")


@final
class Statement(NamedTuple):
    """A statement whose signature was verified, and by which key."""

    subject_name: str
    subject_sha256: str
    predicate: Any
    key: PinnedKey


def pre_authentication_bytes(payload: bytes) -> bytes:
    """What is signed (DSSE v1, "PAE")."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def pack(payload: bytes, signature: bytes, key_id: str) -> bytes:
    """The bundle's bytes, without a superfluous one."""
    return canonical(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": key_id}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": key_id}],
            },
        }
    )


def open_statement(content: bytes, keys: Sequence[PinnedKey], predicate_type: str, what: str) -> Statement:
    """The statement of a bundle, verified. Raises UntrustedError naming the step; `what` names the file in errors."""
    payload, key = _verified_payload(_read(content, what), keys, what)
    statement = _canonical_json(payload, what)
    return _statement(statement, predicate_type, key, what)


def _read(content: bytes, what: str) -> Json:
    """(1) The file is a Sigstore bundle with one DSSE signature."""
    if len(content) > MAX_SIZE:
        raise UntrustedError("bundle", f"is larger than {MAX_SIZE} bytes", where=what)
    try:
        bundle = strict_json(content)
    except ValueError as error:
        raise UntrustedError("bundle", str(error), where=what) from None
    return _bundle_members(bundle, what)


def _bundle_members(bundle: Any, what: str) -> Json:
    """The envelope's payload, signature and key hints, as texts."""
    try:
        envelope = bundle["dsseEnvelope"]
        (signature,) = envelope["signatures"]
        members = {
            "payload": envelope["payload"],
            "sig": signature["sig"],
            "keyid": signature.get("keyid", ""),
            "hint": bundle["verificationMaterial"]["publicKey"]["hint"],
        }
        sound = (
            set(bundle) == {"mediaType", "dsseEnvelope", "verificationMaterial"}
            and _material_sound(bundle["verificationMaterial"])
            and bundle["mediaType"] == MEDIA_TYPE
            and envelope["payloadType"] == PAYLOAD_TYPE
            and set(envelope) == {"payload", "payloadType", "signatures"}
            and isinstance(envelope["signatures"], list)
            and set(signature) <= {"sig", "keyid"}
            and all(isinstance(value, str) for value in members.values())
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        sound, members = False, {}
    if not sound:
        raise UntrustedError("bundle", "is not a Sigstore bundle v0.3 with one DSSE signature", where=what)
    return members


def _material_sound(material: Json) -> bool:
    """A public key's hint; what a transparency log may add is let in by name, and not read."""
    return (
        set(material) <= {"publicKey", "tlogEntries", "timestampVerificationData"}
        and set(material["publicKey"]) == {"hint"}
        and isinstance(material.get("tlogEntries", []), list)
        and isinstance(material.get("timestampVerificationData", {}), dict)
    )


def _verified_payload(members: Json, keys: Sequence[PinnedKey], what: str) -> tuple[bytes, PinnedKey]:
    """(2) One of the pinned keys signed these bytes; hints, which nobody signed, may only name that key."""
    payload, signature = (_decode(members[name], what) for name in ("payload", "sig"))
    message = pre_authentication_bytes(payload)
    for key in keys:
        if key.verifies(signature, message):
            if not {members["keyid"], members["hint"]} <= {"", key.id}:
                raise UntrustedError("signature", "names another key than the one that signed", where=what)
            return payload, key
    raise UntrustedError("signature", "was not signed by a key that you trust, or was changed", where=what)


def _decode(text: str, what: str) -> bytes:
    """Base64, standard or URL-safe, and only its one canonical spelling."""
    raw = text.encode("utf-8")
    standard = raw.translate(bytes.maketrans(b"-_", b"+/"))
    mixed = not {*b"+/"}.isdisjoint(raw) and not {*b"-_"}.isdisjoint(raw)
    try:
        decoded = base64.b64decode(standard, validate=True)
    except binascii.Error:
        decoded = b""
    if mixed or not decoded or base64.b64encode(decoded) != standard:
        raise UntrustedError("bundle", "holds something that is not base64", where=what)
    return decoded


def _canonical_json(payload: bytes, what: str) -> Any:
    """(3) The verified bytes, and no others, are parsed; they have one spelling and so one meaning."""
    try:
        value = strict_json(payload)
        if canonical(value) != payload:
            raise ValueError("is not in canonical form (RFC 8785)")
    except ValueError as error:
        raise UntrustedError("payload", str(error), where=what) from None
    return value


def _statement(value: Any, predicate_type: str, key: PinnedKey, what: str) -> Statement:
    """(4) An in-toto statement of the expected type about exactly one subject."""
    try:
        (subject,) = value["subject"]
        name, digest = subject["name"], subject["digest"]["sha256"]
        sound = (
            set(value) == {"_type", "subject", "predicateType", "predicate"}
            and value["_type"] == STATEMENT_TYPE
            and isinstance(value["subject"], list)
            and set(subject) == {"name", "digest"}
            and set(subject["digest"]) == {"sha256"}
            and isinstance(name, str)
            and isinstance(digest, str)
            and _SHA256.fullmatch(digest) is not None
        )
    except (KeyError, TypeError, ValueError):
        sound, name, digest = False, "", ""
    if not sound:
        raise UntrustedError("statement", "is not an in-toto statement about one subject", where=what)
    if value["predicateType"] != predicate_type:
        found = str(value["predicateType"])[:80]
        raise UntrustedError("statement", f"has the predicate type {found!r}, not {predicate_type!r}", where=what)
    return Statement(name, digest, value["predicate"], key)
