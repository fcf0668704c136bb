"""Every file under certificates/ as its index says, by the product and by the second verifier; and files that are too
large for git, or that git cannot hold.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest

from certifair.certificate.derive import derive
from certifair.certificate.keys import parse_public_key
from certifair.certificate.schema import check_shape
from certifair.certificate.times import parse_time
from certifair.certificate.verify import Expectations, check_evidence, verify_certificate
from certifair.errors import InputError, UntrustedError
from certifair.evidence.bundle import PATHS, load, read_contents
from certifair.evidence.columns import read_columns, table_bytes
from certifair.exact.decimals import format_decimal, parse_decimal
from tests.golden import make_golden
from tests.golden.cases import CASES, NOW, pinned, public_pem
from tests.golden.forge import (
    canonical,
    certificate,
    digest,
    edited,
    envelope,
    pae,
    put,
    rederived,
    seal,
    signature,
    statement,
)
from tests.golden.individual_lies import figures, individual_lies, individual_shapes
from tests.golden.logs import Columns, log_head, logged_rows, write_log
from tests.golden.stability_lies import bound, stability_shapes, witness
from tests.golden.stream_lies import member, role, stream_shapes
from tests.golden.truth import false_claims, holds, people_of
from tests.oracles import individual_oracle, second_verifier
from tests.oracles.second_verifier import Rejected

FOLDER = Path(__file__).parents[2] / "certificates"
INDEX = json.loads((FOLDER / "index.json").read_text())
SCHEMA = json.loads((FOLDER / "certificate-v0.schema.json").read_text())
Json = dict[str, Any]
Built = dict[str, tuple[Path, Json]]


def name_of(entry: Json) -> str:
    return f"{entry.get('step', 'accept')}/{entry['case']}"


def pems(names: list[str]) -> list[bytes]:
    return [(FOLDER / f"keys/{name}.pub.pem").read_bytes() for name in names]


def product(entry: Json, content: bytes) -> str:
    """The verdict, or the step that refused."""
    listed = entry.get("revocations")
    try:
        expect = Expectations(
            keys=[parse_public_key(pem, "key") for pem in pems(entry.get("keys", ["owner"]))],
            now=parse_time(entry.get("now", NOW)),
            revocations=None if listed is None else (FOLDER / listed).read_bytes(),
            subject_sha256=entry.get("subject"),
            model_sha256=entry.get("model"),
            registrar_keys=[parse_public_key(pem, "key") for pem in pems(entry.get("registrarKeys", []))],
        )
        evidence = FOLDER / entry["evidence"] if "evidence" in entry else None
        return verify_certificate(content, expect, evidence).verdict.value
    except UntrustedError as error:
        return error.step
    except InputError:
        return "input"


def second(entry: Json, content: bytes) -> str:
    """The same, by the second verifier; it knows no evidence and counts a bad key to the signature."""
    listed = entry.get("revocations")
    try:
        return second_verifier.verify(
            content,
            pems(entry.get("keys", ["owner"])),
            entry.get("now", NOW),
            revocations=None if listed is None else (FOLDER / listed).read_bytes(),
            subject=entry.get("subject"),
            model_sha256=entry.get("model"),
            registrar_keys=pems(entry.get("registrarKeys", [])),
        )
    except Rejected as rejected:
        return rejected.step


@pytest.mark.parametrize("entry", INDEX, ids=name_of)
def test_verdict_or_step(entry: Json) -> None:
    expected = entry.get("verdict") or entry["step"]
    assert product(entry, (FOLDER / entry["file"]).read_bytes()) == expected


@pytest.mark.parametrize("entry", INDEX, ids=name_of)
def test_the_second_verifier_agrees(entry: Json) -> None:
    expected = entry.get("verdict") or entry["step"]
    expected = {"input": "signature", "evidence": entry.get("verdict without evidence")}.get(expected, expected)
    assert second(entry, (FOLDER / entry["file"]).read_bytes()) == expected


def test_every_stored_file_is_in_the_index() -> None:
    named = {entry[key] for entry in INDEX for key in ("file", "revocations") if key in entry}
    stored = {
        str(path.relative_to(FOLDER)) for step in ("accept", "reject") for path in (FOLDER / step).rglob("*.json")
    }
    assert {path for path in stored if ".evidence/" not in path} == named
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 3_000_000


@pytest.mark.parametrize("name", sorted(path.name.split(".")[0] for path in (FOLDER / "keys").iterdir()))
def test_the_stored_keys_are_those_of_the_script(name: str) -> None:
    assert (FOLDER / f"keys/{name}.pub.pem").read_bytes() == public_pem(name)


def _predicates() -> list[Any]:
    """Of every stored file whose payload parses."""
    found = []
    for entry in INDEX:
        if entry.get("step") not in ("bundle", "signature", "payload", "statement"):
            found.append(make_golden.payload_of((FOLDER / entry["file"]).read_bytes())["predicate"])
    return found


def test_another_schema_validator_agrees() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    outcomes = set()
    for predicate in _predicates():
        try:
            check_shape(predicate)
            ours = True
        except ValueError:
            ours = False
        # Python's `$` also matches before a final line feed, ECMA's does not: such texts are not comparable.
        newline = any(text.endswith("\n") for text in _texts(predicate))
        assert newline or validator.is_valid(predicate) == ours
        outcomes.add(ours)
    assert outcomes == {True, False}


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict | list):
        return [text for item in (value.values() if isinstance(value, dict) else value) for text in _texts(item)]
    return [value] if isinstance(value, str) else []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Every case made anew: evidence and predicate."""
    folder = tmp_path_factory.mktemp("cases")
    made = {}
    for name, case in CASES.items():
        evidence, certified = case.build(folder / name)
        made[name] = (evidence, certified.predicate)
    return made


