"""Make certificates/accept, reject, keys and index.json anew: `python tests/golden/make_golden.py`, from the root.

Signatures vary, so the files are made once and frozen: they stand for every certificate that was ever issued. Make them
again only when the format changes, and say so in the CHANGELOG. All keys here are test keys.
"""

from __future__ import annotations

import base64
import copy
import functools
import json
import pickle
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.golden.cases import CASES, NOW, PRIVATE, public_pem  # noqa: E402
from tests.golden.forge import (  # noqa: E402
    CERTIFICATE,
    REVOCATIONS,
    certificate,
    drop,
    dump,
    edited,
    envelope,
    key_id,
    pae,
    payload_of,
    put,
    rederived,
    registration,
    revocations,
    seal,
    signature,
    statement,
    widened,
)
from tests.golden.individual_lies import individual_contradictions, individual_lies, individual_shapes  # noqa: E402
from tests.golden.logs import LOG_FAULTS  # noqa: E402
from tests.golden.stability_lies import stability_contradictions, stability_lies, stability_shapes  # noqa: E402
from tests.golden.stream_lies import stream_contradictions, stream_lies, stream_shapes  # noqa: E402
from tests.oracles.second_verifier import canonical, digest  # noqa: E402

OUT = ROOT / "certificates"
WITH_EVIDENCE = (
    "batches",
    "clopper-pearson",
    "replay",
    "stream-paper",
    "individual",
    "individual-finite",
    "stability",
    "lipschitz-proven",
)  # their bundles are stored
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# Of the contradictions and lies below these are stored, to keep the folder small; the tests make all of them.
STORED = {
    "verdict-pass-over-fail", "verdict-pass-over-undecided", "verdict-pass-over-nothing", "claim-passes-over-counts",
    "failures-denied", "threshold-loosened", "row-counts-differ", "nobody", "groups-do-not-add-up",
    "more-positives-than-people", "share", "unknown-counts", "material-twice", "policy-digest", "system-digest",
    "claim-twice", "multiplicity", "estimand", "group-twice", "single-feature-missing", "view-altered",
    "threshold-negative", "tau-negative", "statement", "metric", "row-name", "rows-swapped", "cells-swapped",
    "small-group-decided", "smallest-group", "worst-batch-unlisted", "only-batch-unlisted", "listed-batch-is-worse",
    "cell-people-moved", "cell-sum-moved", "sum-of-nobody", "rational-not-in-lowest-terms", "below-denied",
    "range-too-small", "estimate", "estimate-rounded-down", "decision-gap", "decision-gap-too-small", "gap-negative",
    "distance-undecided-batch", "projection-pass-over-distance", "clopper-pearson-interval-lower-too-tight",
    "clopper-pearson-oneSided-upper-too-tight", "beta-mixture-oneSided-upper-too-tight", "mean-outside",
    "interval-missing", "intervals-unfrozen", "confidence-1", "confidence-raised", "method-swapped",
    "people-of-a-sample", "too-many-people", "row-verdict", "pass-without-bound", "claim-left-out", "positives",
    "replayed-for-new-predictions", "replayed-for-a-new-policy", "path-traversal", "confidence-lowered",
    "model-swapped", "replay-model", "replay-pass-over-fail", "replay-bound-tightened", "replay-for-a-new-model",
    "online-no-box", "stream-moments-left-out", "stream-pass-of-too-few", "stream-worst-moment-better-than-the-last",
    "stream-skipped-nobody", "stream-skipped-fails-are-denied", "stream-averages-far-apart", "stream-promise",
    "stream-eta-of-a-step-before", "stream-prior-too-small", "stream-bound-in-spite-of-faults", "chain-head",
    "chain-no-log", "stream-head", "stream-last-multiplier", "stream-steps-fail",
    "unknown-form", "moment-without-span", "bound-without-prior",
    "individual-served-passes", "individual-passes-over-fail", "individual-column-twice", "individual-range-reversed",
    "individual-eps-of-the-sensitive", "individual-domain-of-a-number", "individual-certified-too-large",
    "individual-what-is-no-input-matters", "individual-served-certified", "individual-another-proof",
    "individual-units-of-a-domain", "individual-outside-of-a-domain",
    "individual-example-points-equal", "individual-example-above-its-range", "individual-example-moves-too-far",
    "individual-example-changes-hours", "individual-statement", "individual-estimate", "domain-of-a-replay",
    "individual-scores", "individual-certified", "individual-outside-denied", "individual-domain-falsified-doubled",
    "individual-eps", "individual-example-swapped",
    "stability-passes-over-fail", "stability-another-epsilon", "stability-claims-disagree",
    "treatment-shown-more-than-can-be", "treatment-unequal-conditions", "share-names-nobody",
    "radius-of-another-decade", "change-joins-more-than-the-largest", "lipschitz-bound-below-least",
    "lipschitz-proof-of-another-file", "stability-of-scores", "decade-of-no-batch", "treatment-lowered",
    "treatment-favours-the-other", "radius-raised", "change-of-whom", "lipschitz-bound-tightened",
    "lipschitz-least-raised", "lipschitz-in-other-units",
}  # fmt: skip
Json = dict[str, Any]
INDEX: list[Json] = []
PREDICATES: dict[str, Json] = {}


def write(path: str, content: bytes) -> None:
    target = OUT / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def accept(name: str, content: bytes, verdict: str, **options: Any) -> None:
    write(f"accept/{name}.certificate.json", content)
    INDEX.append({"file": f"accept/{name}.certificate.json", "case": name, "verdict": verdict, **_options(options)})


def reject(step: str, name: str, content: bytes | None, good: str = "reject/certificate.json", **options: Any) -> None:
    """A file that must be refused at this step; `input` means that the verifier's own options are refused.

    Without content it is a good certificate, refused because of the options.
    """
    path = f"reject/{step}/{name}.json" if content is not None else good
    if content is not None:
        write(path, content)
    INDEX.append({"file": path, "case": name, "step": step, **_options(options)})


def _options(options: Json) -> Json:
    return {key: value for key, value in options.items() if (key, value) not in (("keys", ["owner"]), ("now", NOW))}


