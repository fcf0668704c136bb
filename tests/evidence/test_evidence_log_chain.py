from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certifair.errors import InputError, UntrustedError
from certifair.evidence.log import Header, check, columns_of, prove, read_log
from certifair.evidence.log.batches import schema_of
from certifair.evidence.log.chain import leaf, path_of, root_from, root_of
from certifair.evidence.log.inclusion import decode
from certifair.evidence.log.records import leaf_digests, record_bytes, segment_root, values_of
from tests.evidence.log_cases import HEADER, person, write
from tests.oracles import log_oracle as oracle

Change = Callable[[dict[str, Any]], None]


# ------------------------------------------------------------------------------------------------------------ trees
def records_of(size: int) -> list[bytes]:
    return [str(index).encode() * (index % 5) for index in range(size)]


@pytest.mark.parametrize("size", [*range(1, 36), 127, 128, 129, 4095, 4096, 4097, 12289])
def test_roots_are_those_of_rfc_6962(size: int) -> None:
    records = records_of(size)
    assert root_of([leaf(record) for record in records]) == oracle.tree(records)


def test_a_root_of_known_digests() -> None:
    # The reference vectors of RFC 6962's first implementation: the leaves "", 00, 10.
    leaves = [leaf(bytes.fromhex(text)) for text in ("", "00", "10")]
    assert root_of(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert root_of(leaves[:2]).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert root_of(leaves).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 21, 4099])
def test_paths_lead_to_the_root(size: int) -> None:
    records = records_of(size)
    leaves = [leaf(record) for record in records]
    for index in range(0, size, max(1, size // 7)):
        path = path_of(leaves, index)
        assert path == oracle.path(index, records)
        assert root_from(leaves[index], index, size, path) == root_of(leaves)
        with pytest.raises(ValueError, match="too long"):
            root_from(leaves[index], index, size, [*path, path[0] if path else b""])
        if path:
            with pytest.raises(ValueError, match="too short"):
                root_from(leaves[index], index, size, path[:-1])
    for index in (-1, size):
        with pytest.raises(ValueError, match="outside"):
            root_from(leaves[0], index, size, [])


# ----------------------------------------------------------------------------------------------------------- records
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WHOLE = st.integers(-(2**63), 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Header, list[dict[str, Any]]]:
    features = draw(st.lists(st.text(min_size=1, max_size=3), unique=True, max_size=3).map(sorted))
    features = [name for name in features if name.isascii()]
    header = Header("x", None, {"name": "paper"}, columns_of(features, draw(st.sampled_from([[], ["r"], ["r", "s"]]))))
    values = {"int64": WHOLE, "float64": FINITE, "text": TEXTS}
    row = st.fixed_dictionaries({name: values[kind] for name, kind in header.columns})
    return header, draw(st.lists(row, min_size=1, max_size=12))


@settings(max_examples=150)
@given(tables())
def test_records_have_one_form(case: tuple[Header, list[dict[str, Any]]]) -> None:
    header, rows = case
    table = pa.Table.from_pylist(rows, schema=schema_of(header))
    expected = [oracle.record(header.columns, row) for row in rows]
    assert leaf_digests(table) == [sha256(b"\0" + record).digest() for record in expected]
    assert [record_bytes(table, index) for index in range(len(rows))] == expected
    assert segment_root(table) == oracle.tree(expected)
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert segment_root(chunked) == oracle.tree(expected)
    for record, row in zip(expected, rows, strict=True):
        found = decode(record, header)
        assert repr(found) == repr({name: row[name] for name in header.names})  # -0.0 is not 0.0


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    header = Header("x", None, None, columns_of(["sex"]))
    row = {name: {"int64": 1, "float64": 2.0, "text": "é" * 9}[kind] for name, kind in header.columns}
    rows = [{**row, "seq": seq, "row_id": str(seq)} for seq in range(100)]
    table = pa.Table.from_pylist(rows, schema=schema_of(header))
    whole = leaf_digests(table)
    monkeypatch.setattr("certifair.evidence.log.records._BLOCK_BYTES", 500)
    assert leaf_digests(table) == whole
    assert whole == [leaf(oracle.record(header.columns, row)) for row in rows]


def test_numbers_of_a_part() -> None:
    for array in (pa.array([1, 2, 3, 4]), pa.array([1.0, 2.0, 3.0, 4.0]), pa.array([1, 2, 3, 4], pa.int32())):
        assert values_of(array.slice(1, 2)).tolist() == [2, 3]
        assert values_of(pa.chunked_array([array.slice(2), array])).tolist() == [3, 4, 1, 2, 3, 4]
        assert values_of(pa.chunked_array([], array.type)).tolist() == []


# ----------------------------------------------------------------------------------------------------------- headers
def test_headers_are_read_back() -> None:
    for header in (
        HEADER,
        Header("x", None, None, columns_of([])),
        Header("é", None, {"name": "pooled"}, columns_of(["a"])),
    ):
        assert Header.parse(header.to_bytes()) == header
    assert HEADER.features == ("sex", "race")
    assert [name for name, _ in HEADER.shared] == ["step", "eta", "multiplier.sex: F - M"]
    assert HEADER.names[:4] == ("seq", "batch", "time", "row_id")


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b'"certifair-log/0"', b'"certifair-log/1"', "not a header"),
        (b'"format":', b'"more":1,"format":', "not a header"),
        (b'"format":', b' "format":', "RFC 8785"),
        (b'"id":"the log of the tests"', b'"id":""', "no id"),
        (b'"id":"the log of the tests"', b'"id":7', "no id"),
        (b'"id":', b'"id":"x","id":', "duplicate key"),
        (b"abab", b"ABAB", "SHA-256"),
        (b'"name":"paper"', b'"name":"other"', "unknown algorithm"),
        (b'"name":"paper"', b'"name":"pooled"', "other columns"),
        (b'{"name":"paper"}', b'"paper"', "unknown algorithm"),
        (b'["seq","int64"]', b'["seq","float64"]', "other columns"),
        (b'["seq","int64"]', b'["seq"]', "pairs"),
        (b'["seq","int64"],["batch","int64"]', b'["batch","int64"],["seq","int64"]', "other columns"),
        (b'"feature.race"', b'"feature.sex"', "two columns"),
        (b'"feature.race"', b'"race"', "other columns"),
        (b'["eta","float64"],', b"", "other columns"),
        (b"}", b"", "delimiter"),
    ],
)
def test_no_header(old: bytes, new: bytes, what: str) -> None:
    content = HEADER.to_bytes()
    assert old in content
    with pytest.raises(InputError, match=what):
        Header.parse(content.replace(old, new))