@pytest.fixture
def predicates(built: Built, monkeypatch: pytest.MonkeyPatch) -> dict[str, Json]:
    found = {name: predicate for name, (_, predicate) in built.items()}
    monkeypatch.setattr(make_golden, "PREDICATES", found)
    return found


def entry_of(**options: Any) -> Json:
    return {"registrarKeys": ["registrar"], **options}


@pytest.mark.parametrize("name", CASES)
def test_cases_made_anew_are_accepted(built: Built, name: str) -> None:
    evidence, predicate = built[name]
    entry = entry_of(evidence=str(evidence))
    content = certificate(predicate)
    assert product(entry, content) == second(entry, content) == CASES[name].verdict


@pytest.mark.parametrize("name", make_golden.contradictions())
def test_contradictions(predicates: dict[str, Json], name: str) -> None:
    base, edits = make_golden.contradictions()[name]
    content = certificate(edited(predicates[base], *edits))
    assert (product(entry_of(), content), second(entry_of(), content)) == ("inconsistent", "inconsistent")


SHAPES = {**stream_shapes(), **individual_shapes(), **stability_shapes()}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(predicates: dict[str, Json], name: str) -> None:
    base, edit = SHAPES[name]
    content = certificate(edited(predicates[base], edit))
    assert (product(entry_of(), content), second(entry_of(), content)) == ("schema", "schema")


@pytest.mark.parametrize("name", make_golden.lies())
def test_consistent_lies(built: Built, name: str) -> None:
    base, edits = make_golden.lies()[name]
    evidence, predicate = built[base]
    lie = edited(predicate, *edits)
    content = certificate(lie)
    assert product(entry_of(), content) == second(entry_of(), content) == lie["verdict"]
    assert product(entry_of(evidence=str(evidence)), content) == "evidence"


def hostile() -> dict[str, tuple[str, Callable[[bytes], bytes]]]:
    """Too large to store: name -> (step, from the good file's payload to the file)."""

    def unsigned(literal: bytes) -> Callable[[bytes], bytes]:
        return lambda payload: seal(payload)[:-1] + b',"x":' + literal + b"}"

    deep = 100_000
    return {
        "depth-100000-array": ("bundle", unsigned(b"[" * deep + b"]" * deep)),
        "depth-100000-object": ("bundle", unsigned(b'{"a":' * deep + b"0" + b"}" * deep)),
        "depth-100000-open": ("bundle", lambda payload: b"[" * deep),
        "depth-100000-payload": ("payload", lambda payload: seal(b"[" * deep + b"]" * deep)),
        "digits-4000000": ("bundle", unsigned(b"1" * 4_000_000)),
        "oversize": ("bundle", lambda payload: seal(payload) + b" " * (16 << 20)),
        "zeros": ("bundle", lambda payload: b"\0" * (16 << 20)),
        "oversize-payload": ("bundle", lambda payload: seal(payload + b" " * (13 << 20))),
        "wide-payload": ("statement", lambda payload: seal(b"[" + b"0," * 5_000_000 + b"0]")),
        "keys-300000": (
            "statement",
            lambda payload: seal(b"{" + b",".join(b'"%06d":0' % k for k in range(300_000)) + b"}"),
        ),
        "strings": ("schema", _with(lambda p: p["environment"].update({f"{k:06}": k for k in range(200_000)}))),
        "notes": ("inconsistent", _with(lambda p: (p["nonClaims"].append("x" * 5_000_000), p.update(verdict="FAIL")))),
    }


