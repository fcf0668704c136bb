"""Verification in the numbered steps of certificates/README.md. Trusts the pinned keys, the given clock, nothing else.

Without evidence: the certificate is authentic, current and free of contradictions (steps 1 to 10). With it: every
claim was computed again from the files and came out the same (step 11).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, final

from certifair.certificate.consistency import check_consistency
from certifair.certificate.envelope import Statement, open_statement
from certifair.certificate.keys import PinnedKey
from certifair.certificate.notices import check_registration, revoked_serials
from certifair.certificate.predicate import PREDICATE_TYPE
from certifair.certificate.schema import check_shape
from certifair.certificate.times import parse_time
from certifair.errors import InputError, UntrustedError
from certifair.evidence.canonical import canonical, sha256
from certifair.spec import Json
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

CLOCK_SKEW = timedelta(seconds=60)


@final
@dataclass(frozen=True)
class Expectations:
    """What the verifier knows beside the certificate. All but keys and clock are optional."""

    keys: Sequence[PinnedKey]
    now: datetime
    revocations: bytes | None = None
    subject_sha256: str | None = None
    model_sha256: str | None = None
    registrar_keys: Sequence[PinnedKey] = field(default_factory=tuple)


@final
@dataclass(frozen=True)
class Verified:
    """A certificate that withstood verification. Truthy only if its verdict is PASS.

    With evidence the verdict is the recomputed one: bounds that the owner widened cannot hide a proven violation.
    """

    verdict: Verdict
    predicate: Json
    key_id: str
    registrar_id: str | None
    with_evidence: bool

    def __bool__(self) -> bool:
        return bool(self.verdict)


def verify_certificate(
    content: bytes, expect: Expectations, evidence: Path | None = None, what: str = "certificate"
) -> Verified:
    """Raises UntrustedError naming the step that refused."""
    # (1)–(4) one signed in-toto statement of our type, its signed bytes parsed and no others
    statement = open_statement(content, expect.keys, PREDICATE_TYPE, what)
    # (5) the predicate has the public shape
    _step("schema", what, lambda: check_shape(statement.predicate))
    predicate: Json = statement.predicate
    # (6) it is in force
    _step("time", what, lambda: _check_time(predicate, expect.now))
    # (7) it was not revoked
    _check_revocation(predicate, expect, what)
    # (8) it is about the system that we mean
    _step("subject", what, lambda: _check_subject(statement, expect))
    # (9) it does not contradict itself
    _step("inconsistent", what, lambda: check_consistency(predicate, statement.subject_sha256))
    # (10) its policy was registered when it says
    registrar = _check_registration(predicate, expect, what)
    # (11) it follows from the evidence
    verdict = Verdict(predicate["verdict"]) if evidence is None else check_evidence(predicate, evidence)
    return Verified(verdict, predicate, statement.key.id, registrar, evidence is not None)


def _step(name: str, what: str, check: Callable[[], None]) -> None:
    try:
        check()
    except (ValueError, ArithmeticError) as error:
        raise UntrustedError(name, str(error), where=what) from None


def _check_time(predicate: Json, now: datetime) -> None:
    issued, until = parse_time(predicate["issuedAt"]), parse_time(predicate["validUntil"])
    if issued >= until:
        raise ValueError("ends before it begins")
    if issued - now > CLOCK_SKEW:
        raise ValueError(f"was issued in the future ({predicate['issuedAt']})")
    if now >= until:
        raise ValueError(f"expired at {predicate['validUntil']}")


def _check_revocation(predicate: Json, expect: Expectations, what: str) -> None:
    if expect.revocations is None:
        return
    for entry in revoked_serials(expect.revocations, expect.keys, expect.now + CLOCK_SKEW, "revocation list"):
        if entry["serial"] == predicate["serial"]:
            raise UntrustedError("revoked", f"was revoked at {entry['revokedAt']}: {entry['reason']}", where=what)


def _check_subject(statement: Statement, expect: Expectations) -> None:
    system = statement.predicate["system"]
    if sha256(canonical(system)) != statement.subject_sha256 or system["name"] != statement.subject_name:
        raise ValueError("the subject is not the system that it describes")
    if expect.subject_sha256 is not None and expect.subject_sha256 != statement.subject_sha256:
        raise ValueError(f"is about another system ({statement.subject_name} {statement.subject_sha256[:16]}…)")
    model = system["model"]
    if expect.model_sha256 is not None and (model is None or model["sha256"] != expect.model_sha256):
        raise ValueError("is about a system with another model")


def _check_registration(predicate: Json, expect: Expectations, what: str) -> str | None:
    """The key that registered the policy; None where nobody did."""
    policy = predicate["policy"]
    if policy["registration"] is None:
        if policy["registeredAt"] is not None:
            raise UntrustedError("registration", "says when its policy was registered, without proof", where=what)
        return None
    keys = expect.registrar_keys or expect.keys
    registration = canonical(policy["registration"])
    registered, key_id = check_registration(registration, policy["sha256"], keys, f"{what}: policy registration")
    if policy["registeredAt"] is None or registered != parse_time(policy["registeredAt"]):
        raise UntrustedError("registration", "names another time than its registration", where=what)
    if registered > parse_time(predicate["issuedAt"]):
        raise UntrustedError("registration", "was issued before its policy was registered", where=what)
    return key_id


def check_evidence(predicate: Json, root: Path) -> Verdict:
    """Step 11: the worse of the signed and the recomputed verdict: wider bounds neither hide a failure nor gain a pass.

    Raises UntrustedError: another file, or an unsupported claim.
    """
    from certifair.certificate.derive import derive
    from certifair.evidence.bundle import load, read_bundle_log, read_contents

    try:
        contents, log = read_contents(root), read_bundle_log(root)
        found = {role: sha256(content) for role, content in contents.items()}
        _check_digests(predicate["materials"], found | ({} if log is None else {"log": log.stream.head}), root)
        evidence = load(contents, str(root), log)
        derived = derive(evidence, published=False)
    except (InputError, UntrustedError) as error:  # a log that is not whole says so at a step of its own
        raise UntrustedError("evidence", error.what, where=error.where, advice=error.advice) from None
    for member, value in derived.items():
        if member in ("claims", "verdict"):
            continue
        if predicate[member] != value:
            raise UntrustedError("evidence", f"{member} of the certificate does not follow from it", where=str(root))
    if len(predicate["claims"]) != len(derived["claims"]):
        raise UntrustedError("evidence", "the policy implies other claims", where=str(root))
    for claimed, measured in zip(predicate["claims"], derived["claims"], strict=True):
        if not _supported(claimed, measured, evidence):
            raise UntrustedError("evidence", f"does not support claim {claimed['id']!r}", where=str(root))
    return Verdict.all([Verdict(predicate["verdict"]), Verdict(derived["verdict"])])


def _check_digests(materials: list[Json], found: Mapping[str, str], root: Path) -> None:
    stated = {item["role"]: item for item in materials}
    for role, digest in found.items():
        if role not in stated or stated[role]["sha256"] != digest:
            raise UntrustedError("evidence", f"the certificate is about another file ({role})", where=str(root))
    if set(stated) != set(found):
        raise UntrustedError("evidence", "a file that the certificate speaks of is missing", where=str(root))


def _supported(claimed: Json, measured: Json, evidence: Evidence) -> bool:
    """Equal; or equal but for bounds that are wider, and what was derived from them (step 9 did)."""
    from certifair.certificate.claims import check_of

    terms = Terms.from_json(measured)
    check = check_of(terms)
    fixed = measured.keys() - {"witness", *check.weaker}
    same = all(claimed[member] == measured[member] for member in fixed)
    return same and check.contains(terms, claimed["witness"], measured["witness"], evidence)