def test_a_header_has_a_limit() -> None:
    with pytest.raises(InputError, match="longer"):
        Header("x" * (1 << 20), None, None, columns_of([])).to_bytes()
    with pytest.raises(InputError, match="longer"):
        Header.parse(b" " * (1 << 21))
    with pytest.raises(InputError, match="no canonical form"):
        Header("\ud800", None, None, columns_of([])).to_bytes()


# --------------------------------------------------------------------------------------------------------- inclusion
@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs") / "log"
    write(folder, [3, 7, 1, 1, 9, 4, 12, 5])
    return folder


def test_every_record_can_be_proved(folder: Path) -> None:
    log = read_log(folder)
    assert (log.faults, log.segments) == ((), 4)
    rows = log.table().to_pylist()
    for seq, row in enumerate(rows, 1):
        proof = prove(folder, seq)
        assert oracle.included(proof, log.head) == oracle.record(HEADER.columns, row)
        found = check(proof, log.head)
        assert found == row
        assert list(found) == list(HEADER.names)
        assert found.items() >= person(seq).items()
    assert math.copysign(1, check(prove(folder, 5), log.head)["prediction"]) == -1  # type: ignore[arg-type]


def test_only_what_is_there_is_proved(folder: Path, tmp_path: Path) -> None:
    for seq in (0, -1, 43):
        with pytest.raises(InputError, match=f"no record {seq}"):
            prove(folder, seq)
    with pytest.raises(InputError, match="no sealed segment"):
        prove(tmp_path, 1)


def put(*path: str | int, value: Any) -> Change:
    def change(proof: dict[str, Any]) -> None:
        inner: Any = proof
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value

    change.__name__ = f"{'.'.join(map(str, path))} = {str(value)[:12]!r}"
    return change


def shift(*path: str | int, by: int) -> Change:
    def change(proof: dict[str, Any]) -> None:
        inner: Any = proof
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] += by

    change.__name__ = f"{'.'.join(map(str, path))} + {by}"
    return change


def other_header(proof: dict[str, Any]) -> None:
    """The same bytes, read with score and prediction swapped."""
    proof["header"] = proof["header"].replace("sex", "ses")


def swapped(proof: dict[str, Any]) -> None:
    proof["path"].reverse()


DIGEST = "0" * 64