def _with(edit: Callable[[Json], Any]) -> Callable[[bytes], bytes]:
    return lambda payload: certificate(edited(json.loads(payload)["predicate"], edit))


@pytest.mark.parametrize("name", hostile())
def test_hostile_files_are_refused_within_seconds(predicates: dict[str, Json], name: str) -> None:
    step, make = hostile()[name]
    content = make(canonical(statement(predicates["parity"])))
    assert product(entry_of(), content) == step
    assert second(entry_of(), content) == step


@pytest.mark.parametrize("depth", [62, 63])
def test_the_allowed_depth(predicates: dict[str, Json], depth: int) -> None:
    content = seal(canonical(statement(predicates["parity"])))
    nested = content.replace(b'"tlogEntries":[]', b'"tlogEntries":' + b"[" * depth + b"]" * depth)
    assert nested != content
    content, expected = nested, "PASS" if depth + 2 <= 64 else "bundle"
    assert product(entry_of(), content) == second(entry_of(), content) == expected


def test_exactly_16_mib_are_allowed(predicates: dict[str, Json]) -> None:
    content = seal(canonical(statement(predicates["parity"])))
    content += b" " * ((16 << 20) - len(content))
    assert product(entry_of(), content) == second(entry_of(), content) == "PASS"
    assert product(entry_of(), content + b" ") == second(entry_of(), content + b" ") == "bundle"


