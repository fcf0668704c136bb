from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certifair.evidence.canonical import MAX_INTEGER, canonical, sha256, strict_json

REFUSED = [
    (b'{"a": 1, "a": 1}', "duplicate key"),
    (b'{"x": [{"a": 1, "b": {"c": 2, "c": 3}}]}', "duplicate key"),
    (b'{"a": 1, "\\u0061": 1}', "duplicate key"),
    (b"NaN", "number NaN"),
    (b"[Infinity]", "number Infinity"),
    (b"-Infinity", "number -Infinity"),
    (b"1e999", "number 1e999"),
    (b"1.0", "number 1.0"),
    (b"1E2", "number 1E2"),
    (b"-0", "negative zero"),
    (b"[-0]", "negative zero"),
    (b"-0.0", "number -0.0"),
    (b"9007199254740992", "integer beyond"),
    (b"-9007199254740992", "integer beyond"),
    (b"9" * 5000, "integer beyond"),
    (b"-" + b"9" * 5000, "integer beyond"),
    (b'"\\ud800"', "lone surrogate"),
    (b'["\\udc00\\ud800"]', "lone surrogate"),
    (b'{"\\ud800": 1}', "lone surrogate"),
    (b'{"a": {"b": ["\\udfff"]}}', "lone surrogate"),
    (b"\xef\xbb\xbf{}", "byte-order mark"),
    ("{}".encode("utf-16"), "byte-order mark"),
    ("{}".encode("utf-16-be"), ""),
    (b"{}\x00", ""),
    (b'"\xff"', "UTF-8"),
    (b'"\xed\xa0\x80"', "UTF-8"),
    (b"", ""),
    (b"{} {}", ""),
    (b"[1,]", ""),
    (b"{'a': 1}", ""),
    (b"[01]", ""),
    (b"+1", ""),
    (b"// no\n1", ""),
    (b'"a\nb"', ""),
    (b"nul", ""),
    (b"True", ""),
]


@pytest.mark.parametrize(("content", "words"), REFUSED)
def test_what_has_no_single_meaning_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words or None):
        strict_json(content)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("inside", [b"", b"0", b'"text"'])
def test_64_lists_and_objects_may_stand_inside_each_other(inside: bytes) -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")):
        per = 2 if len(opening) == 6 else 1
        core = inside if opening == b"[" else inside or b"1"
        good = opening * (64 // per) + core + closing * (64 // per)
        assert canonical(strict_json(good)) == good
        with pytest.raises(ValueError, match="nested too deeply"):
            strict_json(b"[" + good + b"]")


@pytest.mark.parametrize("depth", [66, 500, 100_000])
def test_deeper_ones_are_refused(depth: int) -> None:
    for content in (nested(depth), b'{"a":' * depth + b"1" + b"}" * depth):
        with pytest.raises(ValueError, match="nested too deeply"):
            strict_json(content)
    with pytest.raises(ValueError, match=r"."):
        strict_json(b"[" * depth)


def test_large_documents_are_read_in_time() -> None:
    """Hundreds of thousands of members: a quadratic step would take minutes."""
    content = canonical({"list": [[k] for k in range(200_000)], "object": {str(k): k for k in range(100_000)}})
    assert canonical(strict_json(content)) == content


@pytest.mark.parametrize(
    "value",
    [
        MAX_INTEGER,
        -MAX_INTEGER,
        0,
        None,
        True,
        "",
        "\U0001f600",
        "\x00",
        [],
        {},
        {"é": 1, "e\u0301": 2, "z": 0, "\U0001f600": 3},
    ],
)
def test_values_that_are_kept(value: Any) -> None:
    assert strict_json(canonical(value)) == value
    assert strict_json(json.dumps(value).encode()) == value


def test_a_pair_of_escapes_is_one_letter() -> None:
    assert strict_json(b'"\\ud83d\\ude00"') == "\U0001f600"


trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), children, max_size=4)
    ),
    max_leaves=20,
)


@given(trees)
def test_canonical_bytes_are_a_fixed_point(tree: Any) -> None:
    content = canonical(tree)
    assert strict_json(content) == tree
    assert canonical(strict_json(content)) == content


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_a_value_error(content: bytes) -> None:
    try:
        value = strict_json(content)
    except ValueError:
        return
    assert strict_json(canonical(value)) == value


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53, -(2**53), "\ud800", ["\ud800"], {1: 2}, b"x", {1, 2}]
)
def test_what_has_no_canonical_form(value: Any) -> None:
    with pytest.raises(ValueError, match="no canonical form"):
        canonical(value)


def test_self_containing_lists_have_no_canonical_form() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="no canonical form"):
        canonical(value)


def test_digests() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
