"""JSON that has one meaning, and the digests of files. Strict in, canonical (RFC 8785) out."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NoReturn

import rfc8785

MAX_DEPTH = 64
MAX_INTEGER = 2**53 - 1
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def sha256(content: bytes) -> str:
    """Lower-case hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


def canonical(value: Any) -> bytes:
    """The RFC 8785 form. Raises ValueError for what has none: NaN, integers beyond 2⁵³ − 1, lone surrogates."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise ValueError(f"no canonical form: {error}") from None


def strict_json(content: bytes) -> Any:
    """The one value that these bytes can mean (certificates/README.md 1); ValueError otherwise.

    Only null, booleans, integers, texts, lists and objects occur: a number with a fraction or an exponent, which
    readers round differently, is refused.
    """
    if content.startswith(BYTE_ORDER_MARKS):
        raise ValueError("starts with a byte-order mark")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 (byte {error.start})") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_small_integer,
            parse_float=_no_fraction,
            parse_constant=_no_fraction,
        )
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("has a duplicate key")
    return found


def _small_integer(literal: str) -> int:
    # The length first: int() of 100 000 digits is refused by Python, of 4 000 it is slow.
    if len(literal) > 17 or abs(int(literal)) > MAX_INTEGER:
        raise ValueError(f"has an integer beyond ±{MAX_INTEGER}")
    if literal == "-0":
        raise ValueError("has a negative zero")
    return int(literal)


def _no_fraction(literal: str) -> NoReturn:
    raise ValueError(f"has the number {literal[:20]}: only integers have one meaning")


def _check_depth(value: Any) -> None:
    """At most MAX_DEPTH lists and objects inside each other, and no text that UTF-8 cannot hold."""
    level = [value]
    for depth in range(MAX_DEPTH + 2):
        containers = [item for item in level if isinstance(item, (dict, list))]
        if not all(is_unicode(item) for item in level if isinstance(item, str)):
            raise ValueError("has a lone surrogate")
        if not containers:
            return
        if depth == MAX_DEPTH:
            raise ValueError("is nested too deeply")
        level = [child for item in containers for child in _children(item)]


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold it: JSON escapes can spell half a character."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _children(item: Any) -> list[Any]:
    return [*item.keys(), *item.values()] if isinstance(item, dict) else list(item)