def test_every_bit_of_signature_and_payload_counts(predicates: dict[str, Json]) -> None:
    payload = canonical(statement(predicates["no-claims"]))
    good = signature("ed25519", pae(payload))
    entry = entry_of(keys=["ed25519"])
    assert product(entry, make_golden.dump(envelope(payload, "ed25519", good))) == "UNDECIDED"
    flips = [(good, k) for k in range(8 * len(good))] + [(payload, k) for k in range(0, 8 * len(payload), 7)]
    for part, k in flips:
        changed = bytearray(part)
        changed[k // 8] ^= 1 << k % 8
        pair = (payload, bytes(changed)) if part is good else (bytes(changed), good)
        assert product(entry, make_golden.dump(envelope(pair[0], "ed25519", pair[1]))) == "signature"


# Evidence: what happens to the folder beside a good certificate.
def refused(predicate: Json, folder: Path) -> str:
    with pytest.raises(UntrustedError) as caught:
        check_evidence(predicate, folder)
    assert caught.value.step == "evidence"
    return str(caught.value)


def copy_of(name: str, built: Built, tmp_path: Path) -> tuple[Json, Path]:
    evidence, predicate = built[name]
    shutil.copytree(evidence, tmp_path / "run")
    check_evidence(predicate, tmp_path / "run")
    return predicate, tmp_path / "run"


@pytest.fixture
def copied(built: Built, tmp_path: Path) -> tuple[Json, Path]:
    """A projection's bundle: it has all files but those of a network."""
    return copy_of("projection", built, tmp_path)


def copy_with(path: str, built: Built, tmp_path: Path) -> tuple[Json, Path]:
    """A bundle that has this file."""
    names = dict.fromkeys(("model.onnx", "preprocessing.json", PATHS["witness"]), "individual-finite")
    names[PATHS["gradients"]] = "lipschitz-proven"
    return copy_of(names.get(path, "projection"), built, tmp_path)


@pytest.mark.parametrize("path", PATHS.values())
def test_evidence_edited_in_any_byte(built: Built, tmp_path: Path, path: str) -> None:
    predicate, run = copy_with(path, built, tmp_path)
    content = (run / path).read_bytes()
    for k in range(0, len(content), max(1, len(content) // 40)):
        (run / path).write_bytes(content[:k] + bytes([content[k] ^ 1]) + content[k + 1 :])
        refused(predicate, run)
    for other in (b"", content[:-1], content + b"\n"):
        (run / path).write_bytes(other)
        refused(predicate, run)


@pytest.mark.parametrize("path", PATHS.values())
@pytest.mark.parametrize("kind", ["missing", "link", "dangling", "fifo", "folder"])
def test_evidence_that_is_no_regular_file(built: Built, tmp_path: Path, path: str, kind: str) -> None:
    predicate, run = copy_with(path, built, tmp_path)
    target = run / path
    moved = target.rename(run.parent / target.name)
    if kind in ("link", "dangling"):
        target.symlink_to(moved if kind == "link" else run.parent / "nowhere")
    elif kind == "fifo":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    refused(predicate, run)


def test_evidence_with_swapped_files(copied: tuple[Json, Path], built: Built) -> None:
    predicate, run = copied
    for path in (path for path in PATHS.values() if (run / path).exists()):
        own = (run / path).read_bytes()
        other = built["projection-undecided"][0] / path
        if other.read_bytes() != own:
            (run / path).write_bytes(other.read_bytes())
            refused(predicate, run)
            (run / path).write_bytes(own)
    data, predictions = (run / PATHS[role] for role in ("data", "predictions"))
    first, second_ = data.read_bytes(), predictions.read_bytes()
    data.write_bytes(second_)
    predictions.write_bytes(first)
    refused(predicate, run)


def _resealed(predicate: Json, run: Path) -> Json:
    """The predicate with the digests of the files as they are now: a signer who takes part in the fraud."""
    found = copy.deepcopy(predicate)
    for item in found["materials"]:
        item["sha256"] = digest((run / PATHS[item["role"]]).read_bytes())
    return found


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../data.parquet", "run/../data.parquet", "./data.parquet", "DATA.parquet", "C:\\data"]
)
def test_paths_in_a_manifest_are_never_followed(copied: tuple[Json, Path], path: str) -> None:
    predicate, run = copied
    manifest = json.loads((run / "manifest.json").read_bytes())
    manifest["files"][0]["path"] = path
    (run / "manifest.json").write_bytes(canonical(manifest))
    assert "manifest" in refused(_resealed(predicate, run), run)


@pytest.mark.parametrize("edit", ["drop", "twice", "extra", "digest", "rows", "format"])
def test_a_manifest_of_other_files(copied: tuple[Json, Path], edit: str) -> None:
    predicate, run = copied
    manifest = json.loads((run / "manifest.json").read_bytes())
    files = manifest["files"]
    {
        "drop": files.pop,
        "twice": lambda: files.append(files[0]),
        "extra": lambda: files.append({"role": "log", "path": "log", "sha256": "0" * 64, "rowCount": None}),
        "digest": lambda: files[0].update(sha256="0" * 64),
        "rows": lambda: files[0].update(rowCount=1),
        "format": lambda: manifest.update(format="certifair-bundle/1"),
    }[edit]()
    (run / "manifest.json").write_bytes(canonical(manifest))
    refused(_resealed(predicate, run), run)


def test_a_replay_with_wider_bounds_is_supported_and_judged_anew(built: Built) -> None:
    evidence, predicate = built["replay-fail"]
    witness = "claims/0/witness/"
    wider = edited(predicate, put(witness + "certain", "0"), put(witness + "worst/upper", "1"), rederived)
    content = certificate(wider)
    assert product(entry_of(), content) == second(entry_of(), content) == wider["verdict"] == "UNDECIDED"
    assert product(entry_of(evidence=str(evidence)), content) == "FAIL"
    nobody = edited(
        predicate,
        *(put(witness + key, value) for key, value in {"counted": 0, "undecided": 20}.items()),
        *(put(witness + key, None) for key in ("certain", "worst")),
        rederived,
    )
    assert product(entry_of(), certificate(nobody)) == second(entry_of(), certificate(nobody)) == "UNDECIDED"
    assert product(entry_of(evidence=str(evidence)), certificate(nobody)) == "FAIL"


@pytest.mark.parametrize("name", ["replay", "replay-fail"])
def test_a_replay_may_be_as_tight_as_the_verifiers_own(built: Built, name: str) -> None:
    """What is published leaves room for other machines; a verifier compares it with bounds that do not."""
    evidence, predicate = built[name]
    own = derive(load(read_contents(evidence), "evidence"), published=False)["claims"]
    tightest = edited(predicate, put("claims", own))
    assert own[0]["witness"] != predicate["claims"][0]["witness"]
    assert product(entry_of(evidence=str(evidence)), certificate(tightest)) == predicate["verdict"]


def _conspired(predicate: Json, run: Path) -> Json:
    """Everything that can go along with changed files does: the certificate is in order but for what is computed."""
    system, manifest = (json.loads((run / name).read_bytes()) for name in ("system.json", "manifest.json"))
    digests = {role: digest((run / PATHS[role]).read_bytes()) for role in ("model", "preprocessing")}
    system["model"]["sha256"], system["preprocessing"] = digests["model"], digests["preprocessing"]
    (run / "system.json").write_bytes(canonical(system))
    for entry in manifest["files"]:
        entry["sha256"] = digest((run / entry["path"]).read_bytes())
    (run / "manifest.json").write_bytes(canonical(manifest))
    found = _resealed({**predicate, "system": system}, run)
    found["claims"][0]["witness"] |= digests
    return found


def _input_moved(run: Path) -> None:
    table = read_columns((run / "data.parquet").read_bytes(), "data")
    moved = [value + 0.01 * (k == 5) for k, value in enumerate(table["input.income"].to_pylist())]
    column = table.column_names.index("input.income")
    (run / "data.parquet").write_bytes(table_bytes(table.set_column(column, "input.income", pa.array(moved))))


def _replaced(path: str, old: bytes, new: bytes) -> Callable[[Path], Any]:
    def edit(run: Path) -> None:
        content = (run / path).read_bytes()
        assert content.count(old) == 1
        (run / path).write_bytes(content.replace(old, new))

    return edit


@pytest.mark.parametrize(
    "change",
    [
        _input_moved,
        _replaced("model.onnx", struct.pack("<f", -0.2), struct.pack("<f", -0.25)),
        _replaced("preprocessing.json", b'["north","south"]', b'["south","north"]'),
    ],
    ids=["input", "model", "preprocessing"],
)
def test_a_replay_is_computed_again(built: Built, tmp_path: Path, change: Callable[[Path], Any]) -> None:
    predicate, run = copy_of("replay", built, tmp_path)
    assert product(entry_of(evidence=str(run)), certificate(_conspired(predicate, run))) == "PASS"
    change(run)
    conspired = _conspired(predicate, run)
    assert product(entry_of(), certificate(conspired)) == second(entry_of(), certificate(conspired)) == "PASS"
    assert "claim 'replay'" in refused(conspired, run)


# The log of a bundle: as the rest of the evidence, but digested record by record.
SEGMENTS = ("00000001.parquet", "00000002.parquet")


@pytest.fixture
def logged(built: Built, tmp_path: Path) -> tuple[Json, Path]:
    return copy_of("stream-paper", built, tmp_path)


def other_log(built: Built, tmp_path: Path, change: Callable[[Columns], Columns], **options: Any) -> Path:
    """The folder of a log by the same writer, of other people or other algorithms."""
    case = CASES["stream-paper"]
    assert case.log is not None
    policy = (built["stream-paper"][0] / "policy.toml").read_bytes()
    write_log(tmp_path / "other", change(dict(case.columns)), replace(case.log, **options), policy, None)
    return tmp_path / "other"


def put_log(run: Path, folder: Path) -> None:
    shutil.rmtree(run / "log")
    (run / "log").mkdir()
    for path in folder.iterdir():
        if path.suffix in (".parquet", ".json"):
            shutil.copy(path, run / "log")


@pytest.mark.parametrize("name", [*SEGMENTS, "head.json"])
def test_a_log_edited_in_any_byte_that_counts(logged: tuple[Json, Path], name: str) -> None:
    """Whatever is not refused has the same records, in the same order, under the same header."""
    predicate, run = logged
    path = run / "log" / name
    content, good, steps = path.read_bytes(), logged_rows(run / "log"), []
    for k in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:k] + bytes([content[k] ^ 1]) + content[k + 1 :])
        try:
            check_evidence(predicate, run)
        except UntrustedError as error:
            steps.append(error.step)
        else:
            assert name == "head.json" or logged_rows(run / "log") == good
    assert set(steps) == {"evidence"}
    assert len(steps) > 20 or name == "head.json"
    for other in (b"", content[:-1]):
        path.write_bytes(other)
        refused(predicate, run)