def bent(**changes: Any) -> Json:
    """The bundle of the base certificate, with members of its envelope changed."""
    found = envelope(canonical(statement(PREDICATES["parity"])))
    found["dsseEnvelope"].update(changes)
    return found


def lean(predicate: Json) -> Json:
    """The same with less prose: small files. Their base64 ends in padding, which some of the bad ones bend."""
    claims = [{**claim, "assumptions": []} for claim in predicate["claims"]]
    found = {**predicate, "claims": claims, "environment": {}, "nonClaims": ["-"]}
    return found if len(canonical(statement(found))) % 3 else {**found, "nonClaims": ["--"]}


def make_accepted(folder: Path) -> None:
    for name, case in CASES.items():
        evidence, certified = case.build(folder / name)
        PREDICATES[name] = certified.predicate if name in WITH_EVIDENCE else lean(certified.predicate)
        options: Json = {"keys": [case.key]}
        if case.registered:
            options["registrarKeys"] = ["registrar"]
        if name in WITH_EVIDENCE:
            shutil.copytree(evidence, OUT / f"accept/{name}.evidence")
            options["evidence"] = f"accept/{name}.evidence"
        if case.model is not None:
            options["model"] = digest(case.model)
        accept(name, certified.content, case.verdict, **options)
    base = PREDICATES["parity"]
    found = bent()
    while not {"+", "/"} & set(found["dsseEnvelope"]["signatures"][0]["sig"]):
        found = bent()
    for text in ("payload", "sig"):
        holder = found["dsseEnvelope"] if text == "payload" else found["dsseEnvelope"]["signatures"][0]
        holder[text] = holder[text].replace("+", "-").replace("/", "_")
    accept("url-safe-base64", dump(found), "PASS")
    found = envelope(canonical(statement(base)))
    found["verificationMaterial"]["publicKey"]["hint"] = found["dsseEnvelope"]["signatures"][0]["keyid"] = ""
    accept("empty-keyid", dump(found), "PASS")
    found = envelope(canonical(statement(base)))
    del found["dsseEnvelope"]["signatures"][0]["keyid"]
    accept("absent-keyid", dump(found), "PASS")
    found = envelope(canonical(statement(base)))
    found["verificationMaterial"]["tlogEntries"] = [{"logIndex": "7", "verdict": "FAIL"}]
    found["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": []}
    accept("unsigned-members", json.dumps(found, indent=2).encode(), "PASS")
    payload = canonical(statement(base))
    r, s = decode_dss_signature(signature("owner", pae(payload)))
    accept("mirrored-signature", dump(envelope(payload, sig=encode_dss_signature(r, P256_ORDER - s))), "PASS")
    accept("aliased-keys", dump(bent()), "PASS", keys=["stranger", "owner", "owner", "p384", "ed25519"])
    accept("expected-subject", dump(bent()), "PASS", subject=digest(canonical(base["system"])))
    entry = {"serial": "another", "revokedAt": "2026-01-01T05:00:00Z", "reason": "replaced"}
    write("reject/revoked/another.list.json", revocations([entry]))
    accept("another-is-revoked", dump(bent()), "PASS", revocations="reject/revoked/another.list.json")
    accept("issued-60-s-ahead", dump(bent()), "PASS", now="2025-12-31T23:59:00Z")
    wide = copy.deepcopy(PREDICATES["clopper-pearson"])
    for cell in wide["claims"][0]["witness"]["cells"]:
        for key in ("interval", "oneSided"):
            cell[key] = [widened(cell[key][0], "0.01", up=False), widened(cell[key][1], "0.01", up=True)]
    accept("wider-bounds", certificate(rederived(wide)), "PASS", evidence="accept/clopper-pearson.evidence")
    wide = edited(PREDICATES["replay"], put("claims/0/witness/worst/upper", "0.0000001"), rederived)
    accept("replay-wider", certificate(wide), "PASS", evidence="accept/replay.evidence")


