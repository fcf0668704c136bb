"""A second, independent verifier of certifair certificates (test oracle).

Written from certificates/README.md and the JSON schema alone; it shares no code with the package and needs only the
standard library and `cryptography`. Sections 1 to 10 are checked; 11 and 12 need the evidence, against which
`individual_oracle` holds the claims of 9.11. The section numbers in the comments are those of the README. Everything
inside a step that goes wrong, expected or not, rejects there.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import itertools
import json
import math
import re
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "certificates" / "certificate-v0.schema.json"
CERTIFICATE_TYPE = "urn:certifair:certificate:v0"
REVOCATIONS_TYPE = "urn:certifair:revocations:v0"
REGISTRATION_TYPE = "urn:certifair:policy-registration:v0"
MAX_BYTES, MAX_DEPTH, MAX_INTEGER = 16 * 2**20, 64, 2**53 - 1
EXACT_N = 3000  # up to this n the tests of 9.5 are exact in integers, beyond it they are rigorous enclosures
MAX_TERMS = 200_000  # most terms of a binomial tail that are added up for larger n
WORK = 60_000_000  # work allowed for one certificate, in steps of about a microsecond

COLLECTIONS = ("pooled", "moment", "window")  # 9.10: judged like the batches of 9.3
SUMMARIES = ("weighted", "skipped", "bound")  # 9.10: a few numbers a row
GROUPLESS = ("network", "steps", "chain", "rows", "domain", "lipschitz")  # 9.9 to 9.12: neither metric nor groups
LAYERED = ("treatment", "differentiable", "radius", "sensitivity")  # 9.12: about the layer
LARGER = ("ratio", "differentiable", "radius")  # 9.2, 9.12: larger is better

Pair = tuple[Fraction, Fraction]
Ends = tuple[Fraction, Fraction | None]  # low, high (None: infinite)
Key = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class Rejected(Exception):  # noqa: N818 (the interface)
    """The certificate is untrusted; `step` names the rule's section."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


class Fault(Exception):  # noqa: N818
    """A broken rule, before the step is known."""


def need(condition: bool, message: str) -> None:
    if not condition:
        raise Fault(message)