@pytest.mark.parametrize("kind", ["folder", "segment", "first", "swapped", "twice", "stray", "link", "fifo", "store"])
def test_a_log_with_other_files(logged: tuple[Json, Path], kind: str) -> None:
    predicate, run = logged
    first, last = (run / "log" / name for name in SEGMENTS)
    if kind == "folder":
        shutil.rmtree(run / "log")
    elif kind in ("segment", "first"):
        (last if kind == "segment" else first).unlink()
    elif kind == "swapped":
        contents = first.read_bytes(), last.read_bytes()
        first.write_bytes(contents[1])
        last.write_bytes(contents[0])
    elif kind == "twice":
        shutil.copy(last, run / "log" / "00000003.parquet")
    elif kind == "stray":
        shutil.copy(last, run / "log" / "more.parquet")
    elif kind == "store":  # what a writer has not sealed is not part of the log
        (run / "log" / "open.sqlite").write_bytes(b"")
        assert check_evidence(predicate, run)
        return
    else:
        moved = first.rename(run.parent / "moved")
        first.symlink_to(moved) if kind == "link" else os.mkfifo(first)
    refused(predicate, run)


@pytest.mark.parametrize("edit", ["segments", "records", "head", "log", "text"])
def test_a_head_of_another_state(logged: tuple[Json, Path], edit: str) -> None:
    predicate, run = logged
    found = make_golden.payload_of((run / "log" / "head.json").read_bytes())
    {
        "segments": lambda: found["predicate"].update(segments=1, records=28),
        "records": lambda: found["predicate"].update(records=49),
        "head": lambda: found["subject"][0]["digest"].update(sha256="0" * 64),
        "log": lambda: found["predicate"].update(log="another log"),
        "text": lambda: found["predicate"].update(segments="2"),
    }[edit]()
    (run / "log" / "head.json").write_bytes(seal(canonical(found)))
    refused(predicate, run)


