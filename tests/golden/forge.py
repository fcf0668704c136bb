"""Signed files of any shape, and predicates whose derived members are derived again, so that a lie is consistent."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from certifair import checks
from certifair.certificate.claims import assemble
from certifair.certificate.figures import regulatory_views, unknown_counts
from certifair.certificate.predicate import context_of
from certifair.checks import population
from certifair.exact.decimals import parse_rational, round_down, round_up
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict
from tests.golden.cases import PRIVATE, pinned
from tests.oracles.second_verifier import canonical, digest

Json = dict[str, Any]
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
CERTIFICATE = "urn:certifair:certificate:v0"
REVOCATIONS = "urn:certifair:revocations:v0"
REGISTRATION = "urn:certifair:policy-registration:v0"


def pae(payload: bytes, kind: str = PAYLOAD_TYPE) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def signature(key: str, message: bytes, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
    private = PRIVATE[key]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(message)
    wide = isinstance(private.curve, ec.SECP384R1)
    return private.sign(message, ec.ECDSA(algorithm or (hashes.SHA384() if wide else hashes.SHA256())))


def key_id(key: str) -> str:
    return "0" * 64 if key == "koblitz" else pinned(key).id


def envelope(payload: bytes, key: str = "owner", sig: bytes | None = None) -> Json:
    """A bundle as an object, to be bent."""
    sig = signature(key, pae(payload)) if sig is None else sig
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key_id(key)}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(sig).decode(), "keyid": key_id(key)}],
        },
    }


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def seal(payload: bytes, key: str = "owner") -> bytes:
    return dump(envelope(payload, key))


def statement(predicate: Any, kind: str = CERTIFICATE, subject: tuple[str, str] | None = None) -> Json:
    """An in-toto statement; the subject is the predicate's system if none is given."""
    if subject is None:
        system = predicate["system"]
        subject = (system["name"], digest(canonical(system)))
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": subject[0], "digest": {"sha256": subject[1]}}],
        "predicateType": kind,
        "predicate": predicate,
    }


def certificate(predicate: Json, key: str = "owner") -> bytes:
    return seal(canonical(statement(predicate)), key)


def payload_of(content: bytes) -> Json:
    """The statement inside a file that we made."""
    text = json.loads(content)["dsseEnvelope"]["payload"]
    found: Json = json.loads(base64.b64decode(text.replace("-", "+").replace("_", "/")))
    return found


def revocations(entries: list[Any], key: str = "owner", **other: Any) -> bytes:
    predicate = {"issuedAt": "2026-01-01T06:00:00Z", "revoked": entries, **other}
    return seal(canonical(statement(predicate, REVOCATIONS, ("revocations", digest(canonical(entries))))), key)


def registration(policy: str, at: str, key: str = "registrar", name: str = "policy", **other: Any) -> Json:
    return envelope(canonical(statement({"registeredAt": at, **other}, REGISTRATION, (name, policy))), key)


def edited(predicate: Json, *edits: Callable[[Json], Any]) -> Json:
    found = copy.deepcopy(predicate)
    for edit in edits:
        edit(found)
    return found


def put(path: str, value: Any) -> Callable[[Json], None]:
    """An edit: `claims/0/verdict` becomes the value."""
    *parents, last = [int(part) if part.lstrip("-").isdigit() else part for part in path.split("/")]

    def edit(predicate: Json) -> None:
        at: Any = predicate
        for part in parents:
            at = at[part]
        at[last] = value

    return edit


def drop(path: str) -> Callable[[Json], None]:
    *parents, last = [int(part) if part.lstrip("-").isdigit() else part for part in path.split("/")]

    def edit(predicate: Json) -> None:
        at: Any = predicate
        for part in parents:
            at = at[part]
        del at[last]

    return edit