@pytest.mark.parametrize(
    "change",
    [
        put("record", value="AAAAAAAAAAA="),
        put("path", 0, value=DIGEST),
        put("links", "previous", value=DIGEST),
        put("links", "later", 0, 0, value=DIGEST),
        put("links", "later", value=[]),
        shift("records", by=-1),
        other_header,
        swapped,
    ],
    ids=lambda change: change.__name__,
)
def test_a_proof_of_something_else_is_not_believed(folder: Path, change: Change) -> None:
    head = read_log(folder).head
    proof = prove(folder, 18)  # the second segment, 13 to 22
    check(copy.deepcopy(proof), head)
    change(proof)
    with pytest.raises((UntrustedError, InputError)) as caught:
        check(proof, head)
    assert caught.type is UntrustedError or change.__name__.startswith("records")


def test_the_place_of_a_record_is_its_seq(folder: Path) -> None:
    # Whoever shifts every `first` gets another link, hence another head.
    proof, head = prove(folder, 18), read_log(folder).head
    proof["first"] += 1
    proof["links"]["later"] = [[root, first + 1, records] for root, first, records in proof["links"]["later"]]
    with pytest.raises(UntrustedError, match="does not lead to this head"):
        check(proof, head)
    with pytest.raises(UntrustedError, match="does not lead to this head"):
        check(prove(folder, 18), DIGEST)


@pytest.mark.parametrize(
    "change",
    [
        put("format", value="certifair-inclusion/1"),
        put("more", value=1),
        put("header", value=7),
        put("header", value="\ud800"),
        put("record", value="====="),
        put("record", value="QQ"),
        put("record", value="QR=="),
        put("record", value=" QQ=="),
        put("record", value=""),
        put("record", value=7),
        put("number", value=0),
        put("number", value=True),
        put("number", value=1),
        put("number", value="2"),
        put("index", value=-1),
        put("index", value=10),
        put("index", value=5.0),
        put("records", value=0),
        put("records", value=2**53),
        put("path", value="ab"),
        put("path", value=[]),
        put("path", 0, value="AB" * 32),
        put("path", 0, value=7),
        put("first", value=None),
        put("first", value=14),
        put("links", value=[]),
        put("links", "more", value=[]),
        put("links", "previous", value="ab"),
        put("links", "later", value=None),
        put("links", "later", 0, value=[DIGEST, 1]),
        put("links", "later", 0, value=[DIGEST, 24, 1]),
        put("links", "later", 0, 2, value=0),
        shift("links", "later", 0, 1, by=1),
    ],
    ids=lambda change: change.__name__,
)
def test_what_is_no_proof_is_refused(folder: Path, change: Change) -> None:
    proof = prove(folder, 18)
    change(proof)
    with pytest.raises(InputError, match="inclusion proof"):
        check(proof, read_log(folder).head)


def test_neither_proof_nor_head(folder: Path) -> None:
    for proof in (None, [], "x", {}):
        with pytest.raises(InputError, match="format"):
            check(proof, DIGEST)
    for head in ("", "AB" * 32, 7):
        with pytest.raises(InputError, match="SHA-256"):
            check(prove(folder, 1), head)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (b"", "too short"),
        (b"\0" * 7, "too short"),
        (b"\0" * 40, "too short"),
        (b"\0" * 31 + b"\x11" + b"\0" * 16, "too short"),  # a text that ends beyond the end
        (b"\0" * 32 + b"\x7f\xf0" + b"\0" * 14, "'score' is not finite"),
        (b"\0" * 49, "too long"),
        (b"\0" * 31 + b"\x01\xff" + b"\0" * 16, "can't decode"),
    ],
)
def test_bytes_that_are_no_record(record: bytes, what: str) -> None:
    header = Header("x", None, None, columns_of([]))
    assert decode(b"\0" * 48, header)["row_id"] == ""
    with pytest.raises(ValueError, match=what):
        decode(record, header)


ALONE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in sys.stdlib_module_names | {"certifair"}:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Blocker())
import json
from certifair.evidence.log import check
print(check(json.load(sys.stdin), sys.argv[1])["row_id"])
"""


def test_a_check_needs_the_standard_library_only(folder: Path) -> None:
    command = [sys.executable, "-c", ALONE, read_log(folder).head]
    proof = json.dumps(prove(folder, 18))
    result = subprocess.run(command, input=proof, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "p18\n"), result.stderr


def test_a_broken_log_proves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "log", [10, 10, 10])
    (tmp_path / "log" / "00000002.parquet").unlink()
    with pytest.raises(InputError, match="no chain"):
        prove(tmp_path / "log", 1)