def _moved_score(columns: Columns) -> Columns:
    return {**columns, "score": [value + 0.01 * (k == 7) for k, value in enumerate(columns["score"])]}


def _moved_step(columns: Columns) -> Columns:
    return {**columns, "step": [value + (k >= 40) for k, value in enumerate(columns["step"])]}


def _one_less(columns: Columns) -> Columns:
    return {name: values[:-1] for name, values in columns.items()}


def _another_group(columns: Columns) -> Columns:
    return {**columns, "age": [{"old": "young", "young": "old"}[value] for value in columns["age"]]}


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (_moved_score, {}),
        (_moved_step, {}),
        (_one_less, {}),
        (_another_group, {}),
        (dict, {"names_system": False}),
        (dict, {"segment_records": 20}),
    ],
    ids=["score", "step", "one-less", "group", "header", "segments"],
)
@pytest.mark.parametrize("along", [False, True])
def test_another_log(
    built: Built, logged: tuple[Json, Path], tmp_path: Path, change: Any, options: Json, along: bool
) -> None:
    """Another log is refused, even by a certificate and a manifest that state its head."""
    predicate, run = logged
    put_log(run, other_log(built, tmp_path, change, **options))
    found = predicate
    if along:
        rows = len(logged_rows(run / "log"))
        manifest = json.loads((run / "manifest.json").read_bytes())
        (entry,) = (entry for entry in manifest["files"] if entry["role"] == "log")
        entry.update(sha256=log_head(run / "log"), rowCount=rows)
        (run / "manifest.json").write_bytes(canonical(manifest))
        head = log_head(run / "log")
        stated = digest((run / "manifest.json").read_bytes())
        found = edited(
            predicate, role("log", sha256=head), role("manifest", sha256=stated), member("chain", "witness/head", head)
        )
        assert product(entry_of(), certificate(found)) == second(entry_of(), certificate(found)) == "PASS"
    if along and options == {"names_system": False}:  # a header need not name the system
        assert product(entry_of(evidence=str(run)), certificate(found)) == "PASS"
        return
    refused(found, run)


def people_in(built: Built, name: str) -> list[Json]:
    case, evidence = CASES[name], built[name][0]
    return people_of(case.columns) if case.log is None else [dict(row) for row in logged_rows(evidence / "log")]


STREAMS = [name for name in CASES if name.startswith("stream-")]


