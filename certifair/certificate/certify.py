"""From a bundle to a signed certificate, and the two notices beside it. Clock, serial and signer are passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import final

from securesystemslib.signer import CryptoSigner

from certifair.certificate.consistency import check_consistency
from certifair.certificate.derive import Issue, build
from certifair.certificate.keys import PinnedKey, parse_public_key
from certifair.certificate.notices import (
    REGISTRATION_TYPE,
    REVOCATIONS_TYPE,
    check_registration,
    revocations_predicate,
)
from certifair.certificate.predicate import PREDICATE_TYPE, digest_of
from certifair.certificate.schema import check_shape
from certifair.certificate.sign import sign_statement
from certifair.certificate.times import format_time, later
from certifair.errors import InputError, UntrustedError
from certifair.evidence.bundle import load, read_bundle_log, read_contents
from certifair.evidence.canonical import sha256, strict_json
from certifair.spec import Json
from certifair.spec.policy import Policy


@final
@dataclass(frozen=True)
class Registration:
    """A policy's registration as it was handed over, and the registrar's keys (none: the signer's own)."""

    content: bytes
    keys: Sequence[PinnedKey] = ()


@final
@dataclass(frozen=True)
class Certified:
    """A certificate's bytes, and the predicate inside."""

    content: bytes
    predicate: Json


def certify_bundle(
    run: Path,
    signer: CryptoSigner,
    *,
    now: datetime,
    serial: str,
    valid_days: int = 90,
    supersedes: str | None = None,
    registration: Registration | None = None,
) -> Certified:
    """Run the checks of the bundle's policy and sign what they found. Raises InputError; never signs a guess."""
    evidence = load(read_contents(run), str(run), read_bundle_log(run))
    registered_at, embedded = _registration(registration, evidence.materials, signer, now)
    try:
        until = format_time(later(now, days=valid_days))
    except ValueError as error:
        raise InputError(f"the end of {valid_days} days {error}", where="--valid-for") from None
    issue = Issue(
        issued_at=format_time(now),
        valid_until=until,
        serial=serial,
        supersedes=supersedes,
        registered_at=registered_at,
        registration=embedded,
    )
    predicate = build(evidence, issue)
    subject = (evidence.system["name"], digest_of(evidence.materials, "system"))
    try:  # what `verify` would refuse is not signed
        check_shape(predicate)
        check_consistency(predicate, subject[1])
    except ValueError as error:
        raise InputError(f"gives a certificate that would be refused ({error})", where=str(run)) from None
    return Certified(sign_statement(signer, PREDICATE_TYPE, subject, predicate), predicate)


def register_policy(content: bytes, where: str, signer: CryptoSigner, now: datetime) -> bytes:
    """A signed statement that this very policy existed now. Raises PolicyError for what is no policy."""
    Policy.parse(content, where)
    predicate = {"registeredAt": format_time(now)}
    return sign_statement(signer, REGISTRATION_TYPE, ("policy", sha256(content)), predicate)


def revoke_serials(entries: Sequence[Mapping[str, str]], signer: CryptoSigner, now: datetime) -> bytes:
    """A signed revocation list of these entries (`serial`, `revokedAt`, `reason`)."""
    subject, predicate = revocations_predicate(entries, format_time(now))
    return sign_statement(signer, REVOCATIONS_TYPE, subject, predicate)


def own_key(signer: CryptoSigner) -> PinnedKey:
    """The public key of a signer."""
    return parse_public_key(signer.public_key.keyval["public"].encode(), "the signing key")


def _registration(
    registration: Registration | None, materials: list[Json], signer: CryptoSigner, now: datetime
) -> tuple[str | None, Json | None]:
    """(registeredAt, the statement to embed), verified as every verifier will."""
    if registration is None:
        return None, None
    keys = registration.keys or (own_key(signer),)
    try:
        registered, _ = check_registration(registration.content, digest_of(materials, "policy"), keys, "registration")
    except UntrustedError as error:
        advice = "register the bundle's policy.toml, and give the registrar's key"
        raise InputError(f"is not this policy's ({error.what})", where="the registration", advice=advice) from None
    if registered > now:
        raise InputError("lies after the certificate's time", where="the registration")
    return format_time(registered), strict_json(registration.content)
