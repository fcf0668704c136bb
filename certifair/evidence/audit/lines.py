"""JSON lines with one meaning: every line is looked at before an engine counts it.

Engines differ about what they overlook (a second object behind the first, a key that comes twice, a number beyond
float64), so Python reads all lines first: some microseconds a line, slower than any engine. Parquet needs none of it.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from certifair.errors import InputError
from certifair.evidence.audit.sources import Source
from certifair.evidence.canonical import is_unicode

LONGEST: Final = 1 << 24
"""Bytes of a line, the most that engines take."""


def keys_and_lines(source: Source) -> tuple[tuple[str, ...], int]:
    """The keys that occur, in order, and how many lines are objects; empty lines are none. Raises InputError."""
    names: dict[str, None] = {}
    objects = number = 0
    with source.real.open("rb") as file:
        while line := file.readline(LONGEST):
            number += 1
            content = line.removesuffix(b"\n").removesuffix(b"\r")
            if not content.strip(b" "):
                continue
            try:
                if b"\r" in content:  # the end of a line for some engines
                    raise ValueError("has a carriage return")
                found = _DECODER.decode(content.decode("utf-8"))
                if not isinstance(found, dict):
                    raise ValueError("is no object")
                if b"\\u" in content and not is_unicode(json.dumps(found, ensure_ascii=False)):
                    raise ValueError("has a lone surrogate")
            except (ValueError, RecursionError) as error:
                why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
                raise InputError(f"has no JSON object in line {number} ({why})", where=source.path) from None
            objects += 1
            if not names.keys() >= found.keys():
                names.update(dict.fromkeys(found))
    return tuple(names), objects


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("has a duplicate key")
    return found


def _number(literal: str) -> float:
    if not math.isfinite(value := float(literal)):
        raise ValueError(f"has the number {literal[:20]}, which is beyond float64")
    return value


def _none(literal: str) -> NoReturn:
    raise ValueError(f"has {literal}, which is no JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_number, parse_int=_number, parse_constant=_none
)