@pytest.mark.parametrize("name", STREAMS)
def test_truth_knows_each_claim_about_a_stream(built: Built, name: str) -> None:
    """What passes is true; of what fails or is undecided, only a bound that is too large may be."""
    predicate, people = built[name][1], people_in(built, name)
    assert false_claims(predicate, people) == []
    for claim in predicate["claims"]:
        assert holds(claim, predicate, people) == (claim["verdict"] == "PASS")


@pytest.mark.parametrize("form", ["pooled", "moment", "window", "weighted", "skipped", "bound", "chain"])
def test_truth_knows_what_is_false_of_a_stream(built: Built, form: str) -> None:
    predicate, people = built["stream-paper"][1], people_in(built, "stream-paper")
    (claim,) = (claim for claim in predicate["claims"] if claim["form"] == form)
    if form == "chain":
        false = edited(claim, put("witness/head", "0" * 64))
    else:
        below = parse_decimal(claim["upper"]) - parse_decimal("0.000000000002")
        false = {**claim, "threshold": format_decimal(below), "tau": "0"}
    assert holds(claim, predicate, people)
    assert not holds(false, predicate, people)


def test_wider_averages_are_supported(built: Built) -> None:
    evidence, predicate = built["stream-paper"]
    rows = "claims/3/witness/rows/"
    wider = edited(predicate, put(rows + "0/lower", "0"), put(rows + "0/upper", "0.0553"), rederived)
    content = certificate(wider)
    assert product(entry_of(evidence=str(evidence)), content) == second(entry_of(), content) == "PASS"
    unsure = edited(wider, put(rows + "0/upper", "0.7"), rederived)
    content = certificate(unsure)
    assert product(entry_of(evidence=str(evidence)), content) == second(entry_of(), content) == "UNDECIDED"


def test_fresh_keys_are_pinned_by_their_kind() -> None:
    assert [pinned(name).id for name in ("owner", "p384", "ed25519")]
    with pytest.raises(InputError):
        pinned("koblitz")


INDIVIDUAL = [name for name in CASES if name.startswith("individual")]


@pytest.mark.parametrize("name", INDIVIDUAL)
def test_every_point_of_an_individual_claim_was_tried(built: Built, name: str) -> None:
    """By the second verifier's own counting, where it can try every point."""
    evidence, predicate = built[name]
    claims = [claim for claim in predicate["claims"] if claim["kind"] == "individual"]
    assert [individual_oracle.faults(claim, evidence) for claim in claims] == [[] for _ in claims]


@pytest.mark.parametrize("name", INDIVIDUAL)
def test_truth_knows_each_individual_claim(built: Built, name: str) -> None:
    """What passes is true, and stays true up to the proven share; a little more than what may be is not."""
    predicate, people = built[name][1], people_in(built, name)
    assert false_claims(predicate, people) == []
    for claim in predicate["claims"]:
        if claim["kind"] == "individual" and claim["lower"] != "0":
            assert holds({**claim, "threshold": claim["lower"]}, predicate, people)
            above = format_decimal(parse_decimal(claim["upper"]) + parse_decimal("0.000000000001"))
            assert claim["upper"] == "1" or not holds({**claim, "threshold": above}, predicate, people)


@pytest.mark.parametrize("name", individual_lies())
def test_every_point_knows_what_is_false(built: Built, name: str) -> None:
    base, edits = individual_lies()[name]
    evidence, predicate = built[base]
    lie = edited(predicate, *edits, rederived)
    said = [individual_oracle.faults(claim, evidence) for claim in lie["claims"] if claim["kind"] == "individual"]
    assert any(said) != (name.removeprefix("individual-") in UNPROVEN)


# Not false of the people: but another demand than the policy's, or more than the proof in the evidence proves.
UNPROVEN = (
    "threshold-loosened", "method", "feature-left-out", "another-feature", "left-out", "domain-proof-denied",
    "domain-proof-lent", "domain-of-another-proof", "domain-unproven", "served-otherwise", "volume-certified",
    "volume-falsified",
)  # fmt: skip


def test_fewer_shares_are_supported(built: Built) -> None:
    """Who proved less, or says less, claims less; the verdict is then the worse one."""
    evidence, predicate = built["individual"]
    less = edited(predicate, figures("sex", "20", "2"), figures("moved", "0", "0"), rederived)
    content = certificate(less)
    assert product(entry_of(), content) == second(entry_of(), content) == less["verdict"] == "UNDECIDED"
    assert product(entry_of(evidence=str(evidence)), content) == "UNDECIDED"
    evidence, predicate = built["individual-finite"]
    hidden = edited(predicate, figures("moved", "16", "0"), rederived)
    content = certificate(hidden)
    assert product(entry_of(), content) == second(entry_of(), content) == "UNDECIDED"
    assert product(entry_of(evidence=str(evidence)), content) == "FAIL"