def make_bundle() -> None:
    base = PREDICATES["parity"]
    good = dump(bent())
    payload = canonical(statement(base))
    sig = bent()["dsseEnvelope"]["signatures"][0]

    def raw(name: str, content: bytes) -> None:
        reject("bundle", name, content)

    def unsigned(name: str, literal: bytes) -> None:
        raw(name, good[:-1] + b',"x":' + literal + b"}")

    raw("empty", b"")
    raw("not-json", b"certificate")
    raw("pickle", pickle.dumps(base))
    raw("array", b"[" + good + b"]")
    raw("byte-order-mark", b"\xef\xbb\xbf" + good)
    raw("utf-16", good.decode().encode("utf-16"))
    raw("latin-1", good[:-1] + b',"x":"\xe9"}')
    raw("trailing-bytes", good + b"{}")
    raw("duplicate-key", good[:-1] + b',"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}')
    raw("duplicate-key-nested", good.replace(b'"payloadType":', b'"payloadType":"x","payloadType":'))
    unsigned("duplicate-key-unsigned", b'{"a":{"b":1,"b":1}}')
    for name, literal in {
        "nan": b"NaN",
        "infinity": b"Infinity",
        "huge-exponent": b"1e999",
        "fraction": b"1.5",
        "integer-2-53": b"9007199254740992",
        "integer-5000-digits": b"9" * 5000,
        "lone-surrogate": b'"\\ud800"',
        "depth-65": b"[" * 64 + b"]" * 64,
    }.items():
        unsigned(name, literal)
    found = bent()
    found["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2"
    raw("media-type-v0.2", dump(found))
    del found["mediaType"]
    raw("no-media-type", dump(found))
    other = "application/vnd.certifair+json"
    swapped = base64.b64encode(signature("owner", pae(payload, other))).decode()
    raw("payload-type-swapped", dump(bent(payloadType=other, signatures=[{**sig, "sig": swapped}])))
    raw("no-signature", dump(bent(signatures=[])))
    raw("signature-twice", dump(bent(signatures=[sig, sig])))
    extra = {"sig": base64.b64encode(signature("stranger", pae(payload))).decode(), "keyid": key_id("stranger")}
    raw("extra-signature", dump(bent(signatures=[sig, extra])))
    raw("signatures-object", dump(bent(signatures={"sig": sig["sig"]})))
    raw("signature-member", dump(bent(signatures=[{**sig, "alg": "none"}])))
    raw("keyid-null", dump(bent(signatures=[{**sig, "keyid": None}])))
    raw("no-sig", dump(bent(signatures=[{"keyid": sig["keyid"]}])))
    raw("envelope-member", dump(bent(predicate={"verdict": "PASS"})))
    found = bent()
    found["verificationMaterial"]["publicKey"]["hint"] = 7
    raw("hint-number", dump(found))
    found["verificationMaterial"] = {"certificate": {"rawBytes": ""}}
    raw("certificate-chain", dump(found))
    text = bent()["dsseEnvelope"]["payload"]
    assert text.endswith("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = len(text.rstrip("=")) - 1
    bits = text[:last] + alphabet[alphabet.index(text[last]) + 1] + text[last + 1 :]
    assert base64.b64decode(bits) == base64.b64decode(text)
    for name, spelled in {
        "base64-unpadded": text.rstrip("="),
        "base64-trailing-bits": bits,
        "base64-newline": text[:76] + "\n" + text[76:],
        "base64-mixed": "-_+/" + text[4:],
        "base64-foreign": "*" + text[1:],
        "base64-padded-twice": text + "====",
        "payload-empty": "",
    }.items():
        raw(name, dump(bent(payload=spelled)))


def make_signature() -> None:
    base = PREDICATES["parity"]
    payload = canonical(statement(base))

    def signed(name: str, sig: bytes, key: str = "owner", **options: Any) -> None:
        reject("signature", name, dump(envelope(payload, key, sig)), **options)

    reject("signature", "wrong-key", seal(payload, "stranger"))
    signed("right-keyid-wrong-key", signature("stranger", pae(payload)))
    signed("keyid-of-another-key", signature("owner", pae(payload)), "stranger", keys=["owner", "stranger"])
    signed("no-pae", signature("owner", payload))
    signed("other-type-in-pae", signature("owner", pae(payload, "application/json")))
    signed("sha-384-with-p256", signature("owner", pae(payload), hashes.SHA384()))
    signed("zero-r-s", encode_dss_signature(0, 0))
    r, s = decode_dss_signature(signature("owner", pae(payload)))
    signed("raw-r-s", r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    signed("r-plus-order", encode_dss_signature(r + P256_ORDER, s))
    signed("one-byte", b"\0")
    signed("trailing-byte", signature("owner", pae(payload)) + b"\0")
    signed("disallowed-curve", signature("koblitz", pae(payload)), "koblitz")
    signed("p384-not-pinned", signature("p384", pae(payload)), "p384", keys=["owner", "ed25519"])
    signed("ed25519-not-pinned", signature("ed25519", pae(payload)), "ed25519", keys=["owner", "p384"])
    changed = payload.replace(b'"verdict":"PASS"', b'"verdict":"FAIL"')
    signed("payload-changed", signature("owner", pae(changed)))
    for name, keyid in {
        "keyid-altered": "0" * 64,
        "keyid-upper-case": key_id("owner").upper(),
        "keyid-short": "a",
    }.items():
        found = envelope(payload)
        found["dsseEnvelope"]["signatures"][0]["keyid"] = keyid
        reject("signature", name, dump(found))
    found = envelope(payload)
    found["verificationMaterial"]["publicKey"]["hint"] = key_id("stranger")
    reject("signature", "hint-of-another-key", dump(found), keys=["owner", "stranger"])
    reject("input", "disallowed-curve-pinned", seal(payload, "koblitz"), keys=["koblitz"])


def make_payload() -> None:
    base = PREDICATES["parity"]
    good = canonical(statement(base))
    for name, content in {
        "spaces": json.dumps(payload_of(seal(good)), ensure_ascii=False).encode(),
        "key-order": json.dumps(statement(base), separators=(",", ":"), ensure_ascii=False).encode(),
        "newline": good + b"\n",
        "escaped-letter": good.replace(b'"golden"', b'"g\\u006flden"'),
        "duplicate-key": good.replace(b'"verdict":"PASS","verifier"', b'"verdict":"FAIL","verdict":"PASS","verifier"'),
        "nan": good.replace(b'"multiplicity":0', b'"multiplicity":NaN'),
        "fraction": good.replace(b'"multiplicity":0', b'"multiplicity":0.0'),
        "exponent": good.replace(b'"multiplicity":0', b'"multiplicity":0e0'),
        "minus-zero": good.replace(b'"multiplicity":0', b'"multiplicity":-0'),
        "integer-2-53": good.replace(b'"multiplicity":0', b'"multiplicity":9007199254740992'),
        "lone-surrogate": good.replace(b'"golden"', b'"\\ud83d"'),
        "byte-order-mark": b"\xef\xbb\xbf" + good,
        "not-json": b"verdict: PASS",
        "pickle": pickle.dumps(base),
        "depth-65": good.replace(b'"registration":null', b'"registration":' + b'{"a":' * 62 + b"{}" + b"}" * 62),
        "utf-16-key-order": canonical(statement(base)).replace(
            b'"environment":{', '"environment":{"\uff61":"","\U0001f600":"",'.encode()
        ),
    }.items():
        assert content != good, name
        reject("payload", name, seal(content))


def make_statement() -> None:
    base = PREDICATES["parity"]
    good = statement(base)
    subject = good["subject"][0]
    data = {"name": "data.parquet", "digest": {"sha256": base["materials"][0]["sha256"]}}

    def bad(name: str, **changes: Any) -> None:
        reject("statement", name, seal(canonical({**good, **changes})))

    bad("predicate-type-swapped", predicateType="https://in-toto.io/attestation/svr/v0.2")
    bad("predicate-type-next-version", predicateType=CERTIFICATE.replace("v0", "v1"))
    bad("type-v0.1", _type="https://in-toto.io/Statement/v0.1")
    bad("two-subjects", subject=[subject, data])
    bad("no-subject", subject=[])
    bad("subject-object", subject=subject)
    bad("two-digests", subject=[{**subject, "digest": {**subject["digest"], "sha512": "0" * 128}}])
    bad("digest-upper-case", subject=[{**subject, "digest": {"sha256": subject["digest"]["sha256"].upper()}}])
    bad("digest-short", subject=[{**subject, "digest": {"sha256": subject["digest"]["sha256"][:-1]}}])
    bad("digest-newline", subject=[{**subject, "digest": {"sha256": subject["digest"]["sha256"] + "\n"}}])
    bad("name-null", subject=[{**subject, "name": None}])
    bad("subject-member", subject=[{**subject, "uri": "x"}])
    bad("unknown-member", verdict="PASS")
    without = {key: value for key, value in good.items() if key != "predicate"}
    reject("statement", "no-predicate", seal(canonical(without)))
    reject("statement", "array", seal(canonical([good])))
    reject("statement", "registration-offered", dump(registration("0" * 64, "2025-12-01T00:00:00Z", "owner")))
    reject("statement", "revocations-offered", revocations([]))


def make_schema() -> None:
    base = PREDICATES["parity"]
    claim = "claims/0/"
    for name, change in {
        "unknown-member": put("passed", True),
        "unknown-member-of-claim": put(claim + "override", "PASS"),
        "unknown-member-of-witness": put(claim + "witness/note", "x"),
        "missing-member": drop("nonClaims"),
        "verdict-lower-case": put("verdict", "pass"),
        "boolean-for-integer": put(claim + "witness/rows/0/counted", True),
        "integer-for-boolean": put("system/frozen", 0),
        "integer-for-decimal": put(claim + "threshold", 1),
        "decimal-exponent": put(claim + "threshold", "2e-1"),
        "decimal-minus-zero": put(claim + "tau", "-0"),
        "decimal-zero-at-end": put(claim + "threshold", "0.20"),
        "decimal-nan": put(claim + "threshold", "NaN"),
        "decimal-arabic-digits": put(claim + "threshold", "\u0660.\u0662"),
        "decimal-401-characters": put(claim + "threshold", "0." + "1" * 399),
        "decimal-newline": put(claim + "threshold", "0.2\n"),
        "rational-over-zero": put("groups/0/cells/0/sum", "1/0"),
        "rational-2401-characters": put("groups/0/cells/0/sum", "1" * 2401),
        "negative-count": put("groups/0/cells/0/n", -1),
        "unknown-kind": put(claim + "kind", "stability"),
        "metric-null": put(claim + "metric", None),
        "population-of-served": put(claim + "kind", "population"),
        "confidence-without-sample": put(claim + "confidence", "0.95"),
        "serial-newline": put("serial", "golden-parity\n"),
        "time-offset": put("issuedAt", "2026-01-01T00:00:00+00:00"),
        "time-lower-case": put("issuedAt", "2026-01-01t00:00:00z"),
        "time-blank": put("issuedAt", "2026-01- 1T00:00:00Z"),
        "empty-group-value": put("groups/0/cells/0/value", [""]),
        "registration-text": put("policy/registration", "yes"),
    }.items():
        reject("schema", name, certificate(edited(base, change)))
    for name, (case, edit) in {**stream_shapes(), **individual_shapes(), **stability_shapes()}.items():
        if name in STORED:
            reject("schema", name, certificate(edited(lean(PREDICATES[case]), edit)))
    reject("schema", "replay-of-a-metric", certificate(edited(lean(PREDICATES["replay"]), put(claim + "metric",
           "demographic_parity"))))  # fmt: skip
    reject("schema", "predicate-null", seal(canonical(statement(None, subject=("golden", "0" * 64)))))


def make_time() -> None:
    base = PREDICATES["parity"]
    good = None
    reject("time", "expired", good, now="2026-04-01T00:00:01Z")
    reject("time", "expires-now", good, now=base["validUntil"])
    reject("time", "issued-61-s-ahead", good, now="2025-12-31T23:58:59Z")
    for name, change in {
        "ends-before-it-begins": put("issuedAt", "2026-04-02T00:00:00Z"),
        "ends-as-it-begins": put("validUntil", base["issuedAt"]),
        "month-13": put("validUntil", "2026-13-01T00:00:00Z"),
        "february-30": put("validUntil", "2026-02-30T00:00:00Z"),
        "hour-24": put("validUntil", "2026-02-01T24:00:00Z"),
        "second-60": put("validUntil", "2026-06-30T23:59:60Z"),
        "year-0": put("issuedAt", "0000-01-01T00:00:00Z"),
    }.items():
        reject("time", name, certificate(edited(base, change)))


def make_revoked() -> None:
    base = PREDICATES["parity"]
    good = certificate(base)
    entry = {"serial": base["serial"], "revokedAt": "2026-01-01T05:00:00Z", "reason": "wrong data"}
    predicate = {"issuedAt": "2026-01-01T06:00:00Z", "revoked": [{**entry, "serial": "other"}]}
    lists = {
        "listed": revocations([entry]),
        "list-of-a-stranger": revocations([], "stranger"),
        "list-not-a-bundle": b"[]",
        "list-truncated": revocations([{**entry, "serial": "a"}])[:-9],
        "list-with-another-digest": seal(canonical(statement(predicate, REVOCATIONS, ("revocations", "0" * 64)))),
        "list-is-a-certificate": good,
        "list-with-unknown-member": revocations([], note="x"),
        "list-with-bad-entry": revocations([{"serial": "a"}]),
        "list-with-array-entry": revocations([["serial", "revokedAt", "reason"]]),
        "list-with-bad-time": revocations([{**entry, "serial": "a", "revokedAt": "2026-01- 1T00:00:00Z"}]),
        "list-in-lower-case": revocations([{**entry, "serial": "a", "revokedAt": "2026-01-01t00:00:00z"}]),
    }
    for name, content in lists.items():
        write(f"reject/revoked/{name}.list.json", content)
        reject("revoked", name, None, revocations=f"reject/revoked/{name}.list.json")


def make_subject() -> None:
    base = PREDICATES["parity"]
    name, data = base["system"]["name"], base["materials"][0]["sha256"]

    def about(subject: tuple[str, str]) -> bytes:
        return seal(canonical(statement(base, subject=subject)))

    reject("subject", "data-set-offered", about(("data.parquet", data)))
    reject("subject", "data-set-under-the-name", about((name, data)))
    reject("subject", "another-name", about(("another", digest(canonical(base["system"])))))
    system = {**base["system"], "version": "2"}
    reject("subject", "another-version", about((name, digest(canonical(system)))))
    reject("subject", "another-expected", None, subject=digest(canonical(system)))
    reject("subject", "data-set-expected", None, subject=data)
    reject("subject", "model-without-one", None, model=digest(b"weights"))
    reject("subject", "replayed-for-a-new-model", certificate(PREDICATES["clopper-pearson"]), model=digest(b"new"))


Lies = dict[str, tuple[str, list[Any]]]


def contradictions() -> Lies:
    """Certificates that contradict themselves: name -> (the case they start from, edits)."""
    made: Lies = {}

    def bad(name: str, base: str, *edits: Any) -> None:
        assert name not in made
        made[name] = (base, list(edits))

    claim, cell, row = "claims/0/", "claims/0/witness/batches/listed/0/cells/0/", "claims/0/witness/rows/0/"
    bad("verdict-pass-over-fail", "parity-fail", put("verdict", "PASS"))
    bad("verdict-pass-over-undecided", "undersized", put("verdict", "PASS"))
    bad("verdict-pass-over-nothing", "no-claims", put("verdict", "PASS"))
    bad("claim-passes-over-counts", "parity-fail", put(claim + "verdict", "PASS"), put("verdict", "PASS"))
    bad(
        "failures-denied", "parity-fail", put(row + "failed", 0), put(claim + "verdict", "PASS"), put("verdict", "PASS")
    )  # fmt: skip
    bad("threshold-loosened", "parity-fail", put(claim + "threshold", "0.9"))
    bad("row-counts-differ", "parity", put("materials/1/rowCount", 61))
    bad("row-counts-null", "parity", put("materials/0/rowCount", None), put("materials/1/rowCount", None))
    bad("groups-do-not-add-up", "parity", put("groups/0/cells/0/n", 31))
    bad("nobody", "parity", put("materials/0/rowCount", 0), put("materials/1/rowCount", 0))
    bad("more-positives-than-people", "parity", put("groups/0/cells/0/positives", 31))
    bad("sums-differ", "intersection", put("groups/0/cells/0/sum", "1"))
    bad("share", "parity", put("groups/0/cells/0/share", "0.51"))
    bad("unknown-counts", "missing-group", put("population/unknownCounts/sex", 0))
    bad("unknown-counts-of-a-stranger", "parity", put("population/unknownCounts/age", 0))
    bad("material-twice", "parity", lambda p: p["materials"].append(p["materials"][0]))
    bad("material-missing", "parity", put("materials/3/role", "multipliers"))
    bad("policy-digest", "parity", put("policy/sha256", "0" * 64))
    bad(
        "system-digest",
        "parity",
        lambda p: next(m for m in p["materials"] if m["role"] == "system").update(sha256="0" * 64),
    )
    bad("claim-twice", "parity", lambda p: p["claims"].append(p["claims"][0]))
    bad("multiplicity", "clopper-pearson", put("multiplicity", 2))
    bad("estimand", "parity", put("population/estimand", "superpopulation"))
    bad("partition-twice", "parity", lambda p: p["groups"].append(p["groups"][0]))
    bad("group-twice", "parity", put("groups/0/cells/1/value", ["f"]))
    bad("groups-swapped", "parity", lambda p: p["groups"][0]["cells"].reverse())
    bad("intersection-of-no-claim", "intersection", lambda p: p["claims"].pop(0))
    bad("single-feature-missing", "intersection", lambda p: p["groups"].pop(1))
    bad("partition-unknown", "intersection", lambda p: p["groups"].pop(0))
    bad(
        "view-altered",
        "parity-fail",
        put("regulatoryViews/0/rows/0/flag", "none"),
        put("regulatoryViews/0/rows/1/flag", "none"),
    )
    bad("view-missing", "parity", lambda p: p["regulatoryViews"].pop())
    bad("view-excludes", "missing-group", put("regulatoryViews/0/excluded", 0))
    bad("threshold-negative", "parity-fail", put(claim + "threshold", "-0.1"), rederived)
    bad("tau-negative", "parity", put(claim + "tau", "-0.001"), rederived)
    bad("comparator", "parity", put(claim + "comparator", ">="))
    bad("statement", "parity", put(claim + "statement", "everything is fair"))
    bad("sensitive-feature-twice", "parity", put(claim + "sensitiveFeatures", ["sex", "sex"]))
    bad("intersectional", "intersection", put(claim + "intersectional", False))
    bad("condition-without-need", "parity", put(claim + "conditionOn", "label"))
    bad("condition-twice", "intersection", put("claims/1/conditions", ["north", "north"]))
    bad("conditions-of-the-label", "batches", put("claims/2/conditions", ["1", "0"]))
    bad("metric", "parity", put(claim + "metric", "equalized_odds"))
    bad("ratio-of-residuals", "residuals", put(claim + "form", "ratio"), put(claim + "comparator", ">="))
    bad("row-name", "parity", put(row + "row", "sex: f - f"))
    bad("row-missing", "missing-group", lambda p: p["claims"][0]["witness"]["rows"].pop())
    bad("rows-swapped", "missing-group", lambda p: p["claims"][0]["witness"]["rows"].reverse())
    bad("cells-swapped", "parity", lambda p: p["claims"][0]["witness"]["batches"]["listed"][0]["cells"].reverse())
    bad("cell-missing", "parity", lambda p: p["claims"][0]["witness"]["batches"]["listed"][0]["cells"].pop())
    bad("counted-too-many", "parity", put(row + "counted", 2))
    bad("small-group-decided", "undersized", put(row + "counted", 1), put(row + "undecided", 0))
    bad("smallest-group", "parity", put(row + "smallestGroup", 29))
    bad("worst-batch-unlisted", "parity", put(row + "worstBatch", "b9"))
    bad("worst-batch-null", "parity", put(row + "worstBatch", None))
    bad("only-batch-unlisted", "parity", put("claims/0/witness/batches/listed", []))
    bad("batch-twice", "batches", lambda p: p["claims"][0]["witness"]["batches"]["listed"].append(
        p["claims"][0]["witness"]["batches"]["listed"][0]))  # fmt: skip
    bad("more-batches-than-people", "batches", put("claims/0/witness/batches/total", 121),
        lambda p: [r.update(counted=121) for r in p["claims"][0]["witness"]["rows"]])  # fmt: skip
    bad("listed-batch-is-worse", "batches", _another_worst)
    bad("listed-batch-of-no-row", "batches", _unused_batch)
    bad("cell-people-moved", "parity", put(cell + "n", 29), rederived)
    bad("cell-sum-moved", "parity", put(cell + "sum", "15"), rederived)
    bad("cell-positives", "parity", put(cell + "positives", 0), rederived)
    bad("cell-positives-above-n", "batches", put(cell + "positives", 999))
    bad("sum-of-nobody", "absent-group", put(cell + "sum", "1"))
    bad("sum-of-decisions", "batches", put("claims/1/witness/batches/listed/0/cells/0/sum", "1/2"))
    bad("label-sum-missing", "residuals", drop("claims/0/witness/batches/listed/0/cells/0/labelSum"))
    bad("label-sum-too-much", "parity", put(cell + "labelSum", "1"))
    bad("rational-not-in-lowest-terms", "parity", put(cell + "sum", "2/4"))
    bad("rational-over-one", "parity", put(cell + "sum", "15/1"))
    bad(
        "below-denied",
        "box-violated",
        put(claim + "witness/bounds/above", 0),
        put(claim + "verdict", "PASS"),
        put("verdict", "PASS"),
    )
    bad("below-invented", "parity", put(claim + "witness/bounds/below", 1))
    bad("bounds-reversed", "parity", put(claim + "witness/bounds/lower", "2"))
    bad("range-too-small", "parity", put(claim + "witness/bounds/maximum", "1/4"))
    bad("outside-more-than-people", "box-violated", put(claim + "witness/bounds/above", 61))
    bad("estimate", "parity", put(claim + "estimate", "0"))
    bad("estimate-rounded-down", "parity", _last_digit("estimate"))
    bad("lower", "parity", put(claim + "lower", "0"))
    bad("upper", "parity", _last_digit("upper"))
    bad("sample-size", "parity", put(claim + "sampleSize", 59))
    bad("decision-gap", "parity", put(claim + "decisionGap", "0.9"))
    bad("decision-gap-missing", "batches", put(claim + "decisionGap", None))
    bad("decision-gap-too-small", "batches", put(claim + "decisionGap", "0"))
    bad("decision-gap-of-decisions", "batches", put("claims/1/decisionGap", "0.5"))
    projection = "claims/1/"
    bad("gap-negative", "projection", put(projection + "witness/worst/gap", "-0.1"))
    bad("distance", "projection", put(projection + "estimate", "0"), put(projection + "upper", "0"))
    bad(
        "distance-undecided-batch",
        "projection",
        put(projection + "witness/counted", 1),
        put(projection + "witness/undecided", 1),
    )
    bad("projection-pass-over-distance", "projection-undecided", put(claim + "verdict", "PASS"), put("verdict", "PASS"))
    bad("projection-tau", "projection", put(projection + "tau", "0.1"))
    bad("projection-least-group", "projection", put(projection + "minGroupSize", 2))
    bad("projection-worst-null", "projection", put(projection + "witness/worst", None))
    bad(
        "projection-batches",
        "projection",
        put(projection + "witness/batches", 61),
        put(projection + "witness/counted", 61),
    )
    bad("projection-people", "projection", put(projection + "witness/worst/n", 61), rederived)
    bad("projection-box", "projection", put(projection + "witness/layer/lower", "2"), rederived)
    bad("projection-epsilon", "projection", put(projection + "witness/layer/epsilon", "-1"), rederived)
    sample = "claims/0/witness/cells/0/"

    def tighter(key: str, end: int) -> Any:
        def edit(p: Json) -> Any:
            pair = p["claims"][0]["witness"]["cells"][0][key]
            pair[end] = widened(pair[end], "-0.000000003", up=bool(end))
            return rederived(p)

        return edit

    for base in ("clopper-pearson", "beta-mixture"):
        for key in ("interval", "oneSided"):
            for end in (0, 1):
                bad(f"{base}-{key}-{'upper' if end else 'lower'}-too-tight", base, tighter(key, end))
    bad("bound-of-10-places", "clopper-pearson", put(sample + "interval/1", "0.9999999999"), rederived)
    bad("bound-above-1", "clopper-pearson", put(sample + "interval/1", "1.1"), rederived)
    bad("bound-below-0", "clopper-pearson", put(sample + "interval/0", "-0.1"), rederived)
    bad("mean-outside", "bernstein", put(sample + "interval/0", "0.99"), rederived)
    bad(
        "interval-missing", "clopper-pearson", put(sample + "interval", None), put(sample + "oneSided", None), rederived
    )
    bad("one-of-two-intervals", "bernstein", put(sample + "interval", None), rederived)
    bad("intervals-unfrozen", "clopper-pearson", put("system/frozen", False), rederived)
    bad("intervals-of-trained-rows", "bernstein", put("system/heldOut", False), rederived)
    bad("interval-of-too-few", "clopper-pearson", put(claim + "minGroupSize", 151), rederived)
    bad("successes-fraction", "clopper-pearson", put(sample + "sum", "1/2"), rederived)
    bad("successes-more-than-people", "clopper-pearson", put(sample + "sum", "151"))
    bad("confidence-1", "clopper-pearson", put(claim + "confidence", "1"))
    bad("confidence-0", "clopper-pearson", put(claim + "confidence", "0"))
    bad("confidence-raised", "clopper-pearson", put(claim + "confidence", "0.99"), rederived)
    bad("method-of-scores", "clopper-pearson", put(claim + "method", "empirical_bernstein"))
    bad("method-of-decisions", "bernstein", put(claim + "method", "clopper_pearson"))
    bad("method-swapped", "clopper-pearson", put(claim + "method", "beta_mixture"))
    bad(
        "residuals-of-decisions",
        "bernstein",
        put("claims/1/map", "decisions"),
        put("claims/1/method", "clopper_pearson"),
    )
    bad("people-of-a-sample", "clopper-pearson", put(sample + "n", 151), rederived)
    bad("too-many-people", "bernstein", _too_many)
    bad("row-low", "clopper-pearson", put("claims/0/witness/rows/0/low", "0.1"))
    bad("row-high", "clopper-pearson", put("claims/0/witness/rows/0/high", "0"))
    bad("row-verdict", "beta-mixture", put("claims/0/witness/rows/0/verdict", "PASS"))
    bad("bound", "clopper-pearson", put(claim + "bound", "0"))
    bad(
        "pass-without-bound",
        "beta-mixture",
        put(claim + "verdict", "PASS"),
        put("claims/1/verdict", "PASS"),
        put("verdict", "PASS"),
    )
    bad("advice-without-need", "clopper-pearson", put(claim + "neededSampleSize", 400))
    bad("sample-size-of-a-sample", "clopper-pearson", put(claim + "sampleSize", 301))
    bad("decision-gap-of-a-sample", "clopper-pearson", put(claim + "decisionGap", "0.1"))
    return {**made, **_contradicted_replays(), **_contradicted_claims()}


def _contradicted_claims() -> Lies:
    return {**stream_contradictions(), **individual_contradictions(), **stability_contradictions()}


def _without(*roles: str) -> Any:
    return lambda p: p.update(materials=[item for item in p["materials"] if item["role"] not in roles])


def _contradicted_replays() -> Lies:
    """Each rule of certificates/README.md 9.9, broken."""
    claim, witness, other = "claims/0/", "claims/0/witness/", "0" * 64
    passed = (put(claim + "verdict", "PASS"), put("verdict", "PASS"))
    one_less = (put(witness + "counted", 19), put(witness + "undecided", 1))
    made: dict[str, list[Any]] = {
        "model": [put(witness + "model", other)],
        "preprocessing": [put(witness + "preprocessing", other)],
        "materials-missing": [_without("model", "preprocessing")],
        "material-alone": [_without("preprocessing")],
        "of-another-model": [put("system/model/sha256", other), rederived],
        "of-another-preprocessing": [put("system/preprocessing", other), rederived],
        "of-no-model": [put("system/model", None), rederived],
        "of-no-preprocessing": [put("system/preprocessing", None), rederived],
        "counts": [put(witness + "counted", 19)],
        "more-than-people": [put(witness + "counted", 21)],
        "undecided-passes": [*one_less],
        "nobody-bounded": [put(witness + "counted", 0), put(witness + "undecided", 20), rederived],
        "worst-null": [put(witness + "worst", None)],
        "certain-null": [put(witness + "certain", None)],
        "bounds-null": [put(witness + "certain", None), put(witness + "worst", None), rederived],
        "bounds-reversed": [put(witness + "certain", "0.0000001"), rederived],
        "certain-negative": [put(witness + "certain", "-0.1"), rederived],
        "41-places": [put(witness + "worst/upper", f"0.{'0' * 40}1"), rederived],
        "estimate": [put(claim + "estimate", "0")],
        "lower": [put(claim + "lower", None)],
        "upper": [put(claim + "upper", "0")],
        "sample-size": [put(claim + "sampleSize", 19)],
        "statement": [put(claim + "statement", "the model is fair")],
        "threshold-negative": [put(claim + "threshold", "-0.1"), rederived],
        "tau": [put(claim + "tau", "0.1"), rederived],
        "decision-threshold": [put(claim + "decisionThreshold", "0.5"), rederived],
        "least-group": [put(claim + "minGroupSize", 0), rederived],
        "intersectional": [put(claim + "intersectional", True), rederived],
        "comparator": [put(claim + "comparator", ">=")],
        "decision-gap": [put(claim + "decisionGap", "0")],
    }
    found: Lies = {f"replay-{name}": ("replay", edits) for name, edits in made.items()}
    found["replay-pass-over-fail"] = ("replay-fail", [*passed])
    found["replay-pass-over-undecided"] = ("replay-undecided", [*passed])
    found["replay-threshold-loosened"] = ("replay-fail", [put(claim + "threshold", "0.1"), *passed])
    found["model-alone"] = ("replay", [_without("preprocessing"), put("claims", []), put("verdict", "UNDECIDED")])
    return found


def make_inconsistent() -> None:
    for name, (base, edits) in contradictions().items():
        if name in STORED:
            reject("inconsistent", name, certificate(edited(lean(PREDICATES[base]), *edits)))


def _last_digit(member: str) -> Any:
    def edit(p: Json) -> None:
        text = p["claims"][0][member]
        p["claims"][0][member] = text[:-1] + str((int(text[-1]) - 1) % 10 or 5)

    return edit


def _another_worst(p: Json) -> None:
    rows = p["claims"][2]["witness"]["rows"]
    rows[0]["worstBatch"], rows[1]["worstBatch"] = rows[1]["worstBatch"], rows[0]["worstBatch"]


def _unused_batch(p: Json) -> None:
    batches = p["claims"][1]["witness"]["batches"]
    found = copy.deepcopy(batches["listed"][0])
    found["batch"] = "b9"
    batches["listed"].append(found)


def _too_many(p: Json) -> None:
    """Two billion people, everything else in order."""
    n = 2 * 10**9
    for item in p["materials"]:
        item["rowCount"] = n if item["role"] in ("data", "predictions") else item["rowCount"]
    counts = [n - 10, 10]
    for k, count in enumerate(counts):
        p["groups"][0]["cells"][k].update(n=count, positives=0, sum="5")
        for claim in p["claims"]:
            claim["witness"]["cells"][k].update(n=count, sum="0", interval=["0", "1"], oneSided=["0", "1"])
    rederived(p)


def make_registration() -> None:
    base = PREDICATES["registered"]
    policy, at = base["policy"]["sha256"], base["policy"]["registeredAt"]
    options = {"registrarKeys": ["registrar"]}

    def bad(name: str, registered: Any, when: Any = at, **more: Any) -> None:
        changed = edited(base, put("policy/registration", registered), put("policy/registeredAt", when))
        reject("registration", name, certificate(changed), **{**options, **more})

    bad("time-without-proof", None)
    bad("another-time", registration(policy, at), "2025-11-01T00:00:00Z")
    bad("another-policy", registration("0" * 64, at))
    bad("by-a-stranger", registration(policy, at, "stranger"))
    bad("by-the-owner", registration(policy, at, "owner"))
    bad("by-a-registrar-not-pinned", registration(policy, at), registrarKeys=[])
    bad("after-issue", registration(policy, "2026-01-01T00:00:01Z"), "2026-01-01T00:00:01Z")
    bad("blank-in-time", registration(policy, "2025-12- 1T00:00:00Z"))
    bad("lower-case-time", registration(policy, "2025-12-01t00:00:00z"))
    bad("not-a-bundle", {"registeredAt": at})
    bad("a-certificate", json.loads(seal(canonical(statement(PREDICATES["parity"])), "registrar")))
    broken = registration(policy, at)
    broken["dsseEnvelope"]["signatures"] *= 2
    bad("signed-twice", broken)


def lies() -> Lies:
    """Consistent lies: only the evidence tells."""
    made: Lies = {}

    def bad(name: str, base: str, *edits: Any) -> None:
        assert name not in made
        made[name] = (base, [*edits, rederived])

    def digest_of(role: str) -> Any:
        return lambda p: next(m for m in p["materials"] if m["role"] == role).update(sha256="0" * 64)

    bad("threshold-loosened", "batches", put("claims/0/threshold", "0.9"))
    bad("tau-loosened", "batches", put("claims/2/tau", "0.01"))
    bad("claim-left-out", "batches", lambda p: p["claims"].pop(1))
    bad("claim-added", "batches", lambda p: p["claims"].append({**copy.deepcopy(p["claims"][0]), "id": "again"}))
    bad("claims-swapped", "batches", lambda p: p["claims"].insert(0, p["claims"].pop()))
    bad("claim-renamed", "batches", put("claims/0/id", "another"))
    bad("smallest-group", "batches", put("claims/0/witness/rows/0/smallestGroup", 9))
    bad("decision-gap", "batches", put("claims/0/decisionGap", "1"))
    bad("positives", "batches", lambda p: [t["cells"][k].update(positives=t["cells"][k]["positives"] + d)
                                          for t in p["groups"] for k, d in ((0, 1), (1, -1))])  # fmt: skip
    for role in ("data", "predictions", "manifest"):
        bad(f"replayed-for-new-{role}", "batches", digest_of(role))
    bad("replayed-for-a-new-policy", "batches", put("policy/sha256", "0" * 64))
    bad("another-system", "batches", put("system/version", "2"))
    bad("material-of-no-file", "batches", lambda p: p["materials"].insert(
        2, {"role": "multipliers", "path": "multipliers.parquet", "sha256": "0" * 64, "rowCount": 1}))  # fmt: skip
    bad("path-traversal", "batches", put("materials/0/path", "../../../etc/passwd"))
    bad("absolute-path", "batches", put("materials/0/path", "/etc/passwd"))
    bad("exclusion-invented", "batches", put("population/exclusions", [{"reason": "x", "count": 1}]))
    bad("window-invented", "batches", put("population/window", ["2020", "2030"]))
    bad("confidence-lowered", "clopper-pearson", put("claims/0/confidence", "0.5"))
    bad("model-swapped", "clopper-pearson", put("system/model/sha256", digest(b"new")))

    def tighter(p: Json, key: str, end: int) -> None:
        pair = p["claims"][0]["witness"]["cells"][0][key]
        pair[end] = widened(pair[end], "-0.000000001", up=bool(end))

    for key, end in (("interval", 0), ("interval", 1), ("oneSided", 0), ("oneSided", 1)):
        edit = functools.partial(tighter, key=key, end=end)
        bad(f"bernstein-{key}-{'upper' if end else 'lower'}-too-tight", "bernstein", edit)
    witness = "claims/0/witness/"
    bad("replay-bound-tightened", "replay", put(witness + "worst/upper", "0"), put(witness + "certain", "0"))
    bad("replay-certain-raised", "replay", put(witness + "certain", f"0.{'0' * 39}1"))
    bad("replay-everybody-bounded", "replay-undecided", put(witness + "counted", 20), put(witness + "undecided", 0))
    bad("replay-fails-more", "replay-fail", put(witness + "certain", "0.000002"), put(witness + "worst/upper", "1"))
    bad("replay-left-out", "replay", lambda p: p["claims"].pop())
    bad("replay-of-new-inputs", "replay", digest_of("data"))
    bad("replay-for-a-new-model", "replay", digest_of("model"), put(witness + "model", "0" * 64),
        put("system/model/sha256", "0" * 64))  # fmt: skip
    bad("replay-for-new-preprocessing", "replay", digest_of("preprocessing"), put("system/preprocessing", "0" * 64),
        put(witness + "preprocessing", "0" * 64))  # fmt: skip
    for name, (base, edits) in {**individual_lies(), **stability_lies()}.items():
        bad(name, base, *edits)
    return {**made, **stream_lies()}


def make_evidence() -> None:
    for name, (base, edits) in lies().items():
        if name in STORED:
            lie = edited(PREDICATES[base], *edits)
            options = {"evidence": f"accept/{base}.evidence", "verdict without evidence": lie["verdict"]}
            reject("evidence", name, certificate(lie), **options)
    for name, change in LOG_FAULTS.items():
        path = f"reject/evidence/{name}.evidence"
        shutil.copytree(OUT / "accept/stream-paper.evidence", OUT / path)
        change(OUT / path / "log")
        options = {"evidence": path, "verdict without evidence": "PASS"}
        reject("evidence", name, None, "accept/stream-paper.certificate.json", **options)


def main() -> None:
    for name in ("accept", "reject", "keys"):
        shutil.rmtree(OUT / name, ignore_errors=True)
    for name in PRIVATE:
        write(f"keys/{name}.pub.pem", public_pem(name))
    with tempfile.TemporaryDirectory() as folder:
        make_accepted(Path(folder))
    write("reject/certificate.json", certificate(PREDICATES["parity"]))
    for make in (make_bundle, make_signature, make_payload, make_statement, make_schema, make_time, make_revoked,
                 make_subject, make_inconsistent, make_registration, make_evidence):  # fmt: skip
        make()
    lines = ",\n".join(json.dumps(entry) for entry in INDEX)
    write("index.json", f"[\n{lines}\n]\n".encode())
    size = sum(path.stat().st_size for path in OUT.rglob("*") if path.is_file())
    print(f"{len(INDEX)} cases, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
