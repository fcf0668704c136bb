"""Two small signed statements beside certificates: a policy registered before the run, and a revocation list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from certifair.certificate.envelope import open_statement
from certifair.certificate.keys import PinnedKey
from certifair.certificate.times import parse_time
from certifair.errors import UntrustedError
from certifair.evidence.canonical import canonical, sha256
from certifair.spec import Json

REGISTRATION_TYPE = "urn:certifair:policy-registration:v0"
REVOCATIONS_TYPE = "urn:certifair:revocations:v0"


def check_registration(
    content: bytes, policy_sha256: str, keys: Sequence[PinnedKey], what: str
) -> tuple[datetime, str]:
    """When this very policy was registered, and by which key. Raises UntrustedError [registration]."""
    try:
        found = open_statement(content, keys, REGISTRATION_TYPE, what)
        if (found.subject_name, found.subject_sha256) != ("policy", policy_sha256):
            raise ValueError("registers another policy")
        if not isinstance(found.predicate, dict) or set(found.predicate) != {"registeredAt"}:
            raise ValueError("does not say just when")
        return parse_time(found.predicate["registeredAt"]), found.key.id
    except UntrustedError as error:
        raise UntrustedError("registration", error.what, where=what) from None
    except ValueError as error:
        raise UntrustedError("registration", str(error), where=what) from None


def revocations_predicate(revoked: Sequence[Mapping[str, str]], issued_at: str) -> tuple[tuple[str, str], Json]:
    """(subject, predicate) of a revocation list."""
    entries = [dict(entry) for entry in revoked]
    return ("revocations", sha256(canonical(entries))), {"issuedAt": issued_at, "revoked": entries}


def revoked_serials(content: bytes, keys: Sequence[PinnedKey], latest: datetime, what: str) -> list[Json]:
    """The entries of a revocation list that was issued by then, verified. Raises UntrustedError [revoked]."""
    try:
        found = open_statement(content, keys, REVOCATIONS_TYPE, what)
    except UntrustedError as error:
        raise UntrustedError("revoked", error.what, where=what) from None
    predicate = found.predicate
    try:
        entries = predicate["revoked"]
        sound = (
            set(predicate) == {"issuedAt", "revoked"}
            and isinstance(entries, list)
            and all(isinstance(entry, dict) and set(entry) == {"serial", "revokedAt", "reason"} for entry in entries)
            and all(isinstance(value, str) for entry in entries for value in entry.values())
            and (found.subject_name, found.subject_sha256) == ("revocations", sha256(canonical(entries)))
        )
        for time in [predicate["issuedAt"], *(entry["revokedAt"] for entry in entries)]:
            parse_time(time)
        sound = sound and parse_time(predicate["issuedAt"]) <= latest
    except (KeyError, TypeError, ValueError):
        sound, entries = False, []
    if not sound:
        raise UntrustedError("revoked", "is not a revocation list", where=what)
    return list(entries)