def rederived(predicate: Json) -> Json:
    """All that follows from the rest follows from it again. Raises whatever the derivation does on nonsense.

    The derivation is the product's: a liar would use it too. Whether a file is accepted is never decided here.
    """
    claims = predicate["claims"]
    n = next(item["rowCount"] for item in predicate["materials"] if item["role"] == "data")
    predicate["multiplicity"] = sum(claim["kind"] == "population" for claim in claims)
    context = context_of(predicate["system"], n, predicate["multiplicity"])
    for table in predicate["groups"]:
        for cell in table["cells"]:
            cell["share"] = round_down(parse_rational("1") * cell["n"] / n, 12)
    predicate["claims"] = [_rederived_claim(claim, context, predicate) for claim in claims]
    predicate["verdict"] = Verdict.all(Verdict(claim["verdict"]) for claim in predicate["claims"]).value
    predicate["population"]["unknownCounts"] = unknown_counts(predicate["groups"])
    predicate["population"]["estimand"] = "superpopulation" if predicate["multiplicity"] else "census"
    predicate["regulatoryViews"] = regulatory_views(predicate["groups"], n)
    subject = digest(canonical(predicate["system"]))
    for item in predicate["materials"]:
        if item["role"] in ("system", "policy"):
            item["sha256"] = subject if item["role"] == "system" else predicate["policy"]["sha256"]
    return predicate


def _rederived_claim(claim: Json, context: Any, predicate: Json) -> Json:
    terms = Terms.from_json(claim)
    check = checks.get(terms.kind, terms.form)
    assert check is not None
    witness = claim["witness"]
    if terms.kind == "population":
        judgement = check.judge(terms, witness, context)
        witness["rows"] = population._rows_json(terms, witness["cells"], judgement)
    elif "rows" in witness:
        (_recount if isinstance(witness["batches"], dict) else _promised)(terms, witness)
    extra = {key: claim[key] for key in ("decisionGap", "neededSampleSize", "reason", "assumptions")}
    found = assemble(check, terms, witness, extra, context)
    if found["verdict"] != "UNDECIDED":
        found["neededSampleSize"] = None
    return found


def _recount(terms: Terms, witness: Json) -> None:
    """The rows' numbers of a claim over a single batch, and the counts outside the box."""
    from certifair.checks.feasibility import cell_sums, row_value

    bounds = witness["bounds"]
    if bounds is not None:
        low, high = parse_rational(bounds["minimum"]), parse_rational(bounds["maximum"])
        least, most = parse_rational(bounds["lower"]), parse_rational(bounds["upper"])
        bounds["below"] = int(low < least - terms.tau) and max(1, bounds["below"])
        bounds["above"] = int(high > most + terms.tau) and max(1, bounds["above"])
    if witness["batches"]["total"] != 1:
        return
    (batch,) = witness["batches"]["listed"]
    sums = cell_sums(terms, batch["cells"])
    for row, entry in zip(terms.rows, witness["rows"], strict=True):
        value = row_value(terms, row, sums)
        entry["counted"], entry["undecided"] = int(value is not None), int(value is None)
        entry["failed"] = int(value is not None and not terms.holds(value))
        entry["smallestGroup"] = min(sums[cell].n for cell in row.cells)
        entry["worstBatch"] = batch["batch"] if value is not None else None


def _promised(terms: Terms, witness: Json) -> None:
    """What the dual variables promise of each row."""
    for entry in witness["rows"]:
        if entry.get("promise") is not None:
            bound = (_decimal(entry["last"]) / _decimal(entry["eta"]) + _decimal(entry["rounding"])) / entry["people"]
            entry["promise"] = round_up(_decimal(witness["epsilon"]) + bound, 12)


def widened(text: str, by: str, *, up: bool) -> str:
    """A bound moved outwards (or inwards, for a negative `by`), within [-1, 1]."""
    moved = parse_rational("0") + _decimal(text) + (1 if up else -1) * _decimal(by)
    rounding = round_up if up else round_down
    return rounding(max(min(moved, parse_rational("1")), parse_rational("-1")), 9)


def _decimal(text: str) -> Any:
    from certifair.exact.decimals import parse_decimal

    return parse_decimal(text)