STABLE = [name for name in CASES if name.startswith(("stability", "lipschitz", "projection"))]
LITTLE = parse_decimal("0.00000001")


@pytest.mark.parametrize("name", STABLE)
def test_truth_knows_each_claim_about_stability(built: Built, name: str) -> None:
    """What passes is true, up to the figure that decides it; what fails is not."""
    predicate, people = built[name][1], people_in(built, name)
    assert false_claims(predicate, people) == []
    claims = [claim for claim in predicate["claims"] if claim["kind"] == "stability"]
    for claim in claims:
        assert claim["verdict"] != "PASS" or holds({**claim, "threshold": claim["estimate"]}, predicate, people)
        assert claim["verdict"] != "FAIL" or not holds(claim, predicate, people)
    assert claims


def _beyond(claim: Json) -> Json:
    """The claim with a threshold that is less true than what is known to be so."""
    worse = claim["upper"] if claim["comparator"] == ">=" else claim["lower"]
    value = parse_decimal(worse) + (LITTLE if claim["comparator"] == ">=" else -LITTLE)
    return {**claim, "threshold": format_decimal(value)}


@pytest.mark.parametrize(("name", "form"), [("stability", "treatment"), ("stability", "differentiable"),
    ("stability", "radius"), ("stability-kink", "radius"), ("stability-kink", "differentiable"),
    ("stability-joint", "radius"), ("stability-conditions", "radius")])  # fmt: skip
def test_truth_knows_what_is_false_of_a_layer(built: Built, name: str, form: str) -> None:
    """Where the claim's two ends meet, truth has the same figure, found by itself."""
    predicate, people = built[name][1], people_in(built, name)
    (claim,) = (claim for claim in predicate["claims"] if claim["form"] == form)
    assert not holds(_beyond(claim), predicate, people)


def test_truth_knows_what_is_false_of_changes_and_networks(built: Built) -> None:
    """Truth only tries some: what a newcomer is known to move; the steepest of many points."""
    for name, form, share in (("stability", "sensitivity", "0.9"), ("lipschitz-fail", "lipschitz", "0.999"),
                              ("lipschitz-served", "lipschitz", "0.6")):  # fmt: skip
        predicate, people = built[name][1], people_in(built, name)
        claim = next(claim for claim in predicate["claims"] if claim["form"] == form)
        known = parse_decimal(claim["upper" if claim["lower"] == "0" else "lower"])
        false = {**claim, "threshold": format_decimal(known * parse_decimal(share))}
        assert not holds(false, predicate, people)


def test_looser_bounds_of_a_network_are_supported(built: Built) -> None:
    """Who proves less claims less; the verdict is then the worse one."""
    evidence, predicate = built["lipschitz-proven"]
    wider = edited(predicate, bound("all", "lipsdp", "1.36"), witness("all", least="1"), rederived)
    entry, content = entry_of(evidence=str(evidence)), certificate(wider)
    assert product(entry, content) == second(entry_of(), content) == "PASS"
    content = certificate(edited(wider, bound("all", "lipsdp", "1.37"), rederived))
    assert product(entry, content) == second(entry_of(), content) == "UNDECIDED"
    evidence, predicate = built["lipschitz-fail"]
    hidden = edited(predicate, witness("all", least="1.2"), rederived)
    entry, content = entry_of(evidence=str(evidence)), certificate(hidden)
    assert product(entry_of(), content) == second(entry_of(), content) == hidden["verdict"] == "UNDECIDED"
    assert product(entry, content) == "FAIL"


def test_a_network_may_be_as_smooth_as_the_verifier_proves(built: Built) -> None:
    """What is published leaves room for other machines; a verifier compares it with bounds that do not."""
    evidence, predicate = built["lipschitz-proven"]
    own = derive(load(read_contents(evidence), "evidence"), published=False)["claims"]
    tightest = edited(predicate, put("claims", own))
    assert own[0]["witness"] != predicate["claims"][0]["witness"]
    assert product(entry_of(evidence=str(evidence)), certificate(tightest)) == predicate["verdict"]