@contextmanager
def at(step: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise Rejected(step, f"{type(error).__name__}: {ascii(str(error))[:300]}") from error


@dataclass
class Budget:
    """Bounds the cost of the checks, whatever the file says."""

    left: int = WORK

    def spend(self, amount: int) -> None:
        self.left -= amount
        need(self.left >= 0, "too costly to check")


# ---------------------------------------------------------------------------------------------------------- 1: bundle
@dataclass(frozen=True)
class Envelope:
    payload: bytes
    payload_type: str
    signature: bytes
    key_names: tuple[str, ...]


def _integer(text: str) -> int:
    need(len(text) <= 17 and abs(int(text)) <= MAX_INTEGER and text != "-0", "integer out of range")
    return int(text)


def _no_number(text: str) -> Any:
    raise Fault(f"number not allowed: {text[:40]}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    need(len(members) == len(pairs), "duplicate key")
    return members


def _walk(value: Any, depth: int) -> None:
    if isinstance(value, str):
        value.encode("utf-8")  # a lone surrogate raises
    elif isinstance(value, dict | list):
        need(depth < MAX_DEPTH, "nested too deep")
        if isinstance(value, dict):
            _walk(list(value), depth)
        for item in value.values() if isinstance(value, dict) else value:
            _walk(item, depth + 1)


def strict_json(data: bytes) -> Any:
    """Section 1, first bullet."""
    need(len(data) <= MAX_BYTES, "too large")
    text = data.decode("utf-8", "strict")
    need(not text.startswith("\ufeff"), "byte-order mark")
    value = json.loads(
        text, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number, object_pairs_hook=_object
    )
    _walk(value, 0)
    return value


def _sorted_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted_keys(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    return [_sorted_keys(item) for item in value] if isinstance(value, list) else value


def canonical(value: Any) -> bytes:
    """RFC 8785 for null, booleans, integers, strings, arrays and objects."""
    text = json.dumps(_sorted_keys(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def unbase64(text: Any) -> bytes:
    need(isinstance(text, str), "base64 must be a string")
    need(len(text) > 0 and len(text) % 4 == 0, "base64 without padding, or empty")
    need(re.fullmatch(r"(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)={0,2}", text) is not None, "not base64")
    standard = text.replace("-", "+").replace("_", "/")
    data = base64.b64decode(standard, validate=True)
    need(base64.b64encode(data).decode("ascii") == standard, "base64 not canonical")
    return data


def open_bundle(bundle: Any) -> Envelope:
    """Section 1 after parsing."""
    need(isinstance(bundle, dict), "not an object")
    need(set(bundle) == {"mediaType", "dsseEnvelope", "verificationMaterial"}, "members of the bundle")
    need(bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json", "mediaType")
    material, envelope = bundle["verificationMaterial"], bundle["dsseEnvelope"]
    need(isinstance(material, dict), "verificationMaterial")
    kinds = {"publicKey": dict, "tlogEntries": list, "timestampVerificationData": dict}
    need("publicKey" in material and set(material) <= set(kinds), "members of verificationMaterial")
    need(all(isinstance(value, kinds[key]) for key, value in material.items()), "types in verificationMaterial")
    need(set(material["publicKey"]) == {"hint"}, "members of publicKey")
    hint = material["publicKey"]["hint"]
    need(isinstance(hint, str), "hint must be a string")
    need(isinstance(envelope, dict) and set(envelope) == {"payload", "payloadType", "signatures"}, "dsseEnvelope")
    need(envelope["payloadType"] == "application/vnd.in-toto+json", "payloadType")
    signatures = envelope["signatures"]
    need(isinstance(signatures, list) and len(signatures) == 1, "exactly one signature")
    first = signatures[0]
    need(isinstance(first, dict) and {"sig"} <= set(first) <= {"sig", "keyid"}, "members of the signature")
    key_id = first.get("keyid", "")
    need(isinstance(key_id, str), "keyid must be a string")
    return Envelope(unbase64(envelope["payload"]), envelope["payloadType"], unbase64(first["sig"]), (hint, key_id))


# ------------------------------------------------------------------------------------------- 2 to 4: signed statement
@lru_cache(maxsize=64)
def load_key(pem: bytes) -> tuple[Key, str]:
    key = serialization.load_pem_public_key(pem)
    if isinstance(key, ec.EllipticCurvePublicKey):
        need(isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1), "curve of the pinned key")
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise Fault("kind of the pinned key")
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key, digest(spki)


def _verifies(key: Key, signature: bytes, message: bytes) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            wide = isinstance(key.curve, ec.SECP384R1)
            key.verify(signature, message, ec.ECDSA(hashes.SHA384() if wide else hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def check_signature(envelope: Envelope, pems: Sequence[bytes]) -> None:
    """Section 2."""
    keys = [load_key(bytes(pem)) for pem in pems]
    kind = envelope.payload_type.encode("utf-8")
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(envelope.payload), envelope.payload)
    names = [name for key, name in keys if _verifies(key, envelope.signature, message)]
    need(bool(names), "no pinned key verifies")
    need(any(set(envelope.key_names) <= {"", name} for name in names), "hint or keyid of another key")


def open_payload(payload: bytes) -> Any:
    """Section 3."""
    value = strict_json(payload)
    need(canonical(value) == payload, "payload is not in RFC 8785 form")
    return value


def open_statement(statement: Any, predicate_type: str) -> tuple[str, str, Any]:
    """Section 4: name and digest of the subject, predicate."""
    need(isinstance(statement, dict), "not an object")
    need(set(statement) == {"_type", "predicateType", "subject", "predicate"}, "members of the statement")
    need(statement["_type"] == "https://in-toto.io/Statement/v1", "_type")
    need(statement["predicateType"] == predicate_type, "predicateType")
    need(isinstance(statement["subject"], list) and len(statement["subject"]) == 1, "exactly one subject")
    subject = statement["subject"][0]
    need(isinstance(subject, dict) and set(subject) == {"name", "digest"}, "members of the subject")
    name, digests = subject["name"], subject["digest"]
    need(isinstance(name, str), "name of the subject")
    need(isinstance(digests, dict) and set(digests) == {"sha256"}, "digest of the subject")
    need(re.fullmatch("[0-9a-f]{64}", digests["sha256"]) is not None, "digest of the subject")
    return name, digests["sha256"], statement["predicate"]


def open_signed(bundle: Any, pems: Sequence[bytes], predicate_type: str) -> tuple[str, str, Any]:
    envelope = open_bundle(bundle)
    check_signature(envelope, pems)
    return open_statement(open_payload(envelope.payload), predicate_type)


# ---------------------------------------------------------------------------------------------------------- 5: schema
TYPES: dict[str, type] = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}
ASSERTIONS = {
    "type", "const", "enum", "properties", "required", "additionalProperties", "items", "minItems", "maxItems",
    "minLength", "maxLength", "pattern", "minimum", "maximum", "anyOf", "allOf", "not", "if", "then", "else", "$ref",
}  # fmt: skip
ANNOTATIONS = {"$schema", "$id", "title", "description", "$defs"}


@lru_cache(maxsize=1)
def load_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(SCHEMA_FILE.read_text("utf-8"))
    return schema


@lru_cache(maxsize=64)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text[:-1] + r"\Z" if text.endswith("$") else text)


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _is_type(value: Any, name: str) -> bool:
    return isinstance(value, bool) if name == "boolean" else type(value) is TYPES[name]


def conforms(value: Any, schema: dict[str, Any]) -> bool:
    """Section 5: the subset of JSON Schema 2020-12 that the schema uses; any other keyword is refused."""
    need(schema.keys() <= ASSERTIONS | ANNOTATIONS, "keyword of the schema not understood")
    if "$ref" in schema:
        prefix, _, name = schema["$ref"].rpartition("/")
        need(prefix == "#/$defs", "reference of the schema not understood")
        if not conforms(value, load_schema()["$defs"][name]):
            return False
    return (
        ("type" not in schema or _is_type(value, schema["type"]))
        and ("const" not in schema or _same(value, schema["const"]))
        and ("enum" not in schema or any(_same(value, item) for item in schema["enum"]))
        and (not isinstance(value, str) or _conforms_string(value, schema))
        and (type(value) is not int or schema.get("minimum", value) <= value <= schema.get("maximum", value))
        and (not isinstance(value, list) or _conforms_array(value, schema))
        and (not isinstance(value, dict) or _conforms_object(value, schema))
        and ("anyOf" not in schema or any(conforms(value, item) for item in schema["anyOf"]))
        and all(conforms(value, item) for item in schema.get("allOf", ()))
        and ("not" not in schema or not conforms(value, schema["not"]))
        and ("if" not in schema or conforms(value, schema.get("then" if conforms(value, schema["if"]) else "else", {})))
    )


def _conforms_string(value: str, schema: dict[str, Any]) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    return "pattern" not in schema or _pattern(schema["pattern"]).search(value) is not None


def _conforms_array(value: list[Any], schema: dict[str, Any]) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    return "items" not in schema or all(conforms(item, schema["items"]) for item in value)


def _conforms_object(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    if not all(key in value for key in schema.get("required", ())):
        return False
    for key, item in value.items():
        if key in known:
            if not conforms(item, known[key]):
                return False
        elif other is False or (other is not True and not conforms(item, other)):
            return False
    return True


# ------------------------------------------------------------------------------------------------- 6 to 8, 10: context
def parse_time(text: Any) -> datetime:
    need(isinstance(text, str), "time must be a string")
    need(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", text) is not None, "form of a time")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def issue_time(predicate: Any, now: str) -> datetime:
    """Sections 6 and 7: issuedAt, at most a minute after now."""
    issued = parse_time(predicate["issuedAt"])
    need(issued - parse_time(now) <= timedelta(seconds=60), "issued in the future")
    return issued


def check_time(predicate: Any, now: str) -> None:
    """Section 6."""
    issued, until = issue_time(predicate, now), parse_time(predicate["validUntil"])
    need(parse_time(now) < until, "expired")
    need(issued < until, "validUntil is not after issuedAt")


def check_revocations(data: bytes, pems: Sequence[bytes], serial: str, now: str) -> None:
    """Section 7."""
    name, subject, predicate = open_signed(strict_json(data), pems, REVOCATIONS_TYPE)
    need(isinstance(predicate, dict) and set(predicate) == {"issuedAt", "revoked"}, "members of the list")
    issue_time(predicate, now)
    revoked = predicate["revoked"]
    need(isinstance(revoked, list), "revoked must be a list")
    need(name == "revocations" and subject == digest(canonical(revoked)), "subject of the list")
    for entry in revoked:
        need(isinstance(entry, dict) and set(entry) == {"serial", "revokedAt", "reason"}, "members of an entry")
        need(isinstance(entry["serial"], str) and isinstance(entry["reason"], str), "strings of an entry")
        parse_time(entry["revokedAt"])
    need(all(entry["serial"] != serial for entry in revoked), "the certificate is revoked")


def check_subject(name: str, found: str, system: Any, expected: str | None, model: str | None) -> None:
    """Section 8."""
    need(found == digest(canonical(system)), "subject is not the digest of the system")
    need(name == system["name"], "subject name is not the system's")
    need(expected is None or expected == found, "another subject was expected")
    need(model is None or (system["model"] is not None and system["model"]["sha256"] == model), "another model")


def check_registration(predicate: Any, pems: Sequence[bytes]) -> None:
    """Section 10."""
    policy = predicate["policy"]
    if policy["registration"] is None:
        need(policy["registeredAt"] is None, "registeredAt without registration")
        return
    name, subject, registered = open_signed(policy["registration"], pems, REGISTRATION_TYPE)
    need(name == "policy" and subject == policy["sha256"], "subject of the registration")
    need(isinstance(registered, dict) and set(registered) == {"registeredAt"}, "members of the registration")
    moment = parse_time(registered["registeredAt"])
    need(registered["registeredAt"] == policy["registeredAt"], "registeredAt is not the registered one")
    need(moment <= parse_time(predicate["issuedAt"]), "registered after issue")


# --------------------------------------------------------------------------------------------------------- 9: numbers
@lru_cache(maxsize=4096)
def rational(text: str, *, small: bool = True) -> Fraction:
    """Section 9: lowest terms, q > 1, q a power of two (the schema has bounded the length and checked the digits)."""
    top, slash, bottom = text.partition("/")
    p, q = int(top), int(bottom) if slash else 1
    need(not slash or (q > 1 and math.gcd(p, q) == 1), "rational not in lowest terms")
    need(q & (q - 1) == 0 and (q <= 2**1074 or not small), "rational that is no sum of float64 numbers")
    return Fraction(p, q)


@lru_cache(maxsize=4096)
def decimal(text: str) -> Fraction:
    whole, _, places = text.partition(".")
    return Fraction(int(whole + places), 10 ** len(places))


def short_decimal(text: str, most: int = 12) -> Fraction:
    """A decimal of at most so many places."""
    need(len(text.partition(".")[2]) <= most, "places of a decimal")
    return decimal(text)


def _plain(scaled: int) -> str:
    whole, places = divmod(abs(scaled), 10**12)
    digits = f"{whole}.{places:012d}".rstrip("0").rstrip(".")
    return f"-{digits}" if scaled < 0 else digits


def down(value: Fraction) -> str:
    return _plain(math.floor(value * 10**12))


def up(value: Fraction) -> str:
    return _plain(math.ceil(value * 10**12))


# ------------------------------------------------------------------------------------------------------ 9.1: whole
def check_materials(predicate: Any, subject: str) -> int:
    """Section 9.1, first bullet; returns N."""
    materials = {material["role"]: material for material in predicate["materials"]}
    need(len(materials) == len(predicate["materials"]), "role of a material twice")
    need({"data", "predictions", "policy", "system", "manifest"} <= set(materials), "a material is missing")
    need(("model" in materials) == ("preprocessing" in materials), "model without preprocessing, or the reverse")
    need(materials["policy"]["sha256"] == predicate["policy"]["sha256"], "digest of the policy")
    need(materials["system"]["sha256"] == subject, "digest of the system")
    total = materials["data"]["rowCount"]
    need(isinstance(total, int) and total >= 1, "rowCount of the data")
    need(materials["predictions"]["rowCount"] == total, "rowCount of the predictions")
    need("log" not in materials or materials["log"]["rowCount"] == total, "rowCount of the log")
    for role, material in materials.items():
        is_table = role in ("data", "predictions", "multipliers", "log")
        need((material["rowCount"] is not None) == is_table, "rowCount of what is no table, or none of a table")
    return int(total)


def check_table(table: Any, total: int, values: dict[str, list[str]]) -> tuple[Fraction, int]:
    """Section 9.1, second bullet, one partition; `values` collects the values of each feature."""
    features, cells = table["features"], table["cells"]
    need(len(set(features)) == len(features), "feature twice in a partition")
    need(all(len(cell["value"]) == len(features) for cell in cells), "length of a value tuple")
    own = [list(dict.fromkeys(cell["value"][k] for cell in cells)) for k in range(len(features))]
    for feature, found in zip(features, own, strict=True):
        need(values.setdefault(feature, found) == found, "values of a feature differ between partitions")
    need(math.prod(len(found) for found in own) == len(cells), "value tuples are not a product")
    tuples = itertools.product(*own)
    need(all(tuple(cell["value"]) == expected for cell, expected in zip(cells, tuples, strict=True)), "value tuples")
    need(sum(cell["n"] for cell in cells) == total, "the n of a partition do not add up")
    amount = Fraction(0)
    for cell in cells:
        need(cell["positives"] <= cell["n"], "more positives than people")
        need(cell["n"] > 0 or cell["sum"] == "0", "sum of nobody")
        need(cell["share"] == down(Fraction(cell["n"], total)), "share")
        amount += rational(cell["sum"])
    return amount, sum(cell["positives"] for cell in cells)


def check_groups(predicate: Any, total: int) -> None:
    """Section 9.1, second bullet."""
    tables = {tuple(table["features"]): table for table in predicate["groups"]}
    need(len(tables) == len(predicate["groups"]), "partition twice in groups")
    tuples = {features: [cell["value"] for cell in table["cells"]] for features, table in tables.items()}
    values: dict[str, list[str]] = {}
    need(len({check_table(table, total, values) for table in predicate["groups"]}) == 1, "sums of the partitions")
    used = set()
    for claim in predicate["claims"]:
        for partition in claim["partitions"]:
            features = tuple(partition["features"])
            used.add(features)
            need(features in tuples, "partition of a claim is not in groups")
            need(partition["groups"] == tuples[features], "tuples of a claim are not those of groups")
    need(all(len(features) == 1 or features in used for features in tables), "partition of no claim in groups")
    need(all((feature,) in tables for feature in values), "a feature that does not stand alone")
    missing = {
        features[0]: sum(cell["n"] for cell in table["cells"] if cell["value"] == ["(missing)"])
        for features, table in tables.items()
        if len(features) == 1
    }
    need(predicate["population"]["unknownCounts"] == missing, "unknownCounts")


def overall(verdicts: Sequence[str]) -> str:
    """FAIL before UNDECIDED before PASS; UNDECIDED if there is none."""
    return next((verdict for verdict in ("FAIL", "UNDECIDED", "PASS") if verdict in verdicts), "UNDECIDED")


def check_system(system: Any) -> None:
    """Section 9.1: system.online, system.box, system.layer."""
    online, layer, box = system["online"], system["layer"], system["box"]
    need(box is None or decimal(box["lower"]) < decimal(box["upper"]), "box of the system")
    need(layer is None or decimal(layer["epsilon"]) >= 0, "epsilon of the layer")
    if online is not None:
        need(layer is not None and box is not None, "online without a layer or a box")
        paper = online["algorithm"] == "paper"
        need((online["eta0"] is not None) == paper, "eta0 or null")
        need(not paper or decimal(online["eta0"]) > 0, "eta0 is not positive")


def check_whole(predicate: Any) -> None:
    """Section 9.1, remaining bullets."""
    claims = predicate["claims"]
    need(predicate["verdict"] == overall([claim["verdict"] for claim in claims]), "verdict")
    need(len({claim["id"] for claim in claims}) == len(claims), "claim id twice")
    count = sum(claim["kind"] == "population" for claim in claims)
    need(predicate["multiplicity"] == count, "multiplicity")
    need(predicate["population"]["estimand"] == ("superpopulation" if count else "census"), "estimand")
    check_system(predicate["system"])


def check_consistency(predicate: Any, subject: str) -> None:
    """Section 9."""
    budget = Budget()
    total = check_materials(predicate, subject)
    check_groups(predicate, total)
    check_whole(predicate)
    tables = {tuple(table["features"]): table["cells"] for table in predicate["groups"]}
    for claim in predicate["claims"]:
        check_claim(claim, total, predicate, tables, budget)
    check_agreement(predicate["claims"])
    layered = [(claim["form"], claim["witness"]) for claim in predicate["claims"] if claim["form"] in LAYERED]
    need(all(dict(layered)[form] == witness for form, witness in layered), "claims of one form differ")
    check_stream(predicate)
    need(predicate["regulatoryViews"] == regulatory_views(predicate["groups"], total), "regulatoryViews")


def check_claim(claim: Any, total: int, predicate: Any, tables: dict[tuple[str, ...], Any], budget: Budget) -> None:
    """Sections 9.2 to 9.5 and 9.8 to 9.12, for one claim."""
    kind, form, system = claim["kind"], claim["form"], predicate["system"]
    need((claim["metric"] is None) == (form in GROUPLESS), "metric or null")
    if kind == "aggregate":
        check_aggregate(claim, total)
    if form in GROUPLESS:
        checks = {"replay": check_replay, "individual": check_individual, "stability": check_lipschitz}
        checks.get(kind, check_log)(claim, total, predicate)
        return
    check_shape(claim, budget)
    need(claim["statement"] == statement_text(claim), "statement")
    groups = [tables[tuple(partition["features"])] for partition in claim["partitions"]]
    if form == "projection":
        check_projection(claim, total, system)
    elif form in LAYERED:
        check_layered(claim, total, system)
    elif form in SUMMARIES:
        check_summary(claim, total, groups, system, budget)
    elif kind == "population":
        check_population(claim, predicate, groups, budget)
    else:
        check_feasibility(claim, total, groups, system, budget)


# ------------------------------------------------------------------------------------------------------- 9.2: rows
def check_shape(claim: Any, budget: Budget) -> None:
    """Section 9.2: features, conditions, comparator."""
    features, column, conditions = claim["sensitiveFeatures"], claim["conditionOn"], claim["conditions"]
    need(len(set(features)) == len(features), "sensitive feature twice")
    need(len(set(conditions)) == len(conditions), "condition twice")
    need(decimal(claim["threshold"]) >= 0 and decimal(claim["tau"]) >= 0, "negative threshold or tau")
    expected = [features] if claim["intersectional"] else [[feature] for feature in features]
    need([partition["features"] for partition in claim["partitions"]] == expected, "partitions")
    metric = claim["metric"]
    if metric in ("demographic_parity", "equalized_residuals"):
        need(column is None and conditions == [], "conditions of an unconditional metric")
    elif metric == "conditional_parity":
        need(column is not None and len(conditions) > 0, "conditions of conditional_parity")
    else:
        labels = ["0", "1"] if metric == "equalized_odds" else ["1"]
        need(column == "label" and conditions == labels, "conditions on the label")
    need(claim["comparator"] == (">=" if claim["form"] in LARGER else "<="), "comparator")
    need(claim["form"] != "ratio" or metric != "equalized_residuals", "ratio of single groups")
    budget.spend(len(expected) * max(1, len(conditions)))


def claim_cells(claim: Any, count: int) -> list[tuple[int, list[str], str | None]]:
    """Section 9.2: partition, group and condition of each cell, in order; there must be `count` of them."""
    conditions = claim["conditions"] or [None]
    expected = sum(len(partition["groups"]) for partition in claim["partitions"]) * len(conditions)
    need(count == expected, "number of cells")
    return [
        (index, group, condition)
        for index, partition in enumerate(claim["partitions"])
        for condition in conditions
        for group in partition["groups"]
    ]


def claim_rows(claim: Any, found: Sequence[Any]) -> list[tuple[int, ...]]:
    """Section 9.2: positions of the cells of each row; number and names of the rows must be those found."""
    size = 1 if claim["metric"] == "equalized_residuals" else 2
    conditions = claim["conditions"] or [None]
    expected = sum(math.comb(len(partition["groups"]), size) for partition in claim["partitions"]) * len(conditions)
    need(len(found) == expected, "number of rows")
    rows: list[tuple[int, ...]] = []
    start = 0
    for partition in claim["partitions"]:
        names = [group[0] if len(group) == 1 else f"({', '.join(group)})" for group in partition["groups"]]
        for condition in conditions:
            head = " × ".join(partition["features"])
            head += "" if condition is None else f" | {claim['conditionOn']}={condition}"
            for chosen in itertools.combinations(range(len(names)), size):
                name = f"{head}: {' - '.join(names[k] for k in chosen)}"
                need(found[len(rows)]["row"] == name, "name of a row")
                rows.append(tuple(start + k for k in chosen))
            start += len(names)
    return rows


def row_value(form: str, means: Sequence[Fraction]) -> Fraction | None:
    if len(means) == 1:
        return abs(means[0])
    if form != "ratio":
        return abs(means[0] - means[1])
    smaller, larger = sorted(means)
    return smaller / larger if larger > 0 and smaller >= 0 else None


def holds(claim: Any, value: Fraction) -> bool:
    threshold, tau = decimal(claim["threshold"]), decimal(claim["tau"])
    return value >= threshold - tau if claim["form"] in LARGER else value <= threshold + tau


# ------------------------------------------------------------------------------------------------ 9.3: feasibility
@dataclass(frozen=True)
class Batch:
    """A listed batch: its cells, the value of each row (None: undecided) and the same with positives/n for means."""

    sizes: list[int]
    means: list[Fraction | None]
    values: list[Fraction | None]
    gaps: list[Fraction]


def read_batch(claim: Any, cells: Any, rows: Sequence[tuple[int, ...]]) -> Batch:
    """Section 9.3: the cells of a listed batch."""
    least, residuals = max(1, claim["minGroupSize"]), claim["metric"] == "equalized_residuals"
    means: list[Fraction | None] = []
    for cell, place in zip(cells, claim_cells(claim, len(cells)), strict=True):
        need((cell["partition"], cell["group"], cell["condition"]) == place, "place of a cell")
        need(("labelSum" in cell) == residuals, "labelSum")
        n, positives, total = cell["n"], cell["positives"], rational(cell["sum"])
        labels = rational(cell.get("labelSum", "0"))
        need(positives <= n, "more positives than people")
        need(n > 0 or total == labels == 0, "sum of nobody")
        need(claim["map"] != "decisions" or total == positives, "sum of decisions is not the positives")
        means.append((total - labels) / n if n else None)
    values: list[Fraction | None] = []
    gaps = []
    for chosen in rows:
        known = [mean for k in chosen if (mean := means[k]) is not None and cells[k]["n"] >= least]
        values.append(row_value(claim["form"], known) if len(known) == len(chosen) else None)
        if values[-1] is not None and len(chosen) == 2:
            a, b = (Fraction(cells[k]["positives"], cells[k]["n"]) for k in chosen)
            gaps.append(abs(a - b))
    return Batch([cell["n"] for cell in cells], means, values, gaps)


def check_batch_row(claim: Any, row: Any, k: int, chosen: Sequence[int], batches: dict[str, Batch]) -> Fraction | None:
    """Section 9.3: one row of the witness; its worst value, None if nothing was counted."""
    least, total = max(1, claim["minGroupSize"]), claim["witness"]["batches"]["total"]
    counted, undecided, failed = row["counted"], row["undecided"], row["failed"]
    values = {name: batch.values[k] for name, batch in batches.items()}
    sizes = [min(batch.sizes[j] for j in chosen) for batch in batches.values()]
    small = row["smallestGroup"] < least
    need(counted + undecided == total and failed <= counted, "counts of a row")
    need(min(sizes, default=row["smallestGroup"]) >= row["smallestGroup"], "smallestGroup")
    if claim["form"] == "ratio":
        need(undecided > 0 or not (small or None in values.values()), "undecided")
    else:
        need((undecided > 0) == small, "undecided")
    decided = [value for value in values.values() if value is not None]
    seen = (len(decided), len(values) - len(decided), sum(not holds(claim, value) for value in decided))
    need(all(a <= b for a, b in zip(seen, (counted, undecided, failed), strict=True)), "more listed than counted")
    if len(values) == total:
        need((*seen, min(sizes)) == (counted, undecided, failed, row["smallestGroup"]), "all batches are listed")
    if counted == 0:
        need(row["worstBatch"] is None, "worstBatch of nothing")
        return None
    worst = values.get(row["worstBatch"])
    if worst is None:
        raise Fault("worstBatch is not listed or does not decide the row")
    need((failed > 0) == (not holds(claim, worst)), "failed")
    before = True  # in order of appearance, the worst batch is the first of equals
    for name, value in values.items():
        before = before and name != row["worstBatch"]
        if value is not None:
            need(value >= worst if claim["form"] == "ratio" else value <= worst, "a listed batch is worse")
            need(not before or value != worst, "worstBatch is not the first of equals")
    return worst


def check_people(claim: Any, groups: Sequence[Any], cells: Sequence[Any], whole: bool, system: Any) -> None:
    """Sections 9.3 and 9.5: the cells against `groups`; `whole`: they hold everybody of their conditions."""
    people: dict[tuple[int, tuple[str, ...]], list[Any]] = {}
    for cell in cells:
        people.setdefault((cell["partition"], tuple(cell["group"])), []).append(cell)
    same = whole and claim["metric"] != "equal_opportunity"
    for index, table in enumerate(groups):
        for group in table:
            found = people.get((index, tuple(group["value"])), [])
            n = sum(cell["n"] for cell in found)
            need(n == group["n"] if same else n <= group["n"], "other people in the cells than in groups")
            if same and claim["map"] == "served":
                amount = sum((rational(cell["sum"]) for cell in found), Fraction(0))
                need(amount == rational(group["sum"]), "another sum than in groups")
                positives = sum(cell["positives"] for cell in found)
                agree = claim["decisionThreshold"] != system["threshold"] or positives == group["positives"]
                need(agree, "other positives than in groups")


def check_bounds(claim: Any, total: int, cells: Sequence[Any], box: Any) -> bool:
    """Section 9.3: witness.bounds; True if violated."""
    bounds, tau = claim["witness"]["bounds"], decimal(claim["tau"])
    absent = claim["kind"] == "aggregate" or claim["map"] != "served" or box is None
    need((bounds is None) == absent, "bounds or null")
    if bounds is None:
        return False
    need((bounds["lower"], bounds["upper"]) == (box["lower"], box["upper"]), "bounds are not the box")
    lower, upper = decimal(bounds["lower"]), decimal(bounds["upper"])
    low, high = rational(bounds["minimum"]), rational(bounds["maximum"])
    need(lower < upper and low <= high and bounds["below"] + bounds["above"] <= total, "bounds")
    need((bounds["below"] > 0) == (low < lower - tau), "below")
    need((bounds["above"] > 0) == (high > upper + tau), "above")
    for cell in cells:
        need(low * cell["n"] <= rational(cell["sum"]) <= high * cell["n"], "mean outside the range")
    return bool(bounds["below"] + bounds["above"] > 0)


def check_decision_gap(claim: Any, counted: bool, batches: Sequence[Batch]) -> None:
    """Section 9.3: decisionGap."""
    gap, total = claim["decisionGap"], claim["witness"]["batches"]["total"]
    asked = claim["form"] != "ratio" and claim["map"] != "decisions" and claim["metric"] != "equalized_residuals"
    need((gap is not None) == (asked and counted), "decisionGap")
    listed = [value for batch in batches for value in batch.gaps]
    if gap is not None and listed:
        need(gap == up(max(listed)) if total == 1 else decimal(gap) >= max(listed), "decisionGap")


def check_feasibility(claim: Any, total: int, groups: Sequence[Any], system: Any, budget: Budget) -> None:
    """Section 9.3; for the first three forms of 9.10 as well, whose collections stand for the batches."""
    witness, ratio = claim["witness"], claim["form"] == "ratio"
    listed, count = witness["batches"]["listed"], witness["batches"]["total"]
    rows = claim_rows(claim, witness["rows"])
    digits = max((len(cell["sum"]) for batch in listed for cell in batch["cells"]), default=0)
    budget.spend(len(rows) * len(listed) * (10 + digits // 10))
    batches = {batch["batch"]: read_batch(claim, batch["cells"], rows) for batch in listed}
    need(len(batches) == len(listed) <= count, "listed batches")
    if count == 1:
        need(len(listed) == 1, "the only batch is not listed")
    else:
        need(set(batches) <= {row["worstBatch"] for row in witness["rows"]}, "a listed batch is no row's worst")
    need(count <= total, "more batches than people")
    cells = [cell for batch in listed for cell in batch["cells"]]
    if claim["kind"] == "aggregate":
        check_collections(claim, total, groups, system)
    else:
        check_people(claim, groups, cells, count == 1, system)
    worst = []
    for k, (row, chosen) in enumerate(zip(witness["rows"], rows, strict=True)):
        worst.append(check_batch_row(claim, row, k, chosen, batches))
    if claim["form"] == "moment":
        check_last_moment(claim, groups, worst)
    failed = check_bounds(claim, total, cells, system["box"]) or any(row["failed"] for row in witness["rows"])
    undecided = any(row["undecided"] or not row["counted"] for row in witness["rows"])
    undecided = undecided or (claim["span"] or 0) > total  # 9.10: so many people never come together
    need(claim["verdict"] == ("FAIL" if failed else "UNDECIDED" if undecided else "PASS"), "verdict of a claim")
    known = [value for value in worst if value is not None]
    value = (min(known) if ratio else max(known)) if known else None
    ends = (None, None) if value is None else (down(value), up(value))
    need((claim["lower"], claim["upper"]) == ends, "lower, upper")
    need(claim["estimate"] == ends[0 if ratio else 1], "estimate")
    need(claim["sampleSize"] == total, "sampleSize")
    check_decision_gap(claim, bool(known), list(batches.values()))


# ------------------------------------------------------------------------------------------------- 9.4: projection
def check_layer(claim: Any, layer: Any) -> None:
    """Sections 9.4 and 9.10: the claim is about the metric that the layer holds."""
    column = claim["conditionOn"] if claim["metric"] == "conditional_parity" else None  # the label's needs no name
    need(column == layer["condition"], "condition of the layer")
    need(all(claim[name] == layer[name] for name in ("metric", "sensitiveFeatures", "intersectional")), "layer")


def check_system_layer(found: Any, system: Any) -> None:
    """Sections 9.4 and 9.12: `layer` of a witness is that of the system, which projects each batch by itself."""
    layer, box = system["layer"], system["box"]
    need(layer is not None and box is not None, "a claim about a layer without layer or box")
    need(system["online"] is None, "a claim about a layer of a system that serves online")
    need(found == {"epsilon": layer["epsilon"], **box}, "layer of a claim")
    need(decimal(found["lower"]) < decimal(found["upper"]) and decimal(found["epsilon"]) >= 0, "box or epsilon")


def check_batches(witness: Any, total: int) -> None:
    """Sections 9.4 and 9.12: the batches of a claim about the layer."""
    need(witness["counted"] + witness["undecided"] == witness["batches"], "counts of batches")
    need(1 <= witness["batches"] <= total, "number of batches")


def check_projection(claim: Any, total: int, system: Any) -> None:
    """Section 9.4."""
    witness, worst = claim["witness"], claim["witness"]["worst"]
    check_system_layer(witness["layer"], system)
    check_layer(claim, system["layer"])
    check_batches(witness, total)
    need((worst is None) == (witness["counted"] == 0), "worst batch of a projection")
    expected: tuple[str | None, ...] = (None, None, None)
    passes = False
    if worst is not None:
        threshold, square = decimal(claim["threshold"]), 2 * decimal(worst["gap"]) / worst["n"]
        need(square >= 0 and worst["n"] <= total, "negative distance, or more than all people")
        scaled = math.ceil(square * 10**24)
        root = _plain(math.isqrt(scaled - 1) + 1 if scaled else 0)
        expected, passes = (root, "0", root), witness["undecided"] == 0 and square <= threshold**2
    need((claim["estimate"], claim["lower"], claim["upper"]) == expected, "estimate of a projection")
    need(claim["verdict"] == ("PASS" if passes else "UNDECIDED"), "verdict of a projection")
    fixed = (claim["tau"], claim["minGroupSize"], claim["sampleSize"], claim["decisionGap"])
    need(fixed == ("0", 1, total, None), "fixed members of a projection")


# ------------------------------------------------------------------------------------------------- 9.5: population
LOG = Context(prec=100)  # ln is correctly rounded in decimal; logarithms here stay below 10**19 in size
MARGIN = Decimal("1e-50")  # above the sum of all rounding and truncation errors below, by more than 10**15
PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651"
)
BERNOULLI = (  # B_2, B_4, … B_24; the Stirling remainder is below the first omitted term, 1e-70 for m >= 1000
    (1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510), (43867, 798), (-174611, 330),
    (854513, 138), (-236364091, 2730),
)  # fmt: skip


def _ln(value: int | Fraction) -> Decimal:
    top, bottom = value.as_integer_ratio()
    return LOG.subtract(LOG.ln(Decimal(top)), LOG.ln(Decimal(bottom)))


@lru_cache(maxsize=4096)
def _ln_factorial(m: int) -> Decimal:
    if m < 1000:
        return _ln(math.factorial(m))
    big, total = Decimal(m), LOG.divide(LOG.ln(LOG.multiply(Decimal(2), PI)), Decimal(2))
    total = LOG.add(total, LOG.subtract(LOG.multiply(LOG.add(big, Decimal("0.5")), LOG.ln(big)), big))
    for k, (top, bottom) in enumerate(BERNOULLI, start=1):
        total = LOG.add(total, LOG.divide(Decimal(top), Decimal(bottom * 2 * k * (2 * k - 1) * m ** (2 * k - 1))))
    return total


def _ln_power(n: int, s: int, p: Fraction) -> Decimal:
    """ln of p^s (1-p)^(n-s)."""
    return LOG.add(LOG.multiply(Decimal(s), _ln(p)), LOG.multiply(Decimal(n - s), _ln(1 - p)))


def _terms(n: int) -> int:
    return min(MAX_TERMS, 8 * math.isqrt(n) + 1000)


def _large_tail(n: int, s: int, p: Fraction, t: Fraction) -> bool:
    """True only if P(Bin(n, p) >= s) <= t for sure."""
    if s <= n * p:
        return False  # the tail is at least 1/2 (a median is at least floor(np)), and t < 1/2
    one = 1 << 256  # terms relative to that of s, each rounded down: term k is at most k units too small
    a, b = p.numerator, p.denominator - p.numerator
    term, total, k, steps = one, one, s, 0
    while k < n and term >> 80 and steps < _terms(n):
        term = term * ((n - k) * a) // ((k + 1) * b)
        total, k, steps = total + term, k + 1, steps + 1
    ratio = Fraction((n - k) * a, (k + 1) * b)  # of the next term to this one; decreasing in k, below 1 as k > np
    most = total + steps * (steps + 1) // 2 + math.ceil((term + steps) * ratio / (1 - ratio))
    first = LOG.subtract(_ln_factorial(n), LOG.add(_ln_factorial(s), _ln_factorial(n - s)))
    log = LOG.add(LOG.add(first, _ln_power(n, s, p)), _ln(Fraction(most, one)))
    return bool(LOG.add(log, MARGIN) <= _ln(t))


def _exact_tail(n: int, s: int, p: Fraction, t: Fraction) -> bool:
    """P(Bin(n, p) >= s) <= t for s >= 1, all terms over the common denominator d^n."""
    a, b, d = p.numerator, p.denominator - p.numerator, p.denominator
    below = 2 * s <= n  # sum the shorter side
    if not below:  # mirror: P(Bin(n, p) >= s) = P(Bin(n, 1-p) <= n-s)
        s, a, b = n - s + 1, b, a
    term = total = 1  # C(n, k) a^k, and the sum of the terms up to k over b^(n-k)
    for k in range(1, s):
        term = term * ((n - k + 1) * a) // k
        total = total * b + term
    total, whole = total * b ** (n - s + 1), d**n
    return bool((whole - total if below else total) * t.denominator <= t.numerator * whole)


@lru_cache(maxsize=16384)
def tail_small(n: int, s: int, p: Fraction, t: Fraction) -> bool:
    """Section 9.5, clopper_pearson: P(Bin(n, p) >= s) <= t."""
    if p <= 0 or p >= 1 or s <= 0:
        return False  # p = 1 or s = 0: the tail is 1 (p = 0 is never asked with s > 0)
    return _exact_tail(n, s, p, t) if n <= EXACT_N else _large_tail(n, s, p, t)


@lru_cache(maxsize=16384)
def mixture_large(n: int, s: int, p: Fraction, t: Fraction) -> bool:
    """Section 9.5, beta_mixture; (2S)! (2F)! / (4^n S! F! n!) = C(2S, S) C(2F, F) / (4^n C(n, S))."""
    if p <= 0 or p >= 1:
        return False  # the right side is 1/(2t) > 1, or the sum cannot be S
    f, a, b, d = n - s, p.numerator, p.denominator - p.numerator, p.denominator
    if n <= EXACT_N:
        left = math.comb(2 * s, s) * math.comb(2 * f, f) * 2 * t.numerator * d**n
        return bool(left >= math.comb(n, s) * 4**n * t.denominator * a**s * b**f)
    log = LOG.subtract(LOG.add(_ln_factorial(2 * s), _ln_factorial(2 * f)), LOG.multiply(Decimal(n), _ln(4)))
    for part in (_ln_factorial(s), _ln_factorial(f), _ln_factorial(n)):
        log = LOG.subtract(log, part)
    return bool(LOG.subtract(log, MARGIN) >= LOG.subtract(_ln_power(n, s, p), _ln(2 * t)))


def check_pair(claim: Any, cell: Any, name: str, t: Fraction) -> Pair | None:
    """Section 9.5: `interval` or `oneSided` of a cell."""
    if cell[name] is None:
        return None
    low, high = (short_decimal(text, 9) for text in cell[name])
    n, total = cell["n"], rational(cell["sum"])
    least = -1 if claim["metric"] == "equalized_residuals" else 0
    need(least <= low <= total / n <= high <= 1, "order of the bounds")
    if claim["method"] != "empirical_bernstein":
        s = total.numerator
        if claim["method"] == "clopper_pearson":
            need(low == 0 or tail_small(n, s, low, t), "lower bound too high")
            need(high == 1 or tail_small(n, n - s, 1 - high, t), "upper bound too low")
        else:
            need(low == 0 or mixture_large(n, s, low, t), "lower bound too high")
            need(high == 1 or mixture_large(n, s, high, t), "upper bound too low")
    return low, high


def row_ends(form: str, pairs: Sequence[Pair | None]) -> Ends | None:
    """Section 9.5: low and high of a row; None if undecided."""
    known = [pair for pair in pairs if pair is not None]
    if len(known) < len(pairs):
        return None
    low_a, high_a = known[0]
    if len(known) == 1:
        return max(Fraction(0), low_a, -high_a), max(high_a, -low_a)
    low_b, high_b = known[1]
    if form == "difference":
        return max(Fraction(0), low_a - high_b, low_b - high_a), max(high_a - low_b, high_b - low_a)
    if high_a == 0 or high_b == 0:
        return None
    quotients = [top / bottom for top, bottom in ((high_a, low_b), (high_b, low_a)) if bottom]
    return min(low_a / high_b, low_b / high_a), min(quotients, default=None)


def population_cells(claim: Any, predicate: Any, budget: Budget) -> tuple[list[Pair | None], list[Pair | None]]:
    """Section 9.5: the cells; their intervals and their one-sided bounds."""
    cells, system = claim["witness"]["cells"], predicate["system"]
    alpha = (1 - decimal(claim["confidence"])) / predicate["multiplicity"]
    need(0 < decimal(claim["confidence"]) < 1, "confidence")
    decisions = claim["map"] == "decisions"
    need(decisions == (claim["method"] in ("clopper_pearson", "beta_mixture")), "method does not fit the map")
    need(not decisions or claim["metric"] != "equalized_residuals", "residuals of decisions")
    inner, outer = [], []
    for cell, place in zip(cells, claim_cells(claim, len(cells)), strict=True):
        need((cell["partition"], cell["group"], cell["condition"]) == place, "place of a cell")
        n, total = cell["n"], rational(cell["sum"])
        need(n > 0 or total == 0, "sum of nobody")
        need(not decisions or (total.denominator == 1 and 0 <= total <= n), "number of successes")
        known = n >= max(1, claim["minGroupSize"]) and system["frozen"] and system["heldOut"]
        given = cell["interval"] is not None
        need(given == (cell["oneSided"] is not None) and n <= 10**9, "one of two intervals, or too many people")
        need(given == known or (not given and not decisions), "interval or null")
        if given and decisions:
            budget.spend(4 * (n * n // 1000 + 100 if n <= EXACT_N else _terms(n)))
        inner.append(check_pair(claim, cell, "interval", alpha / (2 * len(cells))))
        outer.append(check_pair(claim, cell, "oneSided", alpha / (4 if claim["method"] == "beta_mixture" else 2)))
    return inner, outer


def population_verdicts(claim: Any, inner: Sequence[Ends | None], passes: bool) -> tuple[list[str], str]:
    """Section 9.5: verdict of each row and of the claim."""
    if passes:
        return ["PASS"] * len(inner), "PASS"
    ratio, verdicts = claim["form"] == "ratio", []
    for ends in inner:
        if ends is None:
            verdicts.append("UNDECIDED")
            continue
        good, bad = (ends[1], ends[0]) if ratio else (ends[0], ends[1])
        fails = good is not None and not holds(claim, good)
        verdicts.append("FAIL" if fails else "PASS" if bad is not None and holds(claim, bad) else "UNDECIDED")
    return verdicts, "FAIL" if "FAIL" in verdicts else "UNDECIDED"


def check_population(claim: Any, predicate: Any, groups: Sequence[Any], budget: Budget) -> None:
    """Section 9.5."""
    witness, form = claim["witness"], claim["form"]
    rows = claim_rows(claim, witness["rows"])
    digits = max(len(cell["sum"]) for cell in witness["cells"])
    budget.spend(len(rows) * (20 + digits // 10))
    pairs, one_sided = population_cells(claim, predicate, budget)
    check_people(claim, groups, witness["cells"], True, predicate["system"])
    inner = [row_ends(form, [pairs[k] for k in chosen]) for chosen in rows]
    outer = [row_ends(form, [one_sided[k] for k in chosen]) for chosen in rows]
    ratio = form == "ratio"
    worst = min if ratio else max
    bounds = [ends[0] if ratio else ends[1] for ends in outer if ends is not None]
    known = [bound for bound in bounds if bound is not None]
    bound = worst(known) if known else None
    decided = None not in inner and None not in outer
    passes = decided and bound is not None and holds(claim, bound)
    verdicts, verdict = population_verdicts(claim, inner, passes)
    for row, ends, expected in zip(witness["rows"], inner, verdicts, strict=True):
        low = None if ends is None else down(ends[0])
        high = None if ends is None or ends[1] is None else up(ends[1])
        need((row["low"], row["high"], row["verdict"]) == (low, high, expected), "row")
    need(claim["verdict"] == verdict, "verdict of a claim")
    means = [rational(cell["sum"]) / max(1, cell["n"]) for cell in witness["cells"]]
    values = [row_value(form, [means[k] for k in chosen]) for chosen, ends in zip(rows, inner, strict=True) if ends]
    points = [value for value in values if value is not None]
    lows = [ends[0] for ends in inner if ends]
    highs = [ends[1] for ends in inner if ends and ends[1] is not None]
    near = down if ratio else up
    need(claim["estimate"] == (near(worst(points)) if points else None), "estimate")
    need(claim["lower"] == (down(worst(lows)) if lows else None), "lower")
    need(claim["upper"] == (up(worst(highs)) if highs else None), "upper")
    need(claim["bound"] == (near(bound) if bound is not None else None), "bound")
    need(claim["neededSampleSize"] is None or verdict == "UNDECIDED", "neededSampleSize")
    first = sum(cell["n"] for cell in witness["cells"] if cell["partition"] == 0)
    need(claim["sampleSize"] == first, "sampleSize")
    need(claim["decisionGap"] is None, "decisionGap of a population claim")


# ------------------------------------------------------------------------------------------------- 9.6 to 9.8: derived
def check_agreement(claims: Sequence[Any]) -> None:
    """Section 9.6."""
    known: dict[Any, tuple[int, str]] = {}
    for claim in claims:
        witness, population = claim["witness"], claim["kind"] == "population"
        if not population and claim["form"] not in ("difference", "ratio", "pooled"):
            continue
        if not population and witness["batches"]["total"] != 1:
            continue
        cut = claim["decisionThreshold"] if claim["map"] == "decisions" else None
        alone = population and claim["metric"] == "equalized_residuals"
        for cell in witness["cells"] if population else witness["batches"]["listed"][0]["cells"]:
            features = tuple(claim["partitions"][cell["partition"]]["features"])
            key = (alone, claim["map"], cut, claim["conditionOn"], features, tuple(cell["group"]), cell["condition"])
            found = (cell["n"], cell["sum"])
            need(known.setdefault(key, found) == found, "claims do not agree on a cell")


def regulatory_view(table: Any, total: int, four_fifths: bool) -> dict[str, Any]:
    """Section 9.7, one view."""
    rates = [Fraction(cell["positives"], cell["n"]) if cell["n"] else None for cell in table["cells"]]
    small = [not four_fifths and 50 * cell["n"] < total for cell in table["cells"]]
    largest = max((rate for rate, out in zip(rates, small, strict=True) if rate is not None and not out), default=0)
    rows, excluded = [], 0
    for cell, rate, out in zip(table["cells"], rates, small, strict=True):
        ratio = None
        if rate is None:
            flag = "no data"
        elif out:
            flag = "under 2%"
        elif largest == 0:
            flag = "no selection"
        else:
            ratio = rate / largest
            flag = "below 4/5" if four_fifths and 5 * ratio < 4 else "none"
        excluded += cell["n"] if flag == "under 2%" or "(missing)" in cell["value"] else 0
        shown = [None if number is None else down(number) for number in (rate, ratio)]
        row = {"group": cell["value"], "n": cell["n"], "rate": shown[0], "impactRatio": shown[1], "flag": flag}
        rows.append(row)
    name = "ugesp-four-fifths/1978" if four_fifths else "nyc-ll144-selection-rate/2023"
    return {"id": name, "features": table["features"], "rows": rows, "excluded": excluded}


def regulatory_views(tables: Sequence[Any], total: int) -> list[dict[str, Any]]:
    """Section 9.7."""
    return [regulatory_view(table, total, four_fifths) for table in tables for four_fifths in (True, False)]


def quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


SCOPES = {
    "batch": "in every batch",
    "population": "in the population with confidence {confidence}",
    "pooled": "over everybody in the log",
    "moment": "at the end of every batch, over everybody so far, from {span} people on",
    "window": "at the end of every batch, over the fewest latest batches with at least {span} people",
    "weighted": "over the batches of the log that hold both groups",
    "skipped": "in the log",
    "bound": "over the batches of the log that hold both groups",
    "differentiable": "in the evidence",
}
AVERAGE = "average of a batch's difference between two groups' mean {mean}, weighted by its people,"
QUANTITIES = {
    "projection": "the root mean square distance between served predictions and the exact {projection}",
    "weighted": f"the largest {AVERAGE}",
    "skipped": "the largest share of people who were served in a batch without one of two groups,",
    "bound": f"the largest bound that a last multiplier gives on the {AVERAGE}",
    "steps": "every multiplier and step size in the log follows from the predictions before it",
    "chain": "the log's records are those that its head commits to, in their order, none changed, missing or added",
    "treatment": (
        "the largest difference between what two people of unequal groups are served whose scores are equal, or of "
        "whom the better served has the lower one,"
    ),
    "differentiable": "the share of batches at whose scores the exact {projection} is differentiable,",
    "radius": "the least distance of a batch's scores from where the derivative of the exact {projection} changes,",
    "sensitivity": (
        "the largest change of anybody else's value of the exact {projection} where one person joins a batch, leaves "
        "it, or changes group,"
    ),
}


def statement_text(claim: Any) -> str:
    """Section 9.8."""
    decision = f"decision (score > {claim['decisionThreshold']})"
    mean = {"served": "prediction", "scores": "score", "decisions": decision}[claim["map"]]
    if claim["form"] in ("projection", *LAYERED):
        layer = claim["witness"]["layer"]
        onto = f"{claim['metric']} at most {layer['epsilon']} in [{layer['lower']}, {layer['upper']}]"
        quantity = QUANTITIES[claim["form"]].format(projection=f"projection of the scores onto {onto}")
    elif claim["form"] in SUMMARIES:
        quantity = QUANTITIES[claim["form"]].format(mean=mean)
    elif claim["metric"] == "equalized_residuals":
        quantity = f"the largest absolute mean of (label - {mean}) of a group"
    elif claim["form"] != "ratio":
        quantity = f"the largest difference between two groups' mean {mean}"
    else:
        quantity = f"the smallest ratio between two groups' mean {mean}"
    groups = " and ".join(" × ".join(map(quoted, partition["features"])) for partition in claim["partitions"])
    within = "" if claim["conditionOn"] is None else f", within each {quoted(claim['conditionOn'])}"
    own = claim["kind"] == "aggregate" or claim["form"] == "differentiable"
    scope = SCOPES[claim["form" if own else "scope"]].format_map(claim)
    comparison = f"{'at most' if claim['comparator'] == '<=' else 'at least'} {claim['threshold']}"
    tolerance = "" if claim["tau"] == "0" else f" (solver tolerance {claim['tau']})"
    return f"{quantity} over {groups}{within}, {scope}, is {comparison}{tolerance}"


# ------------------------------------------------------------------------------------------------------- 9.9: replay
NO_GROUPS: dict[str, Any] = {
    "metric": None, "conditionOn": None, "decisionGap": None, "neededSampleSize": None, "sensitiveFeatures": [],
    "conditions": [], "partitions": [], "intersectional": False, "tau": "0", "decisionThreshold": "0",
    "minGroupSize": 1, "comparator": "<=", "bound": None,
}  # fmt: skip
REPLAY = NO_GROUPS | {"form": "network", "map": "scores", "scope": "batch", "method": "ball", "confidence": None}


def check_fixed(claim: Any, expected: dict[str, Any]) -> None:
    need(all(_same(claim[name], value) for name, value in expected.items()), "fixed members of a claim")


def check_network(witness: Any, predicate: Any) -> None:
    """Section 9.9: the network that a claim is about stands in the bundle, and is the system's."""
    system, digests = predicate["system"], {item["role"]: item["sha256"] for item in predicate["materials"]}
    need(system["model"] is not None, "a claim about a network without a model")
    need(witness["model"] == digests.get("model") == system["model"]["sha256"], "model of a claim")
    need(witness["preprocessing"] == digests.get("preprocessing") == system["preprocessing"], "inputs of a claim")


def check_replay(claim: Any, total: int, predicate: Any) -> None:
    """Section 9.9, and of 9.1 that the threshold is not negative."""
    witness = claim["witness"]
    check_fixed(claim, REPLAY)
    check_network(witness, predicate)
    counted, undecided, worst, certain = (witness[name] for name in ("counted", "undecided", "worst", "certain"))
    need(0 <= counted <= total and counted + undecided == total, "counts of a replay")
    need((certain is None) == (worst is None) == (counted == 0), "bounds of nobody")
    threshold = decimal(claim["threshold"])
    need(threshold >= 0, "negative threshold")
    expected: tuple[str | None, str | None] = (None, None)
    verdict = "UNDECIDED"
    if worst is not None:
        low, high = short_decimal(certain, 40), short_decimal(worst["upper"], 40)
        need(0 <= low <= high, "order of the bounds of a replay")
        expected = (down(low), up(high))
        if low > threshold:
            verdict = "FAIL"
        elif undecided == 0 and high <= threshold:
            verdict = "PASS"
    need((claim["lower"], claim["upper"]) == expected and claim["estimate"] == expected[1], "estimate of a replay")
    need(claim["verdict"] == verdict, "verdict of a replay")
    need(claim["sampleSize"] == total, "sampleSize")
    text = "the largest difference between a logged score and the value of the network over the reals"
    need(claim["statement"] == f"{text}, for everybody in the evidence, is at most {claim['threshold']}", "statement")


# --------------------------------------------------------------------------------------------------- 9.10: aggregate
def check_aggregate(claim: Any, total: int) -> None:
    """Section 9.10: what is fixed for each form, but for the metric and `span`, which the schema fixes."""
    form = claim["form"]
    fixed: dict[str, Any] = {"scope": "log", "method": "exact", "confidence": None, "comparator": "<="}
    fixed |= {"bound": None, "neededSampleSize": None, "sampleSize": total}
    fixed |= {} if form in COLLECTIONS else {"minGroupSize": 1, "decisionGap": None}
    fixed |= {} if form in (*COLLECTIONS, "weighted") else {"map": "served", "tau": "0"}
    fixed |= {} if form in COLLECTIONS or claim["map"] == "decisions" else {"decisionThreshold": "0"}
    check_fixed(claim, fixed)


def check_collections(claim: Any, total: int, groups: Sequence[Any], system: Any) -> None:
    """Section 9.10, pooled, moment, window: how many collections, and who is in the listed ones.

    The only collection is everybody, but for a window: the last batch alone may be the first of which `span` people
    were there.
    """
    batches, span = claim["witness"]["batches"], claim["span"] or 1
    only = batches["total"] == 1
    need(only or (claim["form"] != "pooled" and span <= total), "more than one collection")
    everybody = only and (claim["form"] != "window" or span > total)
    for batch in batches["listed"]:
        check_people(claim, groups, batch["cells"], everybody, system)
        people = [0] * len(groups)
        for cell in batch["cells"]:
            people[cell["partition"]] += cell["n"]
        need(min(people) == max(people) >= min(span, total), "people of a collection")


def group_pairs(claim: Any, groups: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Section 9.10: the two groups of each row, as they stand in `groups`, whatever the condition."""
    conditions = claim["conditions"] or [None]
    return [pair for table in groups for _ in conditions for pair in itertools.combinations(table, 2)]


def check_last_moment(claim: Any, groups: Sequence[Any], worst: Sequence[Fraction | None]) -> None:
    """Section 9.10, moment: the last one is everybody, who stand in `groups`, but not by condition."""
    if claim["conditionOn"] is not None:
        return
    for (a, b), value in zip(group_pairs(claim, groups), worst, strict=True):
        reached = min(a["n"], b["n"]) >= max(1, claim["minGroupSize"])
        need((value is not None) == reached, "counted, against the last moment")
        if value is not None and claim["map"] == "served":
            last = abs(rational(a["sum"]) / a["n"] - rational(b["sum"]) / b["n"])
            need(value >= last, "the last moment is worse")


def enclosure(row: Any) -> Pair | None:
    """Section 9.10: `lower` and `upper` of a row."""
    need((row["lower"] is None) == (row["upper"] is None), "one of two bounds")
    if row["lower"] is None:
        return None
    low, high = short_decimal(row["lower"]), short_decimal(row["upper"])
    need(row["counted"] > 0, "bounds of nobody")
    need(0 <= low <= high, "order of the bounds")
    return low, high


def weighted_row(claim: Any, row: Any) -> tuple[str, Pair | None]:
    """Section 9.10, weighted: verdict, and lower and upper."""
    pair = enclosure(row)
    need((pair is None) == (row["counted"] == 0), "bounds or null")
    if pair is None:
        return "UNDECIDED", None
    return "FAIL" if not holds(claim, pair[0]) else "PASS" if holds(claim, pair[1]) else "UNDECIDED", pair


def skipped_row(claim: Any, row: Any) -> tuple[str, Pair]:
    """Section 9.10, skipped: verdict, and the share twice."""
    value = Fraction(row["people"], claim["sampleSize"])
    return "PASS" if holds(claim, value) else "FAIL", (value, value)


def bound_row(claim: Any, row: Any, system: Any) -> tuple[str, Pair | None]:
    """Section 9.10, bound: verdict, and lower and promise."""
    pair = enclosure(row)
    figures = [row[name] for name in ("last", "eta", "rounding", "promise")]
    if pair is None:
        need(figures == [None] * 4 and row["prior"] is None, "a bound of nothing")
        return "UNDECIDED", None
    need(None not in figures, "a figure of a bound is missing")
    last, eta, rounding, promise = map(short_decimal, figures)
    epsilon, first = decimal(claim["witness"]["epsilon"]), decimal(system["online"]["eta0"])
    need(last >= 0 and eta > 0 and rounding >= 0, "a negative figure of a bound")
    need(eta**2 * row["counted"] <= first**2 * (1 + Fraction(1, 2**40)), "eta is that of an earlier step")
    need(row["promise"] == up(epsilon + (last / eta + rounding) / row["people"]), "promise")
    need(pair[0] <= promise, "the average is above the promise")
    if row["prior"] is not None:
        need(len(claim["witness"]["rows"]) == 1 and system["box"] is not None, "prior")
        width = decimal(system["box"]["upper"]) - decimal(system["box"]["lower"])
        least = epsilon + (width / (2 * (eta + Fraction(1, 10**12))) + rounding) / row["people"]
        need(short_decimal(row["prior"]) >= max(least, pair[0]), "prior is too small")
    return "PASS" if holds(claim, promise) else "UNDECIDED", (pair[0], promise)


def served_in(claim: Any, row: Any) -> tuple[int, int]:
    """Section 9.10, weighted, skipped, bound: batches in which the row counts, and their people."""
    if claim["form"] == "skipped":
        return claim["witness"]["batches"] - row["batches"], claim["sampleSize"] - row["people"]
    return row["counted"], row["people"]


def check_summary(claim: Any, total: int, groups: Sequence[Any], system: Any, budget: Budget) -> None:
    """Section 9.10, weighted, skipped, bound."""
    witness, form = claim["witness"], claim["form"]
    batches, rows = witness["batches"], witness["rows"]
    claim_rows(claim, rows)
    budget.spend(len(rows) * 20)
    need(batches <= total, "more batches than people")
    if form == "bound":
        need(system["online"] is not None and system["online"]["algorithm"] == "paper", "not the paper's algorithm")
        check_layer(claim, system["layer"])
        need(witness["epsilon"] == system["layer"]["epsilon"], "epsilon is not the layer's")
        need(decimal(witness["epsilon"]) >= 0, "negative epsilon")
    found: list[tuple[str, Pair | None]] = []
    for row, (a, b) in zip(rows, group_pairs(claim, groups), strict=True):
        counted, people = served_in(claim, row)
        need(0 <= counted <= min(batches, a["n"], b["n"]) and people <= total, "batches or people of a row")
        need(2 * counted <= people and batches - counted <= total - people, "people in the batches of a row")
        need((people == total) == (counted == batches), "people, but no batches, without a group")
        need((people == 0) == (counted == 0), "people in no batch")
        if form == "bound":
            found.append(bound_row(claim, row, system))
        else:
            found.append((weighted_row if form == "weighted" else skipped_row)(claim, row))
    need(claim["verdict"] == overall([verdict for verdict, _ in found]), "verdict of a claim")
    known = [pair for _, pair in found if pair is not None]
    ends = (down(max(low for low, _ in known)), up(max(high for _, high in known))) if known else (None, None)
    need((claim["lower"], claim["upper"]) == ends and claim["estimate"] == ends[1], "estimate")


def check_log(claim: Any, total: int, predicate: Any) -> None:
    """Section 9.10, steps and chain."""
    witness, online = claim["witness"], predicate["system"]["online"]
    check_fixed(claim, NO_GROUPS | {"threshold": "0", "estimate": None, "lower": None, "upper": None})
    need(claim["statement"] == QUANTITIES[claim["form"]], "statement")
    if claim["form"] == "chain":
        need(1 <= witness["segments"] <= witness["records"] == total, "records of the log")
        need(claim["verdict"] == "PASS", "verdict of a claim")
        return
    need(online is not None and online["algorithm"] == "paper", "not the paper's algorithm")
    need(witness["faults"] <= witness["batches"] <= total, "batches of the log")
    need((witness["first"] is None) == (witness["faults"] == 0), "first fault")
    need(claim["verdict"] == ("FAIL" if witness["faults"] else "PASS"), "verdict of a claim")


def check_stream(predicate: Any) -> None:
    """Section 9.10: the claims of one certificate speak of the same log and of the same stream."""
    claims = predicate["claims"]
    by_form = {form: [claim for claim in claims if claim["form"] == form] for form in {c["form"] for c in claims}}
    heads = [material["sha256"] for material in predicate["materials"] if material["role"] == "log"]
    need([claim["witness"]["head"] for claim in by_form.get("chain", [])] == heads, "one chain claim for the log")
    need("chain" in by_form or not {"steps", "bound"} & set(by_form), "no chain claim")
    need(len(by_form.get("steps", [])) <= 1, "more than one claim about the steps")
    if any(claim["witness"]["faults"] for claim in by_form.get("steps", [])):
        rows = [row for claim in by_form.get("bound", []) for row in claim["witness"]["rows"]]
        need(all(row["promise"] is None for row in rows), "a bound of steps that do not follow")
    check_batch_count(by_form)
    check_same_rows([claim for claim in claims if claim["form"] in SUMMARIES])


def check_batch_count(by_form: dict[str, list[Any]]) -> None:
    """Section 9.10: T, as one claim states it, against the others; moments, windows and segments only bound it."""
    counts = {
        claim["witness"]["batches"]["total"] if form in ("difference", "ratio") else claim["witness"]["batches"]
        for form in ("difference", "ratio", "projection", *SUMMARIES, "steps", *LAYERED)
        for claim in by_form.get(form, [])
        if claim["kind"] != "population"
    }
    need(len(counts) <= 1, "claims about different numbers of batches")
    for batches in counts:
        for claim in by_form.get("moment", []) + by_form.get("window", []):
            total, span = claim["witness"]["batches"]["total"], claim["span"]
            need(total <= batches, "more collections than batches")
            need(span > claim["sampleSize"] or batches - total < span, "too few collections of these batches")
        need(all(claim["witness"]["segments"] <= batches for claim in by_form.get("chain", [])), "segments")


def check_same_rows(claims: Sequence[Any]) -> None:
    """Section 9.10: weighted, skipped and bound claims about the same row agree."""
    known: dict[Any, tuple[int, int]] = {}
    intervals: dict[Any, list[Pair]] = {}
    for claim in claims:
        keys = [
            (claim["conditionOn"], condition, tuple(partition["features"]), tuple(map(tuple, pair)))
            for partition in claim["partitions"]
            for condition in claim["conditions"] or [None]
            for pair in itertools.combinations(partition["groups"], 2)
        ]
        for key, row in zip(keys, claim["witness"]["rows"], strict=True):
            found = served_in(claim, row)
            need(known.setdefault(key, found) == found, "claims do not agree on a row's batches and people")
            if claim["form"] != "skipped" and claim["map"] == "served" and (pair := enclosure(row)) is not None:
                low, high = pair
                most = high if claim["form"] == "weighted" else min(high, decimal(row["promise"]))
                intervals.setdefault(key, []).append((low, most))
    for pairs in intervals.values():
        need(max(low for low, _ in pairs) <= min(high for _, high in pairs), "claims do not agree on an average")


# -------------------------------------------------------------------------------------------------- 9.11: individual
INDIVIDUAL: dict[str, Any] = {
    "metric": None, "conditionOn": None, "confidence": None, "span": None, "bound": None, "decisionGap": None,
    "neededSampleSize": None, "conditions": [], "partitions": [], "intersectional": False, "tau": "0",
    "minGroupSize": 1, "comparator": ">=",
}  # fmt: skip
DECIMAL = re.compile(r"(?:0|-?[1-9][0-9]*|-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9])")


def outer(value: Fraction, up_to: float) -> float:
    """The nearest float64 that is not inside a range that ends here; `up_to`: the infinity on the other side."""
    found = float(value)
    beyond = Fraction(found) < value if up_to > 0 else Fraction(found) > value
    found = math.nextafter(found, up_to) if beyond else found
    need(math.isfinite(found), "an end of a range beyond float64")
    return found


def number_range(item: Any) -> tuple[Fraction, Fraction]:
    """Section 9.11: the ends of an integer or continuous column, the latter's as they are meant."""
    low, high = decimal(item["low"]), decimal(item["high"])
    if item["kind"] == "integer":
        return low, high
    return Fraction(outer(low, -math.inf)), Fraction(outer(high, math.inf))


def meant_eps(item: Any) -> Fraction:
    eps = decimal(item["eps"])
    return Fraction(outer(eps, math.inf)) if item["kind"] == "continuous" else eps


def check_range(item: Any, sensitive: bool) -> None:
    """Section 9.11: one column of the domain."""
    kind, eps = item["kind"], decimal(item["eps"])
    bare = item["low"] is None and item["high"] is None
    need((kind == "category") == (item["values"] != []), "values of a range")
    need(len(set(item["values"])) == len(item["values"]), "value twice in a range")
    need(eps >= 0 and (eps == 0 or not sensitive), "eps of a range")
    if kind in ("category", "number"):
        need(bare and eps == 0, "ends or eps of a category or a number")
        need(kind == "category" or not sensitive, "a sensitive column without a range")
        return
    need(item["low"] is not None and item["high"] is not None, "a range without ends")
    ends = decimal(item["low"]), decimal(item["high"])
    need(ends[0] <= ends[1], "ends of a range")
    need(max(*map(abs, ends), eps) <= 10**15, "a range that no policy can write")
    if kind == "integer":
        need(all(number.denominator == 1 for number in (*ends, eps)), "a whole number")
        need(all(abs(end) <= 2**24 for end in ends), "an integer beyond 2^24")
    else:
        number_range(item)
        meant_eps(item)


def unit_count(claim: Any, total: int) -> Fraction:
    """Section 9.11: `units`; the columns that are not sensitive, with their lengths as they are meant."""
    if claim["form"] == "rows":
        return Fraction(total)
    found = Fraction(1)
    for item in claim["domain"]:
        if item["column"] in claim["sensitiveFeatures"]:
            continue
        if item["kind"] == "category":
            found *= len(item["values"])
        else:
            low, high = number_range(item)
            found *= high - low + 1 if item["kind"] == "integer" else high - low if low < high else 1
        need(found.denominator <= 2**1074, "units that are no rational of the format")
    return found


def plain_number(text: str) -> Fraction:
    need(len(text) <= 400 and DECIMAL.fullmatch(text) is not None, "an example's number is no decimal")
    return decimal(text)


def check_example(claim: Any, example: Any) -> None:
    """Section 9.11: one of the examples."""
    sensitive, form = claim["sensitiveFeatures"], claim["form"]
    need((example["row"] is None) == (form == "domain"), "row of an example")
    free = [item["column"] in sensitive or decimal(item["eps"]) > 0 for item in claim["domain"]]
    expected = [item for item, moves in zip(claim["domain"], free, strict=True) if moves or form == "domain"]
    need([entry["column"] for entry in example["inputs"]] == [item["column"] for item in expected], "columns")
    differ = False
    for item, entry in zip(expected, example["inputs"], strict=True):
        if item["kind"] == "category":
            need({entry["positive"], entry["negative"]} <= set(item["values"]), "value of an example")
            distance = Fraction(entry["positive"] != entry["negative"])
        else:
            pair = plain_number(entry["positive"]), plain_number(entry["negative"])
            low, high = number_range(item)
            need(all(low <= value <= high for value in pair), "an example out of range")
            need(item["kind"] != "integer" or all(value.denominator == 1 for value in pair), "a whole number")
            distance = abs(pair[0] - pair[1])
        need(item["column"] in sensitive or distance <= 2 * meant_eps(item), "an example that moves too far")
        differ = differ or distance > 0
    need(differ, "the points of an example are equal")


def individual_text(claim: Any) -> str:
    """Section 9.11: `statement`."""
    who = "the people in the evidence" if claim["form"] == "rows" else "all people of the domain"
    mean = "prediction" if claim["map"] == "served" else "score"
    moving = [f"{quoted(item['column'])} by {item['eps']}" for item in claim["domain"] if decimal(item["eps"]) > 0]
    others = f" while others may move ({', '.join(moving)})" if moving else ""
    how = "over the reals" if claim["method"] == "real" else "in every float32 evaluation"
    return (
        f"the share of {who} whose decision ({mean} > {claim['decisionThreshold']}) does not depend on "
        f"{', '.join(map(quoted, claim['sensitiveFeatures']))}{others}, {how}, is at least {claim['threshold']}"
    )


def check_shares(claim: Any, total: int) -> None:
    """Section 9.11: units, certified, falsified, outside, and the number of examples."""
    witness, rows = claim["witness"], claim["form"] == "rows"
    units, certified, falsified = (rational(witness[name], small=False) for name in ("units", "certified", "falsified"))
    outside = witness["outside"]
    need(units == unit_count(claim, total), "units")
    need(certified >= 0 and falsified >= 0 and certified + falsified <= units, "shares")
    need(rows or outside == 0, "people outside, but the domain")
    if rows:
        need(certified.denominator == falsified.denominator == 1, "a fraction of a person")
        need(certified + falsified + outside <= total, "more than all people")
    nothing = claim["map"] == "served" or witness["model"] is None
    need(not nothing or certified == falsified == outside == 0, "figures of nothing")
    need(not nothing or witness["proof"] is None, "a proof of nothing")
    columns = {item["column"] for item in claim["domain"]}
    moves = columns & set(claim["sensitiveFeatures"]) or any(decimal(item["eps"]) > 0 for item in claim["domain"])
    still = not (moves or nothing)
    need(not still or certified == units, "nothing moves, and not everybody is certified")
    need(not still or (outside == 0 and witness["proof"] is None), "nothing moves, and somebody was looked at")
    examples = len(witness["examples"])
    need(examples <= falsified if rows else examples == 0 or falsified > 0, "number of examples")


def check_claimed_network(witness: Any, predicate: Any) -> None:
    """Section 9.11: model and preprocessing are those of the materials, or both null where there are none."""
    if witness["model"] is None or witness["preprocessing"] is None:
        given = any(item["role"] == "model" for item in predicate["materials"])
        need(witness["model"] is witness["preprocessing"] and not given, "model or null")
    else:
        check_network(witness, predicate)


def check_individual(claim: Any, total: int, predicate: Any) -> None:
    """Section 9.11."""
    witness, domain, sensitive = claim["witness"], claim["domain"], claim["sensitiveFeatures"]
    digests = {item["role"]: item["sha256"] for item in predicate["materials"]}
    check_fixed(claim, INDIVIDUAL | {"sampleSize": total})
    threshold = decimal(claim["threshold"])
    need(0 <= threshold <= 1, "threshold of a share")
    need(len(set(sensitive)) == len(sensitive), "sensitive feature twice")
    need(len({item["column"] for item in domain}) == len(domain), "column twice in the domain")
    for item in domain:
        check_range(item, item["column"] in sensitive)
        need(claim["form"] == "rows" or item["kind"] != "number", "a number without range in a domain")
    check_claimed_network(witness, predicate)
    need(witness["proof"] in (None, digests.get("witness")), "proof")
    check_shares(claim, total)
    for example in witness["examples"]:
        check_example(claim, example)
    units, certified, falsified = (rational(witness[name], small=False) for name in ("units", "certified", "falsified"))
    low, high = certified / units, 1 - falsified / units
    need((claim["lower"], claim["upper"]) == (down(low), up(high)), "lower, upper")
    need(claim["estimate"] == claim["lower"], "estimate")
    verdict = "PASS" if low >= threshold else "FAIL" if high < threshold else "UNDECIDED"
    undecided = claim["map"] == "served" or witness["model"] is None
    need(claim["verdict"] == ("UNDECIDED" if undecided else verdict), "verdict of a claim")
    need(claim["statement"] == individual_text(claim), "statement")


def column(text: str) -> list[float]:
    """Section 13: a column of float64 numbers."""
    data = zlib.decompress(base64.b64decode(text, validate=True))
    return [number for (number,) in struct.iter_unpack("<d", data)]


def is_independent(document: Any) -> bool:
    """Section 9.11: no chain of weights leads from what flips to f, in the layers and domain of a proof (13)."""
    numbers: list[int] = []
    at = 0
    for feature in document["domain"]["features"]:
        width = len(feature["values"]) if feature["kind"] == "one_hot" else 1
        if feature["sensitive"] or float.fromhex(feature["eps"]) > 0:
            numbers += range(at, at + width)
        at += width
    weights = [(layer["shape"], column(layer["weight"])) for layer in document["layers"]]
    pending, seen = [(0, number) for number in numbers], set[tuple[int, int]]()
    while pending:
        depth, number = pending.pop()
        if depth == len(weights):
            return False
        if (depth, number) not in seen:
            seen.add((depth, number))
            (m, n), flat = weights[depth]
            pending += [(depth + 1, row) for row in range(m) if flat[row * n + number] != 0]
    return True


# --------------------------------------------------------------------------------------------------- 9.12: stability
STABILITY: dict[str, Any] = {
    "tau": "0", "minGroupSize": 1, "confidence": None, "span": None, "bound": None, "decisionGap": None,
    "neededSampleSize": None,
}  # fmt: skip
LIPSCHITZ: dict[str, Any] = STABILITY | {
    "metric": None, "conditionOn": None, "sensitiveFeatures": [], "conditions": [], "partitions": [],
    "intersectional": False, "decisionThreshold": "0", "comparator": "<=",
}  # fmt: skip
METHODS = ("norms", "l1_linf", "absolute", "lipsdp")  # 9.12: the order of `bounds`
PLACE = Fraction(1, 10**12)
WHAT = {
    "scores": "the Lipschitz constant of the network's score, Euclidean",
    "served": (
        "the Lipschitz constant of a batch's predictions, exactly projected, as a function of its people's inputs, "
        "Euclidean, groups fixed"
    ),
}
WHERE = {
    "everywhere": "over all inputs, in their units",
    "domain": "over the domain, in the units of the inputs",
    "ranges": "over the domain, each input in units of its range",
}
Unknown = Fraction | None  # an end that may not be known


def amount(text: str) -> Fraction:
    """Section 9.12: a figure, a decimal of at most 12 places that is not negative."""
    found = short_decimal(text)
    need(found >= 0, "a negative figure")
    return found


def check_members(claim: Any, members: Sequence[Any]) -> None:
    """Section 9.12: each a value of every sensitive feature, and a condition or none; null: nobody."""
    count = len(claim["sensitiveFeatures"])
    if claim["intersectional"]:
        values = [{group[k] for group in claim["partitions"][0]["groups"]} for k in range(count)]
    else:
        values = [{group[0] for group in partition["groups"]} for partition in claim["partitions"]]
    for member in members:
        if member is not None:
            need(len(member["group"]) == count, "length of a member's group")
            need(all(value in known for value, known in zip(member["group"], values, strict=True)), "a member's group")
            need(member["condition"] is None or member["condition"] in claim["conditions"], "a member's condition")


def treatment_ends(claim: Any, width: Fraction) -> tuple[Unknown, Unknown]:
    """Section 9.12, treatment: a and b."""
    witness = claim["witness"]
    worst, shown = witness["worst"], witness["shown"]
    if worst is None:
        need(shown is None, "two people are shown where nobody can be compared")
        return Fraction(0), Fraction(0)
    need(witness["counted"] > 0, "the worst of no batch")
    favoured, other = worst["favoured"], worst["other"]
    check_members(claim, (favoured, other))
    need(favoured["group"] != other["group"], "members of equal groups")
    need(favoured["condition"] == other["condition"], "members of two conditions")
    difference, distance = amount(worst["difference"]), amount(worst["distance"])
    need(difference <= width + PLACE, "a difference wider than the box")
    need(distance <= amount(witness["distance"]), "the worst batch is farther than all")
    most, least = min(difference + 2 * distance, width), Fraction(0)
    if shown is not None:
        least = rational(shown["difference"])
        need(least > 0, "the difference shown is none")
        need(shown["favoured"] != shown["other"], "one person is shown twice")
    need(least <= most, "the difference shown is larger than the largest")
    return least, most


def differentiable_ends(claim: Any, width: Fraction) -> tuple[Unknown, Unknown]:
    """Section 9.12, differentiable: a and b."""
    witness, ranks = claim["witness"], claim["witness"]["ranks"]
    known, counted, failing = witness["differentiable"], witness["counted"], witness["failing"]
    need(known <= counted, "more batches with a derivative than batches")
    need(decimal(claim["threshold"]) <= 1, "threshold of a share")
    need(len(failing) == min(100, counted - known), "batches without a derivative")
    need(len({entry["batch"] for entry in failing}) == len(failing), "a batch without a derivative twice")
    need((ranks is None) == (counted == 0), "ranks or null")
    need(ranks is None or ranks[0] <= ranks[1], "order of the ranks")
    return Fraction(known, witness["batches"]), Fraction(known + witness["undecided"], witness["batches"])


def radius_ends(claim: Any, width: Fraction) -> tuple[Unknown, Unknown]:
    """Section 9.12, radius: a and b."""
    witness = claim["witness"]
    worst, decades, zero = witness["worst"], witness["decades"], witness["zero"]
    exponents = [entry["exponent"] for entry in decades]
    need(all(a < b for a, b in itertools.pairwise(exponents)), "order of the decades")
    need(all(exponent >= -12 for exponent in exponents), "a decade below what 12 places can say")
    people = sum(entry["batches"] for entry in decades) + zero + witness["unlimited"]
    need(people == witness["counted"], "the radii do not add up")
    need((worst is None) == (witness["unlimited"] == witness["counted"]), "smallest radius or null")
    if worst is None:
        need(witness["atMost"] is None, "an exact radius of nothing")
        return None, None
    least = amount(worst["radius"])
    need((least == 0) == (zero > 0), "smallest radius, and how many are 0")
    need(least == 0 or Fraction(10) ** exponents[0] <= least < Fraction(10) ** (exponents[0] + 1), "first decade")
    most = None if witness["atMost"] is None else amount(witness["atMost"])
    need(most is None or most >= least, "the exact radius is below the smallest")
    return least, most


def sensitivity_ends(claim: Any, width: Fraction) -> tuple[Unknown, Unknown]:
    """Section 9.12, sensitivity: a and b."""
    witness = claim["witness"]
    worst, joining, counted = witness["worst"], witness["joining"], witness["counted"]
    limits = {"own": Fraction(1), "others": Fraction(1, 2)}
    for table in (witness["score"], witness["tolerance"]):
        need(table["batches"] <= counted, "more derivatives than batches")
        for name in table.keys() - {"batches"}:
            figure = amount(table[name])
            need(table["batches"] > 0 or figure == 0, "a derivative of no batch")
            need(figure <= limits.get(name, figure), "a derivative that no projection has")
    need((worst is None) == (joining is None) == (counted == 0), "changes or null")
    if worst is None:
        return Fraction(0), None
    check_members(claim, (worst["from"], worst["to"], worst["whose"]))
    need(worst["from"] != worst["to"], "nothing changes")
    change, reached = amount(worst["change"]), amount(joining)
    need(reached <= change <= width + PLACE, "joining, change")
    need((worst["whose"] is None) == (change == 0), "whose prediction moves")
    return reached, change


ENDS = {
    "treatment": treatment_ends,
    "differentiable": differentiable_ends,
    "radius": radius_ends,
    "sensitivity": sensitivity_ends,
}


def check_layered(claim: Any, total: int, system: Any) -> None:
    """Section 9.12, the layer."""
    witness, form, larger = claim["witness"], claim["form"], claim["form"] in LARGER
    check_fixed(claim, STABILITY | {"sampleSize": total, "decisionThreshold": "0.5"})
    check_system_layer(witness["layer"], system)
    check_layer(claim, system["layer"])
    check_batches(witness, total)
    distance = amount(witness["distance"])
    need(witness["counted"] > 0 or distance == 0, "distance in no batch")
    low, high = ENDS[form](claim, decimal(witness["layer"]["upper"]) - decimal(witness["layer"]["lower"]))
    if witness["undecided"] and form != "differentiable":
        low, high = (None, high) if larger else (low, None)
    good, bad = (low, high) if larger else (high, low)
    passes = good is not None and holds(claim, good)
    fails = bad is not None and not holds(claim, bad)
    passes = passes or (form == "radius" and witness["unlimited"] == witness["batches"])
    need(claim["verdict"] == ("PASS" if passes else "FAIL" if fails else "UNDECIDED"), "verdict of a claim")
    ends = (None if low is None else down(low), None if high is None else up(high))
    need((claim["lower"], claim["upper"]) == ends, "lower, upper")
    need(claim["estimate"] == ends[0 if larger else 1], "estimate")


def lipschitz_ends(witness: Any, digests: dict[str, str]) -> Pair | None:
    """Section 9.12, the network: `least` (0 if null) and the smallest bound; None without bounds."""
    methods = [entry["method"] for entry in witness["bounds"]]
    places = [METHODS.index(method) for method in methods]
    need(all(a < b for a, b in itertools.pairwise(places)), "order of the bounds")
    bounds = [amount(entry["bound"]) for entry in witness["bounds"]]
    need(not bounds or witness["model"] is not None, "bounds of no network")
    proven = "lipsdp" in methods or witness["least"] is not None
    need(not proven or "witness" in digests, "nothing that proves")
    need(witness["proof"] == (digests["witness"] if proven else None), "proof")
    least = amount(witness["least"] or "0")
    need(witness["least"] is None or bool(bounds), "least without bounds")
    need(all(least <= bound for bound in bounds), "least is more than a bound")
    return (least, min(bounds)) if bounds else None


def check_lipschitz(claim: Any, total: int, predicate: Any) -> None:
    """Section 9.12, the network."""
    witness, domain, served = claim["witness"], claim["domain"], claim["witness"]["served"]
    digests = {item["role"]: item["sha256"] for item in predicate["materials"]}
    check_fixed(claim, LIPSCHITZ | {"sampleSize": total})
    threshold = decimal(claim["threshold"])
    need(threshold >= 0, "negative threshold")
    need((domain is None) == (claim["method"] == "everywhere"), "domain or null")
    need(len({item["column"] for item in domain or ()}) == len(domain or ()), "column twice in the domain")
    for item in domain or ():
        check_range(item, False)
        need(item["kind"] != "number" and item["eps"] == "0", "a range that is none, or relaxed")
    check_claimed_network(witness, predicate)
    need((served is None) == (claim["map"] == "scores"), "served or null")
    if served is not None:
        check_system_layer(served["layer"], predicate["system"])
        amount(served["distance"] or "0")
    ends = lipschitz_ends(witness, digests)
    expected: tuple[str | None, str | None] = (None, None)
    verdict = "UNDECIDED"
    if ends is not None:
        low, high = (ends[0] if served is None else Fraction(0)), ends[1]
        expected = (down(low), up(high))
        if low > threshold:
            verdict = "FAIL"
        elif high <= threshold and (served is None or served["distance"] is not None):
            verdict = "PASS"
    need((claim["lower"], claim["upper"]) == expected and claim["estimate"] == expected[1], "lower, upper, estimate")
    need(claim["verdict"] == verdict, "verdict of a claim")
    text = f"{WHAT[claim['map']]}, {WHERE[claim['method']]}, is at most {claim['threshold']}"
    need(claim["statement"] == text, "statement")


# ----------------------------------------------------------------------------------------------------------- interface
def verify(
    certificate: bytes,
    public_keys: list[bytes],
    now: str,
    *,
    revocations: bytes | None = None,
    subject: str | None = None,
    model_sha256: str | None = None,
    registrar_keys: list[bytes] | None = None,
) -> str:
    """The verdict of a trusted certificate; raises Rejected for any other file."""
    with at("bundle"):
        envelope = open_bundle(strict_json(certificate))
    with at("signature"):
        check_signature(envelope, public_keys)
    with at("payload"):
        statement = open_payload(envelope.payload)
    with at("statement"):
        name, found, predicate = open_statement(statement, CERTIFICATE_TYPE)
    with at("schema"):
        need(conforms(predicate, load_schema()), "the predicate does not match the schema")
    with at("time"):
        check_time(predicate, now)
    with at("revoked"):
        if revocations is not None:
            check_revocations(revocations, public_keys, predicate["serial"], now)
    with at("subject"):
        check_subject(name, found, predicate["system"], subject, model_sha256)
    with at("inconsistent"):
        check_consistency(predicate, found)
    with at("registration"):
        check_registration(predicate, registrar_keys or public_keys)
    return str(predicate["verdict"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("certificate", type=Path)
    parser.add_argument("--public-key", type=Path, nargs="+", action="extend", required=True)
    parser.add_argument("--now", required=True)
    parser.add_argument("--revoked", type=Path)
    parser.add_argument("--subject")
    options = parser.parse_args(arguments)
    revocations = None if options.revoked is None else options.revoked.read_bytes()
    keys = [path.read_bytes() for path in options.public_key]
    try:
        verdict = verify(
            options.certificate.read_bytes(), keys, options.now, revocations=revocations, subject=options.subject
        )
    except Rejected as rejected:
        print(f"{rejected.step}: {rejected}")
        return 4
    print(verdict)
    return 0


if __name__ == "__main__":
    sys.exit(main())
